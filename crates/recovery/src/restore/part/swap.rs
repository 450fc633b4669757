//! `restore --volume`, `--bind` with `--replace`: data of a point in the place of the data that is here.
//!
//! The new data is made whole aside while everything runs. Then the containers that hold the old one,
//! and those that have to be restarted with them, stop, last to start first; the folders change places
//! ([`exchange`]); the containers start again, the same as before. The old data is set aside for a
//! week ([`crate::asides`]). Where one of them does not come up, the folders change back.
//!
//! How long they stand still does not depend on how much data there is. Each step is journaled before
//! it is taken and looks before it acts: after a crash the same command goes on. A container that was
//! about to be stopped has restart policy `no` until it is started again, so that the engine does not
//! start it in the middle.

mod look;
mod users;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use lifeboat_engine::{Engine, Health};
use lifeboat_vault::{Reader, id::SnapshotId, snapshot::Snapshot};
use serde::Serialize;

use self::{
    look::{Scene, look},
    users::still_uses,
};
use super::pieces::Pieces;
use crate::{
    Context, RecoveryError, Result,
    asides::{Aside, AsidePath},
    restore::{
        Outcome, RestorePlan, Restored,
        containers::Containers,
        data::{Data, DataStage},
        exchange::{self, Pair},
        journal::{self, Intent, RestoreJournal, Subject},
        over::{Cut, Old, Replace},
        reach::Reach,
        report::{self, Stopwatch},
        undo::{is_outage, undo},
    },
};

/// How long a container may take to become healthy again.
const HEALTHY_WITHIN: Duration = Duration::from_secs(180);
/// A container without a health check has to run for so long to count as up.
const UP_FOR: Duration = Duration::from_millis(1500);

/// How it is wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Options {
    /// Containers of other apps that use it may be stopped too.
    pub stop_users: bool,
}

/// What it did.
#[derive(Debug, Clone, Serialize)]
pub struct Swapped {
    /// Containers that stood still meanwhile.
    pub around: Vec<String>,
    /// From the first stop to the last start, seconds.
    pub downtime_seconds: f64,
    /// The old data.
    pub set_aside: Aside,
    /// The rest.
    #[serde(flatten)]
    pub restored: Restored,
}

/// Looks, and changes nothing.
pub fn plan(
    ctx: &Context,
    id: SnapshotId,
    snapshot: &Snapshot,
    pieces: &Pieces,
    options: Options,
) -> Result<RestorePlan> {
    let engine = ctx.engine()?.as_ref();
    let reader = ctx.vault.reader()?;
    let scene = look(ctx, engine, &reader, id, snapshot, pieces, options, false)?;
    Ok(scene.plan())
}

/// Replaces it. Refuses, with all obstacles at once, before anything is touched.
pub fn restore(
    ctx: &Context,
    id: SnapshotId,
    snapshot: &Snapshot,
    pieces: &Pieces,
    options: Options,
) -> Result<Swapped> {
    let mut watch = Stopwatch::start();
    let engine = ctx.engine()?.as_ref();
    let reader = ctx.vault.reader()?;
    let scene = look(ctx, engine, &reader, id, snapshot, pieces, options, true)?;
    if !scene.obstacles.is_empty() {
        return Err(RecoveryError::Refused(format!(
            "{} of {} cannot be replaced here, and nothing was changed: {}",
            pieces.options(),
            scene.app,
            scene.obstacles.join("; ")
        )));
    }
    let mut journal = RestoreJournal::open(ctx, &scene.subject, id)?;
    journal.intend(Intent::Part(scene.options.clone()))?;
    journal.intend(Intent::Replace(Replace {
        id: scene.id.clone(),
        app: scene.app.clone(),
        data_root: engine.fingerprints()?.data_root,
        safety_point: false,
    }))?;
    watch.split("plan");
    let swap = Swap {
        ctx,
        engine,
        reader: &reader,
        scene: &scene,
    };
    swap.run(journal, watch)
}

/// One under way.
struct Swap<'a> {
    ctx: &'a Context,
    engine: &'a dyn Engine,
    reader: &'a Reader,
    scene: &'a Scene,
}

