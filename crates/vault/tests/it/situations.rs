//! The situations that restic keeps fixtures of, made by a generator of our own: missing data, a missing index,
//! duplicates, mixed packs, unreferenced data, an obsolete index. Debian's restic is asked beside us each time.

use std::{
    io::Read,
    path::{Path, PathBuf},
    sync::atomic::AtomicBool,
    time::Duration,
};

use lifeboat_store::{Area, LocalStore};
use lifeboat_vault::{
    BlobId, BlobKind, CheckOptions, CheckReport, ChunkPolicy, PackId, Silent,
    env::SystemRandom,
    key,
    pack::{PackBuilder, PackedBlob, Pages},
    prune::{MaxUnused, PruneOptions},
    repair::snapshots::RepairSnapshots,
    seal::SealKey,
    unpacked::{encode, object_name},
};
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::support::*;

/// Writes packs and index files of any content into a vault, with its key.
struct Forge {
    path: PathBuf,
    seal: SealKey,
}

impl Forge {
    fn new(path: &Path) -> Forge {
        let opened = key::unlock(&*local(path), PASSWORD.as_bytes(), SealKey::new);
        Forge {
            path: path.to_owned(),
            seal: opened.unwrap().1,
        }
    }

    fn pack(&self, blobs: &[(BlobKind, &[u8])]) -> (PackId, Vec<PackedBlob>) {
        let mut pack = PackBuilder::new(Pages::default());
        for (kind, plain) in blobs {
            let sealed = self.seal.seal(&SystemRandom, plain).unwrap();
            let id = BlobId(Sha256::digest(plain).into());
            pack.add(*kind, id, None, &sealed).unwrap();
        }
        let pack = pack.finish(&self.seal, &SystemRandom).unwrap();
        let name = object_name(Area::Data, &pack.id.0).unwrap();
        local(&self.path).put(&name, &pack.bytes).unwrap();
        (pack.id, pack.blobs)
    }

    fn index(&self, packs: &[(PackId, Vec<PackedBlob>)]) {
        let packs: Vec<_> = packs
            .iter()
            .map(|(id, blobs)| {
                let blobs: Vec<_> = blobs
                    .iter()
                    .map(|b| json!({"id": b.id.to_hex(), "type": b.kind.as_str(), "offset": b.offset, "length": b.length}))
                    .collect();
                json!({"id": id.to_hex(), "blobs": blobs})
            })
            .collect();
        let json = serde_json::to_vec(&json!({"packs": packs})).unwrap();
        let sealed = self
            .seal
            .seal(&SystemRandom, &encode(&json).unwrap())
            .unwrap();
        let name = object_name(Area::Index, &Sha256::digest(&sealed).into()).unwrap();
        local(&self.path).put(&name, &sealed).unwrap();
    }
}

fn content(n: u64) -> Vec<u8> {
    noise(n + 1, 3 * (64 << 10))
}

/// A vault with two points, each with a file, packs and an index of its own.
struct Lab {
    dir: tempfile::TempDir,
    roots: Vec<BlobId>,
}

impl Lab {
    fn new() -> Lab {
        let dir = tempfile::tempdir().unwrap();
        let vault = create(local(&dir.path().join("v")));
        let roots = (0..2).map(|n| {
            let writer = vault.writer(small_packs()).unwrap();
            let policy = ChunkPolicy::Fixed { size: 64 << 10 };
            let node = save_file(&writer, "a", &content(n), policy);
            let root = save_root(&writer, "d", vec![node]);
            writer.commit(snapshot(root)).unwrap();
            root
        });
        let roots = roots.collect();
        Lab { dir, roots }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("v")
    }

    fn files(&self, area: Area) -> Vec<PathBuf> {
        let store = LocalStore::new(&self.path());
        let listed = local(&self.path()).list(area).unwrap();
        let mut files: Vec<_> = listed.iter().map(|o| store.path(&o.name)).collect();
        files.sort_by_key(|file| fs_err::metadata(file).unwrap().len());
        files
    }

