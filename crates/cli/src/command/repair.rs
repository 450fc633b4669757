//! `repair`.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use lifeboat_store::Area;
use lifeboat_vault::RebuiltIndex;
use serde::Serialize;

use super::mend;
use crate::{
    args::{Repair, RepairArgs},
    exit::{Exit, Failure, Result},
    human,
    session::Session,
    signals,
};

/// What `-o json` says.
#[derive(Serialize)]
struct Report {
    location: String,
    /// Packs added to the index.
    packs: usize,
    /// Their blobs.
    blobs: usize,
    /// Index files that were damaged and are deleted.
    removed: Vec<String>,
    /// Index files that cannot be read and are left.
    kept: Vec<Unreadable>,
    /// Packs that are gone and in the index no more.
    gone: Vec<String>,
    /// Packs that cannot be read and are in no index.
    unreadable: Vec<Unreadable>,
}

/// Something that cannot be read.
#[derive(Serialize)]
struct Unreadable {
    id: String,
    sentence: String,
}

impl Report {
    fn new(location: String, rebuilt: &RebuiltIndex) -> Self {
        let unreadable = |(id, error): (String, &lifeboat_vault::VaultError)| Unreadable {
            id,
            sentence: error.to_string(),
        };
        Self {
            location,
            packs: rebuilt.packs,
            blobs: rebuilt.blobs,
            removed: rebuilt.removed.iter().map(ToString::to_string).collect(),
            kept: rebuilt
                .kept
                .iter()
                .map(|(id, e)| unreadable((id.to_string(), e)))
                .collect(),
            gone: rebuilt.gone.iter().map(ToString::to_string).collect(),
            unreadable: rebuilt
                .unreadable
                .iter()
                .map(|(id, e)| unreadable((id.to_string(), e)))
                .collect(),
        }
    }
}

/// Mends what is named.
pub fn run(session: &Session, args: &RepairArgs) -> Result<Exit> {
    match &args.what {
        Repair::Index(_) => index(session),
        Repair::Packs(args) => mend::packs(session, args),
        Repair::Points(args) => mend::points(session, args),
        Repair::Deleted(_) => deleted(session),
    }
}

/// What `-o json` says of what came back.
#[derive(Serialize)]
struct Back {
    location: String,
    objects: Vec<String>,
}

/// Brings back what a store with Object Lock hides.
fn deleted(session: &Session) -> Result<Exit> {
    let store = session.store_at(&session.vault_location())?;
    let Some(lock) = store.object_lock() else {
        return Err(Failure::new(format!(
            "what was deleted at {} is gone: only S3 with Object Lock keeps it",
            store.location()
        )));
    };
    let back = lock.bring_back();
    let back = back.map_err(|e| Failure::new(e.to_string()))?;
    if session.out.is_json() {
        session.out.json(&Back {
            location: store.location(),
            objects: back.iter().map(ToString::to_string).collect(),
        })?;
    } else {
        let count = |area: Area| back.iter().filter(|name| name.area() == area).count() as u64;
        session.out.text(&format!(
            "{} came back at {}, {} among them; `lifeboat check` says whether all is well\n",
            human::plural(back.len() as u64, "object"),
            store.location(),
            human::plural(count(Area::Snapshots), "point")
        ))?;
    }
    Ok(Exit::Done)
}

/// A repair that is ended by force leaves its lock behind, and that one keeps everybody out.
pub(super) fn stop_on_signal() -> Result<Arc<AtomicBool>> {
    let stop = Arc::new(AtomicBool::new(false));
    let on_signal = Arc::clone(&stop);
    signals::on_first(move || on_signal.store(true, Ordering::Relaxed))?;
    Ok(stop)
}

fn index(session: &Session) -> Result<Exit> {
    let vault = session.open_vault_itself()?;
    let stop = stop_on_signal()?;
    let rebuilt = vault.rebuild_index(session.global.retry_lock, &stop, session.reporter.as_ref());
    session.reporter.finish();
    let rebuilt = rebuilt?;
    let report = Report::new(vault.location(), &rebuilt);
    if session.out.is_json() {
        session.out.json(&report)?;
    } else {
        session.out.text(&render(&report))?;
    }
    if rebuilt.is_whole() {
        Ok(Exit::Done)
    } else {
        Ok(Exit::Incomplete)
    }
}

fn render(report: &Report) -> String {
    let mut text = String::new();
    for id in &report.removed {
        text.push_str(&format!("index/{id} was damaged and is deleted\n"));
    }
    for file in &report.kept {
        text.push_str(&format!(
            "index/{} stays, for it may name what is in the packs that cannot be read: {}\n",
            file.id, file.sentence
        ));
    }
    for id in &report.gone {
        text.push_str(&format!(
            "pack {id} is gone; it is taken out of the index, and `lifeboat check` says which points need what it held\n"
        ));
    }
    for pack in &report.unreadable {
        text.push_str(&format!("{}; it is in no index\n", pack.sentence));
    }
    if report.packs > 0 {
        text.push_str(&format!(
            "added to the index: {} in {}\n",
            human::plural(report.blobs as u64, "blob"),
            human::plural(report.packs as u64, "pack")
        ));
    }
    text.push_str(&if report.unreadable.is_empty() && report.kept.is_empty() {
        format!(
            "the index of the vault at {} names everything that is there\n",
            report.location
        )
    } else {
        format!(
            "the index of the vault at {} names everything but what is in {}; `lifeboat check` says which points need it\n",
            report.location,
            human::plural(report.unreadable.len() as u64, "damaged pack")
        )
    });
    text
}

#[cfg(test)]
mod tests {
    use lifeboat_vault::{IndexId, PackId, VaultError};

    use super::*;

    #[test]
    fn what_was_done_and_what_could_not_be() {
        let whole = RebuiltIndex::default();
        insta::assert_snapshot!(render(&Report::new("/v".into(), &whole)), @"the index of the vault at /v names everything that is there");
        let error = VaultError::damaged("pack 02", "its header does not open");
        let rebuilt = RebuiltIndex {
            packs: 2,
            blobs: 1200,
            removed: vec![IndexId([1; 32])],
            kept: vec![],
            gone: vec![PackId([7; 32])],
            unreadable: vec![(PackId([2; 32]), error)],
        };
        let report = Report::new("/v".into(), &rebuilt);
        insta::assert_snapshot!(render(&report), @r"
        index/0101010101010101010101010101010101010101010101010101010101010101 was damaged and is deleted
        pack 0707070707070707070707070707070707070707070707070707070707070707 is gone; it is taken out of the index, and `lifeboat check` says which points need what it held
        pack 02 is damaged: its header does not open; run `lifeboat check` to see what else is affected; it is in no index
        added to the index: 1,200 blobs in 2 packs
        the index of the vault at /v names everything but what is in 1 damaged pack; `lifeboat check` says which points need it
        ");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["unreadable"][0]["id"], "02".repeat(32));
        assert_eq!(json["removed"][0], "01".repeat(32));
    }
}
