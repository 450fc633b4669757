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
                    since.elapsed() < Duration::from_secs(10),
                    "{signal:?}: still frozen"
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
            assert_eq!(lab.begun(), Vec::<String>::new());
            let report = lab.json(some, &["backup", "pair"], 0);
            assert_eq!(only(&report)["level"], "crash", "{signal:?}");
        }
    }
    lab.run(None, &["check", "--read-data"], 0);
    engine.destroy().unwrap();
}

#[test]
fn a_signal_during_a_restore_takes_back_what_was_made() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let some = Some(&engine);
    let bind = lab.path("bind");
    fs_err::create_dir(&bind).unwrap();
    fs_err::write(bind.join("file"), "bound\n").unwrap();
    let mount = format!("{}:/bind", bind.display());
    tiny::run(&engine, "shop", IDLE, &["shop_data:/data", &mount]);
    let row = || engine.volume_path("shop_data").unwrap().join("row");
    let lose = || {
        tiny::remove(&engine, "shop");
        tiny::remove_volume(&engine, "shop_data");
        fs_err::remove_dir_all(&bind).unwrap();
    };
    let mut ids = Vec::new();
    for text in ["one\n", "two\n"] {
        fs_err::write(row(), text).unwrap();
        let report = lab.json(some, &["backup", "shop"], 0);
        ids.push(only(&report)["id"].as_str().unwrap().to_owned());
    }
    lose();
    let nothing = || {
        assert_eq!(tiny::names(&engine), Vec::<String>::new());
        assert!(!bind.exists());
        assert_eq!(lab.begun(), Vec::<String>::new());
        let hidden = fs_err::read_dir(lab.path("")).unwrap().any(|entry| {
            entry
                .unwrap()
                .file_name()
                .to_string_lossy()
                .contains("lifeboat-restore")
        });
        assert!(!hidden, "a copy was left");
    };
    for step in ["restore-volumes", "restore-binds", "restore-containers"] {
        let mut held = Held::start(&lab, lab.command(some, &["restore", "shop"]));
        held.until(step);
        kill_process(
            Pid::from_raw(i32::try_from(held.pid()).unwrap()).unwrap(),
            Signal::INT,
        )
        .unwrap();
        let output = held.end();
        assert_eq!(
            output.status.code(),
            Some(130),
            "{step}: {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains("interrupted"),
            "{}",
            stderr(&output)
        );
        nothing();
    }
    // Any point can be restored then.
    lab.json(some, &["restore", &format!("shop@{}", ids[0])], 0);
    assert_eq!(fs_err::read_to_string(row()).unwrap(), "one\n");
    assert_eq!(
        fs_err::read_to_string(bind.join("file")).unwrap(),
        "bound\n"
    );
    lose();

    // One that was killed is finished first, since nobody could take it back.
    let first = format!("shop@{}", ids[0]);
    lab.killed(some, &["restore", &first], "restore-containers");
    let line = format!("restore shop@{}", ids[1]);
    let said = tiny::refused(
        &lab,
        some,
        &line,
        1,
        &["interrupted", &ids[0][..8], "nothing was changed"],
    );
    assert!(
        !said.contains("never overwritten"),
        "what is half-done is no obstacle to move away: {said}"
    );
    lab.json(some, &["restore", &format!("shop@{}", ids[0])], 0);
    assert_eq!(fs_err::read_to_string(row()).unwrap(), "one\n");
    engine.destroy().unwrap();
}