    /// How many of the files come back as they were.
    fn readable(&self) -> usize {
        let reader = open(local(&self.path())).reader().unwrap();
        let whole = self.roots.iter().enumerate().filter(|(n, root)| {
            let mut bytes = Vec::new();
            let read = reader
                .lookup(**root, &[b"d", b"a"])
                .and_then(|node| reader.file(&node.unwrap()))
                .map(|mut file| file.read_to_end(&mut bytes));
            match read {
                Ok(Ok(_)) => {
                    assert!(bytes == content(*n as u64));
                    true
                }
                _ => false,
            }
        });
        whole.count()
    }

    fn check(&self) -> CheckReport {
        let options = CheckOptions {
            read_data: true,
            ..Default::default()
        };
        open(local(&self.path())).check(&options, &Silent).unwrap()
    }

    /// What we and restic say: both the same.
    fn healthy(&self) -> bool {
        let ours = self.check();
        let theirs = restic(&self.path(), &["check", "--read-data"]);
        assert_eq!(
            ours.is_healthy(),
            theirs.status.success(),
            "{ours:?} {theirs:?}"
        );
        ours.is_healthy()
    }

    fn repair_index(&self) {
        let vault = open(local(&self.path()));
        let stop = AtomicBool::new(false);
        vault.rebuild_index(Duration::ZERO, &stop, &Silent).unwrap();
    }

    /// Nothing stays that nobody needs.
    fn prune(&self) {
        let options = PruneOptions {
            max_unused: MaxUnused::Bytes(0),
            instant: true,
            ..PruneOptions::default()
        };
        let vault = open(local(&self.path()));
        vault
            .prune(&options, &AtomicBool::new(false), &Silent)
            .unwrap();
    }

    fn notes(&self) -> String {
        self.check().notes.join("; ")
    }
}

#[test]
fn missing_data() {
    let lab = Lab::new();
    fs_err::remove_file(lab.files(Area::Data).last().unwrap()).unwrap();
    assert!(!lab.healthy());
    assert_eq!(lab.readable(), 1);
    // Documented: the index is made without it, then the points.
    lab.repair_index();
    assert!(!lab.healthy());
    let vault = open(local(&lab.path()));
    let options = RepairSnapshots {
        drop_files: false,
        forget: true,
        dry_run: false,
        tags: Vec::new(),
        writer: small_packs(),
        stop: &AtomicBool::new(false),
    };
    let points = vault.snapshots().unwrap().found;
    let done = vault.repair_snapshots(&points, &options, &Silent).unwrap();
    assert_eq!((done.points.len(), done.whole), (1, 1));
    assert!(lab.healthy());
}

#[test]
fn missing_index() {
    let lab = Lab::new();
    for index in lab.files(Area::Index) {
        fs_err::remove_file(index).unwrap();
    }
    // restic needs the index to see anything; a reader of ours asks the packs.
    assert!(!lab.healthy());
    assert_eq!(lab.readable(), 2);
    lab.repair_index();
    assert!(lab.healthy());
}

#[test]
fn duplicates() {
    let lab = Lab::new();
    let forge = Forge::new(&lab.path());
    let chunk = &content(0)[..64 << 10];
    let before = lab.files(Area::Data).len();
    for _ in 0..2 {
        let pack = forge.pack(&[(BlobKind::Data, chunk)]);
        forge.index(&[pack]);
    }
    // Not an error, for them as for us.
    assert!(lab.healthy());
    assert_eq!(lab.readable(), 2);
    lab.prune();
    assert!(lab.healthy());
    assert_eq!(lab.readable(), 2);
    assert!(lab.files(Area::Data).len() <= before);
}

