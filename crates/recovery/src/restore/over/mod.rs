//! `restore --replace`: a point takes the place of the app that is here, or a part of the point that of
//! a part of the app (`part`): the rest runs on, but for who has to stand still around it (`around`).
//!
//! 1. **Look** at everything and refuse at once (`look`); the app as it is goes into the vault as a
//!    safety point.
//! 2. **Stage** (`stage`), while the old app runs: images, networks, all data made whole aside of what
//!    it replaces and checked, the new containers created under names of their own. What fails here
//!    is taken back, and the old app has not noticed. Then it looks once more.
//! 3. **Cut** (`cut`): the old containers stop, last to start first, and step aside under other names
//!    with restart policy `no`; folders change places ([`super::exchange`]); the new containers take
//!    the names and start. How long that takes does not depend on how much data there is.
//! 4. **Finish** (`finish`) once all are up: the old containers go, the old data is set aside for a
//!    week ([`crate::asides`]). Where they do not come up, everything goes **back** (`back`).
//!
//! Invariant: until the record of what was set aside is durable, nothing of the old app is removed.
//! The journal says before each step what it is about to do, so after a crash of anything at any
//! instant either way is open: on (`restore` again) or back ([`go_back`], which needs no vault).

mod around;
mod back;
mod cut;
mod failed;
mod finish;
mod here;
mod look;
mod merge;
mod networks;
mod old;
mod part;
mod record;
mod space;
mod stage;
mod steps;

use std::collections::BTreeMap;

use lifeboat_engine::Engine;
use lifeboat_plan::{identity::AppIdentity, order::Order};
use lifeboat_vault::{Reader, id::SnapshotId, snapshot::Snapshot};
use serde::Serialize;

pub(crate) use self::record::in_the_cut;
use self::{
    around::before_and_after,
    look::Scene,
    old::ours_ends,
    part::Part,
    record::{arounds, cut_of, going_back, olds, pairs, safety_of},
};
pub use self::{
    back::{Back, go_back},
    finish::finish,
    old::{Cut, Old, Replace},
};
use super::{
    Outcome, RestorePlan, Restored, Work,
    containers::Containers,
    data::Data,
    history, images,
    journal::{self, Intent, RestoreJournal, Subject},
    kept,
    maps::{Applied, COMPOSE_FILES, Maps, Scope},
    part::pieces::Pieces,
    point::OpenPoint,
    put_on,
    reach::Reach,
    report::{self, Stopwatch},
};
use crate::{Context, RecoveryError, Result, asides::Aside};

/// How it is wanted.
#[derive(Debug, Clone)]
pub struct Options {
    /// The app as it is goes into the vault first.
    pub safety_point: bool,
    /// Only this part of it.
    pub part: Option<Pieces>,
    /// What of the point is to be otherwise here.
    pub maps: Maps,
}

/// What a replacement did.
#[derive(Debug, Clone, Serialize)]
pub struct Replaced {
    /// The part that was replaced, as it is said on the command line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// The app as it was before, if it was saved.
    pub safety_point: Option<SnapshotId>,
    /// From the first stop to the last start, seconds.
    pub downtime_seconds: f64,
    /// Containers that stood still around a part, and are the same.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub around: Vec<String>,
    /// The old data.
    pub set_aside: Aside,
    /// The rest.
    #[serde(flatten)]
    pub restored: Restored,
}

/// What was found out on the way.
#[derive(Default)]
struct Report {
    data: Data,
    warnings: Vec<String>,
    downtime: f64,
}

/// One replacement under way.
struct Over<'a> {
    ctx: &'a Context,
    plan: &'a RestorePlan,
    engine: &'a dyn Engine,
    reader: &'a Reader,
    point: &'a OpenPoint,
    part: Option<&'a Part>,
    reach: &'a Reach,
    options: &'a Options,
    id: String,
}

/// What is to take the place of what, opened.
struct Opened {
    app: String,
    subject: Subject,
    point: OpenPoint,
    part: Option<Part>,
    applied: Applied,
}

