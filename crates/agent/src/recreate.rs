//! Making a container again from its definition.
//!
//! The old one, if it is there, is renamed aside and kept; a failure brings it back under its name, and running if it ran.
//! Nothing is made again where that would lose something in silence: what it needs is looked at first ([`crate::needs`]),
//! and a writable layer that holds more than can be carried over keeps the container as it is. What it needs and is not
//! here is said ([`Did::Lacks`]), and nothing is done until it was fetched.

use std::collections::BTreeMap;
use std::io::{Cursor, Read as _};

use lifeboat_engine::recreate::{Mapping, container_create_body};
use lifeboat_engine::{ChangeKind, Engine, Error};
use lifeboat_plan::supervise::{ASIDE, Did, Failed, Lack, Trouble};
use serde_json::{Value, json};

use crate::hands::{Reach, kind_of};
use crate::needs;

/// So much of a writable layer is carried over.
const MOST_LAYER: u64 = 16 << 20;

pub(crate) type Outcome<T> = std::result::Result<T, Failed>;

pub(crate) fn fail<T>(kind: Trouble, text: impl Into<String>) -> Outcome<T> {
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

/// One that is to be made again.
pub(crate) struct Again<'a> {
    /// Full id of the old one.
    pub(crate) id: &'a str,
    /// Its name.
    pub(crate) name: &'a str,
    /// What it refers to, and who that is now.
    pub(crate) refers: &'a BTreeMap<String, String>,
    /// Others of its app that are gone too.
    pub(crate) also: &'a [String],
}

/// Makes it again and starts it.
pub(crate) fn recreate(engine: &dyn Engine, reach: &Reach, again: &Again<'_>) -> Did {
    match try_recreate(engine, reach, again) {
        Ok(did) => did,
        Err(failed) => Did::Failed(failed),
    }
}

fn try_recreate(engine: &dyn Engine, reach: &Reach, again: &Again<'_>) -> Outcome<Did> {
    let Again {
        id, name, refers, ..
    } = *again;
    let old = match engine.inspect_container(id) {
        Ok(raw) => Some(raw),
        Err(error) if error.is_not_found() => None,
        Err(error) => return Err(engine_error(&error)),
    };
    if old.is_none()
        && let Some(id) = made_before(engine, reach, name)?
    {
        return Ok(Did::Recreated { id });
    }
    let Some(raw) = old.clone().or_else(|| reach.definitions.container(name)) else {
        if reach.help.is_some() {
            return Ok(Did::Lacks(Lack {
                definitions: vec![name.to_owned()],
                ..Lack::default()
            }));
        }
        return fail(
            Trouble::Unsafe,
            "it is gone, and its definition was never seen; bring it back with `lifeboat restore`",
        );
    };
    let layer = match &old {
        Some(_) => carried(engine, id)?,
        None => Vec::new(),
    };
    let lack = needs::lack(
        engine,
        (&reach.definitions, &reach.help),
        (name, &raw),
        again.also,
    )?;
    if !lack.is_empty() {
        return Ok(Did::Lacks(lack));
    }
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
        reach.asides.record(id, name, &aside_name(id, name));
        set_aside(engine, id, name, raw)?;
    } else if let Err(error) = reach.making.begin(name) {
        let why = format!("what is about to be made cannot be written down: {error}");
        return fail(Trouble::Other, why);
    }
    let made = make(engine, name, &plan, &layer);
    match made {
        Ok(id) => {
            reach.making.end(name);
            Ok(Did::Recreated { id })
        }
        Err(failed) => {
            if let Some(raw) = &old {
                take_back(engine, id, name, raw, ran);
            }
            Err(failed)
        }
    }
}

/// One of this name that an agent made before it died. What it did not come to start is taken away, and made again: nobody
/// knows how far it came, and it never ran.
fn made_before(engine: &dyn Engine, reach: &Reach, name: &str) -> Outcome<Option<String>> {
    let there = match engine.inspect_container(name) {
        Ok(raw) => raw,
        Err(error) if error.is_not_found() => return Ok(None),
        Err(error) => return Err(engine_error(&error)),
    };
    if !reach.making.has_begun(name) {
        return fail(
            Trouble::Other,
            format!(
                "another container is called {name} now, and was made by somebody else: start that one, or remove or rename it"
            ),
        );
    }
    let id = there["Id"].as_str().unwrap_or_default().to_owned();
    if there["State"]["Status"] != "created" {
        reach.making.end(name);
        return Ok(Some(id));
    }
    // Its volumes are those of the one that is to be made.
    engine
        .remove_container(&id, true, false)
        .map_err(|error| engine_error(&error))?;
    Ok(None)
}

/// The image's reference to create from, and its id there.
pub(crate) fn image(engine: &dyn Engine, reference: &str, id: &str) -> Outcome<(String, String)> {
    match find_image(engine, reference, id)? {
        Some(found) => Ok(found),
        None => fail(
            Trouble::Other,
            format!(
                "its image {reference} is not on the engine (No such image): pull it, or bring it back with `lifeboat restore APP --images`"
            ),
        ),
    }
}

/// The same, where it is there.
pub(crate) fn find_image(
    engine: &dyn Engine,
    reference: &str,
    id: &str,
) -> Outcome<Option<(String, String)>> {
    for name in [id, reference] {
        match engine.inspect_image(name) {
            Ok(raw) => {
                let found = raw["Id"].as_str().unwrap_or(id).to_owned();
                let create = engine
                    .image_for_create(reference, &found)
                    .map_err(|error| engine_error(&error))?;
                return Ok(Some((create, found)));
            }
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(engine_error(&error)),
        }
    }
    Ok(None)
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
