//! Check finds each kind of damage, and says whom it touches.

use std::sync::Arc;

use lifeboat_store::{Area, MemoryStore, ObjectName, Store};
use lifeboat_vault::{
    BlobId, BlobKind, CheckOptions, CheckReport, ChunkPolicy, Environment, ErrorKind, Metadata,
    Node, NodeKind, Silent, Snapshot, SnapshotId, Tree, Vault, Writer, WriterOptions,
};

struct Lab {
    store: Arc<MemoryStore>,
    vault: Vault,
    /// One recovery point with `shared/big` and `one`, one with `shared/big` and `two`.
    points: [SnapshotId; 2],
    /// The content of `one`.
    one: BlobId,
    big: Vec<BlobId>,
}

fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as u8
    })
    .take(length)
    .collect()
}

fn save(writer: &Writer, bytes: &[u8]) -> NodeKind {
    let mut file = writer.file(ChunkPolicy::CONTENT, bytes.len() as u64);
    file.write(bytes).unwrap();
    let saved = file.finish().unwrap();
    assert_eq!(saved.size, bytes.len() as u64);
    NodeKind::File {
        size: saved.size,
        content: saved.content,
    }
}

fn node(name: &str, kind: NodeKind) -> Node {
    Node {
        name: name.into(),
        kind,
        meta: Metadata::default(),
    }
}

fn content(node: &Node) -> Vec<BlobId> {
    match &node.kind {
        NodeKind::File { content, .. } => content.clone(),
        _ => panic!("{node:?} is no file"),
    }
}

fn lab() -> Lab {
    let store = Arc::new(MemoryStore::new());
    let vault = Vault::create(store.clone(), b"secret", Environment::system("test")).unwrap();
    let mut points = Vec::new();
    let (mut one, mut big) = (None, Vec::new());
    for (number, name) in ["one", "two"].into_iter().enumerate() {
        let writer = vault.writer(WriterOptions::default()).unwrap();
        let shared = node("big", save(&writer, &noise(1, 6 << 20)));
        big = content(&shared);
        let own = node(name, save(&writer, &noise(2 + number as u64, 300_000)));
        one.get_or_insert(content(&own)[0]);
        let subtree = writer
            .tree(&Tree {
                nodes: vec![shared],
            })
            .unwrap();
        let mut nodes = vec![own, node("shared", NodeKind::Dir { subtree })];
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        let tree = writer.tree(&Tree { nodes }).unwrap();
        let time = format!("2026-01-0{}T00:00:00Z", number + 1);
        let snapshot = Snapshot {
            time,
            tree: Some(tree),
            paths: vec!["/x".into()],
            ..Snapshot::default()
        };
        points.push(writer.commit(snapshot).unwrap());
    }
    Lab {
        store,
        vault,
        points: [points[0], points[1]],
        one: one.unwrap(),
        big,
    }
}

impl Lab {
    fn check(&self, read_data: bool) -> CheckReport {
        self.vault
            .check(
                &CheckOptions {
                    read_data,
                    threads: 2,
                    ..CheckOptions::default()
                },
                &Silent,
            )
            .unwrap()
    }

    fn objects(&self, area: Area) -> Vec<ObjectName> {
        let mut names: Vec<_> = self
            .store
            .list(area)
            .unwrap()
            .into_iter()
            .map(|o| o.name)
            .collect();
        names.sort();
        names
    }

    /// Packs that hold blobs of a kind, found by what check says when they are gone.
    fn packs(&self) -> Vec<ObjectName> {
        self.objects(Area::Data)
    }

    fn flip(&self, name: &ObjectName, at: impl Fn(usize) -> usize) {
        assert!(self.store.tamper(name, |bytes| {
            let at = at(bytes.len());
            bytes[at] ^= 0x10;
        }));
    }

    fn is_tree_pack(&self, pack: &ObjectName) -> bool {
        let bytes = self.store.get(pack).unwrap();
        self.store.delete(pack).unwrap();
        let touched = self.check(false);
        self.store.put(pack, &bytes).unwrap();
        touched
            .errors
            .iter()
            .any(|finding| finding.files.iter().any(|f| f == b"/" || f == b"/shared"))
    }
}

