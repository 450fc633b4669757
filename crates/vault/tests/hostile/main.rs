//! Vaults made by somebody who has the key and means harm: each is refused with a sentence, and with so much
//! memory and no more. Measured with an allocator that counts.
//!
//! Seen to fail: with index files bounded at 256 MiB, which took 768.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod memory;

use std::{io::Write as _, sync::Arc, time::Duration};

use lifeboat_store::{Area, MemoryStore, ObjectName, Store};
use lifeboat_vault::{
    BlobId, BlobKind, CheckOptions, Descend, Environment, ErrorKind, Metadata, Node, NodeKind,
    Silent, Snapshot, Tree, Vault, VaultError, WriterOptions,
    config::Config,
    key::{self, Cost},
    seal::{KeyMaterial, SealKey},
};
use memory::peak;
use sha2::{Digest, Sha256};

const PASSWORD: &[u8] = b"known to the attacker";

/// What the attacker has: the place and the key.
struct Attacker {
    store: Arc<MemoryStore>,
    seal: SealKey,
    env: Environment,
}

impl Attacker {
    fn new() -> Attacker {
        let env = Environment::system("attacker");
        let store = Arc::new(MemoryStore::new());
        let master = KeyMaterial::random(&*env.random).unwrap();
        let seal = SealKey::new(&master).unwrap();
        let config = Config::generate(&*env.random).unwrap().to_json().unwrap();
        let sealed = seal.seal(&*env.random, &config).unwrap();
        store.put(&ObjectName::config(), &sealed).unwrap();
        let cost = Cost {
            log_n: 1,
            r: 1,
            p: 1,
        };
        key::add(&*store, PASSWORD, &master, &env, cost).unwrap();
        Attacker { store, seal, env }
    }

    fn put(&self, area: Area, bytes: &[u8]) -> String {
        let id = hex::encode(Sha256::digest(bytes));
        let name = ObjectName::new(area, &id).unwrap();
        self.store.put(&name, bytes).unwrap();
        id
    }

    fn sealed(&self, plain: &[u8]) -> Vec<u8> {
        self.seal.seal(&*self.env.random, plain).unwrap()
    }

    /// A pack of this one sealed blob without a header, and an index that says of it what it likes.
    fn blob(&self, kind: &str, id: BlobId, sealed: &[u8], plain: u32, length: Option<u32>) {
        let pack = self.put(Area::Data, sealed);
        let length = length.unwrap_or(sealed.len() as u32);
        let json = format!(
            r#"{{"packs":[{{"id":"{pack}","blobs":[{{"id":"{id}","type":"{kind}","offset":0,"length":{length},"uncompressed_length":{plain}}}]}}]}}"#
        );
        self.put(Area::Index, &self.sealed(json.as_bytes()));
    }

    fn open(&self) -> Vault {
        Vault::open(self.store.clone(), PASSWORD, self.env.clone()).unwrap()
    }
}

/// So many bytes of this, compressed: a bomb.
fn bomb(byte: u8, length: u64) -> Vec<u8> {
    let mut out = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    let piece = vec![byte; 1 << 20];
    for _ in 0..length >> 20 {
        out.write_all(&piece).unwrap();
    }
    out.finish().unwrap()
}

fn refused<T: std::fmt::Debug>(result: Result<T, VaultError>, what: &str) {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged, "{error}");
    assert!(error.to_string().contains(what), "{error}");
}

#[test]
fn a_blob_of_four_gigabytes() {
    let _alone = memory::alone();
    for (kind, name) in [(BlobKind::Data, "data"), (BlobKind::Tree, "tree")] {
        let attacker = Attacker::new();
        let id = BlobId([7; 32]);
        let sealed = attacker.sealed(&bomb(b'{', 256 << 20));
        attacker.blob(name, id, &sealed, u32::MAX, None);
        let reader = attacker.open().reader().unwrap();
        let (result, mib) = peak(|| reader.blob(kind, id));
        refused(result, "larger than any program writes");
        assert!(mib < 16, "{mib} MiB");
    }
}

#[test]
fn a_blob_that_is_larger_than_it_says() {
    let _alone = memory::alone();
    let attacker = Attacker::new();
    let id = BlobId([7; 32]);
    let sealed = attacker.sealed(&bomb(0, 256 << 20));
    attacker.blob("data", id, &sealed, 100, None);
    let reader = attacker.open().reader().unwrap();
    let (result, mib) = peak(|| reader.blob(BlobKind::Data, id));
    refused(result, "does not decompress");
    assert!(mib < 16, "{mib} MiB");
}

#[test]
fn offsets_and_lengths_near_the_end_of_numbers() {
    let _alone = memory::alone();
    let attacker = Attacker::new();
    let id = BlobId([7; 32]);
    attacker.blob("tree", id, &[1; 100], 1, Some(u32::MAX));
    let vault = attacker.open();
    let reader = vault.reader().unwrap();
    let (result, mib) = peak(|| reader.tree(id));
    refused(result, "larger than any program writes");
    assert!(mib < 16, "{mib} MiB");
    let options = CheckOptions {
        read_data: true,
        threads: 1,
        ..CheckOptions::default()
    };
    let (report, mib) = peak(|| vault.check(&options, &Silent).unwrap());
    assert!(!report.is_healthy());
    assert!(mib < 16, "{mib} MiB");
}

