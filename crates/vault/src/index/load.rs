//! All index files into memory; and the headers of packs that none of them names.
//!
//! An index file that cannot be read hides what the vault holds, but loses nothing: each pack says itself what
//! is in it. So a reader goes on with the others and asks the packs ([`Core::rescue`]), a writer refuses
//! ([`LoadedIndex::whole`]), and [`Vault::rebuild_index`](crate::Vault::rebuild_index) mends.

use std::{
    collections::{BTreeSet, HashSet},
    path::{Path, PathBuf},
};

use lifeboat_store::{Area, Cache, StoreError, cache};

use super::{
    Index, IndexBuilder, IndexFile,
    mapped::{self, MapKey},
};
use crate::{
    error::{ErrorKind, Result, VaultError},
    id::{IndexId, PackId},
    opened::Core,
    pack::PackedBlob,
    repo::Vault,
    unpacked::object_name,
};

/// Index files or pack headers that are in memory at a time, at most.
const MOST_THREADS: usize = 8;
/// How often the index is listed again because a file of it went meanwhile.
const MOST_ROUNDS: usize = 10;

/// Index files that are read beside the mapped ones each time, before all are mapped anew.
const MOST_BESIDE: usize = 8;

/// Where the index is kept mapped.
pub struct IndexMap {
    /// Of all caches.
    root: PathBuf,
    key: MapKey,
    /// Of fewer blobs the JSON is read as quickly.
    smallest: usize,
}

impl Vault {
    /// Keeps the index of this vault, once it has so many blobs, in its cache below this directory, wherever the vault
    /// lies.
    pub fn map_index(&self, root: &Path, smallest: usize) {
        let _ = self.0.index_map.set(IndexMap {
            root: root.to_owned(),
            key: MapKey::derive(&self.0.master),
            smallest,
        });
    }
}

impl Core {
    /// The mapped index and the files that it stands for, where there is one.
    fn open_map(&self) -> Option<(Index, BTreeSet<IndexId>)> {
        let map = self.index_map.get()?;
        let path = Cache::index_map(&map.root, &self.config.id)?;
        let found = mapped::open(&path, &map.key)?;
        // It is used: it stays.
        let _ = Cache::open(&map.root, &self.config.id, cache::LIMIT);
        Some(found)
    }

    /// Keeps the index for the next time. Where that cannot be done, it is not kept.
    fn save_map(&self, loaded: &LoadedIndex) {
        let Some(map) = self.index_map.get() else {
            return;
        };
        if !loaded.unreadable.is_empty() || loaded.index.len() < map.smallest {
            return;
        }
        let Some(path) = Cache::index_map(&map.root, &self.config.id) else {
            return;
        };
        let saved = Cache::open(&map.root, &self.config.id, cache::LIMIT)
            .and_then(|_| mapped::save(&path, &map.key, &loaded.index, &loaded.files));
        if let Err(error) = saved {
            tracing::debug!(%error, "map the index");
        }
    }
}

/// Files that cannot be read, ascending by id.
pub type Unreadable = Vec<(IndexId, VaultError)>;

/// What came of loading all index files.
pub struct LoadedIndex {
    /// What the readable ones say.
    pub index: Index,
    /// Files that cannot be read, ascending by id.
    pub unreadable: Unreadable,
    /// All files that there were.
    pub files: BTreeSet<IndexId>,
}

impl LoadedIndex {
    /// The index, if every file of it could be read. On another one a backup would store again what is there,
    /// and hide the damage.
    pub fn whole(self) -> Result<Index> {
        let Some((id, error)) = self.unreadable.first() else {
            return Ok(self.index);
        };
        let mut why = error.reason();
        if self.unreadable.len() > 1 {
            why += &format!(", and {} more", self.unreadable.len() - 1);
        }
        Err(VaultError::DamagedIndex {
            what: format!("index/{id}"),
            why,
        })
    }
}

impl Core {
    /// All index files, in memory. Some are read and parsed at the same time; the result does not
    /// depend on which is done first. What is mapped already is not read ([`super::mapped`]).
    pub fn load_index(&self) -> Result<LoadedIndex> {
        let loaded = match self.load_onto_map()? {
            Some(loaded) => loaded,
            None => {
                let mut builder = IndexBuilder::default();
                let (files, unreadable) = self.read_index(|_, file| {
                    builder.add_file(file);
                    Ok(())
                })?;
                let loaded = LoadedIndex {
                    index: builder.build(),
                    unreadable,
                    files,
                };
                self.save_map(&loaded);
                loaded
            }
        };
        if loaded.unreadable.is_empty() {
            let named: HashSet<&PackId> = loaded.index.packs().iter().collect();
            self.keep_only(Area::Data, &|id| named.contains(&PackId(*id)));
        }
        Ok(loaded)
    }

