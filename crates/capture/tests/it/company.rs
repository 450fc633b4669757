//! A store in which reads wait for company: who reads alone, though others could help, is seen.

use std::time::Duration;

use lifeboat_store::{Area, MemoryStore, ObjectInfo, ObjectName, Store, StoreError};
use parking_lot::{Condvar, Mutex};

/// Shorter reads are of trees.
const LARGE: usize = 64 << 10;
/// How long a read waits for another.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long the first ones wait until they are as many as they should be.
const GATHERING: Duration = Duration::from_secs(20);

/// What was seen of large reads.
#[derive(Debug, Clone, Copy, Default)]
pub struct Reads {
    /// Whether as many as should came together at the beginning.
    pub gathered: bool,
    /// After that.
    pub all: u32,
    /// Those that nobody joined.
    pub alone: u32,
}

#[derive(Default)]
struct Now {
    /// How many large reads have to come together first; none while nothing is watched.
    wanted: Option<u32>,
    under_way: u32,
    /// Large reads that have begun, ever.
    begun: u32,
    small: u32,
    reads: Reads,
}

#[derive(Default)]
pub struct CompanyStore {
    inner: MemoryStore,
    now: Mutex<Now>,
    changed: Condvar,
}

impl CompanyStore {
    /// Until so many large reads are under way at once, they wait; small ones wait for the first of them.
    pub fn watch(&self, wanted: u32, run: impl FnOnce()) -> Reads {
        *self.now.lock() = Now {
            wanted: Some(wanted),
            ..Now::default()
        };
        run();
        std::mem::take(&mut *self.now.lock()).reads
    }

    fn begin_small(&self) {
        let mut now = self.now.lock();
        now.small += 1;
        // The first is of the root, in which the first large file is found.
        if now.wanted.is_some() && now.small > 1 {
            self.changed
                .wait_while_for(&mut now, |now| now.begun == 0, GATHERING);
        }
    }

    fn begin_large(&self) {
        let mut now = self.now.lock();
        let Some(wanted) = now.wanted else {
            return;
        };
        now.under_way += 1;
        now.begun += 1;
        self.changed.notify_all();
        if !now.reads.gathered {
            let late = self.changed.wait_while_for(
                &mut now,
                |now| now.under_way < wanted && !now.reads.gathered,
                GATHERING,
            );
            if late.timed_out() {
                now.wanted = None;
            } else {
                now.reads.gathered = true;
            }
            return;
        }
        let others = now.begun;
        let late = self.changed.wait_while_for(
            &mut now,
            |now| now.under_way < 2 && now.begun == others,
            PATIENCE,
        );
        now.reads.all += 1;
        now.reads.alone += u32::from(late.timed_out());
    }

    fn end_large(&self) {
        let mut now = self.now.lock();
        now.under_way = now.under_way.saturating_sub(1);
    }
}

impl Store for CompanyStore {
    fn get_range(
        &self,
        name: &ObjectName,
        offset: u64,
        length: usize,
    ) -> Result<Vec<u8>, StoreError> {
        if length < LARGE {
            self.begin_small();
            return self.inner.get_range(name, offset, length);
        }
        self.begin_large();
        let bytes = self.inner.get_range(name, offset, length);
        self.end_large();
        bytes
    }

    fn location(&self) -> String {
        self.inner.location()
    }

    fn create(&self) -> Result<(), StoreError> {
        self.inner.create()
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<(), StoreError> {
        self.inner.put(name, bytes)
    }

    fn get(&self, name: &ObjectName) -> Result<Vec<u8>, StoreError> {
        self.inner.get(name)
    }

    fn size(&self, name: &ObjectName) -> Result<u64, StoreError> {
        self.inner.size(name)
    }

    fn list(&self, area: Area) -> Result<Vec<ObjectInfo>, StoreError> {
        self.inner.list(area)
    }

    fn delete(&self, name: &ObjectName) -> Result<(), StoreError> {
        self.inner.delete(name)
    }
}
