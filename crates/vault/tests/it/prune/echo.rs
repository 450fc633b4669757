//! A network that delivers a put a second time, after what was put has been deleted.

use lifeboat_store::{MemoryStore, ObjectInfo, ObjectName};

use super::*;

/// So late the second delivery comes.
const LATE: Duration = Duration::from_secs(2);

/// What is put arrives, and once more [`LATE`] after that. The time is its own: it passes when somebody waits.
struct Echo {
    inner: MemoryStore,
    now: Mutex<Duration>,
    coming: Mutex<Vec<(Duration, ObjectName, Vec<u8>)>>,
    /// What came back after its deletion.
    returned: Mutex<Vec<ObjectName>>,
}

impl Echo {
    fn new() -> Arc<Echo> {
        Arc::new(Echo {
            inner: MemoryStore::new(),
            now: Mutex::default(),
            coming: Mutex::default(),
            returned: Mutex::default(),
        })
    }

    fn pass(&self, time: Duration) {
        let now = {
            let mut now = self.now.lock();
            *now += time;
            *now
        };
        let due: Vec<_> = self.coming.lock().extract_if(.., |c| c.0 <= now).collect();
        for (_, name, bytes) in due {
            if self.inner.put(&name, &bytes).is_ok() {
                self.returned.lock().push(name);
            }
        }
    }
}

struct EchoClock(Arc<Echo>);

impl Clock for EchoClock {
    fn now(&self) -> Timestamp {
        Timestamp {
            secs: 1_893_456_000 + self.uptime().as_secs().cast_signed(),
            nanos: self.uptime().subsec_nanos(),
        }
    }

    fn uptime(&self) -> Duration {
        *self.0.now.lock()
    }

    fn sleep(&self, time: Duration) {
        self.0.pass(time);
    }
}

type StoreResult<T> = lifeboat_store::Result<T>;

impl Store for Echo {
    fn location(&self) -> String {
        "an echo".to_owned()
    }
    fn create(&self) -> StoreResult<()> {
        self.inner.create()
    }
    fn put(&self, name: &ObjectName, bytes: &[u8]) -> StoreResult<()> {
        self.pass(Duration::from_millis(10));
        self.inner.put(name, bytes)?;
        let at = *self.now.lock() + LATE;
        // A lock that comes back counts no more after half an hour, a point that comes back is one that was forgotten.
        if matches!(name.area(), Area::Index | Area::Data) {
            self.coming.lock().push((at, name.clone(), bytes.to_vec()));
        }
        Ok(())
    }
    fn get(&self, name: &ObjectName) -> StoreResult<Vec<u8>> {
        self.inner.get(name)
    }
    fn get_range(&self, name: &ObjectName, offset: u64, length: usize) -> StoreResult<Vec<u8>> {
        self.inner.get_range(name, offset, length)
    }
    fn size(&self, name: &ObjectName) -> StoreResult<u64> {
        self.inner.size(name)
    }
    fn list(&self, area: Area) -> StoreResult<Vec<ObjectInfo>> {
        self.pass(Duration::from_millis(10));
        self.inner.list(area)
    }
    fn delete(&self, name: &ObjectName) -> StoreResult<()> {
        self.pass(Duration::from_millis(10));
        self.inner.delete(name)
    }
    fn lists_at_once(&self) -> bool {
        true
    }
    fn is_remote(&self) -> bool {
        true
    }
}

/// Whatever writes index files anew deletes the old ones; one that comes back would name what is gone, and the next
/// backup would rest on it.
fn nothing_of_the_index_comes_back(deed: impl Fn(&Vault)) {
    let echo = Echo::new();
    let env = Environment {
        clock: Arc::new(EchoClock(echo.clone())),
        threads: false,
        ..env()
    };
    let vault = Vault::create(echo.clone(), PASSWORD.as_bytes(), env).unwrap();
    let first = point(&vault, &[1, 2, 3, 4]);
    let second = point(&vault, &[5]);
    forget(&vault, &[first]);
    deed(&vault);
    echo.pass(LATE * 2);
    let returned = echo.returned.lock().clone();
    let of_index = |name: &&ObjectName| name.area() == Area::Index;
    assert_eq!(
        returned.iter().filter(of_index).collect::<Vec<_>>(),
        [].as_slice() as &[&ObjectName]
    );
    // What it would have cost.
    let again = point(&vault, &[1, 2, 3]);
    is_whole(&vault, again, &[1, 2, 3]);
    is_whole(&vault, second, &[5]);
    is_sound(&vault);
}

#[test]
fn an_index_file_that_a_prune_deletes_has_arrived_for_good() {
    nothing_of_the_index_comes_back(|vault| {
        assert!(prune(vault).deleted.packs > 0);
    });
}

#[test]
fn one_that_a_repair_deletes_as_well() {
    nothing_of_the_index_comes_back(|vault| {
        // A pack of the forgotten point alone is gone, so its index file is written anew.
        let lost = (vault.store().list(Area::Data).unwrap())
            .into_iter()
            .max_by_key(|object| object.size)
            .unwrap();
        vault.store().delete(&lost.name).unwrap();
        let stop = std::sync::atomic::AtomicBool::new(false);
        let done = vault.rebuild_index(Duration::ZERO, &stop, &Silent).unwrap();
        assert_eq!(done.gone.len(), 1);
    });
}
