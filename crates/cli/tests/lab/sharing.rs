//! Places that an app does not have for itself, and those that wait for a decision.

use std::path::Path;

use serde_json::json;

use crate::{
    support::Lab,
    tiny::{self, IDLE, Small, noise, stderr, stdout},
};

fn write(path: impl AsRef<Path>, text: &str) {
    let path = path.as_ref();
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(path, text).unwrap();
}

#[test]
fn a_bind_above_the_bound_waits_for_a_decision() {
    let lab = Lab::new();
    let _small = Small::mount(&lab.path("disk"), "40m");
    let (vault, sheet) = (lab.path("disk/vault"), lab.path("sheet.txt"));
    let args = [
        "init",
        "--vault",
        vault.to_str().unwrap(),
        "--sheet",
        sheet.to_str().unwrap(),
    ];
    lab.run(None, &args, 0);
    let engine = tiny::engine(&lab, "a");
    let some = Some(&engine);
    let films = lab.path("films");
    fs_err::create_dir(&films).unwrap();
    fs_err::write(films.join("film"), noise(8_000_000, 1)).unwrap();
    let path = films.to_str().unwrap();
    tiny::run(
        &engine,
        "tv",
        IDLE,
        &[&format!("{path}:/films"), "tv_data:/data"],
    );
    let table = stdout(&lab.run(some, &["apps", "tv"], 0));
    assert!(
        table.contains(path) && table.contains("--include-bind"),
        "{table}"
    );
    let output = lab.run(some, &["backup", "tv"], 3);
    for word in [
        path,
        "--include-bind",
        "--exclude-bind",
        "without a decision",
    ] {
        assert!(stderr(&output).contains(word), "{}", stderr(&output));
    }
    assert!(
        stdout(&output).contains("INCOMPLETE"),
        "{}",
        stdout(&output)
    );
    let listed = stdout(&lab.run(None, &["ls", "tv", "-r"], 0));
    assert!(!listed.contains("film"), "{listed}");
    lab.run(some, &["backup", "tv", "--exclude-bind", path], 0);
    lab.run(some, &["backup", "tv", "--include-bind", path], 0);
    let listed = stdout(&lab.run(None, &["ls", "tv", "-r"], 0));
    assert!(listed.contains("films/film"), "{listed}");
    engine.destroy().unwrap();
}

#[test]
fn what_two_apps_share_is_made_once_and_never_overwritten() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let some = Some(&engine);
    let api = engine.api();
    api.post("/networks/create", &json!({"Name": "common_net"}))
        .unwrap();
    api.post("/volumes/create", &json!({"Name": "common"}))
        .unwrap();
    let bind = lab.path("shared");
    write(bind.join("file"), "first\n");
    let mount = format!("{}:/shared", bind.display());
    for name in ["left", "right"] {
        let own = format!("{name}_data:/data");
        let host = json!({"Binds": ["common:/common", own, mount], "NetworkMode": "common_net"});
        tiny::run_with(&engine, name, IDLE, host);
    }
    let row = || engine.volume_path("common").unwrap().join("row");
    write(row(), "first\n");
    lab.json(some, &["backup", "left", "right"], 0);

    // One of the two is lost: the other goes on, what they share stays as it is now.
    tiny::remove(&engine, "left");
    tiny::remove_volume(&engine, "left_data");
    write(row(), "second\n");
    write(bind.join("file"), "second\n");
    let right = tiny::inspect(&engine, "right");
    let restored = lab.json(some, &["restore", "left"], 0);
    let warnings = restored["warnings"].to_string();
    assert!(warnings.contains("common is shared"), "{warnings}");
    assert_eq!(fs_err::read_to_string(row()).unwrap(), "second\n");
    assert_eq!(
        fs_err::read_to_string(bind.join("file")).unwrap(),
        "second\n"
    );
    assert!(tiny::runs(&engine, "left"));
    let now = tiny::inspect(&engine, "right");
    assert_eq!(
        now["State"]["StartedAt"], right["State"]["StartedAt"],
        "the other app was touched"
    );

    // Both are lost: the first to come back brings it, the second finds it.
    for name in ["left", "right"] {
        tiny::remove(&engine, name);
        tiny::remove_volume(&engine, &format!("{name}_data"));
    }
    tiny::remove_volume(&engine, "common");
    api.delete("/networks/common_net").unwrap();
    fs_err::remove_dir_all(&bind).unwrap();
    lab.json(some, &["restore", "left"], 0);
    assert_eq!(fs_err::read_to_string(row()).unwrap(), "first\n");
    assert_eq!(
        fs_err::read_to_string(bind.join("file")).unwrap(),
        "first\n"
    );
    write(row(), "third\n");
    lab.json(some, &["restore", "right"], 0);
    assert_eq!(fs_err::read_to_string(row()).unwrap(), "third\n");
    assert!(tiny::runs(&engine, "left") && tiny::runs(&engine, "right"));
    engine.destroy().unwrap();
}
