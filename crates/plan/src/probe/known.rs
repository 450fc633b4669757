//! The labels and kinds that there are, to tell a misspelt one.

use super::{Which, timing};

/// How a check can begin.
pub(super) const SCHEMES: &[&str] = &[
    "http",
    "https",
    "tcp",
    "grpc",
    "grpcs",
    "amqp",
    "exec",
    "sql:postgres",
    "sql:mysql",
    "redis",
    "docker",
    "none",
];

/// Every detail that any check knows.
pub(super) const DETAILS: &[&str] = &[
    "status", "host", "body", "json", "header.", "user", "password", "query", "expect",
];

/// What may stand behind `liveness.`.
pub(super) fn values() -> impl Iterator<Item = &'static str> {
    timing::NAMES.into_iter().chain(DETAILS.iter().copied())
}

/// Whether such a value exists.
pub(super) fn is_value(name: &str) -> bool {
    name.strip_prefix("header.").is_some_and(|h| !h.is_empty())
        || (name != "header." && values().any(|known| known == name))
}

/// The probe that somebody may have meant by a word.
pub(super) fn nearest(word: &str) -> Option<Which> {
    let near = crate::suggest::suggest(word, Which::ALL.map(Which::word));
    let first = near.first()?;
    Which::ALL.into_iter().find(|which| which.word() == first)
}
