//! Layers into one policy, and changes that a layer above overrules.

use jiff::{Timestamp, tz::TimeZone};

use super::{
    Cron, DEFAULT_RETAIN, DEFAULT_RPO, Labelled, Origin, Period, Policy, Priority, Retain, Said,
    Settings, Wishes, foreign, judge, labels, wishes,
};
use crate::identity::AppIdentity;

/// All that is said about one app.
pub struct Layers<'a> {
    /// Whose.
    pub app: &'a AppIdentity,
    /// Its containers (or the volume that it is), by name.
    pub labelled: &'a [Labelled<'a>],
    /// Whether this container mounts a volume or a data bind.
    pub holds_data: &'a dyn Fn(&str) -> bool,
    /// `lifeboat.toml`.
    pub file: &'a Settings,
    /// What the API set for it.
    pub api: Option<&'a Wishes>,
    /// The time zone of the host.
    pub zone: &'a TimeZone,
    /// Now, to look ahead in schedules from.
    pub now: Timestamp,
}

/// The policy that holds.
#[must_use]
pub fn resolve(layers: &Layers<'_>) -> Policy {
    let mut notes = Vec::new();
    let labels = labels::read(layers.labelled, &mut notes);
    let mut sources: Vec<(Origin, &Wishes)> = wishes::sections(layers.file, layers.app)
        .map(|(section, wishes)| (Origin::File { section }, wishes))
        .collect();
    sources.extend(layers.api.map(|wishes| (Origin::Api, wishes)));
    let protect = labels
        .protect
        .or_else(|| first(&sources, |w| w.protect))
        .or_else(|| foreign::opted_out(layers.labelled, layers.holds_data))
        .unwrap_or_else(|| Said::default(true));
    let schedule = labels
        .schedule
        .or_else(|| first(&sources, |w| w.schedule.clone()));
    let rpo = labels.rpo.or_else(|| first(&sources, |w| w.rpo));
    let (rpo, schedule) = objective(rpo, schedule, layers);
    let retain = labels
        .retain
        .or_else(|| first(&sources, |w| w.retain))
        .unwrap_or_else(|| Said::default(default_retain()));
    let priority = labels
        .priority
        .or_else(|| first(&sources, |w| w.priority))
        .or_else(|| foreign::priority(layers.labelled))
        .unwrap_or_else(|| Said::default(Priority::default()));
    let mut policy = Policy {
        protect,
        rpo,
        rto: labels.rto.or_else(|| first(&sources, |w| w.rto)),
        retain,
        consistency: labels
            .consistency
            .or_else(|| first(&sources, |w| w.consistency)),
        window: labels
            .window
            .or_else(|| first(&sources, |w| w.window.clone())),
        schedule,
        priority,
        foreign: foreign::read(layers.labelled),
        notes,
    };
    judge::contradictions(&mut policy, layers.zone, layers.now);
    policy
}

fn first<T>(
    sources: &[(Origin, &Wishes)],
    value: impl Fn(&Wishes) -> Option<T>,
) -> Option<Said<T>> {
    sources
        .iter()
        .find_map(|(origin, wishes)| Some(Said::new(value(wishes)?, origin.clone())))
}

/// Without an RPO, a schedule says how often; without either, it is once a day at an hour of the app's own.
fn objective(
    rpo: Option<Said<Period>>,
    schedule: Option<Said<Cron>>,
    layers: &Layers<'_>,
) -> (Said<Period>, Option<Said<Cron>>) {
    match (rpo, schedule) {
        (Some(rpo), schedule) => (rpo, schedule),
        (None, Some(schedule)) => {
            let gap = schedule.value.longest_gap(layers.now, layers.zone);
            // As much grace as the default has, for a schedule of a day.
            let rpo = gap.map_or(DEFAULT_RPO, |gap| {
                Period::millis(gap + (gap / 12).max(60_000))
            });
            (Said::new(rpo, Origin::Schedule), Some(schedule))
        }
        (None, None) => {
            let daily = Cron::daily(jittered_minute(&layers.app.to_string()));
            (Said::default(DEFAULT_RPO), Some(Said::default(daily)))
        }
    }
}

fn default_retain() -> Retain {
    DEFAULT_RETAIN.parse().unwrap_or(Retain {
        days: 7,
        ..Retain::default()
    })
}

/// A minute between 00:00 and 06:00, always the same for an app, spread over all apps and hosts.
fn jittered_minute(identity: &str) -> u32 {
    u32::try_from(spread(identity) % (6 * 60)).unwrap_or(0)
}

/// FNV-1a: a number that is the same for a text on every host and in every version.
pub(crate) fn spread(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// A field of a change that something above the API says.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Change {
    /// `rpo`, `retain`, …
    pub field: &'static str,
    /// Who says it.
    pub origin: Origin,
}

/// What of a change by the API would not take effect, because a label or `lifeboat.toml` says it already: such a change is
/// refused whole (409), naming these.
#[must_use]
pub fn overruled(policy: &Policy, change: &Wishes) -> Vec<Change> {
    let above = |origin: &Origin| matches!(origin, Origin::Label { .. } | Origin::File { .. });
    let fields: [(&'static str, bool, Option<&Origin>); 8] = [
        (
            "protect",
            change.protect.is_some(),
            Some(&policy.protect.origin),
        ),
        ("rpo", change.rpo.is_some(), Some(&policy.rpo.origin)),
        (
            "rto",
            change.rto.is_some(),
            policy.rto.as_ref().map(|s| &s.origin),
        ),
        (
            "retain",
            change.retain.is_some(),
            Some(&policy.retain.origin),
        ),
        (
            "consistency",
            change.consistency.is_some(),
            policy.consistency.as_ref().map(|s| &s.origin),
        ),
        (
            "window",
            change.window.is_some(),
            policy.window.as_ref().map(|s| &s.origin),
        ),
        (
            "schedule",
            change.schedule.is_some(),
            policy.schedule.as_ref().map(|s| &s.origin),
        ),
        (
            "priority",
            change.priority.is_some(),
            Some(&policy.priority.origin),
        ),
    ];
    fields
        .into_iter()
        .filter(|(_, asked, _)| *asked)
        .filter_map(|(field, _, origin)| {
            let origin = origin.filter(|origin| above(origin))?.clone();
            Some(Change { field, origin })
        })
        .collect()
}
