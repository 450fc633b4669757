//! Poly1305 (RFC 8439, section 2.5), of long messages eight blocks at once.
//!
//! The tag of a message is a polynomial in `r` modulo 2^130 - 5. Eight interleaved polynomials in `r^8` are
//! independent of each other, and sum up to it when each is multiplied by its own power of `r` at the end (Goll and
//! Gueron, "Vectorization of Poly1305 message authentication code", 2015). Numbers have three limbs of 44, 44 and 42
//! bits, which the multiplication of 52 bits of AVX-512 IFMA takes as they are ([`avx512`]); with AVX2 five of 26 ([`avx2`]).
//!
//! Short messages, and other processors, take one block after the other ([`limbs`]): what the crate `poly1305` prepares
//! for AVX2 takes it a microsecond for each message.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code))]
mod limbs;

/// Shorter messages gain nothing.
#[cfg(target_arch = "x86_64")]
const LONG: usize = 1024;

/// Bytes that eight blocks have.
#[cfg(target_arch = "x86_64")]
const GROUP: usize = 128;

/// The tag of `message` under the one-time key `r | s`.
pub(crate) fn tag(key: &[u8; 32], message: &[u8]) -> [u8; 16] {
    #[cfg(target_arch = "x86_64")]
    if message.len() >= LONG {
        if let Some(eightfold) = avx512::Eightfold::detect() {
            return eightfold.tag(key, message);
        }
        if let Some(twice_four) = avx2::TwiceFour::detect() {
            return twice_four.tag(key, message);
        }
    }
    limbs::tag(key, message)
}

#[cfg(test)]
mod tests {
    use ::poly1305::{Poly1305, universal_hash::KeyInit};

    use super::*;

    fn by_the_crate(key: &[u8; 32], message: &[u8]) -> [u8; 16] {
        Poly1305::new(key.into()).compute_unpadded(message).into()
    }

    /// Compares every way of making a tag that this processor has with the crate's.
    fn compare(key: &[u8; 32], message: &[u8], about: &dyn std::fmt::Debug) {
        let expected = by_the_crate(key, message);
        assert_eq!(tag(key, message), expected, "{about:?}");
        assert_eq!(limbs::tag(key, message), expected, "{about:?}");
        #[cfg(target_arch = "x86_64")]
        {
            if let Some(eightfold) = avx512::Eightfold::detect() {
                assert_eq!(eightfold.tag(key, message), expected, "{about:?}");
            }
            if let Some(twice_four) = avx2::TwiceFour::detect() {
                assert_eq!(twice_four.tag(key, message), expected, "{about:?}");
            }
        }
    }

    /// SplitMix64.
    fn noise(state: &mut u64, bytes: &mut [u8]) {
        for byte in bytes {
            *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let word = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            *byte = (word >> 56) as u8;
        }
    }

    #[test]
    fn the_example_of_the_rfc() {
        let key = hex::decode("85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b");
        let key: [u8; 32] = key.unwrap().try_into().unwrap();
        let tag = tag(&key, b"Cryptographic Forum Research Group");
        assert_eq!(hex::encode(tag), "a8061dc1305136c6c22b8baf0c0127a9");
    }

    #[test]
    fn every_length_by_any_key() {
        let mut state = 1;
        let mut bytes = vec![0; 3000];
        noise(&mut state, &mut bytes);
        for length in 0..bytes.len() {
            let mut key = [0; 32];
            noise(&mut state, &mut key);
            compare(&key, &bytes[..length], &length);
        }
        let mut long = vec![0; (1 << 20) + 77];
        noise(&mut state, &mut long);
        compare(&[7; 32], &long, &"long");
    }

    #[test]
    fn numbers_at_their_limits() {
        // Full limbs everywhere: each carry that there can be.
        for r in [0, 1, 2, 4, 0x0f, 0xfc, 0xff] {
            for s in [0, 0xff] {
                let mut key = [r; 32];
                key[16..].fill(s);
                for byte in [0, 1, 0x7f, 0x80, 0xfb, 0xff] {
                    for length in [1024, 1039, 1040, 1151, 1152, 1153, 4096, 100_000] {
                        compare(&key, &vec![byte; length], &(r, s, byte, length));
                    }
                }
            }
        }
        // Sums near the modulus: r = 1 adds the blocks up.
        let mut key = [0; 32];
        key[0] = 1;
        let mut state = 2;
        for length in 1024..2000 {
            let mut message = vec![0xff; length];
            let at = length - 16 - length % 16;
            noise(&mut state, &mut message[at..at + 2]);
            compare(&key, &message, &length);
        }
    }
}
