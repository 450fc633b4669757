//! An index that is damaged or gone keeps no data from coming back, and is made again.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use lifeboat_store::{Area, Fault, FaultyStore, ObjectName};
use lifeboat_vault::{
    BlobId, BlobKind, CheckOptions, ChunkPolicy, ErrorKind, Progress, RebuiltIndex, Silent, Vault,
    VaultError, WriterOptions,
};

use crate::support::*;

const POINTS: u64 = 3;

/// What is in point `n`.
fn content(n: u64) -> Vec<u8> {
    noise(n + 1, 400_000)
}

/// A vault with three points; each has an index file and packs of its own.
struct Lab {
    dir: tempfile::TempDir,
    roots: Vec<BlobId>,
}

impl Lab {
    fn new() -> Lab {
        let dir = tempfile::tempdir().unwrap();
        let vault = create(local(&dir.path().join("vault")));
        let roots = (0..POINTS).map(|n| add(&vault, n)).collect();
        Lab { dir, roots }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("vault")
    }

    /// A copy of it that can be spoilt.
    fn copy(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        copy_dir(&self.path(), &path);
        path
    }

    /// Every byte of every point comes back.
    fn all_there(&self, vault: &Vault) {
        let reader = vault.reader().unwrap();
        for (n, root) in self.roots.iter().enumerate() {
            let file = reader.lookup(*root, &[b"d", b"a"]).unwrap().unwrap();
            let mut file = reader.file(&file).unwrap();
            let mut bytes = Vec::new();
            loop {
                let chunk = file.next_chunk().unwrap();
                if chunk.is_empty() {
                    break;
                }
                bytes.extend_from_slice(chunk);
            }
            assert!(bytes == content(n as u64), "point {n}");
        }
    }
}

fn add(vault: &Vault, n: u64) -> BlobId {
    let writer = vault.writer(small_packs()).unwrap();
    let policy = ChunkPolicy::Fixed { size: 64 << 10 };
    let node = save_file(&writer, "a", &content(n), policy);
    let root = save_root(&writer, "d", vec![node]);
    writer.commit(snapshot(root)).unwrap();
    root
}

fn files(path: &Path, area: Area) -> Vec<PathBuf> {
    let listed = local(path).list(area).unwrap();
    let local = lifeboat_store::LocalStore::new(path);
    let mut files: Vec<_> = listed.iter().map(|o| local.path(&o.name)).collect();
    files.sort();
    files
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs_err::read(path).unwrap();
    let at = at.min(bytes.len() - 1);
    bytes[at] ^= 1;
    fs_err::write(path, bytes).unwrap();
}

fn repair(vault: &Vault) -> lifeboat_vault::Result<RebuiltIndex> {
    vault.rebuild_index(Duration::ZERO, &AtomicBool::new(false), &Silent)
}

/// Whole for us and for restic, and as if nothing had happened.
fn whole(path: &Path) {
    let vault = open(local(path));
    let options = CheckOptions {
        read_data: true,
        ..Default::default()
    };
    let report = vault.check(&options, &Silent).unwrap();
    assert!(report.is_healthy(), "{:?}", report.errors);
    assert!(report.notes.is_empty(), "{:?}", report.notes);
    assert!(vault.unindexed_packs().unwrap().is_empty());
    restic_ok(path, &["check", "--read-data"]);
}

/// Ways in which index files stop being what they were.
fn spoil(path: &Path, how: &str) -> usize {
    let index = files(path, Area::Index);
    assert_eq!(index.len() as u64, POINTS);
    match how {
        "one flipped" => flip(&index[1], 70),
        "all flipped" => index.iter().for_each(|file| flip(file, 70)),
        "one empty" => fs_err::write(&index[0], "").unwrap(),
        "one cut short" => {
            let bytes = fs_err::read(&index[2]).unwrap();
            fs_err::write(&index[2], &bytes[..40]).unwrap();
        }
        "one gone" => fs_err::remove_file(&index[1]).unwrap(),
        "all gone" => index.iter().for_each(|f| fs_err::remove_file(f).unwrap()),
        _ => panic!("{how}"),
    }
    match how {
        "all flipped" => index.len(),
        _ if how.ends_with("gone") => 0,
        _ => 1,
    }
}

const WAYS: [&str; 6] = [
    "one flipped",
    "all flipped",
    "one empty",
    "one cut short",
    "one gone",
    "all gone",
];

