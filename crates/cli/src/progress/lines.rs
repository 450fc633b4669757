//! Plain lines for logs and pipes: one for each step of a plan, else one every few seconds, never more.

use std::{
    io::Write,
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use super::tally::Tally;

const EVERY: Duration = Duration::from_secs(3);

/// Remembers when the last line was written.
#[derive(Default)]
pub struct Lines {
    start: OnceLock<Instant>,
    next_millis: AtomicU64,
}

impl Lines {
    /// Writes a line if the last one is old enough.
    pub fn show(&self, tally: &Tally) {
        if self.is_due(self.start.get_or_init(Instant::now).elapsed()) {
            // Nobody is left to be told if standard error cannot be written.
            let _ = writeln!(std::io::stderr().lock(), "lifeboat: {}", tally.line());
        }
    }

    /// Writes a line for a step of a plan that begins: there are no more of them than the plan has.
    pub fn show_planned(&self, tally: &Tally) {
        let now = self.start.get_or_init(Instant::now).elapsed();
        self.next_millis.store(millis(now + EVERY), Relaxed);
        // Nobody is left to be told if standard error cannot be written.
        let _ = writeln!(std::io::stderr().lock(), "lifeboat: {}", tally.line());
    }

    /// `true` for one of the threads that ask when a line is due.
    fn is_due(&self, now: Duration) -> bool {
        let next = self.next_millis.load(Relaxed);
        millis(now) >= next
            && self
                .next_millis
                .compare_exchange(next, millis(now + EVERY), Relaxed, Relaxed)
                .is_ok()
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_every_few_seconds() {
        let lines = Lines::default();
        let due: Vec<u64> = (0..100)
            .filter(|tenth| lines.is_due(Duration::from_millis(tenth * 100)))
            .collect();
        assert_eq!(due, [0, 30, 60, 90]);
    }
}
