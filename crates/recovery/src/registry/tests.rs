//! Points of a registry and of an app in a vault in memory, as a server sees them.
//!
//! Seen to fail: the images of apps, while all of them had one configuration, by which a layout tells images apart.

use std::{collections::BTreeMap, io::Read, sync::Arc};

use lifeboat_capture::TreeBuilder;
use lifeboat_images::{
    Digest,
    registry::{ManifestRecord, RECORD_SCHEMA, RegistryRecord, Repository, Shelf},
};
use lifeboat_store::{Area, MemoryStore, Store};
use lifeboat_vault::{Environment, SnapshotId, Timestamp, Vault, snapshot::Snapshot};
use serde_json::json;

use super::{ShelfOptions, VaultShelf};

const REGISTRY: &str = "registry.example:5000";

struct Host {
    store: Arc<MemoryStore>,
    vault: Vault,
}

impl Host {
    fn new() -> Self {
        let store = Arc::new(MemoryStore::new());
        let env = Environment::system("test");
        let vault = Vault::create(store.clone(), b"password", env).unwrap();
        Self { store, vault }
    }

    fn point(&self, path: &str, day: u32, files: &BTreeMap<String, Vec<u8>>) -> SnapshotId {
        let writer = self.vault.writer(Default::default()).unwrap();
        let mut tree = TreeBuilder::new(Timestamp::default());
        for (path, bytes) in files {
            tree.file_bytes(&writer, path, bytes, 0o600).unwrap();
        }
        let root = tree.write(&writer).unwrap();
        let snapshot = Snapshot {
            time: format!("2026-11-{day:02}T00:00:00Z"),
            tree: Some(root),
            paths: vec![path.to_owned()],
            ..Snapshot::default()
        };
        writer.commit(snapshot).unwrap()
    }

    /// A registry whose `team/app:1.0` has this layer.
    fn registry(&self, day: u32, layer: &[u8]) -> SnapshotId {
        let manifest = manifest(layer);
        let (layer_digest, digest) = (Digest::of(layer), Digest::of(&manifest));
        let record = ManifestRecord {
            media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
            size: manifest.len() as u64,
            blobs: [layer_digest.clone()].into(),
            ..ManifestRecord::default()
        };
        let repository = Repository {
            tags: [("1.0".to_owned(), digest.clone())].into(),
            manifests: [(digest.clone(), record)].into(),
            ..Repository::default()
        };
        let record = RegistryRecord {
            schema: RECORD_SCHEMA,
            registry: REGISTRY.to_owned(),
            repositories: [("team/app".to_owned(), repository)].into(),
            ..RegistryRecord::default()
        };
        let files = BTreeMap::from([
            (
                "registry.json".to_owned(),
                serde_json::to_vec(&record).unwrap(),
            ),
            (digest.path(), manifest),
            (layer_digest.path(), layer.to_vec()),
        ]);
        self.point(
            &format!("/lifeboat/default/registry/{REGISTRY}"),
            day,
            &files,
        )
    }

