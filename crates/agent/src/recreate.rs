//! Making a container again from its definition.
//!
//! The old one, if it is there, is renamed aside and kept; a failure brings it back under its name, and running if it ran.
//! Nothing is made again where that would lose something in silence: a volume that is gone is not replaced by an empty
//! one, a bind source that is missing is not made by the engine, and a writable layer that holds more than can be carried
//! over keeps the container as it is.

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _};
use std::path::Path;

use lifeboat_engine::recreate::{Mapping, container_create_body, network_create_body};
use lifeboat_engine::{ChangeKind, Engine, Error};
use lifeboat_plan::supervise::{ASIDE, Did, Failed, Trouble};
use serde_json::{Value, json};

use crate::asides::Asides;
use crate::definitions::{Definitions, named_volumes};
use crate::hands::kind_of;

/// So much of a writable layer is carried over.
const MOST_LAYER: u64 = 16 << 20;

pub(crate) type Outcome<T> = std::result::Result<T, Failed>;

fn fail<T>(kind: Trouble, text: impl Into<String>) -> Outcome<T> {
    Err(Failed {
        kind,
        text: text.into(),
    })
}

pub(crate) fn engine_error(error: &Error) -> Failed {
    let kind = match kind_of(error) {
        // Of the new one something was not found; that makes the old one no less there.
        Trouble::NotFound => Trouble::Other,
        kind => kind,
    };
    Failed {
        kind,
        text: error.to_string(),
    }
}

/// What it mounts from the host and is not there, as a sentence: the engine would make an empty folder in its place, and the
/// app would start afresh.
pub(crate) fn missing_sources(
    engine: &dyn Engine,
    id: &str,
) -> lifeboat_engine::Result<Option<String>> {
    let raw = engine.inspect_container(id)?;
    Ok(missing_source(engine, &raw))
}

fn missing_source(engine: &dyn Engine, raw: &Value) -> Option<String> {
    let mounts = raw["Mounts"].as_array().into_iter().flatten();
    let mut binds = mounts
        .filter(|mount| mount["Type"] == "bind")
        .filter_map(|mount| mount["Source"].as_str())
        .filter(|source| !Path::new(source).exists());
    let source = binds.next()?;
    // Not here; where the engine is on another machine, or in another mount namespace, only it can tell.
    let there = engine.host_path(source);
    match there {
        Ok(lifeboat_engine::HostPath::Absent) => Some(format!(
            "{source}, which it mounts, is not there; mount or restore it, and it is started"
        )),
        _ => None,
    }
}

/// Makes it again and starts it.
pub(crate) fn recreate(
    engine: &dyn Engine,
    (definitions, asides): (&Definitions, &Asides),
    id: &str,
    name: &str,
    refers: &BTreeMap<String, String>,
) -> Did {
    match try_recreate(engine, (definitions, asides), id, name, refers) {
        Ok(id) => Did::Recreated { id },
        Err(failed) => Did::Failed(failed),
    }
}

fn try_recreate(
    engine: &dyn Engine,
    (definitions, asides): (&Definitions, &Asides),
    id: &str,
    name: &str,
    refers: &BTreeMap<String, String>,
) -> Outcome<String> {
    let old = match engine.inspect_container(id) {
        Ok(raw) => Some(raw),
        Err(error) if error.is_not_found() => None,
        Err(error) => return Err(engine_error(&error)),
    };
    let raw = match old.clone().or_else(|| definitions.container(name)) {
        Some(raw) => raw,
        None => {
            return fail(
                Trouble::Unsafe,
                "it is gone, and its definition was never seen; bring it back with `lifeboat restore`",
            );
        }
    };
    let layer = match &old {
        Some(_) => carried(engine, id)?,
        None => Vec::new(),
    };
    prepare(engine, definitions, &raw, name)?;
    let image_id = raw["Image"].as_str().unwrap_or_default();
    let reference = raw["Config"]["Image"].as_str().unwrap_or_default();
    let image = image(engine, reference, image_id)?;
    let mapping = Mapping {
        image: Some(image.0),
        image_id: Some(image.1),
        containers: refers.clone(),
        ..Mapping::exact(engine.api())
    };
    let plan = container_create_body(&raw, &mapping).map_err(|error| engine_error(&error))?;
    let ran = old
        .as_ref()
        .is_some_and(|raw| raw["State"]["Running"] == true);
    if let Some(raw) = &old {
        asides.record(id, name, &aside_name(id, name));
        set_aside(engine, id, name, raw)?;
    }
    let made = make(engine, name, &plan, &layer);
    match made {
        Ok(id) => Ok(id),
        Err(failed) => {
            if let Some(raw) = &old {
                take_back(engine, id, name, raw, ran);
            }
            Err(failed)
        }
    }
}

