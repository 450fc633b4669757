//! What a layout holds, read from it and written into it.

use std::collections::BTreeSet;
use std::io::Read;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::{Digest, Error, LayoutSink, LayoutSource, Result};

/// Largest `index.json` and `manifest.json` that are read.
const MAX_LIST: u64 = 16 << 20;
/// Largest config, manifest or index blob that is read.
pub(crate) const MAX_JSON_BLOB: u64 = 8 << 20;
/// How deep an index may hold indexes.
const MAX_DEPTH: usize = 4;

const MANIFEST_FILE: &str = "manifest.json";
const INDEX_FILE: &str = "index.json";

/// One blob.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Blob {
    /// Its digest.
    pub digest: Digest,
    /// Its bytes.
    pub size: u64,
}

/// One image in a layout.
#[derive(Debug, Clone, PartialEq)]
pub struct LayoutImage {
    /// Its configuration. The image's id on engines with graph drivers.
    pub config: Digest,
    /// Its descriptor in `index.json`, raw, without names. Its digest is the image's id on engines with
    /// containerd's store.
    pub descriptor: Value,
    /// Its layers, lowest first.
    pub layers: Vec<Digest>,
    /// All blobs that belong to it: config, layers, manifests, indexes.
    pub blobs: Vec<Blob>,
    /// Its tags when it was saved, `name:tag`.
    pub tags: Vec<String>,
}

impl LayoutImage {
    /// The digest in its descriptor.
    #[must_use]
    pub fn manifest(&self) -> Option<Digest> {
        self.descriptor["digest"].as_str()?.parse().ok()
    }

    /// Whether an engine, of either kind of store, knows it by this id.
    #[must_use]
    pub fn has_id(&self, id: &str) -> bool {
        id.parse::<Digest>()
            .is_ok_and(|digest| digest == self.config || self.manifest() == Some(digest))
    }

    /// Bytes of all its blobs; such that images share are counted in each.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.blobs.iter().map(|blob| blob.size).sum()
    }
}

impl LayoutImage {
    /// Architectures of an image for several platforms of which the layout holds everything; none where
    /// it is for one.
    ///
    /// # Errors
    /// An index or manifest is damaged.
    pub fn architectures(&self, source: &dyn LayoutSource) -> Result<BTreeSet<String>> {
        let mut found = BTreeSet::new();
        let Some(index) = self.manifest() else {
            return Ok(found);
        };
        let index = json_blob(source, &index)?.unwrap_or_default();
        let held: BTreeSet<&Digest> = self.blobs.iter().map(|blob| &blob.digest).collect();
        for child in index["manifests"].as_array().into_iter().flatten() {
            let Some(architecture) = child["platform"]["architecture"].as_str() else {
                continue;
            };
            let mut needed = BTreeSet::new();
            reach(
                child,
                &mut |digest| json_blob(source, digest),
                &mut needed,
                MAX_DEPTH,
            )?;
            // Only what is named: a manifest that is missing leads nowhere.
            if needed.len() > 1 && needed.iter().all(|digest| held.contains(digest)) {
                found.insert(architecture.to_owned());
            }
        }
        Ok(found)
    }
}

/// What a layout holds.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Layout {
    /// Its images, in the order of `manifest.json`.
    pub images: Vec<LayoutImage>,
}

/// An entry of Docker's `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct DockerManifest {
    pub(crate) config: String,
    #[serde(default)]
    pub(crate) repo_tags: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) layers: Option<Vec<String>>,
}

impl Layout {
    /// The image with this id.
    #[must_use]
    pub fn find(&self, id: &str) -> Option<&LayoutImage> {
        self.images.iter().find(|image| image.has_id(id))
    }

    /// Reads what a source holds. Lists and descriptions are checked here; the bytes of layers are
    /// checked when they are read (see [`crate::verify()`], [`crate::load`]).
    ///
    /// # Errors
    /// A file is missing, is not what it should be, or points outside the layout.
    pub fn read(source: &dyn LayoutSource) -> Result<Self> {
        let entries: Vec<DockerManifest> =
            serde_json::from_slice(&small_file(source, MANIFEST_FILE, MAX_LIST)?)
                .map_err(|error| Error::layout(MANIFEST_FILE, error.to_string()))?;
        let index = parse(INDEX_FILE, &small_file(source, INDEX_FILE, MAX_LIST)?)?;
        let descriptors = array(&index, "manifests", INDEX_FILE)?;
        let reached: Vec<(Value, BTreeSet<Digest>)> = descriptors
            .iter()
            .map(|descriptor| {
                let mut seen = BTreeSet::new();
                reach(
                    descriptor,
                    &mut |digest| json_blob(source, digest),
                    &mut seen,
                    MAX_DEPTH,
                )?;
                Ok((nameless(descriptor), seen))
            })
            .collect::<Result<_>>()?;
        let images = entries
            .iter()
            .map(|entry| Self::image(source, entry, &reached))
            .collect::<Result<_>>()?;
        Ok(Self { images })
    }

