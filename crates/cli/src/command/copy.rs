//! `copy`.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use lifeboat_vault::{
    Snapshots, Vault, WriterOptions,
    copy::{Copied, CopyOptions, CopyReport},
};
use serde::Serialize;

use crate::{
    args::CopyArgs,
    exit::{Exit, Failure, Result},
    human, password,
    session::Session,
    signals,
};

/// What `-o json` says.
#[derive(Serialize)]
struct Report {
    from: String,
    to: String,
    dry_run: bool,
    points: Vec<Point>,
    /// Why it ended before it had tried all.
    stopped: Option<String>,
}

#[derive(Serialize)]
struct Point {
    id: String,
    /// `there`, `copied`, `would`, `older`, `damaged`.
    outcome: &'static str,
    /// Its id in the other vault.
    copy: Option<String>,
    blobs: u64,
    bytes: u64,
    sentence: Option<String>,
}

/// Copies points.
pub fn run(session: &Session, args: &CopyArgs) -> Result<Exit> {
    let (vault, own) = session.open_vault_with_password()?;
    let file = args.to_password_file.as_ref();
    let target = match password::other_source(file, args.to_password_command.as_ref()) {
        Some(source) => session.open_other(&args.to, &password::read_as(&source, "to-")?)?,
        None => session.open_other(&args.to, &own)?,
    };
    let real = |vault: &Vault| fs_err::canonicalize(vault.location()).ok();
    if real(&vault).is_some() && real(&vault) == real(&target) {
        return Err(Failure::new(format!(
            "{} is the vault itself; name another place to copy to",
            args.to
        )));
    }
    let filter = args.filter.filter(&args.points, &session.global);
    let Snapshots {
        found: points,
        unreadable,
    } = filter.select(&vault)?;
    for (_, error) in &unreadable {
        session.reporter.warn_once(&error.to_string());
    }
    let stop = Arc::new(AtomicBool::new(false));
    let on_signal = Arc::clone(&stop);
    signals::on_first(move || on_signal.store(true, Ordering::Relaxed))?;
    let options = CopyOptions {
        dry_run: args.dry_run,
        only_newer: args.only_newer,
        writer: WriterOptions {
            retry_lock: session.global.retry_lock,
            ..WriterOptions::default()
        },
    };
    let copied = vault.copy_to(&target, &points, &options, &stop, session.reporter.as_ref());
    session.reporter.finish();
    let copied = copied?;
    let report = report(vault.location(), target.location(), args.dry_run, &copied);
    if session.out.is_json() {
        session.out.json(&report)?;
    } else {
        session.out.text(&render(&report))?;
    }
    if let Some(error) = copied.stopped {
        return Err(error.into());
    }
    let damaged = report.points.iter().any(|point| point.outcome == "damaged");
    Ok(if damaged || !unreadable.is_empty() {
        Exit::Incomplete
    } else {
        Exit::Done
    })
}

fn report(from: String, to: String, dry_run: bool, copied: &CopyReport) -> Report {
    let points = copied.points.iter().map(|(id, copied)| {
        let point = |outcome| Point {
            id: id.to_hex(),
            outcome,
            copy: None,
            blobs: 0,
            bytes: 0,
            sentence: None,
        };
        match copied {
            Copied::There(copy) => Point {
                copy: Some(copy.to_hex()),
                ..point("there")
            },
            Copied::New { id, blobs, bytes } => Point {
                copy: Some(id.to_hex()),
                blobs: *blobs,
                bytes: *bytes,
                ..point("copied")
            },
            Copied::Would { blobs, bytes } => Point {
                blobs: *blobs,
                bytes: *bytes,
                ..point("would")
            },
            Copied::Older => point("older"),
            Copied::Damaged(error) => Point {
                sentence: Some(error.to_string()),
                ..point("damaged")
            },
        }
    });
    Report {
        from,
        to,
        dry_run,
        points: points.collect(),
        stopped: copied.stopped.as_ref().map(ToString::to_string),
    }
}

fn render(report: &Report) -> String {
    let mut text = String::new();
    let (mut there, mut older) = (0, 0);
    for point in &report.points {
        let id = &point.id[..8];
        let copy = point.copy.as_deref().map_or("", |copy| &copy[..8]);
        let blobs = human::plural(point.blobs, "blob");
        let size = human::size(point.bytes);
        match point.outcome {
            "copied" => text.push_str(&format!("{id} copied as {copy}: {blobs}, {size}\n")),
            "would" => text.push_str(&format!("{id} would be copied: {blobs}, {size}\n")),
            "damaged" => text.push_str(&format!(
                "{id} is not copied: {}\n",
                point.sentence.as_deref().unwrap_or_default()
            )),
            "older" => older += 1,
            _ => there += 1,
        }
    }
    let count = |outcome| {
        report
            .points
            .iter()
            .filter(|p| p.outcome == outcome)
            .count() as u64
    };
    let done = if report.dry_run {
        "would be copied"
    } else {
        "copied"
    };
    text.push_str(&format!(
        "{} {done} from {} to {}, {} there already",
        human::plural(count("copied") + count("would"), "point"),
        report.from,
        report.to,
        human::count(there)
    ));
    if older > 0 {
        let older = human::count(older);
        text.push_str(&format!(", {older} older than the newest there"));
    }
    if count("damaged") > 0 {
        text.push_str(&format!(
            ", {} damaged and not copied",
            human::count(count("damaged"))
        ));
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use lifeboat_vault::{SnapshotId, VaultError};

    use super::*;

    #[test]
    fn what_was_copied_and_what_was_not() {
        let id = |n| SnapshotId([n; 32]);
        let copied = CopyReport {
            points: vec![
                (id(1), Copied::There(id(9))),
                (
                    id(2),
                    Copied::New {
                        id: id(8),
                        blobs: 1,
                        bytes: 2048,
                    },
                ),
                (
                    id(3),
                    Copied::Damaged(VaultError::damaged("pack 1", "it is gone")),
                ),
            ],
            stopped: None,
        };
        let report = report("/a".into(), "/b".into(), false, &copied);
        insta::assert_snapshot!(render(&report), @r"
        02020202 copied as 08080808: 1 blob, 2.0 KiB
        03030303 is not copied: pack 1 is damaged: it is gone; run `lifeboat check` to see what else is affected
        1 point copied from /a to /b, 1 there already, 1 damaged and not copied
        ");
    }
}
