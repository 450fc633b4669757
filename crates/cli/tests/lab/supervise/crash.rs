//! The agent itself: killed at any moment, started again.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;

use super::{Agent, idle, row, strike};
use crate::{
    support::Lab,
    tiny::{self, engine, runs},
};

#[test]
fn killed_at_any_moment_it_goes_on_where_it_was() {
    let lab = Lab::new();
    let engine = engine(&lab, "agent");
    let names = ["aa", "bb", "cc", "dd"];
    for name in names {
        idle(&engine, name, "no", json!({"lifeboat.supervise": "true"}));
    }
    idle(&engine, "off", "no", json!({"lifeboat.supervise": "true"}));
    let mut agent = Agent::start(&lab, &engine);
    engine
        .api()
        .post("/containers/off/stop?t=1", &serde_json::Value::Null)
        .unwrap();
    agent.until("it is seen", || row(&lab, "off")["state"] == "stopped");
    for wait in [0, 40, 120, 250, 400] {
        for name in names {
            strike(&engine, name, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(wait));
        agent.kill();
        agent = Agent::start(&lab, &engine);
        // Failures in a row wait longer; a person who starts it all again ends that.
        agent.until("it knows what became of all", || {
            names
                .iter()
                .all(|name| runs(&engine, name) || row(&lab, name)["state"] == "back-off")
        });
        for name in names {
            if !runs(&engine, name) {
                tiny::start(&engine, name);
            }
        }
        agent.until("all run", || {
            names
                .iter()
                .all(|name| row(&lab, name)["state"] == "running")
        });
    }
    assert_eq!(row(&lab, "off")["state"], "stopped");
    assert!(!runs(&engine, "off"));
    // While no agent ran, a container crashed and a person stopped another one.
    agent.kill();
    strike(&engine, "aa", Signal::KILL);
    engine
        .api()
        .post("/containers/bb/stop?t=1", &serde_json::Value::Null)
        .unwrap();
    let agent = Agent::start(&lab, &engine);
    agent.until("the crash is known", || {
        row(&lab, "aa")["state"] != "stopped" && row(&lab, "bb")["state"] == "stopped"
    });
    assert!(!runs(&engine, "bb"));
    agent.stop();
}

#[test]
fn told_to_read_its_settings_it_begins_anew_in_the_same_process() {
    let lab = Lab::new();
    let engine = engine(&lab, "agent");
    idle(&engine, "aa", "no", json!({"lifeboat.supervise": "true"}));
    let agent = Agent::start(&lab, &engine);
    let log = || fs_err::read_to_string(lab.path("agent.log")).unwrap();
    let begun = || {
        let events = lab.json(None, &["events"], 0);
        events.to_string().matches("the agent begins").count()
    };
    let hang_up = || {
        let pid = rustix::process::Pid::from_raw(agent.pid().cast_signed()).unwrap();
        rustix::process::kill_process(pid, Signal::HUP).unwrap();
    };
    assert_eq!(begun(), 1);
    let answers = || row(&lab, "aa")["state"] == "running";
    fs_err::create_dir_all(lab.path("etc")).unwrap();
    let file = lab.path("etc/lifeboat.toml");
    fs_err::write(&file, "[probes.\n").unwrap();
    hang_up();
    agent.until("the settings are not taken", || {
        log().contains("the settings stay as they were")
    });
    assert_eq!(begun(), 1);
    fs_err::write(&file, "").unwrap();
    hang_up();
    agent.until("it has begun anew", || begun() == 2 && answers());
    // It works: with the engine, and as the process that whoever started it waits for.
    strike(&engine, "aa", Signal::KILL);
    agent.until("it is back", || runs(&engine, "aa") && answers());
    agent.stop();
}

#[test]
fn who_wants_it_to_end_while_it_begins_anew_is_obeyed() {
    let lab = Lab::new();
    let engine = engine(&lab, "agent");
    let agent = Agent::start(&lab, &engine);
    let pid = rustix::process::Pid::from_raw(agent.pid().cast_signed()).unwrap();
    rustix::process::kill_process(pid, Signal::HUP).unwrap();
    agent.stop();
}
