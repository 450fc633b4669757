//! Restores that were interrupted on this host: finding the one that is meant, and taking it back.
//!
//! Going on is the same restore again, with what its journal says ([`Interrupted::point`], `wanted`).
//! Going back needs no vault.

use std::collections::BTreeSet;

use lifeboat_engine::Engine;
use lifeboat_vault::{id::SnapshotId, snapshot::Snapshot};

use super::{
    beside::Wanted,
    journal::{
        AppJournal, Intent, RestoreJournal, is_of_vault, part_of, point_of, read_file, replace_of,
    },
    maps::Maps,
    over::{self, Back},
    part::pieces::Pieces,
    undo::take_back,
};
use crate::{Context, Places, RecoveryError, Result, copies};

/// What kind of restore it is.
#[derive(Debug, Clone)]
pub enum Kind {
    /// Onto free names, so mapped.
    Plain(Maps),
    /// `--as`, so.
    Beside(Wanted),
    /// A part of the point, where it is absent, so mapped.
    Part(Pieces, Maps),
    /// `--replace`, of the app or of a part.
    Over(over::Options),
}

/// One interrupted restore.
#[derive(Debug, Clone)]
pub struct Interrupted {
    /// Name of its journal.
    journal: String,
    /// `site/host/app`, or the copy's name.
    pub name: String,
    /// The point, if it came so far.
    pub point: Option<SnapshotId>,
    /// What it is.
    pub kind: Kind,
    /// The beginning of its vault's id, where the journal says.
    vault: Option<String>,
    /// Address of its engine, if that is another than this host's.
    at: Option<String>,
    /// Data root of its engine.
    data_root: Option<String>,
}

/// What came of taking one back.
#[derive(Debug)]
pub enum Undone {
    /// The app as it was before runs again.
    Back(Back),
    /// What had been made is gone; what stays is named.
    Removed(Vec<String>),
}

impl Interrupted {
    fn read(journal: &str, intents: &BTreeSet<Intent>) -> Option<Self> {
        let of_copy = journal.strip_prefix("copy-");
        let (name, kind, vault, at) = if let Some(name) = of_copy {
            let name = lifeboat_plan::name::unescape(name)?;
            let options = intents.iter().find_map(|intent| match intent {
                Intent::Beside(options) => Some(options.as_str()),
                _ => None,
            });
            let wanted = Wanted::from_options(&name, options.unwrap_or_default());
            (name, Kind::Beside(wanted), None, None)
        } else {
            let AppJournal { vault, app, at, .. } = AppJournal::parse(journal)?;
            let part = part_of(intents).cloned();
            let maps = || Maps::of_journal(intents).unwrap_or_default();
            let kind = match (replace_of(intents), part) {
                (Some(replace), part) => Kind::Over(over::Options {
                    safety_point: replace.safety_point,
                    part,
                    maps: maps(),
                }),
                (None, Some(pieces)) => Kind::Part(pieces, maps()),
                (None, None) => Kind::Plain(maps()),
            };
            (app, kind, Some(vault), at)
        };
        Some(Self {
            journal: journal.to_owned(),
            name,
            point: point_of(intents),
            kind,
            vault,
            at,
            data_root: intents.iter().find_map(|intent| match intent {
                Intent::Engine(root) => Some(root.clone()),
                _ => None,
            }),
        })
    }

    /// What the person did, in words.
    pub fn what(&self) -> String {
        match &self.kind {
            Kind::Plain(_) => format!("the restore of {}", self.name),
            Kind::Beside(_) => format!("the restore as {}", self.name),
            Kind::Part(pieces, _) => {
                format!("the restore of {} of {}", pieces.options(), self.name)
            }
            Kind::Over(options) => match &options.part {
                Some(pieces) => {
                    format!("the replacement of {} of {}", pieces.options(), self.name)
                }
                None => format!("the replacement of {}", self.name),
            },
        }
    }

    /// Its point, in the vault that it came from.
    pub fn point_in(&self, ctx: &Context) -> Result<(SnapshotId, Snapshot)> {
        let id = ctx.vault.id();
        if self
            .vault
            .as_ref()
            .is_some_and(|begins| !is_of_vault(begins, id))
        {
            return Err(RecoveryError::Refused(format!(
                "{} came from another vault than this; name that one with --vault",
                self.what()
            )));
        }
        let point = self.point.ok_or_else(|| {
            RecoveryError::Refused(format!(
                "{} was interrupted before it had begun; run it again",
                self.what()
            ))
        })?;
        crate::points::by_id(&ctx.vault, point)
    }

    /// What another engine holds is not here, and must not be forgotten.
    fn check_engine(&self, engine: &dyn Engine) -> Result<()> {
        let is = engine.fingerprints()?.data_root;
        let other_root = self.data_root.is_some() && is.is_some() && self.data_root != is;
        let other = self.at.as_ref().is_some_and(|at| *at != engine.endpoint());
        if !other && !other_root {
            return Ok(());
        }
        let was = self.at.as_ref().or(self.data_root.as_ref());
        Err(RecoveryError::Refused(format!(
            "{} was interrupted on another engine ({}); name that one with --engine",
            self.what(),
            was.map(String::as_str).unwrap_or_default()
        )))
    }

