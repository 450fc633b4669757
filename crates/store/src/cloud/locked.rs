//! A bucket whose objects are locked.
//!
//! Such a bucket keeps all versions. So what is deleted goes version by version, or, where the server lets one not go,
//! is hidden by a marker: it is in no listing any more, and its bytes stay until their time is over.
//!
//! What others have written over an object is a newer version of it; [`overwritten`](super::overwritten) tells which is ours.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::{
    CloudStore,
    s3_lock::{Put, S3Lock, Version},
};
use crate::{Area, LockPolicy, ObjectLock, ObjectName, Result, Store, StoreError, probe::Raw};

impl CloudStore {
    /// How a new object is to be locked, and by whom.
    pub(super) fn locking(&self, name: &ObjectName) -> Option<(&S3Lock, (LockPolicy, i64))> {
        let lock = self.client.lock.as_ref()?;
        let policy = *lock.policy.get()?;
        let until = policy.until(name.area(), self.now())?;
        Some((lock, (policy, until)))
    }

    /// The server's clock counts: it is the server that will compare.
    pub(super) fn now(&self) -> i64 {
        self.server_time()
            .unwrap_or_else(|| jiff::Timestamp::now().as_second())
    }

    /// As [`Raw::put_unlooked`].
    pub(super) fn put_locked(
        &self,
        name: &ObjectName,
        bytes: &[u8],
        lock: &S3Lock,
        until: (LockPolicy, i64),
    ) -> Result<bool> {
        let (place, key) = (self.location(), self.key(name)?);
        let bytes = Bytes::copy_from_slice(bytes);
        let until = Some((until.0.mode, until.1));
        let put = |only_if_free| {
            let put = lock.put(&place, &key, bytes.clone(), until, only_if_free);
            self.waiter.wait(put)
        };
        match put(true)? {
            Put::Done => Ok(true),
            Put::Taken if self.is_there(name)? => Ok(false),
            // Hidden, and not every server counts that as free. Who comes second could not be kept from replacing it.
            Put::Taken if name.area() == Area::Config => Err(StoreError::NoLock {
                place,
                reason: "a vault was there, and what was deleted of it is locked still; `lifeboat repair deleted` brings it back, or name another place".to_owned(),
            }),
            Put::Taken | Put::Unknown => put(false).map(|_| true),
        }
    }

    /// What it deletes is gone for good; what may not go yet is hidden.
    pub(super) fn delete_versions(&self, name: &ObjectName, lock: &S3Lock) -> Result<()> {
        let (place, key) = (self.location(), self.key(name)?);
        let delete = |version| self.waiter.wait(lock.delete(&place, &key, version));
        let versions = self.waiter.wait(lock.versions(&place, &key))?;
        let own: Vec<_> = versions.iter().filter(|v| v.key == key).collect();
        let mut stays = false;
        for version in own.iter().filter(|version| !version.marker) {
            match delete(Some(&version.version_id)) {
                Ok(()) => {}
                Err(StoreError::Denied { .. }) => stays = true,
                Err(e) => return Err(e),
            }
        }
        let hidden = own
            .iter()
            .any(|version| version.marker && version.is_latest);
        match stays {
            true if hidden => Ok(()),
            true => delete(None),
            false => own
                .iter()
                .filter(|version| version.marker)
                .try_for_each(|marker| delete(Some(&marker.version_id))),
        }
    }

    fn key(&self, name: &ObjectName) -> Result<String> {
        Ok(self.object(name)?.to_string())
    }

    pub(super) fn lock(&self) -> Result<&S3Lock> {
        self.client.lock.as_ref().ok_or_else(|| StoreError::NoLock {
            place: self.location(),
            reason: "only S3 has Object Lock".to_owned(),
        })
    }

    fn policy(&self) -> Result<(&S3Lock, LockPolicy)> {
        let lock = self.lock()?;
        let policy = lock.policy.get().ok_or_else(|| StoreError::NoLock {
            place: self.location(),
            reason: "nobody has said how".to_owned(),
        })?;
        Ok((lock, *policy))
    }

