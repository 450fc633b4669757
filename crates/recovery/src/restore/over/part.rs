//! A part of the app is replaced: which of its containers and data that is, and what of it is left.
//!
//! A service's containers are replaced, and the data that only they use. What others use too stays,
//! unless it was named: then those others stand still meanwhile (`super::around`).

use std::{collections::BTreeSet, path::Path};

use lifeboat_plan::{
    app::App,
    inventory::{Container, Inventory, MountKind},
    label,
    manifest::{Manifest, VolumeContent, VolumeRecord},
    path,
};
use lifeboat_vault::Reader;

use super::look::{Looking, what};
use crate::{
    Result,
    restore::{
        obstacles::PathState,
        part::{
            narrow::{Narrowed, named_volume, narrow},
            pieces::Pieces,
        },
        point::OpenPoint,
    },
};

/// What is replaced of an app, and what is not.
pub struct Part {
    /// As it was asked for.
    pub pieces: Pieces,
    /// The point with everything in it.
    pub whole: Manifest,
    /// Volumes that were named, by their own names.
    volumes: BTreeSet<String>,
    /// Bind sources that were named.
    binds: BTreeSet<String>,
    obstacles: Vec<String>,
    warnings: Vec<String>,
}

impl Part {
    /// Narrows a point to what was asked for.
    pub fn of(
        reader: &Reader,
        point: OpenPoint,
        here: &Inventory,
        pieces: &Pieces,
    ) -> Result<(OpenPoint, Self)> {
        let whole = point.manifest.clone();
        let mut volumes = BTreeSet::new();
        for given in &pieces.volumes {
            volumes.insert(
                named_volume(&whole, &point.definitions, given)?
                    .name
                    .clone(),
            );
        }
        let Narrowed {
            point,
            obstacles,
            warnings,
        } = narrow(reader, point, here, pieces)?;
        let part = Self {
            pieces: pieces.clone(),
            whole,
            volumes,
            binds: pieces.binds.iter().filter_map(|b| path::clean(b)).collect(),
            obstacles,
            warnings,
        };
        Ok((point, part))
    }

    /// As it is said of a failure.
    pub fn what(&self, app: &str) -> String {
        format!("{} of {app}", self.pieces.options())
    }

    fn names(&self, kind: &str, name: &str) -> bool {
        match kind {
            "volume" => self.volumes.contains(name),
            _ => self.binds.contains(name),
        }
    }

    /// Containers here that are of the services: those of the point, and those that came since.
    pub(super) fn replaces(&self, container: &Container, point: &OpenPoint) -> bool {
        let service = label::get(&container.labels, label::SERVICE);
        let once = label::get(&container.labels, label::ONE_OFF)
            .is_some_and(|once| once.eq_ignore_ascii_case("true"));
        let known = point.manifest.containers.iter();
        known.into_iter().any(|c| c.name == container.name)
            || (!once && service.is_some_and(|s| self.pieces.services.iter().any(|g| g == s)))
    }
}

impl Looking<'_> {
    /// What narrowing the point has found.
    pub(super) fn part(&mut self, part: &Part) {
        self.scene.refused.extend(part.obstacles.iter().cloned());
        self.scene.notes.extend(part.warnings.iter().cloned());
        if part.pieces.keep_data {
            self.nameless();
        }
    }

    /// A new container gets new volumes where they have no name: their data would not be kept.
    fn nameless(&mut self) {
        for old in &self.scene.old {
            let container = self.here.containers.iter().find(|c| c.id == old.id);
            for mount in container.iter().flat_map(|c| &c.mounts) {
                let is_it = mount.kind == MountKind::Volume
                    && mount
                        .name
                        .as_ref()
                        .is_some_and(|n| old.anonymous.contains(n));
                if is_it && PathState::of(Path::new(&mount.source)) == PathState::Something {
                    self.scene.refused.push(format!(
                        "--keep-data cannot keep what {} has at {}: that volume has no name, and a new container gets a new one; save what is in it, or leave --keep-data out, which sets it aside for a week",
                        old.name, mount.destination
                    ));
                }
            }
        }
    }

    /// Whether data of a part stays as it is: said.
    pub(super) fn part_keeps(
        &mut self,
        part: &Part,
        kind: &str,
        name: &str,
        shared: bool,
        strangers: &[(String, bool)],
    ) -> bool {
        let what = what(kind, name);
        let resting: Vec<&str> = strangers
            .iter()
            .filter(|(_, runs)| !runs)
            .map(|(name, _)| name.as_str())
            .collect();
        if part.names(kind, name) {
            if !resting.is_empty() {
                self.scene.notes.push(format!(
                    "{what} is used by {} too, which does not run: it will find the point's data there",
                    resting.join(", ")
                ));
            }
            return false;
        }
        if part.pieces.keep_data {
            self.scene
                .notes
                .push(format!("{what} stays as it is (--keep-data)"));
            return true;
        }
        if !shared && strangers.is_empty() {
            return false;
        }
        let others: Vec<&str> = strangers.iter().map(|(name, _)| name.as_str()).collect();
        let others = if others.is_empty() {
            "was used by others too".to_owned()
        } else {
            format!("is used by {} too", others.join(", "))
        };
        self.scene.notes.push(format!(
            "{what} {others}: left as it is, with the data of today; --{kind} {name} replaces it as well"
        ));
        true
    }

    /// A volume of which the point has no data.
    pub(super) fn without_data(&mut self, volume: &VolumeRecord) -> bool {
        if volume.content != VolumeContent::Definition {
            return false;
        }
        let name = &volume.name;
        if self.part.is_some_and(|part| part.names("volume", name)) {
            self.scene.refused.push(format!(
                "volume {name} cannot be replaced: the point holds its definition alone"
            ));
        } else {
            self.scene.notes.push(format!(
                "volume {name} is left as it is: the point holds its definition alone"
            ));
        }
        true
    }
}

/// The containers of the app that are replaced.
pub(super) fn replaced<'c>(
    app: &App,
    here: &'c Inventory,
    point: &OpenPoint,
    part: Option<&Part>,
) -> Vec<&'c Container> {
    let here = here.containers.iter();
    let of_app = here.filter(|c| app.container(&c.id).is_some());
    of_app
        .filter(|c| part.is_none_or(|part| part.replaces(c, point)))
        .collect()
}
