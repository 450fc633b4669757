//! Made again because it was not well, and what becomes of the old one.

use serde_json::{Value, json};

use super::{Agent, row, told};
use crate::{
    support::Lab,
    tiny::{self, IDLE, engine, runs},
};

/// Eight days.
const LONG: u64 = 8 * 24 * 3600 * 1000;

#[test]
fn what_is_not_well_is_made_again_and_the_old_one_goes_after_its_time() {
    let lab = Lab::new();
    let engine = engine(&lab, "again");
    let api = engine.api();
    let second = 1_000_000_000_u64;
    let create = |name: &str| {
        tiny::create(
            &engine,
            name,
            json!({
                "Cmd": ["sh", "-c", IDLE], "Volumes": {"/nameless": {}},
                "Labels": {"lifeboat.on-unhealthy": "recreate", "lifeboat.keep": "true"},
                "Healthcheck": {
                    "Test": ["CMD-SHELL", "test ! -e /dev/shm/ill"],
                    "Interval": second, "Timeout": 5 * second, "Retries": 1,
                },
                "HostConfig": {"RestartPolicy": {"Name": "always"}, "Binds": ["kept:/data"]},
            }),
        );
        tiny::start(&engine, name);
    };
    create("web");
    let exec = |line: &str| api.exec_ok("web", &["sh", "-c", line]).unwrap();
    exec("for f in /etc/put /data/file /nameless/file; do echo mine >$f; done");
    // Somebody's, which only looks like ours.
    tiny::create(&engine, "mine.lifeboat-old-1", json!({}));
    let agent = Agent::start(&lab, &engine);
    let old = tiny::inspect(&engine, "web")["Id"].clone();
    exec("touch /dev/shm/ill");
    agent.until("it is made again", || {
        let raw = api
            .find("/containers/web/json")
            .unwrap()
            .unwrap_or_default();
        raw["Id"] != old
            && raw["State"]["Running"] == true
            && raw["State"]["Health"]["Status"] == "healthy"
    });
    let has_all = || {
        let read = exec("cat /etc/put /data/file /nameless/file");
        assert_eq!(read, "mine\n".repeat(3));
    };
    has_all();
    agent.until("it is told", || {
        told(&lab, "web").contains(&"recreated".to_owned())
    });
    let id = old.as_str().unwrap();
    let aside = || api.find(&format!("/containers/{id}/json")).unwrap();
    let raw: Value = aside().unwrap();
    let name = raw["Name"]
        .as_str()
        .unwrap()
        .trim_start_matches('/')
        .to_owned();
    assert_eq!(name, format!("web.lifeboat-old-{}", &id[..12]));
    assert_eq!(raw["State"]["Running"], false);
    assert_eq!(raw["HostConfig"]["RestartPolicy"]["Name"], "no");
    agent.stop();

    // Not before its time, and then ours alone. It carries `lifeboat.keep` and is not made again for it.
    let agent = Agent::start(&lab, &engine);
    agent.until("it is seen", || row(&lab, &name)["supervised"] == false);
    assert!(aside().is_some());
    agent.stop();
    let record = lab.path("state/agent/asides.json");
    let mut all: Value = serde_json::from_slice(&fs_err::read(&record).unwrap()).unwrap();
    let at = all[0]["at"].as_u64().unwrap();
    all[0]["at"] = json!(at - LONG);
    fs_err::write(&record, all.to_string()).unwrap();
    let agent = Agent::start(&lab, &engine);
    agent.until("the old one goes", || aside().is_none());
    agent.until("it is told", || {
        told(&lab, "web").contains(&"tidied".to_owned())
    });
    // Whoever makes again what a person removes would have come by now.
    std::thread::sleep(std::time::Duration::from_secs(2));
    let names = tiny::names(&engine);
    let containers = names.iter().filter(|n| n.starts_with("container"));
    let containers: Vec<&String> = containers.collect();
    assert_eq!(
        containers,
        ["container /mine.lifeboat-old-1", "container /web"]
    );
    assert!(runs(&engine, "web"));
    has_all();
    assert_eq!(fs_err::read_to_string(&record).unwrap(), "[]");
}