    fn image(
        source: &dyn LayoutSource,
        entry: &DockerManifest,
        reached: &[(Value, BTreeSet<Digest>)],
    ) -> Result<LayoutImage> {
        let digest = |path: &str| {
            Digest::from_path(path).ok_or_else(|| {
                Error::layout(
                    MANIFEST_FILE,
                    format!("{path:?} is not the place of a blob"),
                )
            })
        };
        let config = digest(&entry.config)?;
        let layers: Vec<Digest> = entry
            .layers
            .iter()
            .flatten()
            .map(|path| digest(path))
            .collect::<Result<_>>()?;
        let (descriptor, seen) = reached
            .iter()
            .find(|(_, seen)| seen.contains(&config))
            .ok_or_else(|| {
                Error::layout(INDEX_FILE, format!("it does not lead to image {config}"))
            })?;
        let needed: BTreeSet<&Digest> = layers.iter().chain([&config]).collect();
        let mut blobs = Vec::new();
        for digest in needed
            .iter()
            .copied()
            .chain(seen.iter().filter(|digest| !needed.contains(digest)))
        {
            match source.open(&digest.path()) {
                Ok((_, size)) => blobs.push(Blob {
                    digest: digest.clone(),
                    size,
                }),
                // An index also names what the engine did not have: other platforms.
                Err(error)
                    if error.kind() == std::io::ErrorKind::NotFound && !needed.contains(digest) => {
                }
                Err(error) => {
                    return Err(Error::io(format!(
                        "open {} of the saved images",
                        digest.path()
                    ))(error));
                }
            }
        }
        blobs.sort();
        let tags = entry.repo_tags.clone().unwrap_or_default();
        Ok(LayoutImage {
            config,
            descriptor: descriptor.clone(),
            layers,
            blobs,
            tags,
        })
    }

    /// `manifest.json`, with or without tags.
    pub(crate) fn docker_manifest(images: &[&LayoutImage], with_tags: bool) -> Value {
        let entry = |image: &&LayoutImage| {
            let tags = if with_tags && !image.tags.is_empty() {
                json!(image.tags)
            } else {
                Value::Null
            };
            let layers: Vec<String> = image.layers.iter().map(Digest::path).collect();
            json!({"Config": image.config.path(), "RepoTags": tags, "Layers": layers})
        };
        images.iter().map(entry).collect()
    }

    /// `index.json`, with or without names.
    pub(crate) fn index(images: &[&LayoutImage], with_names: bool) -> Value {
        let mut manifests: Vec<Value> = Vec::new();
        for image in images {
            let mut named = Vec::new();
            for tag in image.tags.iter().filter(|_| with_names) {
                let mut descriptor = image.descriptor.clone();
                descriptor["annotations"][CONTAINERD_NAME] = full_name(tag).into();
                descriptor["annotations"][REF_NAME] =
                    tag.rsplit(':').next().unwrap_or_default().into();
                named.push(descriptor);
            }
            if named.is_empty() {
                named.push(image.descriptor.clone());
            }
            manifests.append(&mut named);
        }
        json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": manifests})
    }

    /// Writes the files that make a layout of blobs which are in the sink. Last of all, so that a sink
    /// that breaks off holds no layout.
    pub(crate) fn write(&self, sink: &mut dyn LayoutSink) -> Result<()> {
        let images: Vec<&LayoutImage> = self.images.iter().collect();
        let files = [
            ("oci-layout", oci_layout()),
            (INDEX_FILE, Self::index(&images, true)),
            (MANIFEST_FILE, Self::docker_manifest(&images, true)),
        ];
        for (path, value) in files {
            sink.put_file(path, value.to_string().as_bytes())
                .map_err(Error::io(format!("write {path} of the saved images")))?;
        }
        Ok(())
    }
}

