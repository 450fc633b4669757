//! Is this the host whose points these are? Facts that tell hosts apart, none reliable alone.
//!
//! - An engine's id is shared by engines on one machine and by cloned machines (Docker 20.10 keeps
//!   it in `/etc/docker`), lost with the data root (newer Docker), and new at each call (Podman).
//! - A machine id is cloned with the machine, and made anew when it is installed again.
//! - A file system's UUID is cloned too, and another one after a move to a new disk.
//! - A data root tells two engines on one machine apart, and changes when somebody moves it.
//! - A host name is whatever somebody called it.
//!
//! So agreement needs two facts, and a difference in any fact but the engine's id is a
//! contradiction: asking a person once too often costs a flag, mixing two hosts costs the points.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::inventory::EngineFacts;

/// Facts about the host and engine that a point was captured on. Absent: could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprints {
    /// The engine's own id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub engine_id: Option<String>,
    /// `/etc/machine-id` of the engine's host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub machine_id: Option<String>,
    /// UUID of the file system that the engine's data root lies on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_root_fs_uuid: Option<String>,
    /// The engine's data root, a path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_root: Option<String>,
    /// The engine's host name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
}

/// One of the facts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact {
    /// The engine's own id.
    EngineId,
    /// The machine id.
    MachineId,
    /// UUID of the data root's file system.
    DataRootFsUuid,
    /// Path of the data root.
    DataRoot,
    /// Host name.
    Hostname,
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EngineId => "engine id",
            Self::MachineId => "machine id",
            Self::DataRootFsUuid => "file system of the data root",
            Self::DataRoot => "data root",
            Self::Hostname => "host name",
        })
    }
}

/// A fact that differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Which.
    pub fact: Fact,
    /// What the first of the two says.
    pub first: String,
    /// What the second says.
    pub second: String,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} `{}` against `{}`",
            self.fact, self.first, self.second
        )
    }
}

/// What two sets of fingerprints say about each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Comparison {
    /// The same host and engine, as far as facts go: at least two agree and none differs.
    Same,
    /// Too little is known, or only the engine's id differs. Go on, and say so.
    Unknown,
    /// Another host or engine. Refuse and ask; never mix.
    Contradicting(Vec<Difference>),
}

/// Compares two sets of fingerprints.
#[must_use]
pub fn compare(first: &Fingerprints, second: &Fingerprints) -> Comparison {
    let pairs = [
        (Fact::EngineId, &first.engine_id, &second.engine_id),
        (Fact::MachineId, &first.machine_id, &second.machine_id),
        (
            Fact::DataRootFsUuid,
            &first.data_root_fs_uuid,
            &second.data_root_fs_uuid,
        ),
        (Fact::DataRoot, &first.data_root, &second.data_root),
        (Fact::Hostname, &first.hostname, &second.hostname),
    ];
    let mut agreeing = 0;
    let mut differences = Vec::new();
    for (fact, a, b) in pairs {
        let (Some(a), Some(b)) = (present(a.as_ref()), present(b.as_ref())) else {
            continue;
        };
        if a == b {
            // `/var/lib/docker` is everybody's data root and says nothing for sameness.
            agreeing += usize::from(fact != Fact::DataRoot);
        } else {
            differences.push(Difference {
                fact,
                first: a.to_owned(),
                second: b.to_owned(),
            });
        }
    }
    if differences.iter().any(|d| d.fact != Fact::EngineId) {
        Comparison::Contradicting(differences)
    } else if differences.is_empty() && agreeing >= 2 {
        Comparison::Same
    } else {
        Comparison::Unknown
    }
}

/// An empty text is no fact.
fn present(fact: Option<&String>) -> Option<&str> {
    fact.map(|text| text.trim()).filter(|text| !text.is_empty())
}

impl Fingerprints {
    /// What an engine says of itself, beside what only its host can say. Podman's id is new at each
    /// call and therefore no fact.
    #[must_use]
    pub fn of_engine(
        engine: &EngineFacts,
        machine_id: Option<String>,
        data_root_fs_uuid: Option<String>,
    ) -> Self {
        let fact = |text: &str| Some(text.trim().to_owned()).filter(|t| !t.is_empty());
        Self {
            engine_id: fact(&engine.id).filter(|_| engine.kind != "podman"),
            machine_id,
            data_root_fs_uuid,
            data_root: fact(&engine.data_root),
            hostname: fact(&engine.hostname),
        }
    }

    /// See [`compare`].
    #[must_use]
    pub fn compare(&self, other: &Self) -> Comparison {
        compare(self, other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host() -> Fingerprints {
        Fingerprints {
            engine_id: Some("E".into()),
            machine_id: Some("M".into()),
            data_root_fs_uuid: Some("F".into()),
            data_root: Some("/var/lib/docker".into()),
            hostname: Some("web01".into()),
        }
    }

    #[test]
    fn the_same_host_is_the_same() {
        assert_eq!(compare(&host(), &host()), Comparison::Same);
    }

    #[test]
    fn podmans_changing_id_is_no_contradiction() {
        let second = Fingerprints {
            engine_id: Some("other".into()),
            ..host()
        };
        assert_eq!(compare(&host(), &second), Comparison::Unknown);
        let none = Fingerprints {
            engine_id: None,
            ..host()
        };
        assert_eq!(compare(&host(), &none), Comparison::Same);
    }

    #[test]
    fn two_engines_on_one_machine_contradict_although_they_share_an_id() {
        let second = Fingerprints {
            data_root: Some("/srv/docker2".into()),
            ..host()
        };
        let Comparison::Contradicting(why) = compare(&host(), &second) else {
            panic!()
        };
        assert_eq!(why.len(), 1);
        assert_eq!(
            why[0].to_string(),
            "data root `/var/lib/docker` against `/srv/docker2`"
        );
    }

    #[test]
    fn a_clone_with_another_name_contradicts() {
        let second = Fingerprints {
            hostname: Some("web02".into()),
            ..host()
        };
        assert!(matches!(
            compare(&host(), &second),
            Comparison::Contradicting(_)
        ));
    }

    #[test]
    fn two_machines_of_one_name_contradict() {
        let second = Fingerprints {
            engine_id: Some("E2".into()),
            machine_id: Some("M2".into()),
            data_root_fs_uuid: Some("F2".into()),
            ..host()
        };
        let Comparison::Contradicting(why) = compare(&host(), &second) else {
            panic!()
        };
        assert_eq!(why.len(), 3);
    }

    #[test]
    fn an_engine_gives_what_it_has() {
        let facts = |kind: &str| EngineFacts {
            kind: kind.into(),
            id: "E".into(),
            hostname: "web01".into(),
            ..EngineFacts::default()
        };
        let docker = Fingerprints::of_engine(&facts("docker"), Some("M".into()), None);
        assert_eq!(
            (docker.engine_id.as_deref(), docker.data_root),
            (Some("E"), None)
        );
        assert_eq!(
            Fingerprints::of_engine(&facts("podman"), None, None).engine_id,
            None
        );
    }

    #[test]
    fn one_fact_alone_proves_nothing() {
        let only = |hostname: &str| Fingerprints {
            hostname: Some(hostname.into()),
            ..Fingerprints::default()
        };
        assert_eq!(compare(&only("a"), &only("a")), Comparison::Unknown);
        assert_eq!(
            compare(&Fingerprints::default(), &host()),
            Comparison::Unknown
        );
        let empty = Fingerprints {
            machine_id: Some(String::new()),
            ..host()
        };
        assert_eq!(compare(&empty, &host()), Comparison::Same);
    }
}
