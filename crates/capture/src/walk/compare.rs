//! What of a directory the parent knows already, and what has to be read.

use std::{
    ops::Range,
    sync::{Arc, atomic::Ordering},
};

use lifeboat_vault::{BlobId, BlobKind};
use rustix::{fs::Stat, io::Errno};

use super::{
    Counts, Walk,
    dir::{DirWork, Job, Slot, Status, Todo},
};
use crate::{
    CaptureError, Result,
    pass::{Entry, Facts, PassDir, What},
    pool::{self, Queue},
    sys::{self, FileType},
};

/// Changed files that one thread takes at a time, at most.
const BATCH_FILES: usize = 64;
/// Their bytes, about.
const BATCH_BYTES: u64 = 4 << 20;
/// Names whose status is in memory at a time.
const WINDOW: usize = 8192;
/// From so many names on several threads ask.
const WIDE: usize = 2048;

impl Walk<'_> {
    /// Asks each name for its status and settles what the parent knows already.
    pub(super) fn compare(
        &self,
        work: &Arc<DirWork>,
        device: u64,
        queue: &Queue<Job>,
    ) -> Result<()> {
        let mut counts = Counts::default();
        let (mut bytes, mut expected) = (0, 0);
        let (mut dirs, mut files) = (Vec::new(), Vec::new());
        let mut slots = work.slots.lock();
        let mut olds = Olds {
            dir: work.old.as_deref(),
            next: 0,
            missed: false,
        };
        let mut stats = Vec::new().into_iter();
        for slot in 0..work.ends.len() {
            if slot % WINDOW == 0 {
                self.options.cancel.check()?;
                let end = work.ends.len().min(slot + WINDOW);
                stats = self.stats(work, slot..end)?.into_iter();
            }
            let old = olds.find(work.name(slot));
            let stat = match stats.next().unwrap_or(Err(Errno::NOENT)) {
                Ok(stat) => stat,
                Err(e) => {
                    self.missed(&work.path_of(slot), e);
                    continue;
                }
            };
            if self.left_out(work, slot, &stat, device) {
                counts.excluded += 1;
                continue;
            }
            let kind = FileType::from_raw_mode(stat.st_mode);
            if kind == FileType::Directory {
                let status = Status::of(&stat);
                dirs.push(Todo { slot, status, old });
                continue;
            }
            let facts = Facts::of(&stat);
            let size = if kind == FileType::RegularFile {
                facts.size
            } else {
                0
            };
            bytes += size;
            match self.known(work, old, &facts, kind, &mut counts) {
                Some(known) => {
                    if let Some(place) = slots.get_mut(slot) {
                        *place = known;
                    }
                }
                None => {
                    expected += size;
                    let status = Status::of(&stat);
                    files.push(Todo { slot, status, old });
                }
            }
        }
        drop(slots);
        work.shrunk.store(olds.rest(), Ordering::Relaxed);
        work.bytes.store(bytes, Ordering::Relaxed);
        let (done_files, done_bytes) = (counts.files_unmodified, counts.bytes_total);
        self.counts.lock().add(&counts);
        self.expect(done_files + files.len() as u64, done_bytes + expected);
        if done_files > 0 {
            self.options.progress.advance(done_files, done_bytes);
        }
        let batches = batches(files);
        work.pending
            .fetch_add(dirs.len() + batches.len(), Ordering::Relaxed);
        queue.extend(dirs.into_iter().map(|todo| Job::Dir(work.clone(), todo)));
        queue.extend(
            batches
                .into_iter()
                .map(|todos| Job::Files(work.clone(), todos)),
        );
        Ok(())
    }

    /// The status of some names of a directory, in their order; of many by several threads.
    fn stats(&self, work: &DirWork, slots: Range<usize>) -> Result<Vec<Result<Stat, Errno>>> {
        let ask = |slots: Range<usize>| -> Vec<Result<Stat, Errno>> {
            let stat = |slot| sys::stat_at(&work.fd, work.name(slot));
            slots.map(stat).collect()
        };
        if slots.len() < WIDE {
            return Ok(ask(slots));
        }
        // Not before: the system is asked for it in a dozen calls.
        let threads = pool::threads(self.options.threads);
        if threads < 2 {
            return Ok(ask(slots));
        }
        let part = slots.len().div_ceil(threads);
        let parts: Vec<_> = std::thread::scope(|scope| {
            let ask = &ask;
            let (begin, end) = (slots.start, slots.end);
            let running: Vec<_> = (begin..end)
                .step_by(part)
                .map(|from| scope.spawn(move || ask(from..end.min(from + part))))
                .collect();
            running.into_iter().map(|thread| thread.join()).collect()
        });
        let died =
            |_| CaptureError::Invalid("a thread that asks for the status of files died".into());
        let mut all = Vec::with_capacity(slots.len());
        for part in parts {
            all.extend(part.map_err(died)?);
        }
        Ok(all)
    }

    /// What becomes of a file that the parent knows, if it can be taken over unread.
    pub(super) fn known(
        &self,
        work: &DirWork,
        old: Option<u32>,
        facts: &Facts,
        kind: FileType,
        counts: &mut Counts,
    ) -> Option<Slot> {
        let (index, entry) = (old?, work.old_entry(old)?);
        if !self.unchanged(work, entry, facts, kind) {
            return None;
        }
        counts.files_unmodified += 1;
        counts.files_total += 1;
        if kind == FileType::RegularFile {
            counts.bytes_total += facts.size;
        }
        Some(if entry.facts == *facts {
            Slot::Same(index)
        } else {
            Slot::New {
                entry: Box::new(entry.with(*facts)),
                same: false,
            }
        })
    }

    /// Whether the parent's entry can be taken over unread.
    fn unchanged(&self, work: &DirWork, entry: &Entry, facts: &Facts, kind: FileType) -> bool {
        // The device's number may differ after a reboot. It is written anew then, the file not read.
        if (Facts {
            device_id: facts.device_id,
            ..entry.facts
        }) != *facts
            || self.racy(facts)
        {
            return false;
        }
        match (&entry.what, kind) {
            (What::File(content), FileType::RegularFile) => {
                work.old.as_ref().is_some_and(|d| d.trusted)
                    || self.stored(content.ids(), facts.size)
            }
            (What::Symlink(_), FileType::Symlink)
            | (What::BlockDevice, FileType::BlockDevice)
            | (What::CharDevice, FileType::CharacterDevice)
            | (What::Fifo, FileType::Fifo)
            | (What::Socket, FileType::Socket) => true,
            _ => false,
        }
    }

    /// Whether the file system's clock is too coarse to vouch for this.
    pub(super) fn racy(&self, facts: &Facts) -> bool {
        facts.ctime >= self.racy_from
            || (facts.mtime >= self.racy_from && facts.mtime <= self.racy_until)
    }

    /// Whether the vault still has all of a file.
    fn stored(&self, content: &[BlobId], size: u64) -> bool {
        let reader = self.writer.reader();
        let mut sum = 0_u64;
        for id in content {
            match reader.blob_len(BlobKind::Data, *id) {
                Some(len) => sum += len,
                None => return false,
            }
        }
        sum == size
    }

    fn left_out(&self, work: &DirWork, slot: usize, stat: &Stat, device: u64) -> bool {
        let name = work.name(slot);
        if self
            .options
            .skip
            .hits(&work.path, name, stat.st_dev, stat.st_ino)
        {
            return true;
        }
        let kind = FileType::from_raw_mode(stat.st_mode);
        if self.options.one_file_system && stat.st_dev != device && kind != FileType::Directory {
            return true;
        }
        let exclude = &self.source.exclude;
        if exclude.is_empty() {
            return false;
        }
        let host = work.path_of(slot);
        let inside = host.get(self.root.len()..).unwrap_or_default();
        if inside.first() == Some(&b'/') {
            exclude.matches(&host, inside)
        } else {
            exclude.matches(&host, &sys::join(b"", inside))
        }
    }
}

