//! The supervisor on a real engine: what dies, hangs or vanishes is back, what a person did is left.

mod basics;
mod chaos;
mod contained;
mod crash;
mod flood;
mod gone;
mod host;
mod others;
mod recreated;
mod replicas;
mod times;
mod together;
mod wrong;

use std::{
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use lifeboat_testkit::engine::PrivateEngine;
use serde_json::{Value, json};

use crate::{
    support::{Lab, PATIENCE},
    tiny::{self, IDLE},
};

/// An agent that runs; stopped when dropped.
pub struct Agent<'l> {
    lab: &'l Lab,
    child: Option<Child>,
}

impl<'l> Agent<'l> {
    pub fn start(lab: &'l Lab, engine: &PrivateEngine) -> Self {
        Self::start_with(lab, engine, &[])
    }

    pub fn start_with(lab: &'l Lab, engine: &PrivateEngine, env: &[(&str, &str)]) -> Self {
        let log = fs_err::OpenOptions::new()
            .append(true)
            .create(true)
            .open(lab.path("agent.log"))
            .unwrap();
        let child = lab
            .command(Some(engine), &["agent"])
            .envs(env.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log.into_parts().0)
            .spawn()
            .unwrap();
        let agent = Self {
            lab,
            child: Some(child),
        };
        agent.until("the agent sees the engine", || {
            let output = lab
                .command(None, &["status", "-o", "json"])
                .output()
                .unwrap();
            let seen: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
            let rows = seen["rows"].as_array().cloned().unwrap_or_default();
            let known = |row: &Value| {
                row["because"]
                    .as_str()
                    .is_some_and(|because| !because.is_empty())
            };
            seen["connected"] == true && rows.iter().all(known)
        });
        agent
    }

    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Waits for something that the agent is to bring about.
    pub fn until(&self, what: &str, is_so: impl Fn() -> bool) {
        self.within(PATIENCE, what, is_so);
    }

    pub fn within(&self, limit: Duration, what: &str, is_so: impl Fn() -> bool) {
        let began = Instant::now();
        while !is_so() {
            let log = || fs_err::read_to_string(self.lab.path("agent.log")).unwrap();
            assert!(
                began.elapsed() < limit,
                "not within {limit:?}: {what}\n{}",
                log()
            );
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    pub fn kill(mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Stops it as a service manager does.
    pub fn stop(mut self) {
        let mut child = self.child.take().unwrap();
        let pid = rustix::process::Pid::from_child(&child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Agent<'_> {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What an agent that does not run left waiting (for other hands, for the next try) has waited long enough: for tests
/// that are not about how long.
pub fn waits_are_over(lab: &Lab) {
    let file = lab.path("state/agent/supervisor.json");
    let mut world: Value = serde_json::from_slice(&fs_err::read(&file).unwrap()).unwrap();
    for unit in world["units"].as_object_mut().unwrap().values_mut() {
        for wait in ["/hands_off", "/queued/not_before"] {
            if let Some(until) = unit.pointer_mut(wait).filter(|until| until.is_u64()) {
                *until = json!(0);
            }
        }
    }
    fs_err::write(&file, world.to_string()).unwrap();
}

/// A container that idles, with these labels and this restart policy.
pub fn idle(engine: &PrivateEngine, name: &str, policy: &str, labels: Value) -> String {
    scripted(engine, name, IDLE, policy, labels)
}

pub fn scripted(
    engine: &PrivateEngine,
    name: &str,
    script: &str,
    policy: &str,
    labels: Value,
) -> String {
    let id = tiny::create(
        engine,
        name,
        json!({
            "Cmd": ["sh", "-c", script], "Labels": labels,
            "HostConfig": {"RestartPolicy": {"Name": policy}},
        }),
    );
    tiny::start(engine, name);
    id
}

/// Kills its first process as the kernel would, behind the engine's back.
pub fn strike(engine: &PrivateEngine, name: &str, signal: rustix::process::Signal) {
    let pid = tiny::inspect(engine, name)["State"]["Pid"]
        .as_i64()
        .unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

pub fn started(engine: &PrivateEngine, name: &str) -> String {
    tiny::inspect(engine, name)["State"]["StartedAt"]
        .as_str()
        .unwrap()
        .to_owned()
}

/// Seconds between its last end and its last start, by the engine's clock.
pub fn gap(engine: &PrivateEngine, name: &str) -> f64 {
    let state = &tiny::inspect(engine, name)["State"];
    let time = |key: &str| -> jiff::Timestamp { state[key].as_str().unwrap().parse().unwrap() };
    (time("StartedAt") - time("FinishedAt"))
        .total(jiff::Unit::Second)
        .unwrap()
}

/// Runs since another start than this one.
pub fn is_again(engine: &PrivateEngine, name: &str, before: &str) -> bool {
    let raw = tiny::inspect(engine, name);
    raw["State"]["Running"] == true && raw["State"]["StartedAt"] != before
}

/// The line of a container in `lifeboat status`.
pub fn row(lab: &Lab, name: &str) -> Value {
    let output = lab
        .command(None, &["status", "-o", "json"])
        .output()
        .unwrap();
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    let rows = status["rows"].as_array().unwrap();
    rows.iter()
        .find(|row| row["container"] == name)
        .cloned()
        .unwrap_or_default()
}

/// Kinds of events of a container, oldest first.
pub fn told(lab: &Lab, name: &str) -> Vec<String> {
    let events = lab.json(None, &["events", name, "-n", "10000"], 0);
    let events = events.as_array().unwrap();
    events
        .iter()
        .map(|event| event["kind"].as_str().unwrap().to_owned())
        .collect()
}
