use std::sync::Arc;

use lifeboat_store::{
    Area, Fault, FaultyStore, LocalStore, MemoryStore, ObjectName, SpoolStore, Store, StoreError,
};

fn name(area: Area, n: u8) -> ObjectName {
    ObjectName::new(area, &format!("{n:02x}").repeat(32)).unwrap()
}

#[test]
fn held_packs_are_seen_and_uploaded_on_release() {
    let dir = tempfile::tempdir().unwrap();
    let inner = Arc::new(MemoryStore::new());
    let spool = SpoolStore::new(inner.clone(), dir.path()).unwrap();
    let (a, b) = (name(Area::Data, 1), name(Area::Data, 2));
    spool.put(&a, b"before").unwrap();
    spool.hold();
    spool.put(&b, b"during").unwrap();
    // The slow store is not asked at every put; an equal object is no conflict later.
    spool.put(&a, b"before").unwrap();
    assert!(matches!(inner.get(&b), Err(StoreError::NotFound(_))));
    assert_eq!(spool.get(&b).unwrap(), b"during");
    assert_eq!(spool.get_range(&b, 2, 3).unwrap(), b"rin");
    assert_eq!(spool.size(&b).unwrap(), 6);
    assert_eq!(spool.list(Area::Data).unwrap().len(), 2);
    // An index would name packs that only the spool has.
    assert!(spool.put(&name(Area::Index, 3), b"{}").is_err());
    spool.put(&name(Area::Locks, 3), b"{}").unwrap();
    spool.release().unwrap();
    assert_eq!(inner.get(&b).unwrap(), b"during");
    assert_eq!(spool.held_bytes(), 0);
    spool.put(&name(Area::Index, 3), b"{}").unwrap();
}

#[test]
fn a_failed_upload_can_be_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let inner = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())).with(0, Fault::Fail));
    let spool = SpoolStore::new(inner.clone(), dir.path()).unwrap();
    spool.hold();
    spool.put(&name(Area::Data, 1), b"one").unwrap();
    assert!(spool.release().is_err());
    assert_eq!(spool.get(&name(Area::Data, 1)).unwrap(), b"one");
    assert!(spool.put(&name(Area::Index, 3), b"{}").is_err());
    spool.release().unwrap();
    assert_eq!(inner.get(&name(Area::Data, 1)).unwrap(), b"one");
}

#[test]
fn what_somebody_takes_out_of_the_spool_is_missed() {
    let dir = tempfile::tempdir().unwrap();
    let spool = SpoolStore::new(Arc::new(MemoryStore::new()), dir.path()).unwrap();
    spool.hold();
    let (one, two) = (name(Area::Data, 1), name(Area::Data, 2));
    spool.put(&one, b"one").unwrap();
    spool.put(&two, b"two").unwrap();
    LocalStore::new(dir.path()).delete(&one).unwrap();
    for _ in 0..2 {
        let said = spool.release().unwrap_err().to_string();
        assert!(said.contains("something else has removed it"), "{said}");
        // Nothing may name what is lost.
        assert!(spool.put(&name(Area::Index, 3), b"{}").is_err());
    }
    assert_eq!(spool.get(&two).unwrap(), b"two");
}

#[test]
fn what_a_crash_left_is_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let inner = Arc::new(MemoryStore::new());
    let spool = SpoolStore::new(inner.clone(), dir.path()).unwrap();
    spool.hold();
    spool.put(&name(Area::Data, 1), b"one").unwrap();
    drop(spool);
    let spool = SpoolStore::new(inner, dir.path()).unwrap();
    assert!(spool.list(Area::Data).unwrap().is_empty());
}

#[test]
fn what_is_staged_goes_where_a_put_would_go() {
    let dir = tempfile::tempdir().unwrap();
    let inner = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
    let spool = SpoolStore::new(inner.clone(), dir.path()).unwrap();
    let [a, b, c] = [1, 2, 3].map(|n| name(Area::Data, n));
    // The first large one is put, and shows that the store is fast.
    let first = spool.stage(&c, &[1; 4 << 20]).unwrap();
    assert!(inner.get(&c).is_ok());
    let before = spool.stage(&a, b"before").unwrap();
    spool.hold();
    let during = spool.stage(&b, b"during").unwrap();
    // What the spool has is durable; what waits in front of the store is not there yet.
    assert_eq!(spool.get(&b).unwrap(), b"during");
    assert!(matches!(spool.get(&a), Err(StoreError::NotFound(_))));
    spool.settle(vec![first, before, during]).unwrap();
    assert_eq!(inner.get(&a).unwrap(), b"before");
    assert!(matches!(inner.get(&b), Err(StoreError::NotFound(_))));
    spool.release().unwrap();
    assert_eq!(inner.get(&b).unwrap(), b"during");
}

#[test]
fn a_store_that_is_slow_or_not_known_is_given_each_pack_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let delay = std::time::Duration::from_millis(200);
    let inner = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())).with_put_delay(delay));
    let spool = SpoolStore::new(inner.clone(), dir.path()).unwrap();
    // Latency alone says nothing.
    let small = spool.stage(&name(Area::Data, 1), b"small").unwrap();
    spool.settle(vec![small]).unwrap();
    spool.settle(Vec::new()).unwrap();
    assert!(!spool.is_slow());
    for n in 2..4 {
        // It is there before anybody settles it, and has shown how long that takes.
        let staged = spool
            .stage(&name(Area::Data, n), &vec![n; 4 << 20])
            .unwrap();
        assert!(inner.get(&name(Area::Data, n)).is_ok());
        assert!(spool.is_slow());
        spool.settle(vec![staged]).unwrap();
    }
}
