//! Every kind of place where an app keeps something, and every state that a container can be in.

use std::{
    os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink},
    path::Path,
    process::Command,
};

use lifeboat_testkit::{
    engine::PrivateEngine,
    oddities::{self, Ignore},
};
use serde_json::{Value, json};

use crate::{
    support::{Lab, only},
    tiny::{self, IDLE, Small, noise, stderr, stdout},
};

/// A container of the project `zoo`.
fn zoo(engine: &PrivateEngine, service: &str, mut body: Value) {
    body["Labels"] = json!({
        "com.docker.compose.project": "zoo", "com.docker.compose.service": service,
        "com.docker.compose.container-number": "1", "com.docker.compose.oneoff": "False",
    });
    if body["Cmd"].is_null() {
        body["Cmd"] = json!(["sh", "-c", IDLE]);
    }
    tiny::create(engine, &format!("zoo-{service}"), body);
}

fn write(path: impl AsRef<Path>, text: &str) {
    let path = path.as_ref();
    fs_err::create_dir_all(path.parent().unwrap()).unwrap();
    fs_err::write(path, text).unwrap();
}

fn volume_at(engine: &PrivateEngine, container: &str, at: &str) -> String {
    let raw = tiny::inspect(engine, container);
    let mounts = raw["Mounts"].as_array().unwrap();
    let mount = mounts.iter().find(|m| m["Destination"] == at).unwrap();
    mount["Name"].as_str().unwrap().to_owned()
}

/// What Compose does with inline configs: a file into the writable layer, with owner, mode and a
/// capability.
fn put_inline(lab: &Lab, engine: &PrivateEngine) {
    let root = lab.path("inline");
    write(root.join("opt/inline/tool"), "#!/bin/sh\n");
    let file = root.join("opt/inline/tool");
    chown(&file, Some(33), Some(44)).unwrap();
    fs_err::set_permissions(&file, PermissionsExt::from_mode(0o2750)).unwrap();
    // cap_net_bind_service, permitted and effective.
    let mut capability = vec![1, 0, 0, 2, 0, 4, 0, 0];
    capability.resize(20, 0);
    rustix::fs::setxattr(
        &file,
        "security.capability",
        &capability,
        rustix::fs::XattrFlags::empty(),
    )
    .unwrap();
    symlink("tool", root.join("opt/inline/link")).unwrap();
    let tar = lab.path("inline.tar");
    let made = Command::new("tar")
        .args([
            "--create",
            "--xattrs",
            "--xattrs-include=*",
            "--numeric-owner",
            "--file",
        ])
        .arg(&tar)
        .arg("-C")
        .arg(&root)
        .arg("opt")
        .status()
        .unwrap();
    assert!(made.success());
    let mut file = fs_err::File::open(&tar).unwrap();
    let length = file.metadata().unwrap().len();
    let path = "/containers/zoo-main/archive?path=/";
    engine.api().upload("PUT", path, &mut file, length).unwrap();
}

/// What `tar` says of it, and whether the capability is there.
fn inline(engine: &PrivateEngine) -> (String, bool) {
    let api = engine.api();
    let script = "cd /opt/inline; stat -c '%n %a %u:%g %F' tool link; cat tool; readlink link";
    let said = api.exec_ok("zoo-main", &["sh", "-c", script]).unwrap();
    let tar = api
        .get_bytes("/containers/zoo-main/archive?path=/opt/inline/tool")
        .unwrap();
    let key = b"SCHILY.xattr.security.capability";
    (said, tar.windows(key.len()).any(|at| at == key))
}

/// The tmpfs as the container sees it.
fn scratch(engine: &PrivateEngine) -> String {
    let script = "stat -c '%a %u:%g' /scratch; grep ' /scratch ' /proc/mounts";
    engine
        .api()
        .exec_ok("zoo-main", &["sh", "-c", script])
        .unwrap()
}

