//! One file that is no directory: its content and what else it has.

use lifeboat_vault::{
    chunk::ChunkPolicy,
    node::{Timestamp, Xattr},
    write::SavedFile,
};
use rustix::{
    fd::OwnedFd,
    fs::{SeekFrom, Stat},
    io::Errno,
};

use super::{
    RACY, Walk,
    dir::{DirWork, Slot, Status, Todo},
};
use crate::{
    Cancel, Result,
    pass::{Content, Entry, Facts, What},
    sys::{self, FileType, XattrOf},
};

/// What a thread keeps from file to file.
pub(super) struct Reading<'a> {
    cancel: &'a Cancel,
    /// Bytes of this file that progress still expects: a file that grows tells no more.
    untold: u64,
}

impl<'a> Reading<'a> {
    pub(super) fn new(cancel: &'a Cancel) -> Self {
        Self { cancel, untold: 0 }
    }
}

/// A file of several names, read under one of them.
#[derive(Clone)]
pub(super) struct Linked {
    mtime: Timestamp,
    ctime: Timestamp,
    size: u64,
    content: Content,
}

/// What became of an attempt to read.
enum Read {
    /// Content, the status that goes with it, and whether that status held to the end.
    Done {
        facts: Facts,
        content: Content,
        xattrs: Vec<Xattr>,
        settled: bool,
    },
    /// The name is another kind of file now.
    Replaced,
    /// The system said no.
    Failed(Errno),
}

