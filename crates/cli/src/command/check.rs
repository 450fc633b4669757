//! `check`.

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
    errors: Vec<Damage<'a>>,
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
    let vault = session.open_vault()?;
    let options = CheckOptions {
        read_data: args.read_data,
        ..CheckOptions::default()
    };
    let report = vault.check(&options, session.reporter.as_ref());
    session.reporter.finish();
    let report = report?;
    if session.out.is_json() {
        session.out.json(&Report {
            location: vault.location(),
            read_data: args.read_data,
            snapshots: report.snapshots,
            trees: report.trees,
            packs: report.packs,
            blobs: report.blobs,
            bytes: report.bytes,
            errors: report.errors.iter().map(Damage::new).collect(),
            notes: &report.notes,
        })?;
    } else {
        session
            .out
            .text(&render(&report, &vault.location(), args.read_data))?;
    }
    match report.errors.len() as u64 {
        0 => Ok(Exit::Done),
        errors => Err(Failure::new(format!(
            "the vault at {} is damaged: {} found",
            vault.location(),
            human::plural(errors, "error")
        ))),
    }
}

fn render(report: &CheckReport, location: &str, read_data: bool) -> String {
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
    if report.errors.is_empty() {
        let how = if read_data {
            "every byte was read"
        } else {
            "the data was not read: that is --read-data"
        };
        text.push_str(&format!("the vault at {location} is whole; {how}\n"));
    }
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
        insta::assert_snapshot!(render(&report, "/v", true), @r"
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
