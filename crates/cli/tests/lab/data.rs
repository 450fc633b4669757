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
    tiny::{self, IDLE},
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
