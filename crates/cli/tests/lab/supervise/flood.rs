//! Thousands of events a second, and more than can be taken.
//!
//! A real engine tells a thousand at best (`wrong.rs` has it do so), so its own words are said again and again: what it told of containers
//! that came, ran, changed and went is recorded from its stream, byte for byte, and poured into the agent's connection
//! by a stand-in, which is one for the pace alone. All else the agent asks of the real engine.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use lifeboat_testkit::engine::PrivateEngine;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Agent, gap, idle, is_again, started, strike, wrong::resident};
use crate::{
    objectives::flood::{Flood, used},
    support::Lab,
    tiny::{self, engine},
};

/// Events a second, in each stream of the agent; fewer where it takes fewer, which keeps its stream full.
const FAST: u32 = 2_000;
/// So many are told before the flood is called one.
const TOLD: u64 = 10_000;
/// More than anybody takes: what the socket takes is the bound.
const UNBOUNDED: u32 = 1_000_000;

/// Whole lives of containers as the engine tells them, one event a line, each line with its end.
fn recorded(engine: &PrivateEngine) -> Vec<String> {
    let api = engine.api();
    let seconds = || std::time::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
    let from = seconds();
    for n in 0..8 {
        let name = format!("short{n}");
        let labels = json!({"lifeboat.supervise": "true"});
        tiny::create(
            engine,
            &name,
            json!({"Cmd": ["sleep", "60"], "Labels": labels}),
        );
        tiny::start(engine, &name);
        let limits = json!({"Memory": 64 << 20, "MemorySwap": 64 << 20});
        let update = format!("/containers/{name}/update");
        api.post(&update, &limits).unwrap();
        let rename = format!("/containers/{name}/rename?name={name}-x");
        api.post(&rename, &Value::Null).unwrap();
        tiny::remove(engine, &format!("{name}-x"));
    }
    let filters = "%7B%22type%22%3A%5B%22container%22%2C%22network%22%5D%7D";
    let path = format!(
        "/events?since={from:.9}&until={:.9}&filters={filters}",
        seconds()
    );
    let told = String::from_utf8(api.get_bytes(&path).unwrap()).unwrap();
    told.lines().map(|line| format!("{line}\n")).collect()
}

/// Names of all containers, as the agent shows them and as the engine lists them.
pub fn both(lab: &Lab, engine: &PrivateEngine) -> [BTreeSet<String>; 2] {
    let output = lab
        .command(None, &["status", "-o", "json"])
        .output()
        .unwrap();
    let status: Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = |raw: &Value| raw.as_str().unwrap().trim_start_matches('/').to_owned();
    let rows = status["rows"].as_array().unwrap();
    let shown = rows.iter().map(|row| name(&row["container"])).collect();
    let listed = engine.api().get("/containers/json?all=true").unwrap();
    let listed = listed.as_array().unwrap().iter();
    [shown, listed.map(|raw| name(&raw["Names"][0])).collect()]
}

#[test]
fn in_thousands_of_events_a_second_and_in_more_than_it_takes_nothing_is_lost() {
    let lab = Lab::new();
    let engine = engine(&lab, "pour");
    idle(&engine, "web", "no", json!({"lifeboat.supervise": "true"}));
    let lines = recorded(&engine);
    assert!(lines.len() >= 8 * 6, "{lines:?}");
    let together = u64::try_from(lines.len()).unwrap();
    let line = move |number: u64| lines[usize::try_from(number % together).unwrap()].clone();
    let flood = Flood::before(&lab, &engine, together, line);
    let socket = format!("unix://{}", flood.socket.display());
    let agent = Agent::start_with(&lab, &engine, &[("DOCKER_HOST", &socket)]);
    let before = resident(&agent);
    let grown = || resident(&agent).saturating_sub(before);

    flood.pours(FAST);
    let (began, cpu) = (Instant::now(), used(agent.pid()).0);
    let start = started(&engine, "web");
    strike(&engine, "web", Signal::KILL);
    agent.until("it is back", || is_again(&engine, "web", &start));
    let down = gap(&engine, "web");
    idle(&engine, "late", "no", json!({"lifeboat.supervise": "true"}));
    agent.until("a new one is seen", || {
        both(&lab, &engine)[0].contains("late")
    });
    agent.until("it was told thousands", || flood.sent() >= TOLD);
    let seconds = began.elapsed().as_secs_f64();
    let (told, cpu) = (flood.sent(), used(agent.pid()).0 - cpu);
    println!(
        "{:.0} events a second: {:.0} % of a core, {} KiB more; the killed one was down for {down:.2} s",
        told as f64 / seconds,
        100.0 * cpu / seconds,
        grown()
    );
    // By its event, not by the look at everything that comes every 30 seconds.
    assert!(down < 15.0, "down for {down} s in a flood");

    // More than it takes: what waits is bounded, and what is missed meanwhile is found by looking.
    flood.pours(UNBOUNDED);
    let (began, told) = (Instant::now(), flood.sent());
    tiny::remove(&engine, "late");
    idle(
        &engine,
        "later",
        "no",
        json!({"lifeboat.supervise": "true"}),
    );
    let mut most = 0;
    while began.elapsed() < Duration::from_secs(6) {
        most = most.max(grown());
        std::thread::sleep(Duration::from_millis(50));
    }
    let rate = (flood.sent() - told) as f64 / began.elapsed().as_secs_f64();
    println!("{rate:.0} events a second, as fast as it takes them: {most} KiB more at most");
    assert!(most < 48 << 10, "{most} KiB more than before");
    flood.pours(0);
    agent.until("all is as the engine lists it", || {
        let [shown, listed] = both(&lab, &engine);
        shown == listed
    });
    agent.stop();
}
