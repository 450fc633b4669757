//! One volume or bind of a point in the place of the one that is here.

use lifeboat_testkit::engine::PrivateEngine;
use serde_json::{Value, json};

use crate::{
    parts_pieces::small,
    support::Lab,
    tiny::{self, IDLE, refused},
};

const REPLACE: [&str; 6] = [
    "restore",
    "app",
    "--volume",
    "data",
    "--replace",
    "--no-safety-point",
];

fn row(engine: &PrivateEngine) -> String {
    engine
        .api()
        .exec_ok("app-db-1", &["cat", "/data/row"])
        .unwrap()
}

fn spoil(engine: &PrivateEngine, text: &str) {
    let script = format!("echo {text} >/data/row; touch /data/later");
    engine
        .api()
        .exec_ok("app-db-1", &["sh", "-c", &script])
        .unwrap();
}

fn id(engine: &PrivateEngine, name: &str) -> Value {
    tiny::inspect(engine, name)["Id"].clone()
}

#[test]
fn a_volume_changes_places_with_the_one_in_use_and_everybody_runs_on() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let some = Some(&engine);
    small(&lab, &engine);
    lab.json(some, &["backup", "app"], 0);
    let names = ["app-db-1", "app-web-1", "app-side-1"];
    let ids = names.map(|name| id(&engine, name));
    engine
        .api()
        .post(
            "/containers/app-db-1/update",
            &json!({"RestartPolicy": {"Name": "always"}}),
        )
        .unwrap();
    spoil(&engine, "later");

    let planned = lab.json(some, &[&REPLACE[..], &["--dry-run"]].concat(), 0);
    let around = |report: &Value| {
        let steps = report["steps"].as_array().unwrap().clone();
        let around = steps.iter().filter(|s| s["kind"] == "around");
        around
            .map(|s| s["name"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    // Who uses it, who asks to be restarted with that one, and who shares a network with that one.
    assert_eq!(around(&planned), names);
    assert_eq!(row(&engine), "later\n");

    let done = lab.json(some, &REPLACE[..5], 0);
    assert_eq!(done["around"], json!(names));
    let safety = done["safety_point"].as_str().unwrap().to_owned();
    assert_eq!(row(&engine), "first\n");
    assert!(
        !engine
            .volume_path("app_data")
            .unwrap()
            .join("later")
            .exists()
    );
    assert_eq!(
        names.map(|name| id(&engine, name)),
        ids,
        "containers were made anew"
    );
    assert!(names.iter().all(|name| tiny::runs(&engine, name)));
    let policy = &tiny::inspect(&engine, "app-db-1")["HostConfig"]["RestartPolicy"]["Name"];
    assert_eq!(policy, "always");
    let aside = done["set_aside"]["paths"][0]["path"].as_str().unwrap();
    let old = fs_err::read_to_string(format!("{aside}/row")).unwrap();
    assert_eq!(old, "later\n");
    assert_eq!(lab.begun(), Vec::<String>::new());
    // The app as it was before is a point as well; the newest one is another.
    let before = [
        "restore",
        &safety[..8],
        "--volume",
        "data",
        "--as",
        "before",
    ];
    lab.json(some, &before, 0);
    let saved = engine.volume_path("before").unwrap().join("row");
    assert_eq!(fs_err::read_to_string(saved).unwrap(), "later\n");
    lab.run(some, &["rm", "before", "--yes"], 0);

    // A bind, and the shared volume that nobody of the named ones owns alone.
    let html = lab.path("html");
    fs_err::write(html.join("index.html"), "later").unwrap();
    let bind = [
        "restore",
        "app",
        "--bind",
        html.to_str().unwrap(),
        "--volume",
        "shared",
        "--replace",
    ];
    engine
        .api()
        .exec_ok("app-web-1", &["sh", "-c", "echo later >/shared/file"])
        .unwrap();
    lab.json(some, &bind, 0);
    let said = engine
        .api()
        .exec_ok("app-web-1", &["cat", "/www/index.html", "/shared/file"])
        .unwrap();
    assert_eq!(said, "from the bindboth\n");

    // Another app's container that uses it is not stopped unasked.
    tiny::run(&engine, "stranger", IDLE, &["app_data:/x"]);
    refused(
        &lab,
        some,
        "restore app --volume data --replace",
        1,
        &[
            "stranger belongs to another app",
            "--stop-users",
            "nothing was changed",
        ],
    );
    let stranger = id(&engine, "stranger");
    let done = lab.json(some, &[&REPLACE[..], &["--stop-users"]].concat(), 0);
    assert!(
        done["around"]
            .as_array()
            .unwrap()
            .contains(&json!("stranger"))
    );
    assert!(tiny::runs(&engine, "stranger"));
    assert_eq!(id(&engine, "stranger"), stranger);
    lab.run(some, &["rm", "app", "--yes"], 0);
    assert!(!std::path::Path::new(aside).exists());
    engine.destroy().unwrap();
}

#[test]
fn killed_anywhere_the_old_data_or_the_new_is_there_whole_and_the_same_command_ends_it() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let some = Some(&engine);
    small(&lab, &engine);
    lab.json(some, &["backup", "app"], 0);
    let data = engine.volume_path("app_data").unwrap();
    let whole = |word: &str, step: &str| {
        assert_eq!(row(&engine), format!("{word}\n"), "{step}");
        assert_eq!(data.join("later").exists(), word != "first", "{step}");
        for name in ["app-db-1", "app-web-1", "app-side-1"] {
            assert!(tiny::runs(&engine, name), "{step}: {name}");
        }
        assert_eq!(lab.begun(), Vec::<String>::new(), "{step}");
    };
    for (at, (step, has_way_back)) in [
        ("replace-stage", true),
        ("replace-cut", true),
        ("replace-stop:3", true),
        ("replace-exchange", true),
        ("replace-validate", true),
        ("replace-recorded", false),
    ]
    .into_iter()
    .enumerate()
    {
        spoil(&engine, step);
        lab.killed(some, &REPLACE, step);
        let is = fs_err::read_to_string(data.join("row")).unwrap();
        assert!(is == "first\n" || is == format!("{step}\n"), "{step}: {is}");
        // Another part has to wait, and so has the whole.
        let first = ["--volume data --replace", "finish it first", "--undo"];
        for line in [
            "restore app --volume shared --replace",
            "restore app --volume data",
            "restore app --replace",
        ] {
            refused(&lab, some, line, 1, &first);
        }
        if has_way_back {
            lab.json(some, &["restore", "--undo"], 0);
            whole(step, step);
            lab.killed(some, &REPLACE, step);
        } else {
            refused(&lab, some, "restore --undo", 1, &["--continue"]);
        }
        if at % 2 == 0 {
            lab.json(some, &["restore", "--continue", "app"], 0);
        } else {
            lab.json(some, &REPLACE, 0);
        }
        whole("first", step);
        lab.run(some, &["rm", "app", "--yes"], 0);
    }
    // Half one and half the other is no point.
    lab.killed(some, &REPLACE, "replace-exchange");
    let said = tiny::stderr(&lab.run(some, &["backup", "app"], 1));
    assert!(said.contains("restore --undo"), "{said}");
    for back in ["back-exchange", "back-containers", "back-clean"] {
        lab.killed(some, &["restore", "--undo"], back);
    }
    lab.json(some, &["restore", "--undo"], 0);
    whole("first", "back");
    engine.destroy().unwrap();
}

#[test]
fn where_the_app_does_not_come_up_with_it_the_old_data_comes_back() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let some = Some(&engine);
    let script = format!("test -e /data/good || exit 1; {IDLE}");
    tiny::create(
        &engine,
        "picky",
        json!({"Cmd": ["sh", "-c", script], "HostConfig": {"Binds": ["pickydata:/data"]}}),
    );
    let data = engine.volume_path("pickydata").unwrap();
    // A point that it does not run with.
    fs_err::write(data.join("bad"), "").unwrap();
    lab.json(some, &["backup", "picky"], 0);
    fs_err::write(data.join("good"), "mine").unwrap();
    tiny::start(&engine, "picky");
    assert!(tiny::runs(&engine, "picky"));
    refused(
        &lab,
        some,
        "restore picky --volume pickydata --replace",
        1,
        &[
            "--volume pickydata of picky was not replaced",
            "picky does not run with the data of the point",
            "everything was swapped back",
        ],
    );
    assert!(tiny::runs(&engine, "picky"));
    assert_eq!(fs_err::read_to_string(data.join("good")).unwrap(), "mine");
    assert_eq!(lab.begun(), Vec::<String>::new());

    // What cannot change places is said before anything stops.
    let volume = json!({"Name": "odd", "Driver": "local", "DriverOpts": {"type": "tmpfs", "device": "tmpfs"}});
    engine.api().post("/volumes/create", &volume).unwrap();
    tiny::run(&engine, "odd-user", IDLE, &["odd:/data"]);
    lab.json(some, &["backup", "odd-user"], 0);
    refused(
        &lab,
        some,
        "restore odd-user --volume odd --replace",
        1,
        &["volume odd", "its definition alone", "nothing was changed"],
    );
    assert!(tiny::runs(&engine, "odd-user"));
    engine.destroy().unwrap();
}
