//! Files into a container of an engine whose files are not ours: through its archive.

use std::path::{Path, PathBuf};

use lifeboat_testkit::{engine::PrivateEngine, images};
use serde_json::{Value, json};

use super::{Elsewhere, ended, helpers};
use crate::support::{Lab, kill_at};
use crate::tiny::{self, IDLE, says};

const CONF: &str = "restore box --into box:/data/conf";

/// Owner, mode and content, by path.
fn seen(engine: &PrivateEngine, path: &str) -> String {
    let script = format!("stat -c '%u:%g %a' {path}; cat {path}");
    let api = engine.api();
    api.exec_ok("box", &["sh", "-c", &script]).unwrap()
}

fn words(line: &str) -> Vec<&str> {
    line.split(' ').collect()
}

#[test]
fn files_come_back_into_a_container_on_another_host() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let fill = "mkdir -p /data/conf/deep /layer; echo a >/data/conf/a; echo b >/data/conf/deep/b; \
        ln -s a /data/conf/link; chown 33:44 /data/conf/a; chmod 640 /data/conf/a; echo l >/layer/f; \
        touch /data/done";
    tiny::run(
        &engine,
        "box",
        &format!("{fill}; {IDLE}"),
        &["boxdata:/data"],
    );
    let done = engine.volume_path("boxdata").unwrap().join("done");
    while !done.exists() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    lab.run(Some(&engine), &["backup", "box"], 0);
    let was = seen(&engine, "/data/conf/a");
    assert_eq!(was, "33:44 640\na\n");
    engine.destroy().unwrap();

    let far = Elsewhere::start(&lab, "b");
    images::busybox().unwrap().load(&far.engine).unwrap();
    tiny::run(&far.engine, "box", IDLE, &["boxdata:/data"]);
    let names = tiny::names(&far.engine);
    let sh = |script: &str| {
        let api = far.engine.api();
        api.exec_ok("box", &["sh", "-c", script]).unwrap();
    };
    // Nothing is there yet; a dry run changes nothing.
    let plan = far.json(&lab, &words(&format!("{CONF} --dry-run")), 0);
    assert!(
        plan["target"].as_str().unwrap().contains("engine"),
        "{plan}"
    );
    let done = far.json(&lab, &words(CONF), 0);
    assert_eq!(done["problems"], json!([]), "{done}");
    assert_eq!(done["kept_in"], Value::Null);
    assert_eq!(seen(&far.engine, "/data/conf/a"), was);
    assert!(seen(&far.engine, "/data/conf/deep/b").ends_with("b\n"));
    assert!(seen(&far.engine, "/data/conf/link").ends_with("a\n"));

    // One file over another, killed on the way: the same command ends it, and what was there is kept.
    for step in ["into-begin", "into-place", "into-check"] {
        sh(&format!(
            "echo {step} >/data/conf/a; echo mine >/data/conf/deep/mine"
        ));
        let one = "restore box --into box:/data/conf/a";
        kill_at(far.command(&lab, &words(one)), step);
        let done = far.json(&lab, &words(one), 0);
        assert_eq!(seen(&far.engine, "/data/conf/a"), was, "{step}");
        if step != "into-check" {
            let kept = PathBuf::from(done["kept_in"].as_str().unwrap());
            assert!(kept.starts_with(lab.path("state")), "{}", kept.display());
            assert_eq!(in_tar(&kept.join("data/conf/a.tar")), format!("{step}\n"));
        }
    }
    assert!(seen(&far.engine, "/data/conf/deep/mine").ends_with("mine\n"));
    assert_eq!(
        far.json(&lab, &words(CONF), 0)["bytes"],
        0,
        "all of it is right"
    );

    // By pattern, from elsewhere in the point, into the writable layer.
    sh("rm /data/conf/a /data/conf/deep/b");
    far.json(&lab, &words(&format!("{CONF} --include deep/b")), 0);
    assert!(seen(&far.engine, "/data/conf/deep/b").ends_with("b\n"));
    let output = ended(
        &mut far.command(
            &lab,
            &words("restore box --into box:/etc/new --from volumes/boxdata/conf/a"),
        ),
        0,
    );
    drop(output);
    assert_eq!(seen(&far.engine, "/etc/new"), was);

    // What a folder is here is no file there.
    sh("mkdir /data/conf/a; echo mine >/data/conf/a/mine");
    let output = ended(&mut far.command(&lab, &words(CONF)), 1);
    says(&output, &["/data/conf/a", "nothing was changed"]);
    assert!(seen(&far.engine, "/data/conf/a/mine").ends_with("mine\n"));

    assert_eq!(tiny::names(&far.engine), names);
    assert_eq!(helpers(&far.engine), Vec::<String>::new());
}

/// The content of the only file in an archive.
fn in_tar(path: &Path) -> String {
    let output = std::process::Command::new("tar")
        .arg("-xOf")
        .arg(path)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
