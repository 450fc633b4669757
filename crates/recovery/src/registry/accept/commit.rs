//! Changes of a registry into recovery points, several at once.
//!
//! One thread makes the points. What waits when it begins goes into one point together. The newest point of the registry
//! is what changes are made to, whoever wrote it; where another one appeared while ours was written, ours is
//! made again on top of that.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::{Arc, mpsc},
};

use lifeboat_images::{
    Digest,
    registry::{RECORD_SCHEMA, Refused, RegistryRecord, Repository},
};
use lifeboat_plan::identity::RegistryIdentity;
use lifeboat_store::Area;
use lifeboat_vault::{Node, SnapshotId, Timestamp, Vault, VaultError};
use parking_lot::RwLock;

use super::{
    change::{Change, Done},
    recent::{Answered, Recent},
    staging::Staging,
};
use crate::{
    RecoveryError, Result,
    protect::{again_if_lost, timestamp},
    registry::blobs,
};

/// Changes that go into one point.
const TOGETHER: usize = 64;
/// How often a point is made again because another one appeared.
const ATTEMPTS: usize = 5;
/// A point that only lacks what the next one adds is not kept, if it is no older than this.
const REPLACED_WITHIN: i64 = 600;

/// A registry as its newest point has it.
#[derive(Default)]
pub struct Head {
    pub point: Option<SnapshotId>,
    time: Option<Timestamp>,
    pub record: RegistryRecord,
    pub files: BTreeMap<Digest, Node>,
    /// The repositories of the record, for those who ask.
    pub repositories: BTreeMap<String, Arc<Repository>>,
}

impl Head {
    pub fn new(
        point: Option<SnapshotId>,
        time: Option<Timestamp>,
        record: RegistryRecord,
        files: BTreeMap<Digest, Node>,
    ) -> Self {
        let all = record.repositories.iter();
        let repositories = all.map(|(name, r)| (name.clone(), Arc::new(r.clone())));
        Self {
            repositories: repositories.collect(),
            point,
            time,
            record,
            files,
        }
    }
}

/// A change, and whom to tell what came of it.
pub struct Request {
    pub change: Change,
    pub reply: mpsc::SyncSender<std::result::Result<(), Refused>>,
}

/// What the thread that makes points is asked for.
pub enum Ask {
    /// A change.
    Change(Request),
    /// To look whether others have made points; and to say when it has.
    Look(mpsc::SyncSender<()>),
}

/// Makes points.
pub struct Committer {
    pub vault: Vault,
    pub identity: RegistryIdentity,
    pub username: String,
    pub staging: Arc<Staging>,
    pub head: Arc<RwLock<Arc<Head>>>,
    /// Called when a point was made.
    pub made: Box<dyn Fn() + Send>,
    /// Points that this process made.
    pub own: BTreeSet<SnapshotId>,
    /// What is known of the listing: the time of a point of this registry, nothing of another.
    pub seen: BTreeMap<SnapshotId, Option<Timestamp>>,
    recent: Recent,
    /// What the newest point lacks of it: it goes into the next.
    lost: Vec<Answered>,
}

impl Committer {
    /// Nothing is read yet.
    pub fn new(
        vault: Vault,
        identity: RegistryIdentity,
        staging: Arc<Staging>,
        head: Arc<RwLock<Arc<Head>>>,
    ) -> Self {
        Self {
            vault,
            identity,
            username: String::new(),
            staging,
            head,
            made: Box::new(|| ()),
            own: BTreeSet::new(),
            seen: BTreeMap::new(),
            recent: Recent::default(),
            lost: Vec::new(),
        }
    }

    /// The registry as it is now.
    pub fn start(&mut self) -> Result<()> {
        if !self.look()? {
            self.load(None)?;
        }
        Ok(())
    }

    /// Until nobody can ask any more.
    pub fn run(mut self, requests: &mpsc::Receiver<Ask>) {
        while let Ok(first) = requests.recv() {
            let (mut batch, mut looks) = (Vec::new(), Vec::new());
            let mut next = Some(first);
            while let Some(ask) = next {
                match ask {
                    Ask::Change(request) => batch.push(request),
                    Ask::Look(reply) => looks.push(reply),
                }
                let has_room = batch.len() + looks.len() < TOGETHER;
                next = has_room.then(|| requests.try_recv().ok()).flatten();
            }
            // Who makes a point looks anyway.
            if batch.is_empty()
                && let Err(error) = self.look_again()
            {
                tracing::warn!("points of others cannot be looked for: {error}");
            }
            if batch.is_empty() {
                tell(&looks);
                continue;
            }
            let changes: Vec<Change> = batch.iter().map(|r| r.change.clone()).collect();
            let outcomes = self.make(&changes);
            let replies: Vec<std::result::Result<(), Refused>> = match outcomes {
                Ok(outcomes) => outcomes,
                Err(error) => {
                    tracing::warn!("pushes are not in the vault: {error}");
                    let failed = || Err(Refused::Failed(io::Error::other(error.to_string())));
                    changes.iter().map(|_| failed()).collect()
                }
            };
            for (request, reply) in batch.iter().zip(replies) {
                // Nobody may wait any more; it is done all the same.
                let _ = request.reply.send(reply);
            }
            tell(&looks);
        }
    }

