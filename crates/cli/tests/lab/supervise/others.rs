//! Beside Compose: it goes its way, and is not fought.

use std::{collections::BTreeMap, time::Duration};

use lifeboat_testkit::{
    compose::{CONTAINERS, Project},
    engine::PrivateEngine,
};

use super::{Agent, is_again, row, started, strike, told, waits_are_over};
use crate::{support::Lab, tiny};

fn ids(engine: &PrivateEngine) -> BTreeMap<String, String> {
    CONTAINERS
        .iter()
        .map(|name| {
            (
                (*name).to_owned(),
                tiny::inspect(engine, name)["Id"]
                    .as_str()
                    .unwrap()
                    .to_owned(),
            )
        })
        .collect()
}

#[test]
fn compose_restarts_recreates_stops_and_takes_down_without_a_fight() {
    let lab = Lab::new();
    let engine = lab.engine("a");
    let project = Project::write(&lab.path("")).unwrap();
    project.up(&engine).unwrap();
    let mut agent = Agent::start(&lab, &engine);
    let compose = |args: &[&str]| {
        let output = project.command(&engine).args(args).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{args:?}: {text}");
    };
    let ours = |name: &str| {
        let kinds = ["start", "restart", "recreate"];
        told(&lab, name)
            .iter()
            .filter(|kind| kinds.contains(&kind.as_str()))
            .count()
    };
    compose(&["restart"]);
    let before = ids(&engine);
    compose(&["up", "-d", "--force-recreate"]);
    let after = ids(&engine);
    assert!(before.iter().all(|(name, id)| after[name] != *id));
    std::thread::sleep(Duration::from_secs(3));
    for name in CONTAINERS {
        assert_eq!(ours(name), 0, "{name}: {:?}", told(&lab, name));
    }
    assert_eq!(ids(&engine), after);
    assert_eq!(
        project.up_dry_run_changes(&engine).unwrap(),
        Vec::<String>::new()
    );

    // Its new containers are looked after as the old ones were, once nobody works on them.
    let supervised = |name: &&str| row(&lab, name)["supervised"] == true;
    if let Some(name) = CONTAINERS.iter().copied().find(|name| supervised(name)) {
        let was = started(&engine, name);
        agent.stop();
        waits_are_over(&lab);
        agent = Agent::start(&lab, &engine);
        strike(&engine, name, rustix::process::Signal::KILL);
        agent.until("it runs again", || is_again(&engine, name, &was));
    }
    compose(&["stop", "-t", "1"]);
    std::thread::sleep(Duration::from_secs(2));
    for name in CONTAINERS {
        assert!(!tiny::runs(&engine, name), "{name} was stopped by a person");
    }
    lab.run(None, &["status"], 0);
    compose(&["down", "-v"]);
    agent.until("all is forgotten", || {
        CONTAINERS.iter().all(|name| row(&lab, name).is_null())
    });
    agent.stop();
}
