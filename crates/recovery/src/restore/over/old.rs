//! The app as it was: its containers, and what they are called while the new ones take their names.

use std::collections::BTreeSet;

use lifeboat_engine::{
    Engine,
    recreate::{Mapping, container_create_body},
};
use lifeboat_plan::{
    app::{App, is_live},
    inventory::{Container, ContainerState},
    order::order,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{Places, RecoveryError, Result, restore::point::OpenPoint, setup::write_private};

/// Which operation it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Replace {
    /// A few letters that stand in every name that the operation gives.
    pub id: String,
    /// `site/host/app`.
    pub app: String,
    /// Data root of the engine that it is on.
    pub data_root: Option<String>,
    /// The app as it is goes into the vault first.
    pub safety_point: bool,
}

/// What the cut needs to know, and the way back: one record, so that it is there whole or not at all.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cut {
    /// When it began.
    pub at: jiff::Timestamp,
    /// The containers, in the order in which they start.
    pub old: Vec<Old>,
    /// What lies within a folder that changes places, is in no point, and stays in sight: the folder,
    /// and the place in it.
    pub carry: Vec<(std::path::PathBuf, std::path::PathBuf)>,
    /// Volumes whose data changes places.
    pub volumes: Vec<String>,
    /// Containers that stand still around it and are the same afterwards, in the order in which they
    /// start.
    #[serde(default)]
    pub around: Vec<Old>,
}

/// A container of the app as it was, when it was about to be stopped.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Old {
    /// Its place in the order of starting.
    pub order: usize,
    /// Full id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// It ran.
    pub running: bool,
    /// Somebody had paused it.
    pub paused: bool,
    /// Its restart policy, raw.
    pub policy: String,
    /// The engine removes it when it ends (`--rm`).
    pub auto_remove: bool,
    /// Volumes without a name that are its own.
    pub anonymous: Vec<String>,
    /// The image it was made of.
    pub image: String,
}

impl Old {
    /// Containers of the app here, in the order in which they start.
    pub(super) fn of(app: &App, containers: &[&Container], point: &OpenPoint) -> Vec<Self> {
        // A volume without a name that the point brings back by its name is data, and is swapped.
        let fresh = point.definitions.fresh();
        let named: BTreeSet<&str> = point
            .manifest
            .volumes
            .iter()
            .filter(|v| !fresh.contains_key(&v.name))
            .map(|v| v.name.as_str())
            .collect();
        let own_anonymous = |container: &Container| {
            let volumes = app.volumes.iter().filter(|v| {
                v.anonymous
                    && v.shared_with.is_empty()
                    && !named.contains(v.name.as_str())
                    && v.uses.iter().all(|u| u.container == container.id)
                    && !v.uses.is_empty()
            });
            volumes.map(|v| v.name.clone()).collect()
        };
        let steps = order(containers).steps.into_iter().enumerate();
        let old = |(at, id): (usize, String)| {
            let c = containers.iter().find(|c| c.id == id)?;
            Some(Self {
                order: at,
                id,
                name: c.name.clone(),
                running: is_live(c.state),
                paused: c.state == ContainerState::Paused,
                policy: c.raw["HostConfig"]["RestartPolicy"].to_string(),
                auto_remove: c.auto_remove,
                anonymous: own_anonymous(c),
                image: c.image_id.clone(),
            })
        };
        steps.filter_map(|(at, step)| old((at, step.id))).collect()
    }

    /// The engine takes it away when it stops, and its volumes without a name with it.
    pub fn is_removed_on_stop(&self) -> bool {
        self.auto_remove && self.running
    }

    /// What it is called while it stands aside.
    pub fn name_aside(&self, id: &str) -> String {
        format!("{}.lifeboat-old-{id}", self.name)
    }

    /// The engine must not start it again by itself, with data that is not its own.
    pub fn hold(&self, engine: &dyn Engine) -> Result<()> {
        self.set_policy(engine, &json!({"Name": "no", "MaximumRetryCount": 0}))
    }

    /// Gives it the restart policy back that it had.
    pub fn release(&self, engine: &dyn Engine) -> Result<()> {
        let policy = serde_json::from_str(&self.policy).unwrap_or(Value::Null);
        self.set_policy(engine, &policy)
    }

