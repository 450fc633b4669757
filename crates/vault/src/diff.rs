//! What differs between two trees: paths, and what it takes in blobs.
//!
//! Subtrees that are equal are not compared, for equal trees have one id. What is told, and in which order, is what
//! `restic diff` tells. Nothing recurses: a hostile vault may hold trees as deep as it likes.

use std::{cmp::Ordering, collections::HashSet, vec};

use crate::{
    blob::BlobKind,
    error::{Result, VaultError},
    id::BlobId,
    node::{Node, NodeKind},
    read::{MAX_DEPTH, MAX_PATH, Reader},
};

/// What happened to one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is in the second tree alone.
    Added,
    /// It is in the first tree alone.
    Removed,
    /// It is in both, and differs.
    Changed(Changed),
}

/// How a path that is in both trees differs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Changed {
    /// It is of another kind: a file became a directory.
    pub kind: bool,
    /// It is a file with other content.
    pub content: bool,
    /// The content differs and nothing else does, not even a time: perhaps the medium lost it.
    pub only_content: bool,
    /// Mode, owner, a time or the like differs, where the content is the same. Looked at only on demand.
    pub metadata: bool,
}

impl Change {
    /// restic's letters: `+`, `-`, `T`, `M`, `M?`, `U`.
    pub fn letters(self) -> &'static str {
        match self {
            Change::Added => "+",
            Change::Removed => "-",
            Change::Changed(c) => match (c.kind, c.content, c.only_content, c.metadata) {
                (true, _, _, true) => "TU",
                (true, ..) => "T",
                (_, true, true, _) => "M?",
                (_, true, ..) => "M",
                _ => "U",
            },
        }
    }
}

/// Figures of one side.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiffSide {
    /// Files that only this side has.
    pub files: u64,
    /// Directories, likewise.
    pub dirs: u64,
    /// Links, devices and the like.
    pub others: u64,
    /// Data blobs that only this side needs.
    pub data_blobs: u64,
    /// Tree blobs, likewise.
    pub tree_blobs: u64,
    /// Plain bytes of these blobs.
    pub bytes: u64,
}

/// Figures of a comparison.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiffStats {
    /// Files with other content.
    pub changed_files: u64,
    /// The first tree's.
    pub removed: DiffSide,
    /// The second tree's.
    pub added: DiffSide,
}

/// Two directories being compared, or one being listed.
struct Frame {
    before: vec::IntoIter<Node>,
    after: vec::IntoIter<Node>,
    path_length: usize,
}

struct Comparison<'a> {
    reader: &'a Reader,
    metadata: bool,
    stats: DiffStats,
    before: HashSet<(BlobKind, BlobId)>,
    after: HashSet<(BlobKind, BlobId)>,
    common: HashSet<(BlobKind, BlobId)>,
    path: Vec<u8>,
    frames: Vec<Frame>,
}

/// Compares two trees and calls `f` for each path that differs; directories are told with a `/` at their end. With
/// `metadata`, paths of which only mode, owner, times and the like differ are told as well.
pub fn diff(
    reader: &Reader,
    before: BlobId,
    after: BlobId,
    metadata: bool,
    f: &mut dyn FnMut(&[u8], Change) -> Result<()>,
) -> Result<DiffStats> {
    let mut comparison = Comparison {
        reader,
        metadata,
        stats: DiffStats::default(),
        before: HashSet::from([(BlobKind::Tree, before)]),
        after: HashSet::from([(BlobKind::Tree, after)]),
        common: HashSet::new(),
        path: Vec::new(),
        frames: Vec::new(),
    };
    comparison.enter(Some(before), Some(after))?;
    comparison.run(f)?;
    comparison.finish()
}

