//! What time it is where the vault lies: every answer of a server bears a `Date`.

use std::{sync::Arc, time::Instant};

use http::{HeaderMap, header::DATE};
use parking_lot::Mutex;

/// The clock of one server, as its last answer told it. To the second, and late by the way of an answer.
#[derive(Clone, Debug, Default)]
pub(super) struct ServerClock(Arc<Mutex<Option<(i64, Instant)>>>);

impl ServerClock {
    pub(super) fn hear(&self, headers: &HeaderMap) {
        let date = headers.get(DATE).and_then(|value| {
            let date = jiff::fmt::rfc2822::parse(value.to_str().ok()?).ok()?;
            Some(date.timestamp().as_second())
        });
        if let Some(date) = date {
            *self.0.lock() = Some((date, Instant::now()));
        }
    }

    pub(super) fn now(&self) -> Option<i64> {
        let (date, heard) = (*self.0.lock())?;
        let since = i64::try_from(heard.elapsed().as_secs()).unwrap_or(0);
        Some(date.saturating_add(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_without_a_date_changes_nothing() {
        let clock = ServerClock::default();
        let mut headers = HeaderMap::new();
        clock.hear(&headers);
        assert_eq!(clock.now(), None);
        headers.insert(DATE, "Mon, 23 Nov 2026 04:14:49 GMT".parse().unwrap());
        clock.hear(&headers);
        headers.insert(DATE, "half past four".parse().unwrap());
        clock.hear(&headers);
        assert!(clock.now().is_some_and(|now| now >= 1_795_407_289));
    }
}
