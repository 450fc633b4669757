//! What is gone though nobody removed it: the engine's data root emptied under a running agent, or while none ran.
//! There is no registry here: images come from the vault.

use std::time::Duration;

use lifeboat_testkit::engine::PrivateEngine;
use serde_json::{Value, json};

use super::{Agent, row, told};
use crate::{
    support::{Lab, only},
    tiny::{self, IDLE, engine, runs},
};

const DATA: &str = "what was written\n";
const LIMIT: Duration = Duration::from_secs(120);

/// A database with a named volume, and a web front that depends on it; both on a network of their own.
fn shop(engine: &PrivateEngine, on_volume_lost: &str) {
    let api = engine.api();
    let network = json!({"Name": "shop_net", "Labels": {"what": "the shop's"}});
    api.post("/networks/create", &network).unwrap();
    let volume = json!({"Name": "shop_data", "Labels": {"kept": "yes"}});
    api.post("/volumes/create", &volume).unwrap();
    let at = engine.volume_path("shop_data").unwrap();
    fs_err::create_dir(at.join("deep")).unwrap();
    fs_err::write(at.join("deep/data"), DATA).unwrap();
    let labels = |more: Value| {
        let mut labels = json!({"lifeboat.app": "shop", "lifeboat.on-volume-lost": on_volume_lost});
        for (key, value) in more.as_object().unwrap() {
            labels[key] = value.clone();
        }
        labels
    };
    for (name, host, more) in [
        (
            "shop-db",
            json!({"Binds": ["shop_data:/data"], "NetworkMode": "shop_net", "RestartPolicy": {"Name": "always"}}),
            json!({}),
        ),
        (
            "shop-web",
            json!({"NetworkMode": "shop_net", "RestartPolicy": {"Name": "always"}}),
            json!({"lifeboat.depends-on": "shop-db"}),
        ),
    ] {
        let body = json!({"Cmd": ["sh", "-c", IDLE], "Env": ["SECRET=tea"], "Labels": labels(more), "HostConfig": host});
        tiny::create(engine, name, body);
        tiny::start(engine, name);
    }
}

/// A host with a vault, the app and a point of it.
fn protected(lab: &Lab, on_volume_lost: &str) -> PrivateEngine {
    lab.init();
    let engine = engine(lab, "agent");
    shop(&engine, on_volume_lost);
    only(&lab.json(Some(&engine), &["backup", "shop"], 0));
    engine
}

/// The engine ends, everything that it knew is gone, and it begins with nothing.
fn empty(engine: &mut PrivateEngine) {
    engine.stop().unwrap();
    fs_err::remove_dir_all(engine.data_root()).unwrap();
    engine.restart().unwrap();
}

/// Snapshots of the definition of the app, oldest first.
fn definitions(lab: &Lab) -> Vec<Value> {
    let all = lab.restic(&[
        "snapshots",
        "--json",
        "--path",
        "/lifeboat/default/lab/definition/shop",
    ]);
    serde_json::from_str(all.lines().find(|l| l.starts_with('[')).unwrap_or("[]")).unwrap()
}

fn exists(engine: &PrivateEngine, path: &str) -> bool {
    engine.api().get(path).is_ok()
}

fn is_up(engine: &PrivateEngine) -> bool {
    ["shop-db", "shop-web"]
        .iter()
        .all(|name| exists(engine, &format!("/containers/{name}/json")) && runs(engine, name))
}

/// All is as it was, and came in order.
fn check(engine: &PrivateEngine) {
    let at = engine.volume_path("shop_data").unwrap();
    assert_eq!(fs_err::read_to_string(at.join("deep/data")).unwrap(), DATA);
    let volume = engine.api().get("/volumes/shop_data").unwrap();
    assert_eq!(volume["Labels"]["kept"], "yes");
    let network = engine.api().get("/networks/shop_net").unwrap();
    assert_eq!(network["Labels"]["what"], "the shop's");
    assert!(exists(engine, "/images/lifeboat/busybox:latest/json"));
    let [db, web] = ["shop-db", "shop-web"].map(|name| tiny::inspect(engine, name));
    for raw in [&db, &web] {
        assert_eq!(raw["Config"]["Image"], "lifeboat/busybox:latest");
        assert_eq!(raw["HostConfig"]["RestartPolicy"]["Name"], "always");
        assert!(raw["Config"]["Env"].to_string().contains("SECRET=tea"));
        assert!(raw["NetworkSettings"]["Networks"]["shop_net"].is_object());
    }
    let started = |raw: &Value| raw["State"]["StartedAt"].as_str().unwrap().to_owned();
    assert!(
        started(&db) < started(&web),
        "{} {}",
        started(&db),
        started(&web)
    );
}

#[test]
fn gone_with_the_engines_data_everything_is_back_by_itself_and_in_order() {
    let lab = Lab::new();
    let mut engine = protected(&lab, "restore");
    let agent = Agent::start(&lab, &engine);
    agent.until("the definition is in the vault", || {
        definitions(&lab).len() == 1
    });
    empty(&mut engine);
    agent.within(LIMIT, "everything is back", || is_up(&engine));
    check(&engine);
    let db = told(&lab, "shop-db");
    for kind in ["gone", "fetch", "fetched", "recreated"] {
        assert!(db.contains(&kind.to_owned()), "{kind}: {db:?}");
    }
    // A definition is no point, and nothing of the half-made app was taken for its definition.
    let points = lab.json(None, &["points"], 0);
    assert_eq!(points["points"].as_array().unwrap().len(), 1);
    agent.until("the new definition is in the vault", || {
        definitions(&lab).len() == 2
    });
    assert!(lab.begun().is_empty(), "{:?}", lab.begun());
    agent.stop();
}

#[test]
fn gone_volumes_are_a_persons_unless_somebody_said_restore() {
    let lab = Lab::new();
    let mut engine = protected(&lab, "report");
    let agent = Agent::start(&lab, &engine);
    agent.until("the definition is in the vault", || {
        definitions(&lab).len() == 1
    });
    empty(&mut engine);
    let note = || {
        row(&lab, "shop-db")["note"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    agent.within(LIMIT, "it is reported", || {
        note().contains("lifeboat restore shop --volume shop_data")
    });
    assert_eq!(row(&lab, "shop-db")["level"], "bad");
    assert!(!exists(&engine, "/containers/shop-db/json"));
    assert!(!exists(&engine, "/volumes/shop_data"));
    lab.run(None, &["status"], 20);
    // A person does what the finding says, and the rest follows.
    lab.run(
        Some(&engine),
        &["restore", "shop", "--volume", "shop_data"],
        0,
    );
    agent.within(LIMIT, "everything is back", || is_up(&engine));
    check(&engine);
    agent.stop();
}
