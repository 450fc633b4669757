//! Definitions of apps in the vault, each change a snapshot of its own:
//!
//! ```text
//! definition.json      whose it is, and fingerprints of the engine. No secrets
//! definition/          as in a recovery point. Secrets: 0700, 0600
//! ```

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use lifeboat_capture::TreeBuilder;
use lifeboat_plan::{
    app::{App, AppKind},
    discover::discover,
    fingerprint::{Comparison, Fingerprints},
    identity::AppIdentity,
    inventory::Inventory,
    manifest::layout,
    name::AppName,
};
use lifeboat_vault::{
    Reader, Snapshot, SnapshotId, WriterOptions,
    node::{NodeKind, Timestamp},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    Context, RecoveryError, Result, points,
    protect::{again_if_lost, definition_files, identity_of, program_version, timestamp},
};

/// Whose definition it is.
const RECORD: &str = "definition.json";
/// The folders of `definition/` that say what an app is.
const FOLDERS: [&str; 4] = ["containers", "networks", "volumes", "images"];
/// What changes by itself, or comes from the definition of something else.
const MOMENTARY: [&str; 17] = [
    "State",
    "RestartCount",
    "ResolvConfPath",
    "HostnamePath",
    "HostsPath",
    "LogPath",
    "ExecIDs",
    "GraphDriver",
    "SizeRw",
    "SizeRootFs",
    "NetworkSettings",
    "Containers",
    "Peers",
    "Services",
    "UsageData",
    "CreatedAt",
    "Metadata",
];

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    schema: u32,
    identity: AppIdentity,
    fingerprints: Fingerprints,
}

/// What came of keeping them.
#[derive(Debug, Default, Serialize)]
pub struct Kept {
    /// Apps whose definition is another one than the last in the vault, and is there now; with the snapshot.
    pub kept: Vec<(String, SnapshotId)>,
    /// So many had not changed.
    pub unchanged: u64,
    /// What could not be kept, and why.
    pub failed: Vec<String>,
    /// Apps of this host that the vault knows and this engine does not, for a host that has lost its memory.
    pub absent: Vec<String>,
}

/// Puts the definitions of all apps but these into the vault, where they changed. One that cannot be kept keeps no other
/// one from it.
///
/// # Errors
/// The engine or the vault does not answer.
pub fn keep(ctx: &Context, except: &BTreeSet<String>, retry_lock: Duration) -> Result<Kept> {
    let engine = ctx.engine()?;
    let inventory = engine.inventory()?;
    let here = engine.fingerprints()?;
    let snapshots = ctx.vault.snapshots()?.found;
    let found = discover(&inventory);
    let mut kept = Kept::default();
    let has_any = |app: &&App| app.kind != AppKind::Copy && !app.containers.is_empty();
    for app in found.apps.iter().filter(has_any) {
        let name = app.name.to_string();
        if except.contains(&name) {
            continue;
        }
        ctx.stop_if_cancelled()?;
        let identity = identity_of(ctx, &inventory.engine, &app.name)?;
        super::held::remember_newest(ctx, &identity, &snapshots);
        let one = One {
            ctx,
            app,
            inventory: &inventory,
            identity,
            here: &here,
            retry_lock,
        };
        match again_if_lost(|| one.keep(&snapshots)) {
            Ok(Some(id)) => kept.kept.push((name, id)),
            Ok(None) => kept.unchanged += 1,
            // Nothing is right with the vault.
            Err(RecoveryError::Vault(error)) => return Err(error.into()),
            Err(why) => kept.failed.push(format!("{name}: {why}")),
        }
    }
    let here: BTreeSet<String> = found.apps.iter().map(|app| app.name.to_string()).collect();
    kept.absent = known(ctx, &inventory, &snapshots)?;
    kept.absent.retain(|name| !here.contains(name));
    Ok(kept)
}

/// Names of the apps of this host that the vault knows.
fn known(
    ctx: &Context,
    inventory: &Inventory,
    snapshots: &[(SnapshotId, Snapshot)],
) -> Result<Vec<String>> {
    let any = AppName::new("any").map_err(lifeboat_plan::Error::from)?;
    let own = identity_of(ctx, &inventory.engine, &any)?;
    let of = |snapshot: &Snapshot| {
        let paths = &snapshot.paths;
        AppIdentity::from_snapshot_paths(paths)
            .or_else(|| AppIdentity::from_definition_paths(paths))
    };
    let apps = snapshots.iter().filter_map(|(_, snapshot)| of(snapshot));
    let ours = apps.filter(|app| app.site == own.site && app.host == own.host);
    let names = ours.filter(|app| app.name.volume().is_none());
    let names: BTreeSet<String> = names.map(|app| app.name.to_string()).collect();
    Ok(names.into_iter().collect())
}

/// Files by path.
type Files = BTreeMap<String, Value>;

struct One<'a> {
    ctx: &'a Context,
    app: &'a App,
    inventory: &'a Inventory,
    identity: AppIdentity,
    here: &'a Fingerprints,
    retry_lock: Duration,
}

