//! What goes wrong around the agent: objectives that cannot be kept, records damaged or without room, an engine that is
//! away or another one.

use std::time::Duration;

use lifeboat_testkit::{engine::PrivateEngine, images};
use serde_json::{Value, json};

use super::{Agent, app, captures, jobs, listener, until};
use crate::{support::Lab, tiny::Small};

/// Waits until somebody is told this, in one message.
fn hears(told: &std::sync::mpsc::Receiver<(i64, Value)>, wait: u64, words: &[&str]) -> Value {
    let clock = std::time::Instant::now();
    let mut others = Vec::new();
    while let Some(left) = Duration::from_secs(wait).checked_sub(clock.elapsed()) {
        let Ok((_, message)) = told.recv_timeout(left) else {
            break;
        };
        let text = message.to_string();
        if words.iter().all(|word| text.contains(word)) {
            return message;
        }
        others.push(text);
    }
    panic!("nobody was told {words:?} but {others:#?}");
}

/// A lab with an app, an agent and somebody who is told.
fn scene() -> (Lab, PrivateEngine, std::sync::mpsc::Receiver<(i64, Value)>) {
    let lab = Lab::new();
    let engine = lab.engine("a");
    images::busybox().unwrap().load(&engine).unwrap();
    lab.init();
    let (at, told) = listener();
    let settings = format!("[notify]\nurls = [\"generic+http://{at}/?template=json\"]\n");
    fs_err::write(lab.path("etc/lifeboat.toml"), settings).unwrap();
    (lab, engine, told)
}

#[test]
fn an_rpo_shorter_than_a_backup_takes_is_said_with_by_how_much() {
    let (lab, engine, told) = scene();
    app(&engine, "hasty", &json!({"lifeboat.rpo": "500ms"}));
    let _agent = Agent::start(&lab, &engine);
    let words = [
        "default/lab/hasty cannot be kept",
        "shorter than can be kept",
        "two of them make",
    ];
    let message = hears(&told, 60, &words);
    let said = message["message"].as_str().unwrap();
    // By how much, as a length of time.
    let by = said.split("an RPO of 500ms is ").nth(1).unwrap();
    assert!(by.starts_with(|c: char| c.is_ascii_digit()), "{said}");
    assert!(said.contains("a capture takes "), "{said}");
}

#[test]
fn records_that_are_damaged_are_made_again_and_without_room_they_are_kept_in_memory() {
    let (lab, engine, told) = scene();
    fs_err::create_dir_all(lab.path("state")).unwrap();
    let small = Small::mount(&lab.path("state/objectives"), "4m");
    app(&engine, "notes", &json!({"lifeboat.rpo": "8s"}));
    let agent = Agent::start(&lab, &engine);
    until("two points", &lab, || captures(&lab, "/notes").len() >= 2);
    agent.kill();

    // Damaged: set aside, and begun anew from the vault's points.
    let file = lab.path("state/objectives/jobs.sqlite");
    let mut bytes = fs_err::read(&file).unwrap();
    bytes[..200].fill(0x5a);
    fs_err::write(&file, bytes).unwrap();
    for end in ["-wal", "-shm"] {
        let _ = fs_err::remove_file(format!("{}{end}", file.display()));
    }
    let points = lab.json(None, &["points"], 0)["points"]
        .as_array()
        .unwrap()
        .len();
    let agent = Agent::start(&lab, &engine);
    let damaged = lab.path("state/objectives/jobs.sqlite.damaged");
    until("it is set aside", &lab, || damaged.exists());
    until("records are made again", &lab, || {
        captures(&lab, "/notes").len() >= points
    });
    let log = fs_err::read_to_string(lab.path("agent.log")).unwrap();
    assert!(log.contains("the records of jobs were damaged"), "{log}");
    agent.kill();

    // Without room: nothing is set aside, people are told, captures go on once there is room, and no record is lost.
    let before = jobs(&lab).len();
    let filler = lab.path("state/objectives/filler");
    let fill = std::process::Command::new("sh")
        .args(["-c", "cat /dev/zero > \"$0\"", filler.to_str().unwrap()])
        .output()
        .unwrap();
    assert!(!fill.status.success(), "it is full");
    let agent = Agent::start(&lab, &engine);
    hears(&told, 40, &["writing the records of jobs failed"]);
    assert!(
        fs_err::read_dir(lab.path("state/objectives"))
            .unwrap()
            .count()
            > 0
    );
    small.grow("64m");
    hears(&told, 60, &["writing the records of jobs works again"]);
    until("it is as before", &lab, || {
        jobs(&lab).len() > before && captures(&lab, "/notes").len() > points
    });
    let log = fs_err::read_to_string(lab.path("agent.log")).unwrap();
    assert_eq!(log.matches("were damaged").count(), 1, "{log}");
    agent.kill();
    lab.restic(&["check"]);
}

#[test]
fn an_engine_whose_socket_is_gone_is_waited_for_and_another_one_is_not_taken_for_it() {
    let (lab, mut engine, told) = scene();
    app(&engine, "notes", &json!({"lifeboat.rpo": "16s"}));
    // What the agent knows of its engine is a place, where another one may be some day.
    let place = lab.path("engine.sock");
    std::os::unix::fs::symlink(engine.socket(), &place).unwrap();
    let flag = format!("--engine=unix://{}", place.display());
    let agent = Agent::start_with(&lab, &engine, &[&flag]);
    until("a point", &lab, || !captures(&lab, "/notes").is_empty());
    engine.kill().unwrap();
    let _ = fs_err::remove_file(engine.socket());
    hears(
        &told,
        60,
        &["RPO of default/lab/notes is about to be missed"],
    );
    let status = lab.command(None, &["status"]).output().unwrap();
    assert_eq!(status.status.code(), Some(20), "{status:?}");
    hears(&told, 60, &["RPO of default/lab/notes is missed"]);
    engine.restart().unwrap();
    let start = "/containers/notes/start";
    let _ = engine.api().post(start, &json!({}));
    hears(&told, 60, &["RPO of default/lab/notes is kept again"]);

    // Another engine in its place, with an app of the same name: its data is none of this line's.
    // What fails is told once, and not again for another reason: where a capture was under way when the engine went, only
    // the missed objective names the other one.
    let other = lab.engine("b");
    images::busybox().unwrap().load(&other).unwrap();
    app(&other, "notes", &json!({"lifeboat.rpo": "16s"}));
    let made = captures(&lab, "/notes").len();
    let next = lab.path("next.sock");
    std::os::unix::fs::symlink(other.socket(), &next).unwrap();
    fs_err::rename(&next, &place).unwrap();
    engine.destroy().unwrap();
    hears(&told, 90, &["default/lab/notes", "another host or engine"]);
    // One that was under way when the engine went may have ended well.
    assert!(captures(&lab, "/notes").len() <= made + 1);
    agent.kill();
}
