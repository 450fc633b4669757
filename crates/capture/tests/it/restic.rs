//! restic reads what we wrote, and we what it wrote.

use std::{path::Path, process::Command};

use fs_err as fs;

use crate::common::*;

fn restic(vault: &Path, args: &[&str]) -> String {
    let out = Command::new("restic")
        .arg("-r")
        .arg(vault)
        .args(["--no-cache", "--no-lock"])
        .args(args)
        .env("RESTIC_PASSWORD", PASSWORD)
        .env("HOME", vault)
        .output();
    let out = out.expect("restic is missing: run `cargo xtask test`, which installs it");
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    );
    assert!(out.status.success(), "restic {args:?}: {text}");
    text
}

/// restic 0.14 keeps no link target that is no text; sockets never, no holes (0.14), no modes and attributes of links, and no links between
/// what are not files.
fn kept_by_restic(name: &str, seen: &mut Seen) -> bool {
    seen.blocks = 0;
    if seen.kind == "Symlink" {
        seen.xattrs.clear();
    }
    if seen.kind == "Fifo" {
        seen.same_as = None;
    }
    seen.kind == "Socket" || name == "link-bytes"
}

#[test]
fn restic_restores_what_we_captured() {
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
    restic(&place, &["check", "--read-data"]);
    restic(
        &place,
        &["restore", "latest", "--target", to.to_str().unwrap()],
    );
    let (mut a, mut b) = (look(&from), look(&to));
    // The target's own metadata is not restic's business.
    a.remove("");
    b.remove("");
    compare(&a, &b, kept_by_restic);
}

#[test]
fn we_restore_what_restic_captured() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to, place) = (
        dir.path().join("from"),
        dir.path().join("to"),
        dir.path().join("vault"),
    );
    odd_tree(&from);
    fs::create_dir(&place).unwrap();
    restic(&place, &["init", "--repository-version", "2"]);
    restic(&place, &["backup", from.to_str().unwrap()]);
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
    compare(&look(&from), &look(&to), |name, seen| {
        kept_by_restic(name, seen)
    });
    // And its trees serve as a parent of ours.
    let writer = writer(&vault);
    let began = snapshots.found[0].1.time.parse_began();
    let parent = lifeboat_capture::Parent::Node { node: &node, began };
    let captured = capture(&writer, &from, Some(parent), false);
    assert_eq!(captured.problems, []);
    assert!(captured.counts.files_total > 20);
}

trait Began {
    fn parse_began(&self) -> lifeboat_vault::Timestamp;
}

impl Began for String {
    fn parse_began(&self) -> lifeboat_vault::Timestamp {
        lifeboat_vault::Timestamp::parse_rfc3339(self).unwrap()
    }
}
