//! What one source says of an app: each value, or nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Cron, Period, Retain, Windows};
use crate::{identity::AppIdentity, manifest::Level};

/// The level that points should reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// Read while it runs: nothing is ever frozen.
    Live,
    /// One instant over all that writes.
    Crash,
    /// As the database itself says.
    Application,
}

impl From<Consistency> for Level {
    fn from(asked: Consistency) -> Self {
        match asked {
            Consistency::Live => Self::Live,
            Consistency::Crash => Self::Crash,
            Consistency::Application => Self::Application,
        }
    }
}

impl FromStr for Consistency {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "live" => Ok(Self::Live),
            "crash" => Ok(Self::Crash),
            "application" => Ok(Self::Application),
            _ => {
                let near = crate::suggest::suggest(text, ["live", "crash", "application"]);
                Err(format!(
                    "`{text}` is no level of consistency{}: there are live, crash and application",
                    crate::suggest::sentence(&near)
                ))
            }
        }
    }
}

impl fmt::Display for Consistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Live => "live",
            Self::Crash => "crash",
            Self::Application => "application",
        })
    }
}

/// Who goes first where not all can: -100 to 100, more is sooner.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(i8);

impl Priority {
    /// So much, held within bounds.
    #[must_use]
    pub fn new(number: i8) -> Self {
        Self(number.clamp(-100, 100))
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> i8 {
        self.0
    }
}

impl FromStr for Priority {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.trim() {
            "low" => Ok(Self(-50)),
            "normal" => Ok(Self(0)),
            "high" => Ok(Self(50)),
            number => match number.parse::<i8>() {
                Ok(n @ -100..=100) => Ok(Self(n)),
                _ => Err(format!(
                    "`{text}` is no priority: there are low, normal and high, or a number from -100 to 100"
                )),
            },
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            -50 => f.write_str("low"),
            0 => f.write_str("normal"),
            50 => f.write_str("high"),
            n => write!(f, "{n}"),
        }
    }
}

impl Serialize for Priority {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Priority {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form {
            Number(i8),
            Word(String),
        }
        match Form::deserialize(d)? {
            Form::Number(n) => n.to_string().parse().map_err(serde::de::Error::custom),
            Form::Word(word) => word.parse().map_err(serde::de::Error::custom),
        }
    }
}

/// What a section of `lifeboat.toml`, or a change by the API, says. Names as the labels have them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Wishes {
    /// Whether it is protected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protect: Option<bool>,
    /// Recovery point objective.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rpo: Option<Period>,
    /// Recovery time objective.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rto: Option<Period>,
    /// What is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retain: Option<Retain>,
    /// Level.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consistency: Option<Consistency>,
    /// When a capture may begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Windows>,
    /// Fixed times.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schedule: Option<Cron>,
    /// Who goes first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
}

/// `[policy."NAME"]` of `lifeboat.toml`: by `[[SITE/]HOST/]APP`, or `*` for all.
pub type Settings = BTreeMap<String, Wishes>;

/// The sections that are about an app, the most exact first.
pub(super) fn sections<'s>(
    settings: &'s Settings,
    app: &AppIdentity,
) -> impl Iterator<Item = (String, &'s Wishes)> {
    let names = [
        app.to_string(),
        format!("{}/{}", app.host, app.name),
        app.name.to_string(),
        "*".to_owned(),
    ];
    names
        .into_iter()
        .filter_map(|name| settings.get(&name).map(|wishes| (name, wishes)))
}
