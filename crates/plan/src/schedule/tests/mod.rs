mod keeping;
mod upkeep;
mod when;

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
