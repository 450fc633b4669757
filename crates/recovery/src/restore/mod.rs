//! `restore`: a whole app back from a recovery point, in one step.
//!
//! Order: look at everything that could stand in the way and refuse all at once; then images,
//! networks, volumes, project files and binds; then containers, created and complete; and only then
//! the start. Each step is journaled before it is taken: the same command, run again after a crash,
//! goes on where the first one stopped. What stood here before is never touched.

mod attributes;
pub mod beside;
mod containers;
mod course;
mod data;
pub mod exchange;
mod far;
pub mod half;
pub mod history;
pub(crate) mod ids;
mod images;
pub mod interrupted;
pub(crate) mod journal;
mod kept;
mod layers;
pub mod maps;
mod networks;
mod obstacles;
pub mod over;
pub mod part;
mod planning;
mod point;
mod reach;
mod report;
mod step;
mod undo;
mod volumes;

use std::collections::BTreeSet;

use lifeboat_engine::Engine;
use lifeboat_vault::{Reader, id::SnapshotId, snapshot::Snapshot};

pub use self::{
    course::{Course, UNPLANNED},
    report::{Probe, RestorePlan, Restored, Segment, Way},
    step::{Step, StepState, Work},
};

use self::{
    containers::{ContainerStage, Containers},
    data::{Data, DataStage},
    journal::{Intent, RestoreJournal, Subject},
    maps::{Applied, Maps, Scope},
    planning::make_plan,
    point::OpenPoint,
    reach::Reach,
    report::Stopwatch,
};
use crate::{Context, RecoveryError, Result};

/// Looks, and changes nothing.
pub fn plan(
    ctx: &Context,
    id: SnapshotId,
    snapshot: &Snapshot,
    maps: &Maps,
) -> Result<RestorePlan> {
    let engine = ctx.engine()?;
    let reader = ctx.vault.reader()?;
    let mut point = OpenPoint::open(&reader, id, snapshot, engine.api())?;
    let applied = put_on(engine.as_ref(), &mut point, maps, Scope::App)?;
    let reach = Reach::presume(engine.as_ref(), &point.manifest)?;
    let subject = Subject::app(&point.manifest.identity.to_string()).at(reach.address());
    let plan = make_plan(ctx, engine.as_ref(), &point, &subject, &reach)?;
    let ours = journal::peek(ctx, &subject, id);
    Ok(plan.mapped(applied, maps, Some(&ours)).estimated(ctx))
}

/// Puts mappings on a point, and lets its networks give way, before anything else is looked at.
fn put_on(
    engine: &dyn Engine,
    point: &mut OpenPoint,
    maps: &Maps,
    scope: Scope,
) -> Result<Applied> {
    Ok(maps::apply(point, maps, &engine.inventory()?, scope))
}

/// Brings the app back. Refuses, with all obstacles at once, before anything is touched.
pub fn restore(
    ctx: &Context,
    id: SnapshotId,
    snapshot: &Snapshot,
    maps: &Maps,
) -> Result<Restored> {
    let mut watch = Stopwatch::start();
    let engine = ctx.engine()?;
    let reader = ctx.vault.reader()?;
    let mut point = OpenPoint::open(&reader, id, snapshot, engine.api())?;
    let applied = put_on(engine.as_ref(), &mut point, maps, Scope::App)?;
    let app = point.manifest.identity.to_string();
    let reach = Reach::prove(engine.as_ref(), &point.manifest)?;
    let subject = Subject::app(&app).at(reach.address());
    let plan = make_plan(ctx, engine.as_ref(), &point, &subject, &reach)?;
    let ours = journal::peek(ctx, &subject, id);
    let mut plan = plan.mapped(applied, maps, Some(&ours)).estimated(ctx);
    if !plan.obstacles.is_empty() {
        return Err(RecoveryError::Refused(format!(
            "{app} cannot be restored here, and nothing was changed: {}",
            plan.obstacles.join("; ")
        )));
    }
    let mut journal = RestoreJournal::open(ctx, &subject, id)?;
    if let Some(root) = engine.fingerprints()?.data_root {
        journal.intend(Intent::Engine(root))?;
    }
    if !maps.is_empty() {
        journal.intend(Intent::Mapped(maps.journaled()))?;
    }
    plan.journaled(&mut journal)?;
    let ctx = &ctx.following(&plan.steps);
    watch.split("plan");
    let recovery = Recovery {
        ctx,
        engine: engine.as_ref(),
        reader: &reader,
        point: &point,
        reach: &reach,
    };
    let (outcome, journal) = recovery.run_or_undo(journal, &mut watch)?;
    // What did not become healthy is there and complete: running the restore again would not help.
    journal.finish()?;
    let done = report::report(ctx, &plan, outcome, watch);
    history::remember(ctx, &plan, &done);
    kept::keep(ctx, &app, &done);
    Ok(done)
}

