//! Locks, as restic has them, so that its exclusive operations never run beside our sessions.
//!
//! Lock and lease are one object: a valid restic lock with one more field of ours. Taking one is
//! check, write, check again. Where a store's listings lag, one more check runs 200 ms later (2 s where the lag was
//! seen) on the lock's own thread, so that a session starts at once, and [`HeldLock::confirm`] (which every commit
//! calls) waits for it. Held locks are renewed every five minutes (the new one is written, and shows in listings,
//! before the old is deleted). Who is alone waits once more, so that no listing misses what others had just written.
//!
//! Which may run beside which (`yes`: beside each other):
//!
//! | | [`Shared`](LockMode::Shared) | [`Prune`](LockMode::Prune) | [`Delete`](LockMode::Delete) | [`Exclusive`](LockMode::Exclusive) | restic shared | restic exclusive |
//! | --- | --- | --- | --- | --- | --- | --- |
//! | `Shared` | yes | yes | yes | no | yes | no |
//! | `Prune` | yes | no | no | no | yes | no |
//! | `Delete` | yes | yes | no | no | no | no |
//! | `Exclusive` | no | no | no | no | no | no |
//!
//! A `Prune` that runs takes `Delete` beside its own lock. A lock that was not renewed for 30 minutes no longer counts.
//!
//! What a crash leaves: the lock of a dead process. Leases of this host's dead processes are removed
//! whenever a lock is taken, all of ours that are older than 30 minutes by [`remove_stale`] and by a prune before it
//! deletes (`present`): whoever still lives then finds its lock gone when it confirms, whatever clock is wrong (`age`).
//! Locks without a lease (another program's) are never removed by us.

mod age;
mod file;
mod keeper;
mod present;
mod process;

pub use keeper::HeldLock;
pub(crate) use present::{Present, present};

use std::{sync::Arc, time::Duration};

use self::{
    age::{Age, Ages},
    file::LockFile,
};
use crate::{
    error::{Result, VaultError},
    id::LockId,
    opened::Core,
};

/// Between two looks at a lock that is in the way.
const POLL: Duration = Duration::from_millis(500);

/// How a lock is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockMode {
    /// To read and to write.
    Shared,
    /// To mark and to repack: beside shared ones, but one at a time.
    Prune,
    /// To delete what was marked: other programs see it as exclusive, our sessions go on beside it.
    Delete,
    /// Alone.
    Exclusive,
}

/// Takes a lock; waits up to `retry` for one that is in the way.
pub fn acquire(core: &Arc<Core>, mode: LockMode, retry: Duration) -> Result<HeldLock> {
    acquire_unless(core, mode, retry, &|| false)
}

/// The same; waits no longer once `stopped`.
pub fn acquire_unless(
    core: &Arc<Core>,
    mode: LockMode,
    retry: Duration,
    stopped: &dyn Fn() -> bool,
) -> Result<HeldLock> {
    let clock = &core.env.clock;
    let began = clock.uptime();
    loop {
        let waited = || clock.uptime().saturating_sub(began);
        match try_acquire(core, mode) {
            Err(VaultError::Locked { .. }) if waited() < retry && !stopped() => {
                let left = retry.saturating_sub(waited());
                // Two that gave way to each other must not meet again for ever.
                let mut dice = [0];
                core.env.random.fill(&mut dice)?;
                let wait = POLL + Duration::from_millis(u64::from(dice[0]));
                clock.sleep(left.min(wait));
            }
            other => return other,
        }
    }
}

fn try_acquire(core: &Arc<Core>, mode: LockMode) -> Result<HeldLock> {
    check(core, mode, None)?;
    let lock = LockFile::new(&core.env, mode)?;
    let id = file::write(core, &lock)?;
    let held = HeldLock::new(core.clone(), mode, lock, id)?;
    // Of two programs that write, then list, at least one sees the other; both may.
    check(core, mode, Some(id))?;
    if matches!(mode, LockMode::Exclusive | LockMode::Delete) {
        held.confirm()?;
    }
    if mode == LockMode::Exclusive {
        // What those have written who ended just before: no listing may miss it now.
        core.settle();
    }
    Ok(held)
}

/// Refuses where another lock is in the way; removes leases of dead processes of this host.
fn check(core: &Core, mode: LockMode, own: Option<LockId>) -> Result<()> {
    let ages = Ages::new(core, own)?;
    for (id, lock) in file::survey(core)? {
        if Some(id) == own {
            continue;
        }
        if lock.is_dead(&core.env) {
            // Harmless where we may not: it is in nobody's way whom we care for.
            if let Err(error) = file::remove(core, id) {
                tracing::debug!(%error, "remove the lock of a dead process");
            }
            continue;
        }
        if !lock.is_in_the_way_of(mode) {
            continue;
        }
        let age = match (ages.of(id, &lock)?, own) {
            // Once ours is there as well, there is more to compare with.
            (Age::Odd, None) => continue,
            (Age::Odd, Some(_)) => ages.by_clock(&lock),
            (age, _) => age,
        };
        if age == Age::Old {
            tracing::warn!(
                holder = lock.holder(),
                "pass over a lock that was not renewed for long"
            );
        } else {
            let location = core.store.location();
            return Err(VaultError::Locked {
                location,
                holder: lock.holder(),
            });
        }
    }
    Ok(())
}

/// Removes leases of this host's dead processes, and any lease older than 30 minutes. Returns how
/// many.
pub fn remove_stale(core: &Arc<Core>) -> Result<usize> {
    let ages = Ages::new(core, None)?;
    let mut removed = 0;
    for (id, lock) in file::survey(core)? {
        let old = || ages.by_clock(&lock) == Age::Old;
        if lock.lease.is_some() && (lock.is_dead(&core.env) || old()) {
            file::remove(core, id)?;
            removed += 1;
        }
    }
    Ok(removed)
}

#[cfg(test)]
mod tests;