    /// What is mapped, and what came after it. `None` where nothing is mapped that can be built on.
    fn load_onto_map(&self) -> Result<Option<LoadedIndex>> {
        let Some((base, known)) = self.open_map() else {
            return Ok(None);
        };
        let (old, old_files) = (base.len(), known.len());
        let mut is_there = true;
        let mut marks = false;
        let mut base = Some(base);
        let mut builder = None;
        let (files, unreadable) = self.read_index_beside(
            |ids| {
                is_there = known.iter().all(|id| ids.binary_search(&id.0).is_ok());
                known
            },
            |_, file| {
                marks |= !file.to_delete.is_empty();
                let onto = || IndexBuilder::onto(base.take().unwrap_or_default());
                builder.get_or_insert_with(onto).add_file(file);
                Ok(())
            },
        )?;
        // A file that is gone was replaced, and what it said may be so no more.
        if !is_there || marks {
            return Ok(None);
        }
        let index = match (builder, base) {
            (None, Some(base)) => base,
            (builder, _) => builder.unwrap_or_default().build(),
        };
        let loaded = LoadedIndex {
            index,
            unreadable,
            files,
        };
        let more = loaded.index.len().saturating_sub(old);
        if more > old / 8 || loaded.files.len() > old_files + MOST_BESIDE {
            self.save_map(&loaded);
        }
        Ok(Some(loaded))
    }

    /// The same with every copy of a blob that is there more than once, for when one of them is bad.
    pub fn load_copies(&self) -> Result<Index> {
        let mut builder = IndexBuilder::default();
        self.read_index(|_, file| {
            builder.add_file(file);
            Ok(())
        })?;
        Ok(builder.build_with_copies())
    }

    /// Hands on all index files, ascending by id; those that were written meanwhile come behind. Returns which
    /// there were, and those that cannot be read.
    ///
    /// A file that goes between listing and reading was replaced by another ([`crate::prune`]), which is then read
    /// as well: what both say must not be missed.
    pub fn read_index(
        &self,
        take: impl FnMut(IndexId, IndexFile) -> Result<()>,
    ) -> Result<(BTreeSet<IndexId>, Unreadable)> {
        self.read_index_beside(|_| BTreeSet::new(), take)
    }

    /// The same but for the files that `known` picks from the first listing, ascending by id.
    fn read_index_beside(
        &self,
        known: impl FnOnce(&[[u8; 32]]) -> BTreeSet<IndexId>,
        mut take: impl FnMut(IndexId, IndexFile) -> Result<()>,
    ) -> Result<(BTreeSet<IndexId>, Unreadable)> {
        let mut files = BTreeSet::new();
        let mut known = Some(known);
        let mut unreadable = Vec::new();
        for round in 0.. {
            let mut ids = self.list(Area::Index)?;
            if let Some(known) = known.take() {
                files = known(&ids);
            }
            self.keep_only(Area::Index, &|id| ids.binary_search(id).is_ok());
            ids.retain(|id| !files.contains(&IndexId(*id)));
            let mut gone = false;
            let load = |id: [u8; 32]| {
                let name = object_name(Area::Index, &id)?;
                IndexFile::parse(&self.load_listed(&name)?, &name.to_string())
            };
            in_order(&ids, load, |id, file| {
                let id = IndexId(id);
                match file {
                    Ok(file) => take(id, file)?,
                    Err(error) if is_gone(&error) => {
                        gone = true;
                        return Ok(());
                    }
                    Err(error) if is_unreadable(&error) => unreadable.push((id, error)),
                    Err(error) => return Err(error),
                }
                files.insert(id);
                Ok(())
            })?;
            // A listing that names for long what is gone must not keep us for ever.
            if !gone || round == MOST_ROUNDS {
                break;
            }
        }
        unreadable.sort_unstable_by_key(|(id, _)| *id);
        Ok((files, unreadable))
    }

