//! A registry into a record and blobs, while others push to it.
//!
//! Manifests and blobs never change and are there before what names them; so tags are read first, then manifests, then
//! blobs, and in the end the tags once more: what moved meanwhile is fetched again. What the source does not have, or
//! has damaged, is a finding and no end; a registry that does not answer is one.

pub(crate) mod manifest;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use globset::{Glob, GlobSet, GlobSetBuilder};
use parking_lot::Mutex;

pub use self::manifest::Platform;
use super::{
    Finding, ManifestRecord, RECORD_SCHEMA, RegistryRecord, Repository, is_repository,
    source::Source,
};
use crate::{BlobWriter, Digest, Error, Result, parallel::parallel};

/// How deep an index may hold indexes, or a signature be signed.
const DEEPEST: usize = 8;
/// How often the tags are looked at again because some had moved.
const ROUNDS: usize = 3;

/// Where blobs go to, from several threads.
pub trait BlobStore: Sync {
    /// Whether it is there: then it is not fetched.
    fn has(&self, digest: &Digest) -> bool;

    /// Begins a blob.
    ///
    /// # Errors
    /// The place takes nothing.
    fn begin(&self, size: u64) -> io::Result<Box<dyn BlobWriter + '_>>;

    /// So many blobs and bytes are about to be fetched.
    fn expect(&self, _blobs: usize, _bytes: u64) {}
}

/// What is fetched, and how.
#[derive(Debug, Clone, Default)]
pub struct FetchOptions {
    /// Repositories, with `*`; none: all.
    pub repositories: Vec<String>,
    /// Tags, with `*`; none: all.
    pub tags: Vec<String>,
    /// Platforms; none: all.
    pub platforms: Vec<Platform>,
    /// Requests at the same time.
    pub jobs: usize,
}

/// What was fetched.
#[derive(Debug)]
pub struct Fetched {
    /// The registry as it was.
    pub record: RegistryRecord,
    /// Blobs and manifests that came over the line.
    pub fetched: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Fetches what is wanted of a registry. `before` is what an earlier record says: manifests of it whose blobs the store
/// has are not fetched again.
///
/// # Errors
/// The registry does not answer, does not let us, or the store takes nothing.
pub fn fetch(
    client: &dyn Source,
    options: &FetchOptions,
    before: Option<&RegistryRecord>,
    store: &dyn BlobStore,
    time: String,
) -> Result<Fetched> {
    let run = Run::new(client, options, before, store)?;
    let names = run.repositories()?;
    for round in 0..ROUNDS {
        let before = run.fetched.load(Ordering::SeqCst);
        run.tags(&names)?;
        run.blobs()?;
        // Where nothing was fetched nothing took long enough to move.
        if run.fetched.load(Ordering::SeqCst) == before {
            break;
        }
        if round + 1 == ROUNDS {
            tracing::info!("tags still move; each is as it was when it was read last");
        }
    }
    run.finish(time)
}

/// A blob that is to be fetched.
#[derive(Default)]
struct Need {
    size: u64,
    repositories: BTreeSet<String>,
}

#[derive(Default)]
struct State {
    repositories: BTreeMap<String, Repository>,
    needs: BTreeMap<Digest, Need>,
    findings: BTreeSet<Finding>,
}

struct Run<'a> {
    client: &'a dyn Source,
    options: &'a FetchOptions,
    store: &'a dyn BlobStore,
    wanted: Option<GlobSet>,
    tags: Option<GlobSet>,
    known: BTreeMap<&'a Digest, &'a ManifestRecord>,
    has_referrers: AtomicBool,
    state: Mutex<State>,
    fetched: AtomicU64,
    bytes: AtomicU64,
}

impl<'a> Run<'a> {
    fn new(
        client: &'a dyn Source,
        options: &'a FetchOptions,
        before: Option<&'a RegistryRecord>,
        store: &'a dyn BlobStore,
    ) -> Result<Self> {
        let repositories = before.into_iter().flat_map(|r| r.repositories.values());
        Ok(Self {
            client,
            options,
            store,
            wanted: patterns("--repo", &options.repositories)?,
            tags: patterns("--tag", &options.tags)?,
            known: repositories.flat_map(|r| &r.manifests).collect(),
            has_referrers: AtomicBool::new(true),
            state: Mutex::default(),
            fetched: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        })
    }

