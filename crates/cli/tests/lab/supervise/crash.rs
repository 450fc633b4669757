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
