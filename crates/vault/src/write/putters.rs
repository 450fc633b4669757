//! The threads that hand packs to the store, and the one from which on they are durable.
//!
//! A pack is staged as soon as it is full: written, but nobody waits for the disk. What is staged is settled together,
//! by a thread of its own whenever it is much or has lain for a while, and by a flush; only then is a pack named by an
//! index. To wait for each pack by itself has both putters wait for the disk, and the workers for them (ADR 41).

use std::{sync::atomic::Ordering, time::Duration};

use crossbeam_channel::Receiver;
use lifeboat_store::{Area, Staged, StoreError};
use parking_lot::{Condvar, Mutex};

use super::session::Session;
use crate::{
    blob::BlobKind,
    error::{Result, VaultError},
    index::{IndexedPack, MAX_BLOBS_PER_FILE},
    pack::{FinishedPack, PackBuilder},
    unpacked::object_name,
};

/// Bytes that are settled together: two packs of the usual size, for so they are hashed. What lies longer is what a flush
/// waits for in the end: a disk takes as long to settle bytes as to take them.
const MUCH: usize = 32 << 20;
/// So many packs are settled together, however small they are: each is an open file.
const MANY: usize = 16;
/// At so many times that putters wait until they are settled. It bounds what a crash of the machine can take.
const TOO_OFTEN: usize = 8;
/// As long packs stay staged while no other comes.
const A_WHILE: Duration = Duration::from_secs(2);

/// Packs that are written and not durable yet.
#[derive(Default)]
pub(super) struct Staging {
    packs: Mutex<StagedPacks>,
    changed: Condvar,
    /// Held while some of them are made durable.
    settling: Mutex<()>,
}

#[derive(Default)]
struct StagedPacks {
    packs: Vec<(Staged, IndexedPack)>,
    bytes: usize,
    blobs: usize,
    /// No more will come.
    ended: bool,
}

impl StagedPacks {
    fn push(&mut self, staged: Staged, pack: IndexedPack, bytes: usize) {
        self.bytes += bytes;
        self.blobs += pack.blobs.len();
        self.packs.push((staged, pack));
    }

    fn take(&mut self) -> Vec<(Staged, IndexedPack)> {
        (self.bytes, self.blobs) = (0, 0);
        std::mem::take(&mut self.packs)
    }

    /// Whether it is time to settle them.
    fn are_much(&self) -> bool {
        self.are(1) || self.blobs >= MAX_BLOBS_PER_FILE
    }

    /// Whether nothing more may be staged before.
    fn are_too_much(&self) -> bool {
        self.are(TOO_OFTEN)
    }

    fn are(&self, times: usize) -> bool {
        self.bytes >= times * MUCH || self.packs.len() >= times * MANY
    }
}

impl Session {
    /// A putter's life: seals headers, names packs, hands them to the store, until it is told to stop.
    pub(super) fn put_from(&self, queue: &Receiver<Vec<PackBuilder>>) {
        while let Ok(packs) = queue.recv() {
            if packs.is_empty() {
                return;
            }
            self.put_unless_lost(packs);
        }
    }

    /// Tells as many putters to stop.
    pub(super) fn stop_putters(&self, count: usize) {
        for _ in 0..count {
            let _ = self.full.send(Vec::new());
        }
    }

    /// Puts packs, unless the session has failed or nobody wants them any more.
    fn put_unless_lost(&self, packs: Vec<PackBuilder>) {
        let _landing = Landing(self, packs.len());
        let _lost = LostByPanic(self, "a thread that stores packs died");
        let lost = self.error.get().is_some() || self.abandoned.load(Ordering::SeqCst);
        if lost {
            return;
        }
        if let Err(error) = self.put_packs(packs) {
            let _ = self.poison(error);
        }
    }

    /// Seals headers, names packs, and stages them.
    pub(super) fn put_packs(&self, packs: Vec<PackBuilder>) -> Result<()> {
        let packs = PackBuilder::finish_all(packs, &self.core.seal, &*self.core.env.random)?;
        packs.into_iter().try_for_each(|pack| self.put_pack(pack))
    }

    fn put_pack(&self, pack: FinishedPack) -> Result<()> {
        let name = object_name(Area::Data, &pack.id.0)?;
        let stage = match self.core.store.stage(&name, &pack.bytes) {
            Ok(stage) => stage,
            // The same random IVs twice: another putter's retry has stored exactly this pack.
            Err(StoreError::AlreadyExists(_))
                if self.core.store.size(&name).ok() == Some(pack.bytes.len() as u64) =>
            {
                Staged::durable()
            }
            Err(e) => return Err(VaultError::store(format!("write pack {}", pack.id.short()))(e)),
        };
        if pack.blobs.iter().all(|blob| blob.kind == BlobKind::Tree) {
            self.core.keep_near(&name, &pack.bytes);
        }
        let FinishedPack {
            id,
            bytes,
            mut blobs,
        } = pack;
        // They are kept until an index names them.
        blobs.shrink_to_fit();
        let indexed = IndexedPack {
            time: Some(self.core.env.clock.now().to_rfc3339()),
            size: Some(bytes.len() as u64),
            ..IndexedPack::new(id, blobs)
        };
        let too_much = {
            let mut staged = self.staged.packs.lock();
            staged.push(stage, indexed, bytes.len());
            staged.are_too_much()
        };
        self.staged.changed.notify_all();
        self.buffers.keep_pack(bytes);
        match too_much {
            true => self.settle(),
            false => Ok(()),
        }
    }

    /// The life of the thread that settles what putters have staged, until it is told to stop.
    pub(super) fn settle_what_is_staged(&self) {
        while self.wait_for_staged() {
            // The session has the error.
            let _ = self.settle();
        }
    }

    /// Until there is something to settle; `false` when there will be no more.
    fn wait_for_staged(&self) -> bool {
        let Staging { packs, changed, .. } = &self.staged;
        let mut staged = packs.lock();
        while staged.packs.is_empty() && !staged.ended {
            changed.wait(&mut staged);
        }
        while !staged.are_much() && !staged.ended {
            if changed.wait_for(&mut staged, A_WHILE).timed_out() {
                break;
            }
        }
        !staged.ended
    }

    /// Ends [`settle_what_is_staged`](Self::settle_what_is_staged).
    pub(super) fn stop_settling(&self) {
        self.staged.packs.lock().ended = true;
        self.staged.changed.notify_all();
    }

    /// Makes what is staged durable, and lets the next index name it. Waits for whoever does so already.
    pub(super) fn settle(&self) -> Result<()> {
        let _alone = self.staged.settling.lock();
        let packs = self.staged.packs.lock().take();
        let (staged, indexed): (Vec<_>, Vec<_>) = packs.into_iter().unzip();
        let _lost = LostByPanic(self, "a thread that makes packs durable died");
        let settled = self.core.store.settle(staged);
        settled.map_err(|e| self.poison(VaultError::store("make packs durable")(e)))?;
        for pack in indexed {
            self.written.lock().push(pack.id);
            self.index_later(pack);
        }
        Ok(())
    }
}

/// Packs that a panic takes must not be missed in silence.
struct LostByPanic<'s>(&'s Session, &'static str);

impl Drop for LostByPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.0.poison(VaultError::Interrupted(self.1.into()));
        }
    }
}

/// Packs in a putter's hands. They have landed when this is dropped, even by a panic.
struct Landing<'s>(&'s Session, usize);

impl Drop for Landing<'_> {
    fn drop(&mut self) {
        *self.0.on_the_way.lock() -= self.1;
        self.0.landed.notify_all();
    }
}
