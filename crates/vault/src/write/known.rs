//! Which blobs a session has begun to save: exact, in little more than the ids themselves.
//!
//! A hash table of a million ids takes 70 MB and a half more while it grows. Here most of them lie sorted in an array
//! without room to spare; what is new stands in a small table until it is a quarter of that, and is merged then.

use std::collections::HashSet;

use parking_lot::Mutex;

use crate::{blob::BlobKind, id::BlobId};

const SHARDS: usize = 16;
/// Fewer new ids are not worth a merge.
const RECENT: usize = 1024;

/// Ids of both kinds of blobs. Shared by threads.
#[derive(Default)]
pub(super) struct Known([[Mutex<Shard>; SHARDS]; 2]);

/// An id as numbers in its own order, which are compared without a call.
type Key = [u64; 4];

fn key(id: &BlobId) -> Key {
    let mut key = [0; 4];
    for (number, bytes) in key.iter_mut().zip(id.0.as_chunks().0) {
        *number = u64::from_be_bytes(*bytes);
    }
    key
}

#[derive(Default)]
struct Shard {
    /// Sorted.
    settled: Vec<Key>,
    recent: HashSet<Key>,
}

impl Known {
    /// Takes note of a blob; `false` if it was known.
    pub(super) fn insert(&self, kind: BlobKind, id: BlobId) -> bool {
        let shards = &self.0[usize::from(kind == BlobKind::Tree)];
        shards[usize::from(id.0[31]) % SHARDS]
            .lock()
            .insert(key(&id))
    }

    /// Forgets all.
    pub(super) fn forget(&self) {
        for shard in self.0.as_flattened() {
            *shard.lock() = Shard::default();
        }
    }
}

impl Shard {
    fn insert(&mut self, id: Key) -> bool {
        if is_in(&self.settled, &id) || !self.recent.insert(id) {
            return false;
        }
        if self.recent.len() >= RECENT.max(self.settled.len() / 4) {
            self.merge();
        }
        true
    }

    /// From the back, in place.
    fn merge(&mut self) {
        let mut recent: Vec<Key> = std::mem::take(&mut self.recent).into_iter().collect();
        recent.sort_unstable();
        let mut left = self.settled.len();
        self.settled.reserve_exact(recent.len());
        self.settled.extend_from_slice(&recent);
        for at in (0..self.settled.len()).rev() {
            let Some(new) = recent.last() else { return };
            if left > 0 && self.settled[left - 1] > *new {
                left -= 1;
                self.settled[at] = self.settled[left];
            } else {
                self.settled[at] = *new;
                recent.pop();
            }
        }
    }
}

/// Ids are hashes: from its first bytes it can be told about where one lies among others.
fn is_in(sorted: &[Key], id: &Key) -> bool {
    let guess = ((u128::from(id[0]) * sorted.len() as u128) >> 64) as usize;
    let spread = 16 + 2 * sorted.len().isqrt();
    let (from, to) = (
        guess.saturating_sub(spread),
        (guess + spread).min(sorted.len()),
    );
    let near = &sorted[from..to];
    let before = from > 0 && near.first().is_none_or(|first| id < first);
    let behind = to < sorted.len() && near.last().is_none_or(|last| id > last);
    let near = if before || behind { sorted } else { near };
    near.binary_search(id).is_ok()
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    use super::*;

    fn id(n: u32) -> BlobId {
        BlobId(Sha256::digest(n.to_le_bytes()).into())
    }

    #[test]
    fn each_is_new_once() {
        let known = Known::default();
        for n in 0..100_000 {
            assert!(known.insert(BlobKind::Data, id(n)), "{n}");
            // One from long ago, one from just now.
            assert!(!known.insert(BlobKind::Data, id(n / 2)), "{n}");
            assert!(!known.insert(BlobKind::Data, id(n)), "{n}");
        }
        assert!(known.insert(BlobKind::Tree, id(7)));
        assert!(!known.insert(BlobKind::Tree, id(7)));
    }

    #[test]
    fn ids_that_are_not_spread_are_found_too() {
        let mut shard = Shard::default();
        let near = |n: u32| {
            let mut bytes = [0xff; 32];
            bytes[28..].copy_from_slice(&(n.wrapping_mul(2_654_435_761)).to_be_bytes());
            key(&BlobId(bytes))
        };
        for n in 0..20_000 {
            assert!(shard.insert(near(n)));
        }
        assert!((0..20_000).all(|n| !shard.insert(near(n))));
        assert!(shard.settled.is_sorted());
        assert!(shard.settled.len() > 10_000 && shard.settled.capacity() < 25_000);
    }
}
