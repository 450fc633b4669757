//! What a tree says of one file, as the format has it (FORMAT: `data/node.go`).
//!
//! Names, link targets and extended attribute names are bytes, not text.

use crate::id::BlobId;

/// A moment: seconds and nanoseconds since 1970-01-01 UTC. `nanos` is below 1,000,000,000 and counts
/// forward, before 1970 too (as `stat` has it).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    /// Seconds.
    pub secs: i64,
    /// Nanoseconds.
    pub nanos: u32,
}

/// One extended attribute.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Xattr {
    /// Name, e.g. `user.comment`.
    pub name: Vec<u8>,
    /// Value.
    pub value: Vec<u8>,
}

/// Metadata that every kind of file has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Unix permission bits with setuid, setgid and sticky: `st_mode & 0o7777`.
    pub mode: u32,
    /// Last change of content.
    pub mtime: Timestamp,
    /// Last access. restic writes the mtime here by default, and so do we.
    pub atime: Timestamp,
    /// Last change of the inode.
    pub ctime: Timestamp,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Owner's name at capture, for people only.
    pub user: String,
    /// Group's name at capture, for people only.
    pub group: String,
    /// Inode number.
    pub inode: u64,
    /// Device number of the file system; written only where `links > 1`.
    pub device_id: u64,
    /// Hard links.
    pub links: u64,
    /// Extended attributes, ascending by name.
    pub xattrs: Vec<Xattr>,
}

/// What kind of file, and what only that kind has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeKind {
    /// A regular file: `size` bytes, the data blobs `content` one after another.
    File {
        /// Bytes.
        size: u64,
        /// Data blobs in order. Empty for an empty file.
        content: Vec<BlobId>,
    },
    /// A directory; `subtree` is a tree blob.
    Dir {
        /// Tree blob.
        subtree: BlobId,
    },
    /// A symbolic link.
    Symlink {
        /// Target, as it is.
        target: Vec<u8>,
    },
    /// A block device with its device number (`st_rdev`).
    BlockDevice {
        /// Device number.
        device: u64,
    },
    /// A character device with its device number (`st_rdev`).
    CharDevice {
        /// Device number.
        device: u64,
    },
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// What another program wrote and we cannot restore: kept as it is.
    Irregular,
}

/// One entry of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Name in its directory, bytes without `/` and NUL, not empty, not `.` or `..` (a reader
    /// must refuse the others).
    pub name: Vec<u8>,
    /// Kind.
    pub kind: NodeKind,
    /// Metadata.
    pub meta: Metadata,
}

/// A directory: entries strictly ascending by name (as bytes).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tree {
    /// Entries.
    pub nodes: Vec<Node>,
}
