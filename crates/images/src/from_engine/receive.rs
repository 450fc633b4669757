//! Reading the tar stream: blobs to the sink, small JSON aside, paths noted.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write as _};
use std::path::{Component, Path};

use serde_json::Value;
use tar::EntryType;

use crate::digest::LayerHasher;
use crate::layout::{DockerManifest, MAX_JSON_BLOB};
use crate::{Algorithm, Digest, Error, LayoutSink, Result};

/// Most entries of a stream: far above any image, far below what fills memory.
const MAX_ENTRIES: usize = 200_000;
/// Most bytes of JSON that are kept aside.
const MAX_JSON_TOTAL: u64 = 256 << 20;
/// Size of the pieces in which a blob is read.
const PIECE: usize = 256 << 10;

/// A blob that was received.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) digest: Digest,
    pub(super) size: u64,
    /// Digest of its unpacked content; none if it begins as something compressed and is not.
    pub(super) diff_id: Option<Digest>,
}

/// All that was received.
#[derive(Debug, Default)]
pub(super) struct Received {
    pub(super) manifest: Vec<DockerManifest>,
    /// `index.json`, null in the legacy form.
    pub(super) index: Value,
    pub(super) sizes: HashMap<Digest, u64>,
    files: HashMap<String, Stored>,
    links: HashMap<String, String>,
    json: BTreeMap<Digest, Vec<u8>>,
    json_total: u64,
}

impl Received {
    /// The blob at a path of the stream, through symbolic links.
    pub(super) fn resolve(&self, path: &str) -> Result<&Stored> {
        let mut path = normal(Path::new(path))?;
        for _ in 0..8 {
            if let Some(stored) = self.files.get(&path) {
                return Ok(stored);
            }
            match self.links.get(&path) {
                Some(target) => path.clone_from(target),
                None => break,
            }
        }
        Err(Error::Stream(format!("{path} is missing")))
    }

    /// A received blob as JSON; `None` if it is not there, or is no JSON.
    // The signature is that of a layout's reader, which can fail.
    #[allow(clippy::unnecessary_wraps)]
    pub(super) fn json(&self, digest: &Digest) -> Result<Option<Value>> {
        Ok(self
            .json
            .get(digest)
            .and_then(|bytes| serde_json::from_slice(bytes).ok()))
    }
}

/// Reads a stream to its end.
pub(super) fn receive(stream: &mut dyn Read, sink: &mut dyn LayoutSink) -> Result<Received> {
    let mut received = Received::default();
    let mut manifest = None;
    let mut archive = tar::Archive::new(&mut *stream);
    let broken = |source| Error::Io {
        context: "read the engine's image stream".to_owned(),
        source,
    };
    for (number, entry) in archive.entries().map_err(broken)?.enumerate() {
        if number >= MAX_ENTRIES {
            return Err(Error::Stream("it has too many entries".to_owned()));
        }
        let mut entry = entry.map_err(broken)?;
        let path = normal(&entry.path().map_err(broken)?)?;
        match entry.header().entry_type() {
            EntryType::Directory | EntryType::XGlobalHeader => {}
            EntryType::Symlink | EntryType::Link => {
                let hard = entry.header().entry_type() == EntryType::Link;
                let target = entry.link_name().map_err(broken)?;
                let target =
                    target.ok_or_else(|| Error::Stream(format!("link {path} leads nowhere")))?;
                let base = Path::new(&path)
                    .parent()
                    .filter(|_| !hard)
                    .unwrap_or(Path::new(""));
                let target = inside(&base.join(&target))?;
                received.links.insert(path, target);
            }
            EntryType::Regular | EntryType::Continuous => match path.as_str() {
                "manifest.json" => manifest = Some(whole(&mut entry, &path)?),
                "index.json" => {
                    let bytes = whole(&mut entry, &path)?;
                    received.index = serde_json::from_slice(&bytes)
                        .map_err(|error| Error::Stream(format!("index.json: {error}")))?;
                }
                "oci-layout" | "repositories" => {}
                _ if is_v1_description(&path) => {}
                _ => blob(&mut entry, path, &mut received, sink)?,
            },
            other => {
                return Err(Error::Stream(format!(
                    "{path} is of a kind that images do not have ({other:?})"
                )));
            }
        }
    }
    // Behind the archive's end there is padding; the engine is done when it has sent it.
    io::copy(stream, &mut io::sink()).map_err(broken)?;
    let manifest = manifest
        .ok_or_else(|| Error::Stream("it has no manifest.json, so it is not whole".to_owned()))?;
    received.manifest = serde_json::from_slice(&manifest)
        .map_err(|error| Error::Stream(format!("manifest.json: {error}")))?;
    Ok(received)
}

/// `<id>/VERSION` and `<id>/json`, which only engines before 1.10 read.
fn is_v1_description(path: &str) -> bool {
    let mut parts = path.split('/');
    let (directory, file) = (parts.next(), parts.next());
    directory != Some("blobs") && parts.next().is_none() && matches!(file, Some("VERSION" | "json"))
}

