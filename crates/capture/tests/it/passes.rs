//! What counts as changed, from point to point and from pass to pass.

use std::{
    io::Write,
    sync::atomic::{AtomicBool, Ordering},
};

use fs_err as fs;
use lifeboat_capture::{
    Cancel, CaptureError, CaptureOptions, Parent, SkipSet, Source, capture_tree, estimate,
};
use lifeboat_vault::{Progress, Silent};

use crate::common::*;

#[test]
fn an_unchanged_tree_is_not_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    odd_tree(&from);
    settle();
    let vault = memory_vault();
    let first = writer(&vault);
    let before = capture(&first, &from, None, false);
    commit(first, subtree(&before), &["/x"]);
    let second = writer(&vault);
    let began = before.began;
    for parent in [
        Parent::Node {
            node: &before.node,
            began,
        },
        Parent::Tree {
            root: subtree(&before),
            began,
        },
    ] {
        let after = capture(&second, &from, Some(parent), false);
        assert_eq!(after.counts.bytes_read, 0);
        assert_eq!(after.counts.files_unmodified, before.counts.files_new);
        assert_eq!((after.counts.files_new, after.counts.files_changed), (0, 0));
        assert_eq!(after.counts.bytes_total, before.counts.bytes_total);
        assert_eq!(after.node, before.node);
    }
    assert_eq!(second.stats().tree_blobs, 0);
    let node = capture(
        &second,
        &from,
        Some(Parent::Node {
            node: &before.node,
            began,
        }),
        false,
    );
    assert_eq!(node.counts.dirs_unmodified, 7);
}

#[test]
fn passes_take_only_what_changed_between_them() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    odd_tree(&from);
    settle();
    let vault = memory_vault();
    let writer = writer(&vault);
    let first = capture(&writer, &from, None, true);
    settle();
    let second = capture(&writer, &from, Some(Parent::Pass(&first)), true);
    assert_eq!(second.counts.bytes_read, 0);
    assert_eq!(second.counts.dirs_unmodified, 7);
    // Appended, made, removed, replaced, moved; and changed in its metadata alone.
    fs::OpenOptions::new()
        .append(true)
        .open(from.join("plain"))
        .unwrap()
        .write_all(b"more")
        .unwrap();
    fs::write(from.join("deep/er/new"), b"new").unwrap();
    fs::remove_file(from.join("socket")).unwrap();
    fs::remove_file(from.join("link")).unwrap();
    fs::write(from.join("link"), b"a file now").unwrap();
    fs::rename(from.join("hands-down"), from.join("renamed")).unwrap();
    set_xattr(&from.join("hollow"), "user.new", b"1");
    chmod(&from.join("able"), 0o711);
    let before = look(&from);
    settle();
    let third = capture(&writer, &from, Some(Parent::Pass(&second)), false);
    assert_eq!(third.problems, []);
    let counts = third.counts;
    // `plain` has three names that are read once or thrice, `able`, `new`, `link`; not the big ones.
    assert!(
        counts.bytes_read > 0 && counts.bytes_read < 200,
        "{counts:?}"
    );
    commit(writer, subtree(&third), &["/x"]);
    restore(&vault, &third.node, &to);
    compare(&before, &look(&to), without_blocks);
}

#[test]
fn a_young_file_is_read_again_however_equal_it_looks() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    fs::create_dir(&from).unwrap();
    fs::write(from.join("old"), b"old").unwrap();
    // A time in the far future says nothing of when it was set.
    fs::write(from.join("future"), b"future").unwrap();
    set_times(&from.join("future"), 4_000_000_000, 0);
    settle();
    fs::write(from.join("young"), b"young").unwrap();
    let vault = memory_vault();
    let writer = writer(&vault);
    let first = capture(&writer, &from, None, true);
    let second = capture(&writer, &from, Some(Parent::Pass(&first)), true);
    assert_eq!(second.counts.bytes_read, 5, "young alone");
    assert_eq!(second.counts.files_unmodified, 3, "and it was the same");
    assert_eq!(second.node, first.node);
    settle();
    let third = capture(&writer, &from, Some(Parent::Pass(&second)), true);
    assert_eq!(
        third.counts.bytes_read, 5,
        "the second began too early as well"
    );
    let fourth = capture(&writer, &from, Some(Parent::Pass(&third)), true);
    assert_eq!(fourth.counts.bytes_read, 0);
}

