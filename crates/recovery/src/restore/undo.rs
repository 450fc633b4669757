//! A restore that failed before anything was started is taken back: nothing half-done stays in
//! sight, and another point of the app can be restored.
//!
//! Only what the journal says that this restore made is removed: containers and networks by the id
//! that the engine gave, volumes by name and the time of their making, paths that were renamed into
//! place and the copies beside them.
//! None of it ever ran, and all of it is in the vault. What a crash leaves between the making of a
//! thing and its record stays where it is, and is named as an obstacle by the next restore.

use std::path::Path;

use lifeboat_engine::Engine;

use super::{
    data::staging_path,
    far,
    journal::{Intent, RestoreJournal},
    obstacles::PathState,
    volumes::folder_at,
};
use crate::{RecoveryError, Result};

/// Takes everything back; the journal is finished if nothing is left. Returns the failure, with what
/// a person should know of its end.
pub fn undo(engine: &dyn Engine, journal: RestoreJournal, why: RecoveryError) -> RecoveryError {
    if journal.has(&Intent::Starting) || is_outage(&why) {
        return why;
    }
    let left = take_back(engine, &journal);
    let ended = if left.is_empty() {
        journal.finish()
    } else {
        Ok(())
    };
    match (left.as_slice(), ended) {
        ([], Ok(())) => why,
        ([], Err(e)) => also(why, &format!("and the journal could not be removed: {e}")),
        (left, _) => also(
            why,
            &format!(
                "and what had been restored could not be taken away again: {}",
                left.join("; ")
            ),
        ),
    }
}

/// The vault was out of reach or taken: what is there already is worth keeping for the next run.
pub(super) fn is_outage(why: &RecoveryError) -> bool {
    use lifeboat_vault::ErrorKind::{Interrupted, Locked};
    matches!(why, RecoveryError::Vault(e) if matches!(e.kind(), Interrupted | Locked))
}

/// The kind of the failure decides the exit code, so it is kept where it says more than "failed".
fn also(why: RecoveryError, more: &str) -> RecoveryError {
    match why {
        RecoveryError::Interrupted => why,
        other => RecoveryError::Failed(format!("{other}; {more}")),
    }
}

/// Takes away what the journal says that this restore made; returns what is left.
pub fn take_back(engine: &dyn Engine, journal: &RestoreJournal) -> Vec<String> {
    let mut left = Vec::new();
    let mut note = |what: &str, result: Result<()>| {
        if let Err(e) = result {
            left.push(format!("{what}: {e}"));
        }
    };
    // A volume on another host is told by the helper that holds it, which goes before the volume.
    let mut strangers = Vec::new();
    for intent in journal.intents() {
        if let Intent::VolumeMade(name, at) = intent
            && far::still_held(engine, at) == Some(false)
        {
            strangers.push(name);
        }
    }
    note("a helper container", far::let_go(engine, journal));
    // Containers hold volumes and networks, so they go first.
    for intent in journal.intents() {
        if let Intent::ContainerMade(id) = intent {
            let gone = engine.remove_container(id, true, true);
            note("a container", unless_missing(gone));
        }
    }
    for intent in journal.intents() {
        match intent {
            Intent::VolumeMade(name, _) if strangers.contains(&name) => {}
            Intent::VolumeMade(name, at) => {
                note(&format!("volume {name}"), volume(engine, name, at));
            }
            Intent::NetworkMade(id) => {
                let gone = engine.remove_network(id);
                note("a network", unless_missing(gone));
            }
            // While the copy beside it is there, what stands under the name is not ours.
            Intent::Path(path)
                if PathState::of(&staging_path(Path::new(path))) == PathState::Absent =>
            {
                note(path, remove(Path::new(path)));
            }
            Intent::FarPath(path) => note(
                path,
                Err(RecoveryError::Failed(
                    "what lies on the engine's host cannot be taken away from here; run the restore again, or remove it there".to_owned(),
                )),
            ),
            _ => {}
        }
    }
    for intent in journal.intents() {
        if let Intent::Copying(path) = intent {
            note(path, remove(&staging_path(Path::new(path))));
        }
    }
    left
}

/// Removes a volume if it is the one that this restore made.
fn volume(engine: &dyn Engine, name: &str, at: &str) -> Result<()> {
    match engine.inspect_volume(name) {
        Ok(raw) if far::is_held(at) || is_folder(&raw, at) => {
            unless_missing(engine.remove_volume(name))
        }
        Ok(_) => Ok(()),
        Err(e) => unless_missing(Err(e)),
    }
}

fn unless_missing(result: lifeboat_engine::Result<()>) -> Result<()> {
    match result {
        Err(e) if !e.is_not_found() => Err(e.into()),
        _ => Ok(()),
    }
}

/// Removes a file, or a folder with everything in it; a mount point itself stays.
fn remove(path: &Path) -> Result<()> {
    use std::io::ErrorKind::{NotFound, ResourceBusy};
    let meta = match fs_err::symlink_metadata(path) {
        Ok(meta) => meta,
        Err(e) if e.kind() == NotFound => return Ok(()),
        Err(e) => return Err(e.into()),
    };
    let removed = if meta.is_dir() {
        fs_err::remove_dir_all(path)
    } else {
        fs_err::remove_file(path)
    };
    match removed {
        Err(e) if e.kind() != ResourceBusy => Err(e.into()),
        _ => Ok(()),
    }
}

/// `true` if a volume's folder is the one that this restore made.
fn is_folder(raw: &serde_json::Value, made: &str) -> bool {
    let at = Path::new(raw["Mountpoint"].as_str().unwrap_or_default());
    folder_at(at).is_ok_and(|folder| folder == made)
}
