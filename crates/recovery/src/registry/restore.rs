//! A registry's point into another registry.

use std::time::Instant;

use globset::{Glob, GlobSetBuilder};
use lifeboat_images::registry::{
    Finding, PushOptions, Pushed, RegistryRecord, client::RegistryClient, push,
};
use serde::Serialize;

use super::{RegistryPoint, blobs, blobs::PointBlobs};
use crate::{Context, RecoveryError, Result};

/// What is brought back, and how.
#[derive(Debug, Clone, Default)]
pub struct RegistryRestoreOptions {
    /// Repositories, with `*`; none: all.
    pub repositories: Vec<String>,
    /// Names and parallel requests.
    pub push: PushOptions,
}

/// What was brought back.
#[derive(Debug, Clone, Serialize)]
pub struct RegistryRestored {
    /// The point.
    pub point: String,
    /// Of which registry.
    pub registry: String,
    /// Into which.
    pub to: String,
    /// Repositories.
    pub repositories: u64,
    /// Manifests.
    pub manifests: u64,
    /// Tags, each asked for afterwards.
    pub tags: u64,
    /// Blobs sent.
    pub blobs: u64,
    /// Blobs that were there.
    pub known: u64,
    /// Seconds.
    pub seconds: f64,
    /// What could not be brought back. Not empty means exit code 3.
    pub findings: Vec<Finding>,
}

/// Pushes a point into a registry. What is there with the same digest is left; a tag that points elsewhere is set anew.
///
/// # Errors
/// The registry does not answer or does not take it, or the vault cannot be read. Run again, it goes on.
pub fn restore(
    ctx: &Context,
    point: &RegistryPoint,
    client: &RegistryClient,
    options: &RegistryRestoreOptions,
) -> Result<RegistryRestored> {
    let clock = Instant::now();
    let reader = ctx.vault.reader()?;
    let mut record = super::record(&reader, &point.snapshot)?;
    choose(&mut record, &options.repositories)?;
    let root = point.snapshot.tree.ok_or_else(|| {
        RecoveryError::Failed(format!(
            "the recovery point {} has no tree",
            point.id.short()
        ))
    })?;
    let source = PointBlobs {
        ctx,
        reader: &reader,
        files: blobs::files(&reader, root)?,
    };
    if let Some(gone) = record
        .digests()
        .into_iter()
        .find(|d| !source.files.contains_key(d))
    {
        return Err(RecoveryError::Failed(format!(
            "{gone} of this recovery point is damaged or missing in the vault; `lifeboat check --read-data` says what else, another point may have it"
        )));
    }
    ctx.progress.step("push");
    let pushed = push(client, &record, &options.push, &source);
    let Pushed {
        blobs,
        known,
        manifests,
        tags,
        findings,
    } = pushed.map_err(|e| ctx.or_interrupted(e.into()))?;
    Ok(RegistryRestored {
        point: point.id.to_hex(),
        registry: record.registry,
        to: client.address().to_string(),
        repositories: record.repositories.len() as u64,
        manifests,
        tags,
        blobs,
        known,
        seconds: clock.elapsed().as_secs_f64(),
        findings,
    })
}

fn choose(record: &mut RegistryRecord, patterns: &[String]) -> Result<()> {
    if patterns.is_empty() {
        return Ok(());
    }
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let glob = Glob::new(pattern)
            .map_err(|e| RecoveryError::NotFound(format!("--repo {pattern}: {e}")))?;
        set.add(glob);
    }
    let set = set
        .build()
        .map_err(|e| RecoveryError::NotFound(format!("--repo: {e}")))?;
    let known: Vec<String> = record.repositories.keys().cloned().collect();
    record.repositories.retain(|name, _| set.is_match(name));
    if record.repositories.is_empty() {
        return Err(RecoveryError::NotFound(format!(
            "no repository of the recovery point is called so; it has {}",
            known.join(", ")
        )));
    }
    Ok(())
}
