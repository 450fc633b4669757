//! From a whole point to a part of it: the same point, of which only some things are left. What is
//! left is then restored as any point is.
//!
//! A service brings its containers, their images, what was put into their writable layers, and the
//! volumes and binds that nobody else of the app uses. What others use too, and networks, are made
//! only where they are absent, and left as they are otherwise.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_engine::container_facts;
use lifeboat_plan::{
    inventory::Inventory,
    manifest::{BindDecision, BindRecord, Manifest, VolumeRecord, layout},
    order::target,
    path,
};
use lifeboat_vault::Reader;
use serde_json::Value;

use super::pieces::Pieces;
use crate::{
    RecoveryError, Result,
    restore::point::{Definitions, OpenPoint},
};

/// A point of which a part is left, and what is to be said of that.
pub struct Narrowed {
    /// The point.
    pub point: OpenPoint,
    /// What stands in the way, beside what stands in the way of any restore.
    pub obstacles: Vec<String>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// Leaves of a point what was asked for. What it does not hold is refused by name.
pub fn narrow(
    reader: &Reader,
    point: OpenPoint,
    here: &Inventory,
    pieces: &Pieces,
) -> Result<Narrowed> {
    let chosen = containers(&point.manifest, &pieces.services)?;
    let mut job = Job {
        reader,
        chosen,
        pieces,
        obstacles: Vec::new(),
        warnings: Vec::new(),
        point,
    };
    let old = job.point.manifest.clone();
    let volumes = job.volumes(&old)?;
    let binds = job.binds(&old)?;
    let manifest = &mut job.point.manifest;
    let chosen = &job.chosen;
    manifest.volumes = volumes;
    manifest.binds = binds;
    manifest.containers.retain(|c| chosen.contains(&c.name));
    manifest.layers.retain(|l| chosen.contains(&l.container));
    manifest.databases.retain(|d| chosen.contains(&d.container));
    let images: BTreeSet<String> = manifest
        .containers
        .iter()
        .map(|c| c.image_id.clone())
        .collect();
    manifest.images.retain(|i| images.contains(&i.id));
    manifest.project = None;
    manifest.dumps.clear();
    manifest.warnings.clear();
    let kept: BTreeSet<String> = manifest
        .volumes
        .iter()
        .map(|v| v.name.clone())
        .chain(manifest.binds.iter().map(|b| b.source.clone()))
        .chain(chosen.iter().cloned())
        .collect();
    manifest
        .left_out
        .retain(|l| kept.iter().any(|k| l.what.starts_with(k.as_str())));
    job.networks();
    job.references(&old, here);
    let definitions = &mut job.point.definitions;
    definitions
        .fresh
        .retain(|_, (container, _)| job.chosen.contains(container));
    Ok(Narrowed {
        point: job.point,
        obstacles: job.obstacles,
        warnings: job.warnings,
    })
}

/// Containers that the names mean: a Compose service has one or more, a container's own name one.
fn containers(manifest: &Manifest, services: &[String]) -> Result<BTreeSet<String>> {
    let mut chosen = BTreeSet::new();
    for given in services {
        let is_it = |c: &&lifeboat_plan::manifest::ContainerRecord| {
            c.name == *given || c.service.as_deref() == Some(given)
        };
        let found = manifest.containers.iter().filter(is_it);
        let before = chosen.len();
        chosen.extend(found.map(|c| c.name.clone()));
        if chosen.len() == before && !chosen.contains(given) {
            let known = manifest
                .containers
                .iter()
                .map(|c| c.service.as_ref().unwrap_or(&c.name).as_str());
            return Err(unknown("service or container", given, known));
        }
    }
    Ok(chosen)
}

fn unknown<'k>(what: &str, given: &str, known: impl Iterator<Item = &'k str>) -> RecoveryError {
    let known: BTreeSet<&str> = known.collect();
    let known = if known.is_empty() {
        "it holds none".to_owned()
    } else {
        let known: Vec<&str> = known.into_iter().collect();
        format!("it holds {}", known.join(", "))
    };
    RecoveryError::NotFound(format!(
        "there is no {what} `{}` in this recovery point; {known}",
        given.escape_debug()
    ))
}

struct Job<'a> {
    reader: &'a Reader,
    chosen: BTreeSet<String>,
    pieces: &'a Pieces,
    obstacles: Vec<String>,
    warnings: Vec<String>,
    point: OpenPoint,
}

