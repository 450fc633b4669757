//! One file on its way into the vault, as a stream.

use std::sync::Arc;

use super::{SavedFile, Writer, pool::Chunks};
use crate::{
    blob::BlobKind,
    chunk::{ChunkPolicy, Cutter, HOLE_MINIMUM, hole_blobs},
    error::Result,
};

/// Bytes that are looked at between two attempts to cut. What lies behind a cut is copied once, and
/// this bounds it.
const PIECE: usize = 128 << 10;

/// Takes the bytes of a file in order. Dropped without [`finish`](Self::finish), the file is
/// forgotten (chunks that were saved stay: they are garbage at worst).
///
/// Files of one chunk are saved on the caller's thread; the chunks of larger ones go to the
/// session's workers.
pub struct FileWriter<'w> {
    writer: &'w Writer,
    cutter: Cutter,
    piece: usize,
    /// Bytes since the last cut.
    buffer: Vec<u8>,
    chunks: Option<Arc<Chunks>>,
    size: u64,
}

impl<'w> FileWriter<'w> {
    pub(super) fn new(writer: &'w Writer, policy: ChunkPolicy, size_hint: u64) -> Self {
        let piece = match policy {
            ChunkPolicy::Fixed { size } => (size as usize).clamp(1, PIECE),
            ChunkPolicy::ContentDefined => PIECE,
        };
        let buffer = if size_hint >= PIECE as u64 {
            writer.session.buffer()
        } else {
            Vec::new()
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
        let size = self.size;
        while let Some(length) = self.cutter.next_cut(&self.buffer, true) {
            if self.chunks.is_none() && length == self.buffer.len() {
                // The whole file is one chunk: no need for another thread.
                let id = self.writer.session.save(BlobKind::Data, &self.buffer)?;
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
        while let Some(length) = self.cutter.next_cut(&self.buffer, end) {
            self.hand_over(length)?;
        }
        Ok(())
    }

    fn hand_over(&mut self, length: usize) -> Result<()> {
        let mut rest = self.writer.session.buffer();
        rest.extend_from_slice(&self.buffer[length..]);
        self.buffer.truncate(length);
        let chunk = std::mem::replace(&mut self.buffer, rest);
        let chunks = self.chunks.get_or_insert_default();
        chunks.save(&self.writer.session, &self.writer.jobs, chunk)
    }
}

impl Drop for FileWriter<'_> {
    fn drop(&mut self) {
        let buffer = std::mem::take(&mut self.buffer);
        if buffer.capacity() >= PIECE {
            self.writer.session.recycle(buffer);
        }
    }
}
