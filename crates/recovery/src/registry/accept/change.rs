//! What a push or a deletion does to the record of a registry.

use std::{collections::BTreeSet, sync::Arc};

use lifeboat_images::{
    Digest,
    registry::{Deleted, PushedManifest, Refused, RegistryRecord, Repository},
};

use crate::registry::retention::Removal;

/// Deletions that a record remembers, at most: the newest.
const REMEMBERED: usize = 1000;

/// One change.
#[derive(Debug, Clone)]
pub enum Change {
    Manifest(String, Box<PushedManifest>),
    DeleteTag(String, String),
    DeleteManifest(String, Digest),
    /// What no rule keeps.
    Forget(Arc<Removal>),
}

/// What a change did.
#[derive(Debug, PartialEq, Eq)]
pub enum Done {
    /// All was so already.
    Nothing,
    /// Something came, and nothing went.
    Added,
    /// Something went, or a tag points elsewhere now.
    Took,
}

impl Change {
    /// Does it. `is_there` tells whether a blob can be had for a repository that has it in no manifest.
    pub fn apply(
        &self,
        record: &mut RegistryRecord,
        time: &str,
        is_there: &dyn Fn(&str, &Digest) -> bool,
    ) -> Result<Done, Refused> {
        match self {
            Self::Manifest(name, pushed) => {
                let known = record.repositories.get(name);
                let missing = missing(known, pushed, &|digest| is_there(name, digest));
                if !missing.is_empty() {
                    return Err(Refused::Missing(missing));
                }
                let repository = record.repositories.entry(name.clone()).or_default();
                let is_there = |digest: &Digest| is_there(name, digest);
                Ok(put(repository, pushed, time, &is_there))
            }
            Self::DeleteTag(name, tag) => {
                let repository = record.repositories.get_mut(name);
                let gone = repository.and_then(|repository| {
                    repository.since.remove(tag);
                    repository.tags.remove(tag)
                });
                let digest = gone.ok_or(Refused::NotFound)?;
                remember(record, name, tag, digest, time);
                Ok(Done::Took)
            }
            Self::DeleteManifest(name, digest) => {
                let repository = record.repositories.get_mut(name);
                let repository = repository.ok_or(Refused::NotFound)?;
                if !repository.manifests.contains_key(digest) {
                    return Err(Refused::NotFound);
                }
                if let Some(index) = index_of(repository, digest) {
                    return Err(Refused::Needed(format!(
                        "the index {index} needs it; delete that first"
                    )));
                }
                repository.manifests.remove(digest);
                let tags = repository.tags.iter();
                let tags: Vec<String> = tags
                    .filter(|(_, to)| *to == digest)
                    .map(|(tag, _)| tag.clone())
                    .collect();
                repository.tags.retain(|_, to| to != digest);
                repository.since.retain(|tag, _| !tags.contains(tag));
                for tag in tags {
                    remember(record, name, &tag, digest.clone(), time);
                }
                remember(record, name, &digest.to_string(), digest.clone(), time);
                Ok(Done::Took)
            }
            Self::Forget(removal) => {
                let gone = removal.carry_out(record);
                for (name, reference, digest) in &gone {
                    remember(record, name, reference, digest.clone(), time);
                }
                Ok(if gone.is_empty() {
                    Done::Nothing
                } else {
                    Done::Took
                })
            }
        }
    }
}

/// The index that needs a manifest.
pub fn index_of<'r>(repository: &'r Repository, digest: &Digest) -> Option<&'r Digest> {
    let mut all = repository.manifests.iter();
    let found = all.find(|(_, record)| record.children.contains(digest));
    found.map(|(index, _)| index)
}

fn missing(
    repository: Option<&Repository>,
    pushed: &PushedManifest,
    is_there: &dyn Fn(&Digest) -> bool,
) -> Vec<Digest> {
    let has_blob = |digest: &Digest| {
        is_there(digest) || repository.is_some_and(|repository| repository.has_blob(digest))
    };
    let has_manifest = |digest: &Digest| {
        repository.is_some_and(|repository| repository.manifests.contains_key(digest))
    };
    let blobs = pushed.record.blobs.difference(&pushed.foreign);
    let blobs = blobs.filter(|digest| !has_blob(digest));
    let children = pushed.record.children.iter();
    let children = children.filter(|digest| !has_manifest(digest));
    blobs.chain(children).cloned().collect()
}

