//! Which blobs a recovery point needs, as bits over the index: compact enough for every point of a vault at once.
//!
//! Each tree is read once, however many points it is in.

use std::collections::HashMap;

use crate::{
    bits::Bits,
    blob::BlobKind,
    error::{Result, VaultError},
    id::BlobId,
    index::Index,
    node::{NodeKind, Tree},
    opened::Core,
};

/// What one tree names: itself and its files' blobs as numbers in the index, and its directories.
struct Named {
    blobs: Vec<u32>,
    directories: Vec<BlobId>,
}

/// Trees that were read so far.
pub(crate) struct Closure<'a> {
    core: &'a Core,
    index: &'a Index,
    trees: HashMap<BlobId, Named>,
}

impl<'a> Closure<'a> {
    pub(crate) fn new(core: &'a Core, index: &'a Index) -> Self {
        Self {
            core,
            index,
            trees: HashMap::new(),
        }
    }

    /// Reads what is not known yet at and below a tree, and shows each tree to `see`, in no order. Fails where a blob
    /// is in no index.
    pub(crate) fn read(
        &mut self,
        root: BlobId,
        see: &mut dyn FnMut(BlobId, &Tree) -> Result<()>,
    ) -> Result<()> {
        let mut open = vec![root];
        while let Some(id) = open.pop() {
            if self.trees.contains_key(&id) {
                continue;
            }
            let kind = BlobKind::Tree;
            let location = self.index.find(kind, &id).ok_or(missing(kind, id))?;
            let tree = self.core.tree_at(id, &location)?;
            let mut named = Named {
                blobs: vec![self.number(kind, id)?],
                directories: Vec::new(),
            };
            for node in &tree.nodes {
                match &node.kind {
                    NodeKind::File { content, .. } => {
                        for blob in content {
                            named.blobs.push(self.number(BlobKind::Data, *blob)?);
                        }
                    }
                    NodeKind::Dir { subtree } => named.directories.push(*subtree),
                    _ => {}
                }
            }
            named.blobs.sort_unstable();
            named.blobs.dedup();
            see(id, &tree)?;
            open.extend(&named.directories);
            self.trees.insert(id, named);
        }
        Ok(())
    }

    /// Directories in a tree that was read, as often as they stand in it.
    pub(crate) fn directories(&self, tree: BlobId) -> &[BlobId] {
        self.trees
            .get(&tree)
            .map_or(&[], |named| &named.directories)
    }

    /// Marks every blob at and below a tree that was read.
    pub(crate) fn mark(&self, root: BlobId, bits: &Bits) -> Result<()> {
        let mut open = vec![root];
        while let Some(id) = open.pop() {
            // What was marked once was marked with all below it.
            if !bits.set(self.number(BlobKind::Tree, id)? as usize) {
                continue;
            }
            if let Some(named) = self.trees.get(&id) {
                for number in &named.blobs {
                    bits.set(*number as usize);
                }
                open.extend(&named.directories);
            }
        }
        Ok(())
    }

    fn number(&self, kind: BlobKind, id: BlobId) -> Result<u32> {
        let number = self.index.position(kind, &id);
        number
            .and_then(|n| u32::try_from(n).ok())
            .ok_or(missing(kind, id))
    }
}

fn missing(kind: BlobKind, id: BlobId) -> VaultError {
    VaultError::MissingBlob {
        kind: kind.as_str(),
        id,
    }
}
