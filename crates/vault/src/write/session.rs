//! What the threads of a write session share: which blobs are known, the open packs, the queue of
//! packs on their way to the store, and the first error.
//!
//! A blob that this session has begun to save counts as known from that moment, for every thread.
//! That is safe because nothing is promised before [`Session::flush`], which waits until every save
//! that had begun has ended, and because one failed save poisons the session for all.

use std::{
    num::NonZeroU32,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
};

use crossbeam_channel::Sender;
use parking_lot::{Condvar, Mutex, RwLock};
use sha2::{Digest, Sha256};

use super::{
    WriteStats, WriterOptions,
    buffers::{Buffers, Chunk},
    known::Known,
    putters::Staging,
    scratch::{self, Plain},
};
use crate::{
    bits::Bits,
    blob::BlobKind,
    error::{Result, VaultError},
    id::{BlobId, IndexId, PackId},
    index::{Index, IndexedPack},
    opened::Core,
    pack::PackBuilder,
};

/// Packs that are hashed together.
const TOGETHER: usize = 2;
/// Packs of more blobs go alone.
const MANY_BLOBS: usize = 1000;
/// Blobs of a pack, at most: a header stays far from its 16 MiB.
const MAX_BLOBS_PER_PACK: usize = 100_000;

/// Shared by writer, file writers, workers and putters.
pub(super) struct Session {
    pub(super) core: Arc<Core>,
    pub(super) index: Arc<Index>,
    pub(super) options: WriterOptions,
    known: Known,
    /// Open packs: data, tree.
    open: [Mutex<Option<PackBuilder>>; 2],
    /// Full packs that are hashed with the next one.
    waiting: Mutex<Vec<PackBuilder>>,
    pub(super) full: Sender<Vec<PackBuilder>>,
    /// Held shared by every save, exclusively by a flush.
    gate: RwLock<()>,
    /// Packs handed to the putters and not yet with the store.
    pub(super) on_the_way: Mutex<usize>,
    pub(super) landed: Condvar,
    /// Packs that are written and not durable yet.
    pub(super) staged: Staging,
    /// Durable packs that no index names yet.
    pub(super) unindexed: Mutex<Vec<IndexedPack>>,
    /// Blobs of these.
    pub(super) unindexed_blobs: AtomicUsize,
    /// Held while an index is written.
    pub(super) indexing: Mutex<()>,
    /// Entries of the index that this session rests on.
    pub(super) reused: Arc<Bits>,
    /// Packs of this session that are durable.
    pub(super) written: Mutex<Vec<PackId>>,
    /// Index files of this session.
    pub(super) index_files: Mutex<Vec<IndexId>>,
    /// All that it has written.
    pub(super) own_index_files: Mutex<Vec<IndexId>>,
    pub(super) buffers: Buffers,
    pub(super) error: OnceLock<Arc<VaultError>>,
    pub(super) abandoned: AtomicBool,
    stats: Counters,
}

#[derive(Default)]
struct Counters {
    data_blobs: AtomicU64,
    tree_blobs: AtomicU64,
    plain_bytes: AtomicU64,
    packed_bytes: AtomicU64,
}

impl Session {
    pub(super) fn new(
        core: Arc<Core>,
        index: Arc<Index>,
        reused: Arc<Bits>,
        options: WriterOptions,
        full: Sender<Vec<PackBuilder>>,
    ) -> Session {
        Session {
            reused,
            written: Mutex::default(),
            index_files: Mutex::default(),
            own_index_files: Mutex::default(),
            core,
            index,
            options,
            known: Known::default(),
            open: Default::default(),
            waiting: Mutex::default(),
            full,
            gate: RwLock::new(()),
            on_the_way: Mutex::new(0),
            landed: Condvar::new(),
            staged: Staging::default(),
            unindexed: Mutex::new(Vec::new()),
            unindexed_blobs: AtomicUsize::new(0),
            indexing: Mutex::default(),
            buffers: Buffers::default(),
            error: OnceLock::new(),
            abandoned: AtomicBool::new(false),
            stats: Counters::default(),
        }
    }

    /// The first error of the session, if there was one.
    pub(super) fn healthy(&self) -> Result<()> {
        match self.error.get() {
            Some(error) => Err(VaultError::Poisoned(error.clone())),
            None => Ok(()),
        }
    }

