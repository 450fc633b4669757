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

#[test]
fn foreign_files_are_not_objects() {
    let dir = tempfile::tempdir().unwrap();
    let store = LocalStore::new(dir.path());
    store.create().unwrap();
    fs_err::write(dir.path().join("keys/README"), b"").unwrap();
    fs_err::create_dir(dir.path().join("keys").join("cd".repeat(32))).unwrap();
    fs_err::create_dir(dir.path().join("data/00")).unwrap();
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
