//! One volume, one bind, one service of a point; the rest of the app runs on.

use lifeboat_testkit::engine::PrivateEngine;
use serde_json::{Value, json};

use crate::{
    support::Lab,
    tiny::{self, IDLE, refused},
};

const PROJECT: &str = "com.docker.compose.project";

/// Three services: `db` with a volume of its own, `web` with a bind and a volume that `db` has too, and
/// `side`, which shares the network of `web`.
pub fn small(lab: &Lab, engine: &PrivateEngine) {
    let html = lab.path("html");
    fs_err::create_dir_all(&html).unwrap();
    fs_err::write(html.join("index.html"), "from the bind").unwrap();
    let network =
        json!({"Name": "app_net", "Labels": {PROJECT: "app", "com.docker.compose.network": "net"}});
    engine.api().post("/networks/create", &network).unwrap();
    for (name, key) in [("app_data", "data"), ("app_shared", "shared")] {
        let volume =
            json!({"Name": name, "Labels": {PROJECT: "app", "com.docker.compose.volume": key}});
        engine.api().post("/volumes/create", &volume).unwrap();
    }
    let service = |name: &str, depends_on: &str, script: &str, mut host: Value| {
        if host["NetworkMode"].is_null() {
            host["NetworkMode"] = json!("app_net");
        }
        let labels = json!({
            PROJECT: "app", "com.docker.compose.service": name, "com.docker.compose.container-number": "1",
            "com.docker.compose.oneoff": "False", "com.docker.compose.config-hash": "h",
            "com.docker.compose.depends_on": depends_on,
        });
        let body = json!({"Cmd": ["sh", "-c", script], "Labels": labels, "HostConfig": host});
        tiny::create(engine, &format!("app-{name}-1"), body);
        tiny::start(engine, &format!("app-{name}-1"));
    };
    let script = format!("test -e /data/row || echo first >/data/row; {IDLE}");
    service(
        "db",
        "",
        &script,
        json!({"Binds": ["app_data:/data", "app_shared:/shared"]}),
    );
    let binds = [
        format!("{}:/www", html.display()),
        "app_shared:/shared".to_owned(),
    ];
    service(
        "web",
        "db:service_started:true",
        IDLE,
        json!({"Binds": binds}),
    );
    service(
        "side",
        "",
        IDLE,
        json!({"NetworkMode": "container:app-web-1"}),
    );
    let api = engine.api();
    for _ in 0..100 {
        if api
            .exec("app-db-1", &["test", "-s", "/data/row"])
            .unwrap()
            .code
            == 0
        {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    api.exec_ok(
        "app-web-1",
        &["sh", "-c", "echo both >/shared/file; echo layer >/opt-file"],
    )
    .unwrap();
}

pub fn started(engine: &PrivateEngine, name: &str) -> (String, String) {
    let raw = tiny::inspect(engine, name);
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    (text(&raw["Id"]), text(&raw["State"]["StartedAt"]))
}

#[test]
fn a_volume_comes_back_beside_the_original_and_rm_takes_it_away() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let some = Some(&engine);
    small(&lab, &engine);
    lab.json(some, &["backup", "app"], 0);
    let names = tiny::names(&engine);
    let before = started(&engine, "app-db-1");
    let row =
        |volume: &str| fs_err::read_to_string(engine.volume_path(volume).unwrap().join("row"));
    fs_err::write(engine.volume_path("app_data").unwrap().join("row"), "later").unwrap();

    // Its name in the compose file will do.
    let args = ["restore", "app", "--volume", "data", "--as", "data-then"];
    let planned = lab.json(some, &[&args[..], &["--dry-run"]].concat(), 0);
    assert_eq!(planned["steps"].as_array().unwrap().len(), 1, "{planned:#}");
    assert_eq!(tiny::names(&engine), names);
    for step in ["restore-volumes", "restore-project", "restore-validate"] {
        lab.killed(some, &args, step);
        lab.json(some, &args, 0);
        assert_eq!(row("data-then").unwrap(), "first\n", "{step}");
        let raw = engine.api().get("/volumes/data-then").unwrap();
        assert_eq!(raw["Labels"]["lifeboat.copy"], "data-then");
        assert_eq!(raw["Labels"][PROJECT], Value::Null);
        lab.run(some, &["rm", "data-then", "--yes"], 0);
        assert_eq!(tiny::names(&engine), names, "{step}");
    }
    lab.json(some, &args, 0);
    refused(
        &lab,
        some,
        "restore app --volume data --as data-then",
        1,
        &["a copy named data-then is there already"],
    );
    refused(
        &lab,
        some,
        "restore app --volume data --as app_data",
        1,
        &["app_data is there already"],
    );
    refused(
        &lab,
        some,
        "restore app --volume none --as x-y",
        1,
        &["no volume `none`", "app_data, app_shared"],
    );
    refused(
        &lab,
        some,
        "restore app --volume data --volume shared --as x-y",
        2,
        &["--volume once"],
    );
    assert_eq!(row("app_data").unwrap(), "later");
    assert_eq!(started(&engine, "app-db-1"), before);
    engine.destroy().unwrap();
}

#[test]
fn a_volume_or_a_bind_that_is_gone_comes_back_and_one_that_is_there_is_not_touched() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let some = Some(&engine);
    small(&lab, &engine);
    lab.json(some, &["backup", "app"], 0);
    refused(
        &lab,
        some,
        "restore app --volume data",
        1,
        &["app_data is there already", "nothing was changed"],
    );
    let html = lab.path("html");
    refused(
        &lab,
        some,
        &format!("restore app --bind {}", html.display()),
        1,
        &["is there already"],
    );
    refused(
        &lab,
        some,
        "restore app --bind /none",
        1,
        &["no bind source `/none`", "html"],
    );

    tiny::remove(&engine, "app-db-1");
    tiny::remove_volume(&engine, "app_data");
    fs_err::remove_dir_all(&html).unwrap();
    let web = started(&engine, "app-web-1");
    let both = format!("restore app --volume data --bind {}", html.display());
    let both: Vec<&str> = both.split(' ').collect();
    for step in ["restore-volumes", "restore-binds", "restore-containers"] {
        lab.killed(some, &both, step);
        let undone = lab.json(some, &["restore", "--undo"], 0);
        assert_eq!(undone["notes"], json!([]), "{step}: {undone}");
        assert!(
            engine.volume_path("app_data").is_err() && !html.exists(),
            "{step}"
        );
        assert_eq!(lab.begun(), Vec::<String>::new(), "{step}");
        lab.killed(some, &both, step);
        refused(
            &lab,
            some,
            "restore app --volume shared",
            1,
            &["--volume data", "finish it first", "--undo"],
        );
        if step == "restore-binds" {
            lab.json(some, &both, 0);
        } else {
            lab.json(some, &["restore", "--continue", "app"], 0);
        }
        let row = engine.volume_path("app_data").unwrap().join("row");
        assert_eq!(fs_err::read_to_string(row).unwrap(), "first\n", "{step}");
        let page = fs_err::read_to_string(html.join("index.html")).unwrap();
        assert_eq!(page, "from the bind", "{step}");
        tiny::remove_volume(&engine, "app_data");
        fs_err::remove_dir_all(&html).unwrap();
    }
    assert_eq!(started(&engine, "app-web-1"), web);
    assert_eq!(lab.begun(), Vec::<String>::new());
    engine.destroy().unwrap();
}

