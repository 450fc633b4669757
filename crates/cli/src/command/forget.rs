//! `forget`.

use lifeboat_recovery::{
    RecoveryError,
    forget::{self, Fate, Fates, ForgetRequest},
};
use lifeboat_vault::{
    SnapshotId,
    prune::{MaxUnused, PruneOptions},
};
use serde::Serialize;

use super::prune;
use crate::{
    args::ForgetArgs,
    exit::{Exit, Failure, Result},
    human,
    session::Session,
    table::{Align, Table},
};

/// What `-o json` says.
#[derive(Serialize)]
struct Report<'a> {
    dry_run: bool,
    #[serde(flatten)]
    fates: &'a Fates,
    forgotten: Vec<SnapshotId>,
    prune: Option<prune::Report>,
}

/// Forgets points.
pub fn run(session: &Session, args: &ForgetArgs) -> Result<Exit> {
    let request = request(session, args)?;
    let vault = session.open_vault()?;
    session.warn_of_clock(&vault);
    let fates = match forget::decide(&vault, &request) {
        Err(RecoveryError::NotFound(_)) if args.missing_ok => Fates::default(),
        decided => decided?,
    };
    for note in &fates.notes {
        session.reporter.warn_once(note);
    }
    let stop = prune::stop_on_signal()?;
    let forgotten = match args.dry_run {
        true => Vec::new(),
        false => forget::forget(&vault, &fates, session.global.retry_lock, &stop)?,
    };
    if !session.out.is_json() {
        session
            .out
            .text(&render(&fates, args.dry_run, session.out.width()))?;
    }
    let mut exit = Exit::Done;
    let mut pruned = None;
    if args.prune {
        let options = PruneOptions {
            max_unused: args.max_unused.unwrap_or(MaxUnused::Percent(5.0)),
            max_repack: args.max_repack_size.map(|size| size.0),
            dry_run: args.dry_run,
            retry_lock: session.global.retry_lock,
            ..PruneOptions::default()
        };
        let (report, ended) = prune::prune(session, &vault, &options, &stop)?;
        exit = ended;
        if !session.out.is_json() {
            session.out.text(&prune::render(&report))?;
        }
        pruned = Some(report);
    }
    if session.out.is_json() {
        session.out.json(&Report {
            dry_run: args.dry_run,
            fates: &fates,
            forgotten,
            prune: pruned,
        })?;
    }
    Ok(exit)
}

fn request(session: &Session, args: &ForgetArgs) -> Result<ForgetRequest> {
    let policy = args.keep.policy();
    if args.keep.is_given() && policy.is_empty() {
        return Err(Failure::usage(
            "these --keep-… keep nothing, and nothing is forgotten by a policy that keeps nothing; name the points that are to go",
        ));
    }
    let policies = match args.keep.is_given() {
        true => Default::default(),
        false => forget::policies(&session.settings)?,
    };
    Ok(ForgetRequest {
        references: args.references.clone(),
        filter: args.filter.filter(&[], &session.global),
        policy,
        policies,
        group_by: args.group_by,
        trust_times: args.trust_times,
        gone_too: args.gone_too,
        even_newest: args.even_newest,
    })
}

fn render(fates: &Fates, dry_run: bool, width: Option<u16>) -> String {
    let columns = [
        ("ID", Align::Left),
        ("TIME", Align::Left),
        ("HOST", Align::Left),
        ("APP", Align::Left),
        ("", Align::Left),
        ("WHY", Align::Left),
    ];
    let mut table = Table::new(&columns, width);
    for fate in &fates.points {
        let point = &fate.point;
        let subject = match (&point.app, &point.definition) {
            (Some(app), _) => app.clone(),
            (None, Some(app)) => format!("definition of {app}"),
            (None, None) => point.paths.join(", "),
        };
        table.row([
            point.id.short(),
            human::local_time(&point.time),
            human::escape(point.host.as_bytes()),
            human::escape(subject.as_bytes()),
            if fate.stays { "stays" } else { "goes" }.to_owned(),
            why(fate),
        ]);
    }
    let going = fates.going().len() as u64;
    let staying = fates.points.len() as u64 - going;
    let mut text = table.render();
    text.push_str(&match dry_run {
        true => format!(
            "{} would go, {} would stay; nothing was changed: this was a dry run\n",
            human::plural(going, "point"),
            human::count(staying)
        ),
        false => format!(
            "{} forgotten, {} stay\n",
            human::plural(going, "point"),
            human::count(staying)
        ),
    });
    text
}

fn why(fate: &Fate) -> String {
    let incomplete = fate.point.partial.then(|| "incomplete".to_owned());
    let late = fate.late.then(|| "stored late".to_owned());
    let reasons = fate.reasons.iter().cloned();
    let all: Vec<String> = reasons.chain(incomplete).chain(late).collect();
    match (fate.stays, all.is_empty()) {
        (false, true) => "no rule keeps it".to_owned(),
        _ => human::escape(all.join(", ").as_bytes()),
    }
}
