//! Ends that the engine has not told of yet.

use super::*;

/// What has ended, with the process that it had.
fn ended(play: &Play, id: &str) -> Did {
    let process = play.world.units[id].process.unwrap();
    Did::EndedFirst([(id.to_owned(), process)].into())
}

/// Of the last start: what has to live.
fn after(play: &mut Play) -> Vec<String> {
    let starts = std::mem::take(&mut play.effects).into_iter();
    let mut after = starts.filter_map(|effect| match effect {
        Effect::Start { after, .. } => Some(after.into_keys().collect()),
        _ => None,
    });
    after.next_back().expect("nothing is started")
}

/// `web` has died, and `db`, which it needs, has too; of `db` nothing is told.
fn both_died(condition: NeedCondition) -> Play {
    let mut web = facts("web", Policy::No);
    web.needs = vec![need("db", condition)];
    let mut play = Play::with(vec![facts("db", Policy::No), web]);
    play.on("web", What::Die { code: 137 }).patience();
    assert_eq!(after(&mut play), ["db"]);
    let did = ended(&play, "db");
    play.did("web", did);
    assert!(play.done().is_empty(), "started before what it needs");
    play
}

#[test]
fn what_needs_it_is_started_after_the_end_was_told_and_it_runs_again() {
    for condition in [NeedCondition::Started, NeedCondition::Ready] {
        let mut play = both_died(condition);
        play.wait(50);
        assert!(play.done().is_empty());
        play.on("db", What::Die { code: 137 }).patience();
        assert_eq!(play.done(), ["start db"]);
        play.on("db", What::Start).did("db", Did::Started);
        // Nothing is known of the new process yet.
        assert_eq!(after(&mut play), Vec::<String>::new());
        play.on("web", What::Start).did("web", Did::Started);
        // One death, and no failure to start.
        assert_eq!(play.world.units["web"].backoff.failures, 1);
        assert_eq!(play.world.units["web"].restarts, 1);
    }
}

#[test]
fn whose_wish_the_end_was_is_learned_from_the_engine_alone() {
    let mut play = both_died(NeedCondition::Started);
    play.wait(5);
    play.on("db", What::Kill { signal: 9 })
        .on("db", What::Die { code: 137 });
    // What a person stopped keeps nobody waiting.
    assert_eq!(play.done(), ["start web"]);
    play.wait(3600);
    assert_eq!(play.state("db"), "stopped");
}

#[test]
fn an_engine_that_never_tells_holds_a_start_for_a_minute() {
    let mut play = both_died(NeedCondition::Ready);
    play.wait(59);
    assert!(play.done().is_empty());
    play.wait(2);
    assert_eq!(after(&mut play), Vec::<String>::new());
}

#[test]
fn one_that_was_started_again_meanwhile_holds_nothing() {
    // Its new run was told before the answer came.
    let mut web = facts("web", Policy::No);
    web.needs = vec![need("db", NeedCondition::Started)];
    let mut play = Play::with(vec![facts("db", Policy::No), web.clone()]);
    play.on("web", What::Die { code: 1 }).patience();
    play.effects.clear();
    let did = ended(&play, "db");
    play.on("db", What::Start).did("web", did);
    assert_eq!(play.done(), ["start web"]);
    // It was not told, but the engine is asked, and knows.
    let mut play = both_died(NeedCondition::Started);
    let db = facts("db", Policy::No);
    let mut state = State {
        phase: Phase::Running,
        started: play.world.units["db"].started,
        process: None,
        ..State::default()
    };
    let mut inspected = |play: &mut Play, process| {
        state.process = process;
        let (facts, state) = (Box::new(db.clone()), state.clone());
        play.event(Event::Inspected { facts, state }).done()
    };
    assert!(inspected(&mut play, None).is_empty());
    let now = play.now;
    assert_eq!(inspected(&mut play, Some(process(7, now))), ["start web"]);
}

#[test]
fn whom_nobody_would_wait_for_is_not_looked_at() {
    let mut a = facts("a", Policy::No);
    let mut b = facts("b", Policy::No);
    let mut jobs = facts("jobs", Policy::No);
    let mut nobodys = facts("nobodys", Policy::No);
    nobodys.rules.supervised = false;
    // A cycle, a container that is not supervised, and one whose end is awaited.
    a.needs = ["b", "nobodys"]
        .map(|on| need(on, NeedCondition::Started))
        .into();
    a.needs.push(need("jobs", NeedCondition::Completed));
    b.needs = vec![need("a", NeedCondition::Started)];
    jobs.needs = vec![need("b", NeedCondition::Started)];
    let mut play = Play::with(vec![a, b, jobs, nobodys]);
    play.wait(200);
    play.on("a", What::Die { code: 1 }).patience();
    assert_eq!(after(&mut play), Vec::<String>::new());
    play.on("jobs", What::Die { code: 1 }).patience();
    assert_eq!(play.state("jobs"), "ended");
}

#[test]
fn what_is_made_again_is_not_made_before_what_it_needs_either() {
    let mut web = facts("web", Policy::No);
    web.rules.keep = true;
    web.needs = vec![need("db", NeedCondition::Started)];
    let mut play = Play::with(vec![facts("db", Policy::No), web]);
    play.on("web", What::Destroy).wait(31);
    assert_eq!(play.done(), ["recreate web"]);
    let did = ended(&play, "db");
    play.did("web", did).wait(5);
    assert!(play.done().is_empty());
    play.on("db", What::Die { code: 1 }).patience();
    assert_eq!(play.done(), ["start db"]);
    play.on("db", What::Start).did("db", Did::Started);
    assert_eq!(play.done(), ["recreate web"]);
}
