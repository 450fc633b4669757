//! One history a rule.

use std::time::Duration;

use super::*;
use crate::supervise::facts::Slot;

const KILLED: What = What::Die { code: 137 };

#[test]
fn a_crash_is_answered_at_once_and_then_with_patience() {
    let mut play = Play::with(vec![facts("a", Policy::No)]);
    play.on("a", What::Die { code: 1 });
    assert!(play.done().is_empty(), "it may have been a person");
    play.patience();
    assert_eq!(play.done(), ["start a"]);
    play.on("a", What::Start).did("a", Did::Started);
    play.on("a", What::Die { code: 1 }).patience();
    assert!(play.done().is_empty());
    assert_eq!(play.state("a"), "back-off");
    play.wait(9);
    assert!(play.done().is_empty());
    play.wait(2);
    assert_eq!(play.done(), ["start a"]);
    // Ten minutes of health, and it is as if nothing had been.
    play.on("a", What::Start).did("a", Did::Started).wait(601);
    play.on("a", What::Die { code: 1 }).patience();
    assert_eq!(play.done(), ["start a"]);
}

#[test]
fn a_persons_stop_kill_pause_and_removal_are_left() {
    let all = ["a", "b", "c", "d"]
        .map(|id| facts(id, Policy::Always))
        .to_vec();
    let mut play = Play::with(all);
    play.on("a", What::Kill { signal: 15 })
        .on("a", KILLED)
        .on("a", What::Stop);
    play.on("b", What::Kill { signal: 9 }).on("b", KILLED);
    play.on("c", What::Pause);
    play.on("d", What::Kill { signal: 9 })
        .on("d", KILLED)
        .on("d", What::Destroy);
    play.wait(3600);
    assert!(play.done().is_empty());
    let states = ["a", "b", "c", "d"].map(|id| play.state(id));
    assert_eq!(states, ["stopped", "stopped", "paused", "forgotten"]);
    play.on("a", What::Start);
    assert_eq!(play.state("a"), "running");
}

