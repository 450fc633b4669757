//! What a capture is asked, and what it answers.

use std::{fmt, path::PathBuf, sync::Arc};

use lifeboat_vault::{
    id::BlobId,
    node::{Node, Timestamp},
    progress::Progress,
};

use crate::{Cancel, Excludes, SkipSet, pass::PassDir};

/// Seconds within which the clock of a file system cannot tell two changes apart, taken generously.
pub const RACY: i64 = 2;

/// What to take.
#[derive(Debug, Clone)]
pub struct Source {
    /// A directory or a single file on this host. A symbolic link is taken as a link; resolve it
    /// before, if what it points to is meant. Mount points are entered.
    pub at: PathBuf,
    /// What to leave out. The root itself is never left out.
    pub exclude: Arc<Excludes>,
}

impl Source {
    /// All of `at`.
    pub fn new(at: impl Into<PathBuf>) -> Self {
        Self {
            at: at.into(),
            exclude: Arc::default(),
        }
    }
}

/// Where unchanged files are known from. `began` is when *that* capture began (its first pass, if
/// there were several and only the earliest is known: earlier is always safe).
#[derive(Debug, Clone, Copy)]
pub enum Parent<'a> {
    /// A directory's tree in the vault.
    Tree {
        /// Tree blob.
        root: BlobId,
        /// When that capture began.
        began: Timestamp,
    },
    /// A file or a directory with its metadata.
    Node {
        /// As it stands in the point before.
        node: &'a Node,
        /// When that capture began.
        began: Timestamp,
    },
    /// The pass before, written by the **same** writer.
    Pass(&'a Captured),
}

impl Parent<'_> {
    /// When the parent's capture began.
    pub fn began(&self) -> Timestamp {
        match self {
            Parent::Tree { began, .. } | Parent::Node { began, .. } => *began,
            Parent::Pass(before) => before.began,
        }
    }
}

/// How to take it.
pub struct CaptureOptions<'a> {
    /// The point, or the pass, before.
    pub parent: Option<Parent<'a>>,
    /// Threads that walk and read; 0 for as many as there are cores.
    pub threads: usize,
    /// Stay on the root's file system. A mount point below it is kept as an empty directory.
    pub one_file_system: bool,
    /// What is never entered: the vault, its key, our state.
    pub skip: &'a SkipSet,
    /// Who is told.
    pub progress: &'a dyn Progress,
    /// Who may stop it.
    pub cancel: &'a Cancel,
    /// A later pass follows: keep what was found in memory for it (about 130 bytes and the name a
    /// file), and take a file that changes while it is read as it comes, without a problem.
    pub later_pass: bool,
}

impl<'a> CaptureOptions<'a> {
    /// A single pass without a parent.
    pub fn new(skip: &'a SkipSet, progress: &'a dyn Progress, cancel: &'a Cancel) -> Self {
        Self {
            parent: None,
            threads: 0,
            one_file_system: false,
            skip,
            progress,
            cancel,
            later_pass: false,
        }
    }
}

/// Figures of one capture. Files are everything that is no directory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Files that the parent did not have.
    pub files_new: u64,
    /// Files that differ from the parent's.
    pub files_changed: u64,
    /// Files that are as the parent has them.
    pub files_unmodified: u64,
    /// Directories, likewise.
    pub dirs_new: u64,
    /// Directories, likewise.
    pub dirs_changed: u64,
    /// Directories, likewise: themselves and all below them.
    pub dirs_unmodified: u64,
    /// Bytes that were read from files.
    pub bytes_read: u64,
    /// Bytes of all files in the result.
    pub bytes_total: u64,
    /// Files in the result.
    pub files_total: u64,
    /// Names that vanished between listing and opening.
    pub vanished: u64,
    /// Files that changed while they were read (`later_pass` only; else they are problems).
    pub unsettled: u64,
    /// Names left out by patterns, the skip set or `one_file_system`.
    pub excluded: u64,
}

impl Counts {
    /// Adds another's figures.
    pub fn add(&mut self, other: &Counts) {
        self.files_new += other.files_new;
        self.files_changed += other.files_changed;
        self.files_unmodified += other.files_unmodified;
        self.dirs_new += other.dirs_new;
        self.dirs_changed += other.dirs_changed;
        self.dirs_unmodified += other.dirs_unmodified;
        self.bytes_read += other.bytes_read;
        self.bytes_total += other.bytes_total;
        self.files_total += other.files_total;
        self.vanished += other.vanished;
        self.unsettled += other.unsettled;
        self.excluded += other.excluded;
    }
}

/// What could not be taken whole. It makes the point partial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Which file.
    pub path: PathBuf,
    /// Why, as a phrase: `permission denied`.
    pub reason: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.reason)
    }
}

/// What was taken.
#[derive(Debug)]
pub struct Captured {
    /// The root, without a name: the caller gives it one.
    pub node: Node,
    /// Figures.
    pub counts: Counts,
    /// What is missing or torn, ascending by path.
    pub problems: Vec<Problem>,
    /// When this capture began: what a later one gives as its parent's `began`.
    pub began: Timestamp,
    /// The directory that holds the root, for the next pass.
    pub(crate) pass: Arc<PassDir>,
}
