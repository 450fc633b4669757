use std::sync::Arc;

use lifeboat_store::{Area, Fault, FaultyStore, MemoryStore, ObjectName, Store, StoreError};

fn name(n: u8) -> ObjectName {
    ObjectName::new(Area::Data, &format!("{n:02x}").repeat(32)).unwrap()
}

#[test]
fn every_fault_does_what_it_says() {
    let memory = Arc::new(MemoryStore::new());
    let store = FaultyStore::new(memory.clone())
        .with(0, Fault::Fail)
        .with(1, Fault::Truncate(2))
        .with(2, Fault::Flip(0))
        .with(4, Fault::CrashAfter);
    assert!(store.put(&name(0), b"abc").is_err());
    store.put(&name(1), b"abc").unwrap();
    store.put(&name(2), b"abc").unwrap();
    store.put(&name(3), b"abc").unwrap();
    assert!(store.put(&name(4), b"abc").is_err());
    assert!(store.get(&name(3)).is_err());
    assert!(store.list(Area::Data).is_err());
    assert!(matches!(memory.get(&name(0)), Err(StoreError::NotFound(_))));
    assert_eq!(memory.get(&name(1)).unwrap(), b"ab");
    assert_eq!(memory.get(&name(2)).unwrap(), b"`bc");
    assert_eq!(memory.get(&name(4)).unwrap(), b"abc");
}

#[test]
fn full_stays_full_but_can_be_read() {
    let store = FaultyStore::new(Arc::new(MemoryStore::new())).with(1, Fault::Full);
    store.put(&name(0), b"abc").unwrap();
    for n in 1..3 {
        assert!(matches!(
            store.put(&name(n), b"abc"),
            Err(StoreError::Full { .. })
        ));
    }
    assert_eq!(store.get(&name(0)).unwrap(), b"abc");
}
