//! One file on its way into the vault, as a stream.

use std::sync::Arc;

use super::{SavedFile, Writer, buffers::Chunk, pool::Chunks};
use crate::{
    chunk::{ChunkPolicy, Cutter, HOLE_MINIMUM, hole_blobs},
    error::Result,
};

/// From so many bytes on a file's memory is some that is used again.
const LARGE: usize = 32 << 10;

/// Takes the bytes of a file in order. Dropped without [`finish`](Self::finish), the file is
/// forgotten (chunks that were saved stay: they are garbage at worst).
///
/// Files of one chunk are saved on the caller's thread; the chunks of larger ones go to the
/// session's workers.
pub struct FileWriter<'w> {
    writer: &'w Writer,
    cutter: Cutter,
    /// The bytes since the last cut.
    rest: Chunk,
    chunks: Option<Arc<Chunks>>,
    size: u64,
}

impl<'w> FileWriter<'w> {
    pub(super) fn new(writer: &'w Writer, policy: ChunkPolicy, size_hint: u64) -> Self {
        let rest = if size_hint >= LARGE as u64 {
            writer.session.buffers.chunk()
        } else {
            Chunk::with_room_for(size_hint as usize)
        };
        Self {
            writer,
            cutter: Cutter::new(policy),
            rest,
            chunks: None,
            size: 0,
        }
    }

    /// Appends bytes.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(self.wants().min(bytes.len()));
            self.rest.room(now.len()).copy_from_slice(now);
            self.appended(now.len())?;
            bytes = later;
        }
        Ok(())
    }

    /// Appends bytes that never lay elsewhere: `read` gets a place for at least one byte and at most `most` (read as 1 if
    /// it is 0), and tells how many it has put there, from the beginning on. What it fails with is handed on.
    pub fn fill<E>(
        &mut self,
        most: usize,
        read: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<Result<usize, E>> {
        let count = self.wants().min(most.max(1));
        let room = self.rest.room(count);
        let longest = room.len();
        let count = match read(room) {
            Ok(count) => count.min(longest),
            Err(e) => return Ok(Err(e)),
        };
        self.appended(count)?;
        Ok(Ok(count))
    }

    fn wants(&self) -> usize {
        self.cutter.wants(self.rest.len())
    }

    /// Takes note of bytes that lie where they belong.
    fn appended(&mut self, count: usize) -> Result<()> {
        self.size += count as u64;
        self.rest.grow(count);
        self.cut(false)
    }

    /// Appends a hole of `len` bytes: read as zeros, and found again by `restic restore --sparse`
    /// when it is at least 512 KiB long.
    pub fn hole(&mut self, len: u64) -> Result<()> {
        if len < HOLE_MINIMUM {
            const ZEROS: [u8; 4096] = [0; 4096];
            let mut left = len;
            while left > 0 {
                let part = left.min(ZEROS.len() as u64);
                self.write(&ZEROS[..part as usize])?;
                left -= part;
            }
            return Ok(());
        }
        self.cut(true)?;
        let chunks = self.chunks.get_or_insert_default().clone();
        for length in hole_blobs(len) {
            chunks.push(self.writer.zeros(length)?);
        }
        self.size += len;
        self.cutter.restart(self.size);
        Ok(())
    }

    /// Ends the file: waits until its chunks are saved and lists them.
    pub fn finish(mut self) -> Result<SavedFile> {
        self.writer.index_early()?;
        let size = self.size;
        while let Some(length) = self.next_cut(true) {
            if self.chunks.is_none() && length == self.rest.len() {
                // The whole file is one chunk: no need for another thread.
                let id = self.writer.session.save_own(&mut self.rest)?;
                return Ok(SavedFile {
                    content: vec![id],
                    size,
                });
            }
            self.hand_over(length)?;
        }
        let content = match self.chunks.take() {
            Some(chunks) => chunks.finish()?,
            None => Vec::new(),
        };
        Ok(SavedFile { content, size })
    }

    fn next_cut(&mut self, end: bool) -> Option<usize> {
        self.cutter.next_cut(self.rest.bytes(), end)
    }

    /// Cuts off and saves as many chunks as there are.
    fn cut(&mut self, end: bool) -> Result<()> {
        while let Some(length) = self.next_cut(end) {
            self.hand_over(length)?;
        }
        Ok(())
    }

    fn hand_over(&mut self, length: usize) -> Result<()> {
        let mut rest = self.writer.session.buffers.chunk();
        self.rest.split_off(length, &mut rest);
        let chunk = std::mem::replace(&mut self.rest, rest);
        let chunks = self.chunks.get_or_insert_default();
        chunks.save(&self.writer.session, &self.writer.jobs, chunk)
    }
}

impl Drop for FileWriter<'_> {
    fn drop(&mut self) {
        if self.rest.capacity() >= LARGE {
            let rest = std::mem::replace(&mut self.rest, Chunk::with_room_for(0));
            self.writer.session.buffers.keep_chunk(rest);
        }
    }
}
