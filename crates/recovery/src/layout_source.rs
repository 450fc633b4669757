//! The image layout of a recovery point, as the images crate reads it.

use std::io::{self, Read};

use lifeboat_images::LayoutSource;
use lifeboat_plan::manifest::layout;
use lifeboat_vault::{FileReader, Reader, id::BlobId, node::NodeKind};

use crate::Context;

/// `images/` of a recovery point.
pub struct VaultLayout<'r> {
    reader: &'r Reader,
    root: BlobId,
    /// Where in the point it lies, with a slash behind it.
    below: String,
    watched: Option<&'r Context>,
}

impl<'r> VaultLayout<'r> {
    /// Of the point with this root tree.
    pub fn new(reader: &'r Reader, root: BlobId) -> Self {
        Self {
            reader,
            root,
            below: format!("{}/", layout::IMAGES),
            watched: None,
        }
    }

    /// Of a registry's point: the layout is its root.
    pub fn of_registry(reader: &'r Reader, root: BlobId) -> Self {
        Self {
            below: String::new(),
            ..Self::new(reader, root)
        }
    }

    /// The same, telling how far it is read, and ending when it is cancelled.
    pub fn watched(self, ctx: &'r Context) -> Self {
        Self {
            watched: Some(ctx),
            ..self
        }
    }
}

impl LayoutSource for VaultLayout<'_> {
    fn open(&self, path: &str) -> io::Result<(Box<dyn Read + '_>, u64)> {
        let place = format!("{}{path}", self.below);
        let parts: Vec<&[u8]> = place.split('/').map(str::as_bytes).collect();
        let node = self
            .reader
            .lookup(self.root, &parts)
            .map_err(io::Error::other)?
            .ok_or_else(|| {
                io::Error::new(
                    io::ErrorKind::NotFound,
                    format!("{place} is not in the recovery point"),
                )
            })?;
        let NodeKind::File { size, .. } = node.kind else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("{place} is no file"),
            ));
        };
        let file = self.reader.file(&node).map_err(io::Error::other)?;
        Ok(match self.watched {
            None => (Box::new(file), size),
            Some(ctx) => (Box::new(Watched { file, ctx }), size),
        })
    }
}

/// Tells how much was read.
struct Watched<'r> {
    file: FileReader,
    ctx: &'r Context,
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ctx.cancel.is_cancelled() {
            return Err(io::Error::other("interrupted"));
        }
        let read = self.file.read(buffer)?;
        self.ctx.progress.advance(0, read as u64);
        Ok(read)
    }
}
