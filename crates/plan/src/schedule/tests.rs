use jiff::tz::TimeZone;

use super::*;

const S: i64 = 1000;
const M: i64 = 60 * S;
const H: i64 = 60 * M;

fn scheduler(captures: usize) -> Scheduler {
    let limits = Limits {
        captures,
        upkeep: 1,
    };
    // 2026-11-29 is a Sunday; midnight.
    Scheduler::new(at(0), TimeZone::UTC, limits, 1)
}

fn at(millis: i64) -> Time {
    Time(1_795_910_400_000 + millis)
}

fn plan(rpo: i64) -> Plan {
    Plan {
        rpo: u64::try_from(rpo).unwrap(),
        window: None,
        schedule: None,
        priority: 0,
    }
}

fn key(name: &str) -> Key {
    name.into()
}

fn planned(name: &str, plan: Plan) -> Event {
    Event::Planned {
        app: key(name),
        plan,
    }
}

fn started(effects: &[Effect]) -> Vec<(u64, String)> {
    let names = effects.iter().filter_map(|e| match e {
        Effect::Start {
            job,
            work: Work::Capture { app },
        } => Some((*job, app.to_string())),
        Effect::Start {
            job,
            work: Work::Upkeep(task),
        } => Some((*job, format!("{task:?}"))),
        Effect::Alert(_) | Effect::Start { .. } => None,
    });
    names.collect()
}

fn alerts(effects: &[Effect]) -> Vec<(String, AlertKind)> {
    let alerts = effects.iter().filter_map(|e| match e {
        Effect::Alert(alert) => Some((alert.app.to_string(), alert.kind)),
        Effect::Start { .. } => None,
    });
    alerts.collect()
}

/// Captures by when they began.
type Begun = Vec<(String, Time)>;
/// Alerts by when they were given.
type Told = Vec<(Time, String, AlertKind)>;

/// Lets time pass; each capture takes so long. Gives when each began, and alerts.
fn run(s: &mut Scheduler, until: Time, takes: impl Fn(&str) -> Option<i64>) -> (Begun, Told) {
    let (mut begun, mut told) = (Vec::new(), Vec::new());
    let mut ends: Vec<(Time, u64, Time)> = Vec::new();
    loop {
        ends.sort();
        let next = [s.next_wake(), ends.first().map(|e| e.0)]
            .into_iter()
            .flatten()
            .min();
        let Some(now) = next.filter(|next| *next <= until) else {
            return (begun, told);
        };
        let effects = match ends.first().copied().filter(|end| end.0 <= now) {
            Some((_, job, began)) => {
                ends.remove(0);
                s.step(
                    now,
                    Event::Ended {
                        job,
                        ended: Ended::Done { began: Some(began) },
                    },
                )
            }
            None => s.step(now, Event::Tick),
        };
        for (job, name) in started(&effects) {
            if let Some(takes) = takes(&name) {
                ends.push((now.plus(u64::try_from(takes).unwrap()), job, now));
            }
            begun.push((name, now));
        }
        told.extend(
            alerts(&effects)
                .into_iter()
                .map(|(name, kind)| (now, name, kind)),
        );
    }
}

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

#[test]
fn upkeep_comes_on_its_period_one_at_a_time_and_is_tried_again() {
    let mut s = scheduler(1);
    for task in [Task::Forget, Task::Check] {
        s.step(
            at(0),
            Event::Every {
                task,
                every: Some(24 * 3_600_000),
                last: Some(at(0)),
            },
        );
    }
    let jobs = started(&s.step(at(24 * H), Event::Tick));
    assert_eq!(jobs.len(), 1, "one at a time");
    let effects = s.step(
        at(24 * H + M),
        Event::Ended {
            job: jobs[0].0,
            ended: Ended::Failed,
        },
    );
    let second = started(&effects);
    assert_ne!(second[0].1, jobs[0].1);
    s.step(
        at(24 * H + M),
        Event::Ended {
            job: second[0].0,
            ended: Ended::Done { began: None },
        },
    );
    let again = started(&s.step(at(24 * H + 2 * M), Event::Tick));
    assert_eq!(again[0].1, jobs[0].1, "what failed is tried again");
}

