//! What a record holds, into a registry: blobs, then manifests, those that are named before those that name them, then
//! tags. What is there already is not sent, so a run that was interrupted is gone on with by running it again. In the end
//! each tag is asked for once more.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::Mutex;

use super::{Finding, RegistryRecord, Repository, client::RegistryClient, is_repository};
use crate::{Digest, Error, Result, layout::MAX_JSON_BLOB, parallel::parallel};

/// Where the bytes are, for several threads.
pub trait BlobSource: Sync {
    /// A blob from its beginning; `None` if it is not there.
    ///
    /// # Errors
    /// It cannot be read.
    fn open(&self, digest: &Digest) -> io::Result<Option<Box<dyn Read + '_>>>;

    /// So many blobs and bytes are about to be sent, as far as they are not there.
    fn expect(&self, _blobs: usize, _bytes: u64) {}
}

/// What is pushed, and how.
#[derive(Debug, Clone, Default)]
pub struct PushOptions {
    /// Other names for repositories: a whole name, or the beginning of one up to a slash.
    pub renames: BTreeMap<String, String>,
    /// Requests at the same time.
    pub jobs: usize,
}

/// What was pushed.
#[derive(Debug, Default)]
pub struct Pushed {
    /// Blobs sent.
    pub blobs: u64,
    /// Blobs that were there.
    pub known: u64,
    /// Manifests.
    pub manifests: u64,
    /// Tags, each asked for afterwards.
    pub tags: u64,
    /// What could not be brought back.
    pub findings: Vec<Finding>,
}

/// The name that a repository gets.
///
/// # Errors
/// It would be none that a registry takes.
pub fn renamed(name: &str, renames: &BTreeMap<String, String>) -> Result<String> {
    let new = renames
        .iter()
        .filter_map(|(from, to)| match name.strip_prefix(from.as_str())? {
            "" => Some((from.len(), to.clone())),
            rest => rest
                .starts_with('/')
                .then(|| (from.len(), format!("{to}{rest}"))),
        })
        // The longest that fits says most.
        .max_by_key(|(length, _)| *length)
        .map_or_else(|| name.to_owned(), |(_, new)| new);
    if is_repository(&new) {
        Ok(new)
    } else {
        Err(Error::Setup(format!(
            "{name} would become {new:?}, which is no name of a repository"
        )))
    }
}

/// Pushes all that a record holds.
///
/// # Errors
/// The registry does not answer or does not take it, or the source cannot be read.
pub fn push(
    client: &RegistryClient,
    record: &RegistryRecord,
    options: &PushOptions,
    source: &dyn BlobSource,
) -> Result<Pushed> {
    let mut targets: BTreeMap<String, &str> = BTreeMap::new();
    for name in record.repositories.keys() {
        let target = renamed(name, &options.renames)?;
        if let Some(other) = targets.insert(target.clone(), name) {
            return Err(Error::Setup(format!(
                "{other} and {name} would both become {target}; give them different names"
            )));
        }
    }
    let run = Run {
        client,
        source,
        jobs: options.jobs,
        at: Mutex::default(),
        blobs: AtomicU64::new(0),
        known: AtomicU64::new(0),
        findings: Mutex::default(),
    };
    let mut pushed = Pushed::default();
    for (target, name) in &targets {
        let Some(repository) = record.repositories.get(*name) else {
            continue;
        };
        run.blobs(target, repository)?;
        pushed.manifests += run.manifests(target, repository)?;
        pushed.tags += run.tags(target, repository)?;
    }
    pushed.blobs = run.blobs.into_inner();
    pushed.known = run.known.into_inner();
    pushed.findings = run.findings.into_inner().into_iter().collect();
    Ok(pushed)
}

struct Run<'a> {
    client: &'a RegistryClient,
    source: &'a dyn BlobSource,
    jobs: usize,
    /// A repository of the target that has a blob: others mount it from there.
    at: Mutex<BTreeMap<Digest, String>>,
    blobs: AtomicU64,
    known: AtomicU64,
    findings: Mutex<BTreeSet<Finding>>,
}