#[test]
fn everything_comes_back_and_repair_mends() {
    let lab = Lab::new();
    for how in WAYS {
        let path = lab.copy(how);
        let damaged = spoil(&path, how);
        let vault = open(local(&path));
        lab.all_there(&vault);
        let check = vault.check(&CheckOptions::default(), &Silent).unwrap();
        assert!(!check.is_healthy(), "{how}");
        let helps = |text: &str| text.contains("`lifeboat repair index`");
        assert!(check.errors.iter().all(|e| helps(&e.sentence)), "{how}");

        let expected = vault.unindexed_packs().unwrap().len();
        let rebuilt = repair(&vault).unwrap();
        assert!(rebuilt.is_whole(), "{how}: {rebuilt:?}");
        assert_eq!(rebuilt.packs, expected, "{how}");
        assert!(
            rebuilt.packs > 0 && rebuilt.blobs > rebuilt.packs / 2,
            "{how}"
        );
        assert_eq!(rebuilt.removed.len(), damaged, "{how}");
        lab.all_there(&vault);
        whole(&path);

        // Once more there is nothing to do, and nothing is written.
        let before = files(&path, Area::Index);
        let again = repair(&vault).unwrap();
        assert_eq!((again.packs, again.removed.len()), (0, 0), "{how}");
        assert_eq!(files(&path, Area::Index), before, "{how}");
    }
}

#[test]
fn a_writer_refuses_a_damaged_index_in_one_sentence() {
    let lab = Lab::new();
    for how in WAYS.into_iter().filter(|how| !how.ends_with("gone")) {
        let path = lab.copy(how);
        spoil(&path, how);
        let before = files(&path, Area::Data);
        let vault = open(local(&path));
        let error = vault.writer(small_packs()).map(drop).unwrap_err();
        assert!(matches!(error, VaultError::DamagedIndex { .. }), "{error}");
        assert_eq!(error.kind(), ErrorKind::Damaged);
        let sentence = error.to_string();
        for word in ["index/", "damaged", "`lifeboat repair index`"] {
            assert!(sentence.contains(word), "{how}: {sentence}");
        }
        assert_eq!(sentence.contains("and 2 more"), how == "all flipped");
        assert_eq!(files(&path, Area::Data), before);
        assert!(
            files(&path, Area::Locks).is_empty(),
            "a lock was left behind"
        );
        repair(&vault).unwrap();
        add(&vault, 7);
        whole(&path);
    }
}

#[test]
fn a_writer_stores_again_what_a_missing_index_named_and_rests_on_nothing_else() {
    let lab = Lab::new();
    for how in ["one gone", "all gone"] {
        let path = lab.copy(how);
        spoil(&path, how);
        let vault = open(local(&path));
        let writer = vault.writer(small_packs()).unwrap();
        // What only the packs tell is not there for a writer, or a point would rest on what no index names.
        let known = |id: &&BlobId| writer.reader().has(BlobKind::Tree, **id);
        let known = lab.roots.iter().filter(known).count() as u64;
        assert_eq!(known, if how == "all gone" { 0 } else { POINTS - 1 });
        drop(writer);
        for n in 0..POINTS {
            assert_eq!(add(&vault, n), lab.roots[n as usize]);
        }
        // The same content again: every blob is in an index now.
        let report = vault.check(&CheckOptions::default(), &Silent).unwrap();
        assert!(report.is_healthy(), "{how}: {:?}", report.errors);
        lab.all_there(&vault);
        repair(&vault).unwrap();
        whole(&path);
    }
}

#[test]
fn a_whole_vault_pays_nothing_and_a_loss_is_looked_for_once() {
    let lab = Lab::new();
    let store = Arc::new(FaultyStore::new(local(&lab.path())));
    lab.all_there(&open(store.clone()));
    assert_eq!(store.lists(Area::Data), 0);

    let path = lab.copy("lost");
    for file in files(&path, Area::Index) {
        fs_err::remove_file(file).unwrap();
    }
    for file in files(&path, Area::Data) {
        fs_err::remove_file(file).unwrap();
    }
    let store = Arc::new(FaultyStore::new(local(&path)));
    let reader = open(store.clone()).reader().unwrap();
    for id in &lab.roots {
        assert!(!reader.has(BlobKind::Tree, *id));
        let error = reader.clone().tree(*id).unwrap_err();
        assert!(matches!(error, VaultError::MissingBlob { .. }), "{error}");
    }
    assert_eq!(store.lists(Area::Data), 1);
}

