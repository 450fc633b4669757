//! Recovery points from one vault into another, which may have another key, lie in another store, and cut files
//! elsewhere.
//!
//! A blob's name is the hash of its plain bytes, so a point means the same in every vault: trees and blobs are taken
//! over as they are, each opened, hashed and compared with its name on the way, and sealed with the other vault's
//! key. What the other vault holds is not sent. Nothing is believed of its trees: that one is there does not say that
//! what it names is, for a copy may have been interrupted between them.
//!
//! A point that was copied before is known by `original`, the id that it had in the first vault, and by all else that
//! a snapshot says (restic's rule, so that both programs know each other's copies).
//!
//! What a crash leaves: what was sent is made durable every now and then, and is found by the next run; a point is
//! there whole or not at all. At worst packs are left that nothing names.

use std::{
    collections::HashMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    bits::Bits,
    blob::BlobKind,
    closure::Closure,
    error::{ErrorKind, Result, VaultError},
    id::{BlobId, PackId, SnapshotId},
    index::{BlobLocation, Index},
    node::Timestamp,
    opened::Core,
    progress::Progress,
    read::blobs,
    repo::Vault,
    snapshot::Snapshot,
    write::{Writer, WriterOptions},
};

/// What lies between two blobs that are wanted is read with them, up to so many bytes.
const GAP: u64 = 128 << 10;
/// Bytes that are read at once, but for a blob that is larger.
const WINDOW: u64 = 8 << 20;
/// What was sent is made durable when it is so much, or so long ago.
const FLUSH_BYTES: u64 = 512 << 20;
const FLUSH_AFTER: Duration = Duration::from_secs(30);

/// How to copy.
#[derive(Debug, Clone, Default)]
pub struct CopyOptions {
    /// Says what would be sent and sends nothing.
    pub dry_run: bool,
    /// Leaves out what is older than the newest there of the same paths and host: it was forgotten there. What is pinned goes
    /// in any case.
    /// The points come oldest first: else what an interrupted copy left would count as forgotten.
    pub only_newer: bool,
    /// How the other vault is written.
    pub writer: WriterOptions,
}

/// What became of one point.
#[derive(Debug)]
pub enum Copied {
    /// It was there, under this id.
    There(SnapshotId),
    /// It is there now, under this id.
    New {
        /// Its id in the other vault.
        id: SnapshotId,
        /// Blobs that were sent.
        blobs: u64,
        /// Their plain bytes.
        bytes: u64,
    },
    /// A dry run: it would be sent.
    Would {
        /// Blobs that the other vault does not hold.
        blobs: u64,
        /// Their plain bytes.
        bytes: u64,
    },
    /// It is older than the newest there, and was left out.
    Older,
    /// It cannot be read in this vault, and was not copied.
    Damaged(VaultError),
}

/// What a copy did.
#[derive(Debug, Default)]
pub struct CopyReport {
    /// Each point, in the order in which they were given.
    pub points: Vec<(SnapshotId, Copied)>,
    /// Why it ended before it had tried all.
    pub stopped: Option<VaultError>,
}

/// A blob that has to be sent.
type Wanted = (BlobKind, BlobId, BlobLocation);

/// Blobs of one pack that are read at once.
struct Piece {
    pack: PackId,
    offset: u64,
    end: u64,
    blobs: Vec<Wanted>,
}

/// Whose fault it was.
enum Failed {
    Here(VaultError),
    There(VaultError),
}

impl Vault {
    /// Copies points to another vault. Damage here costs the points that it touches; whatever else goes wrong ends
    /// the copy, and is in the report.
    pub fn copy_to(
        &self,
        target: &Vault,
        points: &[(SnapshotId, Snapshot)],
        options: &CopyOptions,
        stop: &AtomicBool,
        progress: &dyn Progress,
    ) -> Result<CopyReport> {
        if self.location() == target.location() {
            return Err(VaultError::Invalid(format!(
                "both vaults are the one at {}; name another place to copy to",
                self.location()
            )));
        }
        target.0.refuse_version_1()?;
        let _lock = self.shared_lock()?;
        progress.step("read index");
        let core = &*self.0;
        let index = core.load_index()?.whole()?;
        let snapshots = target.snapshots()?;
        let there = known(&snapshots.found);
        let newest = newest(&snapshots.found, core.env.clock.now());
        let mut closure = Closure::new(core, &index);
        let mut report = CopyReport::default();
        for (id, snapshot) in points {
            let original = snapshot.original.unwrap_or(*id);
            let copies = there.get(&original).into_iter().flatten();
            if let Some((copy, _)) = copies.into_iter().find(|(_, s)| similar(s, snapshot)) {
                report.points.push((*id, Copied::There(*copy)));
                continue;
            }
            let newest = newest.get(&line(snapshot)).copied();
            // One whose time cannot be read is not taken for old.
            let at = time(snapshot);
            let is_older = at.zip(newest).is_some_and(|(at, newest)| at < newest);
            if options.only_newer && is_older && !snapshot.is_pinned() {
                report.points.push((*id, Copied::Older));
                continue;
            }
            let source = Source {
                core,
                index: &index,
                stop,
                progress,
            };
            match source.point(target, &mut closure, *id, snapshot, options) {
                Ok(copied) => report.points.push((*id, copied)),
                Err(Failed::Here(error)) if error.kind() == ErrorKind::Damaged => {
                    report.points.push((*id, Copied::Damaged(error)));
                }
                Err(Failed::Here(error) | Failed::There(error)) => {
                    report.stopped = Some(error);
                    break;
                }
            }
        }
        Ok(report)
    }
}

