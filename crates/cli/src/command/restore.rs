//! `restore`: the whole app, or files into a directory.

use std::path::Path;

use lifeboat_recovery::{
    files, points,
    restore::{self, RestorePlan, Restored},
};

pub(super) use super::planned::{differences, list, render_plan, render_restored};
use crate::{
    args::RestoreArgs,
    command::{asides, beside, interrupted, mapped, over, part, pieces},
    exit::{Exit, Failure, Result},
    human,
    session::{Session, absolute},
};

/// Brings something back.
pub fn run(session: &Session, args: &RestoreArgs) -> Result<Exit> {
    if args.undo {
        return interrupted::undo(session, args.reference.as_deref());
    }
    if let Some(which) = args.part.definition {
        return part::definition(session, args, which);
    }
    if !args.dry_run {
        asides::expire(session);
    }
    if args.go_on {
        return interrupted::go_on(session, args.reference.as_deref());
    }
    if args.part.images {
        return part::images(session, args);
    }
    if let Some(wanted) = &args.part.into {
        return part::into(session, args, wanted);
    }
    if !args.part.pieces().is_empty() {
        return pieces::run(session, args);
    }
    if let Some(target) = &args.target {
        if args.dry_run {
            return Err(Failure::usage(
                "--dry-run shows the plan of a restore onto an engine, and --target needs none: what a point holds is shown by `lifeboat ls REF -r`; leave one of them out",
            ));
        }
        return to_directory(session, args, &absolute(target)?);
    }
    if args.replace && args.part.stop_users {
        return Err(Failure::usage(
            "--stop-users is for a part: what the whole app shares with the containers of other apps is left as it is; leave it out, or name the part with --volume, --bind or --service",
        ));
    }
    let maps = mapped::read(&args.maps)?;
    let ctx = session.context(Some(session.connect()?))?;
    let (id, snapshot) = points::resolve(&ctx.vault, args.reference())?;
    if let Some(name) = &args.copy {
        return beside::run(session, args, maps, &ctx, id, &snapshot, name);
    }
    if args.replace {
        let options = restore::over::Options {
            safety_point: !args.no_safety_point,
            part: None,
            maps,
        };
        return over::run(session, &ctx, id, &snapshot, &options, args.dry_run);
    }
    if args.dry_run {
        let plan = restore::plan(&ctx, id, &snapshot, &maps);
        session.reporter.finish();
        return show_plan(session, &plan?);
    }
    mapped::announce(session, &maps, || restore::plan(&ctx, id, &snapshot, &maps))?;
    let done = restore::restore(&ctx, id, &snapshot, &maps);
    session.reporter.finish();
    show_restored(session, &done?)
}

pub(super) fn show_plan(session: &Session, plan: &RestorePlan) -> Result<Exit> {
    if session.out.is_json() {
        session.out.json(plan)?;
    } else {
        session.out.text(&render_plan(plan, session.out.width()))?;
    }
    if plan.obstacles.is_empty() {
        return Ok(Exit::Done);
    }
    Err(Failure::new(format!(
        "this restore would be refused: {}",
        human::plural(plan.obstacles.len() as u64, "obstacle")
    )))
}

pub(super) fn show_restored(session: &Session, done: &Restored) -> Result<Exit> {
    warn(session, done);
    if session.out.is_json() {
        session.out.json(done)?;
    } else {
        let text = render_restored(done) + &differences(done);
        session.out.text(&text)?;
    }
    Ok(if done.incomplete.is_empty() {
        Exit::Done
    } else {
        Exit::Incomplete
    })
}

/// What is missing is said on standard error. The rest stands in a text report, and is said where a
/// program reads that.
pub(super) fn warn(session: &Session, done: &Restored) {
    let said = done.warnings.iter().filter(|_| session.out.is_json());
    for sentence in said.chain(&done.incomplete) {
        session.reporter.warn_once(sentence);
    }
}

fn to_directory(session: &Session, args: &RestoreArgs, target: &Path) -> Result<Exit> {
    let ctx = session.context(None)?;
    let (id, snapshot) = points::resolve(&ctx.vault, args.reference())?;
    session.reporter.subject("restore");
    let done = files::restore_files(&ctx, &snapshot, target, &args.includes, args.resume);
    session.reporter.finish();
    let done = done?;
    for warning in done.warnings.iter().chain(&done.problems) {
        session.reporter.warn_once(warning);
    }
    if session.out.is_json() {
        session.out.json(&done)?;
    } else {
        session.out.line(&format!(
            "{} restored from {} to {}, {} written and checked, {}",
            human::plural(done.files, "file"),
            id.short(),
            human::escape(target.as_os_str().as_encoded_bytes()),
            human::size(done.bytes),
            human::seconds(done.seconds)
        ))?;
    }
    if done.files == 0 && !args.includes.is_empty() {
        return Err(Failure::new(format!(
            "nothing in point {} matches --include; `lifeboat ls {} -r` lists its files",
            id.short(),
            id.short()
        )));
    }
    Ok(if done.problems.is_empty() {
        Exit::Done
    } else {
        Exit::Incomplete
    })
}
