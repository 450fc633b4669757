//! Files without an engine: plain directories in (`backup --path`), listings and files out.

use std::{
    collections::BTreeSet,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use lifeboat_capture::{
    Anchor, CaptureOptions, Counts, Excludes, Overwrite, Parent, RestoreOptions, Source,
    TreeBuilder, capture_tree, metadata, restore_tree,
};
use lifeboat_vault::{
    Descend, Reader, Snapshot, WriterOptions,
    id::{BlobId, SnapshotId},
    node::{Node, NodeKind, Timestamp},
};
use serde::Serialize;

use crate::{
    Context, RecoveryError, Result,
    protect::{ProtectOptions, again_if_lost, program_version, skip_set, summary, timestamp},
};

/// One line of `ls`.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Path in the snapshot, bytes, beginning with `/`.
    pub path: Vec<u8>,
    /// What is there.
    pub node: Node,
}

/// Figures of a plain backup.
#[derive(Debug, Clone, Serialize)]
pub struct PathsProtected {
    /// The new snapshot; `None` for a dry run.
    pub id: Option<SnapshotId>,
    /// Files seen.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files read because they were new or changed.
    pub files_read: u64,
    /// Bytes that the vault grew by.
    pub added: u64,
    /// One sentence for each path that could not be read.
    pub problems: Vec<String>,
    /// Seconds.
    pub seconds: f64,
}

/// Backs up plain directories and files, as restic would: absolute tree, `paths` as given.
pub fn protect_paths(
    ctx: &Context,
    paths: &[PathBuf],
    options: &ProtectOptions,
) -> Result<PathsProtected> {
    let paths = absolute(paths)?;
    again_if_lost(|| protect_paths_once(ctx, &paths, options))
}

/// Who asks for fewer readers than there are cores wants no more of the machine to be used.
pub(crate) fn writer_threads(readers: usize) -> usize {
    match (readers, WriterOptions::default().threads) {
        (0, cores) => cores,
        (readers, cores) => readers.min(cores),
    }
}

fn protect_paths_once(
    ctx: &Context,
    paths: &[PathBuf],
    options: &ProtectOptions,
) -> Result<PathsProtected> {
    let clock = Instant::now();
    let skip = skip_set(ctx);
    let exclude = Arc::new(Excludes::parse(
        options.excludes.iter().map(String::as_str),
        Anchor::Host,
    )?);
    if options.dry_run {
        return dry_run(paths, &skip, &exclude, clock);
    }
    let writer = ctx.vault.writer(WriterOptions {
        retry_lock: options.retry_lock,
        threads: writer_threads(options.read_concurrency),
        ..WriterOptions::default()
    })?;
    let began_at = jiff::Timestamp::now();
    let began = timestamp(began_at);
    let host = ctx.host.clone().unwrap_or_else(|| ctx.hostname.clone());
    let names: Vec<String> = paths.iter().map(|p| p.display().to_string()).collect();
    let parent = parent(ctx, &host, &names)?;
    let mut tree = TreeBuilder::new(began);
    let mut total = Counts::default();
    let mut problems = Vec::new();
    for path in paths {
        ctx.stop_if_cancelled()?;
        ancestors(&mut tree, path)?;
        let before = match &parent {
            Some((_, root, _)) => node_at(writer.reader(), *root, path.as_os_str().as_bytes()),
            None => None,
        };
        let captured = capture_tree(
            &writer,
            &Source {
                at: path.clone(),
                exclude: exclude.clone(),
            },
            &CaptureOptions {
                parent: before
                    .as_ref()
                    .zip(parent.as_ref())
                    .map(|(node, (.., began))| Parent::Node {
                        node,
                        began: *began,
                    }),
                one_file_system: options.one_file_system,
                threads: options.read_concurrency,
                ..CaptureOptions::new(&skip, ctx.progress.as_ref(), &ctx.cancel)
            },
        )?;
        total.add(&captured.counts);
        problems.extend(captured.problems.iter().map(ToString::to_string));
        tree.insert(path.as_os_str().as_bytes(), captured.node)?;
    }
    let root = tree.write(&writer)?;
    writer.flush()?;
    ctx.progress.step("saved");
    let stats = writer.stats();
    let mut tags = options.tags.clone();
    if !problems.is_empty() {
        tags.push(lifeboat_plan::identity::TAG_PARTIAL.to_owned());
    }
    ctx.progress.step("write-snapshot");
    ctx.stop_if_cancelled()?;
    let id = writer.commit(Snapshot {
        time: began.to_rfc3339(),
        parent: parent.map(|(id, ..)| id),
        tree: Some(root),
        paths: names,
        hostname: host,
        username: ctx.username.clone(),
        excludes: options.excludes.clone(),
        tags,
        program_version: program_version(),
        summary: Some(summary(began_at, &total, &stats)),
        ..Snapshot::default()
    })?;
    Ok(PathsProtected {
        id: Some(id),
        files: total.files_total,
        bytes: total.bytes_total,
        files_read: total.files_new + total.files_changed,
        added: stats.packed_bytes,
        problems,
        seconds: clock.elapsed().as_secs_f64(),
    })
}

