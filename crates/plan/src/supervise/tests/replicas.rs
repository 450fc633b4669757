//! As many as the label says.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::*;
use crate::inventory::{Container, Mount, MountKind};
use crate::supervise::replicas::{FORMER, LABEL, LABEL_FROM, LABEL_OF, LABEL_WITHIN, Replicas};

const NOTHING: [&str; 0] = [];

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
        Effect::Supersede { of, id, name } => Some(format!("replace {id} as {name} by {of}")),
        Effect::TakeBack { id, name, instead } => {
            let instead = instead.map(|id| format!(" for {id}")).unwrap_or_default();
            Some(format!("take {id} back as {name}{instead}"))
        }
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

/// What the hands do when one is replaced: the old one gives its name away, the new one gets it.
fn superseded(play: &mut Play, old: &str, name: &str, new: &str) {
    rename(play, old, &format!("{name}{FORMER}"));
    let on = |play: &mut Play, what| {
        let (id, name) = (new.to_owned(), name.to_owned());
        let (slot, nano) = (None, 0);
        play.event(Event::Happened(Happened {
            id,
            name,
            slot,
            what,
            nano,
        }));
    };
    on(play, What::Create);
    on(play, What::Start);
    let facts = Box::new(Facts {
        id: new.to_owned(),
        name: name.to_owned(),
        has_check: true,
        ..sibling(2, "web")
    });
    let state = State {
        phase: Phase::Running,
        started: play.now,
        ..State::default()
    };
    play.event(Event::Inspected { facts, state });
    done(play, name);
}

/// A first one that has been made again, and siblings of the one before.
fn made_again(first: Facts, siblings: &[Facts]) -> Play {
    let mut all = vec![facts("web", Policy::No)];
    all.extend(siblings.iter().cloned());
    let mut play = Play::with(all);
    play.event(inspected(first));
    play
}

fn is_ready(play: &mut Play, id: &str, well: bool) {
    play.event(Event::Probed {
        id: id.to_owned(),
        kind: Kind::Readiness,
        well,
        why: "no answer".to_owned(),
    });
}

fn rename(play: &mut Play, id: &str, name: &str) {
    play.event(Event::Happened(Happened {
        id: id.to_owned(),
        name: name.to_owned(),
        slot: None,
        what: What::Rename,
        nano: 0,
    }));
}

fn done(play: &mut Play, name: &str) {
    let name = name.to_owned();
    play.event(Event::Replicated { name, failed: None });
}

#[test]
fn those_of_an_older_one_are_replaced_one_after_the_other() {
    let mut play = made_again(first(3), &[sibling(2, "before"), sibling(3, "before")]);
    play.wait(1);
    assert_eq!(asked(&mut play), ["replace web-2 as web-2 by web"]);
    superseded(&mut play, "web-2", "web-2", "new2");
    play.wait(30);
    assert_eq!(asked(&mut play), NOTHING, "it is not ready yet");
    play.on("new2", What::Health { healthy: true }).wait(4);
    assert_eq!(asked(&mut play), NOTHING, "it may end at once");
    play.wait(2);
    assert_eq!(asked(&mut play), ["take web-2 away"]);
    play.on("web-2", What::Destroy);
    done(&mut play, &format!("web-2{FORMER}"));
    play.wait(2);
    assert_eq!(asked(&mut play), ["replace web-3 as web-3 by web"]);
    superseded(&mut play, "web-3", "web-3", "new3");
    // Stopped by a person: they know what they do, and the old one is not wanted back.
    play.on("new3", What::Kill { signal: 15 })
        .on("new3", What::Die { code: 0 })
        .wait(2);
    assert_eq!(asked(&mut play), ["take web-3 away"]);
    play.on("web-3", What::Destroy);
    done(&mut play, &format!("web-3{FORMER}"));
    play.wait(3600);
    assert_eq!(asked(&mut play), NOTHING);
}

