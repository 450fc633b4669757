//! `restore --replace`: a point takes the place of the app that is here.
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

mod back;
mod cut;
mod finish;
mod look;
mod merge;
mod networks;
mod old;
mod space;
mod stage;
mod steps;

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_engine::Engine;
use lifeboat_plan::{identity::AppIdentity, order::Order};
use lifeboat_vault::{Reader, id::SnapshotId, snapshot::Snapshot};
use serde::Serialize;

pub use self::{
    back::{Back, go_back},
    finish::finish,
    old::{Cut, Old, Replace},
};
use self::{look::Scene, old::ours_ends};
use super::{
    Outcome, RestorePlan, Restored, Work,
    containers::Containers,
    data::Data,
    exchange::Pair,
    history, images,
    journal::{self, Intent, RestoreJournal, Subject},
    kept,
    point::OpenPoint,
    reach::Reach,
    report::{self, Stopwatch},
    undo::is_outage,
};
use crate::{Context, RecoveryError, Result, asides::Aside};

/// How it is wanted.
#[derive(Debug, Clone)]
pub struct Options {
    /// The app as it is goes into the vault first.
    pub safety_point: bool,
}

/// What a replacement did.
#[derive(Debug, Clone, Serialize)]
pub struct Replaced {
    /// The app as it was before, if it was saved.
    pub safety_point: Option<SnapshotId>,
    /// From the first stop to the last start, seconds.
    pub downtime_seconds: f64,
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
    reach: &'a Reach,
    options: &'a Options,
    id: String,
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
    let point = OpenPoint::open(&reader, id, &snapshot, engine.api())?;
    let reach = Reach::presume(engine, &point.manifest)?;
    let subject = Subject::app(&point.manifest.identity.to_string());
    let before = journal::peek(ctx, &subject, id);
    let operation = journal::replace_of(&before).map_or("new", |replace| replace.id.as_str());
    let mut scene = look::look(engine, &point, &reach, &before, operation)?;
    let other = journal::of_another_point(ctx, &subject, id)
        .or_else(|| journal::of_another_kind(ctx, &subject, true));
    if let Some(first) = other {
        scene.refused = vec![first];
    } else if cut_of(&before).is_some() {
        scene.refused.clear();
    }
    steps::planned(ctx, engine, &point, &reach, Some(&scene), options, &before)
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
    let point = OpenPoint::open(&reader, id, &snapshot, engine.api())?;
    let app = point.manifest.identity.to_string();
    let subject = Subject::app(&app);
    let other = journal::of_another_point(ctx, &subject, id)
        .or_else(|| journal::of_another_kind(ctx, &subject, true));
    if let Some(first) = other {
        return Err(RecoveryError::Refused(first));
    }
    let before = journal::peek(ctx, &subject, id);
    let replace = match journal::replace_of(&before) {
        Some(replace) => {
            back::check_engine(engine, replace.data_root.as_deref())?;
            replace.clone()
        }
        None => Replace {
            id: format!("{:08x}", jiff::Timestamp::now().as_second()),
            app: app.clone(),
            data_root: engine.fingerprints()?.data_root,
            safety_point: options.safety_point,
        },
    };
    let goes_on = !before.is_empty();
    let turned = |i: &Intent| matches!(i, Intent::Cutting(_) | Intent::GoingBack(_));
    let reach = Reach::prove(engine, &point.manifest)?;
    let mut scene = None;
    if !before.iter().any(turned) {
        let seen = look::look(engine, &point, &reach, &before, &replace.id)?;
        if !seen.refused.is_empty() {
            return Err(RecoveryError::Refused(format!(
                "{app} cannot be replaced here, and nothing was {}: {}",
                if goes_on { "stopped" } else { "changed" },
                seen.refused.join("; ")
            )));
        }
        scene = Some(seen);
    }
    let mut journal = RestoreJournal::open(ctx, &subject, id)?;
    journal.intend(Intent::Replace(replace.clone()))?;
    let seen = scene.as_ref();
    let mut plan = steps::planned(ctx, engine, &point, &reach, seen, options, &before)?;
    plan.journaled(&mut journal)?;
    let ctx = &ctx.following(&plan);
    watch.split("plan");
    let over = Over {
        ctx,
        plan: &plan,
        engine,
        reader: &reader,
        point: &point,
        reach: &reach,
        options,
        id: replace.id,
    };
    let done = over.run(journal, scene, watch)?;
    history::remember(ctx, &plan, &done.restored);
    kept::keep(ctx, &app, &done);
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
            safety_point,
            downtime_seconds: report.downtime,
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
        let now = look::look(self.engine, self.point, self.reach, journal.all(), &self.id)?;
        if !now.refused.is_empty() {
            return Err(RecoveryError::Refused(now.refused.join("; ")));
        }
        let staged = |swap: &look::Swap| {
            let place = (swap.target.clone(), swap.aside.clone());
            journal.has(&Intent::Staging(place.0, place.1))
        };
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
        stage.start(journal, done)?;
        watch.split("start");
        let began = cut_of(journal.all()).map(|cut| cut.at);
        let down = began.map(|at| jiff::Timestamp::now().duration_since(at).as_secs_f64());
        report.downtime = down.unwrap_or_default();
        self.ctx.progress.step("replace-validate");
        stage.validate(done)?;
        watch.split("validate");
        if done.incomplete.is_empty() {
            return Ok(());
        }
        Err(RecoveryError::Failed(done.incomplete.join("; ")))
    }

    /// It failed before anything was stopped.
    fn unprepared(&self, journal: RestoreJournal, why: RecoveryError) -> RecoveryError {
        let app = &self.point.manifest.identity.name;
        if is_outage(&why) {
            tracing::warn!(
                "{app} runs on, untouched; the same command goes on from here, and `lifeboat restore --undo` takes away what is there"
            );
            return why;
        }
        let step = |name: &str| self.ctx.progress.step(name);
        let went = go_back(
            self.engine,
            &self.ctx.places,
            &step,
            journal,
            &why.to_string(),
        );
        match (went, why) {
            (Ok(_), RecoveryError::Interrupted) => RecoveryError::Interrupted,
            (Ok(back), why) => RecoveryError::Failed(sentence(
                format!("{app} was not replaced, and runs on untouched: {why}"),
                &back.notes,
            )),
            (Err(e), why) => RecoveryError::Failed(format!(
                "{app} was not replaced, and runs on untouched: {why}; what had been made for it is still there: {e}; `lifeboat restore --undo` tries again"
            )),
        }
    }

    /// It failed after the old containers were stopped: they come back.
    fn back(&self, journal: RestoreJournal, why: &RecoveryError) -> RecoveryError {
        let app = &self.point.manifest.identity.name;
        let safety = safety_of(journal.all());
        let step = |name: &str| self.ctx.progress.step(name);
        match go_back(
            self.engine,
            &self.ctx.places,
            &step,
            journal,
            &why.to_string(),
        ) {
            Ok(back) => {
                let mut notes = back.notes;
                if let Some(aside) = back.aside {
                    notes.push(format!(
                        "what the replacement wrote is kept until {}, see `lifeboat rm {}`",
                        aside.until.strftime("%F"),
                        aside.name()
                    ));
                }
                notes.extend(safety.map(|id| format!("the safety point is {}", id.short())));
                RecoveryError::Failed(sentence(
                    format!(
                        "{app} was not replaced ({why}); everything was swapped back, and the app is as it was before"
                    ),
                    &notes,
                ))
            }
            Err(e) => RecoveryError::Failed(format!(
                "{app} was not replaced ({why}), and going back stopped too: {e}; nothing is lost, `lifeboat restore --undo` goes on from here"
            )),
        }
    }
}

