//! Naming the packs of a session in an index.

use std::{
    collections::{BTreeSet, HashSet},
    sync::atomic::Ordering,
};

use lifeboat_store::{Area, StoreError};

use super::session::Session;
use crate::{
    error::{Result, VaultError},
    id::{IndexId, PackId},
    index::{IndexFile, IndexedPack, MAX_BLOBS_PER_FILE},
    opened::Core,
    unpacked::object_name,
};

impl Session {
    /// Names the packs that are durable in an index. Only under a lease that has held since they were written: else
    /// they may have been deleted, and an index that names what is not there misleads all who write after us.
    pub(super) fn write_index(&self) -> Result<()> {
        // What another thread has taken from the list is promised only once its index is there.
        let _alone = self.indexing.lock();
        self.healthy()?;
        let unindexed = {
            let mut unindexed = self.unindexed.lock();
            self.unindexed_blobs.store(0, Ordering::Relaxed);
            std::mem::take(&mut *unindexed)
        };
        let files = write_index(&self.core, unindexed).map_err(|e| self.poison(e))?;
        self.own_index_files.lock().extend(&files);
        self.index_files.lock().extend(files);
        Ok(())
    }

    /// Of the packs of this session, those that are not there any more.
    pub(super) fn packs_gone(&self) -> Result<BTreeSet<PackId>> {
        let there: HashSet<_> = self.core.list(Area::Data)?.into_iter().collect();
        let mut gone = BTreeSet::new();
        for pack in self
            .written
            .lock()
            .iter()
            .filter(|pack| !there.contains(&pack.0))
        {
            // A listing may lag behind.
            match self.core.store.size(&object_name(Area::Data, &pack.0)?) {
                Ok(_) => {}
                Err(StoreError::NotFound(_)) => drop(gone.insert(*pack)),
                Err(e) => return Err(VaultError::store(format!("look for pack {pack}"))(e)),
            }
        }
        Ok(gone)
    }

    /// Takes packs that are gone out of the index files of this session: first without them, then the old one goes.
    pub(super) fn unname(&self, gone: &BTreeSet<PackId>) -> Result<()> {
        let files = std::mem::take(&mut *self.own_index_files.lock());
        for id in files {
            let mut file = match self.core.load_index_file(id) {
                // A prune has written it anew, without what it deleted.
                Err(VaultError::Store {
                    source: StoreError::NotFound(_),
                    ..
                }) => continue,
                file => file?,
            };
            let before = file.packs.len();
            file.packs.retain(|pack| !gone.contains(&pack.id));
            if file.packs.len() == before {
                continue;
            }
            write_index(&self.core, file.packs)?;
            self.core.outlast_echoes();
            match self.core.store.delete(&object_name(Area::Index, &id.0)?) {
                Ok(()) | Err(StoreError::NotFound(_)) => {}
                Err(e) => return Err(VaultError::store(format!("delete index/{id}"))(e)),
            }
        }
        Ok(())
    }

    /// Whether the list of what is durable, and in no index, is long enough for an index file.
    pub(super) fn has_much_to_index(&self) -> bool {
        self.unindexed_blobs.load(Ordering::Relaxed) >= MAX_BLOBS_PER_FILE
    }

    /// A durable pack that no index names, or none any more, is named by the next one.
    pub(super) fn index_later(&self, pack: IndexedPack) {
        let mut unindexed = self.unindexed.lock();
        self.unindexed_blobs
            .fetch_add(pack.blobs.len(), Ordering::Relaxed);
        unindexed.push(pack);
    }
}

/// Writes index files for packs that are durable.
pub(crate) fn write_index(core: &Core, packs: Vec<IndexedPack>) -> Result<Vec<IndexId>> {
    let mut file = IndexFile::default();
    let mut blobs = 0;
    let mut written = Vec::new();
    let mut save = |file: &IndexFile| {
        written.push(IndexId(core.save_unpacked(Area::Index, &file.to_json()?)?));
        Ok(())
    };
    for pack in packs {
        blobs += pack.blobs.len();
        file.packs.push(pack);
        if blobs >= MAX_BLOBS_PER_FILE {
            save(&file)?;
            file.packs.clear();
            blobs = 0;
        }
    }
    if !file.packs.is_empty() {
        save(&file)?;
    }
    Ok(written)
}
