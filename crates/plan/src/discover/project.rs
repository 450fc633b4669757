//! What Compose's labels say about the project's files.

use crate::app::{ComposeProject, FilePlace, Note, ProjectFile};
use crate::inventory::{Container, Inventory, MountKind};
use crate::label;
use crate::path;

use super::group::Group;
use super::may_hold_project;

/// The Compose project of a group, if it holds one. Of several (joined by our label) the first.
pub(super) fn of_group(
    group: &Group<'_>,
    inventory: &Inventory,
    notes: &mut Vec<Note>,
) -> Option<ComposeProject> {
    if !may_hold_project(group.kind) {
        return None;
    }
    let name = *group.projects.iter().next()?;
    let members: Vec<&Container> = group
        .containers
        .iter()
        .copied()
        .filter(|c| label::get(&c.labels, label::PROJECT) == Some(name))
        .collect();
    let value = |key: &str, notes: &mut Vec<Note>| -> Option<String> {
        let mut values: Vec<&str> = members
            .iter()
            .filter_map(|c| label::get(&c.labels, key))
            .collect();
        let first = values.first().copied()?;
        values.dedup();
        if values.iter().any(|v| *v != first) {
            notes.push(Note::warning(format!(
                "its containers disagree about {key}: it was brought up in more than one way, the first counts"
            )));
        }
        Some(first.to_owned())
    };
    let working_dir = value(label::WORKING_DIR, notes);
    let files = |text: Option<String>| -> Vec<ProjectFile> {
        let text = text.unwrap_or_default();
        let entries = text.split(',').map(str::trim).filter(|f| !f.is_empty());
        entries
            .map(|f| file(f, working_dir.as_deref(), inventory))
            .collect()
    };
    let config_files = files(value(label::CONFIG_FILES, notes));
    let environment_files = files(value(label::ENVIRONMENT_FILE, notes));
    let versions = members
        .iter()
        .map(|c| &c.labels)
        .chain(inventory.volumes.iter().map(|v| &v.labels));
    let version = versions
        .filter(|labels| label::get(labels, label::PROJECT) == Some(name))
        .find_map(|labels| label::get(labels, label::COMPOSE_VERSION));
    let working_dir_alternatives = working_dir
        .as_deref()
        .and_then(path::clean)
        .map(|dir| alternatives(&dir, inventory))
        .unwrap_or_default();
    Some(ComposeProject {
        name: name.to_owned(),
        version: version.map(str::to_owned),
        working_dir: working_dir
            .as_deref()
            .map(|dir| path::clean(dir).unwrap_or_else(|| dir.to_owned())),
        working_dir_alternatives,
        config_files,
        environment_files,
        joined: group
            .projects
            .iter()
            .skip(1)
            .map(|p| (*p).to_owned())
            .collect(),
    })
}

fn file(text: &str, working_dir: Option<&str>, inventory: &Inventory) -> ProjectFile {
    let place = if text == "-" {
        FilePlace::Stdin
    } else if text.starts_with('/') {
        // Compose writes `..` into its labels as it was typed.
        path::join("/", text).map_or(FilePlace::Unknown, |path| FilePlace::Path { path })
    } else {
        working_dir
            .and_then(|dir| path::join(dir, text))
            .map_or(FilePlace::Unknown, |path| FilePlace::Relative { path })
    };
    let alternatives = place
        .path()
        .map(|p| alternatives(p, inventory))
        .unwrap_or_default();
    ProjectFile {
        label: text.to_owned(),
        place,
        alternatives,
    }
}

/// Host paths that a path may mean if it was written inside a manager's container: one that holds
/// an engine's socket. The most specific mount first.
fn alternatives(path: &str, inventory: &Inventory) -> Vec<String> {
    let is_socket =
        |source: &str| source.ends_with("/docker.sock") || source.ends_with("/podman.sock");
    let managers = inventory
        .containers
        .iter()
        .filter(|c| c.mounts.iter().any(|m| is_socket(&m.source)));
    let mut found: Vec<(usize, String)> = managers
        .filter_map(|c| translate(path, c))
        .filter(|(_, host)| host != path)
        .collect();
    found.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    found.dedup_by(|a, b| a.1 == b.1);
    found.into_iter().map(|(_, host)| host).collect()
}

/// A path inside a container as a path of the host, through the mount with the longest destination.
fn translate(path: &str, container: &Container) -> Option<(usize, String)> {
    let mount = container
        .mounts
        .iter()
        .filter(|m| {
            matches!(m.kind, MountKind::Bind | MountKind::Volume) && m.source.starts_with('/')
        })
        .filter_map(|m| path::clean(&m.destination).map(|destination| (destination, m)))
        .filter(|(destination, _)| path::is_within(path, destination))
        .max_by_key(|(destination, _)| destination.len())?;
    let (destination, mount) = mount;
    let rest = if destination == "/" {
        path
    } else {
        path.strip_prefix(&destination)?
    };
    Some((
        destination.len(),
        path::clean(&format!("{}{rest}", mount.source))?,
    ))
}
