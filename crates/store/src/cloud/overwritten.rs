//! Objects that somebody has written over: in a bucket that keeps all versions, the right one lies below.
//!
//! Everything but the config is named by the hash of its content, so that the right version is known by reading. Of the
//! config, which has no such name and which no program ever changes, the first that was locked is the right one.
//!
//! What lies above is deleted; where that is locked (by who wrote it), the right bytes are put on top once more, locked
//! as they are. Both can be done again after a crash.

use bytes::Bytes;
use sha2::{Digest, Sha256};

use super::{
    CloudStore,
    s3_lock::{Put, Version},
};
use crate::{Area, ObjectName, Result, Store, StoreError};

impl Version {
    /// Whether two versions hold the same bytes, as far as the server's list tells.
    pub(super) fn holds_as(&self, other: &Self) -> bool {
        self.size == other.size && self.tag == other.tag
    }
}

impl CloudStore {
    /// Makes the right version of an object the newest again. Returns whether there was anything to do.
    pub(super) fn uncover(&self, name: &ObjectName, versions: &[Version]) -> Result<bool> {
        // As the server sorts them: the newest first.
        let all: Vec<&Version> = versions.iter().filter(|v| !v.marker).collect();
        let Some((newest, older)) = all.split_first() else {
            return Ok(false);
        };
        if older.iter().all(|version| version.holds_as(newest)) {
            return Ok(false);
        }
        let Some((at, bytes)) = self.right_one(name, &all)? else {
            return Ok(false);
        };
        let (place, key, lock) = (self.location(), &newest.key, self.lock()?);
        let mut stays = false;
        for above in &all[..at] {
            let deleted = lock.delete(&place, key, Some(&above.version_id));
            match self.waiter.wait(deleted) {
                Ok(()) => {}
                Err(StoreError::Denied { .. }) => stays = true,
                Err(e) => return Err(e),
            }
        }
        if stays {
            let right = &all[at].version_id;
            let locked = self.waiter.wait(lock.lock_of(&place, key, Some(right)))?;
            let locked = locked.filter(|(_, until)| *until > self.now());
            let put = lock.put(&place, key, bytes, locked, false);
            if !matches!(self.waiter.wait(put)?, Put::Done) {
                return Err(StoreError::Unreachable {
                    place,
                    reason: "another request for the same name was in the way".to_owned(),
                });
            }
        }
        Ok(at > 0)
    }

    /// Which version is the right one, with its bytes.
    fn right_one(&self, name: &ObjectName, all: &[&Version]) -> Result<Option<(usize, Bytes)>> {
        let (place, lock) = (self.location(), self.lock()?);
        if name.area() == Area::Config {
            for first in all.iter().rev() {
                let locked = lock.lock_of(&place, &first.key, Some(&first.version_id));
                if self.waiter.wait(locked)?.is_none() {
                    continue;
                }
                // Its newest copy: it may have been put on top before.
                let at = all.iter().position(|version| version.holds_as(first));
                let at = at.unwrap_or(0);
                return Ok(Some((at, self.version(name, all[at])?)));
            }
            return Ok(None);
        }
        for (at, version) in all.iter().enumerate() {
            let bytes = match self.version(name, version) {
                // A version that is larger than anything of ours is none.
                Err(StoreError::TooLarge { .. }) => continue,
                bytes => bytes?,
            };
            if hex::encode(Sha256::digest(&bytes)) == name.id() {
                return Ok(Some((at, bytes)));
            }
        }
        Ok(None)
    }

    fn version(&self, name: &ObjectName, version: &Version) -> Result<Bytes> {
        let largest = name.area().largest();
        if version.size > largest {
            return Err(name.too_large(self.location()));
        }
        let place = self.location();
        let lock = self.lock()?;
        let read = lock.read(&place, &version.key, &version.version_id, largest);
        self.waiter.wait(read)
    }
}
