//! An image that the engine does not have: from the registry that it came from, by digest; else from the newest point of
//! its app that holds it; else from any point, of an app or of a registry.

use std::fmt;

use lifeboat_engine::Engine;
use lifeboat_images::{
    DirectoryLayout, LayoutImage, LayoutSource, Wanted, image_from_registry, image_in_layout, load,
    registry::ImageReference, set_tags,
};
use lifeboat_plan::identity::{AppIdentity, RegistryIdentity};
use lifeboat_vault::{Reader, Snapshot, SnapshotId};

use super::definitions::{is_away, newest_first};
use crate::{
    Context, RecoveryError, Result, layout_source::VaultLayout, points, protect::Registries,
    registry,
};

/// The image that is wanted.
#[derive(Debug, Clone)]
pub struct Missing {
    /// Its id on the engine.
    pub id: String,
    /// The name that the container was made from.
    pub reference: String,
    /// `name@sha256:…` that registries serve it under, as far as they are known.
    pub digests: Vec<String>,
}

/// Where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum From {
    /// It was there.
    Engine,
    /// A registry, by this name.
    Registry(String),
    /// A recovery point.
    Point(SnapshotId),
}

impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Engine => f.write_str("it was there"),
            Self::Registry(name) => write!(f, "from the registry, as {name}"),
            Self::Point(id) => write!(f, "from the recovery point {}", id.short()),
        }
    }
}

/// Brings it onto the engine, under the name that it had there.
///
/// # Errors
/// It is nowhere; each place says why.
pub fn bring(
    ctx: &Context,
    app: &AppIdentity,
    missing: &Missing,
    registries: Option<&Registries>,
) -> Result<From> {
    let engine = ctx.engine()?.as_ref();
    match engine.inspect_image(&missing.id) {
        Ok(_) => return Ok(From::Engine),
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error.into()),
    }
    ctx.progress.step("bring-image");
    let mut reasons = Vec::new();
    if let Some(registries) = registries {
        for name in missing.digests.iter().chain([&missing.reference]) {
            match from_registry(ctx, engine, registries, missing, name) {
                Ok(true) => return Ok(From::Registry(name.clone())),
                Ok(false) => {}
                Err(why) => reasons.push(why.to_string()),
            }
            ctx.stop_if_cancelled()?;
        }
    }
    if let Some(id) = from_vault(ctx, engine, app, missing, &mut reasons)? {
        return Ok(From::Point(id));
    }
    let why = match reasons.is_empty() {
        true => String::new(),
        false => format!(" ({})", reasons.join("; ")),
    };
    Err(RecoveryError::NotFound(format!(
        "image {} is neither on the engine nor in its registry nor in a recovery point of this vault{why}; pull or build it, and it is used",
        missing.reference
    )))
}

/// `false`: the registry has it no more, or the name has no digest to ask by. A tag may be of another image by now.
fn from_registry(
    ctx: &Context,
    engine: &dyn Engine,
    registries: &Registries,
    missing: &Missing,
    name: &str,
) -> Result<bool> {
    let Some(reference) = ImageReference::parse(name).filter(|r| r.digest.is_some()) else {
        return Ok(false);
    };
    let client = registries
        .client(&reference.host, &ctx.cancel)
        .map_err(RecoveryError::Failed)?;
    // What an interrupted pull left is of no use: it is cheap to begin anew, and nothing names it.
    let folder = ctx.places.state.join("pull").join(short(&missing.id));
    if folder.exists() {
        fs_err::remove_dir_all(&folder)?;
    }
    fs_err::create_dir_all(&folder)?;
    let mut layout = DirectoryLayout::new(&folder);
    let wanted = Wanted {
        id: missing.id.clone(),
        tags: Vec::new(),
    };
    let pulled = image_from_registry(&client, &reference, &wanted, &mut layout);
    let taken = pulled
        .map_err(RecoveryError::from)
        .and_then(|image| match image {
            Some(image) => put(engine, &layout, &image, missing).map(|()| true),
            None => Ok(false),
        });
    fs_err::remove_dir_all(&folder)?;
    taken
}

fn short(id: &str) -> String {
    let plain = id.chars().filter(char::is_ascii_alphanumeric);
    plain.take(20).collect()
}

/// Loads it, and gives it its name where no other image has that.
fn put(
    engine: &dyn Engine,
    source: &dyn LayoutSource,
    image: &LayoutImage,
    missing: &Missing,
) -> Result<()> {
    let loaded = load(engine, source, &[image])?;
    let is_name = missing.reference != missing.id
        && ImageReference::parse(&missing.reference).is_some_and(|r| r.digest.is_none());
    if let Some(here) = loaded.first().filter(|_| is_name) {
        set_tags(engine, &here.id, std::slice::from_ref(&missing.reference))?;
    }
    Ok(())
}

