//! Data back onto the host: volumes, binds, the project's files.
//!
//! A path of the host is put in place by a rename of a finished and checked copy beside it, so that
//! nothing half-done is ever seen under its name. A volume is new and nobody uses it yet, so it is
//! filled where the engine made it.

use std::path::{Path, PathBuf};

use lifeboat_capture::{Overwrite, RestoreOptions, Restored as Tree, restore_tree};
use lifeboat_engine::Engine;
use lifeboat_plan::manifest::{BindDecision, BindRecord, Manifest, layout};
use lifeboat_vault::{
    Reader,
    id::BlobId,
    node::{Node, NodeKind},
};

use super::{
    exchange::{self, Pair},
    journal::{Intent, RestoreJournal},
    obstacles::PathState,
    point::Definitions,
    reach::Reach,
    step::Work,
};
use crate::{Context, RecoveryError, Result};

/// What this stage did.
#[derive(Default)]
pub struct Data {
    /// Bytes written and checked.
    pub bytes: u64,
    /// What could not be set or put in place.
    pub warnings: Vec<String>,
    /// What was sent to another host and is too large to be read back.
    pub not_read_back: Vec<String>,
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
    /// Whose file system it is.
    pub reach: &'a Reach,
}

impl DataStage<'_> {
    /// Puts the project's files back where nothing is.
    pub fn project(&self, journal: &mut RestoreJournal, done: &mut Data) -> Result<()> {
        let Some(project) = &self.manifest.project else {
            return Ok(());
        };
        for root in &project.roots {
            let Some(place) = layout::project(root) else {
                continue;
            };
            if self.is_taken(root, journal)? {
                done.warnings.push(format!(
                    "{root} is there already: the project's files were left as they are (the point's are in {place})"
                ));
                self.ctx.is_there(Work::Project, root);
                continue;
            }
            self.ctx.take(Work::Project, root);
            self.place(&place, root, (0, project.bytes), journal, done)?;
        }
        self.ctx.taken();
        Ok(())
    }

    /// Puts the bind sources back. All of them are in place before any container is created.
    pub fn binds(&self, journal: &mut RestoreJournal, done: &mut Data) -> Result<()> {
        let captured = |b: &&BindRecord| b.decision == BindDecision::Captured;
        for bind in self.manifest.binds.iter().filter(captured) {
            self.ctx.stop_if_cancelled()?;
            let Some(place) = layout::bind(&bind.source) else {
                continue;
            };
            if self.is_taken(&bind.source, journal)? {
                // Not shared would have been refused before anything was touched.
                done.warnings.push(format!(
                    "{} is shared and was there already: left as it is",
                    bind.source
                ));
                self.ctx.is_there(Work::Bind, &bind.source);
                continue;
            }
            self.ctx.take(Work::Bind, &bind.source);
            let size = (bind.files, bind.bytes);
            self.place(&place, &bind.source, size, journal, done)?;
        }
        self.ctx.taken();
        Ok(())
    }

    /// `true` if something that is not of this restore stands at a path of the engine's host.
    fn is_taken(&self, path: &str, journal: &RestoreJournal) -> Result<bool> {
        let ours = journal.has(&Intent::Path(path.to_owned())) || Self::far_began(path, journal);
        Ok(!ours && self.reach.state(self.engine, path)? == PathState::Something)
    }

    /// Restores `place` of the point beside `target` and renames it into place. The intent is written
    /// when the copy beside it is whole, so that after a crash the copy tells whether the rename
    /// happened: while it is there, what stands under the target's name is not ours.
    fn place(
        &self,
        place: &str,
        target: &str,
        size: (u64, u64),
        journal: &mut RestoreJournal,
        done: &mut Data,
    ) -> Result<()> {
        let node = self.node(place)?;
        if !self.reach.path(target) {
            return self.far_place(&node, target, size, journal, done);
        }
        let path = Path::new(target);
        let staging = staging_path(path);
        let in_place = is_mount_point(path) && matches!(node.kind, NodeKind::Dir { .. });
        if PathState::of(path) == PathState::Something && !in_place {
            if PathState::of(&staging) == PathState::Absent {
                return Ok(());
            }
            return Err(RecoveryError::Refused(format!(
                "{target} appeared while this restore was interrupted and is not overwritten; move it away and run the restore again"
            )));
        }
        let parent = path.parent().unwrap_or(Path::new("/"));
        fs_err::create_dir_all(parent)?;
        if in_place {
            // An empty mount point cannot be replaced by a rename: filled where it is.
            journal.intend(Intent::Path(target.to_owned()))?;
            done.add(self.tree(&node, path)?);
            return Ok(());
        }
        journal.intend(Intent::Copying(target.to_owned()))?;
        let tree = self.tree(&node, &staging)?;
        journal.intend(Intent::Path(target.to_owned()))?;
        fs_err::rename(&staging, path)?;
        fs_err::File::open(parent)?.sync_all()?;
        journal.intend(Intent::PathPlaced(target.to_owned()))?;
        done.add(tree);
        Ok(())
    }

    /// Restores `place` of the point aside of `target`, at a place that [`exchange::settle`] gave, checked
    /// and durable, and remembers which is which. Run again after a crash it goes on with what lies there. Nothing is in use yet:
    /// journal the pair, and exchange it when nobody uses the old one.
    pub fn stage(&self, place: &str, target: &Path, aside: &Path, done: &mut Data) -> Result<Pair> {
        exchange::make_room(aside)?;
        let node = self.node(place)?;
        done.add(self.tree(&node, aside)?);
        Pair::seal(target, aside)
    }

    /// Restores one tree or file; every byte is checked. What is missing makes it fail: an app that
    /// starts on half of its data is worse than one that does not start.
    pub(super) fn tree(&self, node: &Node, target: &Path) -> Result<Tree> {
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

    pub(super) fn node(&self, place: &str) -> Result<Node> {
        let place = self.definitions.place(place);
        let parts: Vec<&[u8]> = place.split('/').map(str::as_bytes).collect();
        self.reader.lookup(self.root, &parts)?.ok_or_else(|| {
            RecoveryError::Failed(format!(
                "{place} is named in app.json and missing from the recovery point; run `lifeboat check`"
            ))
        })
    }
}

impl Data {
    pub(super) fn add(&mut self, tree: Tree) {
        self.bytes += tree.counts.bytes_written + tree.counts.bytes_holes;
        self.warnings
            .extend(tree.warnings.iter().map(ToString::to_string));
    }
}

/// A hidden name beside the target, the same at each run, so that an interrupted one is resumed.
pub(super) fn staging_path(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.lifeboat-restore"))
}

/// `true` for a folder on another file system than the one that it lies in.
fn is_mount_point(path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let parent = path.parent().unwrap_or(Path::new("/"));
    match (fs_err::symlink_metadata(path), fs_err::metadata(parent)) {
        (Ok(this), Ok(above)) => this.is_dir() && this.dev() != above.dev(),
        _ => false,
    }
}
