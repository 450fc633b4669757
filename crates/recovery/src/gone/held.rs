//! Which bind sources held data at the newest point of an app: so that one that is empty now is told from one that always
//! was. A small file an app in the state directory, written with each point; one that is lost is made again from the vault.

use std::path::PathBuf;

use lifeboat_plan::{
    identity::AppIdentity,
    manifest::{BindContent, BindDecision, Manifest},
    name::escape,
};
use lifeboat_vault::{Snapshot, SnapshotId};
use serde::{Deserialize, Serialize};

use super::definitions::newest_first;
use crate::{Context, Places, Result, points, protect::is_missed, setup::write_whole};

/// What the newest point of an app says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The app, as a reference names it.
    pub app: String,
    /// When the point's capture began, RFC 3339.
    pub time: String,
    /// Bind sources that held data, or had at the point before and were missed at this one.
    pub binds: Vec<String>,
}

fn file(places: &Places, identity: &AppIdentity) -> PathBuf {
    let name = format!("{}.json", escape(&identity.to_string()));
    places.held().join(name)
}

/// Writes down what a point holds. Where that fails, nobody is warned of an empty folder: no reason to fail a backup.
pub(crate) fn remember(places: &Places, manifest: &Manifest) {
    let held_data = |bind: &&lifeboat_plan::manifest::BindRecord| {
        let is_in = matches!(bind.decision, BindDecision::Captured | BindDecision::Within);
        is_in && bind.content == BindContent::Present && (bind.files > 0 || bind.within.is_some())
    };
    let binds = manifest.binds.iter().filter(held_data);
    let missed = manifest.left_out.iter().filter(|left| is_missed(left));
    let mut binds: Vec<String> = binds
        .map(|bind| bind.source.clone())
        .chain(missed.map(|left| left.what.clone()))
        .collect();
    binds.sort();
    binds.dedup();
    let held = Held {
        app: manifest.identity.name.to_string(),
        time: manifest.consistency.began.to_string(),
        binds,
    };
    let write = || -> Result<()> {
        fs_err::create_dir_all(places.held())?;
        let text = serde_json::to_vec(&held).map_err(std::io::Error::other)?;
        write_whole(&file(places, &manifest.identity), &text, true, 0o600)
    };
    if let Err(why) = write() {
        tracing::warn!("what the point holds cannot be written down: {why}");
    }
}

/// Makes a record that is lost again, from the newest point.
pub(super) fn remember_newest(
    ctx: &Context,
    identity: &AppIdentity,
    snapshots: &[(SnapshotId, Snapshot)],
) {
    if file(&ctx.places, identity).exists() {
        return;
    }
    let own = identity.snapshot_path();
    let of_app = snapshots.iter().filter(|(_, s)| s.paths == [own.as_str()]);
    let newest = newest_first(of_app).next();
    let manifest = newest.map(|(_, snapshot)| points::manifest(&ctx.vault, snapshot));
    if let Some(Ok(Some(manifest))) = manifest {
        remember(&ctx.places, &manifest);
    }
}

/// The newest record that has data in this folder of the host.
#[must_use]
pub fn of(places: &Places, source: &str) -> Option<Held> {
    let entries = fs_err::read_dir(places.held()).into_iter().flatten();
    let read = |entry: fs_err::DirEntry| -> Option<Held> {
        serde_json::from_slice(&fs_err::read(entry.path()).ok()?).ok()
    };
    let all = entries.flatten().filter_map(read);
    let holding = all.filter(|held| held.binds.iter().any(|bind| bind == source));
    holding.max_by(|a, b| a.time.cmp(&b.time))
}
