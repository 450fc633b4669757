//! `restore --replace` with mappings: what takes the place of the app is otherwise than it was.

use std::process::{Child, Stdio};

use serde_json::{Value, json};

use crate::{
    support::Lab,
    tiny::{self, refused, stderr, stdout},
};

/// A process that listens, ended with the test.
struct Listener(Child);

impl Drop for Listener {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_new_one_is_mapped_and_goes_on_with_the_same_mappings_alone() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let some = Some(&engine);
    let api = engine.api();
    for name in ["web_net", "front"] {
        api.post("/networks/create", &json!({"Name": name}))
            .unwrap();
    }
    tiny::create(
        &engine,
        "web",
        json!({
            "Cmd": ["sh", "-c", "exec httpd -f -p 8080 -h /www"],
            "Env": ["DB_HOST=old.example", "KEEP=1"],
            "ExposedPorts": {"8080/tcp": {}},
            "HostConfig": {
                "Binds": ["web_data:/www"], "NetworkMode": "web_net",
                "PortBindings": {"8080/tcp": [{"HostPort": "18190"}]},
            },
        }),
    );
    tiny::start(&engine, "web");
    let tag = "/images/lifeboat%2Fbusybox:latest/tag?repo=lifeboat/other&tag=2";
    api.post(tag, &Value::Null).unwrap();
    let row = engine.volume_path("web_data").unwrap().join("row");
    fs_err::write(&row, "first").unwrap();
    lab.json(some, &["backup", "web"], 0);
    fs_err::write(&row, "second").unwrap();
    let before = (tiny::names(&engine), tiny::inspect(&engine, "web"));

    // Data stays where the app has it.
    let line = "restore web --replace --map-volume web_data:x2 --map-subnet 10.0.0.0/8:auto --map-env NOPE=1";
    let words = [
        "--map-volume is not for --replace",
        "--map-subnet is not for --replace",
        "no container has the variable NOPE",
        "nothing was changed",
    ];
    refused(&lab, some, line, 1, &words);
    // A port that a process has is found beforehand; the app's own are no obstacle.
    let mut busybox = engine.netns_command("busybox");
    busybox.args(["httpd", "-f", "-p", "18195"]);
    busybox.stdin(Stdio::null()).stdout(Stdio::null());
    let listener = Listener(busybox.stderr(Stdio::null()).spawn().unwrap());
    while engine.http_get([127, 0, 0, 1].into(), 18195, "/").is_err() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let line = "restore web --replace --map-port 18190:18195";
    let words = [
        "port 18195 of web is taken by the process busybox",
        "nothing was changed",
    ];
    refused(&lab, some, line, 1, &words);
    drop(listener);
    assert_eq!(
        (tiny::names(&engine), tiny::inspect(&engine, "web")),
        before
    );

    let file = lab.path("map.yaml");
    fs_err::write(&file, "env:\n  DB_HOST: s3cret.example\n").unwrap();
    let args = [
        "restore",
        "web",
        "--replace",
        "--no-safety-point",
        "--map-port",
        "18190:127.0.0.1:18191",
        "--map-network",
        "web_net:front",
        "--map-image",
        "lifeboat/busybox=lifeboat/other:2",
        "--map-env",
        "web:EXTRA=1",
        "--map-file",
        file.to_str().unwrap(),
    ];
    let dry: Vec<&str> = args.iter().chain(&["-n"]).copied().collect();
    let plan = lab.json(some, &dry, 0);
    let text = stdout(&lab.run(some, &dry, 0));
    for mapped in [
        json!({"kind": "port", "of": "web", "old": "18190", "new": "127.0.0.1:18191"}),
        json!({"kind": "network", "old": "web_net", "new": "front"}),
        json!({"kind": "image", "of": "web", "old": "lifeboat/busybox", "new": "lifeboat/other:2"}),
        json!({"kind": "variable", "of": "web", "old": "DB_HOST", "new": "another value"}),
        json!({"kind": "variable", "of": "web", "old": "EXTRA", "new": "added"}),
    ] {
        let all = plan["mappings"].as_array().unwrap();
        assert!(all.contains(&mapped), "{mapped} in {all:#?}");
        assert!(text.contains(mapped["new"].as_str().unwrap()), "{text}");
    }
    assert!(!plan.to_string().contains("s3cret"), "{plan}");
    // Before the cut and in it: on with the same ones alone, or back to how it was.
    for (step, way) in [
        ("replace-cut", "--undo"),
        ("replace-exchange", "--undo"),
        ("replace-name", "--continue"),
    ] {
        let mut command = lab.command(some, &args);
        let killed = command.env("LIFEBOAT_TEST_KILL_AT", step).output().unwrap();
        assert_eq!(killed.status.code(), None, "{step}: {}", stderr(&killed));
        let line = "restore web --replace";
        refused(&lab, some, line, 1, &["other mappings", "--continue"]);
        let done = lab.json(some, &["restore", way], 0);
        if way == "--undo" {
            let mut now = tiny::inspect(&engine, "web");
            for part in ["Id", "Config", "HostConfig"] {
                assert_eq!(now[part].take(), before.1[part], "{step} {part}");
            }
            assert_eq!(fs_err::read_to_string(&row).unwrap(), "second", "{step}");
            continue;
        }
        assert_eq!(done["mappings"], plan["mappings"]);
        assert!(!done.to_string().contains("s3cret"), "{done}");
    }
    let raw = tiny::inspect(&engine, "web");
    assert_eq!(raw["Config"]["Image"], "lifeboat/other:2");
    let env = raw["Config"]["Env"].to_string();
    for entry in ["DB_HOST=s3cret.example", "KEEP=1", "EXTRA=1"] {
        assert!(env.contains(entry), "{env}");
    }
    let networks = raw["NetworkSettings"]["Networks"].as_object().unwrap();
    assert_eq!(networks.keys().collect::<Vec<_>>(), ["front"]);
    let (status, body) = engine
        .http_get([127, 0, 0, 1].into(), 18191, "/row")
        .unwrap();
    assert_eq!((status, body.as_str()), (200, "first"));
    assert_eq!(tiny::names(&engine), before.0);
    engine.destroy().unwrap();
}
