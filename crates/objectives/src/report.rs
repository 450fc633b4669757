//! A period's evidence: what was protected, how old the newest point ever was, what failed.
//!
//! It is made of the records of jobs alone. What they do not reach back to is not claimed: an app's figures begin with its first
//! usable point in the period. The RPO is the one that holds now.

use std::collections::BTreeMap;

use lifeboat_plan::schedule::{Job, Outcome, Task, Time, Work};
use serde::Serialize;

use crate::{commands, policies::AppPolicy};

/// One app in the period.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct AppReport {
    /// `site/host/app`.
    pub app: String,
    /// RPO in milliseconds; none: it is not protected, or not here any more.
    pub rpo: Option<u64>,
    /// Who says so.
    pub by: String,
    /// Usable points that were made.
    pub points: u64,
    /// Captures that failed, were incomplete or interrupted.
    pub failed: u64,
    /// Since when its age is known, milliseconds since 1970.
    pub known_since: Option<i64>,
    /// How old its newest usable point was at most, in milliseconds.
    pub oldest: Option<u64>,
    /// How long it was older than the RPO, in milliseconds.
    pub missed: u64,
    /// The longest time for which it could not write because of a capture, in milliseconds.
    pub longest_stall: Option<u64>,
    /// Bytes that the vault grew by.
    pub added: u64,
}

/// Other work in the period.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct WorkReport {
    /// `check`, `prune`, `copy offsite`, …
    pub what: String,
    /// Done.
    pub done: u64,
    /// Failed, incomplete or interrupted.
    pub failed: u64,
    /// When it was done last, milliseconds since 1970.
    pub last_done: Option<i64>,
    /// Why it failed last.
    pub last_failure: Option<String>,
}

/// The period.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Report {
    /// Its beginning, milliseconds since 1970.
    pub from: i64,
    /// Its end.
    pub to: i64,
    /// Apps, those whose RPO was missed longest first.
    pub apps: Vec<AppReport>,
    /// Other work.
    pub work: Vec<WorkReport>,
}

impl Report {
    /// Whether no RPO was missed and every app has a point.
    #[must_use]
    pub fn is_well(&self) -> bool {
        let mut apps = self.apps.iter().filter(|app| app.rpo.is_some());
        apps.all(|app| app.missed == 0 && app.points > 0)
    }
}

/// Makes it of records, the oldest first, and of the policies that hold.
#[must_use]
pub fn report(jobs: &[Job], policies: &[AppPolicy], from: Time, to: Time) -> Report {
    let mut apps: BTreeMap<String, AppReport> = BTreeMap::new();
    for policy in policies {
        let protect = &policy.policy.protect;
        let rpo = protect.value.then(|| policy.policy.rpo.value.as_millis());
        let origin = match rpo {
            Some(_) => &policy.policy.rpo.origin,
            None => &protect.origin,
        };
        let app = AppReport {
            app: policy.app.clone(),
            rpo,
            by: origin.to_string(),
            ..AppReport::default()
        };
        apps.insert(policy.app.clone(), app);
    }
    let mut work: BTreeMap<String, WorkReport> = BTreeMap::new();
    // When each usable point of an app began and was complete.
    let mut points: BTreeMap<String, Vec<(Time, Time)>> = BTreeMap::new();
    for job in jobs {
        let (Some(ended), Some(outcome)) = (job.ended, job.outcome()) else {
            continue;
        };
        if ended < from || ended > to || *outcome == Outcome::Cancelled {
            continue;
        }
        if let Work::Upkeep(task) = &job.work {
            upkeep(&mut work, task, job, outcome, ended);
        }
        if let Some(app) = commands::captures(&job.work) {
            let entry = apps.entry(app.to_owned()).or_insert_with(|| AppReport {
                app: app.to_owned(),
                by: "it is not here any more".to_owned(),
                ..AppReport::default()
            });
            captured(entry, job, outcome);
            if let (Outcome::Done, Some(began)) = (outcome, job.began) {
                let of = points.entry(app.to_owned()).or_default();
                of.push((began, ended));
            }
        }
    }
    for (name, mut made) in points {
        if let Some(app) = apps.get_mut(&name) {
            made.sort_by_key(|(_, complete)| *complete);
            age(app, &made, to);
        }
    }
    let mut apps: Vec<AppReport> = apps.into_values().collect();
    apps.sort_by(|a, b| (b.missed, &a.app).cmp(&(a.missed, &b.app)));
    Report {
        from: from.0,
        to: to.0,
        apps,
        work: work.into_values().collect(),
    }
}

