//! One container: killed, crashing, hung, stopped by a person.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Agent, gap, idle, is_again, row, scripted, started, strike, told, waits_are_over};
use crate::{
    support::Lab,
    tiny::{self, engine, refused, runs, says},
};

#[test]
fn what_is_killed_is_back_and_what_a_person_stops_is_left() {
    let lab = Lab::new();
    let engine = engine(&lab, "killed");
    idle(&engine, "ours", "no", json!({"lifeboat.supervise": "true"}));
    idle(&engine, "engines", "always", json!({}));
    idle(&engine, "nobodys", "no", json!({}));
    idle(&engine, "stopped", "always", json!({}));
    idle(
        &engine,
        "killed",
        "no",
        json!({"lifeboat.supervise": "true"}),
    );
    idle(&engine, "paused", "always", json!({}));
    let agent = Agent::start(&lab, &engine);

    for name in ["ours", "engines"] {
        let before = started(&engine, name);
        strike(&engine, name, Signal::KILL);
        agent.until("it runs again", || is_again(&engine, name, &before));
        let down = gap(&engine, name);
        println!("{name}: down for {down:.3} s");
        // By its event, not by the look at everything that comes every 30 seconds.
        assert!(down < 15.0, "{name} was down for {down} s");
    }
    strike(&engine, "nobodys", Signal::KILL);
    engine
        .api()
        .post("/containers/stopped/stop?t=1", &Value::Null)
        .unwrap();
    engine
        .api()
        .post("/containers/killed/kill", &Value::Null)
        .unwrap();
    engine
        .api()
        .post("/containers/paused/pause", &Value::Null)
        .unwrap();
    std::thread::sleep(Duration::from_secs(3));
    for name in ["nobodys", "stopped", "killed", "paused"] {
        assert!(!runs(&engine, name), "{name} was to be left");
    }
    assert_eq!(row(&lab, "stopped")["state"], "stopped");
    assert_eq!(row(&lab, "killed")["state"], "stopped");
    assert_eq!(row(&lab, "paused")["state"], "paused");
    assert_eq!(row(&lab, "nobodys")["supervised"], false);
    assert_eq!(row(&lab, "ours")["restarts"], 1);
    lab.run(None, &["status"], 0);
    let told = told(&lab, "ours");
    assert!(
        told.ends_with(&["died".into(), "start".into(), "started".into()]),
        "{told:?}"
    );

    // A person starts it again, and it is looked after again once nobody works on it.
    tiny::start(&engine, "killed");
    agent.until("it is seen", || row(&lab, "killed")["state"] == "running");
    agent.stop();
    waits_are_over(&lab);
    let agent = Agent::start(&lab, &engine);
    let before = started(&engine, "killed");
    strike(&engine, "killed", Signal::KILL);
    agent.until("it runs again", || is_again(&engine, "killed", &before));
    agent.stop();
    let said = refused(
        &lab,
        None,
        "status",
        1,
        &["no agent answers", "lifeboat agent"],
    );
    assert!(!said.is_empty());
}

/// Ends at once when asked to: the engine may tell of the end before it tells of the signal.
const QUICK: &str =
    "trap 'exit 0' TERM; trap 'exit 7' USR1; while true; do sleep 1000 & wait; done";

