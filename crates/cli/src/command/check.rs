//! `check`.

use lifeboat_recovery::verified::Verified;
use lifeboat_vault::{CheckOptions, CheckReport, check::Finding};
use serde::Serialize;

use crate::{
    args::CheckArgs,
    exit::{Exit, Failure, Result},
    human,
    session::Session,
};

/// What `-o json` says.
#[derive(Serialize)]
struct Report<'a> {
    location: String,
    read_data: bool,
    snapshots: u64,
    trees: u64,
    packs: u64,
    blobs: u64,
    bytes: u64,
    read_packs: u64,
    read_bytes: u64,
    /// Packs that no check of this host has read and found whole.
    never_read: u64,
    /// Seconds since 1970: no pack that was read was read longer ago.
    oldest_read: Option<i64>,
    errors: Vec<Damage<'a>>,
    /// Points that are not locked as the vault promises.
    unlocked: Vec<Damage<'a>>,
    notes: &'a [String],
}

/// Something that is damaged.
#[derive(Serialize)]
struct Damage<'a> {
    object: &'a str,
    sentence: &'a str,
    snapshots: Vec<String>,
    files: Vec<String>,
    more_files: u64,
}

impl<'a> Damage<'a> {
    fn new(finding: &'a Finding) -> Self {
        Self {
            object: &finding.object,
            sentence: &finding.sentence,
            snapshots: finding.snapshots.iter().map(ToString::to_string).collect(),
            files: finding
                .files
                .iter()
                .map(|path| String::from_utf8_lossy(path).into_owned())
                .collect(),
            more_files: finding.more_files,
        }
    }
}

/// Checks the vault.
pub fn run(session: &Session, args: &CheckArgs) -> Result<Exit> {
    let vault = match args.with_cache {
        true => session.open_vault()?,
        false => session.open_vault_itself()?,
    };
    let subset = args.read_data_subset.or(args.read_data_rolling);
    let remembered = Verified::load(&session.places, vault.id());
    if let Some(sentence) = &remembered.problem {
        session.reporter.warn_once(sentence);
    }
    let options = CheckOptions {
        read_data: args.read_data || subset.is_some(),
        subset,
        verified: remembered.packs,
        ..CheckOptions::default()
    };
    let report = vault.check(&options, session.reporter.as_ref());
    session.reporter.finish();
    let report = report?;
    if options.read_data
        && let Err(error) = Verified::save(&session.places, vault.id(), &report.verified)
    {
        session.reporter.warn_once(&format!(
            "what was read when cannot be remembered: {error}; --read-data-rolling begins anew"
        ));
    }
    if session.out.is_json() {
        session.out.json(&Report {
            location: vault.location(),
            read_data: options.read_data,
            snapshots: report.snapshots,
            trees: report.trees,
            packs: report.packs,
            blobs: report.blobs,
            bytes: report.bytes,
            read_packs: report.read_packs,
            read_bytes: report.read_bytes,
            never_read: report.packs.saturating_sub(report.verified.len() as u64),
            oldest_read: report.verified.values().min().copied(),
            errors: report.errors.iter().map(Damage::new).collect(),
            unlocked: report.unlocked.iter().map(Damage::new).collect(),
            notes: &report.notes,
        })?;
    } else {
        session.out.text(&render(&report, &vault.location()))?;
    }
    match report.errors.len() as u64 {
        0 if report.unlocked.is_empty() => Ok(Exit::Done),
        0 => Err(Failure::new(format!(
            "the vault at {} is whole, but {} not locked as it promises",
            vault.location(),
            match report.unlocked.len() {
                1 => "1 point is".to_owned(),
                n => format!("{n} points are"),
            }
        ))),
        errors => Err(Failure::new(format!(
            "the vault at {} is damaged: {} found",
            vault.location(),
            human::plural(errors, "error")
        ))),
    }
}

fn render(report: &CheckReport, location: &str) -> String {
    let mut text = String::new();
    for finding in &report.errors {
        text.push_str(&format!("{}\n", finding.sentence));
        for id in &finding.snapshots {
            text.push_str(&format!("  needed by point {}\n", id.short()));
        }
        for path in &finding.files {
            text.push_str(&format!("  needed by {}\n", human::escape(path)));
        }
        if finding.more_files > 0 {
            text.push_str(&format!(
                "  and {}\n",
                human::plural(finding.more_files, "more path")
            ));
        }
    }
    for finding in &report.unlocked {
        text.push_str(&format!("{}\n", finding.sentence));
    }
    for note in &report.notes {
        text.push_str(&format!("note: {note}\n"));
    }
    text.push_str(&format!(
        "{}, {}, {} in {}: {}\n",
        human::plural(report.snapshots, "point"),
        human::plural(report.trees, "tree"),
        human::plural(report.blobs, "blob"),
        human::plural(report.packs, "pack"),
        human::size(report.bytes)
    ));
    if report.read_packs > 0 {
        text.push_str(&read(report));
    }
    if report.errors.is_empty() {
        let how = match report.read_packs {
            _ if report.packs == report.read_packs => "every byte was read",
            0 => "the data was not read: that is --read-data",
            _ => "of the data, what was read",
        };
        text.push_str(&format!("the vault at {location} is whole; {how}\n"));
    }
    text
}

/// How much was read, now and before.
fn read(report: &CheckReport) -> String {
    let never = report.packs.saturating_sub(report.verified.len() as u64);
    let mut text = format!(
        "read: {} of {}, {}",
        human::count(report.read_packs),
        human::plural(report.packs, "pack"),
        human::size(report.read_bytes)
    );
    if report.read_packs < report.packs {
        match report.verified.values().min() {
            _ if never > 0 => text.push_str(&format!(
                "; {} never read from this host",
                human::plural(never, "pack")
            )),
            Some(oldest) => text.push_str(&format!(
                "; everything since {}",
                human::local_seconds(*oldest)
            )),
            None => {}
        }
    }
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use lifeboat_vault::SnapshotId;

    use super::*;

    #[test]
    fn damage_names_what_it_touches() {
        let finding = Finding {
            object: "pack 12".to_owned(),
            sentence: "pack 12 is not what its name says".to_owned(),
            snapshots: vec![SnapshotId([1; 32])],
            files: vec![b"/a\nb".to_vec()],
            more_files: 2,
        };
        let report = CheckReport {
            errors: vec![finding],
            snapshots: 1,
            ..CheckReport::default()
        };
        insta::assert_snapshot!(render(&report, "/v"), @r"
        pack 12 is not what its name says
          needed by point 01010101
          needed by /a\nb
          and 2 more paths
        1 point, 0 trees, 0 blobs in 0 packs: 0 B
        ");
        let json = serde_json::to_value(Damage::new(&report.errors[0])).unwrap();
        assert_eq!(json["files"][0], "/a\nb");
    }
}