impl Opened {
    fn of(
        engine: &dyn Engine,
        reader: &Reader,
        (id, snapshot): (SnapshotId, &Snapshot),
        options: &Options,
    ) -> Result<Self> {
        let mut point = OpenPoint::open(reader, id, snapshot, engine.api())?;
        let app = point.manifest.identity.to_string();
        let mut part = None;
        let mut subject = Subject::app(&app);
        if let Some(pieces) = &options.part {
            let (narrowed, of) = Part::of(reader, point, &engine.inventory()?, pieces)?;
            (point, part) = (narrowed, Some(of));
            subject = Subject::part(&app, pieces);
        }
        let mut applied = put_on(engine, &mut point, &options.maps, Scope::Over)?;
        let is_project = part.as_ref().is_some_and(|p| p.whole.project.is_some());
        if is_project && !applied.mapped.is_empty() {
            applied.warnings.push(COMPOSE_FILES.to_owned());
        }
        Ok(Self {
            app,
            subject,
            point,
            part,
            applied,
        })
    }

    /// As it is said of a failure.
    fn what(&self) -> String {
        let part = self.part.as_ref();
        part.map_or_else(|| self.app.clone(), |part| part.what(&self.app))
    }
}

/// Looks, and changes nothing.
pub fn plan(
    ctx: &Context,
    id: SnapshotId,
    snapshot: &Snapshot,
    options: &Options,
) -> Result<RestorePlan> {
    let (id, snapshot) = meant(ctx, id, snapshot)?;
    let engine = ctx.engine()?.as_ref();
    let reader = ctx.vault.reader()?;
    let opened = Opened::of(engine, &reader, (id, &snapshot), options)?;
    let (point, part, subject) = (&opened.point, opened.part.as_ref(), &opened.subject);
    let reach = Reach::presume(engine, &point.manifest)?;
    let before = journal::peek(ctx, subject, id);
    let operation = journal::replace_of(&before).map_or("new", |replace| replace.id.as_str());
    let mut scene = look::look(engine, point, part, &reach, &before, operation)?;
    if let Some(first) = journal::in_the_way(ctx, subject, id, true) {
        scene.refused = vec![first];
    } else if cut_of(&before).is_some() {
        scene.refused.clear();
    }
    let plan = steps::planned(ctx, engine, point, &reach, Some(&scene), options, &before)?;
    Ok(plan.mapped(opened.applied, &options.maps, Some(&before)))
}

/// Replaces the app. Refuses, with all obstacles at once, before anything is touched; an interrupted
/// one of the same point goes on.
pub fn restore(
    ctx: &Context,
    id: SnapshotId,
    snapshot: &Snapshot,
    options: &Options,
) -> Result<Replaced> {
    let mut watch = Stopwatch::start();
    let (id, snapshot) = meant(ctx, id, snapshot)?;
    let engine = ctx.engine()?.as_ref();
    let reader = ctx.vault.reader()?;
    let opened = Opened::of(engine, &reader, (id, &snapshot), options)?;
    let (point, part, subject) = (&opened.point, opened.part.as_ref(), &opened.subject);
    if let Some(first) = journal::in_the_way(ctx, subject, id, true) {
        return Err(RecoveryError::Refused(first));
    }
    let before = journal::peek(ctx, subject, id);
    let replace = match journal::replace_of(&before) {
        Some(replace) => {
            back::check_engine(engine, replace.data_root.as_deref())?;
            replace.clone()
        }
        None => Replace {
            id: format!("{:08x}", jiff::Timestamp::now().as_second()),
            app: opened.app.clone(),
            data_root: engine.fingerprints()?.data_root,
            safety_point: options.safety_point,
        },
    };
    let goes_on = !before.is_empty();
    let turned = |i: &Intent| matches!(i, Intent::Cutting(_) | Intent::GoingBack(_));
    let reach = Reach::prove(engine, &point.manifest)?;
    let maps = &options.maps;
    let mut refused: Vec<String> = maps.begun_with_others(&before).into_iter().collect();
    let mut scene = None;
    if !before.iter().any(turned) {
        let seen = look::look(engine, point, part, &reach, &before, &replace.id)?;
        refused.extend(opened.applied.problems.iter().chain(&seen.refused).cloned());
        scene = Some(seen);
    }
    if !refused.is_empty() {
        return Err(RecoveryError::Refused(format!(
            "{} cannot be replaced here, and nothing was {}: {}",
            opened.what(),
            if goes_on { "stopped" } else { "changed" },
            refused.join("; ")
        )));
    }
    let mut journal = RestoreJournal::open(ctx, subject, id)?;
    if !maps.is_empty() {
        journal.intend(Intent::Mapped(maps.journaled()))?;
    }
    if let Some(pieces) = options.part.as_ref()
        && journal::part_of(journal.all()).is_none()
    {
        journal.intend(Intent::Part(pieces.clone()))?;
    }
    journal.intend(Intent::Replace(replace.clone()))?;
    let seen = scene.as_ref();
    let plan = steps::planned(ctx, engine, point, &reach, seen, options, &before)?;
    let mut plan = plan.mapped(opened.applied.clone(), maps, Some(&before));
    plan.journaled(&mut journal)?;
    let ctx = &ctx.following(&plan.steps);
    watch.split("plan");
    let over = Over {
        ctx,
        plan: &plan,
        engine,
        reader: &reader,
        point,
        part,
        reach: &reach,
        options,
        id: replace.id,
    };
    let done = over.run(journal, scene, watch)?;
    history::remember(ctx, &plan, &done.restored);
    kept::keep(ctx, &opened.app, &done);
    Ok(done)
}

