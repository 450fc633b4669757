//! Which blobs the recovery points need: every tree of every snapshot, each once.
//!
//! Memory: a bit for each blob, and what is open of the walk. A tree or blob that is not there ends it with an error:
//! nothing is deleted from a damaged vault.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use crate::{
    bits::Bits,
    blob::BlobKind,
    error::{Result, VaultError},
    id::BlobId,
    index::Index,
    node::{NodeKind, Tree},
    opened::Core,
    progress::Progress,
};

struct Work {
    open: Vec<BlobId>,
    /// Threads that have a tree in hand and may bring new ones.
    busy: usize,
    failed: Option<VaultError>,
}

/// Adds to `used` the trees `roots` and all that they need, by the number of each blob's first entry. What is in
/// `used` already is not looked at again.
pub(super) fn add(
    core: &Core,
    index: &Index,
    roots: Vec<BlobId>,
    used: &Bits,
    threads: usize,
    progress: &dyn Progress,
) -> Result<()> {
    let mut open = Vec::new();
    for root in roots {
        let at = index.position(BlobKind::Tree, &root);
        let at = at.ok_or_else(|| lost(BlobKind::Tree, root))?;
        if used.set(at) {
            open.push(root);
        }
    }
    progress.expect(open.len() as u64, 0);
    let work = Mutex::new(Work {
        open,
        busy: 0,
        failed: None,
    });
    let changed = Condvar::new();
    let worker = || {
        while let Some(id) = take(&work, &changed) {
            let found = inspect(core, index, id, used);
            progress.advance(1, 0);
            let mut state = lock(&work);
            state.busy -= 1;
            match found {
                Ok(subtrees) => {
                    progress.expect(subtrees.len() as u64, 0);
                    state.open.extend(subtrees);
                }
                Err(error) => {
                    state.open.clear();
                    state.failed.get_or_insert(error);
                }
            }
            drop(state);
            changed.notify_all();
        }
    };
    match threads {
        0 | 1 => worker(),
        threads => std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(worker);
            }
        }),
    }
    let failed = lock(&work).failed.take();
    failed.map_or(Ok(()), Err)
}

/// A blob that a recovery point needs is not there.
pub(super) fn lost(kind: BlobKind, id: BlobId) -> VaultError {
    VaultError::MissingBlob {
        kind: kind.as_str(),
        id,
    }
}

fn lock(work: &Mutex<Work>) -> MutexGuard<'_, Work> {
    work.lock().unwrap_or_else(PoisonError::into_inner)
}

fn take(work: &Mutex<Work>, changed: &Condvar) -> Option<BlobId> {
    let mut state = lock(work);
    loop {
        if state.failed.is_some() {
            return None;
        }
        if let Some(id) = state.open.pop() {
            state.busy += 1;
            return Some(id);
        }
        if state.busy == 0 {
            return None;
        }
        state = changed.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
}

/// Marks what a tree needs; returns the subtrees that were not known.
fn inspect(core: &Core, index: &Index, id: BlobId, used: &Bits) -> Result<Vec<BlobId>> {
    let mut subtrees = Vec::new();
    for node in load(core, index, id)?.nodes {
        match node.kind {
            NodeKind::Dir { subtree } => {
                let at = index.position(BlobKind::Tree, &subtree);
                let at = at.ok_or_else(|| lost(BlobKind::Tree, subtree))?;
                if used.set(at) {
                    subtrees.push(subtree);
                }
            }
            NodeKind::File { content, .. } => {
                for blob in content {
                    let at = index.position(BlobKind::Data, &blob);
                    used.set(at.ok_or_else(|| lost(BlobKind::Data, blob))?);
                }
            }
            _ => {}
        }
    }
    Ok(subtrees)
}

/// A tree, from whichever copy can be read.
fn load(core: &Core, index: &Index, id: BlobId) -> Result<Tree> {
    let mut failed = lost(BlobKind::Tree, id);
    for (_, location) in index.copies(BlobKind::Tree, &id) {
        match core.tree_at(id, &location) {
            Ok(tree) => return Ok(tree),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}
