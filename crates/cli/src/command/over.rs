//! `restore --replace`: a point takes the place of the app that is here.

use lifeboat_recovery::{
    Context,
    restore::over::{self, Options, Replaced},
};
use lifeboat_vault::{SnapshotId, snapshot::Snapshot};

use crate::{
    command::mapped,
    command::restore::{differences, render_restored, show_plan, warn},
    exit::{Exit, Result},
    human,
    session::Session,
};

/// Plans it, or does it.
pub fn run(
    session: &Session,
    ctx: &Context,
    id: SnapshotId,
    snapshot: &Snapshot,
    options: &Options,
    dry_run: bool,
) -> Result<Exit> {
    if dry_run {
        let plan = over::plan(ctx, id, snapshot, options);
        session.reporter.finish();
        return show_plan(session, &plan?);
    }
    if !options.maps.is_empty() && !session.global.quiet {
        let plan = over::plan(ctx, id, snapshot, options)?;
        let text = mapped::render(&plan.mappings, session.out.width());
        session.reporter.above(text.trim_start());
    }
    let done = over::restore(ctx, id, snapshot, options);
    session.reporter.finish();
    show(session, &done?)
}

pub(super) fn show(session: &Session, done: &Replaced) -> Result<Exit> {
    warn(session, &done.restored);
    if session.out.is_json() {
        session.out.json(done)?;
    } else {
        session.out.text(&render(done))?;
    }
    Ok(Exit::Done)
}

fn render(done: &Replaced) -> String {
    let mut text = render_restored(&done.restored);
    if let Some(part) = &done.part {
        text.insert_str(0, &format!("{} of ", human::escape(part.as_bytes())));
    }
    let down = human::seconds(done.downtime_seconds);
    text.push_str(&if done.around.is_empty() {
        format!("  it was down for {down}\n")
    } else {
        let around = human::escape(done.around.join(", ").as_bytes());
        format!("  down for {down}, and {around} with it\n")
    });
    if let Some(id) = done.safety_point {
        text.push_str(&format!(
            "  as it was before: safety point {}, `lifeboat restore {} --replace` goes back to it\n",
            id.short(),
            id.short()
        ));
    }
    let aside = &done.set_aside;
    if !aside.paths.is_empty() {
        text.push_str(&format!(
            "  its old data stays aside until {}; `lifeboat rm {}` takes it away before\n",
            aside.until.strftime("%F"),
            human::escape(aside.name().as_bytes())
        ));
    }
    text + &differences(&done.restored)
}
