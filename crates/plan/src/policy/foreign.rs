//! Labels of other tools: what each says about protection, and what is made of it.
//!
//! A backup tool's opt-out is honoured where it stands on every container of the app that holds data, and the app is
//! listed as unprotected; a label of ours overrules it. What an updater or a healer is told says nothing about
//! protection. What cannot be honoured is said, never passed over.

use serde::Serialize;

use super::{Labelled, Origin, Priority, Said};
use crate::label;

/// A label of another tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Foreign {
    /// The container that bears it.
    pub on: String,
    /// The label.
    pub label: String,
    /// Its value.
    pub value: String,
    /// What is made of it: one sentence.
    pub meaning: &'static str,
    /// Whether it is honoured.
    pub honoured: bool,
}

const OUT: &str = "opts out of that tool's backup: where it stands on all that holds data, the app is unprotected here too";
const IN: &str = "opts into that tool's backup; here everything is protected that does not opt out";
const NO_STOP: &str = "asks for a stop during backups: nothing is stopped here, the app is frozen for an instant instead";
const PICKS: &str = "picks volumes by name: an app is captured whole here";
const DUMP: &str = "asks for a dump: the database's files are captured at one instant here, a dump is not made yet";
const GROUP: &str = "groups containers and their order: here an app is one instant";
const FOLDERS: &str = "adds folders that no container mounts: those are not captured here; mount them, or `lifeboat backup --path` them";
const PRIORITY: &str = "is taken as its priority";
const ORDER: &str = "is taken for the order of start";
const NOTHING: &str = "says nothing about protection";

/// Everything that is known of other tools' labels on these containers.
#[must_use]
pub fn read(on: &[Labelled<'_>]) -> Vec<Foreign> {
    let mut found = Vec::new();
    for who in on {
        for (key, value) in who.labels {
            if let Some((meaning, honoured)) = meaning(key, value) {
                found.push(Foreign {
                    on: who.name.to_owned(),
                    label: key.clone(),
                    value: value.chars().take(200).collect(),
                    meaning,
                    honoured,
                });
            }
        }
    }
    found
}

fn meaning(key: &str, value: &str) -> Option<(&'static str, bool)> {
    let off = matches!(
        value.trim().to_ascii_lowercase().as_str(),
        "false" | "0" | "no" | "off"
    );
    let rest = key
        .strip_prefix("stack-back.")
        .or_else(|| key.strip_prefix("restic-compose-backup."));
    if let Some(rest) = rest {
        return Some(match rest {
            "volumes" if off => (OUT, true),
            "volumes" => (IN, true),
            "volumes.include" | "volumes.exclude" => (PICKS, false),
            "volumes.stop-during-backup" => (NO_STOP, true),
            "postgres" | "mysql" | "mariadb" => (DUMP, false),
            _ => (NOTHING, false),
        });
    }
    if let Some(rest) = key.strip_prefix("nautical-backup.") {
        return Some(match rest {
            "enable" if off => (OUT, true),
            "enable" => (IN, true),
            "stop-before-backup" => (NO_STOP, true),
            "group" => (GROUP, true),
            "additional-folders" => (FOLDERS, false),
            _ if rest.starts_with("group.") && rest.ends_with(".priority") => (PRIORITY, true),
            _ => (NOTHING, false),
        });
    }
    match key {
        "auto-backup" if off => Some((OUT, true)),
        "auto-backup" => Some((DUMP, false)),
        "bombvault.data" => Some((PICKS, false)),
        label::WATCHTOWER_DEPENDS_ON => Some((ORDER, true)),
        "com.centurylinklabs.watchtower.enable" | "autoheal" | "wud.watch" | "diun.enable" => {
            Some((NOTHING, true))
        }
        _ => None,
    }
}

/// Whether the labels of other tools opt the app out. `holds_data` says of which containers it has to be said.
pub(super) fn opted_out(
    on: &[Labelled<'_>],
    holds_data: &dyn Fn(&str) -> bool,
) -> Option<Said<bool>> {
    let mut first = None;
    let mut asked = false;
    for who in on.iter().filter(|who| holds_data(who.name)) {
        asked = true;
        let out = label::FOREIGN_OPT_OUTS.iter().find(|(key, value)| {
            label::get(who.labels, key).is_some_and(|v| v.eq_ignore_ascii_case(value))
        });
        let (key, _) = out?;
        first.get_or_insert(Origin::Foreign {
            label: (*key).to_owned(),
            on: who.name.to_owned(),
        });
    }
    first
        .filter(|_| asked)
        .map(|origin| Said::new(false, origin))
}

/// The priority that nautical's groups give.
pub(super) fn priority(on: &[Labelled<'_>]) -> Option<Said<Priority>> {
    let all = on.iter().flat_map(|who| {
        who.labels.iter().filter_map(move |(key, value)| {
            let is = key.starts_with("nautical-backup.group.") && key.ends_with(".priority");
            let number: i64 = value.trim().parse().ok().filter(|_| is)?;
            let number = i8::try_from(number.clamp(-100, 100)).ok()?;
            let origin = Origin::Foreign {
                label: key.clone(),
                on: who.name.to_owned(),
            };
            Some(Said::new(Priority::new(number), origin))
        })
    });
    all.max_by_key(|said| said.value)
}