impl One<'_> {
    fn keep(&self, snapshots: &[(SnapshotId, Snapshot)]) -> Result<Option<SnapshotId>> {
        let files: Files = definition_files(self.app, self.inventory)
            .map(|(path, raw)| (path, raw.clone()))
            .collect();
        let reader = self.ctx.vault.reader()?;
        let last = of_app(snapshots, &self.identity).next();
        if let Some((id, snapshot)) = last {
            // A damaged one is as good as none.
            match read(&reader, snapshot) {
                Ok((record, before)) => {
                    self.check(&record)?;
                    if bare(&before) == bare(&files) {
                        return Ok(None);
                    }
                }
                Err(why) => tracing::warn!(definition = %id.short(), "{why}; it is kept anew"),
            }
        }
        self.write(&files).map(Some)
    }

    /// Another host under the same name: its definitions are not mixed with ours.
    fn check(&self, record: &Record) -> Result<()> {
        let Comparison::Contradicting(why) = record.fingerprints.compare(self.here) else {
            return Ok(());
        };
        let why: Vec<String> = why.iter().map(ToString::to_string).collect();
        Err(RecoveryError::Refused(format!(
            "its definition in this vault is of another host or engine ({}); give this host a name of its own with --host NAME",
            why.join(", ")
        )))
    }

    fn write(&self, files: &Files) -> Result<SnapshotId> {
        let writer = self.ctx.vault.writer(WriterOptions {
            retry_lock: self.retry_lock,
            ..WriterOptions::default()
        })?;
        let now = jiff::Timestamp::now();
        let mut tree = TreeBuilder::new(timestamp(now));
        let mut put = |path: &str, value: &Value| -> Result<()> {
            let bytes = serde_json::to_vec_pretty(value)
                .map_err(|e| RecoveryError::Failed(format!("write {path}: {e}")))?;
            Ok(tree.file_bytes(&writer, path, &bytes, 0o600)?)
        };
        for (path, raw) in files {
            put(path, raw)?;
        }
        let record = Record {
            schema: 1,
            identity: self.identity.clone(),
            fingerprints: self.here.clone(),
        };
        put(RECORD, &json!(record))?;
        let root = tree.write(&writer)?;
        writer.flush()?;
        self.ctx.progress.step("definition-snapshot");
        self.ctx.stop_if_cancelled()?;
        Ok(writer.commit(Snapshot {
            time: timestamp(now).to_rfc3339(),
            tree: Some(root),
            paths: vec![self.identity.definition_path()],
            hostname: self.identity.host.to_string(),
            username: self.ctx.username.clone(),
            tags: self.identity.definition_tags(),
            program_version: program_version(),
            ..Snapshot::default()
        })?)
    }
}

/// Snapshots of an app's definition, newest first.
fn of_app<'s>(
    snapshots: &'s [(SnapshotId, Snapshot)],
    identity: &AppIdentity,
) -> impl Iterator<Item = &'s (SnapshotId, Snapshot)> {
    let path = identity.definition_path();
    let is_it = move |(_, s): &&(SnapshotId, Snapshot)| s.paths == [path.as_str()];
    newest_first(snapshots.iter().filter(is_it))
}

/// By the time that they bear.
pub(super) fn newest_first<'s>(
    snapshots: impl Iterator<Item = &'s (SnapshotId, Snapshot)>,
) -> impl Iterator<Item = &'s (SnapshotId, Snapshot)> {
    let mut all: Vec<_> = snapshots.collect();
    let time = |s: &Snapshot| Timestamp::parse_rfc3339(&s.time).unwrap_or_default();
    all.sort_by(|(a_id, a), (b_id, b)| (time(b), b_id).cmp(&(time(a), a_id)));
    all.into_iter()
}

/// What a snapshot of a definition says.
fn read(reader: &Reader, snapshot: &Snapshot) -> Result<(Record, Files)> {
    let record = points::read_file(reader, snapshot, RECORD)?.ok_or_else(|| {
        RecoveryError::Failed(format!("it holds no {RECORD}, so it is no definition"))
    })?;
    let record = serde_json::from_slice(&record)
        .map_err(|e| RecoveryError::Failed(format!("its {RECORD} makes no sense: {e}")))?;
    Ok((record, files(reader, snapshot)?))
}

/// The definitions in a snapshot, of a definition alone or of a point.
fn files(reader: &Reader, snapshot: &Snapshot) -> Result<Files> {
    let mut found = Files::new();
    let Some(root) = snapshot.tree else {
        return Ok(found);
    };
    for folder in FOLDERS {
        let place = [layout::DEFINITION.as_bytes(), folder.as_bytes()];
        let Some(NodeKind::Dir { subtree }) = reader.lookup(root, &place)?.map(|n| n.kind) else {
            continue;
        };
        for node in reader.tree(subtree)?.nodes {
            let name = String::from_utf8_lossy(&node.name);
            let path = format!("{}/{folder}/{name}", layout::DEFINITION);
            let Some(bytes) = points::read_file(reader, snapshot, &path)? else {
                continue;
            };
            let raw = serde_json::from_slice(&bytes)
                .map_err(|e| RecoveryError::Failed(format!("{path} makes no sense: {e}")))?;
            found.insert(path, raw);
        }
    }
    Ok(found)
}

