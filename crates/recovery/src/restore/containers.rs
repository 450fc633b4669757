//! Containers back: created in the order of their dependencies, complete with what had been put into
//! their writable layers, and only then started.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use lifeboat_engine::{
    Engine, Health,
    recreate::{Mapping, container_create_body},
};
use lifeboat_plan::{
    manifest::{ContainerRecord, RunState, layout},
    order::{Condition, Order, Step},
};
use lifeboat_vault::Reader;
use serde_json::Value;

use super::{
    data::{Data, DataStage},
    journal::{Intent, RestoreJournal},
    layers::put_layer,
    point::OpenPoint,
    report::Probe,
    step::Work,
};
use crate::{Context, RecoveryError, Result};

/// How long a container may take to become healthy.
const HEALTHY_WITHIN: Duration = Duration::from_secs(180);
/// One that the engine had to start again so often is not coming up.
const MOST_RESTARTS: u64 = 5;
/// A container without a health check has to run for so long to count as up.
const UP_FOR: Duration = Duration::from_millis(1500);

/// What this stage works on.
pub struct ContainerStage<'a> {
    /// Progress and cancellation.
    pub ctx: &'a Context,
    /// The engine.
    pub engine: &'a dyn Engine,
    /// The vault.
    pub reader: &'a Reader,
    /// The point.
    pub point: &'a OpenPoint,
    /// Image id at the point to image id here.
    pub images: &'a BTreeMap<String, String>,
    /// For the anonymous volumes that come with their container.
    pub data: DataStage<'a>,
    /// Who comes before whom.
    pub order: &'a Order,
    /// What stands behind each name until the containers get their own.
    pub suffix: Option<String>,
    /// Containers that are not created yet.
    pub later: BTreeSet<String>,
}

/// What came of it.
#[derive(Default)]
pub struct Containers {
    /// Of anonymous volumes.
    pub data: Data,
    /// New id by name.
    pub ids: BTreeMap<String, String>,
    /// Running again.
    pub running: Vec<String>,
    /// Stopped, as they had been.
    pub stopped: Vec<String>,
    /// What did not come up.
    pub incomplete: Vec<String>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// What was probed at the end.
    pub probes: Vec<Probe>,
}

