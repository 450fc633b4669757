//! The way back: the old app as it was. Needs no vault and no point: everything stands in the journal
//! and in the folders themselves. Can be run again until it is through.

use std::path::Path;

use lifeboat_engine::Engine;

use super::{
    around::{self, before_and_after},
    finish::keep_anonymous,
    old::{Cut, Old, forget_definitions, unless_missing},
    record::{arounds, carries, cut_of, keepers, olds, pairs, safety_of},
};
use crate::{
    Places, RecoveryError, Result,
    asides::{Aside, AsidePath},
    restore::{
        exchange::{self, Pair},
        journal::{Intent, RestoreJournal, replace_of},
        undo::take_back,
    },
};

/// What came of going back.
#[derive(Debug, Default)]
pub struct Back {
    /// Containers that run again.
    pub running: Vec<String>,
    /// What the replacement had written, if it had run.
    pub aside: Option<Aside>,
    /// What a person should know.
    pub notes: Vec<String>,
}

/// Goes back, whatever had been done. An error leaves the journal: run again, it goes on.
pub fn go_back(
    engine: &dyn Engine,
    places: &Places,
    step: &dyn Fn(&str),
    mut journal: RestoreJournal,
    why: &str,
) -> Result<Back> {
    let Some(replace) = replace_of(journal.all()).cloned() else {
        return Err(RecoveryError::Failed(
            "this journal is of no --replace".to_owned(),
        ));
    };
    check_engine(engine, replace.data_root.as_deref())?;
    if journal.has(&Intent::Passed) {
        return Err(RecoveryError::Refused(format!(
            "{} is replaced already and its old containers are going; finish that with `lifeboat restore --continue`, and go back by restoring its safety point",
            replace.app
        )));
    }
    journal.intend(Intent::GoingBack(why.to_owned()))?;
    let mut back = Back::default();
    let had_run = journal.has(&Intent::Starting);
    let was_cut = cut_of(journal.all()).is_some();
    step("back-begin");
    // What had run keeps what it wrote; what never ran goes with everything of it.
    if had_run {
        stop_new(engine, &replace.id, &mut journal)?;
    }
    step("back-exchange");
    let around = arounds(journal.all()).to_vec();
    if was_cut {
        // They may run with what is about to change places again.
        around.iter().try_for_each(|one| one.hold(engine))?;
        around.iter().rev().try_for_each(|one| one.stop(engine))?;
        let pairs: Vec<&Pair> = pairs(journal.all()).collect();
        for carry in carries(journal.all()) {
            // Once its folder is back, so is what was carried: taking it back again would lose it.
            let of = pairs.iter().find(|p| carry.target.starts_with(&p.target));
            if let Some(of) = of
                && of.is_through()?
            {
                carry.put_back(step)?;
            }
        }
        for pair in pairs.into_iter().rev() {
            pair.put_back(step)?;
        }
    }
    remove_new(engine, &journal)?;
    if was_cut {
        step("back-containers");
        let old = olds(journal.all());
        let (before, after) = before_and_after(&around, old);
        around::start(engine, &before, &|_| ())?;
        bring_back(engine, places, &replace.id, old, &mut back)?;
        around::start(engine, &after, &|_| ())?;
        around::pause_again(engine, &around);
        back.running
            .extend(around.iter().map(|one| one.name.clone()));
    }
    step("back-clean");
    for name in keepers(journal.all()) {
        unless_missing(engine.remove_container(name, true, false))?;
    }
    let mut left = Vec::new();
    if had_run {
        let aside = keep_new(&replace.app, &replace.id, &journal)?;
        if !aside.paths.is_empty() {
            aside.save(places)?;
            back.aside = Some(aside);
        }
        back.notes.extend(stays(&journal));
    } else {
        discard(&journal)?;
        left = take_back(engine, &journal);
    }
    forget_definitions(places, &replace.id)?;
    if left.is_empty() {
        journal.finish()?;
    } else {
        left.sort();
        back.notes.push(format!(
            "what had been made for it could not be taken away: {}; `lifeboat restore --undo` tries again",
            left.join("; ")
        ));
    }
    step("back-finished");
    Ok(back)
}

