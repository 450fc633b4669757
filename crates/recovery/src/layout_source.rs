//! The image layout of a recovery point, as the images crate reads it.

use std::io::{self, Read};

use lifeboat_images::LayoutSource;
use lifeboat_plan::manifest::layout;
use lifeboat_vault::{Reader, id::BlobId, node::NodeKind};

/// `images/` of a recovery point.
pub struct VaultLayout<'r> {
    reader: &'r Reader,
    root: BlobId,
}

impl<'r> VaultLayout<'r> {
    /// Of the point with this root tree.
    pub fn new(reader: &'r Reader, root: BlobId) -> Self {
        Self { reader, root }
    }
}

impl LayoutSource for VaultLayout<'_> {
    fn open(&self, path: &str) -> io::Result<(Box<dyn Read + '_>, u64)> {
        let place = format!("{}/{path}", layout::IMAGES);
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
        Ok((
            Box::new(self.reader.file(&node).map_err(io::Error::other)?),
            size,
        ))
    }
}
