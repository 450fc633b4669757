//! RPOs are kept, and what cannot be kept is told.

use super::*;

#[test]
fn a_new_app_is_captured_within_seconds_and_then_as_its_rpo_asks() {
    let mut s = scheduler(2);
    s.step(at(0), planned("a", plan(15 * M)));
    let (begun, told) = run(&mut s, at(3 * H), |_| Some(60 * S));
    assert!(begun[0].1 <= at(5 * S), "{begun:?}");
    for pair in begun.windows(2) {
        // From beginning to end of the next: within the RPO, and not needlessly often.
        let apart = pair[1].1.since(pair[0].1);
        assert!(apart + 60_000 <= 15 * 60_000, "{apart}");
        assert!(apart >= 10 * 60_000, "{apart}");
    }
    assert!(begun.len() > 12);
    assert_eq!(told, []);
}

#[test]
fn a_longer_capture_makes_the_next_one_start_earlier() {
    let apart = |takes: i64| {
        let mut s = scheduler(1);
        s.step(at(0), planned("a", plan(H)));
        let (begun, told) = run(&mut s, at(5 * H), |_| Some(takes));
        assert_eq!(told, [], "{takes}");
        begun[3].1.since(begun[2].1)
    };
    assert!(apart(20 * M) < apart(M) - 10 * 60_000);
}

#[test]
fn an_rpo_that_captures_cannot_keep_is_told_once() {
    let mut s = scheduler(1);
    s.step(at(0), planned("a", plan(10 * M)));
    let (_, told) = run(&mut s, at(2 * H), |_| Some(6 * M));
    let impossible: Vec<_> = told
        .iter()
        .filter(|t| t.2 == AlertKind::Impossible)
        .collect();
    assert_eq!(impossible.len(), 1);
}

#[test]
fn a_vault_that_is_away_is_told_before_the_miss_then_missed_then_kept() {
    let mut s = scheduler(1);
    s.step(at(0), planned("a", plan(60 * S)));
    let (begun, _) = run(&mut s, at(30 * S), |_| Some(S));
    let began = begun.last().unwrap().1;
    let (mut now, mut told, mut jobs) = (at(30 * S), Vec::new(), Vec::new());
    // From now on every capture fails, two seconds after it began.
    while now < at(200 * S) {
        now = now.plus(100);
        let mut effects = s.step(now, Event::Tick);
        jobs.extend(
            started(&effects)
                .into_iter()
                .map(|(job, _)| (now.plus(2000), job)),
        );
        let over: Vec<_> = jobs.iter().copied().filter(|j| j.0 <= now).collect();
        jobs.retain(|j| j.0 > now);
        for (_, job) in over {
            effects.extend(s.step(
                now,
                Event::Ended {
                    job,
                    ended: Ended::Failed,
                },
            ));
        }
        told.extend(alerts(&effects).into_iter().map(|(_, kind)| (now, kind)));
    }
    assert_eq!(
        told.iter().map(|t| t.1).collect::<Vec<_>>(),
        [AlertKind::Soon, AlertKind::Missed]
    );
    assert!(told[0].0 < began.plus(58_000), "told before the miss");
    assert!(told[1].0 >= began.plus(60_000));
    let job = started(&run_to_start(&mut s, &mut now))[0].0;
    let effects = s.step(
        now.plus(1000),
        Event::Ended {
            job,
            ended: Ended::Done { began: Some(now) },
        },
    );
    assert_eq!(alerts(&effects), [("a".to_owned(), AlertKind::Kept)]);
}

fn run_to_start(s: &mut Scheduler, now: &mut Time) -> Vec<Effect> {
    for _ in 0..1000 {
        *now = s.next_wake().unwrap_or(*now).max(now.plus(1));
        let effects = s.step(*now, Event::Tick);
        if !started(&effects).is_empty() {
            return effects;
        }
    }
    panic!("nothing starts");
}

#[test]
fn a_capture_that_hangs_is_told_before_the_miss() {
    let mut s = scheduler(1);
    s.step(at(0), planned("a", plan(60 * S)));
    s.step(
        at(0),
        Event::Point {
            app: key("a"),
            began: at(0),
            took: Some(1000),
        },
    );
    let (_, told) = run(&mut s, at(200 * S), |_| None);
    let kinds: Vec<_> = told.iter().map(|t| t.2).collect();
    assert_eq!(kinds, [AlertKind::Soon, AlertKind::Missed]);
    assert!(told[0].0 < at(60 * S));
}

#[test]
fn a_capture_stands_back_while_its_rpo_is_in_no_danger() {
    let mut s = scheduler(1);
    s.step(at(0), planned("shop", plan(15 * M)));
    s.step(at(6 * S), Event::Tick);
    // Nobody knows yet what it takes: ten seconds are assumed, and a quarter and half a second more.
    let takes = 13_000;
    assert_eq!(
        s.may_stand_back("shop"),
        Some((15 * M - 6 * S) as u64 - 2 * takes)
    );
    s.step(at(14 * M + 30 * S), Event::Tick);
    assert_eq!(s.may_stand_back("shop"), None);
    s.step(at(15 * M + 30 * S), Event::Tick);
    assert_eq!(s.may_stand_back("shop"), None);
    s.step(at(15 * M + 30 * S), planned("daily", plan(24 * H)));
    assert_eq!(s.may_stand_back("daily"), Some(30 * M as u64));
    assert_eq!(s.may_stand_back("nobody"), None);
}
