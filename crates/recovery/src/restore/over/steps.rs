//! What a replacement will do, step by step. The run says which of them it takes.

use std::collections::BTreeSet;

use lifeboat_engine::Engine;
use lifeboat_plan::{inventory::Inventory, manifest::ContainerRecord};

use super::{Options, look::Scene};
use crate::{
    Context, Result,
    restore::{
        RestorePlan, Step, Way, Work,
        exchange::How,
        journal::Intent,
        planning::{fill, image, starts},
        point::OpenPoint,
        reach::Reach,
    },
};

/// The plan of what was seen. Without that only what a journal says is left to do.
pub fn planned(
    ctx: &Context,
    engine: &dyn Engine,
    point: &OpenPoint,
    reach: &Reach,
    scene: Option<&Scene>,
    options: &Options,
    before: &BTreeSet<Intent>,
) -> Result<RestorePlan> {
    let mut warnings = point.manifest.warnings.clone();
    let mut plan = RestorePlan {
        app: point.manifest.identity.to_string(),
        way: match options.part {
            Some(_) => Way::Part,
            None => Way::Replace,
        },
        id: point.id,
        time: point.time.clone(),
        steps: Vec::new(),
        obstacles: Vec::new(),
        warnings: Vec::new(),
        continues: before.contains(&Intent::Begin(point.id)),
        mappings: Vec::new(),
        estimate: None,
    };
    if let Some(scene) = scene {
        let here = engine.inventory()?;
        plan.steps = steps(point, scene, reach, &here, options)?;
        plan.obstacles.clone_from(&scene.refused);
        warnings.extend(scene.notes.iter().cloned());
    }
    plan.warnings = warnings;
    Ok(plan.estimated(ctx))
}

/// The steps, in the order in which they are taken.
fn steps(
    point: &OpenPoint,
    scene: &Scene,
    reach: &Reach,
    here: &Inventory,
    options: &Options,
) -> Result<Vec<Step>> {
    let mut steps = Vec::new();
    if let Some(app) = &scene.app {
        let step = |action| Step::new(Work::SafetyPoint, app, action);
        steps.push(match options.safety_point {
            true => step("save the app as it is now"),
            false => step("not made (--no-safety-point)").there(),
        });
    }
    let manifest = &point.manifest;
    steps.extend(manifest.images.iter().map(|i| image(i, here)));
    missing(scene, point, reach, &mut steps);
    for swap in &scene.swaps {
        let action = match How::of(&swap.target, &swap.aside) {
            How::Within => "restore in a hidden folder in it, and check it",
            _ => "restore beside the one in use, and check it",
        };
        steps.push(Step::new(swap.work(), &swap.name, action).bytes(swap.bytes));
    }
    for merge in &scene.merges {
        let action = "restore beside, and keep what differs";
        steps.push(Step::new(Work::Project, &merge.root, action));
    }
    let order = point.order()?;
    let by_name = |name: &str| manifest.containers.iter().find(|c| c.name == name);
    let containers: Vec<&ContainerRecord> = order
        .steps
        .iter()
        .filter_map(|step| by_name(&step.name))
        .collect();
    for container in &containers {
        let action = "create beside the old one";
        steps.push(Step::new(Work::Container, &container.name, action));
    }
    for (old, (container, _)) in point.definitions.fresh() {
        let action = format!("fill, once {container} is made");
        let volume = manifest.volumes.iter().find(|v| v.name == *old);
        let bytes = volume.map_or(0, |v| v.bytes);
        steps.push(Step::new(Work::Volume, old, action).bytes(bytes));
    }
    for one in &scene.around {
        let action = "stop for the change, start after it";
        steps.push(Step::new(Work::Around, &one.name, action));
    }
    for old in scene.old.iter().rev() {
        let action = match old.running {
            true => "stop, and rename",
            false => "rename",
        };
        steps.push(Step::new(Work::Stop, &old.name, action));
    }
    for swap in &scene.swaps {
        let action = match How::of(&swap.target, &swap.aside) {
            How::Exchange => "the old and the new change places",
            How::Within => "old and new entries change places one by one: it cannot be renamed",
            How::Copied => "the new content is copied over the old: it cannot be renamed",
        };
        let name = swap.target.display().to_string();
        steps.push(Step::new(Work::Exchange, name, action));
    }
    for merge in &scene.merges {
        // As it is when it is staged.
        let target = fs_err::canonicalize(&merge.root)?;
        let action = "what differs changes places";
        let name = target.display().to_string();
        steps.push(Step::new(Work::Exchange, name, action));
    }
    steps.extend(starts(&containers));
    let anonymous = scene.old.iter().any(|old| !old.anonymous.is_empty());
    if !scene.swaps.is_empty() || !scene.merges.is_empty() || anonymous {
        let name = manifest.identity.name.to_string();
        steps.push(Step::new(Work::Keep, name, "keep the old data for 7 days"));
    }
    for old in &scene.old {
        let action = "remove the old one";
        steps.push(Step::new(Work::Remove, &old.name, action));
    }
    Ok(steps)
}

/// What of the point is not here is made as by any restore.
fn missing(scene: &Scene, point: &OpenPoint, reach: &Reach, steps: &mut Vec<Step>) {
    let missing = &scene.missing;
    for network in &missing.networks {
        steps.push(Step::new(Work::Network, &network.name, "create"));
    }
    let fresh = point.definitions.fresh();
    for volume in &missing.volumes {
        if !fresh.contains_key(&volume.name) {
            steps.push(fill(volume, reach));
        }
    }
    for root in missing.project.iter().flat_map(|p| &p.roots) {
        steps.push(Step::new(Work::Project, root, "put back where nothing is"));
    }
    for bind in &missing.binds {
        if bind.decision == lifeboat_plan::manifest::BindDecision::Captured {
            steps.push(Step::new(Work::Bind, &bind.source, "put back").bytes(bind.bytes));
        }
    }
}
