//! Mappings put on an open point: each kind in its own room, in an order in which the point's own names
//! are still those that a person gave.

use lifeboat_plan::{inventory::Inventory, manifest::Manifest, suggest::suggest};
use serde_json::Value;

use super::{Applied, Mapped, Maps};
use crate::restore::point::{Definitions, OpenPoint};

/// What the point is restored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// The app itself.
    App,
    /// The app itself, in the place of the one that is here.
    Over,
    /// A copy beside it, which names and places everything anew: here variables and images alone are
    /// put on, the rest is looked at, and taken up where names are given.
    Copy,
}

/// What Compose does with an app that was mapped.
pub const COMPOSE_FILES: &str = "the compose files still say what was at the point; change them as well, or the next `docker compose up` that makes a container anew makes it as it was";

/// The work in progress.
pub(super) struct Job<'a> {
    pub maps: &'a Maps,
    pub here: &'a Inventory,
    pub scope: Scope,
    pub manifest: &'a mut Manifest,
    pub definitions: &'a mut Definitions,
    pub applied: Applied,
}

/// Rewrites the point. `here` is what the target's engine holds.
pub fn apply(point: &mut OpenPoint, maps: &Maps, here: &Inventory, scope: Scope) -> Applied {
    apply_to(
        &mut point.manifest,
        &mut point.definitions,
        maps,
        here,
        scope,
    )
}

pub(super) fn apply_to(
    manifest: &mut Manifest,
    definitions: &mut Definitions,
    maps: &Maps,
    here: &Inventory,
    scope: Scope,
) -> Applied {
    let mut job = Job {
        maps,
        here,
        scope,
        manifest,
        definitions,
        applied: Applied::default(),
    };
    job.ports();
    job.variables();
    job.images();
    job.volumes();
    if scope == Scope::Copy {
        job.networks();
        job.applied.problems.extend(maps.refused_beside());
        return job.applied;
    }
    if scope == Scope::Over {
        job.applied.problems.extend(maps.refused_over());
    }
    job.subnets();
    job.networks();
    job.give_way();
    job.paths();
    job.compose_files();
    job.applied
}

impl Job<'_> {
    pub(super) fn mapped(&mut self, kind: &'static str, of: Option<&str>, old: &str, new: &str) {
        self.applied.mapped.push(Mapped {
            kind,
            of: of.map(str::to_owned),
            old: old.to_owned(),
            new: new.to_owned(),
        });
    }

    pub(super) fn problem(&mut self, sentence: String) {
        self.applied.problems.push(sentence);
    }

    /// What a flag names is not in the point.
    pub(super) fn unknown(&mut self, flag: &str, what: &str, given: &str, known: &[String]) {
        // A number is not misspelt.
        let near = if given.starts_with(|c: char| c.is_ascii_digit()) {
            Vec::new()
        } else {
            suggest(given, known.iter().map(String::as_str))
        };
        let there = match (near.as_slice(), known) {
            ([], []) => format!("it has no {what} at all"),
            ([], known) => format!("it has {}", known.join(", ")),
            (near, _) => format!("did you mean {}?", near.join(" or ")),
        };
        self.problem(format!(
            "{flag}: the point has no {what} {}; {there}",
            given.escape_debug()
        ));
    }

    /// The raw definition of each container, by name.
    pub(super) fn containers(&mut self) -> impl Iterator<Item = (&String, &mut Value)> {
        self.definitions.containers.iter_mut()
    }

    /// The project's files say what was at the point.
    fn compose_files(&mut self) {
        let differs = |m: &Mapped| m.kind != "project" && m.kind != "subnet";
        if self.manifest.project.is_some() && self.applied.mapped.iter().any(differs) {
            self.applied.warnings.push(COMPOSE_FILES.to_owned());
        }
    }
}