impl Job<'_> {
    /// Volumes that were named, and those of the chosen containers.
    fn volumes(&mut self, old: &Manifest) -> Result<Vec<VolumeRecord>> {
        let mut found: BTreeMap<String, VolumeRecord> = BTreeMap::new();
        for record in &old.volumes {
            let users = self.users(|m| m["Name"] == record.name.as_str());
            if users.iter().any(|user| self.chosen.contains(user)) {
                let others = users.iter().any(|user| !self.chosen.contains(user));
                let mut record = record.clone();
                record.shared |= others || self.pieces.keep_data;
                found.insert(record.name.clone(), record);
            }
        }
        for given in &self.pieces.volumes {
            let record = named_volume(old, &self.point.definitions, given)?;
            let mut record = record.clone();
            record.shared = false;
            // By its name, whatever container it came with.
            if !self.chosen_brings(&record.name) {
                self.point.definitions.fresh.remove(&record.name);
            }
            found.insert(record.name.clone(), record);
        }
        Ok(found.into_values().collect())
    }

    fn chosen_brings(&self, volume: &str) -> bool {
        let fresh = self.point.definitions.fresh.get(volume);
        fresh.is_some_and(|(container, _)| self.chosen.contains(container))
    }

    /// Bind sources that were named, and those of the chosen containers.
    fn binds(&mut self, old: &Manifest) -> Result<Vec<BindRecord>> {
        let mut found: BTreeMap<String, BindRecord> = BTreeMap::new();
        for record in &old.binds {
            let users =
                self.users(|m| m["Type"] == "bind" && m["Source"] == record.source.as_str());
            if users.iter().any(|user| self.chosen.contains(user)) {
                let others = users.iter().any(|user| !self.chosen.contains(user));
                let mut record = record.clone();
                record.shared |= others || self.pieces.keep_data;
                found.insert(record.source.clone(), record);
            }
        }
        for given in &self.pieces.binds {
            let clean = path::clean(given);
            let record = old.binds.iter().find(|b| Some(&b.source) == clean.as_ref());
            let record = record.ok_or_else(|| {
                let held = |b: &&BindRecord| {
                    matches!(b.decision, BindDecision::Captured | BindDecision::Within)
                };
                let known = old.binds.iter().filter(held).map(|b| b.source.as_str());
                unknown("bind source", given, known)
            })?;
            if !matches!(
                record.decision,
                BindDecision::Captured | BindDecision::Within
            ) {
                return Err(RecoveryError::Refused(format!(
                    "the data of {given} is not in this recovery point; nothing was changed"
                )));
            }
            let mut record = record.clone();
            record.shared = false;
            found.insert(record.source.clone(), record);
        }
        let mut binds: Vec<BindRecord> = found.into_values().collect();
        for bind in &mut binds {
            self.find_within(bind)?;
        }
        // One that lies in another one that comes back is there with it.
        let outer: Vec<String> = binds
            .iter()
            .filter(|b| b.decision == BindDecision::Captured)
            .map(|b| b.source.clone())
            .collect();
        for bind in &mut binds {
            let above = |o: &&String| **o != bind.source && path::is_within(&bind.source, o);
            if let Some(above) = outer.iter().find(above) {
                bind.decision = BindDecision::Within;
                bind.within = Some(above.clone());
            }
        }
        Ok(binds)
    }

    /// A bind that was captured with something around it is found there.
    fn find_within(&mut self, bind: &mut BindRecord) -> Result<()> {
        if bind.decision != BindDecision::Within {
            return Ok(());
        }
        let own = layout::bind(&bind.source);
        for place in [own.clone(), layout::project(&bind.source)]
            .into_iter()
            .flatten()
        {
            let parts: Vec<&[u8]> = place.split('/').map(str::as_bytes).collect();
            if self.reader.lookup(self.point.root, &parts)?.is_some() {
                bind.decision = BindDecision::Captured;
                bind.within = None;
                if let Some(own) = own {
                    self.point.definitions.found.insert(own, place);
                }
                return Ok(());
            }
        }
        self.warnings.push(format!(
            "{} lies in what is not restored with it, and is left as it is",
            bind.source
        ));
        Ok(())
    }

    /// Containers of the point that mount something.
    fn users(&self, is_it: impl Fn(&Value) -> bool) -> Vec<String> {
        let all = self.point.definitions.containers.iter();
        all.filter(|(_, raw)| raw["Mounts"].as_array().into_iter().flatten().any(&is_it))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// The networks of the chosen containers, made where they are absent.
    fn networks(&mut self) {
        let mut wanted = BTreeSet::new();
        for name in &self.chosen {
            let raw = self.point.definitions.containers.get(name);
            let networks = raw.and_then(|raw| raw["NetworkSettings"]["Networks"].as_object());
            wanted.extend(networks.into_iter().flat_map(|n| n.keys().cloned()));
        }
        let networks = &mut self.point.manifest.networks;
        networks.retain(|n| wanted.contains(&n.name));
        for network in networks {
            network.shared = true;
        }
    }

    /// Containers that are not chosen and that a chosen one cannot be made without have to be here.
    fn references(&mut self, old: &Manifest, here: &Inventory) {
        for other in old
            .containers
            .iter()
            .filter(|c| !self.chosen.contains(&c.name))
        {
            if let Some(found) = here.containers.iter().find(|c| c.name == other.name) {
                let present = &mut self.point.definitions.present;
                present.insert(other.id.clone(), found.id.clone());
                present.insert(other.name.clone(), found.id.clone());
            }
        }
        let facts: Vec<_> = self
            .point
            .definitions
            .containers
            .values()
            .map(|raw| container_facts(raw.clone()))
            .collect();
        for container in facts.iter().filter(|c| self.chosen.contains(&c.name)) {
            for reference in &container.refers_to {
                let Some(on) = target(reference, &facts) else {
                    continue;
                };
                let is_here = self.point.definitions.present.contains_key(&on.id);
                if !self.chosen.contains(&on.name) && !is_here {
                    self.obstacles.push(format!(
                        "{} cannot be made without {}, which is not here; restore both (--service {})",
                        container.name, on.name, on.name
                    ));
                }
            }
        }
        let definitions = &mut self.point.definitions;
        definitions
            .containers
            .retain(|name, _| self.chosen.contains(name));
    }
}

/// A volume by its name, or by the name that Compose's file has for it.
pub fn named_volume<'m>(
    manifest: &'m Manifest,
    definitions: &Definitions,
    given: &str,
) -> Result<&'m VolumeRecord> {
    if let Some(found) = manifest.volumes.iter().find(|v| v.name == given) {
        return Ok(found);
    }
    let key = |v: &&VolumeRecord| {
        let raw = definitions.volumes.get(&v.name);
        raw.is_some_and(|raw| raw["Labels"]["com.docker.compose.volume"] == given)
    };
    let found: Vec<&VolumeRecord> = manifest.volumes.iter().filter(key).collect();
    match found.as_slice() {
        [only] => Ok(only),
        _ => Err(unknown(
            "volume",
            given,
            manifest.volumes.iter().map(|v| v.name.as_str()),
        )),
    }
}
