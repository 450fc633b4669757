//! Several containers: dependencies, shared namespaces, many at once, what is gone.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use lifeboat_testkit::engine::{PrivateEngine, Release};
use lifeboat_testkit::images;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{Agent, idle, is_again, row, started, strike, told};
use crate::{
    support::Lab,
    tiny::{self, IDLE, engine, names, runs},
};

#[test]
fn what_shares_a_namespace_follows_a_restart_and_a_new_parent() {
    let lab = Lab::new();
    let engine = engine(&lab, "vpn");
    idle(&engine, "vpn", "no", json!({"lifeboat.keep": "true"}));
    let child = |name: &str, labels: Value| {
        let mode = format!(
            "container:{}",
            tiny::inspect(&engine, "vpn")["Id"].as_str().unwrap()
        );
        let body = json!({
            "Cmd": ["sh", "-c", IDLE], "Labels": labels,
            "HostConfig": {"NetworkMode": mode, "RestartPolicy": {"Name": "unless-stopped"}},
        });
        tiny::create(&engine, name, body);
        tiny::start(&engine, name);
    };
    child("torrent", json!({}));
    idle(
        &engine,
        "apart",
        "unless-stopped",
        json!({"lifeboat.depends-on": "vpn"}),
    );
    let agent = Agent::start(&lab, &engine);
    let before = started(&engine, "torrent");
    let apart = started(&engine, "apart");
    strike(&engine, "vpn", Signal::KILL);
    agent.until("the child follows", || {
        is_again(&engine, "torrent", &before)
    });
    assert_eq!(
        started(&engine, "apart"),
        apart,
        "what only depends on it is left"
    );

    // Somebody removes it; it is to be kept, and so is its child.
    let old = tiny::inspect(&engine, "torrent")["Id"].clone();
    engine.api().delete("/containers/vpn?force=true").unwrap();
    agent.within(Duration::from_secs(60), "the parent is made again", || {
        runs(&engine, "vpn")
    });
    agent.until("the child is made again", || {
        let raw = engine
            .api()
            .find("/containers/torrent/json")
            .unwrap()
            .unwrap_or_default();
        raw["State"]["Running"] == true && raw["Id"] != old
    });
    let parent = tiny::inspect(&engine, "vpn")["Id"]
        .as_str()
        .unwrap()
        .to_owned();
    let mode = tiny::inspect(&engine, "torrent")["HostConfig"]["NetworkMode"].clone();
    assert_eq!(mode, format!("container:{parent}"));
    // The old child lies aside, and is not started beside it.
    let aside: Vec<String> = names(&engine)
        .into_iter()
        .filter(|n| n.contains("lifeboat-old"))
        .collect();
    assert_eq!(aside.len(), 1, "{aside:?}");
}

/// Runs for ever, costs nothing, and ends at once.
const STILL: &str = "trap 'exit 0' TERM; while true; do sleep 1000 & wait; done";

/// Whom one of the containers in three tiers needs.
fn needs(n: usize) -> Vec<usize> {
    match n % 10 {
        0 => Vec::new(),
        1 | 2 => vec![n - n % 10],
        k => vec![n - k + 1, n - k + 2],
    }
}

/// So many containers in three tiers.
fn tiers(engine: &PrivateEngine, count: usize) {
    for n in 0..count {
        let on: Vec<String> = needs(n).iter().map(|n| format!("n{n}")).collect();
        let labels = json!({"lifeboat.depends-on": on.join(","), "lifeboat.supervise": "true"});
        super::scripted(engine, &format!("n{n}"), STILL, "no", labels);
    }
}

/// The first process of one of them.
fn process(engine: &PrivateEngine, n: usize) -> Pid {
    let raw = tiny::inspect(engine, &format!("n{n}"));
    let pid = i32::try_from(raw["State"]["Pid"].as_i64().unwrap()).unwrap();
    Pid::from_raw(pid).unwrap()
}

/// What tells the engine of a container's end, held: the engine takes it to run as long as this lives.
struct Untold(Pid);

impl Untold {
    /// By the container's first process, whose parent it is.
    fn of(process: Pid) -> Self {
        let pid = process.as_raw_nonzero();
        let status = fs_err::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        let shim = Pid::from_raw(parent.unwrap().trim().parse().unwrap()).unwrap();
        kill_process(shim, Signal::STOP).unwrap();
        Self(shim)
    }
}

