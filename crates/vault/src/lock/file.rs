//! Lock files: restic's JSON, with one more field of ours, `lease`, which restic ignores.

use std::{
    collections::{BTreeMap, BTreeSet},
    num::NonZeroU64,
};

use lifeboat_store::{Area, ObjectName, StoreError};
use serde::{Deserialize, Serialize};

use super::{LockMode, process};
use crate::{
    env::Environment,
    error::{Result, VaultError},
    id::LockId,
    node::Timestamp,
    opened::Core,
    unpacked::object_name,
};

/// A lock that has not been renewed for so long belongs to nobody (restic's figure).
pub(super) const STALE_AFTER_SECS: i64 = 30 * 60;

/// The content of a lock file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct LockFile {
    pub(super) time: String,
    #[serde(default)]
    pub(super) exclusive: bool,
    #[serde(default)]
    pub(super) hostname: String,
    #[serde(default)]
    pub(super) username: String,
    #[serde(default)]
    pub(super) pid: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) uid: u32,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) gid: u32,
    /// Ours alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) lease: Option<Lease>,
}

/// What makes a lock a lease of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lease {
    /// Random; the same through all renewals.
    pub(super) id: String,
    /// RFC 3339: when the session began. Renewals move `time`, never this.
    pub(super) began: String,
    /// Where `pid` means something.
    #[serde(default)]
    pub(super) scope: String,
    /// Start time of the process, so that a reused pid is not taken for it.
    #[serde(default)]
    pub(super) started: Option<NonZeroU64>,
    /// What it is held for, where that is more than reading and writing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) role: Option<Role>,
}

/// What a lease is held for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Role {
    /// Marks and repacks: one at a time.
    Prune,
    /// Deletes what was marked: keeps other programs out, but not our sessions.
    Delete,
    /// Of a later version: what `exclusive` says counts.
    #[serde(other)]
    Unknown,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl LockFile {
    /// A new lock of this process.
    pub(super) fn new(env: &Environment, mode: LockMode) -> Result<LockFile> {
        let mut id = [0; 16];
        env.random.fill(&mut id)?;
        let now = env.clock.now().to_rfc3339();
        let lease = Lease {
            id: hex::encode(id),
            began: now.clone(),
            // What replays a run must not differ from process to process.
            scope: env.threads.then(process::scope).unwrap_or_default(),
            started: env
                .threads
                .then(|| process::start_time(env.pid))
                .flatten()
                .and_then(NonZeroU64::new),
            role: match mode {
                LockMode::Prune => Some(Role::Prune),
                LockMode::Delete => Some(Role::Delete),
                LockMode::Shared | LockMode::Exclusive => None,
            },
        };
        Ok(LockFile {
            time: now,
            exclusive: matches!(mode, LockMode::Exclusive | LockMode::Delete),
            hostname: env.hostname.clone(),
            username: env.username.clone(),
            pid: env.pid,
            uid: env.uid,
            gid: env.gid,
            lease: Some(lease),
        })
    }

    /// Who holds it, for people.
    pub(super) fn holder(&self) -> String {
        format!(
            "PID {} on {} by {} since {}",
            self.pid, self.hostname, self.username, self.time
        )
    }

    /// Whether one who wants `mode` cannot have it while this lock is held.
    pub(super) fn is_in_the_way_of(&self, mode: LockMode) -> bool {
        let Some(lease) = &self.lease else {
            return self.exclusive || matches!(mode, LockMode::Delete | LockMode::Exclusive);
        };
        match (mode, lease.role) {
            (LockMode::Exclusive, _)
            | (LockMode::Delete, Some(Role::Delete))
            | (LockMode::Prune, Some(Role::Prune | Role::Delete)) => true,
            (LockMode::Shared, Some(Role::Delete)) => false,
            _ => self.exclusive,
        }
    }

    /// Not renewed for half an hour. A time that does not parse is not old.
    pub(super) fn is_old(&self, now: Timestamp) -> bool {
        Timestamp::parse_rfc3339(&self.time)
            .is_some_and(|time| now.secs.saturating_sub(time.secs) > STALE_AFTER_SECS)
    }

    /// Whether this is a lease of ours whose process is known to have ended.
    pub(super) fn is_dead(&self, env: &Environment) -> bool {
        let Some(lease) = &self.lease else {
            return false;
        };
        if self.hostname != env.hostname || lease.scope.is_empty() {
            return false;
        }
        let scope = process::scope();
        // Another boot or pid name space under the same host name: the age must decide.
        if lease.scope != scope {
            return false;
        }
        match (process::start_time(self.pid), lease.started) {
            (None, _) => true,
            (Some(now), Some(then)) => now != then.get(),
            (Some(_), None) => false,
        }
    }
}

/// How often locks are listed again because one went between listing and reading.
const MOST_ROUNDS: usize = 10;

/// All locks of the vault. One that cannot be read is an error, but for one that is empty (left by
/// a crash on a file system that does not keep its word) or has gone meanwhile: it may have been renewed, under a name
/// that the listing does not have, so then they are listed again.
pub(super) fn survey(core: &Core) -> Result<Vec<(LockId, LockFile)>> {
    let mut locks = BTreeMap::new();
    let mut gone = BTreeSet::new();
    for _ in 0..MOST_ROUNDS {
        let listed = core
            .store
            .list(Area::Locks)
            .map_err(VaultError::store("list locks"))?;
        let mut again = false;
        for object in listed {
            let mut id = [0; 32];
            if object.size == 0 || hex::decode_to_slice(object.name.id(), &mut id).is_err() {
                continue;
            }
            if locks.contains_key(&id) || gone.contains(&id) {
                continue;
            }
            match read(core, &object.name)? {
                Some(lock) => drop(locks.insert(id, lock)),
                None => again |= gone.insert(id),
            }
        }
        if !again {
            break;
        }
    }
    Ok(locks.into_iter().map(|(id, l)| (LockId(id), l)).collect())
}

/// A lock; `None` if it is not there any more.
fn read(core: &Core, name: &ObjectName) -> Result<Option<LockFile>> {
    let json = match core.load_unpacked(name) {
        Ok(json) => json,
        Err(VaultError::Store {
            source: StoreError::NotFound(_),
            ..
        }) => return Ok(None),
        Err(e) => return Err(e),
    };
    serde_json::from_slice(&json)
        .map(Some)
        .map_err(|e| VaultError::damaged(name.to_string(), format!("its JSON does not parse: {e}")))
}

/// Writes a lock file.
pub(super) fn write(core: &Core, lock: &LockFile) -> Result<LockId> {
    let json =
        serde_json::to_vec(lock).map_err(|e| VaultError::Invalid(format!("write a lock: {e}")))?;
    Ok(LockId(core.save_unpacked(Area::Locks, &json)?))
}

/// Whether a lock file is there.
pub(super) fn exists(core: &Core, id: LockId) -> Result<bool> {
    match core.store.size(&object_name(Area::Locks, &id.0)?) {
        Ok(_) => Ok(true),
        Err(StoreError::NotFound(_)) => Ok(false),
        Err(e) => Err(VaultError::store("look for our lock")(e)),
    }
}

/// Removes a lock file; one that has gone already is fine.
pub(super) fn remove(core: &Core, id: LockId) -> Result<()> {
    match core.store.delete(&object_name(Area::Locks, &id.0)?) {
        Ok(()) | Err(StoreError::NotFound(_)) => Ok(()),
        Err(e) => Err(VaultError::store("remove a lock")(e)),
    }
}
