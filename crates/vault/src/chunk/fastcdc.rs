//! FastCDC, the 2020 version: a rolling gear hash over two bytes at a time, a strict mask below the
//! average length and a relaxed one above (normalised chunking, level 1).
//!
//! Frozen: table, masks and lengths are part of the format of our vaults. The cuts are those of the crate
//! `fastcdc` 5 (`v2020`), which the tests hold it against.

use super::gear::GEAR;

/// No blob is shorter, but the last of a file.
pub const MINIMUM: usize = 512 << 10;
/// Length around which blobs gather.
pub const AVERAGE: usize = 1 << 20;
/// No blob is longer.
pub const MAXIMUM: usize = 8 << 20;

/// Bits that must be zero for a cut below [`AVERAGE`]: 21 of them, spread.
const STRICT: u64 = 0x0000_d917_6753_7000;
/// Bits that must be zero for a cut above it: 19.
const RELAXED: u64 = 0x0000_d917_0753_7000;

/// State between two looks at one chunk.
#[derive(Debug)]
pub(super) struct FastCdc {
    /// Bytes of the current chunk that were looked at, or skipped: always even.
    scanned: usize,
    hash: u64,
}

impl Default for FastCdc {
    fn default() -> Self {
        // The bytes before the shortest chunk's end are never looked at.
        Self {
            scanned: MINIMUM,
            hash: 0,
        }
    }
}

impl FastCdc {
    pub(super) fn next_cut(&mut self, buffer: &[u8], end_of_input: bool) -> Option<usize> {
        let cut = match self.find(buffer) {
            Some(cut) => Some(cut),
            None if buffer.len() >= MAXIMUM => Some(MAXIMUM),
            None if end_of_input && !buffer.is_empty() => Some(buffer.len()),
            None => None,
        };
        if cut.is_some() {
            *self = Self::default();
        }
        cut
    }

    fn find(&mut self, buffer: &[u8]) -> Option<usize> {
        // Cuts are looked for at pairs of bytes: the odd byte at the end of a file is never tested.
        let end = buffer.len().min(MAXIMUM) & !1;
        for (limit, mask) in [(end.min(AVERAGE), STRICT), (end, RELAXED)] {
            if let Some(window) = buffer.get(self.scanned..limit) {
                let (hash, found) = scan(window, self.hash, mask);
                self.hash = hash;
                if let Some(at) = found {
                    return Some(self.scanned + at);
                }
                self.scanned = limit;
            }
        }
        None
    }
}

/// Rolls the hash over `window` (of even length) and stops where the bits of `mask` are zero.
#[inline]
fn scan(window: &[u8], mut hash: u64, mask: u64) -> (u64, Option<usize>) {
    // In pairs, the hash of the first byte is kept shifted by one, so that a pair costs one shift.
    let shifted_mask = mask << 1;
    for (pair, &[first, second]) in window.as_chunks::<2>().0.iter().enumerate() {
        hash = (hash << 2).wrapping_add(GEAR[first as usize] << 1);
        if hash & shifted_mask == 0 {
            return (hash, Some(2 * pair));
        }
        hash = hash.wrapping_add(GEAR[second as usize]);
        if hash & mask == 0 {
            return (hash, Some(2 * pair + 1));
        }
    }
    (hash, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes from a seed (SplitMix64): the same for ever.
    fn noise(seed: u64, length: usize) -> Vec<u8> {
        let mut state = seed;
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut word = state;
            word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            bytes.extend_from_slice(&(word ^ (word >> 31)).to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    /// Cuts `data` as it arrives in pieces of `step` bytes.
    fn cuts(data: &[u8], step: usize) -> Vec<usize> {
        let (mut cutter, mut cuts) = (FastCdc::default(), Vec::new());
        let (mut begin, mut arrived) = (0, 0);
        loop {
            let end = arrived == data.len();
            match cutter.next_cut(&data[begin..arrived], end) {
                Some(length) => {
                    cuts.push(length);
                    begin += length;
                }
                None if end => return cuts,
                None => arrived = data.len().min(arrived + step),
            }
        }
    }

    fn reference(data: &[u8]) -> Vec<usize> {
        fastcdc::v2020::FastCDC::new(data, MINIMUM, AVERAGE, MAXIMUM)
            .map(|c| c.length)
            .collect()
    }

    #[test]
    fn cuts_as_the_reference_does() {
        for (seed, length) in [
            (1, 40 << 20),
            (2, (9 << 20) + 1),
            (3, (1 << 20) + 3),
            (4, MINIMUM + 1),
        ] {
            let data = noise(seed, length);
            assert_eq!(cuts(&data, length), reference(&data), "seed {seed}");
        }
        let zeros = vec![0; (20 << 20) + 1];
        assert_eq!(cuts(&zeros, 1 << 20), reference(&zeros));
        let text: Vec<u8> = (0..3_000_000_u32)
            .flat_map(|n| n.to_string().into_bytes())
            .collect();
        assert_eq!(cuts(&text, 333_333), reference(&text));
    }

    #[test]
    fn does_not_depend_on_how_bytes_arrive() {
        let data = noise(5, 12 << 20);
        let whole = cuts(&data, data.len());
        assert!(whole.len() > 3, "a test of one cut tests nothing");
        for step in [1 << 20, (64 << 10) + 1, 4097] {
            assert_eq!(cuts(&data, step), whole, "step {step}");
        }
    }

    /// Frozen: these change only if old vaults may stop deduplicating against new ones.
    #[test]
    fn frozen_vectors() {
        assert_eq!(cuts(&noise(42, 8 << 20), 1 << 20), FROZEN);
    }
    const FROZEN: [usize; 7] = [1689120, 1600023, 1184901, 1735177, 1106366, 634539, 438482];

    #[test]
    fn short_and_empty() {
        assert_eq!(cuts(b"", 1), [0_usize; 0]);
        assert_eq!(cuts(b"abc", 2), [3]);
        assert_eq!(cuts(&vec![7; MINIMUM], 1 << 20), [MINIMUM]);
    }
}
