//! Names that are in use: containers, volumes, networks.

use super::Ground;
use crate::restore::journal::Intent;

pub(super) fn containers(on: &Ground<'_>, found: &mut Vec<String>) {
    for container in &on.manifest.containers {
        let in_use = on.here.containers.iter().find(|c| c.name == container.name);
        if let Some(other) =
            in_use.filter(|_| !on.ours.contains(&Intent::Container(container.name.clone())))
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

pub(super) fn volumes(on: &Ground<'_>, found: &mut Vec<String>) {
    for volume in on
        .manifest
        .volumes
        .iter()
        .filter(|v| !on.definitions.fresh().contains_key(&v.name))
    {
        let there = on.here.volumes.iter().any(|v| v.name == volume.name);
        if there && !volume.shared && !on.ours.contains(&Intent::Volume(volume.name.clone())) {
            found.push(format!(
                "a volume named {} is there already and is never overwritten; save what is in it and remove it (docker volume rm {}) first, or give the app's another name (--map-volume {}:NEW)",
                volume.name, volume.name, on.was(&volume.name)
            ));
        }
    }
}

pub(super) fn networks(on: &Ground<'_>, found: &mut Vec<String>) {
    for network in &on.manifest.networks {
        let there = on.here.networks.iter().any(|n| n.name == network.name);
        // Named by `--map-network`, it is what the app is to be attached to.
        let mut named = on.definitions.renamed.networks.values();
        let there = there && !named.any(|name| *name == network.name);
        if there && !network.shared && !on.ours.contains(&Intent::Network(network.name.clone())) {
            found.push(format!(
                "a network named {} is there already; remove it (docker network rm {}) first, give the app's another name (--map-network {}:NEW), or attach it to one that is there (the same with its name)",
                network.name, network.name, on.was(&network.name)
            ));
        }
    }
}
