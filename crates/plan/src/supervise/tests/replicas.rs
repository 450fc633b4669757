//! As many as the label says.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;
use crate::inventory::{Container, Mount, MountKind};
use crate::supervise::replicas::{LABEL, LABEL_FROM, LABEL_OF, Replicas};

fn first(wanted: u32) -> Facts {
    let mut facts = facts("web", Policy::No);
    facts.rules.replicas.wanted = Some(wanted);
    facts
}

fn sibling(number: u32, from: &str) -> Facts {
    let mut facts = facts(&format!("web-{number}"), Policy::No);
    facts.rules.replicas = Replicas {
        of: Some("web".to_owned()),
        from: Some(from.to_owned()),
        ..Replicas::default()
    };
    facts
}

/// What was asked for since the last time.
fn asked(play: &mut Play) -> Vec<String> {
    let effects = std::mem::take(&mut play.effects);
    let short = |effect| match effect {
        Effect::Replicate { of, name } => Some(format!("make {name} of {of}")),
        Effect::Withdraw { id, .. } => Some(format!("take {id} away")),
        _ => None,
    };
    effects.into_iter().filter_map(short).collect()
}

fn came(play: &mut Play, facts: Facts) {
    let name = facts.name.clone();
    play.on(&name, What::Create).on(&name, What::Start);
    let state = State {
        phase: Phase::Running,
        started: play.now,
        ..State::default()
    };
    let facts = Box::new(facts);
    play.event(Event::Inspected { facts, state });
    play.event(Event::Replicated { name, failed: None });
}

#[test]
fn missing_ones_are_made_one_after_the_other_and_surplus_ones_go() {
    let mut play = Play::with(vec![first(1)]);
    play.wait(5);
    assert_eq!(asked(&mut play), Vec::<String>::new());
    play.event(inspected(first(3)));
    assert_eq!(asked(&mut play), ["make web-2 of web"]);
    play.wait(60);
    assert_eq!(asked(&mut play), Vec::<String>::new(), "one at a time");
    came(&mut play, sibling(2, "web"));
    play.wait(2);
    assert_eq!(asked(&mut play), ["make web-3 of web"]);
    came(&mut play, sibling(3, "web"));
    play.wait(120);
    assert_eq!(asked(&mut play), Vec::<String>::new());

    play.event(inspected(first(1)));
    assert_eq!(asked(&mut play), ["take web-3 away"]);
    play.on("web-3", What::Destroy);
    play.event(Event::Replicated {
        name: "web-3".to_owned(),
        failed: None,
    });
    play.wait(2);
    assert_eq!(asked(&mut play), ["take web-2 away"]);
}

fn inspected(facts: Facts) -> Event {
    let state = State {
        phase: Phase::Running,
        started: Moment(1),
        ..State::default()
    };
    Event::Inspected {
        facts: Box::new(facts),
        state,
    }
}

#[test]
fn a_persons_doing_is_respected_for_a_while_and_a_stop_for_good() {
    let mut play = Play::with(vec![first(2), sibling(2, "web")]);
    play.wait(60);
    assert_eq!(asked(&mut play), Vec::<String>::new());
    // Stopped by a person: it counts.
    play.on("web-2", What::Kill { signal: 15 })
        .on("web-2", What::Die { code: 0 });
    play.on("web-2", What::Stop).wait(300);
    assert_eq!(asked(&mut play), Vec::<String>::new());
    // Removed: made again, and not at once.
    play.on("web-2", What::Destroy).wait(20);
    assert_eq!(asked(&mut play), Vec::<String>::new());
    play.wait(15);
    assert_eq!(asked(&mut play), ["make web-2 of web"]);
    // It cannot be: tried again, later and later.
    for wait in [2, 12, 25] {
        let failed = Some("no room".to_owned());
        play.event(Event::Replicated {
            name: "web-2".to_owned(),
            failed,
        });
        assert_eq!(asked(&mut play), Vec::<String>::new());
        play.wait(wait);
        assert_eq!(asked(&mut play), ["make web-2 of web"], "after {wait}");
    }
    // In maintenance, and without an engine, nothing is done.
    play.event(Event::Replicated {
        name: "web-2".to_owned(),
        failed: Some("no".to_owned()),
    });
    play.event(Event::Maintenance {
        app: None,
        on: true,
    })
    .wait(400);
    assert_eq!(asked(&mut play), Vec::<String>::new());
    play.event(Event::Lost);
    play.event(Event::Maintenance {
        app: None,
        on: false,
    })
    .wait(400);
    assert_eq!(asked(&mut play), Vec::<String>::new());
}