#[test]
fn a_service_that_is_gone_comes_back_and_the_others_run_on() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let some = Some(&engine);
    small(&lab, &engine);
    lab.json(some, &["backup", "app"], 0);
    refused(
        &lab,
        some,
        "restore app --service db",
        1,
        &["app-db-1 is there already"],
    );
    refused(
        &lab,
        some,
        "restore app --service none",
        1,
        &["no service or container `none`", "db, side, web"],
    );

    // Gone with its data: made again, and `web`, which asks for it, is restarted around it.
    let (web, side) = (
        started(&engine, "app-web-1"),
        started(&engine, "app-side-1"),
    );
    for step in [
        "restore-volumes",
        "restore-containers",
        "restore-start",
        "restore-validate",
        "part-around",
    ] {
        tiny::remove(&engine, "app-db-1");
        tiny::remove_volume(&engine, "app_data");
        let args = ["restore", "app", "--service", "db"];
        let planned = lab.json(some, &[&args[..], &["--dry-run"]].concat(), 0);
        let steps = planned["steps"].as_array().unwrap();
        let around: Vec<_> = steps.iter().filter(|s| s["kind"] == "around").collect();
        assert_eq!(around[0]["name"], "app-web-1", "{planned:#}");
        let action = "stop and start again after it, as its depends_on asks";
        assert_eq!(around[0]["action"], action);
        lab.killed(some, &args, step);
        let done = match step {
            "restore-containers" => {
                lab.json(some, &["restore", "--undo"], 0);
                assert!(!tiny::names(&engine).contains(&"container /app-db-1".to_owned()));
                lab.json(some, &args, 0)
            }
            "part-around" => {
                let words = ["had started containers", "--continue"];
                refused(&lab, some, "restore --undo", 1, &words);
                lab.json(some, &["restore", "--continue"], 0)
            }
            _ => lab.json(some, &args, 0),
        };
        assert_eq!(done["running"], json!(["app-db-1"]), "{step}");
        let row = engine
            .api()
            .exec_ok("app-db-1", &["cat", "/data/row", "/shared/file"])
            .unwrap();
        assert_eq!(row, "first\nboth\n", "{step}");
        let now = started(&engine, "app-web-1");
        assert_eq!(now.0, web.0, "{step}");
        assert_ne!(now.1, web.1, "{step}: it was not restarted");
        assert!(
            tiny::runs(&engine, "app-web-1") && tiny::runs(&engine, "app-side-1"),
            "{step}"
        );
    }
    assert_eq!(started(&engine, "app-side-1").0, side.0);

    // Only the container is gone: its data is in the way, or kept.
    fs_err::write(engine.volume_path("app_data").unwrap().join("row"), "later").unwrap();
    tiny::remove(&engine, "app-db-1");
    refused(
        &lab,
        some,
        "restore app --service db",
        1,
        &["app_data is there already"],
    );
    lab.json(
        some,
        &["restore", "app", "--service", "db", "--keep-data"],
        0,
    );
    let row = engine
        .api()
        .exec_ok("app-db-1", &["cat", "/data/row"])
        .unwrap();
    assert_eq!(row, "later");

    // Parent and child of one network.
    tiny::remove(&engine, "app-side-1");
    tiny::remove(&engine, "app-web-1");
    refused(
        &lab,
        some,
        "restore app --service side",
        1,
        &["cannot be made without app-web-1", "--service app-web-1"],
    );
    lab.json(
        some,
        &[
            "restore",
            "app",
            "--service",
            "web",
            "--service",
            "side",
            "--keep-data",
        ],
        0,
    );
    let id = started(&engine, "app-web-1").0;
    let side = tiny::inspect(&engine, "app-side-1");
    assert_eq!(side["HostConfig"]["NetworkMode"], format!("container:{id}"));
    let said = engine
        .api()
        .exec_ok("app-web-1", &["cat", "/opt-file", "/www/index.html"])
        .unwrap();
    assert_eq!(said, "layer\nfrom the bind");
    engine.destroy().unwrap();
}

