//! Which containers belong together, and under which name.

use std::collections::{BTreeMap, BTreeSet};

use crate::app::{AppKind, Note};
use crate::inventory::{Container, Inventory};
use crate::label;
use crate::name::AppName;

/// Containers that belong together.
#[derive(Debug)]
pub(super) struct Group<'a> {
    pub name: AppName,
    pub kind: AppKind,
    /// Compose projects that are in it (one, but for apps by our label).
    pub projects: BTreeSet<&'a str>,
    /// Swarm stack that it is.
    pub stack: Option<&'a str>,
    pub containers: Vec<&'a Container>,
    pub notes: Vec<Note>,
}

impl Group<'_> {
    /// `true` if an object with these labels belongs to this app even if no container uses it.
    pub fn claims(&self, labels: &BTreeMap<String, String>) -> bool {
        if let Some(copy) = copy_label(labels) {
            return self.kind == AppKind::Copy && copy == self.name;
        }
        if let Some(app) = own_label(labels) {
            return app == self.name;
        }
        label::get(labels, label::PROJECT).is_some_and(|p| self.projects.contains(p))
            || label::get(labels, label::STACK).is_some_and(|s| self.stack == Some(s))
    }

    /// `true` if an object with these labels, which this app uses, was made by somebody else: by
    /// another project, or by hand although this is a project or a stack.
    pub fn is_foreign(&self, labels: &BTreeMap<String, String>) -> bool {
        if self.claims(labels) {
            return false;
        }
        let owned = [label::PROJECT, label::STACK, label::APP]
            .iter()
            .any(|key| label::get(labels, key).is_some());
        owned || !self.projects.is_empty() || self.stack.is_some()
    }
}

/// The copy that an object belongs to, if `restore --as` made it.
fn copy_label(labels: &BTreeMap<String, String>) -> Option<AppName> {
    let name = AppName::new(label::get(labels, label::COPY)?).ok()?;
    name.volume().is_none().then_some(name)
}

/// The app that our label names, if it can be one.
pub(super) fn own_label(labels: &BTreeMap<String, String>) -> Option<AppName> {
    let name = AppName::new(label::get(labels, label::APP)?).ok()?;
    // `volume:` is for volumes that nobody claims.
    name.volume().is_none().then_some(name)
}

/// What an object's labels make it belong to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key<'a> {
    // In the order in which they keep their name when two have the same.
    Compose(&'a str),
    Labelled(AppName),
    Stack(&'a str),
    Container(&'a str),
    Copy(AppName),
}

fn key_of<'a>(
    labels: &'a BTreeMap<String, String>,
    known_projects: &BTreeSet<&'a str>,
) -> Option<Key<'a>> {
    if let Some(copy) = copy_label(labels) {
        return Some(Key::Copy(copy));
    }
    if let Some(app) = own_label(labels) {
        // Naming a project by our label is joining it.
        return Some(match known_projects.get(app.as_str()) {
            Some(project) => Key::Compose(project),
            None => Key::Labelled(app),
        });
    }
    if let Some(project) = label::get(labels, label::PROJECT) {
        return Some(Key::Compose(project));
    }
    label::get(labels, label::STACK).map(Key::Stack)
}

/// Groups everything that has containers or labels; lone volumes are left to the caller.
pub(super) fn groups<'a>(inventory: &'a Inventory, notes: &mut Vec<Note>) -> Vec<Group<'a>> {
    let mut containers: Vec<&Container> = inventory.containers.iter().collect();
    containers.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    let projects = known_projects(inventory);
    let mut members: BTreeMap<Key<'a>, (Vec<&'a Container>, Vec<Note>)> = BTreeMap::new();
    for c in &containers {
        if let Some(why) = not_part(c, &inventory.containers) {
            let note = Note::info(format!("{} is part of no app: {why}", c.name));
            match label::get(&c.labels, label::PROJECT) {
                Some(project) => members
                    .entry(Key::Compose(project))
                    .or_default()
                    .1
                    .push(note),
                None => notes.push(note),
            }
            continue;
        }
        let key = key_of(&c.labels, &projects).unwrap_or(Key::Container(&c.name));
        let entry = members.entry(key).or_default();
        entry.0.push(c);
        entry.1.extend(container_notes(c, &inventory.containers));
    }
    // A project whose containers are gone still has its volumes.
    for labels in inventory.volumes.iter().map(|v| &v.labels) {
        if let Some(key) = key_of(labels, &projects) {
            members.entry(key).or_default();
        }
    }
    // Only one-off containers and nothing else: no app, but the note stays.
    let mut taken = BTreeSet::new();
    let mut found = Vec::new();
    for (key, (containers, own_notes)) in members {
        let has_volume = inventory
            .volumes
            .iter()
            .any(|v| key_of(&v.labels, &projects).as_ref() == Some(&key));
        if containers.is_empty() && !has_volume {
            notes.extend(own_notes);
            continue;
        }
        found.push(named(key, containers, own_notes, &mut taken));
    }
    found
}

