//! What labels and restart policy ask for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Policy;
use super::replicas::Replicas;
use crate::label;
use crate::suggest;

/// Labels of ours that mean something; one that ends in `.` stands for all that begin with it.
pub const KNOWN_LABELS: &[&str] = &[
    "lifeboat.enable",
    "lifeboat.app",
    "lifeboat.supervise",
    "lifeboat.liveness",
    "lifeboat.liveness.",
    "lifeboat.readiness",
    "lifeboat.readiness.",
    "lifeboat.startup",
    "lifeboat.startup.",
    "lifeboat.on-unhealthy",
    "lifeboat.give-up-after",
    "lifeboat.keep",
    super::replicas::LABEL,
    super::replicas::LABEL_WITHIN,
    super::replicas::LABEL_OF,
    super::replicas::LABEL_FROM,
    "lifeboat.start",
    "lifeboat.depends-on",
    ON_VOLUME_LOST,
    "lifeboat.rpo",
    "lifeboat.rto",
    "lifeboat.schedule",
    "lifeboat.window",
    "lifeboat.priority",
    "lifeboat.retain",
    "lifeboat.consistency",
    "lifeboat.exclude",
    "lifeboat.dump",
    "lifeboat.hook.pre",
    "lifeboat.hook.post",
];
/// What we put on things ourselves: no wish of anybody.
const OURS: &[&str] = &["lifeboat.copy", "lifeboat.scratch", "lifeboat.helper"];

/// What to do with a container that runs and is not well.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnUnhealthy {
    /// Stop it with its own signal and grace, and start it.
    #[default]
    Restart,
    /// Make it again from its definition.
    Recreate,
    /// Stop it and leave it so.
    Stop,
    /// Say so, and do nothing.
    Notify,
}

/// What to do when a volume that it mounts is gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnVolumeLost {
    /// Say so, and leave it down: what the last point does not hold would be lost, and that is a person's choice.
    #[default]
    Report,
    /// Bring the volume back from the newest usable point.
    Restore,
}

/// Label that says so.
pub const ON_VOLUME_LOST: &str = "lifeboat.on-volume-lost";

/// How one container is looked after.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rules {
    /// Whether at all.
    pub supervised: bool,
    /// Why, or why not, for a person.
    pub because: String,
    /// What to do when it is not well.
    pub on_unhealthy: OnUnhealthy,
    /// Made again whenever it is gone.
    pub keep: bool,
    /// Started by us alone (`lifeboat.start=managed`).
    pub managed: bool,
    /// How many tries in a row.
    pub give_up_after: Option<u32>,
    /// What to do when a volume of it is gone.
    #[serde(default)]
    pub on_volume_lost: OnVolumeLost,
    /// Seconds of grace before it is killed, where they are not the container's own.
    pub stop_grace: Option<u64>,
    /// How many instances there are to be.
    #[serde(default)]
    pub replicas: Replicas,
    /// Labels that say nothing to us, and what may have been meant.
    pub findings: Vec<String>,
}

impl Rules {
    /// What the labels and the policy ask for. `heal_all` is autoheal's setting for all containers.
    #[must_use]
    pub fn of(labels: &BTreeMap<String, String>, policy: Policy, heal_all: bool) -> Self {
        let mut rules = Self {
            findings: unknown(labels),
            ..Self::default()
        };
        rules.wishes(labels);
        let ours = labels
            .keys()
            .find(|key| key.starts_with("lifeboat.") && !OURS.iter().any(|o| key.starts_with(o)));
        let heal = label::flag(labels, "autoheal");
        if heal == Some(false) && label::get(labels, "lifeboat.on-unhealthy").is_none() {
            rules.on_unhealthy = OnUnhealthy::Notify;
        }
        let no = |why: &str| (false, why.to_owned());
        (rules.supervised, rules.because) = if label::flag(labels, label::ENABLE) == Some(false) {
            no("label lifeboat.enable=false")
        } else if label::flag(labels, "lifeboat.supervise") == Some(false) {
            no("label lifeboat.supervise=false")
        } else if label::get(labels, label::SWARM_TASK).is_some() {
            no("Swarm looks after it")
        } else if label::flag(labels, label::ONE_OFF) == Some(true)
            || label::get(labels, label::HOOK).is_some()
        {
            no("it is to run once")
        } else if policy != Policy::No {
            (true, format!("restart policy {policy}"))
        } else if let Some(key) = ours {
            (true, format!("label {key}"))
        } else if heal == Some(true) {
            (true, "label autoheal=true".to_owned())
        } else if heal_all {
            (true, "autoheal for all".to_owned())
        } else {
            no("no restart policy, and no label asks for it")
        };
        rules
    }

    /// It was set aside: nothing is done to it, whatever its labels ask for.
    pub(super) fn set_aside(&mut self) {
        self.supervised = false;
        self.keep = false;
        // Whose instance it was stays known: what a roll moved aside is taken back by it.
        self.replicas.wanted = None;
        "it was set aside when another one took its place".clone_into(&mut self.because);
        self.findings.clear();
    }

