//! What a restore is asked, and what it answers.

use lifeboat_vault::{BlobId, Node, VisitLimit, progress::Progress};

use crate::{Cancel, Excludes, Problem};

/// What happens with names that are there already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// Any name of the tree that is there already ends the restore, untouched.
    #[default]
    Never,
    /// Goes on after an interruption: directories are entered; a file of the same size and mtime is
    /// compared by hash and kept if it is right; any other file is replaced.
    Resume,
}

/// How to restore.
pub struct RestoreOptions<'a> {
    /// Names in the way.
    pub overwrite: Overwrite,
    /// Only what matches, with everything below it and the directories above it. Paths begin at the
    /// restored root.
    pub include: Option<&'a Excludes>,
    /// Leave holes where blobs of 4 KiB and more hold nothing but zeros.
    pub sparse: bool,
    /// Threads; 0 for twice as many as there are cores, from a server at least six.
    pub threads: usize,
    /// Make it durable before returning.
    pub sync: bool,
    /// How often the same directories may stand in each other: more is a vault that means harm.
    pub visits: VisitLimit,
    /// Who is told.
    pub progress: &'a dyn Progress,
    /// Who may stop it.
    pub cancel: &'a Cancel,
}

impl<'a> RestoreOptions<'a> {
    /// Everything, onto nothing that is there, sparse, durable.
    pub fn new(progress: &'a dyn Progress, cancel: &'a Cancel) -> Self {
        Self {
            overwrite: Overwrite::Never,
            include: None,
            sparse: true,
            threads: 0,
            sync: true,
            visits: VisitLimit::default(),
            progress,
            cancel,
        }
    }
}

/// What to restore.
#[derive(Debug, Clone, Copy)]
pub enum RestoreRoot<'r> {
    /// A directory's tree, without the directory's own metadata.
    Tree(BlobId),
    /// A node with its metadata. Its name says nothing: the target has one.
    Node(&'r Node),
}

impl From<BlobId> for RestoreRoot<'_> {
    fn from(id: BlobId) -> Self {
        RestoreRoot::Tree(id)
    }
}

impl<'r> From<&'r Node> for RestoreRoot<'r> {
    fn from(node: &'r Node) -> Self {
        RestoreRoot::Node(node)
    }
}

/// Figures of one restore.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RestoredCounts {
    /// Regular files written.
    pub files: u64,
    /// Directories made or entered, the root left out.
    pub dirs: u64,
    /// Links, devices, pipes and sockets made.
    pub others: u64,
    /// Further names of files that were written under another.
    pub hard_links: u64,
    /// Files that were right already.
    pub kept: u64,
    /// Bytes written.
    pub bytes_written: u64,
    /// Bytes left out as holes.
    pub bytes_holes: u64,
}

/// What was restored.
#[derive(Debug, Clone, Default)]
pub struct Restored {
    /// Figures.
    pub counts: RestoredCounts,
    /// What is missing, because it is damaged in the vault or was refused by the system.
    pub problems: Vec<Problem>,
    /// What is there, but not in every detail.
    pub warnings: Vec<Problem>,
}