    /// Takes it back: the app as it was, or nothing where nothing was.
    pub fn undo(
        &self,
        engine: &dyn Engine,
        places: &Places,
        step: &dyn Fn(&str),
    ) -> Result<Undone> {
        if let Kind::Beside(wanted) = &self.kind {
            let gone = copies::remove(engine, places, &wanted.name)?;
            return Ok(Undone::Removed(gone.stays));
        }
        let journal = RestoreJournal::resume(places, &self.journal)?;
        if let Kind::Over(_) = &self.kind {
            return over::go_back(engine, places, step, journal, "it was taken back")
                .map(Undone::Back);
        }
        if journal.has(&Intent::Starting) {
            let made = |i: &Intent| matches!(i, Intent::ContainerMade(_));
            let why = if journal.intents().any(made) {
                "had started containers, and what they wrote since would be lost"
            } else {
                "has put everything in its place, and what was written there since would be lost"
            };
            return Err(RecoveryError::Refused(format!(
                "{} {why}; finish it with `lifeboat restore --continue`",
                self.what()
            )));
        }
        self.check_engine(engine)?;
        let left = take_back(engine, &journal);
        if left.is_empty() {
            journal.finish()?;
        }
        Ok(Undone::Removed(left))
    }
}

/// All that were interrupted here.
pub fn list(places: &Places) -> Vec<Interrupted> {
    let entries = fs_err::read_dir(places.journal()).into_iter().flatten();
    let read = |entry: fs_err::DirEntry| {
        let name = entry.file_name();
        let journal = name.to_str()?.strip_suffix(".jsonl")?;
        Interrupted::read(journal, &read_file(&entry.path()))
    };
    let mut found: Vec<Interrupted> = entries.flatten().filter_map(read).collect();
    found.sort_by(|a, b| a.journal.cmp(&b.journal));
    found
}

/// The one that is meant: the only one, or the one of this app or copy.
pub fn find(places: &Places, name: Option<&str>) -> Result<Interrupted> {
    let all = list(places);
    // A point of it may have been named as well.
    let name = name.map(|name| name.split('@').next().unwrap_or(name));
    let is_it = |one: &&Interrupted| {
        name.is_none_or(|name| one.name == name || one.name.ends_with(&format!("/{name}")))
    };
    let mut fitting = all.iter().filter(is_it);
    match (fitting.next(), fitting.next()) {
        (Some(one), None) => Ok(one.clone()),
        (None, _) if all.is_empty() => Err(RecoveryError::NotFound(
            "no restore was interrupted on this host".to_owned(),
        )),
        (None, _) => Err(RecoveryError::NotFound(format!(
            "no restore of {} was interrupted on this host; interrupted were: {}",
            name.unwrap_or_default().escape_debug(),
            names(&all)
        ))),
        (Some(_), Some(_)) => Err(RecoveryError::NotFound(format!(
            "more than one restore was interrupted on this host; name one: {}",
            names(&all)
        ))),
    }
}

fn names(all: &[Interrupted]) -> String {
    all.iter()
        .map(|one| one.name.as_str())
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_one_that_is_meant_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places {
            config: dir.path().join("etc"),
            state: dir.path().join("state"),
        };
        let sentence = |name| find(&places, name).unwrap_err().to_string();
        assert!(sentence(None).contains("no restore was interrupted"));
        fs_err::create_dir_all(places.journal()).unwrap();
        let write = |name: &str, text: &str| {
            fs_err::write(places.journal().join(format!("{name}.jsonl")), text).unwrap();
        };
        let begin = format!("{{\"begin\":\"{}\"}}\n", "6f".repeat(32));
        write("restore-0badcafe-default%2Fweb1%2Fshop", &begin);
        write("frozen-1", "{}");
        let one = find(&places, None).unwrap();
        assert_eq!(one.name, "default/web1/shop");
        assert!(one.point.is_some() && matches!(one.kind, Kind::Plain(_)));
        let beside = "{\"beside\":\"network-access network:proxy\"}\n";
        write("copy-shop-try", &format!("{begin}{beside}"));
        assert!(
            sentence(None).contains("default/web1/shop"),
            "{}",
            sentence(None)
        );
        assert!(sentence(Some("cart")).contains("shop-try"));
        assert_eq!(
            find(&places, Some("shop@6f6f6f6f")).unwrap().name,
            "default/web1/shop"
        );
        let Kind::Beside(wanted) = find(&places, Some("shop-try")).unwrap().kind else {
            panic!("no copy");
        };
        assert!(wanted.network_access && wanted.allow.len() == 1);
    }
}