/// Everything at once: each volume and bind of the table in the design, each state.
fn create_zoo(lab: &Lab, engine: &PrivateEngine) {
    let srv = lab.path("srv");
    write(srv.join("conf.txt"), "single\n");
    write(srv.join("real/file"), "behind a link\n");
    symlink("real", srv.join("link")).unwrap();
    write(srv.join("outer/file"), "outer\n");
    write(srv.join("outer/inner/file"), "inner\n");
    write(srv.join("ro/file"), "read only\n");
    fs_err::create_dir(srv.join("hollow")).unwrap();
    fs_err::set_permissions(srv.join("hollow"), PermissionsExt::from_mode(0o1777)).unwrap();
    chown(srv.join("outer/inner"), Some(7), Some(8)).unwrap();
    let at = |name: &str| srv.join(name).display().to_string();
    let binds = [
        "zoo_empty:/usr/bin".to_owned(),
        "zoo_odd:/odd".to_owned(),
        format!("{}:/conf.txt", at("conf.txt")),
        format!("{}:/link", at("link")),
        format!("{}:/outer", at("outer")),
        format!("{}:/inner", at("outer/inner")),
        format!("{}:/ro:ro", at("ro")),
        format!("{}:/hollow", at("hollow")),
    ];
    zoo(
        engine,
        "main",
        json!({
            "Volumes": {"/anon": {}},
            "HostConfig": {"Binds": binds, "Tmpfs": {"/scratch": "size=1m,mode=1770"}},
        }),
    );
    put_inline(lab, engine);
    zoo(
        engine,
        "stopped",
        json!({"Cmd": ["sh", "-c", "exit 7"], "HostConfig": {"Binds": ["zoo_odd:/odd"]}}),
    );
    zoo(
        engine,
        "created",
        json!({"HostConfig": {"RestartPolicy": {"Name": "always"}}}),
    );
    zoo(
        engine,
        "paused",
        json!({"HostConfig": {"Binds": ["zoo_paused:/data"]}}),
    );
    zoo(
        engine,
        "rm",
        json!({"HostConfig": {"AutoRemove": true}, "Volumes": {"/gone": {}}}),
    );
    zoo(
        engine,
        "ns",
        json!({"HostConfig": {"NetworkMode": "container:zoo-main"}}),
    );
    for service in ["main", "stopped", "paused", "rm", "ns"] {
        tiny::start(engine, &format!("zoo-{service}"));
    }
    let api = engine.api();
    api.post("/containers/zoo-stopped/wait", &Value::Null)
        .unwrap();
    api.post("/containers/zoo-paused/pause", &Value::Null)
        .unwrap();
    write(
        engine
            .volume_path(&volume_at(engine, "zoo-main", "/anon"))
            .unwrap()
            .join("row"),
        "anonymous\n",
    );
    write(
        engine
            .volume_path(&volume_at(engine, "zoo-rm", "/gone"))
            .unwrap()
            .join("row"),
        "with --rm\n",
    );
    api.exec_ok("zoo-main", &["sh", "-c", "echo gone > /scratch/x"])
        .unwrap();
    oddities::make(&engine.volume_path("zoo_odd").unwrap().join("odd"), 200_000).unwrap();
    // The image fills it when the container is made; the app emptied it.
    let empty = engine.volume_path("zoo_empty").unwrap();
    let filled = fs_err::read_dir(&empty).unwrap().count();
    assert!(filled > 10, "the image did not fill it");
    for entry in fs_err::read_dir(&empty).unwrap() {
        fs_err::remove_file(entry.unwrap().path()).unwrap();
    }
    fs_err::set_permissions(&empty, PermissionsExt::from_mode(0o751)).unwrap();
}

