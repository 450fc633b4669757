//! Volumes back: made as they were, filled, checked.
//!
//! A volume is filled before any container is created. An anonymous one that only its container uses
//! is made anew by the engine with the container, so that it stays anonymous, and filled right after.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use lifeboat_plan::manifest::{VolumeContent, VolumeRecord, layout};
use lifeboat_vault::node::NodeKind;
use serde_json::Value;

use super::{
    data::{Data, DataStage},
    far::Helper,
    journal::{Intent, RestoreJournal},
    obstacles::PathState,
    step::Work,
};
use crate::{RecoveryError, Result};

impl DataStage<'_> {
    /// Creates the volumes and fills them, but for those that come with their container.
    pub fn volumes(&self, journal: &mut RestoreJournal, done: &mut Data) -> Result<()> {
        let fresh = self.definitions.fresh();
        for volume in self
            .manifest
            .volumes
            .iter()
            .filter(|v| !fresh.contains_key(&v.name))
        {
            self.ctx.stop_if_cancelled()?;
            let there = match self.engine.inspect_volume(&volume.name) {
                Ok(raw) => Some(raw),
                Err(e) if e.is_not_found() => None,
                Err(e) => return Err(e.into()),
            };
            let intended = journal.has(&Intent::Volume(volume.name.clone()));
            if volume.shared && there.is_some() && !intended {
                done.warnings.push(format!(
                    "volume {} is shared and was there already: left as it is",
                    volume.name
                ));
                self.ctx.is_there(Work::Volume, &volume.name);
                continue;
            }
            self.ctx.take(Work::Volume, &volume.name);
            journal.intend(Intent::Volume(volume.name.clone()))?;
            let was_there = there.is_some();
            let made = match (self.reach.volumes(), there) {
                (false, _) => Made::Held(self.far_volume(volume, was_there, journal)?),
                (true, Some(raw)) => Made::Here(self.ours(volume, raw, journal)?),
                (true, None) => Made::Here(self.make(volume, journal)?),
            };
            if volume.content == VolumeContent::Definition {
                done.warnings.push(format!(
                    "volume {} came back without data: the point holds its definition alone",
                    volume.name
                ));
                continue;
            }
            // Journals of before say that it is filled without saying which folder that was.
            let before = was_there && journal.has(&Intent::VolumeFilled(volume.name.clone()));
            match &made {
                Made::Here(raw) => {
                    let at = mountpoint(volume, raw)?;
                    let filled = Intent::VolumeFilledAt(volume.name.clone(), folder_at(&at)?);
                    if !before && !journal.has(&filled) {
                        self.ctx.progress.step("restore-volume-made");
                        let node = self.node(&layout::volume(&volume.name))?;
                        done.add(self.tree(&node, &at)?);
                        self.ctx.progress.step("restore-volume-filled");
                        journal.intend(filled)?;
                    }
                }
                Made::Held(helper) if !before => {
                    let node = self.node(&layout::volume(&volume.name))?;
                    self.far_fill(volume, &node, helper, journal, done)?;
                    journal.intend(Intent::VolumeFilled(volume.name.clone()))?;
                }
                Made::Held(_) => {}
            }
        }
        self.ctx.taken();
        Ok(())
    }

    fn make(&self, volume: &VolumeRecord, journal: &mut RestoreJournal) -> Result<Value> {
        let raw = self
            .engine
            .create_volume(&self.definitions.volume_body(&volume.name)?)?;
        let folder = folder_at(&mountpoint(volume, &raw)?)?;
        journal.intend(Intent::VolumeMade(volume.name.clone(), folder))?;
        Ok(raw)
    }

    /// A volume that an interrupted run of ours had the intent to make. Whether it is ours is told by
    /// its folder; where that was not written down any more, an empty one serves as well.
    fn ours(
        &self,
        volume: &VolumeRecord,
        raw: Value,
        journal: &mut RestoreJournal,
    ) -> Result<Value> {
        let at = mountpoint(volume, &raw)?;
        let made = Intent::VolumeMade(volume.name.clone(), folder_at(&at)?);
        if journal.has(&made) {
            return Ok(raw);
        }
        if PathState::of(&at) == PathState::Something {
            return Err(RecoveryError::Refused(format!(
                "volume {} was made by somebody else while this restore was interrupted and is not overwritten; save what is in it, remove it and run the restore again",
                volume.name
            )));
        }
        journal.intend(made)?;
        Ok(raw)
    }

    /// Fills the anonymous volumes that the engine made anew with a container that has not run yet.
    pub fn fill_fresh(
        &self,
        container: &str,
        raw: &Value,
        journal: &mut RestoreJournal,
        done: &mut Data,
    ) -> Result<()> {
        for (old, (of, destination)) in self.definitions.fresh() {
            if of != container {
                continue;
            }
            let mounts = raw["Mounts"].as_array();
            let new = mounts
                .into_iter()
                .flatten()
                .find(|m| m["Destination"] == destination.as_str());
            let name = new.and_then(|m| m["Name"].as_str()).ok_or_else(|| {
                RecoveryError::Failed(format!(
                    "{container} was made without its volume at {destination}"
                ))
            })?;
            let Some(record) = self.manifest.volumes.iter().find(|v| v.name == *old) else {
                continue;
            };
            self.ctx.take(Work::Volume, &record.name);
            let node = self.node(&layout::volume(&record.name))?;
            if !self.reach.volumes() {
                self.far_fresh(record, name, &node, journal, done)?;
                continue;
            }
            let at = mountpoint(record, &self.engine.inspect_volume(name)?)?;
            // The engine has filled it from the image; the point's data takes the place of that.
            clear(&at)?;
            done.add(self.tree(&node, &at)?);
        }
        Ok(())
    }

    /// Empties the volumes that were empty at the point: creating a container fills an empty volume
    /// from its image. They are ours and new, and nothing has run yet; what was there already is not
    /// in the journal.
    pub fn empty_again(&self, journal: &mut RestoreJournal, done: &mut Data) -> Result<()> {
        let ours = |intent: &Intent| match intent {
            Intent::Volume(name) => Some(name.clone()),
            _ => None,
        };
        let ours: BTreeSet<String> = journal.intents().filter_map(ours).collect();
        self.empty_these(&ours, journal, done)
    }

    /// The same for these volumes: what lies in them is new, and has never run.
    pub fn empty_these(
        &self,
        ours: &BTreeSet<String>,
        journal: &mut RestoreJournal,
        done: &mut Data,
    ) -> Result<()> {
        let fresh = self.definitions.fresh();
        let empty = |v: &&VolumeRecord| {
            ours.contains(&v.name)
                && v.files == 0
                && v.content == VolumeContent::Data
                && !fresh.contains_key(&v.name)
        };
        let empty: Vec<&VolumeRecord> = self.manifest.volumes.iter().filter(empty).collect();
        for volume in empty {
            let node = self.node(&layout::volume(&volume.name))?;
            let NodeKind::Dir { subtree } = node.kind else {
                continue;
            };
            let was_empty = self.reader.tree(subtree)?.nodes.is_empty();
            if !self.reach.volumes() {
                if was_empty {
                    done.warnings.extend(self.far_empty(volume, journal)?);
                }
                continue;
            }
            let at = mountpoint(volume, &self.engine.inspect_volume(&volume.name)?)?;
            if was_empty && PathState::of(&at) == PathState::Something {
                clear(&at)?;
                // The folder's own owner, mode and times are the image's now.
                self.tree(&node, &at)?;
            }
        }
        Ok(())
    }
}

