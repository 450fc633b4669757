//! Where a value comes from, and what is said about one that was not understood.

use std::fmt;

use serde::Serialize;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "from", content = "at")]
pub enum Origin {
    /// Nobody said anything.
    Default,
    /// The container's HEALTHCHECK: of its image, of Compose, or given when it was made.
    HealthCheck,
    /// This label.
    Label(String),
    /// This place in `lifeboat.toml`.
    Settings(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::HealthCheck => f.write_str("HEALTHCHECK of the container"),
            Self::Label(label) => write!(f, "label {label}"),
            Self::Settings(place) => write!(f, "lifeboat.toml, {place}"),
        }
    }
}

/// A value and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Valued<T> {
    /// The value.
    pub value: T,
    /// Where it comes from.
    pub origin: Origin,
}

impl<T> Valued<T> {
    /// A value that nobody gave.
    pub fn default_of(value: T) -> Self {
        Self {
            value,
            origin: Origin::Default,
        }
    }
}

/// Something that was not understood. Holds no value of a label that may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The label or setting.
    pub at: String,
    /// What is wrong with it, what follows, and what to do: one sentence, without its end.
    pub what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.what)
    }
}
