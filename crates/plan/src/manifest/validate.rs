//! What no honest manifest says. Restore writes where a manifest points, so this stands in front.

use std::collections::BTreeSet;

use super::{BindDecision, Manifest, ManifestError, VolumeContent};
use crate::bind::system_path;
use crate::path;

/// The most entries of one list: far above anything real, so that a manifest cannot eat the memory
/// of what reads it later.
const MOST: usize = 100_000;

fn refuse(what: &'static str, value: &str, why: &'static str) -> ManifestError {
    let value = value
        .chars()
        .take(80)
        .flat_map(char::escape_debug)
        .collect();
    ManifestError::Hostile { what, value, why }
}

type Check = Result<(), ManifestError>;

/// Docker's grammar for names of volumes and containers.
fn docker_name(what: &'static str, name: &str) -> Check {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
    let good = name.len() <= 255
        && name
            .bytes()
            .next()
            .is_some_and(|b| b.is_ascii_alphanumeric())
        && name.bytes().all(plain);
    if good {
        Ok(())
    } else {
        Err(refuse(what, name, "is no name that an engine gives"))
    }
}

/// A name that is free but has to be one line.
fn free_name(what: &'static str, name: &str) -> Check {
    if name.is_empty() || name.len() > 1024 || name.contains(char::is_control) {
        return Err(refuse(
            what,
            name,
            "is empty, too long or holds control characters",
        ));
    }
    Ok(())
}

/// An absolute path in its clean form: no `..`, no NUL, no second spelling.
fn absolute(what: &'static str, text: &str) -> Check {
    match path::clean(text) {
        None => Err(refuse(what, text, "is not an absolute path without `..`")),
        Some(clean) if clean != text => Err(refuse(what, text, "is not in its plain form")),
        Some(_) => Ok(()),
    }
}

fn hex64(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn digest(what: &'static str, text: &str) -> Check {
    if text.strip_prefix("sha256:").is_some_and(hex64) {
        return Ok(());
    }
    Err(refuse(what, text, "is not `sha256:` and 64 hex digits"))
}

fn unique<'a>(what: &'static str, seen: &mut BTreeSet<&'a str>, value: &'a str) -> Check {
    if seen.insert(value) {
        Ok(())
    } else {
        Err(refuse(what, value, "stands there twice"))
    }
}

pub(super) fn validate(manifest: &Manifest) -> Check {
    let lengths = [
        manifest.containers.len(),
        manifest.volumes.len(),
        manifest.binds.len(),
        manifest.networks.len(),
        manifest.images.len(),
        manifest.layers.len(),
        manifest.dumps.len(),
        manifest.left_out.len(),
    ];
    if let Some(length) = lengths.iter().find(|n| **n > MOST) {
        return Err(refuse(
            "a list",
            &length.to_string(),
            "is longer than any real app's",
        ));
    }
    if manifest.schema != super::SCHEMA {
        return Err(ManifestError::NewerSchema {
            found: u64::from(manifest.schema),
        });
    }
    if manifest.consistency.ended < manifest.consistency.began {
        let ended = manifest.consistency.ended.to_string();
        return Err(refuse(
            "the end of the capture",
            &ended,
            "lies before its beginning",
        ));
    }
    containers(manifest)?;
    volumes(manifest)?;
    binds(manifest)?;
    networks(manifest)?;
    images(manifest)?;
    files(manifest)
}

fn containers(manifest: &Manifest) -> Check {
    let (mut names, mut ids) = (BTreeSet::new(), BTreeSet::new());
    for container in &manifest.containers {
        docker_name("container", &container.name)?;
        unique("container", &mut names, &container.name)?;
        if !hex64(&container.id) {
            return Err(refuse(
                "container id",
                &container.id,
                "is not 64 hex digits",
            ));
        }
        unique("container id", &mut ids, &container.id)?;
        digest("image id of a container", &container.image_id)?;
    }
    Ok(())
}