/// The point that is meant: the newest one is our own safety point where a replacement was interrupted.
fn meant(ctx: &Context, id: SnapshotId, snapshot: &Snapshot) -> Result<(SnapshotId, Snapshot)> {
    let as_it_is = || Ok((id, snapshot.clone()));
    let Some(identity) = AppIdentity::from_snapshot_paths(&snapshot.paths) else {
        return as_it_is();
    };
    let before = journal::read(ctx, &Subject::app(&identity.to_string()));
    match journal::point_of(&before).filter(|_| safety_of(&before) == Some(id)) {
        None => as_it_is(),
        Some(begun) => crate::points::by_id(&ctx.vault, begun),
    }
}

impl Over<'_> {
    fn run(
        &self,
        mut journal: RestoreJournal,
        scene: Option<Scene>,
        mut watch: Stopwatch,
    ) -> Result<Replaced> {
        let mut report = Report::default();
        let mut done = Containers::default();
        let mut loaded = None;
        let order = self.point.order()?;
        if let Some(why) = going_back(journal.all()) {
            return Err(self.back(journal, &RecoveryError::Failed(why)));
        }
        if journal.has(&Intent::Passed) {
            let up = self.point.manifest.containers.iter();
            let up = up.filter(|c| c.state != lifeboat_plan::manifest::RunState::Stopped);
            done.running = up.map(|c| c.name.clone()).collect();
        } else {
            if let Some(scene) = scene {
                let prepared = self.prepare(
                    scene,
                    &order,
                    &mut journal,
                    &mut report,
                    &mut done,
                    &mut watch,
                );
                match prepared {
                    Ok(images) => loaded = Some(images),
                    Err(e) => return Err(self.unprepared(journal, self.ctx.or_interrupted(e))),
                }
            }
            let cut = self.cut(
                loaded,
                &order,
                &mut journal,
                &mut report,
                &mut done,
                &mut watch,
            );
            if let Err(e) = cut {
                return Err(self.back(journal, &self.ctx.or_interrupted(e)));
            }
        }
        let safety_point = safety_of(journal.all());
        let around = arounds(journal.all()).iter().map(|one| one.name.clone());
        let around: Vec<String> = around.collect();
        let step = |name: &str| self.ctx.progress.step(name);
        let take = |work: Work, name: &str| self.ctx.take(work, name);
        let set_aside = finish(self.engine, &self.ctx.places, &step, &take, journal)?;
        watch.split("finish");
        let outcome = Outcome {
            data: report.data,
            containers: done,
            image_warnings: report.warnings,
            incomplete: Vec::new(),
        };
        let restored = report::report(self.ctx, self.plan, outcome, watch);
        Ok(Replaced {
            part: self.part.map(|part| part.pieces.options()),
            safety_point,
            downtime_seconds: report.downtime,
            around,
            set_aside,
            restored,
        })
    }

    /// Everything before the cut. Returns the images' ids here.
    fn prepare(
        &self,
        scene: Scene,
        order: &Order,
        journal: &mut RestoreJournal,
        report: &mut Report,
        done: &mut Containers,
        watch: &mut Stopwatch,
    ) -> Result<BTreeMap<String, String>> {
        self.ctx.progress.step("replace-begin");
        self.safety_point(&scene, journal, report)?;
        watch.split("safety point");
        let images = self.load_images(report)?;
        watch.split("images");
        self.make_missing(&scene, journal, report)?;
        self.stage_data(&scene, journal, report)?;
        watch.split("data");
        self.make_containers(&scene, &images, order, journal, done)?;
        watch.split("containers");
        // What was looked at may have changed since: what counts is how it is now.
        let (point, ours) = (self.point, journal.all());
        let now = look::look(self.engine, point, self.part, self.reach, ours, &self.id)?;
        if !now.refused.is_empty() {
            return Err(RecoveryError::Refused(now.refused.join("; ")));
        }
        let staged =
            |swap: &look::Swap| pairs(journal.all()).any(|pair| pair.target == swap.target);
        if let Some(other) = now.swaps.iter().find(|swap| !staged(swap)) {
            return Err(RecoveryError::Refused(format!(
                "{} was made or moved by somebody else in the middle of this",
                other.name
            )));
        }
        if let Some(other) = pairs(journal.all()).find(|pair| !pair.is_ready()) {
            return Err(RecoveryError::Refused(format!(
                "{} was made anew or moved by somebody else in the middle of this",
                other.target.display()
            )));
        }
        for id in done.ids.values() {
            self.engine.inspect_container(id)?;
        }
        let new = |note: &&String| !self.plan.warnings.contains(note);
        report
            .warnings
            .extend(now.notes.iter().filter(new).cloned());
        self.keep_what_goes(&now.old, journal)?;
        self.ctx.progress.step("replace-cut");
        // The last place to turn back without anybody having noticed.
        self.ctx.stop_if_cancelled()?;
        journal.intend(Intent::Cutting(cut::cut_from(now)))?;
        Ok(images)
    }

    fn cut(
        &self,
        loaded: Option<BTreeMap<String, String>>,
        order: &Order,
        journal: &mut RestoreJournal,
        report: &mut Report,
        done: &mut Containers,
        watch: &mut Stopwatch,
    ) -> Result<()> {
        let images = match loaded {
            Some(images) => images,
            None => images::restore_images(self.ctx, self.engine, self.reader, self.point)?.ids,
        };
        if !journal.has(&Intent::Starting) {
            self.stop_old(journal)?;
            watch.split("stop");
            self.exchange(journal)?;
            watch.split("exchange");
        }
        self.take_names(&images, order, journal, done)?;
        let stage = self.containers(&images, order, &self.point.manifest);
        self.ctx.progress.step("replace-start");
        // What runs from here on may write: it is kept on the way back.
        journal.intend(Intent::Starting)?;
        let around = arounds(journal.all()).to_vec();
        let (before, after) = before_and_after(&around, olds(journal.all()));
        let told = |one: &Old| self.ctx.take(Work::Around, &one.name);
        around::start(self.engine, &before, &told)?;
        stage.start(journal, done)?;
        around::start(self.engine, &after, &told)?;
        self.ctx.taken();
        watch.split("start");
        let began = cut_of(journal.all()).map(|cut| cut.at);
        let down = began.map(|at| jiff::Timestamp::now().duration_since(at).as_secs_f64());
        report.downtime = down.unwrap_or_default();
        self.ctx.progress.step("replace-validate");
        stage.validate(done)?;
        around::validate(self.engine, &around)?;
        watch.split("validate");
        if done.incomplete.is_empty() {
            return Ok(());
        }
        Err(RecoveryError::Failed(done.incomplete.join("; ")))
    }
}
