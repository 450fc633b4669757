//! Whatever happens between two passes, the later one says what a capture from nothing says.

use std::path::{Path, PathBuf};

use fs_err as fs;
use lifeboat_capture::Parent;

use crate::common::*;

struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn pick(&mut self, from: &[PathBuf]) -> PathBuf {
        from[self.roll(from.len())].clone()
    }
}

fn below(root: &Path, files: &mut Vec<PathBuf>, dirs: &mut Vec<PathBuf>) {
    dirs.push(root.to_owned());
    let mut names: Vec<_> = fs::read_dir(root)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    names.sort();
    for path in names {
        if path.symlink_metadata().unwrap().is_dir() {
            below(&path, files, dirs);
        } else {
            files.push(path);
        }
    }
}

fn change(root: &Path, dice: &mut Dice) {
    let (mut files, mut dirs) = (Vec::new(), Vec::new());
    below(root, &mut files, &mut dirs);
    let new = dice.pick(&dirs).join(format!("n{}", dice.roll(1000)));
    let seed = dice.roll(1 << 20) as u64;
    let file = if files.is_empty() {
        None
    } else {
        Some(dice.pick(&files))
    };
    let regular = file
        .clone()
        .filter(|f| f.symlink_metadata().unwrap().is_file());
    match (dice.roll(13), file, regular) {
        (0, ..) => drop(fs::create_dir(&new)),
        (1, ..) => drop(std::os::unix::fs::symlink(format!("target{seed}"), &new)),
        (2, Some(file), _) => fs::remove_file(file).unwrap(),
        (3, Some(file), _) if !new.exists() => fs::rename(file, new).unwrap(),
        (4, Some(file), _) if !new.exists() => fs::hard_link(file, new).unwrap(),
        // The same size, the same mtime, another content.
        (5 | 6, _, Some(file)) => {
            let stat = rustix::fs::lstat(&file).unwrap();
            let old = fs::read(&file).unwrap();
            fs::write(&file, noise(old.len(), seed)).unwrap();
            set_times(&file, stat.st_mtime, stat.st_mtime_nsec as i64);
        }
        (7, _, Some(file)) => {
            use std::io::Write;
            let mut file = fs::OpenOptions::new().append(true).open(file).unwrap();
            file.write_all(&noise(dice.roll(5000), seed)).unwrap();
        }
        (8, _, Some(file)) => {
            fs::OpenOptions::new()
                .write(true)
                .open(file)
                .unwrap()
                .set_len(seed)
                .unwrap();
        }
        (9, _, Some(file)) => chmod(&file, 0o600 + dice.roll(64) as u32),
        (10, _, Some(file)) => set_xattr(&file, "user.n", &noise(10, seed)),
        (11, ..) if dirs.len() > 3 => {
            let dir = dice.pick(&dirs[1..]);
            if !new.starts_with(&dir) && !new.exists() {
                fs::rename(dir, new).unwrap();
            }
        }
        _ => drop(fs::write(&new, noise(dice.roll(20_000), seed))),
    }
}

#[test]
fn passes_agree_with_a_capture_from_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    fs::create_dir(&from).unwrap();
    let mut dice = Dice(20_250_101);
    for _ in 0..150 {
        change(&from, &mut dice);
    }
    let vault = memory_vault();
    let first = writer(&vault);
    let mut before = capture(&first, &from, None, true);
    let mut reused = 0;
    for round in 0..40 {
        // Now and then what is there becomes old enough to be taken over.
        if round % 13 == 12 {
            settle();
            before = capture(&first, &from, Some(Parent::Pass(&before)), true);
        }
        for _ in 0..dice.roll(12) {
            change(&from, &mut dice);
        }
        let after = capture(&first, &from, Some(Parent::Pass(&before)), round % 2 == 0);
        let anew = capture(&first, &from, None, false);
        assert_eq!(after.node, anew.node, "round {round}");
        assert_eq!(after.counts.files_total, anew.counts.files_total);
        assert_eq!(after.counts.bytes_total, anew.counts.bytes_total);
        reused += u64::from(after.counts.bytes_read < anew.counts.bytes_read);
        if round % 2 == 0 {
            before = after;
        }
    }
    assert!(reused > 0, "nothing was ever taken over");
    // The same through the vault, as the next point does it.
    let last = capture(&first, &from, Some(Parent::Pass(&before)), false);
    commit(first, subtree(&last), &["/x"]);
    let second = writer(&vault);
    for _ in 0..20 {
        change(&from, &mut dice);
    }
    let parent = Parent::Node {
        node: &last.node,
        began: last.began,
    };
    let after = capture(&second, &from, Some(parent), false);
    assert_eq!(after.node, capture(&second, &from, None, false).node);
    commit(second, subtree(&after), &["/x"]);
    let to = dir.path().join("to");
    assert_eq!(restore(&vault, &after.node, &to).problems, []);
    compare(&look(&from), &look(&to), without_blocks);
}

#[test]
fn what_lies_too_deep_is_told_and_the_rest_comes() {
    let dir = tempfile::tempdir_in(place()).unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir(&from).unwrap();
    fs::write(from.join("f"), b"f").unwrap();
    let mut fd = rustix::fs::open(
        &from,
        rustix::fs::OFlags::DIRECTORY,
        rustix::fs::Mode::empty(),
    )
    .unwrap();
    for _ in 0..2100 {
        rustix::fs::mkdirat(&fd, "d", rustix::fs::Mode::RWXU).unwrap();
        fd = rustix::fs::openat(
            &fd,
            "d",
            rustix::fs::OFlags::DIRECTORY,
            rustix::fs::Mode::empty(),
        )
        .unwrap();
    }
    let vault = memory_vault();
    let writer = writer(&vault);
    let captured = capture(&writer, &from, None, true);
    assert_eq!(captured.counts.dirs_new, 2048);
    assert_eq!(captured.problems.len(), 1);
    assert!(captured.problems[0].reason.contains("deep"));
    commit(writer, subtree(&captured), &["/x"]);
    let restored = restore(&vault, &captured.node, &to);
    assert_eq!((restored.counts.dirs, restored.problems.len()), (2047, 0));
}

#[test]
fn what_cannot_be_read_is_a_problem_and_not_in_the_tree() {
    // Files of the kernel that root may open and nobody may read.
    let at = Path::new("/sys/bus/cpu");
    if !at.join("drivers_probe").exists() {
        println!("skipped: there is no {}", at.display());
        return;
    }
    let vault = memory_vault();
    let writer = writer(&vault);
    let captured = capture(&writer, at, None, false);
    let problem = captured
        .problems
        .iter()
        .find(|p| p.path.ends_with("drivers_probe"))
        .unwrap();
    assert!(problem.reason.contains("error"), "{problem}");
    commit(writer, subtree(&captured), &["/x"]);
    let tree = vault.reader().unwrap().tree(subtree(&captured)).unwrap();
    assert!(!tree.nodes.iter().any(|n| n.name == b"drivers_probe"));
    assert!(tree.nodes.iter().any(|n| n.name == b"devices"));
}
