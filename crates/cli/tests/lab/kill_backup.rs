//! `kill -9` of a backup, wherever it is: the app runs again within a second, the vault is whole, the
//! next backup succeeds, and the point before restores.

use std::time::{Duration, Instant};

use lifeboat_testkit::{
    engine::PrivateEngine,
    sample_app::{CONTAINERS, SampleApp},
};

use crate::{support::Lab, tiny::Held};

/// Steps of a backup in their order; the frozen part is between `freeze` and `thawed`.
const STEPS: [&str; 12] = [
    "discover",
    "open-writer",
    "images",
    "layers",
    "precopy",
    "freeze",
    "frozen",
    "thaw",
    "thawed",
    "commit",
    "write-snapshot",
    "committed",
];

/// More deaths inside the frozen part: so long after all that write were frozen. The run is not let past the step
/// that thaws them, so it is always alive when it is killed.
const FROZEN_FOR_MS: [u64; 10] = [0, 5, 10, 15, 25, 35, 50, 65, 80, 100];

#[test]
fn wherever_a_backup_is_killed_the_app_runs_on_and_the_vault_is_whole() {
    let lab = Lab::new();
    lab.init();
    let engine = lab.engine("a");
    let app = SampleApp::create(&engine, &lab.path("shop")).unwrap();
    app.wait_ready(&engine).unwrap();
    lab.json(Some(&engine), &["backup", "shop"], 0);
    for step in STEPS {
        // The first point holds the images; without it they would be saved again each time.
        lab.killed(Some(&engine), &["backup", "shop"], step);
        let ended = Instant::now();
        runs_again(&engine, step, ended);
        whole(&lab, &engine, step);
    }
    for after in FROZEN_FOR_MS {
        let place = format!("{after} ms after the freeze");
        let mut held = Held::start(&lab, lab.command(Some(&engine), &["backup", "shop"]));
        held.until("frozen");
        std::thread::sleep(Duration::from_millis(after));
        assert!(
            CONTAINERS.iter().any(|name| is_frozen(&engine, name)),
            "{place}: nobody is frozen"
        );
        held.kill();
        runs_again(&engine, &place, Instant::now());
        whole(&lab, &engine, &place);
    }
    lab.restic(&["check", "--read-data"]);
    app.wait_ready(&engine).unwrap();
    // The oldest point is as good as ever.
    let points = lab.json(None, &["points", "shop"], 0);
    let oldest = points["points"][0]["id"].as_str().unwrap().to_owned();
    let target = lab.path("out");
    lab.run(
        None,
        &["restore", &oldest, "--target", target.to_str().unwrap()],
        0,
    );
    assert!(target.join("app.json").is_file());
    assert!(target.join("volumes").is_dir());
    engine.destroy().unwrap();
}

fn is_paused(engine: &PrivateEngine, name: &str) -> bool {
    let raw = engine
        .api()
        .get(&format!("/containers/{name}/json"))
        .unwrap();
    raw["State"]["Paused"] == true
}

/// All containers run, for the engine and for the kernel: within a second on a machine that has nothing else to do
/// (docs/measured.md), within ten on one that stalls.
fn runs_again(engine: &PrivateEngine, place: &str, since: Instant) {
    let stuck = || {
        CONTAINERS
            .iter()
            .find(|name| is_paused(engine, name) || is_frozen(engine, name))
    };
    while let Some(name) = stuck() {
        assert!(
            since.elapsed() < Duration::from_secs(10),
            "killed at {place}: {name} still stands"
        );
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn is_frozen(engine: &PrivateEngine, name: &str) -> bool {
    let raw = engine
        .api()
        .get(&format!("/containers/{name}/json"))
        .unwrap();
    let Some(pid) = raw["State"]["Pid"].as_u64().filter(|pid| *pid != 0) else {
        return false;
    };
    let freezer = lifeboat_engine::freezer::Freezer::of_pid(pid as u32).unwrap();
    freezer.is_frozen().unwrap()
}

/// The vault checks clean at once, and the next backup succeeds.
fn whole(lab: &Lab, engine: &PrivateEngine, place: &str) {
    // Takes the lock of the dead away, which restic's exclusive check would stop at.
    lab.run(None, &["check"], 0);
    lab.restic(&["check"]);
    let report = lab.json(Some(engine), &["backup", "shop"], 0);
    assert_eq!(report["protected"][0]["level"], "crash", "after {place}");
}
