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
    opened::Core,
    read::MAX_DEPTH,
};

/// An open directory.
struct Frame {
    tree: BlobId,
    nodes: vec::IntoIter<Node>,
    path_length: usize,
    dirty: bool,
}

/// One recovery point being walked.
struct Walk<'a> {
    core: &'a Core,
    index: &'a Index,
    damage: &'a mut Damage,
    snapshot: SnapshotId,
    frames: Vec<Frame>,
    path: Vec<u8>,
    /// Trees of this recovery point with damage below them.
    dirty: HashSet<BlobId>,
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
        let (frames, path, dirty) = (Vec::new(), Vec::new(), HashSet::new());
        Walk {
            core,
            index,
            damage,
            snapshot,
            frames,
            path,
            dirty,
        }
        .run(root, &mut clean);
    }
}

impl Walk<'_> {
    fn run(&mut self, root: BlobId, clean: &mut HashSet<BlobId>) {
        self.enter(root);
        while let Some(frame) = self.frames.last_mut() {
            self.path.truncate(frame.path_length);
            let Some(node) = frame.nodes.next() else {
                let (tree, dirty) = (frame.tree, frame.dirty);
                self.frames.pop();
                if dirty {
                    self.dirty.insert(tree);
                    self.mark_dirty();
                } else {
                    clean.insert(tree);
                }
                continue;
            };
            self.path.push(b'/');
            self.path.extend_from_slice(&node.name);
            match &node.kind {
                NodeKind::Dir { subtree } if clean.contains(subtree) => {}
                NodeKind::Dir { subtree } => {
                    let opened = !self.dirty.contains(subtree) && self.enter(*subtree);
                    if !opened {
                        self.mark_dirty();
                    }
                }
                NodeKind::File { content, .. } => {
                    self.file(frame_tree(&self.frames), &node.name, content)
                }
                _ => {}
            }
        }
    }

    fn mark_dirty(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            frame.dirty = true;
        }
    }

    /// Opens a directory; `false` where it cannot be read, which then touches its path.
    fn enter(&mut self, tree: BlobId) -> bool {
        if let Some(&number) = self.damage.blobs.get(&(BlobKind::Tree, tree)) {
            let path = if self.path.is_empty() {
                b"/"
            } else {
                self.path.as_slice()
            };
            touch(&mut self.damage.findings[number], self.snapshot, path);
            return false;
        }
        if self.frames.len() >= MAX_DEPTH {
            return false;
        }
        let Ok(loaded) = load_tree(self.core, self.index, tree) else {
            return false;
        };
        let (nodes, path_length) = (loaded.nodes.into_iter(), self.path.len());
        self.frames.push(Frame {
            tree,
            nodes,
            path_length,
            dirty: false,
        });
        true
    }

    fn file(&mut self, tree: Option<BlobId>, name: &[u8], content: &[BlobId]) {
        let lost = content
            .iter()
            .filter_map(|id| self.damage.blobs.get(&(BlobKind::Data, *id)));
        let mut numbers: Vec<usize> = lost.copied().collect();
        if let Some(files) = tree.and_then(|tree| self.damage.files.get(&tree)) {
            numbers.extend(
                files
                    .iter()
                    .filter(|(bad, _)| bad == name)
                    .map(|(_, number)| *number),
            );
        }
        numbers.sort_unstable();
        numbers.dedup();
        if !numbers.is_empty() {
            self.mark_dirty();
        }
        for number in numbers {
            touch(&mut self.damage.findings[number], self.snapshot, &self.path);
        }
    }
}

fn frame_tree(frames: &[Frame]) -> Option<BlobId> {
    frames.last().map(|frame| frame.tree)
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