#[test]
fn a_whole_vault_is_well() {
    let lab = lab();
    let quick = lab.check(false);
    assert!(quick.is_healthy(), "{:?}", quick.errors);
    assert!(quick.notes.is_empty(), "{:?}", quick.notes);
    assert_eq!((quick.snapshots, quick.trees), (2, 3));
    let full = lab.check(true);
    assert!(full.is_healthy(), "{:?}", full.errors);
    assert_eq!(full.packs as usize, lab.packs().len());
    assert!(full.bytes > 6 << 20);
}

#[test]
fn a_flipped_bit_anywhere_in_any_pack_is_found_by_reading() {
    let lab = lab();
    for pack in lab.packs() {
        let size = lab.store.size(&pack).unwrap() as usize;
        // First blob, middle, header, its length.
        for at in [0, 20, size / 2, size - 10, size - 4, size - 1] {
            lab.flip(&pack, |_| at);
            let report = lab.check(true);
            assert_eq!(
                report.errors.len(),
                1,
                "{pack} at {at} of {size}: {:?}",
                report.errors
            );
            let finding = &report.errors[0];
            assert_eq!(finding.object, format!("pack {}", pack.id()), "at {at}");
            if at < size / 4 {
                assert!(
                    !finding.snapshots.is_empty() && !finding.files.is_empty(),
                    "{finding:?}"
                );
                assert!(finding.sentence.contains("blobs are lost"), "{finding}");
            }
            if at >= size - 4 {
                assert!(finding.sentence.contains("can still be read"), "{finding}");
            }
            lab.flip(&pack, |_| at);
        }
    }
    assert!(lab.check(true).is_healthy());
}

#[test]
fn truncated_and_missing_packs_are_found_without_reading() {
    let lab = lab();
    for pack in lab.packs() {
        let whole = lab.store.get(&pack).unwrap();
        for keep in [0, 10, whole.len() / 2, whole.len() - 1] {
            lab.store.tamper(&pack, |bytes| bytes.truncate(keep));
            for read_data in [false, true] {
                let report = lab.check(read_data);
                assert_eq!(report.errors.len(), 1, "{:?}", report.errors);
                assert_eq!(report.errors[0].object, format!("pack {}", pack.id()));
                // All but the last byte: the blobs are there, only the header is not.
                assert_eq!(
                    report.errors[0].snapshots.is_empty(),
                    keep == whole.len() - 1
                );
            }
            lab.store.tamper(&pack, |bytes| bytes.clone_from(&whole));
        }
        lab.store.delete(&pack).unwrap();
        let report = lab.check(false);
        assert_eq!(report.errors.len(), 1, "{:?}", report.errors);
        let finding = &report.errors[0];
        assert!(finding.sentence.contains("it is gone"), "{finding}");
        assert!(
            !finding.snapshots.is_empty() && !finding.files.is_empty(),
            "{finding:?}"
        );
        lab.store.put(&pack, &whole).unwrap();
    }
    assert!(lab.check(false).is_healthy());
}

#[test]
fn damage_is_told_with_the_points_and_files_that_it_touches() {
    let lab = lab();
    let reader = lab.vault.reader().unwrap();
    assert!(lab.big.len() > 1);
    // The pack that holds the content of `one` holds that of `shared/big`, too, unless packs are small: so
    // look at the finding of the blob alone.
    for pack in lab.packs().iter().filter(|pack| !lab.is_tree_pack(pack)) {
        let whole = lab.store.get(pack).unwrap();
        // Find which bytes hold the blob: flip until it cannot be read.
        for at in (10..whole.len()).step_by(100_000) {
            lab.flip(pack, |_| at);
            let one_lost = reader.blob(BlobKind::Data, lab.one).is_err();
            let big_lost = lab
                .big
                .iter()
                .any(|id| reader.blob(BlobKind::Data, *id).is_err());
            let report = lab.check(true);
            assert_eq!(report.errors.len(), 1);
            let finding = &report.errors[0];
            if one_lost {
                assert_eq!(finding.snapshots, [lab.points[0]]);
                assert_eq!(finding.files, [b"/one".to_vec()]);
            }
            if big_lost {
                assert_eq!(finding.snapshots, lab.points);
                assert_eq!(finding.files, [b"/shared/big".to_vec()]);
            }
            lab.flip(pack, |_| at);
        }
    }
}

