//! Index files without some packs. The new ones are durable before the old are deleted, so that at no moment less is
//! named than what shall be.

use std::collections::HashSet;

use lifeboat_store::{Area, StoreError};

use crate::{
    error::{Result, VaultError},
    id::{IndexId, PackId},
    opened::Core,
    pack::PackedBlob,
    unpacked::object_name,
};

impl Core {
    /// Every pack that an index names, as often as one does. Refused where an index file cannot be read.
    pub fn each_named_pack(&self, mut take: impl FnMut(PackId, Vec<PackedBlob>)) -> Result<()> {
        for id in self.list(Area::Index)? {
            let id = IndexId(id);
            let file = self.load_index_file(id).map_err(|error| match error {
                VaultError::Damaged { what, why } => VaultError::DamagedIndex { what, why },
                other => other,
            })?;
            // rustic moves what it marks.
            for pack in file.packs.into_iter().chain(file.to_delete) {
                take(pack.id, pack.blobs);
            }
        }
        Ok(())
    }

    /// Takes packs out of the index, but for files to pass over. Needs the vault for itself, of which `confirm` makes
    /// sure. Returns how many index files were written anew.
    pub fn drop_from_index(
        &self,
        packs: &HashSet<PackId>,
        pass_over: &HashSet<IndexId>,
        confirm: &dyn Fn() -> Result<()>,
    ) -> Result<usize> {
        let mut old = Vec::new();
        for id in self.list(Area::Index)? {
            if pass_over.contains(&IndexId(id)) {
                continue;
            }
            let mut file = self.load_index_file(IndexId(id))?;
            let before = file.packs.len() + file.to_delete.len();
            file.packs.retain(|pack| !packs.contains(&pack.id));
            file.to_delete.retain(|pack| !packs.contains(&pack.id));
            let now = file.packs.len() + file.to_delete.len();
            if now == before {
                continue;
            }
            confirm()?;
            if now > 0 {
                self.save_unpacked(Area::Index, &file.to_json()?)?;
            }
            old.push(id);
        }
        if !old.is_empty() {
            self.outlast_echoes();
        }
        let mut count = 0;
        for id in old {
            confirm()?;
            let name = object_name(Area::Index, &id)?;
            match self.store.delete(&name) {
                Ok(()) | Err(StoreError::NotFound(_)) => count += 1,
                Err(e) => return Err(VaultError::store(format!("delete {name}"))(e)),
            }
        }
        Ok(count)
    }
}
