//! What one capture found, kept small, so that the next can tell what has changed without reading
//! a tree back from the vault.
//!
//! A directory that did not change is shared between passes (`Arc`). A file takes about 130 bytes
//! and its name.

use std::sync::Arc;

use lifeboat_vault::{
    id::BlobId,
    node::{Metadata, Node, NodeKind, Timestamp, Tree, Xattr},
};
use rustix::fs::Stat;

use crate::{
    names::Names,
    sys::{self, FileType},
};

/// Data blobs of a file. Nearly all files have one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    Empty,
    One(BlobId),
    Many(Arc<[BlobId]>),
}

impl Content {
    pub(crate) fn new(ids: &[BlobId]) -> Self {
        match ids {
            [] => Content::Empty,
            [id] => Content::One(*id),
            ids => Content::Many(ids.into()),
        }
    }

    pub(crate) fn ids(&self) -> &[BlobId] {
        match self {
            Content::Empty => &[],
            Content::One(id) => std::slice::from_ref(id),
            Content::Many(ids) => ids,
        }
    }
}

/// A subdirectory: known, or still in the vault.
#[derive(Debug, Clone)]
pub(crate) enum Sub {
    Loaded(Arc<PassDir>),
    Stored(BlobId),
}

impl Sub {
    pub(crate) fn id(&self) -> BlobId {
        match self {
            Sub::Loaded(dir) => dir.id,
            Sub::Stored(id) => *id,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) enum What {
    File(Content),
    Dir(Sub),
    Symlink(Box<[u8]>),
    BlockDevice,
    CharDevice,
    Fifo,
    Socket,
    Irregular,
}

impl What {
    fn same(&self, other: &What) -> bool {
        match (self, other) {
            (What::File(a), What::File(b)) => a == b,
            (What::Dir(a), What::Dir(b)) => a.id() == b.id(),
            (What::Symlink(a), What::Symlink(b)) => a == b,
            _ => std::mem::discriminant(self) == std::mem::discriminant(other),
        }
    }
}

/// What `stat` says of a file, as far as a node has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Facts {
    pub(crate) mode: u16,
    pub(crate) links: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mtime: Timestamp,
    pub(crate) ctime: Timestamp,
    pub(crate) inode: u64,
    /// Device of the file system, where `links > 1`; else 0.
    pub(crate) device_id: u64,
    /// Bytes of a file, device number of a device; else 0.
    pub(crate) size: u64,
}

impl Facts {
    pub(crate) fn of(stat: &Stat) -> Self {
        let kind = FileType::from_raw_mode(stat.st_mode);
        // Those of a directory count its subdirectories; a tree does not keep them.
        let links = match kind {
            FileType::Directory => 0,
            _ => u32::try_from(stat.st_nlink).unwrap_or(u32::MAX),
        };
        Self {
            mode: (stat.st_mode & 0o7777) as u16,
            links,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mtime: sys::moment(stat.st_mtime, stat.st_mtime_nsec),
            ctime: sys::moment(stat.st_ctime, stat.st_ctime_nsec),
            inode: stat.st_ino,
            device_id: if links > 1 { stat.st_dev } else { 0 },
            size: match kind {
                FileType::RegularFile => u64::try_from(stat.st_size).unwrap_or(0),
                FileType::BlockDevice | FileType::CharacterDevice => stat.st_rdev,
                _ => 0,
            },
        }
    }

    /// The node's metadata.
    pub(crate) fn metadata(&self, xattrs: &[Xattr], names: &Names) -> Metadata {
        Metadata {
            mode: u32::from(self.mode),
            mtime: self.mtime,
            atime: self.mtime,
            ctime: self.ctime,
            uid: self.uid,
            gid: self.gid,
            user: names.user(self.uid),
            group: names.group(self.gid),
            inode: self.inode,
            device_id: self.device_id,
            links: u64::from(self.links),
            xattrs: xattrs.to_vec(),
        }
    }
}

/// One file of a directory.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    name_at: u32,
    name_len: u16,
    pub(crate) facts: Facts,
    pub(crate) what: What,
    pub(crate) xattrs: Option<Box<[Xattr]>>,
}

impl Entry {
    pub(crate) fn new(facts: Facts, what: What, xattrs: Vec<Xattr>) -> Self {
        let xattrs = (!xattrs.is_empty()).then(|| xattrs.into_boxed_slice());
        Self {
            name_at: 0,
            name_len: 0,
            facts,
            what,
            xattrs,
        }
    }

    /// The same file with another status.
    pub(crate) fn with(&self, facts: Facts) -> Self {
        Self {
            facts,
            ..self.clone()
        }
    }

    pub(crate) fn xattrs(&self) -> &[Xattr] {
        self.xattrs.as_deref().unwrap_or_default()
    }

    /// Whether a tree would say the same of both.
    pub(crate) fn same(&self, other: &Entry) -> bool {
        self.facts == other.facts && self.what.same(&other.what) && self.xattrs() == other.xattrs()
    }