    /// One index file.
    pub fn load_index_file(&self, id: IndexId) -> Result<IndexFile> {
        let name = object_name(Area::Index, &id.0)?;
        IndexFile::parse(&self.load_unpacked(&name)?, &name.to_string())
    }

    /// Packs that are there and that this index does not name, ascending by id.
    pub fn packs_beside(&self, index: &Index) -> Result<Vec<[u8; 32]>> {
        let named: HashSet<PackId> = index.packs().iter().copied().collect();
        let mut packs = self.list(Area::Data)?;
        packs.retain(|id| !named.contains(&PackId(*id)));
        Ok(packs)
    }

    /// Reads the headers of packs, some at the same time, and hands them on in the order of `packs`. A pack
    /// that has gone meanwhile is passed over.
    pub fn pack_headers(
        &self,
        packs: &[[u8; 32]],
        mut take: impl FnMut(PackId, Result<Vec<PackedBlob>>) -> Result<()>,
    ) -> Result<()> {
        let read = |id: [u8; 32]| self.pack_header(PackId(id));
        in_order(packs, read, |id, header| match header {
            Err(error) if is_gone(&error) => Ok(()),
            header => take(PackId(id), header),
        })
    }

    /// What the packs hold that this index does not name, by their own headers. Called when something is
    /// missing, so it does what it can: what cannot be read is not in the result.
    pub fn rescue(&self, index: &Index) -> Index {
        let mut builder = IndexBuilder::default();
        let mut found = 0;
        let read = self.packs_beside(index).and_then(|packs| {
            self.pack_headers(&packs, |pack, header| {
                match header {
                    Ok(blobs) => {
                        found += 1;
                        builder.add(pack, blobs);
                    }
                    Err(error) => {
                        self.warn_once(format!("{error}; what only it holds cannot be found"))
                    }
                }
                Ok(())
            })
        });
        if let Err(error) = read {
            self.warn_once(format!(
                "packs that no index names cannot be looked through: {error}"
            ));
        }
        if found > 0 {
            self.warn_once(format!(
                "the index of the vault is not whole: {found} pack(s) that it does not name were looked through; `lifeboat repair index` mends it"
            ));
        }
        builder.build()
    }

    /// Says that these index files are passed over.
    pub fn warn_of_index(&self, unreadable: &[(IndexId, VaultError)]) {
        for (id, error) in unreadable {
            self.warn_once(format!(
                "index/{id} is damaged: {}; what it named is looked for in the packs themselves, `lifeboat repair index` mends it",
                error.reason()
            ));
        }
    }

    /// A warning, once for each open vault: a command may make several readers.
    fn warn_once(&self, sentence: String) {
        let mut told = self.told.lock();
        if !told.contains(&sentence) {
            tracing::warn!("{sentence}");
            told.insert(sentence);
        }
    }
}

/// Whether an object was deleted between listing and reading.
pub(crate) fn is_gone(error: &VaultError) -> bool {
    let VaultError::Store { source, .. } = error else {
        return false;
    };
    matches!(source, StoreError::NotFound(_))
}

/// Whether an error is about the object, not about the vault as a whole: its bytes are wrong, or the medium does
/// not give them.
fn is_unreadable(error: &VaultError) -> bool {
    let VaultError::Store { source, .. } = error else {
        return error.kind() == ErrorKind::Damaged;
    };
    matches!(
        source,
        StoreError::ShortRead { .. } | StoreError::TooLarge { .. } | StoreError::Io { .. }
    )
}

/// Does `work` for each id, a few at the same time, and hands the results on in the order of `ids`.
fn in_order<T: Send>(
    ids: &[[u8; 32]],
    work: impl Fn([u8; 32]) -> T + Sync,
    mut take: impl FnMut([u8; 32], T) -> Result<()>,
) -> Result<()> {
    let threads = std::thread::available_parallelism()
        .map_or(2, usize::from)
        .min(MOST_THREADS);
    let work = &work;
    for batch in ids.chunks(threads) {
        let results: Vec<_> = std::thread::scope(|scope| {
            let running: Vec<_> = batch
                .iter()
                .map(|id| scope.spawn(move || work(*id)))
                .collect();
            running
                .into_iter()
                .map(std::thread::ScopedJoinHandle::join)
                .collect()
        });
        for (id, result) in batch.iter().zip(results) {
            let died = |_| VaultError::Interrupted("a thread that reads the vault died".into());
            take(*id, result.map_err(died)?)?;
        }
    }
    Ok(())
}
