//! The images that one recovery point holds.

use std::{collections::BTreeMap, io, sync::Arc};

use lifeboat_images::{
    Digest, Layout,
    registry::{ImageReference, ManifestRecord, Repository, registry_name, saved_manifests},
};
use lifeboat_plan::{
    identity::{AppIdentity, RegistryIdentity, TAG_PARTIAL, TAG_SAFETY},
    manifest::layout,
};
use lifeboat_vault::{Reader, SnapshotId, id::BlobId, node::Timestamp, snapshot::Snapshot};

use crate::{Result, layout_source::VaultLayout, points};

/// A point with images, as the listing of the vault shows it.
#[derive(Debug, Clone)]
pub struct Listed {
    pub id: SnapshotId,
    pub tree: BlobId,
    pub time: Option<Timestamp>,
    pub of: Of,
    pub is_partial: bool,
    pub is_safety: bool,
    snapshot: Snapshot,
}

/// What a point is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Of {
    /// A registry: site and address.
    Registry(String, String),
    /// An app.
    App(String),
}

impl Listed {
    /// `None` if it can hold no images.
    pub fn new(id: SnapshotId, snapshot: Snapshot) -> Option<Self> {
        let has = |tag| snapshot.tags.iter().any(|own| own == tag);
        Some(Self {
            id,
            tree: snapshot.tree?,
            time: Timestamp::parse_rfc3339(&snapshot.time),
            of: of(&snapshot.paths)?,
            is_partial: has(TAG_PARTIAL),
            is_safety: has(TAG_SAFETY),
            snapshot,
        })
    }

    /// Whether it is a point of this registry.
    pub fn is_of_registry(&self, name: &str) -> bool {
        matches!(&self.of, Of::Registry(_, address) if registry_name(address) == registry_name(name))
    }

    /// Where its layout lies: `images` in an app's point, the root in a registry's.
    pub fn folder(&self) -> &'static [&'static str] {
        match self.of {
            Of::Registry(..) => &[],
            Of::App(_) => &[layout::IMAGES],
        }
    }
}

fn of(paths: &[String]) -> Option<Of> {
    if let Some(app) = AppIdentity::from_snapshot_paths(paths) {
        return Some(Of::App(app.to_string()));
    }
    let registry = RegistryIdentity::from_snapshot_paths(paths)?;
    Some(Of::Registry(registry.site.to_string(), registry.registry))
}

/// Repositories by registry and name.
pub type Repositories = BTreeMap<String, BTreeMap<String, Arc<Repository>>>;

/// Reads what a point holds.
pub fn read(reader: &Reader, point: &Listed) -> Result<Repositories> {
    match &point.of {
        Of::Registry(_, address) => registry(reader, point, address),
        Of::App(_) => app(reader, point),
    }
}

fn registry(reader: &Reader, point: &Listed, address: &str) -> Result<Repositories> {
    let record = super::record(reader, &point.snapshot)?;
    let repositories = record.repositories.into_iter();
    let repositories = repositories.map(|(name, repository)| (name, Arc::new(repository)));
    Ok([(registry_name(address), repositories.collect())].into())
}

/// Images of an app stand under the names that its engine knew them by. What it knew by no name, nobody can ask for.
fn app(reader: &Reader, point: &Listed) -> Result<Repositories> {
    let source = VaultLayout::new(reader, point.tree);
    let saved = match Layout::read(&source) {
        Ok(saved) => saved,
        // A point without images.
        Err(lifeboat_images::Error::Io { source, .. })
            if source.kind() == io::ErrorKind::NotFound =>
        {
            return Ok(Repositories::new());
        }
        Err(error) => return Err(error.into()),
    };
    let manifest = points::manifest_from(reader, &point.snapshot)?;
    let records = manifest.map(|manifest| manifest.images).unwrap_or_default();
    let mut found: BTreeMap<String, BTreeMap<String, Repository>> = BTreeMap::new();
    for image in &saved.images {
        let manifests = saved_manifests(&source, image)?;
        let Some(top) = image.manifest().filter(|top| manifests.contains_key(top)) else {
            continue;
        };
        let known = records.iter().filter(|record| image.has_id(&record.id));
        let more = known.flat_map(|record| record.tags.iter().chain(&record.repo_digests));
        for name in image.tags.iter().chain(more) {
            let Some(name) = ImageReference::parse(name) else {
                continue;
            };
            let of_host = found.entry(name.host).or_default();
            let repository = of_host.entry(name.repository).or_default();
            add(repository, &manifests);
            if let Some(tag) = name.tag {
                repository.tags.insert(tag, top.clone());
            }
        }
    }
    let shared = |(name, repository)| (name, Arc::new(repository));
    Ok(found
        .into_iter()
        .map(|(host, repositories)| (host, repositories.into_iter().map(shared).collect()))
        .collect())
}

/// Adds manifests to a repository. What one of two points has is there.
pub fn add(repository: &mut Repository, manifests: &BTreeMap<Digest, ManifestRecord>) {
    for (digest, record) in manifests {
        match repository.manifests.get_mut(digest) {
            None => {
                repository.manifests.insert(digest.clone(), record.clone());
            }
            Some(known) => known.absent.retain(|digest| record.absent.contains(digest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whose_images() {
        let of = |path: &str| of(&[path.to_owned()]);
        assert_eq!(
            of("/lifeboat/s/registry/registry.example:5000"),
            Some(Of::Registry(
                "s".to_owned(),
                "registry.example:5000".to_owned()
            ))
        );
        assert_eq!(
            of("/lifeboat/s/h/app/shop"),
            Some(Of::App("s/h/shop".to_owned()))
        );
        for none in [
            "/srv",
            "/lifeboat/s/registry/",
            "/lifeboat/s/registry/a/b",
            "/lifeboat/s/h/host",
        ] {
            assert_eq!(of(none), None, "{none}");
        }
    }
}