    /// Makes an error the session's, unless it has one already.
    pub(super) fn poison(&self, error: VaultError) -> VaultError {
        let error = match error {
            VaultError::Poisoned(inner) => inner,
            error => Arc::new(error),
        };
        VaultError::Poisoned(self.error.get_or_init(|| error).clone())
    }

    /// Nobody wants the rest any more: packs on their way are dropped.
    pub(super) fn abandon(&self) {
        self.abandoned.store(true, Ordering::SeqCst);
    }

    pub(super) fn stats(&self) -> WriteStats {
        WriteStats {
            data_blobs: self.stats.data_blobs.load(Ordering::Relaxed),
            tree_blobs: self.stats.tree_blobs.load(Ordering::Relaxed),
            plain_bytes: self.stats.plain_bytes.load(Ordering::Relaxed),
            packed_bytes: self.stats.packed_bytes.load(Ordering::Relaxed),
        }
    }

    /// Saves a blob unless the vault or this session has it.
    pub(super) fn save(&self, kind: BlobKind, plain: &[u8]) -> Result<BlobId> {
        let id = BlobId(Sha256::digest(plain).into());
        self.save_named(kind, id, Plain::Shared(plain))
    }

    /// Saves a piece of a file, and seals it where it lies.
    pub(super) fn save_own(&self, chunk: &mut Chunk) -> Result<BlobId> {
        let plain = Plain::Own(chunk);
        let id = BlobId(Sha256::digest(plain.bytes()).into());
        self.save_named(BlobKind::Data, id, plain)
    }

    /// Saves a blob whose id is known already.
    pub(super) fn save_named(
        &self,
        kind: BlobKind,
        id: BlobId,
        plain: Plain<'_>,
    ) -> Result<BlobId> {
        self.healthy()?;
        let length = plain.bytes().len();
        if length == 0 {
            return Err(VaultError::Invalid("a blob cannot be empty".to_owned()));
        }
        let too_large = kind == BlobKind::Tree && length as u64 > kind.largest();
        if too_large || u32::try_from(length + (64 << 20)).is_err() {
            return Err(too_large_for_the_format(kind, length as u64));
        }
        if let Some((number, _)) = self.index.find_live(kind, &id) {
            self.reused.set(number);
            return Ok(id);
        }
        self.store(kind, id, plain)?;
        Ok(id)
    }

    /// Saves a blob unless this session has it.
    fn store(&self, kind: BlobKind, id: BlobId, plain: Plain<'_>) -> Result<()> {
        let _gate = self.gate.read();
        if !self.begin(kind, id) {
            return Ok(());
        }
        self.save_new(kind, id, plain).map_err(|e| self.poison(e))
    }

    /// Saves a blob although this session, or the vault, had it.
    pub(super) fn store_again(&self, kind: BlobKind, id: BlobId, plain: &[u8]) -> Result<()> {
        let _gate = self.gate.read();
        self.save_new(kind, id, Plain::Shared(plain))
            .map_err(|e| self.poison(e))
    }

    fn save_new(&self, kind: BlobKind, id: BlobId, plain: Plain<'_>) -> Result<()> {
        let level = self.options.compression_level;
        let core = &*self.core;
        let random = &*core.env.random;
        let length = plain.bytes().len() as u64;
        let packed = scratch::with_sealed(&core.seal, random, level, kind, plain, |sealed| {
            self.pack(kind, id, sealed.plain_length, sealed.bytes)
        })?;
        self.count(kind, length, packed as u64);
        Ok(())
    }

    /// Saves a tree that is compressed already, in a buffer with room for the IV before it, unless the vault or this
    /// session has it.
    pub(super) fn save_compressed_tree(
        &self,
        id: BlobId,
        plain_length: NonZeroU32,
        mut compressed: Vec<u8>,
    ) -> Result<()> {
        self.healthy()?;
        let kind = BlobKind::Tree;
        if let Some((number, _)) = self.index.find_live(kind, &id) {
            self.reused.set(number);
            return Ok(());
        }
        let _gate = self.gate.read();
        if !self.begin(kind, id) {
            return Ok(());
        }
        let seal = &self.core.seal;
        let packed = seal
            .seal_in_place(&*self.core.env.random, &mut compressed, 0)
            .and_then(|()| self.pack(kind, id, Some(plain_length), &compressed))
            .map_err(|e| self.poison(e))?;
        self.count(kind, u64::from(plain_length.get()), packed as u64);
        Ok(())
    }

