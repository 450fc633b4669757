//! `restore --volume`, `--bind`, `--service`: some things of a point, where they are absent. The rest of
//! the app stays as it is.
//!
//! The point is narrowed (`super::narrow`) and then restored as any point is: the same obstacles, the
//! same journal of intents, the same way back. What a crash leaves is what it leaves of a whole
//! restore; the same command goes on, and another one is refused until then.

use std::collections::BTreeSet;

use lifeboat_engine::Engine;
use lifeboat_plan::{inventory::Inventory, order::order};
use lifeboat_vault::{Reader, id::SnapshotId, snapshot::Snapshot};
use serde::{Deserialize, Serialize};

use super::narrow::{Narrowed, narrow};
use crate::{
    Context, RecoveryError, Result,
    restore::{
        Recovery, RestorePlan, Restored, Step, Way, Work, history,
        journal::{self, Intent, RestoreJournal, Subject},
        kept, make_plan,
        maps::{self, Applied, Maps, Scope},
        point::OpenPoint,
        reach::Reach,
        report::{self, Stopwatch},
    },
};

/// What is wanted of a point.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Pieces {
    /// Volumes, by name or by the name that Compose's file has for them.
    pub volumes: Vec<String>,
    /// Bind sources.
    pub binds: Vec<String>,
    /// Compose services, or containers by name.
    pub services: Vec<String>,
    /// Volumes and binds of the services that are there stay as they are.
    pub keep_data: bool,
    /// Containers of other apps that use what is replaced may be stopped for it.
    pub stop_users: bool,
}

impl Pieces {
    /// The same part, whoever may be stopped for it.
    pub fn is_same(&self, other: &Self) -> bool {
        let Self { stop_users, .. } = *self;
        *self
            == Self {
                stop_users,
                ..other.clone()
            }
    }

    /// Nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.volumes.is_empty() && self.binds.is_empty() && self.services.is_empty()
    }

    /// As it is said on the command line.
    pub fn options(&self) -> String {
        let one = |option: &str, names: &[String]| {
            let names: BTreeSet<&String> = names.iter().collect();
            let each = names.into_iter().map(|name| format!("{option} {name}"));
            each.collect::<Vec<_>>()
        };
        let mut all = one("--volume", &self.volumes);
        all.extend(one("--bind", &self.binds));
        all.extend(one("--service", &self.services));
        if self.keep_data {
            all.push("--keep-data".to_owned());
        }
        if self.stop_users {
            all.push("--stop-users".to_owned());
        }
        all.join(" ")
    }
}

/// A part of a point, opened, and what is here.
struct Scene {
    narrowed: Narrowed,
    here: Inventory,
    app: String,
    subject: Subject,
    /// What the mappings did.
    applied: Applied,
}

impl Scene {
    fn open(
        engine: &dyn Engine,
        reader: &Reader,
        id: SnapshotId,
        snapshot: &Snapshot,
        (pieces, maps): (&Pieces, &Maps),
    ) -> Result<Self> {
        let point = OpenPoint::open(reader, id, snapshot, engine.api())?;
        let app = point.manifest.identity.to_string();
        let is_project = point.manifest.project.is_some();
        let here = engine.inventory()?;
        // A person names what the point calls so, in both.
        let mut narrowed = narrow(reader, point, &here, pieces)?;
        let applied = maps::apply(&mut narrowed.point, maps, &here, Scope::App);
        if is_project && !applied.mapped.is_empty() {
            narrowed.warnings.push(maps::COMPOSE_FILES.to_owned());
        }
        Ok(Self {
            narrowed,
            here,
            subject: Subject::part(&app, pieces),
            app,
            applied,
        })
    }

    fn plan(
        &mut self,
        ctx: &Context,
        engine: &dyn Engine,
        reach: &Reach,
        maps: &Maps,
    ) -> Result<RestorePlan> {
        self.subject = self.subject.clone().at(reach.address());
        let point = &self.narrowed.point;
        let mut plan = make_plan(ctx, engine, point, &self.subject, reach)?;
        let other = journal::in_the_way(ctx, &self.subject, point.id, false);
        if other.is_none() && !plan.continues {
            plan.obstacles.extend(self.narrowed.obstacles.clone());
        }
        for name in self.around() {
            let action = "stop and start again after it, as its depends_on asks";
            plan.steps.push(Step::new(Work::Around, name, action));
        }
        plan.warnings.extend(self.narrowed.warnings.clone());
        plan.warnings.extend(self.stranded());
        plan.way = Way::Part;
        let ours = journal::peek(ctx, &self.subject, point.id);
        let applied = std::mem::take(&mut self.applied);
        Ok(plan.mapped(applied, maps, Some(&ours)).estimated(ctx))
    }

