//! Blobs of files that lie near each other in their packs: each neighbourhood is read with one request.
//!
//! A server answers a request in a round trip, whatever it asks for; a directory has a file to open. What a writer
//! packed together is mostly wanted together: small files of one directory, the pieces of a large one.

use std::{collections::HashMap, sync::Arc};

use super::{Reader, ahead::Segment};
use crate::{
    blob::BlobKind,
    error::Result,
    id::{BlobId, PackId},
    index::BlobLocation,
};

/// Bytes of one request, at most.
const LONGEST: u32 = 8 << 20;
/// Bytes of all requests of one call, at most: an index that lies gets no more memory than that.
const MOST: u64 = 32 << 20;
/// What may lie between two blobs of a run, and is thrown away: on this machine it costs about as much to copy as
/// another file to open; over a network about as much to carry as another round trip.
const GAP_NEAR: u32 = 16 << 10;
const GAP_FAR: u32 = 256 << 10;
/// A run of fewer bytes is worth reading ahead; what is longer is worth a request by itself.
const AHEAD: u32 = 1 << 20;

/// Sealed blobs in memory. Who asks for one that is not here, or not whole, asks [`Reader::blob`], which has further
/// ways to it.
#[derive(Debug, Default)]
pub struct Gathered {
    runs: Vec<Bytes>,
    /// The run, and where in it the blob begins.
    places: HashMap<BlobId, (usize, usize, BlobLocation)>,
}

/// Those of a run, or those of a segment in which it lies.
#[derive(Debug)]
enum Bytes {
    Own(Vec<u8>),
    Shared(Arc<Segment>),
}

/// A neighbourhood in a pack.
#[derive(Debug, PartialEq, Eq)]
struct Run {
    pack: PackId,
    start: u32,
    end: u32,
    blobs: Vec<(BlobId, BlobLocation)>,
}

impl Reader {
    /// Whether each request waits for a network.
    pub fn is_remote(&self) -> bool {
        self.0.core.store.is_remote()
    }

    /// Reads these blobs of files, neighbours together; from a server ahead, too. What the index does not name, what
    /// stands alone on this machine, and what cannot be read is left out. The caller bounds the memory: it is what the
    /// blobs have sealed, and a little.
    pub fn gather(&self, ids: impl IntoIterator<Item = BlobId>) -> Gathered {
        let remote = self.is_remote();
        let gap = if remote { GAP_FAR } else { GAP_NEAR };
        let located = ids
            .into_iter()
            .filter_map(|id| Some((id, self.index().find(BlobKind::Data, &id)?)))
            .collect();
        let mut gathered = Gathered::default();
        let mut left = MOST;
        for run in runs(located, gap) {
            let length = run.end - run.start;
            let Some(rest) = left.checked_sub(u64::from(length)) else {
                break;
            };
            left = rest;
            if remote && length < AHEAD {
                if let Some(segment) = self.segment(run.pack, run.start, run.end) {
                    gathered.add(&run, segment.start, Bytes::Shared(segment));
                }
                continue;
            }
            if run.blobs.len() < 2 {
                continue;
            }
            match self.0.core.pack_range(run.pack, run.start, length) {
                Ok(bytes) => gathered.add(&run, run.start, Bytes::Own(bytes)),
                // Said by whoever asks for one of them by itself, or mended.
                Err(error) => tracing::debug!(pack = %run.pack, %error, "read a run"),
            }
        }
        gathered
    }

    /// A blob of a file out of what was gathered, or else by itself.
    pub fn gathered_blob(&self, gathered: &Gathered, id: BlobId) -> Result<Vec<u8>> {
        let whole = gathered.sealed(id).and_then(|(sealed, at)| {
            let seal = &self.0.core.seal;
            super::blobs::open(seal, BlobKind::Data, id, at.plain_length, sealed.to_vec()).ok()
        });
        match whole {
            Some(plain) => Ok(plain),
            None => self.blob(BlobKind::Data, id),
        }
    }
}

