//! The point is put together and committed: definitions, manifest, one tree, one snapshot.

use std::{collections::BTreeMap, time::Instant};

use lifeboat_capture::{Counts, TreeBuilder};
use lifeboat_plan::{
    app::App,
    bind::{Decision, EXCLUDED_BY_HAND},
    fingerprint::Fingerprints,
    identity::AppIdentity,
    inventory::Inventory,
    manifest::{
        BindDecision, BindRecord, Consistency, ContainerRecord, DatabaseRecord, LeftOut,
        LeftOutKind, Level, Manifest, NetworkRecord, ProjectRecord, RunState, SCHEMA,
        VolumeContent, VolumeRecord, layout,
    },
};
use lifeboat_vault::{Snapshot, Summary, WriteStats, Writer};
use serde_json::Value;

use super::{
    ProtectOptions, Protected,
    images::SavedImages,
    instant::Reached,
    layers::LayerCapture,
    line::ParentPoint,
    parent_id,
    passes::{DataSource, Taken},
    timestamp,
};
use crate::{
    Context, RecoveryError, Result,
    selection::{BindChoice, Selection},
};

/// Everything that a point is made of.
pub struct PointParts<'a> {
    pub identity: &'a AppIdentity,
    pub app: &'a App,
    pub inventory: &'a Inventory,
    pub fingerprints: Fingerprints,
    pub selection: &'a Selection,
    pub sources: &'a [DataSource],
    pub taken: Vec<Option<Taken>>,
    pub lost: Vec<LeftOut>,
    pub images: SavedImages,
    pub layers: Vec<LayerCapture>,
    pub instant: Reached,
    pub passes_made: u32,
    pub bytes_read: u64,
    pub began: jiff::Timestamp,
    pub parent: Option<&'a ParentPoint>,
    pub options: &'a ProtectOptions,
}

/// Writes what is left and commits the snapshot. Durable when it returns.
pub fn commit(
    ctx: &Context,
    writer: Writer,
    mut tree: TreeBuilder,
    mut parts: PointParts<'_>,
    clock: Instant,
) -> Result<Protected> {
    let mut by_place: BTreeMap<&str, Counts> = BTreeMap::new();
    let mut total = Counts::default();
    for (source, taken) in parts.sources.iter().zip(std::mem::take(&mut parts.taken)) {
        let Some(taken) = taken else { continue };
        by_place.insert(&source.place, taken.counts);
        total.add(&taken.counts);
        tree.insert(&source.place, taken.node)?;
    }
    let mut warnings: Vec<String> = parts.app.notes.iter().map(|n| n.text.clone()).collect();
    let project = parts.selection.project.iter();
    warnings.extend(project.flat_map(|p| p.notes.clone()));
    warnings.append(&mut parts.images.warnings);
    let mut left_out = parts.selection.left_out.clone();
    left_out.append(&mut parts.lost);
    left_out.append(&mut parts.images.left_out);
    for layer in &mut parts.layers {
        left_out.append(&mut layer.left_out);
    }
    left_out.extend(vanished_data(parts.parent, parts.selection));
    left_out.extend(gone_containers(ctx, &parts));
    let manifest = manifest(ctx, &parts, &by_place, left_out, warnings);
    definitions(&writer, &mut tree, &parts)?;
    let json = manifest.to_json().map_err(lifeboat_plan::Error::from)?;
    tree.file_bytes(&writer, layout::MANIFEST, &json, 0o600)?;
    let partial = manifest.is_partial();
    let root = tree.write(&writer)?;
    writer.flush()?;
    let stats = writer.stats();
    let snapshot = Snapshot {
        time: timestamp(parts.began).to_rfc3339(),
        parent: parent_id(parts.parent),
        tree: Some(root),
        paths: vec![parts.identity.snapshot_path()],
        hostname: parts.identity.host.to_string(),
        username: ctx.username.clone(),
        excludes: parts.options.excludes.clone(),
        tags: parts.identity.snapshot_tags(partial, &parts.options.tags),
        program_version: program_version(),
        summary: Some(summary(parts.began, &total, &stats)),
        ..Snapshot::default()
    };
    ctx.progress.step("write-snapshot");
    // The last place where a signal leaves no point behind.
    ctx.stop_if_cancelled()?;
    let id = writer.commit(snapshot)?;
    crate::gone::held::remember(&ctx.places, &manifest);
    Ok(Protected {
        app: parts.identity.to_string(),
        id: Some(id),
        time: timestamp(parts.began).to_rfc3339(),
        level: manifest.consistency.level.to_string(),
        level_reason: Some(manifest.consistency.reason.clone()).filter(|r| !r.is_empty()),
        asked: manifest.consistency.asked.map(|asked| asked.to_string()),
        less_consistent: manifest.consistency.shortfall(),
        stall_seconds: parts.instant.stall.map(|stall| stall.as_secs_f64()),
        files: total.files_total,
        bytes: total.bytes_total,
        bytes_read: parts.bytes_read,
        added: stats.packed_bytes,
        seconds: clock.elapsed().as_secs_f64(),
        incomplete: manifest
            .left_out
            .iter()
            .filter(|l| !l.decided)
            .map(|l| format!("{} is not in the point: {}", l.what, l.reason))
            .collect(),
        warnings: manifest.warnings,
    })
}

