//! Writing an image archive as `docker save` does: `manifest.json`, a configuration, and one
//! directory a layer. Every engine since 1.10 reads it.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::Image;
use crate::Result;
use crate::command::run;

/// The archive's name in its cache entry; beside it stands the id.
const TAR: &str = "image.tar";

/// Packs a directory tree into a layer. Needs root for trees with other owners.
pub(super) fn pack_layer(root: &Path, layer: &Path) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.args(["--create", "--numeric-owner", "--sort=name", "--xattrs"]);
    // Times of the build would make another layer, and another image id, of each build.
    tar.args(["--mtime=@1700000000", "--file"]).arg(layer);
    run(tar.arg("-C").arg(root).arg(".")).map(drop)
}

/// Writes the archive into `dir`. `config` is the `config` object of the image's configuration.
pub(super) fn write(dir: &Path, layers: &[PathBuf], config: &Value, tags: &[&str]) -> Result<()> {
    let mut digests = Vec::new();
    for layer in layers {
        digests.push(digest(layer)?);
    }
    let diff_ids: Vec<_> = digests.iter().map(|d| format!("sha256:{d}")).collect();
    let history: Vec<_> = digests
        .iter()
        .map(|_| json!({"created": "2023-11-14T22:13:20Z", "created_by": "lifeboat testkit"}))
        .collect();
    let configuration = json!({
        "architecture": architecture(),
        "os": "linux",
        "created": "2023-11-14T22:13:20Z",
        "config": config,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": history,
    })
    .to_string();
    let id = hex::encode(Sha256::digest(configuration.as_bytes()));
    let names: Vec<_> = digests.iter().map(|d| format!("{d}/layer.tar")).collect();
    let manifest = json!([{"Config": format!("{id}.json"), "RepoTags": tags, "Layers": names}]);

    let mut tar = tar::Builder::new(fs::File::create(dir.join(TAR))?);
    for (layer, name) in layers.iter().zip(&names) {
        let mut file = fs::File::open(layer)?;
        let mut header = header(file.metadata()?.len());
        tar.append_data(&mut header, name, &mut file)?;
    }
    for (name, text) in [
        (format!("{id}.json"), configuration),
        ("manifest.json".to_owned(), manifest.to_string()),
    ] {
        tar.append_data(&mut header(text.len() as u64), name, text.as_bytes())?;
    }
    tar.into_inner()?.sync_all()?;
    fs::write(dir.join("id"), format!("sha256:{id}"))?;
    Ok(())
}

/// The image in a cache entry that [`write()`] filled.
pub(super) fn open(dir: &Path, tags: &[&str]) -> Result<Image> {
    Ok(Image {
        tar: dir.join(TAR),
        tags: tags.iter().map(ToString::to_string).collect(),
        id: fs::read_to_string(dir.join("id"))?,
    })
}

fn header(size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(size);
    header.set_mtime(1_700_000_000);
    header
}

fn digest(file: &Path) -> Result<String> {
    let mut file = fs::File::open(file)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(hash.finalize())),
            n => hash.update(buffer.get(..n).unwrap_or_default()),
        }
    }
}

/// The machine's architecture as images name it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}
