//! The app's images into the point, as an OCI layout. What the point before holds is neither read
//! from the engine nor stored again.
//!
//! An image that the engine does not keep as it was served (graph drivers unpack layers) comes from its
//! registry where the digest still answers there, else from the engine ([ADR 25]). Images that come from
//! the engine come in one stream, since layers that they share are in it once.
//!
//! [ADR 25]: ../../../../docs/adr/0025-images-from-registry-or-engine.md

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use lifeboat_capture::TreeBuilder;
use lifeboat_images::{
    BlobWriter, Digest, Layout, LayoutBuilder, LayoutSink, Wanted, registry::ImageReference,
};
use lifeboat_plan::{
    app::App,
    inventory::Inventory,
    manifest::{ImageRecord, LeftOut, LeftOutKind, layout},
};
use lifeboat_vault::{
    ChunkPolicy, FileWriter, Reader, SavedFile, Writer,
    node::{Metadata, Node, NodeKind, Timestamp},
};

use super::{line::ParentPoint, registries::Registries};
use crate::{Context, Result, layout_source::VaultLayout};

/// What became of the images.
#[derive(Default)]
pub struct SavedImages {
    /// For the manifest.
    pub records: Vec<ImageRecord>,
    /// Images that are not in the point.
    pub left_out: Vec<LeftOut>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// Saves the images of an app below `images/` of `tree`.
pub fn save_images(
    ctx: &Context,
    writer: &Writer,
    tree: &mut TreeBuilder,
    app: &App,
    inventory: &Inventory,
    parent: Option<&ParentPoint>,
    registries: Option<&Registries>,
) -> Result<SavedImages> {
    let mut saved = SavedImages::default();
    for image in app.images.iter().filter(|i| i.missing) {
        saved.left_out.push(LeftOut {
            kind: LeftOutKind::Image,
            what: image.references.first().unwrap_or(&image.id).clone(),
            reason: "the engine has this image no more, although a container was made of it"
                .to_owned(),
            bytes: None,
            decided: false,
        });
    }
    let wanted: Vec<Wanted> = app
        .images
        .iter()
        .filter(|i| !i.missing)
        .map(|i| Wanted {
            id: i.id.clone(),
            tags: i.tags.clone(),
        })
        .collect();
    if wanted.is_empty() {
        return Ok(saved);
    }
    let known = parent.and_then(|p| known_layout(writer.reader(), p));
    let mut sink = VaultSink {
        ctx,
        writer,
        time: super::timestamp(jiff::Timestamp::now()),
        known: BTreeMap::new(),
        files: BTreeMap::new(),
    };
    let mut served: BTreeMap<String, String> = BTreeMap::new();
    let layout = {
        let (reused, mut fresh) = split(&wanted, known.as_ref());
        // A new version of an image has layers of the old one.
        for blob in known.iter().flat_map(|k| &k.images).flat_map(|i| &i.blobs) {
            let path = blob.digest.path();
            if let Some(node) = parent.and_then(|p| node_of(writer.reader(), p, &path)) {
                sink.known.insert(path, node);
            }
        }
        let mut builder = LayoutBuilder::new(&mut sink);
        reused
            .into_iter()
            .for_each(|image| builder.add_known(image));
        if let Some(registries) = registries.filter(|_| !fresh.is_empty()) {
            ctx.progress.step("fetch-images");
            let mut left = Vec::new();
            for image in fresh {
                match fetch(ctx, registries, &mut builder, app, &image) {
                    Ok(Some(reference)) => drop(served.insert(image.id, reference)),
                    Ok(None) => left.push(image),
                    Err(why) => {
                        ctx.stop_if_cancelled()?;
                        saved.warnings.push(format!(
                            "image {} is taken from the engine, so it cannot be served from the vault under the digest that its registry has: {why}",
                            image.tags.first().unwrap_or(&image.id)
                        ));
                        left.push(image);
                    }
                }
            }
            fresh = left;
        }
        if !fresh.is_empty() {
            ctx.progress.step("save-images");
            let size = |w: &Wanted| {
                app.images
                    .iter()
                    .find(|i| i.id == w.id)
                    .map_or(0, |i| i.size)
            };
            ctx.progress.expect(0, fresh.iter().map(size).sum());
            builder.add_from_engine(ctx.engine()?.as_ref(), &fresh)?;
        }
        builder.finish()?
    };
    for (path, node) in sink.into_files(&layout) {
        tree.insert(format!("{}/{path}", layout::IMAGES), node)?;
    }
    for image in app.images.iter().filter(|i| !i.missing) {
        let Some(in_layout) = layout.find(&image.id) else {
            continue;
        };
        let raw = inventory.images.iter().find(|i| i.id == image.id);
        saved.records.push(ImageRecord {
            id: image.id.clone(),
            config_digest: in_layout.config.to_string(),
            manifest_digest: in_layout.manifest().map(|digest| digest.to_string()),
            tags: image.tags.clone(),
            repo_digests: image.repo_digests.clone(),
            size: raw.map_or(image.size, |raw| raw.size),
            from_registry: served
                .remove(&image.id)
                .or_else(|| before(parent, &image.id)),
        });
    }
    Ok(saved)
}

/// Where the point before has an image from.
fn before(parent: Option<&ParentPoint>, id: &str) -> Option<String> {
    let images = &parent?.manifest.images;
    images
        .iter()
        .find(|i| i.id == id)
        .and_then(|i| i.from_registry.clone())
}

/// Brings an image from the first registry that has it under a digest that the engine knows, and gives that name back.
/// `None` where the engine keeps it as it was served, where it never came from a registry, or where no registry has it
/// any more. `Err` says why a registry could not be asked.
fn fetch(
    ctx: &Context,
    registries: &Registries,
    builder: &mut LayoutBuilder<'_>,
    app: &App,
    image: &Wanted,
) -> std::result::Result<Option<String>, String> {
    let known = app.images.iter().find(|i| i.id == image.id);
    let digests = known.map(|i| i.repo_digests.as_slice()).unwrap_or_default();
    if digests.iter().any(|d| d.ends_with(&image.id)) {
        return Ok(None);
    }
    let mut failed = None;
    for name in digests {
        let Some(reference) = ImageReference::parse(name) else {
            continue;
        };
        if !registries.is_one(&reference.host) {
            continue;
        }
        let client = registries.client(&reference.host, &ctx.cancel);
        let fetched = client.and_then(|client| {
            builder
                .add_from_registry(&client, &reference, image)
                .map_err(|e| e.to_string())
        });
        match fetched {
            Ok(true) => return Ok(Some(name.clone())),
            Ok(false) => {}
            Err(why) => failed = Some(why),
        }
    }
    failed.map_or(Ok(None), Err)
}

/// Images that the parent's layout holds whole, under today's tags; and the others.
fn split(
    wanted: &[Wanted],
    known: Option<&Layout>,
) -> (Vec<lifeboat_images::LayoutImage>, Vec<Wanted>) {
    let (mut reused, mut fresh) = (Vec::new(), Vec::new());
    for image in wanted {
        match known.and_then(|layout| layout.find(&image.id)) {
            Some(found) => {
                let mut found = found.clone();
                found.tags.clone_from(&image.tags);
                reused.push(found);
            }
            None => fresh.push(image.clone()),
        }
    }
    (reused, fresh)
}

/// The parent's layout, if every blob of it is there. A damaged one is as good as none.
fn known_layout(reader: &Reader, parent: &ParentPoint) -> Option<Layout> {
    let layout = Layout::read(&VaultLayout::new(reader, parent.root)).ok()?;
    let whole = layout
        .images
        .iter()
        .flat_map(|image| &image.blobs)
        .all(|blob| node_of(reader, parent, &blob.digest.path()).is_some());
    whole.then_some(layout)
}

fn node_of(reader: &Reader, parent: &ParentPoint, path: &str) -> Option<Node> {
    let place = format!("{}/{path}", layout::IMAGES);
    let parts: Vec<&[u8]> = place.split('/').map(str::as_bytes).collect();
    let node = reader.lookup(parent.root, &parts).ok()??;
    let NodeKind::File { content, .. } = &node.kind else {
        return None;
    };
    content
        .iter()
        .all(|id| reader.has(lifeboat_vault::BlobKind::Data, *id))
        .then_some(node)
}

/// A file that exists nowhere else: everybody may read it, and it is root's.
pub(crate) fn plain_file(saved: SavedFile, time: Timestamp) -> Node {
    let meta = Metadata {
        mode: 0o644,
        mtime: time,
        atime: time,
        ctime: time,
        user: "root".to_owned(),
        group: "root".to_owned(),
        links: 1,
        ..Metadata::default()
    };
    let kind = NodeKind::File {
        size: saved.size,
        content: saved.content,
    };
    Node {
        name: Vec::new(),
        kind,
        meta,
    }
}

/// Takes a layout into the vault: each file is chunked on its way.
struct VaultSink<'w> {
    /// Who is told, and who may stop it.
    ctx: &'w Context,
    writer: &'w Writer,
    time: Timestamp,
    /// Blobs of the point before.
    known: BTreeMap<String, Node>,
    /// Files of this layout by path.
    files: BTreeMap<String, Node>,
}

