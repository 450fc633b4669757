//! What a restore will do: one plan for the dry run, the run and the report.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_engine::Engine;
use lifeboat_plan::{
    inventory::Inventory,
    manifest::{BindDecision, ContainerRecord, ImageRecord, RunState, VolumeContent, VolumeRecord},
};

use super::{
    journal::{self, Intent, Subject},
    obstacles::{Ground, PathState, notes, obstacles},
    point::OpenPoint,
    reach::Reach,
    report::{RestorePlan, Way},
    step::{Step, Work},
};
use crate::{Context, Result};

/// Looks at everything, and changes nothing.
pub(super) fn make_plan(
    ctx: &Context,
    engine: &dyn Engine,
    point: &OpenPoint,
    subject: &Subject,
    reach: &Reach,
) -> Result<RestorePlan> {
    let here = engine.inventory()?;
    let manifest = &point.manifest;
    let app = manifest.identity.to_string();
    let ours = journal::peek(ctx, subject, point.id);
    let network = engine.host_network();
    let other = journal::in_the_way(ctx, subject, point.id, false);
    let ground = Ground {
        manifest,
        definitions: &point.definitions,
        here: &here,
        ours: &ours,
        network: network.as_ref(),
        paths: &reach.states(engine, manifest)?,
    };
    let obstacles = match other {
        Some(first) => vec![first],
        None => obstacles(&ground),
    };
    let steps = steps(point, &here, &ours, reach, ground.paths)?;
    let mut warnings = manifest.warnings.clone();
    warnings.extend(notes(&ground));
    warnings.extend(
        manifest
            .left_out
            .iter()
            .map(|l| format!("not in the point: {} ({})", l.what, l.reason)),
    );
    Ok(RestorePlan {
        app,
        way: Way::New,
        id: point.id,
        time: point.time.clone(),
        steps,
        obstacles,
        warnings,
        mappings: Vec::new(),
        estimate: None,
        continues: ours.contains(&Intent::Begin(point.id)),
    })
}

/// The steps of a restore onto free names, in the order in which they are taken.
fn steps(
    point: &OpenPoint,
    here: &Inventory,
    ours: &BTreeSet<Intent>,
    reach: &Reach,
    paths: &BTreeMap<String, PathState>,
) -> Result<Vec<Step>> {
    let manifest = &point.manifest;
    let mut steps: Vec<Step> = manifest.images.iter().map(|i| image(i, here)).collect();
    for network in &manifest.networks {
        let there = here.networks.iter().any(|n| n.name == network.name);
        let made = ours.contains(&Intent::Network(network.name.clone()));
        let step = |action| Step::new(Work::Network, &network.name, action);
        steps.push(match there && !made {
            true => step("is there already").there(),
            false => step("create"),
        });
    }
    let fresh = point.definitions.fresh();
    let (fresh, named): (Vec<_>, Vec<_>) = manifest
        .volumes
        .iter()
        .partition(|v| fresh.contains_key(&v.name));
    for volume in named {
        let there = here.volumes.iter().any(|v| v.name == volume.name);
        let made = ours.contains(&Intent::Volume(volume.name.clone()));
        steps.push(match volume.shared && there && !made {
            true => Step::new(
                Work::Volume,
                &volume.name,
                "is there already, left as it is",
            )
            .there(),
            false => fill(volume, reach),
        });
    }
    for root in manifest.project.iter().flat_map(|p| &p.roots) {
        steps.push(Step::new(Work::Project, root, "put back where nothing is"));
    }
    for bind in &manifest.binds {
        if bind.decision != BindDecision::Captured {
            continue;
        }
        let there = paths.get(&bind.source) == Some(&PathState::Something);
        let made = ours.contains(&Intent::Path(bind.source.clone()));
        let step = |action| Step::new(Work::Bind, &bind.source, action).bytes(bind.bytes);
        steps.push(if bind.shared && there && !made {
            step("is there already, left as it is").there()
        } else if reach.path(&bind.source) {
            step("put back")
        } else {
            step("put back through the engine")
        });
    }
    let order = point.order()?;
    let by_name = |name: &str| manifest.containers.iter().find(|c| c.name == name);
    let containers: Vec<&ContainerRecord> = order
        .steps
        .iter()
        .filter_map(|step| by_name(&step.name))
        .collect();
    for container in &containers {
        let action = match container.state {
            RunState::Stopped => "create; it had been stopped and stays so",
            RunState::Running | RunState::Paused => "create",
        };
        steps.push(Step::new(Work::Container, &container.name, action));
    }
    for volume in fresh {
        let action = "fill, once its container is made";
        steps.push(Step::new(Work::Volume, &volume.name, action).bytes(volume.bytes));
    }
    steps.extend(starts(&containers));
    Ok(steps)
}

/// An image onto the engine.
pub(super) fn image(image: &ImageRecord, here: &Inventory) -> Step {
    let name = image.tags.first().unwrap_or(&image.id);
    let there = here.images.iter().any(|i| i.id == image.id);
    let step = |action| Step::new(Work::Image, name, action).bytes(image.size);
    match there {
        true => step("is there already").there(),
        false => step("load"),
    }
}

/// A volume that is not here.
pub(super) fn fill(volume: &VolumeRecord, reach: &Reach) -> Step {
    if volume.content == VolumeContent::Definition {
        let action = "create; the point holds its definition alone";
        return Step::new(Work::Volume, &volume.name, action);
    }
    let action = match reach.volumes() {
        true => "create and fill",
        false => "create, and fill through the engine",
    };
    Step::new(Work::Volume, &volume.name, action).bytes(volume.bytes)
}

/// Started in this order, and then looked at.
pub(super) fn starts(containers: &[&ContainerRecord]) -> Vec<Step> {
    let up = containers.iter().filter(|c| c.state != RunState::Stopped);
    let start = up
        .clone()
        .map(|c| Step::new(Work::Start, &c.name, "start, after what it needs"));
    let probe = up.map(|c| {
        let action = match c.state {
            RunState::Paused => "wait until it is up, then pause it",
            _ => "wait until it is up: healthy where it has a health check",
        };
        Step::new(Work::Probe, &c.name, action)
    });
    start.chain(probe).collect()
}
