//! Who takes what the host runs short of: room (writable layers, logs, volumes) or memory (cgroups).
//!
//! It is read from the host itself and costs the engine no more than an inspect answer each. Files are counted for
//! [`LONGEST`] in all and [`EACH`] a place; what was not counted to the end says so.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fs_err as fs;
use lifeboat_engine::Engine;
use lifeboat_engine::freezer::memory_cgroup;
use lifeboat_plan::supervise::blame::{Shortage, Taker};
use serde_json::Value;

/// So long all files are counted.
const LONGEST: Duration = Duration::from_secs(10);
/// So long those of one place are.
const EACH: Duration = Duration::from_secs(2);

/// Those who take of it, in no order. What cannot be read is left out.
pub(crate) fn takers(engine: &dyn Engine, shortage: Shortage) -> Vec<Taker> {
    let listed = match engine.list_containers() {
        Ok(listed) => listed,
        Err(error) => {
            tracing::warn!(%error, "it is not known who takes what is short");
            return Vec::new();
        }
    };
    let inspected = listed
        .iter()
        .filter_map(|one| Some((one.name.clone(), engine.inspect_container(&one.id).ok()?)));
    match shortage {
        Shortage::Memory => inspected
            .filter_map(|(name, raw)| {
                Some(Taker {
                    what: name,
                    bytes: memory(process(&raw)?)?,
                    all: true,
                })
            })
            .collect(),
        Shortage::Disk => {
            let root = engine.facts().ok().map(|facts| facts.data_root);
            let meta = root.and_then(|root| fs::symlink_metadata(root).ok());
            meta.map_or_else(Vec::new, |meta| on_disk(inspected, meta.dev()))
        }
    }
}

fn process(raw: &Value) -> Option<u32> {
    let pid = u32::try_from(raw["State"]["Pid"].as_u64()?).ok()?;
    (pid > 0).then_some(pid)
}

/// What a container holds in memory and cannot give back at once, as the kernel counts it.
fn memory(pid: u32) -> Option<u64> {
    let cgroup = memory_cgroup(pid)?;
    let number = |name: &str| -> Option<u64> {
        fs::read_to_string(cgroup.join(name))
            .ok()?
            .trim()
            .parse()
            .ok()
    };
    let used = number("memory.current").or_else(|| number("memory.usage_in_bytes"))?;
    let stat = fs::read_to_string(cgroup.join("memory.stat")).unwrap_or_default();
    Some(used.saturating_sub(idle_files(&stat)))
}

/// Pages of files that nobody used lately: they go when somebody needs the room.
fn idle_files(stat: &str) -> u64 {
    let of = |key: &str| {
        let mut lines = stat.lines();
        lines.find_map(|line| line.strip_prefix(key)?.trim().parse().ok())
    };
    of("total_inactive_file ")
        .or_else(|| of("inactive_file "))
        .unwrap_or(0)
}

/// Those whose files lie on this device; a volume may be a disk of its own.
fn on_disk(inspected: impl Iterator<Item = (String, Value)>, device: u64) -> Vec<Taker> {
    let mut takers = Vec::new();
    let mut layers: Vec<(String, PathBuf)> = Vec::new();
    let mut volumes: BTreeMap<String, (PathBuf, Vec<String>)> = BTreeMap::new();
    for (name, raw) in inspected {
        if let Some(bytes) = raw["LogPath"]
            .as_str()
            .and_then(|path| logs(Path::new(path)))
        {
            let what = format!("the log of {name}");
            takers.push(Taker {
                what,
                bytes,
                all: true,
            });
        }
        layers.extend(layer(&raw).map(|path| (name.clone(), path)));
        let mounts = raw["Mounts"].as_array().into_iter().flatten();
        for mount in mounts.filter(|mount| mount["Type"] == "volume") {
            if let (Some(volume), Some(source)) = (mount["Name"].as_str(), mount["Source"].as_str())
            {
                let known = volumes.entry(volume.to_owned());
                known
                    .or_insert_with(|| (source.into(), Vec::new()))
                    .1
                    .push(name.clone());
            }
        }
    }
    let end = Instant::now() + LONGEST;
    let mut count = |what: String, path: &Path| {
        let is_there = fs::symlink_metadata(path).is_ok_and(|meta| meta.dev() == device);
        let counted = is_there.then(|| usage(path, end.min(Instant::now() + EACH)));
        if let Some((bytes, all)) = counted.flatten() {
            takers.push(Taker { what, bytes, all });
        }
    };
    for (name, path) in layers {
        count(format!("what {name} wrote into itself"), &path);
    }
    for (volume, (path, users)) in volumes {
        let volume = volume
            .get(..12)
            .filter(|_| volume.len() == 64)
            .unwrap_or(&volume);
        count(
            format!("the volume {volume} of {}", users.join(" and ")),
            &path,
        );
    }
    takers
}