    /// An app whose saved images are these: tags, and the one layer of each.
    fn app(&self, day: u32, images: &[(&[&str], &[u8])]) -> SnapshotId {
        let mut files = BTreeMap::new();
        let (mut index, mut list) = (Vec::new(), Vec::new());
        for (tags, layer) in images {
            let (manifest, config) = (manifest(layer), config(layer));
            let (layer_digest, digest) = (Digest::of(layer), Digest::of(&manifest));
            index.push(json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": manifest.len()}));
            let places = [Digest::of(&config).path(), layer_digest.path()];
            list.push(json!({"Config": places[0], "RepoTags": tags, "Layers": [places[1]]}));
            for (digest, bytes) in [
                (digest, manifest),
                (layer_digest, layer.to_vec()),
                (Digest::of(&config), config),
            ] {
                files.insert(format!("images/{}", digest.path()), bytes);
            }
        }
        let index = json!({"schemaVersion": 2, "manifests": index});
        files.insert("images/index.json".to_owned(), index.to_string().into());
        files.insert(
            "images/manifest.json".to_owned(),
            json!(list).to_string().into(),
        );
        self.point("/lifeboat/default/web01/app/shop", day, &files)
    }

    fn shelf(&self, options: ShelfOptions) -> VaultShelf {
        VaultShelf::new(self.vault.clone(), options).unwrap()
    }
}

/// Each image has its own: it is what images are told apart by.
fn config(layer: &[u8]) -> Vec<u8> {
    json!({"of": Digest::of(layer)}).to_string().into()
}

fn manifest(layer: &[u8]) -> Vec<u8> {
    let config = config(layer);
    let config = json!({"digest": Digest::of(&config), "size": config.len()});
    let layer = json!({"digest": Digest::of(layer), "size": layer.len()});
    json!({"schemaVersion": 2, "config": config, "layers": [layer]})
        .to_string()
        .into()
}

/// The layer that a tag leads to, byte for byte; none if there is no such repository.
fn layer(shelf: &VaultShelf, host: Option<&str>, name: &str, tag: &str) -> Option<String> {
    let found = shelf.repository(host, name).unwrap()?;
    let digest = found.repository.tags.get(tag)?;
    let mut text = Vec::new();
    let mut read = |digest: &Digest| {
        let mut blob = shelf.blob(&found, digest).unwrap().unwrap();
        text.clear();
        blob.content.read_to_end(&mut text).unwrap();
        assert_eq!(text.len() as u64, blob.size);
        text.clone()
    };
    let manifest: serde_json::Value = serde_json::from_slice(&read(digest)).unwrap();
    let layer = manifest["layers"][0]["digest"].as_str().unwrap();
    Some(String::from_utf8(read(&layer.parse().unwrap())).unwrap())
}

#[test]
fn the_newest_an_older_one_and_one_that_comes() {
    let host = Host::new();
    let first = host.registry(1, b"first");
    host.registry(2, b"second");
    let shelf = host.shelf(ShelfOptions::default());
    let newest = |shelf: &VaultShelf| layer(shelf, None, "team/app", "1.0").unwrap();
    assert_eq!(newest(&shelf), "second");
    let old = format!("point-{}/team/app", first.short());
    assert_eq!(layer(&shelf, None, &old, "1.0").unwrap(), "first");
    assert_eq!(layer(&shelf, None, "point-00000000/team/app", "1.0"), None);
    assert_eq!(layer(&shelf, None, "team/app", "2.0"), None);

    let of_first = host.shelf(ShelfOptions {
        point: Some(first),
        ..ShelfOptions::default()
    });
    assert_eq!(newest(&of_first), "first");
    let until = Timestamp::parse_rfc3339("2026-11-01T12:00:00Z");
    let then = host.shelf(ShelfOptions {
        until,
        ..ShelfOptions::default()
    });
    assert_eq!(newest(&then), "first");

    host.registry(3, b"third");
    assert_eq!(newest(&shelf), "third");
    assert_eq!(newest(&then), "first");
    // A reader's lease is gone with the server; the thread that watches it may hold it for a moment more.
    assert!(!host.store.list(Area::Locks).unwrap().is_empty());
    drop((shelf, of_first, then));
    let mut tries = 0;
    while !host.store.list(Area::Locks).unwrap().is_empty() {
        tries += 1;
        assert!(tries < 3000, "a lease stays");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
}

#[test]
fn images_of_apps_beside_those_of_registries() {
    let host = Host::new();
    host.registry(1, b"of the registry");
    host.app(
        2,
        &[
            (&["busybox:1"], b"of docker.io"),
            (
                &[
                    "registry.example:5000/team/app:1.0",
                    "registry.example:5000/team/app:dev",
                ],
                b"of the engine",
            ),
            (&["other.example/team/app:1.0"], b"of another"),
        ],
    );
    let shelf = host.shelf(ShelfOptions::default());
    let of = |host, name, tag| layer(&shelf, host, name, tag);
    for hub in [None, Some("docker.io"), Some("registry-1.docker.io")] {
        assert_eq!(of(hub, "library/busybox", "1").unwrap(), "of docker.io");
    }
    // What the registry had comes first, though it is older; what it had not is the engine's.
    let registry = Some(REGISTRY);
    assert_eq!(of(registry, "team/app", "1.0").unwrap(), "of the registry");
    assert_eq!(of(registry, "team/app", "dev").unwrap(), "of the engine");
    assert_eq!(
        of(Some("other.example"), "team/app", "1.0").unwrap(),
        "of another"
    );
    assert_eq!(of(registry, "library/busybox", "1"), None);
    assert_eq!(
        shelf.repositories(None).unwrap(),
        ["library/busybox", "team/app"]
    );
    assert_eq!(shelf.repositories(registry).unwrap(), ["team/app"]);

    let preferring = host.shelf(ShelfOptions {
        preferred: vec!["other.example".to_owned()],
        ..ShelfOptions::default()
    });
    assert_eq!(
        layer(&preferring, None, "team/app", "1.0").unwrap(),
        "of another"
    );
    assert_eq!(
        layer(&preferring, None, "library/busybox", "1").unwrap(),
        "of docker.io"
    );
}

#[test]
fn a_point_that_cannot_be_read_takes_no_other_with_it() {
    let host = Host::new();
    host.registry(1, b"whole");
    let files = BTreeMap::from([
        ("images/index.json".to_owned(), b"{".to_vec()),
        ("images/manifest.json".to_owned(), b"[".to_vec()),
    ]);
    host.point("/lifeboat/default/web01/app/broken", 2, &files);
    host.point(
        "/lifeboat/default/web01/app/empty",
        3,
        &BTreeMap::from([("x".to_owned(), vec![])]),
    );
    host.point(
        "/lifeboat/default/registry/lost.example",
        4,
        &BTreeMap::from([("x".to_owned(), vec![])]),
    );
    let shelf = host.shelf(ShelfOptions::default());
    assert_eq!(layer(&shelf, None, "team/app", "1.0").unwrap(), "whole");
    assert_eq!(shelf.registries(), [(REGISTRY.to_owned(), 1)]);
}
