//! `prune`.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use lifeboat_vault::{
    Vault,
    prune::{Amount, PruneOptions, PruneReport, Waiting, WaitsFor},
};
use serde::Serialize;

use crate::{
    args::PruneArgs,
    exit::{Exit, Failure, Result},
    human,
    session::Session,
    signals,
};

/// What `-o json` says.
#[derive(Debug, Serialize)]
pub struct Report {
    location: String,
    dry_run: bool,
    before: Size,
    used: Size,
    unused: Size,
    left_bytes: u64,
    repacked: Size,
    written: Size,
    postponed: bool,
    marked: Size,
    used_again: u64,
    deleted: Size,
    waiting: Vec<Waits>,
    swept: u64,
    damaged: Vec<Damaged>,
}

/// Packs and their bytes.
#[derive(Debug, Serialize)]
struct Size {
    packs: u64,
    bytes: u64,
}

/// What was marked and not deleted.
#[derive(Debug, Serialize)]
struct Waits {
    packs: u64,
    bytes: u64,
    /// `age`, `session`, `lock` or `retention`.
    what: &'static str,
    /// For `age` and `retention`: from when on it may go.
    until: Option<String>,
    /// Else: who is in the way.
    holder: Option<String>,
}

/// A pack that cannot be read.
#[derive(Debug, Serialize)]
struct Damaged {
    pack: String,
    sentence: String,
}

impl From<Amount> for Size {
    fn from(amount: Amount) -> Self {
        Self {
            packs: amount.packs,
            bytes: amount.bytes,
        }
    }
}

impl From<&Waiting> for Waits {
    fn from(waiting: &Waiting) -> Self {
        let (what, until, holder) = match &waiting.waits_for {
            WaitsFor::Age(time) => ("age", Some(time.clone()), None),
            WaitsFor::Session(holder) => ("session", None, Some(holder.clone())),
            WaitsFor::Retention(until) => ("retention", Some(until.clone()), None),
            WaitsFor::Lock(holder) => ("lock", None, Some(holder.clone())),
        };
        Self {
            packs: waiting.amount.packs,
            bytes: waiting.amount.bytes,
            what,
            until,
            holder,
        }
    }
}

impl Report {
    fn new(location: String, dry_run: bool, report: &PruneReport) -> Self {
        Self {
            location,
            dry_run,
            before: report.before.into(),
            used: report.used.into(),
            unused: report.unused.into(),
            left_bytes: report.left,
            repacked: report.repacked.into(),
            written: report.written.into(),
            postponed: report.postponed,
            marked: report.marked.into(),
            used_again: report.used_again,
            deleted: report.deleted.into(),
            waiting: report.waiting.iter().map(Waits::from).collect(),
            swept: report.swept,
            damaged: report
                .damaged
                .iter()
                .map(|(pack, error)| Damaged {
                    pack: pack.to_hex(),
                    sentence: error.to_string(),
                })
                .collect(),
        }
    }
}

/// Frees space.
pub fn run(session: &Session, args: &PruneArgs) -> Result<Exit> {
    let vault = session.open_vault()?;
    session.warn_of_clock(&vault);
    let stop = stop_on_signal()?;
    let options = PruneOptions {
        max_unused: args.max_unused,
        max_repack: args.max_repack_size.map(|size| size.0),
        dry_run: args.dry_run,
        instant: args.instant,
        retry_lock: session.global.retry_lock,
        ..PruneOptions::default()
    };
    let (report, exit) = prune(session, &vault, &options, &stop)?;
    if session.out.is_json() {
        session.out.json(&report)?;
    } else {
        session.out.text(&render(&report))?;
    }
    Ok(exit)
}

/// Set by the first signal.
pub fn stop_on_signal() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let on_signal = Arc::clone(&stop);
    signals::on_first(move || on_signal.store(true, Ordering::Relaxed))?;
    Ok(stop)
}

/// Prunes; the report, and how the program ends.
pub fn prune(
    session: &Session,
    vault: &Vault,
    options: &PruneOptions,
    stop: &AtomicBool,
) -> Result<(Report, Exit)> {
    let done = vault.prune(options, stop, session.reporter.as_ref());
    session.reporter.finish();
    let done = done.map_err(|error| match stop.load(Ordering::Relaxed) {
        true => Failure::interrupted(),
        false => Failure::from(error),
    })?;
    let exit = match done.damaged.is_empty() {
        true => Exit::Done,
        false => Exit::Incomplete,
    };
    Ok((Report::new(vault.location(), options.dry_run, &done), exit))
}

/// For people.
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    let packs = |size: &Size| {
        let packs = human::plural(size.packs, "pack");
        format!("{packs}, {}", human::size(size.bytes))
    };
    let mut line = |name: &str, what: String| text.push_str(&format!("{name:<10} {what}\n"));
    line("there", packs(&report.before));
    line("needed", human::size(report.used.bytes));
    line(
        "not needed",
        format!(
            "{}; {} stay beside what is needed",
            human::size(report.unused.bytes),
            human::size(report.left_bytes)
        ),
    );
    if report.repacked.packs > 0 {
        let written = match report.dry_run {
            true => String::new(),
            false => format!(" into {}", packs(&report.written)),
        };
        line("repacked", format!("{}{written}", packs(&report.repacked)));
    }
    if report.postponed {
        line(
            "postponed",
            "more is to be repacked than --max-repack-size allows; the next prune goes on"
                .to_owned(),
        );
    }
    if report.used_again > 0 {
        let number = human::plural(report.used_again, "pack");
        line("unmarked", format!("{number}: needed again"));
    }
    line("marked", packs(&report.marked));
    if !report.dry_run {
        line("deleted", packs(&report.deleted));
    }
    for waiting in &report.waiting {
        let amount = Size {
            packs: waiting.packs,
            bytes: waiting.bytes,
        };
        line("waiting", format!("{}: {}", packs(&amount), why(waiting)));
    }
    if report.swept > 0 {
        let what = human::plural(report.swept, "hidden version");
        line("swept", format!("{what} whose time was over"));
    }
    for damaged in &report.damaged {
        line(
            "damaged",
            format!("{}; it stays as it is", damaged.sentence),
        );
    }
    if report.dry_run {
        text.push_str("nothing was changed: this was a dry run\n");
    } else {
        text.push_str(&format!(
            "freed {} in the vault at {}\n",
            human::size(report.deleted.bytes.saturating_sub(report.written.bytes)),
            report.location
        ));
    }
    text
}

fn why(waiting: &Waits) -> String {
    let holder = human::escape(waiting.holder.as_deref().unwrap_or_default().as_bytes());
    match (waiting.what, &waiting.until) {
        ("age", Some(until)) => format!(
            "may go after {}, since a program that takes no locks may be at work; --instant, if none is",
            human::local_time(until)
        ),
        ("retention", Some(until)) => format!(
            "the store lets nobody delete them before {}",
            human::local_time(until)
        ),
        ("session", _) => {
            format!(
                "a run that may need them has not ended ({holder}); the next prune deletes them"
            )
        }
        _ => format!("another program holds the vault ({holder}); the next prune deletes them"),
    }
}
