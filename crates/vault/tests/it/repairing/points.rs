//! Points that lost something.

use super::*;

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
