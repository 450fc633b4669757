//! Whether a lock was not renewed for so long that it belongs to nobody, whatever clock is wrong.
//!
//! The time in a lock is of its holder's clock, and is compared with ours; an hour between the two, and a backup would
//! pass by a `restic prune` that is at work. So where these two say something odd (older than half an hour, or not yet
//! written), the store is asked, which knows by one clock when this lock was put and when ours was. Where a store does
//! not tell, our clock must do.

use lifeboat_store::{Area, StoreError};

use super::file::{LockFile, STALE_AFTER_SECS};
use crate::{
    error::{Result, VaultError},
    id::LockId,
    node::Timestamp,
    opened::Core,
    unpacked::object_name,
};

/// Clocks may differ by so much before the store is asked.
const TOLERANCE_SECS: i64 = 60;

/// The times to compare with.
pub(super) struct Ages<'a> {
    core: &'a Core,
    now: Timestamp,
    /// When a lock of ours was stored, by the store's clock.
    stored: Option<i64>,
}

/// What can be said of a lock's age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Age {
    /// It counts.
    Fresh,
    /// It belongs to nobody.
    Old,
    /// The clocks say odd things, and there is nothing to compare with yet.
    Odd,
}

impl<'a> Ages<'a> {
    /// `own`: a lock of ours that is there, to compare with.
    pub(super) fn new(core: &'a Core, own: Option<LockId>) -> Result<Ages<'a>> {
        let now = core.env.clock.now();
        let mut ages = Ages {
            core,
            now,
            stored: None,
        };
        if let Some(own) = own {
            ages.stored = ages.stored_at(own)?;
        }
        Ok(ages)
    }

    /// A further lock of ours: the youngest counts.
    pub(super) fn compare_with(&mut self, own: LockId) -> Result<()> {
        self.stored = self.stored.max(self.stored_at(own)?);
        Ok(())
    }

    /// How old a lock is; whether there is anything but clocks to compare with.
    pub(super) fn of(&self, id: LockId, lock: &LockFile) -> Result<Age> {
        let Some(time) = Timestamp::parse_rfc3339(&lock.time) else {
            return Ok(Age::Fresh);
        };
        let age = self.now.secs.saturating_sub(time.secs);
        if (-TOLERANCE_SECS..=STALE_AFTER_SECS).contains(&age) {
            return Ok(Age::Fresh);
        }
        let Some(ours) = self.stored else {
            return Ok(Age::Odd);
        };
        Ok(match self.stored_at(id)? {
            Some(its) if ours.saturating_sub(its) > STALE_AFTER_SECS => Age::Old,
            Some(_) => Age::Fresh,
            None => self.by_clock(lock),
        })
    }

    /// By our clock alone.
    pub(super) fn by_clock(&self, lock: &LockFile) -> Age {
        match lock.is_old(self.now) {
            true => Age::Old,
            false => Age::Fresh,
        }
    }

    fn stored_at(&self, id: LockId) -> Result<Option<i64>> {
        match self.core.store.modified(&object_name(Area::Locks, &id.0)?) {
            Err(StoreError::NotFound(_)) => Ok(None),
            other => other.map_err(VaultError::store("look when a lock was written")),
        }
    }
}
