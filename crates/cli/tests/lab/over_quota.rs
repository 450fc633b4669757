//! `restore --replace` of a volume with a quota. The kernels that this runs on have no project quotas (of XFS or
//! ext4), so an engine cannot make such a volume: the quota is a btrfs subvolume's, which is as real and as
//! hard to leave, and that the volume was made with `size=` is what a stand-in says.

use std::{os::unix::fs::MetadataExt, path::Path, process::Command};

use lifeboat_testkit::{
    engine::{EngineOptions, PrivateEngine},
    images, packages,
};
use serde_json::json;

use crate::{
    stand_in::StandIn,
    support::{Lab, only},
    tiny::{self, IDLE},
};

fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap();
    let said = tiny::stderr(&output);
    assert!(output.status.success(), "{program} {args:?}: {said}");
}

/// A file system in a file; unmounted when dropped.
struct Disk<'p>(&'p Path);

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

/// So much in one file, which begins with a word.
fn write(at: &Path, word: &str, mib: usize) {
    let mut data = tiny::noise(mib << 20, 7);
    data[..word.len()].copy_from_slice(word.as_bytes());
    fs_err::write(at.join("f"), data).unwrap();
}

#[test]
fn a_volume_with_a_quota_keeps_it_and_what_does_not_fit_is_told_before_anything_stops() {
    packages::ensure(&[("btrfs-progs", "a file system with quotas")]).unwrap();
    let lab = Lab::new();
    lab.init();
    let file = lab.path("disk.btrfs");
    fs_err::File::create(&file)
        .unwrap()
        .set_len(1 << 30)
        .unwrap();
    let (file, at) = (file.to_str().unwrap().to_owned(), lab.path("d"));
    fs_err::create_dir(&at).unwrap();
    let mount = at.to_str().unwrap();
    run("mkfs.btrfs", &["-q", "-f", &file]);
    run("mount", &["-o", "loop", &file, mount]);
    let _disk = Disk(&at);
    run("btrfs", &["quota", "enable", mount]);
    let mut options = EngineOptions::new("a", at.join("a")).hostname("lab");
    options.args = vec!["--storage-driver=overlay2".to_owned()];
    let engine = PrivateEngine::start(options).unwrap();
    images::busybox().unwrap().load(&engine).unwrap();
    engine
        .api()
        .post("/volumes/create", &json!({"Name": "vq"}))
        .unwrap();
    let data = engine.volume_path("vq").unwrap();
    fs_err::remove_dir(&data).unwrap();
    run(
        "btrfs",
        &["-q", "subvolume", "create", data.to_str().unwrap()],
    );
    run("btrfs", &["qgroup", "limit", "24M", data.to_str().unwrap()]);
    write(&data, "first", 6);
    tiny::run(&engine, "one", IDLE, &["vq:/data"]);
    let sized = StandIn::before(
        &lab,
        &engine,
        r#""Name":"vq","Options":null,"Scope":"local""#,
        r#""Name":"vq","Options":{"size":"24m"}      "#,
    );
    let api = engine.api();
    let exec = |line: &str| api.exec("one", &["sh", "-c", line]).unwrap();
    let word = || exec("head -c 5 /data/f").stdout;
    let folder = || fs_err::metadata(&data).unwrap();
    let (was, id) = (folder(), folder().ino());
    let report = sized.json(&lab, &["backup", "one"], 0);
    let point = format!("one@{}", &only(&report)["id"].as_str().unwrap()[..8]);

    let dumped = lab.run(None, &["dump", &point, "definition/volumes/vq.json"], 0);
    assert!(
        tiny::stdout(&dumped).contains("24m"),
        "{}",
        tiny::stdout(&dumped)
    );

    write(&data, "other", 6);
    let plan = sized.json(&lab, &["restore", &point, "--replace", "-n"], 0);
    assert!(plan["steps"].to_string().contains("one by one"), "{plan:#}");
    sized.json(
        &lab,
        &["restore", &point, "--replace", "--no-safety-point"],
        0,
    );
    assert_eq!(word(), "first");
    // It is the very folder, and its bound holds: the old data within it counts.
    assert_eq!((folder().ino(), folder().dev()), (id, was.dev()));
    let full = exec("dd if=/dev/urandom of=/data/more bs=1M count=20 && sync");
    assert_ne!(full.code, 0, "the quota is gone");
    exec("rm -f /data/more; sync");
    lab.run(None, &["rm", "one", "--yes"], 0);
    assert_eq!(word(), "first");

    // Both do not fit within the quota: nothing has stopped by then, and nothing is left.
    write(&data, "large", 14);
    let report = sized.json(&lab, &["backup", "one"], 0);
    let point = format!("one@{}", &only(&report)["id"].as_str().unwrap()[..8]);
    let started = tiny::inspect(&engine, "one")["State"]["StartedAt"].clone();
    let output = sized.run(
        &lab,
        &["restore", &point, "--replace", "--no-safety-point"],
        1,
    );
    tiny::says(&output, &["it runs on untouched", "no space is left"]);
    assert_eq!(tiny::inspect(&engine, "one")["State"]["StartedAt"], started);
    assert_eq!(word(), "large");
    let left: Vec<_> = fs_err::read_dir(&data)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert_eq!(left, ["f"]);
    assert_eq!(lab.begun(), Vec::<String>::new());
    engine.destroy().unwrap();
}
