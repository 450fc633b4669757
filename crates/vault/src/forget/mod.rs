//! Snapshots are deleted, pinned and released.
//!
//! Forgetting needs no more than a shared lock: it deletes snapshot files and touches no data, so backups and restores
//! go on beside it. What only a forgotten point needed is freed by [`crate::prune`].
//!
//! Pinning writes the snapshot again with another tag (every field of other programs is kept) and then deletes the old
//! one; `original` names the first, as restic has it. What a crash leaves: both, and the same command run again deletes
//! the old one.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use lifeboat_store::{Area, StoreError};
use serde_json::{Value, json};

use crate::{
    error::{Result, VaultError},
    id::SnapshotId,
    index::is_gone,
    lock::{self, LockMode},
    node::Timestamp,
    repo::Vault,
    snapshot::{Delete, Snapshot, TAG_PIN},
    unpacked::object_name,
};

impl Vault {
    /// Deletes snapshots, in this order, and returns those that were there. What is protected
    /// ([`Snapshot::protected`]) is refused before anything is deleted, and looked at again before each deletion.
    /// Once `stop` is set it ends at the next one.
    pub fn forget(
        &self,
        ids: &[SnapshotId],
        retry_lock: Duration,
        stop: &AtomicBool,
    ) -> Result<Vec<SnapshotId>> {
        let stopped = || stop.load(Ordering::Relaxed);
        let lock = lock::acquire_unless(&self.0, LockMode::Shared, retry_lock, &stopped)?;
        self.refuse_locked(ids)?;
        for id in ids {
            self.refuse_protected(*id)?;
        }
        self.refuse_append_only()?;
        let mut forgotten = Vec::with_capacity(ids.len());
        for id in ids {
            if stopped() {
                return Err(VaultError::Interrupted("the forgetting".to_owned()));
            }
            lock.confirm()?;
            self.refuse_protected(*id)?;
            if self.delete_snapshot(*id)? {
                forgotten.push(*id);
            }
        }
        Ok(forgotten)
    }

    /// A store that locks would only hide them.
    fn refuse_locked(&self, ids: &[SnapshotId]) -> Result<()> {
        let locked = self.locked_points(ids)?;
        match locked.iter().max_by_key(|(_, until)| **until) {
            None => Ok(()),
            Some((id, until)) => Err(VaultError::Unsupported(format!(
                "{} of these points cannot be deleted yet, by nobody: the store keeps point {} until {}; nothing was forgotten",
                locked.len(),
                id.short(),
                Timestamp {
                    secs: *until,
                    nanos: 0
                }
                .to_rfc3339()
            ))),
        }
    }

    /// Before anything is begun that ends with a deletion.
    pub(crate) fn refuse_append_only(&self) -> Result<()> {
        match self.0.store.may_delete() {
            Ok(true) => Ok(()),
            Ok(false) => Err(VaultError::Unsupported(format!(
                "{} is append-only for who comes with these credentials, and nothing was changed; forget and prune where the vault's own files can be reached, or with credentials that may delete",
                self.location()
            ))),
            Err(e) => Err(VaultError::store("try whether anything may be deleted")(e)),
        }
    }

    fn refuse_protected(&self, id: SnapshotId) -> Result<()> {
        let snapshot = match self.snapshot(id) {
            // What cannot be read protects nothing, and is nobody's last hope.
            Err(VaultError::Damaged { .. } | VaultError::NoSnapshot(_)) => return Ok(()),
            other => other?,
        };
        match snapshot.protected(self.0.now()) {
            None => Ok(()),
            Some(why) => Err(VaultError::Unsupported(format!(
                "point {} is not forgotten: {why}; `lifeboat unpin {}` releases it",
                id.short(),
                id.short()
            ))),
        }
    }

    /// Whether it was there.
    fn delete_snapshot(&self, id: SnapshotId) -> Result<bool> {
        match self.0.store.delete(&object_name(Area::Snapshots, &id.0)?) {
            Ok(()) => Ok(true),
            Err(StoreError::NotFound(_)) => Ok(false),
            Err(e) => Err(VaultError::store(format!("forget point {}", id.short()))(e)),
        }
    }

    /// Pins a snapshot, or releases it. Its id changes: the new one is returned, the old one if nothing was to be done.
    pub fn pin(&self, id: SnapshotId, pinned: bool, retry_lock: Duration) -> Result<SnapshotId> {
        self.0.refuse_version_1()?;
        let lock = lock::acquire(&self.0, LockMode::Shared, retry_lock)?;
        let name = object_name(Area::Snapshots, &id.0)?;
        let before = self.snapshot(id)?;
        let raw = match self.0.load_unpacked(&name) {
            // Another pinned it meanwhile, under another id.
            Err(error) if is_gone(&error) => return Err(VaultError::NoSnapshot(id.to_hex())),
            raw => raw?,
        };
        let not_json = |e| VaultError::damaged(name.to_string(), format!("its JSON: {e}"));
        let mut raw: Value = serde_json::from_slice(&raw).map_err(not_json)?;
        if !change(&mut raw, &before, id, pinned) {
            return Ok(id);
        }
        let changed: Snapshot = serde_json::from_value(raw.clone()).map_err(not_json)?;
        // A point that is made now is locked from now on; so is what it needs.
        if let (Some(root), true) = (changed.tree, self.lock_policy().is_some()) {
            let index = self.0.load_index()?.whole()?;
            self.0.lock_tree(&index, root)?;
        }
        lock.confirm()?;
        // A run that died between the two has written it already.
        let twin = self
            .snapshots()?
            .found
            .into_iter()
            .find(|(_, s)| *s == changed);
        let new = match twin {
            Some((twin, _)) => twin,
            None => {
                let json = serde_json::to_vec(&raw).map_err(not_json)?;
                SnapshotId(self.0.save_unpacked(Area::Snapshots, &json)?)
            }
        };
        // A prune must not find neither.
        self.0.settle();
        lock.confirm()?;
        self.delete_snapshot(id)?;
        Ok(new)
    }

    /// When a snapshot was stored, in seconds since 1970 by the store's own clock, where it tells.
    pub fn stored_at(&self, id: SnapshotId) -> Result<Option<i64>> {
        let name = object_name(Area::Snapshots, &id.0)?;
        match self.0.store.modified(&name) {
            Err(StoreError::NotFound(_)) => Ok(None),
            other => other.map_err(VaultError::store(format!("look at {name}"))),
        }
    }
}

/// Makes the JSON say that it is pinned, or not. Whether that was a change.
fn change(raw: &mut Value, before: &Snapshot, id: SnapshotId, pinned: bool) -> bool {
    let mut tags = before.tags.clone();
    tags.retain(|tag| tag != TAG_PIN);
    let delete = match (&before.delete, pinned) {
        // So that rustic keeps it as well.
        (Delete::NotSet, true) => Some(Delete::Never),
        (Delete::Never, false) => Some(Delete::NotSet),
        _ => None,
    };
    if pinned {
        tags.push(TAG_PIN.to_owned());
    }
    if tags.len() == before.tags.len() && delete.is_none() {
        return false;
    }
    let Some(fields) = raw.as_object_mut() else {
        return false;
    };
    match tags.is_empty() {
        true => drop(fields.shift_remove("tags")),
        false => drop(fields.insert("tags".to_owned(), json!(tags))),
    }
    match delete {
        Some(Delete::Never) => drop(fields.insert("delete".to_owned(), json!("Never"))),
        Some(_) => drop(fields.shift_remove("delete")),
        None => {}
    }
    fields
        .entry("original")
        .or_insert_with(|| json!(id.to_hex()));
    true
}