#[test]
fn one_that_does_not_become_ready_is_taken_back_until_the_next_definition() {
    let mut play = made_again(first(3), &[sibling(2, "before"), sibling(3, "before")]);
    play.wait(1);
    asked(&mut play);
    superseded(&mut play, "web-2", "web-2", "new2");
    is_ready(&mut play, "new2", true);
    play.wait(3);
    is_ready(&mut play, "new2", false);
    play.wait(150);
    assert_eq!(asked(&mut play), NOTHING, "it has its time");
    // An agent that ends in the middle of it goes on.
    let text = serde_json::to_string(&play.world).unwrap();
    let world: World = serde_json::from_str(&text).unwrap();
    play.world = world;
    play.world.connected = true;
    play.wait(35);
    let told = play.effects.iter().find_map(|effect| match effect {
        Effect::Tell(note) if note.kind == "rolled-back" => Some(note.text.clone()),
        _ => None,
    });
    let told = told.unwrap();
    for word in [
        "web-2 ",
        "not ready after 3m",
        "its readiness probe fails",
        "the former one serves on",
    ] {
        assert!(told.contains(word), "{word}: {told}");
    }
    assert_eq!(asked(&mut play), ["take web-2 back as web-2 for new2"]);
    play.on("new2", What::Kill { signal: 15 })
        .on("new2", What::Die { code: 0 })
        .on("new2", What::Destroy);
    // An agent that died here finds the old one aside, and no other of the name.
    play.event(Event::Replicated {
        name: "web-2".to_owned(),
        failed: Some("the agent died".to_owned()),
    });
    play.wait(15);
    assert_eq!(asked(&mut play), ["take web-2 back as web-2"]);
    rename(&mut play, "web-2", "web-2");
    play.event(inspected(sibling(2, "before")));
    done(&mut play, "web-2");
    play.wait(3600);
    assert_eq!(asked(&mut play), NOTHING, "it would not be ready again");
    let picture = play.world.picture(play.now);
    let row = picture.rows.iter().find(|row| row.id == "web").unwrap();
    assert!(
        row.note.contains("not tried again until web is made again"),
        "{}",
        row.note
    );
    assert!(picture.is_well(), "the former ones serve");

    // The next definition is another try.
    play.on("web", What::Kill { signal: 9 })
        .on("web", What::Die { code: 137 })
        .on("web", What::Destroy);
    let (id, name) = ("web+".to_owned(), "web".to_owned());
    for what in [What::Create, What::Start] {
        let (id, name, slot, nano) = (id.clone(), name.clone(), None, 0);
        play.event(Event::Happened(Happened {
            id,
            name,
            slot,
            what,
            nano,
        }));
    }
    play.event(inspected(Facts { id, ..first(3) })).wait(40);
    assert_eq!(asked(&mut play), ["replace web-2 as web-2 by web+"]);
}

#[test]
fn what_ends_again_and_again_needs_no_more_time_and_a_label_gives_more() {
    let mut patient = first(2);
    patient.rules.replicas.within = Some(Duration::from_secs(3600));
    let mut play = made_again(patient, &[sibling(2, "before")]);
    play.wait(1);
    asked(&mut play);
    superseded(&mut play, "web-2", "web-2", "new2");
    play.wait(3000);
    assert_eq!(asked(&mut play), NOTHING);
    for _ in 0..3 {
        play.on("new2", What::Die { code: 3 }).wait(60);
        play.on("new2", What::Start).did("new2", Did::Started);
    }
    play.wait(1);
    assert_eq!(asked(&mut play), ["take web-2 back as web-2 for new2"]);
}

#[test]
fn old_ones_that_do_not_serve_keep_nobody_waiting() {
    let mut ill = sibling(3, "before");
    ill.has_check = true;
    let mut play = made_again(first(3), &[sibling(2, "before"), ill]);
    play.wait(1);
    assert_eq!(asked(&mut play), ["replace web-3 as web-3 by web"]);
    // Made again meanwhile: the one in between goes, the one that served is kept until there is a better one.
    superseded(&mut play, "web-3", "web-3", "new3");
    play.on("web", What::Kill { signal: 9 })
        .on("web", What::Die { code: 137 })
        .on("web", What::Destroy);
    let (id, name) = ("web+".to_owned(), "web".to_owned());
    for what in [What::Create, What::Start] {
        let (id, name, slot, nano) = (id.clone(), name.clone(), None, 0);
        play.event(Event::Happened(Happened {
            id,
            name,
            slot,
            what,
            nano,
        }));
    }
    play.event(inspected(Facts { id, ..first(3) })).wait(40);
    assert_eq!(asked(&mut play), ["take new3 away"]);
    play.on("new3", What::Destroy);
    done(&mut play, "web-3");
    play.wait(2);
    assert_eq!(asked(&mut play), ["make web-3 of web+"]);
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
    let (wanted, said) = of(&[(LABEL, "3"), (LABEL_WITHIN, "soon")], json!({}), vec![]);
    assert_eq!(wanted, Some(3));
    assert!(said.contains(LABEL_WITHIN), "{said}");
    let sibling = of(&[(LABEL_OF, "web"), (LABEL_FROM, "ab")], json!({}), vec![]);
    assert_eq!(sibling, (None, String::new()));
}
