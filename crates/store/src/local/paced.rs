//! Files written and read no faster than a limit on bandwidth lets bytes pass.

use std::{
    fmt,
    io::{self, Read, Write},
    sync::Arc,
    time::{Duration, Instant},
};

use fs_err as fs;

use super::direct;
use crate::{Limits, http::Bucket};

/// What passes when, both ways.
#[derive(Default)]
pub(super) struct Pace {
    limits: Limits,
    time: Option<Arc<dyn Time>>,
}

/// Time, as a test may turn it.
pub(super) trait Time: Send + Sync {
    fn now(&self) -> Instant;
    fn sleep(&self, pause: Duration);
}

struct RealTime;

impl Time for RealTime {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep(&self, pause: Duration) {
        std::thread::sleep(pause);
    }
}

impl Pace {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, time: None }
    }

    pub(super) fn limits_writing(&self) -> bool {
        self.limits.upload.is_some()
    }

    /// Writes all of it into an empty file.
    pub(super) fn write(&self, into: &mut fs::File, bytes: &[u8]) -> io::Result<()> {
        let Some(bucket) = &self.limits.upload else {
            return direct::write(into, bytes);
        };
        for piece in bytes.chunks(bucket.piece()) {
            self.wait(bucket, piece.len());
            into.write_all(piece)?;
        }
        Ok(())
    }

    /// Reads until the end, at most so many bytes.
    pub(super) fn read(
        &self,
        from: &mut impl Read,
        most: u64,
        mut bytes: Vec<u8>,
    ) -> io::Result<Vec<u8>> {
        let Some(bucket) = &self.limits.download else {
            from.take(most).read_to_end(&mut bytes)?;
            return Ok(bytes);
        };
        let mut left = most;
        while left > 0 {
            let piece = left.min(bucket.piece() as u64);
            let read = from.by_ref().take(piece).read_to_end(&mut bytes)?;
            self.wait(bucket, read);
            left -= read as u64;
            if (read as u64) < piece {
                break;
            }
        }
        Ok(bytes)
    }

    fn wait(&self, bucket: &Bucket, bytes: usize) {
        let time = self.time.as_deref().unwrap_or(&RealTime);
        let pause = bucket.take(time.now(), bytes);
        if !pause.is_zero() {
            time.sleep(pause);
        }
    }
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.limits)
    }
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;
    use crate::{Area, LocalStore, ObjectName, Store};

    /// Nobody waits; what was waited is added up.
    struct Turned {
        began: Instant,
        slept: Mutex<Duration>,
        /// Of that, what a test has looked at.
        seen: Mutex<Duration>,
    }

    impl Time for Turned {
        fn now(&self) -> Instant {
            self.began + *self.slept.lock()
        }

        fn sleep(&self, pause: Duration) {
            *self.slept.lock() += pause;
        }
    }

    /// A store in a directory, and what its users have waited so far.
    fn limited(up: Option<u64>, down: Option<u64>) -> (tempfile::TempDir, LocalStore, Arc<Turned>) {
        let time = Arc::new(Turned {
            began: Instant::now(),
            slept: Mutex::default(),
            seen: Mutex::default(),
        });
        let dir = tempfile::tempdir().unwrap();
        let mut store = LocalStore::new(dir.path()).with_limits(Limits::new(up, down));
        store.pace.time = Some(Arc::clone(&time) as _);
        store.create().unwrap();
        *time.seen.lock() = *time.slept.lock();
        (dir, store, time)
    }

    fn data() -> ObjectName {
        ObjectName::new(Area::Data, &"ab".repeat(32)).unwrap()
    }

    /// As long as the bytes last at the rate, but for the tenth of a second that may pass at once.
    fn took(time: &Turned, seconds: f64) {
        let all = *time.slept.lock();
        let slept = (all - std::mem::replace(&mut *time.seen.lock(), all)).as_secs_f64();
        assert!((slept - seconds).abs() < 0.2, "{slept} s, not {seconds} s");
    }

    #[test]
    fn each_way_has_its_own_rate() {
        let (_dir, store, time) = limited(Some(100_000), Some(1_000_000));
        assert!(store.may_be_slow());
        let bytes = vec![7; 5_000_000];
        store.put(&data(), &bytes).unwrap();
        took(&time, 50.0);
        assert_eq!(store.get(&data()).unwrap(), bytes);
        took(&time, 5.0);
        assert_eq!(
            store.get_range(&data(), 10, 2_000_000).unwrap(),
            bytes[10..2_000_010]
        );
        took(&time, 2.0);
    }

    #[test]
    fn what_has_no_limit_waits_for_nobody() {
        let (_dir, store, time) = limited(None, Some(10));
        assert!(!store.may_be_slow());
        store.put(&data(), &[7; 1_000_000]).unwrap();
        took(&time, 0.0);
        assert_eq!(store.get_range(&data(), 0, 100).unwrap(), [7; 100]);
        took(&time, 10.0);
    }

    #[test]
    fn an_object_of_a_whole_number_of_pieces_is_read_to_its_end_and_no_further() {
        let (_dir, store, _) = limited(None, Some(640_000));
        for length in [0, 1, 63_999, 64_000, 64_001, 128_000] {
            let name = ObjectName::new(Area::Index, &format!("{length:064x}")).unwrap();
            let bytes: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            store.put(&name, &bytes).unwrap();
            assert_eq!(store.get(&name).unwrap(), bytes);
        }
    }
}
