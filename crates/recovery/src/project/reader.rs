//! From compose file to compose file.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use lifeboat_plan::path;
use serde_json::Value;

use super::{
    Need, ProjectFiles, Reference, Role, Unresolved, dotenv,
    interpolate::{Variables, interpolate},
    service, yaml,
};

/// Compose files of one project at most.
const MAX_FILES: usize = 200;
/// Files that include files that include files.
const MAX_DEPTH: usize = 20;

/// Where a project stands.
#[derive(Debug, Clone, Default)]
pub struct Start<'a> {
    /// Project name, as Compose gives it to interpolation.
    pub name: &'a str,
    /// The folder that paths are relative to.
    pub folder: &'a str,
    /// Compose files that are there.
    pub config_files: &'a [String],
    /// Env files that are there, given with `--env-file`; `.env` of the folder if none.
    pub environment_files: &'a [String],
    /// Services that have containers.
    pub services: BTreeSet<&'a str>,
}

/// Finds every file that the project's compose files name.
pub fn read(start: &Start<'_>) -> ProjectFiles {
    let mut reader = Reader {
        start,
        found: ProjectFiles::default(),
        documents: BTreeMap::new(),
        entered: BTreeSet::new(),
    };
    let mut variables = Variables::from([
        ("COMPOSE_PROJECT_NAME".to_owned(), start.name.to_owned()),
        // Of the shell that `up` was typed in: nearly always in the project folder.
        ("PWD".to_owned(), start.folder.to_owned()),
    ]);
    let mut home = start.folder.split('/').skip(1);
    match (home.next(), home.next()) {
        // Of whoever has the project in the home folder.
        (Some("home"), Some(user)) => {
            drop(variables.insert("HOME".to_owned(), format!("/home/{user}")))
        }
        (Some("root"), _) => drop(variables.insert("HOME".to_owned(), "/root".to_owned())),
        _ => {}
    }
    let dot_env = [format!("{}/.env", start.folder)];
    let files = match start.environment_files {
        [] => &dot_env,
        given => given,
    };
    for file in files {
        if let Ok(text) = yaml::text(Path::new(file)) {
            dotenv::add(&text, &mut variables);
        }
    }
    for file in start.config_files {
        let place = Place {
            file,
            folder: start.folder,
            variables: &variables,
            depth: 0,
        };
        reader.compose_file(&place);
    }
    reader.found
}

/// A compose file, and how what it says is meant.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    /// The file.
    pub file: &'a str,
    /// What its paths are relative to.
    pub folder: &'a str,
    /// Values for its variables.
    pub variables: &'a Variables,
    /// How many files led here.
    pub depth: usize,
}

pub(super) struct Reader<'a> {
    start: &'a Start<'a>,
    pub found: ProjectFiles,
    /// Files that were read; `None`: in vain.
    documents: BTreeMap<String, Option<Vec<Value>>>,
    /// What was looked at with which folder: each once.
    entered: BTreeSet<(String, String)>,
}

