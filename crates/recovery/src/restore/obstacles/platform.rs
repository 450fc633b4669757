//! The engine itself: what it runs, and how it maps ids.

use std::collections::BTreeMap;

use lifeboat_plan::{
    inventory::EngineFacts,
    manifest::{EngineRecord, Manifest},
};

use super::Ground;
use crate::restore::{ids::Ids, point::Definitions};

/// Architectures that processors of another one run as they are, as engines have it when they choose
/// among the platforms of an image.
const ALSO: [(&str, &str); 2] = [("amd64", "386"), ("arm64", "arm")];

pub(super) fn platform(on: &Ground<'_>, found: &mut Vec<String>) {
    let (was, is) = (&on.manifest.engine, &on.here.engine);
    if !was.os.is_empty() && !is.os.is_empty() && was.os != is.os {
        found.push(format!(
            "the app ran on {}, this engine runs {}; recover on an engine of that kind",
            was.os, is.os
        ));
    } else if was.architecture != is.architecture {
        for (architecture, images) in foreign(on.definitions, on.manifest, is) {
            found.push(format!(
                "the app's images are for {architecture} ({}), this engine is {}; recover on an engine of that architecture, or have such images for this one here and name them (--map-image OLD=NEW)",
                images.join(", "),
                is.architecture
            ));
        }
    }
    let here = Ids::of(&EngineRecord::from(is));
    if Ids::of(was).is_lost_on(&here) {
        found.push(
            "the app ran on a rootless engine, and nobody here can tell which of its host's user ids was which of the containers'; recover on that engine, or on one with the same data root".to_owned(),
        );
    }
}

/// What runs as it was where it ran, and may not here: an image for another architecture than the engine's,
/// at the point and here.
pub(super) fn emulated(on: &Ground<'_>) -> Vec<String> {
    let (was, is) = (&on.manifest.engine, &on.here.engine);
    if was.architecture != is.architecture {
        return Vec::new();
    }
    let foreign = foreign(on.definitions, on.manifest, is).into_iter();
    let said = foreign.map(|(architecture, images)| {
        format!(
            "{} is said to be for {architecture}, and ran on {} at the point as it will here; if that was by emulation (qemu-user-static), this host needs it too",
            images.join(", "),
            is.architecture
        )
    });
    said.collect()
}

/// Images that an engine does not run, by what they are for. Where an image does not say so itself it is
/// for what the engine of the point was.
pub fn foreign(
    definitions: &Definitions,
    manifest: &Manifest,
    here: &EngineFacts,
) -> BTreeMap<String, Vec<String>> {
    let is = here.architecture.as_str();
    let mut foreign: BTreeMap<String, Vec<String>> = BTreeMap::new();
    if is.is_empty() {
        return foreign;
    }
    let runs = |architecture: &str| architecture == is || ALSO.contains(&(is, architecture));
    for image in &manifest.images {
        let own = definitions.images.get(&image.id);
        let own = own.and_then(|raw| raw["Architecture"].as_str());
        let own = own.filter(|text| !text.is_empty());
        let own = own.unwrap_or(&manifest.engine.architecture);
        // With graph drivers an engine takes one platform of an image, the one that it was saved with.
        let others = definitions.platforms.get(&image.id);
        let others = others.filter(|_| chooses_platforms(here));
        if own.is_empty() || runs(own) || others.is_some_and(|all| all.iter().any(|a| runs(a))) {
            continue;
        }
        let name = image.tags.first().unwrap_or(&image.id).clone();
        foreign.entry(own.to_owned()).or_default().push(name);
    }
    foreign
}

/// `true` where images are kept in containerd's store, with all of their platforms.
fn chooses_platforms(engine: &EngineFacts) -> bool {
    let status = engine.raw["DriverStatus"].as_array();
    let mut pairs = status.into_iter().flatten();
    pairs.any(|pair| pair[0] == "driver-type" && pair[1] == "io.containerd.snapshotter.v1")
}