impl Gathered {
    /// `bytes` begin at `start` of the run's pack.
    fn add(&mut self, run: &Run, start: u32, bytes: Bytes) {
        let number = self.runs.len();
        for (id, at) in &run.blobs {
            let from = (at.offset - start) as usize;
            self.places.insert(*id, (number, from, *at));
        }
        self.runs.push(bytes);
    }

    fn sealed(&self, id: BlobId) -> Option<(&[u8], &BlobLocation)> {
        let (run, from, at) = self.places.get(&id)?;
        let bytes = match self.runs.get(*run)? {
            Bytes::Own(bytes) => bytes,
            Bytes::Shared(segment) => segment.bytes()?,
        };
        let sealed = bytes.get(*from..)?;
        Some((sealed.get(..at.length as usize)?, at))
    }
}

/// Joins what lies near each other. Lengths are foreign: what no program writes, or lies outside what a pack can have,
/// is left to whoever names it.
fn runs(mut located: Vec<(BlobId, BlobLocation)>, gap: u32) -> Vec<Run> {
    located.retain(|(_, at)| {
        u64::from(at.length) <= BlobKind::Data.largest()
            && at.offset.checked_add(at.length).is_some()
    });
    located.sort_unstable_by_key(|(id, at)| (at.pack, at.offset, *id));
    located.dedup();
    let mut runs: Vec<Run> = Vec::new();
    for (id, at) in located {
        let end = at.offset + at.length;
        match runs.last_mut() {
            Some(run)
                if run.pack == at.pack
                    && at.offset >= run.end
                    && at.offset - run.end <= gap
                    && end - run.start <= LONGEST =>
            {
                run.end = end;
                run.blobs.push((id, at));
            }
            _ => runs.push(Run {
                pack: at.pack,
                start: at.offset,
                end,
                blobs: vec![(id, at)],
            }),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(n: u8, pack: u8, offset: u32, length: u32) -> (BlobId, BlobLocation) {
        let at = BlobLocation {
            pack: PackId([pack; 32]),
            offset,
            length,
            plain_length: None,
        };
        (BlobId([n; 32]), at)
    }

    fn shape(located: Vec<(BlobId, BlobLocation)>) -> Vec<(u8, u32, u32, Vec<u8>)> {
        let found = runs(located, 100);
        let numbers = |run: &Run| run.blobs.iter().map(|(id, _)| id.0[0]).collect();
        found
            .iter()
            .map(|run| (run.pack.0[0], run.start, run.end, numbers(run)))
            .collect()
    }

    #[test]
    fn neighbours_are_joined_in_the_order_of_the_pack() {
        let located = vec![
            blob(3, 1, 300, 50),
            blob(1, 1, 0, 100),
            blob(2, 1, 100, 100),
            blob(4, 2, 0, 10),
            blob(5, 1, 451, 10),
        ];
        let expected = vec![
            (1, 0, 350, vec![1, 2, 3]),
            (1, 451, 461, vec![5]),
            (2, 0, 10, vec![4]),
        ];
        assert_eq!(shape(located), expected);
    }

    #[test]
    fn a_blob_twice_is_read_once_and_overlaps_are_not_joined() {
        let one = blob(1, 1, 0, 100);
        let lies = blob(2, 1, 50, 100);
        let expected = vec![(1, 0, 100, vec![1]), (1, 50, 150, vec![2])];
        assert_eq!(shape(vec![one, lies, one]), expected);
    }

    #[test]
    fn no_request_is_longer_than_is_kept_and_what_nobody_writes_is_left_out() {
        let half = LONGEST / 2;
        let located = vec![
            blob(1, 1, 0, half),
            blob(2, 1, half, half),
            blob(3, 1, 2 * half, half),
            blob(4, 2, u32::MAX - 5, 10),
            blob(5, 3, 0, u32::MAX),
        ];
        let expected = vec![
            (1, 0, LONGEST, vec![1, 2]),
            (1, LONGEST, LONGEST + half, vec![3]),
        ];
        assert_eq!(shape(located), expected);
    }
}
