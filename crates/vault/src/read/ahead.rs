//! Reading ahead in packs on servers.
//!
//! A restore goes through folders much as the backup did, so what it wants next mostly lies behind what it had last, but
//! for what other threads packed in between. Where requests to a pack follow one another, the next one asks for more than
//! is wanted, twice as much each time, as kernels read files ahead; later requests are answered from memory. So a pack is
//! read about once and in its own order, while the memory is bounded and nobody has to know beforehand all that will be
//! wanted. What is wanted here and there, as from a vault of many generations, is asked for as it is.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::Reader;
use crate::{id::PackId, unpacked::object_name};

/// Bytes of the first request that asks for more than is wanted.
const FIRST: u32 = 256 << 10;
/// Bytes of one that reads ahead, at most.
const MOST: u32 = 2 << 20;
/// What may lie between two requests that follow one another.
const GAP: u32 = 256 << 10;
/// Bytes of segments in memory.
const KEPT: u64 = 16 << 20;
/// Segments, whatever they have.
const COUNT: usize = 256;

/// A part of a pack, in memory or on its way.
#[derive(Debug)]
pub(super) struct Segment {
    pack: PackId,
    pub(super) start: u32,
    end: u32,
    /// `None` inside: it could not be read.
    bytes: OnceLock<Option<Vec<u8>>>,
}

/// What was asked for last, the newest at the end.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    segments: Mutex<VecDeque<Arc<Segment>>>,
    /// Bytes of packs.
    sizes: Mutex<HashMap<PackId, u32>>,
}

impl Segment {
    /// Its bytes, if it could be read.
    pub(super) fn bytes(&self) -> Option<&[u8]> {
        self.bytes.get()?.as_deref()
    }

    fn holds(&self, pack: PackId, start: u32, end: u32) -> bool {
        self.pack == pack && self.start <= start && end <= self.end
    }

    /// Whether what begins at `start` follows it.
    fn leads_to(&self, pack: PackId, start: u32) -> bool {
        self.pack == pack && self.start <= start && start <= self.end.saturating_add(GAP)
    }
}

impl Reader {
    /// A segment in which a part of a pack lies, read if it is not in memory. Who comes while it is on its way waits for
    /// it. Where it cannot be read nothing comes back, and nothing of it is kept.
    pub(super) fn segment(&self, pack: PackId, start: u32, end: u32) -> Option<Arc<Segment>> {
        let core = &self.0.core;
        let size = || {
            let known = self.0.ahead.sizes.lock().get(&pack).copied();
            known.or_else(|| {
                let name = object_name(lifeboat_store::Area::Data, &pack.0).ok()?;
                let size = u32::try_from(core.store.size(&name).ok()?).ok()?;
                self.0.ahead.sizes.lock().insert(pack, size);
                Some(size)
            })
        };
        let segment = self.0.ahead.find_or_plan(pack, start, end, size);
        let read = || {
            let bytes = core.pack_range(pack, segment.start, segment.end - segment.start);
            // Said by whoever asks for a blob of it by itself, or mended.
            bytes
                .inspect_err(|error| tracing::debug!(%pack, %error, "read ahead"))
                .ok()
        };
        if segment.bytes.get_or_init(read).is_none() {
            self.0.ahead.forget(&segment);
            return None;
        }
        Some(segment)
    }
}