/// Snapshots by the id that they had in the first vault, and by their own.
fn known(found: &[(SnapshotId, Snapshot)]) -> HashMap<SnapshotId, Vec<(SnapshotId, &Snapshot)>> {
    let mut known: HashMap<_, Vec<_>> = HashMap::new();
    for (id, snapshot) in found {
        known.entry(*id).or_default().push((*id, snapshot));
        if let Some(original) = snapshot.original {
            known.entry(original).or_default().push((*id, snapshot));
        }
    }
    known
}

fn time(snapshot: &Snapshot) -> Option<Timestamp> {
    Timestamp::parse_rfc3339(&snapshot.time)
}

/// What follows one another.
fn line(snapshot: &Snapshot) -> (&str, &[String]) {
    (&snapshot.hostname, &snapshot.paths)
}

/// The time of the newest of each line. One that is ahead was made by a wrong clock, and would keep all others out.
fn newest(
    found: &[(SnapshotId, Snapshot)],
    now: Timestamp,
) -> HashMap<(&str, &[String]), Timestamp> {
    let mut newest = HashMap::new();
    for (_, snapshot) in found {
        if let Some(at) = time(snapshot).filter(|at| *at <= now) {
            let known = newest.entry(line(snapshot)).or_insert(at);
            *known = at.max(*known);
        }
    }
    newest
}

/// Whether two snapshots say the same, but for parent and original.
fn similar(a: &Snapshot, b: &Snapshot) -> bool {
    (a.time == b.time || time(a).is_some() && time(a) == time(b))
        && a.tree == b.tree
        && (&a.hostname, &a.username, a.uid, a.gid) == (&b.hostname, &b.username, b.uid, b.gid)
        && (&a.paths, &a.excludes, &a.tags) == (&b.paths, &b.excludes, &b.tags)
}

struct Source<'a> {
    core: &'a Core,
    index: &'a Index,
    stop: &'a AtomicBool,
    progress: &'a dyn Progress,
}

impl Source<'_> {
    fn point(
        &self,
        target: &Vault,
        closure: &mut Closure<'_>,
        id: SnapshotId,
        snapshot: &Snapshot,
        options: &CopyOptions,
    ) -> Result<Copied, Failed> {
        let no_tree = || VaultError::damaged(format!("snapshots/{id}"), "it names no tree");
        let root = snapshot.tree.ok_or_else(no_tree).map_err(Failed::Here)?;
        self.progress.step("read trees");
        self.go_on()?;
        let mut see = |_: BlobId, _: &_| {
            self.progress.advance(1, 0);
            match self.stop.load(Ordering::Relaxed) {
                true => Err(interrupted()),
                false => Ok(()),
            }
        };
        closure.read(root, &mut see).map_err(Failed::Here)?;
        let bits = Bits::new(self.index.len());
        closure.mark(root, &bits).map_err(Failed::Here)?;

        // The session begins before the other vault is asked what it holds, so that this stays true until the end.
        let writer = target
            .writer(options.writer.clone())
            .map_err(Failed::There)?;
        let wanted: Vec<Wanted> = self
            .index
            .iter()
            .enumerate()
            .filter(|(number, (kind, id, _))| bits.has(*number) && !writer.has(*kind, *id))
            .map(|(_, blob)| blob)
            .collect();
        let blobs = wanted.len() as u64;
        let bytes = wanted.iter().map(|(_, _, at)| at.plain_len()).sum();
        if options.dry_run {
            return Ok(Copied::Would { blobs, bytes });
        }
        self.progress.step("copy");
        self.progress.expect(blobs, bytes);
        let sent = self.send(&writer, pieces(wanted), options.writer.threads);
        if let Err(failed) = sent {
            // What was sent need not be sent again.
            let _ = writer.flush();
            return Err(failed);
        }
        let mut copy = snapshot.clone();
        copy.parent = None;
        copy.original.get_or_insert(id);
        let id = writer.commit(copy).map_err(Failed::There)?;
        Ok(Copied::New { id, blobs, bytes })
    }

    fn go_on(&self) -> Result<(), Failed> {
        match self.stop.load(Ordering::Relaxed) {
            true => Err(Failed::Here(interrupted())),
            false => Ok(()),
        }
    }

    /// Sends the pieces with some threads. The first failure ends it.
    fn send(&self, writer: &Writer, pieces: Vec<Piece>, threads: usize) -> Result<(), Failed> {
        let queue = Mutex::new(pieces.into_iter());
        let failed = Mutex::new(None);
        let ended = AtomicBool::new(false);
        let unflushed = AtomicU64::new(0);
        let flushed = Mutex::new(Instant::now());
        let work = || {
            while !ended.load(Ordering::Relaxed) {
                let next = lock(&queue).next();
                let Some(piece) = next else { return };
                let sent = self.piece(writer, &piece).and_then(|bytes| {
                    let waiting = unflushed.fetch_add(bytes, Ordering::Relaxed) + bytes;
                    let Ok(mut last) = flushed.try_lock() else {
                        return Ok(());
                    };
                    if waiting < FLUSH_BYTES && last.elapsed() < FLUSH_AFTER {
                        return Ok(());
                    }
                    unflushed.store(0, Ordering::Relaxed);
                    *last = Instant::now();
                    writer.flush().map_err(Failed::There)
                });
                if let Err(error) = sent {
                    lock(&failed).get_or_insert(error);
                    ended.store(true, Ordering::Relaxed);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads.max(1) {
                scope.spawn(work);
            }
            work();
        });
        match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(failed) => Err(failed),
            None => Ok(()),
        }
    }

    /// Reads a piece, and sends what it was read for. Returns the plain bytes.
    fn piece(&self, writer: &Writer, piece: &Piece) -> Result<u64, Failed> {
        self.go_on()?;
        let what = || format!("pack {}", piece.pack);
        let (Ok(offset), Ok(length)) = (
            u32::try_from(piece.offset),
            u32::try_from(piece.end - piece.offset),
        ) else {
            let why = "the index names bytes of it beyond 4 GiB";
            return Err(Failed::Here(VaultError::damaged(what(), why)));
        };
        let bytes = self
            .core
            .pack_range(piece.pack, offset, length)
            .map_err(Failed::Here)?;
        let mut sum = 0;
        for (kind, id, at) in &piece.blobs {
            self.go_on()?;
            let from = (u64::from(at.offset) - piece.offset) as usize;
            let sealed = bytes.get(from..from + at.length as usize);
            let sealed = sealed.unwrap_or_default().to_vec();
            let plain = blobs::open(&self.core.seal, *kind, *id, at.plain_length, sealed).map_err(
                |why| {
                    let what = format!("{} blob {id} in pack {}", kind.as_str(), piece.pack);
                    Failed::Here(VaultError::damaged(what, why))
                },
            )?;
            writer.blob(*kind, &plain).map_err(Failed::There)?;
            sum += plain.len() as u64;
            self.progress.advance(1, plain.len() as u64);
        }
        Ok(sum)
    }
}

