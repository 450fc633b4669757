//! An image for several machines, as builders make it.

use std::path::Path;
use std::process::Command;

use fs_err as fs;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::busybox;
use crate::command::run;
use crate::server::RegistryServer;
use crate::{Error, Result, packages};

const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Pushes busybox as an index of two platforms: this machine's, and one whose image has the same layer but a
/// configuration of its own, as far as a registry can tell. `name` is without the registry.
///
/// `dir` is made, and filled with the layout that was pushed. The digest of the index comes back.
pub fn push_index(dir: &Path, registry: &RegistryServer, name: &str) -> Result<String> {
    packages::ensure(&[("skopeo", "a second client of registries for the tests")])?;
    let archive = format!("docker-archive:{}", busybox()?.tar.display());
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["--insecure-policy", "copy", &archive]);
    run(skopeo.arg(format!("oci:{}:one", dir.display())))?;

    let mut here = read(&dir.join("index.json"))?["manifests"][0].take();
    let manifest = read(&blob(dir, &here)?)?;
    let mut config = read(&blob(dir, &manifest["config"])?)?;
    let image =
        json!({"mediaType": here["mediaType"], "digest": here["digest"], "size": here["size"]});
    here = image;
    here["platform"] = json!({"os": "linux", "architecture": config["architecture"]});

    config["architecture"] = json!("riscv64");
    let mut other = manifest.clone();
    other["config"] = put(dir, &manifest["config"]["mediaType"], &config)?;
    let mut other = put(dir, &here["mediaType"], &other)?;
    other["platform"] = json!({"os": "linux", "architecture": "riscv64"});

    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [other, here]});
    let mut index = put(dir, &json!(INDEX), &index)?;
    let digest = text(&index["digest"])?.to_owned();
    index["annotations"] = json!({"org.opencontainers.image.ref.name": "index"});
    let list = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [index]});
    fs::write(dir.join("index.json"), list.to_string())?;
    registry.push(&format!("oci:{}:index", dir.display()), name)?;
    Ok(digest)
}

fn read(file: &Path) -> Result<Value> {
    let bytes = fs::read(file)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| Error::Unsupported(format!("{}: {error}", file.display())))
}

/// Where a layout has what a descriptor names.
fn blob(dir: &Path, descriptor: &Value) -> Result<std::path::PathBuf> {
    let digest = text(&descriptor["digest"])?;
    Ok(dir.join("blobs").join(digest.replace(':', "/")))
}

/// Adds a document to a layout; its descriptor.
fn put(dir: &Path, media_type: &Value, document: &Value) -> Result<Value> {
    let bytes = document.to_string();
    let digest = hex::encode(Sha256::digest(&bytes));
    fs::write(dir.join("blobs/sha256").join(&digest), &bytes)?;
    Ok(json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": bytes.len()}))
}

fn text(value: &Value) -> Result<&str> {
    let missing = || Error::Unsupported("skopeo wrote a layout that lacks a digest".to_owned());
    value.as_str().ok_or_else(missing)
}
