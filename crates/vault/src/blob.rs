//! The two kinds of blobs.

/// What a blob holds. The format looks blobs up by kind and id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum BlobKind {
    /// A piece of a file.
    Data,
    /// A directory.
    Tree,
}

impl BlobKind {
    /// The format's word.
    pub fn as_str(self) -> &'static str {
        match self {
            BlobKind::Data => "data",
            BlobKind::Tree => "tree",
        }
    }

    /// More bytes than this no program writes (pieces of files have 8 MiB at most in restic, 16 MiB here; a
    /// directory of three million files has a tree of 1 GiB). A reader that meets more is being attacked.
    pub fn largest(self) -> u64 {
        match self {
            BlobKind::Data => 128 << 20,
            BlobKind::Tree => 1 << 30,
        }
    }
}
