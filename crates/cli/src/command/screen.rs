//! `status`: one screen, red first.

use std::time::Duration;

use lifeboat_api::{
    client::Client,
    model::{App, Level, ObjectiveState, Row, Status},
};
use lifeboat_plan::{policy::Period, suggest};
use lifeboat_recovery::Settings;
use serde::Serialize;

use crate::{
    args::StatusArgs,
    environment,
    exit::{Exit, Failure, Result},
    human,
    session::Session,
    table::{Align, Table},
};

/// Between two looks of `--watch`.
const AGAIN: Duration = Duration::from_secs(2);
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";
const NAG: &str = "nobody has said yet that the recovery sheet (place and key of the vault) is kept away from this machine: without it a lost machine is lost for good; `lifeboat key saved` ends this line";

/// What `-o json` says.
#[derive(Serialize)]
struct Screen {
    #[serde(flatten)]
    status: Status,
    /// Whether the recovery sheet is confirmed as saved; none: there is no vault yet.
    sheet_saved: Option<bool>,
}

/// Shows how all is.
pub fn status(session: &Session, args: &StatusArgs) -> Result<Exit> {
    let socket = super::agent::socket(session);
    loop {
        let asked = Client::at(&socket).status();
        let mut status = asked.map_err(|error| Failure::new(error.to_string()))?;
        if let Some(app) = &args.app {
            choose(&mut status, app)?;
        }
        // Read anew: it may be said while this is watched.
        let sheet_saved = Settings::load(&session.places.settings())
            .map_or(session.settings.sheet_saved, |settings| {
                settings.sheet_saved
            });
        let well = status.well;
        if session.out.is_json() {
            session.out.json(&Screen {
                status,
                sheet_saved,
            })?;
        } else if !session.global.quiet {
            let nag = sheet_saved == Some(false);
            let text = shown(&status, nag, session.out.width());
            let clear = args.watch && session.out.is_terminal();
            let text = match session.out.is_terminal() && environment::colours() {
                true => coloured(&text),
                false => text,
            };
            let clear = if clear { CLEAR } else { "" };
            session.out.text(&format!("{clear}{text}"))?;
        }
        if !args.watch || session.out.is_closed() {
            return Ok(if well { Exit::Done } else { Exit::NotWell });
        }
        std::thread::sleep(AGAIN);
    }
}

/// One app alone, and how well that is.
fn choose(status: &mut Status, app: &str) -> Result<()> {
    let names = status.rows.iter().map(|row| row.app.clone());
    let names: Vec<String> = names
        .chain(status.objectives.apps.iter().map(|app| app.name.clone()))
        .collect();
    status.rows.retain(|row| row.app == app);
    status
        .objectives
        .apps
        .retain(|objective| objective.name == app || objective.app == app);
    if status.rows.is_empty() && status.objectives.apps.is_empty() {
        let meant = suggest::suggest(app, names.iter().map(String::as_str));
        let hint = suggest::sentence(&meant);
        return Err(Failure::new(format!("there is no app `{app}` here{hint}")));
    }
    status.well = status.connected
        && status.host.iter().all(|found| found.level != Level::Bad)
        && status.rows.iter().all(|row| row.level != Level::Bad)
        && status
            .objectives
            .apps
            .iter()
            .all(|app| app.state != ObjectiveState::Overdue);
    Ok(())
}

fn shown(status: &Status, nag: bool, width: Option<u16>) -> String {
    let mut text = String::new();
    let mut line = |mark: &str, what: &str| {
        let what = human::escape(what.as_bytes());
        text.push_str(&format!("{mark:<2} {what}\n"));
    };
    if !status.connected {
        let since = ago(status.now.saturating_sub(status.connection_since));
        line("!!", &format!("the engine does not answer, since {since}"));
    }
    for found in &status.host {
        let mark = if found.level == Level::Bad { "!!" } else { "!" };
        let since = ago(status.now.saturating_sub(found.since));
        line(mark, &format!("host: {} (since {since})", found.text));
    }
    let objectives = &status.objectives;
    // Who has no vault wants containers looked after and no more: said, and not red.
    let mark = if objectives.kept { "!!" } else { "!" };
    for why in &objectives.troubles {
        line(mark, why);
    }
    for place in &objectives.unheard {
        let (lost, why) = (human::plural(place.lost, "message"), &place.why);
        line("!!", &format!("{} did not take {lost}: {why}", place.place));
    }
    if nag {
        line("!", NAG);
    }
    for app in &status.maintenance {
        let whose = if app == "*" {
            "everything"
        } else {
            app.as_str()
        };
        line("!", &format!("in maintenance: {whose}"));
    }
    for job in &objectives.jobs {
        line("", &format!("job {}: {}", job.id, job.what));
    }
    if !objectives.apps.is_empty() {
        text.push_str(&apps(&objectives.apps, status.now, width));
    }
    if !status.rows.is_empty() || objectives.apps.is_empty() {
        text.push_str(&containers(&status.rows, status.now, width));
    }
    text
}