#[test]
fn copies_keep_an_rpo_of_their_own() {
    let mut s = scheduler(2);
    s.step(at(0), planned("a", plan(15 * M)));
    s.step(
        at(0),
        Event::Every {
            task: Task::Copy("far".into()),
            every: Some(3_600_000),
            last: None,
        },
    );
    let (begun, told) = run(&mut s, at(12 * H), |name| {
        Some(if name == "a" { 30 * S } else { 5 * M })
    });
    let copies: Vec<Time> = begun.iter().filter(|b| b.0 != "a").map(|b| b.1).collect();
    assert_eq!(told, []);
    assert!((12..40).contains(&copies.len()), "{}", copies.len());
    // The far vault is away from now on: told before it is missed there.
    let (_, told) = run(&mut s, at(15 * H), |name| (name == "a").then_some(30 * S));
    let kinds: Vec<_> = told.iter().map(|t| t.2).collect();
    assert_eq!(kinds, [AlertKind::Soon, AlertKind::Missed]);
    let newest = copies.last().unwrap();
    assert!(told[0].0 < newest.plus(3_600_000));
}

#[test]
fn records_move_forward_and_are_never_under_way_for_ever() {
    use super::job::Owner;
    let owner = Owner {
        pid: 7,
        started: 99,
    };
    let mut job = Job::new(1, Work::Capture { app: key("a") }, owner, at(0));
    assert!(job.step(at(1), JobEvent::Phase("freeze".into())));
    assert!(!job.close_if_orphaned(at(2), |o| o == owner));
    // The same process id, another process.
    assert!(job.close_if_orphaned(at(3), |o| o
        == Owner {
            pid: 7,
            started: 100
        }));
    assert_eq!(job.outcome(), Some(&Outcome::Interrupted));
    assert!(
        !job.step(at(4), JobEvent::Ended(Outcome::Done)),
        "what ended stays as it ended"
    );
    assert_eq!(job.ended, Some(at(3)));
    let text = serde_json::to_string(&job).unwrap();
    assert_eq!(serde_json::from_str::<Job>(&text).unwrap(), job);
}

#[test]
fn what_is_asked_for_begins_with_its_number_or_is_taken_back() {
    let mut s = scheduler(1);
    let copy = Work::Upkeep(Task::Copy("far".to_owned()));
    for task in [Task::Prune, Task::Check, Task::Copy("far".to_owned())] {
        let every = Event::Every {
            task,
            every: Some(86_400_000),
            last: Some(at(0)),
        };
        assert!(started(&s.step(at(0), every)).is_empty());
    }
    let asked = |work: &Work, job| Event::Asked {
        work: work.clone(),
        job,
    };
    assert!(s.knows(&copy) && !s.knows(&Work::Upkeep(Task::Forget)));
    let prune = Work::Upkeep(Task::Prune);
    let begun = s.step(at(M), asked(&prune, s_number(1)));
    assert_eq!(started(&begun).len(), 1);
    // One thing at a time: this one waits, until it is taken back.
    let check = Work::Upkeep(Task::Check);
    assert!(started(&s.step(at(M), asked(&check, s_number(2)))).is_empty());
    assert_eq!(s.asked(&check), Some(s_number(2)));
    s.step(at(M), Event::Unasked { job: s_number(2) });
    assert_eq!(s.asked(&check), None);
    let ended = Event::Ended {
        job: s_number(1),
        ended: Ended::Failed,
    };
    assert!(started(&s.step(at(2 * M), ended)).is_empty());
    // A copy is made though there is nothing new.
    let begun = s.step(at(2 * M), asked(&copy, s_number(3)));
    let job = s_number(3);
    assert_eq!(begun, [Effect::Start { job, work: copy }]);
}

/// Numbers that the schedule itself does not come to.
fn s_number(n: u64) -> u64 {
    900 + n
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
