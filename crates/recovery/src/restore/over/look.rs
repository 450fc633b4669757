//! What is here of an app that is to be replaced, what changes places with what, and what does not:
//! all of it before anything is touched, and once more before anything is stopped.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use lifeboat_engine::{Engine, HostNetwork};
use lifeboat_plan::{
    app::{App, AppKind},
    discover::discover,
    inventory::{Container, Inventory, Mount, MountKind},
    manifest::{BindDecision, BindRecord, Manifest, VolumeRecord, layout},
};

use super::{
    Old,
    here::{beside_files, device, mapped_ports, uses},
    networks, ours_ends,
    part::{Part, replaced},
    space,
};
use crate::{
    Result,
    restore::{
        Work, exchange,
        journal::Intent,
        obstacles::{Ground, PathState, obstacles},
        point::OpenPoint,
        reach::Reach,
    },
};

/// Something of the app that is here, and what takes its place.
pub struct Swap {
    /// `volume` or `bind`.
    pub kind: &'static str,
    /// What a person calls it.
    pub name: String,
    /// Where the point has it.
    pub place: String,
    /// What is in use.
    pub target: PathBuf,
    /// Where the new one is made.
    pub aside: PathBuf,
    /// Its size at the point.
    pub bytes: u64,
    /// What lies in it, is in no point, and has to stay in sight: relative to the target.
    pub carry: Vec<PathBuf>,
}

impl Swap {
    /// What kind of step it is.
    pub fn work(&self) -> Work {
        match self.kind {
            "volume" => Work::Volume,
            _ => Work::Bind,
        }
    }
}

/// A folder or file of the project that is here: what differs of it changes places, file by file.
pub struct Merge {
    /// As the point names it.
    pub root: String,
    /// Where the new one is made.
    pub aside: PathBuf,
}

/// What is here.
pub struct Scene {
    /// The app's name, if something of it is here.
    pub app: Option<String>,
    /// Its containers, in the order in which they start.
    pub old: Vec<Old>,
    /// Containers that stand still around a part, in the order in which they start.
    pub around: Vec<Old>,
    /// What changes places.
    pub swaps: Vec<Swap>,
    /// The project's files.
    pub merges: Vec<Merge>,
    /// What of the point is not here: made as by any restore.
    pub missing: Manifest,
    /// What a person should know.
    pub notes: Vec<String>,
    /// What forbids it, one sentence each with a way out.
    pub refused: Vec<String>,
}

/// Looks; `ours` are the intents of an interrupted run, `id` tells this operation from others.
pub fn look(
    engine: &dyn Engine,
    point: &OpenPoint,
    part: Option<&Part>,
    reach: &Reach,
    ours: &BTreeSet<Intent>,
    id: &str,
) -> Result<Scene> {
    let mut here = engine.inventory()?;
    here.containers.retain(|c| {
        !ours.contains(&Intent::ContainerMade(c.id.clone())) && !ours_ends(&c.name, id)
    });
    let found = discover(&here);
    let name = point.manifest.identity.name.as_str();
    let app = found.app(name);
    let old = app.map(|app| Old::of(app, &replaced(app, &here, point, part), point));
    let network = mapped_ports(engine, point, &here, old.as_deref().unwrap_or_default());
    let mut looking = Looking {
        point,
        part,
        ours,
        id,
        reach,
        here: &here,
        app,
        scene: Scene {
            app: app.map(|app| app.name.to_string()),
            old: old.unwrap_or_default(),
            around: Vec::new(),
            swaps: Vec::new(),
            merges: Vec::new(),
            missing: point.manifest.clone(),
            notes: Vec::new(),
            refused: Vec::new(),
        },
    };
    looking.reach();
    looking.kinds();
    if let Some(part) = part {
        looking.part(part);
    }
    looking.volumes()?;
    looking.newer_volumes();
    looking.binds()?;
    looking.within();
    looking.project();
    looking.networks();
    looking.removed_on_stop();
    looking.around();
    looking.rest(&reach.states(engine, &point.manifest)?, network.as_ref());
    Ok(looking.scene)
}

/// What is looked at, and what was seen so far.
pub(super) struct Looking<'a> {
    pub(super) point: &'a OpenPoint,
    pub(super) part: Option<&'a Part>,
    ours: &'a BTreeSet<Intent>,
    pub(super) id: &'a str,
    pub(super) reach: &'a Reach,
    pub(super) here: &'a Inventory,
    pub(super) app: Option<&'a App>,
    pub(super) scene: Scene,
}

