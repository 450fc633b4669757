//! A vault that is damaged: what is whole is restored, what is not is named, and nobody gets zeros.

mod index;

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use lifeboat_testkit::engine::PrivateEngine;
use serde_json::json;

use crate::{
    support::{Lab, only},
    tiny::{self, noise, refused, says, stderr, stdout},
};

/// Every file of a vault below one of its folders.
fn files(vault: &Path, area: &str) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut left = vec![vault.join(area)];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs_err::read_dir(path).unwrap().map(|e| e.unwrap().path()));
        } else {
            found.insert(path);
        }
    }
    found
}

fn largest(files: impl IntoIterator<Item = PathBuf>) -> PathBuf {
    let size = |path: &PathBuf| fs_err::metadata(path).unwrap().len();
    files.into_iter().max_by_key(size).unwrap()
}

/// Changes one bit. Objects are read-only, as restic makes them: root writes them all the same.
fn flip(path: &Path, at: usize) {
    let mut bytes = fs_err::read(path).unwrap();
    bytes[at] ^= 1;
    fs_err::write(path, bytes).unwrap();
}

/// A vault with a snapshot of `one` and a younger one of `two`, each with a pack of its own.
struct Two {
    lab: Lab,
    /// Data packs of the second alone.
    second: BTreeSet<PathBuf>,
}

impl Two {
    fn new() -> Self {
        let lab = Lab::new();
        lab.init();
        for (name, seed) in [("one", 1), ("two", 2)] {
            fs_err::create_dir(lab.path(name)).unwrap();
            fs_err::write(lab.path(name).join("noise"), noise(300_000, seed)).unwrap();
            fs_err::write(lab.path(name).join("text"), format!("{name}\n")).unwrap();
        }
        let mut this = Self {
            lab,
            second: BTreeSet::new(),
        };
        this.backup("one");
        let before = files(&this.lab.vault(), "data");
        this.backup("two");
        this.second = &files(&this.lab.vault(), "data") - &before;
        this
    }

    fn backup(&self, name: &str) {
        let path = self.lab.path(name);
        self.lab
            .run(None, &["backup", "--path", path.to_str().unwrap()], 0);
    }

    fn id(&self, index: usize) -> String {
        let points = self.lab.json(None, &["points"], 0);
        points["points"][index]["id"].as_str().unwrap().to_owned()
    }

    fn restore(&self, id: &str, to: &str) -> Output {
        let target = self.lab.path(to);
        let args = ["restore", id, "--target", target.to_str().unwrap()];
        self.lab.command(None, &args).output().unwrap()
    }

    /// The first snapshot comes back whole.
    fn first_is_whole(&self, id: &str, to: &str) {
        let output = self.restore(id, to);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let there = self
            .lab
            .path(to)
            .join(&self.lab.path("one").to_str().unwrap()[1..]);
        assert_eq!(
            fs_err::read(there.join("noise")).unwrap(),
            noise(300_000, 1)
        );
    }
}

#[test]
fn a_flipped_bit_in_a_pack_spoils_what_lies_there_and_nothing_else() {
    let two = Two::new();
    let (first, second) = (two.id(0), two.id(1));
    let pack = largest(two.second.clone());
    flip(&pack, 1000);
    let name = pack.file_name().unwrap().to_str().unwrap();
    let output = two.lab.run(None, &["check", "--read-data"], 1);
    says(&output, &["damaged"]);
    let text = stdout(&output);
    assert!(
        text.contains(&name[..8]) && text.contains("/noise"),
        "{text}"
    );
    assert!(
        text.contains(&second[..8]) && !text.contains(&first[..8]),
        "{text}"
    );
    two.first_is_whole(&first, "out1");
    let output = two.restore(&second, "out2");
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("noise"), "{}", stderr(&output));
    let there = two
        .lab
        .path("out2")
        .join(&two.lab.path("two").to_str().unwrap()[1..]);
    assert_eq!(fs_err::read(there.join("text")).unwrap(), b"two\n");
    assert!(
        !there.join("noise").exists(),
        "a damaged file was left in sight"
    );
    assert_eq!(fs_err::read_dir(&there).unwrap().count(), 1);
}

