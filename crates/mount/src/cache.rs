//! Blobs that were decoded, bounded in bytes, the longest unused going first; and a few threads that decode ahead of
//! who reads one after another. A blob that several ask for at once is decoded once.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    thread::JoinHandle,
};

use crossbeam_channel::{Receiver, Sender};
use lifeboat_vault::{BlobId, BlobKind, ErrorKind, Reader, Result, VaultError};
use parking_lot::{Condvar, Mutex};

/// Blobs that wait to be decoded ahead.
const AHEAD_QUEUE: usize = 8;
/// Threads that do it.
const AHEAD_THREADS: usize = 2;

enum Slot {
    /// Somebody is at it.
    Loading,
    Here(Arc<Vec<u8>>, u64),
}

#[derive(Default)]
struct State {
    slots: HashMap<BlobId, Slot>,
    /// By when they were last used.
    order: BTreeMap<u64, BlobId>,
    clock: u64,
    bytes: usize,
}

struct Shared {
    reader: Reader,
    limit: usize,
    state: Mutex<State>,
    loaded: Condvar,
}

/// Decoded blobs. Dropped, its threads have ended: they hold the reader, and with it the vault's lock.
pub(crate) struct Cache {
    shared: Arc<Shared>,
    /// `None` once it ends.
    ahead: Option<Sender<BlobId>>,
    threads: Vec<JoinHandle<()>>,
}

impl Cache {
    /// Holds about so many bytes.
    pub(crate) fn new(reader: Reader, limit: usize) -> std::io::Result<Cache> {
        let shared = Arc::new(Shared {
            reader,
            limit,
            state: Mutex::default(),
            loaded: Condvar::new(),
        });
        let (ahead, queue) = crossbeam_channel::bounded(AHEAD_QUEUE);
        // Should a thread not start, dropping `cache` ends those before it.
        let mut cache = Cache {
            shared,
            ahead: Some(ahead),
            threads: Vec::new(),
        };
        for n in 0..AHEAD_THREADS {
            let (shared, queue): (_, Receiver<BlobId>) = (cache.shared.clone(), queue.clone());
            let thread = std::thread::Builder::new()
                .name(format!("mount-ahead-{n}"))
                .spawn(move || {
                    for id in queue {
                        // Who really reads it is told what is wrong.
                        let _ = shared.get(id);
                    }
                })?;
            cache.threads.push(thread);
        }
        Ok(cache)
    }

    /// A blob.
    pub(crate) fn get(&self, id: BlobId) -> Result<Arc<Vec<u8>>> {
        self.shared.get(id)
    }

    /// It will be asked for soon. Dropped while too much is waiting.
    pub(crate) fn ahead(&self, id: BlobId) {
        if let Some(ahead) = &self.ahead {
            let _ = ahead.try_send(id);
        }
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.ahead = None;
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn get(&self, id: BlobId) -> Result<Arc<Vec<u8>>> {
        let mut state = self.state.lock();
        loop {
            state.clock += 1;
            let now = state.clock;
            match state.slots.get_mut(&id) {
                Some(Slot::Here(bytes, used)) => {
                    let (bytes, before) = (bytes.clone(), std::mem::replace(used, now));
                    state.order.remove(&before);
                    state.order.insert(now, id);
                    return Ok(bytes);
                }
                Some(Slot::Loading) => self.loaded.wait(&mut state),
                None => break,
            }
        }
        state.slots.insert(id, Slot::Loading);
        drop(state);
        let loading = Loading(self, id);
        let bytes = Arc::new(self.read(id)?);
        drop(loading);
        self.keep(id, &bytes);
        Ok(bytes)
    }

    /// An outage is not the end of a mount: once more, then it is told.
    fn read(&self, id: BlobId) -> Result<Vec<u8>, VaultError> {
        match self.reader.blob(BlobKind::Data, id) {
            Err(error) if error.kind() == ErrorKind::Other => self.reader.blob(BlobKind::Data, id),
            result => result,
        }
    }

    fn keep(&self, id: BlobId, bytes: &Arc<Vec<u8>>) {
        if bytes.len() > self.limit {
            return;
        }
        let mut state = self.state.lock();
        state.clock += 1;
        let now = state.clock;
        if state
            .slots
            .insert(id, Slot::Here(bytes.clone(), now))
            .is_some()
        {
            return;
        }
        state.order.insert(now, id);
        state.bytes += bytes.len();
        while state.bytes > self.limit {
            let Some((_, oldest)) = state.order.pop_first() else {
                return;
            };
            if let Some(Slot::Here(bytes, _)) = state.slots.remove(&oldest) {
                state.bytes -= bytes.len();
            }
        }
    }
}

/// Nobody waits for ever for one who failed.
struct Loading<'s>(&'s Shared, BlobId);

impl Drop for Loading<'_> {
    fn drop(&mut self) {
        self.0.state.lock().slots.remove(&self.1);
        self.0.loaded.notify_all();
    }
}
