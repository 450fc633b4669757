//! What a replacement will do, step by step, for people.

use lifeboat_engine::Engine;

use super::{Options, look::Scene};
use crate::{
    Result,
    restore::{Step, point::OpenPoint},
};

/// The steps, for people.
pub fn steps(
    point: &OpenPoint,
    scene: &Scene,
    engine: &dyn Engine,
    options: &Options,
) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    let mut step = |kind: &str, name: &str, bytes: Option<u64>, action: &str| {
        steps.push(Step {
            kind: kind.to_owned(),
            name: name.to_owned(),
            bytes,
            action: action.to_owned(),
        });
    };
    if let Some(app) = &scene.app {
        let action = if options.safety_point {
            "save the app as it is now"
        } else {
            "not made (--no-safety-point)"
        };
        step("safety point", app, None, action);
    }
    let images = engine.inventory()?.images;
    for image in &point.manifest.images {
        let there = images.iter().any(|i| i.id == image.id);
        let action = if there { "is there already" } else { "load" };
        let name = image.tags.first().unwrap_or(&image.id);
        step("image", name, Some(image.size), action);
    }
    for network in &scene.missing.networks {
        step("network", &network.name, None, "create");
    }
    for volume in &scene.missing.volumes {
        step(
            "volume",
            &volume.name,
            Some(volume.bytes),
            "create and fill",
        );
    }
    for root in scene.missing.project.iter().flat_map(|p| &p.roots) {
        step("project", root, None, "put back where nothing is");
    }
    for swap in &scene.swaps {
        let action = "restore beside the one in use, and check it";
        step(swap.kind, &swap.name, Some(swap.bytes), action);
    }
    for merge in &scene.merges {
        step(
            "project",
            &merge.root,
            None,
            "restore beside, and keep what differs",
        );
    }
    for container in &point.manifest.containers {
        step(
            "container",
            &container.name,
            None,
            "create beside the old one",
        );
    }
    for old in scene.old.iter().rev() {
        let action = if old.running {
            "stop, and rename"
        } else {
            "rename"
        };
        step("cut", &old.name, None, action);
    }
    for swap in &scene.swaps {
        step("cut", &swap.name, None, "the old and the new change places");
    }
    for record in point.order()?.steps {
        let stopped = |c: &&lifeboat_plan::manifest::ContainerRecord| {
            c.name == record.name && c.state == lifeboat_plan::manifest::RunState::Stopped
        };
        if !point.manifest.containers.iter().any(|c| stopped(&c)) {
            step("cut", &record.name, None, "start the new one");
        }
    }
    for old in &scene.old {
        step(
            "finish",
            &old.name,
            None,
            "remove the old one, once the new ones are up",
        );
    }
    if !scene.swaps.is_empty() {
        step(
            "finish",
            &point.manifest.identity.name.to_string(),
            None,
            "keep the old data for 7 days",
        );
    }
    Ok(steps)
}