/// Everything that it needs and that is not part of it.
fn prepare(engine: &dyn Engine, definitions: &Definitions, raw: &Value, name: &str) -> Outcome<()> {
    for volume in named_volumes(raw) {
        match engine.inspect_volume(volume) {
            Ok(_) => {}
            Err(error) if error.is_not_found() => {
                return fail(
                    Trouble::Unsafe,
                    format!(
                        "its volume {volume} is gone, and an empty one is not put in its place: bring it back with `lifeboat restore APP --volume {volume}`, or make it with `docker volume create {volume}`, then `docker start {name}` or `lifeboat restore`"
                    ),
                );
            }
            Err(error) => return Err(engine_error(&error)),
        }
    }
    if let Some(why) = missing_source(engine, raw) {
        return fail(Trouble::Other, why);
    }
    let networks = raw["NetworkSettings"]["Networks"]
        .as_object()
        .into_iter()
        .flatten();
    for (network, _) in networks {
        if ["bridge", "host", "none"].contains(&network.as_str()) {
            continue;
        }
        match engine.inspect_network(network) {
            Ok(_) => {}
            Err(error) if error.is_not_found() => {
                let Some(kept) = definitions.network(network) else {
                    return fail(
                        Trouble::Other,
                        format!("its network {network} is gone, and its definition was never seen"),
                    );
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
            Err(error) => return Err(engine_error(&error)),
        }
    }
    Ok(())
}

/// The image's reference to create from, and its id there.
pub(crate) fn image(engine: &dyn Engine, reference: &str, id: &str) -> Outcome<(String, String)> {
    for name in [id, reference] {
        match engine.inspect_image(name) {
            Ok(raw) => {
                let found = raw["Id"].as_str().unwrap_or(id).to_owned();
                let create = engine
                    .image_for_create(reference, &found)
                    .map_err(|error| engine_error(&error))?;
                return Ok((create, found));
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(engine_error(&error)),
        }
    }
    fail(
        Trouble::Other,
        format!(
            "its image {reference} is not on the engine (No such image): pull it, or bring it back with `lifeboat restore APP --images`"
        ),
    )
}

/// What was put into its writable layer, file by file: the folder and a tar stream.
fn carried(engine: &dyn Engine, id: &str) -> Outcome<Vec<(String, Vec<u8>)>> {
    let changes = engine.changes(id).map_err(|error| engine_error(&error))?;
    let there: Vec<&str> = changes
        .iter()
        .filter(|change| change.kind != ChangeKind::Deleted)
        .map(|change| change.path.as_str())
        .collect();
    let is_leaf = |path: &str| {
        let below = format!("{path}/");
        !changes.iter().any(|other| other.path.starts_with(&below))
    };
    let mut left = MOST_LAYER;
    let mut out = Vec::new();
    for path in there.into_iter().filter(|path| is_leaf(path)) {
        let stream = engine
            .archive_get(id, path)
            .map_err(|error| engine_error(&error))?;
        let mut bytes = Vec::new();
        let read = stream.take(left + 1).read_to_end(&mut bytes);
        if let Err(error) = read {
            return fail(
                Trouble::Other,
                format!("{path} in it cannot be read: {error}"),
            );
        }
        let size = bytes.len() as u64;
        if size > left {
            return fail(
                Trouble::Unsafe,
                format!(
                    "it is not made again: more than {} MiB were written into its own file system (e.g. {path}) and would be lost; put such data into a volume, and make it again yourself",
                    MOST_LAYER >> 20
                ),
            );
        }
        left -= size;
        let folder = path.rsplit_once('/').map_or("/", |(folder, _)| folder);
        let folder = if folder.is_empty() { "/" } else { folder };
        out.push((folder.to_owned(), bytes));
    }
    Ok(out)
}

fn aside_name(id: &str, name: &str) -> String {
    format!("{name}{ASIDE}{}", id.get(..12).unwrap_or(id))
}

fn set_aside(engine: &dyn Engine, id: &str, name: &str, raw: &Value) -> Outcome<()> {
    let steps = || -> lifeboat_engine::Result<()> {
        if raw["HostConfig"]["AutoRemove"] != true {
            engine.update_container(id, &json!({"RestartPolicy": {"Name": "no"}}))?;
        }
        engine.stop(id, None)?;
        engine.rename(id, &aside_name(id, name))
    };
    steps().map_err(|error| {
        take_back(engine, id, name, raw, raw["State"]["Running"] == true);
        engine_error(&error)
    })
}

/// As it was before; each step by itself, since it is not known how far it came.
fn take_back(engine: &dyn Engine, id: &str, name: &str, raw: &Value, ran: bool) {
    let policy = json!({"RestartPolicy": raw["HostConfig"]["RestartPolicy"]});
    let renamed = engine
        .inspect_container(id)
        .is_ok_and(|now| now["Name"] != raw["Name"]);
    let steps = [
        if renamed {
            engine.rename(id, name)
        } else {
            Ok(())
        },
        engine.update_container(id, &policy),
        if ran { engine.start(id) } else { Ok(()) },
    ];
    for step in steps {
        if let Err(error) = step {
            tracing::warn!(%error, container = name, "the old container cannot be brought back as it was");
        }
    }
}

pub(crate) fn make(
    engine: &dyn Engine,
    name: &str,
    plan: &lifeboat_engine::recreate::ContainerPlan,
    layer: &[(String, Vec<u8>)],
) -> Outcome<String> {
    let id = engine
        .create_container(name, &plan.body)
        .map_err(|error| engine_error(&error))?;
    let rest = || -> lifeboat_engine::Result<()> {
        for attachment in &plan.connect {
            engine.connect_network(&attachment.network, &id, &attachment.endpoint)?;
        }
        for network in &plan.disconnect {
            engine.disconnect_network(network, &id, false)?;
        }
        for (folder, tar) in layer {
            engine.archive_put(&id, folder, &mut Cursor::new(tar))?;
        }
        engine.start(&id)
    };
    match rest() {
        Ok(()) => Ok(id),
        Err(error) => {
            let failed = engine_error(&error);
            // Its anonymous volumes are pinned by name and belong to the old one: they stay.
            if let Err(error) = engine.remove_container(&id, true, false) {
                tracing::warn!(%error, "what was made cannot be taken away again");
            }
            Err(failed)
        }
    }
}
