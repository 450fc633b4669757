//! Eight polynomials in lockstep, by AVX-512 IFMA.

use std::arch::x86_64::*;

use zeroize::Zeroizing;

use super::{
    GROUP,
    limbs::{BEHIND, Limbs, MASK_42, MASK_44, tag_by},
};

/// Which block of a group each lane has: two registers of four blocks are interleaved.
const BLOCKS: [usize; 8] = [0, 4, 1, 5, 2, 6, 3, 7];

/// That this processor has what [`sum`] needs.
#[derive(Clone, Copy)]
pub(super) struct Eightfold(());

impl Eightfold {
    pub(super) fn detect() -> Option<Eightfold> {
        let there = is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512ifma");
        there.then_some(Eightfold(()))
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

/// Eight numbers.
type Lanes = [__m512i; 3];

/// Eight words as they lie in memory.
#[inline(always)]
fn load<T: Copy>(values: &[T]) -> __m512i {
    let from = &values[..64 / size_of::<T>()];
    // SAFETY: the slice has 64 bytes, and the instruction asks for no alignment. Inlined into what is compiled with
    // AVX-512 alone.
    #[allow(unsafe_code)]
    unsafe {
        _mm512_loadu_si512(from.as_ptr().cast())
    }
}

/// The polynomial of whole groups, as if they were the whole message. `powers` are those of `r` from the first to
/// the eighth.
#[target_feature(enable = "avx512f,avx512ifma")]
fn sum(groups: &[[u8; GROUP]], powers: &[Limbs; 8]) -> Limbs {
    let eighth = powers[7].0.map(|limb| _mm512_set1_epi64(limb as i64));
    let mut sum = [_mm512_setzero_si512(); 3];
    for (n, group) in groups.iter().enumerate() {
        if n > 0 {
            sum = times(sum, eighth);
        }
        let block = split(group);
        for limb in 0..3 {
            sum[limb] = _mm512_add_epi64(sum[limb], block[limb]);
        }
    }
    // The last block of a group is multiplied by r once more, the first one eight times.
    let mut own = Zeroizing::new([[0; 8]; 3]);
    for (lane, block) in BLOCKS.into_iter().enumerate() {
        for (limbs, limb) in own.iter_mut().zip(powers[7 - block].0) {
            limbs[lane] = limb;
        }
    }
    let sum = times(sum, own.each_ref().map(|limbs| load(limbs)));
    // Eight limbs of 45 bits at most.
    let [h0, h1, h2] = sum.map(|limb| _mm512_reduce_add_epi64(limb) as u64);
    let h1 = h1 + (h0 >> 44);
    let h2 = h2 + (h1 >> 44);
    let low = (h0 & MASK_44) + (h2 >> 42) * 5;
    Limbs([low, h1 & MASK_44, h2 & MASK_42])
}

/// The numbers of eight blocks.
#[target_feature(enable = "avx512f")]
fn split(group: &[u8; GROUP]) -> Lanes {
    let (first, second) = (load(&group[..64]), load(&group[64..]));
    let low = _mm512_unpacklo_epi64(first, second);
    let high = _mm512_unpackhi_epi64(first, second);
    let mask = _mm512_set1_epi64(MASK_44 as i64);
    let middle = _mm512_or_si512(_mm512_srli_epi64::<44>(low), _mm512_slli_epi64::<20>(high));
    [
        _mm512_and_si512(low, mask),
        _mm512_and_si512(middle, mask),
        _mm512_or_si512(
            _mm512_srli_epi64::<24>(high),
            _mm512_set1_epi64(BEHIND as i64),
        ),
    ]
}

/// Products, lane by lane: as [`Limbs::times`], with limbs of `a` of up to 46 bits. The multiplication gives the lower
/// and the upper 52 bits of 104 apart; the upper ones are worth 2^8 in the next limb.
#[target_feature(enable = "avx512f,avx512ifma")]
fn times(a: Lanes, b: Lanes) -> Lanes {
    let zero = _mm512_setzero_si512();
    let low = |sum, x, y| _mm512_madd52lo_epu64(sum, x, y);
    let high = |sum, x, y| _mm512_madd52hi_epu64(sum, x, y);
    let twenty = |x| _mm512_add_epi64(_mm512_slli_epi64::<4>(x), _mm512_slli_epi64::<2>(x));
    let ([h0, h1, h2], [r0, r1, r2]) = (a, b);
    let (s1, s2) = (twenty(r1), twenty(r2));
    let low = [
        low(low(low(zero, h2, s1), h1, s2), h0, r0),
        low(low(low(zero, h2, s2), h0, r1), h1, r0),
        low(low(low(zero, h0, r2), h1, r1), h2, r0),
    ];
    let high = [
        high(high(high(zero, h2, s1), h1, s2), h0, r0),
        high(high(high(zero, h2, s2), h0, r1), h1, r0),
        high(high(high(zero, h0, r2), h1, r1), h2, r0),
    ];
    let mask_44 = _mm512_set1_epi64(MASK_44 as i64);
    let add = |x, y, z| _mm512_add_epi64(_mm512_add_epi64(x, y), z);
    let d0 = low[0];
    let d1 = add(
        low[1],
        _mm512_slli_epi64::<8>(high[0]),
        _mm512_srli_epi64::<44>(d0),
    );
    let d2 = add(
        low[2],
        _mm512_slli_epi64::<8>(high[1]),
        _mm512_srli_epi64::<44>(d1),
    );
    let over = _mm512_add_epi64(
        _mm512_srli_epi64::<42>(d2),
        _mm512_slli_epi64::<10>(high[2]),
    );
    // 2^130 is 5.
    let h0 = add(
        _mm512_and_si512(d0, mask_44),
        over,
        _mm512_slli_epi64::<2>(over),
    );
    [
        _mm512_and_si512(h0, mask_44),
        _mm512_add_epi64(_mm512_and_si512(d1, mask_44), _mm512_srli_epi64::<44>(h0)),
        _mm512_and_si512(d2, _mm512_set1_epi64(MASK_42 as i64)),
    ]
}