    /// Containers that run here and want to be restarted with one that comes back, in the order in
    /// which they start.
    fn around(&self) -> Vec<String> {
        let point = &self.narrowed.point;
        let mut all = self.here.containers.clone();
        let coming: Vec<_> = point
            .definitions
            .containers
            .values()
            .map(|raw| lifeboat_engine::container_facts(raw.clone()))
            .collect();
        all.retain(|c| !coming.iter().any(|new| new.name == c.name));
        all.extend(coming.iter().cloned());
        let mut moved: BTreeSet<String> = coming.iter().map(|c| c.id.clone()).collect();
        let mut names = Vec::new();
        for step in order(&all.iter().collect::<Vec<_>>()).steps {
            let wants = |d: &lifeboat_plan::order::Dependency| d.restart && moved.contains(&d.on);
            let runs = self.here.containers.iter().any(|c| {
                c.id == step.id && c.state == lifeboat_plan::inventory::ContainerState::Running
            });
            if runs && step.waits_for.iter().any(wants) {
                moved.insert(step.id);
                names.push(step.name);
            }
        }
        names
    }

    /// Containers here that share a namespace with one that is gone: its successor has another id.
    fn stranded(&self) -> Vec<String> {
        let manifest = &self.narrowed.point.manifest;
        let gone = |reference: &String| {
            manifest.containers.iter().find(|c| {
                reference.contains(&c.id) && !self.here.containers.iter().any(|h| h.id == c.id)
            })
        };
        let mut said = Vec::new();
        for container in &self.here.containers {
            if let Some(on) = container.refers_to.iter().find_map(gone) {
                said.push(format!(
                    "{} shares a namespace with the {} that is gone, and cannot run with its successor: remove it and restore it too (--service {} --keep-data)",
                    container.name, on.name, container.name
                ));
            }
        }
        said
    }
}

/// Looks, and changes nothing.
pub fn plan(
    ctx: &Context,
    id: SnapshotId,
    snapshot: &Snapshot,
    pieces: &Pieces,
    maps: &Maps,
) -> Result<RestorePlan> {
    let engine = ctx.engine()?.as_ref();
    let reader = ctx.vault.reader()?;
    let mut scene = Scene::open(engine, &reader, id, snapshot, (pieces, maps))?;
    let reach = Reach::presume(engine, &scene.narrowed.point.manifest)?;
    scene.plan(ctx, engine, &reach, maps)
}

/// Brings them back. Refuses, with all obstacles at once, before anything is touched.
pub fn restore(
    ctx: &Context,
    id: SnapshotId,
    snapshot: &Snapshot,
    pieces: &Pieces,
    maps: &Maps,
) -> Result<Restored> {
    let mut watch = Stopwatch::start();
    let engine = ctx.engine()?.as_ref();
    let reader = ctx.vault.reader()?;
    let mut scene = Scene::open(engine, &reader, id, snapshot, (pieces, maps))?;
    let reach = Reach::prove(engine, &scene.narrowed.point.manifest)?;
    let mut plan = scene.plan(ctx, engine, &reach, maps)?;
    if !plan.obstacles.is_empty() {
        return Err(RecoveryError::Refused(format!(
            "{} of {} cannot be restored here, and nothing was changed: {}",
            pieces.options(),
            scene.app,
            plan.obstacles.join("; ")
        )));
    }
    let around = scene.around();
    let mut journal = RestoreJournal::open(ctx, &scene.subject, id)?;
    if let Some(root) = engine.fingerprints()?.data_root {
        journal.intend(Intent::Engine(root))?;
    }
    if !maps.is_empty() {
        journal.intend(Intent::Mapped(maps.journaled()))?;
    }
    journal.intend(Intent::Part(pieces.clone()))?;
    for name in &around {
        journal.intend(Intent::Around(name.clone()))?;
    }
    plan.journaled(&mut journal)?;
    let ctx = &ctx.following(&plan.steps);
    watch.split("plan");
    let point = &scene.narrowed.point;
    let recovery = Recovery {
        ctx,
        engine,
        reader: &reader,
        point,
        reach: &reach,
    };
    let (mut outcome, journal) = recovery.run_or_undo(journal, &mut watch)?;
    ctx.progress.step("part-around");
    let around: Vec<String> = journal::around(journal.intents());
    restart(ctx, engine, &around, &mut outcome.incomplete)?;
    journal.finish()?;
    watch.split("around");
    let done = report::report(ctx, &plan, outcome, watch);
    history::remember(ctx, &plan, &done);
    kept::keep(ctx, &scene.app, &done);
    Ok(done)
}

/// Stops containers, last to start first, and starts them again in their order. One that is gone
/// meanwhile is somebody's decision.
fn restart(
    ctx: &Context,
    engine: &dyn Engine,
    names: &[String],
    incomplete: &mut Vec<String>,
) -> Result<()> {
    let here = engine.inventory()?;
    let all: Vec<_> = here
        .containers
        .iter()
        .filter(|c| names.contains(&c.name))
        .collect();
    let order = order(&all);
    for id in order.stop() {
        engine.stop(id, None)?;
    }
    for step in &order.steps {
        ctx.take(Work::Around, &step.name);
        if let Err(e) = engine.start(&step.id) {
            incomplete.push(format!("{} did not start again: {e}", step.name));
        }
    }
    Ok(())
}
