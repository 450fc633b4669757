//! The way of a byte out of the vault.
//!
//! - `blobs`: sealed bytes in a pack to plain bytes, hash checked;
//! - `find`: paths and walks through trees;
//! - `file`: a file's content as a stream that can be read from anywhere.
//!
//! A [`Reader`] sees the index as it was when it was made. What that does not name is looked for, once, in the
//! headers of the packs that no index names: an index file that is damaged or missing keeps no data from coming back.
//! A vault that misses nothing pays nothing for it. A reader holds a shared lock where the store can be
//! written, until the last of its clones and [`FileReader`]s is dropped.

pub(crate) mod blobs;
mod file;
mod find;

use std::sync::{Arc, OnceLock};

pub use file::FileReader;
pub use find::{Descend, MAX_DEPTH, MAX_PATH};

use crate::{
    blob::BlobKind,
    error::{Result, VaultError},
    id::BlobId,
    index::{BlobLocation, Index},
    lock::HeldLock,
    node::{Node, NodeKind, Tree},
    opened::Core,
    tree,
};

/// Reads blobs, trees and files. Shared between threads; drops its lock when dropped.
#[derive(Clone)]
pub struct Reader(Arc<Shared>);

struct Shared {
    core: Arc<Core>,
    index: Arc<Index>,
    /// Whether what the index does not name is looked for in the packs.
    rescues: bool,
    /// What the packs hold that the index does not name; read when something is missing.
    rescued: OnceLock<Index>,
    _lock: Option<HeldLock>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reader({:?})", self.0.index)
    }
}

impl Reader {
    /// A reader over an index. Without a lock where the store cannot be written.
    pub(crate) fn new(core: Arc<Core>, index: Arc<Index>, lock: Option<HeldLock>) -> Reader {
        Reader(Arc::new(Shared {
            core,
            index,
            rescues: true,
            rescued: OnceLock::new(),
            _lock: lock,
        }))
    }

    /// A reader for a writer, which holds the lock: sees what the index names and nothing else.
    pub(crate) fn strict(core: Arc<Core>, index: Arc<Index>) -> Reader {
        Reader(Arc::new(Shared {
            core,
            index,
            rescues: false,
            rescued: OnceLock::new(),
            _lock: None,
        }))
    }

    /// Where a blob lies.
    fn find(&self, kind: BlobKind, id: BlobId) -> Option<BlobLocation> {
        let shared = &*self.0;
        let rescue = || {
            let rescued = || shared.core.rescue(&shared.index);
            shared.rescues.then(|| shared.rescued.get_or_init(rescued))
        };
        shared
            .index
            .find(kind, &id)
            .or_else(|| rescue()?.find(kind, &id))
    }

    /// Whether the vault has a blob.
    pub fn has(&self, kind: BlobKind, id: BlobId) -> bool {
        self.find(kind, id).is_some()
    }

    /// Plain length of a blob.
    pub fn blob_len(&self, kind: BlobKind, id: BlobId) -> Option<u64> {
        self.find(kind, id).map(|location| location.plain_len())
    }

    /// A blob: read, opened, decompressed, its hash checked. Nothing is cached.
    pub fn blob(&self, kind: BlobKind, id: BlobId) -> Result<Vec<u8>> {
        let location = self.find(kind, id).ok_or(VaultError::MissingBlob {
            kind: kind.as_str(),
            id,
        })?;
        self.0.core.blob_at(kind, id, &location)
    }

    /// A directory.
    pub fn tree(&self, id: BlobId) -> Result<Tree> {
        tree::decode(&self.blob(BlobKind::Tree, id)?).map_err(|error| match error {
            VaultError::Damaged { why, .. } => VaultError::damaged(format!("tree {id}"), why),
            other => other,
        })
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
