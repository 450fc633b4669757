//! Directories: made on the way down, finished on the way up.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use lifeboat_vault::{BlobId, ErrorKind, Gathered, Metadata, Node, NodeKind, Tree};
use rustix::{fd::OwnedFd, fs::Mode, io::Errno};

use super::{Overwrite, Restore, content::is_small};
use crate::{CaptureError, Result, pool::Queue, sys};

/// Files that one thread takes at a time, at most.
const BATCH_FILES: usize = 64;
/// Their bytes, about.
const BATCH_BYTES: u64 = 4 << 20;

/// A directory under way.
pub(super) struct DirWork {
    pub(super) fd: OwnedFd,
    /// Path inside the root, without a leading `/`; empty for the root.
    pub(super) path: Vec<u8>,
    /// Levels below the root.
    depth: usize,
    pub(super) tree: Tree,
    pub(super) parent: Option<Arc<DirWork>>,
    /// What it gets in the end; `None` leaves it as it is.
    pub(super) meta: Option<Metadata>,
    /// It was included whole: no pattern is asked below it.
    pub(super) whole: bool,
    /// New files in it get an access control list that nobody asked for.
    pub(super) hands_down: bool,
    pub(super) pending: AtomicUsize,
}

/// Work.
pub(super) enum Job {
    /// The root, open already.
    Root(Arc<DirWork>),
    /// A subdirectory: its place in the tree of the one above, and whether it is wanted whole.
    Dir(Arc<DirWork>, usize, bool),
    /// Everything else.
    Files(Arc<DirWork>, Vec<usize>),
}

impl DirWork {
    pub(super) fn new(
        fd: OwnedFd,
        path: Vec<u8>,
        tree: Tree,
        parent: Option<Arc<DirWork>>,
        meta: Option<Metadata>,
        whole: bool,
    ) -> Self {
        let mut probe = [0; 0];
        // Asks for its size alone; no list is the rule.
        let hands_down =
            rustix::fs::fgetxattr(&fd, "system.posix_acl_default", &mut probe[..]).is_ok();
        let pending = AtomicUsize::new(1);
        let depth = parent.as_ref().map_or(0, |above| above.depth + 1);
        Self {
            fd,
            path,
            depth,
            tree,
            parent,
            meta,
            whole,
            hands_down,
            pending,
        }
    }
}

