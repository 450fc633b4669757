//! Data back onto the host: volumes, binds, the project's files.
//!
//! A path of the host is put in place by a rename of a finished and checked copy beside it, so that
//! nothing half-done is ever seen under its name. A volume is new and nobody uses it yet, so it is
//! filled where the engine made it.

use std::path::{Path, PathBuf};

use lifeboat_capture::{Overwrite, RestoreOptions, Restored as Tree, restore_tree};
use lifeboat_engine::Engine;
use lifeboat_plan::manifest::{BindDecision, Manifest, VolumeContent, VolumeRecord, layout};
use lifeboat_vault::{
    Reader,
    id::BlobId,
    node::{Node, NodeKind},
};

use super::{
    journal::{Intent, RestoreJournal},
    obstacles::PathState,
    point::Definitions,
};
use crate::{Context, RecoveryError, Result};

/// What this stage did.
#[derive(Default)]
pub struct Data {
    /// Bytes written and checked.
    pub bytes: u64,
    /// What could not be set or put in place.
    pub warnings: Vec<String>,
}

/// What this stage works on.
pub struct DataStage<'a> {
    /// Places, progress, cancellation.
    pub ctx: &'a Context,
    /// The engine.
    pub engine: &'a dyn Engine,
    /// The vault.
    pub reader: &'a Reader,
    /// Root tree of the point.
    pub root: BlobId,
    /// The point's manifest.
    pub manifest: &'a Manifest,
    /// Raw definitions of the point.
    pub definitions: &'a Definitions,
}

