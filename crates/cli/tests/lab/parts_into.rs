//! Files of a point into a container that runs.

use std::{
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::{Path, PathBuf},
};

use lifeboat_testkit::engine::PrivateEngine;
use serde_json::{Value, json};

use crate::{
    support::Lab,
    tiny::{self, IDLE, refused},
};

/// A container with a volume, a bind, a file that is a bind, memory, and something in its layer.
struct Boxed {
    // Goes before the folders that it lies in.
    engine: PrivateEngine,
    lab: Lab,
    volume: PathBuf,
    bind: PathBuf,
}

impl Boxed {
    fn new() -> Self {
        let lab = Lab::new();
        lab.init();
        let engine = tiny::engine(&lab, "a");
        let bind = lab.path("www");
        write(&bind.join("index.html"), "first");
        write(&lab.path("one.conf"), "one");
        let binds = [
            "boxdata:/data".to_owned(),
            format!("{}:/www", bind.display()),
            format!("{}:/etc/one.conf", lab.path("one.conf").display()),
        ];
        let host = json!({"Binds": binds, "Tmpfs": {"/memory": ""}});
        let script = format!("mkdir -p /opt/box; echo layer >/opt/box/file; {IDLE}");
        tiny::run_with(&engine, "box", &script, host);
        let volume = engine.volume_path("boxdata").unwrap();
        write(&volume.join("conf/a.conf"), "a of the point");
        write(&volume.join("conf/b.conf"), "b of the point");
        write(&volume.join("conf/deep/er/c.txt"), "c of the point");
        symlink("a.conf", volume.join("conf/link")).unwrap();
        let a = volume.join("conf/a.conf");
        chown(&a, Some(33), Some(44)).unwrap();
        fs_err::set_permissions(&a, PermissionsExt::from_mode(0o640)).unwrap();
        rustix::fs::setxattr(&a, "user.colour", b"blue", rustix::fs::XattrFlags::empty()).unwrap();
        let this = Self {
            lab,
            engine,
            volume,
            bind,
        };
        this.until("/opt/box/file");
        this.lab.json(Some(&this.engine), &["backup", "box"], 0);
        this
    }

