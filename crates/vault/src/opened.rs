//! What every part of an open vault shares: where it lies, its key, its config. Knows nothing of what
//! is built on it (locks, readers, writers, checks).

use std::{
    collections::HashSet,
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use lifeboat_store::{Area, Store};
use parking_lot::Mutex;

use crate::{
    config::Config,
    env::Environment,
    error::{Result, VaultError},
    id::{KeyId, PackId},
    index::IndexMap,
    near::Near,
    seal::{KeyMaterial, SealKey},
    unpacked::object_name,
};

/// So long a listing may lag where the store promises nothing (restic's figure).
const LAG: Duration = Duration::from_millis(200);
/// And where it was seen to.
const LAG_SEEN: Duration = Duration::from_secs(2);

/// So late a put may arrive once more, where it is sent over a network: a proxy sends twice, or a try of ours that was
/// given up was on its way.
const ECHO: Duration = Duration::from_secs(3);

/// How long to wait for a lock.
pub struct Patience {
    /// So long.
    pub retry: Duration,
    /// But no longer once this says so.
    pub stopped: Box<dyn Fn() -> bool + Send + Sync>,
}

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
    /// Listings of this store were seen to lag, whatever it promises.
    pub seen_to_lag: AtomicBool,
    /// What is kept near of it, where it lies far away.
    pub near: OnceLock<Arc<Near>>,
    /// Where the index is kept mapped.
    pub index_map: OnceLock<IndexMap>,
    /// How long who only reads waits for a lock, and what ends the wait.
    pub patience: OnceLock<Patience>,
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

    /// For how long a listing may miss what was put, or show what was deleted. Nothing where listings are true at once.
    pub fn listing_lag(&self) -> Duration {
        match self.store.lists_at_once() {
            _ if self.seen_to_lag.load(Ordering::Relaxed) => LAG_SEEN,
            true => Duration::ZERO,
            false => LAG,
        }
    }

    /// Waits until every listing tells the truth about all that happened before.
    pub fn settle(&self) {
        let lag = self.listing_lag();
        if !lag.is_zero() {
            self.env.clock.sleep(lag);
        }
    }

    /// Waits as well until what was put before will not arrive a second time. Before an index file is deleted: one that came
    /// back would name packs that are gone, and a backup would rest on them.
    pub fn outlast_echoes(&self) {
        match self.store.is_remote() {
            true => self.env.clock.sleep(ECHO.max(self.listing_lag())),
            false => self.settle(),
        }
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
