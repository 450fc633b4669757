//! A bandwidth that many threads share.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Hands out bytes at a rate. Who comes is told how long to wait; the order is that of asking.
#[derive(Debug)]
pub struct Bucket {
    /// Bytes a second.
    rate: u64,
    /// When everything that was handed out has passed.
    free_at: Mutex<Option<Instant>>,
}

/// What may pass at once after a pause.
const BURST: Duration = Duration::from_millis(100);

impl Bucket {
    /// So many bytes a second, at least one.
    pub fn new(rate: u64) -> Self {
        Self {
            rate: rate.max(1),
            free_at: Mutex::new(None),
        }
    }

    /// Takes bytes; the caller waits so long before it passes them on.
    pub fn take(&self, now: Instant, bytes: usize) -> Duration {
        let lasts = Duration::from_secs_f64(bytes as f64 / self.rate as f64);
        let mut free_at = self.free_at.lock();
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let from = free_at.map_or(earliest, |at| at.max(earliest));
        let until = from + lasts;
        *free_at = Some(until);
        until.saturating_duration_since(now)
    }

    /// Pieces of a size with which the rate is even: a tenth of a second's worth, 1 to 64 KiB.
    pub fn piece(&self) -> usize {
        usize::try_from(self.rate / 10)
            .unwrap_or(usize::MAX)
            .clamp(1 << 10, 64 << 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_holds_over_all_who_take() {
        let bucket = Bucket::new(1000);
        let now = Instant::now();
        let waits: Vec<_> = (0..5).map(|_| bucket.take(now, 1000).as_millis()).collect();
        assert_eq!(waits, [900, 1900, 2900, 3900, 4900]);
    }

    #[test]
    fn what_was_not_used_is_not_saved_up() {
        let bucket = Bucket::new(1000);
        let now = Instant::now();
        bucket.take(now, 100);
        let later = now + Duration::from_secs(3600);
        assert_eq!(bucket.take(later, 1000).as_millis(), 900);
    }
}
