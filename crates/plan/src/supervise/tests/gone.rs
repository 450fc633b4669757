//! What is gone, and what has to be fetched before it can be made again.

use super::*;
use crate::supervise::event::Lack;
use crate::supervise::facts::NeedCondition;

fn lost(engine: &str) -> Event {
    Event::Listed {
        engine: engine.to_owned(),
        containers: Vec::new(),
    }
}

fn volume(name: &str) -> Lack {
    Lack {
        volumes: vec![name.to_owned()],
        ..Lack::default()
    }
}

/// A database, and what needs it; the engine lost both.
fn emptied() -> Play {
    let mut web = facts("web", Policy::Always);
    web.needs = vec![need("db", NeedCondition::Started)];
    let mut play = Play::with(vec![facts("db", Policy::Always), web]);
    play.event(Event::Lost);
    play.event(lost("another"));
    play
}

fn fetches(play: &Play) -> Vec<Lack> {
    let fetch = |effect: &Effect| match effect {
        Effect::Fetch { lack, .. } => Some(lack.clone()),
        _ => None,
    };
    play.effects.iter().filter_map(fetch).collect()
}

#[test]
fn what_is_needed_is_fetched_first_and_those_after_it_wait() {
    let mut play = emptied();
    let beside = play.effects.iter().find_map(|effect| match effect {
        Effect::Recreate { also, .. } => Some(also.clone()),
        _ => None,
    });
    assert_eq!(beside, Some(vec!["web".to_owned()]));
    assert_eq!(play.done(), ["recreate db"]);
    play.did("db", Did::Lacks(volume("shop_db")));
    assert_eq!(fetches(&play), [volume("shop_db")]);
    assert_eq!(play.state("db"), "being fetched");
    // However long it takes.
    play.wait(3600);
    assert!(play.done().is_empty());
    play.did("db", Did::Fetched);
    assert_eq!(play.done(), ["recreate db"]);
    let id = "new-db".to_owned();
    play.did("db", Did::Recreated { id });
    assert_eq!(play.done(), ["recreate web"]);
}

#[test]
fn what_cannot_be_fetched_is_tried_again_with_patience_and_not_for_ever_at_once() {
    let mut play = emptied();
    play.did("db", Did::Lacks(volume("x")));
    let failed = Failed {
        kind: Trouble::Other,
        text: "the vault is away".to_owned(),
    };
    play.done();
    play.did("db", Did::Failed(failed));
    assert!(play.done().is_empty());
    play.wait(12);
    assert_eq!(play.done(), ["recreate db"]);
    // The same is missing again: it was not fetched, so it is fetched.
    play.did("db", Did::Lacks(volume("x")));
    assert_eq!(fetches(&play).len(), 1);
    play.did("db", Did::Fetched);
    assert_eq!(play.done(), ["recreate db"]);
    // It was fetched and is missing: no circle.
    play.did("db", Did::Lacks(volume("x")));
    assert!(play.done().is_empty());
    assert_eq!(play.state("db"), "gone");
}

#[test]
fn nothing_is_found_out_about_what_is_not_there() {
    let mut play = emptied();
    for _ in 0..5 {
        let failed = Failed {
            kind: Trouble::Other,
            text: "volume x is gone".to_owned(),
        };
        play.did("db", Did::Failed(failed)).wait(310);
        let blind =
            |effect: &Effect| matches!(effect, Effect::Diagnose { id, error: None } if id == "db");
        assert!(!play.effects.iter().any(blind));
        play.effects.clear();
    }
    let note = play.world.picture(play.now).rows[0].note.clone();
    assert!(note.contains("volume x is gone"), "{note}");
}

#[test]
fn an_agent_that_ended_while_it_fetched_begins_again() {
    let mut play = emptied();
    play.did("db", Did::Lacks(volume("x")));
    let text = serde_json::to_string(&play.world).unwrap();
    let world: World = serde_json::from_str(&text).unwrap();
    play.world = world.resumed(play.now);
    play.done();
    play.event(lost("another"));
    assert_eq!(play.done(), ["recreate db"]);
}

#[test]
fn somebody_who_makes_it_meanwhile_is_left_to_it() {
    let mut play = emptied();
    play.did("db", Did::Lacks(volume("x")));
    play.event(Event::Happened(Happened {
        id: "other".to_owned(),
        name: "db".to_owned(),
        slot: None,
        what: What::Create,
        nano: 0,
    }));
    play.done();
    play.did("db", Did::Fetched);
    assert_eq!(play.state("db"), "forgotten");
    assert!(!play.done().contains(&"recreate db".to_owned()));
}

#[test]
fn one_alone_is_lost_where_its_data_root_is_another() {
    for (before, now, expected) in [
        ("e#1", "e#2", "gone"),
        ("e#1", "e#1", "forgotten"),
        // An agent of before did not know.
        ("e", "e#1", "forgotten"),
        ("e#1", "e", "forgotten"),
        ("e#1", "f#1", "gone"),
    ] {
        let mut play = Play::with(vec![facts("a", Policy::Always)]);
        play.world.engine = before.to_owned();
        play.event(Event::Lost);
        play.event(lost(now));
        let state = play.state("a");
        let state = state.replace("being started", "gone");
        assert_eq!(state, expected, "{before} {now}");
    }
}
