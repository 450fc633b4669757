//! An index that was lost or damaged, made again from the headers of the packs.
//!
//! What a crash leaves: the new index files are durable before a damaged one is deleted, and each names packs
//! that are whole in themselves. So after every step the vault tells as much as before it, or more, and the repair
//! can be run again.

use std::{
    collections::HashSet,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use lifeboat_store::{Area, StoreError};

use super::{IndexedPack, MAX_BLOBS_PER_FILE};
use crate::{
    error::{ErrorKind, Result, VaultError},
    id::{IndexId, PackId},
    lock::{self, LockMode},
    progress::Progress,
    repo::Vault,
    unpacked::object_name,
    write::indexing::write_index,
};

/// What [`Vault::rebuild_index`] did.
#[derive(Debug, Default)]
pub struct RebuiltIndex {
    /// Packs that were added to the index.
    pub packs: usize,
    /// Their blobs.
    pub blobs: usize,
    /// Index files that could not be read and were deleted.
    pub removed: Vec<IndexId>,
    /// Index files that the medium does not give. They stay, because packs are unreadable too, and these may
    /// name what is in them.
    pub kept: Vec<(IndexId, VaultError)>,
    /// Packs that the index named and that are gone: they are in it no more.
    pub gone: Vec<PackId>,
    /// Packs whose header cannot be read. They stay where they are, and are in no index.
    pub unreadable: Vec<(PackId, VaultError)>,
}

impl RebuiltIndex {
    /// Whether the index names now all that is there.
    pub fn is_whole(&self) -> bool {
        self.unreadable.is_empty() && self.kept.is_empty()
    }
}

impl Vault {
    /// Packs that no readable index file names. After a crash they are garbage; where an index was lost
    /// they hold what is missing.
    pub fn unindexed_packs(&self) -> Result<Vec<PackId>> {
        let packs = self.0.packs_beside(&self.0.load_index()?.index)?;
        Ok(packs.into_iter().map(PackId).collect())
    }

    /// Adds the packs that no readable index names to a new index, then deletes the index files that cannot be read.
    /// Packs are never touched.
    ///
    /// Alone in the vault, for it deletes what another program may be about to read: waits up to `retry_lock`
    /// for those who hold it. Once `stop` is set it ends at the next pack, and gives the vault back.
    pub fn rebuild_index(
        &self,
        retry_lock: Duration,
        stop: &AtomicBool,
        progress: &dyn Progress,
    ) -> Result<RebuiltIndex> {
        let stopped = || stop.load(Ordering::Relaxed);
        let go_on = || match stopped() {
            true => Err(VaultError::Interrupted("the repair of the index".into())),
            false => Ok(()),
        };
        self.0.refuse_version_1()?;
        let mode = LockMode::Exclusive;
        let lock = lock::acquire_unless(&self.0, mode, retry_lock, &stopped);
        go_on()?;
        let lock = lock?;
        progress.step("read index");
        let loaded = self.0.load_index()?;
        let packs = self.0.packs_beside(&loaded.index)?;
        progress.step("read packs");
        progress.expect(packs.len() as u64, 0);
        let mut result = RebuiltIndex::default();
        let mut found = Vec::new();
        let mut blobs_found = 0;
        self.0.pack_headers(&packs, |pack, header| {
            go_on()?;
            progress.advance(1, 0);
            match header {
                Ok(blobs) => {
                    result.packs += 1;
                    result.blobs += blobs.len();
                    blobs_found += blobs.len();
                    found.push(IndexedPack::new(pack, blobs));
                }
                Err(error) => result.unreadable.push((pack, error)),
            }
            // A file at a time: the memory does not depend on the vault.
            if blobs_found >= MAX_BLOBS_PER_FILE {
                lock.confirm()?;
                write_index(&self.0, std::mem::take(&mut found))?;
                blobs_found = 0;
            }
            Ok(())
        })?;
        lock.confirm()?;
        write_index(&self.0, found)?;
        // Should they turn up again, they are packs that no index names.
        let there: HashSet<[u8; 32]> = self.0.list(Area::Data)?.into_iter().collect();
        let named = loaded.index.packs().iter().copied();
        let gone: HashSet<PackId> = named.filter(|pack| !there.contains(&pack.0)).collect();
        if !gone.is_empty() {
            let broken: HashSet<IndexId> = loaded.unreadable.iter().map(|(id, _)| *id).collect();
            self.0.drop_from_index(&gone, &broken, &|| lock.confirm())?;
            result.gone = gone.into_iter().collect();
            result.gone.sort_unstable();
        }
        for (id, error) in loaded.unreadable {
            // What a medium does not give today it may give tomorrow.
            if error.kind() != ErrorKind::Damaged && !result.unreadable.is_empty() {
                result.kept.push((id, error));
                continue;
            }
            lock.confirm()?;
            match self.0.store.delete(&object_name(Area::Index, &id.0)?) {
                Ok(()) | Err(StoreError::NotFound(_)) => result.removed.push(id),
                Err(e) => return Err(VaultError::store(format!("delete index/{id}"))(e)),
            }
        }
        Ok(result)
    }
}
