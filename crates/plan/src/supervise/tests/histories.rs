//! One history a rule.

use std::time::Duration;

use super::*;

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