impl Reader<'_> {
    /// One whole compose file.
    fn compose_file(&mut self, place: &Place<'_>) {
        let key = (place.file.to_owned(), place.folder.to_owned());
        if place.depth > MAX_DEPTH || !self.entered.insert(key) {
            return;
        }
        for document in self.documents(place.file) {
            for include in list(&document["include"]) {
                self.include(include, place);
            }
            let services = document["services"].as_object();
            for (name, text) in services.into_iter().flatten() {
                let active = self.is_active(name, text);
                self.service(name, text, active, &document, place);
            }
            for (key, role) in [("secrets", Role::Secret), ("configs", Role::Config)] {
                for (name, entry) in document[key].as_object().into_iter().flatten() {
                    let used = self.is_used(&document, key, name);
                    let need = if used { Need::Required } else { Need::Later };
                    if let Some(text) = entry["file"].as_str() {
                        self.name(text, role, need, place);
                    }
                }
            }
        }
    }

    /// `true` for a service that `up` brings up: without a profile, or with containers now.
    fn is_active(&self, name: &str, service: &Value) -> bool {
        self.start.services.contains(name) || list(&service["profiles"]).next().is_none()
    }

    /// `true` if an active service uses this secret or config. The user may be in another file: what
    /// is used by nobody here counts as used then.
    fn is_used(&self, document: &Value, key: &str, name: &str) -> bool {
        let of = |service: &Value| {
            list(&service[key])
                .any(|entry| entry.as_str().or(entry["source"].as_str()) == Some(name))
        };
        let services = document["services"].as_object();
        let mut users = services.into_iter().flatten().filter(|(_, s)| of(s));
        let Some((first, text)) = users.next() else {
            return true;
        };
        self.is_active(first, text) || users.any(|(name, text)| self.is_active(name, text))
    }

    fn include(&mut self, include: &Value, place: &Place<'_>) {
        let paths: Vec<&str> = match include {
            Value::String(path) => vec![path],
            other => list(&other["path"]).filter_map(Value::as_str).collect(),
        };
        let paths: Vec<String> = paths
            .into_iter()
            .filter_map(|text| self.name(text, Role::Include, Need::Required, place))
            .collect();
        let Some(first) = paths.first() else { return };
        let given = include["project_directory"].as_str();
        let folder = match given.map(|text| self.resolve(text, Need::Required, place)) {
            None => path::parent(first).to_owned(),
            Some(Some(folder)) => folder,
            Some(None) => return,
        };
        // What the including project says wins over the include's own env files.
        let mut own = Variables::new();
        let files: Vec<&str> = list(&include["env_file"])
            .filter_map(Value::as_str)
            .collect();
        let mut read = |file: &str| {
            if let Ok(text) = yaml::text(Path::new(file)) {
                dotenv::add(&text, &mut own);
            }
        };
        if files.is_empty() {
            let dot_env = format!("{folder}/.env");
            read(&dot_env);
            self.found.references.insert(Reference {
                path: dot_env,
                role: Role::EnvFile,
                need: Need::Optional,
                by: place.file.to_owned(),
            });
        }
        for text in files {
            if let Some(file) = self.name(text, Role::EnvFile, Need::Required, place) {
                read(&file);
            }
        }
        own.extend(place.variables.clone());
        for file in &paths {
            self.compose_file(&Place {
                file,
                folder: &folder,
                variables: &own,
                depth: place.depth + 1,
            });
        }
    }

    /// One service, and what it extends.
    fn service(
        &mut self,
        name: &str,
        service: &Value,
        active: bool,
        document: &Value,
        place: &Place<'_>,
    ) {
        service::files(self, name, service, active, place);
        let extends = &service["extends"];
        let Some(base) = extends.as_str().or(extends["service"].as_str()) else {
            return;
        };
        let key = |file: &str| {
            let key = format!("{base} in {file}, {active}");
            (key, place.folder.to_owned())
        };
        let Some(text) = extends["file"].as_str() else {
            // Looked at by itself too, but there it may not be in use.
            if active && self.entered.insert(key(place.file)) {
                self.service(base, &document["services"][base], active, document, place);
            }
            return;
        };
        let need = need(active);
        let Some(file) = self.name(text, Role::Extends, need, place) else {
            return;
        };
        if place.depth >= MAX_DEPTH || !self.entered.insert(key(&file)) {
            return;
        }
        let there = Place {
            file: &file,
            folder: path::parent(&file),
            variables: place.variables,
            depth: place.depth + 1,
        };
        for document in self.documents(&file) {
            let service = &document["services"][base];
            self.service(base, service, active, &document, &there);
        }
    }

    /// Notes a file that a compose file names, and says where it is.
    pub(super) fn name(
        &mut self,
        text: &str,
        role: Role,
        need: Need,
        place: &Place<'_>,
    ) -> Option<String> {
        if matches!(role, Role::Include | Role::Extends) && service::is_remote(text) {
            self.found.unresolved.insert(Unresolved {
                text: text.to_owned(),
                why: format!("{} takes it from another machine", place.file),
                need: Need::Later,
            });
            return None;
        }
        let path = self.resolve(text, need, place)?;
        self.found.references.insert(Reference {
            path: path.clone(),
            role,
            need,
            by: place.file.to_owned(),
        });
        Some(path)
    }

    /// The absolute path that a text means.
    fn resolve(&mut self, text: &str, need: Need, place: &Place<'_>) -> Option<String> {
        let mut unresolved = |why: String| {
            self.found.unresolved.insert(Unresolved {
                text: text.to_owned(),
                why,
                need,
            });
        };
        let path = match interpolate(text, place.variables) {
            Ok(path) => path,
            Err(name) => {
                unresolved(format!(
                    "{} names it, and {name} has a value in no env file; put it into .env",
                    place.file
                ));
                return None;
            }
        };
        let path = match (path.strip_prefix("~/"), place.variables.get("HOME")) {
            (None, _) => path,
            (Some(rest), Some(home)) => format!("{home}/{rest}"),
            (Some(_), None) => {
                unresolved(format!(
                    "{} names it, and whose home folder is meant is not known; write the whole path",
                    place.file
                ));
                return None;
            }
        };
        let found = path::join(place.folder, &path);
        if found.is_none() {
            unresolved(format!("{} names it, and it is no path", place.file));
        }
        found
    }

    /// A file's documents; a sentence, once, if there are none to be had.
    fn documents(&mut self, file: &str) -> Vec<Value> {
        if let Some(read) = self.documents.get(file) {
            return read.clone().unwrap_or_default();
        }
        if self.documents.len() >= MAX_FILES {
            let said = format!("more than {MAX_FILES} compose files; the rest was not looked at");
            if !self.found.problems.contains(&said) {
                self.found.problems.push(said);
            }
            return Vec::new();
        }
        let read = match yaml::documents(Path::new(file)) {
            Ok(documents) => Some(documents),
            Err(why) => {
                // What is not there is named as missing by whoever looks at the references.
                if Path::new(file).exists() {
                    self.found.problems.push(format!(
                        "compose file {file} was not understood ({why}): what it pulls in from outside of the project folder is not looked for"
                    ));
                }
                None
            }
        };
        self.documents.insert(file.to_owned(), read.clone());
        read.unwrap_or_default()
    }
}

pub(super) fn need(active: bool) -> Need {
    if active { Need::Required } else { Need::Later }
}

/// The members of a list, or the one thing that stands in its place.
pub(super) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    let (one, many) = match value {
        Value::Null => (None, None),
        Value::Array(many) => (None, Some(many)),
        other => (Some(other), None),
    };
    one.into_iter().chain(many.into_iter().flatten())
}
