//! Recovery points in a vault: listing them, and finding the one that a person means.

use std::io::Read;

use lifeboat_plan::{
    identity::{AppIdentity, RegistryIdentity},
    manifest::{Manifest, layout},
    reference::{self, PointSummary, Reference},
};
use lifeboat_vault::{
    Reader, Vault, id::SnapshotId, node::NodeKind, repair::snapshots::TAG_REPAIRED,
    snapshot::Snapshot,
};
use serde::Serialize;

use crate::{RecoveryError, Result};

/// A manifest is a few hundred kilobytes; what claims more is not read into memory.
const MAX_MANIFEST: u64 = 256 << 20;
/// So many things that a point lacks are named.
const MOST_NAMED: usize = 3;

/// One recovery point, or one plain snapshot, as it is listed.
#[derive(Debug, Clone, Serialize)]
pub struct Point {
    /// Snapshot id.
    pub id: SnapshotId,
    /// When its capture began, RFC 3339.
    pub time: String,
    /// Site, for recovery points.
    pub site: Option<String>,
    /// Host: the given name for recovery points, the snapshot's host name otherwise.
    pub host: String,
    /// App, for recovery points.
    pub app: Option<String>,
    /// Registry, for points of one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registry: Option<String>,
    /// App, for snapshots of its definition alone. They are no recovery points.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
    /// Paths of a plain snapshot.
    pub paths: Vec<String>,
    /// Tags.
    pub tags: Vec<String>,
    /// Something could not be read when it was made.
    pub partial: bool,
    /// Files, if recorded.
    pub files: Option<u64>,
    /// Their bytes, if recorded.
    pub bytes: Option<u64>,
    /// Bytes that this point added to the vault, if recorded.
    pub added: Option<u64>,
    /// Until when the store lets nobody delete it, in seconds since 1970, where that is not over.
    pub locked_until: Option<i64>,
}

impl Point {
    pub(crate) fn new(id: SnapshotId, snapshot: &Snapshot) -> Self {
        let identity = AppIdentity::from_snapshot_paths(&snapshot.paths);
        let registry = RegistryIdentity::from_snapshot_paths(&snapshot.paths);
        let defined = AppIdentity::from_definition_paths(&snapshot.paths);
        let owner = identity.as_ref().or(defined.as_ref());
        let summary = snapshot.summary.as_ref();
        Self {
            id,
            time: snapshot.time.clone(),
            site: owner
                .map(|i| &i.site)
                .or(registry.as_ref().map(|r| &r.site))
                .map(ToString::to_string),
            host: owner.map_or_else(|| snapshot.hostname.clone(), |i| i.host.to_string()),
            app: identity.as_ref().map(|i| i.name.to_string()),
            paths: if owner.is_some() || registry.is_some() {
                Vec::new()
            } else {
                snapshot.paths.clone()
            },
            registry: registry.map(|r| r.registry),
            definition: defined.map(|i| i.name.to_string()),
            tags: snapshot.tags.clone(),
            partial: snapshot
                .tags
                .iter()
                .any(|tag| tag == lifeboat_plan::identity::TAG_PARTIAL),
            files: summary.map(|s| s.total_files_processed),
            bytes: summary.map(|s| s.total_bytes_processed),
            added: summary.map(|s| s.data_added_packed),
            locked_until: None,
        }
    }
}

/// The points of a vault and what could not be read.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Points {
    /// Oldest first.
    pub points: Vec<Point>,
    /// One sentence for each snapshot file that could not be read.
    pub unreadable: Vec<String>,
}

/// Whether it is an app's definition alone, and no point.
pub(crate) fn is_definition(snapshot: &Snapshot) -> bool {
    AppIdentity::from_definition_paths(&snapshot.paths).is_some()
}

/// All points, oldest first. Definitions alone are none.
pub fn list(vault: &Vault) -> Result<Points> {
    let mut snapshots = vault.snapshots()?;
    let is_point = |snapshot: &Snapshot| !is_definition(snapshot);
    snapshots.found.retain(|(_, snapshot)| is_point(snapshot));
    let ids: Vec<SnapshotId> = snapshots.found.iter().map(|(id, _)| *id).collect();
    let locked = vault.locked_points(&ids)?;
    Ok(Points {
        points: snapshots
            .found
            .iter()
            .map(|(id, snapshot)| Point {
                locked_until: locked.get(id).copied(),
                ..Point::new(*id, snapshot)
            })
            .collect(),
        unreadable: snapshots
            .unreadable
            .iter()
            .map(|(_, e)| e.to_string())
            .collect(),
    })
}

