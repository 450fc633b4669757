//! An ordering that the vault keeps, broken on purpose between it and the store: what is put into one area reaches the
//! store only once something has been put into another. So the vault needs no switch for it, and the test shows that the
//! simulation sees a vault which kept another order.

use std::sync::Arc;

use lifeboat_store::{Area, ObjectInfo, ObjectName, Result, SimulatedStore, Store};
use parking_lot::Mutex;

/// Which order is broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Broken {
    /// Index files come after the snapshot that needs them.
    SnapshotBeforeIndex,
    /// Packs come after the index file that names them.
    IndexBeforePacks,
}

impl Broken {
    /// What is held back, and until what has been put.
    fn areas(self) -> (Area, Area) {
        match self {
            Broken::SnapshotBeforeIndex => (Area::Index, Area::Snapshots),
            Broken::IndexBeforePacks => (Area::Data, Area::Index),
        }
    }
}

/// A store between the vault and the simulated one.
pub struct Disorder {
    inner: Arc<SimulatedStore>,
    broken: Broken,
    held: Mutex<Vec<(ObjectName, Vec<u8>)>>,
}

impl Disorder {
    pub fn new(inner: Arc<SimulatedStore>, broken: Broken) -> Self {
        Self {
            inner,
            broken,
            held: Mutex::default(),
        }
    }

    /// What was held back goes now.
    fn release(&self) -> Result<()> {
        let held = std::mem::take(&mut *self.held.lock());
        held.iter()
            .try_for_each(|(name, bytes)| self.inner.put(name, bytes))
    }

    /// Whoever looks at what is held back finds it there.
    fn look(&self, area: Area) -> Result<()> {
        match area == self.broken.areas().0 {
            true => self.release(),
            false => Ok(()),
        }
    }
}

impl Store for Disorder {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn create(&self) -> Result<()> {
        self.inner.create()
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<()> {
        let (held, until) = self.broken.areas();
        if name.area() == held && !self.inner.is_dead() {
            self.held.lock().push((name.clone(), bytes.to_vec()));
            return Ok(());
        }
        let done = self.inner.put(name, bytes);
        if name.area() == until {
            done?;
            return self.release();
        }
        done
    }

    fn get(&self, name: &ObjectName) -> Result<Vec<u8>> {
        self.look(name.area())?;
        self.inner.get(name)
    }

    fn get_range(&self, name: &ObjectName, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.look(name.area())?;
        self.inner.get_range(name, offset, length)
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        self.look(name.area())?;
        self.inner.size(name)
    }

    fn list(&self, area: Area) -> Result<Vec<ObjectInfo>> {
        self.look(area)?;
        self.inner.list(area)
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        self.look(name.area())?;
        self.inner.delete(name)
    }

    fn modified(&self, name: &ObjectName) -> Result<Option<i64>> {
        self.inner.modified(name)
    }

    fn is_remote(&self) -> bool {
        self.inner.is_remote()
    }

    fn lists_at_once(&self) -> bool {
        self.inner.lists_at_once()
    }
}