impl Ahead {
    /// The segment that has it, or a new one that is to be read.
    fn find_or_plan(
        &self,
        pack: PackId,
        start: u32,
        end: u32,
        size: impl FnOnce() -> Option<u32>,
    ) -> Arc<Segment> {
        let (before, next) = {
            let mut segments = self.segments.lock();
            let has = |segment: &Arc<Segment>| segment.holds(pack, start, end);
            if let Some(at) = segments.iter().rposition(has)
                && let Some(found) = segments.remove(at)
            {
                segments.push_back(found.clone());
                return found;
            }
            let leads = |segment: &&Arc<Segment>| segment.leads_to(pack, start);
            let last = segments.iter().rev().find(leads);
            // Another thread is ahead of us.
            let behind = segments.iter().filter(|s| s.pack == pack && s.start >= end);
            let next = behind.map(|s| s.start).min();
            (last.map(|segment| segment.end - segment.start), next)
        };
        let ahead = before.and_then(|length| {
            let length = length.saturating_mul(2).clamp(FIRST, MOST);
            let to = start.saturating_add(length).min(size()?);
            Some(next.map_or(to, |next| to.min(next)))
        });
        let segment = Arc::new(Segment {
            pack,
            start,
            end: ahead.unwrap_or(end).max(end),
            bytes: OnceLock::new(),
        });
        let mut segments = self.segments.lock();
        segments.push_back(segment.clone());
        let bytes = |s: &Arc<Segment>| u64::from(s.end - s.start);
        let mut kept: u64 = segments.iter().map(bytes).sum();
        while segments.len() > 1 && (kept > KEPT || segments.len() > COUNT) {
            kept -= segments.pop_front().map_or(0, |s| bytes(&s));
        }
        segment
    }

    fn forget(&self, segment: &Arc<Segment>) {
        self.segments.lock().retain(|s| !Arc::ptr_eq(s, segment));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACK: PackId = PackId([1; 32]);
    const SIZE: u32 = 16 << 20;

    fn asked(ahead: &Ahead, pack: PackId, start: u32, end: u32) -> (u32, u32) {
        let segment = ahead.find_or_plan(pack, start, end, || Some(SIZE));
        (segment.start, segment.end)
    }

    #[test]
    fn what_follows_is_read_ahead_more_each_time_up_to_the_end_of_the_pack() {
        let ahead = Ahead::default();
        let (mut at, mut requests) = (0, Vec::new());
        while at < SIZE {
            let segment = asked(&ahead, PACK, at, at + 1000);
            if requests.last() != Some(&segment) {
                requests.push(segment);
            }
            // Something lies between, which nobody wants.
            at += 50_000;
        }
        let lengths: Vec<u32> = requests.iter().map(|(from, to)| to - from).collect();
        assert_eq!(lengths[..5], [1000, FIRST, 2 * FIRST, 4 * FIRST, MOST]);
        assert!(lengths.len() < 14, "{lengths:?}");
        assert_eq!(requests.last().unwrap().1, SIZE);
    }

    #[test]
    fn what_is_wanted_here_and_there_is_asked_for_as_it_is() {
        let ahead = Ahead::default();
        for n in 0..20 {
            let at = (n * 7 % 20) * (SIZE / 20);
            assert_eq!(asked(&ahead, PACK, at, at + 1000), (at, at + 1000));
            let other = PackId([2 + u8::try_from(n).unwrap(); 32]);
            assert_eq!(asked(&ahead, other, 0, 10), (0, 10));
        }
    }

    #[test]
    fn so_much_is_kept_and_no_more_and_what_could_not_be_read_is_not() {
        let ahead = Ahead::default();
        for n in 0..40 {
            asked(&ahead, PackId([n; 32]), 0, MOST);
        }
        assert_eq!(ahead.segments.lock().len() as u64, KEPT / u64::from(MOST));
        let last = ahead.find_or_plan(PackId([50; 32]), 0, 10, || None);
        ahead.forget(&last);
        let again = ahead.find_or_plan(PackId([50; 32]), 0, 10, || None);
        assert!(!Arc::ptr_eq(&last, &again));
        // Nothing is asked for behind an end that is not known.
        let next = ahead.find_or_plan(PackId([50; 32]), 10, 20, || None);
        assert_eq!((next.start, next.end), (10, 20));
        // Nor what another thread has asked for already.
        asked(&ahead, PACK, 500_000, 600_000);
        asked(&ahead, PACK, 300_000, 301_000);
        assert_eq!(asked(&ahead, PACK, 302_000, 303_000), (302_000, 500_000));
    }
}