/// The snapshot that `[[SITE/]HOST/]APP[@POINT]`, an id prefix or `latest` means. Where an app alone leads past its
/// newest point because that is incomplete, or to an incomplete one since there is no other, that is said.
pub fn resolve(vault: &Vault, reference: &str) -> Result<(SnapshotId, Snapshot)> {
    let snapshots = vault.snapshots()?;
    let summaries: Vec<PointSummary> = snapshots
        .found
        .iter()
        .filter_map(|(id, snapshot)| summary(*id, snapshot))
        .collect();
    let typed = reference.parse::<Reference>();
    let resolved = typed.and_then(|typed| {
        let point = reference::resolve(&typed, &summaries)?;
        Ok((
            point,
            reference::newest_incomplete(&typed, point, &summaries),
        ))
    });
    let (found, incomplete) = match resolved {
        Ok(found) => found,
        Err(e) => {
            // The one that was meant may be there, and damaged.
            let wanted = reference.rsplit('@').next().unwrap_or(reference);
            let damaged = snapshots.unreadable.into_iter().find(|(id, _)| {
                wanted.len() >= reference::MIN_ID && id.to_hex().starts_with(wanted)
            });
            return Err(damaged.map_or_else(
                || RecoveryError::NotFound(e.to_string()),
                |(_, damage)| damage.into(),
            ));
        }
    };
    // Nobody knows whose they are: the newest of an app may be among them.
    for (_, damage) in &snapshots.unreadable {
        tracing::warn!("{damage}; if it was the newest point of an app, an older one is taken");
    }
    let by_id = |wanted: &str| {
        let mut all = snapshots.found.iter();
        all.find(|(id, _)| id.to_hex() == wanted)
    };
    if let Some(newest) = incomplete {
        let lacks = by_id(&newest.id).map_or_else(String::new, |(_, s)| lacks(vault, s));
        let what = format!(
            "the newest point of `{reference}` ({} of {}) is incomplete: {lacks}",
            newest.short_id(),
            newest.time
        );
        if newest.id == found.id {
            tracing::warn!("{what}; it is taken, since none of the app is complete");
        } else {
            tracing::warn!(
                "{what}; the newest complete one is taken ({} of {}), and `{reference}@latest` or `{reference}@{}` means the other",
                found.short_id(),
                found.time,
                newest.short_id()
            );
        }
    }
    by_id(&found.id).cloned().ok_or_else(|| {
        RecoveryError::NotFound(format!(
            "there is no recovery point {} in this vault",
            found.id
        ))
    })
}

/// What an incomplete point lacks, as one clause.
fn lacks(vault: &Vault, snapshot: &Snapshot) -> String {
    let manifest = match manifest(vault, snapshot) {
        Ok(manifest) => manifest,
        Err(e) => return format!("what it lacks cannot be read ({e})"),
    };
    let mut all: Vec<String> = Vec::new();
    if let Some(manifest) = &manifest {
        let undecided = || manifest.left_out.iter().filter(|left| !left.decided);
        let missed: Vec<String> = undecided()
            .take(MOST_NAMED)
            .map(|left| format!("{} ({})", left.what, left.reason))
            .collect();
        let more = match undecided().count() - missed.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        if !missed.is_empty() {
            all.push(format!("it lacks {}{more}", missed.join(", ")));
        }
        all.extend(manifest.consistency.shortfall());
    }
    if snapshot.tags.iter().any(|tag| tag == TAG_REPAIRED) {
        all.push("it lost data in the vault and was repaired".to_owned());
    }
    match all.is_empty() {
        true => "it does not say what it lacks".to_owned(),
        false => all.join("; "),
    }
}

/// The snapshot with this id.
pub(crate) fn by_id(vault: &Vault, id: SnapshotId) -> Result<(SnapshotId, Snapshot)> {
    let found = vault.snapshots()?.found.into_iter();
    found
        .into_iter()
        .find(|(found, _)| *found == id)
        .ok_or_else(|| {
            RecoveryError::NotFound(format!(
                "the recovery point {} is no longer in this vault",
                id.short()
            ))
        })
}

/// What a reference is resolved against. A snapshot whose time cannot be read is older than all.
pub(crate) fn summary(id: SnapshotId, snapshot: &Snapshot) -> Option<PointSummary> {
    let time = snapshot.time.parse().unwrap_or(jiff::Timestamp::MIN);
    Some(PointSummary::new(
        id.to_hex(),
        time,
        snapshot.hostname.clone(),
        snapshot.paths.clone(),
        snapshot.tags.clone(),
    ))
}

/// The manifest (`app.json`) of a recovery point; `None` for a plain snapshot.
pub fn manifest(vault: &Vault, snapshot: &Snapshot) -> Result<Option<Manifest>> {
    manifest_from(&vault.reader()?, snapshot)
}

/// As [`manifest`], with a reader at hand.
pub(crate) fn manifest_from(reader: &Reader, snapshot: &Snapshot) -> Result<Option<Manifest>> {
    if AppIdentity::from_snapshot_paths(&snapshot.paths).is_none() {
        return Ok(None);
    }
    let Some(bytes) = read_file(reader, snapshot, layout::MANIFEST)? else {
        return Ok(None);
    };
    Ok(Some(
        Manifest::from_json(&bytes).map_err(lifeboat_plan::Error::from)?,
    ))
}

/// A small file of a snapshot, whole; `None` if it is not there.
pub(crate) fn read_file(
    reader: &Reader,
    snapshot: &Snapshot,
    path: &str,
) -> Result<Option<Vec<u8>>> {
    let Some(root) = snapshot.tree else {
        return Ok(None);
    };
    let parts: Vec<&[u8]> = path.split('/').map(str::as_bytes).collect();
    let Some(node) = reader.lookup(root, &parts)? else {
        return Ok(None);
    };
    let NodeKind::File { size, .. } = &node.kind else {
        return Ok(None);
    };
    if *size > MAX_MANIFEST {
        return Err(RecoveryError::Failed(format!(
            "{path} of this recovery point claims {size} bytes: refused, no honest one is that large"
        )));
    }
    let mut bytes = Vec::new();
    reader.file(&node)?.read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}