    /// Names of what is wanted. Where each is said in full nobody has to show a list.
    fn repositories(&self) -> Result<Vec<String>> {
        let said = &self.options.repositories;
        if !said.is_empty() && said.iter().all(|name| is_repository(name)) {
            return Ok(said.clone());
        }
        let mut names = self.client.catalog()?;
        if let Some(wanted) = &self.wanted {
            names.retain(|name| wanted.is_match(name));
        }
        Ok(names)
    }

    /// Tags, and the manifests that they lead to. In a later round only what has moved is new.
    fn tags(&self, names: &[String]) -> Result<()> {
        let found: Mutex<Vec<(String, String)>> = Mutex::default();
        parallel(self.options.jobs, names.to_vec(), |name: String| {
            match self.client.tags(&name) {
                Ok(Some(tags)) => {
                    let wanted = |tag: &String| self.tags.as_ref().is_none_or(|t| t.is_match(tag));
                    let tags = tags.into_iter().filter(wanted);
                    found.lock().extend(tags.map(|tag| (name.clone(), tag)));
                }
                Ok(None) if self.options.repositories.contains(&name) => {
                    self.finding(&name, &name, "there is no such repository");
                }
                // The catalog shows what was deleted meanwhile, too.
                Ok(None) => {}
                Err(e @ (Error::Refused { .. } | Error::BadAnswer { .. })) => {
                    self.finding(&name, &name, e.to_string());
                }
                Err(e) => return Err(e),
            }
            self.state.lock().repositories.entry(name).or_default();
            Ok(())
        })?;
        let found = found.into_inner();
        parallel(self.options.jobs, found, |(name, tag)| {
            self.tag(&name, &tag)
        })
    }

    fn tag(&self, name: &str, tag: &str) -> Result<()> {
        let target = match self.client.resolve(name, tag) {
            Ok(target) => target,
            Err(e) => return self.survive(name, tag, e),
        };
        let Some(target) = target else {
            // It is listed: its manifest is lost, or somebody just took it away.
            self.finding(name, tag, "the tag is there and its manifest is not");
            return Ok(());
        };
        if self.manifest(name, &target.digest, 0)? {
            let mut state = self.state.lock();
            let repository = state.repositories.entry(name.to_owned()).or_default();
            repository.tags.insert(tag.to_owned(), target.digest);
        } else {
            self.finding(name, tag, "the tag is there and its manifest is not");
        }
        Ok(())
    }

    /// A manifest with all that it leads to; `false` if it cannot be had.
    fn manifest(&self, name: &str, digest: &Digest, depth: usize) -> Result<bool> {
        let is_there = |state: &State| {
            let repository = state.repositories.get(name);
            repository.is_some_and(|r| r.manifests.contains_key(digest))
        };
        if is_there(&self.state.lock()) {
            return Ok(true);
        }
        if depth > DEEPEST {
            self.finding(name, &digest.to_string(), "it is nested too deeply");
            return Ok(false);
        }
        let mut record = match self.known_whole(digest) {
            Some(known) => known.clone(),
            None => match self.pull(name, digest)? {
                Some(record) => record,
                None => return Ok(false),
            },
        };
        for child in record.children.clone() {
            if !record.absent.contains(&child) && !self.manifest(name, &child, depth + 1)? {
                self.finding(
                    name,
                    &child.to_string(),
                    format!("the index {digest} names it, and it is not there"),
                );
                record.absent.insert(child);
            }
        }
        {
            let mut state = self.state.lock();
            let repository = state.repositories.entry(name.to_owned()).or_default();
            repository.manifests.insert(digest.clone(), record);
        }
        for referrer in self.referrers(name, digest)? {
            self.manifest(name, &referrer, depth + 1)?;
        }
        Ok(true)
    }