impl Restore<'_> {
    /// Does one job.
    pub(super) fn job(&self, job: Job, queue: &Queue<Job>) -> Result<()> {
        self.options.cancel.check()?;
        match job {
            Job::Root(dir) => self.hand_out(dir, queue),
            Job::Dir(above, index, whole) => self.directory(above, index, whole, queue),
            Job::Files(dir, indices) => {
                let near = self.near(&dir, &indices);
                for index in indices {
                    self.options.cancel.check()?;
                    self.entry(&dir, index, &near)?;
                }
                self.job_done(dir)
            }
        }
    }

    /// The content of small files, neighbours in a pack read together; not of what may be there already.
    fn near(&self, dir: &DirWork, indices: &[usize]) -> Gathered {
        let is_new = |node: &Node| {
            self.options.overwrite == Overwrite::Never || sys::stat_at(&dir.fd, &node.name).is_err()
        };
        let content = |&index: &usize| {
            let node = dir.tree.nodes.get(index)?;
            match &node.kind {
                // One of several names may be written under another.
                NodeKind::File { size, content } if is_small(*size) && node.meta.links < 2 => {
                    is_new(node).then_some(content)
                }
                _ => None,
            }
        };
        let ids = indices.iter().filter_map(content).flatten().copied();
        self.reader.gather(ids)
    }

    /// A name that may be created: one component, and none that leads anywhere.
    pub(super) fn checked<'n>(&self, dir: &DirWork, name: &'n [u8]) -> Result<&'n [u8]> {
        let bad = name.is_empty()
            || matches!(name, b"." | b"..")
            || name.iter().any(|b| matches!(b, b'/' | 0));
        if bad {
            return Err(CaptureError::Hostile {
                what: format!(
                    "the name `{}`",
                    String::from_utf8_lossy(name).escape_debug()
                ),
                path: sys::to_path(&self.path(&dir.path, b"")),
            });
        }
        Ok(name)
    }

    /// Whether a node is asked for: not at all, for what is below it (`false`), or whole (`true`).
    pub(super) fn wanted(&self, dir: &DirWork, node: &Node) -> Result<Option<bool>> {
        let Some(include) = self.options.include else {
            return Ok(Some(true));
        };
        if dir.whole {
            return Ok(Some(true));
        }
        let above = if dir.path.is_empty() {
            Vec::new()
        } else {
            sys::join(b"/", &dir.path)
        };
        let path = sys::join(&above, &node.name);
        if include.matches(&path, &path) {
            return Ok(Some(true));
        }
        match node.kind {
            NodeKind::Dir { subtree } if self.holds_wanted(&path, subtree)? => Ok(Some(false)),
            _ => Ok(None),
        }
    }

    /// Whether something below a directory is asked for.
    fn holds_wanted(&self, path: &[u8], subtree: BlobId) -> Result<bool> {
        let Some(include) = self.options.include else {
            return Ok(true);
        };
        let mut dirs = vec![(path.to_vec(), subtree, 0)];
        while let Some((above, subtree, depth)) = dirs.pop() {
            self.options.cancel.check()?;
            let tree = self.reader.tree(subtree)?;
            self.searched.enter(subtree, &tree)?;
            for node in tree.nodes {
                let path = sys::join(&above, &node.name);
                if include.matches(&path, &path) {
                    return Ok(true);
                }
                // What lies deeper is not made either.
                if let NodeKind::Dir { subtree } = node.kind
                    && depth < sys::DEEPEST
                {
                    dirs.push((path, subtree, depth + 1));
                }
            }
        }
        Ok(false)
    }

    fn directory(
        &self,
        above: Arc<DirWork>,
        index: usize,
        whole: bool,
        queue: &Queue<Job>,
    ) -> Result<()> {
        let Some(node) = above.tree.nodes.get(index) else {
            return self.job_done(above);
        };
        let NodeKind::Dir { subtree } = node.kind else {
            return self.job_done(above);
        };
        let name = self.checked(&above, &node.name)?;
        let path = self.path(&above.path, name);
        if above.depth >= sys::DEEPEST {
            let what = "directories in directories without end".to_owned();
            return Err(CaptureError::Hostile {
                what,
                path: sys::to_path(&path),
            });
        }
        let tree = match self.reader.tree(subtree) {
            Ok(tree) => tree,
            Err(e) if e.kind() == ErrorKind::Damaged => {
                self.problem(&path, e.to_string());
                return self.job_done(above);
            }
            Err(e) => return Err(e.into()),
        };
        self.visits.enter(subtree, &tree)?;
        let made = match rustix::fs::mkdirat(&above.fd, name, Mode::RWXU) {
            Ok(()) => true,
            Err(Errno::EXIST) if self.options.overwrite == Overwrite::Resume => false,
            Err(e) => return Err(CaptureError::os("create", &path, e)),
        };
        let fd = match sys::open_dir(&above.fd, name) {
            Ok(fd) => fd,
            // Another kind of file, or a link that somebody put there.
            Err(Errno::NOTDIR | Errno::LOOP) => {
                return Err(CaptureError::Exists {
                    path: sys::to_path(&path),
                });
            }
            Err(e) => return Err(CaptureError::os("open", &path, e)),
        };
        if made && above.hands_down {
            self.drop_inherited(&fd, &node.meta);
        }
        let inside = if above.path.is_empty() {
            name.to_vec()
        } else {
            sys::join(&above.path, name)
        };
        let meta = Some(node.meta.clone());
        self.counts.lock().dirs += 1;
        let work = DirWork::new(fd, inside, tree, Some(above), meta, whole);
        self.hand_out(Arc::new(work), queue)
    }

    /// Hands out what is in a directory.
    fn hand_out(&self, dir: Arc<DirWork>, queue: &Queue<Job>) -> Result<()> {
        let mut dirs = Vec::new();
        let mut batches: Vec<Vec<usize>> = Vec::new();
        let (mut files, mut bytes, mut in_batch) = (0, 0, 0);
        let mut before: Option<&[u8]> = None;
        for (index, node) in dir.tree.nodes.iter().enumerate() {
            self.checked(&dir, &node.name)?;
            if before == Some(&node.name) {
                return Err(CaptureError::Hostile {
                    what: format!("the name `{}` twice", node.name.escape_ascii()),
                    path: sys::to_path(&self.path(&dir.path, b"")),
                });
            }
            before = Some(&node.name);
            let Some(whole) = self.wanted(&dir, node)? else {
                continue;
            };
            let size = match node.kind {
                NodeKind::Dir { .. } => {
                    dirs.push((index, whole));
                    continue;
                }
                NodeKind::File { size, .. } => size,
                _ => 0,
            };
            files += 1;
            bytes += size;
            match batches.last_mut() {
                Some(batch) if batch.len() < BATCH_FILES && in_batch + size <= BATCH_BYTES => {
                    in_batch += size;
                    batch.push(index);
                }
                _ => {
                    in_batch = size;
                    batches.push(vec![index]);
                }
            }
        }
        self.options.progress.expect(files, bytes);
        dir.pending
            .fetch_add(dirs.len() + batches.len(), Ordering::Relaxed);
        queue.extend(
            dirs.into_iter()
                .map(|(i, whole)| Job::Dir(dir.clone(), i, whole)),
        );
        queue.extend(batches.into_iter().map(|b| Job::Files(dir.clone(), b)));
        self.job_done(dir)
    }

    /// One job of a directory is done; the last one gives it its metadata, and so on up.
    pub(super) fn job_done(&self, mut dir: Arc<DirWork>) -> Result<()> {
        loop {
            if dir.pending.fetch_sub(1, Ordering::AcqRel) != 1 {
                return Ok(());
            }
            if let Some(meta) = &dir.meta {
                self.apply(&dir.fd, meta, || self.path(&dir.path, b""));
            }
            match &dir.parent {
                Some(above) => dir = above.clone(),
                None => return Ok(()),
            }
        }
    }
}
