//! The program against a real engine, the way a person uses it. Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::{Path, PathBuf};

use assert_cmd::{Command, assert::Assert};
use lifeboat_testkit::{
    engine::{EngineOptions, PACKAGES, PrivateEngine},
    images, packages,
};
use serde_json::{Value, json};

/// An engine of its own with two apps: a container `notes` on volume `notes_data`, and the volume
/// `attic` that nobody uses.
struct Lab {
    engine: PrivateEngine,
    place: PathBuf,
}

impl Lab {
    fn new(name: &str) -> Self {
        packages::ensure(PACKAGES).unwrap();
        let place = tempfile::Builder::new().prefix("lb-").tempdir().unwrap().keep();
        let engine = PrivateEngine::start(EngineOptions::new(name, place.join("engine"))).unwrap();
        images::busybox().unwrap().load(&engine).unwrap();
        let api = engine.api();
        api.post("/volumes/create", &json!({"Name": "attic"})).unwrap();
        let body = json!({
            "Image": "lifeboat/busybox:latest",
            "Cmd": ["sh", "-c", "i=0; while true; do i=$((i+1)); echo $i >> /data/rows; sleep 0.05; done"],
            "HostConfig": {"Binds": ["notes_data:/data"], "RestartPolicy": {"Name": "always"}},
        });
        api.create_container("notes", &body).unwrap();
        api.post("/containers/notes/start", &json!({})).unwrap();
        Self { engine, place }
    }

    fn lifeboat(&self, line: &str) -> Assert {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        command
            .env("LIFEBOAT_CONFIG_DIR", self.place.join("etc"))
            .env("LIFEBOAT_STATE_DIR", self.place.join("var"))
            .env("DOCKER_HOST", self.engine.docker_host())
            .args(line.split_whitespace())
            .assert()
    }

    fn rows(&self) -> usize {
        let path: &Path = &self.engine.volume_path("notes_data").unwrap();
        fs_err::read_to_string(path.join("rows")).unwrap_or_default().lines().count()
    }
}

fn stdout(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

fn stderr(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stderr.clone()).unwrap()
}

fn json_of(assert: &Assert) -> Value {
    serde_json::from_slice(&assert.get_output().stdout).unwrap()
}

#[test]
fn from_nothing_to_a_recovered_app_in_five_commands() {
    let lab = Lab::new("cli");

    // Before any vault.
    let table = stdout(&lab.lifeboat("apps").success());
    assert!(table.contains("notes") && table.contains("volume:attic"), "{table}");
    let text = stderr(&lab.lifeboat("apps ntoes").code(1));
    assert!(text.contains("did you mean `notes`"), "{text}");
    let text = stderr(&lab.lifeboat("backup --all").code(10));
    assert!(text.contains("lifeboat init"), "{text}");

    lab.lifeboat("init -q").success();
    let assert = lab.lifeboat("backup --all --tag first");
    let text = stdout(&assert);
    assert!([0, 3].contains(&assert.get_output().status.code().unwrap()), "{text}{}", stderr(&assert));
    for word in ["notes  ", "stall ", "restore with: lifeboat restore notes@", "volume:attic  "] {
        assert!(text.contains(word), "no `{word}`: {text}");
    }
    let before = lab.rows();
    assert!(before > 0);

    // An app that is not there; the others go on.
    let report = json_of(&lab.lifeboat("backup nowhere notes -o json").code(1));
    assert_eq!(report["failed"][0]["app"], "nowhere");
    assert_eq!(report["protected"].as_array().unwrap().len(), 1);

    let points = json_of(&lab.lifeboat("points notes -o json").success());
    assert_eq!(points["points"].as_array().unwrap().len(), 2);

    // Over what runs: refused, with every reason.
    let assert = lab.lifeboat("restore notes --dry-run").code(1);
    assert!(stdout(&assert).contains("In the way:"), "{}", stdout(&assert));
    let text = stderr(&lab.lifeboat("restore notes").code(1));
    assert!(text.contains("notes"), "{text}");

    let api = lab.engine.api();
    api.delete("/containers/notes?force=true").unwrap();
    api.delete("/volumes/notes_data").unwrap();
    let assert = lab.lifeboat("restore notes --dry-run").success();
    assert!(!stdout(&assert).contains("In the way:"), "{}", stdout(&assert));
    let text = stdout(&lab.lifeboat("restore notes").success());
    assert!(text.contains("running: notes") && text.contains("RTO "), "{text}");
    assert!(lab.rows() >= before);
    let inspect = api.get("/containers/notes/json").unwrap();
    assert_eq!(inspect["State"]["Running"], true);
    lab.lifeboat("check --read-data").success();

    let place = lab.place.clone();
    lab.engine.destroy().unwrap();
    fs_err::remove_dir_all(place).unwrap();
}
