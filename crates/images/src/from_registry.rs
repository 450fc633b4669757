//! One image of an engine from the registry that it came from, under the digest that the registry knows.
//!
//! Graph drivers keep layers unpacked: what such an engine gives has other digests than what a registry served, and a
//! pull by the old digest finds nothing in it. Where the registry still answers to that digest, its own bytes are
//! taken. Each is checked against its digest, and the configuration has to be that of the engine's image; an index
//! is kept with the one platform that the engine runs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::from_engine::put_blob;
use crate::layout::{MAX_JSON_BLOB, json_blob};
use crate::registry::ImageReference;
use crate::registry::client::{Pulled, RegistryClient};
use crate::{Blob, Digest, Error, LayoutImage, LayoutSink, LayoutSource, Result, Wanted};

/// Children of an index that are looked at, at most.
const MAX_CHILDREN: usize = 200;

/// Fetches an image by a name with a digest. `None` if the registry has it no more, or has another image there. Blobs
/// that the sink has are not fetched; of an image that is not whole in the end, the sink holds blobs that nothing names.
///
/// # Errors
/// The registry does not answer, or sends what is damaged; or the sink takes nothing.
pub fn image_from_registry(
    client: &RegistryClient,
    reference: &ImageReference,
    wanted: &Wanted,
    sink: &mut dyn LayoutSink,
) -> Result<Option<LayoutImage>> {
    let Some(digest) = &reference.digest else {
        return Ok(None);
    };
    let repository = &reference.repository;
    let Some(top) = client.manifest(repository, &digest.to_string())? else {
        return Ok(None);
    };
    let Some((image, path)) = runs_here(client, repository, top, wanted)? else {
        return Ok(None);
    };
    let parts = Parts::of(&image)?;
    let mut blobs = BTreeMap::new();
    for part in parts.layers.iter().chain([&parts.config]) {
        if !fetch(client, repository, part, sink)? {
            return Ok(None);
        }
        blobs.insert(part.digest.clone(), part.size);
    }
    for manifest in &path {
        put_blob(sink, &manifest.digest, &manifest.bytes)?;
        blobs.insert(manifest.digest.clone(), manifest.bytes.len() as u64);
    }
    let Some(top) = path.first() else {
        return Ok(None);
    };
    Ok(Some(LayoutImage {
        config: parts.config.digest,
        descriptor: json!({
            "mediaType": top.media_type,
            "digest": top.digest.to_string(),
            "size": top.bytes.len(),
        }),
        layers: parts.layers.into_iter().map(|part| part.digest).collect(),
        blobs: blobs
            .into_iter()
            .map(|(digest, size)| Blob { digest, size })
            .collect(),
        tags: wanted.tags.clone(),
    }))
}

/// The manifest whose configuration is the engine's image, and the way to it: an index and it, or it alone.
fn runs_here(
    client: &RegistryClient,
    repository: &str,
    top: Pulled,
    wanted: &Wanted,
) -> Result<Option<(Value, Vec<Pulled>)>> {
    let value = json(&top)?;
    if value["config"]["digest"] == wanted.id.as_str() {
        return Ok(Some((value, vec![top])));
    }
    let children = value["manifests"].as_array().cloned().unwrap_or_default();
    for child in children.iter().take(MAX_CHILDREN) {
        let digest = child["digest"].as_str().unwrap_or_default();
        if digest.parse::<Digest>().is_err() {
            continue;
        }
        let Some(pulled) = client.manifest(repository, digest)? else {
            continue;
        };
        let value = json(&pulled)?;
        if value["config"]["digest"] == wanted.id.as_str() {
            return Ok(Some((value, vec![top, pulled])));
        }
    }
    Ok(None)
}

fn json(pulled: &Pulled) -> Result<Value> {
    serde_json::from_slice(&pulled.bytes)
        .map_err(|error| Error::layout(pulled.digest.to_string(), error.to_string()))
}

