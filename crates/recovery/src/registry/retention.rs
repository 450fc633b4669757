//! Which tags and manifests of a registry stay. Pure: facts come in, verdicts go out.
//!
//! A tag stays where any rule keeps it. A manifest stays where a tag that stays leads to it, as part of an index too, or
//! where it refers to one that stays; one without any tag stays unless the rules say otherwise. What the newest
//! recovery point of an app names stays, whatever the rules say. A tag that is called after a manifest (as cosign
//! calls signatures, `sha256-….sig`) is no version of anything: it goes with that manifest.

use std::collections::{BTreeMap, BTreeSet};

use globset::GlobSet;
use jiff::{Timestamp, tz::Offset};
use lifeboat_images::{
    Digest,
    registry::{RegistryRecord, Repository},
};
use lifeboat_plan::retention::{Moment, Span};
use serde::Serialize;

/// Digits of a digest in the name of a tag that is called after one.
const DIGITS: usize = 64;

/// What keeps a tag.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// So many tags of each repository, those that moved last.
    pub last: usize,
    /// Tags that are called so.
    pub tags: GlobSet,
    /// Tags that have pointed where they do for less than that.
    pub within: Option<Span>,
    /// Manifests that no tag leads to go as well, though they were pushed so.
    pub untagged: bool,
}

/// What apps need of a repository, by tag or digest: which app.
pub type Needed = BTreeMap<String, String>;

/// A tag, and why it stays or goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Repository.
    pub repository: String,
    /// Tag.
    pub tag: String,
    /// Where it points.
    pub digest: Digest,
    /// At least since when, RFC 3339.
    pub since: String,
    /// What keeps it; nothing: it goes.
    pub stays: Vec<String>,
}

/// What goes, as it was when it was judged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removal {
    repositories: BTreeMap<String, Going>,
}

/// Of one repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Going {
    /// Tags, and where they pointed.
    tags: BTreeMap<String, Digest>,
    manifests: BTreeSet<Digest>,
    /// What apps need, beside what tags lead to.
    needed: BTreeSet<Digest>,
}

impl Removal {
    /// Whether nothing goes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.repositories.is_empty()
    }

    /// Manifests that go.
    #[must_use]
    pub fn manifests(&self) -> u64 {
        let all = self.repositories.values();
        all.map(|going| going.manifests.len() as u64).sum()
    }

    /// Takes out of a record what went by the verdict and is still as it was: a tag that was moved meanwhile stays, and
    /// so does what a new tag leads to. Returns what went: repository, tag or digest, and the manifest.
    pub fn carry_out(&self, record: &mut RegistryRecord) -> Vec<(String, String, Digest)> {
        let mut gone = Vec::new();
        for (name, going) in &self.repositories {
            let Some(repository) = record.repositories.get_mut(name) else {
                continue;
            };
            for (tag, digest) in &going.tags {
                if repository.tags.get(tag) == Some(digest) {
                    repository.tags.remove(tag);
                    repository.since.remove(tag);
                    gone.push((name.clone(), tag.clone(), digest.clone()));
                }
            }
            let stays = repository.closure(repository.tags.values().chain(&going.needed));
            for digest in going.manifests.difference(&stays) {
                if repository.manifests.remove(digest).is_some() {
                    gone.push((name.clone(), digest.to_string(), digest.clone()));
                }
            }
            if repository.manifests.is_empty() && repository.tags.is_empty() {
                record.repositories.remove(name);
            }
        }
        gone
    }
}

/// Judges the repositories that were chosen.
#[must_use]
pub fn judge(
    record: &RegistryRecord,
    rules: &Rules,
    is_chosen: &dyn Fn(&str) -> bool,
    needed: &BTreeMap<String, Needed>,
    now: Timestamp,
) -> (Vec<Verdict>, Removal) {
    let nothing = Needed::new();
    let mut verdicts = Vec::new();
    let mut removal = Removal::default();
    for (name, repository) in &record.repositories {
        if !is_chosen(name) {
            continue;
        }
        let needed = needed.get(name).unwrap_or(&nothing);
        let tags = tags(record, repository, rules, needed, now);
        let going = going(repository, &tags, rules, needed);
        if going.tags.len() + going.manifests.len() > 0 {
            removal.repositories.insert(name.clone(), going);
        }
        let of_repository = tags.into_iter().map(|tag| Verdict {
            repository: name.clone(),
            ..tag
        });
        verdicts.extend(of_repository);
    }
    (verdicts, removal)
}

