//! Which folders lead to which point: `ids/ID`, `snapshots/TIME`, `hosts/HOST/TIME`, `tags/TAG/TIME`,
//! `apps/APP/TIME`, each with a link `latest`. Names as people know them from restic.

use std::{collections::BTreeMap, sync::Arc};

use lifeboat_vault::{BlobId, SnapshotId, Timestamp};

/// A recovery point to show.
#[derive(Debug, Clone)]
pub struct MountedPoint {
    /// Its id.
    pub id: SnapshotId,
    /// Its root tree.
    pub tree: BlobId,
    /// When its capture began, RFC 3339.
    pub time: String,
    /// The host's given name.
    pub host: String,
    /// The app, for a recovery point of one.
    pub app: Option<String>,
    /// Tags.
    pub tags: Vec<String>,
}

/// What stands in a folder of the layout.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    Folder(Arc<Folder>),
    Point(Arc<MountedPoint>),
    Link(Vec<u8>),
}

/// A folder that is in no vault.
#[derive(Debug, Default)]
pub(crate) struct Folder {
    pub(crate) items: BTreeMap<Vec<u8>, Item>,
    /// Of the newest point below it.
    pub(crate) time: Timestamp,
}

/// A folder in the making.
#[derive(Default)]
struct Making {
    folders: BTreeMap<Vec<u8>, Making>,
    points: Vec<(Vec<u8>, Arc<MountedPoint>)>,
}

/// Lays the points out, oldest first.
pub(crate) fn lay_out(points: &[MountedPoint]) -> Folder {
    let mut root = Making::default();
    for name in ["ids", "snapshots", "hosts", "tags", "apps"] {
        root.folders.insert(name.into(), Making::default());
    }
    let apps = app_names(points);
    for (point, app) in points.iter().zip(apps) {
        let point = Arc::new(point.clone());
        let time = name(&point.time);
        root.put(&["ids"], point.id.short().into_bytes(), &point);
        root.put(&["snapshots"], time.clone(), &point);
        root.put(&["hosts", &point.host], time.clone(), &point);
        for tag in &point.tags {
            root.put(&["tags", tag], time.clone(), &point);
        }
        if let Some(app) = app {
            root.put(&["apps", &app], time.clone(), &point);
        }
    }
    root.finish(true)
}

/// The name of each point's app; with the host where two hosts have an app of this name.
fn app_names(points: &[MountedPoint]) -> Vec<Option<String>> {
    let mut hosts: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for point in points {
        if let Some(app) = &point.app {
            let hosts = hosts.entry(app).or_default();
            if !hosts.contains(&point.host.as_str()) {
                hosts.push(&point.host);
            }
        }
    }
    let named = |point: &MountedPoint| {
        let app = point.app.as_ref()?;
        match hosts.get(app.as_str()).map_or(0, Vec::len) {
            0 | 1 => Some(app.clone()),
            _ => Some(format!("{app}@{}", point.host)),
        }
    };
    points.iter().map(named).collect()
}

/// What a person or another program wrote, as a name of one folder.
fn name(text: &str) -> Vec<u8> {
    let bytes: Vec<u8> = text
        .bytes()
        .map(|b| if matches!(b, b'/' | 0) { b'_' } else { b })
        .take(200)
        .collect();
    match bytes.as_slice() {
        b"" | b"." | b".." => b"_".to_vec(),
        _ => bytes,
    }
}

impl Making {
    fn put(&mut self, path: &[&str], last: Vec<u8>, point: &Arc<MountedPoint>) {
        let mut folder = self;
        for part in path {
            folder = folder.folders.entry(name(part)).or_default();
        }
        folder.points.push((last, point.clone()));
    }

    fn finish(self, root: bool) -> Folder {
        let mut done = Folder::default();
        for (name, folder) in self.folders {
            let folder = folder.finish(false);
            done.time = done.time.max(folder.time);
            done.items.insert(name, Item::Folder(Arc::new(folder)));
        }
        let mut latest: Option<(Timestamp, Vec<u8>)> = None;
        for (base, point) in self.points {
            // Two of one second, or ids that begin alike.
            let mut name = base.clone();
            let mut number = 1;
            while done.items.contains_key(&name) {
                number += 1;
                name = [&base[..], format!("-{number}").as_bytes()].concat();
            }
            let time = Timestamp::parse_rfc3339(&point.time).unwrap_or_default();
            done.time = done.time.max(time);
            if latest.as_ref().is_none_or(|(newest, _)| *newest <= time) {
                latest = Some((time, name.clone()));
            }
            done.items.insert(name, Item::Point(point));
        }
        if let (false, Some((_, name))) = (root, latest) {
            done.items.insert(b"latest".to_vec(), Item::Link(name));
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(n: u8, host: &str, app: &str, tags: &[&str]) -> MountedPoint {
        MountedPoint {
            id: SnapshotId([n; 32]),
            tree: BlobId([n; 32]),
            time: format!("2026-01-0{n}T00:00:00Z"),
            host: host.to_owned(),
            app: (!app.is_empty()).then(|| app.to_owned()),
            tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        }
    }

    fn paths(folder: &Folder, at: &str, all: &mut Vec<String>) {
        for (name, item) in &folder.items {
            let path = format!("{at}/{}", name.escape_ascii());
            match item {
                Item::Folder(folder) => paths(folder, &path, all),
                Item::Point(point) => all.push(format!("{path} {}", point.id.0[0])),
                Item::Link(to) => all.push(format!("{path} -> {}", to.escape_ascii())),
            }
        }
    }

    #[test]
    fn every_way_leads_to_a_point() {
        let points = [
            point(1, "a", "shop", &["x/y"]),
            point(2, "b", "shop", &[]),
            point(2, "a", "mail", &[".."]),
        ];
        let mut all = Vec::new();
        paths(&lay_out(&points), "", &mut all);
        assert_eq!(
            all,
            [
                "/apps/mail/2026-01-02T00:00:00Z 2",
                "/apps/mail/latest -> 2026-01-02T00:00:00Z",
                "/apps/shop@a/2026-01-01T00:00:00Z 1",
                "/apps/shop@a/latest -> 2026-01-01T00:00:00Z",
                "/apps/shop@b/2026-01-02T00:00:00Z 2",
                "/apps/shop@b/latest -> 2026-01-02T00:00:00Z",
                "/hosts/a/2026-01-01T00:00:00Z 1",
                "/hosts/a/2026-01-02T00:00:00Z 2",
                "/hosts/a/latest -> 2026-01-02T00:00:00Z",
                "/hosts/b/2026-01-02T00:00:00Z 2",
                "/hosts/b/latest -> 2026-01-02T00:00:00Z",
                "/ids/01010101 1",
                "/ids/02020202 2",
                "/ids/02020202-2 2",
                "/ids/latest -> 02020202-2",
                "/snapshots/2026-01-01T00:00:00Z 1",
                "/snapshots/2026-01-02T00:00:00Z 2",
                "/snapshots/2026-01-02T00:00:00Z-2 2",
                "/snapshots/latest -> 2026-01-02T00:00:00Z-2",
                "/tags/_/2026-01-02T00:00:00Z 2",
                "/tags/_/latest -> 2026-01-02T00:00:00Z",
                "/tags/x_y/2026-01-01T00:00:00Z 1",
                "/tags/x_y/latest -> 2026-01-01T00:00:00Z",
            ]
        );
    }
}
