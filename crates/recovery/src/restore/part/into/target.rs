//! Where a path of a container lies on this host.

use std::{
    fmt,
    path::{Path, PathBuf},
};

use lifeboat_engine::Engine;
use lifeboat_plan::{
    inventory::{Container, Mount, MountKind},
    label, path,
};

use super::Wanted;
use crate::{
    RecoveryError, Result,
    restore::{point::OpenPoint, reach::Reach},
};

/// A path in a container that is there.
pub struct Target {
    /// Container id.
    pub id: String,
    /// Container name.
    pub name: String,
    /// Its Compose service.
    pub service: Option<String>,
    /// The path, as the container sees it.
    pub path: String,
    /// Where it lies.
    pub place: Place,
    /// Where its mounts are, as it sees them.
    mounts: Vec<String>,
}

/// Where a path lies.
pub enum Place {
    /// In a folder of this host.
    Local {
        /// The mount's own folder; nothing outside of it is reached.
        root: PathBuf,
        /// The path below it, without a leading `/`; empty for the folder itself.
        below: String,
        /// Where it is mounted.
        mounted: String,
        /// Volume name; a bind without.
        volume: Option<String>,
    },
    /// Where only the engine gets: the container's writable layer, or a mount on another machine.
    Engine(String),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local {
                volume: Some(name), ..
            } => write!(f, "volume {name}"),
            Self::Local { root, .. } => write!(f, "bind {}", root.display()),
            Self::Engine(what) => f.write_str(what),
        }
    }
}

impl Target {
    /// Finds the container on the engine, and the place of the path in it.
    pub fn find(
        engine: &dyn Engine,
        point: &OpenPoint,
        reach: &Reach,
        wanted: &Wanted,
    ) -> Result<Self> {
        if reach.address().is_none() && !reach.volumes() {
            return Err(RecoveryError::Refused(
                "user ids are mapped otherwise on this engine than they were at the point, and the files would belong to strangers; restore them with --target and copy them with `docker cp`".to_owned(),
            ));
        }
        let here = engine.inventory()?;
        let container = container(&here.containers, point, &wanted.container)?;
        let mounts = container.mounts.iter().map(|m| clean(&m.destination));
        Ok(Self {
            id: container.id.clone(),
            name: container.name.clone(),
            service: label::get(&container.labels, label::SERVICE).map(str::to_owned),
            path: wanted.path.clone(),
            place: place(container, &wanted.path, reach)?,
            mounts: mounts.collect(),
        })
    }

    /// `true` if a path of the container lies in the same mount as the target itself.
    pub fn is_in_the_same_mount(&self, at: &str) -> bool {
        let mounted = match &self.place {
            Place::Local { mounted, .. } => Some(mounted),
            Place::Engine(_) => self.mount_of(&self.path),
        };
        self.mount_of(at) == mounted
    }

    fn mount_of(&self, at: &str) -> Option<&String> {
        let above = self.mounts.iter().filter(|m| path::is_within(at, m));
        above.max_by_key(|m| m.len())
    }
}

fn container<'c>(all: &'c [Container], point: &OpenPoint, given: &str) -> Result<&'c Container> {
    if let Some(found) = lifeboat_plan::order::target(given, all) {
        return Ok(found);
    }
    let project = point.manifest.project.as_ref().map(|p| p.name.as_str());
    let of_service: Vec<&Container> = all
        .iter()
        .filter(|c| label::get(&c.labels, label::SERVICE) == Some(given))
        .filter(|c| project.is_none() || label::get(&c.labels, label::PROJECT) == project)
        .collect();
    match of_service.as_slice() {
        [only] => Ok(only),
        [] => Err(RecoveryError::NotFound(format!(
            "there is no container or service `{}` on this engine; `lifeboat apps` lists what there is",
            given.escape_debug()
        ))),
        several => {
            let names: Vec<&str> = several.iter().map(|c| c.name.as_str()).collect();
            Err(RecoveryError::NotFound(format!(
                "`{given}` is a service of several containers; name one of {}",
                names.join(", ")
            )))
        }
    }
}

