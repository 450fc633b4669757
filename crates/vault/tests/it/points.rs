//! Points of numbered blobs, and what is looked at when something has been pruned.

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use lifeboat_store::{Area, Store};
use lifeboat_vault::{
    BlobKind, CheckOptions, Environment, Silent, SnapshotId, Vault, Writer, WriterOptions,
    env::Clock,
    node::Timestamp,
    prune::{MaxUnused, PruneOptions, PruneReport},
};
use parking_lot::Mutex;

use crate::support::*;

/// Bytes of each blob of these tests. A pack of [`small_packs`] takes four.
pub const BLOB: usize = 20_000;

/// Saves a file of one blob for each number, and its directory.
pub fn save(writer: &Writer, numbers: &[u64]) -> lifeboat_vault::Result<lifeboat_vault::BlobId> {
    let mut content = Vec::new();
    for n in numbers {
        content.push(writer.blob(BlobKind::Data, &noise(1000 + n, BLOB))?);
    }
    let file = file_node("f", (BLOB * numbers.len()) as u64, content);
    writer.tree(&lifeboat_vault::Tree { nodes: vec![file] })
}

/// A point with one file of one blob for each number.
pub fn point(vault: &Vault, numbers: &[u64]) -> SnapshotId {
    try_point(vault, numbers).unwrap()
}

pub fn try_point(vault: &Vault, numbers: &[u64]) -> lifeboat_vault::Result<SnapshotId> {
    let writer = vault.writer(one_thread())?;
    let tree = save(&writer, numbers)?;
    writer.commit(snapshot(tree))
}

/// What a session leaves that ends before its index is written: packs of four blobs each, and one of a tree.
pub fn killed(path: &Path, numbers: std::ops::Range<u64>) {
    let store = lifeboat_store::FaultyStore::new(local(path));
    let index = 2 + (numbers.end - numbers.start).div_ceil(4);
    let vault = open(Arc::new(store.with(index, lifeboat_store::Fault::Fail)));
    let writer = vault.writer(one_thread()).unwrap();
    save(&writer, &numbers.collect::<Vec<_>>()).unwrap();
    writer.flush().unwrap_err();
}

pub fn one_thread() -> WriterOptions {
    WriterOptions {
        threads: 1,
        ..small_packs()
    }
}

/// The numbers of a point, read and compared.
pub fn is_whole(vault: &Vault, id: SnapshotId, numbers: &[u64]) {
    let reader = vault.reader().unwrap();
    let root = vault.snapshot(id).unwrap().tree.unwrap();
    let node = reader.lookup(root, &[b"f"]).unwrap().unwrap();
    let mut bytes = Vec::new();
    let mut file = reader.file(&node).unwrap();
    std::io::Read::read_to_end(&mut file, &mut bytes).unwrap();
    let expected: Vec<u8> = numbers.iter().flat_map(|n| noise(1000 + n, BLOB)).collect();
    assert!(bytes == expected, "{numbers:?} differ");
}

pub fn forget(vault: &Vault, ids: &[SnapshotId]) {
    let forgotten = vault.forget(ids, Duration::ZERO, &AtomicBool::new(false));
    assert_eq!(forgotten.unwrap(), ids);
}

pub fn options() -> PruneOptions {
    PruneOptions {
        max_unused: MaxUnused::Bytes(0),
        pack_size: small_packs().pack_size,
        threads: 1,
        ..PruneOptions::default()
    }
}

pub fn try_prune(vault: &Vault, options: &PruneOptions) -> lifeboat_vault::Result<PruneReport> {
    vault.prune(options, &AtomicBool::new(false), &Silent)
}

pub fn prune(vault: &Vault) -> PruneReport {
    try_prune(vault, &options()).unwrap()
}

/// As another program would find it.
pub fn is_sound(vault: &Vault) {
    let options = CheckOptions {
        read_data: true,
        threads: 1,
        ..CheckOptions::default()
    };
    let report = vault.check(&options, &Silent).unwrap();
    assert!(report.is_healthy(), "{report:?}");
}

pub fn restic_finds_no_garbage(path: &Path) {
    restic_ok(path, &["check", "--read-data"]);
    let said = restic_ok(path, &["prune", "--dry-run", "--max-unused", "0"]);
    assert!(
        said.contains("unused size after prune: 0 B")
            && said.contains("to delete:             0 blobs"),
        "{said}"
    );
}

pub fn packs(vault: &Vault) -> usize {
    vault.store().list(Area::Data).unwrap().len()
}

/// A clock that a test sets.
pub struct TestClock(pub Mutex<Timestamp>);

impl TestClock {
    pub fn now() -> Arc<TestClock> {
        Arc::new(TestClock(Mutex::new(env().clock.now())))
    }

    pub fn later(&self, hours: i64) {
        self.0.lock().secs += hours * 3600;
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }
}

/// Opens with another clock, as another machine would have it.
pub fn open_with(store: Arc<dyn Store>, clock: Arc<dyn Clock>) -> Vault {
    let env = Environment { clock, ..env() };
    Vault::open(store, PASSWORD.as_bytes(), env).unwrap()
}