/// Does something when the walk says that it has listed a directory.
struct OnExpect<F: Fn() + Send + Sync>(F, AtomicBool);

impl<F: Fn() + Send + Sync> Progress for OnExpect<F> {
    fn expect(&self, _files: u64, _bytes: u64) {
        if !self.1.swap(true, Ordering::SeqCst) {
            (self.0)();
        }
    }
}

#[test]
fn what_vanishes_is_no_problem_and_what_cannot_be_read_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    fs::create_dir(&from).unwrap();
    for name in ["gone", "stays", "swapped"] {
        fs::write(from.join(name), name).unwrap();
    }
    fs::create_dir(from.join("dir-gone")).unwrap();
    let outside = dir.path().join("outside");
    fs::write(&outside, b"secret").unwrap();
    let act = OnExpect(
        || {
            fs::remove_file(from.join("gone")).unwrap();
            fs::remove_dir(from.join("dir-gone")).unwrap();
            fs::remove_file(from.join("swapped")).unwrap();
            std::os::unix::fs::symlink(&outside, from.join("swapped")).unwrap();
        },
        AtomicBool::new(false),
    );
    let vault = memory_vault();
    let writer = writer(&vault);
    let (skip, cancel) = (SkipSet::new(), Cancel::new());
    let options = CaptureOptions::new(&skip, &act, &cancel);
    let captured = capture_tree(&writer, &Source::new(&from), &options).unwrap();
    assert_eq!(captured.counts.vanished, 2);
    assert_eq!(captured.counts.files_total, 1);
    assert_eq!(
        captured.counts.bytes_read, 5,
        "what the link points to was not read"
    );
    assert_eq!(captured.problems.len(), 1);
    assert_eq!(captured.problems[0].path, from.join("swapped"));
}

/// Appends to a file whenever bytes of it were read.
#[test]
fn a_file_that_changes_under_the_reader_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    fs::create_dir(&from).unwrap();
    let path = from.join("busy");
    fs::write(&path, noise(48 << 20, 9)).unwrap();
    let vault = memory_vault();
    let writer = writer(&vault);
    let stop = AtomicBool::new(false);
    let (settled, final_pass) = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
            while !stop.load(Ordering::Relaxed) {
                file.write_all(b"x").unwrap();
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        });
        let first = capture(&writer, &from, None, true);
        let second = capture(&writer, &from, Some(Parent::Pass(&first)), false);
        stop.store(true, Ordering::Relaxed);
        (first, second)
    });
    assert_eq!((settled.counts.unsettled, settled.problems.len()), (1, 0));
    assert_eq!(final_pass.problems.len(), 1);
    assert!(final_pass.problems[0].reason.contains("changed"));
    // What was kept is whole in itself.
    commit(writer, subtree(&final_pass), &["/x"]);
    let to = dir.path().join("to");
    assert_eq!(restore(&vault, &final_pass.node, &to).problems, []);
    assert_eq!(
        fs::read(to.join("busy")).unwrap()[..48 << 20],
        noise(48 << 20, 9)
    );
}

#[test]
fn the_vault_is_left_out_wherever_it_is_met_and_never_is_a_root() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    fs::create_dir_all(from.join("a/vault")).unwrap();
    fs::write(from.join("a/vault/pack"), b"pack").unwrap();
    fs::write(from.join("a/key"), b"key").unwrap();
    fs::hard_link(from.join("a/key"), from.join("key-too")).unwrap();
    fs::write(from.join("data"), b"data").unwrap();
    let mut skip = SkipSet::new();
    skip.insert(&from.join("a/vault"));
    skip.insert(&from.join("a/key"));
    skip.insert(&from.join("a/later"));
    fs::write(from.join("a/later"), b"made after").unwrap();
    let vault = memory_vault();
    let writer = writer(&vault);
    let cancel = Cancel::new();
    let options = CaptureOptions::new(&skip, &Silent, &cancel);
    let captured = capture_tree(&writer, &Source::new(&from), &options).unwrap();
    assert_eq!(
        (captured.counts.files_total, captured.counts.excluded),
        (1, 4)
    );
    assert_eq!(estimate(&from, &skip).unwrap().bytes, 4);
    let root = capture_tree(&writer, &Source::new(from.join("a/vault")), &options);
    assert!(matches!(root, Err(CaptureError::Skipped(_))));
    cancel.cancel();
    let stopped = capture_tree(&writer, &Source::new(&from), &options);
    assert!(matches!(stopped, Err(CaptureError::Interrupted)));
}