/// A volume that is there to be filled.
enum Made {
    /// Where it lies; its raw inspect.
    Here(Value),
    /// On another host, held by a helper.
    Held(Helper),
}

/// Where a volume's data lies here.
pub(super) fn mountpoint(volume: &VolumeRecord, raw: &Value) -> Result<PathBuf> {
    let at = Path::new(raw["Mountpoint"].as_str().unwrap_or_default());
    if at.is_absolute() && at.is_dir() {
        return Ok(at.to_owned());
    }
    Err(RecoveryError::Failed(format!(
        "volume {} was created, but its folder {} cannot be seen from here",
        volume.name,
        at.display()
    )))
}

/// Which folder a volume is. The engine's own `CreatedAt` is the folder's time of change, and moves
/// when it is filled.
pub(super) fn folder_at(at: &Path) -> Result<String> {
    Ok(folder_of(&fs_err::metadata(at)?))
}

/// Which file or folder that is: inode and birth.
pub(super) fn folder_of(meta: &std::fs::Metadata) -> String {
    use std::os::unix::fs::MetadataExt;
    let born = meta
        .created()
        .ok()
        .and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
    format!("{}:{}", meta.ino(), born.unwrap_or_default().as_nanos())
}

/// Removes everything in a folder, the folder itself stays.
fn clear(folder: &Path) -> Result<()> {
    for entry in fs_err::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            fs_err::remove_dir_all(entry.path())?;
        } else {
            fs_err::remove_file(entry.path())?;
        }
    }
    Ok(())
}
