//! What a container needs before it is made again or started, and whether it is here.
//!
//! Nothing is put in the place of what is gone in silence: a volume that is gone is not replaced by an empty one, a bind
//! source that is missing is not made by the engine, one that is empty and held data is not written to afresh, and a
//! volume that a restore has not filled to its end is not used.

use std::path::Path;

use lifeboat_engine::Engine;
use lifeboat_engine::recreate::{Mapping, network_create_body, volume_create_body};
use lifeboat_plan::supervise::{Lack, ON_VOLUME_LOST, Trouble};
use serde_json::Value;

use crate::definitions::{Definitions, named_volumes};
use crate::help::Helper;
use crate::recreate::{Outcome, engine_error, fail, find_image};

/// Networks that every engine has.
const BUILT_IN: [&str; 3] = ["bridge", "host", "none"];

/// Why a container that is there is not to be started, as a sentence.
pub(crate) fn hinders_start(
    engine: &dyn Engine,
    help: &Helper,
    id: &str,
) -> lifeboat_engine::Result<Option<String>> {
    let raw = engine.inspect_container(id)?;
    let half = named_volumes(&raw).find(|volume| is_unfinished(help, volume));
    Ok(half.map(unfinished).or_else(|| source(engine, help, &raw)))
}

fn is_unfinished(help: &Helper, volume: &str) -> bool {
    help.as_ref()
        .is_some_and(|help| help.unfinished().contains(volume))
}

fn unfinished(volume: &str) -> String {
    format!(
        "its volume {volume} is being restored, or its restore was interrupted, and nothing is started on half of it: finish it with `lifeboat restore --continue`, or take it back with `lifeboat restore --undo`"
    )
}

/// What it mounts from the host and is not there, or is empty and held data at the last point, as a sentence: the engine
/// would make an empty folder in its place, and the app would start afresh.
fn source(engine: &dyn Engine, help: &Helper, raw: &Value) -> Option<String> {
    let mounts = raw["Mounts"].as_array().into_iter().flatten();
    let binds = mounts
        .filter(|mount| mount["Type"] == "bind")
        .filter_map(|mount| mount["Source"].as_str());
    for source in binds {
        let path = Path::new(source);
        if !path.exists() {
            // Not here; where the engine is on another machine, or in another mount namespace, only it can tell.
            if let Ok(lifeboat_engine::HostPath::Absent) = engine.host_path(source) {
                return Some(format!(
                    "{source}, which it mounts, is not there; mount or restore it, and it is started"
                ));
            }
            continue;
        }
        let is_empty = fs_err::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
        if is_empty && let Some(held) = help.as_ref().and_then(|help| help.held(source)) {
            return Some(format!(
                "{source}, which it mounts, is empty, and held data at the point of {} ({}): is a disk not mounted? Mount it, or bring it back with `lifeboat restore {} --bind {source}`; if it is meant to be empty, say so once with `lifeboat backup {} --exclude-bind {source}`, and it is started",
                held.app, held.time, held.app, held.app
            ));
        }
    }
    None
}

/// What it, and the others of its app that are gone with it, cannot be made again without, and what can be fetched.
/// What is only to be made from its definition (networks, volumes whose data lies elsewhere) is made.
pub(crate) fn lack(
    engine: &dyn Engine,
    (definitions, help): (&Definitions, &Helper),
    (name, raw): (&str, &Value),
    also: &[String],
) -> Outcome<Lack> {
    let mut lack = Lack::default();
    for volume in named_volumes(raw) {
        if volume_is_lost(engine, (definitions, help), raw, volume)? {
            lack.volumes.push(volume.to_owned());
        }
    }
    if let Some(why) = source(engine, help, raw) {
        return fail(Trouble::Other, why);
    }
    image(engine, raw, &mut lack)?;
    if !networks(engine, definitions, raw)? {
        lack.definitions.push(name.to_owned());
    }
    if !lack.volumes.is_empty() {
        // All of them are to be of one instant.
        let others = also.iter().filter_map(|other| definitions.container(other));
        for other in others.filter(wants_restore) {
            for volume in named_volumes(&other) {
                if is_absent(engine, volume)? && !elsewhere(definitions, volume) {
                    lack.volumes.push(volume.to_owned());
                }
            }
        }
        lack.volumes.sort();
        lack.volumes.dedup();
    }
    if !lack.is_empty() && help.is_none() {
        return fail(
            Trouble::Other,
            format!(
                "{} is gone, and there is no vault to fetch it from: bring it back yourself (an image: No such image, pull it), and it is made again",
                lack.words()
            ),
        );
    }
    Ok(lack)
}