impl Swap<'_> {
    fn run(&self, mut journal: RestoreJournal, mut watch: Stopwatch) -> Result<Swapped> {
        let mut data = Data::default();
        let begun = |i: &Intent| matches!(i, Intent::Cutting(_));
        if !journal.intents().any(begun)
            && let Err(why) = self.prepare(&mut journal, &mut data, &mut watch)
        {
            return Err(self.unprepared(journal, self.ctx.or_interrupted(why)));
        }
        let going_back = journal.intents().find_map(|intent| match intent {
            Intent::GoingBack(why) => Some(why.clone()),
            _ => None,
        });
        if let Some(why) = going_back {
            return Err(self.back(journal, why));
        }
        if !journal.has(&Intent::Passed)
            && let Err(why) = self.cut(&journal, &mut watch)
        {
            return Err(self.back(journal, why.to_string()));
        }
        self.finish(journal, data, watch)
    }

    /// Everything that takes time, while the old data is in use.
    fn prepare(
        &self,
        journal: &mut RestoreJournal,
        data: &mut Data,
        watch: &mut Stopwatch,
    ) -> Result<()> {
        let step = |name: &str| self.ctx.progress.step(name);
        step("part-begin");
        let stage = self.stage();
        stage.volumes(journal, data)?;
        stage.binds(journal, data)?;
        step("part-stage");
        for one in &self.scene.swaps {
            self.ctx.stop_if_cancelled()?;
            let known = pairs(journal).into_iter().find(|p| p.target == one.target);
            match known {
                Some(pair) if pair.is_ready() => continue,
                Some(pair) => {
                    return Err(RecoveryError::Refused(format!(
                        "{} or what was made to take its place was changed by somebody else since this was interrupted",
                        pair.target.display()
                    )));
                }
                None => {}
            }
            journal.intend(Intent::Staging(one.target.clone(), one.aside.clone()))?;
            let pair = stage.stage(&one.place, &one.target, &one.aside, data)?;
            journal.intend(Intent::Staged(pair))?;
        }
        watch.split("data");
        step("part-cut");
        // The last place to turn back without anybody having noticed.
        self.ctx.stop_if_cancelled()?;
        let old = self.scene.users_now(self.engine)?;
        journal.intend(Intent::Cutting(Cut {
            at: jiff::Timestamp::now(),
            old,
            carry: Vec::new(),
            volumes: Vec::new(),
        }))
    }

    /// Stop, change places, start. Each step can be taken again.
    fn cut(&self, journal: &RestoreJournal, watch: &mut Stopwatch) -> Result<()> {
        let step = |name: &str| self.ctx.progress.step(name);
        let old = users(journal);
        stop(self.engine, &old, &step)?;
        let pairs = pairs(journal);
        if let Some(name) = still_uses(&self.engine.inventory()?, &pairs) {
            return Err(RecoveryError::Failed(format!(
                "{name} was started in the middle of this and uses what is replaced"
            )));
        }
        for pair in &pairs {
            step("part-exchange");
            pair.exchange()?;
        }
        step("part-start");
        start(self.engine, &old)?;
        watch.split("cut");
        step("part-validate");
        validate(self.engine, &old)?;
        watch.split("validate");
        Ok(())
    }

    fn finish(
        &self,
        mut journal: RestoreJournal,
        data: Data,
        mut watch: Stopwatch,
    ) -> Result<Swapped> {
        journal.intend(Intent::Passed)?;
        self.ctx.progress.step("part-finish");
        let aside = self.aside(&journal)?;
        if !aside.paths.is_empty() {
            aside.save(&self.ctx.places)?;
        }
        let old = users(&journal);
        let downtime = watch.seconds_of("cut");
        journal.finish()?;
        watch.split("finish");
        let outcome = Outcome {
            data,
            containers: Containers {
                running: old.iter().map(|o| o.name.clone()).collect(),
                ..Containers::default()
            },
            image_warnings: Vec::new(),
            incomplete: Vec::new(),
        };
        Ok(Swapped {
            around: old.into_iter().map(|o| o.name).collect(),
            downtime_seconds: downtime,
            set_aside: aside,
            restored: report::report(self.ctx, &self.scene.plan(), outcome, watch),
        })
    }

    fn aside(&self, journal: &RestoreJournal) -> Result<Aside> {
        let scene = self.scene;
        let mut aside = Aside::new(&scene.app, &scene.id, Some(scene.point.id), None);
        for intent in journal.intents() {
            if let Intent::Staging(target, place) = intent
                && let Some(path) = AsidePath::look(place, target)?
            {
                aside.paths.push(path);
            }
        }
        Ok(aside)
    }

    /// It failed before anything was stopped: what was made goes, and nobody has noticed.
    fn unprepared(&self, journal: RestoreJournal, why: RecoveryError) -> RecoveryError {
        if is_outage(&why) {
            return why;
        }
        for intent in journal.intents() {
            if let Intent::Staging(_, aside) = intent {
                if let Err(e) = exchange::remove_tree(aside) {
                    tracing::warn!("{}: {e}", aside.display());
                }
                exchange::leave_room(aside);
            }
        }
        undo(self.engine, journal, why)
    }

    /// It failed after containers were stopped: the old data comes back.
    fn back(&self, mut journal: RestoreJournal, why: String) -> RecoveryError {
        let went = self.go_back(&mut journal, &why);
        let app = &self.scene.app;
        let ended = went.and_then(|kept| journal.finish().map(|()| kept));
        RecoveryError::Failed(match ended {
            Ok(None) => format!("{app} runs on with the data that it had: {why}"),
            Ok(Some(until)) => format!(
                "{app} runs on with the data that it had: {why}; what was written meanwhile is kept until {until}, see `lifeboat rm`"
            ),
            Err(e) => format!(
                "{why}; and the data that was there could not be put back: {e}; the same command tries again"
            ),
        })
    }

    fn go_back(&self, journal: &mut RestoreJournal, why: &str) -> Result<Option<jiff::Timestamp>> {
        let step = |name: &str| self.ctx.progress.step(name);
        journal.intend(Intent::GoingBack(why.to_owned()))?;
        let old = users(journal);
        stop(self.engine, &old, &step)?;
        for pair in pairs(journal).iter().rev() {
            pair.put_back()?;
        }
        start(self.engine, &old)?;
        let mut aside = self.aside(journal)?;
        aside.of_replacement = true;
        if aside.paths.is_empty() {
            return Ok(None);
        }
        aside.save(&self.ctx.places)?;
        Ok(Some(aside.until))
    }

    /// What of the part is not here yet is made as by any restore.
    fn stage(&self) -> DataStage<'_> {
        let point = &self.scene.point;
        DataStage {
            ctx: self.ctx,
            engine: self.engine,
            reader: self.reader,
            root: point.root,
            manifest: &self.scene.missing,
            definitions: &point.definitions,
            reach: &self.scene.reach,
        }
    }
}

