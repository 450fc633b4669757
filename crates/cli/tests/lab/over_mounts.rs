//! `restore --replace` where folders cannot change places: a disk mounted where a bind mount is, one mounted
//! where a volume is, a single file that is a mount point.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use lifeboat_testkit::engine::PrivateEngine;
use serde_json::{Value, json};

use crate::{
    support::{Lab, only},
    tiny::{self, IDLE, Small, noise, refused, stderr},
};

/// Something mounted over something else; unmounted when dropped.
struct Bound(PathBuf);

impl Bound {
    fn mount(from: &Path, to: &Path) -> Self {
        let mut mount = Command::new("mount");
        let mounted = mount.arg("--bind").arg(from).arg(to).status().unwrap();
        assert!(mounted.success());
        Self(to.to_owned())
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// An app all of whose data is on mount points.
struct Disks {
    // Unmounted last to first.
    _in_volume: Bound,
    engine: PrivateEngine,
    _conf: Bound,
    disk: Small,
    _volume: Small,
    lab: Lab,
}

impl Disks {
    fn create() -> Self {
        let lab = Lab::new();
        lab.init();
        let disk = Small::mount(&lab.path("disk"), "64m");
        let volume = Small::mount(&lab.path("volume"), "64m");
        for name in ["app.conf", "behind.conf"] {
            fs_err::write(lab.path(name), name).unwrap();
        }
        let conf = Bound::mount(&lab.path("behind.conf"), &lab.path("app.conf"));
        // What is mounted later is not seen in the engine's namespace.
        let engine = tiny::engine(&lab, "a");
        let body = json!({"Name": "vv"});
        engine.api().post("/volumes/create", &body).unwrap();
        let at = engine.volume_path("vv").unwrap();
        let in_volume = Bound::mount(&lab.path("volume"), &at);
        let mut inside = engine.host_command("mount");
        inside.arg("--bind").arg(lab.path("volume")).arg(&at);
        assert!(inside.status().unwrap().success());
        let disks = Self {
            _in_volume: in_volume,
            engine,
            _conf: conf,
            disk,
            _volume: volume,
            lab,
        };
        let script = format!("test ! -e /data/broken || exit 7; {IDLE}");
        let binds = [
            format!("{}:/data", disks.lab.path("disk").display()),
            format!("{}:/conf", disks.lab.path("app.conf").display()),
            "vv:/vol".to_owned(),
        ];
        let always = json!({"Name": "unless-stopped"});
        let host = json!({"Binds": binds, "RestartPolicy": always});
        tiny::run_with(&disks.engine, "disks", &script, host);
        disks
    }

    fn exec(&self, line: &str) -> String {
        let api = self.engine.api();
        api.exec_ok("disks", &["sh", "-c", line]).unwrap()
    }

    /// Writes the same word everywhere, and entries that only this word has.
    fn write(&self, word: &str) {
        self.exec(&format!(
            "for d in /data /vol; do rm -rf $d/only-*; mkdir -p $d/below; \
             for f in f below/f only-{word}; do echo {word} >$d/$f; done; done; echo {word} >/conf"
        ));
    }

    /// The word that stands everywhere, all of it and nothing else.
    fn word(&self) -> String {
        let raw = tiny::inspect(&self.engine, "disks");
        assert_eq!(raw["State"]["Running"], true);
        assert_eq!(raw["HostConfig"]["RestartPolicy"]["Name"], "unless-stopped");
        let conf = self.exec("cat /conf");
        let word = conf.trim();
        let files = ["f", "below/f"].map(|f| format!("/data/{f} /vol/{f}"));
        let text = self.exec(&format!("cat {} /data/only-* /vol/only-*", files.join(" ")));
        assert_eq!(text, conf.repeat(6));
        let names = format!("below\nf\nonly-{word}\n");
        assert_eq!(self.exec("ls /data; ls /vol"), names.repeat(2));
        word.to_owned()
    }

    fn backup(&self) -> String {
        let report = self.lab.json(Some(&self.engine), &["backup", "disks"], 0);
        assert!(!report.to_string().contains("lifeboat-aside"), "{report:#}");
        let id = only(&report)["id"].as_str().unwrap();
        format!("disks@{}", &id[..8])
    }

    fn json(&self, args: &[&str]) -> Value {
        self.lab.json(Some(&self.engine), args, 0)
    }

    fn replace(&self, point: &str) -> Value {
        self.json(&["restore", point, "--replace", "--no-safety-point"])
    }

    fn killed(&self, args: &[&str], step: &str) {
        let mut command = self.lab.command(Some(&self.engine), args);
        let output = command.env("LIFEBOAT_TEST_KILL_AT", step).output().unwrap();
        let said = stderr(&output);
        assert_eq!(output.status.code(), None, "{step}: was to die: {said}");
    }

    /// Nothing of ours is left once what was set aside is taken away.
    fn clean(&self, step: &str) {
        let _ = self.lab.command(None, &["rm", "disks", "--yes"]).output();
        let left: Vec<_> = ["", "disk", "volume", "state/journal"]
            .iter()
            .flat_map(|folder| fs_err::read_dir(self.lab.path(folder)).unwrap())
            .map(|entry| entry.unwrap().path().display().to_string())
            .filter(|path| path.contains("lifeboat-") || path.ends_with(".jsonl"))
            .collect();
        assert!(left.is_empty(), "{step}: {left:?}");
    }
}

#[test]
fn entries_of_a_mount_point_change_places_and_back_again() {
    let disks = Disks::create();
    disks.write("first");
    let first = disks.backup();
    disks.write("second");
    fs_err::set_permissions(
        disks.lab.path("disk"),
        std::os::unix::fs::PermissionsExt::from_mode(0o700),
    )
    .unwrap();
    let id = tiny::inspect(&disks.engine, "disks")["Id"].clone();
    let plan = disks.json(&["restore", &first, "--replace", "-n"]);
    let told = plan["steps"].to_string();
    assert_eq!(plan["obstacles"], json!([]));
    assert!(
        told.contains("one by one") && told.contains("copied over"),
        "{told}"
    );
    assert_eq!(disks.word(), "second");

    let done = disks.json(&["restore", &first, "--replace"]);
    assert_eq!(disks.word(), "first");
    use std::os::unix::fs::MetadataExt;
    let root = fs_err::metadata(disks.lab.path("disk")).unwrap();
    assert_eq!(root.mode() & 0o7777, 0o755);
    // The old data is whole, and hidden from whoever is not root.
    let aside = done["set_aside"]["paths"].as_array().unwrap();
    assert_eq!(aside.len(), 3, "{done:#}");
    for path in aside {
        let at = PathBuf::from(path["path"].as_str().unwrap());
        let file = if at.is_dir() {
            at.join("only-second")
        } else {
            at.clone()
        };
        assert_eq!(fs_err::read_to_string(&file).unwrap(), "second\n", "{at:?}");
        if at.is_dir() {
            let hidden = fs_err::metadata(at.parent().unwrap()).unwrap();
            assert_eq!(hidden.mode() & 0o7777, 0o700);
        }
    }
    // It is in no point, and the next replacement leaves it alone.
    let again = disks.backup();
    disks.write("third");
    disks.replace(&again);
    assert_eq!(disks.word(), "first");
    // The way back is the safety point.
    let safety = done["safety_point"].as_str().unwrap()[..8].to_owned();
    disks.replace(&safety);
    assert_eq!(disks.word(), "second");
    assert_ne!(tiny::inspect(&disks.engine, "disks")["Id"], id);
    disks.clean("at the end");
    assert_eq!(disks.word(), "second");
}

/// Where it is killed, each followed by one of the two ways; that each step has both is shown where the
/// exchange itself is tested.
const STEPS: [(&str, &str); 11] = [
    ("replace-stage:2", "--undo"),
    ("replace-staged:3", "--continue"),
    // The volume: three phases, three entries out and three in.
    ("swap-phase:2", "--continue"),
    ("swap-entry:2", "--undo"),
    ("swap-entry:2", "--continue"),
    ("swap-entry:5", "--undo"),
    // The file.
    ("swap-bytes", "--undo"),
    ("swap-bytes", "--continue"),
    // The disk.
    ("swap-entry:11", "--undo"),
    ("start-container", "--undo"),
    ("replace-recorded", "--continue"),
];

#[test]
fn wherever_it_is_killed_among_the_entries_either_way_ends_it_whole() {
    let disks = Disks::create();
    disks.write("first");
    let point = disks.backup();
    disks.write("second");
    let names = tiny::names(&disks.engine);
    let args = ["restore", &point, "--replace", "--no-safety-point"];
    let whole = |word: &str, step: &str| {
        assert_eq!(disks.word(), word, "{step}");
        assert_eq!(tiny::names(&disks.engine), names, "{step}");
        disks.clean(step);
    };
    for (step, way) in STEPS {
        disks.killed(&args, step);
        disks.json(&["restore", way]);
        if way == "--undo" {
            whole("second", step);
        } else {
            whole("first", step);
            disks.write("second");
        }
    }
    // Killed on the way back as well.
    for back in ["swap-entry:2", "swap-bytes", "swap-phase:8"] {
        disks.killed(&args, "replace-validate");
        disks.killed(&["restore", "--undo"], back);
        disks.json(&["restore", "--undo"]);
        whole("second", back);
    }
}

#[test]
fn no_room_is_refused_and_what_does_not_come_up_is_swapped_back() {
    let disks = Disks::create();
    disks.write("first");
    disks.exec("touch /data/broken");
    let point = disks.backup();
    disks.exec("rm /data/broken");
    disks.write("second");
    let id = tiny::inspect(&disks.engine, "disks")["Id"].clone();
    let line = format!("restore {point} --replace --no-safety-point");
    let some = Some(&disks.engine);
    disks.disk.grow("8m");
    refused(
        &disks.lab,
        some,
        &line,
        1,
        &[
            "no room",
            "lab/disk".trim_start_matches("lab"),
            "nothing was changed",
        ],
    );
    disks.disk.grow("64m");
    let said = refused(
        &disks.lab,
        some,
        &line,
        1,
        &["exit code 7", "swapped back", "lifeboat rm disks"],
    );
    assert!(!said.contains("undo"), "{said}");
    assert_eq!(disks.word(), "second");
    assert_eq!(tiny::inspect(&disks.engine, "disks")["Id"], id);
    // What the replacement had is there for a while.
    let kept = disks.json(&["rm", "disks", "--yes"]);
    assert!(kept.to_string().contains("disk/.lifeboat-aside-"), "{kept}");
    disks.clean("swapped back");
    // It fills up while it is made: nobody has noticed, and nothing is left.
    fs_err::write(disks.lab.path("disk/large"), noise(9 << 20, 3)).unwrap();
    let large = disks.backup();
    fs_err::remove_file(disks.lab.path("disk/large")).unwrap();
    fs_err::write(disks.lab.path("disk/f"), "second\n").unwrap();
    let line = format!("restore {large} --replace --no-safety-point");
    let mut held = tiny::Held::start(&disks.lab, {
        let args: Vec<&str> = line.split(' ').collect();
        disks.lab.command(some, &args)
    });
    held.until("replace-missing");
    disks.disk.grow("6m");
    let output = held.end();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("runs on untouched"),
        "{}",
        stderr(&output)
    );
    assert_eq!(disks.word(), "second");
    assert_eq!(tiny::inspect(&disks.engine, "disks")["Id"], id);
    disks.clean("filled up");
}

#[test]
fn a_part_on_a_mount_point_changes_places_in_it_too() {
    let disks = Disks::create();
    disks.write("first");
    let point = disks.backup();
    disks.write("second");
    let id = tiny::inspect(&disks.engine, "disks")["Id"].clone();
    let disk = disks.lab.path("disk").display().to_string();
    let part = |args: &[&str]| {
        let mut all = vec!["restore", point.as_str()];
        all.extend(args);
        all.extend(["--replace", "--no-safety-point"]);
        all.iter().map(|word| (*word).to_owned()).collect()
    };
    let volume: Vec<String> = part(&["--volume", "vv"]);
    let bind: Vec<String> = part(&["--bind", &disk]);
    let words = |args: &[String]| args.join(" ");
    let said = || disks.exec("cat /data/f /vol/f /conf");
    // Killed among the entries: back, and on.
    for (line, step, way, now) in [
        (
            words(&volume),
            "swap-entry:2",
            "--undo",
            "second second second",
        ),
        (
            words(&volume),
            "swap-entry:5",
            "--continue",
            "second first second",
        ),
        (
            words(&bind),
            "swap-entry:5",
            "--undo",
            "second first second",
        ),
        (
            words(&bind),
            "swap-entry:2",
            "--continue",
            "first first second",
        ),
    ] {
        let args: Vec<&str> = line.split(' ').collect();
        disks.killed(&args, step);
        disks.json(&["restore", way]);
        assert_eq!(
            said().split_whitespace().collect::<Vec<_>>().join(" "),
            now,
            "{line} {step}"
        );
        assert_eq!(tiny::inspect(&disks.engine, "disks")["Id"], id);
    }
    disks.clean("at the end");
    let left = disks.exec("ls -A /data; ls -A /vol");
    assert_eq!(left, "below\nf\nonly-first\n".repeat(2));
}

#[test]
fn a_volume_that_is_a_folder_elsewhere_is_that_folder() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let some = Some(&engine);
    let binds = ["vv:/v"];
    tiny::run(&engine, "web", IDLE, &binds);
    let exec = |line: &str| {
        let api = engine.api();
        api.exec_ok("web", &["sh", "-c", line]).unwrap()
    };
    exec("echo first >/v/f");
    let report = lab.json(some, &["backup", "web"], 0);
    let point = format!("web@{}", &only(&report)["id"].as_str().unwrap()[..8]);
    // Made anew by somebody, in a folder of their own.
    tiny::remove(&engine, "web");
    tiny::remove_volume(&engine, "vv");
    let elsewhere = lab.path("elsewhere");
    fs_err::create_dir(&elsewhere).unwrap();
    let options = json!({"type": "none", "o": "bind", "device": elsewhere});
    let body = json!({"Name": "vv", "DriverOpts": options});
    engine.api().post("/volumes/create", &body).unwrap();
    tiny::run(&engine, "web", IDLE, &binds);
    exec("echo second >/v/f");
    assert_eq!(
        fs_err::read_to_string(elsewhere.join("f")).unwrap(),
        "second\n"
    );
    // Whoever has the folder holds it as well as whoever has the volume.
    let line = format!("restore {point} --replace --no-safety-point");
    let bind = format!("{}:/theirs", elsewhere.display());
    for held in [bind.as_str(), "vv:/theirs"] {
        tiny::run(&engine, "stranger", IDLE, &[held]);
        let words = ["volume vv is used by stranger", "nothing was changed"];
        refused(&lab, some, &line, 1, &words);
        tiny::remove(&engine, "stranger");
    }
    let args: Vec<&str> = line.split(' ').collect();
    let done = lab.json(some, &args, 0);
    assert_eq!(exec("cat /v/f"), "first\n");
    assert_eq!(
        fs_err::read_to_string(elsewhere.join("f")).unwrap(),
        "first\n"
    );
    let aside = done["set_aside"]["paths"][0]["path"].as_str().unwrap();
    assert!(aside.contains("/.elsewhere.lifeboat-aside-"), "{aside}");
    lab.json(some, &["rm", "web", "--yes"], 0);
    assert!(!Path::new(aside).exists());
    assert_eq!(exec("cat /v/f"), "first\n");
    engine.destroy().unwrap();
}
