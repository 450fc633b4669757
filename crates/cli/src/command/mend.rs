//! `repair packs` and `repair points`.

use std::{
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use lifeboat_plan::identity::TAG_PARTIAL;
use lifeboat_vault::{
    BlobKind, PackId, Snapshots, WriterOptions,
    repair::{
        packs::{RepairPacks, RepairedPacks},
        snapshots::{LossKind, RepairSnapshots, Repaired, RepairedSnapshots},
    },
};
use serde::Serialize;

use super::repair::stop_on_signal;
use crate::{
    args::{RepairPacksArgs, RepairPointsArgs},
    exit::{Exit, Result},
    human,
    session::{Session, absolute},
};

/// What `repair packs -o json` says.
#[derive(Serialize)]
struct PacksReport {
    location: String,
    dry_run: bool,
    packs: Vec<JsonPack>,
    whole: Vec<String>,
    new_packs: usize,
    set_aside: PathBuf,
}

#[derive(Serialize)]
struct JsonPack {
    id: String,
    sentence: String,
    blobs: usize,
    salvaged: usize,
    elsewhere: usize,
    lost: Vec<JsonBlob>,
    /// Why it is in the store still.
    stays: Option<String>,
}

#[derive(Serialize)]
struct JsonBlob {
    kind: &'static str,
    id: String,
}

/// Saves what is whole in damaged packs.
pub fn packs(session: &Session, args: &RepairPacksArgs) -> Result<Exit> {
    let vault = session.open_vault_itself()?;
    let folder = absolute(args.set_aside.as_deref().unwrap_or(Path::new(".")))?;
    let stop = stop_on_signal()?;
    let options = RepairPacks {
        packs: &args.packs,
        dry_run: args.dry_run,
        retry_lock: session.global.retry_lock,
        stop: &stop,
    };
    let mut set_aside = |pack: PackId, bytes: &mut dyn Read| set_aside(&folder, pack, bytes);
    let repaired = vault.repair_packs(&options, &mut set_aside, session.reporter.as_ref());
    session.reporter.finish();
    let repaired = repaired?;
    let report = packs_report(vault.location(), args.dry_run, folder, &repaired);
    if session.out.is_json() {
        session.out.json(&report)?;
    } else {
        session.out.text(&render_packs(&report))?;
    }
    let lost = repaired.packs.iter().any(|pack| !pack.lost.is_empty());
    Ok(if lost { Exit::Incomplete } else { Exit::Done })
}

/// Puts a pack into a file of its own, whole and durable.
fn set_aside(folder: &Path, pack: PackId, bytes: &mut dyn Read) -> io::Result<()> {
    fs_err::create_dir_all(folder)?;
    let path = folder.join(format!("pack-{pack}"));
    let part = folder.join(format!(".pack-{pack}.part"));
    let mut file = fs_err::File::create(&part)?;
    let written = io::copy(bytes, &mut file)
        .and_then(|_| file.flush())
        .and_then(|()| file.sync_all())
        // One that an interrupted repair put there is of the same pack.
        .and_then(|()| fs_err::rename(&part, &path))
        .and_then(|()| fs_err::File::open(folder)?.sync_all());
    if written.is_err() {
        let _ = fs_err::remove_file(&part);
    }
    written
}

fn packs_report(
    location: String,
    dry_run: bool,
    set_aside: PathBuf,
    repaired: &RepairedPacks,
) -> PacksReport {
    let blob = |(kind, id): &(BlobKind, lifeboat_vault::BlobId)| JsonBlob {
        kind: kind.as_str(),
        id: id.to_hex(),
    };
    let packs = repaired.packs.iter().map(|pack| JsonPack {
        id: pack.id.to_hex(),
        sentence: format!("pack {} is damaged: {}", pack.id, pack.why),
        blobs: pack.blobs,
        salvaged: pack.salvaged,
        elsewhere: pack.elsewhere,
        lost: pack.lost.iter().map(blob).collect(),
        stays: pack.stays.clone(),
    });
    PacksReport {
        location,
        dry_run,
        packs: packs.collect(),
        whole: repaired.whole.iter().map(ToString::to_string).collect(),
        new_packs: repaired.new_packs,
        set_aside,
    }
}

fn render_packs(report: &PacksReport) -> String {
    let mut text = String::new();
    let count = |number: usize| human::count(number as u64);
    for pack in &report.packs {
        text.push_str(&format!(
            "{}; of its {} {} saved, {} in other packs too, {} lost\n",
            pack.sentence,
            human::plural(pack.blobs as u64, "blob"),
            count(pack.salvaged),
            count(pack.elsewhere),
            count(pack.lost.len())
        ));
        match &pack.stays {
            Some(why) => text.push_str(&format!(
                "  it stays in the vault, in no index, for it cannot be read whole: {why}\n"
            )),
            None if report.dry_run => {}
            None => text.push_str(&format!(
                "  set aside as {}\n",
                report.set_aside.join(format!("pack-{}", pack.id)).display()
            )),
        }
    }
    for pack in &report.whole {
        text.push_str(&format!("pack {pack} is whole; nothing was done to it\n"));
    }
    let lost: usize = report.packs.iter().map(|pack| pack.lost.len()).sum();
    text.push_str(&match (report.packs.len() as u64, report.dry_run) {
        (0, _) => format!(
            "no pack of the vault at {} has to be repaired\n",
            report.location
        ),
        (packs, true) => format!(
            "dry run: {} would be repaired, nothing was changed\n",
            human::plural(packs, "pack")
        ),
        (packs, false) => format!(
            "{} repaired, {} written\n",
            human::plural(packs, "pack"),
            human::plural(report.new_packs as u64, "new pack")
        ),
    });
    if lost > 0 && !report.dry_run {
        text.push_str(
            "next: a backup stores again what the source still has; then `lifeboat check`, and `lifeboat repair points` for what is lost for good\n",
        );
    }
    text
}

/// What `repair points -o json` says.
#[derive(Serialize)]
struct PointsReport {
    location: String,
    dry_run: bool,
    points: Vec<JsonPoint>,
    whole: usize,
}

#[derive(Serialize)]
struct JsonPoint {
    id: String,
    /// `repaired`, `repaired_before`, `would`, `nothing_left`.
    outcome: &'static str,
    new: Option<String>,
    forgotten: bool,
    losses: Vec<JsonLoss>,
    sentence: Option<String>,
}

#[derive(Serialize)]
struct JsonLoss {
    path: String,
    /// `shortened`, `dropped`, `size_mended`, `emptied`.
    what: &'static str,
    from: Option<u64>,
    to: Option<u64>,
    #[serde(skip)]
    shown: String,
}

/// Makes new points without what is lost.
pub fn points(session: &Session, args: &RepairPointsArgs) -> Result<Exit> {
    let vault = session.open_vault_itself()?;
    let filter = args.filter.filter(&args.points, &session.global);
    let Snapshots { found, unreadable } = filter.select(&vault)?;
    for (_, error) in &unreadable {
        session.reporter.warn_once(&error.to_string());
    }
    let stop = stop_on_signal()?;
    let options = RepairSnapshots {
        drop_files: args.drop_damaged,
        forget: args.forget,
        dry_run: args.dry_run,
        // Such a point is never taken for a complete one.
        tags: vec![TAG_PARTIAL.to_owned()],
        writer: WriterOptions {
            retry_lock: session.global.retry_lock,
            ..WriterOptions::default()
        },
        stop: &stop,
    };
    let repaired = vault.repair_snapshots(&found, &options, session.reporter.as_ref());
    session.reporter.finish();
    let report = points_report(vault.location(), args.dry_run, &repaired?);
    if session.out.is_json() {
        session.out.json(&report)?;
    } else {
        session.out.text(&render_points(&report))?;
    }
    let nothing = report.points.iter().any(|p| p.outcome == "nothing_left");
    Ok(if nothing || !unreadable.is_empty() {
        Exit::Incomplete
    } else {
        Exit::Done
    })
}

fn points_report(location: String, dry_run: bool, repaired: &RepairedSnapshots) -> PointsReport {
    let points = repaired.points.iter().map(|point| {
        let (outcome, new, sentence) = match &point.outcome {
            Repaired::New(Some(id)) => ("repaired", Some(id.to_hex()), None),
            Repaired::New(None) => ("would", None, None),
            Repaired::Before(id) => ("repaired_before", Some(id.to_hex()), None),
            Repaired::Nothing(why) => ("nothing_left", None, Some(why.clone())),
        };
        let losses = point.losses.iter().map(|loss| {
            let (what, from, to) = match loss.what {
                LossKind::Shortened { from, to } => ("shortened", Some(from), Some(to)),
                LossKind::Dropped => ("dropped", None, None),
                LossKind::SizeMended { from, to } => ("size_mended", Some(from), Some(to)),
                LossKind::Emptied => ("emptied", None, None),
            };
            JsonLoss {
                path: String::from_utf8_lossy(&loss.path).into_owned(),
                what,
                from,
                to,
                shown: human::escape(&loss.path),
            }
        });
        JsonPoint {
            id: point.id.to_hex(),
            outcome,
            new,
            forgotten: point.forgotten,
            losses: losses.collect(),
            sentence,
        }
    });
    PointsReport {
        location,
        dry_run,
        points: points.collect(),
        whole: repaired.whole,
    }
}

fn render_points(report: &PointsReport) -> String {
    let mut text = String::new();
    for point in &report.points {
        let id = &point.id[..8];
        let new = point.new.as_deref().map_or("", |new| &new[..8]);
        let gone = if point.forgotten {
            "; it is deleted"
        } else {
            ""
        };
        text.push_str(&match point.outcome {
            "repaired" => format!("point {id} is repaired as {new}{gone}\n"),
            "repaired_before" => format!("point {id} was repaired before, as {new}{gone}\n"),
            "would" => format!("point {id} would be repaired\n"),
            _ => format!(
                "nothing is left of point {id}: {}{gone}\n",
                point.sentence.as_deref().unwrap_or_default()
            ),
        });
        for loss in &point.losses {
            let bytes = |n: Option<u64>| human::size(n.unwrap_or(0));
            let (from, to) = (bytes(loss.from), bytes(loss.to));
            text.push_str(&match loss.what {
                "shortened" => format!("  {}: what is left of it, {to} of {from}\n", loss.shown),
                "dropped" => format!("  {}: left out\n", loss.shown),
                "size_mended" => format!("  {}: has {to}, not {from}\n", loss.shown),
                _ => format!("  {}/: empty, for the folder cannot be read\n", loss.shown),
            });
        }
    }
    let lossy = human::plural(report.points.len() as u64, "point");
    text.push_str(&match (report.points.len(), report.dry_run) {
        (0, _) => format!(
            "no point in the vault at {} has to be repaired\n",
            report.location
        ),
        (_, true) => format!("dry run: {lossy} lost something, nothing was changed\n"),
        (_, false) => format!(
            "{lossy} lost something, {} whole\n",
            human::count(report.whole as u64)
        ),
    });
    text
}

#[cfg(test)]
mod tests {
    use lifeboat_vault::{
        BlobId, SnapshotId,
        repair::{
            packs::SalvagedPack,
            snapshots::{Loss, RepairedSnapshot},
        },
    };

    use super::*;

    #[test]
    fn what_was_saved_and_what_is_lost() {
        let pack = |n: u8, stays: Option<&str>| SalvagedPack {
            id: PackId([n; 32]),
            why: "its bytes do not match its name".to_owned(),
            blobs: 4,
            salvaged: 2,
            elsewhere: 1,
            lost: vec![(BlobKind::Data, BlobId([9; 32]))],
            stays: stays.map(str::to_owned),
        };
        let repaired = RepairedPacks {
            packs: vec![pack(1, None), pack(2, Some("bad sector"))],
            whole: vec![PackId([3; 32])],
            new_packs: 1,
        };
        let report = packs_report("/v".into(), false, "/aside".into(), &repaired);
        let text = render_packs(&report)
            .replace(&"01".repeat(32), "01…")
            .replace(&"02".repeat(32), "02…");
        insta::assert_snapshot!(text, @r"
        pack 01… is damaged: its bytes do not match its name; of its 4 blobs 2 saved, 1 in other packs too, 1 lost
          set aside as /aside/pack-01…
        pack 02… is damaged: its bytes do not match its name; of its 4 blobs 2 saved, 1 in other packs too, 1 lost
          it stays in the vault, in no index, for it cannot be read whole: bad sector
        pack 0303030303030303030303030303030303030303030303030303030303030303 is whole; nothing was done to it
        2 packs repaired, 1 new pack written
        next: a backup stores again what the source still has; then `lifeboat check`, and `lifeboat repair points` for what is lost for good
        ");
    }

    #[test]
    fn every_path_that_lost_something_is_named() {
        let loss = |path: &str, what| Loss {
            path: path.into(),
            what,
        };
        let repaired = RepairedSnapshots {
            points: vec![
                RepairedSnapshot {
                    id: SnapshotId([1; 32]),
                    outcome: Repaired::New(Some(SnapshotId([2; 32]))),
                    losses: vec![
                        loss(
                            "/a\n",
                            LossKind::Shortened {
                                from: 2048,
                                to: 1024,
                            },
                        ),
                        loss("/b", LossKind::Dropped),
                        loss("/c", LossKind::Emptied),
                    ],
                    forgotten: true,
                },
                RepairedSnapshot {
                    id: SnapshotId([3; 32]),
                    outcome: Repaired::Nothing("tree is gone".to_owned()),
                    losses: Vec::new(),
                    forgotten: false,
                },
            ],
            whole: 5,
        };
        let report = points_report("/v".into(), false, &repaired);
        insta::assert_snapshot!(render_points(&report), @r"
        point 01010101 is repaired as 02020202; it is deleted
          /a\n: what is left of it, 1.0 KiB of 2.0 KiB
          /b: left out
          /c/: empty, for the folder cannot be read
        nothing is left of point 03030303: tree is gone
        2 points lost something, 5 whole
        ");
    }
}
