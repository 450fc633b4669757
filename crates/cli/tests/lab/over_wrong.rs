//! `restore --replace` where something is wrong, or goes wrong: the old app runs, untouched or again.

use lifeboat_testkit::engine::PrivateEngine;
use serde_json::{Value, json};

use crate::{
    over::Pair,
    support::{Lab, only},
    tiny::{self, Held, IDLE, Small, noise, refused, stderr},
};

/// A point of `app`, as it is typed.
fn backup(lab: &Lab, engine: &PrivateEngine, app: &str) -> String {
    let report = lab.json(Some(engine), &["backup", app], 0);
    format!("{app}@{}", &only(&report)["id"].as_str().unwrap()[..8])
}

fn ids(engine: &PrivateEngine, names: &[&str]) -> Vec<Value> {
    let id = |name: &&str| tiny::inspect(engine, name)["Id"].clone();
    names.iter().map(id).collect()
}

const NAMES: [&str; 2] = ["pair-db", "pair-web"];

#[test]
fn what_does_not_come_up_is_swapped_back() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let script = format!("test ! -e /data/broken || exit 7; echo >>/data/starts; {IDLE}");
    tiny::create(
        &engine,
        "web",
        json!({
            "Cmd": ["sh", "-c", script],
            "Volumes": {"/nameless": {}},
            "HostConfig": {"Binds": ["webdata:/data"], "RestartPolicy": {"Name": "unless-stopped"}},
        }),
    );
    tiny::start(&engine, "web");
    let api = engine.api();
    let exec = |line: &str| api.exec_ok("web", &["sh", "-c", line]).unwrap();
    exec("touch /data/broken");
    let point = backup(&lab, &engine, "web");
    exec("rm /data/broken; echo today >/data/f; echo today >/nameless/f");
    let (id, names) = (ids(&engine, &["web"]), tiny::names(&engine));
    let said = refused(
        &lab,
        Some(&engine),
        &format!("restore {point} --replace"),
        1,
        &[
            "exit code 7",
            "swapped back",
            "safety point",
            "lifeboat rm web",
        ],
    );
    assert!(!said.contains("undo"), "{said}");
    assert_eq!((ids(&engine, &["web"]), tiny::names(&engine)), (id, names));
    let raw = tiny::inspect(&engine, "web");
    assert_eq!(raw["HostConfig"]["RestartPolicy"]["Name"], "unless-stopped");
    assert_eq!(exec("cat /data/f /nameless/f"), "today\ntoday\n");
    // What the replacement wrote is there for a while.
    let kept = lab.json(Some(&engine), &["rm", "web", "--yes"], 0);
    assert!(kept.to_string().contains("webdata"), "{kept}");
    engine.destroy().unwrap();
}

#[test]
fn what_cannot_change_places_is_refused_before_anything_stops() {
    let lab = Lab::new();
    lab.init();
    let small = Small::mount(&lab.path("small"), "12m");
    let engine = tiny::engine(&lab, "a");
    let files = lab.path("small/files");
    fs_err::create_dir_all(&files).unwrap();
    fs_err::write(files.join("f"), noise(1 << 20, 7)).unwrap();
    let binds = [format!("{}:/f", files.display()), "vv:/v".to_owned()];
    let binds: Vec<&str> = binds.iter().map(String::as_str).collect();
    tiny::run(&engine, "web", IDLE, &binds);
    let web = backup(&lab, &engine, "web");
    let some = Some(&engine);
    let line = format!("restore {web} --replace");
    let id = ids(&engine, &["web"]);
    // No room for both.
    refused(&lab, some, &line, 1, &["no room", "nothing was changed"]);
    small.grow("64m");
    // A stranger runs on it.
    tiny::run(&engine, "stranger", IDLE, &["vv:/theirs"]);
    refused(
        &lab,
        some,
        &line,
        1,
        &["volume vv is used by stranger", "stop it"],
    );
    tiny::remove(&engine, "stranger");
    // Something mounted in it.
    let inner = Small::mount(&files.join("inner"), "1m");
    refused(&lab, some, &line, 1, &["something is mounted in it"]);
    drop(inner);
    fs_err::remove_dir(files.join("inner")).unwrap();
    assert_eq!(ids(&engine, &["web"]), id);
    // Made by hand with options since: another kind of volume.
    tiny::remove(&engine, "web");
    tiny::remove_volume(&engine, "vv");
    let options = json!({"type": "tmpfs", "device": "tmpfs", "o": "size=1m"});
    let body = json!({"Name": "vv", "DriverOpts": options});
    engine.api().post("/volumes/create", &body).unwrap();
    tiny::run(&engine, "web", IDLE, &binds);
    refused(
        &lab,
        some,
        &line,
        1,
        &["volume vv is made by driver local with options"],
    );
    assert!(tiny::runs(&engine, "web"));
    tiny::remove(&engine, "web");
    tiny::remove_volume(&engine, "vv");
    // On a small disk of another kind it works as well.
    tiny::run(&engine, "web", IDLE, &binds);
    fs_err::write(files.join("f"), "today").unwrap();
    lab.json(some, &["restore", &web, "--replace"], 0);
    assert_eq!(fs_err::read(files.join("f")).unwrap(), noise(1 << 20, 7));
    tiny::remove(&engine, "web");
    engine.destroy().unwrap();
}