/// Absolute paths without one that lies in another; a missing one is an error before anything runs.
fn absolute(paths: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut all = BTreeSet::new();
    for path in paths {
        let at = std::path::absolute(path)?;
        if fs_err::symlink_metadata(&at).is_err() {
            return Err(RecoveryError::NotFound(format!(
                "{} is not there, so there is nothing to back up",
                at.display()
            )));
        }
        all.insert(at);
    }
    let outer: Vec<PathBuf> = all
        .iter()
        .filter(|path| {
            !all.iter()
                .any(|other| other != *path && path.starts_with(other))
        })
        .cloned()
        .collect();
    match outer.as_slice() {
        [root] if root == Path::new("/") => Err(RecoveryError::Refused(
            "the whole of / is not backed up in one piece yet; name its folders, e.g. --path /etc --path /home".to_owned(),
        )),
        _ => Ok(outer),
    }
}

fn dry_run(
    paths: &[PathBuf],
    skip: &lifeboat_capture::SkipSet,
    exclude: &Excludes,
    clock: Instant,
) -> Result<PathsProtected> {
    let (mut files, mut bytes) = (0, 0);
    for path in paths {
        let size = lifeboat_capture::estimate_without(path, skip, exclude)?;
        files += size.files;
        bytes += size.bytes;
    }
    Ok(PathsProtected {
        id: None,
        files,
        bytes,
        files_read: 0,
        added: 0,
        problems: Vec::new(),
        seconds: clock.elapsed().as_secs_f64(),
    })
}

/// The directories that lead to a path, with the metadata that they have.
fn ancestors(tree: &mut TreeBuilder, path: &Path) -> Result<()> {
    for above in path.ancestors().skip(1).filter(|a| a.parent().is_some()) {
        tree.dir(above.as_os_str().as_bytes(), metadata(above)?)?;
    }
    Ok(())
}

/// The newest snapshot of the same host and paths.
fn parent(
    ctx: &Context,
    host: &str,
    paths: &[String],
) -> Result<Option<(SnapshotId, BlobId, Timestamp)>> {
    let snapshots = ctx.vault.snapshots()?;
    let newest = snapshots
        .found
        .iter()
        .rev()
        .find(|(_, s)| s.hostname == host && s.paths == paths);
    Ok(newest.and_then(|(id, s)| Some((*id, s.tree?, Timestamp::parse_rfc3339(&s.time)?))))
}

fn node_at(reader: &Reader, root: BlobId, path: &[u8]) -> Option<Node> {
    let parts: Vec<&[u8]> = path
        .split(|b| *b == b'/')
        .filter(|p| !p.is_empty())
        .collect();
    reader.lookup(root, &parts).ok().flatten()
}

