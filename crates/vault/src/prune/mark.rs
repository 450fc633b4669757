//! Marks: packs that are to be deleted, and whom that waits for.
//!
//! Whoever begins once the mark is durable reads it, and rests on nothing in the pack. So the mark waits for the leases
//! that are there when it has been written, and for no clock: they are written down with it.
//!
//! Where listings lag, one that was taken just before the mark may not show yet, nor the mark to one that is taken just
//! after it. So between mark and listing twice the lag passes: a lease that does not show then was taken when the mark
//! had been in every listing already.
//!
//! What a crash leaves: marks with too few leases never; marks twice, or of packs that are gone, at worst.

use std::collections::{BTreeSet, HashSet};

use lifeboat_store::{Area, StoreError};

use super::state::FileFacts;
use crate::{
    error::{Result, VaultError},
    id::{IndexId, PackId},
    index::{IndexFile, IndexedPack, MAX_BLOBS_PER_FILE},
    lock::{self, HeldLock},
    opened::Core,
    write::indexing::write_index,
};

/// Marks packs, with their sizes.
pub(super) fn mark(core: &Core, packs: &[(PackId, u64)], lock: &HeldLock) -> Result<()> {
    let own = [lock.lease()];
    let at_work = || -> Result<BTreeSet<String>> {
        let present = lock::present(core, &own)?;
        Ok(present.leases.into_keys().collect())
    };
    let time = core.now().to_rfc3339();
    for packs in packs.chunks(MAX_BLOBS_PER_FILE) {
        let mut waits = at_work()?;
        let file = |waits: &BTreeSet<String>| IndexFile {
            packs: Vec::new(),
            to_delete: packs
                .iter()
                .map(|(id, size)| IndexedPack {
                    time: Some(time.clone()),
                    size: Some(*size),
                    ..IndexedPack::new(*id, Vec::new())
                })
                .collect(),
            leases: Some(waits.iter().cloned().collect()),
        };
        lock.confirm()?;
        let first = save(core, &file(&waits))?;
        // Who came between the look and the mark may not have read it.
        core.settle();
        core.settle();
        let now = at_work()?;
        if !now.is_subset(&waits) {
            waits.extend(now);
            save(core, &file(&waits))?;
            core.outlast_echoes();
            delete(core, first)?;
        }
    }
    Ok(())
}

/// Index files that are written anew.
#[derive(Default)]
pub(super) struct Rewrite<'a> {
    pub(super) files: Vec<&'a FileFacts>,
    /// Without these packs.
    pub(super) without_packs: HashSet<PackId>,
    /// Without these marks.
    pub(super) without_marks: HashSet<PackId>,
    /// And with these packs in addition.
    pub(super) more: Vec<IndexedPack>,
}

impl Rewrite<'_> {
    /// Does it. The new files are durable before an old one is deleted. Returns the new files that hold marks.
    pub(super) fn run(
        self,
        core: &Core,
        confirm: &dyn Fn() -> Result<()>,
    ) -> Result<Vec<FileFacts>> {
        let mut packs = self.more;
        let mut known: HashSet<PackId> = packs.iter().map(|pack| pack.id).collect();
        let mut blobs = 0;
        let mut new = Vec::new();
        for facts in &self.files {
            let file = core.load_index_file(facts.id)?;
            for pack in file.packs {
                if !self.without_packs.contains(&pack.id) && known.insert(pack.id) {
                    blobs += pack.blobs.len();
                    packs.push(pack);
                }
            }
            let mut marks = file.to_delete;
            marks.retain(|mark| !self.without_marks.contains(&mark.id));
            if !marks.is_empty() {
                let file = IndexFile {
                    packs: Vec::new(),
                    to_delete: marks,
                    leases: file.leases,
                };
                confirm()?;
                new.push(FileFacts {
                    id: save(core, &file)?,
                    blobs: 0,
                    packs: Vec::new(),
                    marks: file.to_delete.iter().map(|mark| mark.id).collect(),
                    leases: file.leases,
                });
            }
            if blobs >= MAX_BLOBS_PER_FILE {
                confirm()?;
                write_index(core, std::mem::take(&mut packs))?;
                blobs = 0;
            }
        }
        confirm()?;
        write_index(core, packs)?;
        // A listing must not show neither, and what goes must not come back.
        if !self.files.is_empty() {
            core.outlast_echoes();
        }
        for facts in &self.files {
            confirm()?;
            delete(core, facts.id)?;
        }
        Ok(new)
    }
}

fn save(core: &Core, file: &IndexFile) -> Result<IndexId> {
    Ok(IndexId(core.save_unpacked(Area::Index, &file.to_json()?)?))
}

fn delete(core: &Core, id: IndexId) -> Result<()> {
    let name = crate::unpacked::object_name(Area::Index, &id.0)?;
    match core.store.delete(&name) {
        Ok(()) | Err(StoreError::NotFound(_)) => Ok(()),
        Err(e) => Err(VaultError::store(format!("delete index/{id}"))(e)),
    }
}
