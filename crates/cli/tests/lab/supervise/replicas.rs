//! `lifeboat.replicas`: so many instances of a container, kept, lowered, replaced.

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Agent, is_again, row, started, strike, told};
use crate::{
    support::Lab,
    tiny::{self, IDLE, engine, runs},
};

#[test]
fn as_many_as_the_label_says_are_kept_and_answer_to_one_name() {
    let lab = Lab::new();
    let engine = engine(&lab, "many");
    let api = engine.api();
    let lan = json!({"Name": "lan", "Driver": "bridge"});
    api.post("/networks/create", &lan).unwrap();
    let web = |count: &str| {
        let script = format!("mkdir -p /own && hostname >/own/name; {IDLE}");
        tiny::create(
            &engine,
            "web",
            json!({
                "Cmd": ["sh", "-c", script], "Labels": {"lifeboat.replicas": count, "owner": "ann"},
                "Volumes": {"/own": {}}, "ExposedPorts": {"80/tcp": {}},
                "HostConfig": {"NetworkMode": "lan", "PortBindings": {"80/tcp": [{"HostPort": ""}]}},
            }),
        );
        tiny::start(&engine, "web");
    };
    web("3");
    // What cannot be had twice.
    let ports = json!({"80/tcp": [{"HostPort": "18099"}]});
    let body = json!({
        "Cmd": ["sh", "-c", IDLE], "Labels": {"lifeboat.replicas": "2"}, "ExposedPorts": {"80/tcp": {}},
        "HostConfig": {"PortBindings": ports},
    });
    tiny::create(&engine, "fixed", body);
    tiny::start(&engine, "fixed");
    let service = json!({
        "Cmd": ["sh", "-c", IDLE],
        "Labels": {
            "lifeboat.replicas": "2", "com.docker.compose.project": "shop", "com.docker.compose.service": "api",
        },
    });
    tiny::create(&engine, "shop-api-1", service);
    tiny::start(&engine, "shop-api-1");

    let there = |name: &str| api.find(&format!("/containers/{name}/json")).unwrap();
    let is_up = |name: &str| there(name).is_some_and(|raw| raw["State"]["Running"] == true);
    let agent = Agent::start(&lab, &engine);
    agent.until("three run", || is_up("web-2") && is_up("web-3"));
    let raw = tiny::inspect(&engine, "web-3");
    assert_eq!(raw["Config"]["Labels"]["owner"], "ann");
    assert_eq!(raw["Config"]["Labels"]["lifeboat.app"], "web");
    assert_eq!(
        raw["HostConfig"]["PortBindings"]["80/tcp"][0]["HostPort"],
        ""
    );
    // Each has what it writes for itself, and one name leads to all of them.
    let exec = |name: &str, line: &str| api.exec_ok(name, &["sh", "-c", line]).unwrap();
    let own = ["web", "web-2", "web-3"].map(|name| exec(name, "cat /own/name"));
    assert!(own[0] != own[1] && own[1] != own[2], "{own:?}");
    let found = exec("web", "nslookup web 127.0.0.11");
    let addresses = ["web", "web-2", "web-3"].map(|name| {
        let raw = tiny::inspect(&engine, name);
        let address = raw["NetworkSettings"]["Networks"]["lan"]["IPAddress"].clone();
        address.as_str().unwrap().to_owned()
    });
    for address in &addresses {
        assert!(found.contains(address), "{address}: {found}");
    }
    for (name, word) in [("fixed", "port 18099"), ("shop-api-1", "deploy.replicas")] {
        let row = row(&lab, name);
        assert!(row["note"].as_str().unwrap().contains(word), "{row}");
        assert!(there(&format!("{name}-2")).is_none());
    }
    // It is looked after as the first one is.
    let before = started(&engine, "web-2");
    strike(&engine, "web-2", Signal::KILL);
    agent.until("it is back", || is_again(&engine, "web-2", &before));
    agent.stop();

    // Made again by a person with a lower number: what is too many goes, the rest is made from the new one.
    let second = tiny::inspect(&engine, "web-2")["Id"].clone();
    tiny::remove(&engine, "web");
    web("2");
    let first = tiny::inspect(&engine, "web")["Id"].clone();
    // What it knew of somebody's work a moment ago would make it wait for half a minute.
    fs_err::remove_file(lab.path("state/agent/supervisor.json")).unwrap();
    let agent = Agent::start(&lab, &engine);
    agent.until("one of them is too many", || there("web-3").is_none());
    agent.until("the other one is new", || {
        let raw = there("web-2").unwrap_or_default();
        raw["Id"] != second && raw["State"]["Running"] == true
    });
    let raw = tiny::inspect(&engine, "web-2");
    assert_eq!(raw["Config"]["Labels"]["lifeboat.replica-from"], first);
    assert!(runs(&engine, "web"));
    agent.until("the older one goes, once the new one has stayed", || {
        there("web-2.lifeboat-old-former").is_none()
    });
    assert!(told(&lab, "web").contains(&"replicas".to_owned()));
    // Nothing of those that went is left: neither containers nor their volumes.
    let names: Vec<String> = tiny::names(&engine);
    let count = |kind: &str| names.iter().filter(|n| n.starts_with(kind)).count();
    assert_eq!((count("container"), count("volume")), (4, 2), "{names:?}");
    let volumes = api.get("/volumes").unwrap()["Volumes"].clone();
    assert!(
        volumes
            .as_array()
            .is_some_and(|all: &Vec<Value>| all.len() == 2)
    );
}

