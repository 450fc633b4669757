//! From inside a container of the engine: with its socket alone, with its data root, with the folders of
//! the bind mounts.

use lifeboat_testkit::engine::PrivateEngine;
use serde_json::{Value, json};

use super::helpers;
use crate::support::Lab;
use crate::tiny::{self, IDLE};

/// Runs the program in a container that sees these paths of the host at their own places, beside the
/// engine's socket, our settings and the vault. Exit code, and what it wrote.
fn inside(lab: &Lab, engine: &PrivateEngine, paths: &[&str], args: &[&str]) -> (i64, String) {
    let own = |path: &str, how: &str| format!("{path}:{path}:{how}");
    let lab_path = |name: &str| lab.path(name).display().to_string();
    let program = env!("CARGO_BIN_EXE_lifeboat");
    let mut binds = vec![
        own(program, "ro"),
        own("/lib", "ro"),
        own("/lib64", "ro"),
        own("/usr/lib", "ro"),
        own(&lab_path("etc"), "ro"),
        own(&lab_path("state"), "rw"),
        format!("{}:/run/engine.sock", engine.socket().display()),
    ];
    binds.extend(paths.iter().map(|path| own(path, "rw")));
    let mut command = vec![program];
    command.extend(args);
    let body = json!({
        "Entrypoint": command,
        "Env": [
            format!("LIFEBOAT_CONFIG_DIR={}", lab_path("etc")),
            format!("LIFEBOAT_STATE_DIR={}", lab_path("state")),
            "DOCKER_HOST=unix:///run/engine.sock",
        ],
        "HostConfig": {"Binds": binds, "NetworkMode": "none"},
    });
    tiny::create(engine, "tool", body);
    tiny::start(engine, "tool");
    let ended = engine
        .api()
        .post("/containers/tool/wait", &Value::Null)
        .unwrap();
    let logs = engine
        .api()
        .get_bytes("/containers/tool/logs?stdout=1&stderr=1")
        .unwrap();
    tiny::remove(engine, "tool");
    let code = ended["StatusCode"].as_i64().unwrap();
    (code, String::from_utf8_lossy(&logs).into_owned())
}

#[test]
fn what_of_the_host_is_not_seen_goes_through_the_engine() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let srv = lab.path("srv");
    fs_err::create_dir_all(srv.join("bind/deep")).unwrap();
    fs_err::write(srv.join("bind/deep/file"), "bind\n").unwrap();
    let binds = [
        "data:/data".to_owned(),
        format!("{}:/bind", srv.join("bind").display()),
    ];
    let binds: Vec<&str> = binds.iter().map(String::as_str).collect();
    tiny::run(&engine, "one", IDLE, &binds);
    let file = engine.volume_path("data").unwrap().join("file");
    fs_err::write(&file, "data\n").unwrap();
    lab.run(Some(&engine), &["backup", "one"], 0);
    let data_root = engine.data_root().display().to_string();
    let srv_path = srv.display().to_string();
    // What is seen, and how many of the two (volume, bind) go through the engine then.
    for (paths, through) in [
        (vec![], 2),
        (vec![data_root.as_str()], 1),
        (vec![data_root.as_str(), srv_path.as_str()], 0),
    ] {
        tiny::remove(&engine, "one");
        tiny::remove_volume(&engine, "data");
        fs_err::remove_dir_all(srv.join("bind")).unwrap();
        let (code, said) = inside(&lab, &engine, &paths, &["restore", "one", "--dry-run"]);
        assert_eq!(code, 0, "{said}");
        assert_eq!(
            said.matches("through the engine").count(),
            through,
            "{paths:?}: {said}"
        );
        let (code, said) = inside(&lab, &engine, &paths, &["restore", "one"]);
        assert_eq!(code, 0, "{said}");
        assert!(tiny::runs(&engine, "one"));
        assert_eq!(fs_err::read_to_string(&file).unwrap(), "data\n");
        let bind = fs_err::read_to_string(srv.join("bind/deep/file")).unwrap();
        assert_eq!(bind, "bind\n");
        assert_eq!(helpers(&engine), Vec::<String>::new());
    }
}
