//! Eight polynomials in lockstep, by AVX2: two times four, so that one half is multiplied while the other one waits for
//! its products.
//!
//! AVX2 multiplies 32 bits, so numbers have five limbs of 26 here.

use std::arch::x86_64::*;

use zeroize::Zeroizing;

use super::{
    GROUP,
    limbs::{Limbs, MASK_26, tag_by},
};

/// Which block of a group each lane of a half has: two registers of two blocks are interleaved.
const BLOCKS: [[usize; 4]; 2] = [[0, 2, 1, 3], [4, 6, 5, 7]];
/// The bit behind a whole block, in the last limb.
const BEHIND: u64 = 1 << 24;

/// That this processor has what [`sum`] needs.
#[derive(Clone, Copy)]
pub(super) struct TwiceFour(());

impl TwiceFour {
    pub(super) fn detect() -> Option<TwiceFour> {
        is_x86_feature_detected!("avx2").then_some(TwiceFour(()))
    }

    /// The tag of a message under `r | s`.
    pub(super) fn tag(self, key: &[u8; 32], message: &[u8]) -> [u8; 16] {
        // SAFETY: `self` is made by `detect` alone, which has seen the features that `sum` is compiled with.
        #[allow(unsafe_code)]
        tag_by(key, message, |groups, powers| unsafe {
            sum(groups, powers)
        })
    }
}

/// Four numbers.
type Lanes = [__m256i; 5];

/// Thirty-two bytes as they lie in memory.
#[inline(always)]
fn load<T: Copy>(values: &[T]) -> __m256i {
    let from = &values[..32 / size_of::<T>()];
    // SAFETY: the slice has 32 bytes, and the instruction asks for no alignment. Inlined into what is compiled with AVX2
    // alone.
    #[allow(unsafe_code)]
    unsafe {
        _mm256_loadu_si256(from.as_ptr().cast())
    }
}

/// The polynomial of whole groups, as if they were the whole message. `powers` are those of `r` from the first to
/// the eighth.
#[target_feature(enable = "avx2")]
fn sum(groups: &[[u8; GROUP]], powers: &[Limbs; 8]) -> Limbs {
    let eighth = powers[7]
        .in_26()
        .map(|limb| _mm256_set1_epi64x(limb as i64));
    let mut sums = [[_mm256_setzero_si256(); 5]; 2];
    for (n, group) in groups.iter().enumerate() {
        for (half, sum) in sums.iter_mut().enumerate() {
            if n > 0 {
                *sum = times(*sum, eighth);
            }
            let blocks = split(&group[half * 64..]);
            for limb in 0..5 {
                sum[limb] = _mm256_add_epi64(sum[limb], blocks[limb]);
            }
        }
    }
    // The last block of a group is multiplied by r once more, the first one eight times.
    let mut limbs = [0; 5];
    for (sum, blocks) in sums.into_iter().zip(BLOCKS) {
        let mut own = Zeroizing::new([[0; 4]; 5]);
        for (lane, block) in blocks.into_iter().enumerate() {
            for (limbs, limb) in own.iter_mut().zip(powers[7 - block].in_26()) {
                limbs[lane] = limb;
            }
        }
        let sum = times(sum, own.each_ref().map(|limbs| load(limbs)));
        for (limb, lanes) in limbs.iter_mut().zip(sum) {
            let pair = _mm_add_epi64(
                _mm256_castsi256_si128(lanes),
                _mm256_extracti128_si256::<1>(lanes),
            );
            *limb += _mm_cvtsi128_si64(pair) as u64 + _mm_extract_epi64::<1>(pair) as u64;
        }
    }
    Limbs::from_26(limbs)
}

/// The numbers of four blocks.
#[target_feature(enable = "avx2")]
fn split(half: &[u8]) -> Lanes {
    let (first, second) = (load(half), load(&half[32..]));
    let low = _mm256_unpacklo_epi64(first, second);
    let high = _mm256_unpackhi_epi64(first, second);
    let mask = _mm256_set1_epi64x(MASK_26 as i64);
    let middle = _mm256_or_si256(_mm256_srli_epi64::<52>(low), _mm256_slli_epi64::<12>(high));
    [
        _mm256_and_si256(low, mask),
        _mm256_and_si256(_mm256_srli_epi64::<26>(low), mask),
        _mm256_and_si256(middle, mask),
        _mm256_and_si256(_mm256_srli_epi64::<14>(high), mask),
        _mm256_or_si256(
            _mm256_srli_epi64::<40>(high),
            _mm256_set1_epi64x(BEHIND as i64),
        ),
    ]
}

/// Products, lane by lane. Limbs of `a` have up to 29 bits, those of `b` up to 27; those of a product 26, and the second
/// and the last a little more.
#[target_feature(enable = "avx2")]
fn times(a: Lanes, b: Lanes) -> Lanes {
    let product = |x, y| _mm256_mul_epu32(x, y);
    let plus = |x, y| _mm256_add_epi64(x, y);
    // 2^130 is 5.
    let five = |x| plus(_mm256_slli_epi64::<2>(x), x);
    let sum = |x: [__m256i; 5], y: [__m256i; 5]| {
        let first = plus(product(x[0], y[0]), product(x[1], y[1]));
        let second = plus(product(x[2], y[2]), product(x[3], y[3]));
        plus(plus(first, second), product(x[4], y[4]))
    };
    let [r0, r1, r2, r3, r4] = b;
    let [s1, s2, s3, s4] = [five(r1), five(r2), five(r3), five(r4)];
    let mut d = [
        sum(a, [r0, s4, s3, s2, s1]),
        sum(a, [r1, r0, s4, s3, s2]),
        sum(a, [r2, r1, r0, s4, s3]),
        sum(a, [r3, r2, r1, r0, s4]),
        sum(a, [r4, r3, r2, r1, r0]),
    ];
    // Two chains of carries, so that neither waits for all of the other (as in OpenSSL's implementations).
    let mask = _mm256_set1_epi64x(MASK_26 as i64);
    let mut carry = |from: usize, to: usize| {
        let over = _mm256_srli_epi64::<26>(d[from]);
        d[from] = _mm256_and_si256(d[from], mask);
        d[to] = plus(d[to], if to == 0 { five(over) } else { over });
    };
    for (from, to) in [(3, 4), (0, 1), (4, 0), (1, 2), (2, 3), (0, 1), (3, 4)] {
        carry(from, to);
    }
    d
}
