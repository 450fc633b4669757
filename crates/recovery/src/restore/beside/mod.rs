//! `restore --as NAME`: an app's copy beside the app, under other names.
//!
//! The point's definitions are rewritten (`transform`) and then restored as any point is, with the
//! same journal and the same undo. Nothing of the original is touched: the copy has volumes, networks
//! and bind sources of its own, the latter below [`Places::copies`]. What it may not have is refused
//! together with the names in use, before anything is touched.
//!
//! Every object carries the label `lifeboat.copy`, and the copy's record ([`crate::copies`]) names it:
//! `rm` takes away what both agree on. A crash leaves the journal, which serves as the record until
//! the restore is run again or the copy is taken away.
//!
//! [`Places::copies`]: crate::Places::copies

mod container;
mod labels;
mod names;
mod network;
mod storage;
#[cfg(test)]
mod tests;
mod transform;
mod wanted;

use std::{collections::BTreeSet, path::Path};

use lifeboat_engine::Engine;
use lifeboat_plan::{inventory::Inventory, label};
use lifeboat_vault::{id::SnapshotId, snapshot::Snapshot};
use serde::Serialize;

use super::{
    Recovery, RestorePlan, Restored, history,
    journal::{self, Intent, RestoreJournal, Subject},
    kept,
    maps::{Applied, Scope},
    obstacles::PathState,
    planning::make_plan,
    point::OpenPoint,
    put_on,
    reach::Reach,
    report::{self, Stopwatch, Way},
};
use crate::{
    Context, RecoveryError, Result,
    copies::{self, Record},
    forward::{self, Address, CopyPort},
};

use self::transform::{Transformed, transform};
pub use self::{
    transform::Rename,
    wanted::{Allow, Wanted, check_name},
};

/// What a restore beside the original will do.
#[derive(Debug, Clone, Serialize)]
pub struct BesidePlan {
    /// The copy's name.
    pub name: String,
    /// Old and new names.
    pub renamed: Vec<Rename>,
    /// What else differs from the original.
    pub changes: Vec<String>,
    /// The plan, in new names.
    #[serde(flatten)]
    pub plan: RestorePlan,
}

/// What a restore beside the original did.
#[derive(Debug, Clone, Serialize)]
pub struct Beside {
    /// The copy's name.
    pub name: String,
    /// Its networks have a way out.
    pub network_access: bool,
    /// Where its ports answer; none without access to the network, until they are forwarded.
    pub addresses: Vec<Address>,
    /// Ports that the original publishes.
    pub ports: Vec<CopyPort>,
    /// Old and new names.
    pub renamed: Vec<Rename>,
    /// What else differs from the original.
    pub changes: Vec<String>,
    /// The rest, in new names.
    #[serde(flatten)]
    pub restored: Restored,
}

/// A point under other names, with what has to be said of it.
struct Copy {
    point: OpenPoint,
    renamed: Vec<Rename>,
    changes: Vec<String>,
    refusals: Vec<String>,
    folders: Vec<String>,
    others_networks: Vec<String>,
    ports: Vec<CopyPort>,
    applied: Applied,
    subject: Subject,
}

impl Copy {
    fn open(
        ctx: &Context,
        engine: &dyn Engine,
        mut point: OpenPoint,
        wanted: &Wanted,
    ) -> Result<Self> {
        let applied = put_on(engine, &mut point, &wanted.maps, Scope::Copy)?;
        let OpenPoint {
            id,
            time,
            root,
            manifest,
            definitions,
        } = point;
        let subject = Subject::copy(&manifest.identity.to_string(), &wanted.name);
        let Transformed {
            manifest,
            definitions,
            renamed,
            changes,
            refusals,
            folders,
            others_networks,
            ports,
        } = transform(&manifest, definitions, id, wanted, &ctx.places.copies());
        Ok(Self {
            applied,
            point: OpenPoint {
                id,
                time,
                root,
                manifest,
                definitions,
            },
            renamed,
            changes,
            refusals,
            folders,
            others_networks,
            ports,
            subject,
        })
    }

