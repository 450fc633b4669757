//! The sample app through a long time of mishaps, with the supervisor and without, under clients outside that ask all
//! the time. Both engines get the same mishaps at the same moments, by one seed.
//!
//! `LIFEBOAT_CHAOS_MINUTES` (60) and `LIFEBOAT_CHAOS_SEED` (1) say how long, and which history.

#![allow(clippy::print_stdout, reason = "what happened, for who measures")]

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use lifeboat_testkit::engine::PrivateEngine;
use lifeboat_testkit::sample_app::client::{keep_asking, serves_page, takes_sessions};
use lifeboat_testkit::sample_app::{CACHE, DB, SampleApp, WEB, WORKER};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::Agent;
use crate::support::Lab;

/// Where something has not answered for so long, a person comes and restarts it, with the supervisor or without.
const A_PERSON: Duration = Duration::from_secs(60);
const PROBES: &str = "[probes.shop-web-1]\nliveness = \"http://:8080/index.html\"\n\"liveness.period\" = \"2s\"\n\"liveness.failures\" = 2\n\n[probes.shop-db-1]\nliveness = \"exec:pg_isready -q -h 127.0.0.1 -U postgres -t 1\"\n\"liveness.period\" = \"3s\"\n\"liveness.timeout\" = \"2s\"\n\"liveness.failures\" = 2\n";
/// Words of the event log that say why something did not answer.
const CAUSES: [&str; 8] = [
    "died",
    "unhealthy",
    "restart",
    "restarted",
    "start",
    "engine-lost",
    "engine",
    "oom",
];

