//! Room for the new one beside the old one.

use std::{collections::BTreeMap, path::Path};

use lifeboat_plan::{
    inventory::Inventory,
    manifest::{BindDecision, Manifest},
};

use super::look::Swap;
use crate::restore::exchange::How;

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
    // Where the new one is made; a file that is copied over needs room for a copy of the old one too, and
    // for what it grows by.
    let swapped = swaps.iter().flat_map(|s| {
        let copied = How::of(&s.target, &s.aside) == How::Copied;
        let old = fs_err::metadata(&s.target).map_or(0, |meta| meta.len());
        let beside = if copied { s.bytes + old } else { s.bytes };
        let grows = if copied {
            s.bytes.saturating_sub(old)
        } else {
            0
        };
        [(s.aside.as_path(), beside), (s.target.as_path(), grows)]
    });
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
