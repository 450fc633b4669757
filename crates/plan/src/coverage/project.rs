//! Rows about a Compose project's files.

use super::{Finding, ProjectFacts, Row, Status, add};
use crate::app::{App, AppKind, FilePlace};

pub(super) fn rows(app: &App, facts: Option<&ProjectFacts>, found: &mut Vec<Finding>) {
    let Some(project) = &app.project else {
        if app.kind == AppKind::Labelled && app.containers.iter().any(|c| c.service.is_some()) {
            let subjects = vec![app.name.to_string()];
            add(
                found,
                Row::ComposeFiles,
                Status::NotCovered,
                subjects,
                "No label says where its compose files are.",
            );
        }
        return;
    };
    let place = |f: &crate::app::ProjectFile| {
        f.place
            .path()
            .map_or_else(|| f.label.clone(), str::to_owned)
    };
    let is_missing = |path: &str| facts.is_some_and(|f| f.missing.iter().any(|m| m == path));
    let (there, gone): (Vec<_>, Vec<_>) = project
        .config_files
        .iter()
        .partition(|f| f.place.path().is_some_and(|p| !is_missing(p)));
    add(
        found,
        Row::ComposeFiles,
        Status::Covered,
        there.into_iter().map(place).collect(),
        "The compose files are captured.",
    );
    let stdin = gone.iter().any(|f| f.place == FilePlace::Stdin);
    let why = if stdin {
        "A compose file was piped in: there is no file to keep; the containers come back from their own definitions."
    } else {
        "A compose file that the labels name is not on this host: the containers come back from their own definitions, the file does not."
    };
    add(
        found,
        Row::ComposeFiles,
        Status::NotCovered,
        gone.into_iter().map(place).collect(),
        why,
    );
    if project.config_files.is_empty() {
        let subjects = vec![project.name.clone()];
        let why = "No label says where its compose files are: the containers come back from their own definitions, the files do not.";
        add(found, Row::ComposeFiles, Status::NotCovered, subjects, why);
    }
    let env = |missing: bool| -> Vec<String> {
        let wanted =
            |f: &&crate::app::ProjectFile| f.place.path().is_none_or(is_missing) == missing;
        project
            .environment_files
            .iter()
            .filter(wanted)
            .map(place)
            .collect()
    };
    add(
        found,
        Row::EnvironmentFiles,
        Status::Covered,
        env(false),
        "The env files given on the command line are captured.",
    );
    add(
        found,
        Row::EnvironmentFiles,
        Status::NotCovered,
        env(true),
        "An env file that the labels name is not on this host: its values come back with the containers, the file does not.",
    );
    included(project.working_dir.as_deref(), facts, found);
    let hooks = facts.map(|f| f.hooks.clone()).unwrap_or_default();
    let why = "Compose alone runs these hooks: neither a recovery does, nor the agent or the engine at their starts and stops.";
    add(found, Row::Hooks, Status::NotCovered, hooks, why);
    drift(app, facts, found);
    let why = format!(
        "Only the files of project {} are captured, not those of the projects that the label joins with it.",
        project.name
    );
    add(
        found,
        Row::ComposeFiles,
        Status::Partly,
        project.joined.clone(),
        why,
    );
}

/// Files and containers.
fn drift(app: &App, facts: Option<&ProjectFacts>, found: &mut Vec<Finding>) {
    let Some(project) = app.project.as_ref().filter(|_| !app.containers.is_empty()) else {
        return;
    };
    match facts.and_then(|f| f.drift.clone()) {
        Some(services) if services.is_empty() => {
            let why = "The compose files and the running containers agree.";
            let subjects = vec![project.name.clone()];
            add(found, Row::Drift, Status::Covered, subjects, why);
        }
        Some(services) => {
            let why = format!(
                "The compose files say something else than the containers that run ({}): the next `up` makes these anew. Both are captured as they are.",
                services.join(", ")
            );
            add(found, Row::Drift, Status::Partly, services, why);
        }
        None => {
            let why = "Whether the compose files and the running containers still agree was not looked at.";
            let subjects = vec![project.name.clone()];
            add(found, Row::Drift, Status::Partly, subjects, why);
            unseen(found);
        }
    }
}

/// Marks what was added last.
fn unseen(found: &mut [Finding]) {
    if let Some(last) = found.last_mut() {
        last.unseen = true;
    }
}

fn included(working_dir: Option<&str>, facts: Option<&ProjectFacts>, found: &mut Vec<Finding>) {
    let folder: Vec<String> = working_dir.into_iter().map(str::to_owned).collect();
    let row = Row::IncludedFiles;
    let Some(facts) = facts else {
        let why = "The project folder is captured; what compose files pull in from elsewhere (include, extends, env_file, secrets) is in no label and was not looked for.";
        add(found, row, Status::Partly, folder, why);
        unseen(found);
        return;
    };
    let why =
        "All that the compose files name is captured, what lies outside of the project folder too.";
    let taken = folder.into_iter().chain(facts.outside.clone()).collect();
    add(found, row, Status::Covered, taken, why);
    let why = "Compose files name files that are not captured.";
    add(found, row, Status::NotCovered, facts.lost.clone(), why);
}