/// Sends one file of the stream to the sink.
fn blob(
    entry: &mut impl EntryRead,
    path: String,
    received: &mut Received,
    sink: &mut dyn LayoutSink,
) -> Result<()> {
    let size = entry.length();
    let named = Digest::from_path(&path);
    let mut hasher = LayerHasher::of(named.as_ref().map_or(Algorithm::Sha256, Digest::algorithm));
    let small = if size <= MAX_JSON_BLOB {
        Some(whole(entry, &path)?)
    } else {
        None
    };
    let (digest, diff_id) = match &small {
        Some(bytes) => {
            hasher.update(bytes);
            let (digest, diff_id) = hasher.finish();
            check_name(named.as_ref(), &digest)?;
            put_blob(sink, &digest, bytes)?;
            (digest, diff_id)
        }
        None => stream_blob(entry, &path, size, named.as_ref(), hasher, sink)?,
    };
    if let Some(bytes) = small.filter(|bytes| bytes.first() == Some(&b'{')) {
        received.json_total += size;
        if received.json_total > MAX_JSON_TOTAL {
            return Err(Error::Stream("it has too much JSON".to_owned()));
        }
        received.json.insert(digest.clone(), bytes);
    }
    received.sizes.insert(digest.clone(), size);
    received.files.insert(
        path,
        Stored {
            digest,
            size,
            diff_id,
        },
    );
    Ok(())
}

fn stream_blob(
    entry: &mut impl Read,
    path: &str,
    size: u64,
    named: Option<&Digest>,
    mut hasher: LayerHasher,
    sink: &mut dyn LayoutSink,
) -> Result<(Digest, Option<Digest>)> {
    let taking = || Error::io("save a layer of an image");
    // One that is there already is only hashed: its name has to be true all the same.
    let known = named
        .map(|digest| sink.has_blob(digest))
        .transpose()
        .map_err(taking())?
        .unwrap_or(false);
    let mut writer = if known {
        None
    } else {
        Some(sink.begin_blob().map_err(taking())?)
    };
    let mut piece = vec![0_u8; PIECE];
    let mut total = 0_u64;
    loop {
        let count = entry
            .read(&mut piece)
            .map_err(Error::io(format!("read {path} from the engine")))?;
        if count == 0 {
            break;
        }
        hasher.update(&piece[..count]);
        total += count as u64;
        if let Some(writer) = &mut writer {
            writer.write_all(&piece[..count]).map_err(taking())?;
        }
    }
    if total != size {
        return Err(Error::Stream(format!(
            "{path} breaks off after {total} of {size} bytes"
        )));
    }
    let (digest, diff_id) = hasher.finish();
    check_name(named, &digest)?;
    if let Some(writer) = writer {
        writer.finish(&digest, size).map_err(taking())?;
    }
    Ok((digest, diff_id))
}

fn check_name(named: Option<&Digest>, found: &Digest) -> Result<()> {
    match named {
        Some(named) if named != found => Err(Error::DigestMismatch {
            what: format!("{} in the engine's image stream", named.path()),
            wanted: named.to_string(),
            found: found.to_string(),
        }),
        _ => Ok(()),
    }
}

/// Puts a small blob into the sink unless it is there.
pub(crate) fn put_blob(sink: &mut dyn LayoutSink, digest: &Digest, bytes: &[u8]) -> Result<()> {
    let put = |sink: &mut dyn LayoutSink| {
        if sink.has_blob(digest)? {
            return Ok(());
        }
        let mut writer = sink.begin_blob()?;
        writer.write_all(bytes)?;
        writer.finish(digest, bytes.len() as u64)
    };
    put(sink).map_err(Error::io("save a description of an image"))
}

/// A reader that knows its length.
trait EntryRead: Read {
    fn length(&self) -> u64;
}

impl<R: Read> EntryRead for tar::Entry<'_, R> {
    fn length(&self) -> u64 {
        self.size()
    }
}

fn whole(entry: &mut impl EntryRead, path: &str) -> Result<Vec<u8>> {
    let size = entry.length();
    // Lists grow with the number of images; their bound is wider than that of a blob kept aside.
    const MAX_WHOLE: u64 = 64 << 20;
    if size > MAX_WHOLE {
        return Err(Error::Stream(format!(
            "{path} has {size} bytes, more than such a file can have"
        )));
    }
    let mut bytes = Vec::new();
    entry
        .read_to_end(&mut bytes)
        .map_err(Error::io(format!("read {path} from the engine")))?;
    if bytes.len() as u64 != size {
        return Err(Error::Stream(format!(
            "{path} breaks off after {} of {size} bytes",
            bytes.len()
        )));
    }
    Ok(bytes)
}

/// A path below the root without dots; one that could lead outside is refused.
fn normal(path: &Path) -> Result<String> {
    let outside = || Error::Stream(format!("{:?} leads outside", path.to_string_lossy()));
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => parts.push(part.to_str().ok_or_else(outside)?),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(outside());
            }
        }
    }
    Ok(parts.join("/"))
}

/// A link's target, whose `..` are taken back without asking a file system.
fn inside(path: &Path) -> Result<String> {
    let outside = || {
        Error::Stream(format!(
            "link to {:?} leads outside",
            path.to_string_lossy()
        ))
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(part) => parts.push(part.to_str().ok_or_else(outside)?),
            Component::CurDir => {}
            Component::ParentDir => drop(parts.pop().ok_or_else(outside)?),
            Component::RootDir | Component::Prefix(_) => return Err(outside()),
        }
    }
    Ok(parts.join("/"))
}
