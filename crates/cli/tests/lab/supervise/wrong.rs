//! Floods of events, a full disk below the state, a socket that is gone.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Agent, flood::both, gap, idle, is_again, row, started, strike};
use crate::{
    support::Lab,
    tiny::{self, Small, engine, runs},
};

/// KiB that the agent holds in memory.
pub fn resident(agent: &Agent<'_>) -> u64 {
    let status = fs_err::read_to_string(format!("/proc/{}/status", agent.pid())).unwrap();
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn in_a_flood_of_events_what_dies_is_back_in_its_time() {
    const LONG: Duration = Duration::from_secs(8);
    let lab = Lab::new();
    // In memory: to write down a new name takes the engine longer than anything else.
    let _memory = Small::mount(&lab.path("flood"), "512m");
    let engine = engine(&lab, "flood");
    for n in 0..4 {
        tiny::create(&engine, &format!("flood{n}"), json!({}));
    }
    idle(&engine, "web", "no", json!({"lifeboat.supervise": "true"}));
    let agent = Agent::start(&lab, &engine);
    let before = resident(&agent);
    let (over, events) = (AtomicBool::new(false), AtomicUsize::new(0));
    let mut down = Vec::new();
    std::thread::scope(|scope| {
        for n in 0..4 {
            let (engine, over, events) = (&engine, &over, &events);
            scope.spawn(move || {
                let api = engine.api();
                for round in 0.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    // To and fro: the cheapest thing of which the engine tells.
                    let (from, to) = if round % 2 == 0 { ("", "x") } else { ("x", "") };
                    let path = format!("/containers/flood{n}{from}/rename?name=flood{n}{to}");
                    api.post(&path, &Value::Null).unwrap();
                    // And what comes and goes, for which the agent looks at the engine itself.
                    if round % 20 == 0 {
                        let name = format!("short{n}-{round}");
                        let body = json!({"Image": "lifeboat/busybox:latest"});
                        api.create_container(&name, &body).unwrap();
                        api.delete(&format!("/containers/{name}")).unwrap();
                        events.fetch_add(2, Ordering::Relaxed);
                    }
                    events.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let began = Instant::now();
        std::thread::sleep(Duration::from_secs(3));
        let start = started(&engine, "web");
        strike(&engine, "web", Signal::KILL);
        agent.until("it is back", || is_again(&engine, "web", &start));
        down.push(gap(&engine, "web"));
        std::thread::sleep(LONG.saturating_sub(began.elapsed()));
        over.store(true, Ordering::Relaxed);
    });
    let rate = events.load(Ordering::Relaxed) as f64 / LONG.as_secs_f64();
    println!(
        "{rate:.0} events a second; the killed one was down for {:.2} s",
        down[0]
    );
    // The loop is not behind: what happens now is seen now.
    let asked = Instant::now();
    assert_eq!(row(&lab, "web")["state"], "running");
    assert!(
        asked.elapsed() < Duration::from_secs(10),
        "{:?}",
        asked.elapsed()
    );
    // Nothing was lost in it: what is shown is what the engine lists.
    agent.until("all is as the engine lists it", || {
        let [shown, listed] = both(&lab, &engine);
        shown == listed
    });
    let grown = resident(&agent).saturating_sub(before);
    assert!(grown < 48 << 10, "{grown} KiB more than before");
    // By its event, not by the look at everything that comes every 30 seconds.
    assert!(down[0] < 15.0, "down for {} s in a flood", down[0]);
    agent.stop();
}

#[test]
fn with_a_full_disk_below_its_state_and_without_a_socket_it_does_what_it_can() {
    let lab = Lab::new();
    let state = Small::mount(&lab.path("state"), "64m");
    let engine = engine(&lab, "short");
    idle(&engine, "web", "no", json!({"lifeboat.supervise": "true"}));
    let agent = Agent::start(&lab, &engine);
    let is_back = |what: &str| {
        let before = started(&engine, "web");
        strike(&engine, "web", Signal::KILL);
        agent.until(what, || is_again(&engine, "web", &before));
    };
    let fill = lab.path("state/fill");
    let mut file = fs_err::File::create(&fill).unwrap();
    while std::io::Write::write_all(&mut file, &[0; 1 << 16]).is_ok() {}
    drop(file);
    is_back("it is back though nothing can be written");
    fs_err::remove_file(&fill).unwrap();

    // The second end within ten minutes is answered after ten seconds, so there is time to take the way away.
    agent.until("it is seen", || row(&lab, "web")["state"] == "running");
    let (socket, aside) = (engine.socket(), engine.socket().with_extension("aside"));
    let before = started(&engine, "web");
    let pid = tiny::inspect(&engine, "web")["State"]["Pid"]
        .as_i64()
        .unwrap();
    fs_err::rename(&socket, &aside).unwrap();
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    rustix::process::kill_process(pid, Signal::KILL).unwrap();
    std::thread::sleep(Duration::from_secs(3));
    fs_err::rename(&aside, &socket).unwrap();
    agent.until("it is back once there is a way to the engine", || {
        runs(&engine, "web") && is_again(&engine, "web", &before)
    });
    agent.until("all is well", || {
        lab.command(None, &["status"]).status().unwrap().code() == Some(0)
    });
    agent.stop();
    drop(state);
}
