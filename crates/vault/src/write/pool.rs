//! The workers that hash, compress and seal the chunks of large files.
//!
//! A file's chunks are handed over in order and come back as ids in that order, whoever worked on
//! them. The queue is bounded; when it is full the caller works itself, so that a session with many
//! walking threads needs no more threads than it has.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
};

use crossbeam_channel::{Receiver, Sender, TrySendError};
use parking_lot::{Condvar, Mutex};

use super::{buffers::Chunk, scratch::Plain, session::Session};
use crate::{
    blob::BlobKind,
    error::{Result, VaultError},
    id::BlobId,
    sha256::{self, LANES},
};

/// Chunks that wait, at most.
const MOST_WAITING: usize = 64;
/// Where so many bytes wait, there are no more than two chunks for each worker.
const MUCH_WAITING: usize = 8 << 20;
/// No more chunks are taken together once they have so many bytes.
const MOST_TOGETHER: usize = 6 << 20;

/// One chunk on its way.
pub(super) struct Job {
    /// Gone once it is saved.
    chunk: Option<Chunk>,
    number: usize,
    file: Arc<Chunks>,
    result: Option<Result<BlobId>>,
}

/// Where chunks are handed over. The workers end when it is dropped.
pub(super) struct Queue {
    enter: Sender<Job>,
    waiting: Waiting,
}

/// Chunks that wait for a worker.
#[derive(Clone)]
struct Waiting {
    leave: Receiver<Job>,
    bytes: Arc<AtomicUsize>,
    threads: usize,
}

impl Queue {
    /// For so many workers.
    pub(super) fn new(threads: usize) -> Queue {
        let (enter, leave) = crossbeam_channel::bounded(MOST_WAITING);
        let waiting = Waiting {
            leave,
            bytes: Arc::default(),
            threads,
        };
        Queue { enter, waiting }
    }

    /// Lets a chunk wait, or gives it back where enough of them do.
    fn enter(&self, job: Job) -> Option<Job> {
        let Waiting {
            leave,
            bytes,
            threads,
        } = &self.waiting;
        let length = job.len();
        if leave.len() >= 2 * threads && bytes.load(Ordering::Relaxed) + length > MUCH_WAITING {
            return Some(job);
        }
        bytes.fetch_add(length, Ordering::Relaxed);
        let refused = self.enter.try_send(job).err()?;
        bytes.fetch_sub(length, Ordering::Relaxed);
        let (TrySendError::Full(job) | TrySendError::Disconnected(job)) = refused;
        Some(job)
    }
}

impl Waiting {
    /// A chunk, and with it as many as can be hashed together; the other workers keep their share.
    fn with_more(&self, first: Job) -> Vec<Job> {
        let share = (self.leave.len() / self.threads).min(LANES - 1);
        let mut bytes = first.len();
        let mut jobs = Vec::with_capacity(1 + share);
        jobs.push(first);
        while jobs.len() <= share && bytes < MOST_TOGETHER {
            let Ok(job) = self.leave.try_recv() else {
                break;
            };
            bytes += job.len();
            jobs.push(self.left(job));
        }
        jobs
    }

    /// Takes note that a chunk has left.
    fn left(&self, job: Job) -> Job {
        self.bytes.fetch_sub(job.len(), Ordering::Relaxed);
        job
    }
}

/// The chunks of one file.
#[derive(Default)]
pub(super) struct Chunks {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    ids: Vec<Option<BlobId>>,
    pending: usize,
    failed: Option<VaultError>,
}

impl Chunks {
    /// The next chunk is one whose id is known.
    pub(super) fn push(&self, id: BlobId) {
        self.state.lock().ids.push(Some(id));
    }

    /// Saves the next chunk, on a worker if one is free to take it, else here.
    pub(super) fn save(
        self: &Arc<Self>,
        session: &Session,
        queue: &Queue,
        chunk: Chunk,
    ) -> Result<()> {
        let number = {
            let mut state = self.state.lock();
            if let Some(error) = state.failed.take() {
                return Err(error);
            }
            state.ids.push(None);
            state.pending += 1;
            state.ids.len() - 1
        };
        let job = Job {
            chunk: Some(chunk),
            number,
            file: self.clone(),
            result: None,
        };
        if !session.core.env.threads {
            run(vec![job], session);
            return Ok(());
        }
        if let Some(job) = queue.enter(job) {
            run(queue.waiting.with_more(job), session);
        }
        Ok(())
    }

    /// Waits for all chunks; their ids in order.
    pub(super) fn finish(&self) -> Result<Vec<BlobId>> {
        let mut state = self.state.lock();
        while state.pending > 0 {
            self.changed.wait(&mut state);
        }
        if let Some(error) = state.failed.take() {
            return Err(error);
        }
        let ids = std::mem::take(&mut state.ids);
        let all: Option<Vec<BlobId>> = ids.into_iter().collect();
        all.ok_or_else(|| VaultError::Interrupted("a chunk was not saved".to_owned()))
    }
}

/// Saves chunks. Together they are hashed in half the time that one after the other takes.
fn run(mut jobs: Vec<Job>, session: &Session) {
    let digests = sha256::digests(&jobs.iter().map(Job::bytes).collect::<Vec<_>>());
    for (job, digest) in jobs.iter_mut().zip(digests) {
        let Some(mut chunk) = job.chunk.take() else {
            continue;
        };
        let plain = Plain::Own(&mut chunk);
        job.result = Some(session.save_named(BlobKind::Data, BlobId(digest), plain));
        session.buffers.keep_chunk(chunk);
    }
}

impl Job {
    fn bytes(&self) -> &[u8] {
        self.chunk.as_ref().map_or(&[], Chunk::bytes)
    }

    fn len(&self) -> usize {
        self.bytes().len()
    }
}

impl Drop for Job {
    /// Reports, even where the job was never run or panicked: nobody waits for ever.
    fn drop(&mut self) {
        let mut state = self.file.state.lock();
        state.pending -= 1;
        match self.result.take() {
            Some(Ok(id)) => state.ids[self.number] = Some(id),
            Some(Err(e)) => state.failed = Some(e),
            None => {}
        }
        drop(state);
        self.file.changed.notify_all();
    }
}

/// Starts the workers. They end when the queue does.
pub(super) fn start(
    session: &Arc<Session>,
    queue: &Queue,
    workers: &mut Vec<JoinHandle<()>>,
) -> Result<()> {
    for n in 0..session.options.threads {
        let session = session.clone();
        let waiting = queue.waiting.clone();
        let work = move || {
            for job in &waiting.leave {
                run(waiting.with_more(waiting.left(job)), &session);
            }
        };
        workers.push(spawn(format!("vault-chunk-{n}"), work)?);
    }
    Ok(())
}

/// Starts a named thread.
pub(crate) fn spawn(name: String, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>> {
    thread::Builder::new()
        .name(name)
        .spawn(work)
        .map_err(|source| VaultError::Io {
            context: "start a thread".to_owned(),
            source,
        })
}
