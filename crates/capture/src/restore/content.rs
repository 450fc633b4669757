//! What is in a file: blob by blob, by several threads where there are many. Neighbours in a pack are read together.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};

use lifeboat_vault::{BlobId, BlobKind, ErrorKind, Gathered};
use parking_lot::Mutex;
use rustix::{fd::OwnedFd, fs::Advice, io::Errno};

use super::{
    Restore,
    stretch::{Direct, Stretch},
};
use crate::{CaptureError, Result};

/// The shortest run of zeros that becomes a hole.
const HOLE: usize = 4096;
/// From so many blobs on, threads that are free help with one file.
const WIDE: usize = 16;

/// Blobs of a large file that one thread takes at a time: bytes, about.
const PIECE: u64 = 4 << 20;

/// Why a file has no content: about it alone, or about everything.
enum Stop {
    Reason(String),
    Error(CaptureError),
}

/// How far the content was handed out.
struct Cursor<'c> {
    rest: std::slice::Iter<'c, BlobId>,
    at: u64,
    stop: Option<Stop>,
}

/// One blob of a file.
struct Part {
    id: BlobId,
    at: u64,
    len: u64,
}

/// One file's content on its way.
struct Content<'a> {
    fd: &'a OwnedFd,
    /// Of a large file whose file system has it.
    direct: Option<Direct>,
    size: u64,
    path: &'a (dyn Fn() -> Vec<u8> + Sync),
    cursor: Mutex<Cursor<'a>>,
    holes: AtomicU64,
}

impl Restore<'_> {
    /// Writes the content; of a small file it may have been gathered. A reason instead of an error is about this
    /// file alone.
    pub(super) fn write(
        &self,
        fd: &OwnedFd,
        size: u64,
        content: &[BlobId],
        near: &Gathered,
        path: &(dyn Fn() -> Vec<u8> + Sync),
    ) -> Result<Option<String>> {
        let cursor = Cursor {
            rest: content.iter(),
            at: 0,
            stop: None,
        };
        let large = self.options.sync && !is_small(size);
        let work = Content {
            fd,
            direct: large.then(|| Direct::open(fd, size)).flatten(),
            size,
            path,
            cursor: Mutex::new(cursor),
            holes: AtomicU64::new(0),
        };
        if is_small(size) {
            self.write_gathered(&work, near);
        } else if content.len() < WIDE {
            self.write_some(&work, || ());
        } else {
            self.write_wide(&work);
        }
        let Cursor { at, stop, .. } = work.cursor.into_inner();
        match stop {
            Some(Stop::Error(e)) => return Err(e),
            Some(Stop::Reason(reason)) => return Ok(Some(reason)),
            None if at != size => return Ok(Some(wrong_size(at, size))),
            None => {}
        }
        let holes = work.holes.into_inner();
        if holes > 0 {
            rustix::fs::ftruncate(fd, size).map_err(|e| CaptureError::os("write", &path(), e))?;
        }
        let mut counts = self.counts.lock();
        counts.bytes_written += size - holes;
        counts.bytes_holes += holes;
        Ok(None)
    }

    /// Writes all blobs, which are in memory already, or few.
    fn write_gathered(&self, work: &Content<'_>, near: &Gathered) {
        let mut stretch = Stretch::of_small(work.fd, self.allocates_early);
        while let Some(parts) = self.next_parts(work, 1) {
            self.write_parts(work, &parts, near, &mut stretch);
        }
    }

    /// With the help of all that are free, now or when another large file has no more for them to do.
    fn write_wide(&self, work: &Content<'_>) {
        std::thread::scope(|scope| {
            self.write_some(work, || {
                for _ in 0..self.spare.swap(0, Ordering::Relaxed) {
                    scope.spawn(|| {
                        self.write_some(work, || ());
                        self.spare.fetch_add(1, Ordering::Relaxed);
                    });
                }
            });
        });
    }

    /// Gathers and writes blobs until none is left or somebody stopped. `ask_for_help` is called before each piece.
    fn write_some(&self, work: &Content<'_>, ask_for_help: impl Fn()) {
        let memory = self.memory.lock().pop().unwrap_or_default();
        let mut stretch = Stretch::new(work.fd, work.direct.as_ref(), memory);
        while let Some(parts) = self.next_parts(work, PIECE) {
            ask_for_help();
            let near = self.reader.gather(parts.iter().map(|part| part.id));
            self.write_parts(work, &parts, &near, &mut stretch);
            if self.options.sync && work.direct.is_none() {
                send_to_disk(work.fd, &parts);
            }
        }
        self.memory.lock().push(stretch.into_memory());
    }

    fn write_parts(
        &self,
        work: &Content<'_>,
        parts: &[Part],
        near: &Gathered,
        stretch: &mut Stretch<'_>,
    ) {
        let mut write = || {
            for part in parts {
                self.write_blob(work, part, near, stretch)?;
                self.options.progress.advance(0, part.len);
            }
            stretch.flush().map_err(|e| write_error(work, e))
        };
        if let Err(stop) = write() {
            work.cursor.lock().stop.get_or_insert(stop);
        }
    }

    /// The next blobs, of so many bytes or a little more, where they go and how long they are. None twice: what is
    /// known to be zeros is not read.
    fn next_parts(&self, work: &Content<'_>, bytes: u64) -> Option<Vec<Part>> {
        let mut cursor = work.cursor.lock();
        let mut parts = Vec::new();
        let mut taken = 0;
        while taken < bytes && cursor.stop.is_none() {
            let Some(id) = cursor.rest.next().copied() else {
                break;
            };
            let at = cursor.at;
            let Some(len) = self.reader.blob_len(BlobKind::Data, id) else {
                let lost = lifeboat_vault::VaultError::MissingBlob { kind: "data", id };
                cursor.stop = Some(Stop::Reason(lost.to_string()));
                return None;
            };
            cursor.at = at.saturating_add(len);
            if cursor.at > work.size {
                cursor.stop = Some(Stop::Reason(wrong_size(cursor.at, work.size)));
                return None;
            }
            if self.zeros.read().contains(&id) {
                work.holes.fetch_add(len, Ordering::Relaxed);
                self.options.progress.advance(0, len);
                // A file of nothing but zeros can have millions of them.
                continue;
            }
            taken += len.max(1);
            parts.push(Part { id, at, len });
        }
        (!parts.is_empty() && cursor.stop.is_none()).then_some(parts)
    }

    fn write_blob(
        &self,
        work: &Content<'_>,
        part: &Part,
        near: &Gathered,
        stretch: &mut Stretch<'_>,
    ) -> Result<(), Stop> {
        let &Part { id, at, len } = part;
        self.options.cancel.check().map_err(Stop::Error)?;
        // Another thread, or the blob before, may have met it meanwhile.
        if self.zeros.read().contains(&id) {
            work.holes.fetch_add(len, Ordering::Relaxed);
            return Ok(());
        }
        let bytes = match self.reader.gathered_blob(near, id) {
            Ok(bytes) => bytes,
            Err(e) if e.kind() == ErrorKind::Damaged => return Err(Stop::Reason(e.to_string())),
            Err(e) => return Err(Stop::Error(e.into())),
        };
        if bytes.len() as u64 != len {
            let reason = format!(
                "blob {id} is {} bytes long, the index says {len}",
                bytes.len()
            );
            return Err(Stop::Reason(reason));
        }
        if self.options.sparse && bytes.len() >= HOLE && all_zero(&bytes) {
            self.zeros.write().insert(id);
            work.holes.fetch_add(len, Ordering::Relaxed);
            return Ok(());
        }
        stretch.add(&bytes, at).map_err(|e| write_error(work, e))
    }
}