fn wants_restore(raw: &Value) -> bool {
    raw["Config"]["Labels"][ON_VOLUME_LOST] == "restore"
}

fn is_absent(engine: &dyn Engine, volume: &str) -> Outcome<bool> {
    match engine.inspect_volume(volume) {
        Ok(_) => Ok(false),
        Err(error) if error.is_not_found() => Ok(true),
        Err(error) => Err(engine_error(&error)),
    }
}

/// Whether the volume's data lies outside the engine (a share, a folder of the host) or nowhere (memory): then nothing
/// is lost with the volume, and its definition makes it again.
fn elsewhere(definitions: &Definitions, volume: &str) -> bool {
    let raw = definitions.volume(volume).unwrap_or_default();
    raw["Driver"] == "local" && raw["Options"]["device"].is_string()
}

/// Whether a volume is to be fetched. An error is one that is gone and is not to be: a person decides.
fn volume_is_lost(
    engine: &dyn Engine,
    (definitions, help): (&Definitions, &Helper),
    raw: &Value,
    volume: &str,
) -> Outcome<bool> {
    if !is_absent(engine, volume)? {
        return match is_unfinished(help, volume) {
            false => Ok(false),
            true if wants_restore(raw) => Ok(true),
            true => fail(Trouble::Other, unfinished(volume)),
        };
    }
    if elsewhere(definitions, volume)
        && let Some(kept) = definitions.volume(volume)
    {
        let body = volume_create_body(&kept, &Mapping::exact(engine.api()))
            .map_err(|error| engine_error(&error))?;
        let made = engine.create_volume(&body);
        return made.map(|_| false).map_err(|error| engine_error(&error));
    }
    if wants_restore(raw) {
        return Ok(true);
    }
    let app = app_of(raw);
    fail(
        Trouble::Other,
        format!(
            "its volume {volume} is gone, and an empty one is not put in its place: bring it back with `lifeboat restore {app} --volume {volume}` and it is made again, or say {ON_VOLUME_LOST}=restore and it is brought back by itself; to begin with an empty one, `docker volume create {volume}`"
        ),
    )
}

/// The app that a container belongs to, as commands name it.
fn app_of(raw: &Value) -> String {
    let container = lifeboat_engine::container_facts(raw.clone());
    lifeboat_plan::supervise::app_of(&container.labels, &container.name)
}

fn image(engine: &dyn Engine, raw: &Value, lack: &mut Lack) -> Outcome<()> {
    let id = raw["Image"].as_str().unwrap_or_default();
    let reference = raw["Config"]["Image"].as_str().unwrap_or_default();
    if find_image(engine, reference, id)?.is_none() {
        lack.images.push((id.to_owned(), reference.to_owned()));
    }
    Ok(())
}

/// Makes those of its networks that are gone. `false`: the definition of one was never seen here.
fn networks(engine: &dyn Engine, definitions: &Definitions, raw: &Value) -> Outcome<bool> {
    let networks = raw["NetworkSettings"]["Networks"].as_object();
    let names = networks.into_iter().flatten().map(|(name, _)| name);
    for network in names.filter(|name| !BUILT_IN.contains(&name.as_str())) {
        match engine.inspect_network(network) {
            Ok(_) => continue,
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(engine_error(&error)),
        }
        let Some(kept) = definitions.network(network) else {
            return Ok(false);
        };
        let body = network_create_body(&kept, &Mapping::exact(engine.api()))
            .map_err(|error| engine_error(&error))?;
        match engine.create_network(&body) {
            Ok(_) => {}
            // Somebody else, or another of our hands, was first.
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(engine_error(&error)),
        }
    }
    Ok(true)
}
