//! One service of a point in the place of the one that is here.

use lifeboat_testkit::engine::PrivateEngine;
use serde_json::json;

use crate::{
    parts_pieces::{small, started},
    support::Lab,
    tiny::{self, IDLE, refused},
};

const DB: [&str; 6] = [
    "restore",
    "app",
    "--service",
    "db",
    "--replace",
    "--no-safety-point",
];
const ALL: [&str; 3] = ["app-db-1", "app-web-1", "app-side-1"];

fn sh(engine: &PrivateEngine, name: &str, script: &str) -> String {
    let api = engine.api();
    api.exec_ok(name, &["sh", "-c", script]).unwrap()
}

/// What was there at the point is otherwise now.
fn spoil(engine: &PrivateEngine, word: &str) {
    let script = format!("echo {word} >/data/row; echo {word} >/shared/file; echo {word} >/layer");
    sh(engine, "app-db-1", &script);
}

fn id(engine: &PrivateEngine, name: &str) -> String {
    started(engine, name).0
}

fn with<'a>(args: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    args.iter().chain(more).copied().collect()
}

#[test]
fn a_service_takes_the_place_of_the_one_that_is_there_and_the_rest_runs_on() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let some = Some(&engine);
    small(&lab, &engine);
    lab.json(some, &["backup", "app"], 0);
    let before = ALL.map(|name| started(&engine, name));
    let names = tiny::names(&engine);
    spoil(&engine, "later");

    let planned = lab.json(some, &with(&DB, &["--dry-run"]), 0);
    let steps = planned["steps"].as_array().unwrap();
    let of = |kind: &str| {
        let of = steps.iter().filter(|s| s["kind"] == kind);
        of.map(|s| s["name"].as_str().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(of("volume"), ["app_data"], "{planned:#}");
    // Who wants to be restarted with it, and who shares a network with that one.
    assert_eq!(of("around"), ["app-web-1", "app-side-1"]);
    let said = planned["warnings"].to_string();
    for words in ["app_shared is used by app-web-1 too", "--volume app_shared"] {
        assert!(said.contains(words), "{said}");
    }
    assert_eq!(id(&engine, "app-db-1"), before[0].0);

    let done = lab.json(some, &DB[..5], 0);
    assert_eq!(done["part"], "--service db");
    assert_eq!(done["running"], json!(["app-db-1"]));
    assert_eq!(done["around"], json!(["app-web-1", "app-side-1"]));
    assert!(done["safety_point"].is_string());
    assert_ne!(id(&engine, "app-db-1"), before[0].0);
    // Its own data is the point's; what `web` uses too is today's.
    let said = sh(
        &engine,
        "app-db-1",
        "cat /data/row /shared/file; test -e /layer || echo no",
    );
    assert_eq!(said, "first\nlater\nno\n");
    for (name, before) in ALL.iter().zip(&before).skip(1) {
        let now = started(&engine, name);
        assert_eq!(now.0, before.0, "{name} was made anew");
        assert_ne!(now.1, before.1, "{name} was not restarted");
        assert!(tiny::runs(&engine, name), "{name}");
    }
    assert_eq!(tiny::names(&engine), names);
    assert_eq!(lab.begun(), Vec::<String>::new());

    // With --keep-data its container alone.
    spoil(&engine, "kept");
    let container = id(&engine, "app-db-1");
    // Interrupted, and otherwise than at the point, it goes on so.
    let args = with(&DB, &["--keep-data", "--map-env", "db:WORD=s3cret"]);
    lab.killed(some, &args, "replace-cut");
    refused(
        &lab,
        some,
        &DB.join(" "),
        1,
        &["--keep-data", "finish it first"],
    );
    let done = lab.json(some, &["restore", "--continue"], 0);
    assert_eq!(done["mappings"][0]["kind"], "variable", "{done}");
    assert!(!done.to_string().contains("s3cret"), "{done}");
    assert_ne!(id(&engine, "app-db-1"), container);
    let said = sh(
        &engine,
        "app-db-1",
        "cat /data/row /shared/file; test -e /layer || echo no $WORD",
    );
    assert_eq!(said, "kept\nkept\nno s3cret\n");
    engine.destroy().unwrap();
}

#[test]
fn what_others_use_too_is_replaced_where_it_is_named() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let some = Some(&engine);
    small(&lab, &engine);
    lab.json(some, &["backup", "app"], 0);
    spoil(&engine, "later");
    let db = started(&engine, "app-db-1");

    // `side` lives in the network of `web`, and would be left without one.
    refused(
        &lab,
        some,
        "restore app --service web --replace",
        1,
        &["app-side-1", "--service app-side-1", "nothing was changed"],
    );
    // A namespace is not joined twice: both together.
    fs_err::write(lab.path("html/index.html"), "later").unwrap();
    let both = [
        "restore",
        "app",
        "--service",
        "web",
        "--service",
        "side",
        "--volume",
        "shared",
        "--replace",
        "--no-safety-point",
    ];
    tiny::run(&engine, "stranger", IDLE, &["app_shared:/x"]);
    let line = both.join(" ");
    refused(
        &lab,
        some,
        &line,
        1,
        &["stranger belongs to another app", "--stop-users"],
    );
    tiny::remove(&engine, "stranger");
    let done = lab.json(some, &both, 0);
    assert_eq!(done["around"], json!(["app-db-1"]));
    let now = started(&engine, "app-db-1");
    assert_eq!(now.0, db.0);
    assert_ne!(now.1, db.1, "it used what changed places");
    let said = sh(&engine, "app-db-1", "cat /data/row /shared/file /layer");
    assert_eq!(said, "later\nboth\nlater\n");
    let said = sh(
        &engine,
        "app-web-1",
        "cat /opt-file /shared/file /www/index.html",
    );
    assert_eq!(said, "layer\nboth\nfrom the bind");
    let side = tiny::inspect(&engine, "app-side-1");
    let web = id(&engine, "app-web-1");
    assert_eq!(
        side["HostConfig"]["NetworkMode"],
        format!("container:{web}")
    );

    refused(
        &lab,
        some,
        "restore app --replace --stop-users",
        2,
        &["--stop-users is for a part"],
    );
    engine.destroy().unwrap();
}

