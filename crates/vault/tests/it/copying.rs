//! Copies between vaults: a copy that dies goes on, and a damaged source makes no damaged copy.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use lifeboat_store::{Area, Fault, FaultyStore, LocalStore, Store};
use lifeboat_vault::{
    CheckOptions, ChunkPolicy, ErrorKind, Progress, Silent, SnapshotId, Vault,
    copy::{Copied, CopyOptions, CopyReport},
};

use crate::support::*;

const OTHER: &str = "another password";

fn add(vault: &Vault, n: u64) -> SnapshotId {
    add_at(vault, n, None)
}

fn add_at(vault: &Vault, n: u64, time: Option<&str>) -> SnapshotId {
    let writer = vault.writer(small_packs()).unwrap();
    let policy = ChunkPolicy::Fixed { size: 64 << 10 };
    let nodes = vec![
        save_file(&writer, "own", &noise(n + 1, 130_000), policy),
        save_file(&writer, "shared", &noise(77, 130_000), policy),
    ];
    let root = save_root(&writer, "d", nodes);
    let mut snapshot = snapshot(root);
    if let Some(time) = time {
        snapshot.time = time.to_owned();
    }
    writer.commit(snapshot).unwrap()
}

fn source(path: &Path) -> Vault {
    let vault = create(local(path));
    for n in 0..2 {
        add(&vault, n);
    }
    vault
}

fn target(path: &Path) -> Vault {
    Vault::create(local(path), OTHER.as_bytes(), env()).unwrap()
}

fn open_target(store: Arc<dyn Store>) -> Vault {
    Vault::open(store, OTHER.as_bytes(), env()).unwrap()
}

fn copy_with(
    from: &Vault,
    to: &Vault,
    stop: &AtomicBool,
    progress: &dyn Progress,
) -> lifeboat_vault::Result<CopyReport> {
    let points = from.snapshots().unwrap().found;
    let options = CopyOptions {
        writer: small_packs(),
        ..CopyOptions::default()
    };
    from.copy_to(to, &points, &options, stop, progress)
}

fn copy(from: &Vault, to: &Vault) -> lifeboat_vault::Result<CopyReport> {
    copy_with(from, to, &AtomicBool::new(false), &Silent)
}

fn whole(vault: &Vault) {
    let options = CheckOptions {
        read_data: true,
        ..Default::default()
    };
    let report = vault.check(&options, &Silent).unwrap();
    assert!(report.is_healthy(), "{:?}", report.errors);
}

#[test]
fn a_copy_may_die_at_every_step_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let from = source(&dir.path().join("from"));
    let origin = dir.path().join("to");
    target(&origin);
    let counted = dir.path().join("counted");
    copy_dir(&origin, &counted);
    let store = Arc::new(FaultyStore::new(local(&counted)));
    let report = copy(&from, &open_target(store.clone())).unwrap();
    assert!(report.stopped.is_none() && report.points.len() == 2);
    let puts = store.puts();
    assert!(puts > 10, "{puts}");
    for at in 0.. {
        // Before a step the store is as after the one before it.
        let fault = Fault::CrashAfter;
        let path = dir.path().join("died");
        copy_dir(&origin, &path);
        let store = Arc::new(FaultyStore::new(local(&path)).with(at, fault));
        let died = copy(&from, &open_target(store.clone()));
        if !store.has_crashed() {
            // Threads share blobs among packs as they come, so runs differ by a pack or two.
            assert!(at + 3 > puts, "only {at} of {puts}");
            return;
        }
        assert!(died.is_err() || died.unwrap().stopped.is_some());
        let to = open_target(local(&path));
        whole(&to);
        let report = copy(&from, &to).unwrap();
        assert!(report.stopped.is_none(), "{:?}", report.stopped);
        assert_eq!(report.points.len(), 2);
        assert_eq!(to.snapshots().unwrap().found.len(), 2, "{at} {fault:?}");
        whole(&to);
        fs_err::remove_dir_all(&path).unwrap();
    }
}

#[test]
fn what_was_forgotten_there_is_not_sent_again_where_only_newer_ones_are_wanted() {
    let dir = tempfile::tempdir().unwrap();
    let from = create(local(&dir.path().join("from")));
    let to = target(&dir.path().join("to"));
    // The last one by a clock that was wrong.
    let times = [
        "2020-01-01T00:00:00Z",
        "2020-01-02T00:00:00Z",
        "2020-01-03T00:00:00Z",
        "2199-01-01T00:00:00Z",
    ];
    for (n, time) in (0..).zip(times) {
        add_at(&from, n, Some(time));
    }
    let only_newer = |which: std::ops::Range<usize>| {
        let points = from.snapshots().unwrap().found;
        let options = CopyOptions {
            only_newer: true,
            ..CopyOptions::default()
        };
        let stop = AtomicBool::new(false);
        let report = from.copy_to(&to, &points[which], &options, &stop, &Silent);
        let word = |copied: &Copied| match copied {
            Copied::New { .. } => "new",
            Copied::There(_) => "there",
            Copied::Older => "older",
            other => panic!("{other:?}"),
        };
        let points = report.unwrap().points;
        points
            .iter()
            .map(|(_, copied)| word(copied))
            .collect::<Vec<_>>()
    };
    // As after a forget: the second and the last are there.
    assert_eq!(only_newer(1..2), ["new"]);
    assert_eq!(only_newer(3..4), ["new"]);
    assert_eq!(only_newer(0..4), ["older", "there", "new", "there"]);
    // What somebody wants to stay goes in any case.
    let first = from.snapshots().unwrap().found[0].0;
    from.pin(first, true, Duration::ZERO).unwrap();
    assert_eq!(only_newer(0..4), ["new", "there", "there", "there"]);
    whole(&to);
}

