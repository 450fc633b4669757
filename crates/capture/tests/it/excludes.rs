//! Patterns, in both directions.

use std::sync::Arc;

use fs_err as fs;
use lifeboat_capture::{
    Anchor, Cancel, CaptureOptions, Excludes, RestoreOptions, SkipSet, Source, capture_tree,
    restore_tree,
};
use lifeboat_vault::Silent;

use crate::common::*;

fn make(root: &std::path::Path) {
    for name in [
        "a/x.tmp",
        "a/keep.tmp",
        "a/b/y",
        "cache/1",
        "d/cache/2",
        "z",
    ] {
        fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
        fs::write(root.join(name), name).unwrap();
    }
}

fn names(root: &std::path::Path) -> Vec<String> {
    look(root)
        .into_iter()
        .filter(|(_, s)| s.kind == "RegularFile")
        .map(|(n, _)| n)
        .collect()
}

#[test]
fn what_is_left_out_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    make(&from);
    let host = format!("{}/z", from.display());
    let exclude = Excludes::parse(["*.tmp", "!keep.tmp", "/cache"], Anchor::Source)
        .unwrap()
        .and(&Excludes::parse([host.as_str(), "/a"], Anchor::Host).unwrap());
    let vault = memory_vault();
    let writer = writer(&vault);
    let (skip, cancel) = (SkipSet::new(), Cancel::new());
    let options = CaptureOptions::new(&skip, &Silent, &cancel);
    let source = Source {
        at: from,
        exclude: Arc::new(exclude),
    };
    let captured = capture_tree(&writer, &source, &options).unwrap();
    commit(writer, subtree(&captured), &["/x"]);
    restore(&vault, &captured.node, &to);
    assert_eq!(names(&to), ["a/b/y", "a/keep.tmp", "d/cache/2"]);
    assert_eq!(captured.counts.excluded, 3);
}

#[test]
fn what_is_included_comes_with_the_directories_above_it_alone() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    make(&from);
    chmod(&from.join("d"), 0o711);
    let vault = memory_vault();
    let writer = writer(&vault);
    let captured = capture(&writer, &from, None, false);
    commit(writer, subtree(&captured), &["/x"]);
    let cancel = Cancel::new();
    for (i, (pattern, expected)) in [
        ("cache", vec!["cache/1", "d/cache/2"]),
        ("/cache", vec!["cache/1"]),
        ("a/b", vec!["a/b/y"]),
        ("*.tmp", vec!["a/keep.tmp", "a/x.tmp"]),
        ("nothing", vec![]),
    ]
    .into_iter()
    .enumerate()
    {
        let to = dir.path().join(format!("to{i}"));
        let include = Excludes::parse([pattern], Anchor::Source).unwrap();
        let mut options = RestoreOptions::new(&Silent, &cancel);
        options.include = Some(&include);
        restore_tree(&vault.reader().unwrap(), subtree(&captured), &to, &options).unwrap();
        assert_eq!(names(&to), expected, "{pattern}");
        if pattern == "cache" {
            assert_eq!(look(&to)["d"].mode, 0o711);
            assert!(!to.join("a").exists());
        }
    }
}

#[test]
fn another_file_system_is_an_empty_directory_if_asked() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    fs::create_dir_all(from.join("mount")).unwrap();
    fs::write(from.join("f"), b"f").unwrap();
    let Some(_mounted) = crate::full::Mounted::tmpfs(&from.join("mount"), "size=1m") else {
        return;
    };
    fs::write(from.join("mount/inside"), b"inside").unwrap();
    let vault = memory_vault();
    let writer = writer(&vault);
    let (skip, cancel) = (SkipSet::new(), Cancel::new());
    let mut options = CaptureOptions::new(&skip, &Silent, &cancel);
    let both = capture_tree(&writer, &Source::new(&from), &options).unwrap();
    assert_eq!(both.counts.files_total, 2);
    options.one_file_system = true;
    let one = capture_tree(&writer, &Source::new(&from), &options).unwrap();
    assert_eq!((one.counts.files_total, one.counts.dirs_new), (1, 2));
}