#[test]
fn a_stop_of_what_ends_at_once_is_a_persons_whatever_is_told_first() {
    let lab = Lab::new();
    let engine = engine(&lab, "quick");
    let names: Vec<String> = (0..6).map(|n| format!("q{n}")).collect();
    for (n, name) in names.iter().enumerate() {
        let policy = if n % 2 == 0 { "no" } else { "always" };
        let labels = json!({"lifeboat.supervise": "true"});
        scripted(&engine, name, QUICK, policy, labels);
    }
    let began = std::time::Instant::now();
    let labels = json!({"lifeboat.supervise": "true"});
    scripted(&engine, "own", QUICK, "no", labels);
    let start = began.elapsed().as_secs_f64();
    let agent = Agent::start(&lab, &engine);
    let stop = |name: &String| format!("/containers/{name}/stop");
    let kill = |name: &String| format!("/containers/{name}/kill?signal=TERM");
    for round in 0..5 {
        for (n, name) in names.iter().enumerate() {
            let path = if (n + round) % 3 == 0 {
                kill(name)
            } else {
                stop(name)
            };
            engine.api().post(&path, &Value::Null).unwrap();
        }
        // Whoever is started against the person is so within a second.
        std::thread::sleep(Duration::from_millis(1500));
        for name in &names {
            assert!(!runs(&engine, name), "{name} was stopped by a person");
            assert_eq!(row(&lab, name)["state"], "stopped", "{name}");
            tiny::start(&engine, name);
        }
        agent.until("all are seen to run", || {
            names
                .iter()
                .all(|name| row(&lab, name)["state"] == "running")
        });
    }
    // What ends of its own accord is back within a second and what its start takes on a quiet machine, and on a busy
    // machine before the look at everything that comes every 30 seconds.
    let before = started(&engine, "own");
    // The command ends with the container that it ends.
    let _ = engine.api().exec("own", &["kill", "-USR1", "1"]);
    agent.until("it runs again", || is_again(&engine, "own", &before));
    let down = gap(&engine, "own");
    println!("ended by itself: down for {down:.3} s, its creation and start take {start:.3} s");
    assert!(down < 15.0 + start, "down for {down} s");
}

#[test]
fn what_crashes_again_and_again_waits_longer_and_says_why() {
    let lab = Lab::new();
    let engine = engine(&lab, "crash");
    // What is made while the agent looks on is left alone for a while: they are there before it, and fail later.
    let script = "until test -e /go; do sleep 0.1; done; echo cannot find the settings >&2; exit 3";
    let labels = json!({"lifeboat.give-up-after": "2"});
    scripted(&engine, "loops", script, "no", labels);
    let script = "until test -e /go; do sleep 0.1; done";
    scripted(&engine, "once", script, "on-failure", json!({}));
    let labels = json!({"lifeboat.livness": "tcp://:80"});
    idle(&engine, "typo", "no", labels);
    let agent = Agent::start(&lab, &engine);
    for name in ["loops", "once"] {
        // The command may end with the container that it ends.
        let _ = engine.api().exec(name, &["touch", "/go"]);
    }
    agent.until("the second try waits", || {
        row(&lab, "loops")["state"] == "back-off"
    });
    let waits = row(&lab, "loops");
    assert_eq!(waits["level"], "bad", "{waits}");
    lab.run(None, &["status"], 20);
    agent.until("it gives up", || row(&lab, "loops")["state"] == "gave up");
    agent.until("it says why", || {
        row(&lab, "loops")["note"]
            .as_str()
            .unwrap()
            .contains("cannot find the settings")
    });
    let note = row(&lab, "loops")["note"].clone();
    assert!(note.as_str().unwrap().contains("exit code 3"), "{note}");
    assert_eq!(row(&lab, "once")["state"], "ended");
    let typo = row(&lab, "typo");
    assert!(
        typo["note"]
            .as_str()
            .unwrap()
            .contains("did you mean `lifeboat.liveness`?"),
        "{typo}"
    );
    let starts = told(&lab, "loops")
        .iter()
        .filter(|kind| *kind == "start")
        .count();
    assert_eq!(starts, 2);
}

