//! Data that was set aside: `rm APP`, `rm --expired`, and what goes by itself after its time.

use lifeboat_recovery::asides::{self, Aside, Removed};
use serde::Serialize;

use crate::{
    exit::{Exit, Result},
    human,
    session::Session,
};

/// What `-o json` says.
#[derive(Serialize)]
struct Report<'a> {
    id: &'a str,
    app: &'a str,
    until: jiff::Timestamp,
    #[serde(flatten)]
    removed: &'a Removed,
}

/// Takes away what has been aside for long enough, and says so. A failure keeps nobody from working.
pub fn expire(session: &Session) {
    match asides::expire(&session.places, jiff::Timestamp::now()) {
        Ok(gone) => {
            for (aside, removed) in &gone {
                session.reporter.note(
                    &format!(
                        "what had been set aside of {} on {} is gone: {}",
                        aside.app,
                        aside.made.strftime("%F"),
                        human::plural(removed.paths.len() as u64, "folder")
                    ),
                    session.global.quiet,
                );
            }
        }
        Err(e) => session.reporter.warn_once(&e.to_string()),
    }
}

/// `rm --expired`.
pub fn remove_expired(session: &Session, dry_run: bool) -> Result<Exit> {
    let now = jiff::Timestamp::now();
    let mut found: Vec<(Aside, Removed)> = Vec::new();
    for aside in asides::list(&session.places)?
        .into_iter()
        .filter(|aside| aside.until <= now)
    {
        let removed = if dry_run {
            aside.look()
        } else {
            aside.remove(&session.places)?
        };
        found.push((aside, removed));
    }
    show(
        session,
        &found,
        if dry_run {
            "would be removed"
        } else {
            "removed"
        },
    )
}

/// What there is of these.
pub fn look(found: &[Aside]) -> Vec<(Aside, Removed)> {
    found.iter().map(|a| (a.clone(), a.look())).collect()
}

/// Takes these away.
pub fn remove(session: &Session, found: &[Aside]) -> Result<Exit> {
    let mut gone = Vec::new();
    for aside in found {
        gone.push((aside.clone(), aside.remove(&session.places)?));
    }
    show(session, &gone, "removed")
}

/// Shows what goes or went.
pub fn show(session: &Session, found: &[(Aside, Removed)], what: &str) -> Result<Exit> {
    if session.out.is_json() {
        let reports: Vec<Report<'_>> = found
            .iter()
            .map(|(aside, removed)| Report {
                id: &aside.id,
                app: &aside.app,
                until: aside.until,
                removed,
            })
            .collect();
        session.out.json(&reports)?;
    } else {
        session.out.text(&render(found, what))?;
    }
    Ok(
        if found.iter().all(|(_, removed)| removed.stays.is_empty()) {
            Exit::Done
        } else {
            Exit::Incomplete
        },
    )
}

/// The same as text.
pub fn render(found: &[(Aside, Removed)], what: &str) -> String {
    if found.is_empty() {
        return "nothing has been aside for long enough\n".to_owned();
    }
    let mut text = String::new();
    for (aside, removed) in found {
        let was = if aside.of_replacement {
            "what a replacement wrote that was taken back"
        } else {
            "data that was replaced"
        };
        text.push_str(&format!(
            "{}, {was} on {}, kept until {}\n",
            human::escape(aside.app.as_bytes()),
            aside.made.strftime("%F"),
            aside.until.strftime("%F")
        ));
        for path in &removed.paths {
            let of = aside.paths.iter().find(|p| p.path == *path);
            let of = of.map(|p| p.of.display().to_string()).unwrap_or_default();
            text.push_str(&format!(
                "  {what}: {} (of {})\n",
                human::escape(path.display().to_string().as_bytes()),
                human::escape(of.as_bytes())
            ));
        }
        for sentence in &removed.stays {
            text.push_str(&format!("  stays: {sentence}\n"));
        }
    }
    text
}
