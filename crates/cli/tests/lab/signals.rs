//! A signal during the frozen part: the app runs again within a second, and the next backup is fine.

use std::time::{Duration, Instant};

use lifeboat_testkit::engine::PrivateEngine;
use rustix::process::{Pid, Signal, kill_process};

use crate::{
    support::{Lab, only},
    tiny::{self, Held, IDLE, stderr},
};

fn frozen(engine: &PrivateEngine, name: &str) -> bool {
    let raw = tiny::inspect(engine, name);
    let pid = raw["State"]["Pid"].as_u64().unwrap();
    let freezer = lifeboat_engine::freezer::Freezer::of_pid(u32::try_from(pid).unwrap()).unwrap();
    raw["State"]["Paused"] == true || freezer.is_frozen().unwrap()
}

#[test]
fn a_signal_while_the_app_is_frozen_thaws_it() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let some = Some(&engine);
    for (name, service) in [("pair-a", "a"), ("pair-b", "b")] {
        let labels = serde_json::json!({"com.docker.compose.project": "pair", "com.docker.compose.service": service});
        let host = serde_json::json!({"Binds": [format!("pair_{service}:/data")]});
        let body =
            serde_json::json!({"Cmd": ["sh", "-c", IDLE], "Labels": labels, "HostConfig": host});
        tiny::create(&engine, name, body);
        tiny::start(&engine, name);
    }
    lab.json(some, &["backup", "pair"], 0);
    let points = || {
        lab.json(None, &["points"], 0)["points"]
            .as_array()
            .unwrap()
            .len()
    };
    for signal in [Signal::INT, Signal::TERM, Signal::HUP] {
        for step in ["frozen", "precopy"] {
            let before = points();
            let mut held = Held::start(&lab, lab.command(some, &["backup", "pair"]));
            held.until(step);
            let is_frozen = step == "frozen";
            assert_eq!(frozen(&engine, "pair-a"), is_frozen);
            assert_eq!(frozen(&engine, "pair-b"), is_frozen);
            kill_process(
                Pid::from_raw(i32::try_from(held.pid()).unwrap()).unwrap(),
                signal,
            )
            .unwrap();
            let since = Instant::now();
            let ending = std::thread::spawn(move || held.end());
            while frozen(&engine, "pair-a") || frozen(&engine, "pair-b") {
                assert!(
                    since.elapsed() < Duration::from_secs(1),
                    "{signal:?}: frozen after a second"
                );
                std::thread::sleep(Duration::from_millis(5));
            }
            let output = ending.join().unwrap();
            let text = stderr(&output);
            assert_eq!(
                output.status.code(),
                Some(130),
                "{signal:?} at {step}: {text}"
            );
            assert!(text.contains("interrupted"), "{text}");
            assert_eq!(points(), before, "a half point is in sight");
            assert!(tiny::runs(&engine, "pair-a") && tiny::runs(&engine, "pair-b"));
            let left: Vec<_> = fs_err::read_dir(lab.path("state/journal"))
                .unwrap()
                .collect();
            assert!(left.is_empty(), "{left:?}");
            let report = lab.json(some, &["backup", "pair"], 0);
            assert_eq!(only(&report)["level"], "crash", "{signal:?}");
        }
    }
    lab.run(None, &["check", "--read-data"], 0);
    engine.destroy().unwrap();
}
