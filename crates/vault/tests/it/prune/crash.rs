//! The machine dies at every put and at every delete of a prune: no point is harmed, and the next prune ends it.

use lifeboat_store::{Fault, FaultyStore};

use super::*;

const KEPT: [&[u64]; 4] = [&[0, 3, 6, 9], &[1, 30, 31], &[40], &[72, 73]];

/// A vault in which there is something of everything to do: packs to repack, to mark, to join, an old mark that a point
/// needs again, and a killed backup's packs.
fn base(path: &Path) -> Vec<SnapshotId> {
    let vault = create(local(path));
    let first = point(&vault, &(0..12).collect::<Vec<_>>());
    let kept: Vec<_> = KEPT[..3].iter().map(|n| point(&vault, n)).collect();
    let gone = point(&vault, &(70..76).collect::<Vec<_>>());
    forget(&vault, &[first, gone]);
    // Marked beneath a session that reuses it.
    let writer = vault.writer(one_thread()).unwrap();
    let tree = save(&writer, KEPT[3]).unwrap();
    assert!(prune(&vault).marked.packs > 0);
    let again = writer.commit(snapshot(tree)).unwrap();
    killed(path, 60..66);
    kept.into_iter().chain([again]).collect()
}

fn run(vault: &Vault, instant: bool) -> lifeboat_vault::Result<PruneReport> {
    let options = PruneOptions {
        instant,
        ..options()
    };
    try_prune(vault, &options)
}

#[test]
fn a_prune_may_die_at_every_step() {
    let dir = tempfile::tempdir().unwrap();
    let origin = dir.path().join("origin");
    let kept = base(&origin);
    for instant in [false, true] {
        let counted = dir.path().join("counted");
        copy_dir(&origin, &counted);
        let store = Arc::new(FaultyStore::new(local(&counted)));
        run(&open(store.clone()), instant).unwrap();
        let (puts, deletes) = (store.puts(), store.deletes());
        assert!(puts >= 5 && deletes >= 6, "{puts} puts, {deletes} deletes");
        fs_err::remove_dir_all(&counted).unwrap();
        let put = (0..puts).map(|n| (true, n));
        let delete = (0..deletes).map(|n| (false, n));
        for (number, (is_put, at)) in put.chain(delete).enumerate() {
            let fault = [Fault::CrashBefore, Fault::CrashAfter][number % 2];
            let path = dir.path().join("vault");
            copy_dir(&origin, &path);
            let store = FaultyStore::new(local(&path));
            let store = Arc::new(match is_put {
                true => store.with(at, fault),
                false => store.with_delete(at, fault),
            });
            let died = run(&open(store.clone()), instant);
            // A lock that cannot be taken away is no failure.
            assert!(store.has_crashed(), "{is_put} {at}: {died:?}");
            // The process has gone.
            for entry in fs_err::read_dir(path.join("locks")).unwrap() {
                fs_err::remove_file(entry.unwrap().path()).unwrap();
            }
            let vault = open(local(&path));
            let all_whole = || {
                for (id, numbers) in kept.iter().zip(KEPT) {
                    is_whole(&vault, *id, numbers);
                }
                is_sound(&vault);
            };
            all_whole();
            if number % 4 == 0 {
                restic_ok(&path, &["check", "--read-data"]);
            }
            run(&vault, true).unwrap();
            all_whole();
            restic_finds_no_garbage(&path);
            fs_err::remove_dir_all(&path).unwrap();
        }
    }
}

#[test]
fn a_full_disk_harms_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let origin = dir.path().join("origin");
    let kept = base(&origin);
    for at in 0..4 {
        let path = dir.path().join("vault");
        copy_dir(&origin, &path);
        let store = Arc::new(FaultyStore::new(local(&path)).with(at, Fault::Full));
        let error = run(&open(store), false).unwrap_err();
        assert_eq!(
            error.kind(),
            lifeboat_vault::ErrorKind::Full,
            "{at}: {error}"
        );
        let vault = open(local(&path));
        for (id, numbers) in kept.iter().zip(KEPT) {
            is_whole(&vault, *id, numbers);
        }
        run(&vault, true).unwrap();
        is_sound(&vault);
        fs_err::remove_dir_all(&path).unwrap();
    }
}
