//! Damaged packs and points: what is whole is saved, what is lost is named and healed by the next backup, and a
//! repair may die at every step.

mod packs;
mod points;

use std::{
    collections::HashMap,
    io::Read,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use lifeboat_store::{Area, Fault, FaultyStore, LocalStore};
use lifeboat_vault::{
    CheckOptions, CheckReport, ChunkPolicy, PackId, Silent, Snapshot, SnapshotId, Vault,
    WriterOptions,
    repair::{
        packs::{RepairPacks, RepairedPacks},
        snapshots::{LossKind, RepairSnapshots, Repaired, RepairedSnapshots},
    },
};

use crate::support::*;

const POINTS: u64 = 3;
/// Whole chunks.
const SIZE: usize = 6 * (64 << 10);

fn content(n: u64) -> Vec<u8> {
    noise(n + 1, SIZE)
}

/// A vault with three points; each has a file of its own, and all have `shared`.
struct Lab {
    dir: tempfile::TempDir,
    points: Vec<SnapshotId>,
}

impl Lab {
    fn new() -> Lab {
        let dir = tempfile::tempdir().unwrap();
        let vault = create(local(&dir.path().join("vault")));
        let points = (0..POINTS).map(|n| add(&vault, n)).collect();
        Lab { dir, points }
    }

    fn copy(&self, name: &str) -> PathBuf {
        let path = self.dir.path().join(name);
        copy_dir(&self.dir.path().join("vault"), &path);
        path
    }
}

/// What a backup of the same data does, now and later.
fn add(vault: &Vault, n: u64) -> SnapshotId {
    let options = WriterOptions {
        pack_size: 200 << 10,
        ..small_packs()
    };
    let writer = vault.writer(options).unwrap();
    let policy = ChunkPolicy::Fixed { size: 64 << 10 };
    let nodes = vec![
        save_file(&writer, "own", &content(n), policy),
        save_file(&writer, "shared", &content(100), policy),
    ];
    let root = save_root(&writer, "d", nodes);
    writer.commit(snapshot(root)).unwrap()
}

fn add_all(vault: &Vault) {
    for n in 0..POINTS {
        add(vault, n);
    }
}

/// The process that held a lock died with it.
fn bury(path: &Path) {
    fs_err::remove_dir_all(path.join("locks")).unwrap();
    fs_err::create_dir(path.join("locks")).unwrap();
}

fn packs(path: &Path) -> Vec<PathBuf> {
    let listed = local(path).list(Area::Data).unwrap();
    let local = LocalStore::new(path);
    let mut files: Vec<_> = listed.iter().map(|o| local.path(&o.name)).collect();
    files.sort();
    files
}

fn id(pack: &Path) -> PackId {
    pack.file_name().unwrap().to_str().unwrap().parse().unwrap()
}

/// The largest packs hold data, the smallest trees.
fn by_size(path: &Path) -> Vec<PathBuf> {
    let mut packs = packs(path);
    packs.sort_by_key(|pack| fs_err::metadata(pack).unwrap().len());
    packs
}

/// Ways in which a pack stops being what it was; how many of its blobs can be saved then.
const WAYS: [&str; 5] = ["a blob", "the header", "the end", "all", "gone"];

fn spoil(pack: &Path, how: &str) {
    let mut bytes = fs_err::read(pack).unwrap();
    let length = bytes.len();
    match how {
        "a blob" => bytes[100] ^= 1,
        "the header" => bytes[length - 10] ^= 1,
        "the end" => bytes.truncate(length - (70 << 10)),
        "all" => bytes.fill(7),
        "gone" => return fs_err::remove_file(pack).unwrap(),
        _ => panic!("{how}"),
    }
    fs_err::write(pack, bytes).unwrap();
}

fn check(path: &Path) -> CheckReport {
    let options = CheckOptions {
        read_data: true,
        ..Default::default()
    };
    open(local(path)).check(&options, &Silent).unwrap()
}

/// Whole for us and for restic.
fn whole(path: &Path) {
    let report = check(path);
    assert!(report.is_healthy(), "{:?}", report.errors);
    assert!(report.notes.is_empty(), "{:?}", report.notes);
    restic_ok(path, &["check", "--read-data"]);
}

struct Aside(HashMap<PackId, Vec<u8>>);

fn repair_packs(
    vault: &Vault,
    packs: &[PackId],
    dry_run: bool,
) -> lifeboat_vault::Result<(RepairedPacks, Aside)> {
    let mut aside = Aside(HashMap::new());
    let options = RepairPacks {
        packs,
        dry_run,
        retry_lock: Duration::ZERO,
        stop: &AtomicBool::new(false),
    };
    let mut keep = |pack, bytes: &mut dyn Read| {
        let mut kept = Vec::new();
        bytes.read_to_end(&mut kept)?;
        aside.0.insert(pack, kept);
        Ok(())
    };
    let repaired = vault.repair_packs(&options, &mut keep, &Silent)?;
    Ok((repaired, aside))
}

struct Wish {
    drop_files: bool,
    forget: bool,
    dry_run: bool,
}

const PLAIN: Wish = Wish {
    drop_files: false,
    forget: false,
    dry_run: false,
};

fn repair_points(vault: &Vault, wish: &Wish) -> lifeboat_vault::Result<RepairedSnapshots> {
    let points: Vec<(SnapshotId, Snapshot)> = vault.snapshots().unwrap().found;
    let options = RepairSnapshots {
        drop_files: wish.drop_files,
        forget: wish.forget,
        dry_run: wish.dry_run,
        tags: vec!["partial".to_owned()],
        writer: small_packs(),
        stop: &AtomicBool::new(false),
    };
    vault.repair_snapshots(&points, &options, &Silent)
}