impl Drop for Untold {
    fn drop(&mut self) {
        let _ = kill_process(self.0, Signal::CONT);
    }
}

/// All of them killed at once; seconds until all of them run.
#[allow(clippy::print_stdout, reason = "what a person wants to know of a soak")]
fn killed_at_once(
    (lab, engine, agent): (&Lab, &PrivateEngine, &Agent<'_>),
    count: usize,
    meanwhile: impl FnOnce(),
) -> f64 {
    let pids: Vec<Pid> = (0..count).map(|n| process(engine, n)).collect();
    let began = Instant::now();
    for pid in pids {
        kill_process(pid, Signal::KILL).unwrap();
    }
    meanwhile();
    agent.within(Duration::from_secs(600), "all run again", || {
        let list = engine.api().get("/containers/json").unwrap();
        list.as_array().unwrap().len() == count && row(lab, "n0")["restarts"] == 1
    });
    let took = began.elapsed().as_secs_f64();
    let events = || lab.json(None, &["events", "-n", "100000"], 0);
    let of = |events: &Value, kind: &str| {
        let all = events.as_array().unwrap().iter();
        all.filter(|event| event["kind"] == kind).count()
    };
    agent.until("all are told", || of(&events(), "started") == count);
    let events = events();
    // Places in the log of the begin and the end of each start.
    let mut at: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut died: BTreeMap<String, usize> = BTreeMap::new();
    let (mut under_way, mut waited) = (0_i32, 0);
    for (place, event) in events.as_array().unwrap().iter().enumerate() {
        let name = event["container"].as_str().unwrap().to_owned();
        match event["kind"].as_str().unwrap() {
            "died" => {
                died.insert(name, place);
            }
            "start" => {
                under_way += 1;
                assert!(under_way <= 4, "more than four starts at a time");
                let twice = at.insert(name, (place, 0)).is_some();
                assert!(!twice, "started twice: {event}");
            }
            "waits" => {
                under_way -= 1;
                waited += 1;
                at.remove(&name);
            }
            "started" => {
                under_way -= 1;
                at.get_mut(&name).unwrap().1 = place;
            }
            _ => {}
        }
    }
    assert_eq!(at.len(), count);
    // An engine takes seconds to tell of hundreds of ends.
    println!("{waited} times a start waited for the end of a dependency to be told");
    let early = pairs(count).filter(|(n, on)| died[on] > at[n].0).count();
    assert_eq!(
        early, 0,
        "ends of dependencies that were told after the start of who needs them"
    );
    let started: BTreeMap<&String, jiff::Timestamp> = at
        .keys()
        .map(|name| (name, started(engine, name).parse().unwrap()))
        .collect();
    for (n, on) in pairs(count) {
        assert!(at[&on].1 < at[&n].0, "{n} was started before {on} ran");
        assert!(started[&on] < started[&n], "by the engine's clock too");
    }
    took
}

/// Who needs whom, by name.
fn pairs(count: usize) -> impl Iterator<Item = (String, String)> {
    let all = (0..count).flat_map(|n| needs(n).into_iter().map(move |on| (n, on)));
    all.map(|(n, on)| (format!("n{n}"), format!("n{on}")))
}

#[test]
fn twelve_killed_at_once_are_back_each_after_what_it_needs_is_ready_and_none_twice() {
    const COUNT: usize = 12;
    let lab = Lab::new();
    let engine = engine(&lab, "many");
    let folder = lab.path("ready");
    fs_err::create_dir(&folder).unwrap();
    let file = |n: usize| folder.join(format!("n{n}"));
    for n in 0..COUNT {
        let name = format!("n{n}");
        let on: Vec<String> = needs(n).iter().map(|n| on_ready(*n)).collect();
        let body = json!({
            "Cmd": ["sh", "-c", format!("sleep 1; touch /ready/{name}; {STILL}")],
            "Labels": {
                "lifeboat.supervise": "true", "com.docker.compose.project": "storm",
                "com.docker.compose.service": name, "com.docker.compose.depends_on": on.join(","),
            },
            "Healthcheck": {
                "Test": ["CMD", "test", "-e", format!("/ready/{name}")],
                "Interval": 1_000_000_000_u64, "Timeout": 10_000_000_000_u64, "Retries": 10,
            },
            "HostConfig": {"Binds": [format!("{}:/ready", folder.display())]},
        });
        tiny::create(&engine, &name, body);
        tiny::start(&engine, &name);
    }
    let agent = Agent::start(&lab, &engine);
    let are_ready = |all: &BTreeSet<usize>| all.iter().all(|n| file(*n).exists());
    let all = (0..COUNT).collect();
    agent.until("all have been ready", || are_ready(&all));
    for n in 0..COUNT {
        fs_err::remove_file(file(n)).unwrap();
    }
    // The engine learns of the end of what the others need last.
    let untold = Untold::of(process(&engine, 0));
    let took = killed_at_once((&lab, &engine, &agent), COUNT, || {
        agent.until("who needs it has died and waits", || {
            let told = ["n1", "n2"].map(|n| told(&lab, n));
            let says = |kind: &str| told.each_ref().map(|all| all.iter().any(|one| one == kind));
            says("died") == [true; 2] && says("waits").contains(&true)
        });
        drop(untold);
    });
    println!("{COUNT} killed at once: all back after {took:.1} s");
    let needed = (0..COUNT).flat_map(needs).collect();
    agent.until("what others need is ready", || are_ready(&needed));
    for n in 0..COUNT {
        let own: jiff::Timestamp = started(&engine, &format!("n{n}")).parse().unwrap();
        for on in needs(n) {
            let ready = fs_err::metadata(file(on)).unwrap().modified().unwrap();
            let ready = jiff::Timestamp::try_from(ready).unwrap();
            assert!(
                ready < own,
                "n{n} was started at {own}, and n{on} was ready at {ready}"
            );
        }
    }
}

/// As Compose writes it down.
fn on_ready(n: usize) -> String {
    format!("n{n}:service_healthy:false")
}

/// Time that a process has used.
fn used(pid: u32) -> Duration {
    let stat = fs_err::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let (_, numbers) = stat.rsplit_once(") ").unwrap();
    let ticks: u64 = numbers
        .split(' ')
        .skip(11)
        .take(2)
        .map(|n| n.parse::<u64>().unwrap())
        .sum();
    Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
}

/// With `LIFEBOAT_TEST_PROGRAM` it measures the program as it is released. On the newest engine: in Docker 20.10
/// libnetwork locks itself out for ever when so many end and some start at once (`network.getController` below
/// `sandbox.delete`, by the engine's own stacks), and it answers nobody any more.
#[test]
#[ignore = "minutes"]
fn soak_two_hundred_killed_at_once() {
    const IDLES: Duration = Duration::from_secs(60);
    let lab = Lab::new();
    let engine = lab.engine_of("many", Release::Newest);
    images::busybox().unwrap().load(&engine).unwrap();
    tiers(&engine, 200);
    let agent = Agent::start(&lab, &engine);
    std::thread::sleep(Duration::from_secs(10));
    let before = used(agent.pid());
    std::thread::sleep(IDLES);
    let cost = (used(agent.pid()) - before).as_secs_f64() / IDLES.as_secs_f64() * 100.0;
    println!("idle with 200 containers: {cost:.2} % of a core");
    let took = killed_at_once((&lab, &engine, &agent), 200, || ());
    println!("200 killed at once: all back after {took:.1} s");
}

#[test]
fn the_engine_is_restarted_and_everything_is_as_it_was() {
    let lab = Lab::new();
    let mut engine = engine(&lab, "boot");
    idle(&engine, "db", "no", json!({"lifeboat.supervise": "true"}));
    idle(
        &engine,
        "web",
        "always",
        json!({"lifeboat.depends-on": "db"}),
    );
    idle(
        &engine,
        "managed",
        "unless-stopped",
        json!({"lifeboat.start": "managed"}),
    );
    idle(&engine, "off", "no", json!({"lifeboat.supervise": "true"}));
    idle(&engine, "nobodys", "no", json!({}));
    let agent = Agent::start(&lab, &engine);
    agent.until("the policy is taken over", || {
        tiny::inspect(&engine, "managed")["HostConfig"]["RestartPolicy"]["Name"] == "no"
    });
    engine
        .api()
        .post("/containers/off/stop?t=1", &Value::Null)
        .unwrap();
    std::thread::sleep(Duration::from_secs(4));
    engine.stop().unwrap();
    agent.until("it is noticed", || {
        lab.command(None, &["status"]).status().unwrap().code() == Some(20)
    });
    engine.restart().unwrap();
    agent.until("all run again", || {
        ["db", "web", "managed"]
            .iter()
            .all(|name| runs(&engine, name))
    });
    std::thread::sleep(Duration::from_secs(2));
    assert!(!runs(&engine, "off") && !runs(&engine, "nobodys"));
    assert_eq!(row(&lab, "off")["state"], "stopped");
    agent.until("all is well", || {
        lab.command(None, &["status"]).status().unwrap().code() == Some(0)
    });
    // Killed is not shut down: what ran is to run all the same.
    kill_engine(&mut engine);
    agent.until("all run again", || {
        ["db", "web", "managed"]
            .iter()
            .all(|name| runs(&engine, name))
    });
    assert!(!runs(&engine, "off"));
    lab.run(None, &["agent", "release"], 0);
    agent.until("the policy is given back", || {
        tiny::inspect(&engine, "managed")["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    });
}

#[test]
fn the_engine_is_upgraded_and_everything_is_as_it_was() {
    let lab = Lab::new();
    let mut engine = lab.engine_of("boot", Release::Distribution);
    images::busybox().unwrap().load(&engine).unwrap();
    idle(&engine, "db", "no", json!({"lifeboat.supervise": "true"}));
    let labels = json!({"lifeboat.depends-on": "db", "lifeboat.keep": "true"});
    idle(&engine, "web", "always", labels);
    idle(&engine, "off", "no", json!({"lifeboat.supervise": "true"}));
    let agent = Agent::start(&lab, &engine);
    let ids = |engine: &PrivateEngine| {
        ["db", "web", "off"].map(|name| tiny::inspect(engine, name)["Id"].clone())
    };
    let before = ids(&engine);
    engine
        .api()
        .post("/containers/off/stop?t=1", &Value::Null)
        .unwrap();
    // Stops just before the engine ends would be its own.
    std::thread::sleep(Duration::from_secs(4));
    engine.upgrade(Release::Newest).unwrap();
    agent.until("all run again", || {
        runs(&engine, "db") && runs(&engine, "web")
    });
    agent.until("all is well", || {
        lab.command(None, &["status"]).status().unwrap().code() == Some(0)
    });
    // It is the same containers, none made anew, and what a person stopped stays so.
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(ids(&engine), before);
    assert!(!runs(&engine, "off"));
    assert_eq!(row(&lab, "off")["state"], "stopped");
    for name in ["db", "web", "off"] {
        let kinds = told(&lab, name);
        let gone = ["gone", "recreate", "recreated"];
        assert!(
            kinds.iter().all(|kind| !gone.contains(&kind.as_str())),
            "{name}: {kinds:?}"
        );
    }
    // And it is looked after as before.
    let start = started(&engine, "db");
    strike(&engine, "db", Signal::KILL);
    agent.until("it is back", || is_again(&engine, "db", &start));
}

fn kill_engine(engine: &mut PrivateEngine) {
    engine.kill().unwrap();
    engine.restart().unwrap();
}

#[test]
fn what_listens_and_never_answers_is_noticed_by_its_probe() {
    let lab = Lab::new();
    let engine = engine(&lab, "probe");
    let script = "mkdir /www; echo ok > /www/index.html; exec httpd -f -p 80 -h /www";
    let labels = json!({
        "lifeboat.liveness": "http://:80/index.html", "lifeboat.liveness.period": "1s",
        "lifeboat.liveness.failures": "2", "lifeboat.readiness": "tcp://:80", "lifeboat.readiness.period": "1s",
    });
    super::scripted(&engine, "web", script, "no", labels);
    let agent = Agent::start(&lab, &engine);
    agent.until("it is ready", || {
        told(&lab, "web").contains(&"ready".to_owned())
    });
    let before = started(&engine, "web");
    let began = Instant::now();
    strike(&engine, "web", Signal::STOP);
    agent.until("it is started again", || is_again(&engine, "web", &before));
    println!(
        "hung: noticed and back after {:.1} s",
        began.elapsed().as_secs_f64()
    );
    let said = lab.json(None, &["events", "web"], 0);
    let unhealthy = said
        .as_array()
        .unwrap()
        .iter()
        .find(|e| e["kind"] == "unhealthy")
        .unwrap();
    assert!(
        unhealthy["text"]
            .as_str()
            .unwrap()
            .contains("does not answer"),
        "{unhealthy}"
    );
}