fn apps(apps: &[App], now: u64, width: Option<u16>) -> String {
    let columns = [
        ("", Align::Left),
        ("APP", Align::Left),
        ("RPO", Align::Right),
        ("AGE", Align::Right),
        ("NEXT", Align::Right),
        ("TOOK", Align::Right),
        ("OBJECTIVE", Align::Left),
    ];
    let mut table = Table::new(&columns, width);
    for app in apps {
        let (mark, mut note) = match app.state {
            ObjectiveState::Overdue => ("!!", "OVERDUE".to_owned()),
            ObjectiveState::Soon => ("!", "about to be missed".to_owned()),
            ObjectiveState::Unprotected => ("!", "UNPROTECTED".to_owned()),
            ObjectiveState::Waiting => ("", "no point yet".to_owned()),
            ObjectiveState::Kept => ("", "kept".to_owned()),
        };
        if app.failures > 0 {
            note.push_str(&format!(", failed {} in a row", human::count(app.failures)));
        }
        if app.notes > 0 {
            let notes = human::plural(app.notes, "note");
            note.push_str(&format!(", {notes} (`lifeboat policy {}`)", app.name));
        }
        let next = app.next.map(|next| u64::try_from(next).unwrap_or(0));
        table.row([
            mark.to_owned(),
            human::escape(app.name.as_bytes()),
            app.rpo
                .map(|rpo| Period::millis(rpo).to_string())
                .unwrap_or_default(),
            app.age.map(ago).unwrap_or_default(),
            next.map(|next| match next.saturating_sub(now) {
                0 => "now".to_owned(),
                wait => ago(wait),
            })
            .unwrap_or_default(),
            app.took
                .map(|took| human::seconds(took as f64 / 1000.0))
                .unwrap_or_default(),
            note,
        ]);
    }
    table.render()
}

fn containers(rows: &[Row], now: u64, width: Option<u16>) -> String {
    let columns = [
        ("", Align::Left),
        ("APP", Align::Left),
        ("CONTAINER", Align::Left),
        ("STATE", Align::Left),
        ("SINCE", Align::Right),
        ("RESTARTS", Align::Right),
        ("NOTE", Align::Left),
    ];
    let mut table = Table::new(&columns, width);
    for row in rows {
        let mark = match row.level {
            Level::Bad => "!!",
            Level::Note => "!",
            Level::Well => "",
        };
        let note = if row.supervised || row.because.is_empty() {
            row.note.clone()
        } else if row.note.is_empty() {
            format!("not looked after: {}", row.because)
        } else {
            format!("{} (not looked after: {})", row.note, row.because)
        };
        table.row([
            mark.to_owned(),
            row.app.clone(),
            row.container.clone(),
            row.state.clone(),
            ago(now.saturating_sub(row.since)),
            row.restarts.to_string(),
            note,
        ]);
    }
    table.render()
}

/// Red where it is marked so.
fn coloured(text: &str) -> String {
    let mut red = false;
    let lines = text.lines().map(|line| {
        // What goes on in the next line stands under an empty mark and an empty name.
        red = line.starts_with("!!") || (red && line.starts_with("      "));
        match red {
            true => format!("\u{1b}[31m{line}\u{1b}[0m\n"),
            false => format!("{line}\n"),
        }
    });
    lines.collect()
}

/// A length of time, as people say it.
fn ago(millis: u64) -> String {
    let secs = millis / 1000;
    match secs {
        0..60 => format!("{secs} s"),
        60..3600 => format!("{} min", secs / 60),
        3600..172_800 => format!("{} h", secs / 3600),
        _ => format!("{} d", secs / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_red_stands_first_and_is_red() {
        let app = |name: &str, state| App {
            app: format!("default/h/{name}"),
            name: name.to_owned(),
            state,
            rpo: Some(900_000),
            age: Some(7_200_000),
            rto: None,
            began: Some(0),
            misses: Some(0),
            next: Some(0),
            failures: 2,
            took: Some(1500),
            stall: None,
            bytes: None,
            added: None,
            notes: 0,
        };
        let status: Status = serde_json::from_value(serde_json::json!({
            "now": 1000, "pid": 1, "well": false, "connected": true, "connection_since": 0,
            "maintenance": [], "rows": [],
            "objectives": {
                "kept": true, "troubles": [], "jobs": [{"id": 7, "what": "prune"}], "unheard": [],
                "apps": [app("shop", ObjectiveState::Overdue), app("blog", ObjectiveState::Kept)],
            },
        }))
        .unwrap();
        let text = shown(&status, true, None);
        assert!(text.starts_with("!  nobody has said yet"), "{text}");
        assert!(text.contains("job 7: prune"), "{text}");
        let line = text.lines().find(|line| line.contains("shop")).unwrap();
        assert!(line.starts_with("!!"), "{text}");
        assert!(line.contains("15m") && line.contains("2 h"), "{line}");
        assert!(line.contains("OVERDUE, failed 2 in a row"), "{line}");
        let red = coloured(&text);
        assert!(red.contains(&format!("\u{1b}[31m{line}")), "{red}");
        assert_eq!(red.matches("\u{1b}[31m").count(), 1, "{red}");
    }
}
