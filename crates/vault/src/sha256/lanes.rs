//! Up to four messages in lockstep, by the SHA extensions of x86-64.

use std::arch::x86_64::*;

use super::LANES;

const BLOCK: usize = 64;

const INITIAL: [u32; 8] = [
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
];

#[rustfmt::skip]
const ROUND_CONSTANTS: [[u32; 4]; 16] = [
    [0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5], [0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5],
    [0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3], [0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174],
    [0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc], [0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da],
    [0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7], [0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967],
    [0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13], [0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85],
    [0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3], [0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070],
    [0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5], [0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3],
    [0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208], [0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2],
];

/// That this processor has what [`compress`] needs.
#[derive(Clone, Copy)]
pub(super) struct Lockstep(());

impl Lockstep {
    pub(super) fn detect() -> Option<Lockstep> {
        let there = is_x86_feature_detected!("sha")
            && is_x86_feature_detected!("sse4.1")
            && is_x86_feature_detected!("ssse3")
            && is_x86_feature_detected!("avx");
        there.then_some(Lockstep(()))
    }

    /// The digests of messages, in their order. As soon as one message ends the next one takes its lane.
    pub(super) fn digests(self, messages: &[&[u8]]) -> Vec<[u8; 32]> {
        let mut digests = vec![[0; 32]; messages.len()];
        let mut waiting = messages.iter().enumerate();
        let mut lanes: Vec<Lane<'_>> = Vec::with_capacity(LANES);
        loop {
            let free = LANES - lanes.len();
            lanes.extend(waiting.by_ref().take(free).map(Lane::new));
            match &mut lanes[..] {
                [] => return digests,
                [a] => self.step([a]),
                [a, b] => self.step([a, b]),
                [a, b, c] => self.step([a, b, c]),
                [a, b, c, d, ..] => self.step([a, b, c, d]),
            }
            lanes.retain_mut(|lane| match lane.next_part() {
                true => true,
                false => {
                    digests[lane.number] = lane.digest();
                    false
                }
            });
        }
    }

    /// Takes all lanes to the nearest end of a part.
    fn step<const N: usize>(self, mut lanes: [&mut Lane<'_>; N]) {
        let blocks = lanes.iter().map(|l| l.left()).min().unwrap_or_default();
        let mut states = lanes.each_ref().map(|lane| lane.state);
        let parts = lanes.each_ref().map(|lane| lane.ahead(blocks));
        // SAFETY: `self` is made by `detect` alone, which has seen the features that `compress` is compiled with.
        #[allow(unsafe_code)]
        unsafe {
            compress(&mut states, parts, blocks);
        }
        for (lane, state) in lanes.iter_mut().zip(states) {
            lane.state = state;
            lane.done += blocks * BLOCK;
        }
    }
}

/// One message on its way: its whole blocks first, then a copy of what is left, with the padding.
struct Lane<'m> {
    number: usize,
    state: [u32; 8],
    whole: &'m [u8],
    /// One or two blocks.
    end: [u8; 2 * BLOCK],
    end_length: usize,
    in_end: bool,
    /// Bytes of the part that are hashed.
    done: usize,
}