/// Figures of a run, as restic has them. The run ends now.
pub(crate) fn summary(began: jiff::Timestamp, total: &Counts, stats: &WriteStats) -> Summary {
    Summary {
        backup_start: timestamp(began).to_rfc3339(),
        backup_end: timestamp(jiff::Timestamp::now()).to_rfc3339(),
        files_new: total.files_new,
        files_changed: total.files_changed,
        files_unmodified: total.files_unmodified,
        dirs_new: total.dirs_new,
        dirs_changed: total.dirs_changed,
        dirs_unmodified: total.dirs_unmodified,
        data_blobs: i64::try_from(stats.data_blobs).unwrap_or(i64::MAX),
        tree_blobs: i64::try_from(stats.tree_blobs).unwrap_or(i64::MAX),
        data_added: stats.plain_bytes,
        data_added_packed: stats.packed_bytes,
        total_files_processed: total.files_total,
        total_bytes_processed: total.bytes_total,
    }
}

/// Name and version of this program, as snapshots bear it.
pub(crate) fn program_version() -> String {
    format!("lifeboat {}", env!("CARGO_PKG_VERSION"))
}

fn manifest(
    ctx: &Context,
    parts: &PointParts<'_>,
    counts: &BTreeMap<&str, Counts>,
    left_out: Vec<LeftOut>,
    warnings: Vec<String>,
) -> Manifest {
    let instant = &parts.instant;
    Manifest {
        schema: SCHEMA,
        versions: [("lifeboat".to_owned(), env!("CARGO_PKG_VERSION").to_owned())].into(),
        identity: parts.identity.clone(),
        kind: parts.app.kind,
        fingerprints: parts.fingerprints.clone(),
        engine: (&parts.inventory.engine).into(),
        consistency: Consistency {
            level: instant.level,
            asked: parts.options.consistency,
            reason: instant.reason.clone(),
            provider: instant.provider.to_owned(),
            stall_ns: instant
                .stall
                .map_or(0, |s| u64::try_from(s.as_nanos()).unwrap_or(u64::MAX)),
            began: parts.began,
            ended: jiff::Timestamp::now(),
            instant: instant.at.filter(|_| instant.level != Level::Live),
            frozen: instant.frozen.clone(),
            passes: parts.passes_made,
        },
        containers: containers(parts),
        volumes: volumes(parts, counts),
        binds: parts
            .selection
            .binds
            .iter()
            .map(|b| bind_record(b, counts))
            .collect(),
        networks: networks(parts),
        images: parts.images.records.clone(),
        layers: parts
            .layers
            .iter()
            .filter_map(|l| l.record.clone())
            .collect(),
        project: project(ctx, parts, counts),
        databases: databases(parts),
        dumps: Vec::new(),
        left_out,
        warnings,
    }
}

fn containers(parts: &PointParts<'_>) -> Vec<ContainerRecord> {
    let record = |c: &lifeboat_plan::app::AppContainer| ContainerRecord {
        id: c.id.clone(),
        name: c.name.clone(),
        service: c.service.clone(),
        state: RunState::from(c.state),
        image_id: c.image_id.clone(),
        image_ref: c.image_ref.clone(),
        auto_remove: c.auto_remove,
    };
    parts.app.containers.iter().map(record).collect()
}