/// The newest point of the app that has it first, then those of other apps, then those of registries.
fn from_vault(
    ctx: &Context,
    engine: &dyn Engine,
    app: &AppIdentity,
    missing: &Missing,
    reasons: &mut Vec<String>,
) -> Result<Option<SnapshotId>> {
    let snapshots = ctx.vault.snapshots()?.found;
    let reader = ctx.vault.reader()?;
    let own = app.snapshot_path();
    let is_own = |s: &Snapshot| s.paths == [own.as_str()];
    let is_app = |s: &Snapshot| AppIdentity::from_snapshot_paths(&s.paths).is_some();
    let is_registry = |s: &Snapshot| RegistryIdentity::from_snapshot_paths(&s.paths).is_some();
    let of = |is_it: &dyn Fn(&Snapshot) -> bool| -> Vec<&(SnapshotId, Snapshot)> {
        newest_first(snapshots.iter().filter(|(_, s)| is_it(s))).collect()
    };
    let mut all = of(&is_own);
    all.extend(of(&|s| is_app(s) && !is_own(s)));
    all.extend(of(&is_registry));
    for (id, snapshot) in all {
        ctx.stop_if_cancelled()?;
        let taken = match is_registry(snapshot) {
            true => from_registrys_point(ctx, engine, &reader, snapshot, missing),
            false => from_point(ctx, engine, &reader, snapshot, missing),
        };
        match taken {
            Ok(true) => return Ok(Some(*id)),
            Ok(false) => {}
            Err(RecoveryError::Vault(error)) if is_away(&error) => return Err(error.into()),
            // Damaged, perhaps; an older one may hold it whole.
            Err(why) => reasons.push(format!("point {}: {why}", id.short())),
        }
    }
    Ok(None)
}

fn from_point(
    ctx: &Context,
    engine: &dyn Engine,
    reader: &Reader,
    snapshot: &Snapshot,
    missing: &Missing,
) -> Result<bool> {
    let Some(manifest) = points::manifest_from(reader, snapshot)? else {
        return Ok(false);
    };
    let is_it = |image: &&lifeboat_plan::manifest::ImageRecord| {
        image.id == missing.id
            || image.config_digest == missing.id
            || image.manifest_digest.as_ref() == Some(&missing.id)
    };
    let (Some(record), Some(root)) = (manifest.images.iter().find(is_it), snapshot.tree) else {
        return Ok(false);
    };
    let source = VaultLayout::new(reader, root);
    let layout = lifeboat_images::Layout::read(&source)?;
    let image = layout
        .find(&record.id)
        .or_else(|| layout.find(&record.config_digest));
    match image {
        Some(image) => put(engine, &source.watched(ctx), image, missing).map(|()| true),
        None => Ok(false),
    }
}

/// A registry's point holds an image under each digest that the registry served.
fn from_registrys_point(
    ctx: &Context,
    engine: &dyn Engine,
    reader: &Reader,
    snapshot: &Snapshot,
    missing: &Missing,
) -> Result<bool> {
    let Some(root) = snapshot.tree else {
        return Ok(false);
    };
    let record = registry::record(reader, snapshot)?;
    let source = VaultLayout::of_registry(reader, root);
    for top in candidates(&record, missing) {
        if let Some(image) = image_in_layout(&source, &top, &missing.id)? {
            return put(engine, &source.watched(ctx), &image, missing).map(|()| true);
        }
    }
    Ok(false)
}

/// Manifests that may lead to it: by the digest that it was pulled by, else by what its name pointed to.
fn candidates(
    record: &lifeboat_images::registry::RegistryRecord,
    missing: &Missing,
) -> Vec<lifeboat_images::Digest> {
    let names = missing.digests.iter().chain([&missing.reference]);
    let mut found = Vec::new();
    for name in names.filter_map(|name| ImageReference::parse(name)) {
        for (repository, held) in &record.repositories {
            if let Some(digest) = name
                .digest
                .as_ref()
                .filter(|d| held.manifests.contains_key(d))
            {
                found.push(digest.clone());
            } else if *repository == name.repository
                && let Some(digest) = name.tag.as_ref().and_then(|tag| held.tags.get(tag))
            {
                found.push(digest.clone());
            }
        }
    }
    found
}
