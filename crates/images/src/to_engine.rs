//! From a layout into an engine: the stream that `docker load` takes, and tags afterwards.
//!
//! The stream carries no tags, because `load` **moves** tags, also away from a newer image. Every blob is
//! hashed while it goes out; on a mismatch the stream breaks off before its end, and the engine takes
//! nothing of it.

use std::collections::{BTreeSet, VecDeque};
use std::io::{self, Read};

use lifeboat_engine::Engine;
use serde_json::Value;

use crate::layout::oci_layout;
use crate::{Digest, Error, Hasher, Layout, LayoutImage, LayoutSource, Result};

const BLOCK: usize = 512;

/// An image that is on the engine now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// Its config in the layout.
    pub config: Digest,
    /// Its id on this engine: another one than it was where the store is of another kind.
    pub id: String,
    /// It was there before.
    pub was_there: bool,
}

/// Brings images into an engine, those that it does not have, without touching any tag.
///
/// # Errors
/// A blob is missing or damaged, or the engine refuses; then none of them was loaded by this call.
pub fn load(
    engine: &dyn Engine,
    source: &dyn LayoutSource,
    images: &[&LayoutImage],
) -> Result<Vec<Loaded>> {
    let mut missing: Vec<&LayoutImage> = Vec::new();
    let mut was_there = Vec::new();
    for image in images {
        let found = find_on(engine, image)?.is_some();
        was_there.push(found);
        if !found && !missing.iter().any(|other| other.config == image.config) {
            missing.push(image);
        }
    }
    if !missing.is_empty() {
        let said = engine.load_images(&mut LoadStream::new(source, &missing)?)?;
        tracing::debug!(?said, "images loaded");
    }
    let mut out = Vec::new();
    for (image, was_there) in images.iter().zip(was_there) {
        let id =
            find_on(engine, image)?.ok_or_else(|| Error::NotLoaded(image.config.to_string()))?;
        out.push(Loaded {
            config: image.config.clone(),
            id,
            was_there,
        });
    }
    Ok(out)
}