/// Stops at so many blobs.
struct StopAt<'a>(&'a AtomicBool, std::sync::atomic::AtomicU64, u64);

impl Progress for StopAt<'_> {
    fn advance(&self, _: u64, bytes: u64) {
        if bytes > 0 && self.1.fetch_add(1, Ordering::SeqCst) + 1 == self.2 {
            self.0.store(true, Ordering::SeqCst);
        }
    }
}

#[test]
fn what_was_sent_before_a_signal_is_not_sent_again() {
    let dir = tempfile::tempdir().unwrap();
    let from = source(&dir.path().join("from"));
    let to = target(&dir.path().join("to"));
    let stop = AtomicBool::new(false);
    let report = copy_with(&from, &to, &stop, &StopAt(&stop, Default::default(), 3)).unwrap();
    assert_eq!(report.stopped.unwrap().kind(), ErrorKind::Interrupted);
    assert!(to.snapshots().unwrap().found.is_empty());
    let all = blobs(&copy(&from, &target(&dir.path().join("fresh"))).unwrap());
    let rest = blobs(&copy(&from, &to).unwrap());
    assert!(rest + 3 <= all, "{rest} of {all}");
    whole(&to);
}

fn blobs(report: &CopyReport) -> u64 {
    let sent = report.points.iter().map(|(_, copied)| match copied {
        Copied::New { blobs, .. } => *blobs,
        other => panic!("{other:?}"),
    });
    sent.sum()
}

#[test]
fn damage_is_not_copied_and_costs_only_what_it_touches() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("from");
    let from = source(&path);
    // A pack that only one point needs.
    let store = LocalStore::new(&path);
    let packs = local(&path).list(Area::Data).unwrap();
    let one = packs.iter().map(|p| store.path(&p.name)).find(|pack| {
        let bytes = fs_err::read(pack).unwrap();
        let mut bad = bytes.clone();
        bad[50] ^= 1;
        fs_err::write(pack, bad).unwrap();
        let options = CheckOptions {
            read_data: true,
            ..Default::default()
        };
        let report = from.check(&options, &Silent).unwrap();
        let one = report.errors.len() == 1 && report.errors[0].snapshots.len() == 1;
        if !one {
            fs_err::write(pack, bytes).unwrap();
        }
        one
    });
    assert!(one.is_some());
    let to = target(&dir.path().join("to"));
    let report = copy(&from, &to).unwrap();
    assert!(report.stopped.is_none());
    let damaged = report
        .points
        .iter()
        .filter(|(_, c)| matches!(c, Copied::Damaged(_)));
    assert_eq!(damaged.count(), 1, "{report:?}");
    assert_eq!(to.snapshots().unwrap().found.len(), 1);
    whole(&to);
}

#[test]
fn a_full_target_is_told_and_harms_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let from = source(&dir.path().join("from"));
    for at in [2, 5, 9] {
        // Each its own: what the one before has left there is not put again.
        let path = dir.path().join(format!("to-{at}"));
        target(&path);
        let store = Arc::new(FaultyStore::new(local(&path)).with(at, Fault::Full));
        let error = match copy(&from, &open_target(store)) {
            Ok(report) => report.stopped.unwrap(),
            Err(error) => error,
        };
        assert_eq!(error.kind(), ErrorKind::Full, "{error}");
        whole(&open_target(local(&path)));
        let again = copy(&from, &open_target(local(&path))).unwrap();
        assert!(again.stopped.is_none());
    }
}

#[test]
fn a_copy_rests_on_nothing_that_is_about_to_be_deleted() {
    let dir = tempfile::tempdir().unwrap();
    let from = source(&dir.path().join("from"));
    let path = dir.path().join("to");
    let to = target(&path);
    copy(&from, &to).unwrap();
    let ids: Vec<_> = to
        .snapshots()
        .unwrap()
        .found
        .iter()
        .map(|(id, _)| *id)
        .collect();
    let go_on = AtomicBool::new(false);
    // A reader holds what the prune marks, so that it is there still, and marked.
    let reader = to.reader().unwrap();
    to.forget(&ids, std::time::Duration::ZERO, &go_on).unwrap();
    to.prune(
        &lifeboat_vault::prune::PruneOptions::default(),
        &go_on,
        &Silent,
    )
    .unwrap();
    assert!(!local(&path).list(Area::Data).unwrap().is_empty());
    assert!(blobs(&copy(&from, &to).unwrap()) > 6);
    drop(reader);
    to.prune(
        &lifeboat_vault::prune::PruneOptions::default(),
        &go_on,
        &Silent,
    )
    .unwrap();
    whole(&to);
}
