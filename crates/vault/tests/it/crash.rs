//! The machine dies at every durable step; what was acknowledged before stays whole.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use lifeboat_store::{Fault, FaultyStore, MemoryStore};
use lifeboat_vault::{CheckOptions, ChunkPolicy, ErrorKind, Silent, SnapshotId, Vault};

use crate::support::*;

/// A vault with one point.
fn base(path: &Path) -> SnapshotId {
    let writer = create(local(path)).writer(small_packs()).unwrap();
    let node = save_file(&writer, "a", &noise(1, 200_000), ChunkPolicy::CONTENT);
    let root = save_root(&writer, "first", vec![node]);
    writer.commit(snapshot(root)).unwrap()
}

/// Writes a second point, of several packs.
fn second(vault: &Vault) -> lifeboat_vault::Result<SnapshotId> {
    let writer = vault.writer(small_packs())?;
    let mut content = Vec::new();
    for n in 0..5 {
        content.push(writer.blob(lifeboat_vault::BlobKind::Data, &noise(10 + n, 70_000))?);
    }
    writer.flush()?;
    content.push(writer.blob(lifeboat_vault::BlobKind::Data, &noise(20, 70_000))?);
    let root = file_node("b", 6 * 70_000, content);
    let subtree = writer.tree(&lifeboat_vault::Tree { nodes: vec![root] })?;
    writer.commit(snapshot(subtree))
}

fn faulty(path: &Path, at: u64, fault: Fault) -> Arc<FaultyStore> {
    Arc::new(FaultyStore::new(local(path)).with(at, fault))
}

#[test]
fn every_put_may_be_the_last() {
    let dir = tempfile::tempdir().unwrap();
    let origin = dir.path().join("origin");
    let first = base(&origin);
    let counted = dir.path().join("counted");
    copy_dir(&origin, &counted);
    let store = Arc::new(FaultyStore::new(local(&counted)));
    second(&open(store.clone())).unwrap();
    let puts = store.puts();
    // Lock, at least six packs of data and one of trees, two indexes, the snapshot.
    assert!(puts >= 11, "{puts}");

    for at in 0..puts {
        for fault in [Fault::CrashBefore, Fault::CrashAfter] {
            let path = dir.path().join(format!("{at}-{fault:?}"));
            copy_dir(&origin, &path);
            let store = faulty(&path, at, fault);
            let error = second(&open(store.clone())).unwrap_err();
            assert!(store.has_crashed(), "{at} {fault:?}: {error}");

            let vault = open(local(&path));
            let points = vault.snapshots().unwrap();
            assert!(points.unreadable.is_empty());
            let all_there = at + 1 == puts && fault == Fault::CrashAfter;
            assert_eq!(
                points.found.len(),
                if all_there { 2 } else { 1 },
                "{at} {fault:?}"
            );
            assert!(points.found.iter().any(|(id, _)| *id == first));
            let options = CheckOptions {
                read_data: true,
                ..Default::default()
            };
            let report = vault.check(&options, &Silent).unwrap();
            assert!(report.is_healthy(), "{at} {fault:?}: {report:?}");
            if at % 3 == 0 || all_there {
                restic_ok(&path, &["check", "--read-data", "--no-lock"]);
            }
            // The next run succeeds.
            second(&vault).unwrap();
            assert!(vault.check(&options, &Silent).unwrap().is_healthy());
        }
    }
}

#[test]
fn creating_can_be_tried_again_after_a_crash() {
    for at in 0..2 {
        for fault in [Fault::CrashBefore, Fault::CrashAfter] {
            let dir = tempfile::tempdir().unwrap();
            let store = faulty(dir.path(), at, fault);
            Vault::create(store, PASSWORD.as_bytes(), env()).unwrap_err();
            let there = at == 1 && fault == Fault::CrashAfter;
            match Vault::create(local(dir.path()), PASSWORD.as_bytes(), env()) {
                Ok(_) => assert!(!there),
                Err(e) => assert!(there, "{e}"),
            }
            open(local(dir.path()));
            assert_eq!(
                fs_err::read_dir(dir.path().join("keys")).unwrap().count(),
                1
            );
            restic_ok(dir.path(), &["check"]);
        }
    }
}

