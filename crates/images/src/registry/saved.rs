//! The saved images of an app in the words of a registry: what a server has to know of them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::ManifestRecord;
use crate::{Digest, LayoutImage, LayoutSource, Result, layout::json_blob};

/// Manifests of one image, at most: an index of all platforms has some dozens.
const MAX_MANIFESTS: usize = 1000;

/// The manifest of an image, and those that it is an index of, as far as the layout has them.
///
/// # Errors
/// A manifest cannot be read, or is damaged.
pub fn saved_manifests(
    source: &dyn LayoutSource,
    image: &LayoutImage,
) -> Result<BTreeMap<Digest, ManifestRecord>> {
    let there: BTreeMap<&Digest, u64> = image.blobs.iter().map(|b| (&b.digest, b.size)).collect();
    let mut found = BTreeMap::new();
    let mut open: Vec<(Digest, Value)> = linked(&image.descriptor).into_iter().collect();
    while let Some((digest, descriptor)) = open.pop() {
        let Some(size) = there.get(&digest).copied() else {
            continue;
        };
        if found.contains_key(&digest) || found.len() >= MAX_MANIFESTS {
            continue;
        }
        let Some(manifest) = json_blob(source, &digest)? else {
            continue;
        };
        let links = |key: &str| -> Vec<(Digest, Value)> {
            let list = manifest[key].as_array().into_iter().flatten();
            list.filter_map(linked).collect()
        };
        let digests = |links: &[(Digest, Value)]| -> BTreeSet<Digest> {
            links.iter().map(|(digest, _)| digest.clone()).collect()
        };
        let children = links("manifests");
        let mut layers = links("layers");
        layers.extend(linked(&manifest["config"]));
        let media_type = [&manifest["mediaType"], &descriptor["mediaType"]];
        let media_type = media_type.iter().find_map(|value| value.as_str());
        let mut record = ManifestRecord {
            media_type: media_type.unwrap_or_default().to_owned(),
            size,
            blobs: digests(&layers),
            children: digests(&children),
            subject: linked(&manifest["subject"]).map(|(digest, _)| digest),
            ..ManifestRecord::default()
        };
        let needed = record.blobs.union(&record.children);
        record.absent = needed
            .filter(|digest| !there.contains_key(digest))
            .cloned()
            .collect();
        if record.subject.is_some() {
            let kind = [&manifest["artifactType"], &manifest["config"]["mediaType"]];
            let kind = kind.iter().find_map(|value| value.as_str());
            record.artifact_type = kind.map(str::to_owned);
        }
        found.insert(digest, record);
        open.extend(children);
    }
    Ok(found)
}

/// A descriptor with its digest.
fn linked(descriptor: &Value) -> Option<(Digest, Value)> {
    let digest = descriptor["digest"].as_str()?.parse().ok()?;
    Some((digest, descriptor.clone()))
}
