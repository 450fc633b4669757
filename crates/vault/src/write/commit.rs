//! The commit of a session, and its second look.
//!
//! A session rests on blobs that others wrote. Its lease keeps them from being deleted; but no store refuses a commit
//! of a process that was stopped for an hour, whose lease ran out, and whose blobs a prune has deleted. So the writer
//! itself looks: **after** its snapshot is written it makes sure that its lease has held without a gap, and that
//! every index file that it knows is still there, or else that what it reused is still named. A prune reads the
//! snapshots after it has broken a lease, so one of the two sees the other.
//!
//! Where something is amiss, the snapshot is withdrawn, a new lease taken, what is missing stored again from what can
//! still be read, and the commit is made again. What cannot be read any more ([`VaultError::ReuseLost`]) only the
//! caller can bring, by running again.

use lifeboat_store::{Area, StoreError};

use super::{Writer, session::Session};
use crate::{
    error::{ErrorKind, Result, VaultError},
    id::{IndexId, PackId, SnapshotId},
    index::{Index, IndexedPack, PackState},
    lock::{self, LockMode},
    locked,
    snapshot::Snapshot,
    unpacked::object_name,
};

impl Session {
    /// In a vault whose points are locked: locks what this one rests on for as long.
    fn lock_what_is_needed(&self) -> Result<()> {
        if self.core.lock().is_none() {
            return Ok(());
        }
        let mut packs = locked::packs_of(&self.index, &self.reused);
        packs.extend(self.written.lock().iter().copied());
        self.core.lock_what_is_needed(packs)
    }
}

/// How often a commit is made before it is given up.
const ATTEMPTS: usize = 3;

impl Writer {
    /// Flushes, writes the snapshot, makes sure that all it rests on is there, and gives the lock back.
    pub fn commit(mut self, snapshot: Snapshot) -> Result<SnapshotId> {
        if snapshot.tree.is_none() {
            return Err(VaultError::Invalid("a snapshot needs a tree".to_owned()));
        }
        let json = serde_json::to_vec(&snapshot)
            .map_err(|e| VaultError::Invalid(format!("write the snapshot: {e}")))?;
        let mut why = VaultError::Interrupted("the commit".to_owned());
        for _ in 0..ATTEMPTS {
            self.session.flush()?;
            // Nothing is saved any more, and to look at what this rests on can take as much.
            self.session.let_go();
            let held = self.lock.confirm();
            let held = held.and_then(|()| self.session.write_index());
            if let Err(lost) = held.and_then(|()| self.lock.confirm()) {
                self.take_lease_again(lost)?;
                continue;
            }
            let core = &self.session.core;
            self.session.lock_what_is_needed()?;
            let id = SnapshotId(core.save_unpacked(Area::Snapshots, &json)?);
            let held = self.lock.confirm();
            match held.and_then(|()| self.what_is_missing(PackState::is_named)) {
                Ok(missing) if missing.is_empty() => return Ok(id),
                Ok(missing) => {
                    self.withdraw(id);
                    why = VaultError::ReuseLost(missing.len());
                    self.mend(missing)?;
                }
                Err(lost) => {
                    self.withdraw(id);
                    self.take_lease_again(lost)?;
                }
            }
        }
        Err(why)
    }

    fn withdraw(&self, id: SnapshotId) {
        let deleted = object_name(Area::Snapshots, &id.0).and_then(|name| {
            match self.session.core.store.delete(&name) {
                Ok(()) | Err(StoreError::NotFound(_)) => Ok(()),
                Err(e) => Err(VaultError::store("withdraw a snapshot")(e)),
            }
        });
        if let Err(error) = deleted {
            tracing::warn!(snapshot = %id.short(), %error, "withdraw a snapshot");
        }
    }

    /// The lease was lost: nothing that is marked by now may be rested on any more.
    fn take_lease_again(&mut self, lost: VaultError) -> Result<()> {
        if !is_lost(&lost) {
            return Err(lost);
        }
        tracing::warn!(%lost, "look again at what this run rests on");
        let core = self.session.core.clone();
        let retry = self.session.options.retry_lock;
        self.lock = lock::acquire(&core, LockMode::Shared, retry)?;
        // Whatever the listing says now was not protected meanwhile; nor was what we wrote ourselves.
        self.files = None;
        let gone = self.session.packs_gone()?;
        if !gone.is_empty() {
            self.session.unname(&gone)?;
            return Err(VaultError::ReuseLost(gone.len()));
        }
        let missing = self.what_is_missing(PackState::is_live)?;
        self.mend(missing)
    }

