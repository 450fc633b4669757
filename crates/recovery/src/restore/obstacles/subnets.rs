//! Subnets that overlap with those of networks that are there already, where they cannot give way.

use super::Ground;
use crate::restore::maps::{self, fixed};

pub(super) fn overlaps(on: &Ground<'_>, found: &mut Vec<String>) {
    for network in &on.manifest.networks {
        if on.here.networks.iter().any(|n| n.name == network.name) {
            continue;
        }
        let Some(raw) = on.definitions.networks.get(&network.name) else {
            continue;
        };
        let Some((subnet, other)) = maps::overlap(raw, on.here) else {
            continue;
        };
        let was = on.was(&network.name);
        let users = fixed(&on.definitions.containers, was);
        let users = users.into_iter().filter(|(_, a)| subnet.contains(*a));
        let users: Vec<String> = users.map(|(name, a)| format!("{name} ({a})")).collect();
        let why = if users.is_empty() {
            String::new()
        } else {
            format!(", and {} have addresses in it", users.join(", "))
        };
        found.push(format!(
            "the subnet {subnet} of the network {} overlaps with that of {other}, which is there already{why}; move it with its addresses (--map-subnet {subnet}:NEW), or attach the app to that network (--map-network {was}:{other})",
            network.name
        ));
    }
}
