//! The rows of rustic in the table of what may run beside what: it takes no lock and sees none. Ours is stopped at some of
//! its steps, rustic runs from beginning to end, ours goes on; and the other way round, rustic stands still in the middle
//! of a backup while ours prune.

use std::{
    io::Write as _,
    path::Path,
    process::{Child, Command, Output, Stdio},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use lifeboat_store::{Area, Store as _};
use lifeboat_vault::{
    BlobKind, CheckOptions, Finding, NodeKind, Silent, SnapshotId, Vault, prune::WaitsFor,
};
use parking_lot::{Mutex, RwLock};

use crate::{hands::*, points as lab, support::*};

fn command(vault: &Path) -> Command {
    let mut command = Command::new("rustic");
    command
        .arg("-r")
        .arg(vault)
        .args(["--no-cache", "--no-progress"])
        .env("RUSTIC_PASSWORD", PASSWORD)
        .env("HOME", vault.parent().unwrap());
    command
}

fn rustic(vault: &Path, args: &[&str]) -> Output {
    let ran = command(vault).args(args).output();
    ran.expect("rustic is missing: run `cargo xtask test`, which builds it")
}

fn rustic_ok(vault: &Path, args: &[&str]) -> String {
    let out = rustic(vault, args);
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    assert!(out.status.success(), "rustic {args:?}: {said}");
    assert!(!said.contains("[ERROR]"), "rustic {args:?}: {said}");
    said
}

/// The place of a cell: the base, and a point of rustic's whose one blob our backup uses too.
fn fill(path: &Path, base: &Base, file: &str) {
    let store = local(path);
    store.create().unwrap();
    base.fill(&*store);
    rustic_ok(path, &["backup", file]);
}

fn open(store: Arc<dyn lifeboat_store::Store>) -> Vault {
    Vault::open(store, PASSWORD.as_bytes(), single()).unwrap()
}

#[test]
fn rustic_runs_beside_ours() {
    let base = Arc::new(Base::new());
    let dir = tempfile::tempdir().unwrap();
    let (old, file) = (dir.path().join("old"), dir.path().join("file"));
    fs_err::write(&old, noise(1008, lab::BLOB)).unwrap();
    fs_err::write(&file, [noise(1, 50_000), noise(1001, lab::BLOB)].concat()).unwrap();
    let (old, file) = (old.to_str().unwrap(), file.to_str().unwrap().to_owned());
    let mut cells = 0;
    for a in [Backup, Read, Check, CopyOut, Forget, Prune] {
        for share in [3, 7] {
            for b in [
                &["backup", &file][..],
                &["prune", "--max-unused", "0", "--max-repack", "unlimited"],
                &["check", "--read-data"],
            ] {
                let cell = format!("{a:?}, stopped at {share} tenths, {b:?}");
                let path = dir.path().join("vault");
                fill(&path, &base, old);
                let place = Place::new(Arc::new(RwLock::new(local(&path))));
                let vault = open(place.clone());
                let hands = Hands {
                    base: base.clone(),
                    new: New::default(),
                    other: elsewhere(),
                };
                // How many steps there are is seen on a copy.
                let counted = dir.path().join("counted");
                copy_dir(&path, &counted);
                let counter = Place::new(Arc::new(RwLock::new(local(&counted))));
                let counting = open(counter.clone());
                counter.steps.store(0, Ordering::SeqCst);
                hands.perform(&counting, a, 0).unwrap();
                hands.new.lock().clear();
                let steps = counter.steps.load(Ordering::SeqCst);
                fs_err::remove_dir_all(&counted).unwrap();

                place.steps.store(0, Ordering::SeqCst);
                place.stop_at.store(steps * share / 10, Ordering::SeqCst);
                let said = Arc::new(Mutex::new(None));
                let (told, at) = (said.clone(), path.clone());
                let line: Vec<String> = b.iter().map(|word| (*word).to_owned()).collect();
                *place.meanwhile.lock() = Some(Box::new(move || {
                    let line: Vec<&str> = line.iter().map(String::as_str).collect();
                    *told.lock() = Some(rustic(&at, &line));
                }));
                let done = hands.perform(&vault, a, 0);
                done.unwrap_or_else(|e| panic!("{cell}: ours: {e}"));
                let output = said.lock().take().expect("it was not stopped");
                let stderr = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{cell}: {stderr}");
                after_rustic(&path, &vault, &base, &hands.new, &cell);
                fs_err::remove_dir_all(&path).unwrap();
                cells += 1;
            }
        }
    }
    assert_eq!(cells, 36);
}

/// All three programs find the vault whole, and it stays so when both have pruned.
fn after_rustic(path: &Path, vault: &Vault, base: &Base, new: &New, cell: &str) {
    all_is_well(vault, base, new, cell);
    rustic_ok(path, &["check"]);
    lab::prune(vault);
    rustic_ok(path, &["prune", "--max-unused", "0"]);
    lab::prune(vault);
    all_is_well(vault, base, new, &format!("{cell}, then pruned"));
    restic_ok(path, &["check", "--read-data"]);
}

/// A backup of rustic's that has read the index and now waits for its input.
fn standing_still(path: &Path) -> Child {
    let child = command(path)
        .args(["backup", "--stdin-filename", "piped", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // It opens its input last of all; an open of it shows nowhere, so by time.
    std::thread::sleep(Duration::from_secs(2));
    child
}

fn go_on(mut child: Child, bytes: &[u8], cell: &str) {
    child.stdin.take().unwrap().write_all(bytes).unwrap();
    let out = child.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{cell}: {stderr}");
}

#[test]
fn a_backup_of_rustic_that_stands_still_loses_nothing_to_our_prune() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vault");
    let (kept, gone) = (dir.path().join("kept"), noise(7, 300_000));
    fs_err::write(&kept, noise(8, 60_000)).unwrap();
    let vault = create(local(&path));
    let ours = lab::point(&vault, &[1, 2]);
    rustic_ok(&path, &["backup", kept.to_str().unwrap()]);
    // What the backup will find in the index, and nobody needs any more.
    let first = standing_still(&path);
    go_on(first, &gone, "the first");
    let piped = |vault: &Vault| -> Vec<SnapshotId> {
        let found = vault.snapshots().unwrap().found;
        let piped = found.into_iter().filter(|(_, s)| s.paths == ["piped"]);
        piped.map(|(id, _)| id).collect()
    };
    lab::forget(&vault, &piped(&vault));

    let child = standing_still(&path);
    let packs = lab::packs(&vault);
    for round in 0..2 {
        let report = lab::prune(&vault);
        assert_eq!(report.deleted.packs, 0, "round {round}: {report:?}");
        let waits = report.waiting.iter().map(|w| &w.waits_for);
        assert!(
            waits.clone().any(|w| matches!(w, WaitsFor::Age(_))),
            "round {round}: {report:?}"
        );
    }
    assert!(lab::packs(&vault) >= packs);
    go_on(child, &gone, "the one that stood still");

    let [id] = piped(&vault)[..] else {
        panic!("its point is not there");
    };
    // Blob by blob: of what it reads from its input, rustic writes down that it has no bytes.
    let reader = vault.reader().unwrap();
    let root = vault.snapshot(id).unwrap().tree.unwrap();
    let node = reader.lookup(root, &[b"piped"]).unwrap().unwrap();
    let NodeKind::File { content, .. } = node.kind else {
        panic!("it is no file");
    };
    let blobs = content.iter().map(|id| reader.blob(BlobKind::Data, *id));
    let bytes = blobs.map(Result::unwrap).collect::<Vec<_>>().concat();
    assert!(bytes == gone, "it came back changed");
    drop(reader);
    assert!(lab::prune(&vault).used_again > 0);
    lab::is_whole(&vault, ours, &[1, 2]);
    let options = CheckOptions {
        read_data: true,
        ..CheckOptions::default()
    };
    let report = vault.check(&options, &Silent).unwrap();
    let of_rustic = |finding: &Finding| finding.object.starts_with("file `piped`");
    assert!(report.errors.iter().all(of_rustic), "{report:?}");
    rustic_ok(&path, &["check", "--read-data"]);
    restic_ok(&path, &["check", "--read-data"]);
}

/// What it cannot see: our lock. Alone in the vault we are for programs that look.
#[test]
fn rustic_passes_by_our_exclusive_lock() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vault");
    let vault = create(local(&path));
    lab::point(&vault, &[1, 2]);
    let file = dir.path().join("file");
    fs_err::write(&file, b"x").unwrap();
    let name = vault.store().list(Area::Locks).unwrap();
    assert!(name.is_empty());
    let place = Place::new(Arc::new(RwLock::new(local(&path))));
    let other = open(place.clone());
    place.steps.store(0, Ordering::SeqCst);
    place.stop_at.store(8, Ordering::SeqCst);
    let said = Arc::new(Mutex::new(None));
    let (told, at) = (said.clone(), path.clone());
    *place.meanwhile.lock() = Some(Box::new(move || {
        *told.lock() = Some(rustic(&at, &["backup", file.to_str().unwrap()]));
    }));
    let instant = lifeboat_vault::prune::PruneOptions {
        instant: true,
        ..lab::options()
    };
    lab::try_prune(&other, &instant).unwrap();
    let output = said.lock().take().expect("it was not stopped");
    assert!(output.status.success());
}
