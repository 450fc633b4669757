//! `restore --volume`, `--bind`, `--service`: some things of a point.

use lifeboat_recovery::{
    Context, points,
    restore::{
        maps, over,
        part::{pieces, volume_copy},
    },
};
use lifeboat_vault::{SnapshotId, snapshot::Snapshot};

use crate::{
    args::RestoreArgs,
    command::{
        over as show_over,
        restore::{show_plan, show_restored},
    },
    exit::{Exit, Failure, Result},
    session::Session,
};

/// Plans them, or brings them back.
pub fn run(session: &Session, args: &RestoreArgs) -> Result<Exit> {
    let ctx = session.context(Some(session.connect()?))?;
    let (id, snapshot) = points::resolve(&ctx.vault, args.reference())?;
    if let Some(name) = &args.copy {
        return copy(session, args, &ctx, id, &snapshot, name);
    }
    let wanted = args.part.pieces();
    if args.replace {
        let options = over::Options {
            maps: maps::Maps::default(),
            safety_point: !args.no_safety_point,
            part: Some(wanted),
        };
        return show_over::run(session, &ctx, id, &snapshot, &options, args.dry_run);
    }
    if args.dry_run {
        let plan = pieces::plan(&ctx, id, &snapshot, &wanted);
        session.reporter.finish();
        return show_plan(session, &plan?);
    }
    let done = pieces::restore(&ctx, id, &snapshot, &wanted);
    session.reporter.finish();
    show_restored(session, &done?)
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