    /// All that a vault has here, whatever is visible of it: by name, the newest first where the server sorts so.
    fn everything(&self) -> Result<BTreeMap<ObjectName, Vec<Version>>> {
        let lock = self.lock()?;
        let place = self.location();
        let mut all: BTreeMap<ObjectName, Vec<Version>> = BTreeMap::new();
        for area in Area::ALL {
            let prefix = self.path(area.as_str())?.to_string();
            for version in self.waiter.wait(lock.versions(&place, &prefix))? {
                let id = version.key.rsplit('/').next().unwrap_or_default();
                let name = match area {
                    Area::Config => Some(ObjectName::config()),
                    area => ObjectName::new(area, id),
                };
                // What lies elsewhere is not ours.
                let name = name.filter(|n| self.key(n).is_ok_and(|key| key == version.key));
                if let Some(name) = name {
                    all.entry(name).or_default().push(version);
                }
            }
        }
        Ok(all)
    }
}

impl ObjectLock for CloudStore {
    fn possible(&self) -> Result<()> {
        self.waiter.wait(self.lock()?.possible(&self.location()))
    }

    fn keep(&self, policy: LockPolicy) {
        if let Some(lock) = &self.client.lock {
            let _ = lock.policy.set(policy);
        }
    }

    fn extend(&self, name: &ObjectName, until: i64) -> Result<()> {
        let (lock, policy) = self.policy()?;
        let (key, place) = (self.key(name)?, self.location());
        let extended = lock.extend(&place, &key, (policy, until));
        self.waiter.wait(extended).map_err(|e| of(name, e))
    }

    fn locked_until(&self, name: &ObjectName) -> Result<Option<i64>> {
        let key = self.key(name)?;
        let place = self.location();
        let lock = self.lock()?.lock_of(&place, &key, None);
        let lock = self.waiter.wait(lock).map_err(|e| of(name, e))?;
        Ok(lock.map(|(_, until)| until))
    }

    fn sweep(&self) -> Result<u64> {
        let (lock, place) = (self.lock()?, self.location());
        let mut swept = 0;
        for (name, versions) in self.everything()? {
            let mut stays = false;
            let newest = versions.iter().find(|v| !v.marker && v.is_latest);
            // Somebody wrote over it, and what is below may be ours: that is for `bring_back` to tell.
            let written_over = |version: &Version| {
                name.area() != Area::Locks && newest.is_some_and(|new| !new.holds_as(version))
            };
            let hidden = |version: &&Version| {
                !version.marker && !version.is_latest && !written_over(version)
            };
            for version in versions.iter().filter(hidden) {
                let deleted = lock.delete(&place, &version.key, Some(&version.version_id));
                match self.waiter.wait(deleted) {
                    Ok(()) => swept += 1,
                    Err(StoreError::Denied { .. }) => stays = true,
                    Err(e) => return Err(e),
                }
            }
            // A marker that hides nothing any more.
            stays |= versions.iter().any(|v| !v.marker && v.is_latest);
            for marker in versions.iter().filter(|v| v.marker && !stays) {
                let deleted = lock.delete(&place, &marker.key, Some(&marker.version_id));
                self.waiter.wait(deleted)?;
            }
        }
        Ok(swept)
    }

    fn bring_back(&self) -> Result<Vec<ObjectName>> {
        let (lock, place) = (self.lock()?, self.location());
        let mut back = Vec::new();
        for (name, versions) in self.everything()? {
            if name.area() == Area::Locks {
                continue;
            }
            let uncovered = self.uncover(&name, &versions)?;
            let hidden = versions.iter().any(|v| v.marker && v.is_latest)
                && versions.iter().any(|v| !v.marker);
            if !hidden && !uncovered {
                continue;
            }
            for marker in versions.iter().filter(|v| v.marker) {
                let deleted = lock.delete(&place, &marker.key, Some(&marker.version_id));
                self.waiter.wait(deleted)?;
            }
            back.push(name);
        }
        Ok(back)
    }
}

/// An error that names the object as a vault does.
fn of(name: &ObjectName, error: StoreError) -> StoreError {
    match error {
        StoreError::NotFound(_) => StoreError::NotFound(name.to_string()),
        other => other,
    }
}