fn captured(app: &mut AppReport, job: &Job, outcome: &Outcome) {
    app.added += job.added;
    app.longest_stall = app.longest_stall.max(job.stall);
    match outcome {
        Outcome::Done => app.points += 1,
        _ => app.failed += 1,
    }
}

fn upkeep(
    work: &mut BTreeMap<String, WorkReport>,
    task: &Task,
    job: &Job,
    outcome: &Outcome,
    ended: Time,
) {
    let what = commands::shown(&Work::Upkeep(task.clone()));
    let entry = work.entry(what.clone()).or_default();
    entry.what = what;
    match outcome {
        Outcome::Done => {
            entry.done += 1;
            entry.last_done = Some(job.began.unwrap_or(ended).0);
        }
        other => {
            entry.failed += 1;
            entry.last_failure = Some(match other {
                Outcome::Failed { why } => why.clone(),
                Outcome::Incomplete { why } => why.join("; "),
                other => other.word().to_owned(),
            });
        }
    }
}

/// A point counts from its beginning, once it is complete, until the next one is.
fn age(app: &mut AppReport, made: &[(Time, Time)], to: Time) {
    app.known_since = made.first().map(|(_, complete)| complete.0);
    let ends = made.iter().skip(1).map(|(_, complete)| *complete);
    let mut newest = Time(i64::MIN);
    for ((began, complete), end) in made.iter().zip(ends.chain([to])) {
        // One that was begun earlier and is complete later makes nothing older.
        newest = newest.max(*began);
        let oldest = end.since(newest);
        app.oldest = app.oldest.max(Some(oldest));
        if let Some(rpo) = app.rpo {
            app.missed += end.since(newest.plus(rpo).max(*complete));
        }
    }
}

#[cfg(test)]
mod tests {
    use lifeboat_plan::schedule::JobEvent;

    use super::*;

    fn capture(id: u64, began: i64, ended: i64, outcome: Outcome) -> Job {
        let work = Work::Capture {
            app: "default/h/shop".into(),
        };
        let mut job = Job::new(id, work, crate::process::own(), Time(began));
        job.step(Time(began), JobEvent::Phase("run".to_owned()));
        job.stall = Some(id);
        job.step(Time(ended), JobEvent::Ended(outcome));
        job
    }

    #[test]
    fn ages_count_from_beginnings_and_only_while_a_point_is_the_newest() {
        let failed = || Outcome::Failed {
            why: "away".to_owned(),
        };
        let jobs = [
            capture(1, 0, 10, Outcome::Done),
            capture(2, 90, 110, Outcome::Done),
            capture(3, 150, 160, failed()),
            capture(4, 300, 310, Outcome::Done),
            capture(5, 390, 395, Outcome::Cancelled),
        ];
        let mut made = report(&jobs, &[], Time(0), Time(400));
        assert!(made.is_well(), "it has no RPO any more");
        let app = &mut made.apps[0];
        assert_eq!((app.points, app.failed, app.longest_stall), (3, 1, Some(4)));
        // Complete at 110 and begun at 90, it is 220 old when the next one is complete at 310.
        assert_eq!((app.oldest, app.known_since), (Some(220), Some(10)));
        app.rpo = Some(120);
        let points = [(0, 10), (90, 110), (300, 310)].map(|(b, e)| (Time(b), Time(e)));
        age(app, &points, Time(400));
        // From 210 to 310.
        assert_eq!(app.missed, 100);
        assert!(!made.is_well());
    }
}
