//! What a recovery point says of a registry (`registry.json`). It may come from a vault that somebody else wrote:
//! [`RegistryRecord::from_json`] refuses names that are none.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{is_repository, is_tag};
use crate::{Digest, Error, Result};

/// The version of the record that this program writes.
pub const RECORD_SCHEMA: u32 = 1;

/// A registry as it was.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RegistryRecord {
    /// [`RECORD_SCHEMA`].
    pub schema: u32,
    /// Its address as images name it: `registry.example:5000`.
    pub registry: String,
    /// When it was read, RFC 3339.
    pub time: String,
    /// Its repositories by name.
    pub repositories: BTreeMap<String, Repository>,
    /// What is broken or missing at the source.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Finding>,
    /// What was deleted of a registry that is served from the vault, oldest first: earlier points have it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deleted: Vec<Deleted>,
}

/// A tag or manifest that somebody deleted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deleted {
    /// Repository.
    pub repository: String,
    /// Tag or digest.
    pub reference: String,
    /// The manifest that it was.
    pub digest: Digest,
    /// When, RFC 3339.
    pub time: String,
}

/// One repository.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Repository {
    /// Where each tag points: to a manifest of this repository.
    pub tags: BTreeMap<String, Digest>,
    /// Its manifests and indexes: those with tags, their children, and what refers to them.
    pub manifests: BTreeMap<Digest, ManifestRecord>,
    /// Since when each tag points where it does, RFC 3339, as far as it is known.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub since: BTreeMap<String, String>,
}

/// What is known of one manifest without reading it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct ManifestRecord {
    /// Media type, as the registry said it.
    pub media_type: String,
    /// Bytes.
    pub size: u64,
    /// Configurations and layers that it needs, each once.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub blobs: BTreeSet<Digest>,
    /// Manifests that it is an index of.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub children: BTreeSet<Digest>,
    /// What of the two is not in the point: the source did not have it, or it was not asked for.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub absent: BTreeSet<Digest>,
    /// The manifest that it refers to (a signature, an SBOM, an attestation).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Digest>,
    /// What it is, where it refers to another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// Its annotations, where it refers to another: the list of referrers shows them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Something that the source does not have, or has damaged.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// Repository.
    pub repository: String,
    /// Tag or digest.
    pub reference: String,
    /// One sentence.
    pub reason: String,
}

impl RegistryRecord {
    /// Reads a record.
    ///
    /// # Errors
    /// It is no record, of a later version, or has names that no registry has.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        let file = "registry.json";
        let record: Self =
            serde_json::from_slice(bytes).map_err(|e| Error::layout(file, e.to_string()))?;
        if record.schema != RECORD_SCHEMA {
            return Err(Error::layout(
                file,
                format!(
                    "it has version {}, this program knows {RECORD_SCHEMA}; use a newer one",
                    record.schema
                ),
            ));
        }
        for (name, repository) in &record.repositories {
            if !is_repository(name) {
                return Err(Error::layout(
                    file,
                    format!("{name:?} is no name of a repository"),
                ));
            }
            if let Some(tag) = repository.tags.keys().find(|tag| !is_tag(tag)) {
                return Err(Error::layout(file, format!("{tag:?} is no tag")));
            }
        }
        Ok(record)
    }

    /// Every blob and manifest that the point holds, each once.
    #[must_use]
    pub fn digests(&self) -> BTreeSet<&Digest> {
        let repositories = self.repositories.values();
        repositories.flat_map(Repository::digests).collect()
    }
}

impl Repository {
    /// What is needed for some manifests: themselves, what an index of them is made of, and what refers to any of
    /// these (signatures, SBOMs). What is not there is left out.
    #[must_use]
    pub fn closure<'a>(&self, roots: impl Iterator<Item = &'a Digest>) -> BTreeSet<Digest> {
        let mut found = BTreeSet::new();
        let mut waiting: Vec<Digest> = roots.cloned().collect();
        loop {
            while let Some(digest) = waiting.pop() {
                if let Some(manifest) = self.manifests.get(&digest)
                    && found.insert(digest)
                {
                    waiting.extend(manifest.children.iter().cloned());
                }
            }
            let refers = |(digest, manifest): &(&Digest, &ManifestRecord)| {
                let subject = manifest.subject.as_ref();
                !found.contains(*digest) && subject.is_some_and(|to| found.contains(to))
            };
            let more = self.manifests.iter().filter(refers);
            waiting.extend(more.map(|(digest, _)| digest.clone()));
            if waiting.is_empty() {
                return found;
            }
        }
    }

    /// Every blob and manifest of it that the point holds.
    pub fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.manifests.iter().flat_map(|(digest, manifest)| {
            let blobs = manifest.blobs.difference(&manifest.absent);
            blobs.chain([digest])
        })
    }

    /// The manifests that refer to this one, with their digests.
    pub fn referrers(&self, subject: &Digest) -> impl Iterator<Item = (&Digest, &ManifestRecord)> {
        let all = self.manifests.iter();
        all.filter(move |(_, manifest)| manifest.subject.as_ref() == Some(subject))
    }

    /// Whether a blob (no manifest) of this digest belongs to it.
    #[must_use]
    pub fn has_blob(&self, digest: &Digest) -> bool {
        let mut all = self.manifests.values();
        all.any(|m| m.blobs.contains(digest) && !m.absent.contains(digest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_and_a_hostile_one_does_not() {
        let digest = Digest::of(b"manifest");
        let mut record = RegistryRecord {
            schema: RECORD_SCHEMA,
            registry: "registry.example:5000".to_owned(),
            ..RegistryRecord::default()
        };
        let repository = Repository {
            tags: [("1.0".to_owned(), digest.clone())].into(),
            manifests: [(digest, ManifestRecord::default())].into(),
            ..Repository::default()
        };
        record
            .repositories
            .insert("team/app".to_owned(), repository.clone());
        let json = serde_json::to_vec(&record).unwrap();
        assert_eq!(RegistryRecord::from_json(&json).unwrap(), record);

        record
            .repositories
            .insert("../etc".to_owned(), Repository::default());
        let json = serde_json::to_vec(&record).unwrap();
        let error = RegistryRecord::from_json(&json).unwrap_err().to_string();
        assert!(error.contains("no name of a repository"), "{error}");

        let text = String::from_utf8(json)
            .unwrap()
            .replace("sha256:", "sha256:../");
        assert!(RegistryRecord::from_json(text.as_bytes()).is_err());
        let later = serde_json::to_vec(&RegistryRecord {
            schema: 2,
            ..RegistryRecord::default()
        });
        assert!(RegistryRecord::from_json(&later.unwrap()).is_err());
    }
}