#[test]
fn a_new_one_that_does_not_become_ready_is_taken_back_until_there_is_another_definition() {
    let lab = Lab::new();
    let engine = engine(&lab, "rolls");
    let api = engine.api();
    let allowed = lab.path("allowed");
    fs_err::create_dir_all(&allowed).unwrap();
    let second = 1_000_000_000_u64;
    // Well is the first version, and of later ones whoever stands in the list.
    let web = |version: &str| {
        let check = "test $VERSION = 1 || grep -q -e $(hostname) -e all /allowed/$VERSION";
        let body = json!({
            "Cmd": ["sh", "-c", IDLE], "Env": [format!("VERSION={version}")],
            "Labels": {"lifeboat.replicas": "2", "lifeboat.replicas.ready-within": "6s"},
            "Healthcheck": {
                "Test": ["CMD-SHELL", check], "Interval": second / 2, "Timeout": 5 * second, "Retries": 2,
            },
            "HostConfig": {"Binds": [format!("{}:/allowed:ro", allowed.display())]},
        });
        let id = tiny::create(&engine, "web", body);
        let list = if version == "2" { &id[..12] } else { "all" };
        fs_err::write(allowed.join(version), list).unwrap();
        tiny::start(&engine, "web");
        id
    };
    let there = |name: &str| api.find(&format!("/containers/{name}/json")).unwrap();
    let healthy =
        |name: &str| there(name).is_some_and(|raw| raw["State"]["Health"]["Status"] == "healthy");
    let from = |name: &str| {
        let raw = there(name).unwrap_or_default();
        raw["Config"]["Labels"]["lifeboat.replica-from"].clone()
    };
    let former = || there("web-2.lifeboat-old-former");
    // A person makes it again. What the agent knew of their work would make it wait for half a minute.
    let again = |version: &str, agent: Agent<'_>| {
        agent.stop();
        tiny::remove(&engine, "web");
        let id = web(version);
        fs_err::remove_file(lab.path("state/agent/supervisor.json")).unwrap();
        id
    };
    let one = web("1");
    let agent = Agent::start(&lab, &engine);
    agent.until("two are well", || healthy("web") && healthy("web-2"));
    let before = tiny::inspect(&engine, "web-2");

    again("2", agent);
    let agent = Agent::start(&lab, &engine);
    agent.until("the new one is tried, and the old one serves on", || {
        former().is_some_and(|raw| raw["Id"] == before["Id"] && raw["State"]["Running"] == true)
    });
    agent.until("it is taken back", || {
        former().is_none() && there("web-2").is_some_and(|raw| raw["Id"] == before["Id"])
    });
    assert_eq!(
        started(&engine, "web-2"),
        before["State"]["StartedAt"],
        "it never ended"
    );
    assert_eq!(from("web-2"), one);
    let said = told(&lab, "web");
    assert!(said.contains(&"rolled-back".to_owned()), "{said:?}");
    let note = row(&lab, "web")["note"].as_str().unwrap().to_owned();
    assert!(note.contains("the former one serves on"), "{note}");
    lab.run(None, &["status"], 0);
    // It is not tried again.
    std::thread::sleep(std::time::Duration::from_secs(4));
    assert!(former().is_none() && from("web-2") == one);

    let three = again("3", agent);
    let agent = Agent::start(&lab, &engine);
    agent.until("it is replaced", || {
        former().is_none() && from("web-2") == three
    });
    assert!(healthy("web-2"));
    let raw = there("web-2").unwrap();
    assert!(
        raw["Config"]["Env"]
            .as_array()
            .unwrap()
            .contains(&json!("VERSION=3"))
    );
    agent.stop();
    let names = tiny::names(&engine);
    let count = names.iter().filter(|n| n.starts_with("container")).count();
    assert_eq!(count, 2, "{names:?}");
}