    /// What this session rests on and the index does not name any more as it must.
    fn what_is_missing(&mut self, enough: fn(PackState) -> bool) -> Result<Missing> {
        let core = &self.session.core;
        let own = std::mem::take(&mut *self.session.index_files.lock());
        if let Some(files) = &mut self.files {
            files.extend(own);
            let there: std::collections::BTreeSet<IndexId> =
                core.list(Area::Index)?.into_iter().map(IndexId).collect();
            if files.is_subset(&there) {
                return Ok(Missing::default());
            }
        }
        let loaded = core.load_index()?;
        self.files = Some(loaded.files.clone());
        let now = loaded.whole()?;
        let states: std::collections::HashMap<PackId, PackState> = now
            .packs()
            .iter()
            .copied()
            .zip(now.states().iter().copied())
            .collect();
        let before = &self.session.index;
        let kept = |number: usize| {
            let (kind, id, _) = before.at(number);
            let at = now.position(kind, &id);
            at.is_some_and(|at| enough(now.states()[now.pack_number(at)]))
        };
        let blobs = self.session.reused.iter().filter(|number| !kept(*number));
        let written = self.session.written.lock();
        let packs = written
            .iter()
            .filter(|pack| !states.get(pack).is_some_and(|state| enough(*state)));
        Ok(Missing {
            blobs: blobs.collect(),
            packs: packs.copied().collect(),
            index: Some(now),
        })
    }

    /// Stores again what is missing, as far as it can be read. The next flush makes it durable.
    fn mend(&self, missing: Missing) -> Result<()> {
        let session = &*self.session;
        let mut lost = 0;
        for pack in missing.packs {
            // Its bytes may be there still: then naming it again is enough, unless it is about to go.
            let marked = missing.index.as_ref().is_some_and(|index| {
                let mut packs = index.packs().iter().zip(index.states());
                packs.any(|(id, state)| *id == pack && state.marked)
            });
            match session.core.pack_header(pack) {
                Ok(blobs) if !marked => session.index_later(IndexedPack::new(pack, blobs)),
                Ok(blobs) => {
                    session.written.lock().retain(|own| *own != pack);
                    for blob in blobs {
                        let location = blob.in_pack(pack);
                        let plain = session.core.blob_at(blob.kind, blob.id, &location);
                        lost += usize::from(!self.put_again(blob.kind, blob.id, plain)?);
                    }
                }
                Err(_) => lost += 1,
            }
        }
        for number in missing.blobs {
            let (kind, id, before) = session.index.at(number);
            let now = missing.index.as_ref().and_then(|i| i.find(kind, &id));
            let plain = match now.map(|now| session.core.blob_at(kind, id, &now)) {
                Some(Ok(plain)) => Ok(plain),
                _ => session.core.blob_at(kind, id, &before),
            };
            if self.put_again(kind, id, plain)? {
                session.reused.clear(number);
            } else {
                lost += 1;
            }
        }
        match lost {
            0 => Ok(()),
            lost => Err(VaultError::ReuseLost(lost)),
        }
    }

    /// Whether there was something to store.
    fn put_again(
        &self,
        kind: crate::blob::BlobKind,
        id: crate::id::BlobId,
        plain: Result<Vec<u8>>,
    ) -> Result<bool> {
        match plain {
            Ok(plain) => {
                self.session.store_again(kind, id, &plain)?;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::Damaged => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// Whether a lease was lost, rather than the store or the session.
pub(super) fn is_lost(error: &VaultError) -> bool {
    matches!(error, VaultError::LockLost(..) | VaultError::Locked { .. })
}

/// What a commit must not rest on.
#[derive(Default)]
struct Missing {
    /// Entries of the session's index.
    blobs: Vec<usize>,
    /// Packs of this session.
    packs: Vec<PackId>,
    /// The index as it is now.
    index: Option<Index>,
}

impl Missing {
    fn is_empty(&self) -> bool {
        self.blobs.is_empty() && self.packs.is_empty()
    }

    fn len(&self) -> usize {
        self.blobs.len() + self.packs.len()
    }
}
