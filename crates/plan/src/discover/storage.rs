//! Volumes and bind mounts of an app, and volumes that are apps by themselves.

use std::collections::{BTreeMap, BTreeSet};

use crate::app::{
    App, AppBind, AppKind, AppVolume, BindClass, ComposeProject, Note, Use, VolumeBacking,
};
use crate::bind;
use crate::inventory::{Container, Inventory, Mount, MountKind, Volume};
use crate::label;
use crate::name::AppName;
use crate::path;

use super::group::Group;

fn use_of(c: &Container, m: &Mount) -> Use {
    Use {
        container: c.id.clone(),
        container_name: c.name.clone(),
        destination: m.destination.clone(),
        writable: m.writable,
    }
}

/// Volumes that the group's containers mount or that its labels claim.
pub(super) fn volumes(group: &Group<'_>, inventory: &Inventory) -> Vec<AppVolume> {
    let mut uses: BTreeMap<&str, (Vec<Use>, &Mount)> = BTreeMap::new();
    for c in &group.containers {
        for m in c.mounts.iter().filter(|m| m.kind == MountKind::Volume) {
            if let Some(name) = &m.name {
                uses.entry(name)
                    .or_insert_with(|| (Vec::new(), m))
                    .0
                    .push(use_of(c, m));
            }
        }
    }
    let mut found = Vec::new();
    for v in &inventory.volumes {
        let used = uses.remove(v.name.as_str()).map(|(uses, _)| uses);
        if used.is_none() && !group.claims(&v.labels) {
            continue;
        }
        let mut volume = volume(v, used.unwrap_or_default());
        volume.external = !volume.anonymous && group.is_foreign(&v.labels);
        found.push(volume);
    }
    for (name, (uses, mount)) in uses {
        found.push(AppVolume {
            name: name.to_owned(),
            driver: String::new(),
            mountpoint: mount.source.clone(),
            anonymous: is_anonymous_name(name),
            backing: VolumeBacking::Missing,
            external: false,
            shared_with: Vec::new(),
            uses,
        });
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn volume(v: &Volume, mut uses: Vec<Use>) -> AppVolume {
    uses.sort_by(|a, b| {
        (&a.container_name, &a.destination).cmp(&(&b.container_name, &b.destination))
    });
    AppVolume {
        name: v.name.clone(),
        driver: v.driver.clone(),
        mountpoint: v.mountpoint.clone(),
        anonymous: v.labels.contains_key(label::ANONYMOUS) || is_anonymous_name(&v.name),
        backing: backing(v),
        external: false,
        shared_with: Vec::new(),
        uses,
    }
}

fn is_anonymous_name(name: &str) -> bool {
    name.len() == 64 && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// What lies behind a volume, by its driver and options. The options themselves may hold passwords
/// and go no further.
pub fn backing(v: &Volume) -> VolumeBacking {
    if v.driver != "local" {
        return VolumeBacking::Plugin;
    }
    let option = |key: &str| v.options.get(key).map_or("", |value| value.trim());
    let (kind, device) = (option("type").to_ascii_lowercase(), option("device"));
    if option("o")
        .split(',')
        .any(|o| matches!(o.trim(), "bind" | "rbind"))
    {
        return VolumeBacking::LocalBind;
    }
    match kind.as_str() {
        "tmpfs" | "ramfs" => VolumeBacking::Memory,
        // Quotas, owners and the like leave it a plain directory.
        "" | "none" if device.is_empty() => VolumeBacking::Directory,
        kind if [
            "nfs",
            "cifs",
            "smb",
            "sshfs",
            "fuse",
            "ceph",
            "glusterfs",
            "9p",
        ]
        .iter()
        .any(|r| kind.starts_with(r)) =>
        {
            VolumeBacking::Remote
        }
        _ => VolumeBacking::OtherMount,
    }
}

/// Bind sources of the group's containers, each once.
pub(super) fn binds(
    group: &Group<'_>,
    inventory: &Inventory,
    volumes: &[AppVolume],
    project: Option<&ComposeProject>,
    notes: &mut Vec<Note>,
) -> Vec<AppBind> {
    let project_dir = project.and_then(|p| p.working_dir.as_deref());
    let mut found: BTreeMap<String, AppBind> = BTreeMap::new();
    for c in &group.containers {
        for m in c.mounts.iter().filter(|m| m.kind == MountKind::Bind) {
            let Some(source) = path::join("/", &m.source).filter(|_| m.source.starts_with('/'))
            else {
                notes.push(Note::warning(format!(
                    "{} mounts `{}`, which is no path of this host: it is not captured",
                    c.name, m.source
                )));
                continue;
            };
            let bind = found.entry(source.clone()).or_insert_with(|| AppBind {
                class: classify(&source, project_dir, inventory, volumes, notes),
                source,
                nested_in: None,
                shared_with: Vec::new(),
                uses: Vec::new(),
            });
            bind.uses.push(use_of(c, m));
        }
    }
    // What is never captured holds nothing for what lies in it.
    let data: Vec<&str> = found
        .values()
        .filter(|b| !b.is_system())
        .map(|b| b.source.as_str())
        .collect();
    let mountpoints: Vec<&str> = volumes
        .iter()
        .filter(|v| v.backing.is_readable())
        .map(|v| v.mountpoint.as_str())
        .collect();
    let outer: Vec<&str> = data
        .iter()
        .copied()
        .chain(mountpoints.iter().copied())
        .collect();
    let nested: BTreeMap<String, String> = data
        .iter()
        .filter_map(|source| {
            let same = mountpoints.iter().find(|m| **m == *source).copied();
            let above = outer
                .iter()
                .filter(|o| **o != *source && !o.is_empty() && path::is_within(source, o))
                .min_by_key(|o| o.len())
                .copied();
            Some(((*source).to_owned(), same.or(above)?.to_owned()))
        })
        .collect();
    found
        .into_values()
        .map(|mut b| {
            b.nested_in = nested.get(&b.source).cloned();
            b
        })
        .collect()
}

/// As [`bind::classify`], but a path in a volume's data directory is that volume's data.
fn classify(
    source: &str,
    project_dir: Option<&str>,
    inventory: &Inventory,
    volumes: &[AppVolume],
    notes: &mut Vec<Note>,
) -> BindClass {
    let class = bind::classify(source, project_dir, &inventory.engine.data_root);
    if !matches!(class, BindClass::System { .. }) {
        return class;
    }
    let inside = |mountpoint: &str| {
        path::clean(mountpoint).is_some_and(|m| m != "/" && path::is_within(source, &m))
    };
    if volumes
        .iter()
        .any(|v| v.backing.is_readable() && inside(&v.mountpoint))
    {
        return BindClass::Data;
    }
    match inventory.volumes.iter().find(|v| inside(&v.mountpoint)) {
        None => class,
        Some(v) => {
            notes.push(Note::warning(format!(
                "{source} is the data of volume {}, mounted by its path: it is captured with app {} only",
                v.name,
                AppName::of_volume(&v.name).map_or_else(|_| v.name.clone(), String::from)
            )));
            BindClass::System {
                what: format!("the data of volume {}", v.name),
            }
        }
    }
}

/// Volumes that no app claims: each an app of its own.
pub(super) fn unclaimed_volumes(
    inventory: &Inventory,
    apps: &[App],
    notes: &mut Vec<Note>,
) -> Vec<App> {
    let claimed: BTreeSet<&str> = apps
        .iter()
        .flat_map(|a| &a.volumes)
        .map(|v| v.name.as_str())
        .collect();
    let mut found = Vec::new();
    for v in inventory
        .volumes
        .iter()
        .filter(|v| !claimed.contains(v.name.as_str()))
    {
        let name = match AppName::of_volume(&v.name) {
            Ok(name) => name,
            Err(error) => {
                notes.push(Note::warning(format!("a volume is not protected: {error}")));
                continue;
            }
        };
        let mut own = Vec::new();
        let mounted: Vec<&str> = inventory
            .containers
            .iter()
            .filter(|c| {
                c.mounts
                    .iter()
                    .any(|m| m.kind == MountKind::Volume && m.name.as_ref() == Some(&v.name))
            })
            .map(|c| c.name.as_str())
            .collect();
        if !mounted.is_empty() {
            own.push(Note::info(format!(
                "only {} uses it, which is part of no app",
                mounted.join(", ")
            )));
        }
        found.push(App {
            name,
            kind: AppKind::Volume,
            containers: Vec::new(),
            volumes: vec![volume(v, Vec::new())],
            binds: Vec::new(),
            networks: Vec::new(),
            images: Vec::new(),
            project: None,
            databases: Vec::new(),
            notes: own,
            enabled: label::flag(&v.labels, label::ENABLE) != Some(false),
        });
    }
    found
}
