//! What is kept near of a vault that lies far away: index files, snapshots, and the packs that hold trees.
//!
//! What is kept is what the vault has, sealed, and is checked as if it came from there: a file against its name, a blob
//! against its hash. What does not match is deleted and read from the vault. What the vault has no more is taken out
//! when its listing is read. Only what a listing has just shown is asked of the cache, so that what was deleted is not
//! thought to be there. Who wants to know what the vault itself holds (check, repair) opens it without a cache.
//!
//! The first tree that is read of a pack brings the whole pack: a walk asks for most of them, one request each.

use std::{io, path::Path, sync::Arc};

use lifeboat_store::{Area, Cache, ObjectName};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use crate::{
    error::Result, id::PackId, index::BlobLocation, opened::Core, repo::Vault,
    unpacked::object_name,
};

/// Packs of trees that are larger are read a tree at a time: no program of today writes such.
const LARGEST_PACK: u64 = 64 << 20;
const LOCKS: usize = 16;

/// The cache, and who is bringing something into it.
#[derive(Debug)]
pub struct Near {
    cache: Cache,
    /// One thread brings a pack, the others wait for it rather than bring it too.
    bringing: [Mutex<()>; LOCKS],
}

impl Vault {
    /// Keeps near what is often read, below this directory. Without effect where the vault is near itself, or has a
    /// cache already.
    pub fn keep_near(&self, root: &Path) -> io::Result<()> {
        if !self.0.store.is_remote() || self.0.near.get().is_some() {
            return Ok(());
        }
        let near = Near {
            cache: Cache::open(root, self.id(), lifeboat_store::cache::LIMIT)?,
            bringing: Default::default(),
        };
        let _ = self.0.near.set(Arc::new(near));
        Ok(())
    }
}

impl Core {
    /// An index or snapshot file that was listed just now.
    pub fn load_listed(&self, name: &ObjectName) -> Result<Vec<u8>> {
        let Some(near) = self.near.get() else {
            return self.load_unpacked(name);
        };
        if let Some(sealed) = near.cache.get(name) {
            match self.open_unpacked(name, sealed) {
                Ok(json) => return Ok(json),
                Err(error) => {
                    tracing::debug!(%error, "the cache holds something else");
                    near.cache.remove(name);
                }
            }
        }
        let sealed = self.get_unpacked(name)?;
        let json = self.open_unpacked(name, sealed.clone())?;
        near.cache.put(name, &sealed);
        Ok(json)
    }

    /// What was put just now is kept, if it is of the kind that is.
    pub fn keep_near(&self, name: &ObjectName, bytes: &[u8]) {
        if let Some(near) = self.near.get()
            && name.area() != Area::Locks
        {
            near.cache.put(name, bytes);
        }
    }

    /// The listing of an area was read: the rest is kept no longer.
    pub fn keep_only(&self, area: Area, is_there: &dyn Fn(&[u8; 32]) -> bool) {
        let Some(near) = self.near.get() else { return };
        near.cache.retain(area, &|id| {
            let mut bytes = [0; 32];
            hex::decode_to_slice(id, &mut bytes).is_ok() && is_there(&bytes)
        });
    }

    /// A tree from the cache, brought there if it is not; `None` where the vault itself must be asked.
    pub(crate) fn near_tree<T>(
        &self,
        at: &BlobLocation,
        open: impl FnOnce(Vec<u8>) -> Result<T, &'static str>,
    ) -> Option<T> {
        let near = self.near.get()?;
        let name = object_name(Area::Data, &at.pack.0).ok()?;
        let read = || {
            let (offset, length) = (u64::from(at.offset), at.length as usize);
            near.cache.get_range(&name, offset, length)
        };
        let mut sealed = read();
        if sealed.is_none() {
            let _bringing = near.bringing[usize::from(at.pack.0[31]) % LOCKS].lock();
            sealed = read();
            if sealed.is_none() && self.bring(near, at.pack, &name) {
                sealed = read();
            }
        }
        match open(sealed?) {
            Ok(plain) => Some(plain),
            Err(why) => {
                tracing::debug!(pack = %at.pack, why, "the cache holds something else");
                near.cache.remove(&name);
                None
            }
        }
    }

    /// Brings a pack into the cache. Whether it is there now.
    fn bring(&self, near: &Near, pack: PackId, name: &ObjectName) -> bool {
        let bring = || -> lifeboat_store::Result<Option<Vec<u8>>> {
            let size = self.store.size(name)?;
            if size > LARGEST_PACK {
                return Ok(None);
            }
            let length = usize::try_from(size).unwrap_or(usize::MAX);
            self.store.get_range(name, 0, length).map(Some)
        };
        match bring() {
            Ok(Some(bytes)) if <[u8; 32]>::from(Sha256::digest(&bytes)) == pack.0 => {
                // A file that is too short is there, and of no use.
                near.cache.remove(name);
                near.cache.put(name, &bytes);
                near.cache.has(name)
            }
            // Damaged, gone, too large: who asks the vault is told.
            Ok(_) => false,
            Err(error) => {
                tracing::debug!(%error, "bring a pack into the cache");
                false
            }
        }
    }
}
