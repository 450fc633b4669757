//! Every tree of every snapshot, each once, and every blob that it names.

use std::{
    collections::HashSet,
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use super::Damage;
use crate::{
    blob::BlobKind,
    error::VaultError,
    id::{BlobId, PackId},
    index::Index,
    node::{NodeKind, Tree},
    opened::Core,
    progress::Progress,
    tree,
};

/// What the threads share.
struct Work<'a> {
    open: Vec<BlobId>,
    seen: HashSet<BlobId>,
    /// Threads that have a tree in hand and may bring new ones.
    busy: usize,
    damage: &'a mut Damage,
}

/// Why a tree could not be had.
pub(super) enum TreeError {
    /// It is in no index.
    Missing,
    /// Its blob cannot be read from this pack.
    Unreadable(PackId, VaultError),
    /// Its bytes are what was written, but make no directory.
    Malformed(VaultError),
}

/// Reads a tree.
pub(super) fn load_tree(core: &Core, index: &Index, id: BlobId) -> Result<Tree, TreeError> {
    let kind = BlobKind::Tree;
    let location = index.find(kind, &id).ok_or(TreeError::Missing)?;
    let bytes = core
        .blob_at(kind, id, &location)
        .map_err(|error| TreeError::Unreadable(location.pack, error))?;
    tree::decode(&bytes).map_err(TreeError::Malformed)
}

/// Returns how many trees there are.
pub(super) fn check(
    core: &Core,
    index: &Index,
    roots: HashSet<BlobId>,
    threads: usize,
    damage: &mut Damage,
    progress: &dyn Progress,
) -> u64 {
    let open = roots.iter().copied().collect();
    let work = Mutex::new(Work {
        open,
        seen: roots,
        busy: 0,
        damage,
    });
    let changed = Condvar::new();
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while let Some(id) = take(&work, &changed) {
                    let found = inspect(core, index, id);
                    finish(&work, id, found);
                    changed.notify_all();
                    progress.advance(1, 0);
                }
            });
        }
    });
    work.into_inner()
        .unwrap_or_else(PoisonError::into_inner)
        .seen
        .len() as u64
}

fn lock<'m, 'a>(work: &'m Mutex<Work<'a>>) -> MutexGuard<'m, Work<'a>> {
    work.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The next tree; waits while others may still bring one.
fn take(work: &Mutex<Work<'_>>, changed: &Condvar) -> Option<BlobId> {
    let mut state = lock(work);
    loop {
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

#[derive(Default)]
struct Found {
    subtrees: Vec<BlobId>,
    missing: Vec<BlobId>,
    /// Names and what is wrong with their entries.
    bad_files: Vec<(Vec<u8>, String)>,
}

fn inspect(core: &Core, index: &Index, id: BlobId) -> Result<Found, TreeError> {
    let mut found = Found::default();
    for node in load_tree(core, index, id)?.nodes {
        match node.kind {
            NodeKind::Dir { subtree } => found.subtrees.push(subtree),
            NodeKind::File { size, content } => {
                let mut sum = 0_u64;
                let mut complete = true;
                for blob in content {
                    match index.find(BlobKind::Data, &blob) {
                        Some(location) => sum = sum.saturating_add(location.plain_len()),
                        None => {
                            complete = false;
                            found.missing.push(blob);
                        }
                    }
                }
                if complete && sum != size {
                    let why = format!("its blobs have {sum} bytes, its entry says {size}");
                    found.bad_files.push((node.name, why));
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

fn finish(work: &Mutex<Work<'_>>, id: BlobId, found: Result<Found, TreeError>) {
    let mut state = lock(work);
    state.busy -= 1;
    match found {
        Ok(found) => {
            for subtree in found.subtrees {
                if state.seen.insert(subtree) {
                    state.open.push(subtree);
                }
            }
            for blob in found.missing {
                state.damage.add_missing(BlobKind::Data, blob);
            }
            for (name, why) in found.bad_files {
                let object = format!("file `{}` in tree {id}", name.escape_ascii());
                let number = state
                    .damage
                    .add(object.clone(), format!("{object} is damaged: {why}"));
                state
                    .damage
                    .files
                    .entry(id)
                    .or_default()
                    .push((name, number));
            }
        }
        Err(TreeError::Missing) => state.damage.add_missing(BlobKind::Tree, id),
        Err(TreeError::Unreadable(pack, error)) => {
            state.damage.add_pack(
                pack,
                &format!("tree {id} in it cannot be read ({})", error.reason()),
            );
        }
        Err(TreeError::Malformed(error)) => {
            let object = format!("tree {id}");
            let number = state.damage.add(
                object.clone(),
                format!("{object} is damaged: {}", error.reason()),
            );
            state.damage.blobs.insert((BlobKind::Tree, id), number);
        }
    }
}
