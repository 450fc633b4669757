//! Goes on where a store does not answer for a while.
//!
//! Only [`StoreError::Unreachable`] is tried again: it alone can change by itself. Pauses double, with
//! jitter, so that many clients do not come back at the same instant, and everything is bounded in
//! total time.
//!
//! A request whose answer was lost may have been carried out. So after a failed attempt a `put` that
//! finds its name taken looks whether the bytes there are its own, and a `delete` that finds nothing
//! is content. What a vault stores under one name is either a hash of itself or sealed with a random
//! value, so equal bytes are our own.

use std::{
    hash::{BuildHasher, Hasher, RandomState},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{
    Area, Capabilities, LockPolicy, ObjectInfo, ObjectLock, ObjectName, Result, RetryPolicy, Stop,
    Store, StoreError,
};

/// How often it is looked whether the work is to stop.
const TICK: Duration = Duration::from_millis(100);
/// A pause that a person should know the reason of.
const TELL_AFTER: Duration = Duration::from_secs(2);

/// A store that is tried again.
pub struct RetryStore {
    inner: Arc<dyn Store>,
    policy: RetryPolicy,
    stop: Stop,
    /// Whether the store has answered anything yet.
    answered: AtomicBool,
}

impl RetryStore {
    /// Tries again what the store does not answer.
    pub fn new(inner: Arc<dyn Store>, policy: RetryPolicy, stop: Stop) -> Self {
        Self {
            inner,
            policy,
            stop,
            answered: AtomicBool::new(false),
        }
    }

    /// `work` is told whether an attempt before it failed.
    fn again<T>(&self, work: impl Fn(bool) -> Result<T>) -> Result<T> {
        let began = Instant::now();
        let mut pause = self.policy.first_pause;
        let mut failed = false;
        loop {
            let (place, reason) = match work(failed) {
                Err(StoreError::Unreachable { place, reason }) => (place, reason),
                other => {
                    let first = !self.answered.swap(true, Ordering::Relaxed);
                    if failed && !first {
                        tracing::info!("{} answers again", self.inner.location());
                    }
                    return other;
                }
            };
            let total = if self.answered.load(Ordering::Relaxed) {
                self.policy.total
            } else {
                self.policy.at_first
            };
            let left = total.saturating_sub(began.elapsed());
            if left.is_zero() || self.stop.is_set() {
                return Err(StoreError::Unreachable { place, reason });
            }
            let wait = jitter(pause).min(left);
            if began.elapsed() + wait >= TELL_AFTER {
                tracing::warn!(
                    "{place} does not answer ({reason}); trying again for {} s more",
                    left.as_secs().max(1)
                );
            }
            self.sleep(wait);
            pause = (pause * 2).min(self.policy.longest_pause);
            failed = true;
        }
    }

    fn locking<T>(&self, work: impl Fn(&dyn ObjectLock) -> Result<T>) -> Result<T> {
        self.again(|_| match self.inner.object_lock() {
            Some(lock) => work(lock),
            None => Err(StoreError::NoLock {
                place: self.inner.location(),
                reason: "only S3 has Object Lock".to_owned(),
            }),
        })
    }

    fn sleep(&self, wait: Duration) {
        let until = Instant::now() + wait;
        while !self.stop.is_set() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            std::thread::sleep(left.min(TICK));
        }
    }
}

/// Between half and all of it. No secret hangs on this randomness.
fn jitter(pause: Duration) -> Duration {
    let random = RandomState::new().build_hasher().finish();
    pause.mul_f64(0.5 + 0.5 * (random as f64 / u64::MAX as f64))
}

/// Only for a store that has it.
impl ObjectLock for RetryStore {
    fn possible(&self) -> Result<()> {
        self.locking(|lock| lock.possible())
    }

    fn keep(&self, policy: LockPolicy) {
        if let Some(lock) = self.inner.object_lock() {
            lock.keep(policy);
        }
    }

    fn extend(&self, name: &ObjectName, until: i64) -> Result<()> {
        self.locking(|lock| lock.extend(name, until))
    }

    fn locked_until(&self, name: &ObjectName) -> Result<Option<i64>> {
        self.locking(|lock| lock.locked_until(name))
    }

    fn sweep(&self) -> Result<u64> {
        self.locking(|lock| lock.sweep())
    }

    fn bring_back(&self) -> Result<Vec<ObjectName>> {
        self.locking(|lock| lock.bring_back())
    }
}

impl Store for RetryStore {
    fn location(&self) -> String {
        self.inner.location()
    }

    fn create(&self) -> Result<()> {
        self.again(|_| self.inner.create())
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<()> {
        self.again(|failed| match self.inner.put(name, bytes) {
            Err(StoreError::AlreadyExists(said)) if failed => match self.inner.get(name) {
                Ok(there) if there == bytes => Ok(()),
                Ok(_) | Err(StoreError::NotFound(_)) => Err(StoreError::AlreadyExists(said)),
                Err(e) => Err(e),
            },
            other => other,
        })
    }

    fn get(&self, name: &ObjectName) -> Result<Vec<u8>> {
        self.again(|_| self.inner.get(name))
    }

    fn get_range(&self, name: &ObjectName, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.again(|_| self.inner.get_range(name, offset, length))
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        self.again(|_| self.inner.size(name))
    }

    fn list(&self, area: Area) -> Result<Vec<ObjectInfo>> {
        self.again(|_| self.inner.list(area))
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        self.again(|failed| match self.inner.delete(name) {
            Err(StoreError::NotFound(_)) if failed => Ok(()),
            other => other,
        })
    }

    fn modified(&self, name: &ObjectName) -> Result<Option<i64>> {
        self.again(|_| self.inner.modified(name))
    }

    fn probe(&self) -> Result<Capabilities> {
        self.again(|_| self.inner.probe())
    }

    fn lists_at_once(&self) -> bool {
        self.inner.lists_at_once()
    }

    fn server_time(&self) -> Option<i64> {
        self.inner.server_time()
    }

    fn object_lock(&self) -> Option<&dyn ObjectLock> {
        self.inner.object_lock().map(|_| self as &dyn ObjectLock)
    }

    fn may_delete(&self) -> Result<bool> {
        self.again(|_| self.inner.may_delete())
    }

    fn is_remote(&self) -> bool {
        self.inner.is_remote()
    }

    fn free_space(&self) -> Option<u64> {
        self.inner.free_space()
    }
}