    /// The plan, with everything that stands in the way of a copy.
    fn plan(
        &mut self,
        ctx: &Context,
        engine: &dyn Engine,
        wanted: &Wanted,
        reach: &Reach,
    ) -> Result<RestorePlan> {
        let mut plan = make_plan(ctx, engine, &self.point, &self.subject, reach)?;
        let ours = journal::peek(ctx, &self.subject, self.point.id);
        let here = engine.inventory()?;
        let mut found = self.refusals.clone();
        let folder = ctx.places.copies().join(&wanted.name).join("binds");
        if !reach.keeps(&folder.to_string_lossy()) {
            found.push(
                "a copy keeps its bind mounts and project files in a folder of ours, and this engine's host is another one; run lifeboat on that host, as root".to_owned(),
            );
        }
        found.extend(self.in_use(ctx, &here, &ours, wanted));
        found.extend(self.local_ports(wanted));
        found.append(&mut plan.obstacles);
        let mut seen = BTreeSet::new();
        found.retain(|sentence| seen.insert(sentence.clone()));
        plan.obstacles = found;
        for step in plan.steps.iter_mut().filter(|s| s.action == "put back") {
            step.action = "fill".to_owned();
        }
        plan.way = Way::Copy;
        // Other mappings are other options, which are looked at above.
        let applied = std::mem::take(&mut self.applied);
        Ok(plan.mapped(applied, &wanted.maps, None).estimated(ctx))
    }

    /// Ports of 127.0.0.1 that were asked for and cannot be had. What the engine is to publish is
    /// looked at with everything else.
    fn local_ports(&self, wanted: &Wanted) -> Vec<String> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        for port in &self.ports {
            let Some(local) = port.local else { continue };
            let was = self.point.definitions.renamed.ports.get(&local);
            let was = was.copied().unwrap_or(local);
            let way_out = format!("choose another one (--map-port {was}:NEW)");
            let protocol = port.target().map(|(_, protocol)| protocol);
            if !seen.insert((local, protocol)) {
                found.push(format!(
                    "port {local} of 127.0.0.1 is asked for twice; {way_out}"
                ));
            } else if !wanted.network_access
                && let Some(protocol) = protocol
                && let Err(e) = protocol.try_local(local)
            {
                found.push(format!("127.0.0.1:{local} cannot be had ({e}); {way_out}"));
            }
        }
        found
    }

    fn in_use(
        &self,
        ctx: &Context,
        here: &Inventory,
        ours: &BTreeSet<Intent>,
        wanted: &Wanted,
    ) -> Vec<String> {
        let mut found = Vec::new();
        let name = &wanted.name;
        for network in &self.others_networks {
            if !here.networks.iter().any(|n| n.name == *network) {
                found.push(format!(
                    "network {network} was allowed and is not there; create it, or leave out `--allow network:{network}`"
                ));
            }
        }
        if ours.iter().any(|i| matches!(i, Intent::Begin(_))) {
            let before = ours.iter().find_map(|i| match i {
                Intent::Beside(options) => Some(options),
                _ => None,
            });
            if before.is_some_and(|b| *b != wanted.options()) {
                found.push(format!(
                    "the restore as {name} that was interrupted had other options; run it again with those, or take it away with `lifeboat rm {name}`"
                ));
            }
            return found;
        }
        if copies::is_recorded(&ctx.places, name) {
            found.push(format!(
                "a copy named {name} is there already; take it away with `lifeboat rm {name}`, or choose another name"
            ));
            return found;
        }
        let folder = ctx.places.copies().join(name);
        if PathState::of(&folder) == PathState::Something {
            found.push(format!(
                "{} is there already; move it away, or choose another name",
                folder.display()
            ));
        }
        let uses = |labels: &std::collections::BTreeMap<String, String>| {
            [label::PROJECT, label::COPY, label::APP, label::STACK]
                .iter()
                .any(|key| label::get(labels, key) == Some(name))
        };
        let taken = here.containers.iter().any(|c| uses(&c.labels))
            || here.volumes.iter().any(|v| uses(&v.labels))
            || here.networks.iter().any(|n| uses(&n.labels));
        if taken {
            found.push(format!(
                "something on this engine belongs to an app named {name} already; choose another name"
            ));
        }
        found
    }

    fn folders(&self) -> Result<()> {
        for folder in &self.folders {
            fs_err::create_dir_all(folder)?;
        }
        Ok(())
    }
}

