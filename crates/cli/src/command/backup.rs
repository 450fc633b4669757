//! `backup`: apps one after another, or plain directories.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use lifeboat_engine::Engine;
use lifeboat_plan::manifest::Level;
use lifeboat_recovery::{
    Context,
    files::{self, PathsProtected},
    protect::{self, ProtectOptions, Protected},
};
use serde::Serialize;

use crate::{
    args::BackupArgs,
    command::asides,
    exit::{Exit, Failure, Result},
    human,
    session::{Session, absolute, shell_word},
};

/// What `-o json` says of apps.
#[derive(Default, Serialize)]
struct Report {
    protected: Vec<Protected>,
    failed: Vec<Failed>,
}

/// An app that has no new point.
#[derive(Serialize)]
struct Failed {
    app: String,
    error: String,
    exit_code: u8,
}

/// Lets everything else go first; at most so long.
fn stand_back(session: &Session, how_long: Option<Duration>) {
    match (lifeboat_capture::priority::lower(), how_long) {
        (Ok(()), Some(time)) => lifeboat_capture::priority::lift_after(time),
        (Ok(()), None) => {}
        (Err(error), _) => session.reporter.warn_once(&format!(
            "the backup cannot stand back ({error}) and runs as it would without --idle"
        )),
    }
}

/// Makes recovery points.
pub fn run(session: &Session, args: &BackupArgs) -> Result<Exit> {
    let options = options(session, args)?;
    if let Some(how_long) = args.idle {
        stand_back(session, how_long);
    }
    if !args.dry_run {
        asides::expire(session);
    }
    if !args.paths.is_empty() {
        return paths(session, args, &options);
    }
    if args.take_over.is_some() && args.apps.len() != 1 {
        return Err(Failure::usage(
            "--take-over continues the line of one app; name exactly one",
        ));
    }
    let engine = session.connect()?;
    let levels = match args.consistency {
        Some(_) => BTreeMap::new(),
        None => super::objectives::levels(session, engine.as_ref())?,
    };
    let ctx = session.context(Some(Arc::clone(&engine)))?;
    let apps = apps(engine.as_ref(), args)?;
    if apps.is_empty() {
        session.reporter.note(
            "there is no app on this engine; nothing was saved",
            session.global.quiet,
        );
    }
    let mut report = Report::default();
    let mut exit = Exit::Done;
    for app in &apps {
        session.reporter.subject(app);
        let asked = args.consistency.map(Level::from);
        let options = ProtectOptions {
            consistency: asked.or_else(|| levels.get(app).copied()),
            ..options.clone()
        };
        let done = protect::protect(&ctx, app, &options);
        session.reporter.finish();
        match done {
            Ok(protected) => {
                exit = exit.worse(show(session, &protected)?);
                report.protected.push(protected);
            }
            Err(error) => {
                let failure = Failure::from(error);
                exit = exit.worse(failure.exit);
                // The rest is still worth having; the reason is said now, not after an hour.
                session
                    .reporter
                    .above(&format!("lifeboat: {app}: {failure}\n"));
                report.failed.push(Failed {
                    app: app.clone(),
                    error: failure.to_string(),
                    exit_code: failure.exit.code(),
                });
                if failure.exit == Exit::Interrupted || ctx.cancel.is_cancelled() {
                    exit = exit.worse(Exit::Interrupted);
                    break;
                }
            }
        }
    }
    if session.out.is_json() {
        session.out.json(&report)?;
    } else {
        session.out.aside(&report);
    }
    if matches!(exit, Exit::Done | Exit::Incomplete | Exit::LessConsistent) {
        session.remind_of_sheet();
    }
    Ok(exit)
}

/// Which apps are saved, each once.
pub fn apps(engine: &dyn Engine, args: &BackupArgs) -> Result<Vec<String>> {
    match args.all {
        true => Ok(protect::app_names(engine)?),
        false => Ok(unique(&args.apps)),
    }
}

fn options(session: &Session, args: &BackupArgs) -> Result<ProtectOptions> {
    let mut excludes = args.excludes.clone();
    for path in &args.exclude_files {
        let text = fs_err::read_to_string(path)?;
        excludes.extend(patterns(&text));
    }
    Ok(ProtectOptions {
        excludes,
        one_file_system: args.one_file_system,
        read_concurrency: args.read_concurrency.map_or(0, usize::from),
        tags: args.tags.clone(),
        dry_run: args.dry_run,
        include_binds: args.include_binds.clone(),
        exclude_binds: args.exclude_binds.clone(),
        take_over: args.take_over.clone(),
        registries: (!args.engine_images).then(super::registry::of_images),
        consistency: None,
        retry_lock: session.global.retry_lock,
    })
}

/// Lines of an exclude file; empty ones and those that begin with `#` say nothing.
fn patterns(text: &str) -> impl Iterator<Item = String> {
    text.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
}

fn unique(apps: &[String]) -> Vec<String> {
    let mut unique: Vec<String> = Vec::new();
    for app in apps {
        if !unique.contains(app) {
            unique.push(app.clone());
        }
    }
    unique
}

fn show(session: &Session, protected: &Protected) -> Result<Exit> {
    let said = protected.warnings.iter().chain(&protected.incomplete);
    for sentence in said.chain(&protected.less_consistent) {
        session.reporter.warn_once(sentence);
    }
    if !session.out.is_json() {
        session
            .out
            .text(&render(protected, &session.command_prefix()))?;
    }
    Ok(
        match (&protected.less_consistent, protected.incomplete.is_empty()) {
            (Some(_), _) => Exit::LessConsistent,
            (None, true) => Exit::Done,
            (None, false) => Exit::Incomplete,
        },
    )
}

