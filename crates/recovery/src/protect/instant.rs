//! The instant: everything that can write what is captured stands still for one last pass.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use lifeboat_engine::OwnPathQuery;
use lifeboat_plan::{
    app::App,
    freeze::{Captured, FreezePlan, plan},
    inventory::Inventory,
    manifest::{LeftOutKind, Level},
};

use super::{
    freeze::Freeze,
    passes::{DataSource, Passes},
};
use crate::{Context, RecoveryError, Result, watchdog::Target};

/// Attempts at an instant that nobody disturbs.
const ATTEMPTS: u32 = 3;

/// How the instant was reached.
pub struct Reached {
    /// The level.
    pub level: Level,
    /// Why no better, if so.
    pub reason: String,
    /// `precopy`, `stopped` or `live`.
    pub provider: &'static str,
    /// How long the app stood still.
    pub stall: Option<Duration>,
    /// When everything stood still.
    pub at: Option<jiff::Timestamp>,
    /// Names of what was frozen.
    pub frozen: Vec<String>,
}

/// Freezes, makes the pass that counts, thaws.
pub fn reach(
    ctx: &Context,
    app: &App,
    inventory: &Inventory,
    sources: &[DataSource],
    passes: &mut Passes<'_>,
    asked: Option<Level>,
) -> Result<Reached> {
    let freezing = match freeze_plan(ctx, app, inventory, sources)? {
        plan if asked == Some(Level::Live) => plan.without_freezing(),
        plan => plan,
    };
    if freezing.freeze.is_empty() {
        ctx.progress.step("last-pass");
        passes.last_pass()?;
        return Ok(Reached {
            level: freezing.level,
            provider: if freezing.level == Level::Live {
                "live"
            } else {
                "stopped"
            },
            reason: freezing.reason,
            stall: None,
            at: (freezing.level != Level::Live).then(jiff::Timestamp::now),
            frozen: Vec::new(),
        });
    }
    let mut disturbed = String::new();
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            passes.again()?;
        }
        let mut freeze = Freeze::prepare(ctx, targets(inventory, &freezing))?;
        let spool = ctx.spool.as_ref().filter(|spool| spool.is_slow());
        // Nobody waits for a slow vault while the app stands still.
        if let Some(spool) = spool {
            ctx.progress.step("spool");
            spool.hold();
        }
        // Who stands still for us is not kept waiting by what we let go first.
        let first = lifeboat_capture::priority::first();
        ctx.progress.step("freeze");
        freeze.freeze()?;
        ctx.progress.step("frozen");
        let at = jiff::Timestamp::now();
        let frozen = freeze.frozen();
        let passed = passes.last_pass();
        ctx.progress.step("thaw");
        let stall = freeze.thaw();
        drop(first);
        ctx.progress.step("thawed");
        if let Some(spool) = spool {
            spool
                .release()
                .map_err(|e| RecoveryError::Failed(e.to_string()))?;
        }
        passed?;
        ctx.stop_if_cancelled()?;
        match stall {
            Ok(stall) if freeze.woken_by_others().is_empty() => {
                return Ok(Reached {
                    level: freezing.level,
                    provider: if freezing.level == Level::Live {
                        "live"
                    } else {
                        "precopy"
                    },
                    reason: freezing.reason,
                    stall: Some(stall),
                    at: (freezing.level != Level::Live).then_some(at),
                    frozen,
                });
            }
            Ok(_) => {
                disturbed = format!(
                    "{} was woken by somebody else",
                    freeze.woken_by_others().join(", ")
                )
            }
            Err(e) => disturbed = e.to_string(),
        }
        ctx.progress.warn(&format!(
            "the instant was disturbed ({disturbed}); trying again"
        ));
    }
    Err(RecoveryError::Failed(format!(
        "the app could not be held still for one instant in {ATTEMPTS} attempts ({disturbed}); nothing was saved, look at what restarts or unpauses its containers"
    )))
}

fn freeze_plan(
    ctx: &Context,
    app: &App,
    inventory: &Inventory,
    sources: &[DataSource],
) -> Result<FreezePlan> {
    let mut captured = Captured {
        layers: app.container_ids().map(str::to_owned).collect(),
        ..Captured::default()
    };
    for source in sources {
        match source.kind {
            LeftOutKind::Volume => captured.volumes.insert(source.name.clone()),
            _ => captured.paths.insert(source.at.display().to_string()),
        };
    }
    let query = OwnPathQuery {
        paths: vault_paths(ctx),
        ..OwnPathQuery::default()
    };
    let mut cannot: BTreeMap<String, String> = ctx
        .engine()?
        .own_path(&query)?
        .into_iter()
        .map(|own| (own.id, "this backup runs through it".to_owned()))
        .collect();
    // A rootless engine on cgroup v1 gives its containers none.
    if inventory.engine.raw["CgroupDriver"] == "none" {
        for container in &inventory.containers {
            cannot
                .entry(container.id.clone())
                .or_insert_with(|| "its engine has no cgroups to freeze it with".to_owned());
        }
    }
    Ok(plan(app, inventory, &captured, &cannot))
}

/// Paths that the capture itself depends on.
fn vault_paths(ctx: &Context) -> Vec<std::path::PathBuf> {
    let vault = ctx.vault.location();
    let local = Some(Path::new(&vault))
        .filter(|path| path.is_absolute())
        .map(Path::to_owned);
    local
        .into_iter()
        .chain([ctx.places.state.clone()])
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

fn targets(inventory: &Inventory, freezing: &FreezePlan) -> Vec<Target> {
    let pid = |id: &str| {
        inventory
            .containers
            .iter()
            .find(|c| c.id == id)
            .map_or(0, |c| c.pid)
    };
    freezing
        .freeze
        .iter()
        .map(|writer| Target {
            id: writer.id.clone(),
            name: writer.name.clone(),
            pid: pid(&writer.id),
        })
        .collect()
}
