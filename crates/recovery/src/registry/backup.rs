//! A registry into a recovery point.

use std::{collections::BTreeSet, time::Instant};

use lifeboat_capture::{Counts, TreeBuilder};
use lifeboat_images::{
    Digest,
    registry::{FetchOptions, Fetched, Finding, RegistryRecord, Source, fetch},
};
use lifeboat_plan::{identity::RegistryIdentity, name::SiteName};
use lifeboat_vault::{Snapshot, SnapshotId, WriterOptions};
use serde::Serialize;
use serde_json::json;

use super::{RECORD, RegistryPoint, blobs, blobs::VaultBlobs};
use crate::{
    Context, RecoveryError, Result,
    protect::{again_if_lost, program_version, summary, timestamp},
};

/// How to back up a registry.
#[derive(Debug, Clone, Default)]
pub struct RegistryBackupOptions {
    /// What is fetched.
    pub fetch: FetchOptions,
    /// More tags for the point.
    pub tags: Vec<String>,
    /// Wait so long for a vault that somebody else holds.
    pub retry_lock: std::time::Duration,
}

/// What was backed up.
#[derive(Debug, Clone, Serialize)]
pub struct RegistryProtected {
    /// The new point.
    pub id: SnapshotId,
    /// The registry.
    pub registry: String,
    /// Repositories in the point.
    pub repositories: u64,
    /// Tags in the point.
    pub tags: u64,
    /// Manifests and blobs in the point, each once.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Manifests and blobs that came over the line.
    pub fetched: u64,
    /// Their bytes.
    pub fetched_bytes: u64,
    /// Bytes that the vault grew by.
    pub added: u64,
    /// Seconds.
    pub seconds: f64,
    /// What is broken or missing at the source. Not empty means exit code 3.
    pub findings: Vec<Finding>,
}

/// Backs up a registry.
///
/// # Errors
/// The registry does not answer or does not let us, or the vault takes nothing. Nothing is left behind then.
pub fn backup(
    ctx: &Context,
    client: &dyn Source,
    options: &RegistryBackupOptions,
) -> Result<RegistryProtected> {
    again_if_lost(|| once(ctx, client, options))
}

fn once(
    ctx: &Context,
    client: &dyn Source,
    options: &RegistryBackupOptions,
) -> Result<RegistryProtected> {
    let clock = Instant::now();
    let identity = identity(ctx, client)?;
    ctx.progress.step("open-writer");
    let writer = ctx.vault.writer(WriterOptions {
        retry_lock: options.retry_lock,
        ..WriterOptions::default()
    })?;
    let began = jiff::Timestamp::now();
    let parent = newest(ctx, &identity)?;
    let (before, known) = match &parent {
        Some(point) => known(&writer, point),
        None => Default::default(),
    };
    let store = VaultBlobs::new(ctx, &writer, timestamp(began), known);
    ctx.progress.step("fetch");
    let time = began.to_string();
    let fetched = fetch(client, &options.fetch, before.as_ref(), &store, time);
    let mut fetched = fetched.map_err(|e| ctx.or_interrupted(e.into()))?;
    since(&mut fetched.record, before.as_ref());
    ctx.progress.step("commit");
    let (tree, total) = tree(&writer, &|d| store.node(d), &fetched.record, began)?;
    let root = tree.write(&writer)?;
    writer.flush()?;
    let stats = writer.stats();
    let is_partial = !fetched.record.findings.is_empty();
    ctx.progress.step("write-snapshot");
    ctx.stop_if_cancelled()?;
    let snapshot = Snapshot {
        time: timestamp(began).to_rfc3339(),
        parent: parent.map(|point| point.id),
        tree: Some(root),
        paths: vec![identity.snapshot_path()],
        hostname: identity.registry.clone(),
        username: ctx.username.clone(),
        tags: identity.snapshot_tags(is_partial, &options.tags),
        program_version: program_version(),
        summary: Some(summary(began, &total, &stats)),
        ..Snapshot::default()
    };
    drop(store);
    let id = writer.commit(snapshot)?;
    ctx.progress.step("committed");
    Ok(report(id, fetched, &total, stats.packed_bytes, clock))
}

/// Since when each tag points where it does: as the point before says, else since that point, else since now.
fn since(record: &mut RegistryRecord, before: Option<&RegistryRecord>) {
    for (name, repository) in &mut record.repositories {
        let earlier = before.and_then(|before| before.repositories.get(name));
        let of = |tag: &String, digest: &Digest| {
            let earlier = earlier.filter(|earlier| earlier.tags.get(tag) == Some(digest))?;
            let told = earlier.since.get(tag);
            told.or(before.map(|before| &before.time)).cloned()
        };
        let tags = repository.tags.iter();
        let all = tags.map(|(tag, digest)| {
            let since = of(tag, digest).unwrap_or_else(|| record.time.clone());
            (tag.clone(), since)
        });
        repository.since = all.collect();
    }
}