    fn set_policy(&self, engine: &dyn Engine, policy: &Value) -> Result<()> {
        let is_no = |text: &str| {
            serde_json::from_str::<Value>(text)
                .is_ok_and(|p| p["Name"] == "no" || p["Name"] == "" || p.is_null())
        };
        if self.auto_remove || is_no(&self.policy) {
            return Ok(());
        }
        unless_missing(engine.update_container(&self.id, &json!({"RestartPolicy": policy})))
    }

    /// Stops it; one that somebody paused is let go first, or it would not hear.
    pub fn stop(&self, engine: &dyn Engine) -> Result<()> {
        if self.paused {
            match engine.unpause(&self.id) {
                Err(e) if !e.is_not_found() && !e.is_conflict() => tracing::debug!(%e, "unpause"),
                _ => {}
            }
        }
        unless_missing(engine.stop(&self.id, None))
    }

    /// Gives it another name, unless it has it already or is gone.
    pub fn rename(&self, engine: &dyn Engine, name: &str) -> Result<()> {
        match engine.inspect_container(&self.id) {
            Ok(raw) if raw["Name"].as_str().map(|n| n.trim_start_matches('/')) == Some(name) => {
                Ok(())
            }
            Ok(_) => Ok(engine.rename(&self.id, name)?),
            Err(e) => unless_missing(Err(e)),
        }
    }

    /// Keeps what makes one that is removed when it stops again. It holds secrets: for root alone.
    pub fn keep_definition(&self, engine: &dyn Engine, places: &Places, id: &str) -> Result<()> {
        let raw = engine.inspect_container(&self.id)?;
        let bytes = serde_json::to_vec(&raw)
            .map_err(|e| RecoveryError::Failed(format!("keep a definition: {e}")))?;
        write_private(&self.definition(places, id), &bytes, true)
    }

    fn definition(&self, places: &Places, id: &str) -> std::path::PathBuf {
        let name = lifeboat_plan::name::escape(&self.name);
        places.journal().join(format!("old-{id}-{name}.json"))
    }

    /// Makes one again that was removed when it stopped, and returns its id. Its volumes are the ones
    /// that it had.
    pub fn make_again(&self, engine: &dyn Engine, places: &Places, id: &str) -> Result<String> {
        match engine.inspect_container(&self.id) {
            Ok(_) => return Ok(self.id.clone()),
            Err(e) if e.is_not_found() => {}
            Err(e) => return Err(e.into()),
        }
        // Made by a run that was interrupted after it.
        let kept = self.definition(places, id);
        if !kept.exists() {
            let raw = engine.inspect_container(&self.name)?;
            return Ok(raw["Id"].as_str().unwrap_or_default().to_owned());
        }
        let raw: Value = serde_json::from_slice(&fs_err::read(&kept)?)
            .map_err(|e| RecoveryError::Failed(format!("{}: {e}", kept.display())))?;
        if let Ok(there) = engine.inspect_container(&self.name) {
            let id = there["Id"].as_str().unwrap_or_default();
            if there["State"]["Status"] != "created" {
                return Ok(id.to_owned());
            }
            unless_missing(engine.remove_container(id, true, false))?;
        }
        let reference = raw["Config"]["Image"].as_str().unwrap_or_default();
        let mapping = Mapping {
            image: Some(engine.image_for_create(reference, &self.image)?),
            image_id: Some(self.image.clone()),
            ..Mapping::exact(engine.api())
        };
        let plan = container_create_body(&raw, &mapping)?;
        let made = engine.create_container(&self.name, &plan.body)?;
        for attachment in &plan.connect {
            engine.connect_network(&attachment.network, &made, &attachment.endpoint)?;
        }
        for network in &plan.disconnect {
            engine.disconnect_network(network, &made, false)?;
        }
        Ok(made)
    }
}

/// Removes what [`Old::keep_definition`] kept for the operation `id`.
pub(super) fn forget_definitions(places: &Places, id: &str) -> Result<()> {
    for entry in fs_err::read_dir(places.journal())? {
        let entry = entry?;
        let name = entry.file_name();
        if name.to_string_lossy().starts_with(&format!("old-{id}-")) {
            fs_err::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// The end of a name that the operation `id` gave.
pub(super) fn ours_ends(name: &str, id: &str) -> bool {
    ["new", "old", "keep"]
        .iter()
        .any(|what| name.ends_with(&format!(".lifeboat-{what}-{id}")))
}

pub(super) fn unless_missing(result: lifeboat_engine::Result<()>) -> Result<()> {
    match result {
        Err(e) if !e.is_not_found() => Err(e.into()),
        _ => Ok(()),
    }
}
