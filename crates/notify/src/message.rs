//! What is said.

use serde::{Deserialize, Serialize};

/// How much it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Good to know.
    Info,
    /// All is well again.
    Recovery,
    /// Somebody should look.
    Warning,
    /// Somebody has to act.
    Failure,
}

impl Level {
    /// In one word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Recovery => "recovery",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// How much it matters.
    pub level: Level,
    /// One line.
    pub title: String,
    /// The rest; may be empty.
    pub body: String,
}

impl Message {
    /// Title and body as one text of at most so many characters.
    #[must_use]
    pub fn text(&self, most: usize) -> String {
        let text = match self.body.is_empty() {
            true => self.title.clone(),
            false => format!("{}\n{}", self.title, self.body),
        };
        shortened(&text, most)
    }
}

/// At most so many characters; what is cut is said.
pub(crate) fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(2)).collect();
    short.push_str(" …");
    short
}
