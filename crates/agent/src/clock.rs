//! The time that supervision goes by.

use std::time::Instant;

use lifeboat_plan::supervise::Moment;

/// The time of day at the start, and what passed since: it never jumps, whatever is done to the host's clock.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    began: u64,
    at: Instant,
}

impl Clock {
    /// A clock that shows this time now: milliseconds since 1970.
    #[must_use]
    pub fn at(millis: u64) -> Self {
        Self {
            began: millis,
            at: Instant::now(),
        }
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> Moment {
        let passed = u64::try_from(self.at.elapsed().as_millis()).unwrap_or(u64::MAX);
        Moment(self.began.saturating_add(passed))
    }
}
