//! What is in a file: blob by blob, by several threads where there are many.

use std::sync::atomic::{AtomicU64, Ordering};

use lifeboat_vault::{BlobId, BlobKind, ErrorKind};
use parking_lot::Mutex;
use rustix::{fd::OwnedFd, io::Errno};

use super::Restore;
use crate::{CaptureError, Result};

/// The shortest run of zeros that becomes a hole.
const HOLE: usize = 4096;
/// From so many blobs on, threads that are free help with one file.
const WIDE: usize = 16;

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

/// One file's content on its way.
struct Content<'a> {
    fd: &'a OwnedFd,
    size: u64,
    path: &'a (dyn Fn() -> Vec<u8> + Sync),
    cursor: Mutex<Cursor<'a>>,
    holes: AtomicU64,
}

impl Restore<'_> {
    /// Writes the content. A reason instead of an error is about this file alone.
    pub(super) fn write(
        &self,
        fd: &OwnedFd,
        size: u64,
        content: &[BlobId],
        path: &(dyn Fn() -> Vec<u8> + Sync),
    ) -> Result<Option<String>> {
        let cursor = Cursor {
            rest: content.iter(),
            at: 0,
            stop: None,
        };
        let work = Content {
            fd,
            size,
            path,
            cursor: Mutex::new(cursor),
            holes: AtomicU64::new(0),
        };
        if content.len() < WIDE {
            self.write_some(&work);
        } else {
            // All that are free; who comes meanwhile goes alone.
            let spare = self.spare.swap(0, Ordering::Relaxed);
            std::thread::scope(|scope| {
                for _ in 1..spare {
                    scope.spawn(|| self.write_some(&work));
                }
                self.write_some(&work);
            });
            self.spare.fetch_add(spare, Ordering::Relaxed);
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

    /// Writes blobs until none is left or somebody stopped.
    fn write_some(&self, work: &Content<'_>) {
        while let Some((id, at, len)) = self.next_blob(work) {
            match self.write_blob(work, id, at, len) {
                Ok(()) => self.options.progress.advance(0, len),
                Err(stop) => drop(work.cursor.lock().stop.get_or_insert(stop)),
            }
        }
    }

    /// The next blob, where it goes and how long it is.
    fn next_blob(&self, work: &Content<'_>) -> Option<(BlobId, u64, u64)> {
        let mut cursor = work.cursor.lock();
        if cursor.stop.is_some() {
            return None;
        }
        let id = *cursor.rest.next()?;
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
        Some((id, at, len))
    }

    fn write_blob(&self, work: &Content<'_>, id: BlobId, at: u64, len: u64) -> Result<(), Stop> {
        self.options.cancel.check().map_err(Stop::Error)?;
        if self.zeros.read().contains(&id) {
            work.holes.fetch_add(len, Ordering::Relaxed);
            return Ok(());
        }
        let bytes = match self.reader.blob(BlobKind::Data, id) {
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
        write_at(work.fd, &bytes, at)
            .map_err(|e| Stop::Error(CaptureError::os("write", &(work.path)(), e)))
    }
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

fn write_at(fd: &OwnedFd, mut bytes: &[u8], mut at: u64) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(fd, bytes, at) {
            Ok(0) => return Err(Errno::IO),
            Ok(n) => {
                bytes = bytes.get(n..).unwrap_or_default();
                at += n as u64;
            }
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
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
