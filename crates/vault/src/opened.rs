//! What every part of an open vault shares: where it lies, its key, its config. Knows nothing of what
//! is built on it (locks, readers, writers, checks).

use std::{
    collections::HashSet,
    path::PathBuf,
    sync::{Arc, OnceLock, atomic::AtomicU64},
};

use lifeboat_store::{Area, Store};
use parking_lot::Mutex;

use crate::{
    config::Config,
    env::Environment,
    error::{Result, VaultError},
    id::{KeyId, PackId},
    seal::{KeyMaterial, SealKey},
    unpacked::object_name,
};

/// What every part of an open vault shares.
pub struct Core {
    /// Where the objects lie.
    pub store: Arc<dyn Store>,
    /// The master key, ready for use.
    pub seal: SealKey,
    /// The master key itself, for further key files. Wiped when dropped, never shown.
    pub master: KeyMaterial,
    /// The config file.
    pub config: Config,
    /// The key file that the password opened.
    pub key_id: KeyId,
    /// Time, randomness, who we are.
    pub env: Environment,
    /// Warnings that were given already.
    pub told: Mutex<HashSet<String>>,
    /// Writes of index and snapshot files that failed and may yet arrive, on a store that is asked over a network.
    pub doubts: AtomicU64,
    /// A file that remembers what this host has locked.
    pub lock_memory: OnceLock<PathBuf>,
}

impl Core {
    /// Version 1 is read, never written.
    pub fn refuse_version_1(&self) -> Result<()> {
        if self.config.version >= 2 {
            return Ok(());
        }
        Err(VaultError::Unsupported(format!(
            "the vault at {} has format version 1, which can be read but not written; upgrade it with `restic migrate upgrade_repo_v2` and run the command again",
            self.store.location()
        )))
    }

    /// Ids of an area's objects, sorted.
    pub fn list(&self, area: Area) -> Result<Vec<[u8; 32]>> {
        let listed = self
            .store
            .list(area)
            .map_err(VaultError::store(format!("list {}", area.as_str())))?;
        let mut ids = Vec::with_capacity(listed.len());
        for object in listed {
            let mut id = [0; 32];
            if hex::decode_to_slice(object.name.id(), &mut id).is_ok() {
                ids.push(id);
            }
        }
        ids.sort_unstable();
        Ok(ids)
    }

    /// The blobs of a pack, from its own header.
    pub fn pack_header(&self, pack: PackId) -> Result<Vec<crate::pack::PackedBlob>> {
        let name = object_name(Area::Data, &pack.0)?;
        let what = format!("pack {pack}");
        let read = |e| VaultError::store(format!("read {name}"))(e);
        let size = self.store.size(&name).map_err(read)?;
        let trailer = crate::pack::TRAILER;
        if size < trailer as u64 {
            return Err(VaultError::damaged(what, "it is too short to be one"));
        }
        let end = size - trailer as u64;
        let bytes = self.store.get_range(&name, end, trailer).map_err(read)?;
        let bytes: [u8; 4] = bytes
            .try_into()
            .map_err(|_| VaultError::damaged(&*what, "it is too short to be one"))?;
        let length = crate::pack::header_length(bytes, size, &what)?;
        let sealed = self
            .store
            .get_range(&name, end - length as u64, length)
            .map_err(read)?;
        crate::pack::parse_header(&self.seal, sealed, size, &what)
    }
}
