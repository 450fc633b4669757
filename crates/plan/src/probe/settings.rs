//! Probes in `lifeboat.toml`, for containers whose labels one cannot or does not want to change.
//!
//! ```toml
//! [probes."shop-db-1"]          # a container's name, or project/service; * stands for anything
//! readiness = "tcp://:5432"
//! liveness = { check = "sql:postgres://app@:5432/shop", password = "env:POSTGRES_PASSWORD", period = "30s" }
//! ```
//!
//! Where several match, a plain name goes before a pattern, and a longer pattern before a shorter one, value by value.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::inventory::Container;
use crate::label;

/// The table `[probes]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Settings(BTreeMap<String, BTreeMap<String, Entry>>);

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Entry {
    Check(Scalar),
    Values(BTreeMap<String, Scalar>),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Scalar {
    Text(String),
    Number(i64),
    Truth(bool),
}

impl Scalar {
    fn text(&self) -> String {
        match self {
            Self::Text(text) => text.clone(),
            Self::Number(number) => number.to_string(),
            Self::Truth(truth) => truth.to_string(),
        }
    }
}

/// One value: `liveness` or `liveness.period`, its text, where it stands.
pub(super) struct Setting {
    pub key: String,
    pub text: String,
    pub place: String,
}

impl Settings {
    /// Everything for a container, the strongest last.
    pub(super) fn of(&self, container: &Container) -> Vec<Setting> {
        let part = |key| label::get(&container.labels, key).unwrap_or_default();
        let service = format!("{}/{}", part(label::PROJECT), part(label::SERVICE));
        let names = [container.name.as_str(), service.as_str()];
        let mut matching: Vec<_> = self
            .0
            .iter()
            .filter(|(pattern, _)| names.iter().any(|name| matches(pattern, name)))
            .collect();
        matching.sort_by_key(|(pattern, _)| (!pattern.contains('*'), pattern.len()));
        let mut found = Vec::new();
        for (pattern, entries) in matching {
            let mut add = |key: String, scalar: &Scalar| {
                found.push(Setting {
                    place: format!("probes.\"{pattern}\".{key}"),
                    text: scalar.text(),
                    key,
                });
            };
            for (word, entry) in entries {
                match entry {
                    Entry::Check(check) => add(word.clone(), check),
                    Entry::Values(values) => {
                        for (name, value) in values {
                            match name.as_str() {
                                "check" => add(word.clone(), value),
                                name => add(format!("{word}.{name}"), value),
                            }
                        }
                    }
                }
            }
        }
        found
    }
}

/// `*` stands for any letters, none too.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, name, wanted) in [
            ("shop", "shop", true),
            ("shop", "shop-1", false),
            ("shop-*", "shop-1", true),
            ("*", "", true),
            ("a*a", "a", false),
            ("*db*", "shop-db-1", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxcyyb", false),
        ] {
            assert_eq!(matches(pattern, name), wanted, "{pattern} {name}");
        }
    }
}
