//! The power goes off in the middle of a replacement: of everything that was written, what is left is
//! what the disk had been told to keep.
//!
//! State, vault, engine and data lie on a file system of their own in a file, which writes nothing by
//! itself for minutes. While the program is held at a step, the file is copied as it is at one instant (by
//! reflink, since the engine goes on writing: a copy block after block has the journal of later than the
//! data that it speaks of): what only the kernel's memory has is not in the copy. Each copy is then repaired
//! as at a boot, mounted at the same place, and an engine is started on it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use lifeboat_testkit::{engine::PrivateEngine, packages};

use crate::{
    over::Pair,
    support::{Lab, only},
    tiny::{self, Held},
};

/// Where the power goes off, and how the replacement is ended afterwards.
const STEPS: [(&str, &str); 7] = [
    ("replace-staged", "--continue"),
    ("replace-containers", "--undo"),
    ("replace-cut", "--continue"),
    ("replace-aside", "--undo"),
    ("replace-exchange", "--continue"),
    ("replace-start", "--undo"),
    ("replace-recorded", "--continue"),
];

/// Nothing is written by itself while the test runs.
const OPTIONS: &str = "loop,commit=600";

fn run(program: &str, args: &[&str]) -> i32 {
    let output = Command::new(program).args(args).output().unwrap();
    let code = output.status.code().unwrap();
    assert!(code < 2, "{program} {args:?}: {}", tiny::stderr(&output));
    code
}

/// A disk in a file, mounted.
struct Disk {
    file: PathBuf,
    at: PathBuf,
}

impl Disk {
    fn mount(file: &Path, at: &Path, options: &str) -> Self {
        let (file, at) = (file.to_owned(), at.to_owned());
        let options = ["-o", options, file.to_str().unwrap()];
        assert_eq!(
            run("mount", &[&options[..], &[at.to_str().unwrap()]].concat()),
            0
        );
        Self { file, at }
    }

    /// Everything so far is from before.
    fn sync(&self) {
        run("sync", &["-f", self.at.to_str().unwrap()]);
    }

    /// What the disk holds at this instant.
    fn copy(&self, to: &Path) {
        let (from, to) = (self.file.to_str().unwrap(), to.to_str().unwrap());
        assert_eq!(run("cp", &["--reflink=always", from, to]), 0);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

/// An engine on the data of one whose host is gone.
fn boot(lab: &Lab) -> PrivateEngine {
    fs_err::rename(lab.path("a"), lab.path("before")).unwrap();
    let mut engine = lab.engine("a");
    engine.stop().unwrap();
    fs_err::remove_dir_all(engine.data_root()).unwrap();
    fs_err::rename(lab.path("before/data"), engine.data_root()).unwrap();
    engine.restart().unwrap();
    engine
}

#[test]
fn after_the_power_went_off_either_way_ends_it_whole() {
    let lab = Lab::new();
    // Disks lie where a copy is of one instant.
    packages::ensure(&[("xfsprogs", "copies a disk as it is at one instant")]).unwrap();
    let shelf = tempfile::tempdir().unwrap();
    let sparse = |path: &Path, size: u64| {
        let made = fs_err::File::create(path).unwrap();
        made.set_len(size).unwrap();
    };
    let under = shelf.path().join("xfs");
    sparse(&under, 8 << 30);
    let options = ["-q", "-m", "reflink=1", under.to_str().unwrap()];
    assert_eq!(run("mkfs.xfs", &options), 0);
    let disks = shelf.path().join("disks");
    fs_err::create_dir(&disks).unwrap();
    let _shelf = Disk::mount(&under, &disks, "loop");
    let file = |name: &str| disks.join(name);
    sparse(&file("live"), 512 << 20);
    assert_eq!(run("mkfs.ext4", &["-q", file("live").to_str().unwrap()]), 0);
    let live = Disk::mount(&file("live"), &lab.path(""), OPTIONS);
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let pair = Pair::create(&lab, &engine);
    pair.write("first");
    let report = lab.json(Some(&engine), &["backup", "pair"], 0);
    let point = only(&report)["id"].as_str().unwrap()[..8].to_owned();
    pair.write("second");
    let names = pair.names();
    live.sync();

    let args = ["restore", &point, "--replace", "--no-safety-point"];
    let mut held = Held::start(&lab, lab.command(Some(&engine), &args));
    for (step, _) in STEPS {
        held.until(step);
        live.copy(&file(step));
    }
    let output = held.end();
    assert!(output.status.success(), "{}", tiny::stderr(&output));
    assert_eq!(pair.word(), "first");
    engine.destroy().unwrap();
    drop(live);

    for (step, way) in STEPS {
        run("e2fsck", &["-fy", file(step).to_str().unwrap()]);
        let disk = Disk::mount(&file(step), &lab.path(""), OPTIONS);
        let engine = boot(&lab);
        let output = lab
            .command(Some(&engine), &["restore", way])
            .output()
            .unwrap();
        let said = tiny::stderr(&output);
        assert_eq!(output.status.code(), Some(0), "{step} {way}: {said}");
        let pair = Pair::of(&lab, &engine);
        let word = if way == "--undo" { "second" } else { "first" };
        assert_eq!(pair.word(), word, "{step} {way}: {said}");
        assert_eq!(pair.names(), names, "{step} {way}: {said}");
        let left = fs_err::read_dir(lab.path("state/journal")).unwrap();
        assert_eq!(left.count(), 0, "{step}");
        // The lock of the program that went with the power is no hindrance.
        lab.run(None, &["check", "--read-data"], 0);
        engine.destroy().unwrap();
        drop(disk);
        fs_err::remove_file(file(step)).unwrap();
    }
}