#[test]
fn those_of_an_older_one_are_replaced_while_the_others_run() {
    let mut play = Play::with(vec![first(3), sibling(2, "before"), sibling(3, "before")]);
    play.wait(1);
    play.effects.clear();
    play.event(Event::Replicated {
        name: "web-2".to_owned(),
        failed: None,
    });
    play.on("web-2", What::Destroy).wait(40);
    assert_eq!(asked(&mut play), ["make web-2 of web"]);
    play.wait(30);
    assert_eq!(
        asked(&mut play),
        Vec::<String>::new(),
        "not before the new one runs"
    );
    came(&mut play, sibling(2, "web"));
    play.wait(2);
    assert_eq!(asked(&mut play), ["take web-3 away"]);
}

#[test]
fn what_there_can_be_one_of_alone_is_a_finding() {
    let of = |labels: &[(&str, &str)], raw, mounts: Vec<Mount>| {
        let labels: BTreeMap<String, String> = labels
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        let container = Container {
            labels,
            raw,
            mounts,
            ..Container::default()
        };
        let mut findings = Vec::new();
        let replicas = Replicas::of(&container, &mut findings);
        (replicas.wanted, findings.join("; "))
    };
    let three = [(LABEL, "3")];
    assert_eq!(of(&three, json!({}), vec![]), (Some(3), String::new()));
    let port =
        |port: &str| json!({"HostConfig": {"PortBindings": {"80/tcp": [{"HostPort": port}]}}});
    assert_eq!(of(&three, port(""), vec![]).0, Some(3));
    assert_eq!(of(&[(LABEL, "1")], port("8080"), vec![]).0, Some(1));
    let mount = |kind, name: Option<String>, writable| {
        vec![Mount {
            kind,
            name,
            source: "/srv/data".to_owned(),
            destination: "/data".to_owned(),
            writable,
        }]
    };
    let fixed = json!({"NetworkSettings": {"Networks": {"lan": {"IPAMConfig": {"IPv4Address": "10.0.0.7"}}}}});
    let shared = Some("data".to_owned());
    for (labels, raw, mounts, word) in [
        (
            &[(LABEL, "many")][..],
            json!({}),
            vec![],
            "a number from 1 to 50",
        ),
        (&[(LABEL, "0")], json!({}), vec![], "a number from 1 to 50"),
        (
            &[(LABEL, "2"), (crate::label::SERVICE, "web")],
            json!({}),
            vec![],
            "deploy.replicas",
        ),
        (&three, port("8080"), vec![], "port 8080 of the host"),
        (
            &three,
            json!({"HostConfig": {"NetworkMode": "host"}}),
            vec![],
            "network mode host",
        ),
        (&three, fixed, vec![], "10.0.0.7"),
        (
            &three,
            json!({}),
            mount(MountKind::Volume, shared.clone(), true),
            "write into data",
        ),
        (
            &three,
            json!({}),
            mount(MountKind::Bind, None, true),
            "write into /srv/data",
        ),
    ] {
        let (wanted, said) = of(labels, raw, mounts);
        assert_eq!(wanted, None, "{said}");
        assert!(said.contains(word), "{said}");
    }
    for mounts in [
        mount(MountKind::Volume, Some("a".repeat(64)), true),
        mount(MountKind::Volume, shared, false),
    ] {
        assert_eq!(of(&three, json!({}), mounts).0, Some(3));
    }
    let sibling = of(&[(LABEL_OF, "web"), (LABEL_FROM, "ab")], json!({}), vec![]);
    assert_eq!(sibling, (None, String::new()));
}
