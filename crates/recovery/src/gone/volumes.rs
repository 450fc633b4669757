//! Volumes that are gone, from the newest usable point of their app: `restore --volume`, with nobody there to type it.

use std::collections::BTreeSet;

use lifeboat_plan::{
    identity::AppIdentity,
    manifest::VolumeContent,
    reference::{PointSummary, Reference, points_of},
};
use lifeboat_vault::{Snapshot, SnapshotId};

use crate::{
    Context, Places, RecoveryError, Result, points,
    restore::{
        half::volumes_begun,
        interrupted::{self, Kind},
        maps::Maps,
        part::pieces::{self, Pieces},
    },
};

/// Volumes that a restore on this host has begun to fill and has not ended. What mounts them must not start.
#[must_use]
pub fn unfinished(places: &Places) -> BTreeSet<String> {
    volumes_begun(places)
}

/// Volumes, and the points that they came from.
pub type Brought = Vec<(String, SnapshotId)>;

/// Brings them back where they are absent, all from one point if one holds them all. What was interrupted goes on first,
/// from the point that it was of.
///
/// # Errors
/// No point holds one of them; a restore by a person that was interrupted is in the way; or the vault does not answer.
pub fn bring(ctx: &Context, app: &AppIdentity, names: &[String]) -> Result<Brought> {
    let mut brought = go_on(ctx, app, names)?;
    let mut left: BTreeSet<&String> = names.iter().collect();
    left.retain(|name| !brought.iter().any(|(done, _)| done == *name));
    let begun = unfinished(&ctx.places);
    for name in left.clone() {
        // Somebody was quicker: a process of an agent before this one, or a person. Nothing is written over.
        if !begun.contains(name) && is_there(ctx, name)? {
            tracing::info!("volume {name} is there already");
            left.remove(name);
        }
    }
    let mut reasons = Vec::new();
    for (id, snapshot) in newest_points(ctx, app)? {
        if left.is_empty() {
            break;
        }
        ctx.stop_if_cancelled()?;
        let held = match held_by(ctx, &snapshot, &left) {
            Ok(held) if held.is_empty() => continue,
            Ok(held) => held,
            Err(why @ RecoveryError::Vault(_)) => return Err(why),
            Err(why) => {
                reasons.push(format!("point {}: {why}", id.short()));
                continue;
            }
        };
        let pieces = Pieces {
            volumes: held.clone(),
            ..Pieces::default()
        };
        match pieces::restore(ctx, id, &snapshot, &pieces, &Maps::default()) {
            Ok(_) => {
                left.retain(|name| !held.contains(name));
                brought.extend(held.into_iter().map(|name| (name, id)));
            }
            Err(why) => {
                // What cannot be read was taken back, and an older point may be whole. Anything else is not the
                // point's fault.
                if !is_damage(&why) || under_way(ctx, app).is_some() {
                    return Err(why);
                }
                tracing::warn!("point {} cannot be used: {why}", id.short());
                reasons.push(format!("point {}: {why}", id.short()));
            }
        }
    }
    if left.is_empty() {
        return Ok(brought);
    }
    let names: Vec<&str> = left.iter().map(|name| name.as_str()).collect();
    let why = match reasons.is_empty() {
        true => String::new(),
        false => format!(" ({})", reasons.join("; ")),
    };
    Err(RecoveryError::NotFound(format!(
        "no usable point of {app} holds the data of volume {}{why}; nothing is put in its place: make it yourself with `docker volume create` if it may begin empty",
        names.join(", ")
    )))
}

fn is_there(ctx: &Context, volume: &str) -> Result<bool> {
    match ctx.engine()?.inspect_volume(volume) {
        Ok(_) => Ok(true),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn is_damage(why: &RecoveryError) -> bool {
    use lifeboat_vault::ErrorKind::{Interrupted, Locked};
    match why {
        RecoveryError::Vault(error) => !matches!(error.kind(), Interrupted | Locked),
        RecoveryError::Failed(_) => true,
        _ => false,
    }
}

/// The interrupted restore of this app here, whatever it is of.
fn under_way(ctx: &Context, app: &AppIdentity) -> Option<interrupted::Interrupted> {
    let app = app.to_string();
    let all = interrupted::list(&ctx.places);
    all.into_iter().find(|one| one.name == app)
}

/// Goes on with volumes that were begun.
fn go_on(ctx: &Context, app: &AppIdentity, names: &[String]) -> Result<Brought> {
    let Some(begun) = under_way(ctx, app) else {
        return Ok(Vec::new());
    };
    let Kind::Part(pieces, maps) = &begun.kind else {
        return Err(in_the_way(&begun));
    };
    let ours = pieces.services.is_empty() && pieces.binds.is_empty() && maps.is_empty();
    if !ours || !pieces.volumes.iter().any(|name| names.contains(name)) {
        return Err(in_the_way(&begun));
    }
    ctx.progress.step("bring-on");
    let (id, snapshot) = begun.point_in(ctx)?;
    pieces::restore(ctx, id, &snapshot, pieces, maps)?;
    let all = pieces.volumes.iter();
    Ok(all.map(|name| (name.clone(), id)).collect())
}

fn in_the_way(begun: &interrupted::Interrupted) -> RecoveryError {
    RecoveryError::Refused(format!(
        "{} was interrupted here and is a person's to end: `lifeboat restore --continue` or `--undo`",
        begun.what()
    ))
}

/// Points of the app, newest first; those that were made before a replacement last.
fn newest_points(ctx: &Context, app: &AppIdentity) -> Result<Vec<(SnapshotId, Snapshot)>> {
    let snapshots = ctx.vault.snapshots()?.found;
    let summaries: Vec<PointSummary> = snapshots
        .iter()
        .filter_map(|(id, snapshot)| points::summary(*id, snapshot))
        .collect();
    let reference: Reference = app
        .to_string()
        .parse()
        .map_err(|e| RecoveryError::NotFound(format!("{e}")))?;
    let mut found = Vec::new();
    for point in points_of(&reference, &summaries) {
        let is_it = |(id, _): &&(SnapshotId, Snapshot)| id.to_hex() == point.id;
        found.extend(snapshots.iter().find(is_it).cloned());
    }
    Ok(found)
}

/// Those of the volumes whose data a point holds.
fn held_by(ctx: &Context, snapshot: &Snapshot, names: &BTreeSet<&String>) -> Result<Vec<String>> {
    let Some(manifest) = points::manifest(&ctx.vault, snapshot)? else {
        return Ok(Vec::new());
    };
    let volumes = manifest.volumes.iter();
    let held = volumes.filter(|v| v.content == VolumeContent::Data && names.contains(&v.name));
    let missed = |name: &String| {
        let left_out = manifest.left_out.iter();
        left_out.filter(|l| !l.decided).any(|l| l.what == *name)
    };
    let names = held.map(|volume| volume.name.clone());
    Ok(names.filter(|name| !missed(name)).collect())
}