    /// Takes note that a blob is being saved; `false` if it was already.
    fn begin(&self, kind: BlobKind, id: BlobId) -> bool {
        self.known.insert(kind, id)
    }

    /// Puts a sealed blob into an open pack. Returns what it adds to it.
    fn pack(
        &self,
        kind: BlobKind,
        id: BlobId,
        plain_length: Option<NonZeroU32>,
        sealed: &[u8],
    ) -> Result<usize> {
        let slot = &self.open[usize::from(kind == BlobKind::Tree)];
        let mut open = slot.lock();
        let mut full = None;
        if open.as_ref().is_some_and(|pack| !pack.fits(sealed.len())) {
            full = open.take();
        }
        let pack = match &mut *open {
            Some(pack) => pack,
            none => none.insert(PackBuilder::new(self.buffers.pack(self.options.pack_size)?)),
        };
        let added = pack.add(kind, id, plain_length, sealed)?;
        let mut done = None;
        if pack.len() >= self.options.pack_size || pack.count() >= MAX_BLOBS_PER_PACK {
            done = open.take();
        }
        // With the slot still locked: while no putter is free the others wait at it, rather than
        // each fill a pack of its own. That bounds the packs in memory to eight: four with the
        // putters, and two that wait for them from either slot.
        for pack in [full, done].into_iter().flatten() {
            self.send(pack)?;
        }
        drop(open);
        Ok(added)
    }

    fn count(&self, kind: BlobKind, plain: u64, packed: u64) {
        let blobs = match kind {
            BlobKind::Data => &self.stats.data_blobs,
            BlobKind::Tree => &self.stats.tree_blobs,
        };
        blobs.fetch_add(1, Ordering::Relaxed);
        self.stats.plain_bytes.fetch_add(plain, Ordering::Relaxed);
        self.stats.packed_bytes.fetch_add(packed, Ordering::Relaxed);
    }

    /// Hands full packs to the putters, as many as are hashed together.
    fn send(&self, pack: PackBuilder) -> Result<()> {
        if !self.core.env.threads {
            return self.put_packs(vec![pack]);
        }
        // Hashing is little of what many small blobs cost: no need to keep two packs of them.
        if pack.count() > MANY_BLOBS {
            return self.hand_over(vec![pack]);
        }
        let mut waiting = self.waiting.lock();
        waiting.push(pack);
        if waiting.len() < TOGETHER {
            return Ok(());
        }
        let packs = std::mem::take(&mut *waiting);
        drop(waiting);
        self.hand_over(packs)
    }

    /// Waits while no putter is free: that bounds the memory.
    fn hand_over(&self, packs: Vec<PackBuilder>) -> Result<()> {
        let count = packs.len();
        *self.on_the_way.lock() += count;
        self.full.send(packs).map_err(|_| {
            *self.on_the_way.lock() -= count;
            VaultError::Interrupted("the threads that store packs have ended".to_owned())
        })
    }

    /// Makes everything that was saved so far durable.
    pub(super) fn flush(&self) -> Result<()> {
        // Waits for saves that have begun; a blob that a thread took for known may be among them.
        let _gate = self.gate.write();
        self.healthy()?;
        self.send_all_that_is_open().map_err(|e| self.poison(e))?;
        let mut on_the_way = self.on_the_way.lock();
        while *on_the_way > 0 {
            self.landed.wait(&mut on_the_way);
        }
        drop(on_the_way);
        self.settle()?;
        self.healthy()
    }

    /// Each by itself: nothing else is left to do for any core, and two putters are done before one that hashes two
    /// packs together.
    fn send_all_that_is_open(&self) -> Result<()> {
        let mut packs = std::mem::take(&mut *self.waiting.lock());
        packs.extend(self.open.iter().filter_map(|slot| slot.lock().take()));
        packs.sort_by_key(|pack| std::cmp::Reverse(pack.len()));
        for pack in packs {
            match self.core.env.threads {
                true => self.hand_over(vec![pack])?,
                false => self.put_packs(vec![pack])?,
            }
        }
        Ok(())
    }

    /// Gives memory back that only saving needs.
    pub(super) fn let_go(&self) {
        self.known.forget();
        self.buffers.forget();
    }
}

/// A blob that nobody could read back.
pub(super) fn too_large_for_the_format(kind: BlobKind, bytes: u64) -> VaultError {
    let reason = format!("a {} blob of {bytes} bytes", kind.as_str());
    VaultError::Unsupported(format!("{reason} is too large for the format"))
}