#[test]
fn index_files_that_are_gone_or_changed() {
    let lab = lab();
    for index in lab.objects(Area::Index) {
        lab.flip(&index, |size| size / 2);
        let report = lab.check(false);
        assert!(
            report
                .errors
                .iter()
                .any(|f| f.object == format!("index/{}", index.id())),
            "{:?}",
            report.errors
        );
        assert!(
            report
                .errors
                .iter()
                .any(|f| f.object.contains(" blob ") && !f.snapshots.is_empty())
        );
        lab.flip(&index, |size| size / 2);

        let bytes = lab.store.get(&index).unwrap();
        lab.store.delete(&index).unwrap();
        let report = lab.check(false);
        assert!(!report.is_healthy());
        assert!(
            report
                .errors
                .iter()
                .all(|f| f.object.contains(" blob ") && !f.files.is_empty())
        );
        assert!(
            report.notes.iter().any(|note| note.contains("in no index")),
            "{:?}",
            report.notes
        );
        lab.store.put(&index, &bytes).unwrap();
    }
    assert!(lab.check(false).is_healthy());
}

#[test]
fn snapshots_keys_config_and_locks() {
    let lab = lab();
    let [first, _] = lab.points;
    let snapshot = ObjectName::new(Area::Snapshots, &first.to_hex()).unwrap();
    lab.flip(&snapshot, |size| size - 1);
    let report = lab.check(false);
    assert_eq!(report.errors.len(), 1, "{:?}", report.errors);
    assert_eq!(report.errors[0].snapshots, [first]);
    lab.flip(&snapshot, |size| size - 1);

    let key = lab.objects(Area::Keys).remove(0);
    for name in [key, ObjectName::config()] {
        lab.flip(&name, |size| size / 2);
        let report = lab.check(false);
        assert_eq!(report.errors.len(), 1, "{:?}", report.errors);
        assert_eq!(report.errors[0].object, name.to_string());
        lab.flip(&name, |size| size / 2);
    }

    // A lock that a crash or an outage left torn.
    let lock = ObjectName::new(Area::Locks, &"cd".repeat(32)).unwrap();
    lab.store.put(&lock, b"torn").unwrap();
    let report = lab.check(false);
    assert!(report.is_healthy(), "{:?}", report.errors);
    assert!(
        report
            .notes
            .iter()
            .any(|note| note.contains(&lock.to_string())),
        "{:?}",
        report.notes
    );
    lab.store.delete(&lock).unwrap();

    lab.store
        .put(
            &ObjectName::new(Area::Data, &"ab".repeat(32)).unwrap(),
            b"left over",
        )
        .unwrap();
    let report = lab.check(true);
    assert!(report.is_healthy(), "{:?}", report.errors);
    assert_eq!(report.notes.len(), 1, "{:?}", report.notes);
}

#[test]
fn a_file_whose_blobs_do_not_add_up() {
    let lab = lab();
    let writer = lab.vault.writer(WriterOptions::default()).unwrap();
    let lie = NodeKind::File {
        size: 12,
        content: vec![lab.one],
    };
    let tree = writer
        .tree(&Tree {
            nodes: vec![node("lie", lie.clone())],
        })
        .unwrap();
    let time = "2026-02-01T00:00:00Z".into();
    let point = writer
        .commit(Snapshot {
            time,
            tree: Some(tree),
            ..Snapshot::default()
        })
        .unwrap();
    let report = lab.check(false);
    assert_eq!(report.errors.len(), 1, "{:?}", report.errors);
    assert_eq!(
        (&report.errors[0].snapshots[..], &report.errors[0].files[..]),
        (&[point][..], &[b"/lie".to_vec()][..])
    );
    let error = lab
        .vault
        .reader()
        .unwrap()
        .file(&node("lie", lie))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
}
