//! A store that fails on demand, for tests. Deterministic: faults are counted in puts or in deletes.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;

use crate::{Area, ObjectInfo, ObjectName, Result, Staged, Store, StoreError};

/// What happens at one put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails and nothing is stored.
    Fail,
    /// The place is full: it and every later put fail with [`StoreError::Full`].
    Full,
    /// The place can no longer be written: it and every later put fail with
    /// [`StoreError::Denied`].
    Denied,
    /// Only so many bytes are stored, and it is called a success (a lying disk).
    Truncate(usize),
    /// One byte is wrong, and it is called a success.
    Flip(usize),
    /// The machine dies before it: it and everything after it fails.
    CrashBefore,
    /// The machine dies right after it: it is stored, but it and everything after it fails.
    CrashAfter,
}

/// Wraps a store and fails on demand.
pub struct FaultyStore {
    inner: Arc<dyn Store>,
    puts: AtomicU64,
    faults: Mutex<Vec<(u64, Fault)>>,
    deletes: AtomicU64,
    delete_crashes: Mutex<Vec<(u64, Fault)>>,
    bad_sectors: Mutex<Vec<ObjectName>>,
    listed: Mutex<Vec<Area>>,
    ranges: AtomicU64,
    read: Mutex<Vec<Area>>,
    full: AtomicBool,
    denied: AtomicBool,
    crashed: AtomicBool,
    put_delay: Mutex<Duration>,
    remote: bool,
}

impl FaultyStore {
    /// A store that does not fail yet.
    pub fn new(inner: Arc<dyn Store>) -> Self {
        Self {
            inner,
            puts: AtomicU64::new(0),
            faults: Mutex::new(Vec::new()),
            deletes: AtomicU64::new(0),
            delete_crashes: Mutex::new(Vec::new()),
            bad_sectors: Mutex::new(Vec::new()),
            listed: Mutex::new(Vec::new()),
            ranges: AtomicU64::new(0),
            read: Mutex::new(Vec::new()),
            full: AtomicBool::new(false),
            denied: AtomicBool::new(false),
            crashed: AtomicBool::new(false),
            put_delay: Mutex::new(Duration::ZERO),
            remote: false,
        }
    }

    /// Plans a fault for the put with this number, counted from 0 since the store was made.
    #[must_use]
    pub fn with(self, put: u64, fault: Fault) -> Self {
        self.faults.lock().push((put, fault));
        self
    }

    /// Plans a crash before or after the delete with this number. Of the other faults none can happen to a delete:
    /// they do nothing.
    #[must_use]
    pub fn with_delete(self, delete: u64, fault: Fault) -> Self {
        self.delete_crashes.lock().push((delete, fault));
        self
    }

    /// The medium does not give this object any more: reading it fails.
    #[must_use]
    pub fn with_bad_sector(self, name: ObjectName) -> Self {
        self.bad_sectors.lock().push(name);
        self
    }

    /// Every put takes so much longer.
    #[must_use]
    pub fn with_put_delay(self, delay: Duration) -> Self {
        *self.put_delay.lock() = delay;
        self
    }

    /// It says that it is on a server, and is asked as one.
    #[must_use]
    pub fn on_a_server(mut self) -> Self {
        self.remote = true;
        self
    }

    /// Puts that were asked for so far.
    pub fn puts(&self) -> u64 {
        self.puts.load(Ordering::SeqCst)
    }

    /// Deletes that were asked for so far.
    pub fn deletes(&self) -> u64 {
        self.deletes.load(Ordering::SeqCst)
    }

    /// How often an area was listed so far.
    pub fn lists(&self, area: Area) -> usize {
        self.listed.lock().iter().filter(|a| **a == area).count()
    }

    /// How many whole objects of an area were read so far.
    pub fn reads(&self, area: Area) -> usize {
        self.read.lock().iter().filter(|a| **a == area).count()
    }

    /// Ranges of objects that were asked for so far.
    pub fn ranges(&self) -> u64 {
        self.ranges.load(Ordering::SeqCst)
    }

    /// Everything fails from now on.
    pub fn crash(&self) {
        self.crashed.store(true, Ordering::SeqCst);
    }

    /// Whether it has crashed.
    pub fn has_crashed(&self) -> bool {
        self.crashed.load(Ordering::SeqCst)
    }