#[test]
fn snapshots_indexes_and_locks_that_swell() {
    let _alone = memory::alone();
    for (area, largest) in [
        (Area::Snapshots, 100),
        (Area::Index, 400),
        (Area::Locks, 16),
    ] {
        let attacker = Attacker::new();
        let mut plain = vec![2];
        plain.extend(bomb(b' ', 512 << 20));
        attacker.put(area, &attacker.sealed(&plain));
        let vault = attacker.open();
        let (told, mib) = peak(|| match area {
            Area::Snapshots => vault.snapshots().unwrap().unreadable.remove(0).1,
            Area::Index => vault
                .writer(WriterOptions::default())
                .map(drop)
                .unwrap_err(),
            _ => vault
                .writer(WriterOptions::default())
                .map(drop)
                .unwrap_err(),
        });
        assert!(
            told.to_string().contains("more than any program writes"),
            "{told}"
        );
        assert!(mib < largest, "{area:?}: {mib} MiB");
    }
}

#[test]
fn entries_that_are_nothing_but_a_name() {
    let _alone = memory::alone();
    let mut json = String::from(r#"{"nodes":["#);
    for n in 0..1_000_000 {
        json += &format!(r#"{{"name":"{n:07}"}},"#);
    }
    json.pop();
    json += "]}";
    let (result, mib) = peak(|| lifeboat_vault::tree::decode(json.as_bytes()));
    refused(result.map(|tree| tree.nodes.len()), "fill the memory");
    assert!(mib < 400, "{mib} MiB for {} MiB", json.len() >> 20);

    let xattrs = "{},".repeat(10_000_000);
    let json = format!(r#"{{"nodes":[{{"name":"a","extended_attributes":[{xattrs}{{}}]}}]}}"#);
    let (result, mib) = peak(|| lifeboat_vault::tree::decode(json.as_bytes()));
    refused(
        result.map(|tree| tree.nodes.len()),
        "65536 extended attributes",
    );
    assert!(mib < 32, "{mib} MiB");
}

#[test]
fn keys_that_eat_memory_and_time() {
    let _alone = memory::alone();
    for (n, r, p) in [
        (1_u64 << 40, 8, 1),
        (1 << 15, 1 << 30, 1),
        (1 << 15, 8, 1 << 30),
        (1 << 24, 8, 1),
        (u64::MAX, u64::MAX, u64::MAX),
    ] {
        let store = MemoryStore::new();
        let data = "A".repeat(200);
        let key = format!(
            r#"{{"kdf":"scrypt","N":{n},"r":{r},"p":{p},"salt":"{}","data":"{data}"}}"#,
            "A".repeat(86) + "=="
        );
        let id = hex::encode(Sha256::digest(key.as_bytes()));
        let name = ObjectName::new(Area::Keys, &id).unwrap();
        store.put(&name, key.as_bytes()).unwrap();
        let began = std::time::Instant::now();
        let (result, mib) = peak(|| key::unlock(&store, b"x", |_| Ok(())).map(drop));
        assert_eq!(
            result.unwrap_err().kind(),
            ErrorKind::Damaged,
            "{n} {r} {p}"
        );
        assert!(mib < 4 && began.elapsed() < Duration::from_secs(30));
    }
}

fn dir(name: &str, subtree: BlobId) -> Node {
    Node {
        name: name.into(),
        kind: NodeKind::Dir { subtree },
        meta: Metadata::default(),
    }
}

/// Trees below each other, each with so many entries that all are the next one; the first.
fn tower(attacker: &Attacker, levels: usize, width: usize) -> BlobId {
    let writer = attacker.open().writer(WriterOptions::default()).unwrap();
    let mut id = writer.tree(&Tree::default()).unwrap();
    for _ in 0..levels {
        let nodes = (0..width).map(|n| dir(&format!("{n:05}"), id)).collect();
        id = writer.tree(&Tree { nodes }).unwrap();
    }
    let snapshot = Snapshot {
        time: "2026-01-01T00:00:00Z".to_owned(),
        tree: Some(id),
        ..Snapshot::default()
    };
    writer.commit(snapshot).unwrap();
    id
}

#[test]
fn directories_that_stand_in_each_other_without_end() {
    let _alone = memory::alone();
    let attacker = Attacker::new();
    // 1000 to the power of ten directories.
    let root = tower(&attacker, 10, 1000);
    let vault = attacker.open();
    let reader = vault.reader().unwrap();
    let mut entries = 0_u64;
    let (result, mib) = peak(|| {
        reader.walk(root, &mut |_, _| {
            entries += 1;
            Ok(Descend::Into)
        })
    });
    refused(result, "the same directories stand in each other");
    assert!(entries < 3_000_000 && mib < 64, "{entries} {mib}");
    // A check reads each tree once.
    let report = vault.check(&CheckOptions::default(), &Silent).unwrap();
    assert!(report.is_healthy() && report.trees == 11, "{report:?}");
}

#[test]
fn directories_without_a_bottom() {
    let _alone = memory::alone();
    let attacker = Attacker::new();
    let root = tower(&attacker, 20_000, 1);
    let reader = attacker.open().reader().unwrap();
    let (result, mib) = peak(|| reader.walk(root, &mut |_, _| Ok(Descend::Into)));
    refused(result, "directories lie within each other");
    assert!(mib < 64, "{mib} MiB");
}
