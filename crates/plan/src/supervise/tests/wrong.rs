//! What comes in that nobody wishes for: floods, clocks that are set back, other hands in the middle of an action.

use std::time::Duration;

use super::*;
use crate::supervise::facts::Slot;

fn event(play: &mut Play, id: &str, name: &str, slot: Option<Slot>, what: What) {
    play.event(Event::Happened(Happened {
        id: id.to_owned(),
        name: name.to_owned(),
        slot,
        what,
        nano: 0,
    }));
}

#[test]
fn ten_thousand_containers_that_come_and_go_leave_nothing_behind() {
    let mut play = Play::with(vec![facts("web", Policy::No)]);
    for n in 0..10_000 {
        let (id, name) = (format!("id{n}"), format!("job{n}"));
        event(&mut play, &id, &name, None, What::Create);
        event(&mut play, &id, &name, None, What::Start);
        event(&mut play, &id, &name, None, What::Die { code: 0 });
        event(&mut play, &id, &name, None, What::Destroy);
        play.now = play.now.plus(Duration::from_millis(1));
    }
    play.effects.clear();
    assert_eq!(play.world.units.len(), 1);
    let size = serde_json::to_string(&play.world).unwrap().len();
    assert!(size < 100_000, "{size} bytes of state");
    // In the middle of it what died is brought back in its time.
    play.on("web", What::Die { code: 1 });
    for _ in 0..1_000 {
        event(&mut play, "x", "x", None, What::Create);
        event(&mut play, "x", "x", None, What::Destroy);
    }
    play.patience();
    assert_eq!(play.done(), ["start web"]);
}

/// Everything that can wait waits; then the agent begins again on a clock that shows an hour less.
#[test]
fn a_clock_set_back_an_hour_while_no_agent_ran_keeps_nobody_waiting() {
    let mut ill = facts("ill", Policy::No);
    ill.has_check = true;
    let all = vec![
        ill,
        facts("dead", Policy::No),
        facts("looped", Policy::No),
        facts("touched", Policy::No),
    ];
    let mut play = Play::with(all.clone());
    play.on("ill", What::Pause).on("ill", What::Unpause);
    play.on("looped", What::Die { code: 1 }).patience();
    play.on("looped", What::Start).did("looped", Did::Started);
    play.on("looped", What::Die { code: 1 }).patience();
    event(&mut play, "touched", "renamed", None, What::Rename);
    play.on("dead", What::Die { code: 1 });
    let text = serde_json::to_string(&play.world).unwrap();
    let world: World = serde_json::from_str(&text).unwrap();
    play.now = Moment(play.now.0 - 3_600_000);
    play.world = world.resumed(play.now);
    play.effects.clear();
    let phase = |id: &str| match id {
        "dead" | "looped" => Phase::Exited,
        _ => Phase::Running,
    };
    let containers = all.iter().map(|facts| Seen {
        id: facts.id.clone(),
        name: facts.name.clone(),
        phase: phase(&facts.id),
        healthy: None,
    });
    let containers = containers.collect();
    play.event(Event::Listed {
        engine: "e".to_owned(),
        containers,
    });
    play.wait(1);
    assert_eq!(play.done(), ["start dead"]);
    play.wait(31).on("ill", What::Health { healthy: false });
    play.on("touched", What::Die { code: 1 }).patience();
    assert_eq!(play.done(), ["stop ill", "start touched"]);
    // How long it had to wait nobody can tell any more: the longest wait is the bound.
    play.wait(300);
    assert_eq!(play.done(), ["start looped"]);
}

#[test]
fn compose_makes_it_again_in_the_middle_of_our_restart() {
    let slot = Slot {
        project: "shop".to_owned(),
        service: "web".to_owned(),
        number: "1".to_owned(),
    };
    let mut old = facts("old", Policy::No);
    (old.has_check, old.slot) = (true, Some(slot.clone()));
    let begun = || {
        let mut play = Play::with(vec![old.clone()]);
        play.on("old", What::Health { healthy: false });
        assert_eq!(play.done(), ["stop old"]);
        event(
            &mut play,
            "new",
            "0123_old",
            Some(slot.clone()),
            What::Create,
        );
        play.on("old", What::Kill { signal: 15 })
            .on("old", What::Die { code: 143 })
            .did("old", Did::Stopped);
        play
    };
    // It goes on: the old one is gone, and the new one is looked after.
    let mut play = begun();
    assert_eq!(play.done(), Vec::<String>::new(), "somebody else is at it");
    play.on("old", What::Destroy);
    event(&mut play, "new", "old", Some(slot.clone()), What::Rename);
    event(&mut play, "new", "old", Some(slot.clone()), What::Start);
    play.wait(100);
    assert_eq!(play.done(), Vec::<String>::new());
    assert_eq!(play.state("old"), "forgotten");
    // It gives up, and leaves the old one stopped in the middle of our restart.
    let mut play = begun();
    play.on("new", What::Destroy).wait(31);
    assert_eq!(play.done(), ["start old"]);
}

#[test]
fn renamed_in_the_middle_of_a_start_it_is_the_same_one() {
    let mut play = Play::with(vec![facts("a", Policy::No)]);
    play.on("a", What::Die { code: 1 }).patience();
    assert_eq!(play.done(), ["start a"]);
    event(&mut play, "a", "other", None, What::Rename);
    play.on("a", What::Start).did("a", Did::Started).wait(60);
    assert_eq!(play.done(), Vec::<String>::new());
    assert_eq!(play.state("a"), "running");
    assert_eq!(play.world.units["a"].name, "other");
}

#[test]
fn another_engine_in_its_place_is_no_persons_doing() {
    let all = ["a", "b", "c"].map(|id| facts(id, Policy::Always));
    let listed = |engine: &str, ids: &[&str]| Event::Listed {
        engine: engine.to_owned(),
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
    // Upgraded: the same data root and id, all as it was.
    let mut play = Play::with(all.to_vec());
    play.event(Event::Lost)
        .wait(20)
        .event(listed("e", &["a", "b", "c"]))
        .wait(60);
    assert_eq!(play.done(), Vec::<String>::new());
    // Replaced: another one, which has one of three; what is missing nobody removed.
    let mut play = Play::with(all.to_vec());
    play.event(Event::Lost)
        .wait(20)
        .event(listed("other", &["a", "b"]));
    assert_eq!(play.done(), ["recreate c"]);
}