/// Its log and the ones that were rotated.
fn logs(path: &Path) -> Option<u64> {
    let name = path.file_name()?;
    let entries = fs::read_dir(path.parent()?).ok()?.flatten();
    let own = entries.filter(|entry| {
        let other = entry.file_name();
        other
            .as_encoded_bytes()
            .starts_with(name.as_encoded_bytes())
    });
    Some(
        own.filter_map(|entry| Some(entry.metadata().ok()?.blocks() * 512))
            .sum(),
    )
}

/// Where its writable layer lies: as the engine says it, else (containerd's store) as the kernel does while it runs.
fn layer(raw: &Value) -> Option<PathBuf> {
    if let Some(path) = raw["GraphDriver"]["Data"]["UpperDir"].as_str() {
        return Some(path.into());
    }
    let mounts = fs::read_to_string(format!("/proc/{}/mountinfo", process(raw)?)).ok()?;
    upper(&mounts)
}

fn upper(mounts: &str) -> Option<PathBuf> {
    let root = mounts
        .lines()
        .find(|line| line.split(' ').nth(4) == Some("/"))?;
    let options = root.split_once(" - ")?.1.rsplit(' ').next()?;
    let upper = options
        .split(',')
        .find_map(|option| option.strip_prefix("upperdir="));
    upper.map(PathBuf::from)
}

/// Bytes on disk of all that lies below, on the same file system, and whether it was counted to the end.
fn usage(root: &Path, end: Instant) -> Option<(u64, bool)> {
    let top = fs::symlink_metadata(root).ok()?;
    let mut bytes = 0;
    let mut left = vec![root.to_owned()];
    while let Some(folder) = left.pop() {
        // A folder that is gone, or that we may not read, holds nothing that can be named.
        let Ok(entries) = fs::read_dir(&folder) else {
            continue;
        };
        for entry in entries.flatten() {
            if Instant::now() > end {
                return Some((bytes, false));
            }
            let Ok(meta) = fs::symlink_metadata(entry.path()) else {
                continue;
            };
            if meta.dev() != top.dev() {
                continue;
            }
            // Each of its names has a share of a file with several.
            bytes += meta.blocks() * 512 / meta.nlink().max(1);
            if meta.is_dir() {
                left.push(entry.path());
            }
        }
    }
    Some((bytes, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_counted_for_a_while() {
        let dir = tempfile::tempdir().unwrap();
        let below = dir.path().join("a/b");
        fs::create_dir_all(&below).unwrap();
        fs::write(below.join("large"), vec![1; 3 << 20]).unwrap();
        std::os::unix::fs::symlink("/", dir.path().join("out")).unwrap();
        let soon = Instant::now() + Duration::from_secs(60);
        let (bytes, all) = usage(dir.path(), soon).unwrap();
        assert!(all && (3 << 20..4 << 20).contains(&bytes), "{bytes}");
        assert_eq!(usage(dir.path(), Instant::now() - EACH), Some((0, false)));
        assert_eq!(usage(Path::new("/no/such/place"), soon), None);
        for (name, size) in [("x.log", 8192), ("x.log.1", 4096), ("y.log", 1 << 20)] {
            fs::write(dir.path().join(name), vec![1; size]).unwrap();
        }
        assert_eq!(logs(&dir.path().join("x.log")), Some(12288));
    }

    #[test]
    fn what_the_kernel_says() {
        let mounts = "600 500 0:60 / / rw,relatime - overlay overlay rw,lowerdir=/l/1:/l/2,upperdir=/data/snapshots/7/fs,workdir=/w\n601 600 0:61 / /proc rw - proc proc rw\n";
        assert_eq!(upper(mounts), Some("/data/snapshots/7/fs".into()));
        assert_eq!(upper("1 0 8:1 / / rw - ext4 /dev/x rw\n"), None);
        assert_eq!(idle_files("anon 5\ninactive_file 4096\n"), 4096);
        assert_eq!(
            idle_files("inactive_file 1\ntotal_inactive_file 8192\n"),
            8192
        );
        assert_eq!(idle_files(""), 0);
    }
}
