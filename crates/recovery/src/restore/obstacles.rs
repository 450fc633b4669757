//! What stands in the way of a restore, all at once and before anything is touched.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use lifeboat_plan::{
    inventory::Inventory,
    manifest::{BindContent, BindDecision, Manifest},
};

use super::journal::Intent;

/// Everything in the way, one sentence each with a way out. `ours` holds the intents of an
/// interrupted run: what these name is ours and no obstacle.
/// Volumes in `anew` are made by the engine under new names.
pub fn obstacles(
    manifest: &Manifest,
    here: &Inventory,
    ours: &BTreeSet<Intent>,
    anew: &BTreeMap<String, (String, String)>,
) -> Vec<String> {
    let mut found = Vec::new();
    containers(manifest, here, ours, &mut found);
    volumes(manifest, here, ours, anew, &mut found);
    networks(manifest, here, ours, &mut found);
    binds(manifest, ours, &mut found);
    platform(manifest, here, &mut found);
    found
}

fn containers(m: &Manifest, here: &Inventory, ours: &BTreeSet<Intent>, found: &mut Vec<String>) {
    for container in &m.containers {
        let in_use = here.containers.iter().find(|c| c.name == container.name);
        if let Some(other) =
            in_use.filter(|_| !ours.contains(&Intent::Container(container.name.clone())))
        {
            found.push(format!(
                "a container named {} is there already ({}); remove it or rename it (docker rename {} {}-old) first",
                other.name,
                other.id.get(..12).unwrap_or(&other.id),
                other.name,
                other.name
            ));
        }
    }
}

fn volumes(
    m: &Manifest,
    here: &Inventory,
    ours: &BTreeSet<Intent>,
    anew: &BTreeMap<String, (String, String)>,
    found: &mut Vec<String>,
) {
    for volume in m.volumes.iter().filter(|v| !anew.contains_key(&v.name)) {
        let there = here.volumes.iter().any(|v| v.name == volume.name);
        if there && !volume.shared && !ours.contains(&Intent::Volume(volume.name.clone())) {
            found.push(format!(
                "a volume named {} is there already and is never overwritten; save what is in it and remove it (docker volume rm {}) first",
                volume.name, volume.name
            ));
        }
    }
}

fn networks(m: &Manifest, here: &Inventory, ours: &BTreeSet<Intent>, found: &mut Vec<String>) {
    for network in &m.networks {
        let there = here.networks.iter().any(|n| n.name == network.name);
        if there && !network.shared && !ours.contains(&Intent::Network(network.name.clone())) {
            found.push(format!(
                "a network named {} is there already; remove it (docker network rm {}) first",
                network.name, network.name
            ));
        }
    }
}

fn binds(m: &Manifest, ours: &BTreeSet<Intent>, found: &mut Vec<String>) {
    for bind in &m.binds {
        let path = Path::new(&bind.source);
        let state = PathState::of(path);
        match bind.decision {
            BindDecision::Captured => {
                let is_ours = ours.contains(&Intent::Path(bind.source.clone()));
                if state == PathState::Something && !bind.shared && !is_ours {
                    found.push(format!(
                        "{} is there already and is never overwritten; move it away (mv {} {}.old) first",
                        bind.source, bind.source, bind.source
                    ));
                }
            }
            BindDecision::Within => {}
            // Without its source the engine makes an empty folder and the app starts afresh.
            _ => {
                let was_there = bind.content == BindContent::Present;
                if was_there && state != PathState::Something {
                    found.push(format!(
                        "{} held data when the point was made, is not in the point and is missing or empty here; put it there first, or the app starts with an empty folder",
                        bind.source
                    ));
                }
            }
        }
    }
}

fn platform(m: &Manifest, here: &Inventory, found: &mut Vec<String>) {
    let (was, is) = (&m.engine, &here.engine);
    if !was.os.is_empty() && !is.os.is_empty() && was.os != is.os {
        found.push(format!(
            "the app ran on {}, this engine runs {}",
            was.os, is.os
        ));
    } else if !was.architecture.is_empty()
        && !is.architecture.is_empty()
        && was.architecture != is.architecture
    {
        found.push(format!(
            "the app's images are for {}, this engine is {}; recover on an engine of that architecture",
            was.architecture, is.architecture
        ));
    }
    if is.user_namespaces != was.user_namespaces {
        found.push(
            "one of the two engines maps user ids (rootless or userns-remap) and the other does not; recover on an engine that is set up alike".to_owned(),
        );
    }
}

/// What stands at a path of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathState {
    /// Nothing.
    Absent,
    /// An empty folder.
    EmptyFolder,
    /// A file, or a folder with something in it.
    Something,
}

impl PathState {
    /// Looks, without following a symbolic link at the end.
    pub fn of(path: &Path) -> Self {
        match fs_err::symlink_metadata(path) {
            Err(_) => Self::Absent,
            Ok(meta) if meta.is_dir() => match fs_err::read_dir(path) {
                Ok(mut entries) => match entries.next() {
                    None => Self::EmptyFolder,
                    Some(_) => Self::Something,
                },
                Err(_) => Self::Something,
            },
            Ok(_) => Self::Something,
        }
    }
}
