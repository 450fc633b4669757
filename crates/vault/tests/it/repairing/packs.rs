//! Damaged packs.

use lifeboat_store::ObjectName;

use super::*;

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
