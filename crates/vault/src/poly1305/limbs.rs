//! Numbers modulo 2^130 - 5 in three limbs, and messages block by block.

use zeroize::{Zeroize, Zeroizing};

#[cfg(target_arch = "x86_64")]
use super::GROUP;

pub(super) const MASK_26: u64 = (1 << 26) - 1;
pub(super) const MASK_44: u64 = (1 << 44) - 1;
pub(super) const MASK_42: u64 = (1 << 42) - 1;
/// The bit behind a whole block, in the last limb.
pub(super) const BEHIND: u64 = 1 << 40;

/// The tag of a message under `r | s`.
pub(super) fn tag(key: &[u8; 32], message: &[u8]) -> [u8; 16] {
    let (halves, _) = key.as_chunks::<16>();
    let r = Zeroizing::new(Limbs::clamped(&halves[0]));
    Limbs([0; 3]).absorb(message, *r).tag(&halves[1])
}

/// The same, with the part of it that is whole groups by `sum`, which gives their polynomial, by the powers of `r` from the
/// first to the eighth.
#[cfg(target_arch = "x86_64")]
pub(super) fn tag_by(
    key: &[u8; 32],
    message: &[u8],
    sum: impl FnOnce(&[[u8; GROUP]], &[Limbs; 8]) -> Limbs,
) -> [u8; 16] {
    let (halves, _) = key.as_chunks::<16>();
    let r = Zeroizing::new(Limbs::clamped(&halves[0]));
    let (groups, rest) = message.as_chunks::<GROUP>();
    sum(groups, &r.powers()).absorb(rest, *r).tag(&halves[1])
}

/// `0 + 1 * 2^44 + 2 * 2^88`. Limbs may have a few bits more than theirs.
#[derive(Clone, Copy, Zeroize)]
pub(super) struct Limbs(pub(super) [u64; 3]);

impl Limbs {
    /// `r`, with the bits cleared that have to be.
    fn clamped(r: &[u8; 16]) -> Limbs {
        let r = u128::from_le_bytes(*r) & 0x0fff_fffc_0fff_fffc_0fff_fffc_0fff_ffff;
        Limbs::split(r)
    }

    fn split(number: u128) -> Limbs {
        Limbs([
            number as u64 & MASK_44,
            (number >> 44) as u64 & MASK_44,
            (number >> 88) as u64,
        ])
    }

    /// The product, with limbs of 44, a little more than 44, and 42 bits.
    pub(super) fn times(self, by: Limbs) -> Limbs {
        let wide = |a: u64, b: u64| u128::from(a) * u128::from(b);
        let ([h0, h1, h2], [r0, r1, r2]) = (self.0, by.0);
        // 2^132 is 20 modulo 2^130 - 5.
        let (s1, s2) = (r1 * 20, r2 * 20);
        let d0 = wide(h0, r0) + wide(h1, s2) + wide(h2, s1);
        let d1 = wide(h0, r1) + wide(h1, r0) + wide(h2, s2) + (d0 >> 44);
        let d2 = wide(h0, r2) + wide(h1, r1) + wide(h2, r0) + (d1 >> 44);
        let low = (d0 as u64 & MASK_44) + (d2 >> 42) as u64 * 5;
        Limbs([
            low & MASK_44,
            (d1 as u64 & MASK_44) + (low >> 44),
            d2 as u64 & MASK_42,
        ])
    }

    /// From the first power to the eighth.
    fn powers(self) -> Zeroizing<[Limbs; 8]> {
        let mut powers = Zeroizing::new([self; 8]);
        for n in 1..8 {
            powers[n] = powers[n - 1].times(self);
        }
        powers
    }

    /// The same number in five limbs of 26 bits; the last may have a bit more.
    pub(super) fn in_26(self) -> [u64; 5] {
        let [h0, h1, h2] = self.0;
        let h1 = h1 + (h0 >> 44);
        let h2 = h2 + (h1 >> 44);
        let (h0, h1) = (h0 & MASK_44, h1 & MASK_44);
        [
            h0 & MASK_26,
            ((h0 >> 26) | (h1 << 18)) & MASK_26,
            (h1 >> 8) & MASK_26,
            ((h1 >> 34) | (h2 << 10)) & MASK_26,
            h2 >> 16,
        ]
    }

    /// A number in five limbs that may have more than 26 bits.
    pub(super) fn from_26(mut limbs: [u64; 5]) -> Limbs {
        for n in 0..4 {
            limbs[n + 1] += limbs[n] >> 26;
            limbs[n] &= MASK_26;
        }
        limbs[0] += (limbs[4] >> 26) * 5;
        limbs[4] &= MASK_26;
        let low: u128 = (0..4).map(|n| u128::from(limbs[n]) << (26 * n)).sum();
        let Limbs([h0, h1, h2]) = Limbs::split(low);
        Limbs([h0, h1, h2 + (limbs[4] << 16)])
    }

    fn plus(self, other: Limbs) -> Limbs {
        let ([a0, a1, a2], [b0, b1, b2]) = (self.0, other.0);
        Limbs([a0 + b0, a1 + b1, a2 + b2])
    }

    /// Goes on with the rest of a message.
    fn absorb(mut self, rest: &[u8], r: Limbs) -> Limbs {
        let (blocks, last) = rest.as_chunks::<16>();
        for block in blocks {
            let mut number = Limbs::split(u128::from_le_bytes(*block));
            number.0[2] |= BEHIND;
            self = self.plus(number).times(r);
        }
        if !last.is_empty() {
            let mut block = [0; 16];
            block[..last.len()].copy_from_slice(last);
            block[last.len()] = 1;
            self = self.plus(Limbs::split(u128::from_le_bytes(block))).times(r);
        }
        self
    }

    /// The tag: this number, reduced, plus `s`, modulo 2^128.
    fn tag(self, s: &[u8; 16]) -> [u8; 16] {
        let [mut h0, mut h1, mut h2] = self.0;
        // Twice: what the first round adds to the lowest limb may carry once more.
        for _ in 0..2 {
            h1 += h0 >> 44;
            h2 += h1 >> 44;
            h0 = (h0 & MASK_44) + (h2 >> 42) * 5;
            (h1, h2) = (h1 & MASK_44, h2 & MASK_42);
        }
        h1 += h0 >> 44;
        h0 &= MASK_44;
        // Less the modulus, if that is not negative; without a branch.
        let g0 = h0 + 5;
        let g1 = h1 + (g0 >> 44);
        let g2 = (h2 + (g1 >> 44)).wrapping_sub(1 << 42);
        let keep = (g2 >> 63).wrapping_neg();
        let pick = |h: u64, g: u64, mask: u64| u128::from((h & keep) | (g & mask & !keep));
        let number =
            pick(h0, g0, MASK_44) + (pick(h1, g1, MASK_44) << 44) + (pick(h2, g2, MASK_42) << 88);
        number.wrapping_add(u128::from_le_bytes(*s)).to_le_bytes()
    }
}