    fn of_node(node: &Node) -> Self {
        let meta = &node.meta;
        let (size, what) = match &node.kind {
            NodeKind::File { size, content } => (*size, What::File(Content::new(content))),
            NodeKind::Dir { subtree } => (0, What::Dir(Sub::Stored(*subtree))),
            NodeKind::Symlink { target } => (0, What::Symlink(target.as_slice().into())),
            NodeKind::BlockDevice { device } => (*device, What::BlockDevice),
            NodeKind::CharDevice { device } => (*device, What::CharDevice),
            NodeKind::Fifo => (0, What::Fifo),
            NodeKind::Socket => (0, What::Socket),
            NodeKind::Irregular => (0, What::Irregular),
        };
        let links = match node.kind {
            NodeKind::Dir { .. } => 0,
            _ => u32::try_from(meta.links).unwrap_or(u32::MAX),
        };
        let facts = Facts {
            mode: (meta.mode & 0o7777) as u16,
            links,
            uid: meta.uid,
            gid: meta.gid,
            mtime: meta.mtime,
            ctime: meta.ctime,
            inode: meta.inode,
            // Other programs give each file's.
            device_id: if links > 1 { meta.device_id } else { 0 },
            size,
        };
        Self::new(facts, what, meta.xattrs.clone())
    }

    pub(crate) fn to_node(&self, name: &[u8], names: &Names) -> Node {
        let device = self.facts.size;
        let kind = match &self.what {
            What::File(content) => NodeKind::File {
                size: self.facts.size,
                content: content.ids().to_vec(),
            },
            What::Dir(sub) => NodeKind::Dir { subtree: sub.id() },
            What::Symlink(target) => NodeKind::Symlink {
                target: target.to_vec(),
            },
            What::BlockDevice => NodeKind::BlockDevice { device },
            What::CharDevice => NodeKind::CharDevice { device },
            What::Fifo => NodeKind::Fifo,
            What::Socket => NodeKind::Socket,
            What::Irregular => NodeKind::Irregular,
        };
        Node {
            name: name.to_vec(),
            kind,
            meta: self.facts.metadata(self.xattrs(), names),
        }
    }
}

/// One directory: entries ascending by name.
#[derive(Debug)]
pub(crate) struct PassDir {
    /// Its tree blob.
    pub(crate) id: BlobId,
    pub(crate) entries: Box<[Entry]>,
    names: Box<[u8]>,
    /// The blobs of its files are known to be in the vault that is written to now.
    pub(crate) trusted: bool,
}

impl PassDir {
    pub(crate) fn new<'n>(
        id: BlobId,
        trusted: bool,
        found: impl IntoIterator<Item = (&'n [u8], Entry)>,
    ) -> Self {
        let mut names = Vec::new();
        let entries = found
            .into_iter()
            .map(|(name, mut entry)| {
                // A directory whose names are longer than 4 GiB together exists nowhere.
                entry.name_at = u32::try_from(names.len()).unwrap_or(u32::MAX);
                entry.name_len = u16::try_from(name.len()).unwrap_or(u16::MAX);
                names.extend_from_slice(name);
                entry
            })
            .collect();
        Self {
            id,
            entries,
            names: names.into_boxed_slice(),
            trusted,
        }
    }

    pub(crate) fn of_tree(id: BlobId, tree: &Tree) -> Self {
        Self::new(
            id,
            false,
            tree.nodes
                .iter()
                .map(|n| (n.name.as_slice(), Entry::of_node(n))),
        )
    }

    /// A directory of one entry that is never asked for its id: what holds the root.
    pub(crate) fn holding(name: &[u8], node: &Node) -> Self {
        Self::new(BlobId([0; 32]), false, [(name, Entry::of_node(node))])
    }

    pub(crate) fn name(&self, entry: &Entry) -> &[u8] {
        let at = entry.name_at as usize;
        self.names
            .get(at..at + usize::from(entry.name_len))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_stays_small() {
        assert!(size_of::<Entry>() <= 160, "{}", size_of::<Entry>());
    }

    #[test]
    fn a_node_comes_back_as_it_was() {
        let node = Node {
            name: b"n\xff".to_vec(),
            kind: NodeKind::File {
                size: 7,
                content: vec![BlobId([1; 32]), BlobId([2; 32])],
            },
            meta: Metadata {
                mode: 0o4755,
                uid: 1_999_999_999,
                links: 2,
                device_id: 5,
                inode: 6,
                xattrs: vec![Xattr {
                    name: b"user.a".to_vec(),
                    value: vec![0],
                }],
                ..Metadata::default()
            },
        };
        let dir = PassDir::holding(b"n\xff", &node);
        let entry = &dir.entries[0];
        assert_eq!(entry.to_node(dir.name(entry), &Names::default()), node);
    }
}
