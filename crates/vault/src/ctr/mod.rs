//! AES-256 in counter mode (NIST SP 800-38A, 6.5), with the whole IV as a counter of 128 bits.
//!
//! aws-lc takes one block an instruction there. Where the processor has instructions for two (VAES), they do the same for
//! half as many ([`vaes`]). Other processors are left to aws-lc.

#[cfg(target_arch = "x86_64")]
mod vaes;

use aws_lc_rs::{
    cipher::{AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey},
    error::Unspecified,
    iv::FixedLength,
};

/// Enciphers and deciphers, which is the same.
pub(crate) enum Ctr {
    #[cfg(target_arch = "x86_64")]
    Vaes(vaes::TwoBlocks),
    Library(Box<EncryptingKey>),
}

impl Ctr {
    /// In the fastest way that this processor has.
    pub(crate) fn new(key: &[u8; 32]) -> Result<Ctr, Unspecified> {
        #[cfg(target_arch = "x86_64")]
        if let Some(two_blocks) = vaes::TwoBlocks::detect(key) {
            return Ok(Ctr::Vaes(two_blocks));
        }
        Ctr::by_the_library(key)
    }

    fn by_the_library(key: &[u8; 32]) -> Result<Ctr, Unspecified> {
        let key = UnboundCipherKey::new(&AES_256, key)?;
        Ok(Ctr::Library(Box::new(EncryptingKey::ctr(key)?)))
    }

    /// Adds the key stream that begins at `iv` to `bytes`.
    pub(crate) fn apply(&self, iv: &[u8; 16], bytes: &mut [u8]) -> Result<(), Unspecified> {
        match self {
            #[cfg(target_arch = "x86_64")]
            Ctr::Vaes(two_blocks) => {
                two_blocks.apply(u128::from_be_bytes(*iv), bytes);
                Ok(())
            }
            Ctr::Library(key) => {
                let context = EncryptionContext::Iv128(FixedLength::from(*iv));
                key.less_safe_encrypt(bytes, context).map(drop)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(key: &[u8; 32], iv: &[u8; 16], plain: &[u8]) {
        let by = |ctr: Result<Ctr, Unspecified>| {
            let mut bytes = plain.to_vec();
            ctr.unwrap().apply(iv, &mut bytes).unwrap();
            bytes
        };
        let expected = by(Ctr::by_the_library(key));
        assert!(by(Ctr::new(key)) == expected, "{iv:?} {}", plain.len());
    }

    #[test]
    fn the_example_of_the_standard() {
        // SP 800-38A, F.5.5.
        let bytes = |text: &str| hex::decode(text).unwrap();
        let key = bytes("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4");
        let iv = bytes("f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
        let mut text = bytes(
            "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51\
             30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710",
        );
        let ctr = Ctr::new(&key.try_into().unwrap()).unwrap();
        ctr.apply(&iv.try_into().unwrap(), &mut text).unwrap();
        assert_eq!(
            hex::encode(text),
            "601ec313775789a5b7a7f504bbf3d228f443e3ca4d62b59aca84e990cacaf5c5\
             2b0930daa23de94ce87017ba2d84988ddfc9c58db67aada613c2dd08457941a6"
        );
    }

    #[test]
    fn every_length_by_any_key() {
        let mut state = 1_u64;
        let mut noise = |bytes: &mut [u8]| {
            for byte in bytes {
                state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
                *byte = (state >> 56) as u8;
            }
        };
        let mut plain = vec![0; 2000];
        noise(&mut plain);
        for length in 0..plain.len() {
            let (mut key, mut iv) = ([0; 32], [0; 16]);
            noise(&mut key);
            noise(&mut iv);
            compare(&key, &iv, &plain[..length]);
        }
        compare(&[3; 32], &[9; 16], &vec![5; (1 << 20) + 13]);
    }

    #[test]
    fn counters_that_run_over() {
        // At each block of a group, in each part of a counter.
        for over in [32, 64, 96, 128] {
            for before in 0..40_u128 {
                let end = u128::MAX >> (128 - over);
                let iv = end.wrapping_sub(before).to_be_bytes();
                compare(&[1; 32], &iv, &[7; 700]);
            }
        }
    }
}
