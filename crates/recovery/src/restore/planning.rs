//! What a restore will do: one plan for the dry run, the run and the report.

use lifeboat_engine::Engine;
use lifeboat_plan::manifest::{BindDecision, RunState};

use super::{
    journal::{self, Intent, Subject},
    obstacles::{Ground, notes, obstacles},
    point::OpenPoint,
    reach::Reach,
    report::{RestorePlan, Step},
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
    let other = journal::of_another_point(ctx, subject, point.id)
        .or_else(|| journal::of_another_kind(ctx, subject, false));
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
    let mut steps = Vec::new();
    let mut step = |kind: &str, name: &str, bytes: Option<u64>, action: &str| {
        steps.push(Step {
            kind: kind.to_owned(),
            name: name.to_owned(),
            bytes,
            action: action.to_owned(),
        });
    };
    for image in &manifest.images {
        let name = image.tags.first().unwrap_or(&image.id);
        let there = here.images.iter().any(|i| i.id == image.id);
        step(
            "image",
            name,
            Some(image.size),
            if there { "is there already" } else { "load" },
        );
    }
    for network in &manifest.networks {
        step("network", &network.name, None, "create");
    }
    for volume in &manifest.volumes {
        step(
            "volume",
            &volume.name,
            Some(volume.bytes),
            if reach.volumes() {
                "create and fill"
            } else {
                "create, and fill through the engine"
            },
        );
    }
    for root in manifest.project.iter().flat_map(|p| &p.roots) {
        step("project", root, None, "put back where nothing is");
    }
    for bind in manifest
        .binds
        .iter()
        .filter(|b| b.decision == BindDecision::Captured)
    {
        let action = if reach.path(&bind.source) {
            "put back"
        } else {
            "put back through the engine"
        };
        step("bind", &bind.source, Some(bind.bytes), action);
    }
    for container in &manifest.containers {
        let action = match container.state {
            RunState::Running => "create and start",
            RunState::Paused => "create, start and pause",
            RunState::Stopped => "create; it had been stopped and stays so",
        };
        step("container", &container.name, None, action);
    }
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
