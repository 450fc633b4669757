//! An index that was lost, made again from the headers of the packs.

use std::collections::HashSet;

use lifeboat_store::Area;

use crate::{
    error::{Result, VaultError},
    id::{IndexId, PackId},
    lock::{self, LockMode},
    repo::Vault,
    write::session::write_index,
};

/// What [`Vault::rebuild_index`] did.
#[derive(Debug, Default)]
pub struct RebuiltIndex {
    /// Packs that were added to the index.
    pub packs: usize,
    /// Their blobs.
    pub blobs: usize,
    /// Packs whose header cannot be read.
    pub unreadable: Vec<(PackId, VaultError)>,
}

impl Vault {
    /// Packs that no readable index file names. After a crash they are garbage; where an index was lost
    /// they hold what is missing.
    pub fn unindexed_packs(&self) -> Result<Vec<PackId>> {
        let mut indexed = HashSet::new();
        for id in self.0.list(Area::Index)? {
            match self.0.load_index_file(IndexId(id)) {
                Ok(file) => indexed.extend(file.packs.iter().map(|(pack, _)| *pack)),
                Err(error @ VaultError::Damaged { .. }) => {
                    tracing::warn!(%error, "pass over an index file");
                }
                Err(e) => return Err(e),
            }
        }
        let packs = self.0.list(Area::Data)?.into_iter().map(PackId);
        Ok(packs.filter(|p| !indexed.contains(p)).collect())
    }

    /// Adds the packs that no index names to a new index. Nothing is deleted, damaged index files
    /// neither. Safe beside writers: a pack that two index files name is the same pack.
    pub fn rebuild_index(&self) -> Result<RebuiltIndex> {
        let lock = lock::acquire(&self.0, LockMode::Shared, std::time::Duration::ZERO)?;
        let mut result = RebuiltIndex::default();
        let mut found = Vec::new();
        for pack in self.unindexed_packs()? {
            match self.0.pack_header(pack) {
                Ok(blobs) => {
                    result.packs += 1;
                    result.blobs += blobs.len();
                    found.push((pack, blobs));
                }
                Err(error) => result.unreadable.push((pack, error)),
            }
        }
        lock.confirm()?;
        write_index(&self.0, found)?;
        Ok(result)
    }
}