fn interrupted() -> VaultError {
    VaultError::Interrupted("the copy".to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Blobs in the order in which they lie, put together so that few reads are enough.
fn pieces(mut wanted: Vec<Wanted>) -> Vec<Piece> {
    wanted.sort_unstable_by_key(|(_, _, at)| (at.pack, at.offset));
    let mut pieces: Vec<Piece> = Vec::new();
    for blob in wanted {
        let at = blob.2;
        let (begin, end) = (
            u64::from(at.offset),
            u64::from(at.offset) + u64::from(at.length),
        );
        match pieces.last_mut() {
            Some(piece)
                if piece.pack == at.pack
                    && begin <= piece.end + GAP
                    && end.max(piece.end) - piece.offset <= WINDOW =>
            {
                piece.end = piece.end.max(end);
                piece.blobs.push(blob);
            }
            _ => pieces.push(Piece {
                pack: at.pack,
                offset: begin,
                end,
                blobs: vec![blob],
            }),
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(pack: u8, offset: u32, length: u32) -> Wanted {
        let location = BlobLocation {
            pack: PackId([pack; 32]),
            offset,
            length,
            plain_length: None,
        };
        (BlobKind::Data, BlobId([pack; 32]), location)
    }

    #[test]
    fn what_lies_close_is_read_at_once() {
        let close = u32::try_from(GAP).unwrap();
        let wanted = vec![
            blob(2, 0, 10),
            blob(1, 100 + close, 10),
            blob(1, 0, 100),
            blob(1, 200 + 3 * close, 10),
            blob(3, 0, u32::try_from(WINDOW).unwrap() + 5),
        ];
        let pieces = pieces(wanted);
        let shape: Vec<_> = pieces
            .iter()
            .map(|p| (p.pack.0[0], p.offset, p.blobs.len()))
            .collect();
        assert_eq!(
            shape,
            [
                (1, 0, 2),
                (1, u64::from(200 + 3 * close), 1),
                (2, 0, 1),
                (3, 0, 1)
            ]
        );
        assert_eq!(pieces[0].end, u64::from(110 + close));
    }

    #[test]
    fn a_copy_is_known_by_everything_that_it_says() {
        let one = Snapshot {
            time: "2026-01-01T00:00:00Z".to_owned(),
            paths: vec!["/x".to_owned()],
            ..Snapshot::default()
        };
        let other_zone = Snapshot {
            time: "2026-01-01T01:00:00+01:00".to_owned(),
            parent: Some(SnapshotId([1; 32])),
            original: Some(SnapshotId([2; 32])),
            ..one.clone()
        };
        assert!(similar(&one, &other_zone));
        let tagged = Snapshot {
            tags: vec!["x".to_owned()],
            ..one.clone()
        };
        assert!(!similar(&one, &tagged));
    }
}