#[test]
fn of_many_that_create_at_once_one_succeeds() {
    let dir = tempfile::tempdir().unwrap();
    let create = || Vault::create(local(dir.path()), PASSWORD.as_bytes(), env());
    let created: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(create)).collect();
        threads
            .into_iter()
            .filter_map(|t| t.join().unwrap().ok())
            .collect()
    });
    assert_eq!(created.len(), 1);
    assert_eq!(open(local(dir.path())).id(), created[0].id());
    restic_ok(dir.path(), &["check"]);
}

#[test]
fn a_vault_that_lost_its_config_is_not_created_anew() {
    let dir = tempfile::tempdir().unwrap();
    base(dir.path());
    fs_err::remove_file(dir.path().join("config")).unwrap();
    let error = Vault::create(local(dir.path()), PASSWORD.as_bytes(), env()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Damaged);
    assert_eq!(
        fs_err::read_dir(dir.path().join("keys")).unwrap().count(),
        1
    );
}

#[test]
fn a_full_disk_is_told_and_harms_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let origin = dir.path().join("origin");
    base(&origin);
    for at in 0..8 {
        let path = dir.path().join(at.to_string());
        copy_dir(&origin, &path);
        let error = second(&open(faulty(&path, at, Fault::Full))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Full, "{at}: {error}");
        let vault = open(local(&path));
        assert_eq!(vault.snapshots().unwrap().found.len(), 1);
        assert!(
            vault
                .check(&CheckOptions::default(), &Silent)
                .unwrap()
                .is_healthy()
        );
        second(&vault).unwrap();
    }
}

#[test]
fn a_failed_put_poisons_the_session() {
    let dir = tempfile::tempdir().unwrap();
    base(dir.path());
    let vault = open(faulty(dir.path(), 2, Fault::Fail));
    let writer = vault.writer(small_packs()).unwrap();
    let save = |n| writer.blob(lifeboat_vault::BlobKind::Data, &noise(n, 70_000));
    // Packs are put on other threads, several at a time: the failure shows at some later call, and at every one from
    // then on.
    let failed = (0..2000)
        .find(|n| save(100 + n).is_err())
        .expect("the failure never showed");
    assert!(
        save(100 + failed)
            .unwrap_err()
            .to_string()
            .contains("injected failure")
    );
    assert!(writer.flush().is_err());
    let root = lifeboat_vault::BlobId([1; 32]);
    assert!(writer.commit(snapshot(root)).is_err());
    assert_eq!(vault.snapshots().unwrap().found.len(), 1);
}

#[test]
fn packs_become_durable_while_others_are_written() {
    let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
    let writer = create(store.clone()).writer(small_packs()).unwrap();
    let before = store.puts();
    let save = |n| writer.blob(lifeboat_vault::BlobKind::Data, &noise(n, 70_000));
    // A pack of its own each; nobody has asked for a flush.
    let on_the_way = (0..2000).any(|n| {
        save(n).unwrap();
        store.puts() > before
    });
    assert!(on_the_way);
}

#[test]
fn the_last_packs_before_a_pause_become_durable_in_it() {
    let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
    let writer = create(store.clone()).writer(small_packs()).unwrap();
    let before = store.puts();
    for n in 0..4 {
        let save = writer.blob(lifeboat_vault::BlobKind::Data, &noise(n, 70_000));
        save.unwrap();
    }
    let soon = Instant::now() + Duration::from_secs(30);
    while store.puts() < before + 4 {
        assert!(
            Instant::now() < soon,
            "of four packs {}",
            store.puts() - before
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_session_that_is_dropped_leaves_no_point_and_no_lock() {
    let dir = tempfile::tempdir().unwrap();
    base(dir.path());
    let vault = open(local(dir.path()));
    let writer = vault.writer(small_packs()).unwrap();
    save_file(
        &writer,
        "x",
        &noise(5, 3_000_000),
        ChunkPolicy::Fixed { size: 64 << 10 },
    );
    drop(writer);
    assert_eq!(vault.snapshots().unwrap().found.len(), 1);
    assert_eq!(
        fs_err::read_dir(dir.path().join("locks")).unwrap().count(),
        0
    );
    restic_ok(dir.path(), &["check", "--read-data"]);
}
