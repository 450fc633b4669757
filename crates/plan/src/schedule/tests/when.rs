//! Cron, windows, clocks, priorities, the last free place.

use super::*;

#[test]
fn cron_runs_once_after_a_sleep_and_failures_are_tried_again() {
    let mut s = scheduler(1);
    let mut daily = plan(26 * H);
    daily.schedule = Some("0 3 * * *".parse().unwrap());
    s.step(at(0), planned("a", daily));
    s.step(
        at(0),
        Event::Point {
            app: key("a"),
            began: at(0),
            took: Some(60_000),
        },
    );
    assert_eq!(s.next_capture("a"), Some(at(3 * H)));
    // It sleeps over three nights, and does it once.
    let effects = s.step(at(80 * H), Event::Tick);
    let jobs = started(&effects);
    assert_eq!(jobs.len(), 1);
    s.step(
        at(80 * H + M),
        Event::Ended {
            job: jobs[0].0,
            ended: Ended::Failed,
        },
    );
    assert_eq!(s.next_capture("a"), Some(at(80 * H + 2 * M)));
    let jobs = started(&s.step(at(80 * H + 2 * M), Event::Tick));
    s.step(
        at(80 * H + 3 * M),
        Event::Ended {
            job: jobs[0].0,
            ended: Ended::Done {
                began: Some(at(80 * H + 2 * M)),
            },
        },
    );
    assert_eq!(s.next_capture("a"), Some(at(99 * H)));
}

#[test]
fn a_window_holds_back_and_is_used_before_it_closes() {
    let mut s = scheduler(1);
    let mut night = plan(20 * H);
    night.window = Some("22:00-06:00".parse().unwrap());
    s.step(at(0), planned("a", night));
    s.step(
        at(0),
        Event::Point {
            app: key("a"),
            began: at(0),
            took: Some(60_000),
        },
    );
    // Wanted at 16:00 or so, must start before 20:00; open until 06:00 only.
    let next = s.next_capture("a").unwrap();
    assert!(next > at(5 * H) && next < at(6 * H), "{}", next.timestamp());
    let mut day = plan(26 * H);
    day.window = Some("22:00-06:00".parse().unwrap());
    s.step(at(0), planned("b", day));
    s.step(
        at(0),
        Event::Point {
            app: key("b"),
            began: at(0),
            took: Some(60_000),
        },
    );
    assert!(s.next_capture("b").unwrap() >= at(22 * H));
    // Asked for by a person it begins at once.
    let effects = s.step(
        at(10 * H),
        Event::Asked {
            work: Work::Capture { app: key("b") },
            job: 700,
        },
    );
    assert!(started(&effects).contains(&(700, "b".to_owned())));
}

#[test]
fn a_clock_that_is_set_back_makes_nothing_wait() {
    let mut s = scheduler(1);
    s.step(at(10 * H), planned("a", plan(15 * M)));
    s.step(
        at(10 * H),
        Event::Point {
            app: key("a"),
            began: at(10 * H),
            took: Some(1000),
        },
    );
    s.step(at(H), Event::Tick);
    assert!(s.next_capture("a").unwrap() < at(H + 15 * M));
}

#[test]
fn priority_decides_where_not_all_can_be_kept() {
    let mut s = scheduler(1);
    for (name, priority) in [("a", 0), ("b", 0), ("c", 50), ("d", 0), ("e", 0), ("f", 0)] {
        let plan = Plan {
            priority,
            ..plan(10 * M)
        };
        s.step(at(0), planned(name, plan));
        s.step(
            at(0),
            Event::Point {
                app: key(name),
                began: at(0),
                took: Some(3 * 60_000),
            },
        );
    }
    let (_, told) = run(&mut s, at(4 * H), |_| Some(3 * M));
    let missed = |name: &str| {
        told.iter()
            .filter(|t| t.1 == name && t.2 == AlertKind::Missed)
            .count()
    };
    assert!(missed("c") <= 1, "{}", missed("c"));
    assert!(missed("a") + missed("b") + missed("d") > 3);
}

#[test]
fn the_last_place_is_kept_from_captures_that_take_too_long() {
    let mut s = scheduler(2);
    s.step(at(0), planned("quick", plan(60 * S)));
    s.step(
        at(0),
        Event::Point {
            app: key("quick"),
            began: at(0),
            took: Some(2000),
        },
    );
    for name in ["x", "y", "z"] {
        s.step(at(0), planned(name, plan(6 * H)));
        s.step(
            at(0),
            Event::Point {
                app: key(name),
                began: at(0),
                took: Some(30 * 60_000),
            },
        );
    }
    let (begun, told) = run(&mut s, at(30 * H), |name| {
        Some(if name == "quick" { 2 * S } else { 30 * M })
    });
    assert_eq!(told, []);
    assert!(begun.iter().filter(|b| b.0 == "x").count() >= 4);
}
