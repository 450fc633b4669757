//! The agent in a container, by the compose file that is shipped.

use std::path::Path;

use lifeboat_testkit::{command, compose::docker_compose};
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{idle, strike};
use crate::{
    support::Lab,
    tiny::{self, engine, runs},
};

/// What an image with the program would have, from this machine.
const OVERRIDE: &str = "services:\n  lifeboat:\n    entrypoint: [\"@PROGRAM@\"]\n    volumes:\n      - @PROGRAM@:@PROGRAM@:ro\n      - /lib:/lib:ro\n      - /lib64:/lib64:ro\n      - /usr/lib:/usr/lib:ro\n";

#[test]
fn the_shipped_compose_file_keeps_apps_up() {
    let lab = Lab::new();
    lab.init();
    let engine = engine(&lab, "a");
    idle(&engine, "web", "no", json!({"lifeboat.supervise": "true"}));
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/docker/compose.yaml");
    let dir = lab.path("contained");
    fs_err::create_dir_all(&dir).unwrap();
    fs_err::copy(shipped, dir.join("compose.yaml")).unwrap();
    let program = env!("CARGO_BIN_EXE_lifeboat");
    let override_ = OVERRIDE.replace("@PROGRAM@", program);
    fs_err::write(dir.join("compose.override.yaml"), override_).unwrap();
    let tool = docker_compose().unwrap();
    let compose = |args: &[&str]| {
        let mut command = engine.host_command("sh");
        command.args(["-c", r#"cd "$1" && shift && exec "$@""#, "sh"]);
        command.arg(&dir).arg(&tool).args(args);
        command.env("LIFEBOAT_IMAGE", "lifeboat/busybox:latest");
        command.env("DOCKER_SOCKET", engine.socket());
        command.env("DOCKER_ROOT", engine.data_root());
        command.env("LIFEBOAT_CONFIG", lab.path("etc"));
        command.env("LIFEBOAT_STATE", lab.path("state"));
        command::run(&mut command).unwrap()
    };
    compose(&["up", "-d"]);
    // Its socket lies in the state folder, which is the host's: the program of the host asks the agent inside.
    let status = || -> Value {
        let mut asked = lab.command(None, &["status", "-o", "json"]);
        serde_json::from_slice(&asked.output().unwrap().stdout).unwrap_or_default()
    };
    let sees = |name: &str| {
        let rows = status()["rows"].as_array().cloned().unwrap_or_default();
        rows.iter()
            .any(|row| row["container"] == name && row["state"] == "running")
    };
    let until = |what: &str, is_so: &dyn Fn() -> bool| {
        let began = std::time::Instant::now();
        while !is_so() {
            assert!(
                began.elapsed().as_secs() < 60,
                "{what}: {}",
                compose(&["logs"])
            );
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    until("the agent sees the app", &|| sees("web"));
    strike(&engine, "web", Signal::KILL);
    until("it is back", &|| runs(&engine, "web") && sees("web"));
    // A backup in there takes the volumes from the data root, and never freezes itself.
    let vault = ["--vault", "/var/lib/lifeboat/vault"];
    let key = ["--password-file", "/etc/lifeboat/key"];
    let backup = ["backup", "web", "-o", "json"];
    let inside = ["exec", "-T", "lifeboat", program];
    let report = compose(&[&inside[..], &vault, &key, &backup].concat());
    let report: Value = serde_json::from_str(&report).unwrap();
    assert!(report.to_string().contains("web"), "{report}");
    assert!(runs(&engine, "web"));
    compose(&["down", "-t", "20"]);
    assert!(runs(&engine, "web"));
    tiny::remove(&engine, "web");
}