#[test]
fn a_service_comes_back_otherwise_than_it_was() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let some = Some(&engine);
    small(&lab, &engine);
    lab.json(some, &["backup", "app"], 0);
    for name in ["app-side-1", "app-web-1"] {
        tiny::remove(&engine, name);
    }
    let db = started(&engine, "app-db-1");
    let (html, other) = (lab.path("html"), lab.path("srv/html"));
    let map = format!("{}:{}", html.display(), other.display());
    let args = [
        "restore",
        "app",
        "--service",
        "web",
        "--service",
        "side",
        "--map-bind",
        &map,
        "--map-env",
        "web:WORD=s3cret",
        "--map-network",
        "app_net:app_other",
    ];
    let refused_with = |more: &[&str], words: &[&str]| {
        let args = [&args[..], more].concat();
        tiny::says(&lab.run(some, &args, 1), words);
    };
    // What the service does not have is not mapped for it.
    refused_with(
        &["--map-volume", "app_data:xy"],
        &["--map-volume", "no volume app_data"],
    );
    let plan = lab.json(some, &[&args[..], &["--dry-run"]].concat(), 0);
    let kinds = |report: &Value| {
        let all = report["mappings"].as_array().unwrap().iter();
        let mut kinds: Vec<_> = all
            .map(|m| m["kind"].as_str().unwrap().to_owned())
            .collect();
        kinds.sort();
        kinds
    };
    assert_eq!(kinds(&plan), ["bind", "network", "variable"]);
    lab.killed(some, &args, "restore-containers");
    let line = "restore app --service web --service side";
    refused(&lab, some, line, 1, &["other mappings"]);
    let done = lab.json(some, &["restore", "--continue"], 0);
    assert_eq!(kinds(&done), kinds(&plan));
    assert!(!done.to_string().contains("s3cret"), "{done}");
    let said = engine
        .api()
        .exec_ok(
            "app-web-1",
            &["sh", "-c", "cat /www/index.html; echo $WORD"],
        )
        .unwrap();
    assert_eq!(said, "from the binds3cret\n");
    let raw = tiny::inspect(&engine, "app-web-1");
    let networks = raw["NetworkSettings"]["Networks"].as_object().unwrap();
    assert_eq!(networks.keys().collect::<Vec<_>>(), ["app_other"]);
    assert!(other.join("index.html").exists());
    assert_eq!(started(&engine, "app-db-1"), db);
    assert_eq!(lab.begun(), Vec::<String>::new());
    engine.destroy().unwrap();
}