fn put(
    repository: &mut Repository,
    pushed: &PushedManifest,
    time: &str,
    is_there: &dyn Fn(&Digest) -> bool,
) -> Done {
    let mut done = Done::Nothing;
    if !repository.manifests.contains_key(&pushed.digest) {
        let mut record = pushed.record.clone();
        let absent: BTreeSet<Digest> = pushed
            .foreign
            .iter()
            .filter(|digest| !is_there(digest) && !repository.has_blob(digest))
            .cloned()
            .collect();
        record.absent = absent;
        repository.manifests.insert(pushed.digest.clone(), record);
        done = Done::Added;
    }
    for tag in &pushed.tags {
        if repository.tags.get(tag) != Some(&pushed.digest) {
            repository.since.insert(tag.clone(), time.to_owned());
        }
        match repository.tags.insert(tag.clone(), pushed.digest.clone()) {
            Some(before) if before == pushed.digest => {}
            Some(_) => done = Done::Took,
            None if done == Done::Nothing => done = Done::Added,
            None => {}
        }
    }
    done
}

fn remember(record: &mut RegistryRecord, name: &str, reference: &str, digest: Digest, time: &str) {
    record.deleted.push(Deleted {
        repository: name.to_owned(),
        reference: reference.to_owned(),
        digest,
        time: time.to_owned(),
    });
    let over = record.deleted.len().saturating_sub(REMEMBERED);
    record.deleted.drain(..over);
}

#[cfg(test)]
mod tests {
    use lifeboat_images::registry::ManifestRecord;

    use super::*;

    fn pushed(seed: &[u8], blobs: &[Digest], children: &[Digest], tag: &str) -> PushedManifest {
        PushedManifest {
            digest: Digest::of(seed),
            bytes: seed.to_vec(),
            record: ManifestRecord {
                blobs: blobs.iter().cloned().collect(),
                children: children.iter().cloned().collect(),
                ..ManifestRecord::default()
            },
            foreign: BTreeSet::new(),
            tags: vec![tag.to_owned()],
        }
    }

    #[test]
    fn nothing_is_taken_before_what_it_needs_and_no_index_is_broken() {
        let blob = Digest::of(b"blob");
        let mut record = RegistryRecord::default();
        let image = pushed(b"image", std::slice::from_ref(&blob), &[], "1");
        let (name, none) = ("a".to_owned(), |_: &str, _: &Digest| false);
        let put =
            |pushed: &PushedManifest| Change::Manifest(name.clone(), Box::new(pushed.clone()));
        let refused = put(&image).apply(&mut record, "now", &none);
        assert!(matches!(refused, Err(Refused::Missing(missing)) if missing == [blob.clone()]));
        assert!(record.repositories.is_empty());
        let there = |_: &str, digest: &Digest| *digest == blob;
        let mut apply = |change: &Change, there: &dyn Fn(&str, &Digest) -> bool| {
            change.apply(&mut record, "now", there)
        };
        assert_eq!(apply(&put(&image), &there).unwrap(), Done::Added);
        // The manifest holds the blob from now on.
        assert_eq!(apply(&put(&image), &none).unwrap(), Done::Nothing);
        let index = pushed(b"index", &[], std::slice::from_ref(&image.digest), "1");
        assert_eq!(apply(&put(&index), &none).unwrap(), Done::Took);
        let delete = Change::DeleteManifest(name.clone(), image.digest.clone());
        assert!(matches!(apply(&delete, &none), Err(Refused::Needed(_))));
        let first = Change::DeleteManifest(name.clone(), index.digest.clone());
        assert_eq!(apply(&first, &none).unwrap(), Done::Took);
        assert_eq!(apply(&delete, &none).unwrap(), Done::Took);
        let again = apply(&Change::DeleteTag(name.clone(), "1".to_owned()), &none);
        assert!(matches!(again, Err(Refused::NotFound)));
        let deleted: Vec<&str> = record
            .deleted
            .iter()
            .map(|deleted| deleted.reference.as_str())
            .collect();
        let (index, image) = (index.digest.to_string(), image.digest.to_string());
        assert_eq!(deleted, ["1", &index, &image]);
    }
}
