//! The host in trouble: said before it kills, and taken back.

use lifeboat_testkit::{
    engine::{EngineOptions, PrivateEngine},
    images,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{Agent, idle};
use crate::{
    support::Lab,
    tiny::{self, IDLE, Small, engine},
};

/// What `status` says of the host: kind and level. Of disks only that of the state: the machine's own may be short.
fn found(lab: &Lab) -> Vec<(String, String)> {
    let mut command = lab.command(None, &["status", "-o", "json"]);
    let output = command.output().unwrap();
    let status: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let all = status["host"].as_array().cloned().unwrap_or_default();
    let text = |found: &Value, key: &str| found[key].as_str().unwrap().to_owned();
    let ours = |f: &&Value| f["kind"] != "disk" || text(f, "text").contains("remembers");
    all.iter()
        .filter(ours)
        .map(|f| (text(f, "kind"), text(f, "level")))
        .collect()
}

#[test]
fn a_full_disk_an_engine_that_hangs_and_another_healer_are_said() {
    let lab = Lab::new();
    let state = Small::mount(&lab.path("state"), "64m");
    let engine = engine(&lab, "ill");
    let api = engine.api();
    let tag = "/images/lifeboat/busybox:latest/tag?repo=willfarrell/autoheal&tag=1.2";
    api.post(tag, &Value::Null).unwrap();
    let nurse =
        json!({"Image": "willfarrell/autoheal:1.2", "Cmd": ["sh", "-c", IDLE], "StopTimeout": 1});
    api.create_container("nurse", &nurse).unwrap();
    tiny::start(&engine, "nurse");
    idle(&engine, "web", "always", json!({}));
    let agent = Agent::start(&lab, &engine);
    let has = |kind: &str, level: &str| found(&lab).contains(&(kind.to_owned(), level.to_owned()));
    let well = |kind: &str| found(&lab).iter().all(|(k, _)| k != kind);
    agent.until("the other healer is named", || has("healer", "note"));
    lab.run(None, &["status"], 0);
    tiny::remove(&engine, "nurse");
    agent.until("it is not any more", || well("healer"));

    // Both at once: neither hides the other.
    let pid = fs_err::read_to_string(engine.dir().join("run/docker.pid")).unwrap();
    let pid = Pid::from_raw(pid.trim().parse().unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let fill = lab.path("state/fill");
    fs_err::write(&fill, vec![0; 63 << 20]).unwrap();
    agent.until("the disk is full", || has("disk", "bad"));
    let said = tiny::stdout(&lab.run(None, &["status"], 20));
    assert!(
        said.contains("are free where what Lifeboat remembers lies"),
        "{said}"
    );
    agent.until("the engine hangs", || has("engine", "bad"));
    assert!(has("disk", "bad"));
    fs_err::remove_file(&fill).unwrap();
    kill_process(pid, Signal::CONT).unwrap();
    agent.until("there is room again", || well("disk"));
    agent.until("it answers again", || well("engine"));
    let events = lab.json(None, &["events", "-n", "1000"], 0);
    let told = |kind: &str| {
        let all = events.as_array().unwrap().iter();
        all.filter(|e| e["kind"] == kind && e["container"] == "")
            .count()
    };
    assert_eq!(told("healer"), 1, "{events:#}");
    assert!(told("disk") >= 2, "{events:#}");
    assert!(told("engine") >= 2, "{events:#}");
    agent.stop();
    drop(state);
}

#[test]
fn what_fills_the_disk_is_named() {
    let lab = Lab::new();
    // The whole engine on a file system of its own.
    let room = Small::mount(&lab.path("room"), "400m");
    let options = EngineOptions::new("room", lab.path("room/e")).hostname("lab");
    let engine = PrivateEngine::start(options).unwrap();
    images::busybox().unwrap().load(&engine).unwrap();
    let script = "dd if=/dev/zero of=/own bs=1M count=60 2>/dev/null; dd if=/dev/zero of=/data/much bs=1M count=120 2>/dev/null; touch /data/done; ";
    let body = json!({
        "Cmd": ["sh", "-c", format!("{script}{IDLE}")],
        "HostConfig": {"Binds": ["kept:/data"], "RestartPolicy": {"Name": "always"}},
    });
    tiny::create(&engine, "eats", body);
    idle(&engine, "web", "always", json!({}));
    let agent = Agent::start(&lab, &engine);
    tiny::start(&engine, "eats");
    agent.until("it has written", || {
        engine
            .api()
            .exec("eats", &["test", "-e", "/data/done"])
            .is_ok_and(|done| done.code == 0)
    });
    let free = rustix::fs::statvfs(lab.path("room").as_path()).unwrap();
    let left = free.f_bavail * free.f_frsize;
    fs_err::write(
        lab.path("room/others"),
        vec![0; usize::try_from(left).unwrap() - (20 << 20)],
    )
    .unwrap();
    let said = || {
        let mut command = lab.command(None, &["status", "-o", "json"]);
        let status: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
        let all = status["host"].as_array().cloned().unwrap_or_default();
        let mut texts = all.iter().filter_map(|found| found["text"].as_str());
        let text = texts.find(|text| text.contains("the engine's data"));
        text.unwrap_or_default().to_owned()
    };
    agent.until("it is said who takes it", || {
        said().contains("most is taken by")
    });
    let text = said();
    let (_, names) = text.split_once("most is taken by ").unwrap();
    assert!(names.starts_with("the volume kept of eats (12"), "{text}");
    assert!(names.contains("what eats wrote into itself (6"), "{text}");
    agent.stop();
    drop(engine);
    drop(room);
}
