//! From the vault to live files.
//!
//! # The target is never left
//! Every name is checked, and every call is relative to a directory that is open and was reached
//! without following a symbolic link. Something that swaps a directory for a link while we work
//! makes the restore fail, it does not lead it elsewhere. What is in the way is never written into:
//! files are created exclusively, so a name that is hard-linked to a file elsewhere cannot carry our
//! bytes there.
//!
//! # Order
//! Content, owner, mode (setuid after the owner, who would clear it), extended attributes (ACLs
//! after the mode, capabilities after the owner), times last. A directory is ours alone (0700) until
//! everything below it is there; then it gets its own metadata.
//!
//! # What a crash leaves, and running it again
//! Files of which some are missing, and directories 0700. A file that was not finished has no
//! restored time yet. [`Overwrite::Resume`] compares what is there by hash and writes the rest; what
//! the tree does not name stays as it is.
//!
//! # What goes wrong
//! A file whose data is damaged in the vault is taken away again and reported as a
//! [`crate::Problem`]: no zeros, no half files. Metadata that the target cannot hold is a warning.
//! A full disk, a name in the way and errors of the store end the restore.

mod content;
mod dir;
mod early;
mod file;
mod links;
mod meta;
mod options;
mod special;
mod stretch;

use std::{
    collections::{HashMap, HashSet},
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicUsize},
    },
};

use lifeboat_vault::{BlobId, Node, NodeKind, Reader, Tree, Visits};
use parking_lot::{Mutex, RwLock};
use rustix::{
    fd::OwnedFd,
    fs::{Mode, OFlags},
};

pub use file::holds;
pub use options::{Overwrite, RestoreOptions, RestoreRoot, Restored, RestoredCounts};

use crate::{CaptureError, Problem, Result, pool, sys};
use dir::{DirWork, Job};
use links::Claim;

/// Requests that are under way to a server at once, at least: a core alone would wait for each answer.
const REQUESTS: usize = 6;

/// What all threads of one restore share.
struct Restore<'a> {
    reader: &'a Reader,
    options: &'a RestoreOptions<'a>,
    /// Absolute path of the root, for messages.
    root: Vec<u8>,
    /// The root, from which hard links are found again.
    root_fd: OwnedFd,
    counts: Mutex<RestoredCounts>,
    problems: Mutex<Vec<Problem>>,
    warnings: Mutex<Vec<Problem>>,
    links: Mutex<HashMap<(u64, u64), Claim>>,
    /// Directories that were made.
    visits: Visits,
    /// Directories that were searched for what is wanted.
    searched: Visits,
    /// Blobs that were read and are nothing but zeros.
    zeros: RwLock<HashSet<BlobId>>,
    /// Threads that may help with large files.
    spare: AtomicUsize,
    /// Of threads that wrote large files, for the next ones.
    memory: Mutex<Vec<Vec<u8>>>,
    /// Whether we may give files away. Who may not keeps what is restored.
    privileged: bool,
    /// Whom new files belong to.
    user: (u32, u32),
    /// Whether small files get their blocks as they are written.
    allocates_early: bool,
    /// Warnings that were left out, because there are too many of a kind.
    more_warnings: AtomicU32,
}