/// The parent's entries, met in step with the names.
struct Olds<'a> {
    dir: Option<&'a PassDir>,
    next: usize,
    missed: bool,
}

impl Olds<'_> {
    fn find(&mut self, name: &[u8]) -> Option<u32> {
        let dir = self.dir?;
        while let Some(entry) = dir.entries.get(self.next) {
            match dir.name(entry).cmp(name) {
                std::cmp::Ordering::Less => {
                    self.next += 1;
                    self.missed = true;
                }
                std::cmp::Ordering::Equal => {
                    self.next += 1;
                    return u32::try_from(self.next - 1).ok();
                }
                std::cmp::Ordering::Greater => return None,
            }
        }
        None
    }

    /// Whether some name was not met.
    fn rest(&self) -> bool {
        self.missed || self.dir.is_some_and(|d| self.next < d.entries.len())
    }
}

fn batches(todos: Vec<Todo>) -> Vec<Vec<Todo>> {
    let mut out: Vec<Vec<Todo>> = Vec::new();
    let mut bytes = 0;
    for todo in todos {
        let size = todo.status.size();
        match out.last_mut() {
            Some(batch) if batch.len() < BATCH_FILES && bytes + size <= BATCH_BYTES => {
                bytes += size;
                batch.push(todo);
            }
            _ => {
                bytes = size;
                out.push(vec![todo]);
            }
        }
    }
    out
}
