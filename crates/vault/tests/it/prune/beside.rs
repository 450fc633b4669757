//! A prune and a session that began before it, or after; a session that was stopped for too long.

use lifeboat_store::{Area, LocalStore};
use lifeboat_vault::{ErrorKind, prune::WaitsFor};

use super::*;

#[test]
fn a_pack_that_a_session_may_reuse_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let vault = create(local(dir.path()));
    let first = point(&vault, &[1, 2, 3]);
    point(&vault, &[9]);
    forget(&vault, &[first]);
    // It knows of no mark, and reuses what is marked meanwhile.
    let writer = vault.writer(one_thread()).unwrap();
    let tree = save(&writer, &[1, 2, 3]).unwrap();
    let before = packs(&vault);
    let report = prune(&vault);
    assert!(
        report.marked.packs > 0 && report.deleted.packs == 0,
        "{report:?}"
    );
    assert!(matches!(report.waiting[0].waits_for, WaitsFor::Session(_)));
    assert_eq!(packs(&vault), before);
    restic_ok(dir.path(), &["check", "--read-data", "--no-lock"]);
    let second = writer.commit(snapshot(tree)).unwrap();
    is_whole(&vault, second, &[1, 2, 3]);
    let report = prune(&vault);
    assert!(report.used_again > 0, "{report:?}");
    is_whole(&vault, second, &[1, 2, 3]);
    restic_finds_no_garbage(dir.path());
}

#[test]
fn a_session_that_begins_after_the_mark_rests_on_nothing_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let vault = create(local(dir.path()));
    let first = point(&vault, &[1, 2, 3]);
    point(&vault, &[9]);
    forget(&vault, &[first]);
    // A reader at work keeps what is marked.
    let reader = vault.reader().unwrap();
    assert_eq!(prune(&vault).deleted.packs, 0);
    let writer = vault.writer(one_thread()).unwrap();
    let tree = save(&writer, &[1, 2, 3]).unwrap();
    assert_eq!(writer.stats().data_blobs, 3, "stored again");
    drop(reader);
    // The mark waits for the reader alone: what the session after it does not use goes under its hands.
    let report = prune(&vault);
    assert!(report.deleted.packs > 0, "{report:?}");
    let second = writer.commit(snapshot(tree)).unwrap();
    is_whole(&vault, second, &[1, 2, 3]);
    restic_ok(dir.path(), &["check", "--read-data"]);
}

#[test]
fn a_session_that_was_stopped_for_too_long_commits_nothing_that_is_gone() {
    for in_time in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let vault = create(local(dir.path()));
        let first = point(&vault, &[1, 2, 3]);
        point(&vault, &[9]);
        forget(&vault, &[first]);
        let writer = vault.writer(one_thread()).unwrap();
        let tree = save(&writer, &[1, 2, 3, 4]).unwrap();
        writer.flush().unwrap();
        // On another machine, to whom the session's lock has not been renewed for an hour.
        let clock = TestClock::now();
        clock.later(1);
        let elsewhere = open_with(local(dir.path()), clock.clone());
        if in_time {
            // Marked under its eyes, deleted by nobody yet: it stores again what is marked.
            let reader = vault.reader().unwrap();
            let _ = reader;
            let foreign = vault.reader().unwrap();
            prune(&vault);
            drop(foreign);
            for object in vault.store().list(Area::Locks).unwrap() {
                vault.store().delete(&object.name).unwrap();
            }
            let id = writer.commit(snapshot(tree)).unwrap();
            prune(&vault);
            is_whole(&vault, id, &[1, 2, 3, 4]);
        } else {
            // By its clock alone nobody is counted out: the store says how old the lock is.
            let report = prune(&elsewhere);
            assert_eq!(report.deleted.packs, 0, "{report:?}");
            for object in vault.store().list(Area::Locks).unwrap() {
                let path = LocalStore::new(dir.path()).path(&object.name);
                let file = fs_err::File::open(path).unwrap().into_parts().0;
                let hour = std::time::Duration::from_secs(3600);
                let before = file.metadata().unwrap().modified().unwrap() - hour;
                file.set_modified(before).unwrap();
            }
            let report = prune(&elsewhere);
            assert!(report.deleted.packs > 0, "{report:?}");
            let error = writer.commit(snapshot(tree)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Interrupted, "{error}");
            assert_eq!(vault.snapshots().unwrap().found.len(), 1);
            let id = point(&vault, &[1, 2, 3, 4]);
            is_whole(&vault, id, &[1, 2, 3, 4]);
        }
        restic_ok(dir.path(), &["check", "--read-data"]);
    }
}

#[test]
fn two_prunes_do_not_run_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let vault = create(local(dir.path()));
    point(&vault, &[1]);
    struct Nested<'a>(&'a Vault, Mutex<Option<ErrorKind>>);
    impl lifeboat_vault::Progress for Nested<'_> {
        fn step(&self, name: &str) {
            if name == "repack" {
                let error = try_prune(self.0, &options()).unwrap_err();
                *self.1.lock() = Some(error.kind());
            }
        }
    }
    let nested = Nested(&vault, Mutex::default());
    vault
        .prune(&options(), &AtomicBool::new(false), &nested)
        .unwrap();
    assert_eq!(*nested.1.lock(), Some(ErrorKind::Locked));
}

#[test]
fn a_reader_without_a_lock_finds_what_was_moved() {
    let dir = tempfile::tempdir().unwrap();
    let vault = create(local(dir.path()));
    let first = point(&vault, &(0..9).collect::<Vec<_>>());
    let kept = [0, 3, 6];
    let second = point(&vault, &kept);
    let store = lifeboat_store::FaultyStore::new(local(dir.path()));
    let read_only = open(Arc::new(store.with(0, lifeboat_store::Fault::Denied)));
    let reader = read_only.reader().unwrap();
    forget(&vault, &[first]);
    assert!(prune(&vault).deleted.packs > 0);
    let root = vault.snapshot(second).unwrap().tree.unwrap();
    let node = reader.lookup(root, &[b"f"]).unwrap().unwrap();
    let mut bytes = Vec::new();
    let mut file = reader.file(&node).unwrap();
    std::thread::sleep(Duration::from_millis(250));
    std::io::Read::read_to_end(&mut file, &mut bytes).unwrap();
    let expected: Vec<u8> = kept.iter().flat_map(|n| noise(1000 + n, BLOB)).collect();
    assert!(bytes == expected);
}
