//! `restore --volume`, `--bind`, `--service`: some things of a point.

use lifeboat_recovery::{
    Context, points,
    restore::{
        maps::Maps,
        over,
        part::{pieces, volume_copy},
    },
};
use lifeboat_vault::{SnapshotId, snapshot::Snapshot};

use crate::{
    args::RestoreArgs,
    command::{
        mapped, over as show_over,
        restore::{show_plan, show_restored},
    },
    exit::{Exit, Failure, Result},
    session::Session,
};

/// Plans them, or brings them back.
pub fn run(session: &Session, args: &RestoreArgs) -> Result<Exit> {
    let maps = mapped::read(&args.maps)?;
    refuse(args, &maps)?;
    let ctx = session.context(Some(session.connect()?))?;
    let (id, snapshot) = points::resolve(&ctx.vault, args.reference())?;
    if let Some(name) = &args.copy {
        return copy(session, args, &ctx, id, &snapshot, name);
    }
    let wanted = args.part.pieces();
    if args.replace {
        let options = over::Options {
            maps,
            safety_point: !args.no_safety_point,
            part: Some(wanted),
        };
        return show_over::run(session, &ctx, id, &snapshot, &options, args.dry_run);
    }
    if args.dry_run {
        let plan = pieces::plan(&ctx, id, &snapshot, &wanted, &maps);
        session.reporter.finish();
        return show_plan(session, &plan?);
    }
    mapped::announce(session, &maps, || {
        pieces::plan(&ctx, id, &snapshot, &wanted, &maps)
    })?;
    let done = pieces::restore(&ctx, id, &snapshot, &wanted, &maps);
    session.reporter.finish();
    show_restored(session, &done?)
}

/// What makes no sense for a part, before anything is opened.
fn refuse(args: &RestoreArgs, maps: &Maps) -> Result<()> {
    if !maps.is_empty() && args.part.services.is_empty() {
        return Err(Failure::usage(
            "mappings are put on containers, and a volume or bind by itself has none; leave them out, name the --service, or give a volume another name with --as",
        ));
    }
    let of_containers = [
        ("--network-access", args.network_access),
        ("--ports", args.ports),
        ("--allow", !args.allow.is_empty()),
    ];
    let given = of_containers.iter().find(|(_, given)| *given);
    match given.filter(|_| args.copy.is_some()) {
        Some((option, _)) => Err(Failure::usage(format!(
            "{option} is for a copy with containers, and a volume under another name has none; leave it out"
        ))),
        None => Ok(()),
    }
}

/// One volume under another name.
fn copy(
    session: &Session,
    args: &RestoreArgs,
    ctx: &Context,
    id: SnapshotId,
    snapshot: &Snapshot,
    name: &str,
) -> Result<Exit> {
    let [volume] = args.part.volumes.as_slice() else {
        return Err(Failure::usage(
            "one volume at a time comes back under another name; give --volume once",
        ));
    };
    if args.dry_run {
        let plan = volume_copy::plan(ctx, id, snapshot, volume, name);
        session.reporter.finish();
        return show_plan(session, &plan?);
    }
    let done = volume_copy::restore(ctx, id, snapshot, volume, name);
    session.reporter.finish();
    let shown = show_restored(session, &done?)?;
    session.reporter.note(
        &format!("volume {name} carries a copy's label: no backup takes it, `lifeboat rm {name}` takes it away"),
        session.global.quiet,
    );
    Ok(shown)
}
