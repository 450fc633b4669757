//! From labels, settings and HEALTHCHECK to [`Probes`].

use serde_json::Value;

use super::{
    Check, Finding, Origin, Probe, Probes, Settings, Timing, Valued, Which, known, timing,
};
use crate::inventory::Container;
use crate::suggest;

const PREFIX: &str = "lifeboat.";

/// One value that somebody gave for a probe: its name behind `liveness.`, empty for the check itself.
struct Given {
    name: String,
    text: String,
    origin: Origin,
}

impl Given {
    fn at(&self) -> String {
        match &self.origin {
            Origin::Label(at) | Origin::Settings(at) => at.clone(),
            other => other.to_string(),
        }
    }

    fn is_label(&self) -> bool {
        matches!(self.origin, Origin::Label(_))
    }
}

/// The probes of a container; see the [module's document](super) for which value counts.
#[must_use]
pub fn read(container: &Container, settings: &Settings) -> Probes {
    let mut findings = Vec::new();
    // Settings first, so that labels, which come later, count.
    let given: Vec<(String, String, Origin)> = settings
        .of(container)
        .into_iter()
        .map(|s| (s.key, s.text, Origin::Settings(s.place)))
        .chain(container.labels.iter().filter_map(|(label, text)| {
            let key = label.strip_prefix(PREFIX)?.to_owned();
            Some((key, text.clone(), Origin::Label(label.clone())))
        }))
        .collect();
    let has_check = has_health_check(&container.raw);
    let mut probe = |which| one(which, &given, has_check, &mut findings);
    let (startup, liveness, readiness) = (
        probe(Which::Startup),
        probe(Which::Liveness),
        probe(Which::Readiness),
    );
    Probes {
        startup,
        liveness,
        readiness,
        findings,
    }
}

/// Whether the container has a HEALTHCHECK, of its image or its own, that is not switched off.
fn has_health_check(raw: &Value) -> bool {
    let first = raw["Config"]["Healthcheck"]["Test"].get(0);
    first
        .and_then(Value::as_str)
        .is_some_and(|word| word != "NONE")
}

fn one(
    which: Which,
    given: &[(String, String, Origin)],
    has_health_check: bool,
    findings: &mut Vec<Finding>,
) -> Option<Probe> {
    let before = findings.len();
    let mine = mine(which, given, findings);
    let misspelt = findings.len() > before;
    let mut wrong = |at: String, what: String| {
        let what = format!("{what}; until then there is no {which} probe");
        findings.push(Finding { at, what });
    };
    let asked = mine.iter().rfind(|value| value.name.is_empty());
    let rest = || mine.iter().filter(|value| !value.name.is_empty());
    let mut check = match asked {
        Some(value) => match Check::parse(&value.text) {
            Ok(None) => return None,
            Ok(Some(Check::Docker)) if !has_health_check => {
                let what = "the container has no HEALTHCHECK that the engine could look at; give it one, or ask something else";
                wrong(value.at(), what.to_owned());
                return None;
            }
            Ok(Some(check)) => Valued {
                value: check,
                origin: value.origin.clone(),
            },
            Err(what) => {
                wrong(value.at(), what);
                return None;
            }
        },
        // Docker has a start-up time of its own: until it has passed, its word is "starting".
        None if has_health_check && which != Which::Startup => Valued {
            value: Check::Docker,
            origin: Origin::HealthCheck,
        },
        None => {
            if let Some(value) = rest().next() {
                let what = format!(
                    "nothing says what is asked; add {PREFIX}{which}, for instance tcp://:8080"
                );
                wrong(value.at(), what);
            }
            return None;
        }
    };
    let mut when = Timing::default();
    if check.value == Check::Docker {
        when.failures = Valued::default_of(1);
    }
    let mut good = !misspelt;
    let from_label = matches!(check.origin, Origin::Label(_));
    for value in rest() {
        let set = if timing::NAMES.contains(&value.name.as_str()) {
            when.set(which, &value.name, &value.text, value.origin.clone())
        } else if from_label && !value.is_label() {
            // A detail in the settings belongs to a check in the settings.
            continue;
        } else if !fits(&check.value, &value.name) {
            let details = check.value.details().join(", ");
            let kind = check.value.kind();
            Err(if details.is_empty() {
                format!(
                    "{} means nothing to a {kind} probe, take it away",
                    value.name
                )
            } else {
                format!(
                    "{} means nothing to a {kind} probe, which knows {details}",
                    value.name
                )
            })
        } else {
            let from_label = value.is_label();
            check.value.set(which, &value.name, &value.text, from_label)
        };
        if let Err(what) = set {
            wrong(value.at(), what);
            good = false;
        }
    }
    good.then_some(Probe {
        check,
        timing: when,
    })
}

fn fits(check: &Check, name: &str) -> bool {
    let one = if name.starts_with("header.") {
        "header."
    } else {
        name
    };
    check.details().contains(&one)
}

/// What was given for one probe, the strongest last; what seems meant for it and is misspelt becomes a finding.
fn mine(
    which: Which,
    given: &[(String, String, Origin)],
    findings: &mut Vec<Finding>,
) -> Vec<Given> {
    let mut mine = Vec::new();
    for (key, text, origin) in given {
        let (word, name) = key.split_once('.').unwrap_or((key, ""));
        let value = Given {
            name: name.to_owned(),
            text: text.trim().to_owned(),
            origin: origin.clone(),
        };
        if word != which.word() {
            let known_word = Which::ALL.iter().any(|w| w.word() == word);
            let settings = !value.is_label();
            // In the settings every word is meant for a probe; among labels many others are ours.
            let nearest = known::nearest(word).or(settings.then_some(Which::Liveness));
            if known_word || (!settings && !looks_like_ours(word, name)) || nearest != Some(which) {
                continue;
            }
            let near = suggest::suggest(word, Which::ALL.map(Which::word));
            let what = format!(
                "there is no {word:?}{}; until it is corrected there is no {which} probe",
                suggest::sentence(&near)
            );
            findings.push(Finding {
                at: value.at(),
                what,
            });
        } else if !name.is_empty() && !known::is_value(name) {
            let near = suggest::suggest(name, known::values());
            let what = format!(
                "a probe has no {name:?}{}; until it is corrected there is no {which} probe",
                suggest::sentence(&near)
            );
            findings.push(Finding {
                at: value.at(),
                what,
            });
        } else if !value.text.is_empty() {
            mine.push(value);
        }
    }
    mine
}

/// Whether a word behind `lifeboat.` that is no probe's can be meant for one: it is near to one's name and no other
/// label's.
fn looks_like_ours(word: &str, name: &str) -> bool {
    let others = [
        "start", "keep", "replicas", "enable", "app", "exclude", "retain", "copy",
    ];
    if others.contains(&word) {
        return false;
    }
    known::nearest(word).is_some() || known::is_value(name)
}