/// What was not here before, and has been used since it was made.
fn stays(journal: &RestoreJournal) -> Vec<String> {
    let made = journal.all().iter().filter_map(|intent| match intent {
        Intent::VolumeMade(name, _) => Some(format!("volume {name}")),
        Intent::PathPlaced(path) => Some(path.clone()),
        _ => None,
    });
    made.map(|what| format!("{what} was not here before and stays, with what was written there"))
        .collect()
}

/// Another engine's containers are not these.
pub(super) fn check_engine(engine: &dyn Engine, was: Option<&str>) -> Result<()> {
    let is = engine.fingerprints()?.data_root;
    match (was, is) {
        (Some(was), Some(is)) if was != is => Err(RecoveryError::Refused(format!(
            "this restore was interrupted on the engine with the data root {was}, and this one's is {is}; name that engine with --engine"
        ))),
        _ => Ok(()),
    }
}

fn made(journal: &RestoreJournal) -> impl Iterator<Item = &String> {
    journal.all().iter().filter_map(|intent| match intent {
        Intent::ContainerMade(id) => Some(id),
        _ => None,
    })
}

/// Stops the new containers; what they wrote into volumes without a name steps aside.
fn stop_new(engine: &dyn Engine, id: &str, journal: &mut RestoreJournal) -> Result<()> {
    let made: Vec<String> = made(journal).cloned().collect();
    for new in &made {
        // Or it would not hear.
        let _ = engine.unpause(new);
        unless_missing(engine.stop(new, None))?;
    }
    for new in &made {
        let raw = match engine.inspect_container(new) {
            Err(e) if e.is_not_found() => continue,
            other => other?,
        };
        for mount in raw["Mounts"].as_array().into_iter().flatten() {
            let name = mount["Name"].as_str().unwrap_or_default();
            let nameless = name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit());
            let is_swapped = |cut: &Cut| cut.volumes.iter().any(|v| v == name);
            if nameless && !cut_of(journal.all()).is_some_and(is_swapped) {
                keep_anonymous(engine, name, id, journal)?;
            }
        }
    }
    Ok(())
}

/// With them go their anonymous volumes, which only they have.
fn remove_new(engine: &dyn Engine, journal: &RestoreJournal) -> Result<()> {
    for id in made(journal) {
        unless_missing(engine.remove_container(id, true, true))?;
    }
    Ok(())
}

/// Names, restart policies, and what had been running.
fn bring_back(
    engine: &dyn Engine,
    places: &Places,
    id: &str,
    old: &[Old],
    back: &mut Back,
) -> Result<()> {
    for old in old {
        let here = if old.is_removed_on_stop() {
            old.make_again(engine, places, id)?
        } else {
            old.rename(engine, &old.name)?;
            old.release(engine)?;
            old.id.clone()
        };
        if !old.running {
            continue;
        }
        match engine.start(&here) {
            Ok(()) => back.running.push(old.name.clone()),
            Err(e) if e.is_not_found() => back.notes.push(format!(
                "{} was removed by somebody else in the middle of this; the safety point holds it",
                old.name
            )),
            Err(e) => return Err(e.into()),
        }
        if old.paused {
            let _ = engine.pause(&here);
        }
    }
    Ok(())
}

/// The new ones lie aside and have been used: kept, for a while.
fn keep_new(app: &str, id: &str, journal: &RestoreJournal) -> Result<Aside> {
    let mut aside = Aside::new(app, id, journal.point(), safety_of(journal.all()));
    aside.of_replacement = true;
    for intent in journal.all() {
        if let Intent::Staging(target, place) = intent
            && let Some(path) = AsidePath::look(&exchange::lying(place), target)?
        {
            aside.paths.push(path);
        }
    }
    Ok(aside)
}

/// The new ones never ran, and the vault has them.
fn discard(journal: &RestoreJournal) -> Result<()> {
    for intent in journal.all() {
        if let Intent::Staging(_, place) = intent {
            exchange::remove_tree(place)?;
            exchange::leave_room(place);
            remove_probes(place);
        }
    }
    Ok(())
}

fn remove_probes(place: &Path) {
    for tail in ["-a", "-b"] {
        let mut name = place.file_name().unwrap_or_default().to_owned();
        name.push(tail);
        let _ = fs_err::remove_dir(place.with_file_name(name));
    }
}
