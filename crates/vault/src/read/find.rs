//! Paths and walks through trees.
//!
//! Trees name each other by hash, so they have no cycles; but what a hostile vault holds may be very
//! deep, and one tree may stand in many places: twenty trees that hold the next one twice are a million
//! directories. Depth, path length and [`Visits`] are bounded, and nothing here recurses.

use std::collections::HashSet;

use parking_lot::Mutex;

use super::Reader;
use crate::{
    error::{Result, VaultError},
    id::BlobId,
    node::{Node, NodeKind, Tree},
};

/// Directories within each other that a walk follows.
pub const MAX_DEPTH: usize = 4096;

/// Bytes of a path that a walk follows.
pub const MAX_PATH: usize = 1 << 20;

/// How often a walk or a restore may visit what it has visited before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VisitLimit {
    /// Entries that are visited before anybody counts.
    pub free: u64,
    /// Entries of directories that were visited before. Where each file has its inode number, as in what restic
    /// and we write, no two directories are alike but empty ones.
    pub repeated: u64,
}

impl Default for VisitLimit {
    fn default() -> Self {
        Self {
            free: 1_000_000,
            repeated: 1_000_000,
        }
    }
}

/// Keeps a walk or a restore from visiting the same directories without end. Memory: 16 bytes for each
/// directory, once there are many.
pub struct Visits(Mutex<Budget>);

struct Budget {
    free: u64,
    repeated: u64,
    /// Beginnings of ids.
    seen: HashSet<u64>,
}

impl Visits {
    /// Nothing was visited yet.
    pub fn new(limit: VisitLimit) -> Self {
        Self(Mutex::new(Budget {
            free: limit.free,
            repeated: limit.repeated,
            seen: HashSet::new(),
        }))
    }

    /// A directory is entered. An error once the same ones were entered too often.
    pub fn enter(&self, id: BlobId, tree: &Tree) -> Result<()> {
        let entries = tree.nodes.len() as u64;
        let mut budget = self.0.lock();
        if let Some(left) = budget.free.checked_sub(entries) {
            budget.free = left;
            return Ok(());
        }
        budget.free = 0;
        let beginning = id.0.first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
        if budget.seen.insert(beginning) {
            return Ok(());
        }
        budget.repeated = budget.repeated.checked_sub(entries).ok_or_else(|| {
            let why = "the same directories stand in each other millions of times, as no backup makes them; a part of it may be had by its path";
            VaultError::damaged(format!("tree {id}"), why)
        })?;
        Ok(())
    }
}

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
        let visits = Visits::new(VisitLimit::default());
        let enter = |id| {
            let tree = self.tree(id)?;
            visits.enter(id, &tree)?;
            Ok::<_, VaultError>(tree.nodes.into_iter())
        };
        let mut open = vec![(enter(root)?, 0)];
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
                        open.push((enter(subtree)?, path.len()));
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
