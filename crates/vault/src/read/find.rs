//! Paths and walks through trees.
//!
//! Trees name each other by hash, so they have no cycles; but what a hostile vault holds may be very
//! deep, and one tree may stand in many places. Depth and path length are bounded, and nothing here
//! recurses.

use super::Reader;
use crate::{
    error::{Result, VaultError},
    id::BlobId,
    node::{Node, NodeKind},
};

/// Directories within each other that a walk follows.
pub const MAX_DEPTH: usize = 4096;

/// Bytes of a path that a walk follows.
pub const MAX_PATH: usize = 1 << 20;

/// What a walk does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Descend {
    /// Into this directory (as `Skip` for all else).
    Into,
    /// Not into this directory.
    Skip,
    /// No further at all.
    Stop,
}

impl Reader {
    /// The node at a path below the tree `root`. `None` where there is none; symbolic links are not
    /// followed. The empty path names the root, which has no node.
    pub fn lookup(&self, root: BlobId, path: &[&[u8]]) -> Result<Option<Node>> {
        let Some((last, folders)) = path.split_last() else {
            return Ok(None);
        };
        let mut tree = root;
        for folder in folders {
            match self.tree(tree)?.get(folder).map(|node| &node.kind) {
                Some(NodeKind::Dir { subtree }) => tree = *subtree,
                _ => return Ok(None),
            }
        }
        Ok(self.tree(tree)?.get(last).cloned())
    }

    /// All nodes below the tree `root`, each directory before what is in it, names ascending as bytes.
    /// Paths are relative to `root`, with `/` between names.
    pub fn walk(
        &self,
        root: BlobId,
        f: &mut dyn FnMut(&[u8], &Node) -> Result<Descend>,
    ) -> Result<()> {
        let mut path = Vec::new();
        // Of each open directory: what is left of it, and how long its own path is.
        let mut open = vec![(self.tree(root)?.nodes.into_iter(), 0)];
        while let Some((nodes, length)) = open.last_mut() {
            let Some(node) = nodes.next() else {
                open.pop();
                continue;
            };
            path.truncate(*length);
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend_from_slice(&node.name);
            match f(&path, &node)? {
                Descend::Stop => return Ok(()),
                Descend::Skip => {}
                Descend::Into => {
                    if let NodeKind::Dir { subtree } = node.kind {
                        if open.len() >= MAX_DEPTH || path.len() > MAX_PATH {
                            return Err(too_deep(root));
                        }
                        open.push((self.tree(subtree)?.nodes.into_iter(), path.len()));
                    }
                }
            }
        }
        Ok(())
    }
}

fn too_deep(root: BlobId) -> VaultError {
    let why = format!("more than {MAX_DEPTH} directories lie within each other");
    VaultError::damaged(format!("tree {root}"), why)
}
