//! From live files into the vault.
//!
//! # How it goes
//! Directories and files are reached by name relative to an open directory, never by a path below
//! the root, and no symbolic link is ever followed: whatever runs in the tree meanwhile cannot lead
//! the walk elsewhere. A directory is listed, each name is asked for its status, and what the parent
//! (the pass or the point before) knows with the same kind, size, mtime, ctime and inode is taken
//! over unread. What remains is read by a small pool of threads. A directory's tree is written when
//! everything below it is there; one in which nothing changed is taken over whole.
//!
//! # What counts as changed
//! A file whose mtime or ctime is not at least [`RACY`] older than the instant at which the
//! parent's capture *began* counts as changed, however equal it looks: the clock of a file system
//! is coarse, and a second write may bear the time of the first.
//!
//! # Pre-copy
//! Call [`capture_tree`] again and again with the same [`Writer`], each time with
//! `parent: Some(Parent::Pass(&before))`, `later_pass: true` and [`crate::syncfs`] before it (a page that is
//! dirty and mapped moves the file's time only after it was written back). Freeze, `syncfs`, and
//! call it once more with `later_pass: false`; only that last result counts, its problems too.
//! A pass over unchanged files costs one `stat` a file and neither reads nor writes the vault.
//!
//! # What goes wrong
//! A file that cannot be read, or changes under both readings, is a [`Problem`] and the capture
//! goes on. A name that vanishes between listing and opening is counted and is no problem: it was
//! deleted, as it might have been a moment earlier. Errors of the vault end the capture. A crash
//! leaves nothing but blobs that no snapshot names.

mod compare;
mod dir;
mod file;
mod finish;
mod options;

use std::{collections::HashMap, ffi::OsStr, os::unix::ffi::OsStrExt, sync::Arc};

use lifeboat_vault::{
    node::{Metadata, Node, NodeKind, Timestamp},
    write::Writer,
};
use parking_lot::Mutex;
use rustix::fs::{CWD, Mode, OFlags};

pub use options::{CaptureOptions, Captured, Counts, Parent, Problem, RACY, Source};

use crate::{CaptureError, Result, names::Names, pass::PassDir, pool, sys};
use dir::{DirWork, Job, Slot};

/// What all threads of one capture share.
struct Walk<'a> {
    writer: &'a Writer,
    source: &'a Source,
    options: &'a CaptureOptions<'a>,
    /// `source.at` as bytes.
    root: Vec<u8>,
    /// Device of the root, for `one_file_system`.
    root_device: u64,
    /// Times from here on are too young to be trusted.
    racy_from: Timestamp,
    /// mtimes after this were set by hand, and say nothing of when.
    racy_until: Timestamp,
    began: Timestamp,
    names: Names,
    counts: Mutex<Counts>,
    problems: Mutex<Vec<Problem>>,
    /// Files of several names that were read in this capture.
    links: Mutex<HashMap<(u64, u64), file::Linked>>,
}

/// Takes one directory or file into the vault. The caller has called [`crate::syncfs`] where it
/// matters, and gives the node its name.
pub fn capture_tree(
    writer: &Writer,
    source: &Source,
    options: &CaptureOptions<'_>,
) -> Result<Captured> {
    options.cancel.check()?;
    sys::raise_open_files();
    let began = sys::now();
    let root = source.at.as_os_str().as_bytes().to_vec();
    let stat = sys::stat_at(CWD, &root).map_err(|e| CaptureError::os("read", &root, e))?;
    if options.skip.contains(&source.at, stat.st_dev, stat.st_ino) {
        return Err(CaptureError::Skipped(source.at.clone()));
    }
    // The root is an entry of a directory that holds nothing else.
    let (above, name) = match (source.at.parent(), source.at.file_name()) {
        (Some(above), Some(name)) if above.as_os_str().is_empty() => (".".as_ref(), name),
        (Some(above), Some(name)) => (above.as_os_str(), name),
        _ => (source.at.as_os_str(), OsStr::new(".")),
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let above = rustix::fs::open(above, flags, Mode::empty())
        .map_err(|e| CaptureError::os("open", &root, e))?;
    let name = name.as_bytes();
    let old = old_root(name, options.parent.as_ref());
    let parent_began = options.parent.as_ref().map_or(began, Parent::began);
    let walk = Walk {
        writer,
        source,
        options,
        root_device: stat.st_dev,
        racy_from: Timestamp {
            secs: parent_began.secs - RACY,
            ..parent_began
        },
        racy_until: Timestamp {
            secs: began.secs + RACY,
            ..began
        },
        began,
        names: Names::of_this_host(),
        counts: Mutex::default(),
        problems: Mutex::default(),
        links: Mutex::default(),
        root,
    };
    let holder = Arc::new(DirWork::holder(above, walk.root.clone(), name, old));
    let result = Mutex::new(None);
    pool::run(
        pool::threads(options.threads),
        Job::Entry(holder.clone(), stat),
        || file::Reading::new(options.cancel),
        |job, queue, reading| {
            if let Some(slot) = walk.job(job, queue, reading)? {
                *result.lock() = Some(slot);
            }
            Ok(())
        },
    )?;
    walk.captured(&holder, result.into_inner())
}

impl Walk<'_> {
    fn captured(self, holder: &DirWork, result: Option<Slot>) -> Result<Captured> {
        let mut problems = self.problems.into_inner();
        problems.sort_by(|a, b| a.path.cmp(&b.path));
        let entry = match result {
            Some(Slot::New { entry, .. }) => *entry,
            Some(Slot::Same(index)) => match holder.old_entry(Some(index)) {
                Some(entry) => entry.clone(),
                None => return Err(CaptureError::Invalid("the parent has no root".to_owned())),
            },
            Some(Slot::Gone) | None => {
                let source = match problems.first() {
                    Some(problem) => std::io::Error::other(problem.reason.clone()),
                    None => std::io::ErrorKind::NotFound.into(),
                };
                let path = self.source.at.clone();
                return Err(CaptureError::Io {
                    what: "capture",
                    path,
                    source,
                });
            }
        };
        let node = entry.to_node(b"", &self.names);
        let name = holder.name(0);
        let pass = PassDir::new(node_id(&node), true, [(name, entry)]);
        Ok(Captured {
            node,
            counts: self.counts.into_inner(),
            problems,
            began: self.began,
            pass: Arc::new(pass),
        })
    }

    fn problem(&self, path: &[u8], reason: impl Into<String>) {
        let problem = Problem {
            path: sys::to_path(path),
            reason: reason.into(),
        };
        tracing::debug!(path = %problem.path.display(), reason = %problem.reason, "not captured whole");
        self.problems.lock().push(problem);
    }
}

/// The directory that holds the root, as the parent knew it.
fn old_root(name: &[u8], parent: Option<&Parent<'_>>) -> Option<Arc<PassDir>> {
    let node = match parent? {
        Parent::Pass(before) => return Some(before.pass.clone()),
        Parent::Node { node, .. } => (*node).clone(),
        Parent::Tree { root, .. } => Node {
            name: Vec::new(),
            kind: NodeKind::Dir { subtree: *root },
            // Nothing is known of the root itself: no file has this ctime.
            meta: Metadata {
                ctime: Timestamp {
                    secs: i64::MIN,
                    nanos: 0,
                },
                ..Metadata::default()
            },
        },
    };
    Some(Arc::new(PassDir::holding(name, &node)))
}

fn node_id(node: &Node) -> lifeboat_vault::id::BlobId {
    match &node.kind {
        NodeKind::Dir { subtree } => *subtree,
        _ => lifeboat_vault::id::BlobId([0; 32]),
    }
}
