//! The sample app through a long time of mishaps, with the supervisor and without, under clients outside that ask all
//! the time. Both engines get the same mishaps at the same moments, by one seed.
//!
//! `LIFEBOAT_CHAOS_MINUTES` (60) and `LIFEBOAT_CHAOS_SEED` (1) say how long, and which history;
//! `LIFEBOAT_CHAOS_EVERY` (130), how many seconds lie between two mishaps. One after the other has one, so that in an hour
//! most have had ten minutes of health before their next: what fails again sooner waits longer each time, by rule.

#![allow(clippy::print_stdout, reason = "what happened, for who measures")]

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use lifeboat_testkit::engine::PrivateEngine;
use lifeboat_testkit::sample_app::client::{
    answers_ping, keep_asking, serves_page, takes_sessions,
};
use lifeboat_testkit::sample_app::{CACHE, DB, SampleApp, WEB, WORKER};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::Agent;
use crate::support::Lab;

/// Where something has not answered for so long, a person comes and restarts it, with the supervisor or without.
const A_PERSON: Duration = Duration::from_secs(60);
/// Of what took longer all that the log has is shown.
const LONG: Duration = Duration::from_secs(10);
/// After a mishap the event log names it within this time.
const NAMED_WITHIN: Duration = Duration::from_secs(25);
const PROBES: &str = r#"
[probes.shop-web-1]
liveness = "http://:8080/index.html"
"liveness.period" = "2s"
"liveness.failures" = 2

[probes.shop-db-1]
liveness = "exec:pg_isready -q -h 127.0.0.1 -U postgres -t 1"
"liveness.period" = "3s"
"liveness.timeout" = "2s"
"liveness.failures" = 2

[probes.shop-cache-1]
liveness = "redis://:6379"
"liveness.period" = "2s"
"liveness.failures" = 2
"#;
/// Kinds of lines in the event log that say why something did not answer: what befell it, or what was done to it.
const CAUSES: [&str; 7] = [
    "died",
    "oom",
    "unhealthy",
    "stopped",
    "restart",
    "engine-lost",
    "engine",
];
/// A container that was removed a month ago.
const LONG_GONE: &str = "long-gone";
/// The agent looks for definitions of such ones every ten minutes.
const TIDIED_WITHIN: Duration = Duration::from_secs(11 * 60);
/// Memory of what is to run out of it.
const MEMORY: [(&str, u64); 2] = [(DB, 256 << 20), (CACHE, 128 << 20)];

