//! What is freed, and how much is written for it.

use lifeboat_vault::prune::{MaxUnused, PruneOptions};

use super::*;

#[test]
fn what_is_forgotten_is_freed_and_what_stays_is_whole() {
    let dir = tempfile::tempdir().unwrap();
    let vault = create(local(dir.path()));
    let all: Vec<u64> = (0..12).collect();
    let first = point(&vault, &all);
    let second = point(&vault, &[0, 4, 50, 51]);
    let full = packs(&vault);
    // Nothing to do, and nothing is done.
    let report = prune(&vault);
    assert_eq!(
        (report.marked.packs, report.deleted.packs),
        (0, 0),
        "{report:?}"
    );
    assert_eq!(packs(&vault), full);

    forget(&vault, &[first]);
    let dry = PruneOptions {
        dry_run: true,
        ..options()
    };
    let said = try_prune(&vault, &dry).unwrap();
    assert_eq!(packs(&vault), full);
    let report = prune(&vault);
    assert_eq!(said.marked, report.marked);
    assert_eq!(report.deleted, report.marked);
    // Two of the three packs of the first point hold something that stays.
    assert!(
        report.repacked.packs >= 2 && report.waiting.is_empty(),
        "{report:?}"
    );
    assert!(report.deleted.bytes > 10 * BLOB as u64, "{report:?}");
    is_whole(&vault, second, &[0, 4, 50, 51]);
    is_sound(&vault);
    restic_finds_no_garbage(dir.path());
    let again = prune(&vault);
    assert_eq!(
        (again.marked.packs, again.deleted.packs),
        (0, 0),
        "{again:?}"
    );
}

#[test]
fn what_is_written_anew_is_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let vault = create(local(dir.path()));
    let first = point(&vault, &(0..40).collect::<Vec<_>>());
    // One of each four stays.
    let kept: Vec<u64> = (0..40).step_by(4).collect();
    let second = point(&vault, &kept);
    forget(&vault, &[first]);
    let with = |max_unused, max_repack| PruneOptions {
        max_unused,
        max_repack,
        ..options()
    };
    let report = try_prune(&vault, &with(MaxUnused::Unlimited, None)).unwrap();
    assert_eq!(report.repacked.packs, 0, "{report:?}");
    let unused = report.left;
    assert!(unused > 28 * BLOB as u64, "{report:?}");
    let two_packs = 9 * BLOB as u64;
    let report = try_prune(&vault, &with(MaxUnused::Bytes(0), Some(two_packs))).unwrap();
    assert!(report.postponed && report.repacked.packs == 2, "{report:?}");
    assert!(report.repacked.bytes <= two_packs);
    let bound = unused / 2;
    let report = try_prune(&vault, &with(MaxUnused::Bytes(bound), None)).unwrap();
    assert!(report.left <= bound && report.left > 0, "{report:?}");
    let report = try_prune(&vault, &with(MaxUnused::Percent(5.0), None)).unwrap();
    assert!(
        report.left * 20 <= report.left + report.used.bytes,
        "{report:?}"
    );
    is_whole(&vault, second, &kept);
    is_sound(&vault);
    restic_ok(dir.path(), &["check", "--read-data"]);
}

#[test]
fn small_packs_and_index_files_are_joined() {
    let dir = tempfile::tempdir().unwrap();
    let vault = create(local(dir.path()));
    let mut points = Vec::new();
    for n in 0..10 {
        let writer = vault.writer(one_thread()).unwrap();
        let content = vec![writer.blob(BlobKind::Data, &noise(n, 900)).unwrap()];
        let tree = lifeboat_vault::Tree {
            nodes: vec![file_node("f", 900, content)],
        };
        let tree = writer.tree(&tree).unwrap();
        points.push(writer.commit(snapshot(tree)).unwrap());
    }
    assert_eq!(packs(&vault), 20);
    let report = prune(&vault);
    assert_eq!(report.repacked.packs, 20, "{report:?}");
    assert_eq!(packs(&vault), 2);
    assert!(vault.store().list(Area::Index).unwrap().len() <= 2);
    is_sound(&vault);
    restic_finds_no_garbage(dir.path());
    // Not again and again.
    assert_eq!(prune(&vault).repacked.packs, 0);
}

#[test]
fn copies_of_a_blob_are_made_one() {
    let dir = tempfile::tempdir().unwrap();
    let vault = create(local(dir.path()));
    // Two sessions that do not see each other store the same.
    let (one, two) = (
        vault.writer(one_thread()).unwrap(),
        vault.writer(one_thread()).unwrap(),
    );
    let (a, b) = (
        save(&one, &[1, 2, 3]).unwrap(),
        save(&two, &[1, 2, 3, 4]).unwrap(),
    );
    let (a, b) = (
        one.commit(snapshot(a)).unwrap(),
        two.commit(snapshot(b)).unwrap(),
    );
    assert_eq!(packs(&vault), 4);
    prune(&vault);
    is_whole(&vault, a, &[1, 2, 3]);
    is_whole(&vault, b, &[1, 2, 3, 4]);
    restic_finds_no_garbage(dir.path());
    assert_eq!(packs(&vault), 3);
}

