//! `restore --replace` and data with a story of its own: empty volumes that an image would fill, what
//! lies within a folder and is in no point, what others use too, a volume by itself.

use lifeboat_testkit::engine::PrivateEngine;
use serde_json::json;

use crate::{
    support::{Lab, only},
    tiny::{self, IDLE, refused, stderr},
};

fn backup(lab: &Lab, engine: &PrivateEngine, args: &[&str]) -> String {
    let args: Vec<&str> = ["backup"].iter().chain(args).copied().collect();
    only(&lab.json(Some(engine), &args, 0))["id"]
        .as_str()
        .unwrap()[..8]
        .to_owned()
}

#[test]
fn empty_stays_empty_and_what_no_point_holds_stays_in_sight() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let some = Some(&engine);
    let outer = lab.path("outer");
    let media = outer.join("media/m");
    fs_err::create_dir_all(outer.join("media")).unwrap();
    // The image has something at that place, which the engine puts into a volume that is empty.
    let binds = [
        "tools:/usr/sbin".to_owned(),
        format!("{}:/outer", outer.display()),
        format!("{}:/media", outer.join("media").display()),
    ];
    let binds: Vec<&str> = binds.iter().map(String::as_str).collect();
    tiny::run(&engine, "web", IDLE, &binds);
    let set = |word: &str, tools: &str| {
        let line =
            format!("rm -rf /usr/sbin/*; {tools}; echo {word} >/outer/f; echo {word} >/media/m");
        engine.api().exec_ok("web", &["sh", "-c", &line]).unwrap();
    };
    let tools = || {
        let list = "ls /usr/sbin";
        engine.api().exec_ok("web", &["sh", "-c", list]).unwrap()
    };
    let word = || fs_err::read_to_string(outer.join("f")).unwrap();
    set("first", "true");
    let left_out = outer.join("media").display().to_string();
    let first = backup(&lab, &engine, &["web", "--exclude-bind", &left_out]);
    set("second", "echo x >/usr/sbin/x");
    let second = backup(&lab, &engine, &["web", "--exclude-bind", &left_out]);
    fs_err::write(&media, "today").unwrap();

    let replace = |point: &str| {
        let args = ["restore", point, "--replace", "--no-safety-point"];
        let done = lab.json(some, &args, 0);
        lab.json(None, &["rm", "web", "--yes"], 0);
        done
    };
    let done = replace(&first);
    assert_eq!((word().as_str(), tools().as_str()), ("first\n", ""));
    assert!(
        done["warnings"]
            .to_string()
            .contains("media is not in the point"),
        "{done:#}"
    );
    assert_eq!(fs_err::read_to_string(&media).unwrap(), "today");
    // Empty here, so the engine would fill it: the container is made when it is out of the way.
    replace(&second);
    assert_eq!((word().as_str(), tools().as_str()), ("second\n", "x\n"));
    assert_eq!(fs_err::read_to_string(&media).unwrap(), "today");
    // The way back, killed on the way, takes along what belongs to neither.
    for back in ["back-exchange", "back-containers", "back-clean"] {
        for (args, step) in [
            (
                &["restore", &first, "--replace", "--no-safety-point"][..],
                "replace-start",
            ),
            (&["restore", "--undo"][..], back),
        ] {
            lab.killed(some, args, step);
        }
        lab.json(some, &["restore", "--undo"], 0);
        assert_eq!(
            (word().as_str(), tools().as_str()),
            ("second\n", "x\n"),
            "{back}"
        );
        assert_eq!(fs_err::read_to_string(&media).unwrap(), "today", "{back}");
        let inside = fs_err::read_dir(&outer).unwrap().count();
        assert_eq!(inside, 2, "{back}: something of ours lies among the data");
    }
    engine.destroy().unwrap();
}

#[test]
fn what_others_use_is_left_and_a_backup_waits_for_the_end() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let some = Some(&engine);
    tiny::run(&engine, "web", IDLE, &["webdata:/data", "common:/common"]);
    tiny::run(&engine, "other", IDLE, &["common:/common"]);
    let api = engine.api();
    api.post("/volumes/create", &json!({"Name": "attic"}))
        .unwrap();
    let attic = engine.volume_path("attic").unwrap().join("f");
    let write = |word: &str| {
        let line = format!("echo {word} >/data/f; echo {word} >/common/f");
        api.exec_ok("web", &["sh", "-c", &line]).unwrap();
        fs_err::write(&attic, word).unwrap();
    };
    write("first");
    let point = backup(&lab, &engine, &["web"]);
    let of_attic = backup(&lab, &engine, &["volume:attic"]);
    write("second");
    let args = ["restore", point.as_str(), "--replace", "--no-safety-point"];
    lab.killed(some, &args, "replace-exchange");
    // Half one and half the other is no point.
    let said = lab.run(some, &["backup", "web"], 1);
    assert!(
        stderr(&said).contains("restore --undo"),
        "{}",
        stderr(&said)
    );
    let done = lab.json(some, &["restore", "--continue"], 0);
    let words = api
        .exec_ok("web", &["cat", "/data/f", "/common/f"])
        .unwrap();
    assert_eq!(words, "first\nsecond\n");
    assert!(tiny::runs(&engine, "other"));
    let plan = lab.json(some, &["restore", &point, "--replace", "-n"], 0);
    let told = plan["warnings"].to_string();
    assert!(
        told.contains("volume common is used by other too"),
        "{told} {done}"
    );
    // A volume that nobody uses is an app as well.
    let line = format!("restore {of_attic} --replace");
    lab.json(some, &["restore", &of_attic, "--replace"], 0);
    assert_eq!(fs_err::read_to_string(&attic).unwrap(), "first");
    tiny::run(&engine, "reader", IDLE, &["attic:/attic"]);
    refused(&lab, some, &line, 1, &["volume attic is used by reader"]);
    engine.destroy().unwrap();
}