/// Brings a tree or a node back to disk.
///
/// A tree, or a directory's node: `target` is the directory itself, made if it is missing; a node's
/// own metadata is applied to it, a bare tree leaves the target's as it is. Any other node: `target`
/// is the file's own path, in a directory that exists.
pub fn restore_tree<'r>(
    reader: &Reader,
    root: impl Into<RestoreRoot<'r>>,
    target: &Path,
    options: &RestoreOptions<'_>,
) -> Result<Restored> {
    options.cancel.check()?;
    sys::raise_open_files();
    let root = root.into();
    let bytes = target.as_os_str().as_bytes();
    let is_file = match &root {
        RestoreRoot::Node(node) => !matches!(node.kind, NodeKind::Dir { .. }),
        RestoreRoot::Tree(_) => false,
    };
    let dir = match (is_file, target.parent(), target.file_name()) {
        (false, ..) => {
            fs_err::create_dir_all(target).map_err(|source| CaptureError::Io {
                what: "create",
                path: target.to_owned(),
                source,
            })?;
            bytes
        }
        (true, Some(above), Some(_)) if above.as_os_str().is_empty() => b".",
        (true, Some(above), Some(_)) => above.as_os_str().as_bytes(),
        (true, ..) => {
            let why = format!("{} cannot be a file", target.display());
            return Err(CaptureError::Invalid(why));
        }
    };
    let root_fd = sys::open_dir_path(dir).map_err(|e| CaptureError::os("open", dir, e))?;
    let fd = rustix::fs::openat(
        &root_fd,
        ".",
        OFlags::RDONLY | OFlags::CLOEXEC,
        Mode::empty(),
    )
    .map_err(|e| CaptureError::os("open", dir, e))?;
    let (tree, meta) = match root {
        RestoreRoot::Tree(id) => (reader.tree(id)?, None),
        RestoreRoot::Node(Node {
            kind: NodeKind::Dir { subtree },
            meta,
            ..
        }) => (reader.tree(*subtree)?, Some(meta.clone())),
        RestoreRoot::Node(node) => {
            let name = target
                .file_name()
                .map(|n| n.as_bytes().to_vec())
                .unwrap_or_default();
            (
                Tree {
                    nodes: vec![Node {
                        name,
                        ..node.clone()
                    }],
                },
                None,
            )
        }
    };
    let threads = match options.threads {
        0 if reader.is_remote() => pool::threads(0).max(REQUESTS),
        // Half of them wait for the disk.
        0 => pool::threads(0) * 2,
        asked => pool::threads(asked),
    };
    let restore = Restore {
        reader,
        options,
        root: dir.to_vec(),
        allocates_early: options.sync && stretch::allocates_early(&root_fd),
        root_fd,
        counts: Mutex::default(),
        problems: Mutex::default(),
        warnings: Mutex::default(),
        links: Mutex::default(),
        visits: Visits::new(options.visits),
        searched: Visits::new(options.visits),
        zeros: RwLock::default(),
        spare: AtomicUsize::new(threads - 1),
        memory: Mutex::default(),
        privileged: rustix::process::geteuid().is_root(),
        user: (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        ),
        more_warnings: AtomicU32::new(0),
    };
    let work = DirWork::new(fd, Vec::new(), tree, None, meta, options.include.is_none());
    restore.nothing_in_the_way(&work)?;
    let run = || {
        pool::run(
            threads,
            Job::Root(Arc::new(work)),
            || (),
            |job, queue, ()| restore.job(job, queue),
        )
    };
    if options.sync {
        restore.synced(dir, run)?;
    } else {
        run()?;
    }
    Ok(restore.restored())
}

impl Restore<'_> {
    fn restored(self) -> Restored {
        let by_path = |mut list: Vec<Problem>| {
            list.sort_by(|a, b| a.path.cmp(&b.path));
            list
        };
        let mut warnings = by_path(self.warnings.into_inner());
        let more = self.more_warnings.into_inner();
        if more > 0 {
            let reason = format!("{more} more warnings were left out");
            warnings.push(Problem {
                path: sys::to_path(&self.root),
                reason,
            });
        }
        Restored {
            counts: self.counts.into_inner(),
            problems: by_path(self.problems.into_inner()),
            warnings,
        }
    }

    /// Absolute path of something inside, for messages.
    fn path(&self, dir: &[u8], name: &[u8]) -> Vec<u8> {
        let inside = if dir.is_empty() {
            name.to_vec()
        } else {
            sys::join(dir, name)
        };
        if inside.is_empty() {
            self.root.clone()
        } else {
            sys::join(&self.root, &inside)
        }
    }

    fn problem(&self, path: &[u8], reason: impl Into<String>) {
        let problem = Problem {
            path: sys::to_path(path),
            reason: reason.into(),
        };
        self.problems.lock().push(problem);
    }

    fn warn(&self, path: &[u8], reason: impl Into<String>) {
        /// A target without extended attributes would fill the memory with warnings.
        const KEPT: usize = 1000;
        let mut warnings = self.warnings.lock();
        if warnings.len() < KEPT {
            warnings.push(Problem {
                path: sys::to_path(path),
                reason: reason.into(),
            });
        } else {
            self.more_warnings
                .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    /// Refuses before the first byte, if something at the top is in the way.
    fn nothing_in_the_way(&self, work: &DirWork) -> Result<()> {
        if self.options.overwrite != Overwrite::Never {
            return Ok(());
        }
        for node in &work.tree.nodes {
            let name = self.checked(work, &node.name)?;
            if self.wanted(work, node)?.is_some()
                && let Ok(_stat) = sys::stat_at(&work.fd, name)
            {
                let path = sys::to_path(&self.path(&work.path, name));
                return Err(CaptureError::Exists { path });
            }
        }
        Ok(())
    }
}