/// When it was started last, as the engine says.
fn started_at(raw: &Value) -> String {
    raw["State"]["StartedAt"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}

fn has_ended_well(engine: &dyn Engine, id: &str) -> bool {
    let raw = engine.inspect_container(id).unwrap_or_default();
    raw["State"]["Status"] == "exited" && raw["State"]["ExitCode"] == 0
}

impl ContainerStage<'_> {
    /// Creates every container that is not there yet; none is started.
    pub fn create(&self, journal: &mut RestoreJournal, done: &mut Containers) -> Result<()> {
        let mut ids = self.point.definitions.present.clone();
        for (_, record) in self.in_order() {
            if self.later.contains(&record.name) {
                continue;
            }
            self.ctx.stop_if_cancelled()?;
            self.ctx.take(Work::Container, &record.name);
            let id = match done.ids.get(&record.name) {
                Some(id) => id.clone(),
                None => self.create_one(record, &ids, journal, done)?,
            };
            ids.insert(record.id.clone(), id.clone());
            ids.insert(record.name.clone(), id.clone());
            done.ids.insert(record.name.clone(), id);
        }
        self.ctx.taken();
        Ok(())
    }

    fn create_one(
        &self,
        record: &ContainerRecord,
        ids: &BTreeMap<String, String>,
        journal: &mut RestoreJournal,
        done: &mut Containers,
    ) -> Result<String> {
        let ours = journal.has(&Intent::Container(record.name.clone()));
        if ours && let Some(id) = self.left_by_interruption(record, journal)? {
            return Ok(id);
        }
        journal.intend(Intent::Container(record.name.clone()))?;
        let raw = self.point.definitions.container(&record.name)?;
        let image_id = self
            .images
            .get(&record.image_id)
            .cloned()
            .unwrap_or_else(|| record.image_id.clone());
        let mapping = Mapping {
            image: Some(self.engine.image_for_create(&record.image_ref, &image_id)?),
            image_id: Some(image_id),
            containers: ids.clone(),
            source_hostname: self.point.manifest.fingerprints.hostname.clone(),
            ..self.point.definitions.mapping()
        };
        let plan = container_create_body(raw, &mapping)?;
        done.warnings.extend(plan.notes.iter().cloned());
        let name = self.name_for_now(&plan.name);
        let id = self.engine.create_container(&name, &plan.body)?;
        journal.intend(Intent::ContainerMade(id.clone()))?;
        for attachment in &plan.connect {
            self.engine
                .connect_network(&attachment.network, &id, &attachment.endpoint)?;
        }
        for network in &plan.disconnect {
            self.engine.disconnect_network(network, &id, false)?;
        }
        let made = self.engine.inspect_container(&id)?;
        self.data
            .fill_fresh(&record.name, &made, journal, &mut done.data)?;
        let layer = self
            .point
            .manifest
            .layers
            .iter()
            .find(|l| l.container == record.name);
        if let Some(layer) = layer {
            let (point, default) = (self.point, layout::layer(&layer.container));
            let place = point.definitions.place(&default);
            put_layer(self.engine, self.reader, point.root, place, &id, layer)?;
            if !layer.deleted.is_empty() {
                done.warnings.push(format!(
                    "{}: {} path(s) of the image that had been deleted in the container are there again, e.g. {}",
                    record.name,
                    layer.deleted.len(),
                    layer.deleted[0]
                ));
            }
        }
        Ok(id)
    }

    /// The name that a container is created under.
    fn name_for_now(&self, name: &str) -> String {
        format!("{name}{}", self.suffix.as_deref().unwrap_or_default())
    }

    /// What an interrupted run left under this name: kept once all had been complete, removed and
    /// made again otherwise, since nobody knows how far it came. It never ran.
    fn left_by_interruption(
        &self,
        record: &ContainerRecord,
        journal: &RestoreJournal,
    ) -> Result<Option<String>> {
        let name = self.name_for_now(&record.name);
        let raw = match self.engine.inspect_container(&name) {
            Ok(raw) => raw,
            Err(e) if e.is_not_found() => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let id = raw["Id"].as_str().unwrap_or_default().to_owned();
        if journal.has(&Intent::Starting) {
            return Ok(Some(id));
        }
        let made = journal.has(&Intent::ContainerMade(id.clone()));
        if !made && raw["State"]["Status"] != "created" {
            return Err(RecoveryError::Refused(format!(
                "a container named {name} was made and started by somebody else while this restore was interrupted; remove or rename it, and run the restore again"
            )));
        }
        self.engine.remove_container(&id, true, true)?;
        Ok(None)
    }

    /// Starts what had been running, dependencies first and each healthy before its dependents.
    pub fn start(&self, journal: &mut RestoreJournal, done: &mut Containers) -> Result<()> {
        journal.intend(Intent::Starting)?;
        for (step, record) in self.in_order() {
            let Some(id) = done.ids.get(&record.name).cloned() else {
                continue;
            };
            if record.state == RunState::Stopped {
                done.stopped.push(record.name.clone());
                continue;
            }
            self.ctx.progress.step("start-container");
            self.ctx.take(Work::Start, &record.name);
            self.wait_for(step, done);
            if let Err(e) = self.engine.start(&id) {
                done.incomplete
                    .push(format!("{} did not start: {e}", record.name));
                continue;
            }
        }
        self.ctx.taken();
        Ok(())
    }

    /// Waits until everything that was started is up.
    pub fn validate(&self, done: &mut Containers) -> Result<()> {
        let began = Instant::now();
        let mut started = BTreeMap::new();
        for (name, id) in &done.ids {
            started.insert(
                name.clone(),
                started_at(&self.engine.inspect_container(id)?),
            );
        }
        for record in &self.point.manifest.containers {
            let Some(id) = done.ids.get(&record.name).cloned() else {
                continue;
            };
            if record.state == RunState::Stopped
                || done
                    .incomplete
                    .iter()
                    .any(|line| line.starts_with(&format!("{} ", record.name)))
            {
                continue;
            }
            self.ctx.take(Work::Probe, &record.name);
            let seen = started.remove(&record.name).unwrap_or_default();
            let found = self.wait_up(&id, seen, began);
            done.probes.push(Probe {
                container: record.name.clone(),
                passed: found.is_ok(),
                seconds: began.elapsed().as_secs_f64(),
            });
            match found {
                Ok(()) => done.running.push(record.name.clone()),
                Err(why) => done.incomplete.push(format!("{} {why}", record.name)),
            }
            if record.state == RunState::Paused {
                self.engine.pause(&id)?;
            }
        }
        self.ctx.taken();
        done.running.sort();
        Ok(())
    }

    /// Healthy, or up since the start that was seen, or ended well. What the engine starts again and
    /// again is not up, though it runs whenever one looks.
    fn wait_up(
        &self,
        id: &str,
        mut started: String,
        mut since: Instant,
    ) -> std::result::Result<(), String> {
        let began = Instant::now();
        let mut code = Value::Null;
        loop {
            match self.engine.wait_healthy(id, HEALTHY_WITHIN) {
                Ok(Health::Healthy) => return Ok(()),
                Ok(Health::NoCheck) => {}
                Err(lifeboat_engine::Error::NotHealthy { .. })
                    if has_ended_well(self.engine, id) =>
                {
                    return Ok(());
                }
                Err(e) => return Err(format!("is not up: {e}")),
            }
            if let Some(rest) = UP_FOR.checked_sub(since.elapsed()) {
                std::thread::sleep(rest);
            }
            let inspected = self.engine.inspect_container(id);
            let raw = inspected.map_err(|e| e.to_string())?;
            let state = &raw["State"];
            let now = started_at(&raw);
            let restarting = state["Restarting"] == true;
            if state["Running"] == true && now == started && !restarting {
                return Ok(());
            }
            if state["ExitCode"] != 0 {
                code = state["ExitCode"].clone();
            }
            if state["Running"] != true && !restarting {
                if state["Status"] == "exited" && state["ExitCode"] == 0 {
                    return Ok(());
                }
                return Err(format!(
                    "is {} with exit code {}; look at `docker logs`",
                    state["Status"].as_str().unwrap_or("down"),
                    state["ExitCode"]
                ));
            }
            if raw["RestartCount"].as_u64() >= Some(MOST_RESTARTS)
                || began.elapsed() > HEALTHY_WITHIN
            {
                return Err(format!(
                    "ends and is started again and again, exit code {code}; look at `docker logs`"
                ));
            }
            started = now;
            since = Instant::now();
        }
    }

    /// Waits for what a container needs before it starts. Whether its dependencies come up is judged
    /// at the end: one that does not must not keep the others down.
    fn wait_for(&self, step: &Step, done: &Containers) {
        for dependency in &step.waits_for {
            let on = self.order.steps.iter().find(|s| s.id == dependency.on);
            let Some(id) = on.and_then(|s| done.ids.get(&s.name)) else {
                continue;
            };
            match dependency.condition {
                Condition::Started => {}
                Condition::Healthy => {
                    let _ = self.engine.wait_healthy(id, HEALTHY_WITHIN);
                }
                Condition::CompletedSuccessfully => self.wait_ended(id),
            }
        }
    }

    fn wait_ended(&self, id: &str) {
        let began = Instant::now();
        while began.elapsed() < HEALTHY_WITHIN {
            match self.engine.inspect_container(id) {
                Ok(raw) if raw["State"]["Running"] == true => {
                    std::thread::sleep(Duration::from_millis(100));
                }
                _ => return,
            }
        }
    }

    /// The point's containers in the order of their dependencies.
    fn in_order(&self) -> impl Iterator<Item = (&Step, &ContainerRecord)> {
        self.order.steps.iter().filter_map(|step| {
            let record = self
                .point
                .manifest
                .containers
                .iter()
                .find(|c| c.name == step.name)?;
            Some((step, record))
        })
    }
}
