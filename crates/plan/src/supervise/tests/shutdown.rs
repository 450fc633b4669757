//! An engine that goes: what ends with it, and what somebody wished before.

use super::*;

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
