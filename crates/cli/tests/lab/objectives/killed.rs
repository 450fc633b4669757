//! The agent is killed at fifty moments, some of them with the process of its job: nothing is under way for ever, nothing
//! runs twice at a time, and no acknowledged point is missing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use lifeboat_testkit::images;
use serde_json::json;

use super::{Agent, app, jobs, until};
use crate::{support::Lab, tiny};

const MOMENTS: u32 = 50;
const SEED: u64 = 9;

/// The same numbers for the same seed.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Processes of this lab that back the app up right now.
fn backups(state: &str) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|n| n.parse::<i32>().ok())
        else {
            continue;
        };
        let read = |name: &str| std::fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let line = read("cmdline");
        let words: Vec<&[u8]> = line.split(|b| *b == 0).collect();
        let is_backup = words
            .windows(2)
            .any(|w| w[0] == b"backup" && w[1] == b"notes");
        if is_backup && String::from_utf8_lossy(&read("environ")).contains(state) {
            let stat = String::from_utf8_lossy(&read("stat")).into_owned();
            let parent = stat.rsplit_once(") ").and_then(|(_, rest)| {
                let mut words = rest.split(' ');
                words.nth(1)?.parse::<i32>().ok()
            });
            found.push((pid, parent));
        }
    }
    // A child that has not become its program yet looks like its parent.
    let pids: Vec<i32> = found.iter().map(|(pid, _)| *pid).collect();
    found.retain(|(_, parent)| parent.is_none_or(|parent| !pids.contains(&parent)));
    found.into_iter().map(|(pid, _)| pid).collect()
}

#[test]
fn soak_killed_at_fifty_moments() {
    let lab = Lab::new();
    let engine = lab.engine("a");
    images::busybox().unwrap().load(&engine).unwrap();
    lab.init();
    app(&engine, "notes", &json!({"lifeboat.rpo": "5s"}));
    let state = lab.path("state").display().to_string();
    // Somebody looks all the time whether two of them run at once.
    let (over, most) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let (ends, seen, of) = (Arc::clone(&over), Arc::clone(&most), state.clone());
    let watcher = std::thread::spawn(move || {
        while !ends.load(Ordering::Relaxed) {
            seen.fetch_max(backups(&of).len(), Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(15));
        }
    });
    let mut numbers = Numbers(SEED);
    let (mut with_job, mut during) = (0, 0);
    for moment in 0..MOMENTS {
        let agent = Agent::start(&lab, &engine);
        if moment % 2 == 0 {
            std::thread::sleep(Duration::from_millis(200 + numbers.below(2_000)));
        } else {
            // However quick the machine is, some of them meet a backup.
            until("a backup is under way", &lab, || {
                !backups(&state).is_empty()
            });
            std::thread::sleep(Duration::from_millis(numbers.below(100)));
        }
        agent.kill();
        let running = backups(&state);
        during += usize::from(!running.is_empty());
        if numbers.below(3) == 0 {
            for pid in running {
                let pid = rustix::process::Pid::from_raw(pid).unwrap();
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
                with_job += 1;
            }
        }
    }
    let agent = Agent::start(&lab, &engine);
    let last = jobs(&lab)[0]["id"].as_u64().unwrap();
    until("all jobs of the dead are over", &lab, || {
        let of_dead = jobs(&lab)
            .into_iter()
            .filter(|job| job["id"].as_u64().unwrap() <= last);
        of_dead.filter(|job| job["state"] != "ended").count() == 0
    });
    let goes_on = || {
        jobs(&lab)
            .iter()
            .any(|job| job["id"].as_u64().unwrap() > last && job["outcome"]["result"] == "done")
    };
    until("it goes on", &lab, goes_on);
    over.store(true, Ordering::Relaxed);
    watcher.join().unwrap();
    agent.kill();
    until("the last one is over", &lab, || backups(&state).is_empty());

    let all = jobs(&lab);
    let count = |word: &str| {
        all.iter()
            .filter(|job| job["outcome"]["result"] == word)
            .count()
    };
    println!(
        "seed {SEED}: killed at {MOMENTS} moments, at {during} with a backup under way, {with_job} of these killed too; {} jobs: {} done, {} interrupted, {} failed",
        all.len(),
        count("done"),
        count("interrupted"),
        count("failed")
    );
    assert_eq!(most.load(Ordering::Relaxed), 1, "never two at a time");
    assert!(during >= 10 && with_job >= 3, "the moments meet nothing");
    // What was called done is in the vault, and the app runs.
    let points = lab.json(None, &["points"], 0)["points"].to_string();
    for job in all.iter().filter(|job| job["outcome"]["result"] == "done") {
        assert!(points.contains(job["point"].as_str().unwrap()), "{job:#}");
    }
    assert!(tiny::runs(&engine, "notes"));
    lab.restic(&["check", "--read-data"]);
}
