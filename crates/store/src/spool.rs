//! A local spool in front of a slow store.
//!
//! While an application is frozen, nobody should wait for a slow vault. Between [`SpoolStore::hold`]
//! and [`SpoolStore::release`] packs land durably in a local directory instead; `release` uploads
//! them and returns when the last is durable in the store itself. Index and snapshot files always go to
//! the store at once, so a writer must not flush or commit while it holds: an index must not name
//! packs that only the spool has. `put` of an index or snapshot while the spool holds anything is
//! therefore refused.
//!
//! Reading sees both. What a crash leaves: packs in the spool directory that nothing refers to;
//! the next spool in the same directory deletes them.

use std::{
    collections::BTreeMap,
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use parking_lot::{Mutex, RwLock};

use crate::{
    Area, Capabilities, LocalStore, ObjectInfo, ObjectLock, ObjectName, Result, Staged, Store,
    StoreError,
};

/// Objects that are uploaded at the same time.
const UPLOADS: usize = 4;

/// Bytes a second and upload, below which a store is slow.
const SLOW: u128 = 40_000_000;
/// Packs from this size on are measured.
const LARGE: usize = 4 << 20;

/// A decorator that can keep packs in a local directory for a while.
pub struct SpoolStore {
    inner: Arc<dyn Store>,
    spool: LocalStore,
    /// What the spool has, with sizes. The directory is not asked: what somebody else took out of it would not be missed.
    held: Mutex<BTreeMap<ObjectName, u64>>,
    holding: AtomicBool,
    /// Shared by every put, exclusive for the moment in which holding begins or the last object has
    /// left, so that no put falls between.
    gate: RwLock<()>,
    /// Bytes of large packs that went to the store itself, and the nanoseconds that took.
    measured: [AtomicU64; 2],
}

impl SpoolStore {
    /// Puts a spool in `directory` in front of a store. What an earlier run left there is deleted.
    pub fn new(inner: Arc<dyn Store>, directory: &Path) -> Result<Self> {
        let spool = LocalStore::new(directory);
        spool.create()?;
        for object in spool.list(Area::Data)? {
            spool.delete(&object.name)?;
        }
        Ok(Self {
            inner,
            spool,
            held: Mutex::default(),
            holding: AtomicBool::new(false),
            gate: RwLock::new(()),
            measured: [AtomicU64::new(0), AtomicU64::new(0)],
        })
    }

    /// From now on packs land in the spool.
    pub fn hold(&self) {
        let _gate = self.gate.write();
        self.holding.store(true, Ordering::SeqCst);
    }

    /// Stops holding and uploads what the spool has. On an error the rest stays in the spool, still
    /// readable, and `release` can be called again.
    pub fn release(&self) -> Result<()> {
        {
            let _gate = self.gate.write();
            self.holding.store(false, Ordering::SeqCst);
        }
        let objects: Vec<ObjectName> = self.held.lock().keys().cloned().collect();
        let next = AtomicUsize::new(0);
        let upload = || {
            while let Some(object) = objects.get(next.fetch_add(1, Ordering::Relaxed)) {
                self.upload(object)?;
            }
            Ok(())
        };
        std::thread::scope(|scope| {
            let uploads: Vec<_> = (0..UPLOADS).map(|_| scope.spawn(upload)).collect();
            uploads.into_iter().try_for_each(|u| {
                u.join()
                    .unwrap_or_else(|_| Err(refused("upload the spool", "a thread died")))
            })
        })
    }

    fn upload(&self, name: &ObjectName) -> Result<()> {
        let bytes = self.spool.get(name).map_err(|e| match e {
            StoreError::NotFound(_) => refused(
                &format!("upload {name}"),
                "something else has removed it from the local spool; run the backup again",
            ),
            other => other,
        })?;
        match self.inner.put(name, &bytes) {
            // The name is the hash of the content: an equal one that is whole is the same.
            Err(StoreError::AlreadyExists(_)) if self.inner.size(name)? == bytes.len() as u64 => {}
            other => other?,
        }
        self.held.lock().remove(name);
        self.spool.delete(name)
    }

    fn keep(&self, name: &ObjectName, bytes: &[u8]) -> Result<()> {
        self.spool.put(name, bytes)?;
        self.held.lock().insert(name.clone(), bytes.len() as u64);
        Ok(())
    }

    /// Whether the store behind is too slow to be waited for while an application stands still: it is
    /// not a local file system, it has a limit on bandwidth, or it has taken large packs at less than 40 MB/s.
    pub fn is_slow(&self) -> bool {
        let [bytes, nanos] = [0, 1].map(|at| self.measured[at].load(Ordering::Relaxed));
        let slow = nanos > 0 && u128::from(bytes) * 1_000_000_000 < u128::from(nanos) * SLOW;
        slow || self.inner.may_be_slow() || !self.inner.lists_at_once()
    }

    /// Whether large packs have shown it. Until then each is put by itself: what is only staged does not tell how long the
    /// store takes to have it, and an application might have to wait for that.
    fn is_known_to_be_fast(&self) -> bool {
        self.measured[1].load(Ordering::Relaxed) > 0 && !self.is_slow()
    }

    /// Does something with so many bytes, and takes note of how fast the store is. What a small object takes says more of
    /// the latency than of the speed.
    fn measured<T>(&self, bytes: usize, work: impl FnOnce() -> Result<T>) -> Result<T> {
        let began = Instant::now();
        let done = work()?;
        if bytes >= LARGE {
            self.took(bytes as u64, began);
        }
        Ok(done)
    }

    fn took(&self, bytes: u64, began: Instant) {
        let nanos = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.measured[0].fetch_add(bytes, Ordering::Relaxed);
        self.measured[1].fetch_add(nanos, Ordering::Relaxed);
    }

    /// Bytes in the spool.
    pub fn held_bytes(&self) -> u64 {
        self.held.lock().values().sum()
    }

    /// The spool first, then the store, then the spool's absence is final: an upload moves objects
    /// from the first to the second, never back.
    fn either<T>(&self, name: &ObjectName, f: impl Fn(&dyn Store) -> Result<T>) -> Result<T> {
        if name.area() == Area::Data {
            match f(&self.spool) {
                Err(StoreError::NotFound(_)) => {}
                other => return other,
            }
        }
        f(&*self.inner)
    }
}

fn refused(context: &str, why: &str) -> StoreError {
    StoreError::Io {
        context: context.to_owned(),
        source: io::Error::other(why.to_owned()),
    }
}

impl Store for SpoolStore {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn create(&self) -> Result<()> {
        self.inner.create()
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<()> {
        let _gate = self.gate.read();
        match name.area() {
            // The slow store is not asked: the application is waiting. Should it have an object of
            // this name, `release` finds out.
            Area::Data if self.holding.load(Ordering::SeqCst) => self.keep(name, bytes),
            Area::Index | Area::Snapshots
                if self.holding.load(Ordering::SeqCst) || !self.held.lock().is_empty() =>
            {
                let why = "packs are still in the local spool; release it first";
                Err(refused(&format!("write {name}"), why))
            }
            Area::Data => self.measured(bytes.len(), || self.inner.put(name, bytes)),
            _ => self.inner.put(name, bytes),
        }
    }

    fn stage(&self, name: &ObjectName, bytes: &[u8]) -> Result<Staged> {
        let gate = self.gate.read();
        let holds = self.holding.load(Ordering::SeqCst);
        if name.area() == Area::Data && !holds && self.is_known_to_be_fast() {
            return self.measured(bytes.len(), || self.inner.stage(name, bytes));
        }
        drop(gate);
        self.put(name, bytes).map(|()| Staged::durable())
    }

    fn settle(&self, staged: Vec<Staged>) -> Result<()> {
        let large = staged.iter().any(|one| one.bytes() >= LARGE);
        let began = Instant::now();
        self.inner.settle(staged)?;
        if large {
            // Their bytes were counted when they were staged.
            self.took(0, began);
        }
        Ok(())
    }

    fn get(&self, name: &ObjectName) -> Result<Vec<u8>> {
        self.either(name, |s| s.get(name))
    }

    fn get_range(&self, name: &ObjectName, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.either(name, |s| s.get_range(name, offset, length))
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        self.either(name, |s| s.size(name))
    }

    fn list(&self, area: Area) -> Result<Vec<ObjectInfo>> {
        // The spool first: what is uploaded between the two is then seen twice, not never.
        let mut all = if area == Area::Data {
            self.spool.list(area)?
        } else {
            Vec::new()
        };
        all.extend(self.inner.list(area)?);
        all.sort_by(|a, b| a.name.cmp(&b.name));
        all.dedup_by(|a, b| a.name == b.name);
        Ok(all)
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        if name.area() == Area::Data {
            match self.spool.delete(name) {
                Err(StoreError::NotFound(_)) => {}
                other => {
                    self.held.lock().remove(name);
                    return other;
                }
            }
        }
        self.inner.delete(name)
    }

    fn lists_at_once(&self) -> bool {
        self.inner.lists_at_once()
    }

    fn server_time(&self) -> Option<i64> {
        self.inner.server_time()
    }

    /// What is in the spool is locked once it is uploaded; nobody asks for it before.
    fn object_lock(&self) -> Option<&dyn ObjectLock> {
        self.inner.object_lock()
    }

    fn may_delete(&self) -> Result<bool> {
        self.inner.may_delete()
    }

    fn modified(&self, name: &ObjectName) -> Result<Option<i64>> {
        self.inner.modified(name)
    }

    fn probe(&self) -> Result<Capabilities> {
        self.inner.probe()
    }

    fn is_remote(&self) -> bool {
        self.inner.is_remote()
    }

    fn free_space(&self) -> Option<u64> {
        self.inner.free_space()
    }
}