/// The file that says that it is a layout.
pub(crate) fn oci_layout() -> Value {
    json!({"imageLayoutVersion": "1.0.0"})
}

const CONTAINERD_NAME: &str = "io.containerd.image.name";
const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// A descriptor without the names that it was saved under.
pub(crate) fn nameless(descriptor: &Value) -> Value {
    let mut out = descriptor.clone();
    if let Some(annotations) = out.get_mut("annotations").and_then(Value::as_object_mut) {
        annotations.remove(CONTAINERD_NAME);
        annotations.remove(REF_NAME);
        if annotations.is_empty() {
            out.as_object_mut().map(|out| out.remove("annotations"));
        }
    }
    out
}

/// `busybox:1` as containerd spells it: `docker.io/library/busybox:1`.
fn full_name(tag: &str) -> String {
    match tag.split_once('/') {
        None => format!("docker.io/library/{tag}"),
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => tag.to_owned(),
        Some(_) => format!("docker.io/{tag}"),
    }
}

/// Collects every digest that a descriptor leads to. `read` gives the JSON of a blob, or `None` for one
/// that is not there.
pub(crate) fn reach(
    descriptor: &Value,
    read: &mut dyn FnMut(&Digest) -> Result<Option<Value>>,
    seen: &mut BTreeSet<Digest>,
    depth: usize,
) -> Result<()> {
    let digest = descriptor_digest(descriptor)?;
    if depth == 0 || !seen.insert(digest.clone()) {
        return Ok(());
    }
    let Some(blob) = read(&digest)? else {
        return Ok(());
    };
    for child in blob["manifests"].as_array().into_iter().flatten() {
        reach(child, read, seen, depth - 1)?;
    }
    for leaf in blob
        .get("config")
        .into_iter()
        .chain(blob["layers"].as_array().into_iter().flatten())
    {
        seen.insert(descriptor_digest(leaf)?);
    }
    Ok(())
}

fn descriptor_digest(descriptor: &Value) -> Result<Digest> {
    let text = descriptor["digest"].as_str().unwrap_or_default();
    text.parse()
        .map_err(|()| Error::layout("descriptor", format!("{text:?} is not a SHA-256 digest")))
}

fn array<'v>(value: &'v Value, key: &str, file: &str) -> Result<&'v Vec<Value>> {
    value[key]
        .as_array()
        .ok_or_else(|| Error::layout(file, format!("it has no list {key:?}")))
}

fn parse(file: &str, bytes: &[u8]) -> Result<Value> {
    serde_json::from_slice(bytes).map_err(|error| Error::layout(file, error.to_string()))
}

/// A file of bounded size, whole.
fn small_file(source: &dyn LayoutSource, path: &str, bound: u64) -> Result<Vec<u8>> {
    let (reader, size) = source
        .open(path)
        .map_err(Error::io(format!("open {path} of the saved images")))?;
    if size > bound {
        return Err(Error::layout(
            path,
            format!("it has {size} bytes, more than the {bound} that such a file can have"),
        ));
    }
    let mut bytes = Vec::new();
    reader
        .take(bound + 1)
        .read_to_end(&mut bytes)
        .map_err(Error::io(format!("read {path} of the saved images")))?;
    if bytes.len() as u64 > bound {
        return Err(Error::layout(path, "it is larger than it says"));
    }
    Ok(bytes)
}

/// A JSON blob of a layout, checked against its digest. `None` where there is none.
pub(crate) fn json_blob(source: &dyn LayoutSource, digest: &Digest) -> Result<Option<Value>> {
    let path = digest.path();
    let bytes = match small_file(source, &path, MAX_JSON_BLOB) {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            return Ok(None);
        }
        other => other?,
    };
    let found = Digest::of_as(digest.algorithm(), &bytes);
    if found != *digest {
        return Err(Error::DigestMismatch {
            what: path,
            wanted: digest.to_string(),
            found: found.to_string(),
        });
    }
    parse(&path, &bytes).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_spelt_as_containerd_does() {
        assert_eq!(full_name("busybox:1"), "docker.io/library/busybox:1");
        assert_eq!(full_name("a/b:1"), "docker.io/a/b:1");
        assert_eq!(full_name("localhost/b:1"), "localhost/b:1");
        assert_eq!(full_name("reg:5000/b:1"), "reg:5000/b:1");
    }
}