#[derive(Debug, Clone, Copy)]
enum Mishap {
    Killed(&'static str),
    Hung(&'static str),
    /// The kernel kills the cache for want of memory.
    Starved,
    Engine,
}

/// A number that follows from the one before it.
fn chance(state: &mut u64) -> u64 {
    *state = state
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// What happens, and when after the begin.
fn history(seed: u64, length: Duration) -> Vec<(Duration, Mishap)> {
    let mut state = seed;
    let mut at = Duration::from_secs(5);
    let mut all = Vec::new();
    while at + Duration::from_secs(30) < length {
        let mishap = match chance(&mut state) % 10 {
            0 | 1 => Mishap::Killed(WEB),
            2 | 3 => Mishap::Killed(DB),
            4 => Mishap::Killed(WORKER),
            5 | 6 => Mishap::Hung(WEB),
            7 => Mishap::Hung(DB),
            8 => Mishap::Starved,
            _ => Mishap::Engine,
        };
        all.push((at, mishap));
        at += Duration::from_secs(40 + chance(&mut state) % 40);
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

/// A signal to all processes of a container, behind the engine's back.
fn signal_all(engine: &PrivateEngine, name: &str, signal: Signal) {
    let path = format!("/containers/{name}/top?ps_args=-eo%20pid");
    let Ok(top) = engine.api().get(&path) else {
        return;
    };
    let rows = top["Processes"].as_array().cloned().unwrap_or_default();
    for pid in rows.iter().filter_map(|row| row[0].as_str()?.parse().ok()) {
        if let Some(pid) = Pid::from_raw(pid) {
            // One may end with its parent before its turn comes.
            let _ = kill_process(pid, signal);
        }
    }
}

fn befall(engine: &mut PrivateEngine, mishap: Mishap) {
    match mishap {
        Mishap::Killed(name) => signal_all(engine, name, Signal::KILL),
        Mishap::Hung(name) => signal_all(engine, name, Signal::STOP),
        Mishap::Starved => {
            // It may be down at the moment.
            let _ = engine
                .api()
                .exec(CACHE, &["redis-cli", "setrange", "big", "400000000", "x"]);
        }
        Mishap::Engine => {
            engine.kill().unwrap();
            engine.restart().unwrap();
        }
    }
}

/// What came of one way.
struct Way {
    name: &'static str,
    outages: Vec<Outages>,
    persons: usize,
    rows: usize,
    took: Duration,
}

fn run(lab: &Lab, supervised: bool, seed: u64, length: Duration) -> Way {
    let name = if supervised { "with" } else { "without" };
    let mut engine = lab.engine(name);
    let app = SampleApp::create(&engine, &lab.path("shop")).unwrap();
    app.wait_ready(&engine).unwrap();
    let limit = json!({"Memory": 128 << 20, "MemorySwap": 128 << 20});
    engine
        .api()
        .post(&format!("/containers/{CACHE}/update"), &limit)
        .unwrap();
    fs_err::create_dir_all(lab.path("etc")).unwrap();
    fs_err::write(lab.path("etc/lifeboat.toml"), PROBES).unwrap();
    let agent = supervised.then(|| Agent::start(lab, &engine));
    let keeper = engine.keeper_pid();
    let over = AtomicBool::new(false);
    let both = [Outages::of(WEB), Outages::of(DB)].map(Mutex::new);
    let [web, db] = &both;
    let mut persons = 0;
    let rows = app.acked().unwrap().len();
    let began = Instant::now();
    std::thread::scope(|scope| {
        let over = &over;
        let watch = move |outages: &Mutex<Outages>, asks: fn() -> bool| {
            let told = |asked, answered| outages.lock().unwrap().take(asked, answered);
            keep_asking(keeper, over, asks, told).unwrap();
            outages.lock().unwrap().take(SystemTime::now(), true);
        };
        scope.spawn(move || watch(web, serves_page));
        scope.spawn(move || watch(db, takes_sessions));
        let mut mishaps = history(seed, length).into_iter().peekable();
        while began.elapsed() < length {
            if let Some((_, mishap)) = mishaps.next_if(|(at, _)| *at <= began.elapsed()) {
                println!("{name} {:>4} s: {mishap:?}", began.elapsed().as_secs());
                befall(&mut engine, mishap);
            }
            for (outages, service) in [(web, WEB), (db, DB)] {
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
    let outages: Vec<Outages> = both.map(|one| one.into_inner().unwrap()).into();
    if let Some(agent) = agent {
        agent.stop();
    }
    engine.destroy().unwrap();
    Way {
        name,
        outages,
        persons,
        rows,
        took,
    }
}

/// Every outage that the clients saw is in the event log, under its container or the engine, with a cause; these lines,
/// and how many have none. What failed once may have been slow: the machine does other things beside.
fn causes(lab: &Lab, outages: &[Outages]) -> usize {
    let events = lifeboat_events(lab);
    let millis = |time: SystemTime| {
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap();
        u64::try_from(since.as_millis()).unwrap()
    };
    let mut unknown = 0;
    for service in outages {
        for outage in &service.all {
            // A hang is noticed after its probe's time; an end may be told before a client asks again.
            let within = millis(outage.from) - 3_000..=millis(outage.to) + 3_000;
            let tells = |event: &&Value| {
                let whose = event["container"].as_str().unwrap();
                within.contains(&event["at"].as_u64().unwrap())
                    && (whose == service.service || whose.is_empty())
                    && CAUSES.contains(&event["kind"].as_str().unwrap())
            };
            let cause = events.iter().find(tells);
            let text = cause.map_or("NO CAUSE", |cause| cause["text"].as_str().unwrap());
            println!(
                "{} down for {:.1} s ({} asked in vain): {text}",
                service.service,
                outage.long().as_secs_f64(),
                outage.asked
            );
            unknown += usize::from(cause.is_none() && outage.asked > 1);
        }
    }
    unknown
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
    let labs = [Lab::new(), Lab::new()];
    let ways = std::thread::scope(|scope| {
        let ways = [(&labs[0], false), (&labs[1], true)];
        let threads = ways.map(|(lab, with)| scope.spawn(move || run(lab, with, seed, length)));
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
    let unknown = causes(&labs[1], &ways[1].outages);
    assert_eq!(unknown, 0, "outages without a cause");
    let down = |way: &Way| way.outages.iter().map(Outages::down).sum::<Duration>();
    assert!(
        down(&ways[1]) < down(&ways[0]),
        "it was down longer with the supervisor"
    );
    assert!(ways[1].persons < ways[0].persons.max(1));
}