#[test]
fn the_same_pack_in_two_index_files() {
    let lab = Lab::new();
    let forge = Forge::new(&lab.path());
    let pack = forge.pack(&[(BlobKind::Data, b"twice")]);
    forge.index(std::slice::from_ref(&pack));
    forge.index(&[pack]);
    assert!(lab.check().is_healthy());
    assert!(restic(&lab.path(), &["check"]).status.success());
}

#[test]
fn mixed_packs() {
    let lab = Lab::new();
    let forge = Forge::new(&lab.path());
    // As restic wrote them before 0.10: files and directories in one pack, and a point on it.
    let data = b"data in a mixed pack".to_vec();
    let node = file_node(
        "m",
        data.len() as u64,
        vec![BlobId(Sha256::digest(&data).into())],
    );
    let tree = lifeboat_vault::Tree { nodes: vec![node] };
    let bytes = lifeboat_vault::tree::encode(&tree).unwrap();
    let pack = forge.pack(&[(BlobKind::Data, &data), (BlobKind::Tree, &bytes)]);
    forge.index(&[pack]);
    let vault = open(local(&lab.path()));
    let writer = vault.writer(small_packs()).unwrap();
    let root = writer.tree(&tree).unwrap();
    assert_eq!(writer.stats().tree_blobs, 0, "it is there already");
    writer.commit(snapshot(root)).unwrap();
    assert!(lab.healthy());
    lab.prune();
    assert!(lab.healthy());
    let reader = open(local(&lab.path())).reader().unwrap();
    let node = reader.lookup(root, &[b"m"]).unwrap().unwrap();
    let mut back = Vec::new();
    reader.file(&node).unwrap().read_to_end(&mut back).unwrap();
    assert_eq!(back, data);
}

#[test]
fn unreferenced_data() {
    let lab = Lab::new();
    let before = lab.files(Area::Data).len();
    Forge::new(&lab.path()).pack(&[(BlobKind::Data, b"an interrupted backup")]);
    assert!(lab.healthy());
    assert!(lab.notes().contains("in no index"), "{}", lab.notes());
    lab.prune();
    assert!(lab.healthy());
    // Small packs were joined as well.
    assert!(lab.files(Area::Data).len() <= before);
    assert_eq!(lab.readable(), 2);
    assert_eq!(lab.notes(), "");
}

#[test]
fn an_obsolete_index() {
    let lab = Lab::new();
    let forge = Forge::new(&lab.path());
    // What a prune that died left: the new packs and their index are there, the old pack is gone, and so not yet the
    // index that names it.
    let chunk = &content(0)[..64 << 10];
    let (old, blobs) = forge.pack(&[(BlobKind::Data, chunk)]);
    forge.index(&[(old, blobs)]);
    let name = object_name(Area::Data, &old.0).unwrap();
    local(&lab.path()).delete(&name).unwrap();
    assert!(!lab.healthy());
    // Each blob is in another pack too, so that nothing is lost and nobody is touched.
    assert_eq!(lab.readable(), 2);
    let report = lab.check();
    assert!(
        report.errors.iter().all(|e| e.snapshots.is_empty()),
        "{report:?}"
    );
    lab.repair_index();
    assert!(lab.healthy());
    assert_eq!(lab.readable(), 2);
}

#[test]
fn a_copy_of_a_blob_stands_in_for_one_that_is_bad() {
    let lab = Lab::new();
    let forge = Forge::new(&lab.path());
    let before: Vec<PathBuf> = lab.files(Area::Data);
    let bytes = content(0);
    let chunks: Vec<_> = bytes
        .chunks(64 << 10)
        .map(|c| (BlobKind::Data, c))
        .collect();
    let pack = forge.pack(&chunks);
    forge.index(&[pack]);
    for pack in before.iter().rev().take(6) {
        let mut bytes = fs_err::read(pack).unwrap();
        bytes[77] ^= 1;
        fs_err::write(pack, bytes).unwrap();
    }
    assert!(!lab.healthy());
    assert_eq!(lab.readable(), 1);
}