/// The tags of a repository, those that moved last first.
fn tags(
    record: &RegistryRecord,
    repository: &Repository,
    rules: &Rules,
    needed: &Needed,
    now: Timestamp,
) -> Vec<Verdict> {
    // What nobody wrote down was so when the record was made.
    let since = |tag: &String| repository.since.get(tag).unwrap_or(&record.time).clone();
    let mut all: Vec<Verdict> = repository
        .tags
        .iter()
        .map(|(tag, digest)| Verdict {
            repository: String::new(),
            tag: tag.clone(),
            digest: digest.clone(),
            since: since(tag),
            stays: Vec::new(),
        })
        .collect();
    let instant = |verdict: &Verdict| verdict.since.parse::<Timestamp>().ok();
    all.sort_by(|a, b| (instant(b), &b.tag).cmp(&(instant(a), &a.tag)));
    let now = Moment {
        instant: now,
        offset: Offset::UTC,
    };
    let youngest = rules.within.map(|within| within.before(&now));
    let (named_after, mut versions): (Vec<_>, Vec<_>) = all.into_iter().partition(|tag| {
        subject(&tag.tag).is_some_and(|to| repository.manifests.contains_key(&to))
    });
    for (number, verdict) in versions.iter_mut().enumerate() {
        let mut keep = |reason: String| verdict.stays.push(reason);
        if number < rules.last {
            keep(format!("one of the {} that moved last", rules.last));
        }
        if rules.tags.is_match(&verdict.tag) {
            keep("its name".to_owned());
        }
        let age = verdict.since.parse::<Timestamp>().ok();
        // A time that nobody can read is no age.
        if youngest.is_some_and(|youngest| age.is_none_or(|age| age > youngest)) {
            keep("its age".to_owned());
        }
        let by = needed.get(&verdict.tag);
        if let Some(app) = by.or_else(|| needed.get(&verdict.digest.to_string())) {
            keep(format!("the newest recovery point of {app} names it"));
        }
    }
    let kept = versions.iter().filter(|tag| !tag.stays.is_empty());
    let stays = repository.closure(kept.map(|tag| &tag.digest).chain(&pinned(needed)));
    let named_after = named_after.into_iter().map(|mut tag| {
        if let Some(to) = subject(&tag.tag).filter(|to| stays.contains(to)) {
            tag.stays.push(format!("it belongs to {to}, which stays"));
        }
        tag
    });
    let mut all: Vec<Verdict> = named_after.collect();
    versions.append(&mut all);
    versions
}

fn going(repository: &Repository, tags: &[Verdict], rules: &Rules, needed: &Needed) -> Going {
    let (stay, go): (Vec<_>, Vec<_>) = tags.iter().partition(|tag| !tag.stays.is_empty());
    let needed = pinned(needed);
    let stays = repository.closure(stay.iter().map(|tag| &tag.digest).chain(&needed));
    let led_to = repository.closure(go.iter().map(|tag| &tag.digest));
    let all = repository.manifests.keys();
    let manifests = all.filter(|digest| rules.untagged || led_to.contains(*digest));
    let manifests = manifests.filter(|digest| !stays.contains(*digest));
    Going {
        manifests: manifests.cloned().collect(),
        tags: go
            .iter()
            .map(|tag| (tag.tag.clone(), tag.digest.clone()))
            .collect(),
        needed,
    }
}

/// Manifests that apps need by their digest.
fn pinned(needed: &Needed) -> BTreeSet<Digest> {
    needed.keys().filter_map(|name| name.parse().ok()).collect()
}

/// The manifest that a tag is called after.
fn subject(tag: &str) -> Option<Digest> {
    let digits = tag.strip_prefix("sha256-")?.get(..DIGITS)?;
    format!("sha256:{digits}").parse().ok()
}

#[cfg(test)]
#[path = "retention_tests.rs"]
mod tests;