impl Walk<'_> {
    /// Takes what one name stands for.
    pub(super) fn file(
        &self,
        dir: &DirWork,
        todo: Todo,
        reading: &mut Reading<'_>,
    ) -> Result<Slot> {
        reading.untold = todo.status.size();
        let slot = match &todo.status {
            Status::File(_) => self.regular(dir, &todo, reading)?,
            Status::Other(kind, facts) => self.special(dir, &todo, *kind, **facts),
        };
        self.options.progress.advance(1, reading.untold);
        Ok(match slot {
            Some(entry) => self.settle(dir, &todo, entry),
            None => Slot::Gone,
        })
    }

    /// Counts a file that was taken, and tells whether it differs from the parent's.
    fn settle(&self, dir: &DirWork, todo: &Todo, entry: Entry) -> Slot {
        let old = dir.old_entry(todo.old);
        let same = old.is_some_and(|old| old.same(&entry));
        let mut counts = self.counts.lock();
        counts.files_total += 1;
        if matches!(entry.what, What::File(_)) {
            counts.bytes_total += entry.facts.size;
        }
        match old {
            None => counts.files_new += 1,
            Some(_) if same => counts.files_unmodified += 1,
            Some(_) => counts.files_changed += 1,
        }
        Slot::New {
            entry: Box::new(entry),
            same,
        }
    }

    fn regular(
        &self,
        dir: &DirWork,
        todo: &Todo,
        reading: &mut Reading<'_>,
    ) -> Result<Option<Entry>> {
        let name = dir.name(todo.slot);
        let path = || dir.path_of(todo.slot);
        let mut again = !self.options.later_pass;
        loop {
            match self.read(dir, name, reading)? {
                Read::Done {
                    facts,
                    content,
                    xattrs,
                    settled,
                } => {
                    if !settled && again {
                        again = false;
                        continue;
                    }
                    if !settled {
                        if self.options.later_pass {
                            self.counts.lock().unsettled += 1;
                        } else {
                            self.problem(&path(), "it changed while it was read, twice");
                        }
                    }
                    return Ok(Some(Entry::new(facts, What::File(content), xattrs)));
                }
                Read::Replaced => self.missed(&path(), Errno::LOOP),
                Read::Failed(e) => self.missed(&path(), e),
            }
            return Ok(None);
        }
    }

    fn read(&self, dir: &DirWork, name: &[u8], reading: &mut Reading<'_>) -> Result<Read> {
        let opened = sys::open_file(&dir.fd, name)
            .and_then(|fd| rustix::fs::fstat(&fd).map(|stat| (fd, stat)));
        let (fd, before) = match opened {
            Ok(opened) => opened,
            Err(e) => return Ok(Read::Failed(e)),
        };
        if FileType::from_raw_mode(before.st_mode) != FileType::RegularFile {
            return Ok(Read::Replaced);
        }
        let mut facts = Facts::of(&before);
        if let Some(content) = self.read_under_another_name(&facts) {
            let xattrs = self.xattrs(dir, name, &XattrOf::Open(&fd));
            return Ok(Read::Done {
                facts,
                content,
                xattrs,
                settled: true,
            });
        }
        let saved = match self.content(&fd, &before, dir.policy(facts.size), reading)? {
            Ok(saved) => saved,
            Err(e) => return Ok(Read::Failed(e)),
        };
        let xattrs = self.xattrs(dir, name, &XattrOf::Open(&fd));
        let after = match rustix::fs::fstat(&fd) {
            Ok(after) => Facts::of(&after),
            Err(e) => return Ok(Read::Failed(e)),
        };
        // Names that come or go move the ctime; that is no change of what was read.
        let settled = after.mtime == facts.mtime
            && after.size == facts.size
            && saved.size == facts.size
            && (after.ctime == facts.ctime || after.links != facts.links);
        facts.size = saved.size;
        let content = Content::new(&saved.content);
        if settled && facts.links > 1 {
            self.remember(&facts, &content);
        }
        Ok(Read::Done {
            facts,
            content,
            xattrs,
            settled,
        })
    }

    /// Reads what is in a file, hole by hole where there are any. The inner error is the file's.
    fn content(
        &self,
        fd: &OwnedFd,
        stat: &Stat,
        policy: ChunkPolicy,
        reading: &mut Reading<'_>,
    ) -> Result<Result<SavedFile, Errno>> {
        let size = u64::try_from(stat.st_size).unwrap_or(0);
        let allocated = u64::try_from(stat.st_blocks)
            .unwrap_or(0)
            .saturating_mul(512);
        let sparse = allocated < size;
        let mut out = self.writer.file(policy, size);
        let (mut at, mut read) = (0, 0);
        let mut failed = None;
        'file: while at < size {
            // The next stretch of data: all of it where there are no holes.
            let (data, hole) = match if sparse {
                stretch(fd, at, size)
            } else {
                Ok((at, size))
            } {
                Ok(found) => found,
                Err(e) => {
                    failed = Some(e);
                    break;
                }
            };
            if data > at {
                out.hole(data - at)?;
                at = data;
            }
            while at < hole {
                reading.cancel.check()?;
                let left = usize::try_from(hole - at).unwrap_or(usize::MAX);
                match out.fill(left, |room| rustix::io::pread(fd, room, at))? {
                    // It has become shorter.
                    Ok(0) => break 'file,
                    Ok(n) => {
                        at += n as u64;
                        read += n as u64;
                        let told = reading.untold.min(n as u64);
                        reading.untold -= told;
                        self.options.progress.advance(0, told);
                    }
                    Err(Errno::INTR) => {}
                    Err(e) => {
                        failed = Some(e);
                        break 'file;
                    }
                }
            }
        }
        self.counts.lock().bytes_read += read;
        match failed {
            Some(e) => Ok(Err(e)),
            None => Ok(Ok(out.finish()?)),
        }
    }

    /// The content, if the same file was read under another name and has not changed since.
    fn read_under_another_name(&self, facts: &Facts) -> Option<Content> {
        if facts.links < 2 {
            return None;
        }
        let links = self.links.lock();
        let known = links.get(&(facts.device_id, facts.inode))?;
        let same =
            known.mtime == facts.mtime && known.ctime == facts.ctime && known.size == facts.size;
        same.then(|| known.content.clone())
    }

    fn remember(&self, facts: &Facts, content: &Content) {
        // Too young: a later write could bear the same time.
        let now = sys::now();
        if facts.ctime
            >= (Timestamp {
                secs: now.secs - RACY,
                ..now
            })
        {
            return;
        }
        let linked = Linked {
            mtime: facts.mtime,
            ctime: facts.ctime,
            size: facts.size,
            content: content.clone(),
        };
        self.links
            .lock()
            .insert((facts.device_id, facts.inode), linked);
    }

    /// A link, device, pipe or socket: metadata alone, none of them is ever opened for reading.
    fn special(&self, dir: &DirWork, todo: &Todo, kind: FileType, facts: Facts) -> Option<Entry> {
        let name = dir.name(todo.slot);
        let what = match kind {
            FileType::Symlink => match rustix::fs::readlinkat(&dir.fd, name, Vec::new()) {
                Ok(target) => What::Symlink(target.into_bytes().into_boxed_slice()),
                Err(e) => {
                    // EINVAL: it is no link any more.
                    let e = if e == Errno::INVAL { Errno::LOOP } else { e };
                    self.missed(&dir.path_of(todo.slot), e);
                    return None;
                }
            },
            FileType::BlockDevice => What::BlockDevice,
            FileType::CharacterDevice => What::CharDevice,
            FileType::Fifo => What::Fifo,
            FileType::Socket => What::Socket,
            _ => What::Irregular,
        };
        let xattrs = self.xattrs(dir, name, &XattrOf::Name(&dir.fd, name));
        Some(Entry::new(facts, what, xattrs))
    }

    /// Extended attributes; what cannot be read of them is a problem, the file is kept.
    fn xattrs(&self, dir: &DirWork, name: &[u8], of: &XattrOf<'_>) -> Vec<Xattr> {
        match sys::xattrs(of) {
            Ok(xattrs) => xattrs,
            Err(Errno::NOENT) => Vec::new(),
            Err(e) => {
                let path = if dir.parent.is_some() {
                    sys::join(&dir.path, name)
                } else {
                    dir.path.clone()
                };
                self.problem(
                    &path,
                    format!("its extended attributes cannot be read: {e}"),
                );
                Vec::new()
            }
        }
    }
}

/// The next stretch of data at or after `at`, as (first byte, first byte of the hole after it).
/// No data any more is an empty stretch at the end.
fn stretch(fd: &OwnedFd, at: u64, size: u64) -> Result<(u64, u64), Errno> {
    let data = match rustix::fs::seek(fd, SeekFrom::Data(at)) {
        Ok(data) => data.min(size),
        Err(Errno::NXIO) => return Ok((size, size)),
        // A file system without holes.
        Err(Errno::INVAL | Errno::NOTSUP) => return Ok((at, size)),
        Err(e) => return Err(e),
    };
    match rustix::fs::seek(fd, SeekFrom::Hole(data)) {
        Ok(hole) => Ok((data, hole.clamp(data, size))),
        Err(Errno::NXIO) => Ok((size, size)),
        Err(e) => Err(e),
    }
}