fn known_projects(inventory: &Inventory) -> BTreeSet<&str> {
    let of_containers = inventory.containers.iter().map(|c| &c.labels);
    let of_volumes = inventory.volumes.iter().map(|v| &v.labels);
    of_containers
        .chain(of_volumes)
        .filter(|labels| own_label(labels).is_none() && copy_label(labels).is_none())
        .filter_map(|labels| label::get(labels, label::PROJECT))
        .collect()
}

fn named<'a>(
    key: Key<'a>,
    containers: Vec<&'a Container>,
    mut notes: Vec<Note>,
    taken: &mut BTreeSet<AppName>,
) -> Group<'a> {
    let mut projects: BTreeSet<&str> = containers
        .iter()
        .filter_map(|c| label::get(&c.labels, label::PROJECT))
        .collect();
    let mut stack = None;
    let (kind, wanted, suffix) = match &key {
        Key::Compose(project) => {
            projects.insert(project);
            (AppKind::Compose, *project, "project")
        }
        Key::Labelled(app) => (AppKind::Labelled, app.as_str(), "app"),
        Key::Stack(name) => {
            stack = Some(*name);
            (AppKind::SwarmStack, *name, "stack")
        }
        Key::Container(name) => (AppKind::Container, *name, "container"),
        Key::Copy(name) => (AppKind::Copy, name.as_str(), "copy"),
    };
    if kind == AppKind::Copy {
        let of = containers
            .iter()
            .find_map(|c| label::get(&c.labels, label::COPY_OF));
        notes.push(Note::info(format!(
            "it is a copy of {}: never protected; `lifeboat rm {wanted}` takes it away",
            of.unwrap_or("an app")
        )));
    }
    if projects.len() > 1 {
        let names: Vec<&str> = projects.iter().copied().collect();
        notes.push(Note::warning(format!(
            "the label {} joins the Compose projects {}",
            label::APP,
            names.join(", ")
        )));
    }
    let plain = AppName::new(wanted)
        .ok()
        .filter(|name| name.volume().is_none());
    let mut name = plain.unwrap_or_else(|| AppName::nearest(wanted));
    let mut try_number = 1;
    while !taken.insert(name.clone()) {
        let number = if try_number == 1 {
            String::new()
        } else {
            format!("-{try_number}")
        };
        name = AppName::nearest(&format!(
            "{}.{suffix}{number}",
            wanted.chars().take(200).collect::<String>()
        ));
        try_number += 1;
    }
    if name.as_str() != wanted {
        notes.push(Note::warning(format!(
            "it is called `{wanted}` on the engine; here it is `{name}`, because that name is taken or cannot be one"
        )));
    }
    Group {
        name,
        kind,
        projects,
        stack,
        containers,
        notes,
    }
}

/// Why a container is part of no app.
fn not_part(c: &Container, all: &[Container]) -> Option<String> {
    if label::flag(&c.labels, label::ONE_OFF) == Some(true) {
        return Some("it was made by `docker compose run`".to_owned());
    }
    if c.labels.contains_key(label::HOOK) {
        return Some("Compose made it for a hook".to_owned());
    }
    if is_of_a_replacement(&c.name) {
        return Some(
            "`restore --replace` is in the middle of replacing an app by it, or it by another"
                .to_owned(),
        );
    }
    let (old, name) = recreated(c)?;
    let original = all.iter().find(|o| o.id.starts_with(old) && o.id != c.id)?;
    Some(format!(
        "Compose is in the middle of replacing {} by it ({name})",
        original.name
    ))
}

/// The names that `restore --replace` gives while old and new stand side by side.
fn is_of_a_replacement(name: &str) -> bool {
    let tail = name.rsplit_once(".lifeboat-").map(|(_, tail)| tail);
    let parts = tail.and_then(|tail| tail.split_once('-'));
    parts.is_some_and(|(what, id)| {
        ["new", "old", "keep"].contains(&what)
            && id.len() == 8
            && id.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

/// `<id12>_name` of Compose's recreate: the old container's id and the name to be.
fn recreated(c: &Container) -> Option<(&str, &str)> {
    let (id, name) = c.name.split_once('_')?;
    let hex = id.len() == 12 && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    (hex && !name.is_empty() && label::get(&c.labels, label::PROJECT).is_some())
        .then_some((id, name))
}

fn container_notes(c: &Container, all: &[Container]) -> Vec<Note> {
    let mut notes = Vec::new();
    if let Some(value) = label::get(&c.labels, label::APP)
        && own_label(&c.labels).is_none()
    {
        notes.push(Note::warning(format!(
            "the label {}={value} of {} is no app name and is ignored: letters, digits, `_`, `.` and `-` are allowed",
            label::APP,
            c.name
        )));
    }
    if let Some((old, name)) = recreated(c)
        && !all.iter().any(|o| o.id.starts_with(old) && o.id != c.id)
    {
        notes.push(Note::warning(format!(
            "{} is what an interrupted recreate left of {name}: `docker compose up -d` puts it right",
            c.name
        )));
    }
    notes
}
