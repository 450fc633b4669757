//! What the backup itself runs through is never frozen; and an engine that hangs while the app is
//! frozen does not keep it frozen.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use lifeboat_engine::freezer::Freezer;
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    support::Lab,
    tiny::{self, Held, inspect},
};

#[test]
fn a_container_that_the_backup_runs_in_is_not_frozen_and_the_point_is_live() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    // A backup that runs in a container, beside the app that writes the same volume.
    let host = serde_json::json!({"Binds": ["notes:/data"]});
    tiny::run_with(&engine, "manager", tiny::IDLE, host.clone());
    tiny::run_with(
        &engine,
        "notes",
        "while true; do date >> /data/log; sleep 0.05; done",
        host,
    );
    let plain = lab.json(Some(&engine), &["backup", "notes"], 0);
    assert_eq!(plain["protected"][0]["level"], "crash", "{plain:#}");

    let pid = inspect(&engine, "manager")["State"]["Pid"]
        .as_u64()
        .unwrap();
    let script = format!("{}exec \"$@\"", join_cgroups(pid));
    let lifeboat = lab.command(Some(&engine), &["backup", "notes", "-o", "json"]);
    let mut inside = Command::new("sh");
    inside
        .args(["-c", &script, "sh"])
        .arg(lifeboat.get_program())
        .args(lifeboat.get_args());
    for (name, value) in lifeboat.get_envs() {
        match value {
            Some(value) => inside.env(name, value),
            None => inside.env_remove(name),
        };
    }
    let output = inside.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let point = &report["protected"][0];
    assert_eq!(point["level"], "live", "{point:#}");
    let reason = point["level_reason"].as_str().unwrap();
    assert!(reason.contains("manager"), "{reason}");
    // Where crash is asked for, that is less, with an exit code of its own; the point is kept and marked.
    let output = inside.args(["--consistency", "crash"]).output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let less = report["protected"][0]["less_consistent"].as_str().unwrap();
    assert!(
        less.contains("is live where the policy asks for crash, because manager"),
        "{less}"
    );
    let points = lab.json(None, &["points"], 0);
    let partial = points["points"].as_array().unwrap().iter();
    assert_eq!(partial.filter(|point| point["partial"] == true).count(), 1);
    assert!(tiny::runs(&engine, "notes") && tiny::runs(&engine, "manager"));
    engine.destroy().unwrap();
}

/// Shell commands that move the shell into every cgroup of a process.
fn join_cgroups(pid: u64) -> String {
    let groups = fs_err::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let mut script = String::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next().unwrap(), parts.next().unwrap());
        let folder = controllers.strip_prefix("name=").unwrap_or(controllers);
        let procs = format!("/sys/fs/cgroup/{folder}{path}/cgroup.procs");
        if std::path::Path::new(&procs).exists() {
            script.push_str(&format!("echo $$ > '{procs}'; "));
        }
    }
    assert!(script.contains("freezer"), "{groups}");
    script
}

