//! The way of a byte into the vault: a write session.
//!
//! Cut, hash, look up, compress, seal, pack, put. Threads of the caller walk and call the methods of
//! one [`Writer`]; workers of the session share the chunks of large files; putters write finished
//! packs while the next fill, and one thread makes them durable, several together. Memory is bounded by pack size, queue depths and chunk size, never by
//! file size.
//!
//! Crash rule: packs, then index, then snapshot, each durable before the next. A crash, or a
//! session dropped without [`Writer::commit`], leaves packs that no index names, at worst an index that
//! no snapshot needs: garbage, never damage. A put that fails poisons the session: every later call and
//! the commit fail with that error.
//!
//! What a session rests on without having written it (equal blobs, unchanged files of the parent) is noted, and its
//! commit makes sure that it is still there (`commit`).
//!
//! While a spool in the store holds packs back, neither `flush` nor `commit` can succeed: index
//! files are written by these two alone, never in between.

mod buffers;
mod commit;
mod file;
pub(crate) mod indexing;
mod known;
pub(crate) mod pool;
mod putters;
mod scratch;
mod session;
mod tree;

pub use file::FileWriter;
pub use tree::TreeWriter;

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

use parking_lot::Mutex;

use self::session::Session;
use crate::{
    bits::Bits,
    blob::BlobKind,
    chunk::ChunkPolicy,
    error::Result,
    id::{BlobId, IndexId},
    lock::{self, HeldLock, LockMode},
    node::Tree,
    opened::Core,
    read::Reader,
};

/// zstd's level, unless somebody asks for another.
const DEFAULT_LEVEL: i32 = 2;
/// Packs that are put at the same time.
const PUTTERS: usize = 2;

/// How a session writes.
#[derive(Debug, Clone)]
pub struct WriterOptions {
    /// zstd level.
    pub compression_level: i32,
    /// Bytes of a pack, about.
    pub pack_size: usize,
    /// Threads that hash, compress and seal the chunks of large files.
    pub threads: usize,
    /// How long to wait for a foreign exclusive lock.
    pub retry_lock: Duration,
}

impl Default for WriterOptions {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(2, usize::from);
        Self {
            compression_level: DEFAULT_LEVEL,
            pack_size: 16 << 20,
            threads,
            retry_lock: Duration::ZERO,
        }
    }
}

/// What a session has added so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WriteStats {
    /// Data blobs that the vault did not have.
    pub data_blobs: u64,
    /// Tree blobs that the vault did not have.
    pub tree_blobs: u64,
    /// Their plain bytes.
    pub plain_bytes: u64,
    /// Their bytes after compression and sealing, header entries included.
    pub packed_bytes: u64,
}

/// A file that has been saved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SavedFile {
    /// Data blobs in order.
    pub content: Vec<BlobId>,
    /// Bytes.
    pub size: u64,
}

/// A write session. Its methods take `&self` and are called by several threads.
pub struct Writer {
    session: Arc<Session>,
    reader: Reader,
    /// Ids of blobs of zeros by length: a hole of a terabyte is hashed once.
    zeros: Mutex<HashMap<usize, BlobId>>,
    jobs: pool::Queue,
    workers: Vec<JoinHandle<()>>,
    putters: Vec<JoinHandle<()>>,
    settler: Option<JoinHandle<()>>,
    /// Index files that this session knows; while all of them are there, so is what they name. `None` when a lease was
    /// lost: what was there before says nothing any more.
    files: Option<BTreeSet<IndexId>>,
    /// Last, so that it is given back when no thread writes any more.
    lock: HeldLock,
}

