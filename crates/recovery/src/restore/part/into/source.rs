//! What of the point goes into a container: where the point has what the container had at a path.

use lifeboat_plan::{manifest::layout, path};
use lifeboat_vault::{
    Reader,
    node::{Node, NodeKind},
};
use serde_json::Value;

use super::{Target, Wanted};
use crate::{RecoveryError, Result, restore::point::OpenPoint};

/// A file or folder of the point.
pub struct Source {
    /// Its place in the point's tree.
    pub place: String,
    /// What it is.
    pub node: Node,
    /// It was named, so a file goes *into* a folder that is there.
    pub is_named: bool,
}

impl Source {
    /// The place that was named, or what the same container had at the same path.
    pub fn find(
        reader: &Reader,
        point: &OpenPoint,
        target: &Target,
        wanted: &Wanted,
    ) -> Result<Self> {
        let node_at = |place: &str| -> Result<Option<Node>> {
            let parts: Vec<&[u8]> = place.split('/').map(str::as_bytes).collect();
            Ok(reader.lookup(point.root, &parts)?)
        };
        if let Some(from) = &wanted.from {
            let place = path::clean(&format!("/{from}")).unwrap_or_default();
            let place = place.trim_start_matches('/').to_owned();
            let node = if place.is_empty() {
                None
            } else {
                node_at(&place)?
            };
            let node = node.ok_or_else(|| {
                RecoveryError::NotFound(format!(
                    "there is no {from} in point {}; `lifeboat ls {} -r` lists what there is",
                    point.id.short(),
                    point.id.short()
                ))
            })?;
            return Ok(Self {
                place,
                node,
                is_named: true,
            });
        }
        for place in places(point, target) {
            if let Some(node) = node_at(&place)? {
                return Ok(Self {
                    place,
                    node,
                    is_named: false,
                });
            }
        }
        Err(RecoveryError::NotFound(format!(
            "point {} holds nothing that {} had at {}; `lifeboat ls {} -r` lists what it holds, and --from names a place in it",
            point.id.short(),
            target.name,
            target.path,
            point.id.short()
        )))
    }

    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        matches!(self.node.kind, NodeKind::Dir { .. })
    }
}

/// Where the point may have it: a volume or bind of the container as it was then, or what was put into
/// its writable layer.
fn places(point: &OpenPoint, target: &Target) -> Vec<String> {
    let containers = &point.manifest.containers;
    let by_name = containers.iter().find(|c| c.name == target.name);
    let record = by_name.or_else(|| {
        let service = target.service.as_deref()?;
        containers
            .iter()
            .find(|c| c.service.as_deref() == Some(service))
    });
    let Some(record) = record else {
        return Vec::new();
    };
    let Some(raw) = point.definitions.containers.get(&record.name) else {
        return Vec::new();
    };
    let clean = |mount: &Value| path::clean(mount["Destination"].as_str().unwrap_or_default());
    let mounts = raw["Mounts"].as_array().into_iter().flatten();
    let covering = mounts.filter_map(|mount| Some((clean(mount)?, mount)));
    let longest = covering
        .filter(|(at, _)| path::is_within(&target.path, at))
        .max_by_key(|(at, _)| at.len());
    let Some((at, mount)) = longest else {
        return vec![format!("{}{}", layout::layer(&record.name), target.path)];
    };
    let below = if at == "/" {
        target.path.as_str()
    } else {
        target.path.get(at.len()..).unwrap_or_default()
    };
    let text = |key: &str| mount[key].as_str().filter(|t| !t.is_empty());
    match (mount["Type"].as_str(), text("Name"), text("Source")) {
        (Some("volume"), Some(name), _) => vec![format!("{}{below}", layout::volume(name))],
        (_, _, Some(source)) => {
            let full = format!("{source}{below}");
            // A bind in the project's folder was captured there.
            [layout::bind(&full), layout::project(&full)]
                .into_iter()
                .flatten()
                .collect()
        }
        _ => Vec::new(),
    }
}
