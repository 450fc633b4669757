//! Sealing: AES-256-CTR with a Poly1305-AES tag, exactly as restic has it.
//!
//! A sealed message is `IV (16) | AES-256-CTR(plain) | tag (16)`. The tag is Poly1305 over the
//! ciphertext under the one-time key `r | AES-128_k(IV)`. There are no associated data: which object
//! a message is follows from its name alone (the SHA-256 of file or blob), which readers check.
//!
//! Invariants: an all-zero IV is refused; tags are compared in constant time; nothing is decrypted
//! before its tag has been found right; keys are wiped when dropped and never shown.

use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{
    ctr::Ctr,
    env::Random,
    error::{Result, VaultError},
    poly1305,
};

/// Bytes of an IV.
pub const IV_LEN: usize = 16;
/// Bytes of a tag.
pub const TAG_LEN: usize = 16;
/// What sealing adds to a message.
pub const OVERHEAD: usize = IV_LEN + TAG_LEN;

/// A message that does not open: damaged, or sealed with another key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tampered;

/// The three secrets of the format: AES key, MAC key `k` and MAC nonce key `r`.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct KeyMaterial {
    /// AES-256 key.
    pub encrypt: [u8; 32],
    /// AES-128 key that turns an IV into the second half of the one-time key.
    pub mac_k: [u8; 16],
    /// First half of the one-time key.
    pub mac_r: [u8; 16],
}

impl KeyMaterial {
    /// From the 64 bytes that scrypt gives: `encrypt | k | r`.
    pub fn from_bytes(bytes: &[u8; 64]) -> KeyMaterial {
        let mut key = KeyMaterial {
            encrypt: [0; 32],
            mac_k: [0; 16],
            mac_r: [0; 16],
        };
        key.encrypt.copy_from_slice(&bytes[..32]);
        key.mac_k.copy_from_slice(&bytes[32..48]);
        key.mac_r.copy_from_slice(&bytes[48..]);
        key
    }

    /// A new one.
    pub fn random(random: &dyn Random) -> Result<KeyMaterial> {
        let mut bytes = Zeroizing::new([0; 64]);
        random.fill(bytes.as_mut_slice())?;
        Ok(KeyMaterial::from_bytes(&bytes))
    }
}

impl std::fmt::Debug for KeyMaterial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyMaterial(…)")
    }
}

/// Seals and opens. Shared between threads.
pub struct SealKey {
    ctr: Ctr,
    mac_k: EncryptingKey,
    mac_r: Zeroizing<[u8; 16]>,
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SealKey(…)")
    }
}

impl SealKey {
    /// Sets the keys up.
    pub fn new(material: &KeyMaterial) -> Result<SealKey> {
        let build = || {
            Ok::<_, aws_lc_rs::error::Unspecified>(SealKey {
                ctr: Ctr::new(&material.encrypt)?,
                mac_k: EncryptingKey::ecb(UnboundCipherKey::new(&AES_128, &material.mac_k)?)?,
                mac_r: Zeroizing::new(material.mac_r),
            })
        };
        build().map_err(|_| VaultError::Invalid("the key has no usable form".to_owned()))
    }

    /// Seals `buffer[start + 16 ..]` in place: room for the IV must stand before the plain bytes;
    /// the tag is appended. Afterwards `buffer[start..]` is the sealed message.
    pub fn seal_in_place(
        &self,
        random: &dyn Random,
        buffer: &mut Vec<u8>,
        start: usize,
    ) -> Result<()> {
        if buffer.len() < start + IV_LEN {
            return Err(VaultError::Invalid("no room for the IV".to_owned()));
        }
        buffer.extend_from_slice(&[0; TAG_LEN]);
        self.seal_slice(random, &mut buffer[start..])
    }

    /// Seals a message in place: room for the IV, the plain bytes, and room for the tag.
    pub fn seal_slice(&self, random: &dyn Random, message: &mut [u8]) -> Result<()> {
        let Some(length) = message.len().checked_sub(OVERHEAD) else {
            return Err(VaultError::Invalid("no room for IV and tag".to_owned()));
        };
        let mut iv = [0; IV_LEN];
        while iv == [0; IV_LEN] {
            random.fill(&mut iv)?;
        }
        let failed = |_| VaultError::Invalid("the cipher refused to seal".to_owned());
        let (head, rest) = message.split_at_mut(IV_LEN);
        let (body, tag) = rest.split_at_mut(length);
        head.copy_from_slice(&iv);
        self.ctr.apply(&iv, body).map_err(failed)?;
        tag.copy_from_slice(&self.tag(&iv, body).map_err(failed)?);
        Ok(())
    }

