//! What a prune knows of the vault: who is at work, snapshots, packs, index, marks; read in this order. What a snapshot
//! needs was named by an index before the snapshot was written, so nothing that is written meanwhile looks lost. Packs
//! of sessions that have not ended look like garbage: [`super`] says why no harm comes of it.

use std::collections::{HashMap, HashSet};

use lifeboat_store::{Area, StoreError};

use super::used;
use crate::{
    bits::Bits,
    error::{Result, VaultError},
    id::{BlobId, IndexId, PackId, SnapshotId},
    index::{Index, IndexBuilder},
    opened::Core,
    progress::Progress,
    repo::Vault,
    unpacked::object_name,
};

/// How rustic, which takes neither lock nor lease, names itself in its snapshots.
const RUSTIC: &str = "rustic";

/// One mark of a pack.
#[derive(Debug, Clone)]
pub(super) struct Mark {
    /// RFC 3339, by the clock of who marked.
    pub(super) time: Option<String>,
    /// Number of the index file in [`State::files`].
    pub(super) file: usize,
}

/// An index file, without its blobs.
#[derive(Debug, Clone)]
pub(super) struct FileFacts {
    pub(super) id: IndexId,
    pub(super) blobs: usize,
    /// Packs that it names.
    pub(super) packs: Vec<PackId>,
    /// Packs that it marks.
    pub(super) marks: Vec<PackId>,
    /// Leases that its marks wait for; `None` where they are not ours.
    pub(super) leases: Option<Vec<String>>,
}

/// The vault as it was read.
pub(super) struct State {
    /// Packs that are there, with their sizes.
    pub(super) sizes: HashMap<PackId, u64>,
    /// Each blob once for each pack that has it.
    pub(super) index: Index,
    pub(super) files: Vec<FileFacts>,
    pub(super) marks: HashMap<PackId, Vec<Mark>>,
    /// When packs were written, where the index says so.
    pub(super) times: HashMap<PackId, String>,
}

impl State {
    /// Reads packs and index. Refused where an index file cannot be read: what it names would look like garbage.
    pub(super) fn read(core: &Core, progress: &dyn Progress) -> Result<State> {
        progress.step("list packs");
        let mut sizes = HashMap::new();
        let listed = core.store.list(Area::Data);
        for object in listed.map_err(VaultError::store("list data"))? {
            let mut id = [0; 32];
            if hex::decode_to_slice(object.name.id(), &mut id).is_ok() {
                sizes.insert(PackId(id), object.size);
            }
        }
        progress.step("read index");
        let mut builder = IndexBuilder::default();
        let mut files = Vec::new();
        let mut marks: HashMap<PackId, Vec<Mark>> = HashMap::new();
        let mut times = HashMap::new();
        let (_, unreadable) = core.read_index(|id, file| {
            for pack in &file.to_delete {
                let mark = Mark {
                    time: pack.time.clone(),
                    file: files.len(),
                };
                marks.entry(pack.id).or_default().push(mark);
            }
            for pack in &file.packs {
                if let Some(time) = &pack.time {
                    times.insert(pack.id, time.clone());
                }
            }
            files.push(FileFacts {
                id,
                blobs: file.packs.iter().map(|p| p.blobs.len()).sum(),
                packs: file.packs.iter().map(|p| p.id).collect(),
                marks: file.to_delete.iter().map(|p| p.id).collect(),
                leases: file.leases.clone(),
            });
            builder.add_file(file);
            Ok(())
        })?;
        if let Some((id, error)) = unreadable.first() {
            return Err(VaultError::DamagedIndex {
                what: format!("index/{id}"),
                why: error.reason(),
            });
        }
        let index = builder.build_with_copies();
        // Written after the packs were listed, and named before the index was read.
        for pack in index.packs() {
            if !sizes.contains_key(pack)
                && let Some(size) = size_of(core, *pack)?
            {
                sizes.insert(*pack, size);
            }
        }
        Ok(State {
            sizes,
            index,
            files,
            marks,
            times,
        })
    }

    /// Packs that are there and in no index, ascending.
    pub(super) fn unindexed(&self) -> Vec<PackId> {
        let known: HashSet<PackId> = self.index.packs().iter().copied().collect();
        let mut packs: Vec<PackId> = self.sizes.keys().copied().collect();
        packs.retain(|pack| !known.contains(pack));
        packs.sort_unstable();
        packs
    }

    /// Size of a pack, by its number in the index; `None` if it is not there.
    pub(super) fn size(&self, number: usize) -> Option<u64> {
        self.sizes.get(&self.index.packs()[number]).copied()
    }

    /// Whether a program that takes no locks has marked something here.
    pub(super) fn marked_by_others(&self) -> bool {
        let mut files = self.files.iter();
        files.any(|file| file.leases.is_none() && !file.marks.is_empty())
    }
}

fn size_of(core: &Core, pack: PackId) -> Result<Option<u64>> {
    match core.store.size(&object_name(Area::Data, &pack.0)?) {
        Ok(size) => Ok(Some(size)),
        Err(StoreError::NotFound(_)) => Ok(None),
        Err(e) => Err(VaultError::store(format!("look for pack {pack}"))(e)),
    }
}

/// The snapshots that were looked through.
#[derive(Default)]
pub(super) struct Seen {
    snapshots: HashSet<SnapshotId>,
    /// One of them was written by a program that takes no locks.
    pub(super) lockless: bool,
}

impl Seen {
    /// Trees of the snapshots that were not seen before. Refused where one cannot be read: what only it needs would
    /// look like garbage.
    pub(super) fn new_roots(&mut self, vault: &Vault) -> Result<Vec<BlobId>> {
        let all = vault.snapshots()?;
        if let Some((id, error)) = all.unreadable.into_iter().next() {
            return Err(match error {
                VaultError::Store { .. } => error,
                error => VaultError::Unsupported(format!(
                    "nothing was pruned: snapshots/{id} cannot be read ({}), and what only it needs would be lost; `lifeboat check` tells more",
                    error.reason()
                )),
            });
        }
        let mut roots: Vec<BlobId> = Vec::new();
        for (id, snapshot) in all.found {
            if !self.snapshots.insert(id) {
                continue;
            }
            self.lockless |= snapshot.program_version.starts_with(RUSTIC);
            let no_tree = || VaultError::damaged(format!("snapshots/{id}"), "it names no tree");
            roots.push(snapshot.tree.ok_or_else(no_tree)?);
        }
        Ok(roots)
    }
}

/// What is used, carried over to an index that was read later.
pub(super) fn carry_over(used: &Bits, before: &Index, now: &Index) -> Result<Bits> {
    let carried = Bits::new(now.len());
    for number in used.iter() {
        let (kind, id, _) = before.at(number);
        match now.position(kind, &id) {
            Some(at) => drop(carried.set(at)),
            None => return Err(used::lost(kind, id)),
        }
    }
    Ok(carried)
}