fn sentence(what: String, notes: &[String]) -> String {
    let notes = notes.iter().map(String::as_str);
    std::iter::once(what.as_str())
        .chain(notes)
        .collect::<Vec<_>>()
        .join("; ")
}

fn cut_of(intents: &BTreeSet<Intent>) -> Option<&Cut> {
    intents.iter().find_map(|intent| match intent {
        Intent::Cutting(cut) => Some(cut),
        _ => None,
    })
}

fn olds(intents: &BTreeSet<Intent>) -> &[Old] {
    cut_of(intents).map_or(&[], |cut| cut.old.as_slice())
}

fn pairs(intents: &BTreeSet<Intent>) -> impl Iterator<Item = &Pair> {
    intents.iter().filter_map(|intent| match intent {
        Intent::Staged(pair) => Some(pair),
        _ => None,
    })
}

fn carries(intents: &BTreeSet<Intent>) -> impl Iterator<Item = &Pair> {
    intents.iter().filter_map(|intent| match intent {
        Intent::Carry(pair) => Some(pair),
        _ => None,
    })
}

fn keepers(intents: &BTreeSet<Intent>) -> impl Iterator<Item = &String> {
    intents.iter().filter_map(|intent| match intent {
        Intent::Keeper(name) => Some(name),
        _ => None,
    })
}

/// The point that holds the app as it was.
pub fn safety_of(intents: &BTreeSet<Intent>) -> Option<SnapshotId> {
    intents.iter().find_map(|intent| match intent {
        Intent::Safety(id) => Some(*id),
        _ => None,
    })
}

/// Why an app of this name cannot be protected now: it is half one and half the other.
pub(crate) fn in_the_cut(ctx: &Context, app: &str) -> Option<String> {
    let entries = fs_err::read_dir(ctx.places.journal()).into_iter().flatten();
    entries.flatten().find_map(|entry| {
        let name = entry.file_name();
        let (_, of, _) = journal::parse_app_journal(name.to_str()?.strip_suffix(".jsonl")?)?;
        let intents = journal::read_file(&entry.path());
        let is_it = of.rsplit('/').next() == Some(app);
        let half = cut_of(&intents).is_some() && !intents.contains(&Intent::Passed);
        (is_it && half).then(|| {
            format!(
                "a replacement of {of} was interrupted in the middle; finish it with `lifeboat restore --continue`, or go back with `lifeboat restore --undo`, and protect it then"
            )
        })
    })
}

/// Why it is going back already.
pub fn going_back(intents: &BTreeSet<Intent>) -> Option<String> {
    intents.iter().find_map(|intent| match intent {
        Intent::GoingBack(why) => Some(why.clone()),
        _ => None,
    })
}
