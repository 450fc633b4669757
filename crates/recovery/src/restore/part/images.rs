//! `restore --images`: a point's images onto the engine, and nothing else. Nothing is journaled:
//! an engine takes an image whole or not at all, and one that is there is not loaded again.

use lifeboat_vault::{id::SnapshotId, snapshot::Snapshot};
use serde::Serialize;

use super::told::Told;
use crate::{
    Context, Result,
    restore::{
        Way, images::restore_images, kept, obstacles::foreign, planning, point::OpenPoint,
        report::Stopwatch,
    },
};

/// One image of a point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ImageLine {
    /// Its tags, or its id.
    pub name: String,
    /// Id at the point.
    pub id: String,
    /// Bytes on the engine.
    pub size: u64,
    /// It is on the engine already.
    pub is_there: bool,
}

/// What will come of the images, or did.
#[derive(Debug, Clone, Serialize)]
pub struct Images {
    /// `site/host/app`.
    pub app: String,
    /// The point.
    pub id: SnapshotId,
    /// Its images, and whether they were there before.
    pub images: Vec<ImageLine>,
    /// Steps and times.
    #[serde(flatten)]
    pub told: Told,
    /// Nothing stands in the way of an image.
    pub obstacles: [String; 0],
    /// What is missing. Not empty: exit code 3.
    pub incomplete: Vec<String>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// Looks, and with `run` loads what the engine does not have.
pub fn images(ctx: &Context, id: SnapshotId, snapshot: &Snapshot, run: bool) -> Result<Images> {
    let mut watch = Stopwatch::start();
    let engine = ctx.engine()?.as_ref();
    let reader = ctx.vault.reader()?;
    let point = OpenPoint::open(&reader, id, snapshot, engine.api())?;
    let here = engine.inventory()?;
    let app = point.manifest.identity.to_string();
    let line = |image: &lifeboat_plan::manifest::ImageRecord| ImageLine {
        name: if image.tags.is_empty() {
            image.id.clone()
        } else {
            image.tags.join(", ")
        },
        id: image.id.clone(),
        size: image.size,
        is_there: here.images.iter().any(|i| i.id == image.id),
    };
    let steps = point.manifest.images.iter();
    let steps = steps.map(|i| planning::image(i, &here)).collect();
    let mut done = Images {
        told: Told::ahead(ctx, &app, Way::Images, steps),
        obstacles: [],
        images: point.manifest.images.iter().map(line).collect(),
        app,
        id,
        incomplete: Vec::new(),
        warnings: Vec::new(),
    };
    for (architecture, images) in foreign(&point.definitions, &point.manifest, &here.engine) {
        done.warnings.push(format!(
            "{} is for {architecture}, this engine is {}: it is loaded, and runs nothing here",
            images.join(", "),
            here.engine.architecture
        ));
    }
    if run {
        let ctx = &ctx.following(&done.told.steps);
        watch.split("plan");
        let restored = restore_images(ctx, engine, &reader, &point);
        let restored = restored.map_err(|e| ctx.or_interrupted(e))?;
        watch.split("images");
        done.incomplete = restored.incomplete;
        done.warnings.extend(restored.warnings);
        let whole = done.incomplete.is_empty();
        done.told.ended(ctx, &done.app, &watch, whole);
        kept::keep(ctx, &done.app, &done);
    }
    Ok(done)
}