#[test]
fn an_engine_that_hangs_while_the_app_is_frozen_does_not_keep_it_frozen() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let host = serde_json::json!({"Binds": ["notes:/data"]});
    tiny::run_with(
        &engine,
        "notes",
        "while true; do date >> /data/log; sleep 0.01; done",
        host,
    );
    let pid = inspect(&engine, "notes")["State"]["Pid"].as_u64().unwrap();
    let freezer = Freezer::of_pid(u32::try_from(pid).unwrap()).unwrap();
    let mut backup = Held::start(&lab, lab.command(Some(&engine), &["backup", "notes"]));
    backup.until("frozen");
    assert!(freezer.is_frozen().unwrap(), "it was never frozen");
    let dockerd = dockerd_of(engine.dir());
    kill_process(dockerd, Signal::STOP).unwrap();
    backup.kill();
    let died = Instant::now();
    while freezer.is_frozen().unwrap() {
        assert!(
            died.elapsed() < Duration::from_secs(20),
            "still frozen, the engine hangs"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
    // Thawed behind the engine's back; once it wakes, its own state is mended too.
    kill_process(dockerd, Signal::CONT).unwrap();
    let woke = Instant::now();
    while !tiny::runs(&engine, "notes") {
        assert!(
            woke.elapsed() < Duration::from_secs(60),
            "the engine still says paused"
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    lab.json(Some(&engine), &["backup", "notes"], 0);
    engine.destroy().unwrap();
}

#[test]
fn what_stays_frozen_when_the_watchdog_dies_too_is_thawed_by_the_next_backup() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let host = serde_json::json!({"Binds": ["notes:/data"]});
    let script = "while true; do date >> /data/log; sleep 0.05; done";
    tiny::run_with(&engine, "notes", script, host);
    let pid = inspect(&engine, "notes")["State"]["Pid"].as_u64().unwrap();
    let freezer = Freezer::of_pid(u32::try_from(pid).unwrap()).unwrap();
    let command = lab.command(Some(&engine), &["backup", "notes"]);
    let mut held = Held::start(&lab, command);
    held.until("frozen");
    let backup = held.pid();
    let children = fs_err::read_to_string(format!("/proc/{backup}/task/{backup}/children"));
    for child in children.unwrap().split_whitespace() {
        let pid = Pid::from_raw(child.parse().unwrap()).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
    }
    let pid = Pid::from_raw(i32::try_from(backup).unwrap()).unwrap();
    kill_process(pid, Signal::KILL).unwrap();
    held.end();
    std::thread::sleep(Duration::from_secs(1));
    assert!(freezer.is_frozen().unwrap(), "somebody else has thawed it");
    let output = lab.run(Some(&engine), &["backup", "notes"], 0);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("left frozen"), "{said}");
    assert!(tiny::runs(&engine, "notes") && !freezer.is_frozen().unwrap());
    engine.destroy().unwrap();
}

#[test]
fn an_instant_that_somebody_disturbs_is_tried_again() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let host = serde_json::json!({"Binds": ["notes:/data"]});
    let script = "n=0; while true; do n=$((n+1)); echo $n >> /data/a; echo $n >> /data/b; done";
    tiny::run_with(&engine, "notes", script, host);
    let pid = inspect(&engine, "notes")["State"]["Pid"].as_u64().unwrap();
    let freezer = Freezer::of_pid(u32::try_from(pid).unwrap()).unwrap();
    let mut held = Held::start(
        &lab,
        lab.command(Some(&engine), &["backup", "notes", "-o", "json"]),
    );
    held.until("frozen");
    freezer.thaw().unwrap();
    std::thread::sleep(Duration::from_millis(100));
    let output = held.end();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("disturbed"), "{said}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["protected"][0]["level"], "crash");
    // One instant: the second file is never ahead of the first, nor more than one behind.
    let lines = |file: &str| -> u64 {
        lab.restic(&["dump", "latest", &format!("/volumes/notes/{file}")])
            .lines()
            .count() as u64
    };
    let (a, b) = (lines("a"), lines("b"));
    assert!(b > 0 && (a == b || a == b + 1), "{a} and {b}");
    engine.destroy().unwrap();
}

/// The engine's process: the `dockerd` whose arguments name its folder.
fn dockerd_of(dir: &std::path::Path) -> Pid {
    let dir = dir.to_str().unwrap();
    for entry in fs_err::read_dir("/proc").unwrap() {
        let path = entry.unwrap().path();
        let Ok(words) = fs_err::read(path.join("cmdline")) else {
            continue;
        };
        let words = String::from_utf8_lossy(&words).into_owned();
        let is_dockerd = words
            .split('\0')
            .next()
            .is_some_and(|word| word.ends_with("dockerd"));
        if is_dockerd && words.contains(dir) {
            let pid = path.file_name().unwrap().to_str().unwrap().parse().unwrap();
            return Pid::from_raw(pid).unwrap();
        }
    }
    panic!("no dockerd of {dir}");
}