fn place(container: &Container, wanted: &str, reach: &Reach) -> Result<Place> {
    let covers = |m: &&Mount| path::is_within(wanted, &clean(&m.destination));
    let mount = container.mounts.iter().filter(covers);
    let Some(mount) = mount.max_by_key(|m| clean(&m.destination).len()) else {
        return Ok(Place::Engine("writable layer".to_owned()));
    };
    let mounted = clean(&mount.destination);
    let refuse = |why: &str| {
        Err(RecoveryError::Refused(format!(
            "{wanted} of {} lies in what is mounted on {mounted}, {why}; nothing was changed",
            container.name
        )))
    };
    match mount.kind {
        MountKind::Tmpfs => return refuse("which is memory and gone with its container"),
        MountKind::Other => return refuse("of a kind that nothing is written into"),
        MountKind::Volume | MountKind::Bind => {}
    }
    let root = Path::new(&mount.source);
    let volume = mount
        .name
        .clone()
        .filter(|_| mount.kind == MountKind::Volume);
    let ours = match volume {
        Some(_) => reach.volumes(),
        None => reach.path(&mount.source),
    };
    if !ours {
        let what = match &volume {
            Some(name) => format!("volume {name}"),
            None => format!("bind {}", mount.source),
        };
        return Ok(Place::Engine(format!("{what}, through the engine")));
    }
    let below = if mounted == "/" {
        wanted.trim_start_matches('/')
    } else {
        wanted.get(mounted.len()..).unwrap_or_default()
    };
    let below = below.trim_start_matches('/').to_owned();
    match fs_err::metadata(root) {
        Ok(meta) if meta.is_dir() => {}
        Ok(_) => {
            return refuse(
                "a single file of the host, which the container holds by itself and not by its name: restore it with `--bind`, or stop the container and restore the file with `--target`",
            );
        }
        Err(e) => {
            return refuse(&format!(
                "whose folder {} cannot be seen ({e})",
                root.display()
            ));
        }
    }
    Ok(Place::Local {
        root: root.to_owned(),
        below,
        mounted,
        volume,
    })
}

fn clean(destination: &str) -> String {
    path::clean(destination).unwrap_or_else(|| destination.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(mounts: &[(MountKind, &str, &str)]) -> Container {
        let mount = |(kind, source, destination): &(MountKind, &str, &str)| Mount {
            kind: *kind,
            source: (*source).to_owned(),
            destination: (*destination).to_owned(),
            ..Mount::default()
        };
        Container {
            mounts: mounts.iter().map(mount).collect(),
            ..Container::default()
        }
    }

    #[test]
    fn the_longest_mount_counts_and_memory_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let inner = dir.path().join("inner");
        fs_err::create_dir(&inner).unwrap();
        let file = dir.path().join("file");
        fs_err::write(&file, "x").unwrap();
        let of = |path: &Path| path.display().to_string();
        let (outer, inner, file) = (of(dir.path()), of(&inner), of(&file));
        let c = container(&[
            (MountKind::Bind, &outer, "/data/"),
            (MountKind::Volume, &inner, "/data/inner"),
            (MountKind::Tmpfs, "", "/data/tmp"),
            (MountKind::Bind, &file, "/etc/one"),
        ]);
        let below = |at: &str| match place(&c, at, &Reach::ours()) {
            Ok(Place::Local { root, below, .. }) => Some((of(&root), below)),
            Ok(Place::Engine(_)) => None,
            Err(e) => Some((e.to_string(), String::new())),
        };
        assert_eq!(below("/data/a/b"), Some((outer.clone(), "a/b".to_owned())));
        assert_eq!(below("/data"), Some((outer, String::new())));
        assert_eq!(below("/data/inner/x"), Some((inner, "x".to_owned())));
        assert_eq!(below("/dataset"), None);
        for refused in ["/data/tmp/x", "/etc/one"] {
            assert!(place(&c, refused, &Reach::ours()).is_err(), "{refused}");
        }
    }
}
