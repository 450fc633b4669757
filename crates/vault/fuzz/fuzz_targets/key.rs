#![no_main]

use lifeboat_store::{Area, MemoryStore, ObjectName, Store};
use lifeboat_vault::key;
use sha2::{Digest, Sha256};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let store = MemoryStore::new();
    let name = ObjectName::new(Area::Keys, &hex::encode(Sha256::digest(bytes)));
    store.put(&name.expect("a hash is a name"), bytes).expect("memory can be written");
    assert!(key::unlock(&store, b"password", |_| Ok(())).is_err());
});