impl Run<'_> {
    fn blobs(&self, target: &str, repository: &Repository) -> Result<()> {
        let manifests = repository.manifests.values();
        let blobs: BTreeSet<&Digest> = manifests
            .flat_map(|m| m.blobs.difference(&m.absent))
            .collect();
        self.source.expect(blobs.len(), 0);
        parallel(self.jobs, blobs.into_iter().collect(), |digest: &Digest| {
            self.blob(target, digest)
        })
    }

    fn blob(&self, target: &str, digest: &Digest) -> Result<()> {
        let elsewhere = self.at.lock().get(digest).cloned();
        let mut open = || {
            self.source.open(digest)?.ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::NotFound,
                    format!("{digest} is not in the recovery point"),
                )
            })
        };
        let is_new = self
            .client
            .push_blob(target, digest, elsewhere.as_deref(), &mut open)?;
        let count = if is_new { &self.blobs } else { &self.known };
        count.fetch_add(1, Ordering::SeqCst);
        self.at
            .lock()
            .entry(digest.clone())
            .or_insert_with(|| target.to_owned());
        Ok(())
    }

    /// In waves: first those that name no other, then those that name only these.
    fn manifests(&self, target: &str, repository: &Repository) -> Result<u64> {
        let mut done: BTreeSet<&Digest> = BTreeSet::new();
        loop {
            let wave: Vec<&Digest> = repository
                .manifests
                .iter()
                .filter(|(digest, record)| {
                    let named = record.children.difference(&record.absent);
                    // What refers to another may come before it: registries take that, and some do not.
                    let named = named.chain(&record.subject);
                    let mut of_this = named.filter(|d| repository.manifests.contains_key(*d));
                    !done.contains(digest) && of_this.all(|d| done.contains(d))
                })
                .map(|(digest, _)| digest)
                .collect();
            if wave.is_empty() {
                return Ok(done.len() as u64);
            }
            done.extend(&wave);
            parallel(self.jobs, wave, |digest: &Digest| {
                let Some(record) = repository.manifests.get(digest) else {
                    return Ok(());
                };
                let bytes = self.manifest(digest)?;
                let reference = digest.to_string();
                let media_type = &record.media_type;
                match self
                    .client
                    .push_manifest(target, &reference, media_type, bytes)
                {
                    // An index of which parts are absent is taken by some registries only.
                    Err(e @ (Error::BadAnswer { .. } | Error::Refused { .. }))
                        if !record.absent.is_empty() =>
                    {
                        self.finding(
                            target,
                            &reference,
                            format!("{e}; parts of it are not in the recovery point"),
                        );
                        Ok(())
                    }
                    done => done,
                }
            })?;
        }
    }

    fn manifest(&self, digest: &Digest) -> Result<Vec<u8>> {
        let context = || Error::io(format!("read {digest} of the recovery point"));
        let blob = self.source.open(digest).map_err(context())?;
        let mut blob =
            blob.ok_or_else(|| Error::layout(digest.path(), "it is not in the recovery point"))?;
        let mut bytes = Vec::new();
        let mut bounded = blob.by_ref().take(MAX_JSON_BLOB + 1);
        bounded.read_to_end(&mut bytes).map_err(context())?;
        let found = Digest::of_as(digest.algorithm(), &bytes);
        if found == *digest {
            Ok(bytes)
        } else {
            Err(Error::DigestMismatch {
                what: digest.path(),
                wanted: digest.to_string(),
                found: found.to_string(),
            })
        }
    }

    fn tags(&self, target: &str, repository: &Repository) -> Result<u64> {
        let tags: Vec<(&String, &Digest)> = repository.tags.iter().collect();
        let put = AtomicU64::new(0);
        parallel(self.jobs, tags, |(tag, digest): (&String, &Digest)| {
            let there = self.client.resolve(target, tag)?;
            if there.is_none_or(|there| there.digest != *digest) {
                let Some(record) = repository.manifests.get(digest) else {
                    self.finding(target, tag, "its manifest is not in the recovery point");
                    return Ok(());
                };
                let bytes = self.manifest(digest)?;
                let pushed = self
                    .client
                    .push_manifest(target, tag, &record.media_type, bytes);
                match pushed {
                    Err(e @ (Error::BadAnswer { .. } | Error::Refused { .. }))
                        if !record.absent.is_empty() =>
                    {
                        self.finding(target, tag, e.to_string());
                        return Ok(());
                    }
                    other => other?,
                }
                let there = self.client.resolve(target, tag)?;
                if there.as_ref().is_none_or(|there| there.digest != *digest) {
                    self.finding(
                        target,
                        tag,
                        "it was pushed and the registry does not have it afterwards",
                    );
                    return Ok(());
                }
            }
            put.fetch_add(1, Ordering::SeqCst);
            Ok(())
        })?;
        Ok(put.into_inner())
    }

    fn finding(&self, repository: &str, reference: &str, reason: impl Into<String>) {
        self.findings.lock().insert(Finding {
            repository: repository.to_owned(),
            reference: reference.to_owned(),
            reason: reason.into(),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_changed_as_wholes_or_as_folders() {
        let renames: BTreeMap<String, String> = [("team", "dr/team"), ("team/app", "app")]
            .map(|(from, to)| (from.to_owned(), to.to_owned()))
            .into();
        for (name, new) in [
            ("team/app", "app"),
            ("team/app/web", "app/web"),
            ("team/db", "dr/team/db"),
            ("teamster", "teamster"),
            ("team", "dr/team"),
        ] {
            assert_eq!(renamed(name, &renames).unwrap(), new, "{name}");
        }
        let wrong = [("a".to_owned(), "../A".to_owned())].into();
        assert!(renamed("a", &wrong).is_err());
    }
}
