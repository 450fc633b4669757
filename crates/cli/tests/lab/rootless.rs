//! An engine that a user runs without root's rights: its apps saved, brought back, beside and over.

use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::process::Output;

use lifeboat_testkit::{
    engine::{ROOTLESS_IDS, RootlessEngine},
    images,
};
use serde_json::{Value, json};

use crate::{
    support::{Lab, only},
    tiny::{self, IDLE, stderr},
};

struct Scene {
    engine: RootlessEngine,
    lab: Lab,
}

impl Scene {
    fn run(&self, args: &[&str], code: i32) -> Output {
        let mut command = self.lab.command(None, args);
        command.env("DOCKER_HOST", self.engine.docker_host());
        let output = command.output().unwrap();
        let (said, log) = (stderr(&output), self.engine.log_tail());
        assert_eq!(output.status.code(), Some(code), "{args:?}: {said}\n{log}");
        output
    }

    fn json(&self, args: &[&str]) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["-o", "json"]).collect();
        serde_json::from_slice(&self.run(&args, 0).stdout).unwrap()
    }

    /// What a container does in its own eyes.
    fn exec(&self, name: &str, line: &str) -> String {
        let api = self.engine.api();
        let said = api.exec_ok(name, &["sh", "-c", line]).unwrap();
        said.trim().to_owned()
    }

    /// The word in the volume and in the bind, and whose the files are.
    fn seen(&self, name: &str) -> String {
        let line = "echo $(cat /data/f /bind/f) $(stat -c %u:%g:%a /data/f /bind/f)";
        self.exec(name, line)
    }
}

const OWNERS: &str = "33:44:640 1000:0:600";

#[test]
fn a_users_own_engine_gets_its_apps_back_with_the_owners_that_they_see() {
    let lab = Lab::new();
    // A user has to get through.
    let open = std::fs::Permissions::from_mode(0o755);
    fs_err::set_permissions(lab.path("."), open).unwrap();
    lab.init();
    let engine = RootlessEngine::start(&lab.path("r"), "lab").unwrap();
    let api = engine.api();
    images::busybox().unwrap().load_through(&api).unwrap();
    let bind = lab.path("srv/bind");
    fs_err::create_dir_all(&bind).unwrap();
    // Root in its containers is the user: what they shall write is the user's.
    chown(&bind, Some(1), Some(1)).unwrap();
    let body = json!({
        "Image": "lifeboat/busybox:latest",
        "Cmd": ["sh", "-c", IDLE],
        "StopTimeout": 1,
        "HostConfig": {"Binds": ["data:/data", format!("{}:/bind", bind.display())]},
    });
    api.create_container("one", &body).unwrap();
    api.post("/containers/one/start", &Value::Null).unwrap();
    let scene = Scene { engine, lab };
    let write = |word: &str| {
        scene.exec(
            "one",
            &format!(
                "echo {word} >/data/f; chown 33:44 /data/f; chmod 640 /data/f; \
                 echo {word} >/bind/f; chown 1000:0 /bind/f; chmod 600 /bind/f"
            ),
        );
    };
    write("first");
    let first = format!("first first {OWNERS}");
    assert_eq!(scene.seen("one"), first);
    let on_host = fs_err::metadata(bind.join("f")).unwrap().uid();
    assert_eq!(on_host, ROOTLESS_IDS + 1000 - 1);

    // Without control groups nothing can stand still, and the point says so.
    let report = scene.json(&["backup", "one"]);
    let point = only(&report);
    assert_eq!(point["level"], "live", "{point:#}");
    let point = format!("one@{}", &point["id"].as_str().unwrap()[..8]);

    // Beside the one that runs.
    write("second");
    scene.json(&["restore", &point, "--as", "try"]);
    assert_eq!(scene.seen("try"), first);
    assert_eq!(scene.seen("one"), format!("second second {OWNERS}"));
    scene.json(&["rm", "try", "--yes"]);

    // In its place, and back again by the safety point.
    let done = scene.json(&["restore", &point, "--replace"]);
    assert_eq!(scene.seen("one"), first);
    let safety = done["safety_point"].as_str().unwrap();
    scene.json(&["restore", safety, "--replace", "--no-safety-point"]);
    assert_eq!(scene.seen("one"), format!("second second {OWNERS}"));

    // Everything gone.
    let api = scene.engine.api();
    api.delete("/containers/one?force=true").unwrap();
    api.delete("/volumes/data").unwrap();
    fs_err::remove_dir_all(&bind).unwrap();
    scene.json(&["restore", &point]);
    assert_eq!(scene.seen("one"), first);
    // The point says nothing of the ids, so no other engine gets it.
    let other = tiny::engine(&scene.lab, "o");
    let line = format!("restore {point}");
    tiny::refused(&scene.lab, Some(&other), &line, 1, &["rootless engine"]);
}