fn identity(ctx: &Context, client: &dyn Source) -> Result<RegistryIdentity> {
    let site = if ctx.site.is_empty() {
        SiteName::default()
    } else {
        SiteName::new(ctx.site.as_str()).map_err(lifeboat_plan::Error::from)?
    };
    Ok(RegistryIdentity {
        site,
        registry: client.name(),
    })
}

/// The newest point of this registry, partial or not: what it holds is whole.
fn newest(ctx: &Context, identity: &RegistryIdentity) -> Result<Option<RegistryPoint>> {
    let mut points = super::points(&ctx.vault)?;
    points.retain(|point| point.identity == *identity);
    Ok(points.pop())
}

/// What the point before holds. A damaged one is as good as none.
fn known(
    writer: &lifeboat_vault::Writer,
    point: &RegistryPoint,
) -> (
    Option<RegistryRecord>,
    std::collections::BTreeMap<Digest, lifeboat_vault::Node>,
) {
    let read = || -> Result<_> {
        let root = point
            .snapshot
            .tree
            .ok_or_else(|| RecoveryError::Failed("the snapshot has no tree".to_owned()))?;
        let record = super::record(writer.reader(), &point.snapshot)?;
        Ok((Some(record), blobs::files(writer.reader(), root)?))
    };
    read().unwrap_or_else(|e| {
        tracing::warn!(point = %point.id.short(), "{e}; all is fetched again");
        Default::default()
    })
}

/// The layout: what the record names, the record itself, and what makes it a layout for other tools. `nodes` gives the file
/// of a digest, and whether it is new.
pub(super) fn tree(
    writer: &lifeboat_vault::Writer,
    nodes: &dyn Fn(&Digest) -> Option<(lifeboat_vault::Node, bool)>,
    record: &RegistryRecord,
    began: jiff::Timestamp,
) -> Result<(TreeBuilder, Counts)> {
    let mut tree = TreeBuilder::new(timestamp(began));
    let mut total = Counts::default();
    for digest in record.digests() {
        let Some((node, is_fresh)) = nodes(digest) else {
            return Err(RecoveryError::Failed(format!(
                "{digest} was fetched and is not there: this is a fault of the program, nothing was saved"
            )));
        };
        total.files_total += 1;
        total.bytes_total += blobs::size(&node);
        if is_fresh {
            total.files_new += 1;
        }
        tree.insert(digest.path(), node)?;
    }
    let layout = json!({"imageLayoutVersion": "1.0.0"});
    let files = [("oci-layout", layout), ("index.json", index(record))];
    for (path, value) in files {
        tree.file_bytes(writer, path, value.to_string().as_bytes(), 0o644)?;
    }
    let json = serde_json::to_vec(record)
        .map_err(|e| RecoveryError::Failed(format!("write {RECORD}: {e}")))?;
    tree.file_bytes(writer, RECORD, &json, 0o644)?;
    Ok((tree, total))
}

/// Each tag with the name that a pull would use.
fn index(record: &RegistryRecord) -> serde_json::Value {
    let mut manifests = Vec::new();
    for (name, repository) in &record.repositories {
        for (tag, digest) in &repository.tags {
            let Some(manifest) = repository.manifests.get(digest) else {
                continue;
            };
            manifests.push(json!({
                "mediaType": manifest.media_type,
                "digest": digest.to_string(),
                "size": manifest.size,
                "annotations": {
                    "org.opencontainers.image.ref.name": format!("{}/{name}:{tag}", record.registry),
                },
            }));
        }
    }
    json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": manifests,
    })
}

fn report(
    id: SnapshotId,
    fetched: Fetched,
    total: &Counts,
    added: u64,
    clock: Instant,
) -> RegistryProtected {
    let Fetched {
        record,
        fetched,
        bytes,
    } = fetched;
    let all = record.repositories.values();
    let findings: BTreeSet<Finding> = record.findings.into_iter().collect();
    RegistryProtected {
        id,
        registry: record.registry,
        repositories: record.repositories.len() as u64,
        tags: all.map(|r| r.tags.len() as u64).sum(),
        blobs: total.files_total,
        bytes: total.bytes_total,
        fetched,
        fetched_bytes: bytes,
        added,
        seconds: clock.elapsed().as_secs_f64(),
        findings: findings.into_iter().collect(),
    }
}
