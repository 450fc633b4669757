use std::sync::Arc;

use lifeboat_store::{FaultyStore, LocalStore, MemoryStore, SpoolStore, conformance};

#[test]
fn memory() {
    conformance::run(&MemoryStore::new()).unwrap();
}

#[test]
fn local() {
    let dir = tempfile::tempdir().unwrap();
    conformance::run(&LocalStore::new(&dir.path().join("deep/down"))).unwrap();
}

#[test]
fn faulty_without_faults() {
    conformance::run(&FaultyStore::new(Arc::new(MemoryStore::new()))).unwrap();
}

#[test]
fn spool_not_holding() {
    let dir = tempfile::tempdir().unwrap();
    let spool = SpoolStore::new(Arc::new(MemoryStore::new()), dir.path()).unwrap();
    conformance::run(&spool).unwrap();
}