#[test]
fn a_pack_whose_header_is_damaged_is_named_and_not_indexed() {
    let lab = Lab::new();
    let path = lab.copy("header");
    spoil(&path, "all flipped");
    // A pack of data, by its size: its trees fill none.
    let size = |path: &PathBuf| fs_err::metadata(path).unwrap().len();
    let pack = files(&path, Area::Data).into_iter().max_by_key(size);
    let pack = pack.unwrap();
    flip(&pack, size(&pack) as usize - 10);
    let vault = open(local(&path));

    let lost = |vault: &Vault| -> usize {
        let reader = vault.reader().unwrap();
        let lost = |root: &&BlobId| {
            let file = reader.lookup(**root, &[b"d", b"a"]).unwrap().unwrap();
            let error = reader.file(&file).map(drop);
            assert!(matches!(
                error,
                Ok(()) | Err(VaultError::MissingBlob { .. })
            ));
            error.is_err()
        };
        lab.roots.iter().filter(lost).count()
    };
    assert_eq!(lost(&vault), 1);
    let packs = files(&path, Area::Data);
    let rebuilt = repair(&vault).unwrap();
    assert!(!rebuilt.is_whole());
    assert_eq!(rebuilt.packs, packs.len() - 1);
    assert_eq!(rebuilt.unreadable.len(), 1);
    let (id, error) = &rebuilt.unreadable[0];
    assert!(
        pack.ends_with(id.to_hex()) && error.to_string().contains(&id.to_hex()),
        "{error}"
    );
    assert_eq!(files(&path, Area::Data), packs, "a pack was deleted");
    assert_eq!(vault.unindexed_packs().unwrap(), [*id]);
    assert_eq!(lost(&vault), 1);
    // No index names it, so restic and we speak of the blobs, and a backup stores them again.
    for n in 0..POINTS {
        add(&vault, n);
    }
    lab.all_there(&vault);
    restic_ok(&path, &["check", "--read-data"]);
}

#[test]
fn an_index_that_the_medium_does_not_give_goes_only_if_the_packs_tell_all() {
    let lab = Lab::new();
    for header_too in [false, true] {
        let path = lab.copy(&format!("sector {header_too}"));
        let index = files(&path, Area::Index)[0].clone();
        let id = index.file_name().unwrap().to_str().unwrap();
        let name = ObjectName::new(Area::Index, id).unwrap();
        let store = FaultyStore::new(local(&path)).with_bad_sector(name);
        let vault = open(Arc::new(store));
        lab.all_there(&vault);
        let error = vault.writer(small_packs()).map(drop).unwrap_err();
        assert!(error.to_string().contains("bad sector"), "{error}");
        if header_too {
            let unindexed = vault.unindexed_packs().unwrap()[0].to_hex();
            let pack = files(&path, Area::Data);
            let pack = pack.iter().find(|p| p.ends_with(&unindexed)).unwrap();
            flip(pack, usize::MAX);
        }
        let rebuilt = repair(&vault).unwrap();
        assert_eq!(rebuilt.is_whole(), !header_too);
        assert_eq!(index.exists(), header_too);
        assert_eq!(rebuilt.kept.len(), usize::from(header_too));
        // The medium gives it again: it still says where the blobs of that pack lie.
        lab.all_there(&open(local(&path)));
    }
}