fn pairs(journal: &RestoreJournal) -> Vec<Pair> {
    let pair = |intent: &Intent| match intent {
        Intent::Staged(pair) => Some(pair.clone()),
        _ => None,
    };
    journal.intents().filter_map(pair).collect()
}

/// The containers that stand still, in the order in which they start.
fn users(journal: &RestoreJournal) -> Vec<Old> {
    let old = |intent: &Intent| match intent {
        Intent::Cutting(cut) => Some(cut.old.clone()),
        _ => None,
    };
    journal.intents().find_map(old).unwrap_or_default()
}

fn stop(engine: &dyn Engine, old: &[Old], step: &dyn Fn(&str)) -> Result<()> {
    for one in old {
        one.hold(engine)?;
    }
    for one in old.iter().rev() {
        step("part-stop");
        one.stop(engine)?;
    }
    Ok(())
}

/// Restart policies as they were, and everything started that ran.
fn start(engine: &dyn Engine, old: &[Old]) -> Result<()> {
    for one in old {
        one.release(engine)?;
        match engine.start(&one.id) {
            // Somebody took it away meanwhile, which is theirs to do.
            Err(e) if e.is_not_found() => continue,
            Err(e) => {
                return Err(RecoveryError::Failed(format!(
                    "{} did not start: {e}",
                    one.name
                )));
            }
            Ok(()) => {}
        }
        // Dependents come after it; whether it is well is judged at the end.
        if !one.paused {
            let _ = engine.wait_healthy(&one.id, HEALTHY_WITHIN);
        }
    }
    Ok(())
}

fn validate(engine: &dyn Engine, old: &[Old]) -> Result<()> {
    let began = Instant::now();
    for one in old {
        let up = match engine.wait_healthy(&one.id, HEALTHY_WITHIN) {
            Ok(Health::Healthy) => true,
            Ok(Health::NoCheck) => {
                if let Some(rest) = UP_FOR.checked_sub(began.elapsed()) {
                    std::thread::sleep(rest);
                }
                engine.inspect_container(&one.id)?["State"]["Running"] == true
            }
            Err(e) if e.is_not_found() => true,
            Err(_) => false,
        };
        if !up {
            return Err(RecoveryError::Failed(format!(
                "{} does not run with the data of the point; look at `docker logs {}`",
                one.name, one.name
            )));
        }
        if one.paused {
            engine.pause(&one.id)?;
        }
    }
    Ok(())
}

/// Names of containers, for a plan.
fn names(old: &[Old]) -> BTreeSet<&str> {
    old.iter().map(|o| o.name.as_str()).collect()
}

/// Whether another part, or the whole app, was interrupted here.
fn in_the_way(
    ctx: &Context,
    app: &str,
    subject: &Subject,
    reach: &Reach,
    id: SnapshotId,
    options: &str,
) -> Option<String> {
    if journal::has_begun(ctx, &Subject::app(app).at(reach.address())) {
        return Some(format!(
            "a restore of the whole of {app} was interrupted here; finish it first"
        ));
    }
    let (other, before) = journal::interrupted_part(ctx, subject)?;
    (other != id || before != options).then(|| {
        format!(
            "`lifeboat restore {app}@{} {before}` was interrupted here; finish it first with that command",
            other.short()
        )
    })
}
