//! rustic reads what we wrote, and we what it wrote.

use std::{path::Path, process::Command};

use fs_err as fs;

use crate::common::*;

fn rustic(vault: &Path, args: &[&str]) -> String {
    let out = Command::new("rustic")
        .arg("-r")
        .arg(vault)
        .args(["--no-cache", "--no-progress"])
        .args(args)
        .env("RUSTIC_PASSWORD", PASSWORD)
        .env("HOME", vault)
        .output()
        .expect("rustic is missing: run `cargo xtask test`, which builds it");
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    assert!(out.status.success(), "rustic {args:?}: {text}");
    text
}

/// rustic keeps no sockets and no holes, no modes and attributes of links.
fn kept_by_rustic(_name: &str, seen: &mut Seen) -> bool {
    seen.blocks = 0;
    if seen.kind == "Symlink" {
        seen.xattrs.clear();
    }
    if seen.kind == "Fifo" {
        seen.same_as = None;
    }
    seen.kind == "Socket"
}

#[test]
fn rustic_restores_what_we_captured() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to, place) = (
        dir.path().join("from"),
        dir.path().join("to"),
        dir.path().join("vault"),
    );
    odd_tree(&from);
    let vault = local_vault(&place);
    let writer = writer(&vault);
    let captured = capture(&writer, &from, None, false);
    commit(writer, subtree(&captured), &["/odd"]);
    rustic(&place, &["check", "--read-data"]);
    rustic(&place, &["restore", "latest", to.to_str().unwrap()]);
    let (mut a, mut b) = (look(&from), look(&to));
    a.remove("");
    b.remove("");
    compare(&a, &b, kept_by_rustic);
}

#[test]
fn we_restore_what_rustic_captured() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to, place) = (
        dir.path().join("from"),
        dir.path().join("to"),
        dir.path().join("vault"),
    );
    odd_tree(&from);
    fs::create_dir(&place).unwrap();
    rustic(&place, &["init"]);
    rustic(&place, &["backup", from.to_str().unwrap()]);
    let vault = open_vault(&place);
    let snapshots = vault.snapshots().unwrap();
    let root = snapshots.found[0].1.tree.unwrap();
    let reader = vault.reader().unwrap();
    let parts: Vec<&[u8]> = from
        .to_str()
        .unwrap()
        .split('/')
        .filter(|p| !p.is_empty())
        .map(str::as_bytes)
        .collect();
    let node = reader.lookup(root, &parts).unwrap().unwrap();
    let restored = restore(&vault, &node, &to);
    assert_eq!(restored.problems, []);
    let (mut a, mut b) = (look(&from), look(&to));
    // rustic keeps nothing of the folder that was named itself.
    a.remove("");
    b.remove("");
    compare(&a, &b, kept_by_rustic);
}