fn write_error(work: &Content<'_>, error: Errno) -> Stop {
    Stop::Error(CaptureError::os("write", &(work.path)(), error))
}

/// Whether a file is written from what was gathered for several.
pub(super) fn is_small(size: u64) -> bool {
    size <= PIECE
}

/// Has the kernel begin to write to the disk now what will be synced at the end: it would wait for half a minute, or for
/// a tenth of the memory, and the end would wait for the disk. That is what `POSIX_FADV_DONTNEED` does to dirty pages
/// (`mm/fadvise.c`): it begins, and does not wait.
fn send_to_disk(fd: &OwnedFd, parts: &[Part]) {
    let (Some(first), Some(last)) = (parts.first(), parts.last()) else {
        return;
    };
    let len = NonZeroU64::new((last.at + last.len).saturating_sub(first.at));
    let _ = rustix::fs::fadvise(fd, first.at, len, Advice::DontNeed);
}

fn wrong_size(at: u64, size: u64) -> String {
    format!("its data is {at} bytes long in the vault, not {size}")
}

/// Whether there is nothing but zeros: compared with itself one byte on, which is a `memcmp`.
fn all_zero(bytes: &[u8]) -> bool {
    match bytes.split_first() {
        None => true,
        Some((first, rest)) => *first == 0 && rest == &bytes[..rest.len()],
    }
}

#[cfg(test)]
mod tests {
    use super::all_zero;

    #[test]
    fn zeros_are_known() {
        assert!(all_zero(&[]));
        assert!(all_zero(&[0; 5000]));
        for at in [0, 1, 2500, 4999] {
            let mut bytes = [0; 5000];
            bytes[at] = 1;
            assert!(!all_zero(&bytes), "{at}");
        }
        assert!(!all_zero(&[7; 9]));
    }
}