impl Looking<'_> {
    /// Folders change places only where we can reach them ourselves.
    fn reach(&mut self) {
        let reach = self.reach;
        let binds = self.point.manifest.binds.iter();
        let mut captured = binds.filter(|b| b.decision == BindDecision::Captured);
        if reach.address().is_some()
            || !reach.volumes()
            || captured.any(|bind| !reach.path(&bind.source))
        {
            self.scene.refused.push(
                "the engine's folders cannot be reached from here as it has them, and --replace lets folders change places; run lifeboat on the engine's own host, or take the app down and restore without --replace".to_owned(),
            );
        }
    }

    fn kinds(&mut self) {
        let name = &self.point.manifest.identity.name;
        let why = match self.app.map(|app| app.kind) {
            Some(AppKind::Copy) => format!(
                "{name} here is a copy that `restore --as` made; take it away with `lifeboat rm {name}`"
            ),
            Some(AppKind::SwarmStack) => format!(
                "{name} is a Swarm stack, whose containers Swarm makes and removes as it likes; take it down with `docker stack rm {name}` and restore without --replace"
            ),
            _ => return,
        };
        self.scene.refused.push(why);
    }

    fn is_old(&self, container: &Container) -> bool {
        self.scene.old.iter().any(|old| old.id == container.id)
    }

    /// Containers that are not the app's and use something: name, and whether it runs.
    fn strangers(&self, uses: impl Fn(&Container) -> bool) -> Vec<(String, bool)> {
        let others = self.here.containers.iter().filter(|c| !self.is_old(c));
        others
            .filter(|c| uses(c))
            .map(|c| (c.name.clone(), lifeboat_plan::app::is_live(c.state)))
            .collect()
    }

    /// Whether strangers keep something from changing places: said, and refused if need be.
    fn is_kept_by(
        &mut self,
        kind: &str,
        name: &str,
        shared: bool,
        strangers: &[(String, bool)],
    ) -> bool {
        if let Some(part) = self.part {
            return self.part_keeps(part, kind, name, shared, strangers);
        }
        let what = what(kind, name);
        let app = self.point.manifest.identity.name.to_string();
        let names = |running: bool| {
            let names = strangers.iter().filter(|(_, runs)| *runs || !running);
            names
                .map(|(name, _)| name.as_str())
                .collect::<Vec<_>>()
                .join(", ")
        };
        let (all, running) = (names(false), names(true));
        if shared && !all.is_empty() {
            self.scene.notes.push(format!(
                "{what} is used by {all} too, which {app} does not own: left as it is, with the data of today"
            ));
            return true;
        }
        if !running.is_empty() {
            self.scene.refused.push(format!(
                "{what} is used by {running}, which runs and is no part of {app}; stop it and try again"
            ));
            return true;
        }
        if !all.is_empty() {
            self.scene.notes.push(format!(
                "{what} is used by {all} too, which does not run: it will find the point's data there"
            ));
        }
        false
    }

    /// What came after the point stays.
    fn newer_volumes(&mut self) {
        if self.part.is_some() {
            return;
        }
        let held = |name: &str| self.point.manifest.volumes.iter().any(|v| v.name == name);
        let newer = self.app.into_iter().flat_map(|app| &app.volumes);
        let newer: Vec<String> = newer
            .filter(|v| !v.anonymous && !held(&v.name))
            .map(|v| format!("volume {} is not in the point: it stays as it is", v.name))
            .collect();
        self.scene.notes.extend(newer);
    }

    fn volumes(&mut self) -> Result<()> {
        let fresh = self.point.definitions.fresh();
        let wanted: Vec<VolumeRecord> = self.point.manifest.volumes.clone();
        self.scene.missing.volumes.clear();
        for volume in wanted {
            let made = self.ours.contains(&Intent::Volume(volume.name.clone()));
            let there = self.here.volumes.iter().find(|v| v.name == volume.name);
            let Some(there) = there.filter(|_| !made && !fresh.contains_key(&volume.name)) else {
                self.scene.missing.volumes.push(volume);
                continue;
            };
            let what = what("volume", &volume.name);
            if self.without_data(&volume) {
                continue;
            }
            let bound = Some(device(there)).filter(|device| !device.is_empty());
            let strangers = self.strangers(|c| {
                let is_it = |m: &Mount| {
                    let is_named = m.name.as_ref() == Some(&volume.name);
                    let is_bound = bound.is_some_and(|device| uses(m, self.here, device));
                    (m.kind == MountKind::Volume && is_named) || is_bound
                };
                c.mounts.iter().any(is_it)
            });
            if self.is_kept_by("volume", &volume.name, volume.shared, &strangers) {
                continue;
            }
            let Some((target, aside)) = self.place_of_volume(&what, there)? else {
                continue;
            };
            self.scene.swaps.push(Swap {
                kind: "volume",
                place: layout::volume(&volume.name),
                name: volume.name,
                target,
                aside,
                bytes: volume.bytes,
                carry: Vec::new(),
            });
        }
        Ok(())
    }

    fn binds(&mut self) -> Result<()> {
        let wanted: Vec<BindRecord> = self.point.manifest.binds.clone();
        self.scene.missing.binds.clear();
        for bind in wanted {
            let made = self.ours.contains(&Intent::Path(bind.source.clone()));
            let there = fs_err::symlink_metadata(&bind.source).is_ok();
            let Some(place) = layout::bind(&bind.source)
                .filter(|_| bind.decision == BindDecision::Captured && there && !made)
            else {
                self.scene.missing.binds.push(bind);
                continue;
            };
            let what = what("bind", &bind.source);
            // Who has a folder above it mounted sees the names change; who has it, does not.
            let strangers = self.strangers(|c| {
                let mut mounts = c.mounts.iter();
                mounts.any(|m| uses(m, self.here, &bind.source))
            });
            if self.is_kept_by("bind", &bind.source, bind.shared, &strangers) {
                continue;
            }
            let aside = |target: &Path| exchange::aside(target, self.id);
            let Some((target, aside)) = self.swappable(&what, &bind.source, aside)? else {
                continue;
            };
            self.scene.swaps.push(Swap {
                kind: "bind",
                name: bind.source,
                place,
                target,
                aside,
                bytes: bind.bytes,
                carry: Vec::new(),
            });
        }
        Ok(())
    }

    /// What lies within a folder that changes places, and is in no point, goes on lying there.
    fn within(&mut self) {
        let whole = self.part.map_or(&self.point.manifest, |part| &part.whole);
        let not_held = whole
            .binds
            .iter()
            .filter(|b| !matches!(b.decision, BindDecision::Captured | BindDecision::Within))
            .map(|b| b.source.clone());
        let held = |source: &str| whole.binds.iter().any(|b| b.source == source);
        let newer = self.app.into_iter().flat_map(|app| &app.binds);
        let newer = newer
            .map(|b| b.source.clone())
            .filter(|source| !held(source));
        let carried: BTreeSet<PathBuf> = not_held
            .chain(newer)
            .filter_map(|source| fs_err::canonicalize(source).ok())
            .collect();
        for swap in &mut self.scene.swaps {
            for path in &carried {
                if let Ok(inside) = path.strip_prefix(&swap.target)
                    && !inside.as_os_str().is_empty()
                    && !swap.carry.iter().any(|outer| inside.starts_with(outer))
                {
                    swap.carry.push(inside.to_owned());
                    self.scene.notes.push(format!(
                        "{} is not in the point: it stays as it is",
                        path.display()
                    ));
                }
            }
        }
    }

    fn project(&mut self) {
        let Some(project) = &mut self.scene.missing.project else {
            return;
        };
        for root in std::mem::take(&mut project.roots) {
            let made = self.ours.contains(&Intent::Path(root.clone()));
            match fs_err::canonicalize(&root) {
                Ok(target) if !made => self.scene.merges.push(Merge {
                    aside: beside_files(&target, self.id),
                    root,
                }),
                _ => project.roots.push(root),
            }
        }
    }

    fn networks(&mut self) {
        self.scene.missing.networks.clear();
        for network in &self.point.manifest.networks {
            let made = self.ours.contains(&Intent::Network(network.name.clone()));
            let there = self.here.networks.iter().find(|n| n.name == network.name);
            match there.filter(|_| !made) {
                None => self.scene.missing.networks.push(network.clone()),
                Some(there) => networks::compare(
                    &there.raw,
                    self.point,
                    &network.name,
                    &mut self.scene.notes,
                    &mut self.scene.refused,
                ),
            }
        }
    }

    /// Stopping takes these away, so the way back makes them anew.
    fn removed_on_stop(&mut self) {
        for old in self
            .scene
            .old
            .iter()
            .filter(|old| old.auto_remove && old.running)
        {
            self.scene.notes.push(format!(
                "{} is removed by the engine when it stops (--rm): should it have to come back, it is made anew from its definition, without what was written outside its volumes",
                old.name
            ));
        }
    }

    /// What stands in the way of any restore, as far as it is not the old app itself.
    fn rest(&mut self, paths: &BTreeMap<String, PathState>, network: Option<&HostNetwork>) {
        let mut here = self.here.clone();
        here.containers.retain(|c| !self.is_old(c));
        let names: BTreeSet<&str> = self.scene.old.iter().map(|o| o.name.as_str()).collect();
        let mut missing = self.scene.missing.clone();
        missing
            .containers
            .retain(|c| !names.contains(c.name.as_str()));
        self.scene.refused.extend(obstacles(&Ground {
            manifest: &missing,
            definitions: &self.point.definitions,
            here: &here,
            ours: self.ours,
            network,
            paths,
        }));
        let extra = self.scene.old.iter().filter(|old| {
            let known = |c: &lifeboat_plan::manifest::ContainerRecord| c.name == old.name;
            !self.point.manifest.containers.iter().any(known)
        });
        let extra: Vec<&str> = extra.map(|old| old.name.as_str()).collect();
        if !extra.is_empty() {
            let of = self.part.map_or("the app", |_| "the service");
            self.scene.notes.push(format!(
                "{} belong(s) to {of} and is not in the point: it goes with the old ones",
                extra.join(", ")
            ));
        }
        if !self.ours.iter().any(|i| matches!(i, Intent::Replace(_))) {
            space::enough(
                &self.scene.swaps,
                &self.scene.missing,
                self.here,
                &mut self.scene.refused,
            );
        }
    }
}

/// What a person calls it.
pub(super) fn what(kind: &str, name: &str) -> String {
    match kind {
        "volume" => format!("volume {name}"),
        _ => format!("bind mount {name}"),
    }
}