impl DataStage<'_> {
    /// Creates the volumes and fills them.
    pub fn volumes(&self, journal: &mut RestoreJournal, done: &mut Data) -> Result<()> {
        for volume in &self.manifest.volumes {
            self.ctx.stop_if_cancelled()?;
            let there = match self.engine.inspect_volume(&volume.name) {
                Ok(raw) => Some(raw),
                Err(e) if e.is_not_found() => None,
                Err(e) => return Err(e.into()),
            };
            if volume.shared
                && there.is_some()
                && !journal.has(&Intent::Volume(volume.name.clone()))
            {
                done.warnings.push(format!(
                    "volume {} is shared and was there already: left as it is",
                    volume.name
                ));
                continue;
            }
            journal.intend(Intent::Volume(volume.name.clone()))?;
            let raw = match there {
                Some(raw) => raw,
                None => self
                    .engine
                    .create_volume(&self.definitions.volume_body(&volume.name)?)?,
            };
            if volume.content == VolumeContent::Definition {
                done.warnings.push(format!(
                    "volume {} came back without data: the point holds its definition alone",
                    volume.name
                ));
                continue;
            }
            if !journal.has(&Intent::VolumeFilled(volume.name.clone())) {
                self.fill(volume, &raw, done)?;
                journal.intend(Intent::VolumeFilled(volume.name.clone()))?;
            }
        }
        Ok(())
    }

    /// Empties the volumes that were empty at the point: creating a container fills an empty volume
    /// from its image. They are new, and nothing has run yet.
    pub fn empty_again(&self) -> Result<()> {
        let new = self
            .manifest
            .volumes
            .iter()
            .filter(|v| !v.shared && v.files == 0);
        for volume in new.filter(|v| v.content == VolumeContent::Data) {
            let NodeKind::Dir { subtree } = self.node(&layout::volume(&volume.name))?.kind else {
                continue;
            };
            let raw = self.engine.inspect_volume(&volume.name)?;
            let mountpoint = Path::new(raw["Mountpoint"].as_str().unwrap_or_default()).to_owned();
            let is_empty = self.reader.tree(subtree)?.nodes.is_empty();
            if !is_empty || PathState::of(&mountpoint) != PathState::Something {
                continue;
            }
            for entry in fs_err::read_dir(&mountpoint)? {
                let entry = entry?;
                if entry.file_type()?.is_dir() {
                    fs_err::remove_dir_all(entry.path())?;
                } else {
                    fs_err::remove_file(entry.path())?;
                }
            }
            // The folder's own owner, mode and times are the image's now.
            let node = self.node(&layout::volume(&volume.name))?;
            self.tree(&node, &mountpoint)?;
        }
        Ok(())
    }

    fn fill(&self, volume: &VolumeRecord, raw: &serde_json::Value, done: &mut Data) -> Result<()> {
        let mountpoint = raw["Mountpoint"].as_str().unwrap_or_default();
        if !mountpoint.starts_with('/') || !Path::new(mountpoint).is_dir() {
            return Err(RecoveryError::Failed(format!(
                "volume {} was created, but its folder {mountpoint:?} cannot be seen from here",
                volume.name
            )));
        }
        let node = self.node(&layout::volume(&volume.name))?;
        let tree = self.tree(&node, Path::new(mountpoint))?;
        done.add(tree);
        Ok(())
    }

    /// Puts the project's files back where nothing is.
    pub fn project(&self, journal: &mut RestoreJournal, done: &mut Data) -> Result<()> {
        let Some(project) = &self.manifest.project else {
            return Ok(());
        };
        for root in &project.roots {
            let Some(place) = layout::project(root) else {
                continue;
            };
            let ours = journal.has(&Intent::Path(root.clone()));
            if PathState::of(Path::new(root)) == PathState::Something && !ours {
                done.warnings.push(format!(
                    "{root} is there already: the project's files were left as they are (the point's are in {place})"
                ));
                continue;
            }
            journal.intend(Intent::Path(root.clone()))?;
            self.place(&place, root, done)?;
        }
        Ok(())
    }

    /// Puts the bind sources back. All of them are in place before any container is created.
    pub fn binds(&self, journal: &mut RestoreJournal, done: &mut Data) -> Result<()> {
        for bind in self
            .manifest
            .binds
            .iter()
            .filter(|b| b.decision == BindDecision::Captured)
        {
            self.ctx.stop_if_cancelled()?;
            let Some(place) = layout::bind(&bind.source) else {
                continue;
            };
            let ours = journal.has(&Intent::Path(bind.source.clone()));
            if PathState::of(Path::new(&bind.source)) == PathState::Something && !ours {
                // Not shared would have been refused before anything was touched.
                done.warnings.push(format!(
                    "{} is shared and was there already: left as it is",
                    bind.source
                ));
                continue;
            }
            journal.intend(Intent::Path(bind.source.clone()))?;
            self.place(&place, &bind.source, done)?;
        }
        Ok(())
    }

    /// Restores `place` of the point beside `target` and renames it into place.
    fn place(&self, place: &str, target: &str, done: &mut Data) -> Result<()> {
        let target = Path::new(target);
        if PathState::of(target) == PathState::Something {
            // The rename of an interrupted run: whole, since it comes last.
            return Ok(());
        }
        let parent = target.parent().unwrap_or(Path::new("/"));
        fs_err::create_dir_all(parent)?;
        let node = self.node(place)?;
        let staging = staging_path(target);
        let tree = self.tree(&node, &staging)?;
        if let Err(e) = fs_err::rename(&staging, target) {
            let is_mount = matches!(e.kind(), std::io::ErrorKind::ResourceBusy);
            if !(is_mount && matches!(node.kind, NodeKind::Dir { .. })) {
                return Err(e.into());
            }
            // An empty mount point cannot be replaced by a rename: filled in place.
            let tree = self.tree(&node, target)?;
            fs_err::remove_dir_all(&staging)?;
            done.warnings
                .extend(tree.warnings.iter().map(ToString::to_string));
        }
        fs_err::File::open(parent)?.sync_all()?;
        done.add(tree);
        Ok(())
    }

    /// Restores one tree or file; every byte is checked. What is missing makes it fail: an app that
    /// starts on half of its data is worse than one that does not start.
    fn tree(&self, node: &Node, target: &Path) -> Result<Tree> {
        let options = RestoreOptions {
            overwrite: Overwrite::Resume,
            ..RestoreOptions::new(self.ctx.progress.as_ref(), &self.ctx.cancel)
        };
        let tree = restore_tree(self.reader, node, target, &options)?;
        match tree.problems.first() {
            None => Ok(tree),
            Some(first) => Err(RecoveryError::Failed(format!(
                "{} of {} file(s) could not be restored, the first is {first}; nothing was started, run `lifeboat check` or choose another point",
                tree.problems.len(),
                target.display()
            ))),
        }
    }

    fn node(&self, place: &str) -> Result<Node> {
        let parts: Vec<&[u8]> = place.split('/').map(str::as_bytes).collect();
        self.reader.lookup(self.root, &parts)?.ok_or_else(|| {
            RecoveryError::Failed(format!(
                "{place} is named in app.json and missing from the recovery point; run `lifeboat check`"
            ))
        })
    }
}

impl Data {
    fn add(&mut self, tree: Tree) {
        self.bytes += tree.counts.bytes_written + tree.counts.bytes_holes;
        self.warnings
            .extend(tree.warnings.iter().map(ToString::to_string));
    }
}

/// A hidden name beside the target, the same at each run, so that an interrupted one is resumed.
fn staging_path(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.lifeboat-restore"))
}
