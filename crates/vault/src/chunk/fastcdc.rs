//! FastCDC, the 2020 version: a rolling gear hash over two bytes at a time, a strict mask below the
//! average length and a relaxed one above (normalised chunking, level 2).
//!
//! Frozen: table, masks and lengths are part of the format of our vaults. The cuts are those of the crate
//! `fastcdc` 5 (`v2020`), which the tests hold it against.

use std::array;

use super::gear::GEAR;

/// Average lengths that there are: powers of two between these. No blob of an average is shorter than half of
/// it, but the last of a file, and none longer than twice of it.
pub(super) const SHORTEST: u32 = 256 << 10;
pub(super) const LONGEST: u32 = 2 << 20;

/// By the average's power of two: bits that must be zero for a cut below it (two more than its power, spread), and
/// above it (two fewer).
const MASKS: [(u64, u64); 4] = [
    (0x0000_d917_4753_7000, 0x0000_d903_0353_7000),
    (0x0000_d917_6753_7000, 0x0000_d907_0353_7000),
    (0x0000_d937_6753_7000, 0x0000_d907_0753_7000),
    (0x0000_d937_7753_7000, 0x0000_d917_0753_7000),
];

/// State between two looks at one chunk.
#[derive(Debug)]
pub(super) struct FastCdc {
    average: usize,
    strict: u64,
    relaxed: u64,
    /// Bytes of the current chunk that were looked at, or skipped: always even.
    scanned: usize,
    hash: u64,
}

impl FastCdc {
    /// For an average length, taken as the nearest that there is.
    pub(super) fn new(average: u32) -> FastCdc {
        let average = average.clamp(SHORTEST, LONGEST);
        let power = (average.ilog2() - SHORTEST.ilog2()) as usize;
        let (strict, relaxed) = MASKS[power];
        let average = (SHORTEST as usize) << power;
        FastCdc {
            average,
            strict,
            relaxed,
            scanned: average / 2,
            hash: 0,
        }
    }

    /// Only the end of the file is cut off with fewer bytes.
    pub(super) fn shortest(&self) -> usize {
        self.average / 2
    }

    /// Begins the next chunk.
    pub(super) fn restart(&mut self) {
        // The bytes before the shortest chunk's end are never looked at.
        (self.scanned, self.hash) = (self.average / 2, 0);
    }

    pub(super) fn next_cut(&mut self, buffer: &[u8], end_of_input: bool) -> Option<usize> {
        let longest = 2 * self.average;
        let cut = match self.find(buffer, longest) {
            Some(cut) => Some(cut),
            None if buffer.len() >= longest => Some(longest),
            None if end_of_input && !buffer.is_empty() => Some(buffer.len()),
            None => None,
        };
        if cut.is_some() {
            self.restart();
        }
        cut
    }