    /// What an earlier record says of it, if all that it needs is there. Children that were missing are asked for again.
    fn known_whole(&self, digest: &Digest) -> Option<&ManifestRecord> {
        let known = self.known.get(digest)?;
        // Of an index a part is wanted: which one, its bytes say.
        let is_chosen_from = !self.options.platforms.is_empty() && !known.children.is_empty();
        let is_whole = self.store.has(digest)
            && !is_chosen_from
            && known.absent.is_empty()
            && known.blobs.iter().all(|blob| self.store.has(blob));
        is_whole.then_some(*known)
    }

    /// Fetches a manifest and notes what blobs it needs.
    fn pull(&self, name: &str, digest: &Digest) -> Result<Option<ManifestRecord>> {
        let reference = digest.to_string();
        let pulled = match self.client.manifest(name, &reference) {
            Ok(Some(pulled)) => pulled,
            Ok(None) => return Ok(None),
            Err(e) => return self.survive(name, &reference, e).map(|()| None),
        };
        let read = manifest::read(&pulled.bytes, &pulled.media_type, &self.options.platforms);
        let Some(mut read) = read else {
            self.finding(name, &reference, "it is no manifest");
            return Ok(None);
        };
        for odd in &read.odd {
            let why = format!(
                "it needs {odd:?}, which is neither a SHA-256 nor a SHA-512 digest: that part is left out"
            );
            self.finding(name, &reference, why);
        }
        read.record.absent.extend(read.unwanted);
        self.keep(digest, &pulled.bytes)?;
        let mut state = self.state.lock();
        for (blob, size) in read.sizes {
            if !self.store.has(&blob) {
                let need = state.needs.entry(blob).or_default();
                need.size = size;
                need.repositories.insert(name.to_owned());
            }
        }
        Ok(Some(read.record))
    }

    fn keep(&self, digest: &Digest, bytes: &[u8]) -> Result<()> {
        self.count(bytes.len() as u64);
        if self.store.has(digest) {
            return Ok(());
        }
        let size = bytes.len() as u64;
        let write = || {
            let mut blob = self.store.begin(size)?;
            blob.write_all(bytes)?;
            blob.finish(digest, size)
        };
        write().map_err(Error::io(format!("keep {digest}")))
    }

    fn referrers(&self, name: &str, digest: &Digest) -> Result<Vec<Digest>> {
        if !self.has_referrers.load(Ordering::Relaxed) {
            return Ok(Vec::new());
        }
        match self.client.referrers(name, digest) {
            Ok(Some(found)) => Ok(found),
            // It knows no such list: signatures are tags there, and come as such.
            Ok(None) => {
                self.has_referrers.store(false, Ordering::Relaxed);
                Ok(Vec::new())
            }
            Err(e) => self
                .survive(name, &digest.to_string(), e)
                .map(|()| Vec::new()),
        }
    }

    /// All blobs that are needed, several at the same time, the largest first.
    fn blobs(&self) -> Result<()> {
        let needs = std::mem::take(&mut self.state.lock().needs);
        let mut needs: Vec<(Digest, Need)> = needs
            .into_iter()
            .filter(|(digest, _)| !self.store.has(digest))
            .collect();
        needs.sort_by_key(|(_, need)| std::cmp::Reverse(need.size));
        self.store
            .expect(needs.len(), needs.iter().map(|(_, need)| need.size).sum());
        parallel(self.options.jobs, needs, |(digest, need)| {
            self.blob(&digest, &need)
        })
    }

    fn blob(&self, digest: &Digest, need: &Need) -> Result<()> {
        let mut why = "a manifest names it, and it is not there".to_owned();
        for name in &need.repositories {
            let context = || Error::io(format!("keep {digest}"));
            let mut blob = self.store.begin(need.size).map_err(context())?;
            match self.client.blob(name, digest, need.size, &mut blob) {
                Ok(true) => {
                    blob.finish(digest, need.size).map_err(context())?;
                    self.count(need.size);
                    return Ok(());
                }
                Ok(false) => {}
                Err(e @ (Error::DigestMismatch { .. } | Error::BadAnswer { .. })) => {
                    why = e.to_string();
                }
                Err(e) => return Err(e),
            }
        }
        let mut state = self.state.lock();
        for name in &need.repositories {
            state.findings.insert(Finding {
                repository: name.clone(),
                reference: digest.to_string(),
                reason: why.clone(),
            });
        }
        let manifests = state.repositories.values_mut();
        for record in manifests.flat_map(|repository| repository.manifests.values_mut()) {
            if record.blobs.contains(digest) {
                record.absent.insert(digest.clone());
            }
        }
        Ok(())
    }

