//! Where in a file which blob lies: ends by prefix sums, so that a seek is a binary search.
//!
//! A run of zeros is told as restic tells it: it begins with one blob of exactly 512 KiB of zeros and goes on with
//! blobs of zeros. Such a run is a hole.

use std::{collections::HashMap, sync::OnceLock};

use lifeboat_vault::{BlobId, BlobKind, Reader};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

const FIRST_OF_HOLE: u64 = 512 << 10;
/// A hole's blobs are no larger.
const LARGEST_OF_HOLE: u64 = 16 << 20;

/// A file's content.
#[derive(Debug, Default)]
pub(crate) struct Content {
    pub(crate) blobs: Vec<BlobId>,
    /// Where each blob ends.
    pub(crate) ends: Vec<u64>,
    /// Begin and end of each hole.
    pub(crate) holes: Vec<(u64, u64)>,
}

impl Content {
    /// `Err` is the reason why it cannot be had.
    pub(crate) fn new(reader: &Reader, size: u64, blobs: &[BlobId]) -> Result<Content, String> {
        let mut content = Content {
            blobs: blobs.to_vec(),
            ..Content::default()
        };
        let mut end = 0_u64;
        let mut in_hole = false;
        for id in blobs {
            let length = reader
                .blob_len(BlobKind::Data, *id)
                .ok_or_else(|| format!("data blob {id} is in no index of the vault"))?;
            let begin = end;
            end = end.saturating_add(length);
            content.ends.push(end);
            in_hole = (in_hole || length == FIRST_OF_HOLE)
                && length <= LARGEST_OF_HOLE
                && *id == zeros(length);
            if in_hole {
                match content.holes.last_mut() {
                    Some((_, last)) if *last == begin => *last = end,
                    _ => content.holes.push((begin, end)),
                }
            }
        }
        if end != size {
            return Err(format!("its blobs have {end} bytes, its entry says {size}"));
        }
        Ok(content)
    }

    pub(crate) fn size(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Bytes that are no holes.
    pub(crate) fn filled(&self) -> u64 {
        self.size()
            - self
                .holes
                .iter()
                .map(|(begin, end)| end - begin)
                .sum::<u64>()
    }

    /// The blob at an offset: its number and where it begins.
    pub(crate) fn at(&self, offset: u64) -> Option<(usize, u64)> {
        let number = self.ends.partition_point(|end| *end <= offset);
        (number < self.ends.len()).then(|| {
            let begin = number.checked_sub(1).map_or(0, |before| self.ends[before]);
            (number, begin)
        })
    }

    /// Whether it lies in a hole, and where that or the data ends.
    pub(crate) fn extent(&self, offset: u64) -> (bool, u64) {
        let next = self.holes.partition_point(|(_, end)| *end <= offset);
        match self.holes.get(next) {
            Some((begin, end)) if *begin <= offset => (true, *end),
            Some((begin, _)) => (false, *begin),
            None => (false, self.size()),
        }
    }
}

/// The id of the blob that every hole begins with.
pub(crate) fn first_of_hole() -> BlobId {
    zeros(FIRST_OF_HOLE)
}

/// The id of so many zeros. Few lengths are ever asked for.
fn zeros(length: u64) -> BlobId {
    static KNOWN: OnceLock<Mutex<HashMap<u64, BlobId>>> = OnceLock::new();
    let mut known = KNOWN.get_or_init(Mutex::default).lock();
    *known.entry(length).or_insert_with(|| {
        let mut hash = Sha256::new();
        let mut left = length;
        while left > 0 {
            let part = left.min(4096);
            hash.update(&[0_u8; 4096][..part as usize]);
            left -= part;
        }
        BlobId(hash.finalize().into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeks_land_in_the_right_blob_and_hole() {
        let content = Content {
            blobs: vec![BlobId([1; 32]); 4],
            ends: vec![10, 20, 50, 60],
            holes: vec![(10, 50)],
        };
        for (offset, at) in [
            (0, (0, 0)),
            (9, (0, 0)),
            (10, (1, 10)),
            (49, (2, 20)),
            (59, (3, 50)),
        ] {
            assert_eq!(content.at(offset), Some(at), "{offset}");
        }
        assert_eq!(content.at(60), None);
        assert_eq!(content.filled(), 20);
        for (offset, extent) in [
            (0, (false, 10)),
            (10, (true, 50)),
            (49, (true, 50)),
            (50, (false, 60)),
        ] {
            assert_eq!(content.extent(offset), extent, "{offset}");
        }
        assert_eq!(Content::default().at(0), None);
    }
}
