//! A lock that is held, and the thread that keeps it fresh.

use std::{
    sync::{Arc, atomic::Ordering},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use parking_lot::{Condvar, Mutex};

use super::{
    LockMode, check,
    file::{self, LockFile, STALE_AFTER_SECS},
};
use crate::{
    error::{Result, VaultError},
    id::LockId,
    opened::Core,
};

/// Renewed so often (restic's figure).
const RENEW_EVERY: Duration = Duration::from_secs(5 * 60);
/// Not renewed for so long, it belongs to nobody.
const STALE_AFTER: Duration = Duration::from_secs(STALE_AFTER_SECS.cast_unsigned());
/// After a failed renewal.
const RETRY_AFTER: Duration = Duration::from_secs(20);

/// A lock that is held. Dropped, it is removed; unless a write failed meanwhile and may arrive yet ([`Core::doubts`]):
/// then what that rests on must not be deleted, and a lease stays.
pub struct HeldLock {
    shared: Arc<Shared>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    core: Arc<Core>,
    mode: LockMode,
    state: Mutex<State>,
    checked: Condvar,
}

struct State {
    lock: LockFile,
    id: LockId,
    /// When the file that is there now was written, by [`Clock::uptime`](crate::Clock::uptime).
    written: Duration,
    /// The second check has been made.
    second_check: bool,
    /// Why it does not hold any more.
    lost: Option<Lost>,
    /// [`Core::doubts`] when it was taken.
    doubts: u64,
}

#[derive(Clone)]
enum Lost {
    /// Another lock was there first.
    Conflict(String),
    /// Removed by another, or not renewed in time.
    Gone(String),
}

impl HeldLock {
    pub(super) fn new(core: Arc<Core>, mode: LockMode, lock: LockFile, id: LockId) -> Result<Self> {
        let second_check = core.listing_lag().is_zero();
        let state = State {
            lock,
            id,
            written: core.env.clock.uptime(),
            second_check,
            lost: None,
            doubts: core.doubts.load(Ordering::SeqCst),
        };
        let shared = Arc::new(Shared {
            core,
            mode,
            state: Mutex::new(state),
            checked: Condvar::new(),
        });
        let mut held = HeldLock {
            shared: shared.clone(),
            stop: None,
            thread: None,
        };
        if !shared.core.env.threads {
            return Ok(held);
        }
        let (stop, stopped) = crossbeam_channel::bounded(0);
        // Should the thread not start, dropping `held` removes the lock.
        held.thread = Some(crate::write::pool::spawn(
            "vault-lock".to_owned(),
            move || {
                shared.keep(&stopped);
            },
        )?);
        held.stop = Some(stop);
        Ok(held)
    }

    /// The id that stays the same through all renewals.
    pub(crate) fn lease(&self) -> String {
        let state = self.shared.state.lock();
        let lease = state.lock.lease.as_ref();
        lease.map(|lease| lease.id.clone()).unwrap_or_default()
    }

    /// Waits for the second check and makes sure that the lock has held without a gap until now.
    pub fn confirm(&self) -> Result<()> {
        let core = &self.shared.core;
        if self.thread.is_none() {
            self.shared.catch_up()?;
        }
        let mut state = self.shared.state.lock();
        while !state.second_check {
            self.shared.checked.wait(&mut state);
        }
        if state.lost.is_none() {
            // We may have been stopped or suspended just now, and the thread not have run yet.
            if core.env.clock.uptime().saturating_sub(state.written) > STALE_AFTER {
                state.lost = Some(Lost::Gone("it was not renewed in time".to_owned()));
            } else if !file::exists(core, state.id)? {
                state.lost = Some(Lost::Gone("another program removed it".to_owned()));
            }
        }
        let location = core.store.location();
        match state.lost.clone() {
            None => Ok(()),
            Some(Lost::Conflict(holder)) => Err(VaultError::Locked { location, holder }),
            Some(Lost::Gone(why)) => Err(VaultError::LockLost(location, why)),
        }
    }
}

#[cfg(test)]
impl HeldLock {
    pub(super) fn renew_now(&self) -> Result<()> {
        self.shared.renew()
    }
}

impl Drop for HeldLock {
    fn drop(&mut self) {
        self.stop = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let shared = &self.shared;
        let (id, doubts) = {
            let state = shared.state.lock();
            (state.id, state.doubts)
        };
        if shared.core.doubts.load(Ordering::SeqCst) != doubts {
            tracing::warn!(
                "it is not known what became of the last write: a lock stays while we run, for half an hour at most"
            );
            if shared.mode == LockMode::Shared {
                return;
            }
            // What must not be deleted yet is not in the way of those who write.
            let lease = LockFile::new(&shared.core.env, LockMode::Shared);
            if let Err(error) = lease.and_then(|lease| file::write(&shared.core, &lease)) {
                tracing::warn!(%error, "leave a lock");
            }
        }
        if let Err(error) = file::remove(&shared.core, id) {
            tracing::warn!(%error, "remove our lock");
        }
    }
}

impl Shared {
    /// The life of the thread: second check, then renewals.
    fn keep(&self, stop: &Receiver<()>) {
        let began = Instant::now();
        // Where listings show at once, the check that followed the writing was enough.
        let lag = self.core.listing_lag();
        if !lag.is_zero() {
            let stopped = stop.recv_timeout(lag) != Err(RecvTimeoutError::Timeout);
            if !stopped {
                self.check_again();
            }
            self.second_check_is_made();
            if stopped {
                return;
            }
        }
        let mut wait = RENEW_EVERY.saturating_sub(began.elapsed());
        while stop.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
            wait = match self.renew() {
                Ok(()) => RENEW_EVERY,
                Err(error) => {
                    tracing::warn!(%error, "renew our lock");
                    RETRY_AFTER
                }
            };
            if self.state.lock().lost.is_some() {
                return;
            }
        }
    }

    /// What the thread would have done by now, where there is none.
    fn catch_up(&self) -> Result<()> {
        let clock = &self.core.env.clock;
        if !self.state.lock().second_check {
            self.core.settle();
            self.check_again();
            self.second_check_is_made();
        }
        let age = clock.uptime().saturating_sub(self.state.lock().written);
        match age >= RENEW_EVERY {
            true => self.renew(),
            false => Ok(()),
        }
    }

    fn second_check_is_made(&self) {
        self.state.lock().second_check = true;
        self.checked.notify_all();
    }

    fn check_again(&self) {
        let own = self.state.lock().id;
        match check(&self.core, self.mode, Some(own)) {
            Err(VaultError::Locked { holder, .. }) => {
                self.state.lock().lost = Some(Lost::Conflict(holder));
            }
            Ok(()) => {}
            // The first two checks were fine; a store that is ill says so again soon enough.
            Err(error) => tracing::warn!(%error, "check locks again"),
        }
    }

    /// Writes the lock anew and, once listings show it, deletes the old one. Notices when the old one has gone.
    fn renew(&self) -> Result<()> {
        let mut state = self.state.lock();
        if self.core.env.clock.uptime().saturating_sub(state.written) > STALE_AFTER {
            state.lost = Some(Lost::Gone("it was not renewed in time".to_owned()));
            return Ok(());
        }
        if !file::exists(&self.core, state.id)? {
            state.lost = Some(Lost::Gone("another program removed it".to_owned()));
            return Ok(());
        }
        let mut lock = state.lock.clone();
        lock.time = self.core.env.clock.now().to_rfc3339();
        let written = self.core.env.clock.uptime();
        let id = file::write(&self.core, &lock)?;
        let old = std::mem::replace(&mut state.id, id);
        state.lock = lock;
        state.written = written;
        // Taken away between the first look and the writing: who did so may not have seen the new one.
        if !file::exists(&self.core, old)? {
            state.lost = Some(Lost::Gone("another program removed it".to_owned()));
            return Ok(());
        }
        drop(state);
        // Or a listing would show neither.
        self.core.settle();
        file::remove(&self.core, old)
    }
}