    fn wishes(&mut self, labels: &BTreeMap<String, String>) {
        self.keep = label::flag(labels, "lifeboat.keep") == Some(true);
        let mut wrong = |key: &str, value: &str, can: &[&str]| {
            let meant = suggest::sentence(&suggest::suggest(value, can.iter().copied()));
            self.findings.push(format!(
                "label {key}={value} is not understood{meant}; it can be {}",
                can.join(", ")
            ));
        };
        match label::get(labels, "lifeboat.on-unhealthy") {
            None | Some("restart") => {}
            Some("recreate") => self.on_unhealthy = OnUnhealthy::Recreate,
            Some("stop") => self.on_unhealthy = OnUnhealthy::Stop,
            Some("notify") => self.on_unhealthy = OnUnhealthy::Notify,
            Some(other) => {
                // In doubt nothing is done.
                self.on_unhealthy = OnUnhealthy::Notify;
                let can = ["restart", "recreate", "stop", "notify"];
                wrong("lifeboat.on-unhealthy", other, &can);
            }
        }
        match label::get(labels, "lifeboat.start") {
            None | Some("engine") => {}
            Some("managed") => self.managed = true,
            Some(other) => wrong("lifeboat.start", other, &["managed", "engine"]),
        }
        match label::get(labels, ON_VOLUME_LOST) {
            None | Some("report") => {}
            Some("restore") => self.on_volume_lost = OnVolumeLost::Restore,
            Some(other) => wrong(ON_VOLUME_LOST, other, &["restore", "report"]),
        }
        let number = |key: &str| label::get(labels, key).map(|value| (value, value.parse::<u64>()));
        match number("lifeboat.give-up-after") {
            None => {}
            Some((_, Ok(tries))) if tries > 0 => {
                self.give_up_after = Some(u32::try_from(tries).unwrap_or(u32::MAX));
            }
            Some((value, _)) => wrong("lifeboat.give-up-after", value, &["a number of tries"]),
        }
        match number("autoheal.stop.timeout") {
            None => {}
            Some((_, Ok(seconds))) => self.stop_grace = Some(seconds),
            Some((value, Err(_))) => {
                wrong("autoheal.stop.timeout", value, &["a number of seconds"])
            }
        }
    }
}

/// Labels that look like ours and are not.
fn unknown(labels: &BTreeMap<String, String>) -> Vec<String> {
    let is_known = |key: &str| {
        OURS.iter().any(|ours| key.starts_with(ours))
            || KNOWN_LABELS
                .iter()
                .any(|known| key == *known || (known.ends_with('.') && key.starts_with(known)))
    };
    let suspects = labels
        .keys()
        .filter(|key| key.starts_with("lifeboat.") && !is_known(key));
    suspects
        .map(|key| {
            let known = KNOWN_LABELS.iter().copied().filter(|k| !k.ends_with('.'));
            let nearest: Vec<String> = suggest::suggest(key, known).into_iter().take(1).collect();
            let meant = suggest::sentence(&nearest);
            format!("label {key} means nothing to Lifeboat{meant}")
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(labels: &[(&str, &str)], policy: Policy) -> Rules {
        let labels = labels
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        Rules::of(&labels, policy, false)
    }

    #[test]
    fn who_is_supervised() {
        for (labels, policy, expected) in [
            (&[][..], Policy::No, false),
            (&[], Policy::Always, true),
            (&[], Policy::OnFailure(3), true),
            (&[("autoheal", "true")], Policy::No, true),
            (&[("lifeboat.keep", "true")], Policy::No, true),
            (&[("lifeboat.copy", "try")], Policy::No, false),
            (&[("lifeboat.enable", "false")], Policy::Always, false),
            (&[("lifeboat.supervise", "false")], Policy::Always, false),
            (&[(label::ONE_OFF, "True")], Policy::Always, false),
            (&[(label::SWARM_TASK, "x")], Policy::Always, false),
        ] {
            assert_eq!(
                rules(labels, policy).supervised,
                expected,
                "{labels:?} {policy}"
            );
        }
    }

    #[test]
    fn autoheals_labels_are_taken_as_they_are() {
        let off = rules(&[("autoheal", "false")], Policy::Always);
        assert!(off.supervised);
        assert_eq!(off.on_unhealthy, OnUnhealthy::Notify);
        let grace = rules(
            &[("autoheal", "true"), ("autoheal.stop.timeout", "240")],
            Policy::No,
        );
        assert_eq!(
            (grace.on_unhealthy, grace.stop_grace),
            (OnUnhealthy::Restart, Some(240))
        );
    }

    #[test]
    fn a_lost_volume_is_reported_unless_somebody_says_restore() {
        for (label, expected, findings) in [
            ("restore", OnVolumeLost::Restore, 0),
            ("report", OnVolumeLost::Report, 0),
            ("restor", OnVolumeLost::Report, 1),
        ] {
            let found = rules(&[(ON_VOLUME_LOST, label)], Policy::Always);
            assert_eq!(found.on_volume_lost, expected, "{label}");
            assert_eq!(found.findings.len(), findings, "{label}");
        }
        assert_eq!(
            rules(&[], Policy::Always).on_volume_lost,
            OnVolumeLost::Report
        );
    }

    #[test]
    fn what_means_something_here_means_something_to_policies_too() {
        let theirs = crate::policy::KNOWN_LABELS;
        let strange = KNOWN_LABELS.iter().find(|known| !theirs.contains(known));
        assert_eq!(strange, None);
    }

    #[test]
    fn typos_are_named_with_what_was_meant() {
        let found = rules(
            &[
                ("lifeboat.livness", "tcp://:1"),
                ("lifeboat.on-unhealthy", "recrate"),
            ],
            Policy::No,
        );
        assert_eq!(
            found.findings,
            [
                "label lifeboat.livness means nothing to Lifeboat (did you mean `lifeboat.liveness`?)",
                "label lifeboat.on-unhealthy=recrate is not understood (did you mean `recreate`?); it can be restart, recreate, stop, notify",
            ]
        );
        assert_eq!(found.on_unhealthy, OnUnhealthy::Notify);
        assert!(
            rules(&[("lifeboat.liveness.period", "5s")], Policy::No)
                .findings
                .is_empty()
        );
    }
}