#[test]
fn a_truncated_pack_and_a_missing_one_are_named() {
    for missing in [false, true] {
        let two = Two::new();
        let (first, second) = (two.id(0), two.id(1));
        let pack = largest(two.second.clone());
        if missing {
            fs_err::remove_file(&pack).unwrap();
        } else {
            let bytes = fs_err::read(&pack).unwrap();
            fs_err::write(&pack, &bytes[..bytes.len() / 2]).unwrap();
        }
        let name = pack.file_name().unwrap().to_str().unwrap();
        // Seen without reading the data.
        let output = two.lab.run(None, &["check"], 1);
        assert!(stdout(&output).contains(&name[..8]), "{}", stdout(&output));
        two.first_is_whole(&first, "out1");
        let output = two.restore(&second, "out2");
        assert!(
            [Some(1), Some(3)].contains(&output.status.code()),
            "{}",
            stderr(&output)
        );
        assert!(stderr(&output).contains("noise"), "{}", stderr(&output));
    }
}

#[test]
fn a_damaged_snapshot_is_named_and_the_others_are_there() {
    let two = Two::new();
    let (first, second) = (two.id(0), two.id(1));
    flip(&two.lab.vault().join("snapshots").join(&second), 40);
    let output = two.lab.run(None, &["check"], 1);
    assert!(
        stdout(&output).contains(&second[..8]),
        "{}",
        stdout(&output)
    );
    // A listing that lacks something says so.
    let output = two.lab.command(None, &["points"]).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(
        stderr(&output).contains(&second[..8]),
        "{}",
        stderr(&output)
    );
    assert!(stdout(&output).contains(&first[..8]), "{}", stdout(&output));
    two.first_is_whole(&first, "out1");
    let output = two.restore(&second, "out2");
    assert_eq!(output.status.code(), Some(1));
    says(&output, &[&second[..8], "damaged"]);
}

#[test]
fn a_damaged_key_or_config_is_no_wrong_password() {
    let lab = Lab::new();
    lab.init();
    let key = files(&lab.vault(), "keys").pop_first().unwrap();
    let whole = fs_err::read(&key).unwrap();
    for at in [whole.len() / 2, whole.len() - 20, 3] {
        flip(&key, at);
        refused(&lab, None, "points", 1, &["key", "damaged"]);
        fs_err::write(&key, &whole).unwrap();
    }
    fs_err::write(&key, &whole[..whole.len() / 2]).unwrap();
    refused(&lab, None, "points", 1, &["key", "damaged"]);
    fs_err::write(&key, &whole).unwrap();
    let config = lab.vault().join("config");
    let whole = fs_err::read(&config).unwrap();
    flip(&config, 20);
    refused(&lab, None, "points", 1, &["config", "damaged"]);
    fs_err::write(&config, &whole[..10]).unwrap();
    refused(&lab, None, "points", 1, &["config", "damaged"]);
    fs_err::write(&config, &whole).unwrap();
    lab.run(None, &["points"], 0);
    fs_err::remove_file(&key).unwrap();
    refused(&lab, None, "points", 1, &["no key"]);
}

#[test]
fn a_wrong_password_is_12_and_no_vault_is_10() {
    let lab = Lab::new();
    lab.init();
    let wrong = lab.path("wrong");
    fs_err::write(&wrong, "not it\n").unwrap();
    let wrong = wrong.to_str().unwrap();
    for line in [
        "points",
        "check",
        "backup --path /etc/hostname",
        "restore latest --target /nowhere",
    ] {
        let line = format!("{line} --password-file {wrong}");
        refused(&lab, None, &line, 12, &["password is wrong"]);
    }
    assert!(!Path::new("/nowhere").exists());
    fs_err::create_dir(lab.path("folder")).unwrap();
    fs_err::write(lab.path("folder/file"), "x").unwrap();
    for line in ["points", "check", "backup --path /etc/hostname"] {
        let line = format!("{line} --vault {}", lab.path("folder").display());
        refused(&lab, None, &line, 10, &["no vault", "lifeboat init"]);
    }
    assert_eq!(fs_err::read_dir(lab.path("folder")).unwrap().count(), 1);
}

