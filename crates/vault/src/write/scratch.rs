//! What each thread keeps from blob to blob: zstd contexts and buffers.

use std::{cell::RefCell, io::Cursor, num::NonZeroU32};

use zstd::zstd_safe::{CParameter, Strategy, compress_bound};

use super::{DEFAULT_LEVEL, buffers::Chunk};
use crate::{
    blob::BlobKind,
    env::Random,
    error::{Result, VaultError},
    seal::{IV_LEN, OVERHEAD, SealKey},
};

/// Smaller blobs are not worth a probe.
const PROBE_FROM: usize = 64 << 10;
/// Bytes of each of the windows that the probe looks at.
const WINDOW: usize = 4 << 10;
/// Windows of the probe, spread over the blob.
const WINDOWS: usize = 3;
/// The level of the probe, whatever the session's is: what it finds nothing in is hardly worth more work. Lower ones do
/// without Huffman codes, and would take what has few different bytes for noise.
const PROBE_LEVEL: i32 = 1;
/// Its table has two to the power of this entries of four bytes, one for each byte of a few windows: it stays in the
/// processor's first cache, where zstd's own choice for so many bytes is eight times as large and has to be cleared each time.
const PROBE_HASH_LOG: u32 = 12;
/// Bytes that have to come again, for the probe and at the default level.
const SHORTEST_MATCH: u32 = 4;
/// What the default level is to zstd, in place of what zstd makes of it for each length (ADR 43): matches of four bytes and
/// more, found by a table of 64 KiB.
const DEFAULT_MATCHER: [CParameter; 3] = [
    CParameter::Strategy(Strategy::ZSTD_fast),
    CParameter::MinMatch(SHORTEST_MATCH),
    CParameter::HashLog(14),
];
/// Buffers larger than this are given back rather than kept by every thread.
const KEEP: usize = 12 << 20;

thread_local! {
    static SCRATCH: RefCell<Option<Scratch>> = const { RefCell::new(None) };
}

/// The plain bytes of a blob.
pub(super) enum Plain<'p> {
    /// Somebody else's.
    Shared(&'p [u8]),
    /// What does not compress is sealed where it lies.
    Own(&'p mut Chunk),
}

impl Plain<'_> {
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Plain::Shared(bytes) => bytes,
            Plain::Own(chunk) => chunk.bytes(),
        }
    }
}

/// A blob that is compressed (if that paid) and sealed.
pub(super) struct Sealed<'s> {
    /// Bytes for the pack.
    pub(super) bytes: &'s [u8],
    /// Plain bytes, if it is compressed.
    pub(super) plain_length: Option<NonZeroU32>,
}

struct Scratch {
    level: i32,
    zstd: zstd::bulk::Compressor<'static>,
    probe: zstd::bulk::Compressor<'static>,
    /// IV room, ciphertext, tag.
    sealed: Vec<u8>,
    sample: Vec<u8>,
}

fn failed(source: std::io::Error) -> VaultError {
    VaultError::Io {
        context: "compress a blob".to_owned(),
        source,
    }
}