fn render(protected: &Protected, program: &str) -> String {
    // `site/host/app`: no app's name has a slash.
    let name = protected.app.rsplit('/').next().unwrap_or(&protected.app);
    let mut parts = vec![match &protected.level_reason {
        Some(reason) => format!("{} ({reason})", protected.level),
        None => protected.level.clone(),
    }];
    if protected.id.is_none() {
        parts.clear();
    }
    if let Some(stall) = protected.stall_seconds {
        parts.push(format!("stall {}", human::seconds(stall)));
    }
    parts.push(format!(
        "{} in {}",
        human::size(protected.bytes),
        human::plural(protected.files, "file")
    ));
    if protected.id.is_some() {
        parts.push(format!("added {}", human::size(protected.added)));
    }
    parts.push(human::seconds(protected.seconds));
    if !protected.incomplete.is_empty() {
        parts.push(format!(
            "INCOMPLETE: {} left out",
            human::plural(protected.incomplete.len() as u64, "thing")
        ));
    }
    if let (Some(_), Some(asked)) = (&protected.less_consistent, &protected.asked) {
        parts.push(format!("LESS CONSISTENT THAN ASKED: {asked}"));
    }
    let name = human::escape(name.as_bytes());
    let figures = parts.join(", ");
    match protected.id {
        Some(id) => {
            let reference = shell_word(&format!("{name}@{}", id.short()));
            format!(
                "{name}  {}  {figures}\n  restore with: {program} restore {reference}\n",
                id.short()
            )
        }
        None => format!("{name}  dry run  {figures}\n"),
    }
}

fn paths(session: &Session, args: &BackupArgs, options: &ProtectOptions) -> Result<Exit> {
    let paths = args
        .paths
        .iter()
        .map(|path| absolute(path))
        .collect::<Result<Vec<_>>>()?;
    let ctx: Context = session.context(None)?;
    session.reporter.subject("backup");
    let done = files::protect_paths(&ctx, &paths, options);
    session.reporter.finish();
    let done = done?;
    for problem in &done.problems {
        session.reporter.warn_once(problem);
    }
    if session.out.is_json() {
        session.out.json(&done)?;
    } else {
        session
            .out
            .text(&render_paths(&done, &session.command_prefix()))?;
    }
    if done.id.is_some() {
        session.remind_of_sheet();
    }
    Ok(if done.problems.is_empty() {
        Exit::Done
    } else {
        Exit::Incomplete
    })
}

fn render_paths(done: &PathsProtected, program: &str) -> String {
    let mut parts = vec![
        format!(
            "{} in {}",
            human::size(done.bytes),
            human::plural(done.files, "file")
        ),
        format!("{} new or changed", human::count(done.files_read)),
    ];
    if done.id.is_some() {
        parts.push(format!("added {}", human::size(done.added)));
    }
    parts.push(human::seconds(done.seconds));
    if !done.problems.is_empty() {
        parts.push(format!(
            "INCOMPLETE: {} not read",
            human::plural(done.problems.len() as u64, "path")
        ));
    }
    let figures = parts.join(", ");
    match done.id {
        Some(id) => format!(
            "{}  {figures}\n  restore with: {program} restore {} --target DIR\n",
            id.short(),
            id.short()
        ),
        None => format!("dry run  {figures}\n"),
    }
}

#[cfg(test)]
mod tests {
    use lifeboat_vault::SnapshotId;

    use super::*;

    fn protected() -> Protected {
        Protected {
            app: "default/web1/shop".to_owned(),
            id: Some(SnapshotId([0x6f; 32])),
            time: "2026-11-22T21:44:45Z".to_owned(),
            level: "crash".to_owned(),
            level_reason: None,
            asked: None,
            less_consistent: None,
            stall_seconds: Some(0.2136),
            files: 3412,
            bytes: 1_288_490_188,
            bytes_read: 13_000_000,
            added: 12_900_000,
            seconds: 4.13,
            incomplete: Vec::new(),
            warnings: Vec::new(),
        }
    }

    #[test]
    fn a_point_says_how_it_was_made_and_how_it_comes_back() {
        insta::assert_snapshot!(render(&protected(), "lifeboat"), @r"
        shop  6f6f6f6f  crash, stall 0.214 s, 1.2 GiB in 3,412 files, added 12.3 MiB, 4.130 s
          restore with: lifeboat restore shop@6f6f6f6f
        ");
    }

    #[test]
    fn what_is_less_than_whole_is_said() {
        let mut protected = protected();
        protected.level = "live".to_owned();
        protected.level_reason = Some("the vault runs through shop-db-1".to_owned());
        protected.stall_seconds = None;
        protected.incomplete = vec!["x".to_owned()];
        insta::assert_snapshot!(render(&protected, "lifeboat --vault /mnt/v"), @r"
        shop  6f6f6f6f  live (the vault runs through shop-db-1), 1.2 GiB in 3,412 files, added 12.3 MiB, 4.130 s, INCOMPLETE: 1 thing left out
          restore with: lifeboat --vault /mnt/v restore shop@6f6f6f6f
        ");
    }

    #[test]
    fn a_dry_run_makes_no_promise() {
        let protected = Protected {
            id: None,
            stall_seconds: None,
            ..protected()
        };
        let text = render(&protected, "lifeboat");
        assert!(
            text.contains("dry run") && !text.contains("restore with") && !text.contains("added"),
            "{text}"
        );
    }

    #[test]
    fn exclude_files_have_comments() {
        let found: Vec<String> = patterns("# caches\n*.tmp\n\n  /var/cache  \r\n").collect();
        assert_eq!(found, ["*.tmp", "/var/cache"]);
    }
}
