//! What we have answered lately, in case another server's point was made without it.
//!
//! Two servers of one registry make points at the same time, each on what it knew. Who is second sees the other's point and
//! makes its own again on top; dies it right before that, the newest point lacks what the first one answered. The first
//! finds that out by its newest answers: what is neither there nor deleted since is made once more.

use std::collections::{BTreeMap, VecDeque};

use jiff::Timestamp;
use lifeboat_images::{
    Digest,
    registry::{PushedManifest, RegistryRecord},
};
use lifeboat_vault::Node;

use super::change::Change;

/// Answers that are kept, at most.
const KEPT: usize = 64;
/// Seconds after which every other server has seen a point, or is dead.
const FOR: i64 = 600;

/// The newest answers, oldest first.
#[derive(Default)]
pub struct Recent(VecDeque<Answered>);

/// A change that is in a point.
#[derive(Debug, Clone)]
pub struct Answered {
    pub change: Change,
    /// When.
    pub time: Timestamp,
    /// The files of a manifest and of its blobs.
    pub nodes: BTreeMap<Digest, Node>,
}

impl Recent {
    pub fn add(&mut self, answered: Answered) {
        let oldest = answered.time.as_second().saturating_sub(FOR);
        self.0.push_back(answered);
        while self.0.len() > KEPT || self.0.front().is_some_and(|a| a.time.as_second() < oldest) {
            self.0.pop_front();
        }
    }

    /// What a point lacks that somebody else made, in the order in which it was answered.
    pub fn lacking(&self, record: &RegistryRecord, now: Timestamp) -> Vec<Answered> {
        let mut found: Vec<Answered> = Vec::new();
        for answered in &self.0 {
            if now.as_second() - answered.time.as_second() > FOR {
                continue;
            }
            let change = match &answered.change {
                Change::Manifest(name, pushed) => lacking_push(record, answered, name, pushed),
                deleted => {
                    let is_undone = found.iter().any(|earlier| undoes(deleted, &earlier.change));
                    let lacks = is_undone || lacks_deletion(record, answered);
                    lacks.then(|| deleted.clone())
                }
            };
            found.extend(change.map(|change| Answered {
                change,
                ..answered.clone()
            }));
        }
        found
    }
}

/// Whether a record has something of that time or later.
fn is_after(time: &str, answered: &Answered) -> bool {
    let time = time.parse::<Timestamp>();
    time.is_ok_and(|time| time >= answered.time)
}

fn is_deleted(record: &RegistryRecord, answered: &Answered, name: &str, reference: &str) -> bool {
    let mut all = record.deleted.iter();
    all.any(|d| d.repository == name && d.reference == reference && is_after(&d.time, answered))
}

/// Whoever moved it later has seen ours, or has the last word all the same.
fn is_moved(record: &RegistryRecord, answered: &Answered, name: &str, tag: &str) -> bool {
    let repository = record.repositories.get(name);
    let since = repository.and_then(|repository| repository.since.get(tag));
    since.is_some_and(|since| is_after(since, answered))
}

/// A push, with those of its tags that are to be set.
fn lacking_push(
    record: &RegistryRecord,
    answered: &Answered,
    name: &str,
    pushed: &PushedManifest,
) -> Option<Change> {
    let digest = &pushed.digest;
    let known = record.repositories.get(name);
    let is_there = known.is_some_and(|known| known.manifests.contains_key(digest));
    if !is_there && is_deleted(record, answered, name, &digest.to_string()) {
        return None;
    }
    let points_here = |tag: &str| known.is_some_and(|known| known.tags.get(tag) == Some(digest));
    let mut pushed = pushed.clone();
    pushed.tags.retain(|tag| {
        !points_here(tag)
            && !is_deleted(record, answered, name, tag)
            && !is_moved(record, answered, name, tag)
    });
    let lacks = !is_there || !pushed.tags.is_empty();
    lacks.then(|| Change::Manifest(name.to_owned(), Box::new(pushed)))
}

fn lacks_deletion(record: &RegistryRecord, answered: &Answered) -> bool {
    match &answered.change {
        Change::DeleteTag(name, tag) => {
            let known = record.repositories.get(name);
            known.is_some_and(|known| known.tags.contains_key(tag))
                && !is_deleted(record, answered, name, tag)
                && !is_moved(record, answered, name, tag)
        }
        Change::DeleteManifest(name, digest) => {
            let known = record.repositories.get(name);
            known.is_some_and(|known| known.manifests.contains_key(digest))
                && !is_deleted(record, answered, name, &digest.to_string())
        }
        // A command's, which has ended.
        Change::Manifest(..) | Change::Forget(_) => false,
    }
}

/// Whether a deletion is of what a push brings.
fn undoes(deletion: &Change, push: &Change) -> bool {
    let Change::Manifest(of, pushed) = push else {
        return false;
    };
    match deletion {
        Change::DeleteTag(name, tag) => name == of && pushed.tags.contains(tag),
        Change::DeleteManifest(name, digest) => name == of && pushed.digest == *digest,
        Change::Manifest(..) | Change::Forget(_) => false,
    }
}
