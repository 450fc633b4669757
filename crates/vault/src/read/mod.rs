//! The way of a byte out of the vault.
//!
//! - `blobs`: sealed bytes in a pack to plain bytes, hash checked;
//! - `find`: paths and walks through trees;
//! - `file`: a file's content as a stream that can be read from anywhere.
//!
//! A [`Reader`] sees the index as it was when it was made. Where something is not in it, or its pack is gone, the index
//! is read again if it has changed: a prune moved what a reader without a lock did not protect. What the index still
//! does not name is looked for, once, in the headers of the packs that no index names: an index file that is damaged or missing keeps no data from coming back.
//! A vault that misses nothing pays nothing for it. A reader holds a shared lock where the store can be
//! written, until the last of its clones and [`FileReader`]s is dropped.

mod ahead;
pub(crate) mod blobs;
mod file;
mod find;
mod runs;

use std::{
    collections::BTreeSet,
    sync::{Arc, OnceLock},
    time::Duration,
};

use lifeboat_store::Area;
use parking_lot::RwLock;

pub use file::FileReader;
pub use find::{Descend, MAX_DEPTH, MAX_PATH, VisitLimit, Visits};
pub use runs::Gathered;

use crate::{
    bits::Bits,
    blob::BlobKind,
    error::{ErrorKind, Result, VaultError},
    id::{BlobId, IndexId},
    index::{BlobLocation, Index, LoadedIndex},
    lock::HeldLock,
    node::{Node, NodeKind, Tree},
    opened::Core,
};

/// Where much is missing, the index is not looked at for every bit of it.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// Reads blobs, trees and files. Shared between threads; drops its lock when dropped.
#[derive(Clone)]
pub struct Reader(Arc<Shared>);

struct Shared {
    core: Arc<Core>,
    seen: RwLock<Seen>,
    /// A writer's: what it rests on is noted here, and what the index does not name is not looked for.
    reused: Option<Arc<Bits>>,
    /// What the packs hold that the index does not name; read when something is missing.
    rescued: OnceLock<Index>,
    /// With all copies of a blob; read when one is bad.
    copies: OnceLock<Option<Index>>,
    ahead: ahead::Ahead,
    _lock: Option<HeldLock>,
}

/// What a reader knows of the index.
struct Seen {
    index: Arc<Index>,
    /// Its files.
    files: BTreeSet<IndexId>,
    /// When it was last compared with what is there.
    looked: Duration,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reader({:?})", self.index())
    }
}

impl Reader {
    /// A reader over an index. Without a lock where the store cannot be written.
    pub(crate) fn new(core: Arc<Core>, loaded: LoadedIndex, lock: Option<HeldLock>) -> Reader {
        let index = Arc::new(loaded.index);
        Reader::make(core, index, loaded.files, None, lock)
    }

    /// A reader for a writer, which holds the lock: sees what the index names and nothing else. What it is asked
    /// [`has`](Self::has) and [`blob_len`](Self::blob_len) for is about to be reused: it is noted, and what is
    /// marked for deletion counts as absent.
    pub(crate) fn strict(core: Arc<Core>, index: Arc<Index>, reused: Arc<Bits>) -> Reader {
        Reader::make(core, index, BTreeSet::new(), Some(reused), None)
    }

    fn make(
        core: Arc<Core>,
        index: Arc<Index>,
        files: BTreeSet<IndexId>,
        reused: Option<Arc<Bits>>,
        lock: Option<HeldLock>,
    ) -> Reader {
        let looked = core.env.clock.uptime();
        Reader(Arc::new(Shared {
            core,
            seen: RwLock::new(Seen {
                index,
                files,
                looked,
            }),
            reused,
            rescued: OnceLock::new(),
            copies: OnceLock::new(),
            ahead: ahead::Ahead::default(),
            _lock: lock,
        }))
    }

    fn index(&self) -> Arc<Index> {
        self.0.seen.read().index.clone()
    }

