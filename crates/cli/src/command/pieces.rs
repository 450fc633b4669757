//! `restore --volume`, `--bind`, `--service`: some things of a point.

use lifeboat_recovery::{
    Context, points,
    restore::part::{
        pieces::{self, Pieces},
        swap::{self, Swapped},
        volume_copy,
    },
};
use lifeboat_vault::{SnapshotId, snapshot::Snapshot};

use crate::{
    args::RestoreArgs,
    command::restore::{show_plan, show_restored},
    exit::{Exit, Failure, Result},
    human,
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
        return replace(session, args, &ctx, id, &snapshot, &wanted);
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

/// In the place of what is here.
fn replace(
    session: &Session,
    args: &RestoreArgs,
    ctx: &Context,
    id: SnapshotId,
    snapshot: &Snapshot,
    wanted: &Pieces,
) -> Result<Exit> {
    if !wanted.services.is_empty() {
        return Err(Failure::usage(
            "a service is not replaced by itself yet: remove its container and restore it with --service and --keep-data, and replace its data with --volume or --bind and --replace",
        ));
    }
    let options = swap::Options {
        stop_users: args.part.stop_users,
    };
    if args.dry_run {
        let plan = swap::plan(ctx, id, snapshot, wanted, options);
        session.reporter.finish();
        return show_plan(session, &plan?);
    }
    let done = swap::restore(ctx, id, snapshot, wanted, options);
    session.reporter.finish();
    let done = done?;
    for sentence in &done.restored.warnings {
        session.reporter.warn_once(sentence);
    }
    if session.out.is_json() {
        session.out.json(&done)?;
    } else {
        session.out.text(&render_swapped(&done, wanted))?;
    }
    Ok(Exit::Done)
}

fn render_swapped(done: &Swapped, wanted: &Pieces) -> String {
    let restored = &done.restored;
    let names: Vec<String> = wanted
        .volumes
        .iter()
        .chain(&wanted.binds)
        .cloned()
        .collect();
    let mut text = format!(
        "{} of {}: as at {}, point {}\n  {} written and checked\n",
        human::escape(names.join(", ").as_bytes()),
        human::escape(restored.app.as_bytes()),
        human::local_time(&restored.time),
        restored.id.short(),
        human::size(restored.bytes),
    );
    if !done.around.is_empty() {
        text.push_str(&format!(
            "  {} stood still for {}\n",
            human::escape(done.around.join(", ").as_bytes()),
            human::seconds(done.downtime_seconds)
        ));
    }
    if !done.set_aside.paths.is_empty() {
        text.push_str(&format!(
            "  what was there before is set aside until {}; `lifeboat rm {}` takes it away sooner\n",
            human::local_time(&done.set_aside.until.to_string()),
            human::escape(done.set_aside.name().as_bytes())
        ));
    }
    text
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
