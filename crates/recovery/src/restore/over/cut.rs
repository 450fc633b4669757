//! The cut: the old containers stop and step aside, the folders change places, the new containers take
//! the names and start. Nothing in it depends on how much data there is. Each step can be taken again,
//! and looks before it acts.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use lifeboat_plan::order::Order;

use super::{
    Over,
    around::{before_and_after, holds},
    here::uses,
    look::{Scene, Swap},
    old::Cut,
    record::{arounds, carries, cut_of, olds, pairs},
};
use crate::{
    RecoveryError, Result,
    restore::{
        Work,
        containers::Containers,
        exchange::{How, Pair},
        journal::{Intent, RestoreJournal},
    },
};

/// How long the engine may take to remove a container that it removes by itself.
const GONE_WITHIN: Duration = Duration::from_secs(30);

impl Over<'_> {
    /// Stops the old containers, last to start first, and moves them out of the way.
    pub(super) fn stop_old(&self, journal: &RestoreJournal) -> Result<()> {
        let (old, around) = (olds(journal.all()), arounds(journal.all()));
        let (before, after) = before_and_after(around, old);
        let all = || {
            before
                .iter()
                .copied()
                .chain(old)
                .chain(after.iter().copied())
        };
        for old in all() {
            old.hold(self.engine)?;
        }
        for old in all().collect::<Vec<_>>().into_iter().rev() {
            self.ctx.progress.step("replace-stop");
            let is_around = around.iter().any(|one| one.id == old.id);
            let work = if is_around { Work::Around } else { Work::Stop };
            self.ctx.take(work, &old.name);
            old.stop(self.engine)?;
        }
        for old in old {
            self.ctx.progress.step("replace-aside");
            if old.is_removed_on_stop() {
                self.wait_gone(&old.id, &old.name)?;
            } else {
                old.rename(self.engine, &old.name_aside(&self.id))?;
            }
        }
        self.ctx.taken();
        Ok(())
    }

    fn wait_gone(&self, id: &str, name: &str) -> Result<()> {
        let began = Instant::now();
        loop {
            match self.engine.inspect_container(id) {
                Err(e) if e.is_not_found() => return Ok(()),
                Err(e) => return Err(e.into()),
                Ok(_) if began.elapsed() > GONE_WITHIN => {
                    return Err(RecoveryError::Failed(format!(
                        "{name} was stopped, and the engine has not removed it (--rm) after {} s",
                        GONE_WITHIN.as_secs()
                    )));
                }
                Ok(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// All folders change places. Refused while anything that runs holds one of them.
    pub(super) fn exchange(&self, journal: &mut RestoreJournal) -> Result<()> {
        let pairs: Vec<Pair> = pairs(journal.all()).cloned().collect();
        self.nobody_uses(&pairs)?;
        for pair in &pairs {
            self.ctx.progress.step("replace-exchange");
            self.ctx.take(Work::Exchange, self.step_of(pair));
            pair.exchange(&|name| self.ctx.progress.step(name))?;
        }
        let carry = cut_of(journal.all()).map(|cut| cut.carry.clone());
        for (target, inside) in carry.into_iter().flatten() {
            self.carry(&target, &inside, &pairs, journal)?;
        }
        self.ctx.taken();
        Ok(())
    }

    /// The step of the plan that this belongs to: a project's files change places one by one.
    fn step_of<'p>(&'p self, pair: &'p Pair) -> &'p str {
        let planned = self.plan.steps.iter();
        let mut planned = planned.filter(|s| s.kind == Work::Exchange);
        let step = planned.find(|s| pair.target.starts_with(&s.name));
        step.map_or_else(|| pair.target.to_str().unwrap_or("?"), |s| &s.name)
    }

    /// Takes something along from the old folder into the new one.
    fn carry(
        &self,
        target: &std::path::Path,
        inside: &std::path::Path,
        pairs: &[Pair],
        journal: &mut RestoreJournal,
    ) -> Result<()> {
        let Some(pair) = pairs.iter().find(|pair| pair.target == target) else {
            return Ok(());
        };
        let (to, from) = (target.join(inside), pair.old_aside().join(inside));
        let known = carries(journal.all())
            .find(|carry| carry.target == to)
            .cloned();
        let carry = match known {
            Some(carry) => carry,
            None if fs_err::symlink_metadata(&from).is_err() => return Ok(()),
            None => {
                if let Some(parent) = to.parent() {
                    fs_err::create_dir_all(parent)?;
                }
                let carry = Pair::seal(&to, &from)?;
                journal.intend(Intent::Carry(carry.clone()))?;
                carry
            }
        };
        self.ctx.progress.step("replace-carry");
        carry.exchange(&|_| {})
    }

    /// What runs with a folder keeps the one that it was started with: nobody may.
    fn nobody_uses(&self, pairs: &[Pair]) -> Result<()> {
        let here = self.engine.inventory()?;
        for container in here
            .containers
            .iter()
            .filter(|c| lifeboat_plan::app::is_live(c.state))
        {
            for mount in &container.mounts {
                let is_used = |pair: &Pair| {
                    uses(mount, &here, &pair.target.to_string_lossy())
                        || (self.part.is_some() && holds(mount, &pair.target))
                };
                if pairs.iter().any(is_used) {
                    return Err(RecoveryError::Failed(format!(
                        "{} was started in the middle of this and uses {}",
                        container.name, mount.source
                    )));
                }
            }
        }
        Ok(())
    }

    /// The new containers get the names; those that had to wait are created now.
    pub(super) fn take_names(
        &self,
        images: &BTreeMap<String, String>,
        order: &Order,
        journal: &mut RestoreJournal,
        done: &mut Containers,
    ) -> Result<()> {
        self.find_made(journal, done)?;
        for (name, id) in &done.ids {
            self.ctx.progress.step("replace-name");
            let raw = self.engine.inspect_container(id)?;
            if raw["Name"].as_str().map(|n| n.trim_start_matches('/')) != Some(name) {
                self.engine.rename(id, name)?;
            }
        }
        let stage = self.containers(images, order, &self.point.manifest);
        let waited = done.ids.len() < self.point.manifest.containers.len();
        stage.create(journal, done)?;
        if waited && !journal.has(&Intent::Starting) {
            let volumes = cut_of(journal.all()).map(|cut| cut.volumes.clone());
            let volumes = volumes.into_iter().flatten().collect();
            stage.data.empty_these(&volumes, journal, &mut done.data)?;
        }
        Ok(())
    }

    /// Ids of the new containers that a run before this one has made.
    pub(super) fn find_made(&self, journal: &RestoreJournal, done: &mut Containers) -> Result<()> {
        for record in &self.point.manifest.containers {
            if done.ids.contains_key(&record.name) {
                continue;
            }
            let early = format!("{}{}", record.name, self.new_suffix());
            for name in [&early, &record.name] {
                match self.engine.inspect_container(name) {
                    Ok(raw) => {
                        let id = raw["Id"].as_str().unwrap_or_default().to_owned();
                        if journal.has(&Intent::ContainerMade(id.clone())) {
                            done.ids.insert(record.name.clone(), id);
                            break;
                        }
                    }
                    Err(e) if e.is_not_found() => {}
                    Err(e) => return Err(e.into()),
                }
            }
        }
        Ok(())
    }
}

/// What the cut needs to know of what was seen.
pub(super) fn cut_from(scene: Scene) -> Cut {
    let carry = scene.swaps.iter().flat_map(|swap| {
        let inside = swap.carry.iter();
        inside.map(|inside| (swap.target.clone(), inside.clone()))
    });
    // One whose entries change places is never empty: what lies aside is in it.
    let whole = |s: &&Swap| How::of(&s.target, &s.aside) == How::Exchange;
    let volumes = scene.swaps.iter().filter(|s| s.kind == "volume");
    let volumes = volumes.filter(whole);
    Cut {
        at: jiff::Timestamp::now(),
        carry: carry.collect(),
        volumes: volumes.map(|s| s.name.clone()).collect(),
        old: scene.old,
        around: scene.around,
    }
}