impl<'m> Lane<'m> {
    fn new((number, message): (usize, &&'m [u8])) -> Lane<'m> {
        let (whole, rest) = message.split_at(message.len() / BLOCK * BLOCK);
        let mut end = [0; 2 * BLOCK];
        end[..rest.len()].copy_from_slice(rest);
        end[rest.len()] = 0x80;
        let end_length = if rest.len() + 9 > BLOCK {
            2 * BLOCK
        } else {
            BLOCK
        };
        let bits = message.len() as u64 * 8;
        end[end_length - 8..end_length].copy_from_slice(&bits.to_be_bytes());
        Lane {
            number,
            state: INITIAL,
            whole,
            end,
            end_length,
            in_end: whole.is_empty(),
            done: 0,
        }
    }

    fn part(&self) -> &[u8] {
        if self.in_end {
            &self.end[..self.end_length]
        } else {
            self.whole
        }
    }

    /// Blocks of this part that are left.
    fn left(&self) -> usize {
        (self.part().len() - self.done) / BLOCK
    }

    fn ahead(&self, blocks: usize) -> &[u8] {
        &self.part()[self.done..self.done + blocks * BLOCK]
    }

    /// Goes on to the end where the whole blocks are done; `false` when all is done.
    fn next_part(&mut self) -> bool {
        if self.done < self.part().len() {
            return true;
        }
        if self.in_end {
            return false;
        }
        (self.in_end, self.done) = (true, 0);
        true
    }

    fn digest(&self) -> [u8; 32] {
        let mut digest = [0; 32];
        for (bytes, word) in digest.chunks_exact_mut(4).zip(self.state) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        digest
    }
}

/// Sixteen bytes as they lie in memory.
#[inline(always)]
fn load<T: Copy>(bytes: &[T], at: usize) -> __m128i {
    let from = &bytes[at..at + 16 / size_of::<T>()];
    // SAFETY: the slice has sixteen bytes, and the instruction asks for no alignment.
    #[allow(unsafe_code)]
    unsafe {
        _mm_loadu_si128(from.as_ptr().cast())
    }
}

/// Four words, as [`load`] reads them.
#[inline(always)]
fn store(words: &mut [u32], value: __m128i) {
    let to = &mut words[..4];
    // SAFETY: as in `load`.
    #[allow(unsafe_code)]
    unsafe {
        _mm_storeu_si128(to.as_mut_ptr().cast(), value);
    }
}

/// FIPS 180-4, 6.2.2, for `blocks` blocks of each of `N` messages. The instructions keep the state as (A, B, E, F)
/// and (C, D, G, H), and take four words of the schedule for four rounds (Intel's "SHA extensions", 2013).
// A lane is an index into several arrays.
#[allow(clippy::needless_range_loop)]
#[target_feature(enable = "sha,sse4.1,ssse3,avx")]
fn compress<const N: usize>(states: &mut [[u32; 8]; N], parts: [&[u8]; N], blocks: usize) {
    let big_endian = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    let mut abef = [_mm_setzero_si128(); N];
    let mut cdgh = abef;
    for lane in 0..N {
        let cdab = _mm_shuffle_epi32(load(&states[lane], 0), 0xb1);
        let efgh = _mm_shuffle_epi32(load(&states[lane], 4), 0x1b);
        abef[lane] = _mm_alignr_epi8(cdab, efgh, 8);
        cdgh[lane] = _mm_blend_epi16(efgh, cdab, 0xf0);
    }
    for block in 0..blocks {
        let (before, behind) = (abef, cdgh);
        let mut schedule = [[_mm_setzero_si128(); N]; 4];
        for (n, words) in schedule.iter_mut().enumerate() {
            for lane in 0..N {
                let bytes = load(parts[lane], block * BLOCK + n * 16);
                words[lane] = _mm_shuffle_epi8(bytes, big_endian);
            }
        }
        for four in 0..16 {
            let constants = load(&ROUND_CONSTANTS[four], 0);
            let [now, next, later, last] = [0, 1, 2, 3].map(|n| (four + n) % 4);
            for lane in 0..N {
                let words = _mm_add_epi32(schedule[now][lane], constants);
                cdgh[lane] = _mm_sha256rnds2_epu32(cdgh[lane], abef[lane], words);
                let words = _mm_shuffle_epi32(words, 0x0e);
                abef[lane] = _mm_sha256rnds2_epu32(abef[lane], cdgh[lane], words);
            }
            if four < 12 {
                for lane in 0..N {
                    let words = _mm_sha256msg1_epu32(schedule[now][lane], schedule[next][lane]);
                    let seven = _mm_alignr_epi8(schedule[last][lane], schedule[later][lane], 4);
                    let words = _mm_add_epi32(words, seven);
                    schedule[now][lane] = _mm_sha256msg2_epu32(words, schedule[last][lane]);
                }
            }
        }
        for lane in 0..N {
            abef[lane] = _mm_add_epi32(abef[lane], before[lane]);
            cdgh[lane] = _mm_add_epi32(cdgh[lane], behind[lane]);
        }
    }
    for lane in 0..N {
        let feba = _mm_shuffle_epi32(abef[lane], 0x1b);
        let dchg = _mm_shuffle_epi32(cdgh[lane], 0xb1);
        store(&mut states[lane][..4], _mm_blend_epi16(feba, dchg, 0xf0));
        store(&mut states[lane][4..], _mm_alignr_epi8(dchg, feba, 8));
    }
}