#[derive(Debug, Clone, Copy)]
enum Mishap {
    Killed(&'static str),
    /// Held by SIGSTOP, all processes of it: connections are taken, and nobody answers.
    Hung(&'static str),
    /// Takes memory until the kernel kills: all of the cache, of the database the process that took it, after which the
    /// database ends all sessions and recovers by itself.
    Starved(&'static str),
    Engine,
}

/// Who has mishaps, and which, one after the other.
const TURNS: [&[Mishap]; 5] = [
    &[Mishap::Hung(DB), Mishap::Starved(DB), Mishap::Killed(DB)],
    &[
        Mishap::Starved(CACHE),
        Mishap::Hung(CACHE),
        Mishap::Killed(CACHE),
    ],
    &[Mishap::Hung(WEB), Mishap::Killed(WEB)],
    &[Mishap::Killed(WORKER)],
    &[Mishap::Engine],
];

impl Mishap {
    fn befalls(self) -> &'static str {
        match self {
            Self::Killed(name) | Self::Hung(name) | Self::Starved(name) => name,
            Self::Engine => "",
        }
    }

    /// Whether a line of the event log names it.
    fn is_named_by(self, event: &Value) -> bool {
        let says = |kind: &str| event["kind"] == kind;
        let memory = || event["text"].as_str().unwrap().contains("want of memory");
        event["container"] == self.befalls()
            && match self {
                Self::Killed(_) => says("died"),
                Self::Hung(_) => says("unhealthy"),
                Self::Starved(_) => (says("oom") || says("died")) && memory(),
                Self::Engine => says("engine-lost"),
            }
    }
}

/// A number that follows from the one before it.
fn chance(state: &mut u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// What happens, and when after the begin: by turns in an order that the seed says.
fn history(seed: u64, length: Duration, every: u64) -> Vec<(Duration, Mishap)> {
    let mut state = seed;
    let mut turns = TURNS;
    for last in (1..turns.len()).rev() {
        let other = usize::try_from(chance(&mut state)).unwrap() % (last + 1);
        turns.swap(last, other);
    }
    let mut at = Duration::from_secs(5);
    let mut all = Vec::new();
    while at + Duration::from_secs(30) < length {
        let (round, turn) = (all.len() / turns.len(), all.len() % turns.len());
        all.push((at, turns[turn][round % turns[turn].len()]));
        at += Duration::from_secs(every * 3 / 4 + chance(&mut state) % (every / 2));
    }
    all
}

/// A time without an answer.
#[derive(Clone, Copy)]
struct Outage {
    from: SystemTime,
    to: SystemTime,
    /// So many times it was asked in vain.
    asked: usize,
}

/// Times without an answer, of one service.
struct Outages {
    service: &'static str,
    all: Vec<Outage>,
    /// The one that goes on.
    now: Option<Outage>,
}

impl Outages {
    fn of(service: &'static str) -> Self {
        let (all, now) = (Vec::new(), None);
        Self { service, all, now }
    }

    fn take(&mut self, asked: SystemTime, answered: bool) {
        if answered {
            self.all.extend(self.now.take().map(|outage| Outage {
                to: asked,
                ..outage
            }));
            return;
        }
        let (from, to) = (asked, asked);
        self.now.get_or_insert(Outage { from, to, asked: 0 }).asked += 1;
    }

    fn down(&self) -> Duration {
        self.all.iter().map(Outage::long).sum()
    }
}

impl Outage {
    fn long(&self) -> Duration {
        self.to.duration_since(self.from).unwrap_or_default()
    }
}

/// A signal to all processes of a container, behind the engine's back; whether there are any.
fn signal_all(engine: &PrivateEngine, name: &str, signal: Signal) -> bool {
    let path = format!("/containers/{name}/top?ps_args=-eo%20pid");
    let Ok(top) = engine.api().get(&path) else {
        return false;
    };
    let rows = top["Processes"].as_array().cloned().unwrap_or_default();
    let pids = rows.iter().filter_map(|row| row[0].as_str()?.parse().ok());
    let sent = pids.filter_map(Pid::from_raw).map(|pid| {
        // One may end with its parent before its turn comes.
        kill_process(pid, signal).is_ok()
    });
    sent.filter(|sent| *sent).count() > 0
}

/// Whether it came about: what is down at the moment has no mishaps.
fn befall(engine: &mut PrivateEngine, mishap: Mishap) -> bool {
    match mishap {
        Mishap::Killed(name) => signal_all(engine, name, Signal::KILL),
        Mishap::Hung(name) => signal_all(engine, name, Signal::STOP),
        Mishap::Starved(name) => {
            let takes: &[&str] = match name {
                DB => &[
                    "psql",
                    "-h",
                    "/tmp",
                    "-c",
                    "select length(repeat('x', 900000000))",
                ],
                _ => &["redis-cli", "setrange", "big", "400000000", "x"],
            };
            // The kernel ends it, and with it the command's connection.
            let done = engine.api().exec(name, takes);
            done.is_ok_and(|done| !done.stdout.contains("refused"))
        }
        Mishap::Engine => {
            engine.kill().unwrap();
            engine.restart().unwrap();
            true
        }
    }
}

/// What came of one way.
struct Way {
    name: &'static str,
    outages: Vec<Outages>,
    mishaps: Vec<(SystemTime, Mishap)>,
    persons: usize,
    rows: usize,
    took: Duration,
}

fn run(lab: &Lab, supervised: bool, history: Vec<(Duration, Mishap)>, length: Duration) -> Way {
    let name = if supervised { "with" } else { "without" };
    let mut engine = lab.engine(name);
    let app = SampleApp::create(&engine, &lab.path("shop")).unwrap();
    app.wait_ready(&engine).unwrap();
    for (name, most) in MEMORY {
        let limit = json!({"Memory": most, "MemorySwap": most});
        let path = format!("/containers/{name}/update");
        engine.api().post(&path, &limit).unwrap();
    }
    fs_err::create_dir_all(lab.path("etc")).unwrap();
    fs_err::write(lab.path("etc/lifeboat.toml"), PROBES).unwrap();
    leave_definition(lab);
    let agent = supervised.then(|| Agent::start(lab, &engine));
    let keeper = engine.keeper_pid();
    let over = AtomicBool::new(false);
    let all = [WEB, DB, CACHE].map(|service| (service, Mutex::new(Outages::of(service))));
    let [(_, web), (_, db), (_, cache)] = &all;
    let api = engine.api();
    let last_address = Mutex::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    let pings = || {
        // It has another address each time.
        let path = format!("/containers/{CACHE}/json");
        let raw = api.get(&path).unwrap_or_default();
        let networks = raw["NetworkSettings"]["Networks"].as_object();
        let mut addresses = networks.into_iter().flat_map(|all| all.values());
        let address = addresses.find_map(|one| one["IPAddress"].as_str()?.parse().ok());
        let address = address.unwrap_or(*last_address.lock().unwrap());
        *last_address.lock().unwrap() = address;
        answers_ping(address)
    };
    let mut persons = 0;
    let mut befell = Vec::new();
    let rows = app.acked().unwrap().len();
    let began = Instant::now();
    std::thread::scope(|scope| {
        let over = &over;
        scope.spawn(move || watch(keeper, over, web, serves_page));
        scope.spawn(move || watch(keeper, over, db, takes_sessions));
        scope.spawn(move || watch(keeper, over, cache, pings));
        let mut mishaps = history.into_iter().peekable();
        while began.elapsed() < length {
            if let Some((_, mishap)) = mishaps.next_if(|(at, _)| *at <= began.elapsed()) {
                let now = SystemTime::now();
                let came = befall(&mut engine, mishap);
                println!(
                    "{name} {:>4} s: {mishap:?}{}",
                    began.elapsed().as_secs(),
                    if came { "" } else { ", but it is down" }
                );
                befell.extend(came.then_some((now, mishap)));
            }
            for (service, outages) in &all {
                let since = outages.lock().unwrap().now.map(|outage| outage.from);
                let long = since.and_then(|since| since.elapsed().ok());
                if long.is_some_and(|long| long > A_PERSON) {
                    println!(
                        "{name} {:>4} s: a person restarts {service}",
                        began.elapsed().as_secs()
                    );
                    persons += 1;
                    let path = format!("/containers/{service}/restart?t=1");
                    let _ = engine.api().post(&path, &Value::Null);
                    // The person sees whether it helped, and comes again later if not.
                    outages.lock().unwrap().take(SystemTime::now(), true);
                }
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        over.store(true, Ordering::Relaxed);
    });
    let took = began.elapsed();
    let rows = app.acked().unwrap().len() - rows;
    let outages: Vec<Outages> = all.map(|(_, one)| one.into_inner().unwrap()).into();
    if let Some(agent) = agent {
        agent.stop();
    }
    engine.destroy().unwrap();
    Way {
        name,
        outages,
        mishaps: befell,
        persons,
        rows,
        took,
    }
}

/// The definition of a container that is not there any more and whose time is over.
fn leave_definition(lab: &Lab) {
    let file = definition(lab);
    fs_err::create_dir_all(file.parent().unwrap()).unwrap();
    fs_err::write(&file, format!(r#"{{"Name": "/{LONG_GONE}"}}"#)).unwrap();
    let seen = SystemTime::now() - Duration::from_secs(31 * 24 * 3600);
    let file = fs_err::OpenOptions::new().write(true).open(file).unwrap();
    file.set_modified(seen).unwrap();
}

fn definition(lab: &Lab) -> PathBuf {
    lab.path("state/agent/definitions/containers")
        .join(LONG_GONE)
}

/// Asks a service until it is over.
fn watch(keeper: u32, over: &AtomicBool, outages: &Mutex<Outages>, asks: impl Fn() -> bool) {
    let told = |asked, answered| outages.lock().unwrap().take(asked, answered);
    keep_asking(keeper, over, asks, told).unwrap();
    outages.lock().unwrap().take(SystemTime::now(), true);
}

/// Every outage that the clients saw is in the event log, under its container or the engine, with a cause; these lines,
/// and how many have none. What failed once may have been slow: the machine does other things beside.
fn causes(events: &[Value], outages: &[Outages]) -> usize {
    let mut unknown = 0;
    for service in outages {
        for outage in &service.all {
            // A hang is noticed after its probe's time; an end may be told before a client asks again.
            let within = millis(outage.from) - 3_000..=millis(outage.to) + 3_000;
            let near: Vec<&Value> = events
                .iter()
                .filter(|event| {
                    let whose = event["container"].as_str().unwrap();
                    within.contains(&event["at"].as_u64().unwrap())
                        && (whose == service.service || whose.is_empty())
                })
                .collect();
            let is_cause = |event: &&&Value| CAUSES.contains(&event["kind"].as_str().unwrap());
            // What befell it itself says more than what befell the engine.
            let own = |event: &&&Value| event["container"] == service.service;
            let mut causes = near.iter().filter(is_cause);
            let cause = causes.clone().find(own).or_else(|| causes.next());
            let text = cause.map_or("NO CAUSE", |cause| cause["text"].as_str().unwrap());
            println!(
                "{} down for {:.1} s ({} asked in vain): {text}",
                service.service,
                outage.long().as_secs_f64(),
                outage.asked
            );
            if outage.long() > LONG {
                for event in &near {
                    let at = event["at"].as_u64().unwrap();
                    let after = Duration::from_millis(at.saturating_sub(millis(outage.from)));
                    println!("    {after:.1?}: {}: {}", event["kind"], event["text"]);
                }
            }
            unknown += usize::from(cause.is_none() && outage.asked > 1);
        }
    }
    unknown
}

/// Mishaps that no line of the event log names.
fn unnamed(events: &[Value], mishaps: &[(SystemTime, Mishap)]) -> Vec<Mishap> {
    let is_named = |(at, mishap): &&(SystemTime, Mishap)| {
        let within = millis(*at)..=millis(*at + NAMED_WITHIN);
        let mut near = events
            .iter()
            .filter(|event| within.contains(&event["at"].as_u64().unwrap()));
        near.any(|event| mishap.is_named_by(event))
    };
    let unnamed = mishaps.iter().filter(|one| !is_named(one));
    unnamed.map(|(_, mishap)| *mishap).collect()
}

fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// The log as it lies on disk; the agent has ended.
fn lifeboat_events(lab: &Lab) -> Vec<Value> {
    let text = fs_err::read_to_string(lab.path("state/agent/events.jsonl")).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
#[ignore = "an hour"]
fn soak_an_hour_of_chaos() {
    let number = |name: &str, otherwise: u64| {
        let text = std::env::var(name).ok();
        text.map_or(otherwise, |text| text.parse().unwrap())
    };
    let length = Duration::from_secs(60 * number("LIFEBOAT_CHAOS_MINUTES", 60));
    let seed = number("LIFEBOAT_CHAOS_SEED", 1);
    let history = history(seed, length, number("LIFEBOAT_CHAOS_EVERY", 130));
    let labs = [Lab::new(), Lab::new()];
    let ways = std::thread::scope(|scope| {
        let ways = [(&labs[0], false), (&labs[1], true)];
        let threads = ways.map(|(lab, with)| {
            let history = history.clone();
            scope.spawn(move || run(lab, with, history, length))
        });
        threads.map(|thread| thread.join().unwrap())
    });
    for way in &ways {
        for outages in &way.outages {
            let (down, took) = (outages.down().as_secs_f64(), way.took.as_secs_f64());
            println!(
                "{:>7} the supervisor: {} answered {:.2} % of {took:.0} s; {} outages, {down:.1} s in all",
                way.name,
                outages.service,
                100.0 * (1.0 - down / took),
                outages.all.len()
            );
        }
        println!(
            "{:>7} the supervisor: {} rows acknowledged, a person came {} times",
            way.name, way.rows, way.persons
        );
    }
    let events = lifeboat_events(&labs[1]);
    let tidied = events
        .iter()
        .any(|event| event["kind"] == "tidied" && event["container"] == LONG_GONE);
    if length >= TIDIED_WITHIN {
        assert!(
            tidied && !definition(&labs[1]).exists(),
            "{LONG_GONE} is kept"
        );
    }
    let unknown = causes(&events, &ways[1].outages);
    assert_eq!(unknown, 0, "outages without a cause");
    let unnamed = unnamed(&events, &ways[1].mishaps);
    assert!(unnamed.is_empty(), "nowhere in the log: {unnamed:?}");
    let down = |way: &Way| way.outages.iter().map(Outages::down).sum::<Duration>();
    assert!(
        down(&ways[1]) < down(&ways[0]),
        "it was down longer with the supervisor"
    );
    assert!(ways[1].persons < ways[0].persons.max(1));
}
