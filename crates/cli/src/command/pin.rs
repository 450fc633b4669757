//! `pin` and `unpin`.

use std::time::Duration;

use lifeboat_recovery::points;
use serde::Serialize;

use crate::{
    args::{PinArgs, UnpinArgs},
    exit::{Exit, Result},
    human,
    session::Session,
};

/// What `-o json` says of a point.
#[derive(Serialize)]
struct Changed {
    before: String,
    id: String,
    pinned: bool,
    changed: bool,
    /// Until when the store lets nobody delete it, in seconds since 1970.
    locked_until: Option<i64>,
}

/// Pins.
pub fn pin(session: &Session, args: &PinArgs) -> Result<Exit> {
    set(session, &args.references, session.global.retry_lock, true)
}

/// Releases.
pub fn unpin(session: &Session, args: &UnpinArgs) -> Result<Exit> {
    set(session, &args.references, session.global.retry_lock, false)
}

fn set(session: &Session, references: &[String], retry: Duration, pinned: bool) -> Result<Exit> {
    let vault = session.open_vault()?;
    // All are found before the first is changed.
    let mut ids = Vec::new();
    for reference in references {
        let id = points::resolve(&vault, reference)?.0;
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    let mut report = Vec::new();
    for before in ids {
        let id = vault.pin(before, pinned, retry)?;
        let changed = id != before;
        let locked_until = vault.locked_points(&[id])?.get(&id).copied();
        if !session.out.is_json() {
            let word = if pinned { "pinned" } else { "released" };
            session.out.text(&match changed {
                true => format!("{} {word}: it is {} now\n", before.short(), id.short()),
                false => format!("{} was {word} already\n", before.short()),
            })?;
            if let Some(until) = locked_until {
                let until = human::local_seconds(until);
                session
                    .out
                    .text(&format!("the store lets nobody delete it before {until}\n"))?;
            }
        }
        report.push(Changed {
            before: before.to_hex(),
            id: id.to_hex(),
            pinned,
            changed,
            locked_until,
        });
    }
    if session.out.is_json() {
        session.out.json(&report)?;
    }
    Ok(Exit::Done)
}
