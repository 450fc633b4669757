//! `restore --continue` and `restore --undo`: the restore that was interrupted, on or back.

use lifeboat_recovery::restore::{
    self, beside,
    interrupted::{self, Kind, Undone},
    over,
    part::pieces,
};
use serde::Serialize;

use crate::{
    command::{beside as show_beside, over as show_over, restore::show_restored},
    exit::{Exit, Result},
    human,
    session::Session,
};

/// What `-o json` says of an undo.
#[derive(Serialize)]
struct Report {
    undone: String,
    running: Vec<String>,
    notes: Vec<String>,
}

/// Finishes it.
pub fn go_on(session: &Session, name: Option<&str>) -> Result<Exit> {
    let one = interrupted::find(&session.places, name)?;
    let ctx = session.context(Some(session.connect()?))?;
    let (id, snapshot) = one.point_in(&ctx)?;
    session.reporter.note(
        &format!("going on with {}", human::escape(one.what().as_bytes())),
        session.global.quiet,
    );
    match &one.kind {
        Kind::Plain(maps) => {
            let done = restore::restore(&ctx, id, &snapshot, maps);
            session.reporter.finish();
            show_restored(session, &done?)
        }
        Kind::Beside(wanted) => {
            let done = beside::restore(&ctx, id, &snapshot, wanted);
            session.reporter.finish();
            show_beside::show(session, &done?)
        }
        Kind::Part(part, maps) => {
            let done = pieces::restore(&ctx, id, &snapshot, part, maps);
            session.reporter.finish();
            show_restored(session, &done?)
        }
        Kind::Over(options) => {
            let done = over::restore(&ctx, id, &snapshot, options);
            session.reporter.finish();
            show_over::show(session, &done?)
        }
    }
}

/// Takes it back. Needs no vault.
pub fn undo(session: &Session, name: Option<&str>) -> Result<Exit> {
    use lifeboat_recovery::Progress;
    let one = interrupted::find(&session.places, name)?;
    let engine = session.connect()?;
    let step = |name: &str| session.reporter.step(name);
    let undone = one.undo(engine.as_ref(), &session.places, &step);
    session.reporter.finish();
    let (report, exit) = match undone? {
        Undone::Back(mut back) => {
            if let Some(aside) = back.aside {
                back.notes.push(format!(
                    "what the replacement wrote is kept until {}; `lifeboat rm {}` takes it away before",
                    aside.until.strftime("%F"),
                    aside.name()
                ));
            }
            (
                Report {
                    undone: one.what(),
                    running: back.running,
                    notes: back.notes,
                },
                Exit::Done,
            )
        }
        Undone::Removed(left) => {
            let exit = if left.is_empty() {
                Exit::Done
            } else {
                Exit::Incomplete
            };
            (
                Report {
                    undone: one.what(),
                    running: Vec::new(),
                    notes: left,
                },
                exit,
            )
        }
    };
    if session.out.is_json() {
        session.out.json(&report)?;
    } else {
        session.out.text(&render(&report))?;
    }
    Ok(exit)
}

fn render(report: &Report) -> String {
    let undone = human::escape(report.undone.as_bytes());
    let mut text = format!("{undone} is taken back\n");
    if !report.running.is_empty() {
        text.push_str(&format!(
            "  running, as before: {}\n",
            report.running.join(", ")
        ));
    }
    for note in &report.notes {
        text.push_str(&format!("  {note}\n"));
    }
    text
}
