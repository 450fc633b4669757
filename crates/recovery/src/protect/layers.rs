//! What was put into a container's writable layer and lives in no volume: Compose's inline configs
//! and secrets, `docker cp`, edits by hand. Bounded; what is left out is named.
//!
//! Taken live, before the freeze: an engine needs tens of milliseconds for each `archive` call, which
//! the app must not wait for.

use std::{collections::BTreeMap, io::Read};

use lifeboat_capture::TreeBuilder;
use lifeboat_engine::{Change, ChangeKind, Engine};
use lifeboat_plan::{
    inventory::Container,
    manifest::{LayerRecord, LeftOut, LeftOutKind, layout},
    path::is_within,
};
use lifeboat_vault::{
    ChunkPolicy, Writer,
    node::{Metadata, Node, NodeKind, Timestamp, Xattr},
};

use crate::Result;

/// Most bytes taken from one container's layer.
const MAX_BYTES: u64 = 16 << 20;
/// Most paths asked for one by one.
const MAX_PATHS: usize = 512;
/// Written by the engine itself into every container.
const ENGINES_OWN: [&str; 8] = [
    "/.dockerenv",
    "/dev",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/mtab",
    "/etc/resolv.conf",
    "/proc",
    "/sys",
];

/// What one container's layer gave.
#[derive(Default)]
pub struct LayerCapture {
    /// For the manifest; `None` if the layer holds nothing.
    pub record: Option<LayerRecord>,
    /// What was not taken.
    pub left_out: Vec<LeftOut>,
}

/// Captures the layer of one container into `layers/<name>/` of `tree`.
pub fn capture_layer(
    engine: &dyn Engine,
    writer: &Writer,
    tree: &mut TreeBuilder,
    container: &Container,
) -> Result<LayerCapture> {
    let changes = match engine.changes(&container.id) {
        Ok(changes) => changes,
        Err(e) if e.is_not_found() => {
            let gone = LeftOut {
                kind: LeftOutKind::Layer,
                what: format!("{}:/", container.name),
                reason: "the container was removed while the backup ran".to_owned(),
                bytes: None,
                decided: false,
            };
            return Ok(LayerCapture {
                record: None,
                left_out: vec![gone],
            });
        }
        Err(e) => return Err(e.into()),
    };
    // The engine makes a folder for each mount. One that came back would lend its mode to the tmpfs.
    let tmpfs = container.raw["HostConfig"]["Tmpfs"].as_object();
    let mounts: Vec<&str> = container
        .mounts
        .iter()
        .map(|m| m.destination.as_str())
        .chain(
            tmpfs
                .into_iter()
                .flat_map(|t| t.keys().map(|at| at.trim_end_matches('/'))),
        )
        .collect();
    let wanted = wanted(&changes, &mounts);
    let mut layer = Layer {
        writer,
        tree,
        container: &container.name,
        files: BTreeMap::new(),
        bytes: 0,
    };
    let mut record = LayerRecord {
        container: container.name.clone(),
        captured: vec![],
        deleted: vec![],
        bytes: 0,
    };
    let mut left_out = Vec::new();
    let mut leave = |path: &str, reason: String| {
        left_out.push(LeftOut {
            kind: LeftOutKind::Layer,
            what: format!("{}:{path}", container.name),
            reason,
            bytes: None,
            decided: false,
        });
    };
    for (at, path) in wanted.iter().enumerate() {
        if at >= MAX_PATHS {
            leave(
                path,
                format!(
                    "and {} more paths: more than {MAX_PATHS} changed in this layer",
                    wanted.len() - at - 1
                ),
            );
            break;
        }
        match layer.take(engine, container, path) {
            Ok(Taken::All) => record.captured.push((*path).to_owned()),
            Ok(Taken::Gone) => {}
            Ok(Taken::TooMuch) => leave(
                path,
                format!(
                    "the writable layer holds more than {} MiB; put such data into a volume",
                    MAX_BYTES >> 20
                ),
            ),
            Err(e) => leave(path, e.to_string()),
        }
    }
    record.bytes = layer.bytes;
    record.deleted = changes
        .iter()
        .filter(|c| c.kind == ChangeKind::Deleted && !is_ignored(&c.path, &mounts))
        .map(|c| c.path.clone())
        .collect();
    let holds_something = !record.captured.is_empty() || !record.deleted.is_empty();
    Ok(LayerCapture {
        record: holds_something.then_some(record),
        left_out,
    })
}

/// The paths to ask for: the topmost added ones, and the modified ones that are no folders on the
/// way to another change.
fn wanted<'a>(changes: &'a [Change], mounts: &[&str]) -> Vec<&'a str> {
    let holds_mount = |path: &str| mounts.iter().any(|m| is_within(m, path));
    let holds_change = |path: &str| {
        changes
            .iter()
            .any(|c| c.path != path && is_within(&c.path, path))
    };
    let mut sorted: Vec<&Change> = changes
        .iter()
        .filter(|c| c.kind != ChangeKind::Deleted && !is_ignored(&c.path, mounts))
        .collect();
    sorted.sort_by(|a, b| a.path.cmp(&b.path));
    let mut wanted: Vec<&str> = Vec::new();
    let mut whole: Vec<&str> = Vec::new();
    for change in sorted {
        if whole.iter().any(|above| is_within(&change.path, above)) {
            continue;
        }
        if holds_mount(&change.path) {
            continue;
        }
        match change.kind {
            ChangeKind::Added => {
                whole.push(&change.path);
                wanted.push(&change.path);
            }
            _ if holds_change(&change.path) => {}
            _ => wanted.push(&change.path),
        }
    }
    wanted
}

