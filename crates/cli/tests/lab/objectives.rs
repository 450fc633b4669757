//! Objectives kept without anyone watching: labels on a running app, its RPO under load, the vault taken away, the agent
//! killed.

mod clock;
mod consistency;
mod digest;
pub mod flood;
mod idle;
mod killed;
mod traces;
mod upkeep;
mod wrong;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use lifeboat_testkit::{
    engine::PrivateEngine,
    images,
    server::{RegistryOptions, RegistryServer},
};
use serde_json::{Value, json};

use crate::support::{Lab, PATIENCE};

/// What the app's labels ask for, in milliseconds.
const RPO: i64 = 20_000;

/// Somebody who is told: each message as JSON, with the time at which it came.
fn listener() -> (String, Receiver<(i64, Value)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap().to_string();
    let (to, from) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut length = 0;
            let mut line = String::new();
            while reader.read_line(&mut line).unwrap_or(0) > 2 {
                if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                    length = value.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            let _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            let _ = to.send((now(), serde_json::from_slice(&body).unwrap()));
        }
    });
    (at, from)
}

fn now() -> i64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// The agent, ended by its own process id.
struct Agent(Child);

impl Agent {
    fn start(lab: &Lab, engine: &PrivateEngine) -> Self {
        Self::start_with(lab, engine, &[])
    }

    fn start_with(lab: &Lab, engine: &PrivateEngine, more: &[&str]) -> Self {
        Self::start_as(lab, engine, more, &[])
    }

    /// The same with these variables.
    fn start_as(
        lab: &Lab,
        engine: &PrivateEngine,
        more: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let log = fs_err::OpenOptions::new()
            .create(true)
            .append(true)
            .open(lab.path("agent.log"))
            .unwrap();
        let mut command: Command = lab.command(Some(engine), &["agent", "-v"]);
        command.args(more).envs(environment.iter().copied());
        command.stdout(Stdio::null()).stderr(log.into_parts().0);
        Self(command.spawn().unwrap())
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }

    fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An app that writes all the time, with these labels.
fn app(engine: &PrivateEngine, name: &str, labels: &Value) {
    let script = "i=0; while true; do i=$((i+1)); echo $i >> /data/rows; sleep 0.02; done";
    let body = json!({
        "Image": "lifeboat/busybox:latest",
        "Cmd": ["sh", "-c", script],
        "Labels": labels,
        "HostConfig": {"Binds": [format!("{name}_data:/data")]},
    });
    engine.api().create_container(name, &body).unwrap();
    let start = format!("/containers/{name}/start");
    engine.api().post(&start, &json!({})).unwrap();
}

fn jobs(lab: &Lab) -> Vec<Value> {
    let jobs = lab.json(None, &["jobs", "-n", "1000"], 0);
    jobs.as_array().unwrap().clone()
}

fn captures(lab: &Lab, app: &str) -> Vec<(i64, i64)> {
    let mut done: Vec<(i64, i64)> = jobs(lab)
        .iter()
        .filter(|job| {
            job["work"]["app"]
                .as_str()
                .is_some_and(|a| a.ends_with(app))
        })
        .filter(|job| job["outcome"]["result"] == "done")
        .map(|job| {
            (
                job["began"].as_i64().unwrap(),
                job["ended"].as_i64().unwrap(),
            )
        })
        .collect();
    done.sort_unstable();
    done
}

fn until(what: &str, lab: &Lab, is: impl FnMut() -> bool) {
    within(PATIENCE, what, lab, is);
}

fn within(limit: Duration, what: &str, lab: &Lab, mut is: impl FnMut() -> bool) {
    let clock = Instant::now();
    while !is() {
        let log = || fs_err::read_to_string(lab.path("agent.log")).unwrap_or_default();
        assert!(clock.elapsed() < limit, "{what}: {}", log());
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn metrics(at: &str) -> String {
    let mut stream = std::net::TcpStream::connect(at).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text
}

/// A registry that is backed up by itself: at once, and again when it is due, without fetching what is known.
#[test]
fn a_registry_is_backed_up_on_its_schedule() {
    let lab = Lab::new();
    let engine = lab.engine("a");
    lab.init();
    let registry = RegistryServer::start(&lab.path("r"), RegistryOptions::default()).unwrap();
    let image = format!(
        "docker-archive:{}",
        images::busybox().unwrap().tar.display()
    );
    registry.push(&image, "team/app:1").unwrap();
    let name = registry.address();
    let settings = format!("[registry.\"{name}\"]\nevery = \"4s\"\n");
    fs_err::write(lab.path("etc/lifeboat.toml"), settings).unwrap();
    let agent = Agent::start(&lab, &engine);
    let points = || {
        let points = lab.json(None, &["points"], 0);
        points["points"].as_array().unwrap().len()
    };
    until("the first point", &lab, || points() >= 1);
    registry.push(&image, "team/app:2").unwrap();
    let has_both = || {
        let mut record = lab.command(None, &["dump", "latest", "/registry.json"]);
        let record = record.output().unwrap();
        let record: Value = serde_json::from_slice(&record.stdout).unwrap_or_default();
        let tags = &record["repositories"]["team/app"]["tags"];
        tags["1"].is_string() && tags["2"] == tags["1"]
    };
    until("the second tag", &lab, has_both);
    // A point is there a moment before its record says so.
    until("two records", &lab, || {
        let jobs = jobs(&lab);
        let of_registry = |job: &&Value| job["work"].to_string().contains(&name);
        let done = jobs.iter().filter(of_registry);
        done.filter(|job| job["outcome"]["result"] == "done")
            .count()
            >= 2
    });
    drop(agent);
    let check = lab.run(None, &["registry", "check", &name, "--read-data"], 0);
    let said = String::from_utf8(check.stdout).unwrap();
    assert!(said.contains("is whole"), "{said}");
}

#[test]
fn an_rpo_is_kept_under_load_and_people_are_told_before_it_is_missed() {
    /// In milliseconds: long enough that a machine with much other work keeps it.
    const RPO: i64 = 40_000;
    let lab = Lab::new();
    let engine = lab.engine("a");
    images::busybox().unwrap().load(&engine).unwrap();
    lab.init();
    let (at, told) = listener();
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let settings = format!(
        "[notify]\nurls = [\"generic+http://{at}/s3cret?template=json\"]\n[metrics]\nlisten = \"{free}\"\n"
    );
    fs_err::write(lab.path("etc/lifeboat.toml"), settings).unwrap();
    let agent = Agent::start(&lab, &engine);
    std::thread::sleep(Duration::from_secs(2));

    // It comes while the agent runs, and is found by the engine's events.
    let created = now();
    let labels = json!({"lifeboat.rpo": format!("{RPO}ms"), "lifeboat.retian": "7d"});
    app(&engine, "notes", &labels);
    app(&engine, "scratch", &json!({"lifeboat.enable": "false"}));
    until("the first point", &lab, || {
        !captures(&lab, "/notes").is_empty()
    });
    until("three points", &lab, || captures(&lab, "/notes").len() >= 3);
    let made = captures(&lab, "/notes");
    assert!(
        made[0].0 - created < RPO / 2,
        "found at once: {} ms",
        made[0].0 - created
    );
    let mut oldest = 0;
    for pair in made.windows(2) {
        // So old the first of the two was when the second was complete.
        oldest = oldest.max(pair[1].1 - pair[0].0);
    }
    println!(
        "RPO {RPO} ms; the oldest that the newest point ever was: {oldest} ms; {} points",
        made.len()
    );
    assert!(oldest <= RPO, "{made:?}");
    assert!(captures(&lab, "/scratch").is_empty(), "it opted out");

    // What is shown of it.
    let policy = lab.run(Some(&engine), &["policy", "notes"], 0);
    let policy = String::from_utf8(policy.stdout).unwrap();
    assert!(policy.contains("label lifeboat.rpo on notes"), "{policy}");
    assert!(
        policy.contains("did you mean `lifeboat.retain`?"),
        "{policy}"
    );
    let figures = metrics(&free);
    assert!(
        figures.contains("lifeboat_rpo_target_seconds{app=\"default/lab/notes\"} 40\n"),
        "{figures}"
    );
    assert!(
        figures.contains("lifeboat_rpo_missed{app=\"default/lab/notes\"} 0\n"),
        "{figures}"
    );
    assert!(
        figures.contains("lifeboat_app_protected{app=\"default/lab/scratch\"} 0\n"),
        "{figures}"
    );
    lab.run(None, &["notify", "test"], 0);
    until("the test message", &lab, || {
        told.try_iter()
            .any(|(_, m)| m["title"].as_str().unwrap().starts_with("A test from"))
    });

    // The vault is taken away, and given back once the RPO was missed.
    let (vault, away) = (lab.vault(), lab.path("away"));
    fs_err::rename(&vault, &away).unwrap();
    let mut soon = None;
    let mut missed = None;
    let clock = Instant::now();
    while missed.is_none() && clock.elapsed() < PATIENCE {
        let Ok((when, message)) = told.recv_timeout(Duration::from_secs(1)) else {
            continue;
        };
        let title = message["title"].as_str().unwrap();
        if title.contains("is about to be missed") {
            soon = Some(when);
        } else if title.contains("is missed") {
            missed = Some(when);
        }
    }
    let (soon, missed) = (
        soon.expect("told before"),
        missed.expect("told of the miss"),
    );
    let newest = captures(&lab, "/notes").last().unwrap().0;
    println!("told {} ms before the miss", newest + RPO - soon);
    assert!(soon < newest + RPO, "told before the RPO was missed");
    assert!(missed >= newest + RPO);
    fs_err::rename(&away, &vault).unwrap();
    until("the recovery notice", &lab, || {
        told.try_iter().any(|(_, m)| {
            m["level"] == "recovery" && m["title"].as_str().unwrap().contains("kept again")
        })
    });
    let log = fs_err::read_to_string(lab.path("agent.log")).unwrap();
    assert!(!log.contains("s3cret"), "{log}");

    // Killed at moments; nothing is under way for ever.
    let mut agent = agent;
    for moment in [0, 500] {
        let before = jobs(&lab).len();
        until("a job begins", &lab, || jobs(&lab).len() > before);
        std::thread::sleep(Duration::from_millis(moment));
        agent.kill();
        agent = Agent::start(&lab, &engine);
    }
    let last = jobs(&lab)[0]["id"].as_u64().unwrap();
    until("all jobs of the dead are over", &lab, || {
        let open = jobs(&lab)
            .into_iter()
            .filter(|j| j["id"].as_u64().unwrap() <= last);
        open.filter(|j| j["state"] != "ended").count() == 0
    });
    agent.kill();

    // The records are lost: the vault tells.
    let points = lab.json(None, &["points"], 0);
    let points = points["points"].as_array().unwrap().len();
    fs_err::remove_dir_all(lab.path("state/objectives")).unwrap();
    let agent = Agent::start(&lab, &engine);
    until("records are made again", &lab, || {
        captures(&lab, "/notes").len() >= points
    });
    drop(agent);
    lab.restic(&["check"]);
}