/// The image's id on this engine: its config's digest with graph drivers, its manifest's (or index's)
/// with containerd's store.
fn find_on(engine: &dyn Engine, image: &LayoutImage) -> Result<Option<String>> {
    for digest in image.manifest().iter().chain([&image.config]) {
        match engine.inspect_image(&digest.to_string()) {
            Ok(raw) => return Ok(raw["Id"].as_str().map(str::to_owned)),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// What became of a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagOutcome {
    /// It was absent and names the image now.
    Set(String),
    /// It named the image already.
    AlreadyRight(String),
    /// It names another image, and was left alone.
    Conflict {
        /// The tag.
        tag: String,
        /// The id of the image that it names.
        present: String,
        /// The id of the image that it would have named.
        wanted: String,
    },
}

/// Gives an image its tags, where no other image has them.
///
/// # Errors
/// The engine refuses.
pub fn set_tags(engine: &dyn Engine, id: &str, tags: &[String]) -> Result<Vec<TagOutcome>> {
    let mut out = Vec::new();
    for tag in tags {
        let outcome = match engine.inspect_image(tag) {
            Ok(raw) if raw["Id"] == id => TagOutcome::AlreadyRight(tag.clone()),
            Ok(raw) => TagOutcome::Conflict {
                tag: tag.clone(),
                present: raw["Id"].as_str().unwrap_or_default().to_owned(),
                wanted: id.to_owned(),
            },
            Err(error) if error.is_not_found() => {
                engine.tag_image(id, tag)?;
                TagOutcome::Set(tag.clone())
            }
            Err(error) => return Err(error.into()),
        };
        out.push(outcome);
    }
    Ok(out)
}

/// The tar stream that `docker load` takes, made while it is read. Any engine since 20.10 reads it: by
/// `manifest.json` where it has graph drivers, by `index.json` where it has containerd's store.
pub struct LoadStream<'s> {
    source: &'s dyn LayoutSource,
    waiting: VecDeque<Member>,
    /// Headers, small files, padding: what goes out next.
    ready: io::Cursor<Vec<u8>>,
    blob: Option<OpenBlob<'s>>,
    ended: bool,
}

enum Member {
    File(&'static str, Vec<u8>),
    Blob(Digest, u64),
}

struct OpenBlob<'s> {
    digest: Digest,
    reader: Box<dyn Read + 's>,
    hasher: Hasher,
    size: u64,
    left: u64,
}

impl<'s> LoadStream<'s> {
    /// A stream with these images.
    ///
    /// # Errors
    /// A blob of theirs is missing, or has another size than the layout said.
    pub fn new(source: &'s dyn LayoutSource, images: &[&LayoutImage]) -> Result<Self> {
        let mut waiting: VecDeque<Member> = VecDeque::new();
        waiting.push_back(file("oci-layout", &oci_layout()));
        let mut seen = BTreeSet::new();
        for blob in images.iter().flat_map(|image| &image.blobs) {
            if !seen.insert(&blob.digest) {
                continue;
            }
            let path = blob.digest.path();
            let (_, size) = source
                .open(&path)
                .map_err(Error::io(format!("open {path} of the saved images")))?;
            if size != blob.size {
                return Err(Error::layout(
                    path,
                    format!("it has {size} bytes and should have {}", blob.size),
                ));
            }
            waiting.push_back(Member::Blob(blob.digest.clone(), size));
        }
        waiting.push_back(file("index.json", &Layout::index(images, false)));
        waiting.push_back(file(
            "manifest.json",
            &Layout::docker_manifest(images, false),
        ));
        Ok(Self {
            source,
            waiting,
            ready: io::Cursor::default(),
            blob: None,
            ended: false,
        })
    }

    /// Puts the next member's header (and content, if it is small) out.
    fn advance(&mut self) -> io::Result<()> {
        match self.waiting.pop_front() {
            Some(Member::File(path, mut content)) => {
                let mut bytes = header(path, content.len() as u64)?;
                let padding = padding(content.len() as u64);
                bytes.append(&mut content);
                bytes.resize(bytes.len() + padding, 0);
                self.ready = io::Cursor::new(bytes);
            }
            Some(Member::Blob(digest, size)) => {
                self.ready = io::Cursor::new(header(&digest.path(), size)?);
                let (reader, _) = self.source.open(&digest.path())?;
                self.blob = Some(OpenBlob {
                    hasher: digest.algorithm().hasher(),
                    digest,
                    reader,
                    size,
                    left: size,
                });
            }
            None => {
                self.ready = io::Cursor::new(vec![0; 2 * BLOCK]);
                self.ended = true;
            }
        }
        Ok(())
    }
}

impl OpenBlob<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let room = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buffer.len());
        let count = self.reader.read(&mut buffer[..room])?;
        if count == 0 {
            return Err(damaged(&self.digest, "it breaks off"));
        }
        self.hasher.update(&buffer[..count]);
        self.left -= count as u64;
        Ok(count)
    }

    /// Checks what went out, and that nothing is left.
    fn close(mut self) -> io::Result<Vec<u8>> {
        if self.reader.read(&mut [0])? != 0 {
            return Err(damaged(&self.digest, "it is longer than it was"));
        }
        if self.hasher.finish() != self.digest {
            return Err(damaged(&self.digest, "its bytes have another digest"));
        }
        Ok(vec![0; padding(self.size)])
    }
}

impl Read for LoadStream<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            let count = self.ready.read(buffer)?;
            if count > 0 {
                return Ok(count);
            }
            match self.blob.take() {
                Some(mut blob) if blob.left > 0 => {
                    let count = blob.read(buffer)?;
                    self.blob = Some(blob);
                    return Ok(count);
                }
                Some(blob) => self.ready = io::Cursor::new(blob.close()?),
                None if self.ended => return Ok(0),
                None => self.advance()?,
            }
        }
    }
}

fn damaged(digest: &Digest, why: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{} of the saved images is damaged: {why}", digest.path()),
    )
}

fn file(path: &'static str, value: &Value) -> Member {
    Member::File(path, value.to_string().into_bytes())
}

fn header(path: &str, size: u64) -> io::Result<Vec<u8>> {
    let mut header = tar::Header::new_gnu();
    header.set_path(path)?;
    header.set_size(size);
    header.set_mode(0o644);
    header.set_cksum();
    Ok(header.as_bytes().to_vec())
}

fn padding(size: u64) -> usize {
    let over = (size % BLOCK as u64) as usize;
    if over == 0 { 0 } else { BLOCK - over }
}
