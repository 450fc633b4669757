//! Room for the new one beside the old one.

use std::{collections::BTreeMap, path::Path};

use lifeboat_plan::{inventory::Inventory, manifest::BindDecision};

use super::look::Swap;
use crate::restore::point::OpenPoint;

/// What no file system should be filled up to.
const SPARE: u64 = 16 << 20;

/// Refuses where a file system has no room for both. What has holes may take less than it is counted for.
pub fn enough(swaps: &[Swap], point: &OpenPoint, here: &Inventory, refused: &mut Vec<String>) {
    let mut needs: BTreeMap<u64, (&Path, u64)> = BTreeMap::new();
    let data_root = Path::new(&here.engine.data_root);
    let fresh = point.definitions.fresh();
    let made = point.manifest.volumes.iter();
    let there = |name: &str| swaps.iter().any(|s| s.kind == "volume" && s.name == name);
    let volumes = made
        .filter(|v| fresh.contains_key(&v.name) || !there(&v.name))
        .map(|v| (data_root, v.bytes));
    let binds = point.manifest.binds.iter();
    let binds = binds
        .filter(|b| b.decision == BindDecision::Captured)
        .filter(|b| !swaps.iter().any(|s| s.kind == "bind" && s.name == b.source))
        .map(|b| (Path::new(&b.source), b.bytes));
    let swapped = swaps.iter().map(|s| (s.target.as_path(), s.bytes));
    for (path, bytes) in volumes.chain(binds).chain(swapped) {
        let near = path.ancestors().find(|p| p.exists());
        let Some(near) = near else { continue };
        if let Some(dev) = device(near) {
            needs.entry(dev).or_insert((near, 0)).1 += bytes;
        }
    }
    for (path, bytes) in needs.into_values() {
        let Ok(fs) = rustix::fs::statvfs(path) else {
            continue;
        };
        let free = fs.f_bavail.saturating_mul(fs.f_frsize);
        if bytes > 0 && bytes.saturating_add(SPARE) > free {
            refused.push(format!(
                "there is no room for the old data and the new beside each other: the file system of {} has {} MiB free, and {} MiB are needed; make room there first",
                path.display(),
                free >> 20,
                (bytes + SPARE) >> 20
            ));
        }
    }
}

fn device(path: &Path) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    fs_err::metadata(path).ok().map(|meta| meta.dev())
}
