//! The way of a byte out of the vault.
//!
//! - `blobs`: sealed bytes in a pack to plain bytes, hash checked;
//! - `find`: paths and walks through trees;
//! - `file`: a file's content as a stream that can be read from anywhere.
//!
//! A [`Reader`] sees the index as it was when it was made. It holds a shared lock where the store can be
//! written, until the last of its clones and [`FileReader`]s is dropped.

pub(crate) mod blobs;
mod file;
mod find;

use std::sync::Arc;

pub use file::FileReader;
pub use find::{Descend, MAX_DEPTH, MAX_PATH};

use crate::{
    blob::BlobKind,
    error::{Result, VaultError},
    id::BlobId,
    index::Index,
    lock::HeldLock,
    node::{Node, NodeKind, Tree},
    repo::Core,
    tree,
};

/// Reads blobs, trees and files. Shared between threads; drops its lock when dropped.
#[derive(Clone)]
pub struct Reader(Arc<Shared>);

struct Shared {
    core: Arc<Core>,
    index: Arc<Index>,
    _lock: Option<HeldLock>,
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reader({:?})", self.0.index)
    }
}

impl Reader {
    /// A reader over an index. Without a lock where the store cannot be written, or where the
    /// owner (a writer) holds one.
    pub(crate) fn new(core: Arc<Core>, index: Arc<Index>, lock: Option<HeldLock>) -> Reader {
        Reader(Arc::new(Shared {
            core,
            index,
            _lock: lock,
        }))
    }

    /// Whether the index knows a blob.
    pub fn has(&self, kind: BlobKind, id: BlobId) -> bool {
        self.0.index.find(kind, &id).is_some()
    }

    /// Plain length of a blob.
    pub fn blob_len(&self, kind: BlobKind, id: BlobId) -> Option<u64> {
        self.0
            .index
            .find(kind, &id)
            .map(|location| location.plain_len())
    }

    /// A blob: read, opened, decompressed, its hash checked. Nothing is cached.
    pub fn blob(&self, kind: BlobKind, id: BlobId) -> Result<Vec<u8>> {
        let location = self
            .0
            .index
            .find(kind, &id)
            .ok_or(VaultError::MissingBlob {
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

    /// A file's content. Fails where a blob is in no index, and where the blobs do not add up to the
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
