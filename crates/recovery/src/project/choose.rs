//! What is taken of a project, and what is missing of it.

use std::{cmp::Reverse, path::Path};

use lifeboat_capture::SkipSet;
use lifeboat_plan::{
    app::{App, ComposeProject, FilePlace, ProjectFile},
    manifest::{LeftOut, LeftOutKind},
    path,
};

use super::{
    Need, ProjectFiles, Reference,
    reader::{Start, read},
    roots::{Refused, Roots, may_be_project},
};
use crate::selection::{BindChoice, ProjectChoice};

/// Decides about the files of an app's Compose project; `None` if it is none. What is missing goes to
/// `left_out`, which holds what is missing of the binds already.
pub fn choose(
    app: &App,
    binds: &[BindChoice],
    skip: &SkipSet,
    left_out: &mut Vec<LeftOut>,
) -> Option<ProjectChoice> {
    let project = app.project.as_ref()?;
    let mut choosing = Choosing {
        choice: ProjectChoice::default(),
        roots: Roots::new(binds, skip),
        left_out,
    };
    let config_files = choosing.labelled(&project.config_files);
    let environment_files = choosing.labelled(&project.environment_files);
    choosing.folder(project, binds);
    let folder = folder_of(project, &config_files);
    for file in config_files.iter().chain(&environment_files) {
        choosing.take(file, "a label of the project names it", Need::Required);
    }
    if let Some(folder) = &folder {
        let dot_env = format!("{folder}/.env");
        if Path::new(&dot_env).is_file() {
            choosing.take(&dot_env, "Compose reads it", Need::Required);
        }
        let found = read(&Start {
            name: &project.name,
            folder,
            config_files: &config_files,
            environment_files: &environment_files,
            services: app
                .containers
                .iter()
                .filter_map(|c| c.service.as_deref())
                .collect(),
        });
        choosing.found(found);
    }
    let Choosing {
        mut choice, roots, ..
    } = choosing;
    choice.folder = folder.clone();
    choice.config_files = config_files;
    choice.environment_files = environment_files;
    choice.without = roots.without();
    choice.size = roots.size;
    choice.sizes = roots.sizes;
    choice.roots = roots.roots;
    choice.roots.sort();
    let is_outside = |root: &&std::path::PathBuf| {
        let inside = folder.as_ref().is_some_and(|f| root.starts_with(f));
        !inside
    };
    let outside = choice.roots.iter().filter(is_outside);
    let is_lost = |l: &&LeftOut| l.kind == LeftOutKind::ProjectFile && !l.decided;
    let lost = left_out.iter().filter(is_lost).map(|l| l.what.clone());
    choice.facts.lost = lost.collect();
    choice.facts.outside = outside.map(|root| root.display().to_string()).collect();
    Some(choice)
}

struct Choosing<'a> {
    choice: ProjectChoice,
    roots: Roots<'a>,
    left_out: &'a mut Vec<LeftOut>,
}

impl Choosing<'_> {
    /// The files of a label that are there; the others are named.
    fn labelled(&mut self, files: &[ProjectFile]) -> Vec<String> {
        let mut found = Vec::new();
        for file in files {
            let candidates = file.place.path().into_iter().map(str::to_owned);
            let there = candidates
                .chain(file.alternatives.iter().cloned())
                .find(|path| Path::new(path).is_file());
            if let Some(path) = there {
                found.push(path);
                continue;
            }
            let missing = file.place.path().unwrap_or(&file.label);
            self.choice.facts.missing.push(missing.to_owned());
            if file.place == FilePlace::Stdin {
                let reason = "it was piped in, there is no file to keep; the containers' definitions are in the point";
                self.leave_out(&file.label, reason, None, true);
            } else {
                let reason = "the project's label names it and it is not there; the containers' definitions are in the point";
                self.leave_out(missing, reason, None, false);
            }
        }
        found
    }

    /// Takes the project folder, without the binds in it: these are decided about by themselves.
    fn folder(&mut self, project: &ComposeProject, binds: &[BindChoice]) {
        let folder = project.working_dir.as_deref();
        let Some(dir) = folder.filter(|dir| may_be_project(dir)) else {
            return;
        };
        // The folder itself is a bind: it is captured as one, and comes back with it.
        if binds.iter().any(|b| b.bind.source == dir) {
            return;
        }
        if let Err(Refused { reason, bytes }) = self.roots.take(dir) {
            let reason = format!(
                "the project folder is not taken whole, because {reason}; only the files that its labels and its compose files name were taken"
            );
            self.leave_out(dir, &reason, bytes, false);
        }
    }

    /// Takes what the compose files name.
    fn found(&mut self, found: ProjectFiles) {
        let is_gone = |reference: &&Reference| !Path::new(&reference.path).exists();
        let (gone, mut there): (Vec<_>, Vec<_>) = found.references.iter().partition(is_gone);
        let within =
            |a: &Reference, b: &Reference| a.path != b.path && path::is_within(&a.path, &b.path);
        for file in &gone {
            // Of a folder that is gone only the folder is named.
            if file.need != Need::Optional && !gone.iter().any(|other| within(file, other)) {
                let reason = format!("{} and it is not there", said(file));
                self.leave_out(&file.path, &reason, None, file.need != Need::Required);
            }
        }
        // Folders first, the outer before the inner: what lies in one needs nothing more.
        there.sort_by_key(|file| {
            let is_file = !Path::new(&file.path).is_dir();
            (is_file, file.path.len(), &file.path, Reverse(file.need))
        });
        for file in there {
            self.take(&file.path, &said(file), file.need);
        }
        for named in &found.unresolved {
            let decided = named.need != Need::Required;
            if named.need != Need::Optional {
                self.leave_out(&named.text, &named.why, None, decided);
            }
        }
        self.choice.complete = found.problems.is_empty() && found.unresolved.is_empty();
        self.choice.notes = found.problems;
        self.choice.facts.hooks = found.hooks.into_iter().collect();
    }

    fn take(&mut self, path: &str, why: &str, need: Need) {
        if self.left_out.iter().any(|l| l.what == path) {
            return;
        }
        if let Err(Refused { reason, bytes }) = self.roots.take(path) {
            let reason = format!("{why}; {reason}");
            self.leave_out(path, &reason, bytes, need != Need::Required);
        }
    }

    fn leave_out(&mut self, what: &str, reason: &str, bytes: Option<u64>, decided: bool) {
        // A secret is a bind too, and may have been named as one.
        if !self
            .left_out
            .iter()
            .any(|l| l.what == what && l.decided <= decided)
        {
            self.left_out.push(LeftOut {
                kind: LeftOutKind::ProjectFile,
                what: what.to_owned(),
                reason: reason.to_owned(),
                bytes,
                decided,
            });
        }
    }
}

fn said(file: &Reference) -> String {
    format!("{} names it as {}", file.by, file.role.name())
}

/// The folder that the project's paths are relative to.
fn folder_of(project: &ComposeProject, config_files: &[String]) -> Option<String> {
    project
        .working_dir
        .iter()
        .chain(&project.working_dir_alternatives)
        .find(|dir| Path::new(dir).is_dir())
        .cloned()
        .or_else(|| {
            config_files
                .first()
                .map(|file| path::parent(file).to_owned())
        })
}
