//! One file on its way into the vault, as a stream.

use std::sync::Arc;

use super::{SavedFile, Writer, pool::Chunks};
use crate::{
    chunk::{ChunkPolicy, Cutter, HOLE_MINIMUM, hole_blobs},
    error::Result,
    seal::{IV_LEN, OVERHEAD},
};

/// Bytes that are looked at between two attempts to cut. What lies behind a cut is copied once, and
/// this bounds it.
const PIECE: usize = 32 << 10;

/// Takes the bytes of a file in order. Dropped without [`finish`](Self::finish), the file is
/// forgotten (chunks that were saved stay: they are garbage at worst).
///
/// Files of one chunk are saved on the caller's thread; the chunks of larger ones go to the
/// session's workers.
pub struct FileWriter<'w> {
    writer: &'w Writer,
    cutter: Cutter,
    piece: usize,
    /// Room for the IV, and the bytes since the last cut.
    buffer: Vec<u8>,
    chunks: Option<Arc<Chunks>>,
    size: u64,
}

impl<'w> FileWriter<'w> {
    pub(super) fn new(writer: &'w Writer, policy: ChunkPolicy, size_hint: u64) -> Self {
        let piece = match policy {
            ChunkPolicy::Fixed { size } => (size as usize).clamp(1, PIECE),
            ChunkPolicy::ContentDefined { .. } => PIECE,
        };
        let buffer = if size_hint >= PIECE as u64 {
            writer.session.buffers.chunk()
        } else {
            let mut buffer = Vec::with_capacity(size_hint as usize + OVERHEAD);
            buffer.resize(IV_LEN, 0);
            buffer
        };
        Self {
            writer,
            cutter: Cutter::new(policy),
            piece,
            buffer,
            chunks: None,
            size: 0,
        }
    }

    /// Appends bytes.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(self.piece) {
            self.buffer.extend_from_slice(piece);
            self.cut(false)?;
        }
        self.size += bytes.len() as u64;
        Ok(())
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
        while let Some(length) = self.cutter.next_cut(&self.buffer[IV_LEN..], true) {
            if self.chunks.is_none() && length == self.buffer.len() - IV_LEN {
                // The whole file is one chunk: no need for another thread.
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

    /// Cuts off and saves as many chunks as there are.
    fn cut(&mut self, end: bool) -> Result<()> {
        while let Some(length) = self.cutter.next_cut(&self.buffer[IV_LEN..], end) {
            self.hand_over(length)?;
        }
        Ok(())
    }

    fn hand_over(&mut self, length: usize) -> Result<()> {
        let mut rest = self.writer.session.buffers.chunk();
        let end = IV_LEN + length;
        rest.extend_from_slice(&self.buffer[end..]);
        self.buffer.truncate(end);
        let chunk = std::mem::replace(&mut self.buffer, rest);
        let chunks = self.chunks.get_or_insert_default();
        chunks.save(&self.writer.session, &self.writer.jobs, chunk)
    }
}

impl Drop for FileWriter<'_> {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        if buffer.capacity() >= PIECE {
            self.writer.session.buffers.keep_chunk(buffer);
        }
    }
}