    /// Where a blob lies.
    fn find(&self, kind: BlobKind, id: BlobId) -> Option<BlobLocation> {
        let shared = &*self.0;
        if let Some(found) = self.index().find(kind, &id) {
            return Some(found);
        }
        if shared.reused.is_some() {
            return None;
        }
        if self.look_again()
            && let Some(found) = self.index().find(kind, &id)
        {
            return Some(found);
        }
        let rescued = || shared.core.rescue(&self.index());
        shared.rescued.get_or_init(rescued).find(kind, &id)
    }

    /// Where a blob lies that may be reused; a writer's reader notes that it is.
    fn find_kept(&self, kind: BlobKind, id: BlobId) -> Option<BlobLocation> {
        let Some(reused) = &self.0.reused else {
            return self.find(kind, id);
        };
        let (number, location) = self.index().find_live(kind, &id)?;
        reused.set(number);
        Some(location)
    }

    /// Reads the index again if it is another one now. Whether it is.
    fn look_again(&self) -> bool {
        let core = &self.0.core;
        let mut seen = self.0.seen.write();
        let now = core.env.clock.uptime();
        if now.saturating_sub(seen.looked) < LOOK_AGAIN_AFTER {
            return false;
        }
        seen.looked = now;
        let same = |ids: Vec<[u8; 32]>| ids.into_iter().map(IndexId).eq(seen.files.iter().copied());
        if core.list(Area::Index).is_ok_and(same) {
            return false;
        }
        match core.load_index() {
            Ok(loaded) => {
                seen.index = Arc::new(loaded.index);
                seen.files = loaded.files;
                true
            }
            Err(error) => {
                tracing::warn!(%error, "read the index again");
                false
            }
        }
    }

    /// Whether the vault has a blob.
    pub fn has(&self, kind: BlobKind, id: BlobId) -> bool {
        self.find_kept(kind, id).is_some()
    }

    /// Plain length of a blob.
    pub fn blob_len(&self, kind: BlobKind, id: BlobId) -> Option<u64> {
        self.find_kept(kind, id)
            .map(|location| location.plain_len())
    }

    /// A blob: read, opened, decompressed, its hash checked. Nothing is cached.
    pub fn blob(&self, kind: BlobKind, id: BlobId) -> Result<Vec<u8>> {
        self.read(kind, id, |core, at| core.blob_at(kind, id, at))
    }

    /// A directory.
    pub fn tree(&self, id: BlobId) -> Result<Tree> {
        self.read(BlobKind::Tree, id, |core, at| core.tree_at(id, at))
    }

    /// Reads a blob from where it lies, or from where it lies now, or from another copy.
    fn read<T>(
        &self,
        kind: BlobKind,
        id: BlobId,
        read_at: impl Fn(&Core, &BlobLocation) -> Result<T>,
    ) -> Result<T> {
        let missing = || VaultError::MissingBlob {
            kind: kind.as_str(),
            id,
        };
        let core = &self.0.core;
        let location = self.find(kind, id).ok_or_else(missing)?;
        let read = match read_at(core, &location) {
            Err(VaultError::PackGone(_)) if self.0.reused.is_none() => {
                // Another thread may have read the index again already.
                self.look_again();
                let location = self.find(kind, id).ok_or_else(missing)?;
                read_at(core, &location)
            }
            other => other,
        };
        match read {
            Err(error) if error.kind() == ErrorKind::Damaged => {
                self.other_copy(kind, id, read_at).ok_or(error)
            }
            other => other,
        }
    }

    /// A blob from another pack, where more than one have it and one of them is bad.
    fn other_copy<T>(
        &self,
        kind: BlobKind,
        id: BlobId,
        read_at: impl Fn(&Core, &BlobLocation) -> Result<T>,
    ) -> Option<T> {
        let core = &self.0.core;
        let copies = self.0.copies.get_or_init(|| core.load_copies().ok());
        let mut copies = copies.as_ref()?.copies(kind, &id);
        copies.find_map(|(_, at)| read_at(core, &at).ok())
    }

    /// A file's content. Fails where a blob is missing, and where the blobs do not add up to the
    /// file's size.
    pub fn file(&self, node: &Node) -> Result<FileReader> {
        match &node.kind {
            NodeKind::File { size, content } => {
                FileReader::new(self.clone(), &node.name, *size, content.clone())
            }
            _ => Err(VaultError::Invalid(
                "only a regular file has content".to_owned(),
            )),
        }
    }
}