#[test]
fn the_vault_goes_away_half_way_and_two_at_once_are_refused() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let pair = Pair::create(&lab, &engine);
    pair.write("first");
    let point = backup(&lab, &engine, "pair");
    pair.write("second");
    let (id, names) = (ids(&engine, &NAMES), pair.names());
    let args = ["restore", &point, "--replace", "--no-safety-point"];
    let mut held = Held::start(&lab, lab.command(Some(&engine), &args));
    held.until("replace-missing");
    let line = format!("restore {point} --replace");
    refused(&lab, Some(&engine), &line, 1, &["another lifeboat process"]);
    fs_err::rename(lab.vault(), lab.path("away")).unwrap();
    let output = held.end();
    assert_ne!(output.status.code(), Some(0));
    assert!(stderr(&output).contains("runs on"), "{}", stderr(&output));
    assert_eq!((pair.word().as_str(), ids(&engine, &NAMES)), ("second", id));
    assert_eq!(pair.names(), names);
    fs_err::rename(lab.path("away"), lab.vault()).unwrap();
    lab.json(Some(&engine), &args, 0);
    assert_eq!(pair.word(), "first");
    engine.destroy().unwrap();
}

#[test]
fn what_somebody_does_in_the_middle_is_taken_as_it_is_or_refused() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let pair = Pair::create(&lab, &engine);
    pair.write("first");
    let point = backup(&lab, &engine, "pair");
    let names = pair.names();
    let args = ["restore", &point, "--replace", "--no-safety-point"];
    let start = |step: &str| {
        let mut held = Held::start(&lab, lab.command(Some(&engine), &args));
        held.until(step);
        held
    };
    // Renamed: it is the app's, whatever it is called.
    pair.write("second");
    let held = start("replace-containers");
    engine
        .api()
        .post("/containers/pair-web/rename?name=other", &Value::Null)
        .unwrap();
    assert!(held.end().status.success());
    assert_eq!(
        (pair.word().as_str(), pair.names()),
        ("first", names.clone())
    );
    // A stranger is started on the data, before the cut and in it.
    pair.write("second");
    for (step, word) in [
        ("replace-containers", "untouched"),
        ("replace-aside", "swapped back"),
    ] {
        let id = ids(&engine, &NAMES);
        let held = start(step);
        tiny::run(&engine, "stranger", IDLE, &["pairdata:/theirs"]);
        let output = held.end();
        assert_eq!(output.status.code(), Some(1));
        let said = stderr(&output);
        assert!(
            said.contains(word) && said.contains("stranger"),
            "{step}: {said}"
        );
        assert_eq!((pair.word().as_str(), ids(&engine, &NAMES)), ("second", id));
        tiny::remove(&engine, "stranger");
        assert_eq!(pair.names(), names, "{step}");
    }
    // Stopped by somebody: it comes back as the point has it.
    let held = start("replace-containers");
    engine
        .api()
        .post("/containers/pair-web/stop", &Value::Null)
        .unwrap();
    assert!(held.end().status.success());
    assert_eq!(pair.word(), "first");
    // Somebody takes the name in the cut: nothing is lost, and it is said.
    pair.write("second");
    let held = start("replace-exchange");
    let id = tiny::create(&engine, "pair-web", json!({"Cmd": ["true"]}));
    let output = held.end();
    let said = stderr(&output);
    assert!(
        said.contains("--undo") && said.contains("pair-web"),
        "{said}"
    );
    engine.api().delete(&format!("/containers/{id}")).unwrap();
    lab.json(Some(&engine), &["restore", "--undo"], 0);
    assert_eq!((pair.word().as_str(), pair.names()), ("second", names));
    engine.destroy().unwrap();
}

