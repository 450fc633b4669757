//! Buffers that are used again, rather than given back to the system and asked for anew.

use parking_lot::Mutex;

use crate::{
    env::Random,
    error::Result,
    pack::{Pages, no_memory},
    seal::{IV_LEN, OVERHEAD, SealKey, TAG_LEN},
};

/// Bytes of chunks' buffers that are kept.
const MOST_OF_CHUNKS: usize = 16 << 20;
/// Packs whose buffers are kept.
const MOST_PACKS: usize = 4;

/// A piece of a file, in memory in which it can be sealed: room for the IV, its bytes, and behind them whatever was there
/// when the memory was used before, which nobody need clear.
pub(super) struct Chunk {
    memory: Vec<u8>,
    /// Where its bytes end.
    end: usize,
}

impl Chunk {
    /// None, with room for so many bytes.
    pub(super) fn with_room_for(bytes: usize) -> Chunk {
        Chunk::within(Vec::with_capacity(bytes + OVERHEAD))
    }

    /// None, in memory that was used before.
    fn within(mut memory: Vec<u8>) -> Chunk {
        if memory.len() < IV_LEN {
            memory.resize(IV_LEN, 0);
        }
        Chunk {
            memory,
            end: IV_LEN,
        }
    }

    /// Its bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.memory[IV_LEN..self.end]
    }

    /// How many they are.
    pub(super) fn len(&self) -> usize {
        self.end - IV_LEN
    }

    /// Where the next `count` bytes belong; they count from [`grow`](Self::grow) on.
    pub(super) fn room(&mut self, count: usize) -> &mut [u8] {
        let end = self.end + count;
        if self.memory.len() < end {
            self.memory.resize(end, 0);
        }
        &mut self.memory[self.end..end]
    }

    /// Takes as many bytes in that lie in its [room](Self::room).
    pub(super) fn grow(&mut self, count: usize) {
        self.end = (self.end + count).min(self.memory.len());
    }

    /// Moves the bytes from `length` on to another one.
    pub(super) fn split_off(&mut self, length: usize, to: &mut Chunk) {
        let behind = &self.bytes()[length..];
        to.room(behind.len()).copy_from_slice(behind);
        to.grow(behind.len());
        self.end = IV_LEN + length;
    }

    /// Seals it where it lies; its bytes are lost by that.
    pub(super) fn seal(&mut self, key: &SealKey, random: &dyn Random) -> Result<&[u8]> {
        self.room(TAG_LEN);
        let sealed = &mut self.memory[..self.end + TAG_LEN];
        key.seal_slice(random, sealed)?;
        self.end = IV_LEN;
        Ok(sealed)
    }

    /// Bytes of its memory.
    pub(super) fn capacity(&self) -> usize {
        self.memory.capacity()
    }
}

/// Of one session.
#[derive(Default)]
pub(super) struct Buffers {
    chunks: Mutex<Vec<Vec<u8>>>,
    packs: Mutex<Vec<Pages>>,
}

impl Buffers {
    /// For a chunk.
    pub(super) fn chunk(&self) -> Chunk {
        Chunk::within(self.chunks.lock().pop().unwrap_or_default())
    }

    /// Keeps a chunk's memory.
    pub(super) fn keep_chunk(&self, chunk: Chunk) {
        let mut buffers = self.chunks.lock();
        let kept: usize = buffers.iter().map(Vec::capacity).sum();
        if kept + chunk.capacity() <= MOST_OF_CHUNKS {
            buffers.push(chunk.memory);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{env::SystemRandom, seal::KeyMaterial};

    #[test]
    fn what_was_there_before_is_never_in_a_chunk() {
        let key = SealKey::new(&KeyMaterial::from_bytes(&[5; 64])).unwrap();
        let buffers = Buffers::default();
        let mut expected = Vec::new();
        for length in [100_000, 17, 0, 99_984, 5000] {
            let mut chunk = buffers.chunk();
            let mut rest = buffers.chunk();
            assert_eq!((chunk.len(), rest.len()), (0, 0));
            let bytes = vec![length as u8; length];
            chunk.room(length + 40).fill(0xee);
            chunk.room(length).copy_from_slice(&bytes);
            chunk.grow(length);
            chunk.split_off(length / 3, &mut rest);
            for part in [chunk, rest] {
                expected.extend_from_slice(part.bytes());
                let mut part = part;
                let plain = part.bytes().to_vec();
                let sealed = part.seal(&key, &SystemRandom).unwrap().to_vec();
                assert!(key.open(&sealed).unwrap() == plain);
                buffers.keep_chunk(part);
            }
            assert!(expected == bytes);
            expected.clear();
        }
        // Memory is used again.
        assert!(buffers.chunk().capacity() > 100_000);
    }
}
