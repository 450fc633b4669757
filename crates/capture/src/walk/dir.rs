//! One directory: opened and listed.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use lifeboat_vault::ChunkPolicy;
use parking_lot::Mutex;
use rustix::{fd::OwnedFd, fs::Stat, io::Errno};

use super::{Counts, Walk, file::Reading};
use crate::{
    Result,
    pass::{Entry, Facts, PassDir, Sub, What},
    pool::Queue,
    sys::{self, FileType},
};

/// What has become of one name.
pub(super) enum Slot {
    /// As the parent has it.
    Same(u32),
    /// As here; `same` if a tree would say no different thing of it than the parent's does.
    New { entry: Box<Entry>, same: bool },
    /// Left out, vanished or unreadable; or not known yet.
    Gone,
}

/// One name that has to be looked at closer. Of a wide directory there are very many, so it is small.
pub(super) struct Todo {
    pub(super) slot: usize,
    pub(super) status: Status,
    /// Its place in the parent's directory.
    pub(super) old: Option<u32>,
}

/// What is known of it.
pub(super) enum Status {
    /// A regular file, about so large; it is asked again once it is open.
    File(u64),
    /// Anything else.
    Other(FileType, Box<Facts>),
}

impl Status {
    pub(super) fn of(stat: &Stat) -> Self {
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Self::File(u64::try_from(stat.st_size).unwrap_or(0)),
            other => Self::Other(other, Box::new(Facts::of(stat))),
        }
    }

    pub(super) fn size(&self) -> u64 {
        match self {
            Self::File(size) => *size,
            Self::Other(..) => 0,
        }
    }
}

/// Work.
pub(super) enum Job {
    /// The root, whatever it is.
    Entry(Arc<DirWork>, Stat),
    /// A subdirectory.
    Dir(Arc<DirWork>, Todo),
    /// Files, links, devices.
    Files(Arc<DirWork>, Vec<Todo>),
}

/// A directory under way.
pub(super) struct DirWork {
    pub(super) fd: OwnedFd,
    /// Absolute path, for messages and patterns only.
    pub(super) path: Vec<u8>,
    /// Levels below the root.
    depth: usize,
    /// Where it goes when it is done; `None` for what holds the root.
    pub(super) parent: Option<(Arc<DirWork>, Todo)>,
    /// Its own status, taken through `fd`.
    pub(super) facts: Option<Facts>,
    pub(super) old: Option<Arc<PassDir>>,
    /// Names one after another, and where each ends.
    names: Vec<u8>,
    pub(super) ends: Vec<usize>,
    pub(super) slots: Mutex<Vec<Slot>>,
    /// Jobs that are not done.
    pub(super) pending: AtomicUsize,
    /// Bytes of its files, which decide how finely they are cut.
    pub(super) bytes: AtomicU64,
    /// A name of the parent's is no longer there.
    pub(super) shrunk: AtomicBool,
}

impl DirWork {
    /// What holds the root: a directory with one name. Its `path` is the root's own.
    pub(super) fn holder(
        fd: OwnedFd,
        path: Vec<u8>,
        name: &[u8],
        old: Option<Arc<PassDir>>,
    ) -> Self {
        Self {
            fd,
            path,
            depth: 0,
            parent: None,
            facts: None,
            old,
            names: name.to_vec(),
            ends: vec![name.len()],
            slots: Mutex::new(vec![Slot::Gone]),
            pending: AtomicUsize::new(1),
            bytes: AtomicU64::new(0),
            shrunk: AtomicBool::new(false),
        }
    }

    pub(super) fn name(&self, slot: usize) -> &[u8] {
        let start = slot
            .checked_sub(1)
            .and_then(|i| self.ends.get(i))
            .copied()
            .unwrap_or(0);
        let end = self.ends.get(slot).copied().unwrap_or(start);
        self.names.get(start..end).unwrap_or_default()
    }

    /// Absolute path of one of its names.
    pub(super) fn path_of(&self, slot: usize) -> Vec<u8> {
        match self.parent {
            Some(_) => sys::join(&self.path, self.name(slot)),
            None => self.path.clone(),
        }
    }

    pub(super) fn old_entry(&self, index: Option<u32>) -> Option<&Entry> {
        self.old.as_ref()?.entries.get(index? as usize)
    }

    pub(super) fn set(&self, slot: usize, value: Slot) {
        if let Some(place) = self.slots.lock().get_mut(slot) {
            *place = value;
        }
    }

    /// How a file of it is cut.
    pub(super) fn policy(&self, size: u64) -> ChunkPolicy {
        ChunkPolicy::for_file(size, self.bytes.load(Ordering::Relaxed).max(size))
    }
}