/// What does not change by itself. Of the networks of a container only which they are, and what was asked for there, and
/// of the engine itself nothing.
fn bare(files: &Files) -> Files {
    let of_folder = |path: &&String| {
        let below = path.strip_prefix(layout::DEFINITION);
        below.is_some_and(|below| FOLDERS.iter().any(|f| below.starts_with(&format!("/{f}/"))))
    };
    let paths = files.keys().filter(of_folder);
    paths
        .map(|path| (path.clone(), bare_one(&files[path])))
        .collect()
}

fn bare_one(raw: &Value) -> Value {
    let mut bare = raw.as_object().cloned().unwrap_or_default();
    for key in MOMENTARY {
        bare.remove(key);
    }
    let networks = raw["NetworkSettings"]["Networks"].as_object();
    let asked = networks.into_iter().flatten();
    let asked: Vec<Value> = asked
        .map(|(name, network)| json!([name, network["IPAMConfig"], network["Links"]]))
        .collect();
    bare.insert("Networks".to_owned(), json!(asked));
    if let Some(mounts) = bare.get_mut("Mounts").and_then(Value::as_array_mut) {
        // The engine keeps them in a map and shows them in any order.
        mounts.sort_by_key(Value::to_string);
    }
    Value::Object(bare)
}

/// The definition of one container, with what it stands on.
#[derive(Debug, Default)]
pub struct Found {
    /// The container.
    pub container: Value,
    /// Networks of its app.
    pub networks: Vec<Value>,
    /// Volumes of its app.
    pub volumes: Vec<Value>,
    /// Images of its app.
    pub images: Vec<Value>,
}

/// The newest definition of a container of this app in the vault: of a definition alone, else of a point. `None` where the
/// vault never saw it.
///
/// # Errors
/// The vault does not answer.
pub fn find(ctx: &Context, identity: &AppIdentity, container: &str) -> Result<Option<Found>> {
    let snapshots = ctx.vault.snapshots()?.found;
    let reader = ctx.vault.reader()?;
    let own = identity.snapshot_path();
    let points = snapshots.iter().filter(|(_, s)| s.paths == [own.as_str()]);
    let place = layout::container_definition(container);
    for (id, snapshot) in of_app(&snapshots, identity).chain(newest_first(points)) {
        let mut all = match files(&reader, snapshot) {
            Ok(all) => all,
            Err(RecoveryError::Vault(error)) if is_away(&error) => return Err(error.into()),
            Err(why) => {
                tracing::warn!(snapshot = %id.short(), "{why}; an older one is looked for");
                continue;
            }
        };
        let Some(container) = all.remove(&place) else {
            continue;
        };
        let of = |folder: &str| -> Vec<Value> {
            let front = format!("{}/{folder}/", layout::DEFINITION);
            let all = all.iter().filter(|(path, _)| path.starts_with(&front));
            all.map(|(_, raw)| raw.clone()).collect()
        };
        return Ok(Some(Found {
            container,
            networks: of("networks"),
            volumes: of("volumes"),
            images: of("images"),
        }));
    }
    Ok(None)
}

/// The vault is out of reach or taken: an older snapshot is no help.
pub(super) fn is_away(error: &lifeboat_vault::VaultError) -> bool {
    use lifeboat_vault::ErrorKind::{Interrupted, Locked};
    matches!(error.kind(), Interrupted | Locked)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_by_itself_is_no_change() {
        let file = |raw: Value| Files::from([("definition/containers/a.json".to_owned(), raw)]);
        let before = file(json!({
            "Id": "1", "State": {"Pid": 1}, "Mounts": [{"Name": "a"}, {"Name": "b"}],
            "NetworkSettings": {"Networks": {"n": {"IPAddress": "1", "IPAMConfig": null}}},
        }));
        let restarted = file(json!({
            "Id": "1", "State": {"Pid": 2}, "Mounts": [{"Name": "b"}, {"Name": "a"}],
            "NetworkSettings": {"Networks": {"n": {"IPAddress": "2", "IPAMConfig": null}}},
        }));
        assert_eq!(bare(&before), bare(&restarted));
        for other in [
            json!({"Id": "2"}),
            json!({"Id": "1", "Mounts": [{"Name": "a"}, {"Name": "b"}], "NetworkSettings": {"Networks": {"n": {"IPAMConfig": {"IPv4Address": "1"}}}}}),
            json!({"Id": "1", "Mounts": [{"Name": "a"}, {"Name": "b"}], "NetworkSettings": {"Networks": {"m": {}}}}),
        ] {
            assert_ne!(bare(&before), bare(&file(other)));
        }
        // An engine that was upgraded is no other app.
        let engine = Files::from([(layout::ENGINE.to_owned(), json!({"Version": 2}))]);
        assert!(bare(&engine).is_empty());
    }
}
