//! Whether a registry's point is whole: every manifest's closure, and with it every byte.

use lifeboat_images::{Digest, registry::Finding};
use serde::Serialize;

use super::{RegistryPoint, blobs};
use crate::{Context, RecoveryError, Result};

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct RegistryChecked {
    /// The point.
    pub point: String,
    /// Of which registry.
    pub registry: String,
    /// Manifests and blobs that the record names.
    pub blobs: u64,
    /// Bytes that were read.
    pub bytes_read: u64,
    /// What was broken at the source when it was backed up.
    pub source: Vec<Finding>,
    /// What is missing or damaged in the vault.
    pub damaged: Vec<Finding>,
}

/// Checks a point; with `read_data` every byte against its digest.
///
/// # Errors
/// The vault or the point's record cannot be read.
pub fn check(ctx: &Context, point: &RegistryPoint, read_data: bool) -> Result<RegistryChecked> {
    let reader = ctx.vault.reader()?;
    let record = super::record(&reader, &point.snapshot)?;
    let root = point.snapshot.tree.ok_or_else(|| {
        RecoveryError::Failed(format!(
            "the recovery point {} has no tree",
            point.id.short()
        ))
    })?;
    let files = blobs::files(&reader, root)?;
    let digests = record.digests();
    ctx.progress.step("check");
    ctx.progress.expect(
        digests.len() as u64,
        digests
            .iter()
            .filter_map(|d| files.get(d))
            .map(blobs::size)
            .sum(),
    );
    let mut bytes_read = 0;
    let mut damaged = Vec::new();
    for digest in &digests {
        ctx.stop_if_cancelled()?;
        let why = match files.get(digest) {
            None => Some("it is not in the vault, or parts of it are not".to_owned()),
            Some(_) if !read_data => None,
            Some(node) => {
                bytes_read += blobs::size(node);
                let same = reader.file(node).map_err(|e| e.to_string());
                let same = same.and_then(|file| {
                    Digest::of_reader(digest.algorithm(), file).map_err(|e| e.to_string())
                });
                match same {
                    Ok(found) if found == **digest => None,
                    Ok(found) => Some(format!("its bytes have digest {found}")),
                    Err(why) => Some(why),
                }
            }
        };
        ctx.progress
            .advance(1, files.get(digest).map_or(0, blobs::size));
        if let Some(reason) = why {
            let names = record.repositories.iter();
            let of: Vec<&String> = names
                .filter(|(_, r)| r.digests().any(|d| d == *digest))
                .map(|(name, _)| name)
                .collect();
            damaged.extend(of.into_iter().map(|name| Finding {
                repository: name.clone(),
                reference: digest.to_string(),
                reason: reason.clone(),
            }));
        }
    }
    let blobs = digests.len() as u64;
    Ok(RegistryChecked {
        point: point.id.to_hex(),
        registry: record.registry,
        blobs,
        bytes_read,
        source: record.findings,
        damaged,
    })
}