#[test]
fn killed_anywhere_either_way_ends_it_whole() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let some = Some(&engine);
    small(&lab, &engine);
    lab.json(some, &["backup", "app"], 0);
    let names = tiny::names(&engine);
    let whole = |word: &str, step: &str| {
        assert_eq!(
            sh(&engine, "app-db-1", "cat /data/row"),
            format!("{word}\n"),
            "{step}"
        );
        assert!(ALL.iter().all(|name| tiny::runs(&engine, name)), "{step}");
        assert_eq!(tiny::names(&engine), names, "{step}");
        assert_eq!(lab.begun(), Vec::<String>::new(), "{step}");
    };
    for (at, (step, has_way_back)) in [
        ("replace-staged", true),
        ("replace-containers", true),
        ("replace-stop:2", true),
        ("replace-aside", true),
        ("replace-exchange", true),
        ("replace-name", true),
        ("replace-start", true),
        ("replace-validate", true),
        ("replace-recorded", false),
        ("replace-remove", false),
    ]
    .into_iter()
    .enumerate()
    {
        let word = format!("before-{at}");
        spoil(&engine, &word);
        let old = id(&engine, "app-db-1");
        lab.killed(some, &DB, step);
        if has_way_back {
            lab.json(some, &["restore", "--undo"], 0);
            whole(&word, step);
            assert_eq!(id(&engine, "app-db-1"), old, "{step}");
            lab.killed(some, &DB, step);
        } else {
            refused(&lab, some, "restore --undo", 1, &["--continue"]);
        }
        let again: &[&str] = if at % 2 == 0 {
            &DB
        } else {
            &["restore", "--continue"]
        };
        lab.json(some, again, 0);
        whole("first", step);
        assert_ne!(id(&engine, "app-db-1"), old, "{step}");
        lab.run(some, &["rm", "app", "--yes"], 0);
    }
    engine.destroy().unwrap();
}

#[test]
fn one_that_does_not_come_up_is_swapped_back() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let some = Some(&engine);
    let script = format!("test -e /data/good -o -e /gate/open || exit 1; {IDLE}");
    let host =
        json!({"Binds": ["pickydata:/data", "gate:/gate"], "RestartPolicy": {"Name": "always"}});
    let body =
        json!({"Cmd": ["sh", "-c", script], "HostConfig": host, "Volumes": {"/nameless": {}}});
    tiny::run(&engine, "other", IDLE, &["gate:/gate"]);
    sh(&engine, "other", "touch /gate/open");
    tiny::create(&engine, "picky", body);
    tiny::start(&engine, "picky");
    lab.json(some, &["backup", "picky"], 0);
    // From now on it runs with the data of today alone.
    sh(
        &engine,
        "picky",
        "echo mine >/data/good; echo mine >/nameless/f; rm /gate/open",
    );
    let old = id(&engine, "picky");
    let line = "restore picky --service picky --replace --no-safety-point";
    let words = [
        "--keep-data cannot keep",
        "/nameless",
        "nothing was changed",
    ];
    refused(&lab, some, &format!("{line} --keep-data"), 1, &words);
    let words = [
        "--service picky of picky was not replaced",
        "everything was swapped back",
    ];
    refused(&lab, some, line, 1, &words);
    assert_eq!(id(&engine, "picky"), old);
    assert!(tiny::runs(&engine, "picky"));
    assert_eq!(
        sh(&engine, "picky", "cat /data/good /nameless/f"),
        "mine\nmine\n"
    );
    let raw = tiny::inspect(&engine, "picky");
    assert_eq!(raw["HostConfig"]["RestartPolicy"]["Name"], "always");
    assert_eq!(lab.begun(), Vec::<String>::new());
    engine.destroy().unwrap();
}