#[test]
fn packs_of_no_index_wait_for_a_day_or_for_being_alone() {
    let dir = tempfile::tempdir().unwrap();
    let vault = create(local(dir.path()));
    let kept = point(&vault, &[1]);
    killed(dir.path(), 10..20);
    let (full, clock) = (packs(&vault), TestClock::now());
    assert!(full > 3);
    let later = open_with(local(dir.path()), clock.clone());
    let report = prune(&later);
    assert!(
        report.marked.packs > 0 && report.deleted.packs == 0,
        "{report:?}"
    );
    assert!(
        matches!(
            report.waiting[0].waits_for,
            lifeboat_vault::prune::WaitsFor::Age(_)
        ),
        "{report:?}"
    );
    restic_ok(dir.path(), &["check", "--read-data"]);
    clock.later(22);
    assert_eq!(prune(&later).deleted.packs, 0);
    clock.later(2);
    assert!(prune(&later).deleted.packs > 0);
    assert_eq!(packs(&vault), 2);

    killed(dir.path(), 10..20);
    let alone = PruneOptions {
        instant: true,
        ..options()
    };
    assert!(try_prune(&vault, &alone).unwrap().deleted.packs > 0);
    assert_eq!(packs(&vault), 2);
    is_whole(&vault, kept, &[1]);
    restic_finds_no_garbage(dir.path());
}

#[test]
fn nothing_is_pruned_from_a_damaged_vault() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("vault");
    let vault = create(local(&place));
    let first = point(&vault, &[1, 2, 3, 4, 5, 6]);
    point(&vault, &[1, 7, 8]);
    forget(&vault, &[first]);
    let objects = |area| {
        let mut names = vault.store().list(area).unwrap();
        names.sort_by(|a, b| a.name.cmp(&b.name));
        names
    };
    for (n, area) in [Area::Snapshots, Area::Index].into_iter().enumerate() {
        let copy = dir.path().join(format!("copy-{n}"));
        copy_dir(&place, &copy);
        let name = objects(area)[0].name.clone();
        let path = copy.join(area.as_str()).join(name.id());
        fs_err::remove_file(&path).unwrap();
        fs_err::write(&path, "nonsense").unwrap();
        let vault = open(local(&copy));
        let before = packs(&vault);
        let error = try_prune(&vault, &options()).unwrap_err().to_string();
        assert!(error.contains(name.id()), "{error}");
        assert_eq!(packs(&vault), before);
        fs_err::remove_dir_all(&copy).unwrap();
    }
}

#[test]
fn a_damaged_pack_stays_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("vault");
    let vault = create(local(&place));
    let first = point(&vault, &[1, 2, 3, 4, 5, 6]);
    let second = point(&vault, &[1, 4]);
    forget(&vault, &[first]);
    // The first blob of the first pack.
    let reader = vault.reader().unwrap();
    let root = vault.snapshot(second).unwrap().tree.unwrap();
    let node = reader.lookup(root, &[b"f"]).unwrap().unwrap();
    assert!(reader.file(&node).is_ok());
    drop(reader);
    let damaged = flip_in_pack_of(&place, &noise(1001, BLOB));
    let report = prune(&vault);
    assert_eq!(report.damaged.len(), 1, "{report:?}");
    assert_eq!(report.damaged[0].0.to_hex(), damaged);
    assert!(
        place
            .join("data")
            .join(&damaged[..2])
            .join(&damaged)
            .exists()
    );
}

/// Flips a byte of the pack that holds this blob; its id.
fn flip_in_pack_of(place: &Path, plain: &[u8]) -> String {
    use sha2::Digest;
    let id = hex::encode(sha2::Sha256::digest(plain));
    let said = restic_ok(place, &["find", "--blob", "--show-pack-id", &id]);
    let pack = said
        .split_whitespace()
        .map(|word| word.trim_matches(|c: char| !c.is_ascii_hexdigit()))
        .filter(|word| word.len() == 64 && *word != id)
        .find(|word| place.join("data").join(&word[..2]).join(word).exists())
        .unwrap_or_else(|| panic!("{said}"))
        .to_owned();
    let path = place.join("data").join(&pack[..2]).join(&pack);
    let mut bytes = fs_err::read(&path).unwrap();
    bytes[100] ^= 1;
    fs_err::remove_file(&path).unwrap();
    fs_err::write(&path, bytes).unwrap();
    pack
}
