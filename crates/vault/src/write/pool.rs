//! The workers that hash, compress and seal the chunks of large files.
//!
//! A file's chunks are handed over in order and come back as ids in that order, whoever worked on
//! them. The queue is bounded; when it is full the caller works itself, so that a session with many
//! walking threads needs no more threads than it has.

use std::{
    sync::Arc,
    thread::{self, JoinHandle},
};

use crossbeam_channel::{Receiver, Sender, TrySendError};
use parking_lot::{Condvar, Mutex};

use super::session::Session;
use crate::{
    blob::BlobKind,
    error::{Result, VaultError},
    id::BlobId,
};

/// One chunk on its way.
pub(super) struct Job {
    bytes: Vec<u8>,
    number: usize,
    file: Arc<Chunks>,
    result: Option<Result<BlobId>>,
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
        queue: &Sender<Job>,
        bytes: Vec<u8>,
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
            bytes,
            number,
            file: self.clone(),
            result: None,
        };
        if !session.core.env.threads {
            job.run(session);
            return Ok(());
        }
        match queue.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) => job.run(session),
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

impl Job {
    fn run(mut self, session: &Session) {
        self.result = Some(session.save(BlobKind::Data, &self.bytes));
        session.recycle(std::mem::take(&mut self.bytes));
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
    queue: &Receiver<Job>,
    workers: &mut Vec<JoinHandle<()>>,
) -> Result<()> {
    for n in 0..session.options.threads {
        let (session, queue) = (session.clone(), queue.clone());
        let work = move || queue.iter().for_each(|job| job.run(&session));
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