#[test]
fn a_persons_wish_that_is_told_after_the_end_is_one() {
    let all = ["a", "b", "c", "d", "e"].map(|id| facts(id, Policy::No));
    let mut play = Play::with(all.to_vec());
    // In the same moment, at the end of the patience, without a `kill` that was understood, and with a removal.
    play.on("a", What::Die { code: 0 })
        .on("a", What::Kill { signal: 15 })
        .on("a", What::Stop);
    play.on("b", What::Die { code: 143 })
        .on("c", What::Die { code: 3 })
        .on("d", KILLED);
    play.now = Moment(play.now.plus(PATIENCE).0 - 1);
    play.on("b", What::Kill { signal: 9 })
        .on("c", What::Kill { signal: 10 })
        .on("c", What::Stop)
        .on("d", What::Destroy);
    let told = |play: &mut Play, kind: &str| {
        let effects = std::mem::take(&mut play.effects).into_iter();
        let told = effects.filter_map(|effect| match effect {
            Effect::Tell(note) if note.kind == kind => Some(note.container),
            Effect::Start { id, .. } => panic!("{id} is started"),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    assert_eq!(told(&mut play, "stopped"), ["a", "b", "c"]);
    play.wait(3600);
    assert_eq!(told(&mut play, "died"), Vec::<String>::new());
    let states = ["a", "b", "c", "d"].map(|id| play.state(id));
    assert_eq!(states, ["stopped", "stopped", "stopped", "forgotten"]);
    // It was no failure: the next end is answered as the first one.
    play.on("b", What::Start).wait(60);
    play.on("b", What::Die { code: 1 }).patience();
    assert_eq!(play.done(), ["start b"]);
    // Told later still, but before anything was done: failures made it wait.
    play.on("e", What::Die { code: 1 }).patience();
    play.on("e", What::Start).did("e", Did::Started);
    play.on("e", What::Die { code: 1 }).patience().wait(2);
    assert_eq!(play.state("e"), "back-off");
    play.done();
    play.on("e", What::Kill { signal: 15 }).wait(3600);
    assert_eq!(play.done(), Vec::<String>::new());
    assert_eq!(play.state("e"), "stopped");
}

#[test]
fn an_end_is_judged_when_it_is_started_again_and_when_the_engine_goes() {
    let own = facts("a", Policy::Always);
    let mut play = Play::with(vec![own, facts("b", Policy::No)]);
    play.on("a", What::Die { code: 1 }).on("a", What::Start);
    let told = |play: &Play| {
        let notes = play.effects.iter().filter_map(|effect| match effect {
            Effect::Tell(note) => Some(note.kind.clone()),
            _ => None,
        });
        notes.collect::<Vec<_>>()
    };
    assert_eq!(told(&play), ["died", "restarted"]);
    play.effects.clear();
    play.on("b", What::Die { code: 1 }).event(Event::Lost);
    assert_eq!(told(&play), ["died", "engine-lost"]);
    assert_eq!(play.world.units["b"].wanted, Wanted::Run);
    assert_eq!(play.world.units["b"].judge_at, None);
}

#[test]
fn an_end_outlives_the_agent_and_so_does_its_patience() {
    let own = facts("a", Policy::No);
    let back = |told_meanwhile: bool| {
        let mut play = Play::with(vec![own.clone()]);
        play.on("a", What::Die { code: 1 });
        let text = serde_json::to_string(&play.world).unwrap();
        let world: World = serde_json::from_str(&text).unwrap();
        play.now = play.now.plus(Duration::from_secs(5));
        play.world = world.resumed(play.now);
        if told_meanwhile {
            play.on("a", What::Kill { signal: 15 });
        }
        let seen = Seen {
            id: "a".to_owned(),
            name: "a".to_owned(),
            phase: Phase::Exited,
            healthy: None,
        };
        play.event(Event::Listed {
            engine: "e".to_owned(),
            containers: vec![seen],
        });
        play.wait(1);
        play.done()
    };
    assert_eq!(back(false), ["start a"]);
    assert_eq!(back(true), Vec::<String>::new());
}

#[test]
fn a_signal_that_does_not_stop_is_no_wish() {
    let mut play = Play::with(vec![facts("a", Policy::No)]);
    play.on("a", What::Kill { signal: 1 }).wait(1);
    play.on("a", What::Die { code: 1 })
        .on("a", What::Kill { signal: 1 })
        .patience();
    assert_eq!(play.done(), ["start a"]);
}

#[test]
fn the_engine_has_its_turn_first() {
    let own = facts("a", Policy::Always);
    let mut play = Play::with(vec![own.clone()]);
    play.on("a", KILLED).on("a", What::Start).wait(10);
    assert!(play.done().is_empty());
    // It did not, though its policy says so.
    play.on("a", KILLED).wait(1);
    play.asked_again("a", &own, Phase::Exited);
    assert_eq!(play.done(), ["start a"]);
}

#[test]
fn what_ended_well_or_runs_once_is_never_run_again() {
    let mut waits = facts("web", Policy::Always);
    waits.needs = vec![need("job", NeedCondition::Completed)];
    let mut play = Play::with(vec![
        facts("a", Policy::No),
        facts("b", Policy::OnFailure(0)),
        facts("job", Policy::No),
        waits,
    ]);
    play.on("a", What::Die { code: 0 })
        .on("b", What::Die { code: 0 })
        .on("job", What::Die { code: 5 });
    play.wait(3600);
    assert!(play.done().is_empty());
    assert_eq!(
        ["a", "b", "job"].map(|id| play.state(id)),
        ["ended", "ended", "ended"]
    );
}

#[test]
fn an_engines_shutdown_is_no_persons_wish() {
    let all = vec![
        facts("a", Policy::No),
        facts("b", Policy::No),
        facts("mine", Policy::No),
    ];
    let mut play = Play::with(all.clone());
    play.on("mine", What::Kill { signal: 15 })
        .on("mine", KILLED)
        .wait(60);
    for id in ["a", "b"] {
        play.on(id, What::Kill { signal: 15 });
    }
    play.wait(2);
    for id in ["a", "b"] {
        play.on(id, KILLED).on(id, What::Stop);
    }
    play.wait(1).event(Event::Lost);
    play.wait(20);
    assert!(play.done().is_empty(), "no engine, nothing to do");
    let containers = all
        .iter()
        .map(|f| Seen {
            id: f.id.clone(),
            name: f.id.clone(),
            phase: Phase::Exited,
            healthy: None,
        })
        .collect();
    play.event(Event::Listed {
        engine: "e".to_owned(),
        containers,
    });
    play.wait(4);
    for f in &all[..2] {
        play.asked_again(&f.id, f, Phase::Exited);
    }
    assert_eq!(play.done(), ["start a", "start b"]);
    assert_eq!(play.state("mine"), "stopped");
}

#[test]
fn an_end_that_is_told_before_its_signal_is_the_shutdowns_too() {
    let all = ["a", "b", "c"].map(|id| facts(id, Policy::No));
    let mut play = Play::with(all.to_vec());
    play.on("a", What::Die { code: 0 })
        .on("c", What::Die { code: 0 })
        .on("b", What::Kill { signal: 15 })
        .on("b", KILLED)
        .on("c", What::Kill { signal: 15 });
    // Told so late that it was taken for an end of its own, and answered; the engine that goes takes no orders.
    let failed = Failed {
        kind: Trouble::Engine,
        text: "gone".to_owned(),
    };
    play.world.units.get_mut("a").unwrap().wanted = Wanted::Run;
    play.world.units.get_mut("a").unwrap().doing = Some((Doing::Starting, play.now));
    play.on("a", What::Kill { signal: 15 })
        .did("a", Did::Failed(failed))
        .on("a", What::Stop)
        .on("b", What::Stop)
        .event(Event::Lost);
    assert_eq!(play.world.units["a"].wanted, Wanted::Run);
    assert_eq!(play.world.units["b"].wanted, Wanted::Run);
    assert_eq!(play.world.units["c"].wanted, Wanted::Run);
}

#[test]
fn a_stop_without_its_signal_is_the_shutdowns_too() {
    let mut play = Play::with(["a", "b"].map(|id| facts(id, Policy::Always)).to_vec());
    play.on("b", What::Kill { signal: 15 })
        .on("a", What::Die { code: 0 })
        .on("a", What::Stop)
        .on("b", What::Die { code: 0 })
        .on("b", What::Stop)
        .event(Event::Lost);
    assert_eq!(play.world.units["a"].wanted, Wanted::Run);
    assert_eq!(play.world.units["b"].wanted, Wanted::Run);
}

#[test]
fn an_engine_that_goes_later_did_not_stop_the_last_one() {
    let mut play = Play::with(vec![facts("a", Policy::No), facts("done", Policy::No)]);
    play.on("done", What::Die { code: 0 });
    play.on("a", What::Kill { signal: 15 })
        .on("a", KILLED)
        .wait(11)
        .event(Event::Lost);
    assert_eq!(play.state("a"), "stopped");
}

#[test]
fn a_persons_stop_before_the_engine_is_killed_stays_one() {
    let mut play = Play::with(vec![facts("a", Policy::No), facts("b", Policy::No)]);
    play.on("a", What::Kill { signal: 15 })
        .on("a", KILLED)
        .event(Event::Lost);
    assert_eq!(play.state("a"), "stopped");
}

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

#[test]
fn what_the_engine_lost_is_made_again_and_what_somebody_removed_is_not() {
    let all: Vec<Facts> = ["a", "b", "c"].map(|id| facts(id, Policy::Always)).to_vec();
    let here = |ids: &[&str]| Event::Listed {
        engine: "e".to_owned(),
        containers: ids
            .iter()
            .map(|id| Seen {
                id: (*id).to_owned(),
                name: (*id).to_owned(),
                phase: Phase::Running,
                healthy: None,
            })
            .collect(),
    };
    let mut play = Play::with(all.clone());
    play.event(Event::Lost).wait(10).event(here(&["a", "b"]));
    assert!(play.done().is_empty());
    assert_eq!(play.state("c"), "forgotten");
    let mut play = Play::with(all);
    play.event(Event::Lost).wait(10).event(here(&[]));
    assert_eq!(play.done(), ["recreate a", "recreate b", "recreate c"]);
}

#[test]
fn an_unhealthy_one_is_restarted_and_a_frozen_one_is_not() {
    let mut own = facts("a", Policy::Always);
    own.has_check = true;
    let mut play = Play::with(vec![own]);
    play.on("a", What::Health { healthy: true });
    play.on("a", What::Pause)
        .on("a", What::Health { healthy: false })
        .on("a", What::Unpause);
    play.on("a", What::Health { healthy: false });
    assert!(play.done().is_empty(), "the check ran into the pause");
    play.wait(31).on("a", What::Health { healthy: false });
    assert_eq!(play.done(), ["stop a"]);
    play.on("a", What::Kill { signal: 15 })
        .on("a", KILLED)
        .on("a", What::Stop)
        .did("a", Did::Stopped);
    assert_eq!(play.done(), ["start a"]);
    assert_eq!(play.state("a"), "being started");
}

#[test]
fn managed_starts_are_taken_over_and_given_back() {
    let mut own = facts("a", Policy::UnlessStopped);
    own.rules.managed = true;
    let mut play = Play {
        world: World::new(1),
        now: Moment(1_000_000_000),
        effects: Vec::new(),
    };
    let seen = Seen {
        id: "a".to_owned(),
        name: "a".to_owned(),
        phase: Phase::Running,
        healthy: None,
    };
    play.event(Event::Listed {
        engine: "e".to_owned(),
        containers: vec![seen],
    });
    let state = State {
        phase: Phase::Running,
        ..State::default()
    };
    play.event(Event::Inspected {
        facts: Box::new(own),
        state,
    });
    assert_eq!(play.done(), ["policy a no"]);
    play.on("a", What::Die { code: 0 }).patience();
    assert_eq!(play.done(), ["start a"], "it is to run for ever");
    play.event(Event::Release);
    assert_eq!(play.done(), ["policy a unless-stopped"]);
}

#[test]
fn a_crash_of_the_agent_between_stop_and_start() {
    let mut own = facts("a", Policy::No);
    own.has_check = true;
    let mut play = Play::with(vec![own.clone()]);
    play.on("a", What::Health { healthy: false });
    assert_eq!(play.done(), ["stop a"]);
    let text = serde_json::to_string(&play.world).unwrap();
    let world: World = serde_json::from_str(&text).unwrap();
    play.world = world.resumed(play.now);
    play.on("a", What::Kill { signal: 15 })
        .on("a", KILLED)
        .on("a", What::Stop);
    let seen = Seen {
        id: "a".to_owned(),
        name: "a".to_owned(),
        phase: Phase::Exited,
        healthy: None,
    };
    play.event(Event::Listed {
        engine: "e".to_owned(),
        containers: vec![seen],
    });
    play.wait(5);
    play.asked_again("a", &own, Phase::Exited);
    assert_eq!(play.done(), ["start a"]);
}

#[test]
fn what_a_killed_engine_stops_when_it_comes_up_is_no_persons_wish() {
    let all = [facts("a", Policy::No), facts("b", Policy::No)];
    let mut play = Play::with(all.to_vec());
    play.event(Event::Lost).wait(3);
    play.on("a", What::Kill { signal: 15 })
        .on("a", KILLED)
        .on("a", What::Stop);
    let seen = |id: &str, phase| Seen {
        id: id.to_owned(),
        name: id.to_owned(),
        phase,
        healthy: None,
    };
    play.event(Event::Listed {
        engine: "e".to_owned(),
        containers: vec![seen("a", Phase::Exited), seen("b", Phase::Running)],
    });
    play.wait(4);
    play.asked_again("a", &all[0], Phase::Exited);
    assert_eq!(play.done(), ["start a"]);
    // Once it has been listed, a person's wish counts again.
    play.on("b", What::Kill { signal: 15 })
        .on("b", KILLED)
        .wait(60);
    assert!(play.done().is_empty());
}

#[test]
fn an_answer_that_overtakes_the_event_is_not_judged() {
    let own = facts("a", Policy::No);
    let mut play = Play::with(vec![own.clone()]);
    let ended = Event::Inspected {
        facts: Box::new(own),
        state: State {
            phase: Phase::Exited,
            exit: Some(Exit {
                code: 137,
                ..Exit::default()
            }),
            started: Moment(play.now.0),
            ..State::default()
        },
    };
    play.event(ended);
    assert!(play.done().is_empty());
    play.on("a", KILLED).patience();
    assert_eq!(play.done(), ["start a"]);
}