    fn readable(&self, name: &ObjectName) -> Result<()> {
        self.alive("get")?;
        if self.bad_sectors.lock().contains(name) {
            return Err(StoreError::Io {
                context: format!("read {name}"),
                source: io::Error::other("injected bad sector"),
            });
        }
        Ok(())
    }

    fn alive(&self, what: &str) -> Result<()> {
        if self.has_crashed() {
            Err(dead(what))
        } else {
            Ok(())
        }
    }
}

fn dead(what: &str) -> StoreError {
    StoreError::Io {
        context: what.to_owned(),
        source: io::Error::new(io::ErrorKind::BrokenPipe, "injected crash"),
    }
}

impl Store for FaultyStore {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn create(&self) -> Result<()> {
        self.alive("create")?;
        self.inner.create()
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<()> {
        self.alive("put")?;
        let number = self.puts.fetch_add(1, Ordering::SeqCst);
        let delay = *self.put_delay.lock();
        if !delay.is_zero() {
            std::thread::sleep(delay);
        }
        let fault = self
            .faults
            .lock()
            .iter()
            .find(|(n, _)| *n == number)
            .map(|(_, f)| *f);
        if fault == Some(Fault::Full) {
            self.full.store(true, Ordering::SeqCst);
        }
        if self.full.load(Ordering::SeqCst) {
            return Err(StoreError::Full {
                place: self.location(),
            });
        }
        if fault == Some(Fault::Denied) {
            self.denied.store(true, Ordering::SeqCst);
        }
        if self.denied.load(Ordering::SeqCst) {
            let reason = "injected: read-only".to_owned();
            return Err(StoreError::Denied {
                place: self.location(),
                reason,
            });
        }
        match fault {
            Some(Fault::Fail) => Err(StoreError::Io {
                context: format!("write {name}"),
                source: io::Error::other("injected failure"),
            }),
            Some(Fault::Truncate(length)) => {
                self.inner.put(name, &bytes[..length.min(bytes.len())])
            }
            Some(Fault::Flip(at)) => {
                let mut wrong = bytes.to_vec();
                if let Some(byte) = wrong.get_mut(at) {
                    *byte ^= 1;
                }
                self.inner.put(name, &wrong)
            }
            Some(Fault::CrashBefore) => {
                self.crash();
                Err(dead("put"))
            }
            Some(Fault::CrashAfter) => {
                let stored = self.inner.put(name, bytes);
                self.crash();
                stored.and_then(|()| Err(dead("put")))
            }
            Some(Fault::Full | Fault::Denied) | None => self.inner.put(name, bytes),
        }
    }

    /// What is not settled is lost by a crash.
    fn stage(&self, name: &ObjectName, bytes: &[u8]) -> Result<Staged> {
        Ok(Staged::deferred(name, bytes))
    }

    fn get(&self, name: &ObjectName) -> Result<Vec<u8>> {
        self.read.lock().push(name.area());
        self.readable(name)?;
        self.inner.get(name)
    }

    fn get_range(&self, name: &ObjectName, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.ranges.fetch_add(1, Ordering::SeqCst);
        self.readable(name)?;
        self.inner.get_range(name, offset, length)
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        self.alive("size")?;
        self.inner.size(name)
    }

    fn list(&self, area: Area) -> Result<Vec<ObjectInfo>> {
        self.alive("list")?;
        self.listed.lock().push(area);
        self.inner.list(area)
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        self.alive("delete")?;
        let number = self.deletes.fetch_add(1, Ordering::SeqCst);
        let planned = |fault| self.delete_crashes.lock().contains(&(number, fault));
        if planned(Fault::CrashBefore) {
            self.crash();
            return Err(dead("delete"));
        }
        let deleted = self.inner.delete(name);
        if planned(Fault::CrashAfter) {
            self.crash();
            return deleted.and_then(|()| Err(dead("delete")));
        }
        deleted
    }

    fn lists_at_once(&self) -> bool {
        self.inner.lists_at_once()
    }

    fn modified(&self, name: &ObjectName) -> Result<Option<i64>> {
        self.alive("modified")?;
        self.inner.modified(name)
    }

    fn is_remote(&self) -> bool {
        self.remote || self.inner.is_remote()
    }

    fn free_space(&self) -> Option<u64> {
        self.inner.free_space()
    }
}