/// What the stages produced together.
struct Outcome {
    data: Data,
    containers: Containers,
    image_warnings: Vec<String>,
    incomplete: Vec<String>,
}

/// One restore under way.
struct Recovery<'a> {
    ctx: &'a Context,
    engine: &'a dyn Engine,
    reader: &'a Reader,
    point: &'a OpenPoint,
    reach: &'a Reach,
}

impl Recovery<'_> {
    /// Runs it; what failed before the first start is taken back.
    fn run_or_undo(
        &self,
        mut journal: RestoreJournal,
        watch: &mut Stopwatch,
    ) -> Result<(Outcome, RestoreJournal)> {
        match self.run(&mut journal, watch) {
            Ok(outcome) => Ok((outcome, journal)),
            Err(why) => Err(undo::undo(
                self.engine,
                journal,
                self.ctx.or_interrupted(why),
            )),
        }
    }

    fn run(&self, journal: &mut RestoreJournal, watch: &mut Stopwatch) -> Result<Outcome> {
        self.ctx.progress.step("restore-begin");
        let images = images::restore_images(self.ctx, self.engine, self.reader, self.point)?;
        watch.split("images");
        let data = self.data(journal)?;
        watch.split("data");
        let order = self.point.order()?;
        let stage = ContainerStage {
            ctx: self.ctx,
            engine: self.engine,
            reader: self.reader,
            point: self.point,
            images: &images.ids,
            order: &order,
            data: self.data_stage(),
            suffix: None,
            later: BTreeSet::new(),
        };
        let mut containers = Containers::default();
        self.ctx.progress.step("restore-containers");
        stage.create(journal, &mut containers)?;
        if !journal.has(&Intent::Starting) {
            let stage = self.data_stage();
            stage.empty_again(journal, &mut containers.data)?;
        }
        self.ctx.taken();
        watch.split("containers");
        self.ctx.progress.step("restore-start");
        // The last place to turn back: what has started is brought up whole.
        self.ctx.stop_if_cancelled()?;
        stage.start(journal, &mut containers)?;
        far::let_go(self.engine, journal)?;
        watch.split("start");
        self.ctx.progress.step("restore-validate");
        stage.validate(&mut containers)?;
        watch.split("validate");
        Ok(Outcome {
            data,
            containers,
            image_warnings: images.warnings,
            incomplete: images.incomplete,
        })
    }

    fn data_stage(&self) -> DataStage<'_> {
        DataStage {
            ctx: self.ctx,
            engine: self.engine,
            reader: self.reader,
            root: self.point.root,
            manifest: &self.point.manifest,
            definitions: &self.point.definitions,
            reach: self.reach,
        }
    }

    fn data(&self, journal: &mut RestoreJournal) -> Result<Data> {
        let stage = self.data_stage();
        let mut done = Data::default();
        self.ctx.progress.step("restore-networks");
        let (manifest, definitions) = (&self.point.manifest, &self.point.definitions);
        networks::make_networks(self.ctx, self.engine, manifest, definitions, journal)?;
        self.ctx.progress.step("restore-volumes");
        stage.volumes(journal, &mut done)?;
        self.ctx.progress.step("restore-project");
        stage.project(journal, &mut done)?;
        self.ctx.progress.step("restore-binds");
        stage.binds(journal, &mut done)?;
        Ok(done)
    }
}
