//! Wrong passwords, places that are no vault, and damage at the door.

use std::{path::Path, sync::Arc};

use lifeboat_store::{Fault, FaultyStore};
use lifeboat_vault::{ErrorKind, Vault};

use crate::support::*;

fn kind(path: &Path, password: &str) -> ErrorKind {
    Vault::open(local(path), password.as_bytes(), env())
        .map(drop)
        .unwrap_err()
        .kind()
}

fn only_file(folder: &Path) -> std::path::PathBuf {
    let mut files = fs_err::read_dir(folder).unwrap();
    let file = files.next().unwrap().unwrap().path();
    assert!(files.next().is_none());
    file
}

fn flip(path: &Path, at: usize) {
    let mut bytes = fs_err::read(path).unwrap();
    let at = at % bytes.len();
    bytes[at] ^= 0x10;
    fs_err::remove_file(path).unwrap();
    fs_err::write(path, bytes).unwrap();
}

#[test]
fn what_is_wrong_is_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vault");
    assert_eq!(kind(&path, PASSWORD), ErrorKind::NoVault);
    fs_err::create_dir(&path).unwrap();
    assert_eq!(kind(&path, PASSWORD), ErrorKind::NoVault);
    create(local(&path));
    assert_eq!(kind(&path, "wrong"), ErrorKind::WrongPassword);
    assert_eq!(kind(&path, ""), ErrorKind::WrongPassword);
    let again = Vault::create(local(&path), b"other", env())
        .map(drop)
        .unwrap_err();
    assert!(again.to_string().contains("already"), "{again}");
    open(local(&path));

    let config = path.join("config");
    for at in [0, 20, 100] {
        let copy = dir.path().join(format!("config-{at}"));
        copy_dir(&path, &copy);
        flip(&copy.join("config"), at);
        assert_eq!(
            kind(&copy, PASSWORD),
            ErrorKind::Damaged,
            "config, byte {at}"
        );
    }
    let length = fs_err::metadata(&config).unwrap().len() as usize;
    for at in [1, 50, length] {
        let copy = dir.path().join(format!("key-{at}"));
        copy_dir(&path, &copy);
        flip(&only_file(&copy.join("keys")), at);
        assert_eq!(kind(&copy, PASSWORD), ErrorKind::Damaged, "key, byte {at}");
    }
}

#[test]
fn a_second_key_made_by_restic_opens_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vault");
    let id = create(local(&path)).id().to_owned();
    let file = dir.path().join("new");
    fs_err::write(&file, "second\n").unwrap();
    restic_ok(
        &path,
        &["key", "add", "--new-password-file", file.to_str().unwrap()],
    );
    let vault = Vault::open(local(&path), b"second", env()).unwrap();
    assert_eq!(vault.id(), id);
    assert_eq!(kind(&path, "third"), ErrorKind::WrongPassword);
}

#[test]
fn a_flipped_bit_in_a_snapshot_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vault");
    let writer = create(local(&path)).writer(small_packs()).unwrap();
    let root = save_root(&writer, "d", vec![]);
    let id = writer.commit(snapshot(root)).unwrap();
    let vault = open(local(&path));
    assert_eq!(vault.snapshot(id).unwrap().tree, Some(root));

    flip(&only_file(&path.join("snapshots")), 70);
    let points = vault.snapshots().unwrap();
    assert!(points.found.is_empty());
    assert_eq!(points.unreadable[0].0, id);
    assert_eq!(points.unreadable[0].1.kind(), ErrorKind::Damaged);
}

#[test]
fn a_vault_that_cannot_be_written_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vault");
    let writer = create(local(&path)).writer(small_packs()).unwrap();
    let root = save_root(&writer, "d", vec![]);
    writer.commit(snapshot(root)).unwrap();

    let store = FaultyStore::new(local(&path)).with(0, Fault::Denied);
    let vault = open(Arc::new(store));
    assert_eq!(vault.snapshots().unwrap().found.len(), 1);
    assert_eq!(vault.reader().unwrap().tree(root).unwrap().nodes.len(), 1);
    let error = vault.writer(small_packs()).map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
}
