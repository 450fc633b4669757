//! Room for the new one beside the old one.

use std::{collections::BTreeMap, path::Path};

use lifeboat_plan::{
    inventory::Inventory,
    manifest::{BindDecision, Manifest},
};

use super::look::Swap;

/// What no file system should be filled up to.
const SPARE: u64 = 16 << 20;

/// Refuses where a file system has no room for what changes places and what is made anew, beside what is
/// there. What has holes may take less than it is counted for.
pub fn enough(swaps: &[Swap], missing: &Manifest, here: &Inventory, refused: &mut Vec<String>) {
    let mut needs: BTreeMap<u64, (&Path, u64)> = BTreeMap::new();
    let data_root = Path::new(&here.engine.data_root);
    let volumes = missing.volumes.iter().map(|v| (data_root, v.bytes));
    let binds = missing.binds.iter();
    let binds = binds
        .filter(|b| b.decision == BindDecision::Captured)
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