impl Walk<'_> {
    /// Does one job. The root's end is handed back.
    pub(super) fn job(
        &self,
        job: Job,
        queue: &Queue<Job>,
        reading: &mut Reading<'_>,
    ) -> Result<Option<Slot>> {
        self.options.cancel.check()?;
        match job {
            Job::Entry(holder, stat) => {
                let old = holder.old.as_ref().map(|_| 0);
                let status = Status::of(&stat);
                let todo = Todo {
                    slot: 0,
                    status,
                    old,
                };
                if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                    return self.directory(holder, todo, queue);
                }
                let mut counts = Counts::default();
                let kind = FileType::from_raw_mode(stat.st_mode);
                let known = self.known(&holder, old, &Facts::of(&stat), kind, &mut counts);
                self.counts.lock().add(&counts);
                if let Some(slot) = known {
                    holder.set(0, slot);
                    return self.job_done(holder);
                }
                self.expect(1, u64::try_from(stat.st_size).unwrap_or(0));
                self.job(Job::Files(holder, vec![todo]), queue, reading)
            }
            Job::Dir(above, todo) => self.directory(above, todo, queue),
            Job::Files(dir, todos) => {
                for todo in todos {
                    self.options.cancel.check()?;
                    let slot = todo.slot;
                    dir.set(slot, self.file(&dir, todo, reading)?);
                }
                self.job_done(dir)
            }
        }
    }

    pub(super) fn expect(&self, files: u64, bytes: u64) {
        self.options.progress.expect(files, bytes);
    }

    /// Opens a subdirectory, lists it and hands out what has to be read.
    fn directory(
        &self,
        above: Arc<DirWork>,
        todo: Todo,
        queue: &Queue<Job>,
    ) -> Result<Option<Slot>> {
        let path = above.path_of(todo.slot);
        let depth = above.depth + 1;
        if depth > sys::DEEPEST {
            self.problem(&path, "it lies too deep for any path to reach it");
            return self.job_done(above);
        }
        let opened = sys::open_dir(&above.fd, above.name(todo.slot))
            .and_then(|fd| rustix::fs::fstat(&fd).map(|stat| (fd, stat)));
        let (fd, stat) = match opened {
            Ok(opened) => opened,
            Err(e) => {
                self.missed(&path, e);
                return self.job_done(above);
            }
        };
        let old = match above.old_entry(todo.old).map(|e| &e.what) {
            Some(What::Dir(Sub::Loaded(dir))) => Some(dir.clone()),
            Some(What::Dir(Sub::Stored(id))) => self.load(*id),
            _ => None,
        };
        let mut work = DirWork {
            fd,
            path,
            depth,
            parent: Some((above, todo)),
            facts: Some(Facts::of(&stat)),
            old,
            names: Vec::new(),
            ends: Vec::new(),
            slots: Mutex::default(),
            pending: AtomicUsize::new(1),
            bytes: AtomicU64::new(0),
            shrunk: AtomicBool::new(false),
        };
        // A mount point on which `one_file_system` stops is an empty directory.
        if !(self.options.one_file_system && stat.st_dev != self.root_device) {
            self.names_of(&mut work);
        }
        let work = Arc::new(work);
        self.compare(&work, stat.st_dev, queue)?;
        self.job_done(work)
    }

    /// The parent's tree, or none if it cannot be had: then everything is read, and that is said by
    /// `check`, not here.
    fn load(&self, id: lifeboat_vault::BlobId) -> Option<Arc<PassDir>> {
        match self.writer.reader().tree(id) {
            Ok(tree) => Some(Arc::new(PassDir::of_tree(id, &tree))),
            Err(e) => {
                tracing::warn!(tree = %id, error = %e, "the parent's tree cannot be read, all of it is read anew");
                None
            }
        }
    }

    /// Reads the names, ascending.
    fn names_of(&self, work: &mut DirWork) {
        let mut bytes = Vec::new();
        let mut places: Vec<(usize, usize)> = Vec::new();
        let listed = sys::list(&work.fd, |name| {
            places.push((bytes.len(), bytes.len() + name.len()));
            bytes.extend_from_slice(name);
        });
        if let Err(e) = listed {
            self.problem(&work.path, format!("its names cannot all be read: {e}"));
        }
        places.sort_unstable_by(|a, b| bytes[a.0..a.1].cmp(&bytes[b.0..b.1]));
        // A directory that changes while it is listed may name a file twice.
        places.dedup_by(|a, b| bytes[a.0..a.1] == bytes[b.0..b.1]);
        work.names.reserve_exact(bytes.len());
        work.ends.reserve_exact(places.len());
        for (from, to) in places {
            work.names.extend_from_slice(&bytes[from..to]);
            work.ends.push(work.names.len());
        }
        work.slots = Mutex::new(work.ends.iter().map(|_| Slot::Gone).collect());
    }

    /// A name that could not be opened or asked.
    pub(super) fn missed(&self, path: &[u8], errno: Errno) {
        match errno {
            Errno::NOENT | Errno::STALE => self.counts.lock().vanished += 1,
            Errno::LOOP | Errno::NOTDIR | Errno::NXIO if self.options.later_pass => {
                self.counts.lock().unsettled += 1;
            }
            Errno::LOOP | Errno::NOTDIR | Errno::NXIO => {
                self.problem(
                    path,
                    "it was replaced by another kind of file while it was read",
                );
            }
            errno => self.problem(path, std::io::Error::from(errno).to_string()),
        }
    }
}