    fn until(&self, path: &str) {
        let api = self.engine.api();
        let there = || api.exec("box", &["test", "-s", path]).unwrap().code == 0;
        for _ in 0..100 {
            if there() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        panic!("{path} never came");
    }

    fn put(&self, args: &[&str], code: i32) -> Value {
        let args: Vec<&str> = ["restore", "box", "--into"]
            .iter()
            .chain(args)
            .copied()
            .collect();
        self.lab.json(Some(&self.engine), &args, code)
    }

    fn cat(&self, path: &str) -> String {
        self.engine.api().exec_ok("box", &["cat", path]).unwrap()
    }
}

fn write(path: &Path, text: &str) {
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(path, text).unwrap();
}

fn actions(report: &Value) -> Vec<(String, String)> {
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    let lines = report["lines"].as_array().unwrap();
    lines
        .iter()
        .map(|l| (text(&l["path"]), text(&l["action"])))
        .collect()
}

/// Everything below a folder, hidden names too.
fn all(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(at) = folders.pop() {
        for entry in fs_err::read_dir(at).unwrap() {
            let entry = entry.unwrap();
            found.push(
                entry
                    .path()
                    .strip_prefix(folder)
                    .unwrap()
                    .display()
                    .to_string(),
            );
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    found.sort();
    found
}

#[test]
fn one_file_comes_back_into_a_running_container_and_the_old_one_is_kept() {
    let b = Boxed::new();
    let id = tiny::inspect(&b.engine, "box")["Id"].clone();
    let a = b.volume.join("conf/a.conf");
    let was = fs_err::metadata(&a).unwrap();
    let listed = all(&b.volume);
    fs_err::write(&a, "spoilt").unwrap();
    fs_err::set_permissions(&a, PermissionsExt::from_mode(0o600)).unwrap();
    fs_err::write(b.volume.join("conf/b.conf"), "mine").unwrap();

    let planned = b.put(&["box:/data/conf/a.conf", "--dry-run"], 0);
    let line = ("/data/conf/a.conf".to_owned(), "overwrite".to_owned());
    assert_eq!(actions(&planned), std::slice::from_ref(&line));
    assert_eq!(fs_err::read_to_string(&a).unwrap(), "spoilt");

    let done = b.put(&["box:/data/conf/a.conf"], 0);
    assert_eq!(actions(&done), [line]);
    assert_eq!(done["target"], "volume boxdata");
    assert_eq!(b.cat("/data/conf/a.conf"), "a of the point");
    let is = fs_err::metadata(&a).unwrap();
    assert_eq!(
        (is.mode(), is.uid(), is.gid()),
        (was.mode(), was.uid(), was.gid())
    );
    assert_eq!(is.modified().unwrap(), was.modified().unwrap());
    let mut colour = [0; 16];
    assert_eq!(
        rustix::fs::getxattr(&a, "user.colour", &mut colour).unwrap(),
        4
    );
    assert_eq!(b.cat("/data/conf/b.conf"), "mine", "not asked for");
    assert_eq!(
        all(&b.volume),
        listed,
        "something of ours is in sight of the container"
    );
    let kept = PathBuf::from(done["kept_in"].as_str().unwrap());
    assert_eq!(
        fs_err::read_to_string(kept.join("data/conf/a.conf")).unwrap(),
        "spoilt"
    );
    assert_eq!(tiny::inspect(&b.engine, "box")["Id"], id);
    assert!(tiny::runs(&b.engine, "box"));

    // Again: nothing to do, and nothing more is kept.
    let again = b.put(&["box:/data/conf/a.conf"], 0);
    assert_eq!(actions(&again)[0].1, "right");
    assert_eq!(again["kept_in"], Value::Null);

    // Patterns, folders that are gone, links; the rest stays. Without a backup.
    fs_err::remove_dir_all(b.volume.join("conf/deep")).unwrap();
    fs_err::remove_file(b.volume.join("conf/link")).unwrap();
    fs_err::write(&a, "spoilt again").unwrap();
    let done = b.put(
        &[
            "box:/data",
            "--include",
            "*.txt",
            "--include",
            "link",
            "--include",
            "/conf/a.conf",
            "--no-backup",
        ],
        0,
    );
    assert_eq!(
        actions(&done)
            .iter()
            .map(|(p, a)| format!("{a} {p}"))
            .collect::<Vec<_>>(),
        [
            "overwrite /data/conf/a.conf",
            "create /data/conf/deep",
            "create /data/conf/deep/er",
            "create /data/conf/deep/er/c.txt",
            "create /data/conf/link",
        ]
    );
    assert_eq!(b.cat("/data/conf/deep/er/c.txt"), "c of the point");
    assert_eq!(b.cat("/data/conf/link"), "a of the point");
    assert_eq!(done["kept_in"], Value::Null);
    assert_eq!(all(&b.volume), listed);
    assert_eq!(b.lab.begun(), Vec::<String>::new());

    // Into a bind, from another place of the point, under another name.
    b.put(
        &[
            "box:/www/copy.html",
            "--from",
            "/volumes/boxdata/conf/b.conf",
        ],
        0,
    );
    assert_eq!(b.cat("/www/copy.html"), "b of the point");
    b.put(&["box:/www", "--from", "volumes/boxdata/conf/b.conf"], 0);
    assert_eq!(b.cat("/www/b.conf"), "b of the point");
    fs_err::write(b.bind.join("index.html"), "second").unwrap();
    let done = b.put(&["box:/www/index.html"], 0);
    assert_eq!(b.cat("/www/index.html"), "first");
    let kept = PathBuf::from(done["kept_in"].as_str().unwrap());
    assert!(!kept.starts_with(&b.bind), "{}", kept.display());

    // Into the writable layer, which the engine unpacks.
    b.engine
        .api()
        .exec_ok("box", &["sh", "-c", "echo spoilt >/opt/box/file"])
        .unwrap();
    let done = b.put(&["box:/opt/box/file"], 0);
    assert_eq!(done["target"], "writable layer");
    assert_eq!(b.cat("/opt/box/file"), "layer\n");
    let kept = PathBuf::from(done["kept_in"].as_str().unwrap());
    let tar = fs_err::read(kept.join("opt/box/file.tar")).unwrap();
    assert!(tar.windows(7).any(|at| at == b"spoilt\n"));
    assert_eq!(actions(&b.put(&["box:/opt/box/file"], 0))[0].1, "right");
    b.engine.destroy().unwrap();
}

#[test]
fn what_cannot_be_put_there_is_refused_and_nothing_is_touched() {
    let b = Boxed::new();
    let (lab, some) = (&b.lab, Some(&b.engine));
    let outside = lab.path("outside");
    write(&outside.join("a.conf"), "not the container's");
    for (line, code, words) in [
        (
            "nobody:/data/x",
            1,
            &["no container or service `nobody`"] as &[&str],
        ),
        ("box:/data/none", 1, &["holds nothing", "lifeboat ls"]),
        ("box:/memory/x", 1, &["memory"]),
        ("box:/etc/one.conf", 1, &["single file", "--bind"]),
        ("box:/data --include none-such", 1, &["matches"]),
        (
            "box:/www/x --from volumes/none",
            1,
            &["there is no volumes/none"],
        ),
        ("box:/www/x --from ../../etc", 1, &["there is no"]),
        (
            "box:/www/none/x --from volumes/boxdata/conf/a.conf",
            1,
            &["no folder to lie in"],
        ),
        (
            "box:/data/conf --from volumes/boxdata/conf/a.conf --include z*",
            1,
            &["matches"],
        ),
    ] {
        refused(
            lab,
            some,
            &format!("restore box --into {line}"),
            code,
            words,
        );
    }
    // A file where a folder is, and a folder where a file is.
    let conf = b.volume.join("conf");
    fs_err::remove_file(conf.join("b.conf")).unwrap();
    write(&conf.join("b.conf/x"), "x");
    fs_err::rename(conf.join("deep"), conf.join("was-deep")).unwrap();
    fs_err::write(conf.join("deep"), "no folder").unwrap();
    fs_err::write(conf.join("a.conf"), "spoilt").unwrap();
    refused(
        lab,
        some,
        "restore box --into box:/data",
        1,
        &[
            "/data/conf/b.conf is a folder here",
            "/data/conf/deep is a folder in the point",
            "nothing was changed",
        ],
    );
    assert_eq!(
        fs_err::read_to_string(conf.join("a.conf")).unwrap(),
        "spoilt"
    );
    // The container leads us astray.
    fs_err::rename(&conf, b.volume.join("was")).unwrap();
    symlink(&outside, &conf).unwrap();
    refused(
        lab,
        some,
        "restore box --into box:/data/conf/a.conf",
        1,
        &["symbolic link"],
    );
    assert_eq!(
        fs_err::read_to_string(outside.join("a.conf")).unwrap(),
        "not the container's"
    );
    assert_eq!(all(&outside), ["a.conf"]);
    b.engine.destroy().unwrap();
}

#[test]
fn killed_anywhere_each_file_is_the_old_one_or_the_new_one_and_the_same_command_ends_it() {
    let b = Boxed::new();
    let (conf, some) = (b.volume.join("conf"), Some(&b.engine));
    let files = [("a.conf", "a of the point"), ("b.conf", "b of the point")];
    let args = ["restore", "box", "--into", "box:/data/conf"];
    let listed = all(&b.volume);
    for step in [
        "into-begin",
        "into-staged",
        "into-place:1",
        "into-place:2",
        "into-check",
    ] {
        for (name, _) in files {
            fs_err::write(conf.join(name), format!("spoilt before {step}")).unwrap();
        }
        b.lab.killed(some, &args, step);
        for (name, new) in files {
            let is = fs_err::read_to_string(conf.join(name)).unwrap();
            assert!(
                is == new || is == format!("spoilt before {step}"),
                "{step}: {name}: {is}"
            );
        }
        assert_eq!(all(&b.volume), listed, "{step}");
        let done = b.put(&["box:/data/conf"], 0);
        for (name, new) in files {
            assert_eq!(
                fs_err::read_to_string(conf.join(name)).unwrap(),
                new,
                "{step}"
            );
        }
        assert_eq!(all(&b.volume), listed, "{step}");
        // What both runs overwrote is kept together. Where the first run placed everything there is
        // nothing left to do, and the second says nothing of it.
        if step != "into-check" {
            let kept = PathBuf::from(done["kept_in"].as_str().unwrap());
            for (name, _) in files {
                let old = fs_err::read_to_string(kept.join("data/conf").join(name)).unwrap();
                assert_eq!(old, format!("spoilt before {step}"));
            }
        }
    }
    b.engine.destroy().unwrap();
}