    /// Changes into a point; what came of each.
    pub fn make(&mut self, changes: &[Change]) -> Result<Vec<std::result::Result<(), Refused>>> {
        again_if_lost(|| self.commit(changes))
    }

    /// Looks, and puts what the newest point lacks of ours into one on top of it.
    fn look_again(&mut self) -> Result<()> {
        self.look()?;
        if !self.lost.is_empty() {
            self.make(&[])?;
        }
        Ok(())
    }

    /// Looks for the newest point; whether it is another than the head.
    pub fn look(&mut self) -> Result<bool> {
        let failed = VaultError::store("list the recovery points");
        let listing = self.vault.store().list(Area::Snapshots).map_err(failed)?;
        let ids: BTreeSet<SnapshotId> = listing
            .iter()
            .filter_map(|object| object.name.id().parse().ok())
            .collect();
        self.seen.retain(|id, _| ids.contains(id));
        for id in ids {
            if self.seen.contains_key(&id) {
                continue;
            }
            let snapshot = match self.vault.snapshot(id) {
                Ok(snapshot) => snapshot,
                Err(VaultError::NoSnapshot(_)) => continue,
                Err(error) => {
                    tracing::warn!("point {} is left out: {error}", id.short());
                    self.seen.insert(id, None);
                    continue;
                }
            };
            let of = RegistryIdentity::from_snapshot_paths(&snapshot.paths);
            let is_ours = of.is_some_and(|of| of == self.identity);
            let time = Timestamp::parse_rfc3339(&snapshot.time);
            self.seen.insert(id, time.filter(|_| is_ours));
        }
        let newest = self
            .seen
            .iter()
            .filter_map(|(id, time)| Some(((*time)?, *id)))
            .max()
            .map(|(_, id)| id);
        let head = self.head.read().point;
        if newest == head {
            return Ok(false);
        }
        self.load(newest)?;
        let record = &self.head.read().record;
        self.lost = self.recent.lacking(record, jiff::Timestamp::now());
        Ok(true)
    }

    fn load(&self, point: Option<SnapshotId>) -> Result<()> {
        let head = match point {
            None => {
                let record = RegistryRecord {
                    schema: RECORD_SCHEMA,
                    registry: self.identity.registry.clone(),
                    ..RegistryRecord::default()
                };
                Head::new(None, None, record, BTreeMap::new())
            }
            Some(id) => {
                let snapshot = self.vault.snapshot(id)?;
                let reader = self.vault.reader()?;
                let record = super::super::record(&reader, &snapshot)?;
                let root = snapshot
                    .tree
                    .ok_or_else(|| RecoveryError::Failed("the snapshot has no tree".to_owned()))?;
                let time = Timestamp::parse_rfc3339(&snapshot.time);
                Head::new(Some(id), time, record, blobs::files(&reader, root)?)
            }
        };
        *self.head.write() = Arc::new(head);
        (self.made)();
        Ok(())
    }

    fn commit(&mut self, changes: &[Change]) -> Result<Vec<std::result::Result<(), Refused>>> {
        self.look()?;
        let lost = std::mem::take(&mut self.lost);
        if !lost.is_empty() {
            tracing::info!("{} change(s) of ours are made again", lost.len());
        }
        let again = lost.iter().map(|answered| answered.change.clone());
        let all: Vec<Change> = again.chain(changes.iter().cloned()).collect();
        let nodes = lost.iter().flat_map(|answered| answered.nodes.clone());
        match self.commit_with(&all, nodes.collect()) {
            Ok(mut outcomes) => Ok(outcomes.split_off(lost.len())),
            Err(error) => {
                self.lost = lost;
                Err(error)
            }
        }
    }