/// Compresses and seals a blob, in this thread's buffers or in its own, and hands the result to `use_it`.
pub(super) fn with_sealed<T>(
    key: &SealKey,
    random: &dyn Random,
    level: i32,
    kind: BlobKind,
    plain: Plain<'_>,
    use_it: impl FnOnce(Sealed<'_>) -> Result<T>,
) -> Result<T> {
    SCRATCH.with_borrow_mut(|slot| {
        let scratch = match slot {
            Some(scratch) if scratch.level == level => scratch,
            slot => slot.insert(Scratch::new(level).map_err(failed)?),
        };
        let plain_length = scratch.compress(kind, plain.bytes())?;
        let bytes = match plain {
            Plain::Own(chunk) if plain_length.is_none() => chunk.seal(key, random)?,
            other => {
                if let (Plain::Shared(bytes), None) = (other, plain_length) {
                    scratch.copy(bytes);
                }
                key.seal_in_place(random, &mut scratch.sealed, 0)?;
                &scratch.sealed
            }
        };
        let result = use_it(Sealed {
            bytes,
            plain_length,
        });
        if scratch.sealed.capacity() > KEEP {
            scratch.sealed = Vec::new();
        }
        result
    })
}

impl Scratch {
    fn new(level: i32) -> std::io::Result<Scratch> {
        let mut probe = zstd::bulk::Compressor::new(PROBE_LEVEL)?;
        probe.set_parameter(CParameter::HashLog(PROBE_HASH_LOG))?;
        probe.set_parameter(CParameter::MinMatch(SHORTEST_MATCH))?;
        let mut zstd = zstd::bulk::Compressor::new(level)?;
        if level == DEFAULT_LEVEL {
            for parameter in DEFAULT_MATCHER {
                zstd.set_parameter(parameter)?;
            }
        }
        Ok(Scratch {
            level,
            zstd,
            probe,
            sealed: Vec::new(),
            sample: Vec::new(),
        })
    }

    /// Puts IV room and the compressed blob into `sealed`, and tells its plain length, if that pays.
    fn compress(&mut self, kind: BlobKind, plain: &[u8]) -> Result<Option<NonZeroU32>> {
        self.sealed.clear();
        // restic has every tree compressed in version 2.
        if kind == BlobKind::Tree || self.compressible(plain)? {
            self.sealed.reserve(compress_bound(plain.len()) + OVERHEAD);
            let mut behind_iv = Cursor::new(&mut self.sealed);
            behind_iv.set_position(IV_LEN as u64);
            let length = self
                .zstd
                .compress_to_buffer(plain, &mut behind_iv)
                .map_err(failed)?;
            // Four bytes more in the header, and a decompression at each reading.
            if kind == BlobKind::Tree || length + 4 < plain.len() {
                return Ok(u32::try_from(plain.len()).ok().and_then(NonZeroU32::new));
            }
        }
        Ok(None)
    }

    /// Puts IV room and the blob as it is into `sealed`.
    fn copy(&mut self, plain: &[u8]) {
        self.sealed.clear();
        self.sealed.reserve(plain.len() + OVERHEAD);
        self.sealed.resize(IV_LEN, 0);
        self.sealed.extend_from_slice(plain);
    }

    /// Compresses a few windows of the blob: what does not give there will not give elsewhere.
    fn compressible(&mut self, plain: &[u8]) -> Result<bool> {
        if plain.len() < PROBE_FROM {
            return Ok(true);
        }
        self.sample.clear();
        let stride = (plain.len() - WINDOW) / (WINDOWS - 1);
        for n in 0..WINDOWS {
            let start = n * stride;
            self.sample.extend_from_slice(&plain[start..start + WINDOW]);
        }
        self.sealed.reserve(compress_bound(self.sample.len()));
        let length = self
            .probe
            .compress_to_buffer(&self.sample, &mut self.sealed)
            .map_err(failed)?;
        self.sealed.clear();
        Ok(length * 50 < self.sample.len() * 49)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{env::SystemRandom, seal::KeyMaterial};

    /// Both ways.
    fn seal(kind: BlobKind, bytes: &[u8]) -> (usize, Option<u32>, Vec<u8>) {
        let mut own = Chunk::with_room_for(0);
        own.room(bytes.len()).copy_from_slice(bytes);
        own.grow(bytes.len());
        let sealed = seal_one(kind, Plain::Own(&mut own));
        assert!(seal_one(kind, Plain::Shared(bytes)) == sealed);
        sealed
    }

    fn seal_one(kind: BlobKind, plain: Plain<'_>) -> (usize, Option<u32>, Vec<u8>) {
        let key = SealKey::new(&KeyMaterial::from_bytes(&[5; 64])).unwrap();
        with_sealed(&key, &SystemRandom, 2, kind, plain, |sealed| {
            let opened = key.open(sealed.bytes).unwrap();
            let length = sealed.plain_length.map(NonZeroU32::get);
            let bytes = match length {
                Some(n) => zstd::bulk::decompress(&opened, n as usize).unwrap(),
                None => opened,
            };
            Ok((sealed.bytes.len(), length, bytes))
        })
        .unwrap()
    }

    #[test]
    fn compresses_what_gives_and_leaves_the_rest() {
        let text = b"all work and no play ".repeat(10_000);
        let (size, length, bytes) = seal(BlobKind::Data, &text);
        assert!(size < text.len() / 10 && length.is_some() && bytes == text);

        let mut noise = vec![0; 1 << 20];
        SystemRandom.fill(&mut noise).unwrap();
        let (size, length, bytes) = seal(BlobKind::Data, &noise);
        assert_eq!((size, length), (noise.len() + OVERHEAD, None));
        assert!(bytes == noise);

        // Nothing comes twice here, but only 64 of 256 values come at all.
        noise.iter_mut().for_each(|byte| *byte &= 63);
        let (size, length, bytes) = seal(BlobKind::Data, &noise);
        assert!(size < noise.len() * 4 / 5 && length.is_some() && bytes == noise);

        // Four bytes come again, hardly ever five: as the pointers in a page of an index do.
        SystemRandom.fill(&mut noise).unwrap();
        let mut at = noise.len();
        while at >= 5 {
            at -= 5;
            let again = usize::from(noise[at]) * 5;
            noise.copy_within(again..again + 4, at);
        }
        let (size, length, bytes) = seal(BlobKind::Data, &noise);
        assert!(size < noise.len() * 9 / 10 && length.is_some() && bytes == noise);

        // A tree is compressed whatever it costs; tiny data is not.
        assert_eq!(seal(BlobKind::Tree, b"x").1, Some(1));
        assert_eq!(seal(BlobKind::Data, b"x").1, None);
    }
}
