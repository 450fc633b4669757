//! SHA-256 (FIPS 180-4) of several messages at once.
//!
//! The processor's own instruction for two rounds takes four cycles and can begin one every two, but each needs
//! the last one's result: one message alone leaves half of the unit idle. Independent messages in lockstep fill it
//! (Gueron and Krasnov, "Simultaneous hashing of multiple messages", 2012). Where the processor has no such
//! instruction, messages are hashed one after the other by `sha2`, which stays the only code for a single message.

#[cfg(target_arch = "x86_64")]
mod lanes;

use sha2::{Digest, Sha256};

/// The most messages that gain by being hashed together.
pub const LANES: usize = 4;

/// The digests of messages, in their order.
pub fn digests(messages: &[&[u8]]) -> Vec<[u8; 32]> {
    #[cfg(target_arch = "x86_64")]
    if messages.len() > 1
        && let Some(lockstep) = lanes::Lockstep::detect()
    {
        return lockstep.digests(messages);
    }
    messages.iter().map(|m| Sha256::digest(m).into()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_by_one(messages: &[&[u8]]) -> Vec<[u8; 32]> {
        messages.iter().map(|m| Sha256::digest(m).into()).collect()
    }

    /// SplitMix64.
    fn next(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut n = *state;
        n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^ (n >> 31)
    }

    #[test]
    fn the_example_of_the_standard() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let digests = digests(&[b"abc", b"", b"abc"]);
        assert_eq!(hex::encode(digests[0]), expected);
        assert_eq!(digests[2], digests[0]);
    }

    #[test]
    fn every_length_beside_every_other() {
        let bytes: Vec<u8> = (0..200_u32).map(|n| (n * 7 + 3) as u8).collect();
        for first in 0..200 {
            for second in [0, 1, 55, 56, 63, 64, 65, 119, 120, 128, 199] {
                let messages = [&bytes[..first], &bytes[..second]];
                assert_eq!(
                    digests(&messages),
                    one_by_one(&messages),
                    "{first} {second}"
                );
            }
        }
    }

    #[test]
    fn any_number_of_messages_of_any_length() {
        let mut state = 1;
        let bytes: Vec<u8> = (0..5000).map(|_| next(&mut state) as u8).collect();
        for _ in 0..2000 {
            let count = next(&mut state) % 12;
            let mut message = || {
                let from = next(&mut state) as usize % bytes.len();
                let longest = [64, 300, bytes.len()][next(&mut state) as usize % 3];
                let length = next(&mut state) as usize % longest.min(bytes.len() - from + 1);
                &bytes[from..from + length]
            };
            let messages: Vec<&[u8]> = (0..count).map(|_| message()).collect();
            assert_eq!(digests(&messages), one_by_one(&messages));
        }
    }
}