#[test]
fn a_vault_of_version_1_is_read_and_never_written() {
    let lab = Lab::new();
    let (vault, key, data) = (lab.path("old"), lab.path("key"), lab.path("data"));
    fs_err::write(&key, "secret\n").unwrap();
    fs_err::create_dir(&data).unwrap();
    fs_err::write(data.join("noise"), noise(2_000_000, 3)).unwrap();
    let restic = |args: &[&str]| {
        let mut restic = Command::new("restic");
        restic
            .arg("-r")
            .arg(&vault)
            .arg("--password-file")
            .arg(&key);
        let output = restic
            .args(["--no-cache", "-q"])
            .args(args)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    };
    restic(&["init", "--repository-version", "1"]);
    restic(&["backup", data.to_str().unwrap()]);
    let run = |line: &str, code| {
        let mut args: Vec<&str> = line.split_whitespace().collect();
        let (vault, key) = (vault.to_str().unwrap(), key.to_str().unwrap());
        args.extend(["--vault", vault, "--password-file", key]);
        lab.run(None, &args, code)
    };
    let text = stdout(&run("points", 0));
    assert!(text.contains(data.to_str().unwrap()), "{text}");
    let text = stdout(&run("ls latest -r", 0));
    assert!(text.contains("/noise"), "{text}");
    let out = lab.path("out");
    run(&format!("restore latest --target {}", out.display()), 0);
    let back = out.join(&data.to_str().unwrap()[1..]).join("noise");
    assert_eq!(fs_err::read(back).unwrap(), noise(2_000_000, 3));
    run("check --read-data", 0);
    let before = files(&vault, ".");
    let output = run(&format!("backup --path {}", data.display()), 1);
    says(&output, &["version 1", "restic migrate upgrade_repo_v2"]);
    assert_eq!(files(&vault, "."), before);
    restic(&["check", "--read-data"]);
}

/// An app `keep` with a volume of noise; makes a point of each of two generations of it.
fn two_points(lab: &Lab, engine: &PrivateEngine) -> (String, String, BTreeSet<PathBuf>) {
    let api = engine.api();
    api.post("/networks/create", &json!({"Name": "keep_net"}))
        .unwrap();
    tiny::run_with(
        engine,
        "keep",
        tiny::IDLE,
        json!({"Binds": ["keep_data:/data"], "NetworkMode": "keep_net"}),
    );
    let file = engine.volume_path("keep_data").unwrap().join("noise");
    fs_err::write(&file, noise(400_000, 5)).unwrap();
    let id = |report: &serde_json::Value| only(report)["id"].as_str().unwrap().to_owned();
    let first = id(&lab.json(Some(engine), &["backup", "keep"], 0));
    let before = files(&lab.vault(), "data");
    fs_err::write(&file, noise(400_000, 6)).unwrap();
    let second = id(&lab.json(Some(engine), &["backup", "keep"], 0));
    (first, second, &files(&lab.vault(), "data") - &before)
}

#[test]
fn a_damaged_app_is_not_started_and_another_point_of_it_comes_back() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let (first, second, packs) = two_points(&lab, &engine);
    flip(&largest(packs), 5000);
    tiny::remove(&engine, "keep");
    tiny::remove_volume(&engine, "keep_data");
    engine.api().delete("/networks/keep_net").unwrap();
    let before = tiny::names(&engine);
    for _ in 0..2 {
        let line = format!("restore keep@{second}");
        refused(
            &lab,
            Some(&engine),
            &line,
            1,
            &["noise", "nothing was started"],
        );
        assert_eq!(
            tiny::names(&engine),
            before,
            "something half-done is in sight"
        );
        assert_eq!(lab.begun(), Vec::<String>::new());
    }
    lab.json(Some(&engine), &["restore", &format!("keep@{first}")], 0);
    assert!(tiny::runs(&engine, "keep"));
    let file = engine.volume_path("keep_data").unwrap().join("noise");
    assert_eq!(fs_err::read(file).unwrap(), noise(400_000, 5));
    // Where the newest point cannot be read, an older one is not taken in silence, not even quietly.
    flip(&lab.vault().join("snapshots").join(&second), 30);
    let output = lab.run(None, &["ls", "keep", "-q"], 0);
    for word in [&second[..8], "damaged", "an older one"] {
        assert!(stderr(&output).contains(word), "{}", stderr(&output));
    }
    // The next backup heals nothing that is gone, but is whole itself.
    lab.json(Some(&engine), &["backup", "keep"], 0);
    engine.destroy().unwrap();
}
