//! Who may run beside whom, whose locks are removed, and when a lock is lost.
#![allow(clippy::disallowed_methods, reason = "tests run other programs")]

use std::process::{Command, Stdio};

use lifeboat_store::{Area, MemoryStore, ObjectInfo, ObjectName, Store};
use parking_lot::Mutex;

use std::time::Instant;

use super::*;
use crate::{
    env::{Clock, Environment},
    error::ErrorKind,
    node::Timestamp,
    repo::Vault,
};

struct TestClock(Mutex<Timestamp>);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }
}

/// A store that does not promise that its listings show everything at once.
struct Lagging(MemoryStore);

type StoreResult<T> = lifeboat_store::Result<T>;

impl Store for Lagging {
    fn location(&self) -> String {
        self.0.location()
    }
    fn create(&self) -> StoreResult<()> {
        self.0.create()
    }
    fn put(&self, name: &ObjectName, bytes: &[u8]) -> StoreResult<()> {
        self.0.put(name, bytes)
    }
    fn get(&self, name: &ObjectName) -> StoreResult<Vec<u8>> {
        self.0.get(name)
    }
    fn get_range(&self, name: &ObjectName, offset: u64, length: usize) -> StoreResult<Vec<u8>> {
        self.0.get_range(name, offset, length)
    }
    fn size(&self, name: &ObjectName) -> StoreResult<u64> {
        self.0.size(name)
    }
    fn list(&self, area: Area) -> StoreResult<Vec<ObjectInfo>> {
        self.0.list(area)
    }
    fn delete(&self, name: &ObjectName) -> StoreResult<()> {
        self.0.delete(name)
    }
}

struct Lab {
    vault: Vault,
    clock: Arc<TestClock>,
}

impl Lab {
    fn new() -> Lab {
        Lab::over(Arc::new(MemoryStore::new()))
    }

    fn over(store: Arc<dyn Store>) -> Lab {
        let clock = Arc::new(TestClock(Mutex::new(Timestamp {
            secs: 1_800_000_000,
            nanos: 0,
        })));
        let env = Environment {
            clock: clock.clone(),
            ..Environment::system("test")
        };
        let vault = Vault::create(store, b"x", env).unwrap();
        Lab { vault, clock }
    }

    fn core(&self) -> &Arc<Core> {
        &self.vault.0
    }

    fn take(&self, mode: LockMode) -> Result<HeldLock> {
        acquire(self.core(), mode, Duration::ZERO)
    }

    fn locks(&self) -> usize {
        self.vault.store().list(Area::Locks).unwrap().len()
    }

    fn later(&self, minutes: i64) {
        self.clock.0.lock().secs += minutes * 60;
    }

    /// A lock as restic writes it.
    fn foreign(&self, exclusive: bool) -> LockId {
        let mode = if exclusive {
            LockMode::Exclusive
        } else {
            LockMode::Shared
        };
        let mut lock = LockFile::new(&self.core().env, mode).unwrap();
        lock.lease = None;
        lock.pid = 99_999_999;
        file::write(self.core(), &lock).unwrap()
    }
}

fn kind(result: Result<HeldLock>) -> ErrorKind {
    result.map(drop).unwrap_err().kind()
}

#[test]
fn which_may_run_beside_which() {
    let lab = Lab::new();
    let one = lab.take(LockMode::Shared).unwrap();
    let two = lab.take(LockMode::Shared).unwrap();
    assert_eq!(lab.locks(), 2);
    assert_eq!(kind(lab.take(LockMode::Exclusive)), ErrorKind::Locked);
    one.confirm().unwrap();
    two.confirm().unwrap();
    drop((one, two));
    assert_eq!(lab.locks(), 0);
    let alone = lab.take(LockMode::Exclusive).unwrap();
    assert_eq!(kind(lab.take(LockMode::Shared)), ErrorKind::Locked);
    assert_eq!(kind(lab.take(LockMode::Exclusive)), ErrorKind::Locked);
    drop(alone);
    assert_eq!(lab.locks(), 0);
}

#[test]
fn a_foreign_exclusive_lock_is_waited_for() {
    let lab = Lab::new();
    let foreign = lab.foreign(true);
    let began = Instant::now();
    let error = acquire(lab.core(), LockMode::Shared, Duration::from_millis(700)).map(drop);
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked);
    assert!(error.to_string().contains("PID 99999999"), "{error}");
    assert!(began.elapsed() >= Duration::from_millis(700));
    let core = lab.core().clone();
    let ends = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(200));
        file::remove(&core, foreign).unwrap();
    });
    acquire(lab.core(), LockMode::Shared, Duration::from_secs(20)).unwrap();
    ends.join().unwrap();
}

#[test]
fn one_that_came_at_the_same_moment_is_noticed_before_the_commit() {
    let lab = Lab::over(Arc::new(Lagging(MemoryStore::new())));
    let held = lab.take(LockMode::Shared).unwrap();
    // A store whose listing lagged shows it only now.
    let foreign = lab.foreign(true);
    assert_eq!(held.confirm().unwrap_err().kind(), ErrorKind::Locked);
    file::remove(lab.core(), foreign).unwrap();
}

#[test]
fn old_locks_no_longer_count_and_foreign_ones_stay() {
    let lab = Lab::new();
    lab.foreign(true);
    lab.later(29);
    assert_eq!(kind(lab.take(LockMode::Shared)), ErrorKind::Locked);
    lab.later(2);
    drop(lab.take(LockMode::Shared).unwrap());
    assert_eq!(lab.vault.remove_stale_locks().unwrap(), 0);
    assert_eq!(lab.locks(), 1);
}

