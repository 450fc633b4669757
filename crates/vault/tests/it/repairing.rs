//! Damaged packs and points: what is whole is saved, what is lost is named and healed by the next backup, and a
//! repair may die at every step.

use std::{
    collections::HashMap,
    io::Read,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use lifeboat_store::{Area, Fault, FaultyStore, LocalStore, ObjectName};
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

#[test]
fn what_is_whole_is_saved_and_the_next_backup_heals_the_rest() {
    let lab = Lab::new();
    for how in WAYS {
        let path = lab.copy(how);
        let victim = by_size(&path).pop().unwrap();
        spoil(&victim, how);
        let damaged = fs_err::read(&victim).ok();
        let before = packs(&path);
        let vault = open(local(&path));

        let (would, aside) = repair_packs(&vault, &[], true).unwrap();
        assert_eq!(packs(&path), before, "{how}");
        assert!(aside.0.is_empty());
        let (done, aside) = repair_packs(&vault, &[], false).unwrap();
        assert_eq!(done.packs, would.packs, "{how}");
        let [pack] = &done.packs[..] else {
            panic!("{how}: {done:?}")
        };
        assert_eq!(pack.id, id(&victim));
        let lost = match how {
            "a blob" => 1,
            "the header" => 0,
            // 70 KiB are one whole chunk, and a part of another.
            "the end" => 2,
            _ => pack.blobs,
        };
        assert_eq!(pack.lost.len(), lost, "{how}: {pack:?}");
        assert_eq!(pack.salvaged, pack.blobs - lost, "{how}");
        assert!(!victim.exists(), "{how}");
        assert_eq!(aside.0.get(&pack.id), damaged.as_ref(), "{how}");
        let report = check(&path);
        assert!(report.damaged_packs.is_empty(), "{how}: {report:?}");
        assert_eq!(report.errors.len(), lost, "{how}: {report:?}");

        // The source still has it. Old points are whole again, not only the new one.
        add_all(&vault);
        whole(&path);
        let again = repair_packs(&vault, &[], false).unwrap().0;
        assert!(again.packs.is_empty());
        let points = repair_points(&vault, &PLAIN).unwrap();
        assert!(points.points.is_empty(), "{points:?}");
    }
}

#[test]
fn without_the_repair_a_backup_heals_nothing() {
    let lab = Lab::new();
    let path = lab.copy("x");
    spoil(&by_size(&path).pop().unwrap(), "a blob");
    add_all(&open(local(&path)));
    assert!(!check(&path).is_healthy());
}

#[test]
fn named_packs_are_looked_at_and_a_whole_one_is_left() {
    let lab = Lab::new();
    let path = lab.copy("x");
    let sorted = by_size(&path);
    let (bad, good) = (sorted.last().unwrap(), &sorted[0]);
    spoil(bad, "a blob");
    let vault = open(local(&path));
    let (done, _) = repair_packs(&vault, &[id(good), id(bad)], false).unwrap();
    assert_eq!(done.whole, [id(good)]);
    assert_eq!(done.packs.len(), 1);
    assert!(good.exists() && !bad.exists());
    let error = repair_packs(&vault, &[PackId([9; 32])], false)
        .err()
        .unwrap();
    assert!(error.to_string().contains("there is no pack"), "{error}");
}

#[test]
fn a_place_that_cannot_take_what_is_set_aside_changes_nothing() {
    let lab = Lab::new();
    let path = lab.copy("x");
    spoil(&by_size(&path).pop().unwrap(), "a blob");
    let (data, index) = (packs(&path), local(&path).list(Area::Index).unwrap().len());
    let options = RepairPacks {
        packs: &[],
        dry_run: false,
        retry_lock: Duration::ZERO,
        stop: &AtomicBool::new(false),
    };
    let vault = open(local(&path));
    let mut full = |_, _: &mut dyn Read| Err(std::io::Error::other("no space left"));
    let error = vault
        .repair_packs(&options, &mut full, &Silent)
        .err()
        .unwrap();
    let text = error.to_string();
    assert!(
        text.contains("nothing was changed") && text.contains("no space left"),
        "{text}"
    );
    assert_eq!(packs(&path), data);
    assert_eq!(local(&path).list(Area::Index).unwrap().len(), index);
}

#[test]
fn a_pack_that_the_medium_does_not_give_stays() {
    let lab = Lab::new();
    let path = lab.copy("x");
    let victim = by_size(&path).pop().unwrap();
    let name = ObjectName::new(Area::Data, &id(&victim).to_hex()).unwrap();
    let store = FaultyStore::new(local(&path)).with_bad_sector(name);
    let vault = open(Arc::new(store));
    let (done, aside) = repair_packs(&vault, &[], false).unwrap();
    assert!(
        done.packs[0]
            .stays
            .as_deref()
            .unwrap()
            .contains("bad sector"),
        "{done:?}"
    );
    assert!(aside.0.is_empty() && victim.exists());
    // It is in no index, so that what was in it is stored again.
    add_all(&vault);
    assert!(check(&path).is_healthy());
}

/// Every file of every point that could be read can be read.
fn readable(vault: &Vault, points: &[SnapshotId]) -> usize {
    let reader = vault.reader().unwrap();
    let mut count = 0;
    for (n, point) in points.iter().enumerate() {
        let Ok(snapshot) = vault.snapshot(*point) else {
            continue;
        };
        for (name, expected) in [("own", content(n as u64)), ("shared", content(100))] {
            let path = [&b"d"[..], name.as_bytes()];
            let Ok(Some(node)) = reader.lookup(snapshot.tree.unwrap(), &path) else {
                continue;
            };
            let mut bytes = Vec::new();
            let read = reader
                .file(&node)
                .map(|mut file| file.read_to_end(&mut bytes));
            if matches!(read, Ok(Ok(_))) {
                assert!(bytes == expected, "{point} {name}");
                count += 1;
            }
        }
    }
    count
}

#[test]
fn a_repair_of_packs_may_die_at_every_step() {
    let lab = Lab::new();
    let origin = lab.copy("origin");
    spoil(&by_size(&origin).pop().unwrap(), "a blob");
    let before = readable(&open(local(&origin)), &lab.points);
    assert!(before > 2 && before < 2 * POINTS as usize, "{before}");
    let victim = [id(&by_size(&origin).pop().unwrap())];
    let counted = lab.copy("counted");
    spoil(&by_size(&counted).pop().unwrap(), "a blob");
    let store = Arc::new(FaultyStore::new(local(&counted)));
    repair_packs(&open(store.clone()), &victim, false).unwrap();
    let (puts, deletes) = (store.puts(), store.deletes());
    // Lock, pack, index, index without the pack; old index, pack, lock.
    assert!(puts >= 4 && deletes >= 3, "{puts} {deletes}");
    let steps = (0..puts)
        .map(|n| (n, true))
        .chain((0..deletes).map(|n| (n, false)));
    for (at, is_put) in steps {
        // Before a step the store is as after the one before it.
        let fault = Fault::CrashAfter;
        let path = lab.dir.path().join(format!("{at}-{is_put}-{fault:?}"));
        copy_dir(&origin, &path);
        let store = FaultyStore::new(local(&path));
        let store = Arc::new(match is_put {
            true => store.with(at, fault),
            false => store.with_delete(at, fault),
        });
        let died = repair_packs(&open(store.clone()), &victim, false);
        assert!(
            store.has_crashed(),
            "{at} {is_put}: {:?}",
            died.map(|(d, _)| d)
        );

        bury(&path);
        let vault = open(local(&path));
        assert!(
            readable(&vault, &lab.points) >= before,
            "{at} {is_put} {fault:?}"
        );
        // Again, to its end; then a backup heals.
        match repair_packs(&vault, &victim, false) {
            Ok(_) => {}
            Err(error) => assert!(error.to_string().contains("there is no pack"), "{error}"),
        }
        assert_eq!(
            readable(&vault, &lab.points),
            before,
            "{at} {is_put} {fault:?}"
        );
        add_all(&vault);
        let report = check(&path);
        assert!(report.is_healthy(), "{at} {is_put} {fault:?}: {report:?}");
        if at % 3 == 0 {
            restic_ok(&path, &["check", "--read-data"]);
        }
        fs_err::remove_dir_all(&path).unwrap();
    }
}

/// A vault whose index names nothing of one blob of `own` of the first point.
fn with_a_hole(lab: &Lab, name: &str) -> PathBuf {
    let path = lab.copy(name);
    let vault = open(local(&path));
    for pack in by_size(&path).into_iter().rev() {
        let bytes = fs_err::read(&pack).unwrap();
        spoil(&pack, "a blob");
        let report = check(&path);
        let touched: Vec<_> = report.errors.iter().flat_map(|e| &e.files).collect();
        if touched == [b"/d/own"] {
            repair_packs(&vault, &[], false).unwrap();
            return path;
        }
        fs_err::write(&pack, bytes).unwrap();
    }
    panic!("no pack with a blob of one file alone");
}

#[test]
fn points_that_lost_something_are_made_anew_beside_the_old() {
    let lab = Lab::new();
    let path = with_a_hole(&lab, "x");
    let vault = open(local(&path));
    let dry = Wish {
        dry_run: true,
        ..PLAIN
    };
    let would = repair_points(&vault, &dry).unwrap();
    assert_eq!(vault.snapshots().unwrap().found.len(), 3);
    let done = repair_points(&vault, &PLAIN).unwrap();
    assert_eq!(done.whole, 2);
    let ([would], [done]) = (&would.points[..], &done.points[..]) else {
        panic!("{done:?}")
    };
    assert_eq!(would.losses, done.losses);
    assert_eq!(done.losses[0].path, b"/d/own");
    let (from, to) = (SIZE as u64, SIZE as u64 - (64 << 10));
    assert_eq!(done.losses[0].what, LossKind::Shortened { from, to });
    let Repaired::New(Some(new)) = done.outcome else {
        panic!("{done:?}")
    };
    let new = vault.snapshot(new).unwrap();
    assert_eq!(new.tags, ["repaired", "partial"]);
    assert_eq!(new.original, Some(done.id));
    // What is there of the file, and the other file, come back.
    let reader = vault.reader().unwrap();
    let node = reader
        .lookup(new.tree.unwrap(), &[b"d", b"own"])
        .unwrap()
        .unwrap();
    let mut bytes = Vec::new();
    reader.file(&node).unwrap().read_to_end(&mut bytes).unwrap();
    assert_eq!(bytes.len() as u64, to);
    drop(reader);
    // Once more: it is known.
    let again = repair_points(&vault, &PLAIN).unwrap();
    assert!(
        matches!(again.points[0].outcome, Repaired::Before(_)),
        "{again:?}"
    );
    assert_eq!(vault.snapshots().unwrap().found.len(), 4);
    // restic sees damage in the old one, until it goes.
    assert!(!restic(&path, &["check"]).status.success());
    let forget = Wish {
        forget: true,
        ..PLAIN
    };
    let last = repair_points(&vault, &forget).unwrap();
    assert!(last.points[0].forgotten);
    assert!(vault.snapshot(done.id).is_err());
    assert!(check(&path).is_healthy());
    restic_ok(&path, &["check", "--read-data"]);
}

#[test]
fn a_damaged_file_is_left_out_on_demand_and_a_pinned_point_is_not_forgotten() {
    let lab = Lab::new();
    let path = with_a_hole(&lab, "x");
    let vault = open(local(&path));
    let wish = Wish {
        drop_files: true,
        forget: true,
        ..PLAIN
    };
    let dry = Wish {
        dry_run: true,
        ..PLAIN
    };
    let damaged = repair_points(&vault, &dry).unwrap().points[0].id;
    let pinned = vault.pin(damaged, true, Duration::ZERO).unwrap();
    let error = repair_points(&vault, &wish).err().unwrap().to_string();
    assert!(
        error.contains("pinned") && error.contains("nothing was changed"),
        "{error}"
    );
    assert_eq!(vault.snapshots().unwrap().found.len(), 3);
    vault.pin(pinned, false, Duration::ZERO).unwrap();
    let done = repair_points(&vault, &wish).unwrap();
    assert_eq!(done.points[0].losses[0].what, LossKind::Dropped);
    assert!(check(&path).is_healthy());
    restic_ok(&path, &["check", "--read-data"]);
}

#[test]
fn directories_and_whole_points_may_be_lost() {
    let lab = Lab::new();
    let path = lab.copy("x");
    let vault = open(local(&path));
    // Pack after pack of trees, until a root is lost.
    for (number, pack) in by_size(&path).into_iter().take(POINTS as usize).enumerate() {
        if number == 0 {
            spoil(&pack, "all");
        }
    }
    let (done, _) = repair_packs(&vault, &[], false).unwrap();
    assert!(done.packs[0].lost.len() >= 2, "{done:?}");
    let done = repair_points(
        &vault,
        &Wish {
            forget: true,
            ..PLAIN
        },
    )
    .unwrap();
    let [point] = &done.points[..] else {
        panic!("{done:?}")
    };
    assert!(
        matches!(&point.outcome, Repaired::Nothing(why) if why.contains("tree blob")),
        "{point:?}"
    );
    assert!(point.forgotten);
    assert_eq!(vault.snapshots().unwrap().found.len(), 2);
    assert!(check(&path).is_healthy());
}

#[test]
fn packs_that_are_away_cost_no_point_anything() {
    let lab = Lab::new();
    let path = lab.copy("x");
    let victim = by_size(&path).pop().unwrap();
    let away = lab.dir.path().join("away");
    fs_err::rename(&victim, &away).unwrap();
    let vault = open(local(&path));
    let error = repair_points(&vault, &PLAIN).err().unwrap().to_string();
    assert!(error.contains("repair index"), "{error}");
    // Taken out of the index, and back in it when it is back.
    let index =
        |vault: &Vault| vault.rebuild_index(Duration::ZERO, &AtomicBool::new(false), &Silent);
    assert_eq!(index(&vault).unwrap().gone, [id(&victim)]);
    assert!(
        !repair_points(
            &vault,
            &Wish {
                dry_run: true,
                ..PLAIN
            }
        )
        .unwrap()
        .points
        .is_empty()
    );
    fs_err::rename(&away, &victim).unwrap();
    assert_eq!(index(&vault).unwrap().packs, 1);
    whole(&path);
}

#[test]
fn a_repair_of_points_may_die_at_every_step() {
    let lab = Lab::new();
    let origin = with_a_hole(&lab, "origin");
    let forget = Wish {
        forget: true,
        ..PLAIN
    };
    let counted = lab.dir.path().join("counted");
    copy_dir(&origin, &counted);
    let store = Arc::new(FaultyStore::new(local(&counted)));
    repair_points(&open(store.clone()), &forget).unwrap();
    let (puts, deletes) = (store.puts(), store.deletes());
    assert!(puts >= 5 && deletes >= 3, "{puts} {deletes}");
    let steps = (0..puts)
        .map(|n| (n, true))
        .chain((0..deletes).map(|n| (n, false)));
    for (at, is_put) in steps {
        // Before a step the store is as after the one before it.
        let fault = Fault::CrashAfter;
        let path = lab.dir.path().join(format!("{at}-{is_put}-{fault:?}"));
        copy_dir(&origin, &path);
        let store = FaultyStore::new(local(&path));
        let store = Arc::new(match is_put {
            true => store.with(at, fault),
            false => store.with_delete(at, fault),
        });
        let _ = repair_points(&open(store.clone()), &forget);
        assert!(store.has_crashed(), "{at} {is_put} {fault:?}");
        bury(&path);
        let vault = open(local(&path));
        let there = vault.snapshots().unwrap().found;
        let has_first = there
            .iter()
            .any(|(id, s)| *id == lab.points[0] || s.original == Some(lab.points[0]));
        assert!(has_first, "{at} {is_put} {fault:?}");
        repair_points(&vault, &forget).unwrap();
        assert_eq!(
            vault.snapshots().unwrap().found.len(),
            3,
            "{at} {is_put} {fault:?}"
        );
        let report = check(&path);
        assert!(report.is_healthy(), "{at} {is_put} {fault:?}: {report:?}");
        fs_err::remove_dir_all(&path).unwrap();
    }
}
