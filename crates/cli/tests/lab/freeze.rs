//! What others see of a freeze: nothing, where the cgroups are in reach; the engine's own `pause` where they are not.

use std::process::Command;

use lifeboat_testkit::engine::PrivateEngine;
use serde_json::{Value, json};

use crate::{
    support::{Lab, only},
    tiny,
};

/// An app that writes all the time, healthy by its own check.
fn healthy(engine: &PrivateEngine) {
    let second = 1_000_000_000_u64;
    let body = json!({
        "Cmd": ["sh", "-c", "n=0; while true; do n=$((n+1)); echo $n >>/data/a; sleep 0.01; done"],
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": second, "Retries": 3},
        "HostConfig": {"Binds": ["notes:/data"]},
    });
    tiny::create(engine, "notes", body);
    tiny::start(engine, "notes");
    for _ in 0..300 {
        if health(engine) == "healthy" {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("it never became healthy");
}

fn health(engine: &PrivateEngine) -> Value {
    tiny::inspect(engine, "notes")["State"]["Health"]["Status"].clone()
}

/// How often the engine says that it paused something.
fn pauses(engine: &PrivateEngine) -> usize {
    let filters = r#"{"type":["container"],"event":["pause"]}"#;
    let filters = filters.replace('{', "%7B").replace('}', "%7D");
    let filters = filters
        .replace('"', "%22")
        .replace('[', "%5B")
        .replace(']', "%5D");
    let until = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let path = format!(
        "/events?since=0&until={}&filters={filters}",
        until.as_secs() + 1
    );
    let body = engine.api().get_bytes(&path).unwrap();
    String::from_utf8_lossy(&body)
        .matches("\"Action\":\"pause\"")
        .count()
}

#[test]
fn the_engine_and_what_watches_health_see_nothing_of_a_freeze() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    healthy(&engine);
    let report = lab.json(Some(&engine), &["backup", "notes"], 0);
    assert_eq!(health(&engine), "healthy");
    let point = only(&report);
    assert_eq!(point["level"], "crash", "{point:#}");
    assert!(point["stall_seconds"].as_f64().is_some(), "{point:#}");
    assert_eq!(pauses(&engine), 0);
    engine.destroy().unwrap();
}

#[test]
fn without_the_cgroups_in_reach_the_engine_pauses() {
    the_engine_pauses_where("umount -R -l /sys/fs/cgroup");
}

#[test]
fn where_the_cgroups_are_read_only_the_engine_pauses() {
    // As in a container. Of the two versions, the one that is there.
    the_engine_pauses_where(
        "for at in /sys/fs/cgroup/freezer /sys/fs/cgroup; do ! [ -e $at/cgroup.procs ] || mount -o remount,bind,ro $at; done",
    );
}

fn the_engine_pauses_where(hide: &str) {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    healthy(&engine);
    let backup = lab.command(Some(&engine), &["backup", "notes", "-o", "json"]);
    let mut hidden = Command::new("unshare");
    let script = format!("{hide}; exec \"$@\"");
    hidden.args(["-m", "sh", "-c", &script, "sh"]);
    hidden.arg(backup.get_program()).args(backup.get_args());
    for (name, value) in backup.get_envs() {
        match value {
            Some(value) => hidden.env(name, value),
            None => hidden.env_remove(name),
        };
    }
    let output = hidden.output().unwrap();
    assert!(output.status.success(), "{}", tiny::stderr(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let point = only(&report);
    assert_eq!(point["level"], "crash", "{point:#}");
    assert_eq!(pauses(&engine), 1);
    assert!(tiny::runs(&engine, "notes"));
    engine.destroy().unwrap();
}
