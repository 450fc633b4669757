//! Upkeep, copies, records, what somebody asks for.

use super::*;

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
