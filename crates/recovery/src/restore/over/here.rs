//! What is asked of the host and of the engine's objects while a scene is looked at.

use std::path::{Path, PathBuf};

use lifeboat_engine::{Engine, HostNetwork};
use lifeboat_plan::{
    app::VolumeBacking,
    discover::backing,
    inventory::{Inventory, Mount, MountKind, Volume},
    path::is_within,
};

use super::{Old, look::Looking};
use crate::{
    Result,
    restore::{
        exchange::{self, How},
        maps::{Published, published},
        point::OpenPoint,
    },
};

impl Looking<'_> {
    /// Where a volume's data lies, and what is made aside of it.
    pub(super) fn place_of_volume(
        &mut self,
        what: &str,
        volume: &Volume,
    ) -> Result<Option<(PathBuf, PathBuf)>> {
        let (at, id) = (volume.mountpoint.as_str(), self.id);
        match backing(volume) {
            // A folder with a quota is not left.
            VolumeBacking::Directory if !volume.options.is_empty() => {
                self.swappable(what, at, |at| exchange::place_within(at, id))
            }
            VolumeBacking::Directory => {
                let name = &volume.name;
                self.swappable(what, at, |at| exchange::aside_of_volume(at, name, id))
            }
            VolumeBacking::LocalBind if self.reach.path(device(volume)) => {
                self.swappable(what, device(volume), |at| exchange::aside(at, id))
            }
            _ => {
                self.scene.refused.push(format!(
                    "{what} is made by driver {} with options of its own here, and its data is where only the engine reaches it; save what is in it, remove it with its containers and restore without --replace",
                    volume.driver
                ));
                Ok(None)
            }
        }
    }

    /// The real place and what lies aside of it, or the reason why not.
    pub(super) fn swappable(
        &mut self,
        what: &str,
        at: &str,
        beside: impl Fn(&Path) -> PathBuf,
    ) -> Result<Option<(PathBuf, PathBuf)>> {
        let target = match fs_err::canonicalize(at) {
            Ok(target) => target,
            Err(e) => {
                self.scene.refused.push(format!("{what}: {e}"));
                return Ok(None);
            }
        };
        let why = match exchange::place(&target, beside(&target), self.id)? {
            Ok(aside) => return Ok(Some((target, aside))),
            Err(why) => why,
        };
        self.scene.refused.push(format!(
            "{what} at {} cannot be replaced while the old one is kept: {why}; stop the app, save what is in it, and restore without --replace",
            target.display()
        ));
        Ok(None)
    }
}

/// Where a project's files are made: on their own file system, so in the project's folder if that is a
/// mount point. A single file of the project has its place beside it.
pub(super) fn beside_files(target: &Path, id: &str) -> PathBuf {
    let beside = exchange::aside(target, id);
    let apart = |place: &PathBuf| How::of(target, place) == How::Within;
    match exchange::place(target, beside.clone(), id) {
        Ok(Ok(place)) if apart(&place) => place,
        _ => beside,
    }
}

/// The folder that a volume with `o=bind` is.
pub(super) fn device(volume: &Volume) -> &str {
    volume.options.get("device").map_or("", String::as_str)
}

/// `true` if a mount shows what lies at a path of the engine's host, or in it: a bind mount, or a volume
/// that is a folder elsewhere.
pub(super) fn uses(mount: &Mount, here: &Inventory, path: &str) -> bool {
    match mount.kind {
        MountKind::Bind => is_within(&mount.source, path),
        MountKind::Volume => {
            let volumes = here.volumes.iter();
            let mut of_name = volumes.filter(|v| Some(&v.name) == mount.name.as_ref());
            is_within(&mount.source, path)
                || of_name.any(|v| !device(v).is_empty() && is_within(device(v), path))
        }
        _ => false,
    }
}

/// Who listens on ports that are mapped to. On all others the old app itself listens, as it may on one that
/// is mapped to: it goes before the new one comes.
pub(super) fn mapped_ports(
    engine: &dyn Engine,
    point: &OpenPoint,
    here: &Inventory,
    old: &[Old],
) -> Option<HostNetwork> {
    let mapped = &point.definitions.renamed.ports;
    if mapped.is_empty() {
        return None;
    }
    let containers = here.containers.iter();
    let olds = containers.filter(|c| old.iter().any(|old| old.id == c.id));
    let raws = olds.map(|c| {
        let bindings = c.raw["NetworkSettings"]["Ports"].clone();
        let raw = serde_json::json!({"HostConfig": {"PortBindings": bindings}});
        (c.name.clone(), raw)
    });
    let own = published(&raws.collect());
    let mut network = engine.host_network()?;
    network.listening.retain(|l| {
        let is_own = |p: &Published| p.number == l.port && p.protocol() == l.protocol;
        mapped.contains_key(&l.port) && !own.iter().any(is_own)
    });
    Some(network)
}