impl Comparison<'_> {
    fn enter(&mut self, before: Option<BlobId>, after: Option<BlobId>) -> Result<()> {
        if self.frames.len() >= MAX_DEPTH || self.path.len() > MAX_PATH {
            let why = format!("more than {MAX_DEPTH} directories lie within each other");
            return Err(VaultError::damaged("a tree", why));
        }
        let nodes = |tree: Option<BlobId>| match tree {
            Some(id) => Ok::<_, VaultError>(self.reader.tree(id)?.nodes.into_iter()),
            None => Ok(Vec::new().into_iter()),
        };
        let (before, after) = (nodes(before)?, nodes(after)?);
        self.frames.push(Frame {
            before,
            after,
            path_length: self.path.len(),
        });
        Ok(())
    }

    fn run(&mut self, f: &mut dyn FnMut(&[u8], Change) -> Result<()>) -> Result<()> {
        while let Some(frame) = self.frames.last_mut() {
            self.path.truncate(frame.path_length);
            let order = match (
                frame.before.as_slice().first(),
                frame.after.as_slice().first(),
            ) {
                (None, None) => {
                    self.frames.pop();
                    continue;
                }
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(before), Some(after)) => before.name.cmp(&after.name),
            };
            let before = (order != Ordering::Greater)
                .then(|| frame.before.next())
                .flatten();
            let after = (order != Ordering::Less)
                .then(|| frame.after.next())
                .flatten();
            if let Some(node) = before.as_ref().or(after.as_ref()) {
                self.path.push(b'/');
                self.path.extend_from_slice(&node.name);
            }
            match (before, after) {
                (Some(before), Some(after)) => self.both(&before, &after, f)?,
                (Some(node), None) => self.one(&node, Change::Removed, f)?,
                (None, Some(node)) => self.one(&node, Change::Added, f)?,
                (None, None) => {}
            }
        }
        Ok(())
    }

    fn tell(
        &mut self,
        dir: bool,
        change: Change,
        f: &mut dyn FnMut(&[u8], Change) -> Result<()>,
    ) -> Result<()> {
        let length = self.path.len();
        if dir {
            self.path.push(b'/');
        }
        let told = f(&self.path, change);
        self.path.truncate(length);
        told
    }

    fn one(
        &mut self,
        node: &Node,
        change: Change,
        f: &mut dyn FnMut(&[u8], Change) -> Result<()>,
    ) -> Result<()> {
        let removed = change == Change::Removed;
        let (side, blobs) = match removed {
            true => (&mut self.stats.removed, &mut self.before),
            false => (&mut self.stats.added, &mut self.after),
        };
        match &node.kind {
            NodeKind::File { .. } => side.files += 1,
            NodeKind::Dir { .. } => side.dirs += 1,
            _ => side.others += 1,
        }
        add_blobs(blobs, node);
        let subtree = subtree(node);
        self.tell(subtree.is_some(), change, f)?;
        match (subtree, removed) {
            (Some(tree), true) => self.enter(Some(tree), None),
            (Some(tree), false) => self.enter(None, Some(tree)),
            (None, _) => Ok(()),
        }
    }

    fn both(
        &mut self,
        before: &Node,
        after: &Node,
        f: &mut dyn FnMut(&[u8], Change) -> Result<()>,
    ) -> Result<()> {
        add_blobs(&mut self.before, before);
        add_blobs(&mut self.after, after);
        let mut changed = Changed {
            kind: std::mem::discriminant(&before.kind) != std::mem::discriminant(&after.kind),
            ..Changed::default()
        };
        match (&before.kind, &after.kind) {
            (NodeKind::File { content: a, .. }, NodeKind::File { content: b, .. }) if a != b => {
                changed.content = true;
                // A size that differs is told by the content.
                changed.only_content = before.meta == after.meta && size(before) == size(after);
                self.stats.changed_files += 1;
            }
            _ => changed.metadata = self.metadata && before != after,
        }
        let subtrees = (subtree(before), subtree(after));
        if changed != Changed::default() {
            self.tell(subtrees.1.is_some(), Change::Changed(changed), f)?;
        }
        match subtrees {
            (Some(a), Some(b)) if a == b => self.collect(a),
            (Some(a), Some(b)) => self.enter(Some(a), Some(b)),
            _ => Ok(()),
        }
    }

    /// Blobs below a tree that both sides have.
    fn collect(&mut self, root: BlobId) -> Result<()> {
        let mut open = vec![root];
        self.common.insert((BlobKind::Tree, root));
        while let Some(tree) = open.pop() {
            for node in self.reader.tree(tree)?.nodes {
                match node.kind {
                    NodeKind::Dir { subtree } => {
                        if self.common.insert((BlobKind::Tree, subtree)) {
                            open.push(subtree);
                        }
                    }
                    _ => add_blobs(&mut self.common, &node),
                }
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<DiffStats> {
        for (side, mine, other) in [
            (&mut self.stats.removed, &self.before, &self.after),
            (&mut self.stats.added, &self.after, &self.before),
        ] {
            for blob in mine.difference(other) {
                if self.common.contains(blob) {
                    continue;
                }
                let (kind, id) = *blob;
                match kind {
                    BlobKind::Data => side.data_blobs += 1,
                    BlobKind::Tree => side.tree_blobs += 1,
                }
                side.bytes += self
                    .reader
                    .blob_len(kind, id)
                    .ok_or(VaultError::MissingBlob {
                        kind: kind.as_str(),
                        id,
                    })?;
            }
        }
        Ok(self.stats)
    }
}

fn subtree(node: &Node) -> Option<BlobId> {
    match node.kind {
        NodeKind::Dir { subtree } => Some(subtree),
        _ => None,
    }
}

fn size(node: &Node) -> Option<u64> {
    match node.kind {
        NodeKind::File { size, .. } => Some(size),
        _ => None,
    }
}

fn add_blobs(blobs: &mut HashSet<(BlobKind, BlobId)>, node: &Node) {
    match &node.kind {
        NodeKind::File { content, .. } => {
            blobs.extend(content.iter().map(|id| (BlobKind::Data, *id)))
        }
        NodeKind::Dir { subtree } => {
            blobs.insert((BlobKind::Tree, *subtree));
        }
        _ => {}
    }
}