    /// `carried` are files that the newest point has not.
    fn commit_with(
        &mut self,
        changes: &[Change],
        carried: BTreeMap<Digest, Node>,
    ) -> Result<Vec<std::result::Result<(), Refused>>> {
        let mut carried = carried;
        for _ in 0..ATTEMPTS {
            let head = Arc::clone(&self.head.read());
            let mut record = head.record.clone();
            let began = now_after(head.time);
            let time = began.to_string();
            let staging = Arc::clone(&self.staging);
            let is_there = |name: &str, digest: &Digest| {
                let has = || matches!(staging.open_blob(digest), Ok(Some(_)));
                let linked = || staging.is_linked(name, digest);
                carried.contains_key(digest)
                    || linked() && (has() || head.files.contains_key(digest))
            };
            let done: Vec<std::result::Result<Done, Refused>> = changes
                .iter()
                .map(|change| change.apply(&mut record, &time, &is_there))
                .collect();
            let is_changed = done.iter().flatten().any(|done| *done != Done::Nothing);
            let adds_only = done.iter().flatten().all(|done| *done != Done::Took);
            let did: Vec<bool> = done
                .iter()
                .map(|done| done.as_ref().is_ok_and(|done| *done != Done::Nothing))
                .collect();
            let outcomes = done.into_iter().map(|done| done.map(drop)).collect();
            if !is_changed {
                return Ok(outcomes);
            }
            record.time = time;
            let before = head.point;
            self.point(&head, record, changes, &carried, began)?;
            // On our disk it is no more.
            let made = Arc::clone(&self.head.read());
            carried.extend(changes.iter().flat_map(|change| nodes(change, &made)));
            // Somebody else's point on the same one: ours is made again on top of it.
            let mine = self.head.read().point;
            if self.look_for_others(mine, before)? {
                continue;
            }
            self.answered(changes.iter().zip(did), began);
            if let Some(before) = before.filter(|id| adds_only && self.own.contains(id)) {
                self.replace(before, &head);
            }
            return Ok(outcomes);
        }
        Err(RecoveryError::Failed(
            "others change this registry all the time; try again".to_owned(),
        ))
    }

    fn answered<'c>(
        &mut self,
        changes: impl Iterator<Item = (&'c Change, bool)>,
        time: jiff::Timestamp,
    ) {
        let head = Arc::clone(&self.head.read());
        for (change, _) in changes.filter(|(_, did)| *did) {
            self.recent.add(Answered {
                change: change.clone(),
                time,
                nodes: nodes(change, &head),
            });
        }
    }

    /// Whether a point of this registry is there that was not when ours was begun; it is the head then.
    fn look_for_others(
        &mut self,
        mine: Option<SnapshotId>,
        before: Option<SnapshotId>,
    ) -> Result<bool> {
        let known: BTreeSet<SnapshotId> = self.seen.keys().copied().collect();
        let kept = Arc::clone(&self.head.read());
        self.look()?;
        let other = self.seen.iter().find(|(id, time)| {
            time.is_some() && !known.contains(id) && Some(**id) != mine && Some(**id) != before
        });
        match other.map(|(id, _)| *id) {
            None => {
                *self.head.write() = kept;
                Ok(false)
            }
            Some(other) => {
                self.load(Some(other))?;
                Ok(true)
            }
        }
    }

    /// A point that the next one has all of is not kept for long. Where it cannot be taken away it stays.
    fn replace(&mut self, before: SnapshotId, head: &Head) {
        let Some(time) = head.time else { return };
        let age = timestamp(jiff::Timestamp::now()).secs - time.secs;
        if !(0..=REPLACED_WITHIN).contains(&age) {
            return;
        }
        let stop = std::sync::atomic::AtomicBool::new(false);
        match self
            .vault
            .forget(&[before], std::time::Duration::ZERO, &stop)
        {
            Ok(_) => {
                self.own.remove(&before);
                self.seen.remove(&before);
            }
            Err(error) => tracing::debug!(%error, "a point that the next one replaces stays"),
        }
    }
}

/// The files of a point that a change brought.
fn nodes(change: &Change, head: &Head) -> BTreeMap<Digest, Node> {
    let Change::Manifest(_, pushed) = change else {
        return BTreeMap::new();
    };
    let digests = pushed.record.blobs.iter().chain([&pushed.digest]);
    let nodes = digests.filter_map(|digest| {
        let node = head.files.get(digest)?;
        Some((digest.clone(), node.clone()))
    });
    nodes.collect()
}

/// Says that it was looked. Nobody may wait any more.
fn tell(looks: &[mpsc::SyncSender<()>]) {
    for reply in looks {
        let _ = reply.try_send(());
    }
}

/// Now, but after what is there.
fn now_after(time: Option<Timestamp>) -> jiff::Timestamp {
    let now = jiff::Timestamp::now();
    let next = time.and_then(|time| {
        jiff::Timestamp::new(time.secs, i32::try_from(time.nanos).ok()?)
            .ok()?
            .checked_add(jiff::Span::new().milliseconds(1))
            .ok()
    });
    next.map_or(now, |next| now.max(next))
}

#[cfg(test)]
#[path = "commit_tests.rs"]
mod tests;