#[test]
fn what_hangs_is_noticed_by_its_check_and_is_back() {
    let lab = Lab::new();
    let engine = engine(&lab, "hung");
    let check = json!({"Test": ["CMD-SHELL", "test -e /tmp/well"], "Interval": 1_000_000_000_u64, "Timeout": 1_000_000_000_u64, "Retries": 2});
    let script = "touch /tmp/well; trap 'exit 0' TERM; while true; do sleep 0.1; done";
    for (name, label) in [("heals", "restart"), ("tells", "notify"), ("stops", "stop")] {
        let body = json!({
            "Cmd": ["sh", "-c", script], "Healthcheck": check, "Labels": {"lifeboat.on-unhealthy": label},
        });
        tiny::create(&engine, name, body);
        tiny::start(&engine, name);
    }
    let agent = Agent::start(&lab, &engine);
    for name in ["heals", "tells", "stops"] {
        agent.until("it is well", || row(&lab, name)["state"] == "healthy");
    }
    let before = started(&engine, "heals");
    let told_before = started(&engine, "tells");
    for name in ["heals", "tells", "stops"] {
        engine.api().exec_ok(name, &["rm", "/tmp/well"]).unwrap();
    }
    agent.until("it is started again", || {
        is_again(&engine, "heals", &before)
    });
    agent.until("it is well again", || {
        row(&lab, "heals")["state"] == "healthy"
    });
    agent.until("it is stopped", || row(&lab, "stops")["state"] == "gave up");
    agent.until("it is told", || row(&lab, "tells")["state"] == "unhealthy");
    assert!(!runs(&engine, "stops"));
    assert_eq!(started(&engine, "tells"), told_before);
    lab.run(None, &["status"], 20);
    // Held by SIGSTOP it gets no other signal; it is woken, and ends in its own time.
    let before = started(&engine, "heals");
    strike(&engine, "heals", Signal::STOP);
    engine.api().exec_ok("heals", &["rm", "/tmp/well"]).unwrap();
    agent.until("it is started again", || {
        is_again(&engine, "heals", &before)
    });
    let code = tiny::inspect(&engine, "heals")["State"]["ExitCode"].clone();
    assert_eq!(code, 0, "it ended by itself and was not killed");
}

#[test]
fn all_that_is_held_in_it_is_woken_before_its_stop() {
    let lab = Lab::new();
    let engine = engine(&lab, "held");
    // It ends once its child has: held, the child would keep it until it is killed, half a minute later.
    let script = "touch /tmp/well; (trap 'exit 0' TERM; while true; do sleep 0.1; done) & child=$!; trap 'kill $child; wait $child; exit 0' TERM; while true; do wait; done";
    let second = 1_000_000_000_u64;
    let body = json!({
        "Image": "lifeboat/busybox:latest", "Cmd": ["sh", "-c", script], "StopTimeout": 30,
        "Labels": {"lifeboat.supervise": "true"},
        "Healthcheck": {
            "Test": ["CMD-SHELL", "test -e /tmp/well"], "Interval": second, "Timeout": 5 * second, "Retries": 1,
        },
    });
    engine.api().create_container("parent", &body).unwrap();
    tiny::start(&engine, "parent");
    let agent = Agent::start(&lab, &engine);
    agent.until("it is well", || row(&lab, "parent")["state"] == "healthy");
    let before = started(&engine, "parent");
    engine
        .api()
        .exec_ok("parent", &["rm", "/tmp/well"])
        .unwrap();
    let path = "/containers/parent/top?ps_args=-eo%20pid";
    let top = engine.api().get(path).unwrap();
    for row in top["Processes"].as_array().unwrap() {
        let pid = row[0].as_str().unwrap().parse().unwrap();
        let pid = rustix::process::Pid::from_raw(pid).unwrap();
        // A sleep may have ended meanwhile.
        let _ = rustix::process::kill_process(pid, Signal::STOP);
    }
    agent.within(Duration::from_secs(20), "it is started again", || {
        is_again(&engine, "parent", &before)
    });
    agent.stop();
}

#[test]
fn two_agents_and_wrong_names() {
    let lab = Lab::new();
    let engine = engine(&lab, "two");
    idle(&engine, "web", "always", json!({}));
    let agent = Agent::start(&lab, &engine);
    let pid = agent.pid().to_string();
    let second = lab.run(Some(&engine), &["agent"], 1);
    says(&second, &["an agent runs already", &pid]);
    refused(
        &lab,
        None,
        "maintenance on wbe",
        1,
        &["there is no app `wbe`", "did you mean `web`?"],
    );
    lab.run(None, &["maintenance", "on", "web"], 0);
    let before = started(&engine, "web");
    engine
        .api()
        .post(
            "/containers/web/update",
            &json!({"RestartPolicy": {"Name": "no"}}),
        )
        .unwrap();
    strike(&engine, "web", Signal::KILL);
    std::thread::sleep(Duration::from_secs(2));
    assert!(!runs(&engine, "web"), "it is in maintenance");
    engine
        .api()
        .post(
            "/containers/web/update",
            &json!({"RestartPolicy": {"Name": "always"}}),
        )
        .unwrap();
    lab.run(None, &["maintenance", "off", "web"], 0);
    agent.until("it runs again", || is_again(&engine, "web", &before));
}
