//! Manifests and blobs of a registry, as files of a recovery point.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
};

use lifeboat_images::{
    Algorithm, BlobWriter, Digest,
    registry::{BlobSource, BlobStore},
};
use lifeboat_vault::{
    BlobKind, ChunkPolicy, FileWriter, Reader, Writer,
    id::BlobId,
    node::{Node, NodeKind, Timestamp},
};
use parking_lot::Mutex;

use crate::{Context, Result, protect::plain_file};

/// The files of `blobs/` below a root tree, by digest; without those of which something is gone.
pub fn files(reader: &Reader, root: BlobId) -> Result<BTreeMap<Digest, Node>> {
    let mut found = BTreeMap::new();
    for algorithm in Algorithm::ALL {
        let name = algorithm.name();
        let folder = reader.lookup(root, &[b"blobs", name.as_bytes()])?;
        let Some(NodeKind::Dir { subtree }) = folder.map(|folder| folder.kind) else {
            continue;
        };
        for node in reader.tree(subtree)?.nodes {
            let hex = String::from_utf8_lossy(&node.name).into_owned();
            let Ok(digest) = format!("{name}:{hex}").parse::<Digest>() else {
                continue;
            };
            let NodeKind::File { content, .. } = &node.kind else {
                continue;
            };
            if content.iter().all(|id| reader.has(BlobKind::Data, *id)) {
                found.insert(digest, node);
            }
        }
    }
    Ok(found)
}

/// Bytes of a file.
pub fn size(node: &Node) -> u64 {
    match node.kind {
        NodeKind::File { size, .. } => size,
        _ => 0,
    }
}

/// Takes blobs into the vault: each is cut on its way. What the point before holds is taken over.
pub struct VaultBlobs<'w> {
    ctx: &'w Context,
    writer: &'w Writer,
    time: Timestamp,
    known: BTreeMap<Digest, Node>,
    fresh: Mutex<BTreeMap<Digest, Node>>,
}

impl<'w> VaultBlobs<'w> {
    pub fn new(
        ctx: &'w Context,
        writer: &'w Writer,
        time: Timestamp,
        known: BTreeMap<Digest, Node>,
    ) -> Self {
        Self {
            ctx,
            writer,
            time,
            known,
            fresh: Mutex::default(),
        }
    }

    /// The file of a digest, and whether it was written by this run.
    pub fn node(&self, digest: &Digest) -> Option<(Node, bool)> {
        let fresh = self.fresh.lock().get(digest).cloned();
        fresh
            .map(|node| (node, true))
            .or_else(|| Some((self.known.get(digest)?.clone(), false)))
    }
}

impl BlobStore for VaultBlobs<'_> {
    fn has(&self, digest: &Digest) -> bool {
        self.known.contains_key(digest) || self.fresh.lock().contains_key(digest)
    }

    fn begin(&self, size: u64) -> io::Result<Box<dyn BlobWriter + '_>> {
        Ok(Box::new(Blob {
            file: self.writer.file(ChunkPolicy::CONTENT, size),
            blobs: self,
        }))
    }

    fn expect(&self, blobs: usize, bytes: u64) {
        self.ctx.progress.expect(blobs as u64, bytes);
    }
}

struct Blob<'b> {
    file: FileWriter<'b>,
    blobs: &'b VaultBlobs<'b>,
}

impl Write for Blob<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes).map_err(io::Error::other)?;
        self.blobs.ctx.progress.advance(0, bytes.len() as u64);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl BlobWriter for Blob<'_> {
    fn finish(self: Box<Self>, digest: &Digest, size: u64) -> io::Result<()> {
        let Self { file, blobs } = *self;
        let saved = file.finish().map_err(io::Error::other)?;
        if saved.size != size {
            let why = format!("{digest} has {} bytes, not {size}", saved.size);
            return Err(io::Error::other(why));
        }
        blobs.ctx.progress.advance(1, 0);
        let node = plain_file(saved, blobs.time);
        blobs.fresh.lock().insert(digest.clone(), node);
        Ok(())
    }
}

/// Gives the blobs of a point.
pub struct PointBlobs<'r> {
    pub ctx: &'r Context,
    pub reader: &'r Reader,
    pub files: BTreeMap<Digest, Node>,
}

impl BlobSource for PointBlobs<'_> {
    fn open(&self, digest: &Digest) -> io::Result<Option<Box<dyn Read + '_>>> {
        let Some(node) = self.files.get(digest) else {
            return Ok(None);
        };
        let file = self.reader.file(node).map_err(io::Error::other)?;
        Ok(Some(Box::new(Told {
            file,
            ctx: self.ctx,
        })))
    }

    fn expect(&self, blobs: usize, bytes: u64) {
        self.ctx.progress.expect(blobs as u64, bytes);
    }
}

/// Tells how much was read.
struct Told<'r, R> {
    file: R,
    ctx: &'r Context,
}

impl<R: Read> Read for Told<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read(buffer)?;
        self.ctx.progress.advance(0, read as u64);
        Ok(read)
    }
}
