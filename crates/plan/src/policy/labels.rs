//! Labels of ours on an app's containers.
//!
//! One app, several containers: where they say different things, what protects more holds (the shorter RPO and RTO, all
//! that either keeps, the higher level and priority), and a note says so. `lifeboat.enable=false` has to stand on all.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::str::FromStr;

use super::{Consistency, Cron, Origin, Period, Priority, Retain, Said, Windows};
use crate::app::Note;
use crate::{label, suggest};

/// Labels of ours that mean something, here or elsewhere; those that end in `.` are families.
pub const KNOWN_LABELS: &[&str] = &[
    "lifeboat.app",
    "lifeboat.enable",
    "lifeboat.depends-on",
    "lifeboat.exclude",
    "lifeboat.rpo",
    "lifeboat.rto",
    "lifeboat.retain",
    "lifeboat.consistency",
    "lifeboat.window",
    "lifeboat.schedule",
    "lifeboat.priority",
    "lifeboat.dump",
    "lifeboat.keep",
    "lifeboat.start",
    "lifeboat.replicas",
    "lifeboat.replicas.ready-within",
    "lifeboat.supervise",
    "lifeboat.give-up-after",
    "lifeboat.hook.pre",
    "lifeboat.hook.post",
    "lifeboat.replica-of",
    "lifeboat.replica-from",
    "lifeboat.on-unhealthy",
    "lifeboat.on-volume-lost",
    "lifeboat.liveness",
    "lifeboat.readiness",
    "lifeboat.startup",
    "lifeboat.liveness.",
    "lifeboat.readiness.",
    "lifeboat.startup.",
    "lifeboat.copy",
    "lifeboat.copy.of",
    "lifeboat.scratch",
];

/// Who bears labels: a container, or a volume that is an app of its own.
#[derive(Debug, Clone, Copy)]
pub struct Labelled<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its labels.
    pub labels: &'a BTreeMap<String, String>,
}

/// What all labels of an app say together.
#[derive(Debug, Default)]
pub(super) struct Read {
    pub protect: Option<Said<bool>>,
    pub rpo: Option<Said<Period>>,
    pub rto: Option<Said<Period>>,
    pub retain: Option<Said<Retain>>,
    pub consistency: Option<Said<Consistency>>,
    pub window: Option<Said<Windows>>,
    pub schedule: Option<Said<Cron>>,
    pub priority: Option<Said<Priority>>,
}

pub(super) fn read(on: &[Labelled<'_>], notes: &mut Vec<Note>) -> Read {
    for who in on {
        notes.extend(who.labels.keys().filter_map(|key| unknown(key, who.name)));
    }
    Read {
        protect: protect(on, notes),
        rpo: value(on, "lifeboat.rpo", notes, Period::min),
        rto: value(on, "lifeboat.rto", notes, Period::min),
        retain: value(on, "lifeboat.retain", notes, Retain::or),
        consistency: value(on, "lifeboat.consistency", notes, Consistency::max),
        window: value(on, "lifeboat.window", notes, |first, _| first),
        schedule: value(on, "lifeboat.schedule", notes, |first, _| first),
        priority: value(on, "lifeboat.priority", notes, Priority::max),
    }
}

fn value<T>(
    on: &[Labelled<'_>],
    key: &str,
    notes: &mut Vec<Note>,
    both: impl Fn(T, T) -> T,
) -> Option<Said<T>>
where
    T: FromStr + Clone + PartialEq + Display,
    T::Err: Display,
{
    let mut found: Option<Said<T>> = None;
    for who in on {
        let Some(text) = label::get(who.labels, key) else {
            continue;
        };
        let value = match text.parse::<T>() {
            Ok(value) => value,
            Err(why) => {
                notes.push(Note::warning(format!(
                    "the label {key} on {} counts as not set: {why}",
                    who.name
                )));
                continue;
            }
        };
        let origin = Origin::Label {
            label: key.to_owned(),
            on: who.name.to_owned(),
        };
        found = Some(match found {
            None => Said::new(value, origin),
            Some(before) if before.value == value => before,
            Some(before) => {
                let chosen = both(before.value.clone(), value.clone());
                notes.push(Note::warning(format!(
                    "{key} is {} by the {}, and {value} on {}: an app is captured whole, and {chosen} holds",
                    before.value, before.origin, who.name
                )));
                let origin = if chosen == before.value {
                    before.origin
                } else {
                    origin
                };
                Said::new(chosen, origin)
            }
        });
    }
    found
}

fn protect(on: &[Labelled<'_>], notes: &mut Vec<Note>) -> Option<Said<bool>> {
    let mut said = Vec::new();
    for who in on {
        let Some(text) = label::get(who.labels, label::ENABLE) else {
            continue;
        };
        match label::flag(who.labels, label::ENABLE) {
            Some(flag) => said.push((flag, who.name)),
            None => notes.push(Note::warning(format!(
                "the label {} on {} counts as not set: `{text}` is neither true nor false",
                label::ENABLE,
                who.name
            ))),
        }
    }
    let origin = |name: &str| Origin::Label {
        label: label::ENABLE.to_owned(),
        on: name.to_owned(),
    };
    if let Some((_, name)) = said.iter().find(|(flag, _)| *flag) {
        return Some(Said::new(true, origin(name)));
    }
    let (_, name) = said.first()?;
    if said.len() < on.len() {
        // Discovery says already that it stands on some only.
        return None;
    }
    Some(Said::new(false, origin(name)))
}

fn unknown(key: &str, on: &str) -> Option<Note> {
    let rest = key
        .strip_prefix("lifeboat.")
        .or_else(|| key.strip_prefix("lifeboat-"));
    let near_miss = rest.is_some() || key.starts_with("liveboat.") || key.starts_with("lifebaot.");
    let known = KNOWN_LABELS
        .iter()
        .any(|known| *known == key || (known.ends_with('.') && key.starts_with(known)));
    if !near_miss || known {
        return None;
    }
    let names = KNOWN_LABELS
        .iter()
        .copied()
        .filter(|known| !known.ends_with('.'));
    let near: Vec<String> = suggest_label(key, names);
    Some(Note::warning(format!(
        "the label {key} on {on} means nothing to Lifeboat{}",
        suggest::sentence(&near)
    )))
}

/// The part behind the point is compared: what all labels have in common says nothing.
fn suggest_label<'a>(key: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let tail = |name: &'a str| name.strip_prefix("lifeboat.");
    let typed = key.get("lifeboat.".len()..).unwrap_or(key);
    suggest::suggest(typed, names.filter_map(tail))
        .into_iter()
        .map(|name| format!("lifeboat.{name}"))
        .collect()
}