fn volumes(manifest: &Manifest) -> Check {
    let mut names = BTreeSet::new();
    for volume in &manifest.volumes {
        match volume.content {
            VolumeContent::Data => docker_name("volume", &volume.name)?,
            // Other drivers name their volumes as they like; nothing is written for them by us.
            VolumeContent::Definition => free_name("volume", &volume.name)?,
        }
        unique("volume", &mut names, &volume.name)?;
    }
    Ok(())
}

fn binds(manifest: &Manifest) -> Check {
    let mut sources = BTreeSet::new();
    for bind in &manifest.binds {
        absolute("bind source", &bind.source)?;
        unique("bind source", &mut sources, &bind.source)?;
        // What lies within something else is not written for itself (it may be a volume's own path).
        if bind.decision == BindDecision::Captured && system_path(&bind.source, "").is_some() {
            return Err(refuse(
                "bind source",
                &bind.source,
                "is the host's own and would never have been captured",
            ));
        }
        match (&bind.within, bind.decision) {
            (Some(outer), BindDecision::Within) => {
                absolute("bind's outer path", outer)?;
                if !path::is_within(&bind.source, outer) {
                    return Err(refuse(
                        "bind source",
                        &bind.source,
                        "does not lie in the path that it names",
                    ));
                }
            }
            (None, BindDecision::Within) => {
                return Err(refuse(
                    "bind source",
                    &bind.source,
                    "names no path that it lies in",
                ));
            }
            (Some(_), _) => {
                return Err(refuse(
                    "bind source",
                    &bind.source,
                    "names an outer path without need",
                ));
            }
            (None, _) => {}
        }
    }
    Ok(())
}

fn networks(manifest: &Manifest) -> Check {
    let mut ids = BTreeSet::new();
    for network in &manifest.networks {
        free_name("network", &network.name)?;
        free_name("network id", &network.id)?;
        // Engines allow two networks of one name; the id is what tells them apart.
        unique("network id", &mut ids, &network.id)?;
    }
    Ok(())
}

fn images(manifest: &Manifest) -> Check {
    let mut ids = BTreeSet::new();
    for image in &manifest.images {
        digest("image id", &image.id)?;
        unique("image id", &mut ids, &image.id)?;
        digest("image config digest", &image.config_digest)?;
        if let Some(of_manifest) = &image.manifest_digest {
            digest("image manifest digest", of_manifest)?;
        }
        for name in image.tags.iter().chain(&image.repo_digests) {
            free_name("image name", name)?;
            if name.contains(char::is_whitespace) || name.starts_with('-') {
                return Err(refuse("image name", name, "is no image reference"));
            }
        }
    }
    Ok(())
}

fn files(manifest: &Manifest) -> Check {
    let known: BTreeSet<&str> = manifest
        .containers
        .iter()
        .map(|c| c.name.as_str())
        .collect();
    let mut layers = BTreeSet::new();
    for layer in &manifest.layers {
        if !known.contains(layer.container.as_str()) {
            return Err(refuse(
                "writable layer",
                &layer.container,
                "belongs to no container of the point",
            ));
        }
        unique("writable layer", &mut layers, &layer.container)?;
        for text in layer.captured.iter().chain(&layer.deleted) {
            absolute("path in a writable layer", text)?;
        }
    }
    for dump in &manifest.dumps {
        free_name("service of a dump", &dump.service)?;
        free_name("dump", &dump.file)?;
        if dump.file.contains('/') || dump.file == "." || dump.file == ".." {
            return Err(refuse("dump", &dump.file, "is no file name"));
        }
    }
    let Some(project) = &manifest.project else {
        return Ok(());
    };
    free_name("project", &project.name)?;
    let folders = project.working_dir.iter();
    for text in folders
        .chain(&project.config_files)
        .chain(&project.environment_files)
        .chain(&project.roots)
    {
        absolute("project path", text)?;
    }
    for root in &project.roots {
        if system_path(root, "").is_some() {
            return Err(refuse(
                "project path",
                root,
                "is the host's own and would never have been captured",
            ));
        }
    }
    Ok(())
}
