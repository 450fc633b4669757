//! Objectives that contradict each other, and those that cannot be kept, by how much.
//!
//! A point's age counts from the instant at which its capture began, and it counts only once it is complete. The point
//! before it therefore grows as old as the time between the two beginnings plus the time that the second takes. An RPO of
//! 15 minutes needs captures that take at most 7.5 minutes: two of them, one after the other, have to fit.

use jiff::{Timestamp, tz::TimeZone};

use super::{Consistency, Period, Policy};
use crate::app::Note;

/// Below this nothing is promised: a capture reads the engine, freezes and commits.
pub const SHORTEST_RPO: Period = Period::seconds(5);

/// Adds what contradicts to the policy's notes.
pub(super) fn contradictions(policy: &mut Policy, zone: &TimeZone, now: Timestamp) {
    let rpo = &policy.rpo;
    let mut say = Vec::new();
    if rpo.value < SHORTEST_RPO {
        say.push(format!(
            "an RPO of {} ({}) is shorter than {SHORTEST_RPO}, the shortest that a capture can keep; it is tried",
            rpo.value, rpo.origin
        ));
    }
    if let Some(window) = &policy.window {
        let closed = Period::millis(u64::from(window.value.longest_closed()) * 60_000);
        if closed >= rpo.value {
            say.push(format!(
                "an RPO of {} ({}) cannot be kept within the window {} ({}): no capture may begin for {closed} on end, {} too long",
                rpo.value,
                rpo.origin,
                window.value,
                window.origin,
                over(closed, rpo.value),
            ));
        }
    }
    if let Some(schedule) = &policy.schedule {
        let gap = schedule.value.longest_gap(now, zone).map(Period::millis);
        if let Some(gap) = gap.filter(|gap| *gap >= rpo.value) {
            say.push(format!(
                "the schedule {} ({}) leaves {gap} between two captures, {} more than the RPO of {} ({}) allows: captures begin between its times as well",
                schedule.value,
                schedule.origin,
                over(gap, rpo.value),
                rpo.value,
                rpo.origin,
            ));
        }
        if let (Some(window), Some(next)) = (&policy.window, schedule.value.next(now, zone))
            && !window.value.open(next, zone)
        {
            say.push(format!(
                "the schedule {} ({}) comes when the window {} ({}) is closed: such a capture waits until it opens",
                schedule.value, schedule.origin, window.value, window.origin
            ));
        }
    }
    if let Some(said) = &policy.consistency
        && said.value == Consistency::Application
    {
        say.push(format!(
            "consistency application ({}) cannot be reached yet, since no database is asked to take part: each point is kept, but counts as incomplete and never for the RPO",
            said.origin
        ));
    }
    if let Some(rto) = &policy.rto
        && rto.value < Period::seconds(1)
    {
        say.push(format!(
            "an RTO of {} ({}) is shorter than a container takes to start",
            rto.value, rto.origin
        ));
    }
    policy.notes.extend(say.into_iter().map(Note::warning));
}

fn over(one: Period, other: Period) -> Period {
    Period::millis(one.as_millis().saturating_sub(other.as_millis()))
}

/// A sentence where captures take so long that the RPO cannot be kept.
#[must_use]
pub fn too_short(rpo: Period, takes: Period) -> Option<String> {
    let needs = takes.as_millis().saturating_mul(2);
    (needs > rpo.as_millis()).then(|| {
        format!(
            "an RPO of {rpo} is {} shorter than can be kept: a capture takes {takes}, a point counts from its beginning, and two of them make {}",
            over(Period::millis(needs), rpo),
            Period::millis(needs)
        )
    })
}

/// The latest moment after a capture's beginning at which the next must begin, so that it is complete before the RPO is
/// missed. Zero where it cannot be.
#[must_use]
pub fn latest_start(rpo: Period, takes: Period) -> u64 {
    rpo.as_millis().saturating_sub(takes.as_millis())
}
