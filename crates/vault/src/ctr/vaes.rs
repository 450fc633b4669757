//! Sixteen blocks in lockstep, two to a register, by VAES: a round takes some cycles and can begin twice a cycle, so eight
//! registers keep the unit busy.

use std::arch::x86_64::*;

use zeroize::Zeroizing;

/// Bytes of the blocks that are made together.
const GROUP: usize = 16 * BLOCK;
const BLOCK: usize = 16;
/// Keys of AES-256: one for each of 14 rounds, and one before.
const KEYS: usize = 15;

/// The keys of all rounds, each twice: once for each block of a register. Only where this processor has what
/// [`add_key_stream`] needs.
pub(crate) struct TwoBlocks(Box<Zeroizing<[[u8; 32]; KEYS]>>);

impl TwoBlocks {
    /// For a key, where this processor can.
    pub(super) fn detect(key: &[u8; 32]) -> Option<TwoBlocks> {
        let there = is_x86_feature_detected!("vaes")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("aes");
        there.then(|| {
            let mut keys = Box::new(Zeroizing::new([[0; 32]; KEYS]));
            // SAFETY: the features that it is compiled with have been seen.
            #[allow(unsafe_code)]
            unsafe {
                expand(key, &mut keys);
            }
            TwoBlocks(keys)
        })
    }

    /// Adds the key stream from `counter` on to `bytes`.
    pub(super) fn apply(&self, counter: u128, bytes: &mut [u8]) {
        let (groups, rest) = bytes.as_chunks_mut::<GROUP>();
        let behind = counter.wrapping_add((groups.len() * (GROUP / BLOCK)) as u128);
        // SAFETY: `self` is made by `detect` alone, which has seen the features that it is compiled with.
        #[allow(unsafe_code)]
        unsafe {
            add_key_stream(&self.0, counter, groups);
        }
        if !rest.is_empty() {
            let mut last = Zeroizing::new([0; GROUP]);
            last[..rest.len()].copy_from_slice(rest);
            // SAFETY: as above.
            #[allow(unsafe_code)]
            unsafe {
                add_key_stream(&self.0, behind, std::slice::from_mut(&mut last));
            }
            rest.copy_from_slice(&last[..rest.len()]);
        }
    }
}

/// Sixteen bytes as they lie in memory.
#[inline(always)]
fn load(bytes: &[u8]) -> __m128i {
    let from = &bytes[..16];
    // SAFETY: the slice has sixteen bytes, and the instruction asks for no alignment.
    #[allow(unsafe_code)]
    unsafe {
        _mm_loadu_si128(from.as_ptr().cast())
    }
}

/// Two blocks as they lie in memory.
#[inline(always)]
fn load_two(bytes: &[u8]) -> __m256i {
    let from = &bytes[..32];
    // SAFETY: the slice has 32 bytes, and the instruction asks for no alignment. Inlined into what is compiled with AVX2
    // alone.
    #[allow(unsafe_code)]
    unsafe {
        _mm256_loadu_si256(from.as_ptr().cast())
    }
}

/// As [`load_two`] reads them.
#[inline(always)]
fn store_two(bytes: &mut [u8], blocks: __m256i) {
    let to = &mut bytes[..32];
    // SAFETY: as in `load_two`.
    #[allow(unsafe_code)]
    unsafe {
        _mm256_storeu_si256(to.as_mut_ptr().cast(), blocks);
    }
}

/// FIPS 197, 5.2, for keys of 256 bits: a key of two takes the round constant (`RCON` is 0 for the other).
#[target_feature(enable = "aes,avx2")]
fn next<const RCON: i32>(before_last: __m128i, last: __m128i) -> __m128i {
    let word = _mm_aeskeygenassist_si128::<RCON>(last);
    let word = match RCON {
        0 => _mm_shuffle_epi32::<0xaa>(word),
        _ => _mm_shuffle_epi32::<0xff>(word),
    };
    let one = _mm_slli_si128::<4>(before_last);
    let two = _mm_slli_si128::<4>(one);
    let three = _mm_slli_si128::<4>(two);
    let sum = _mm_xor_si128(_mm_xor_si128(before_last, one), _mm_xor_si128(two, three));
    _mm_xor_si128(sum, word)
}

