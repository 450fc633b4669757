//! Buffers that are used again, rather than given back to the system and asked for anew.

use parking_lot::Mutex;

use crate::seal::IV_LEN;

/// Bytes of chunks' buffers that are kept.
const MOST_OF_CHUNKS: usize = 16 << 20;
/// Packs whose buffers are kept.
const MOST_PACKS: usize = 4;

/// Of one session.
#[derive(Default)]
pub(super) struct Buffers {
    chunks: Mutex<Vec<Vec<u8>>>,
    packs: Mutex<Vec<Vec<u8>>>,
}

impl Buffers {
    /// For a chunk: nothing but room for the IV.
    pub(super) fn chunk(&self) -> Vec<u8> {
        let mut buffer = self.chunks.lock().pop().unwrap_or_default();
        buffer.resize(IV_LEN, 0);
        buffer
    }

    /// Keeps a chunk's buffer.
    pub(super) fn keep_chunk(&self, mut buffer: Vec<u8>) {
        let mut buffers = self.chunks.lock();
        let kept: usize = buffers.iter().map(Vec::capacity).sum();
        if kept + buffer.capacity() <= MOST_OF_CHUNKS {
            buffer.clear();
            buffers.push(buffer);
        }
    }

    /// For a pack of about so many bytes.
    pub(super) fn pack(&self, size: usize) -> Vec<u8> {
        let used = self.packs.lock().pop();
        // Room for a pack and the blob that fills it, rather than twice a pack by doubling.
        used.unwrap_or_else(|| Vec::with_capacity(size + (1 << 20)))
    }

    /// Keeps a pack's buffer.
    pub(super) fn keep_pack(&self, buffer: Vec<u8>) {
        let mut buffers = self.packs.lock();
        if buffers.len() < MOST_PACKS {
            buffers.push(buffer);
        }
    }

    /// Gives all of them back.
    pub(super) fn forget(&self) {
        self.chunks.lock().clear();
        self.packs.lock().clear();
    }
}
