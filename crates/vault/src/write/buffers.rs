//! Buffers that are used again, rather than given back to the system and asked for anew.

use parking_lot::Mutex;

use crate::{
    error::Result,
    pack::{Pages, no_memory},
    seal::IV_LEN,
};

/// Bytes of chunks' buffers that are kept.
const MOST_OF_CHUNKS: usize = 16 << 20;
/// Packs whose buffers are kept.
const MOST_PACKS: usize = 4;

/// Of one session.
#[derive(Default)]
pub(super) struct Buffers {
    chunks: Mutex<Vec<Vec<u8>>>,
    packs: Mutex<Vec<Pages>>,
}

impl Buffers {
    /// For a chunk: room for the IV, and behind it whatever was there before.
    pub(super) fn chunk(&self) -> Vec<u8> {
        let mut buffer = self.chunks.lock().pop().unwrap_or_default();
        if buffer.len() < IV_LEN {
            buffer.resize(IV_LEN, 0);
        }
        buffer
    }

    /// Keeps a chunk's buffer.
    pub(super) fn keep_chunk(&self, buffer: Vec<u8>) {
        let mut buffers = self.chunks.lock();
        let kept: usize = buffers.iter().map(Vec::capacity).sum();
        if kept + buffer.capacity() <= MOST_OF_CHUNKS {
            buffers.push(buffer);
        }
    }

    /// For a pack of about so many bytes.
    pub(super) fn pack(&self, size: usize) -> Result<Pages> {
        let used = self.packs.lock().pop();
        // Room for a pack and the blob that fills it, rather than twice a pack by doubling.
        used.map_or_else(|| Pages::with_room_for(size + (1 << 20)), Ok)
            .map_err(no_memory)
    }

    /// Keeps a pack's buffer.
    pub(super) fn keep_pack(&self, buffer: Pages) {
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
