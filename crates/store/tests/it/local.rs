use std::{
    os::unix::fs::PermissionsExt,
    time::{Duration, SystemTime},
};

use lifeboat_store::{Area, LocalStore, ObjectName, Store, StoreError};

fn name() -> ObjectName {
    ObjectName::new(Area::Data, &"ab".repeat(32)).unwrap()
}

#[test]
fn laid_out_as_restic_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("vault");
    let store = LocalStore::new(&root);
    store.create().unwrap();
    store.put(&name(), b"x").unwrap();
    let file = root.join("data/ab").join("ab".repeat(32));
    assert_eq!(fs_err::read(&file).unwrap(), b"x");
    let mode = |p: &std::path::Path| fs_err::metadata(p).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&file), 0o400);
    assert_eq!(mode(&root), 0o700);
    assert_eq!(mode(&root.join("data/ab")), 0o700);
    // No temporary file is left, the probe of create() included.
    for folder in [&root, &root.join("data/ab")] {
        let left = fs_err::read_dir(folder).unwrap().flatten();
        let names: Vec<_> = left.map(|e| e.file_name().into_string().unwrap()).collect();
        assert!(names.iter().all(|n| !n.starts_with('.')), "{names:?}");
    }
}

#[test]
fn temporary_files_are_hidden_and_removed_when_old() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::new(dir.path());
    store.create().unwrap();
    let old = dir.path().join("keys/.tmp-1-0-0");
    let new = dir.path().join("keys/.tmp-1-1-0");
    for path in [&old, &new] {
        fs_err::write(path, b"half").unwrap();
    }
    let day = SystemTime::now() - Duration::from_secs(25 * 3600);
    fs_err::File::options()
        .write(true)
        .open(&old)
        .unwrap()
        .file()
        .set_modified(day)
        .unwrap();
    assert!(store.list(Area::Keys).unwrap().is_empty());
    assert_eq!(store.clean(), 1);
    assert!(!old.exists() && new.exists());
}

/// Everything below a directory that is no folder.
fn files(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

#[test]
fn what_is_staged_is_seen_when_it_is_settled() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::new(dir.path());
    store.create().unwrap();
    let other = ObjectName::new(Area::Data, &"cd".repeat(32)).unwrap();
    let staged = vec![
        store.stage(&name(), &[1; 3000]).unwrap(),
        store.stage(&other, &vec![2; 2 << 20]).unwrap(),
    ];
    // Two files that nobody takes for objects.
    assert_eq!(files(dir.path()).len(), 2);
    assert!(store.list(Area::Data).unwrap().is_empty());
    assert!(matches!(store.get(&other), Err(StoreError::NotFound(_))));
    store.settle(staged).unwrap();
    let mut found = files(dir.path());
    found.sort();
    assert_eq!(found, [store.path(&name()), store.path(&other)]);
    assert!(store.get(&name()).unwrap() == [1; 3000]);
    assert!(store.get(&other).unwrap() == [2; 2 << 20]);
}

#[test]
fn what_is_staged_and_not_wanted_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::new(dir.path());
    store.create().unwrap();
    drop(store.stage(&name(), b"x").unwrap());
    assert_eq!(files(dir.path()), Vec::<std::path::PathBuf>::new());
}

#[test]
fn a_name_that_is_taken_meanwhile_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::new(dir.path());
    store.create().unwrap();
    let staged = store.stage(&name(), b"mine").unwrap();
    store.put(&name(), b"yours").unwrap();
    let error = store.settle(vec![staged]).unwrap_err();
    assert!(matches!(error, StoreError::AlreadyExists(_)), "{error:?}");
    assert_eq!(store.get(&name()).unwrap(), b"yours");
    assert_eq!(files(dir.path()).len(), 1);
}

#[test]
fn foreign_files_are_not_objects() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::new(dir.path());
    store.create().unwrap();
    fs_err::write(dir.path().join("keys/README"), b"").unwrap();
    fs_err::create_dir(dir.path().join("keys").join("cd".repeat(32))).unwrap();
    fs_err::write(dir.path().join("data/00").join("ab".repeat(32)), b"").unwrap();
    for area in Area::ALL {
        assert!(store.list(area).unwrap().is_empty());
    }
}

#[test]
fn a_file_where_a_directory_should_be_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs_err::write(&file, b"").unwrap();
    let error = LocalStore::new(&file).create().unwrap_err();
    assert!(matches!(error, StoreError::Io { .. }), "{error:?}");
    assert!(error.to_string().contains("file"), "{error}");
    assert!(
        LocalStore::new(&dir.path().join("not/yet"))
            .free_space()
            .unwrap()
            > 0
    );
}
