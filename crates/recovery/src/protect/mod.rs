//! `backup`: one app as it is at one instant, into one recovery point.
//!
//! Order: look (inventory, sizes, whose line it continues), then what needs no instant (images,
//! writable layers), then pre-copy passes over the live data, then everything that writes is frozen
//! for one last pass, then the point is committed. What a crash leaves: blobs that no snapshot names,
//! and, should the watchdog die too, a record that the next run thaws by.

mod commit;
mod freeze;
mod images;
mod instant;
mod layers;
mod line;
mod passes;
mod registries;
mod report;
mod sources;

use std::time::Instant;

use lifeboat_capture::{Excludes, SkipSet, TreeBuilder};
use lifeboat_engine::Engine;
use lifeboat_plan::{
    app::{App, AppKind},
    bind::BindPolicy,
    discover::{Discovery, discover},
    identity::AppIdentity,
    inventory::{EngineFacts, Inventory},
    name::AppName,
    suggest,
};
use lifeboat_vault::{VaultError, Writer, WriterOptions, id::SnapshotId, node::Timestamp};

pub(crate) use commit::{definition_files, is_missed, program_version, summary};
pub(crate) use images::plain_file;
pub use registries::{Access, Registries};
pub use report::{ProtectOptions, Protected};

use self::{
    commit::PointParts,
    line::{identity, parent},
    passes::Passes,
    sources::data_sources,
};
use crate::{Context, RecoveryError, Result, selection};

/// The identity under which an app of this host stands in the vault.
pub(crate) fn identity_of(
    ctx: &Context,
    engine: &EngineFacts,
    app: &AppName,
) -> Result<AppIdentity> {
    identity(ctx, engine, app, &ProtectOptions::default())
}

/// A run that is stopped again and again is given up.
const AGAIN_IF_LOST: usize = 2;

/// Names of all apps of the engine that no label opts out, for `--all`.
pub fn app_names(engine: &dyn Engine) -> Result<Vec<String>> {
    let found = discover(&engine.inventory()?);
    Ok(found
        .apps
        .iter()
        .filter(|app| app.enabled)
        .map(|app| app.name.to_string())
        .collect())
}

/// Protects one app by name.
pub fn protect(ctx: &Context, app: &str, options: &ProtectOptions) -> Result<Protected> {
    again_if_lost(|| protect_app(ctx, app, options)).map_err(|e| ctx.or_interrupted(e))
}

/// Runs it again where what it rested on was pruned because its lock did not hold (it was stopped for too long): what is
/// gone is read and stored anew.
pub(crate) fn again_if_lost<T>(mut run: impl FnMut() -> Result<T>) -> Result<T> {
    let mut left = AGAIN_IF_LOST;
    loop {
        match run() {
            Err(RecoveryError::Vault(lost @ VaultError::ReuseLost(_))) if left > 0 => {
                tracing::warn!("{lost}: it is run again");
                left -= 1;
            }
            other => return other,
        }
    }
}

