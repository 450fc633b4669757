//! Every byte of a layout against its digest.

use std::collections::BTreeMap;
use std::io::Read as _;

use crate::digest::LayerHasher;
use crate::layout::json_blob;
use crate::{Digest, Error, LayoutImage, LayoutSource, Result};

/// Reads all blobs of some images and checks them: each against its name, each layer's unpacked content
/// against the diff id that the config names for it.
///
/// # Errors
/// The first blob that is missing or damaged.
pub fn verify(source: &dyn LayoutSource, images: &[&LayoutImage]) -> Result<()> {
    let mut checked: BTreeMap<Digest, Option<Digest>> = BTreeMap::new();
    for image in images {
        for blob in &image.blobs {
            if !checked.contains_key(&blob.digest) {
                let diff_id = check(source, &blob.digest)?;
                checked.insert(blob.digest.clone(), diff_id);
            }
        }
        let config = json_blob(source, &image.config)?.unwrap_or_default();
        let diff_ids = config["rootfs"]["diff_ids"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        if diff_ids.len() != image.layers.len() {
            let why = format!(
                "it names {} layers, there are {}",
                diff_ids.len(),
                image.layers.len()
            );
            return Err(Error::layout(image.config.path(), why));
        }
        for (layer, wanted) in image.layers.iter().zip(diff_ids) {
            let wanted = wanted.as_str().unwrap_or_default();
            let found = checked
                .get(layer)
                .and_then(Option::as_ref)
                .map(Digest::to_string)
                .unwrap_or_default();
            if found != wanted {
                let what = format!("the content of layer {}", layer.path());
                return Err(Error::DigestMismatch {
                    what,
                    wanted: wanted.to_owned(),
                    found,
                });
            }
        }
    }
    Ok(())
}

fn check(source: &dyn LayoutSource, digest: &Digest) -> Result<Option<Digest>> {
    let path = digest.path();
    let reading = || Error::io(format!("read {path} of the saved images"));
    let (mut reader, _) = source.open(&path).map_err(reading())?;
    let mut hasher = LayerHasher::of(digest.algorithm());
    let mut piece = vec![0_u8; 256 << 10];
    loop {
        match reader.read(&mut piece).map_err(reading())? {
            0 => break,
            count => hasher.update(&piece[..count]),
        }
    }
    let (found, diff_id) = hasher.finish();
    if found != *digest {
        return Err(Error::DigestMismatch {
            what: path,
            wanted: digest.to_string(),
            found: found.to_string(),
        });
    }
    Ok(diff_id)
}
