//! What needs another one: its turn, its namespace, and what is made again.

use super::*;
use crate::supervise::facts::Slot;

#[test]
fn dependencies_first_and_four_at_a_time() {
    let mut all: Vec<Facts> = (0..10)
        .map(|n| facts(&format!("n{n}"), Policy::No))
        .collect();
    for one in &mut all[1..] {
        one.needs = vec![need("n0", NeedCondition::Started)];
    }
    let mut play = Play::with(all);
    for n in (0..10).rev() {
        play.on(&format!("n{n}"), What::Die { code: 1 });
    }
    // All of them are down before the first is started, so none comes up before what it needs.
    play.patience();
    assert_eq!(play.done(), ["start n0"]);
    play.on("n0", What::Start).did("n0", Did::Started);
    let mut under_way = play.done();
    let mut started = Vec::new();
    while let Some(start) = under_way.pop() {
        assert!(under_way.len() < MOST_STARTS, "{under_way:?}");
        let id = start.strip_prefix("start ").unwrap().to_owned();
        play.on(&id, What::Start).did(&id, Did::Started);
        started.push(start);
        under_way.extend(play.done());
    }
    started.sort();
    let rest: Vec<String> = (1..10).map(|n| format!("start n{n}")).collect();
    assert_eq!(started, rest);
}

#[test]
fn a_dependent_waits_until_it_is_ready_and_not_for_ever() {
    let mut db = facts("db", Policy::No);
    db.has_check = true;
    let mut web = facts("web", Policy::No);
    web.needs = vec![need("db", NeedCondition::Ready)];
    let mut play = Play::with(vec![db, web]);
    play.on("db", What::Die { code: 1 });
    play.on("web", What::Die { code: 1 }).patience();
    assert_eq!(play.done(), ["start db"]);
    play.on("db", What::Start).did("db", Did::Started).wait(5);
    assert!(play.done().is_empty());
    play.on("db", What::Health { healthy: true });
    assert_eq!(play.done(), ["start web"]);
}

#[test]
fn a_cycle_keeps_nobody_waiting() {
    let mut a = facts("a", Policy::No);
    let mut b = facts("b", Policy::No);
    a.needs = vec![need("b", NeedCondition::Started)];
    b.needs = vec![need("a", NeedCondition::Started)];
    let mut play = Play::with(vec![a, b]);
    play.event(Event::Maintenance {
        app: None,
        on: true,
    });
    play.on("a", What::Die { code: 1 })
        .on("b", What::Die { code: 1 })
        .patience();
    assert!(play.done().is_empty());
    play.event(Event::Maintenance {
        app: None,
        on: false,
    });
    assert_eq!(play.done(), ["start a", "start b"]);
}

#[test]
fn what_shares_a_namespace_follows() {
    let vpn = facts("vpn", Policy::No);
    let mut child = facts("child", Policy::No);
    child.needs = vec![Need {
        namespace: true,
        ..need("vpn", NeedCondition::Started)
    }];
    let mut asks = facts("asks", Policy::No);
    asks.needs = vec![need("vpn", NeedCondition::Started)];
    let mut play = Play::with(vec![vpn, child, asks]);
    play.wait(10);
    play.on("vpn", What::Die { code: 1 }).patience();
    assert_eq!(play.done(), ["start vpn"]);
    play.on("vpn", What::Start).did("vpn", Did::Started);
    assert_eq!(play.done(), ["stop child"], "and nobody else");
    play.on("child", What::Kill { signal: 15 })
        .on("child", KILLED)
        .did("child", Did::Stopped);
    assert_eq!(play.done(), ["start child"]);
    play.on("child", What::Start)
        .did("child", Did::Started)
        .wait(100);
    assert!(play.done().is_empty());
}

#[test]
fn what_shares_a_namespace_with_one_made_again_is_made_again() {
    let mut vpn = facts("vpn", Policy::No);
    vpn.rules.keep = true;
    let mut child = facts("child", Policy::No);
    child.needs = vec![Need {
        namespace: true,
        ..need("vpn", NeedCondition::Started)
    }];
    let mut play = Play::with(vec![vpn, child]);
    play.on("vpn", What::Kill { signal: 9 })
        .on("vpn", KILLED)
        .on("vpn", What::Destroy);
    assert!(play.done().is_empty());
    play.wait(31);
    assert_eq!(play.done(), ["recreate vpn"]);
    play.did(
        "vpn",
        Did::Recreated {
            id: "new".to_owned(),
        },
    );
    assert_eq!(play.done(), ["recreate child"]);
}

#[test]
fn while_somebody_makes_it_again_hands_off() {
    let slot = Slot {
        project: "shop".to_owned(),
        service: "web".to_owned(),
        number: "1".to_owned(),
    };
    let mut old = facts("old", Policy::No);
    old.rules.keep = true;
    old.slot = Some(slot.clone());
    let mut play = Play::with(vec![old]);
    let create = Happened {
        id: "new".to_owned(),
        name: "0123_old".to_owned(),
        slot: Some(slot.clone()),
        what: What::Create,
        nano: 0,
    };
    play.event(Event::Happened(create));
    let mut next = facts("new", Policy::No);
    next.slot = Some(slot);
    let state = State::default();
    play.event(Event::Inspected {
        facts: Box::new(next),
        state,
    });
    play.on("old", What::Die { code: 1 });
    play.on("old", What::Destroy);
    play.on("new", What::Start).wait(100);
    assert!(play.done().is_empty());
    assert_eq!(play.state("old"), "forgotten");
    assert_eq!(play.state("new"), "running");
}
