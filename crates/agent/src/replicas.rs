//! More instances of one container, made from it and taken away again.

use lifeboat_engine::Engine;
use lifeboat_engine::recreate::{ContainerPlan, Mapping, container_create_body};
use lifeboat_plan::label;
use lifeboat_plan::supervise::replicas::{FORMER, LABEL, LABEL_FROM, LABEL_OF, LABEL_WITHIN};
use lifeboat_plan::supervise::{Effect, Event};
use serde_json::{Value, json};

use crate::recreate::{Outcome, engine_error, image, make};

/// It lacks the label that all of them carry.
const NOT_OURS: &str = "it is no instance of ours";
/// Networks where no name is looked up.
const NAMELESS: [&str; 4] = ["bridge", "default", "host", "none"];

/// The engine is not there: it is tried again.
pub(crate) fn not_done(effect: &Effect) -> Option<Event> {
    let name = match effect {
        Effect::Replicate { name, .. }
        | Effect::Supersede { name, .. }
        | Effect::TakeBack { name, .. }
        | Effect::Withdraw { name, .. } => name.clone(),
        _ => return None,
    };
    let failed = Some("the engine does not answer".to_owned());
    Some(Event::Replicated { name, failed })
}

/// Makes one, and starts it.
pub(crate) fn replicate(engine: &dyn Engine, of: &str, name: &str) -> Event {
    Event::Replicated {
        failed: try_replicate(engine, of, name).err().map(|f| f.text),
        name: name.to_owned(),
    }
}

fn try_replicate(engine: &dyn Engine, of: &str, name: &str) -> Outcome<()> {
    let first = engine.inspect_container(of).map_err(|e| engine_error(&e))?;
    let whose = first["Name"].as_str().unwrap_or_default();
    let whose = whose.trim_start_matches('/').to_owned();
    // Made before, and not started: by an agent that died then.
    if let Ok(there) = engine.inspect_container(name)
        && there["Config"]["Labels"][LABEL_OF] == whose.as_str()
    {
        return engine.start(name).map_err(|e| engine_error(&e));
    }
    let reference = first["Config"]["Image"].as_str().unwrap_or_default();
    let image = image(
        engine,
        reference,
        first["Image"].as_str().unwrap_or_default(),
    )?;
    let mapping = Mapping {
        image: Some(image.0),
        image_id: Some(image.1),
        fresh: nameless_volumes(&first),
        ..Mapping::exact(engine.api())
    };
    let mut raw = first.clone();
    let labels = &mut raw["Config"]["Labels"];
    if let Some(labels) = labels.as_object_mut() {
        labels.remove(LABEL);
        labels.remove(LABEL_WITHIN);
        labels.remove("lifeboat.keep");
        labels.entry(label::APP).or_insert_with(|| json!(whose));
    }
    labels[LABEL_OF] = json!(whose);
    labels[LABEL_FROM] = json!(of);
    let mut plan = container_create_body(&raw, &mapping).map_err(|e| engine_error(&e))?;
    answers_to(&mut plan, &whose);
    make(engine, name, &plan, &[]).map(drop)
}

/// Moves one aside as it runs, and makes another one under its name. What cannot be made leaves all as it was.
pub(crate) fn supersede(engine: &dyn Engine, of: &str, id: &str, name: &str) -> Event {
    let former = format!("{name}{FORMER}");
    let moved = match engine.inspect_container(id) {
        Ok(raw) if !is_one(&raw) => Err(NOT_OURS.to_owned()),
        Ok(_) => engine.rename(id, &former).map_err(|e| e.to_string()),
        Err(error) => Err(error.to_string()),
    };
    let made = moved.and_then(|()| {
        let made = try_replicate(engine, of, name).map_err(|failed| failed.text);
        if made.is_err()
            && let Err(error) = engine.rename(id, name)
        {
            // The names say what is what: it is seen, and gone on with.
            tracing::warn!(%error, container = former, "it does not get its name back");
        }
        made
    });
    Event::Replicated {
        name: name.to_owned(),
        failed: made.err(),
    }
}

/// Gives one that was moved aside its name back, in the place of the one that has it now.
pub(crate) fn take_back(engine: &dyn Engine, id: &str, name: &str, instead: Option<&str>) -> Event {
    let steps = || -> std::result::Result<(), String> {
        let raw = engine.inspect_container(id).map_err(|e| e.to_string())?;
        if !is_one(&raw) {
            return Err(NOT_OURS.to_owned());
        }
        if let Some(instead) = instead
            && let Some(why) = remove(engine, instead)
        {
            return Err(why);
        }
        engine.rename(id, name).map_err(|e| e.to_string())?;
        if raw["State"]["Running"] == true {
            return Ok(());
        }
        engine.start(id).map_err(|e| e.to_string())
    };
    Event::Replicated {
        name: name.to_owned(),
        failed: steps().err(),
    }
}

fn is_one(raw: &Value) -> bool {
    raw["Config"]["Labels"][LABEL_OF].is_string()
}

/// Volumes that the engine named: each instance has its own.
fn nameless_volumes(raw: &Value) -> std::collections::BTreeSet<String> {
    let mounts = raw["Mounts"].as_array().into_iter().flatten();
    let volumes = mounts.filter(|mount| mount["Type"] == "volume");
    let names = volumes.filter_map(|mount| mount["Name"].as_str());
    let nameless =
        names.filter(|name| name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit()));
    nameless.map(str::to_owned).collect()
}

/// On networks with names, who asks for the first one gets any of them.
fn answers_to(plan: &mut ContainerPlan, name: &str) {
    let add = |endpoint: &mut Value| {
        if !endpoint.is_object() {
            *endpoint = json!({});
        }
        match endpoint["Aliases"].as_array_mut() {
            Some(aliases) => aliases.push(json!(name)),
            None => endpoint["Aliases"] = json!([name]),
        }
    };
    let mode = plan.body["HostConfig"]["NetworkMode"]
        .as_str()
        .unwrap_or("default");
    if !NAMELESS.contains(&mode) {
        let mode = mode.to_owned();
        add(&mut plan.body["NetworkingConfig"]["EndpointsConfig"][mode]);
    }
    for attachment in &mut plan.connect {
        if !NAMELESS.contains(&attachment.network.as_str()) {
            add(&mut attachment.endpoint);
        }
    }
}

/// Takes one away, with what only it had.
pub(crate) fn withdraw(engine: &dyn Engine, id: &str, name: &str) -> Event {
    Event::Replicated {
        name: name.to_owned(),
        failed: remove(engine, id),
    }
}

/// Why it could not be removed, if it could not.
fn remove(engine: &dyn Engine, id: &str) -> Option<String> {
    match engine.inspect_container(id) {
        Ok(raw) if is_one(&raw) => {
            let taken = engine.stop(id, None);
            let taken = taken.and_then(|()| engine.remove_container(id, false, true));
            taken
                .err()
                .filter(|e| !e.is_not_found())
                .map(|e| e.to_string())
        }
        Ok(_) => Some(NOT_OURS.to_owned()),
        Err(error) if error.is_not_found() => None,
        Err(error) => Some(error.to_string()),
    }
}
