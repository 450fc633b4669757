//! Numbers of files: made of where a file stands, so that they are the same at every look and in every mount of
//! the same points. Names of one file (hard links) have one number.
//!
//! What the kernel remembers is remembered here, and forgotten with it.

use std::{collections::HashMap, sync::Arc};

use lifeboat_vault::{Node, NodeKind, Tree};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::layout::{Folder, Item, MountedPoint};

/// The root's number.
pub(crate) const ROOT: u64 = 1;

/// What a number stands for.
#[derive(Debug, Clone)]
pub(crate) enum Inode {
    Folder(Arc<Folder>),
    Link(Vec<u8>),
    Point(Arc<MountedPoint>),
    /// An entry of a directory in the vault, and the number of the point's root.
    Node(Arc<Tree>, usize, u64),
}

impl Inode {
    /// The entry in the vault, if it is one.
    pub(crate) fn node(&self) -> Option<&Node> {
        match self {
            Inode::Node(tree, index, _) => tree.nodes.get(*index),
            _ => None,
        }
    }
}

/// The number of an item of the layout.
pub(crate) fn of_item(parent: u64, name: &[u8]) -> u64 {
    number(parent, b"item", &[name])
}

/// The number of an entry of a directory.
pub(crate) fn of_node(parent: u64, root: u64, node: &Node) -> u64 {
    let (device, inode) = (node.meta.device_id, node.meta.inode);
    if node.meta.links < 2 {
        return number(parent, b"name", &[&node.name]);
    }
    let same = [&device.to_le_bytes()[..], &inode.to_le_bytes()];
    // Two files that say the same number without being the same are two.
    match &node.kind {
        NodeKind::Dir { .. } => number(parent, b"name", &[&node.name]),
        NodeKind::File { size, content } => {
            let ends = [content.first(), content.last()].map(|id| id.map_or([0; 32], |id| id.0));
            let length = content.len() as u64;
            let size = size.to_le_bytes();
            let rest = [&size[..], &length.to_le_bytes(), &ends[0], &ends[1]];
            number(root, b"file", &[&same[..], &rest].concat())
        }
        NodeKind::Symlink { target } => number(root, b"link", &[same[0], same[1], target]),
        NodeKind::BlockDevice { device } => {
            number(root, b"block", &[same[0], same[1], &device.to_le_bytes()])
        }
        NodeKind::CharDevice { device } => {
            number(root, b"char", &[same[0], same[1], &device.to_le_bytes()])
        }
        NodeKind::Fifo => number(root, b"fifo", &same),
        NodeKind::Socket | NodeKind::Irregular => number(root, b"other", &same),
    }
}

fn number(base: u64, kind: &[u8], parts: &[&[u8]]) -> u64 {
    let mut hash = Sha256::new();
    hash.update(base.to_le_bytes());
    hash.update(kind);
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let number = digest.first_chunk().map_or(0, |b| u64::from_le_bytes(*b));
    // 0 is no number, 1 is the root.
    number.max(ROOT + 1)
}

/// What the kernel remembers.
#[derive(Default)]
pub(crate) struct Inodes(Mutex<HashMap<u64, (Inode, u64)>>);

impl Inodes {
    /// The kernel looked it up.
    pub(crate) fn remember(&self, number: u64, inode: Inode) {
        let mut all = self.0.lock();
        let entry = all.entry(number).or_insert((inode.clone(), 0));
        // The layout may have changed.
        entry.0 = inode;
        entry.1 += 1;
    }

    /// The kernel forgot so many looks.
    pub(crate) fn forget(&self, number: u64, looks: u64) {
        let mut all = self.0.lock();
        if let Some(entry) = all.get_mut(&number) {
            entry.1 = entry.1.saturating_sub(looks);
            if entry.1 == 0 {
                all.remove(&number);
            }
        }
    }

    pub(crate) fn get(&self, number: u64) -> Option<Inode> {
        self.0.lock().get(&number).map(|(inode, _)| inode.clone())
    }
}

impl From<&Item> for Inode {
    fn from(item: &Item) -> Self {
        match item {
            Item::Folder(folder) => Inode::Folder(folder.clone()),
            Item::Point(point) => Inode::Point(point.clone()),
            Item::Link(target) => Inode::Link(target.clone()),
        }
    }
}