impl VaultSink<'_> {
    /// The files of this layout: what was written, and of the known ones what it names.
    fn into_files(mut self, layout: &Layout) -> BTreeMap<String, Node> {
        for blob in layout.images.iter().flat_map(|image| &image.blobs) {
            let path = blob.digest.path();
            if let Some(node) = self.known.remove(&path) {
                self.files.entry(path).or_insert(node);
            }
        }
        self.files
    }
}

impl LayoutSink for VaultSink<'_> {
    fn has_blob(&mut self, digest: &Digest) -> io::Result<bool> {
        let path = digest.path();
        Ok(self.known.contains_key(&path) || self.files.contains_key(&path))
    }

    fn begin_blob(&mut self) -> io::Result<Box<dyn BlobWriter + '_>> {
        let file = self.writer.file(ChunkPolicy::CONTENT, 0);
        Ok(Box::new(VaultBlob { file, sink: self }))
    }

    fn put_file(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        let mut file = self.writer.file(ChunkPolicy::CONTENT, bytes.len() as u64);
        file.write(bytes).map_err(io::Error::other)?;
        let saved = file.finish().map_err(io::Error::other)?;
        let node = plain_file(saved, self.time);
        self.files.insert(path.to_owned(), node);
        Ok(())
    }
}

struct VaultBlob<'s, 'w> {
    file: FileWriter<'w>,
    sink: &'s mut VaultSink<'w>,
}

impl Write for VaultBlob<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.sink.ctx.cancel.is_cancelled() {
            return Err(io::Error::other("interrupted"));
        }
        self.sink.ctx.progress.advance(0, bytes.len() as u64);
        self.file.write(bytes).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BlobWriter for VaultBlob<'_, '_> {
    fn finish(self: Box<Self>, digest: &Digest, size: u64) -> io::Result<()> {
        let Self { file, sink } = *self;
        let saved = file.finish().map_err(io::Error::other)?;
        if saved.size != size {
            return Err(io::Error::other(format!(
                "{digest} ended after {} of {size} bytes",
                saved.size
            )));
        }
        let node = plain_file(saved, sink.time);
        sink.files.insert(digest.path(), node);
        Ok(())
    }
}
