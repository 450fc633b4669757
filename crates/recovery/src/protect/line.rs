//! Whose line a new point continues, and what its parent is.

use std::collections::BTreeSet;

use lifeboat_plan::{
    fingerprint::{Comparison, Fingerprints},
    identity::AppIdentity,
    inventory::EngineFacts,
    manifest::Manifest,
    name::{AppName, HostName, SiteName},
    suggest,
};
use lifeboat_vault::{Reader, Snapshot, Vault, id::BlobId, id::SnapshotId, node::Timestamp};

use super::ProtectOptions;
use crate::{Context, RecoveryError, Result, points};

/// The point before, whose unchanged files are reused.
pub struct ParentPoint {
    /// Its id.
    pub id: SnapshotId,
    /// Its root tree.
    pub root: BlobId,
    /// When its capture began.
    pub began: Timestamp,
    /// Its manifest.
    pub manifest: Manifest,
}

/// The identity under which `app` of this host is protected.
pub fn identity(
    ctx: &Context,
    facts: &EngineFacts,
    app: &AppName,
    options: &ProtectOptions,
) -> Result<AppIdentity> {
    let site = if ctx.site.is_empty() {
        SiteName::default()
    } else {
        SiteName::new(ctx.site.as_str()).map_err(lifeboat_plan::Error::from)?
    };
    let host = match &ctx.host {
        Some(host) => HostName::new(host.as_str()).map_err(lifeboat_plan::Error::from)?,
        None => HostName::from_engine(&facts.hostname),
    };
    let own = AppIdentity::new(site, host, app.clone());
    let Some(taken) = &options.take_over else {
        return Ok(own);
    };
    let line = parse_identity(taken, &own)?;
    if line.name != own.name {
        return Err(RecoveryError::Refused(format!(
            "--take-over {taken} is the line of another app than {}, and two apps in one line would be mixed; nothing was saved",
            own.name
        )));
    }
    Ok(line)
}

/// `[SITE/]HOST/APP`, as `--take-over` takes it.
fn parse_identity(text: &str, own: &AppIdentity) -> Result<AppIdentity> {
    let parts: Vec<&str> = text.split('/').collect();
    let (site, host, name) = match parts.as_slice() {
        [site, host, name] => (
            SiteName::new(*site).map_err(lifeboat_plan::Error::from)?,
            host,
            name,
        ),
        [host, name] => (own.site.clone(), host, name),
        _ => {
            return Err(RecoveryError::NotFound(format!(
                "--take-over {text} names no app: give it as HOST/APP or SITE/HOST/APP"
            )));
        }
    };
    Ok(AppIdentity::new(
        site,
        HostName::new(*host).map_err(lifeboat_plan::Error::from)?,
        AppName::new(*name).map_err(lifeboat_plan::Error::from)?,
    ))
}

/// The newest point of this identity. Refused where its fingerprints say that it was made by another
/// host or engine, unless the line is taken over on purpose.
pub fn parent(
    vault: &Vault,
    reader: &Reader,
    identity: &AppIdentity,
    here: &Fingerprints,
    take_over: bool,
) -> Result<Option<ParentPoint>> {
    let path = identity.snapshot_path();
    let snapshots = vault.snapshots()?;
    let line = snapshots
        .found
        .iter()
        .rev()
        .filter(|(_, s)| s.paths.len() == 1 && s.paths[0] == path);
    if take_over && line.clone().next().is_none() {
        return Err(no_line(identity, &snapshots.found));
    }
    for (id, snapshot) in line {
        // A damaged parent costs time, not the backup: the one before it serves as well.
        let Ok(Some(manifest)) = points::manifest_from(reader, snapshot) else {
            continue;
        };
        let Some(root) = snapshot.tree else { continue };
        if let Comparison::Contradicting(why) = manifest.fingerprints.compare(here)
            && !take_over
        {
            let why: Vec<String> = why.iter().map(ToString::to_string).collect();
            return Err(RecoveryError::Refused(format!(
                "the points of {identity} in this vault were made by another host or engine ({}); give this host a name of its own with --host NAME, or continue that line with --take-over {}/{}",
                why.join(", "),
                identity.host,
                identity.name
            )));
        }
        let began = Timestamp::parse_rfc3339(&snapshot.time).unwrap_or_default();
        return Ok(Some(ParentPoint {
            id: *id,
            root,
            began,
            manifest,
        }));
    }
    Ok(None)
}

/// A line that is taken over has to be there: a slip of the pen must not begin another one.
fn no_line(identity: &AppIdentity, found: &[(SnapshotId, Snapshot)]) -> RecoveryError {
    let lines: BTreeSet<String> = found
        .iter()
        .filter_map(|(_, s)| AppIdentity::from_snapshot_paths(&s.paths))
        .map(|line| line.to_string())
        .collect();
    let typed = identity.to_string();
    let near = suggest::suggest(&typed, lines.iter().map(String::as_str));
    RecoveryError::NotFound(format!(
        "there is no line of {typed} in this vault to take over{}; `lifeboat points` lists what there is",
        suggest::sentence(&near)
    ))
}
