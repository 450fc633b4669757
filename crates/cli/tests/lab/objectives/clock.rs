//! A clock that jumps: the agent and all its jobs run under libfaketime, whose clock is set while they run.

use std::{
    path::{Path, PathBuf},
    process::{Child, Stdio},
};

use lifeboat_testkit::{images, packages};
use serde_json::json;

use super::{app, jobs, until};
use crate::support::Lab;

/// So many points are done.
fn made(lab: &Lab) -> usize {
    let jobs = jobs(lab);
    let of_app = jobs.iter().filter(|job| job["work"]["app"].is_string());
    of_app
        .filter(|job| job["outcome"]["result"] == "done")
        .count()
}

fn library() -> PathBuf {
    packages::ensure(&[("libfaketime", "sets the clock of the agent alone")]).unwrap();
    let triplet = format!("/usr/lib/{}-linux-gnu/faketime", std::env::consts::ARCH);
    Path::new(&triplet).join("libfaketimeMT.so.1")
}

struct Agent(Child);

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_clock_that_jumps_keeps_nothing_from_being_captured() {
    let lab = Lab::new();
    let engine = lab.engine("a");
    images::busybox().unwrap().load(&engine).unwrap();
    lab.init();
    app(&engine, "notes", &json!({"lifeboat.rpo": "5s"}));
    let clock = lab.path("clock");
    let set = |offset: &str| fs_err::write(&clock, offset).unwrap();
    set("+0");
    let log = fs_err::File::create(lab.path("agent.log")).unwrap();
    let mut command = lab.command(Some(&engine), &["agent", "-v"]);
    command
        .env("LD_PRELOAD", library())
        .env("FAKETIME_TIMESTAMP_FILE", &clock)
        .env("FAKETIME_NO_CACHE", "1")
        // What is measured within a process goes on evenly, as it does when a real clock is set.
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .stdout(Stdio::null())
        .stderr(log.into_parts().0);
    let _agent = Agent(command.spawn().unwrap());
    until("two points", &lab, || made(&lab) >= 2);
    for offset in ["+3600", "+0", "-3600"] {
        let before = made(&lab);
        set(offset);
        // Within a few RPOs of the real clock, whatever the other one says.
        until(
            &format!("points after the clock says {offset}"),
            &lab,
            || made(&lab) >= before + 2,
        );
    }
    let said = lab.json(None, &["events", "-n", "1000"], 0).to_string();
    assert!(said.contains("clock"), "{said}");
    lab.restic(&["check"]);
}
