//! What is tried with bytes that somebody else wrote: one function for each kind. They are run by `tests/fuzz` on
//! any machine, and by libFuzzer (`fuzz/`).
//!
//! Whatever comes in, nothing panics, and what was read can be written and comes back the same.

use std::sync::Arc;

use lifeboat_store::{Area, MemoryStore, ObjectName, Store};
use lifeboat_vault::{
    Environment, NodeKind, Snapshot, Timestamp, Vault,
    config::Config,
    index::{IndexBuilder, IndexFile},
    key::{self, Cost},
    pack,
    seal::{KeyMaterial, SealKey},
    tree, unpacked,
};
use sha2::{Digest, Sha256};

/// A target.
pub type Target = fn(&[u8]);

/// All targets, by the names of their corpora.
#[allow(dead_code, reason = "a fuzz target of libFuzzer uses one alone")]
pub const ALL: &[(&str, Target)] = &[
    ("config", config),
    ("index", index),
    ("key", key),
    ("lock", lock),
    ("pack_header", pack_header),
    ("snapshot", snapshot),
    ("tree", tree),
    ("unpacked", unpacked),
];

/// The config, opened.
pub fn config(bytes: &[u8]) {
    if let Ok(config) = Config::parse(bytes) {
        let written = config.to_json().expect("a config can be written");
        assert_eq!(Config::parse(&written).expect("and read"), config);
    }
}

/// An index file's JSON.
pub fn index(bytes: &[u8]) {
    let Ok(file) = IndexFile::parse(bytes, "index") else {
        return;
    };
    let written = file.to_json().expect("an index can be written");
    IndexFile::parse(&written, "index").expect("and read");
    let mut builder = IndexBuilder::default();
    builder.add_file(file);
    let index = builder.build();
    for (kind, id, location) in index.iter() {
        assert_eq!(index.find(kind, &id), Some(location));
    }
}

/// A key file.
pub fn key(bytes: &[u8]) {
    let store = MemoryStore::new();
    store
        .put(&name(Area::Keys, bytes), bytes)
        .expect("memory can be written");
    assert!(key::unlock(&store, b"password", |_| Ok(())).is_err());
}

/// A lock's JSON: whether it is dead, old, in the way.
pub fn lock(bytes: &[u8]) {
    thread_local! {
        static VAULT: (Arc<MemoryStore>, SealKey, Vault) = vault();
    }
    VAULT.with(|(store, seal, vault)| {
        let random = &*Environment::system("fuzz").random;
        let sealed = seal.seal(random, bytes).expect("bytes can be sealed");
        let name = name(Area::Locks, &sealed);
        store.put(&name, &sealed).expect("memory can be written");
        let _ = vault.remove_stale_locks();
        let _ = store.delete(&name);
    });
}

/// A pack's header, opened, and its trailer.
pub fn pack_header(bytes: &[u8]) {
    let _ = pack::parse_entries(bytes, "pack");
    if let Some((trailer, rest)) = bytes.split_first_chunk() {
        let _ = pack::header_length(*trailer, rest.len() as u64, "pack");
    }
}

/// A snapshot's JSON.
pub fn snapshot(bytes: &[u8]) {
    let Ok(snapshot) = serde_json::from_slice::<Snapshot>(bytes) else {
        return;
    };
    if let Some(time) = Timestamp::parse_rfc3339(&snapshot.time) {
        let text = time.to_rfc3339();
        assert!(Timestamp::parse_rfc3339(&text).is_some(), "{text}");
    }
    let written = serde_json::to_vec(&snapshot).expect("a snapshot can be written");
    let again: Snapshot = serde_json::from_slice(&written).expect("and read");
    assert_eq!(again, snapshot);
}

/// A tree blob.
pub fn tree(bytes: &[u8]) {
    let Ok(mut read) = tree::decode(bytes) else {
        return;
    };
    for node in &mut read.nodes {
        // What is not written does not come back: see `tree::encode`.
        if matches!(node.kind, NodeKind::Dir { .. }) {
            node.meta.links = 0;
        }
        if node.meta.links < 2 {
            node.meta.device_id = 0;
        }
    }
    let written = tree::encode(&read).expect("what was read can be written");
    let again = tree::decode(&written).expect("what was written can be read");
    assert_eq!(tree::encode(&again).expect("and written again"), written);
    // Times beyond the calendar are clamped, so nodes are compared through their bytes.
    assert_eq!(again.nodes.len(), read.nodes.len());
}

/// Any file that is no pack, opened.
pub fn unpacked(bytes: &[u8]) {
    for area in [Area::Index, Area::Snapshots, Area::Locks] {
        let _ = unpacked::decode(bytes.to_vec(), area, "file");
    }
}

fn name(area: Area, bytes: &[u8]) -> ObjectName {
    let id = hex::encode(Sha256::digest(bytes));
    ObjectName::new(area, &id).expect("a hash is a name")
}

/// An empty vault whose key costs nothing.
fn vault() -> (Arc<MemoryStore>, SealKey, Vault) {
    let made = || {
        let env = Environment::system("fuzz");
        let store = Arc::new(MemoryStore::new());
        let master = KeyMaterial::random(&*env.random)?;
        let seal = SealKey::new(&master)?;
        let config = Config::generate(&*env.random)?.to_json()?;
        let sealed = seal.seal(&*env.random, &config)?;
        let _ = store.put(&ObjectName::config(), &sealed);
        let cost = Cost {
            log_n: 1,
            r: 1,
            p: 1,
        };
        key::add(&*store, b"fuzz", &master, &env, cost)?;
        let vault = Vault::open(store.clone(), b"fuzz", env)?;
        Ok::<_, lifeboat_vault::VaultError>((store, seal, vault))
    };
    made().expect("an empty vault in memory")
}
