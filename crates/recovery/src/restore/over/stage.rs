//! Everything that takes time, while the old app runs: images, networks, data made whole aside,
//! containers made under names of their own. What fails here is taken back, and the old app has not
//! noticed.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_plan::{
    identity::TAG_SAFETY,
    manifest::layout,
    order::{Order, target},
};
use serde_json::{Value, json};

use super::{
    Over, Report,
    look::Scene,
    merge,
    old::Old,
    record::{pairs, safety_of},
};
use crate::{
    RecoveryError, Result,
    protect::{ProtectOptions, protect},
    restore::{
        Work,
        containers::{ContainerStage, Containers},
        data::DataStage,
        exchange::{self, Pair},
        images,
        journal::{Intent, RestoreJournal},
        networks::make_networks,
        obstacles::PathState,
    },
};

impl Over<'_> {
    /// The app as it is now, into the vault.
    pub(super) fn safety_point(
        &self,
        scene: &Scene,
        journal: &mut RestoreJournal,
        report: &mut Report,
    ) -> Result<()> {
        let Some(app) = scene.app.as_ref().filter(|_| self.options.safety_point) else {
            return Ok(());
        };
        if safety_of(journal.all()).is_some() {
            return Ok(());
        }
        self.ctx.progress.step("replace-safety");
        self.ctx.take(Work::SafetyPoint, app);
        let options = ProtectOptions {
            tags: vec![TAG_SAFETY.to_owned()],
            ..ProtectOptions::default()
        };
        let made = protect(self.ctx, app, &options).map_err(|e| match e {
            RecoveryError::Interrupted => e,
            e => RecoveryError::Refused(format!(
                "{app} as it runs now could not be saved first, and nothing was changed: {e}; repair that, or go without with --no-safety-point"
            )),
        })?;
        let lacks = made.incomplete.iter().chain(&made.warnings);
        report
            .warnings
            .extend(lacks.map(|w| format!("safety point: {w}")));
        if let Some(id) = made.id {
            journal.intend(Intent::Safety(id))?;
        }
        self.ctx.taken();
        Ok(())
    }

    /// The images; returns their ids here.
    pub(super) fn load_images(&self, report: &mut Report) -> Result<BTreeMap<String, String>> {
        let images = images::restore_images(self.ctx, self.engine, self.reader, self.point)?;
        if !images.incomplete.is_empty() {
            return Err(RecoveryError::Failed(images.incomplete.join("; ")));
        }
        report.warnings.extend(images.warnings);
        Ok(images.ids)
    }

    /// Networks, and what of the data is not here yet.
    pub(super) fn make_missing(
        &self,
        scene: &Scene,
        journal: &mut RestoreJournal,
        report: &mut Report,
    ) -> Result<()> {
        let (ctx, definitions) = (self.ctx, &self.point.definitions);
        ctx.progress.step("replace-missing");
        make_networks(ctx, self.engine, &scene.missing, definitions, journal)?;
        let stage = self.data_stage(&scene.missing);
        stage.volumes(journal, &mut report.data)?;
        stage.project(journal, &mut report.data)?;
        stage.binds(journal, &mut report.data)
    }

    /// What takes the place of what is here, made whole aside of it.
    pub(super) fn stage_data(
        &self,
        scene: &Scene,
        journal: &mut RestoreJournal,
        report: &mut Report,
    ) -> Result<()> {
        let stage = self.data_stage(&scene.missing);
        for swap in &scene.swaps {
            self.ctx.stop_if_cancelled()?;
            self.ctx.progress.step("replace-stage");
            self.ctx.take(swap.work(), &swap.name);
            if is_staged(journal, |pair| pair.target == swap.target)? {
                continue;
            }
            journal.intend(Intent::Staging(swap.target.clone(), swap.aside.clone()))?;
            let aside = exchange::settle(&swap.target, swap.aside.clone(), &self.id)?;
            journal.intend(Intent::Staging(swap.target.clone(), aside.clone()))?;
            let pair = stage.stage(&swap.place, &swap.target, &aside, &mut report.data)?;
            self.ctx.progress.step("replace-staged");
            journal.intend(Intent::Staged(pair))?;
        }
        for merge in &scene.merges {
            self.ctx.stop_if_cancelled()?;
            self.ctx.take(Work::Project, &merge.root);
            let target = fs_err::canonicalize(&merge.root)?;
            journal.intend(Intent::Staging(target.clone(), merge.aside.clone()))?;
            if journal.has(&Intent::Merged(merge.aside.clone())) {
                is_staged(journal, |pair| pair.aside.starts_with(&merge.aside))?;
                continue;
            }
            let Some(place) = layout::project(&merge.root) else {
                continue;
            };
            // What was compared and taken away before a crash is made again.
            exchange::make_room(&merge.aside)?;
            let node = stage.node(&place)?;
            report.data.add(stage.tree(&node, &merge.aside)?);
            for pair in merge::differing(&target, &merge.aside)? {
                journal.intend(Intent::Staged(pair))?;
            }
            journal.intend(Intent::Merged(merge.aside.clone()))?;
        }
        self.ctx.taken();
        Ok(())
    }

    /// The new containers, under names of their own. Those that would make the engine fill a folder of
    /// the old app from their image have to wait until it is out of the way.
    pub(super) fn make_containers(
        &self,
        scene: &Scene,
        images: &BTreeMap<String, String>,
        order: &Order,
        journal: &mut RestoreJournal,
        done: &mut Containers,
    ) -> Result<()> {
        self.ctx.progress.step("replace-containers");
        let stage = ContainerStage {
            suffix: Some(self.new_suffix()),
            later: self.later(scene)?,
            ..self.containers(images, order, &scene.missing)
        };
        stage.create(journal, done)?;
        let stage = self.data_stage(&scene.missing);
        stage.empty_again(journal, &mut done.data)
    }

    /// Containers of the point that use a volume whose folder here is empty, and those that need them.
    fn later(&self, scene: &Scene) -> Result<BTreeSet<String>> {
        let empty = |name: &str| {
            scene.swaps.iter().any(|s| {
                s.kind == "volume"
                    && s.name == name
                    && PathState::of(&s.target) == PathState::EmptyFolder
            })
        };
        let mut facts = Vec::new();
        for record in &self.point.manifest.containers {
            let raw = self.point.definitions.container(&record.name)?.clone();
            facts.push(lifeboat_engine::container_facts(raw));
        }
        let mut later: BTreeSet<String> = facts
            .iter()
            .filter(|c| {
                c.mounts
                    .iter()
                    .any(|m| m.name.as_deref().is_some_and(empty))
            })
            .map(|c| c.name.clone())
            .collect();
        loop {
            let more: Vec<String> = facts
                .iter()
                .filter(|c| !later.contains(&c.name))
                .filter(|c| {
                    let needs = c.refers_to.iter().filter_map(|r| target(r, &facts));
                    needs.into_iter().any(|on| later.contains(&on.name))
                })
                .map(|c| c.name.clone())
                .collect();
            if more.is_empty() {
                return Ok(later);
            }
            later.extend(more);
        }
    }

    /// What the engine would throw away when it stops a container is kept: its definition, and its
    /// volumes by a container that holds them and never runs.
    pub(super) fn keep_what_goes(&self, old: &[Old], journal: &mut RestoreJournal) -> Result<()> {
        for old in old.iter().filter(|old| old.is_removed_on_stop()) {
            old.keep_definition(self.engine, &self.ctx.places, &self.id)?;
            if old.anonymous.is_empty() {
                continue;
            }
            let name = format!("{}.lifeboat-keep-{}", old.name, self.id);
            journal.intend(Intent::Keeper(name.clone()))?;
            if self.engine.inspect_container(&name).is_ok() {
                continue;
            }
            let mounts = old.anonymous.iter().enumerate().map(|(at, volume)| {
                json!({"Type": "volume", "Source": volume, "Target": format!("/kept/{at}"), "VolumeOptions": {"NoCopy": true}})
            });
            let body = json!({
                "Image": old.image,
                "Entrypoint": ["lifeboat-keeper-is-never-started"],
                "NetworkDisabled": true,
                "HostConfig": {"NetworkMode": "none", "Mounts": mounts.collect::<Vec<Value>>()},
            });
            self.engine.create_container(&name, &body)?;
        }
        Ok(())
    }

    pub(super) fn new_suffix(&self) -> String {
        format!(".lifeboat-new-{}", self.id)
    }

    pub(super) fn data_stage<'s>(
        &'s self,
        missing: &'s lifeboat_plan::manifest::Manifest,
    ) -> DataStage<'s> {
        DataStage {
            ctx: self.ctx,
            engine: self.engine,
            reader: self.reader,
            root: self.point.root,
            manifest: missing,
            definitions: &self.point.definitions,
            reach: self.reach,
        }
    }

    /// The stage of the containers, under their own names.
    pub(super) fn containers<'s>(
        &'s self,
        images: &'s BTreeMap<String, String>,
        order: &'s Order,
        missing: &'s lifeboat_plan::manifest::Manifest,
    ) -> ContainerStage<'s> {
        ContainerStage {
            ctx: self.ctx,
            engine: self.engine,
            reader: self.reader,
            point: self.point,
            images,
            order,
            // Volumes made anew with a container are the whole point's.
            data: self.data_stage(missing),
            suffix: None,
            later: BTreeSet::new(),
        }
    }
}

/// `true` if a run before this one has made it whole, and it lies there still.
fn is_staged(journal: &RestoreJournal, is_it: impl Fn(&Pair) -> bool) -> Result<bool> {
    let mut found = false;
    for pair in pairs(journal.all()).filter(|pair| is_it(pair)) {
        if !pair.is_ready() {
            return Err(RecoveryError::Refused(format!(
                "{} or what was made to take its place was changed by somebody else since this restore was interrupted",
                pair.target.display()
            )));
        }
        found = true;
    }
    Ok(found)
}