fn protect_app(ctx: &Context, app: &str, options: &ProtectOptions) -> Result<Protected> {
    let clock = Instant::now();
    let engine = ctx.engine()?;
    crate::near::refuse_far(engine.as_ref(), "a backup")?;
    let mut warnings = Vec::new();
    for name in freeze::reconcile_leftovers(ctx)? {
        warnings.push(format!(
            "{name} had been left frozen by a run that was killed; it was thawed"
        ));
    }
    ctx.progress.step("discover");
    let inventory = engine.inventory()?;
    let found = discover(&inventory);
    if let Some(why) = crate::restore::over::in_the_cut(ctx, app) {
        return Err(RecoveryError::Refused(why));
    }
    let app = find(&found, app)?;
    let skip = skip_set(ctx);
    let policy = BindPolicy {
        include: options.include_binds.iter().cloned().collect(),
        exclude: options.exclude_binds.iter().cloned().collect(),
        ..BindPolicy::for_free_space(ctx.vault.store().free_space())
    };
    let selection = selection::select(app, &policy, &skip);
    let excludes = Excludes::parse(
        options.excludes.iter().map(String::as_str),
        lifeboat_capture::Anchor::Source,
    )?;
    let sources = data_sources(&selection, &excludes);
    let identity = identity(ctx, &inventory.engine, &app.name, options)?;
    if options.dry_run {
        let (reader, here) = (ctx.vault.reader()?, engine.fingerprints()?);
        let take_over = options.take_over.is_some();
        // Refused as the backup itself would be.
        parent(&ctx.vault, &reader, &identity, &here, take_over)?;
        return Ok(report::dry_run(&identity, app, &selection, clock));
    }
    engine.prove_local(
        app.images
            .iter()
            .find(|i| !i.missing)
            .map(|i| i.id.as_str()),
    )?;
    ctx.progress.step("open-writer");
    let writer = ctx.vault.writer(WriterOptions {
        retry_lock: options.retry_lock,
        threads: crate::files::writer_threads(options.read_concurrency),
        ..WriterOptions::default()
    })?;
    let here = engine.fingerprints()?;
    let parent = parent(
        &ctx.vault,
        writer.reader(),
        &identity,
        &here,
        options.take_over.is_some(),
    )?;
    if options.take_over.is_some() {
        warnings.push(format!(
            "this point continues the line of {identity}; later backups do so only with --take-over again, or with `host = \"{}\"` in {}",
            identity.host,
            ctx.places.settings().display()
        ));
    }
    let began = jiff::Timestamp::now();
    let mut tree = TreeBuilder::new(timestamp(began));
    ctx.progress.step("images");
    let images = images::save_images(
        ctx,
        &writer,
        &mut tree,
        app,
        &inventory,
        parent.as_ref(),
        options.registries.as_ref(),
    )?;
    ctx.progress.step("layers");
    let layers = capture_layers(ctx, &writer, &mut tree, app, &inventory)?;
    ctx.progress.step("precopy");
    let mut passes = Passes::new(
        ctx,
        &writer,
        &sources,
        parent.as_ref(),
        &skip,
        options.one_file_system,
    )?;
    passes.threads = options.read_concurrency;
    passes.until_settled()?;
    let instant = instant::reach(
        ctx,
        app,
        &inventory,
        &sources,
        &mut passes,
        options.consistency,
    )?;
    warnings.extend(removed_meanwhile(engine.as_ref(), app)?);
    let passes_made = passes.made;
    let bytes_read = passes.bytes_read;
    let (taken, lost) = passes.finish();
    let parts = PointParts {
        identity: &identity,
        app,
        inventory: &inventory,
        fingerprints: here,
        selection: &selection,
        sources: &sources,
        taken,
        lost,
        images,
        layers,
        instant,
        passes_made,
        bytes_read,
        began,
        parent: parent.as_ref(),
        options,
    };
    ctx.progress.step("commit");
    let mut protected = commit::commit(ctx, writer, tree, parts, clock)?;
    protected.warnings.splice(0..0, warnings);
    ctx.progress.step("committed");
    Ok(protected)
}

/// The app with this name, or a sentence with the names that are near.
fn find<'a>(found: &'a Discovery, name: &str) -> Result<&'a App> {
    let app = found.find(name).map_err(|near| {
        RecoveryError::NotFound(format!(
            "there is no app named `{name}` on this engine{}; `lifeboat apps` lists them",
            suggest::sentence(&near)
        ))
    })?;
    if app.kind == AppKind::Copy {
        return Err(RecoveryError::Refused(format!(
            "`{name}` is a copy that `restore --as` made, and copies are never protected; back up the app that it was made from"
        )));
    }
    Ok(app)
}

/// A sentence for each container that is gone since the backup looked.
fn removed_meanwhile(engine: &dyn Engine, app: &App) -> Result<Vec<String>> {
    let mut gone = Vec::new();
    for container in &app.containers {
        match engine.inspect_container(&container.id) {
            Err(e) if e.is_not_found() => gone.push(format!(
                "{} was removed while the backup ran; the point holds it as it was at the beginning",
                container.name
            )),
            Err(e) => return Err(e.into()),
            Ok(_) => {}
        }
    }
    Ok(gone)
}

/// What no capture enters: vault, key and state, and what restores of ours keep beside the data.
pub(crate) fn skip_set(ctx: &Context) -> SkipSet {
    let mut skip = SkipSet::new();
    let places = [ctx.places.state.clone(), ctx.places.key()];
    let aside = crate::asides::paths(&ctx.places);
    for path in ctx.ours.iter().chain(&places).chain(&aside) {
        skip.insert(path);
    }
    skip
}

fn capture_layers(
    ctx: &Context,
    writer: &Writer,
    tree: &mut TreeBuilder,
    app: &App,
    inventory: &Inventory,
) -> Result<Vec<layers::LayerCapture>> {
    let engine = ctx.engine()?;
    let mut captured = Vec::new();
    for container in inventory
        .containers
        .iter()
        .filter(|c| app.container(&c.id).is_some())
    {
        ctx.stop_if_cancelled()?;
        captured.push(layers::capture_layer(
            engine.as_ref(),
            writer,
            tree,
            container,
        )?);
    }
    Ok(captured)
}

pub(crate) fn timestamp(time: jiff::Timestamp) -> Timestamp {
    Timestamp::from_nanos(time.as_nanosecond())
}

/// The id of the point that a new one reuses, for the snapshot.
fn parent_id(parent: Option<&line::ParentPoint>) -> Option<SnapshotId> {
    parent.map(|p| p.id)
}