#[target_feature(enable = "aes,avx2")]
fn expand(key: &[u8; 32], keys: &mut [[u8; 32]; KEYS]) {
    let (mut first, mut second) = (load(key), load(&key[16..]));
    let mut keys = keys.iter_mut();
    let mut put = |key| {
        if let Some(place) = keys.next() {
            store_two(place, _mm256_broadcastsi128_si256(key));
        }
    };
    put(first);
    put(second);
    macro_rules! two_more {
        ($($constant:literal)*) => {$(
            first = next::<$constant>(first, second);
            second = next::<0>(second, first);
            put(first);
            put(second);
        )*};
    }
    // Of the last two only one is a key; there is no place for the other.
    two_more!(0x01 0x02 0x04 0x08 0x10 0x20 0x40);
}

#[target_feature(enable = "vaes,avx2")]
fn add_key_stream(keys: &[[u8; 32]; KEYS], mut counter: u128, groups: &mut [[u8; GROUP]]) {
    // How many there are is not to be known when this is compiled: unrolled, the rounds of one block would be put behind
    // those of the one before, which have to wait for each other.
    let [before, rounds @ .., last] = keys;
    let keys = (before, std::hint::black_box(&rounds[..]), last);
    for group in groups {
        match (counter as u64).checked_add(15) {
            Some(_) => add(keys, counters(counter), group),
            None => add_where_it_runs_over(keys, counter, group),
        }
        counter = counter.wrapping_add((GROUP / BLOCK) as u128);
    }
}

/// The key before the rounds, those of all rounds but the last one, and the last.
type Keys<'k> = (&'k [u8; 32], &'k [[u8; 32]], &'k [u8; 32]);

/// Enciphers sixteen blocks and adds them to a group.
#[target_feature(enable = "vaes,avx2")]
#[inline]
fn add((before, rounds, last): Keys<'_>, mut blocks: [__m256i; 8], group: &mut [u8; GROUP]) {
    let before = load_two(before);
    for block in &mut blocks {
        *block = _mm256_xor_si256(*block, before);
    }
    for key in rounds {
        let key = load_two(key);
        for block in &mut blocks {
            *block = _mm256_aesenc_epi128(*block, key);
        }
    }
    let last = load_two(last);
    for (block, bytes) in blocks.into_iter().zip(group.as_chunks_mut::<32>().0) {
        let stream = _mm256_aesenclast_epi128(block, last);
        let sum = _mm256_xor_si256(stream, load_two(bytes));
        store_two(bytes, sum);
    }
}

/// Sixteen counters, as blocks: big endian. The upper half is the same for all.
#[target_feature(enable = "avx2")]
#[inline]
fn counters(first: u128) -> [__m256i; 8] {
    let (high, low) = ((first >> 64) as i64, first as i64);
    let big_endian =
        _mm256_broadcastsi128_si256(_mm_set_epi64x(0x0001_0203_0405_0607, 0x0809_0a0b_0c0d_0e0f));
    let first = _mm256_set_epi64x(high, low, high, low);
    let mut blocks = [first; 8];
    for (n, block) in (0..).zip(&mut blocks) {
        let ahead = _mm256_set_epi64x(0, 2 * n + 1, 0, 2 * n);
        *block = _mm256_shuffle_epi8(_mm256_add_epi64(first, ahead), big_endian);
    }
    blocks
}

/// The group in which the upper half of the counter changes.
#[target_feature(enable = "vaes,avx2")]
#[cold]
#[inline(never)]
fn add_where_it_runs_over(keys: Keys<'_>, first: u128, group: &mut [u8; GROUP]) {
    let mut bytes = [0; GROUP];
    for (n, block) in (0..).zip(bytes.as_chunks_mut::<BLOCK>().0) {
        *block = first.wrapping_add(n).to_be_bytes();
    }
    let mut blocks = [_mm256_setzero_si256(); 8];
    for (block, bytes) in blocks.iter_mut().zip(bytes.as_chunks::<32>().0) {
        *block = load_two(bytes);
    }
    add(keys, blocks, group);
}