    /// Seals a message into a new buffer.
    pub fn seal(&self, random: &dyn Random, plain: &[u8]) -> Result<Vec<u8>> {
        let mut out = Vec::with_capacity(plain.len() + OVERHEAD);
        out.resize(IV_LEN, 0);
        out.extend_from_slice(plain);
        self.seal_in_place(random, &mut out, 0)?;
        Ok(out)
    }

    /// Opens a sealed message in place and returns the plain part of the buffer. On an error the
    /// buffer is as it was.
    pub fn open_in_place<'b>(&self, sealed: &'b mut [u8]) -> Result<&'b mut [u8], Tampered> {
        if sealed.len() < OVERHEAD {
            return Err(Tampered);
        }
        let (iv, rest) = sealed.split_at_mut(IV_LEN);
        let (body, tag) = rest.split_at_mut(rest.len() - TAG_LEN);
        let iv: [u8; IV_LEN] = (&*iv).try_into().map_err(|_| Tampered)?;
        if iv == [0; IV_LEN] {
            return Err(Tampered);
        }
        let expected = self.tag(&iv, body).map_err(|_| Tampered)?;
        aws_lc_rs::constant_time::verify_slices_are_equal(&expected, tag).map_err(|_| Tampered)?;
        self.ctr.apply(&iv, body).map_err(|_| Tampered)?;
        Ok(body)
    }

    /// Opens a sealed message.
    pub fn open(&self, sealed: &[u8]) -> Result<Vec<u8>, Tampered> {
        let mut buffer = sealed.to_vec();
        let plain_len = self.open_in_place(&mut buffer)?.len();
        buffer.copy_within(IV_LEN..IV_LEN + plain_len, 0);
        buffer.truncate(plain_len);
        Ok(buffer)
    }

    fn tag(
        &self,
        iv: &[u8; IV_LEN],
        ciphertext: &[u8],
    ) -> Result<[u8; TAG_LEN], aws_lc_rs::error::Unspecified> {
        let mut one_time = Zeroizing::new([0; 32]);
        one_time[..16].copy_from_slice(self.mac_r.as_slice());
        one_time[16..].copy_from_slice(iv);
        self.mac_k
            .less_safe_encrypt(&mut one_time[16..], EncryptionContext::None)?;
        Ok(poly1305::tag(&one_time, ciphertext))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::SystemRandom;

    fn key() -> SealKey {
        let mut bytes = [0; 64];
        for (n, b) in (0u8..).zip(bytes.iter_mut()) {
            *b = n.wrapping_mul(7).wrapping_add(3);
        }
        SealKey::new(&KeyMaterial::from_bytes(&bytes)).unwrap()
    }

    #[test]
    fn comes_back_at_every_length() {
        let key = key();
        for length in [0, 1, 15, 16, 17, 31, 32, 1000] {
            let plain = vec![0x5a; length];
            let sealed = key.seal(&SystemRandom, &plain).unwrap();
            assert_eq!(sealed.len(), length + OVERHEAD);
            assert_eq!(key.open(&sealed).unwrap(), plain);
        }
    }

    #[test]
    fn any_flipped_bit_is_found() {
        let key = key();
        let sealed = key.seal(&SystemRandom, b"to be or not to be").unwrap();
        for bit in 0..sealed.len() * 8 {
            let mut wrong = sealed.clone();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(key.open(&wrong), Err(Tampered), "bit {bit}");
        }
        for length in 0..sealed.len() {
            assert_eq!(
                key.open(&sealed[..length]),
                Err(Tampered),
                "length {length}"
            );
        }
    }

    #[test]
    fn an_iv_of_zeros_is_refused() {
        // Even with the tag that belongs to it.
        let key = key();
        let mut sealed = vec![0; IV_LEN];
        sealed.extend_from_slice(b"ciphertext");
        let tag = key.tag(&[0; IV_LEN], b"ciphertext").unwrap();
        sealed.extend_from_slice(&tag);
        assert_eq!(key.open(&sealed), Err(Tampered));
    }

    #[test]
    fn in_place_behind_other_bytes() {
        let key = key();
        let mut buffer = b"before".to_vec();
        buffer.resize(6 + IV_LEN, 0);
        buffer.extend_from_slice(b"plain");
        key.seal_in_place(&SystemRandom, &mut buffer, 6).unwrap();
        assert_eq!(&buffer[..6], b"before");
        assert_eq!(key.open_in_place(&mut buffer[6..]).unwrap(), b"plain");
    }
}
