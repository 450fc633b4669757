//! Which recovery points and files damage touches.
//!
//! Trees without damage below them are remembered across all recovery points, and within one recovery
//! point no tree is read twice, so that the work is bounded by what differs.

use std::{collections::HashSet, vec};

use super::{Damage, FILES_LISTED, Finding, structure::load_tree};
use crate::{
    blob::BlobKind,
    id::{BlobId, SnapshotId},
    index::Index,
    node::{Node, NodeKind},
    read::MAX_DEPTH,
    repo::Core,
};

/// An open directory.
struct Frame {
    tree: BlobId,
    nodes: vec::IntoIter<Node>,
    path_length: usize,
    dirty: bool,
}

/// Fills in snapshots and files of all findings.
pub(super) fn attribute(
    core: &Core,
    index: &Index,
    roots: &[(SnapshotId, BlobId)],
    damage: &mut Damage,
) {
    let mut clean = HashSet::new();
    for &(snapshot, root) in roots {
        let mut dirty = HashSet::new();
        let mut path = Vec::new();
        let mut frames = Vec::new();
        enter(core, index, root, snapshot, &mut path, &mut frames, damage);
        while let Some(frame) = frames.last_mut() {
            path.truncate(frame.path_length);
            let Some(node) = frame.nodes.next() else {
                let (tree, was_dirty) = (frame.tree, frame.dirty);
                frames.pop();
                if was_dirty {
                    dirty.insert(tree);
                    if let Some(parent) = frames.last_mut() {
                        parent.dirty = true;
                    }
                } else {
                    clean.insert(tree);
                }
                continue;
            };
            path.push(b'/');
            path.extend_from_slice(&node.name);
            match node.kind {
                NodeKind::Dir { subtree } if dirty.contains(&subtree) => frame.dirty = true,
                NodeKind::Dir { subtree } if clean.contains(&subtree) => {}
                NodeKind::Dir { subtree } => {
                    if frames.len() >= MAX_DEPTH
                        || !enter(core, index, subtree, snapshot, &mut path, &mut frames, damage)
                    {
                        // What cannot be read is damage itself.
                        if let Some(frame) = frames.last_mut() {
                            frame.dirty = true;
                        }
                    }
                }
                NodeKind::File { content, .. } => {
                    let numbers = content.iter().filter_map(|id| damage.blobs.get(&(BlobKind::Data, *id)));
                    let mut numbers: Vec<usize> = numbers.copied().collect();
                    if let Some(files) = damage.files.get(&frame.tree) {
                        numbers.extend(files.iter().filter(|(name, _)| *name == node.name).map(|(_, n)| *n));
                    }
                    numbers.sort_unstable();
                    numbers.dedup();
                    frame.dirty |= !numbers.is_empty();
                    for number in numbers {
                        touch(&mut damage.findings[number], snapshot, &path);
                    }
                }
                _ => {}
            }
        }
    }
}

/// Opens a directory; `false` where it cannot be read, which then touches its path.
fn enter(
    core: &Core,
    index: &Index,
    tree: BlobId,
    snapshot: SnapshotId,
    path: &mut Vec<u8>,
    frames: &mut Vec<Frame>,
    damage: &mut Damage,
) -> bool {
    let loaded = match damage.blobs.get(&(BlobKind::Tree, tree)) {
        Some(&number) => {
            let path: &[u8] = if path.is_empty() { b"/" } else { path };
            touch(&mut damage.findings[number], snapshot, path);
            None
        }
        None => load_tree(core, index, tree).ok(),
    };
    let Some(loaded) = loaded else {
        return false;
    };
    let nodes = loaded.nodes.into_iter();
    frames.push(Frame { tree, nodes, path_length: path.len(), dirty: false });
    true
}

fn touch(finding: &mut Finding, snapshot: SnapshotId, path: &[u8]) {
    if finding.snapshots.last() != Some(&snapshot) {
        finding.snapshots.push(snapshot);
    }
    if finding.files.iter().any(|known| known == path) {
        return;
    }
    if finding.files.len() < FILES_LISTED {
        finding.files.push(path.to_vec());
    } else {
        finding.more_files += 1;
    }
}
