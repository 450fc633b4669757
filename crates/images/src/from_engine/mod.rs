//! From an engine's `save` stream into a layout.
//!
//! Two forms of stream come: the legacy one of engines up to 24 (`<id>/layer.tar`, which may be a
//! symbolic link to another image's, `<config>.json`, `manifest.json` near the end) and an OCI layout in
//! a tar, with `manifest.json`, from 25 on. Both are read once, from front to back; blobs go to the sink
//! as they come, whatever they turn out to be, and small JSON is kept aside until the lists are known.
//! Then each image is checked: config and layers are there, and each layer unpacks to the diff id that
//! the config names for it. What belongs to no image that was asked for is left in the sink: the
//! layout's lists do not name it.

mod receive;

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_engine::Engine;
use serde_json::{Value, json};

use self::receive::Received;
pub(crate) use self::receive::put_blob;
use crate::from_registry::image_from_registry;
use crate::layout::{nameless, reach};
use crate::registry::{ImageReference, client::RegistryClient};
use crate::{Blob, Digest, Error, Layout, LayoutImage, LayoutSink, Result};

/// An image to save.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Its id on the engine.
    pub id: String,
    /// Tags to note in the layout, `name:tag`.
    pub tags: Vec<String>,
}

/// Makes a layout: images from an engine, beside images whose blobs the sink has from an earlier time.
pub struct LayoutBuilder<'s> {
    sink: &'s mut dyn LayoutSink,
    layout: Layout,
}

impl<'s> LayoutBuilder<'s> {
    /// A layout with nothing in it.
    pub fn new(sink: &'s mut dyn LayoutSink) -> Self {
        Self {
            sink,
            layout: Layout::default(),
        }
    }

    /// Saves images from an engine, in one stream, so that a layer that they share comes once.
    ///
    /// # Errors
    /// The engine does not give them, what it gives is not what its digests say, or the sink fails. The
    /// layout then has none of them.
    pub fn add_from_engine(&mut self, engine: &dyn Engine, wanted: &[Wanted]) -> Result<()> {
        let ids: Vec<&str> = wanted.iter().map(|image| image.id.as_str()).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let mut stream = engine.save_images(&ids)?;
        self.add_from_stream(&mut stream, wanted)
    }

    /// Fetches an image from the registry that it came from: see [`crate::image_from_registry`]. `false` if it is not
    /// there any more.
    ///
    /// # Errors
    /// The registry does not answer or sends what is damaged, or the sink fails.
    pub fn add_from_registry(
        &mut self,
        client: &RegistryClient,
        reference: &ImageReference,
        wanted: &Wanted,
    ) -> Result<bool> {
        let image = image_from_registry(client, reference, wanted, self.sink)?;
        let is_there = image.is_some();
        image.into_iter().for_each(|image| self.add_known(image));
        Ok(is_there)
    }

    /// As [`Self::add_from_engine`], from a stream as `docker save` writes it.
    ///
    /// # Errors
    /// As [`Self::add_from_engine`].
    pub fn add_from_stream(
        &mut self,
        stream: &mut dyn std::io::Read,
        wanted: &[Wanted],
    ) -> Result<()> {
        let received = receive::receive(stream, self.sink)?;
        let images = wanted
            .iter()
            .map(|image| assemble(&received, image, self.sink))
            .collect::<Result<Vec<_>>>()?;
        for image in images {
            self.add_known(image);
        }
        Ok(())
    }

    /// Adds an image whose blobs the sink has already, or will get by another way: those of an earlier
    /// recovery point. The caller answers for each of [`LayoutImage::blobs`].
    pub fn add_known(&mut self, image: LayoutImage) {
        match self
            .layout
            .images
            .iter_mut()
            .find(|known| known.config == image.config)
        {
            Some(known) => {
                let new = image
                    .tags
                    .into_iter()
                    .filter(|tag| !known.tags.contains(tag))
                    .collect::<Vec<_>>();
                known.tags.extend(new);
            }
            None => self.layout.images.push(image),
        }
    }

    /// Writes the lists that make it a layout.
    ///
    /// # Errors
    /// The sink fails.
    pub fn finish(self) -> Result<Layout> {
        self.layout.write(self.sink)?;
        Ok(self.layout)
    }
}