fn is_ignored(path: &str, mounts: &[&str]) -> bool {
    ENGINES_OWN.iter().any(|own| is_within(path, own)) || mounts.iter().any(|m| is_within(path, m))
}

enum Taken {
    All,
    Gone,
    TooMuch,
}

struct Layer<'a> {
    writer: &'a Writer,
    tree: &'a mut TreeBuilder,
    container: &'a str,
    /// Files by path, for hard links.
    files: BTreeMap<String, NodeKind>,
    bytes: u64,
}

impl Layer<'_> {
    /// Takes one path with everything below it out of the engine's tar stream.
    fn take(&mut self, engine: &dyn Engine, container: &Container, path: &str) -> Result<Taken> {
        let stream = match engine.archive_get(&container.id, path) {
            Ok(stream) => stream,
            Err(e) if e.is_not_found() => return Ok(Taken::Gone),
            Err(e) => return Err(e.into()),
        };
        // The stream names everything below the last part of the path that was asked for.
        let folder = lifeboat_plan::path::parent(path)
            .trim_end_matches('/')
            .to_owned();
        let mut archive = tar::Archive::new(stream);
        let mut taken = Vec::new();
        let mut dirs = 0;
        for entry in archive.entries()? {
            let mut entry = entry?;
            let name = String::from_utf8_lossy(&entry.path_bytes())
                .trim_end_matches('/')
                .to_owned();
            let Some(at) = lifeboat_plan::path::clean(&format!("{folder}/{name}")) else {
                continue;
            };
            if self.bytes + entry.size() > MAX_BYTES {
                return Ok(Taken::TooMuch);
            }
            if let Some(node) = self.node(&mut entry, &at, &folder)? {
                taken.push((at, node));
            } else if entry.header().entry_type().is_dir() {
                dirs += 1;
            }
        }
        if taken.is_empty() && dirs == 0 {
            // A socket or a device: made anew by whoever needs it.
            return Ok(Taken::Gone);
        }
        for (at, node) in taken {
            self.tree
                .insert(format!("{}{at}", layout::layer(self.container)), node)?;
        }
        Ok(Taken::All)
    }

    fn node<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        at: &str,
        folder: &str,
    ) -> Result<Option<Node>> {
        let meta = metadata(entry)?;
        let target = entry.link_name_bytes().map(|t| t.into_owned());
        let kind = match entry.header().entry_type() {
            tar::EntryType::Regular | tar::EntryType::Continuous => {
                let size = entry.size();
                let mut file = self.writer.file(ChunkPolicy::CONTENT, size);
                let mut buffer = vec![0; 64 << 10];
                loop {
                    let n = entry.read(&mut buffer)?;
                    if n == 0 {
                        break;
                    }
                    file.write(&buffer[..n])?;
                }
                let saved = file.finish()?;
                self.bytes += saved.size;
                let kind = NodeKind::File {
                    size: saved.size,
                    content: saved.content,
                };
                self.files.insert(at.to_owned(), kind.clone());
                kind
            }
            tar::EntryType::Link => {
                let target = String::from_utf8_lossy(&target.unwrap_or_default()).into_owned();
                match self
                    .files
                    .get(&format!("{folder}/{}", target.trim_start_matches('/')))
                {
                    Some(kind) => kind.clone(),
                    None => return Ok(None),
                }
            }
            tar::EntryType::Symlink => NodeKind::Symlink {
                target: target.unwrap_or_default(),
            },
            tar::EntryType::Directory => {
                self.tree
                    .dir(format!("{}{at}", layout::layer(self.container)), meta)?;
                return Ok(None);
            }
            tar::EntryType::Fifo => NodeKind::Fifo,
            // Devices and sockets are made by who needs them.
            _ => return Ok(None),
        };
        let name = at
            .rsplit('/')
            .next()
            .unwrap_or_default()
            .as_bytes()
            .to_vec();
        Ok(Some(Node { name, kind, meta }))
    }
}

fn metadata<R: Read>(entry: &mut tar::Entry<'_, R>) -> Result<Metadata> {
    let header = entry.header();
    let time = Timestamp {
        secs: i64::try_from(header.mtime()?).unwrap_or(0),
        nanos: 0,
    };
    let mut meta = Metadata {
        mode: header.mode()? & 0o7777,
        mtime: time,
        atime: time,
        ctime: time,
        uid: u32::try_from(header.uid()?).unwrap_or(0),
        gid: u32::try_from(header.gid()?).unwrap_or(0),
        links: 1,
        ..Metadata::default()
    };
    if let Some(extensions) = entry.pax_extensions()? {
        for extension in extensions.flatten() {
            if let Some(name) = extension.key_bytes().strip_prefix(b"SCHILY.xattr.") {
                meta.xattrs.push(Xattr {
                    name: name.to_vec(),
                    value: extension.value_bytes().to_vec(),
                });
            }
        }
    }
    meta.xattrs.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(meta)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(path: &str, kind: ChangeKind) -> Change {
        Change {
            path: path.to_owned(),
            kind,
        }
    }

    #[test]
    fn topmost_added_and_single_modified_paths_are_asked_for() {
        use ChangeKind::{Added, Deleted, Modified};
        let changes = [
            change("/etc", Modified),
            change("/etc/c1", Added),
            change("/etc/passwd", Modified),
            change("/etc/hosts", Modified),
            change("/opt/tool", Added),
            change("/opt/tool/bin", Added),
            change("/usr/share/doc", Deleted),
            change("/var", Modified),
            change("/var/lib/data", Added),
            change("/srv", Added),
            change("/run/x", Added),
        ];
        let mounts = ["/var/lib/data", "/srv/files"];
        assert_eq!(
            wanted(&changes, &mounts),
            ["/etc/c1", "/etc/passwd", "/opt/tool", "/run/x"]
        );
    }
}