fn volumes(parts: &PointParts<'_>, counts: &BTreeMap<&str, Counts>) -> Vec<VolumeRecord> {
    let known = |name: &str| parts.inventory.volumes.iter().any(|v| v.name == name);
    let mut records = Vec::new();
    for choice in parts
        .selection
        .volumes
        .iter()
        .filter(|v| known(&v.volume.name))
    {
        let volume = &choice.volume;
        let counted = counts.get(layout::volume(&volume.name).as_str());
        records.push(VolumeRecord {
            name: volume.name.clone(),
            driver: volume.driver.clone(),
            anonymous: volume.anonymous,
            shared: volume.external || !volume.shared_with.is_empty(),
            content: if counted.is_some() {
                VolumeContent::Data
            } else {
                VolumeContent::Definition
            },
            bytes: counted.map_or(0, |c| c.bytes_total),
            files: counted.map_or(0, |c| c.files_total),
        });
    }
    records
}

fn bind_record(choice: &BindChoice, counts: &BTreeMap<&str, Counts>) -> BindRecord {
    let bind = &choice.bind;
    let counted = layout::bind(&bind.source).and_then(|place| counts.get(place.as_str()).copied());
    let (decision, within) = match &choice.decision {
        Decision::Captured if counted.is_some() => (BindDecision::Captured, None),
        Decision::Captured | Decision::LeftOut { .. } => (BindDecision::LeftOut, None),
        Decision::Within { path } => (BindDecision::Within, Some(path.clone())),
        Decision::SystemPath { .. } => (BindDecision::System, None),
    };
    BindRecord {
        source: bind.source.clone(),
        decision,
        kind: choice.kind,
        content: choice.content,
        within,
        shared: !bind.shared_with.is_empty(),
        writable: bind.writable(),
        bytes: counted.map_or(0, |c| c.bytes_total),
        files: counted.map_or(0, |c| c.files_total),
    }
}

fn networks(parts: &PointParts<'_>) -> Vec<NetworkRecord> {
    let record = |n: &lifeboat_plan::app::AppNetwork| NetworkRecord {
        id: n.id.clone(),
        name: n.name.clone(),
        driver: n.driver.clone(),
        shared: n.external || !n.shared_with.is_empty(),
    };
    parts
        .app
        .own_networks()
        .filter(|n| !n.id.is_empty())
        .map(record)
        .collect()
}

fn project(
    _ctx: &Context,
    parts: &PointParts<'_>,
    counts: &BTreeMap<&str, Counts>,
) -> Option<ProjectRecord> {
    let (project, choice) = (
        parts.app.project.as_ref()?,
        parts.selection.project.as_ref()?,
    );
    let place = |root: &std::path::PathBuf| layout::project(&root.to_string_lossy());
    let captured = |root: &&std::path::PathBuf| {
        place(root).is_some_and(|place| counts.contains_key(place.as_str()))
    };
    let roots: Vec<_> = choice.roots.iter().filter(captured).collect();
    Some(ProjectRecord {
        name: project.name.clone(),
        working_dir: project.working_dir.clone(),
        config_files: choice.config_files.clone(),
        environment_files: choice.environment_files.clone(),
        bytes: roots
            .iter()
            .filter_map(|root| counts.get(place(root)?.as_str()))
            .map(|c| c.bytes_total)
            .sum(),
        roots: roots
            .iter()
            .map(|root| root.display().to_string())
            .collect(),
    })
}

fn databases(parts: &PointParts<'_>) -> Vec<DatabaseRecord> {
    let record = |d: &lifeboat_plan::app::Database| DatabaseRecord {
        container: d.container_name.clone(),
        kind: d.kind,
        data_path: d.data_path.clone(),
    };
    parts.app.databases.iter().map(record).collect()
}

/// Raw inspect answers, verbatim. They hold secrets: 0600 in folders that are 0700.
fn definitions(writer: &Writer, tree: &mut TreeBuilder, parts: &PointParts<'_>) -> Result<()> {
    let mut put = |path: String, raw: &Value| -> Result<()> {
        let bytes = serde_json::to_vec_pretty(raw)
            .map_err(|e| RecoveryError::Failed(format!("write {path}: {e}")))?;
        Ok(tree.file_bytes(writer, path, &bytes, 0o600)?)
    };
    for (path, raw) in definition_files(parts.app, parts.inventory) {
        put(path, raw)?;
    }
    Ok(())
}