    fn find(&mut self, buffer: &[u8], longest: usize) -> Option<usize> {
        // Cuts are looked for at pairs of bytes: the odd byte at the end of a file is never tested.
        let end = buffer.len().min(longest) & !1;
        for (limit, mask) in [(end.min(self.average), self.strict), (end, self.relaxed)] {
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

/// Stretches of a block that are looked at together. The hash of one byte needs that of the byte before, which leaves most
/// of a processor idle; that of another stretch needs only the 64 bytes before it, for older ones are shifted out.
const TOGETHER: usize = 4;
/// Bytes whose hash is whole again.
const WARM_UP: usize = 64;
/// Bytes of a block. Where a cut lies in one, it is looked at once more from its beginning.
const BLOCK: usize = 16 << 10;

/// Rolls the hash over `window` (of even length) and stops where the bits of `mask` are zero.
fn scan(window: &[u8], mut hash: u64, mask: u64) -> (u64, Option<usize>) {
    let mut at = 0;
    while window.len() - at >= 4 * TOGETHER * WARM_UP {
        let length = (window.len() - at).min(BLOCK) / (2 * TOGETHER) * (2 * TOGETHER);
        match pass(&window[at..at + length], hash, mask) {
            Some(behind) => (hash, at) = (behind, at + length),
            None => break,
        }
    }
    let (hash, found) = find(&window[at..], hash, mask);
    (hash, found.map(|found| at + found))
}

/// The hash behind `block`, unless there is a cut in it.
#[inline]
fn pass(block: &[u8], hash: u64, mask: u64) -> Option<u64> {
    let stretch = block.len() / TOGETHER;
    let count = stretch / 2;
    let pairs: [&[[u8; 2]]; TOGETHER] = array::from_fn(|n| {
        let stretch = &block[n * stretch..(n + 1) * stretch];
        &stretch.as_chunks().0[..count]
    });
    let mut hashes: [u64; TOGETHER] = array::from_fn(|n| match n * stretch {
        0 => hash,
        begin => {
            let before = block[begin - WARM_UP..begin].as_chunks().0;
            before.iter().fold(0, |hash, pair| roll(hash, pair).1)
        }
    });
    for n in 0..count {
        let mut cut = false;
        for (hash, pairs) in hashes.iter_mut().zip(pairs) {
            let (first, second) = roll(*hash, &pairs[n]);
            cut |= first & (mask << 1) == 0 || second & mask == 0;
            *hash = second;
        }
        if cut {
            return None;
        }
    }
    Some(hashes[TOGETHER - 1])
}

/// The hash behind each byte of a pair. That of the first one is kept shifted by one, so that a pair costs one shift.
#[inline]
fn roll(hash: u64, [first, second]: &[u8; 2]) -> (u64, u64) {
    let shifted = (hash << 2).wrapping_add(GEAR[usize::from(*first)] << 1);
    (shifted, shifted.wrapping_add(GEAR[usize::from(*second)]))
}

/// Pair by pair.
#[inline]
fn find(window: &[u8], mut hash: u64, mask: u64) -> (u64, Option<usize>) {
    for (n, pair) in window.as_chunks().0.iter().enumerate() {
        let (first, second) = roll(hash, pair);
        if first & (mask << 1) == 0 {
            return (first, Some(2 * n));
        }
        if second & mask == 0 {
            return (second, Some(2 * n + 1));
        }
        hash = second;
    }
    (hash, None)
}

#[cfg(test)]
mod tests {
    use fastcdc::v2020::{FastCDC, Normalization};

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
        cuts_around(SHORTEST, data, step)
    }

    fn cuts_around(average: u32, data: &[u8], step: usize) -> Vec<usize> {
        let (mut cutter, mut cuts) = (FastCdc::new(average), Vec::new());
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

    fn reference(average: u32, data: &[u8]) -> Vec<usize> {
        let (average, level) = (average as usize, Normalization::Level2);
        FastCDC::with_level(data, average / 2, average, 2 * average, level)
            .map(|c| c.length)
            .collect()
    }

    #[test]
    fn cuts_as_the_reference_does() {
        for (seed, length) in [
            (1, 20 << 20),
            (2, (9 << 20) + 1),
            (3, (256 << 10) + 3),
            (4, (128 << 10) + 1),
        ] {
            let data = noise(seed, length);
            assert_eq!(
                cuts(&data, length),
                reference(SHORTEST, &data),
                "seed {seed}"
            );
        }
        let text: Vec<u8> = (0..3_000_000_u32)
            .flat_map(|n| n.to_string().into_bytes())
            .collect();
        assert_eq!(cuts(&text, 333_333), reference(SHORTEST, &text));
        let noise = noise(6, 40 << 20);
        for power in 0..4 {
            let average = SHORTEST << power;
            let cuts = cuts_around(average, &noise, 1 << 20);
            assert!(cuts.len() > 5, "a test of one cut tests nothing");
            assert_eq!(cuts, reference(average, &noise));
            let zeros = vec![0; (20 << 20) + 1];
            let cuts = cuts_around(average, &zeros, 1 << 20);
            assert_eq!(cuts, reference(average, &zeros));
        }
    }

    #[test]
    fn an_average_that_is_not_there_is_the_nearest_that_is() {
        let data = noise(7, 10 << 20);
        for (asked, taken) in [(0, SHORTEST), (u32::MAX, LONGEST), (700 << 10, 512 << 10)] {
            assert_eq!(
                cuts_around(asked, &data, 1 << 20),
                cuts_around(taken, &data, 1 << 20)
            );
        }
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
        assert_eq!(cuts(&noise(42, 3 << 20), 1 << 20), FROZEN);
    }
    const FROZEN: [usize; 10] = [
        200872, 312756, 330562, 370081, 413331, 282022, 313509, 362809, 303015, 256771,
    ];

    #[test]
    fn short_and_empty() {
        assert_eq!(cuts(b"", 1), [0_usize; 0]);
        assert_eq!(cuts(b"abc", 2), [3]);
        assert_eq!(cuts(&vec![7; 128 << 10], 1 << 20), [128 << 10]);
    }
}
