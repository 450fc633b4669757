//! One file on its way into the vault, as a stream.

use std::sync::Arc;

use super::{SavedFile, Writer, pool::Chunks};
use crate::{
    chunk::{ChunkPolicy, Cutter, HOLE_MINIMUM, hole_blobs},
    error::Result,
    seal::{IV_LEN, OVERHEAD},
};

/// From so many bytes on a file's buffer is one of those that are used again.
const LARGE: usize = 32 << 10;

/// Takes the bytes of a file in order. Dropped without [`finish`](Self::finish), the file is
/// forgotten (chunks that were saved stay: they are garbage at worst).
///
/// Files of one chunk are saved on the caller's thread; the chunks of larger ones go to the
/// session's workers.
pub struct FileWriter<'w> {
    writer: &'w Writer,
    cutter: Cutter,
    /// Room for the IV, the bytes since the last cut, and room for more: what was there when the buffer was used before.
    buffer: Vec<u8>,
    /// Where the room for more begins.
    end: usize,
    chunks: Option<Arc<Chunks>>,
    size: u64,
}

impl<'w> FileWriter<'w> {
    pub(super) fn new(writer: &'w Writer, policy: ChunkPolicy, size_hint: u64) -> Self {
        let buffer = if size_hint >= LARGE as u64 {
            writer.session.buffers.chunk()
        } else {
            let mut buffer = Vec::with_capacity(size_hint as usize + OVERHEAD);
            buffer.resize(IV_LEN, 0);
            buffer
        };
        Self {
            writer,
            cutter: Cutter::new(policy),
            buffer,
            end: IV_LEN,
            chunks: None,
            size: 0,
        }
    }

    /// Appends bytes.
    pub fn write(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(self.wants().min(bytes.len()));
            self.room(now.len()).copy_from_slice(now);
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
        let room = self.room(self.wants().min(most.max(1)));
        let longest = room.len();
        let count = match read(room) {
            Ok(count) => count.min(longest),
            Err(e) => return Ok(Err(e)),
        };
        self.appended(count)?;
        Ok(Ok(count))
    }

    fn wants(&self) -> usize {
        self.cutter.wants(self.end - IV_LEN)
    }

    /// Where the next `count` bytes belong.
    fn room(&mut self, count: usize) -> &mut [u8] {
        let end = self.end + count;
        if self.buffer.len() < end {
            self.buffer.resize(end, 0);
        }
        &mut self.buffer[self.end..end]
    }

    /// Takes note of bytes that lie where they belong.
    fn appended(&mut self, count: usize) -> Result<()> {
        self.size += count as u64;
        self.end += count;
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
            if self.chunks.is_none() && length == self.end - IV_LEN {
                // The whole file is one chunk: no need for another thread.
                self.buffer.truncate(self.end);
                let id = self.writer.session.save_own(&mut self.buffer)?;
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
        self.cutter.next_cut(&self.buffer[IV_LEN..self.end], end)
    }

    /// Cuts off and saves as many chunks as there are.
    fn cut(&mut self, end: bool) -> Result<()> {
        while let Some(length) = self.next_cut(end) {
            self.hand_over(length)?;
        }
        Ok(())
    }

    fn hand_over(&mut self, length: usize) -> Result<()> {
        let cut = IV_LEN + length;
        let next = self.writer.session.buffers.chunk();
        let mut chunk = std::mem::replace(&mut self.buffer, next);
        let behind = cut..std::mem::replace(&mut self.end, IV_LEN);
        self.room(behind.len())
            .copy_from_slice(&chunk[behind.clone()]);
        self.end += behind.len();
        chunk.truncate(cut);
        let chunks = self.chunks.get_or_insert_default();
        chunks.save(&self.writer.session, &self.writer.jobs, chunk)
    }
}

impl Drop for FileWriter<'_> {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        if buffer.capacity() >= LARGE {
            self.writer.session.buffers.keep_chunk(buffer);
        }
    }
}