/// A blob that a manifest names.
struct Part {
    digest: Digest,
    size: u64,
}

impl Part {
    fn of(descriptor: &Value) -> Result<Self> {
        let digest = descriptor["digest"].as_str().and_then(|d| d.parse().ok());
        match (digest, descriptor["size"].as_u64()) {
            (Some(digest), Some(size)) => Ok(Self { digest, size }),
            _ => Err(Error::layout(
                "manifest",
                "it names a blob without digest and size",
            )),
        }
    }
}

struct Parts {
    config: Part,
    layers: Vec<Part>,
}

impl Parts {
    fn of(manifest: &Value) -> Result<Self> {
        let config = Part::of(&manifest["config"])?;
        if config.size > MAX_JSON_BLOB {
            return Err(Error::layout(
                "manifest",
                format!("a configuration of {} bytes is none", config.size),
            ));
        }
        let layers = manifest["layers"].as_array().into_iter().flatten();
        let layers = layers.map(Part::of).collect::<Result<_>>()?;
        Ok(Self { config, layers })
    }
}

/// Brings a blob into the sink; `false` if the registry does not have it.
fn fetch(
    client: &RegistryClient,
    repository: &str,
    part: &Part,
    sink: &mut dyn LayoutSink,
) -> Result<bool> {
    let taking = || Error::io("save a layer of an image");
    if sink.has_blob(&part.digest).map_err(taking())? {
        return Ok(true);
    }
    let mut writer = sink.begin_blob().map_err(taking())?;
    if !client.blob(repository, &part.digest, part.size, &mut writer)? {
        return Ok(false);
    }
    writer.finish(&part.digest, part.size).map_err(taking())?;
    Ok(true)
}

/// The image with this configuration behind a manifest or index of a layout. `None` if the layout does not hold it whole.
///
/// # Errors
/// What it holds makes no sense, or cannot be read.
pub fn image_in_layout(
    source: &dyn LayoutSource,
    top: &Digest,
    id: &str,
) -> Result<Option<LayoutImage>> {
    let Some(first) = json_blob(source, top)? else {
        return Ok(None);
    };
    let mut path = vec![(top.clone(), first.clone())];
    let mut image = (first["config"]["digest"] == id).then_some(first.clone());
    let children = first["manifests"].as_array().cloned().unwrap_or_default();
    for child in children.iter().take(MAX_CHILDREN) {
        if image.is_some() {
            break;
        }
        let Some(digest) = child["digest"]
            .as_str()
            .and_then(|d| d.parse::<Digest>().ok())
        else {
            continue;
        };
        let Some(value) = json_blob(source, &digest)? else {
            continue;
        };
        if value["config"]["digest"] == id {
            path.push((digest, value.clone()));
            image = Some(value);
        }
    }
    let Some(image) = image else { return Ok(None) };
    let parts = Parts::of(&image)?;
    let mut blobs = BTreeMap::new();
    let manifests = path.iter().map(|(digest, _)| digest);
    let of_image = parts.layers.iter().chain([&parts.config]);
    for digest in of_image.map(|part| &part.digest).chain(manifests) {
        match source.open(&digest.path()) {
            Ok((_, size)) => drop(blobs.insert(digest.clone(), size)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(Error::io(format!("open {}", digest.path()))(error)),
        }
    }
    let media = first["mediaType"].as_str().unwrap_or(match path.len() {
        1 => "application/vnd.oci.image.manifest.v1+json",
        _ => "application/vnd.oci.image.index.v1+json",
    });
    Ok(Some(LayoutImage {
        config: parts.config.digest,
        descriptor: json!({
            "mediaType": media,
            "digest": top.to_string(),
            "size": blobs.get(top),
        }),
        layers: parts.layers.into_iter().map(|part| part.digest).collect(),
        blobs: blobs
            .into_iter()
            .map(|(digest, size)| Blob { digest, size })
            .collect(),
        tags: Vec::new(),
    }))
}