/// The raw inspect answers that an app is made from, with their places in a point.
pub(crate) fn definition_files<'i>(
    app: &'i App,
    inventory: &'i Inventory,
) -> impl Iterator<Item = (String, &'i Value)> {
    let containers = inventory.containers.iter();
    let containers = containers.filter(|c| app.container(&c.id).is_some());
    let networks = inventory.networks.iter();
    let networks = networks.filter(|n| app.own_networks().any(|own| own.id == n.id));
    let volumes = inventory.volumes.iter();
    let volumes = volumes.filter(|v| app.volumes.iter().any(|own| own.name == v.name));
    let images = inventory.images.iter();
    let images = images.filter(|i| app.images.iter().any(|own| own.id == i.id));
    std::iter::once((layout::ENGINE.to_owned(), &inventory.engine.raw))
        .chain(containers.map(|c| (layout::container_definition(&c.name), &c.raw)))
        .chain(networks.map(|n| (layout::network_definition(&n.name), &n.raw)))
        .chain(volumes.map(|v| (layout::volume_definition(&v.name), &v.raw)))
        .chain(images.map(|i| (layout::image_definition(&i.id), &i.raw)))
}

/// Containers of the app that are gone and to be made again: what is left of it is worth a point, but no whole one.
fn gone_containers(ctx: &Context, parts: &PointParts<'_>) -> Vec<LeftOut> {
    let text = fs_err::read(ctx.places.gone()).unwrap_or_default();
    let gone: BTreeMap<String, Vec<String>> = serde_json::from_slice(&text).unwrap_or_default();
    let of_app = gone.get(&parts.identity.name.to_string());
    let is_here = |name: &String| parts.app.containers.iter().any(|c| c.name == *name);
    let gone = of_app.into_iter().flatten().filter(|name| !is_here(name));
    gone.map(|name| LeftOut {
        kind: LeftOutKind::Other,
        what: name.clone(),
        reason: "it is gone, and the agent has not made it again yet; `lifeboat status` says why"
            .to_owned(),
        bytes: None,
        decided: false,
    })
    .collect()
}

/// What is said of a bind whose data is gone.
const VANISHED: &str =
    "it held data at the point before and is empty or missing now; is a disk not mounted?";

/// Whether it is a bind that held data at the point before and was missed at this one.
pub(crate) fn is_missed(left: &LeftOut) -> bool {
    left.kind == LeftOutKind::Bind && !left.decided && left.reason.starts_with(VANISHED)
}

/// Binds that held data at the point before and are empty or gone now: a disk that is not mounted
/// looks like this, and its empty folder must not pass for a good backup. Said again by each point
/// that follows, until the data is back or somebody decides to leave the bind out.
fn vanished_data(parent: Option<&ParentPoint>, selection: &Selection) -> Vec<LeftOut> {
    use lifeboat_plan::manifest::BindContent;
    let mut gone = Vec::new();
    for before in parent.iter().flat_map(|p| &p.manifest.binds) {
        let was_there =
            before.content == BindContent::Present && before.decision == BindDecision::Captured;
        let was_missed = parent.is_some_and(|p| {
            let mut left_out = p.manifest.left_out.iter();
            left_out.any(|l| l.what == before.source && is_missed(l))
        });
        let now = selection
            .binds
            .iter()
            .find(|b| b.bind.source == before.source);
        let is_gone =
            now.is_some_and(|b| matches!(b.content, BindContent::Absent | BindContent::Empty));
        let is_accepted = selection
            .left_out
            .iter()
            .any(|l| l.what == before.source && l.reason == EXCLUDED_BY_HAND);
        if (was_there || was_missed) && is_gone && !is_accepted {
            gone.push(LeftOut {
                kind: LeftOutKind::Bind,
                what: before.source.clone(),
                reason: format!(
                    "{VANISHED} If it is meant to be so, say --exclude-bind {} once",
                    before.source
                ),
                bytes: None,
                decided: false,
            });
        }
    }
    gone
}
