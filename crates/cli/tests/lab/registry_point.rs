//! A recovery point of a registry, made by hand: what a registry held, byte for byte.

use std::{collections::BTreeMap, sync::Arc};

use lifeboat_capture::TreeBuilder;
use lifeboat_images::{
    Digest,
    registry::{ManifestRecord, RECORD_SCHEMA, RegistryRecord},
};
use lifeboat_store::LocalStore;
use lifeboat_vault::{Environment, Timestamp, Vault, snapshot::Snapshot};
use serde_json::{Value, json};

use crate::support::Lab;

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";

pub struct Made {
    files: BTreeMap<String, Vec<u8>>,
    record: RegistryRecord,
}

impl Made {
    pub fn new(registry: &str) -> Self {
        Self {
            files: BTreeMap::new(),
            record: RegistryRecord {
                schema: RECORD_SCHEMA,
                registry: registry.to_owned(),
                ..RegistryRecord::default()
            },
        }
    }

    /// Adds a blob; its descriptor.
    pub fn blob(&mut self, media_type: &str, bytes: Vec<u8>) -> Value {
        let digest = Digest::of(&bytes);
        let size = bytes.len();
        self.files.insert(digest.path(), bytes);
        json!({"mediaType": media_type, "digest": digest, "size": size})
    }

    /// Adds a manifest or index to a repository; its descriptor.
    pub fn manifest(&mut self, repository: &str, tag: Option<&str>, manifest: &Value) -> Value {
        let media_type = manifest["mediaType"].as_str().unwrap();
        let descriptor = self.blob(media_type, manifest.to_string().into_bytes());
        let digest = |d: &Value| d["digest"].as_str().unwrap().parse::<Digest>().unwrap();
        let list = |key: &str| manifest[key].as_array().cloned().unwrap_or_default();
        let mut blobs = list("layers");
        blobs.extend(manifest.get("config").cloned());
        let subject = manifest.get("subject").map(digest);
        let kind = manifest["artifactType"].as_str();
        let record = ManifestRecord {
            media_type: media_type.to_owned(),
            size: descriptor["size"].as_u64().unwrap(),
            blobs: blobs.iter().map(digest).collect(),
            children: list("manifests").iter().map(digest).collect(),
            artifact_type: kind.filter(|_| subject.is_some()).map(str::to_owned),
            subject,
            ..ManifestRecord::default()
        };
        let repositories = &mut self.record.repositories;
        let repository = repositories.entry(repository.to_owned()).or_default();
        let digest = digest(&descriptor);
        repository.manifests.insert(digest.clone(), record);
        if let Some(tag) = tag {
            repository.tags.insert(tag.to_owned(), digest);
        }
        descriptor
    }

    /// Commits it to the lab's vault.
    pub fn commit(mut self, lab: &Lab) {
        let record = serde_json::to_vec(&self.record).unwrap();
        self.files.insert("registry.json".to_owned(), record);
        let password = fs_err::read_to_string(lab.key()).unwrap();
        let store = Arc::new(LocalStore::new(&lab.vault()));
        let vault = Vault::open(
            store,
            password.trim_end().as_bytes(),
            Environment::system("test"),
        );
        let vault = vault.unwrap();
        let writer = vault.writer(Default::default()).unwrap();
        let mut tree = TreeBuilder::new(Timestamp::default());
        for (path, bytes) in &self.files {
            tree.file_bytes(&writer, path, bytes, 0o600).unwrap();
        }
        let tree = tree.write(&writer).unwrap();
        let snapshot = Snapshot {
            time: jiff::Timestamp::now().to_string(),
            tree: Some(tree),
            paths: vec![format!(
                "/lifeboat/default/registry/{}",
                self.record.registry
            )],
            tags: vec!["lifeboat".to_owned()],
            ..Snapshot::default()
        };
        writer.commit(snapshot).unwrap();
    }
}