#[test]
fn a_repair_may_die_at_every_put_and_delete() {
    let lab = Lab::new();
    for how in ["all flipped", "all gone"] {
        let counted = lab.copy(&format!("{how} counted"));
        let damaged = spoil(&counted, how) as u64;
        let store = Arc::new(FaultyStore::new(local(&counted)));
        repair(&open(store.clone())).unwrap();
        let (puts, deletes) = (store.puts(), store.deletes());
        // The lock and the index; the damaged files and the lock.
        assert_eq!((puts, deletes), (2, damaged + 1), "{how}");

        let steps = (0..puts).map(|n| (true, n));
        for (put, at) in steps.chain((0..deletes).map(|n| (false, n))) {
            for fault in [Fault::CrashBefore, Fault::CrashAfter] {
                let what = format!("{how} {put} {at} {fault:?}");
                let path = lab.copy(&what);
                spoil(&path, how);
                let store = FaultyStore::new(local(&path));
                let store = Arc::new(match put {
                    true => store.with(at, fault),
                    false => store.with_delete(at, fault),
                });
                // The last delete gives the lock back, and nobody is told of it any more.
                let done = repair(&open(store.clone())).is_ok();
                assert_eq!(done, !put && at + 1 == deletes, "{what}");
                assert!(store.has_crashed(), "{what}");
                // The lock of a process that is dead goes with the next run; ours lives.
                for lock in files(&path, Area::Locks) {
                    fs_err::remove_file(lock).unwrap();
                }
                let vault = open(local(&path));
                lab.all_there(&vault);
                assert!(repair(&vault).unwrap().is_whole(), "{what}");
                lab.all_there(&vault);
                assert!(
                    vault
                        .check(&CheckOptions::default(), &Silent)
                        .unwrap()
                        .is_healthy()
                );
                if fault == Fault::CrashAfter {
                    whole(&path);
                }
            }
        }
    }
}

#[test]
fn a_repair_on_a_full_disk_harms_nothing() {
    let lab = Lab::new();
    let path = lab.copy("full");
    spoil(&path, "all flipped");
    let index = files(&path, Area::Index);
    let store = FaultyStore::new(local(&path)).with(1, Fault::Full);
    let error = repair(&open(Arc::new(store))).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    assert_eq!(files(&path, Area::Index), index);
    assert!(files(&path, Area::Locks).is_empty());
    lab.all_there(&open(local(&path)));
}

/// Sets its flag at the third pack.
#[derive(Default)]
struct Stopper {
    flag: AtomicBool,
    packs: AtomicU64,
}

impl Progress for Stopper {
    fn advance(&self, _: u64, _: u64) {
        if self.packs.fetch_add(1, Ordering::SeqCst) == 2 {
            self.flag.store(true, Ordering::SeqCst);
        }
    }
}

#[test]
fn a_repair_that_is_stopped_gives_the_vault_back_and_can_be_run_again() {
    let lab = Lab::new();
    let path = lab.copy("stopped");
    spoil(&path, "all flipped");
    let before = files(&path, Area::Index);
    let vault = open(local(&path));
    let stopper = Stopper::default();
    let repaired = vault.rebuild_index(Duration::ZERO, &stopper.flag, &stopper);
    let error = repaired.map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
    assert_eq!(files(&path, Area::Index), before);
    assert!(files(&path, Area::Locks).is_empty());
    lab.all_there(&vault);
    // Nor does it wait on for somebody who holds the vault.
    let reader = vault.reader().unwrap();
    let began = std::time::Instant::now();
    let repaired = vault.rebuild_index(Duration::from_secs(60), &stopper.flag, &Silent);
    assert!(matches!(repaired, Err(VaultError::Interrupted(_))));
    assert!(began.elapsed() < Duration::from_secs(30));
    drop(reader);
    assert!(repair(&vault).unwrap().is_whole());
    whole(&path);
}

#[test]
fn a_repair_is_alone() {
    let lab = Lab::new();
    let path = lab.path();
    let vault = open(local(&path));
    let reader = vault.reader().unwrap();
    let error = repair(&vault).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
    drop(reader);
    assert!(repair(&vault).unwrap().is_whole());
    whole(&path);
}

#[test]
fn of_many_blobs_no_index_file_holds_more_than_its_share() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vault");
    let vault = create(local(&path));
    let writer = vault
        .writer(WriterOptions {
            pack_size: 1 << 20,
            ..WriterOptions::default()
        })
        .unwrap();
    // Packs of about 14,000 blobs: four fill an index file, whatever their order.
    for n in 0..80_000_u32 {
        writer.blob(BlobKind::Data, &n.to_le_bytes()).unwrap();
    }
    let root = save_root(&writer, "d", vec![]);
    writer.commit(snapshot(root)).unwrap();
    for file in files(&path, Area::Index) {
        fs_err::remove_file(file).unwrap();
    }
    let rebuilt = repair(&vault).unwrap();
    assert_eq!(rebuilt.packs, files(&path, Area::Data).len());
    assert_eq!(rebuilt.blobs, 80_002);
    assert_eq!(files(&path, Area::Index).len(), 2);
    whole(&path);
}
