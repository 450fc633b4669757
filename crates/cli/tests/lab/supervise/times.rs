//! How long what is killed or hangs is away, on both ends of the range of engines.
//! `LIFEBOAT_TEST_PROGRAM` measures the program as it is released.

use std::time::{Duration, Instant, SystemTime};

use lifeboat_testkit::{engine::Release, images};
use rustix::process::Signal;
use serde_json::json;

use super::{Agent, gap, is_again, row, strike};
use crate::{
    support::Lab,
    tiny::{create, inspect, start},
};

/// Probes of what hangs: noticed after so many of them.
const PERIOD: f64 = 1.0;
const FAILURES: f64 = 2.0;

#[test]
#[ignore = "a measurement, with two engines"]
fn soak_what_is_killed_or_hangs_is_back_in_time() {
    for release in [Release::Distribution, Release::Newest] {
        let lab = Lab::new();
        let engine = lab.engine_of("times", release);
        images::busybox().unwrap().load(&engine).unwrap();
        let script = "mkdir /www; echo ok > /www/index.html; exec httpd -f -p 80 -h /www";
        let labels = json!({
            "lifeboat.liveness": "http://:80/index.html", "lifeboat.liveness.period": "1s",
            "lifeboat.liveness.failures": "2",
        });
        let names: Vec<String> = (0..8).map(|n| format!("web{n}")).collect();
        let mut own = 0.0_f64;
        for name in &names {
            let body = json!({"Cmd": ["sh", "-c", script], "Labels": labels});
            create(&engine, name, body);
            let began = Instant::now();
            start(&engine, name);
            own = own.max(began.elapsed().as_secs_f64());
        }
        let agent = Agent::start(&lab, &engine);
        // All have been asked, and answered.
        std::thread::sleep(Duration::from_secs(4));
        for name in &names {
            let state = row(&lab, name)["state"].clone();
            assert!(state == "running" || state == "healthy", "{name}: {state}");
        }
        let (killed, hung) = names.split_at(5);
        let mut gaps = Vec::new();
        for name in killed {
            let before = super::started(&engine, name);
            strike(&engine, name, Signal::KILL);
            agent.until("it is back", || is_again(&engine, name, &before));
            gaps.push(gap(&engine, name));
        }
        let mut hangs = Vec::new();
        for name in hung {
            let before = super::started(&engine, name);
            let struck = jiff::Timestamp::try_from(SystemTime::now()).unwrap();
            strike(&engine, name, Signal::STOP);
            agent.until("it is back", || is_again(&engine, name, &before));
            let text = inspect(&engine, name)["State"]["StartedAt"].clone();
            let started: jiff::Timestamp = text.as_str().unwrap().parse().unwrap();
            hangs.push((started - struck).total(jiff::Unit::Second).unwrap());
            std::thread::sleep(Duration::from_millis(300));
        }
        println!(
            "{release:?}: own start {own:.2} s at most; killed: back after {gaps:.2?} s; hung: back after {hangs:.2?} s"
        );
        let longest = |all: &[f64]| all.iter().copied().fold(0.0, f64::max);
        assert!(longest(&gaps) < 1.0 + own, "killed: {gaps:?}");
        // Its stop takes a second of grace more: busybox's httpd as the first process takes no SIGTERM.
        let noticed = PERIOD * FAILURES + 2.0;
        assert!(longest(&hangs) < noticed + 1.0 + own, "hung: {hangs:?}");
        agent.stop();
    }
}