/// What a restore of files did.
#[derive(Debug, Clone, Serialize)]
pub struct FilesRestored {
    /// Files written, and files that were right already.
    pub files: u64,
    /// Bytes written and checked, holes included.
    pub bytes: u64,
    /// What could not be restored. Not empty means exit code 3.
    pub problems: Vec<String>,
    /// What is there, but not in every detail (an attribute that the file system refuses).
    pub warnings: Vec<String>,
    /// Seconds.
    pub seconds: f64,
}

/// Restores the files of a snapshot below `target`, which is never left. `includes` are patterns;
/// none means everything. With `resume`, files that are there already and equal are kept.
pub fn restore_files(
    ctx: &Context,
    snapshot: &Snapshot,
    target: &Path,
    includes: &[String],
    resume: bool,
) -> Result<FilesRestored> {
    let clock = Instant::now();
    let root = root_of(snapshot)?;
    let reader = ctx.vault.reader()?;
    let include = match includes {
        [] => None,
        patterns => Some(Excludes::parse(
            patterns.iter().map(String::as_str),
            Anchor::Source,
        )?),
    };
    let options = RestoreOptions {
        overwrite: if resume {
            Overwrite::Resume
        } else {
            Overwrite::Never
        },
        include: include.as_ref(),
        ..RestoreOptions::new(ctx.progress.as_ref(), &ctx.cancel)
    };
    let made = !target.exists();
    fs_err::create_dir_all(target)?;
    let restored = restore_tree(&reader, root, target, &options).inspect_err(|_| {
        // Only an empty folder goes: nothing was put into it.
        if made {
            let _ = fs_err::remove_dir(target);
        }
    })?;
    Ok(FilesRestored {
        files: restored.counts.files + restored.counts.kept,
        bytes: restored.counts.bytes_written + restored.counts.bytes_holes,
        problems: restored.problems.iter().map(ToString::to_string).collect(),
        warnings: restored.warnings.iter().map(ToString::to_string).collect(),
        seconds: clock.elapsed().as_secs_f64(),
    })
}

/// The root tree; a snapshot without one is damaged.
pub(crate) fn root_of(snapshot: &Snapshot) -> Result<BlobId> {
    snapshot.tree.ok_or_else(|| {
        RecoveryError::Failed("this snapshot names no tree: it is damaged".to_owned())
    })
}

/// Calls `f` for every entry at or below `path` (all levels with `recursive`).
pub fn ls(
    ctx: &Context,
    snapshot: &Snapshot,
    path: &[u8],
    recursive: bool,
    f: &mut dyn FnMut(Entry) -> Result<()>,
) -> Result<()> {
    let reader = ctx.vault.reader()?;
    let mut root = root_of(snapshot)?;
    let trimmed: Vec<u8> = {
        let parts: Vec<&[u8]> = path
            .split(|b| *b == b'/')
            .filter(|p| !p.is_empty())
            .collect();
        parts
            .iter()
            .flat_map(|p| [b"/".as_slice(), p].concat())
            .collect()
    };
    if !trimmed.is_empty() {
        let node = node_at(&reader, root, &trimmed).ok_or_else(|| {
            RecoveryError::NotFound(format!(
                "there is no {} in this recovery point",
                String::from_utf8_lossy(&trimmed)
            ))
        })?;
        match node.kind {
            NodeKind::Dir { subtree } => root = subtree,
            _ => {
                return f(Entry {
                    path: trimmed,
                    node,
                });
            }
        }
    }
    let mut failed = None;
    reader.walk(root, &mut |below, node| {
        let mut at = trimmed.clone();
        if !below.starts_with(b"/") {
            at.push(b'/');
        }
        at.extend_from_slice(below);
        if let Err(e) = f(Entry {
            path: at,
            node: node.clone(),
        }) {
            failed = Some(e);
            return Ok(Descend::Stop);
        }
        Ok(if recursive {
            Descend::Into
        } else {
            Descend::Skip
        })
    })?;
    failed.map_or(Ok(()), Err)
}
