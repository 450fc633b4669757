//! What is gone though nobody removed it: the engine's data root emptied under a running agent, or while none ran.
//! There is no registry here: images come from the vault.

use std::time::Duration;

use lifeboat_testkit::{
    engine::PrivateEngine,
    images,
    server::{RegistryOptions, RegistryServer},
};
use serde_json::{Value, json};

use super::{Agent, idle, row, told, waits_are_over};
use crate::{
    registry_serve::docker_does,
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
        .all(|name| runs(engine, name))
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
    // What is left of the app is saved, and is no whole point.
    tiny_image(&engine);
    idle(
        &engine,
        "shop-left",
        "always",
        json!({"lifeboat.app": "shop"}),
    );
    let half = lab.json(Some(&engine), &["backup", "shop"], 3);
    assert!(
        only(&half)["incomplete"].to_string().contains("shop-db"),
        "{half}"
    );
    tiny::remove(&engine, "shop-left");
    // A person does what the finding says, and the rest follows: the newest whole point is taken.
    let line = ["restore", "shop", "--volume", "shop_data"];
    lab.run(Some(&engine), &line, 0);
    agent.within(LIMIT, "everything is back", || is_up(&engine));
    check(&engine);
    agent.stop();
}

#[test]
fn gone_and_killed_in_the_middle_it_goes_on_and_nothing_starts_on_half_of_a_volume() {
    let lab = Lab::new();
    let mut engine = protected(&lab, "restore");
    let mut agent = Agent::start(&lab, &engine);
    agent.until("the definition is in the vault", || {
        !definitions(&lab).is_empty()
    });
    for step in [
        "bring-image",
        "restore-volume-made",
        "restore-volume-filled",
    ] {
        agent.stop();
        agent = Agent::start_with(&lab, &engine, &[("LIFEBOAT_TEST_KILL_AT", step)]);
        agent.until("all is seen", || {
            row(&lab, "shop-web")["state"] == "running"
        });
        empty(&mut engine);
        let note = || {
            row(&lab, "shop-db")["note"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        };
        agent.within(LIMIT, "what fetches is killed", || {
            note().contains("ended without a word")
        });
        assert_eq!(
            exists(&engine, "/volumes/shop_data"),
            step != "bring-image",
            "{step}"
        );
        assert!(!exists(&engine, "/containers/shop-db/json"), "{step}");
        assert!(!exists(&engine, "/containers/shop-web/json"), "{step}");
        if step == "restore-volume-made" {
            half_a_volume_is_left_alone(&lab, &engine);
        }
        agent.kill();
        waits_are_over(&lab);
        agent = Agent::start(&lab, &engine);
        agent.within(LIMIT, "everything is back", || is_up(&engine));
        check(&engine);
        assert!(lab.begun().is_empty(), "{step}: {:?}", lab.begun());
    }
    // The agent itself, at moments that nobody chose.
    for wait in [300, 2500] {
        empty(&mut engine);
        std::thread::sleep(Duration::from_millis(wait));
        agent.kill();
        agent = Agent::start(&lab, &engine);
        agent.within(LIMIT, "everything is back", || is_up(&engine));
        check(&engine);
    }
    agent.stop();
}

/// Whatever mounts it, and whoever made that: it is not started, and it is said why.
fn half_a_volume_is_left_alone(lab: &Lab, engine: &PrivateEngine) {
    let at = engine.volume_path("shop_data").unwrap();
    assert!(!at.join("deep/data").exists());
    let began = lab.begun();
    assert!(
        began.iter().any(|name| name.starts_with("part-")),
        "{began:?}"
    );
}

#[test]
fn gone_with_what_the_agent_knew_of_it_the_vault_knows_it() {
    let lab = Lab::new();
    let mut engine = protected(&lab, "restore");
    let agent = Agent::start(&lab, &engine);
    agent.until("the definition is in the vault", || {
        !definitions(&lab).is_empty()
    });
    agent.stop();
    fs_err::remove_dir_all(lab.path("state/agent/definitions")).unwrap();
    empty(&mut engine);
    let agent = Agent::start(&lab, &engine);
    agent.within(LIMIT, "everything is back", || is_up(&engine));
    check(&engine);
    agent.stop();
    // Made, and not started: the agent died in between.
    empty(&mut engine);
    tiny_image(&engine);
    made_by_an_agent_that_died(&lab, &engine);
    let agent = Agent::start(&lab, &engine);
    agent.within(LIMIT, "everything is back", || is_up(&engine));
    check(&engine);
    agent.stop();
    // A host that lost its memory too is told what the vault knows, and nothing is done.
    fs_err::remove_dir_all(lab.path("state/agent")).unwrap();
    empty(&mut engine);
    let agent = Agent::start(&lab, &engine);
    agent.within(LIMIT, "it is said", || {
        let events = lab.json(None, &["events"], 0).to_string();
        events.contains("apps of this host that are not here: shop")
    });
    assert!(!exists(&engine, "/containers/shop-db/json"));
    agent.stop();
}

fn tiny_image(engine: &PrivateEngine) {
    images::busybox().unwrap().load(engine).unwrap();
}

/// As it is when the agent dies between the making of a container and its start.
fn made_by_an_agent_that_died(lab: &Lab, engine: &PrivateEngine) {
    let file = lab.path("state/agent/supervisor.json");
    let mut world: Value = serde_json::from_slice(&fs_err::read(&file).unwrap()).unwrap();
    for unit in world["units"].as_object_mut().unwrap().values_mut() {
        unit["phase"] = json!("gone");
        if unit["name"] == "shop-db" {
            unit["doing"] = json!(["recreating", 0]);
        }
    }
    fs_err::write(&file, world.to_string()).unwrap();
    fs_err::create_dir_all(lab.path("state/agent/making")).unwrap();
    fs_err::write(lab.path("state/agent/making/shop-db"), "").unwrap();
    tiny::create(engine, "shop-db", json!({"Cmd": ["false"]}));
}

#[test]
fn gone_from_a_bind_source_what_the_last_point_had_stops_a_start() {
    let lab = Lab::new();
    lab.init();
    let engine = engine(&lab, "agent");
    let folder = lab.path("bind");
    fs_err::create_dir(&folder).unwrap();
    let file = folder.join("data");
    fs_err::write(&file, DATA).unwrap();
    let bind = format!("{}:/data", folder.display());
    let body = json!({
        "Cmd": ["sh", "-c", IDLE], "Labels": {"lifeboat.supervise": "true"},
        "HostConfig": {"Binds": [bind]},
    });
    tiny::create(&engine, "shop", body);
    tiny::start(&engine, "shop");
    only(&lab.json(Some(&engine), &["backup", "shop"], 0));
    // Lost with the state of before: the vault has it.
    fs_err::remove_dir_all(lab.path("state/held")).unwrap();
    let agent = Agent::start(&lab, &engine);
    agent.until("it is known again", || lab.path("state/held").exists());
    fs_err::remove_file(&file).unwrap();
    super::strike(&engine, "shop", rustix::process::Signal::KILL);
    let note = || {
        row(&lab, "shop")["note"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    agent.until("it is said", || {
        note().contains("is empty, and held data at the point of shop")
    });
    assert!(!runs(&engine, "shop"));
    fs_err::write(&file, DATA).unwrap();
    agent.within(LIMIT, "it runs again", || runs(&engine, "shop"));
    agent.stop();
}

#[test]
fn gone_definitions_are_written_when_they_change_and_when_the_vault_is_back() {
    let lab = Lab::new();
    let engine = protected(&lab, "restore");
    let agent = Agent::start(&lab, &engine);
    agent.until("the first", || definitions(&lab).len() == 1);
    let away = lab.path("away");
    fs_err::rename(lab.vault(), &away).unwrap();
    let limits = json!({"Memory": 64 << 20, "MemorySwap": 64 << 20});
    engine
        .api()
        .post("/containers/shop-web/update", &limits)
        .unwrap();
    let said = || {
        let events = lab.json(None, &["events"], 0).to_string();
        events.matches("cannot be put into the vault").count()
    };
    agent.until("it is said", || said() == 1);
    // Containers are looked after all the while.
    super::strike(&engine, "shop-web", rustix::process::Signal::KILL);
    agent.until("it is back", || runs(&engine, "shop-web"));
    fs_err::rename(&away, lab.vault()).unwrap();
    agent.within(LIMIT, "the second", || definitions(&lab).len() == 2);
    assert_eq!(said(), 1);
    // What did not change writes nothing, and a definition is nobody's point.
    lab.run(Some(&engine), &["__gone", "keep"], 0);
    assert_eq!(definitions(&lab).len(), 2);
    let id = definitions(&lab)[1]["short_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let held = lab.restic(&["dump", &id, "/definition/containers/shop-web.json"]);
    assert!(held.contains(&(64 << 20).to_string()));
    let forgotten = lab.json(
        None,
        &["forget", "shop", "--keep-last", "1", "--dry-run"],
        0,
    );
    let points = forgotten["points"].as_array().unwrap();
    assert_eq!(points.len(), 3, "{forgotten}");
    assert!(
        points.iter().all(|point| point["stays"] == true),
        "{forgotten}"
    );
    let status = lab.json(None, &["points", "shop"], 0);
    assert_eq!(status["points"].as_array().unwrap().len(), 1);
    agent.stop();
}

#[test]
fn gone_images_come_from_their_registry_else_from_a_registrys_point() {
    let lab = Lab::new();
    lab.init();
    let engine = engine(&lab, "agent");
    // Each server ends with the thread that began it.
    engine
        .in_network(|| from_registry_and_point(&lab, &engine))
        .unwrap();
}

fn from_registry_and_point(lab: &Lab, engine: &PrivateEngine) {
    let at = lab.path("registry");
    let mut registry = Some(RegistryServer::start(&at, RegistryOptions::default()).unwrap());
    let address = registry.as_ref().unwrap().address();
    let name = format!("{address}/team/app:1");
    docker_does(engine, &format!("tag lifeboat/busybox:latest {name}"));
    docker_does(engine, &format!("push {name}"));
    let raw = engine.api().get(&format!("/images/{name}/json")).unwrap();
    let id = raw["Id"].as_str().unwrap().to_owned();
    // The agent keeps what registries call it.
    let kept = lab.path("state/agent/definitions/images");
    fs_err::create_dir_all(&kept).unwrap();
    fs_err::write(kept.join(&id), raw.to_string()).unwrap();
    lab.run(Some(engine), &["registry", "backup", &address], 0);
    let bring = ["__gone", "bring", "shop", "--image", &id, &name, "-vv"];
    for expected in ["from the registry, as", "from the recovery point"] {
        let path = format!("/images/{id}?force=true");
        engine.api().delete(&path).unwrap();
        assert!(!exists(engine, &format!("/images/{name}/json")));
        let said = tiny::stderr(&lab.run(Some(engine), &bring, 0));
        assert!(said.contains(expected), "{said}");
        let back = engine.api().get(&format!("/images/{name}/json")).unwrap();
        assert_eq!(back["Id"], id.as_str());
        drop(registry.take());
    }
    let none = format!("sha256:{}", "0".repeat(64));
    let bring = ["__gone", "bring", "shop", "--image", &none, "nobody/has:it"];
    let said = tiny::stderr(&lab.run(Some(engine), &bring, 1));
    assert!(
        said.contains("nobody/has:it is neither on the engine nor"),
        "{said}"
    );
}
