//! Who is at work in the vault, as a prune must know it.

use std::collections::BTreeMap;

use super::{
    age::{Age, Ages},
    file::{self, LockFile},
};
use crate::{error::Result, opened::Core};

/// Who holds a lock.
#[derive(Debug, Default)]
pub(crate) struct Present {
    /// Leases by id, with who holds each, for people. Without those asked to be left out.
    pub(crate) leases: BTreeMap<String, String>,
    /// When the earliest of them began, RFC 3339, by the clock of its holder.
    pub(crate) earliest: Option<String>,
    /// Holders of locks without a lease.
    pub(crate) foreign: Vec<String>,
}

/// Removes our leases that are dead or too old to count, then says who is there.
///
/// In this order: a session whose lease is taken away finds it gone when it commits, and one that renews it at this
/// very moment either shows in the second listing or finds out itself.
pub(crate) fn present(core: &Core, own: &[String]) -> Result<Present> {
    let mut ages = Ages::new(core, None)?;
    let is_old = |ages: &Ages<'_>, id, lock: &LockFile| -> Result<bool> {
        Ok(match ages.of(id, lock)? {
            Age::Odd => ages.by_clock(lock) == Age::Old,
            age => age == Age::Old,
        })
    };
    let mut removed = false;
    let found = file::survey(core)?;
    for (id, _) in found.iter().filter(|(_, lock)| is_one_of(lock, own)) {
        ages.compare_with(*id)?;
    }
    for (id, lock) in found {
        if lock.lease.is_none() || is_one_of(&lock, own) {
            continue;
        }
        if lock.is_dead(&core.env) || is_old(&ages, id, &lock)? {
            tracing::warn!(holder = lock.holder(), "remove a lock that was not renewed");
            file::remove(core, id)?;
            removed = true;
        }
    }
    if removed {
        core.settle();
    }
    let mut present = Present::default();
    for (id, lock) in file::survey(core)? {
        if is_one_of(&lock, own) {
            continue;
        }
        let holder = lock.holder();
        match lock.lease {
            Some(lease) => {
                let earlier = |e: &String| *e <= lease.began;
                if !present.earliest.as_ref().is_some_and(earlier) {
                    present.earliest = Some(lease.began);
                }
                present.leases.insert(lease.id, holder);
            }
            None if is_old(&ages, id, &lock)? => {}
            None => present.foreign.push(holder),
        }
    }
    Ok(present)
}

fn is_one_of(lock: &LockFile, own: &[String]) -> bool {
    lock.lease.as_ref().is_some_and(|l| own.contains(&l.id))
}