/// Puts one image together from what was received, and checks it.
fn assemble(
    received: &Received,
    wanted: &Wanted,
    sink: &mut dyn LayoutSink,
) -> Result<LayoutImage> {
    let roots = received.roots()?;
    let by_descriptor = roots
        .iter()
        .find(|(descriptor, _)| descriptor["digest"] == wanted.id.as_str());
    let entry = received
        .manifest
        .iter()
        .find(|entry| {
            let config = received
                .resolve(&entry.config)
                .ok()
                .map(|stored| &stored.digest);
            config.is_some_and(|config| {
                config.to_string() == wanted.id
                    || by_descriptor.is_some_and(|(_, seen)| seen.contains(config))
            })
        })
        .ok_or_else(|| Error::NotInStream(wanted.id.clone()))?;
    let config = received.resolve(&entry.config)?;
    let diff_ids = diff_ids(received, &config.digest)?;
    let paths = entry.layers.as_deref().unwrap_or_default();
    if paths.len() != diff_ids.len() {
        let why = format!(
            "image {} has {} layers, its config names {}",
            wanted.id,
            paths.len(),
            diff_ids.len()
        );
        return Err(Error::Stream(why));
    }
    let mut blobs: BTreeMap<Digest, u64> = [(config.digest.clone(), config.size)].into();
    let mut layers = Vec::new();
    for (path, diff_id) in paths.iter().zip(&diff_ids) {
        let layer = received.resolve(path)?;
        if layer.diff_id.as_ref() != Some(diff_id) {
            let found = layer.diff_id.as_ref().map_or_else(
                || "none, it cannot be unpacked".to_owned(),
                Digest::to_string,
            );
            return Err(Error::DigestMismatch {
                what: format!("layer {path} of image {}", wanted.id),
                wanted: diff_id.to_string(),
                found,
            });
        }
        blobs.insert(layer.digest.clone(), layer.size);
        layers.push((layer.digest.clone(), layer.size));
    }
    let reaching =
        by_descriptor.or_else(|| roots.iter().find(|(_, seen)| seen.contains(&config.digest)));
    let descriptor = match reaching {
        Some((descriptor, seen)) => {
            let there = seen
                .iter()
                .filter_map(|digest| Some((digest.clone(), received.sizes.get(digest).copied()?)));
            blobs.extend(there);
            nameless(descriptor)
        }
        None => make_manifest(
            received,
            &config.digest,
            config.size,
            &layers,
            &mut blobs,
            sink,
        )?,
    };
    Ok(LayoutImage {
        config: config.digest.clone(),
        descriptor,
        layers: layers.into_iter().map(|(digest, _)| digest).collect(),
        blobs: blobs
            .into_iter()
            .map(|(digest, size)| Blob { digest, size })
            .collect(),
        tags: wanted.tags.clone(),
    })
}

/// The diff ids that a config names.
fn diff_ids(received: &Received, config: &Digest) -> Result<Vec<Digest>> {
    let bad = |why: &str| Error::Stream(format!("the config {config} {why}"));
    let json = received.json(config)?.ok_or_else(|| bad("is not JSON"))?;
    let list = json["rootfs"]["diff_ids"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let parse = |id: &Value| {
        id.as_str()
            .and_then(|id| id.parse().ok())
            .ok_or_else(|| bad("names a diff id that is none"))
    };
    list.iter().map(parse).collect()
}

/// The OCI manifest of an image that came in the legacy form, as a blob, and its descriptor. The same
/// image gets the same bytes each time.
fn make_manifest(
    received: &Received,
    config: &Digest,
    config_size: u64,
    layers: &[(Digest, u64)],
    blobs: &mut BTreeMap<Digest, u64>,
    sink: &mut dyn LayoutSink,
) -> Result<Value> {
    let layer = |(digest, size): &(Digest, u64)| json!({"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest.to_string(), "size": size});
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config.to_string(), "size": config_size},
        "layers": layers.iter().map(layer).collect::<Value>(),
    })
    .to_string();
    let (digest, size) = (Digest::of(manifest.as_bytes()), manifest.len() as u64);
    receive::put_blob(sink, &digest, manifest.as_bytes())?;
    blobs.insert(digest.clone(), size);
    let mut descriptor = json!({"mediaType": MANIFEST, "digest": digest.to_string(), "size": size});
    let facts = received.json(config)?.unwrap_or_default();
    let mut platform = json!({});
    for key in ["architecture", "os", "variant", "os.version"] {
        if let Some(text) = facts[key].as_str().filter(|text| !text.is_empty()) {
            platform[key] = text.into();
        }
    }
    descriptor["platform"] = platform;
    Ok(descriptor)
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

impl Received {
    /// The descriptors of the stream's own index, each with all that it leads to. None in the legacy form.
    fn roots(&self) -> Result<Vec<(Value, BTreeSet<Digest>)>> {
        let list = self.index["manifests"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let mut out = Vec::new();
        for descriptor in list {
            let mut seen = BTreeSet::new();
            reach(descriptor, &mut |digest| self.json(digest), &mut seen, 4)?;
            out.push((descriptor.clone(), seen));
        }
        Ok(out)
    }
}