#[test]
fn one_that_is_removed_when_it_stops_comes_back_from_its_definition() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    tiny::create(
        &engine,
        "brief",
        json!({
            "Cmd": ["sh", "-c", IDLE],
            "Volumes": {"/nameless": {}},
            "Env": ["SECRET=only-in-the-definition"],
            "HostConfig": {"AutoRemove": true, "Binds": ["briefdata:/data"]},
        }),
    );
    tiny::start(&engine, "brief");
    let api = engine.api();
    let write = |word: &str| {
        let line = format!("echo {word} >/data/f; echo {word} >/nameless/f");
        api.exec_ok("brief", &["sh", "-c", &line]).unwrap();
    };
    let word = || {
        let raw = tiny::inspect(&engine, "brief");
        assert_eq!(raw["HostConfig"]["AutoRemove"], true);
        api.exec_ok("brief", &["cat", "/data/f", "/nameless/f"])
            .unwrap()
    };
    write("first");
    let point = backup(&lab, &engine, "brief");
    write("second");
    let args = ["restore", point.as_str(), "--replace", "--no-safety-point"];
    for step in ["replace-aside", "replace-exchange", "start-container"] {
        lab.killed(Some(&engine), &args, step);
        lab.json(Some(&engine), &["restore", "--undo"], 0);
        assert_eq!(word(), "second\nsecond\n", "{step}");
    }
    let done = lab.json(Some(&engine), &args, 0);
    assert_eq!(word(), "first\nfirst\n");
    assert_eq!(
        done["set_aside"]["paths"].as_array().unwrap().len(),
        2,
        "{done:#}"
    );
    let left = lab.begun();
    assert!(left.is_empty(), "its definition holds secrets: {left:?}");
    let names = ["container /brief", "volume briefdata"];
    let nameless = |name: &&String| name.len() < 64;
    let is: Vec<String> = tiny::names(&engine)
        .iter()
        .filter(nameless)
        .cloned()
        .collect();
    assert_eq!(is, names);
    engine.destroy().unwrap();
}

#[test]
fn an_engine_that_dies_in_the_middle_is_no_end() {
    let lab = Lab::new();
    lab.init();
    let mut engine = tiny::engine(&lab, "a");
    let point = {
        let pair = Pair::create(&lab, &engine);
        pair.write("first");
        let point = backup(&lab, &engine, "pair");
        pair.write("second");
        point
    };
    let args = ["restore", &point, "--replace", "--no-safety-point"];
    for (step, way, word) in [
        ("replace-staged", "--undo", "second"),
        ("replace-exchange", "--undo", "second"),
        ("replace-start", "--continue", "first"),
    ] {
        let mut held = Held::start(&lab, lab.command(Some(&engine), &args));
        held.until(step);
        engine.kill().unwrap();
        let output = held.end();
        assert_eq!(output.status.code(), Some(1), "{step}: {}", stderr(&output));
        engine.restart().unwrap();
        lab.json(Some(&engine), &["restore", way], 0);
        let pair = Pair::of(&lab, &engine);
        assert_eq!(pair.word(), word, "{step}");
    }
    engine.destroy().unwrap();
}