/// Looks, and changes nothing.
pub fn plan(
    ctx: &Context,
    id: SnapshotId,
    snapshot: &Snapshot,
    wanted: &Wanted,
) -> Result<BesidePlan> {
    wanted.check_name()?;
    let engine = ctx.engine()?;
    let reader = ctx.vault.reader()?;
    let point = OpenPoint::open(&reader, id, snapshot, engine.api())?;
    let mut copy = Copy::open(ctx, engine.as_ref(), point, wanted)?;
    let reach = Reach::presume(engine.as_ref(), &copy.point.manifest)?;
    Ok(BesidePlan {
        name: wanted.name.clone(),
        plan: copy.plan(ctx, engine.as_ref(), wanted, &reach)?,
        renamed: copy.renamed,
        changes: copy.changes,
    })
}

/// Brings the copy up. Refuses, with all obstacles at once, before anything is touched.
pub fn restore(
    ctx: &Context,
    id: SnapshotId,
    snapshot: &Snapshot,
    wanted: &Wanted,
) -> Result<Beside> {
    wanted.check_name()?;
    let mut watch = Stopwatch::start();
    let engine = ctx.engine()?.as_ref();
    let reader = ctx.vault.reader()?;
    let point = OpenPoint::open(&reader, id, snapshot, engine.api())?;
    let app = point.manifest.identity.to_string();
    let mut copy = Copy::open(ctx, engine, point, wanted)?;
    let reach = Reach::prove(engine, &copy.point.manifest)?;
    let mut plan = copy.plan(ctx, engine, wanted, &reach)?;
    if !plan.obstacles.is_empty() {
        return Err(RecoveryError::Refused(format!(
            "{app} cannot be brought up as {}, and nothing was changed: {}",
            wanted.name,
            plan.obstacles.join("; ")
        )));
    }
    let mut journal = RestoreJournal::open(ctx, &copy.subject, id)?;
    journal.intend(Intent::Beside(wanted.options()))?;
    plan.journaled(&mut journal)?;
    let ctx = &ctx.following(&plan.steps);
    copies::make_folder(&ctx.places, engine)?;
    copy.folders()?;
    watch.split("plan");
    let recovery = Recovery {
        ctx,
        engine,
        reader: &reader,
        point: &copy.point,
        reach: &reach,
    };
    let (outcome, journal) = recovery
        .run_or_undo(journal, &mut watch)
        .inspect_err(|_| remove_empty(&ctx.places.copies().join(&wanted.name)))?;
    let addresses = forward::published(engine, &outcome.containers.ids)?;
    let record = Record {
        name: wanted.name.clone(),
        of: app,
        point: id,
        made: jiff::Timestamp::now(),
        data_root: engine.fingerprints()?.data_root,
        network_access: wanted.network_access,
        ports: copy.ports,
        containers: outcome.containers.ids.clone(),
        networks: names(journal.intents(), |i| match i {
            Intent::Network(name) => Some(name),
            _ => None,
        }),
        volumes: names(journal.intents(), |i| match i {
            Intent::Volume(name) => Some(name),
            _ => None,
        }),
    };
    record.save(&ctx.places)?;
    journal.finish()?;
    let restored = report::report(ctx, &plan, outcome, watch);
    history::remember(ctx, &plan, &restored);
    let done = Beside {
        name: wanted.name.clone(),
        network_access: wanted.network_access,
        addresses,
        ports: record.ports,
        renamed: copy.renamed,
        changes: copy.changes,
        restored,
    };
    kept::keep(ctx, &done.restored.app, &done);
    Ok(done)
}

fn names<'i>(
    intents: impl Iterator<Item = &'i Intent>,
    pick: impl Fn(&'i Intent) -> Option<&'i String>,
) -> Vec<String> {
    intents.filter_map(pick).cloned().collect()
}

/// Removes folders in which nothing is, from the deepest; what an undone restore leaves.
fn remove_empty(folder: &Path) {
    let Ok(entries) = fs_err::read_dir(folder) else {
        return;
    };
    for entry in entries.flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            remove_empty(&entry.path());
        }
    }
    // Not empty: it stays.
    let _ = fs_err::remove_dir(folder);
}