impl Writer {
    pub(crate) fn open(core: Arc<Core>, mut options: WriterOptions) -> Result<Writer> {
        options.threads = options.threads.max(1);
        core.refuse_version_1()?;
        let lock = lock::acquire(&core, LockMode::Shared, options.retry_lock)?;
        let loaded = core.load_index()?;
        let files = Some(loaded.files.clone());
        let index = Arc::new(loaded.whole()?);
        let reused = Arc::new(Bits::new(index.len()));
        let reader = Reader::strict(core.clone(), index.clone(), reused.clone());
        let (full, packs) = crossbeam_channel::bounded(0);
        let jobs = pool::Queue::new(options.threads);
        let session = Arc::new(Session::new(core, index, reused, options, full));
        let mut writer = Writer {
            session: session.clone(),
            reader,
            zeros: Mutex::default(),
            jobs,
            workers: Vec::new(),
            putters: Vec::new(),
            settler: None,
            files,
            lock,
        };
        // The writer is there before its threads: should one not start, its drop ends the others.
        let putters = if session.core.env.threads { PUTTERS } else { 0 };
        for n in 0..putters {
            let (session, packs) = (session.clone(), packs.clone());
            let work = move || session.put_from(&packs);
            writer
                .putters
                .push(pool::spawn(format!("vault-put-{n}"), work)?);
        }
        if session.core.env.threads {
            let settler = session.clone();
            let work = move || settler.settle_what_is_staged();
            writer.settler = Some(pool::spawn("vault-settle".to_owned(), work)?);
            pool::start(&session, &writer.jobs, &mut writer.workers)?;
        }
        Ok(writer)
    }

    /// Reads what was there when the session began: parents' trees. Knows what the index names and nothing
    /// else, for a point must not rest on what only the packs tell.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Whether a blob need not be stored, because the vault had it when the session began.
    pub fn has(&self, kind: BlobKind, id: BlobId) -> bool {
        self.reader.has(kind, id)
    }

    /// Begins a file. `size_hint` is the size that is expected; nothing depends on its being right.
    pub fn file(&self, policy: ChunkPolicy, size_hint: u64) -> FileWriter<'_> {
        FileWriter::new(self, policy, size_hint)
    }

    /// Saves one blob on this thread.
    pub fn blob(&self, kind: BlobKind, bytes: &[u8]) -> Result<BlobId> {
        self.session.save(kind, bytes)
    }

    /// Saves a directory.
    pub fn tree(&self, tree: &Tree) -> Result<BlobId> {
        let mut writer = self.directory();
        tree.nodes.iter().try_for_each(|node| writer.node(node))?;
        writer.finish()
    }

    /// Begins a directory whose entries come one by one, ascending by name.
    pub fn directory(&self) -> TreeWriter<'_> {
        TreeWriter::new(self)
    }

    /// Added so far.
    pub fn stats(&self) -> WriteStats {
        self.session.stats()
    }

    /// Makes everything that was saved so far durable: packs, then index. What is being saved by other
    /// threads meanwhile waits.
    ///
    /// Where our lease ran out meanwhile (the machine slept), the index is left to the commit, which looks first
    /// what is still there.
    pub fn flush(&self) -> Result<()> {
        self.session.flush()?;
        self.index_durable()
    }

    /// Names in an index what is durable.
    fn index_durable(&self) -> Result<()> {
        match self.lock.confirm() {
            Ok(()) => self.session.write_index(),
            Err(lost) if commit::is_lost(&lost) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The same as soon as it is much: the list of millions of blobs is not kept until the end, and who begins anew after
    /// an interruption finds them.
    fn index_early(&self) -> Result<()> {
        match self.session.has_much_to_index() {
            true => self.index_durable(),
            false => Ok(()),
        }
    }

    /// The id of a blob of so many zeros.
    fn zeros(&self, length: usize) -> Result<BlobId> {
        if let Some(id) = self.zeros.lock().get(&length) {
            return Ok(*id);
        }
        let id = self.session.save(BlobKind::Data, &vec![0; length])?;
        self.zeros.lock().insert(length, id);
        Ok(id)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.session.abandon();
        // The workers' queue ends with its only sender.
        self.jobs = pool::Queue::new(1);
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
        self.session.stop_putters(self.putters.len());
        for putter in self.putters.drain(..) {
            let _ = putter.join();
        }
        self.session.stop_settling();
        if let Some(settler) = self.settler.take() {
            let _ = settler.join();
        }
    }
}
