//! `restore --volume NAME --as NEW`: a volume beside the original, under a new name, without containers.
//! To look into it: `docker run --rm -it -v NEW:/data IMAGE sh`. It carries the label of a copy, so
//! that no backup takes it and `lifeboat rm NEW` takes it away.

use std::collections::BTreeMap;

use lifeboat_engine::Engine;
use lifeboat_plan::{label, manifest::layout};
use lifeboat_vault::{id::SnapshotId, snapshot::Snapshot};
use serde_json::{Map, Value, json};

use super::narrow::{named_volume, narrow};
use crate::{
    Context, RecoveryError, Result,
    copies::{self, Record},
    restore::{
        Recovery, RestorePlan, Restored, Way,
        beside::check_name,
        history,
        journal::{Intent, RestoreJournal, Subject},
        kept, make_plan,
        part::pieces::Pieces,
        point::OpenPoint,
        reach::Reach,
        report::{self, Stopwatch},
    },
};

/// Looks, and with `run` makes and fills it.
fn work(
    ctx: &Context,
    id: SnapshotId,
    snapshot: &Snapshot,
    volume: &str,
    name: &str,
    run: bool,
) -> Result<(RestorePlan, Option<Restored>)> {
    check_name(name)?;
    let mut watch = Stopwatch::start();
    let engine = ctx.engine()?.as_ref();
    let reader = ctx.vault.reader()?;
    let point = OpenPoint::open(&reader, id, snapshot, engine.api())?;
    let old = named_volume(&point.manifest, &point.definitions, volume)?
        .name
        .clone();
    let pieces = Pieces {
        volumes: vec![old.clone()],
        ..Pieces::default()
    };
    let mut point = narrow(&reader, point, &engine.inventory()?, &pieces)?.point;
    rename(&mut point, &old, name);
    let app = point.manifest.identity.to_string();
    let subject = Subject::copy(&app, name);
    let reach = if run {
        Reach::prove(engine, &point.manifest)?
    } else {
        Reach::presume(engine, &point.manifest)?
    };
    let mut plan = make_plan(ctx, engine, &point, &subject, &reach)?.estimated(ctx);
    plan.way = Way::Part;
    if copies::is_recorded(&ctx.places, name) {
        plan.obstacles = vec![format!(
            "a copy named {name} is there already; take it away with `lifeboat rm {name}`, or choose another name"
        )];
    }
    if !run {
        return Ok((plan, None));
    }
    if !plan.obstacles.is_empty() {
        return Err(RecoveryError::Refused(format!(
            "{old} cannot be brought back as {name}, and nothing was changed: {}",
            plan.obstacles.join("; ")
        )));
    }
    let mut journal = RestoreJournal::open(ctx, &subject, id)?;
    journal.intend(Intent::Beside(format!("volume {old}")))?;
    plan.journaled(&mut journal)?;
    let ctx = &ctx.following(&plan.steps);
    copies::make_folder(&ctx.places, engine)?;
    watch.split("plan");
    let recovery = Recovery {
        ctx,
        engine,
        reader: &reader,
        point: &point,
        reach: &reach,
    };
    let (outcome, journal) = recovery.run_or_undo(journal, &mut watch)?;
    record(ctx, engine, &point, name, app)?;
    journal.finish()?;
    let done = report::report(ctx, &plan, outcome, watch);
    history::remember(ctx, &plan, &done);
    kept::keep(ctx, &done.app, &done);
    Ok((plan, Some(done)))
}

/// Looks, and changes nothing.
pub fn plan(
    ctx: &Context,
    id: SnapshotId,
    snapshot: &Snapshot,
    volume: &str,
    name: &str,
) -> Result<RestorePlan> {
    work(ctx, id, snapshot, volume, name, false).map(|(plan, _)| plan)
}

/// Makes and fills it. Refused, before anything is touched, where the name is in use.
pub fn restore(
    ctx: &Context,
    id: SnapshotId,
    snapshot: &Snapshot,
    volume: &str,
    name: &str,
) -> Result<Restored> {
    let (_, done) = work(ctx, id, snapshot, volume, name, true)?;
    done.ok_or_else(|| RecoveryError::Failed("nothing was restored".to_owned()))
}

/// The same volume under another name: of the local driver, without labels by which others act on it.
fn rename(point: &mut OpenPoint, old: &str, name: &str) {
    let of = format!("{}@{}", point.manifest.identity, point.id.short());
    let definitions = &mut point.definitions;
    let raw = definitions.volumes.remove(old).unwrap_or_default();
    let labels = raw["Labels"].as_object().cloned().unwrap_or_default();
    let own = |key: &String| {
        !key.starts_with("com.docker.") && !key.starts_with("lifeboat.") && !key.contains("backup")
    };
    let mut labels: Map<String, Value> = labels.into_iter().filter(|(key, _)| own(key)).collect();
    labels.insert(label::COPY.to_owned(), name.into());
    labels.insert(label::COPY_OF.to_owned(), of.into());
    definitions.volumes = BTreeMap::from([(
        name.to_owned(),
        json!({"Name": old, "Driver": "local", "Options": {}, "Labels": labels}),
    )]);
    definitions
        .renamed
        .volumes
        .insert(old.to_owned(), name.to_owned());
    let places = &mut definitions.renamed.places;
    places.insert(layout::volume(name), layout::volume(old));
    for record in &mut point.manifest.volumes {
        name.clone_into(&mut record.name);
        "local".clone_into(&mut record.driver);
        record.anonymous = false;
    }
}

fn record(
    ctx: &Context,
    engine: &dyn Engine,
    point: &OpenPoint,
    name: &str,
    of: String,
) -> Result<()> {
    let record = Record {
        name: name.to_owned(),
        of,
        point: point.id,
        made: jiff::Timestamp::now(),
        data_root: engine.fingerprints()?.data_root,
        network_access: false,
        ports: Vec::new(),
        containers: BTreeMap::new(),
        networks: Vec::new(),
        volumes: vec![name.to_owned()],
    };
    record.save(&ctx.places)
}