#[test]
fn every_kind_of_data_and_every_state_comes_back() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let some = Some(&engine);
    create_zoo(&lab, &engine);
    let (before_inline, before_scratch) = (inline(&engine), scratch(&engine));
    assert!(
        before_inline.1 && before_inline.0.contains("2750 33:44"),
        "{before_inline:?}"
    );

    let report = lab.json(some, &["backup", "zoo"], 0);
    assert_eq!(only(&report)["level"], "crash");
    let raw = tiny::inspect(&engine, "zoo-paused");
    assert_eq!(raw["State"]["Paused"], true, "not ours to thaw");
    assert!(tiny::runs(&engine, "zoo-main"));

    let (srv, lost) = (lab.path("srv"), lab.path("lost"));
    for service in ["ns", "rm", "paused", "created", "stopped", "main"] {
        tiny::remove(&engine, &format!("zoo-{service}"));
    }
    let odd = engine.volume_path("zoo_odd").unwrap().join("odd");
    let odd_before = lab.path("odd-before");
    fs_err::rename(&odd, &odd_before).unwrap();
    for volume in ["zoo_empty", "zoo_odd", "zoo_paused"] {
        tiny::remove_volume(&engine, volume);
    }
    fs_err::rename(&srv, &lost).unwrap();
    assert_eq!(tiny::names(&engine), Vec::<String>::new());

    let restored = lab.json(some, &["restore", "zoo"], 0);
    assert_eq!(restored["stopped"], json!(["zoo-created", "zoo-stopped"]));
    assert_eq!(restored["incomplete"], json!([]));

    // Volumes.
    let again = engine.volume_path("zoo_odd").unwrap().join("odd");
    // Holes come back where whole blobs hold nothing but zeros.
    let ignore = Ignore {
        holes: true,
        ..Ignore::default()
    };
    let differences = oddities::compare(&odd_before, &again, &ignore).unwrap();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    let empty = engine.volume_path("zoo_empty").unwrap();
    assert_eq!(
        fs_err::read_dir(&empty).unwrap().count(),
        0,
        "the image filled it again"
    );
    assert_eq!(fs_err::metadata(&empty).unwrap().mode() & 0o7777, 0o751);
    let api = engine.api();
    let cat = |container: &str, path: &str| api.exec_ok(container, &["cat", path]).unwrap();
    assert_eq!(cat("zoo-main", "/anon/row"), "anonymous\n");
    assert_eq!(cat("zoo-rm", "/gone/row"), "with --rm\n");

    // Binds, as the host has them and as the container sees them.
    for (at, text) in [
        ("conf.txt", "single\n"),
        ("link/file", "behind a link\n"),
        ("outer/file", "outer\n"),
        ("outer/inner/file", "inner\n"),
        ("ro/file", "read only\n"),
    ] {
        assert_eq!(fs_err::read_to_string(srv.join(at)).unwrap(), text, "{at}");
    }
    for (at, text) in [
        ("/conf.txt", "single\n"),
        ("/link/file", "behind a link\n"),
        ("/inner/file", "inner\n"),
    ] {
        assert_eq!(cat("zoo-main", at), text, "{at}");
    }
    let inner = fs_err::metadata(srv.join("outer/inner")).unwrap();
    assert_eq!((inner.uid(), inner.gid()), (7, 8));
    let hollow = fs_err::metadata(srv.join("hollow")).unwrap();
    assert_eq!(hollow.mode() & 0o7777, 0o1777);
    assert!(srv.join("conf.txt").is_file());
    assert_ne!(
        api.exec("zoo-main", &["touch", "/ro/x"]).unwrap().code,
        0,
        "not read only"
    );
    assert_eq!(api.exec_ok("zoo-main", &["ls", "/scratch"]).unwrap(), "");
    assert_eq!(scratch(&engine), before_scratch);
    for entry in fs_err::read_dir(&srv).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(!name.contains("lifeboat"), "{name} was left in sight");
    }
    assert_eq!(inline(&engine), before_inline);

    // States.
    for service in ["main", "rm", "ns"] {
        assert!(tiny::runs(&engine, &format!("zoo-{service}")), "{service}");
    }
    let state = |service: &str| tiny::inspect(&engine, &format!("zoo-{service}"))["State"].clone();
    assert_eq!(state("paused")["Paused"], true);
    assert_eq!(state("stopped")["Running"], false);
    assert_eq!(state("created")["Running"], false);
    let raw = tiny::inspect(&engine, "zoo-rm");
    assert_eq!(raw["HostConfig"]["AutoRemove"], true);
    let main = tiny::inspect(&engine, "zoo-main")["Id"]
        .as_str()
        .unwrap()
        .to_owned();
    let raw = tiny::inspect(&engine, "zoo-ns");
    assert_eq!(
        raw["HostConfig"]["NetworkMode"],
        format!("container:{main}")
    );

    // And the next backup of what came back is as whole.
    let report = lab.json(some, &["backup", "zoo", "--take-over", "lab/zoo"], 0);
    assert_eq!(only(&report)["incomplete"], json!([]));
    lab.restic(&["check", "--read-data"]);
    engine.destroy().unwrap();
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
