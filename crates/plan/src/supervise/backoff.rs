//! How long to wait before the next try.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Moment;

const FIRST: u64 = 10_000;
const LONGEST: u64 = 300_000;
/// So long a container has to be well until its failures are forgotten.
const FORGIVEN_AFTER: Duration = Duration::from_secs(600);

/// Failures in a row. The first is answered at once, then the wait doubles from 10 s to 300 s, each with a tenth of
/// chance, so that what failed together does not come back together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backoff {
    /// Failures that were not forgiven.
    pub failures: u32,
    /// Since when it is well.
    pub well_since: Option<Moment>,
}

impl Backoff {
    /// It is well from now on, unless it was already.
    pub fn well(&mut self, at: Moment) {
        self.well_since.get_or_insert(at);
    }

    /// It is not well any more.
    pub fn unwell(&mut self, at: Moment) {
        if let Some(since) = self.well_since.take()
            && at.since(since) >= FORGIVEN_AFTER
        {
            self.failures = 0;
        }
    }

    /// It failed (again): when to try next. `chance` is any number.
    pub fn failed(&mut self, at: Moment, chance: u64) -> Moment {
        self.unwell(at);
        let wait = match self.failures {
            0 => 0,
            n => {
                let wait = FIRST.saturating_mul(1 << (n - 1).min(16)).min(LONGEST);
                wait - wait / 20 + chance % (wait / 10)
            }
        };
        self.failures = self.failures.saturating_add(1);
        at.plus(Duration::from_millis(wait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_from_ten_seconds_to_five_minutes_and_is_forgiven() {
        let mut backoff = Backoff::default();
        let at = Moment(1_000_000);
        let waits: Vec<u64> = (0..9).map(|_| backoff.failed(at, 500).0 - at.0).collect();
        assert_eq!(waits[0], 0);
        for (wait, nominal) in waits[1..].iter().zip([10, 20, 40, 80, 160, 300, 300, 300]) {
            let off = wait.abs_diff(nominal * 1000);
            assert!(off <= nominal * 50, "{wait} for {nominal} s");
        }
        backoff.well(at);
        backoff.well(at.plus(Duration::from_secs(300)));
        assert!(
            backoff.failed(at.plus(Duration::from_secs(599)), 0)
                > at.plus(Duration::from_secs(800))
        );
        backoff.well(at);
        let later = at.plus(Duration::from_secs(600));
        assert_eq!(backoff.failed(later, 7), later);
    }
}