#[test]
fn leases_of_dead_processes_are_removed_and_those_of_living_ones_kept() {
    let lab = Lab::new();
    let mut child = Command::new("sleep")
        .arg("600")
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    let env = Environment {
        pid: child.id(),
        ..lab.core().env.clone()
    };
    let lock = LockFile::new(&env, LockMode::Exclusive).unwrap();
    file::write(lab.core(), &lock).unwrap();
    assert_eq!(kind(lab.take(LockMode::Shared)), ErrorKind::Locked);
    assert_eq!(lab.vault.remove_stale_locks().unwrap(), 0);
    child.kill().unwrap();
    child.wait().unwrap();
    drop(lab.take(LockMode::Shared).unwrap());
    assert_eq!(lab.locks(), 0);

    // Our own pid, but another process had it then.
    let mut lock = LockFile::new(&lab.core().env, LockMode::Exclusive).unwrap();
    if let Some(lease) = &mut lock.lease {
        lease.started = std::num::NonZeroU64::new(1);
    }
    file::write(lab.core(), &lock).unwrap();
    assert_eq!(lab.vault.remove_stale_locks().unwrap(), 1);

    // The same name in another container: only its age can tell.
    lock.pid = 99_999_999;
    if let Some(lease) = &mut lock.lease {
        lease.scope = "elsewhere".to_owned();
    }
    file::write(lab.core(), &lock).unwrap();
    assert_eq!(lab.vault.remove_stale_locks().unwrap(), 0);
    lab.later(31);
    assert_eq!(lab.vault.remove_stale_locks().unwrap(), 1);
}

#[test]
fn a_lock_that_was_taken_away_is_lost() {
    let lab = Lab::new();
    let held = lab.take(LockMode::Shared).unwrap();
    held.confirm().unwrap();
    for object in lab.vault.store().list(Area::Locks).unwrap() {
        lab.vault.store().delete(&object.name).unwrap();
    }
    let error = held.confirm().unwrap_err();
    assert!(matches!(error, VaultError::LockLost(..)), "{error}");
    drop(held);
}

fn take_locks_away(lab: &Lab) {
    for object in lab.vault.store().list(Area::Locks).unwrap() {
        lab.vault.store().delete(&object.name).unwrap();
    }
}

#[test]
fn a_commit_without_its_lock_takes_another_and_looks_again() {
    let lab = Lab::new();
    let writer = lab.vault.writer(Default::default()).unwrap();
    let tree = writer.tree(&crate::node::Tree::default()).unwrap();
    let snapshot = crate::snapshot::Snapshot {
        time: "2027-01-01T00:00:00Z".to_owned(),
        tree: Some(tree),
        ..Default::default()
    };
    take_locks_away(&lab);
    let foreign = lab.foreign(true);
    let error = writer.commit(snapshot.clone()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
    assert!(lab.vault.snapshots().unwrap().found.is_empty());

    file::remove(lab.core(), foreign).unwrap();
    let writer = lab.vault.writer(Default::default()).unwrap();
    writer.tree(&crate::node::Tree::default()).unwrap();
    take_locks_away(&lab);
    writer.commit(snapshot).unwrap();
    assert_eq!(lab.vault.snapshots().unwrap().found.len(), 1);
    assert_eq!(lab.locks(), 0);
}

#[test]
fn every_mode_beside_every_other() {
    use LockMode::{Delete, Exclusive, Prune, Shared};
    let table = [
        (Shared, [true, true, true, false], [true, false]),
        (Prune, [true, false, false, false], [true, false]),
        (Delete, [true, true, false, false], [false, false]),
        (Exclusive, [false; 4], [false; 2]),
    ];
    for (mode, ours, foreign) in table {
        for (other, beside) in [Shared, Prune, Delete, Exclusive].into_iter().zip(ours) {
            let lab = Lab::new();
            let held = lab.take(other).unwrap();
            assert_eq!(lab.take(mode).is_ok(), beside, "{mode:?} beside {other:?}");
            drop(held);
            drop(lab.take(mode).unwrap());
        }
        for (exclusive, beside) in [false, true].into_iter().zip(foreign) {
            let lab = Lab::new();
            lab.foreign(exclusive);
            let taken = lab.take(mode);
            assert_eq!(taken.is_ok(), beside, "{mode:?}, foreign {exclusive}");
        }
    }
}

#[test]
fn a_lock_that_is_broken_while_it_is_renewed_is_lost() {
    let lab = Lab::new();
    let held = lab.take(LockMode::Shared).unwrap();
    lab.later(31);
    // A prune finds it stale by its own clock.
    let there = present(lab.core(), &[]).unwrap();
    assert!(there.leases.is_empty() && there.foreign.is_empty());
    held.renew_now().unwrap();
    assert!(matches!(held.confirm(), Err(VaultError::LockLost(..))));
}

#[test]
fn who_is_there() {
    let lab = Lab::new();
    let (one, two) = (
        lab.take(LockMode::Shared).unwrap(),
        lab.take(LockMode::Prune).unwrap(),
    );
    lab.foreign(false);
    let there = present(lab.core(), &[two.lease()]).unwrap();
    assert_eq!(there.leases.len(), 1);
    assert!(there.leases.contains_key(&one.lease()));
    assert_eq!(there.foreign.len(), 1);
}

#[test]
fn renewal_writes_the_new_before_it_deletes_the_old() {
    let lab = Lab::new();
    let held = lab.take(LockMode::Shared).unwrap();
    let before = file::survey(lab.core()).unwrap().remove(0);
    lab.later(5);
    held.renew_now().unwrap();
    let mut after = file::survey(lab.core()).unwrap();
    assert_eq!(after.len(), 1);
    let after = after.remove(0);
    assert_ne!(before.0, after.0);
    assert_ne!(before.1.time, after.1.time);
    assert_eq!(before.1.lease, after.1.lease);
    held.confirm().unwrap();
}
