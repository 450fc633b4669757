//! The new app is up: the old containers go at once, since Compose would see two of each; the old data
//! stays aside for a while. The record of it is durable before anything is removed.

use std::path::Path;

use lifeboat_engine::Engine;

use super::{
    old::{forget_definitions, unless_missing},
    record::{keepers, olds, safety_of},
};
use crate::{
    Places, RecoveryError, Result,
    asides::{Aside, AsidePath},
    restore::{
        Work,
        exchange::{self, Pair},
        journal::{Intent, RestoreJournal, replace_of},
        volumes::folder_at,
    },
};

/// Removes the old containers and sets the old data aside. Run again after a crash it goes on.
pub fn finish(
    engine: &dyn Engine,
    places: &Places,
    step: &dyn Fn(&str),
    take: &dyn Fn(Work, &str),
    mut journal: RestoreJournal,
) -> Result<Aside> {
    journal.intend(Intent::Passed)?;
    let Some(replace) = replace_of(journal.all()).cloned() else {
        return Err(RecoveryError::Failed(
            "this journal is of no --replace".to_owned(),
        ));
    };
    super::back::check_engine(engine, replace.data_root.as_deref())?;
    step("replace-finish");
    let point = journal.point();
    let mut aside = Aside::new(&replace.app, &replace.id, point, safety_of(journal.all()));
    let old = olds(journal.all()).to_vec();
    for volume in old.iter().flat_map(|old| &old.anonymous) {
        keep_anonymous(engine, volume, &replace.id, &mut journal)?;
    }
    for intent in journal.all() {
        if let Intent::Staging(target, place) = intent
            && let Some(path) = AsidePath::look(&exchange::lying(place), target)?
        {
            aside.paths.push(path);
        }
    }
    if !aside.paths.is_empty() {
        take(Work::Keep, aside.name());
        aside.save(places)?;
    }
    step("replace-recorded");
    for name in keepers(journal.all()) {
        unless_missing(engine.remove_container(name, true, false))?;
    }
    for old in &old {
        step("replace-remove");
        take(Work::Remove, &old.name);
        unless_missing(engine.remove_container(&old.id, true, true))?;
        for volume in old.anonymous.iter().filter(|_| old.is_removed_on_stop()) {
            unless_missing(engine.remove_volume(volume))?;
        }
    }
    forget_definitions(places, &replace.id)?;
    journal.finish()?;
    step("replace-finished");
    Ok(aside)
}

/// The data of a volume without a name steps aside, and an empty folder takes its place: the volume
/// itself goes with its container.
pub(super) fn keep_anonymous(
    engine: &dyn Engine,
    volume: &str,
    id: &str,
    journal: &mut RestoreJournal,
) -> Result<()> {
    let raw = match engine.inspect_volume(volume) {
        Err(e) if e.is_not_found() => return Ok(()),
        other => other?,
    };
    let data = Path::new(raw["Mountpoint"].as_str().unwrap_or_default());
    if !data.is_dir() || folder_at(data).is_err() {
        return Ok(());
    }
    let place = exchange::aside_of_volume(data, volume, id);
    let known = journal.all().iter().find_map(|intent| match intent {
        Intent::Emptied(pair) if pair.target == data => Some(pair.clone()),
        _ => None,
    });
    let pair = match known {
        Some(pair) => pair,
        // In a folder that cannot change places as a whole it would go with the volume.
        None if exchange::place(data, place.clone(), id)?.as_ref() != Ok(&place) => return Ok(()),
        None => {
            exchange::make_room(&place)?;
            journal.intend(Intent::Staging(data.to_owned(), place.clone()))?;
            fs_err::create_dir_all(&place)?;
            let pair = Pair::seal(data, &place)?;
            journal.intend(Intent::Emptied(pair.clone()))?;
            pair
        }
    };
    pair.exchange(&|_| {})
}
