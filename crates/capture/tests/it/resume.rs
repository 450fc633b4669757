//! An interrupted restore is run again and ends whole.

use std::{
    path::Path,
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use fs_err as fs;
use lifeboat_capture::{Cancel, CaptureError, Overwrite, RestoreOptions, restore_tree};
use lifeboat_vault::{Progress, Silent};

use crate::common::*;

/// Stops the work after some files.
struct StopAfter<'a>(AtomicU64, &'a Cancel);

impl Progress for StopAfter<'_> {
    fn advance(&self, files: u64, _bytes: u64) {
        let before = self.0.load(Ordering::SeqCst);
        let left = before.saturating_sub(files);
        self.0.store(left, Ordering::SeqCst);
        if left == 0 {
            self.1.cancel();
        }
    }
}

#[test]
fn a_restore_goes_on_where_it_was_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    odd_tree(&from);
    let before = look(&from);
    let vault = memory_vault();
    let writer = writer(&vault);
    let captured = capture(&writer, &from, None, false);
    commit(writer, subtree(&captured), &["/x"]);
    let reader = vault.reader().unwrap();
    for (round, stops) in [[1, 5], [3, 9], [12, 1], [20, 2], [2, 2]]
        .into_iter()
        .enumerate()
    {
        let to = dir.path().join(format!("to{round}"));
        for stop in stops {
            let cancel = Cancel::new();
            let progress = StopAfter(AtomicU64::new(stop), &cancel);
            let mut options = RestoreOptions::new(&progress, &cancel);
            options.overwrite = Overwrite::Resume;
            options.sync = false;
            let end = restore_tree(&reader, &captured.node, &to, &options);
            assert!(matches!(end, Err(CaptureError::Interrupted)), "{end:?}");
        }
        // What a kill leaves: a half file, another kind of file, a changed one, a foreign one.
        fs::write(to.join("owned"), b"half").unwrap();
        let _ = fs::remove_file(to.join("link"));
        fs::write(to.join("link"), b"no link").unwrap();
        let _ = fs::remove_file(to.join("acled"));
        fs::write(to.join("acled"), b"lca").unwrap();
        let stat = fs::metadata(from.join("acled"))
            .unwrap()
            .modified()
            .unwrap();
        fs::File::options()
            .write(true)
            .open(to.join("acled"))
            .unwrap()
            .set_modified(stat)
            .unwrap();
        fs::write(to.join("foreign"), b"stays").unwrap();
        let cancel = Cancel::new();
        let mut options = RestoreOptions::new(&Silent, &cancel);
        options.overwrite = Overwrite::Resume;
        let restored = restore_tree(&reader, &captured.node, &to, &options).unwrap();
        assert_eq!(restored.problems, []);
        assert_eq!(fs::read(to.join("foreign")).unwrap(), b"stays");
        fs::remove_file(to.join("foreign")).unwrap();
        set_times(&to, before[""].mtime.0, before[""].mtime.1 as i64);
        compare(&before, &look(&to), without_blocks);
        // And once more: nothing is left to do.
        let again = restore_tree(&reader, &captured.node, &to, &options).unwrap();
        assert_eq!((again.counts.files, again.counts.bytes_written), (0, 0));
        assert!(again.counts.kept > 10);
        compare(&before, &look(&to), without_blocks);
    }
}

#[test]
fn names_in_use_are_refused_before_the_first_byte() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir_all(from.join("sub")).unwrap();
    fs::write(from.join("a"), b"a").unwrap();
    fs::write(from.join("z"), b"z").unwrap();
    let vault = memory_vault();
    let writer = writer(&vault);
    let captured = capture(&writer, &from, None, false);
    commit(writer, subtree(&captured), &["/x"]);
    fs::create_dir(&to).unwrap();
    fs::write(to.join("z"), b"mine").unwrap();
    fs::write(to.join("other"), b"mine too").unwrap();
    let cancel = Cancel::new();
    let options = RestoreOptions::new(&Silent, &cancel);
    let end = restore_tree(&vault.reader().unwrap(), subtree(&captured), &to, &options);
    match end {
        Err(CaptureError::Exists { path }) => assert_eq!(path, to.join("z")),
        other => panic!("{other:?}"),
    }
    assert!(!to.join("a").exists());
    assert_eq!(fs::read(to.join("z")).unwrap(), b"mine");
}

/// What [`a_killed_restore_is_run_again`] runs and kills. Does nothing by itself.
#[test]
fn child() {
    let (Ok(place), Ok(id), Ok(to)) = (
        std::env::var("TEST_VAULT"),
        std::env::var("TEST_TREE"),
        std::env::var("TEST_TARGET"),
    ) else {
        return;
    };
    let vault = open_vault(Path::new(&place));
    let cancel = Cancel::new();
    let mut options = RestoreOptions::new(&Silent, &cancel);
    options.overwrite = Overwrite::Resume;
    options.sync = false;
    let root: lifeboat_vault::BlobId = id.parse().unwrap();
    let restored = restore_tree(&vault.reader().unwrap(), root, Path::new(&to), &options).unwrap();
    assert_eq!(restored.problems, []);
}

#[test]
fn a_killed_restore_is_run_again() {
    let dir = tempfile::tempdir_in(place()).unwrap();
    let (from, place) = (dir.path().join("from"), dir.path().join("vault"));
    odd_tree(&from);
    for i in 0..300 {
        fs::write(
            from.join(format!("hollow/{i:03}")),
            noise(10_000 + i, i as u64),
        )
        .unwrap();
    }
    fs::hard_link(from.join("hollow/007"), from.join("deep/seven")).unwrap();
    let before = look(&from);
    let vault = local_vault(&place);
    let writer = writer(&vault);
    let captured = capture(&writer, &from, None, false);
    let root = subtree(&captured);
    commit(writer, root, &["/x"]);
    let run = |to: &Path| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "resume::child"])
            .env("TEST_VAULT", &place)
            .env("TEST_TREE", root.to_hex())
            .env("TEST_TARGET", to)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut halfway = 0;
    for round in 0..8 {
        let to = dir.path().join(format!("to{round}"));
        let mut child = run(&to);
        // From the first file on, a little later each time.
        while !to.join("plain").exists() && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_millis(3 * round));
        child.kill().unwrap();
        child.wait().unwrap();
        halfway += u64::from(look(&to).len() < before.len());
        assert!(run(&to).wait().unwrap().success());
        let after = look(&to);
        let mut expected = before.clone();
        // A tree without its root's metadata.
        expected.insert(String::new(), after[""].clone());
        compare(&expected, &after, without_blocks);
    }
    assert!(halfway > 0, "it was always killed too late");
}