    /// One thing that is broken at the source is a finding; that nothing can be had any more is an error.
    fn survive(&self, name: &str, reference: &str, error: Error) -> Result<()> {
        match error {
            Error::DigestMismatch { .. } | Error::BadAnswer { .. } => {
                self.finding(name, reference, error.to_string());
                Ok(())
            }
            other => Err(other),
        }
    }

    fn finding(&self, name: &str, reference: &str, reason: impl Into<String>) {
        self.state.lock().findings.insert(Finding {
            repository: name.to_owned(),
            reference: reference.to_owned(),
            reason: reason.into(),
        });
    }

    fn count(&self, bytes: u64) {
        self.fetched.fetch_add(1, Ordering::SeqCst);
        self.bytes.fetch_add(bytes, Ordering::SeqCst);
    }

    fn finish(self, time: String) -> Result<Fetched> {
        let mut state = self.state.into_inner();
        for repository in state.repositories.values_mut() {
            drop_unreachable(repository);
        }
        // A pattern that fits everywhere but here makes no repository.
        state
            .repositories
            .retain(|_, r| !r.tags.is_empty() || !r.manifests.is_empty());
        Ok(Fetched {
            record: RegistryRecord {
                schema: RECORD_SCHEMA,
                registry: self.client.name(),
                time,
                repositories: state.repositories,
                findings: state.findings.into_iter().collect(),
                deleted: Vec::new(),
            },
            fetched: self.fetched.into_inner(),
            bytes: self.bytes.into_inner(),
        })
    }
}

/// Manifests that no tag leads to any more, since it moved while it was read.
fn drop_unreachable(repository: &mut Repository) {
    let mut reached: BTreeSet<Digest> = BTreeSet::new();
    let mut next: Vec<Digest> = repository.tags.values().cloned().collect();
    while let Some(digest) = next.pop() {
        let Some(record) = repository.manifests.get(&digest) else {
            continue;
        };
        if reached.insert(digest.clone()) {
            next.extend(record.children.iter().cloned());
            let referrers = repository.referrers(&digest);
            next.extend(referrers.map(|(referrer, _)| referrer.clone()));
        }
    }
    repository
        .manifests
        .retain(|digest, _| reached.contains(digest));
}

fn patterns(option: &str, said: &[String]) -> Result<Option<GlobSet>> {
    if said.is_empty() {
        return Ok(None);
    }
    let wrong = |e: globset::Error| Error::Setup(format!("{option}: {e}"));
    let mut set = GlobSetBuilder::new();
    for pattern in said {
        set.add(Glob::new(pattern).map_err(wrong)?);
    }
    set.build().map(Some).map_err(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_tag_left_behind_is_dropped_and_its_signature_too() {
        let digests: Vec<Digest> = (0..5).map(|n| Digest::of(&[n])).collect();
        let mut repository = Repository::default();
        repository.tags.insert("1".to_owned(), digests[0].clone());
        let mut put = |at: usize, children: &[usize], subject: Option<usize>| {
            let record = ManifestRecord {
                children: children.iter().map(|n| digests[*n].clone()).collect(),
                subject: subject.map(|n| digests[n].clone()),
                ..ManifestRecord::default()
            };
            repository.manifests.insert(digests[at].clone(), record);
        };
        put(0, &[1], None);
        put(1, &[], None);
        put(2, &[], Some(1));
        put(3, &[], None);
        put(4, &[], Some(3));
        drop_unreachable(&mut repository);
        let left: BTreeSet<&Digest> = repository.manifests.keys().collect();
        assert_eq!(left, digests[..3].iter().collect());
    }
}
