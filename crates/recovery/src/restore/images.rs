//! The point's images onto the engine: loaded without tags, tagged only where that takes nothing
//! from another image.

use std::collections::BTreeMap;

use lifeboat_engine::Engine;
use lifeboat_images::{Layout, LayoutImage, TagOutcome, load, set_tags};
use lifeboat_vault::Reader;

use super::{point::OpenPoint, step::Work};
use crate::{Context, Result, layout_source::VaultLayout};

/// What became of the images.
#[derive(Default)]
pub struct RestoredImages {
    /// Image id at the point to image id here.
    pub ids: BTreeMap<String, String>,
    /// Images that a container needs and that are nowhere.
    pub incomplete: Vec<String>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// Loads what the engine does not have.
pub fn restore_images(
    ctx: &Context,
    engine: &dyn Engine,
    reader: &Reader,
    point: &OpenPoint,
) -> Result<RestoredImages> {
    let mut restored = RestoredImages::default();
    if point.manifest.images.is_empty() {
        return Ok(restored);
    }
    ctx.progress.step("restore-images");
    let source = VaultLayout::new(reader, point.root);
    let layout = Layout::read(&source)?;
    let mut wanted: Vec<(&str, &LayoutImage)> = Vec::new();
    for record in &point.manifest.images {
        match layout
            .find(&record.id)
            .or_else(|| layout.find(&record.config_digest))
        {
            Some(image) => wanted.push((&record.id, image)),
            None => restored.incomplete.push(format!(
                "image {} is named in app.json and missing from the point",
                record.tags.first().unwrap_or(&record.id)
            )),
        }
    }
    let images: Vec<&LayoutImage> = wanted.iter().map(|(_, image)| *image).collect();
    ctx.progress
        .expect(0, images.iter().map(|image| image.size()).sum());
    // All of them are one stream, so none has a time of its own.
    let loaded = load(engine, &source.watched(ctx), &images)?;
    for (id, image) in wanted {
        let Some(here) = loaded.iter().find(|l| l.config == image.config) else {
            continue;
        };
        restored.ids.insert(id.to_owned(), here.id.clone());
        let record = point.manifest.images.iter().find(|r| r.id == id);
        let tags = record.map(|r| r.tags.clone()).unwrap_or_default();
        for outcome in set_tags(engine, &here.id, &tags)? {
            if let TagOutcome::Conflict { tag, present, .. } = outcome {
                restored.warnings.push(format!(
                    "tag {tag} names another image here ({present}) and was left there; the app runs from its own image by id"
                ));
            }
        }
    }
    ctx.done_together(Work::Image);
    Ok(restored)
}
