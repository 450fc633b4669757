//! `restore --into CONTAINER:PATH`: files of a point into a container that is there, running or not.
//!
//! Where the path lies in a volume or bind of this host, each file is restored and checked outside of
//! what the container sees, on the same file system, and takes its place by one rename: whoever opens
//! it finds the old one or the new one, whole. Elsewhere (the writable layer, an engine whose files are
//! not ours) the engine unpacks an archive, which is not one step a file. What is overwritten is kept aside, unless that is not
//! wanted. What is there and right already is left alone, so the same command run again goes on.
//!
//! Names from the vault are hostile until checked, and what the container did to its own folders is
//! too: no symbolic link is followed, and nothing is reached but what lies below the mount.
//!
//! A crash leaves files that are whole, old or new, and the folder aside, which the journal names and
//! the next run into this container takes away; what was overwritten stays in it.

mod archive;
mod compare;
mod folder;
mod kept;
mod local;
mod source;
mod target;

use std::path::PathBuf;

use lifeboat_vault::{id::SnapshotId, snapshot::Snapshot};
use serde::Serialize;

use super::told::Told;
use crate::{
    Context, RecoveryError, Result,
    restore::{
        Step, Way, Work, kept as reports, point::OpenPoint, reach::Reach, report::Stopwatch,
    },
};

use self::{
    compare::{Entry, Todo},
    source::Source,
    target::{Place, Target},
};

/// What is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Container by name, id, or Compose service.
    pub container: String,
    /// Path in it.
    pub path: String,
    /// Path in the point, as `ls` shows it; without it, what the container had at `path`.
    pub from: Option<String>,
    /// Patterns below that; none means everything.
    pub includes: Vec<String>,
    /// What is overwritten is kept.
    pub keep: bool,
}

impl std::str::FromStr for Wanted {
    type Err = String;

    /// `CONTAINER:PATH`.
    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let (container, path) = text
            .split_once(':')
            .filter(|(container, _)| !container.is_empty())
            .ok_or("it is CONTAINER:PATH, e.g. shop-db-1:/var/lib/data/file")?;
        let path = lifeboat_plan::path::clean(path)
            .ok_or("PATH is absolute and without `..`, as the container sees it")?;
        if path == "/" {
            return Err(
                "the root of a container is no place for files; name a path in it".to_owned(),
            );
        }
        Ok(Self {
            container: container.to_owned(),
            path,
            from: None,
            includes: Vec::new(),
            keep: true,
        })
    }
}

/// What becomes of one path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Nothing is there.
    Create,
    /// Something else is there.
    Overwrite,
    /// It is there already, content and metadata.
    Right,
}

/// One path in the container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Path in the container.
    pub path: String,
    /// What becomes of it.
    pub action: Action,
    /// Bytes; of everything in it for a folder that is made whole.
    pub bytes: u64,
}

/// What will be done, or was.
#[derive(Debug, Clone, Serialize)]
pub struct Into {
    /// `site/host/app`.
    pub app: String,
    /// The point.
    pub id: SnapshotId,
    /// When its capture began.
    pub time: String,
    /// Container, by name.
    pub container: String,
    /// Where the files come from, in the point.
    pub from: String,
    /// What lies at the path: `volume NAME`, `bind PATH`, `writable layer`, or the first two through
    /// the engine.
    pub target: String,
    /// Path by path.
    pub lines: Vec<Line>,
    /// Steps and times.
    #[serde(flatten)]
    pub told: Told,
    /// What stands in the way. Not empty: it is refused.
    pub obstacles: Vec<String>,
    /// Where what was overwritten is kept.
    pub kept_in: Option<PathBuf>,
    /// Bytes written and checked.
    pub bytes: u64,
    /// What could not be restored. Not empty: exit code 3.
    pub problems: Vec<String>,
    /// What a person should know.
    pub warnings: Vec<String>,
}

/// Looks, and changes nothing.
pub fn plan(ctx: &Context, id: SnapshotId, snapshot: &Snapshot, wanted: &Wanted) -> Result<Into> {
    work(ctx, id, snapshot, wanted, false)
}

/// Puts the files there. Refuses, with all obstacles at once, before anything is touched.
pub fn restore(
    ctx: &Context,
    id: SnapshotId,
    snapshot: &Snapshot,
    wanted: &Wanted,
) -> Result<Into> {
    work(ctx, id, snapshot, wanted, true).map_err(|e| ctx.or_interrupted(e))
}

fn work(
    ctx: &Context,
    id: SnapshotId,
    snapshot: &Snapshot,
    wanted: &Wanted,
    run: bool,
) -> Result<Into> {
    let mut watch = Stopwatch::start();
    let engine = ctx.engine()?.as_ref();
    let reader = ctx.vault.reader()?;
    let point = OpenPoint::open(&reader, id, snapshot, engine.api())?;
    let reach = if run {
        Reach::prove(engine, &point.manifest)?
    } else {
        Reach::presume(engine, &point.manifest)?
    };
    let target = Target::find(engine, &point, &reach, wanted)?;
    let source = Source::find(&reader, &point, &target, wanted)?;
    let mut done = Into {
        app: point.manifest.identity.to_string(),
        id,
        time: point.time.clone(),
        container: target.name.clone(),
        from: source.place.clone(),
        target: target.place.to_string(),
        lines: Vec::new(),
        told: Told::ahead(ctx, "", Way::Into, Vec::new()),
        obstacles: Vec::new(),
        kept_in: None,
        bytes: 0,
        problems: Vec::new(),
        warnings: Vec::new(),
    };
    let entries = match &target.place {
        Place::Local { .. } => local::look(ctx, &reader, &source, &target, wanted, &mut done)?,
        Place::Engine(_) => {
            archive::look(ctx, engine, &reader, &source, &target, wanted, &mut done)?
        }
    };
    if entries.is_empty() && done.obstacles.is_empty() {
        return Err(RecoveryError::NotFound(format!(
            "nothing in {} of the point matches; `lifeboat ls {} -r` lists it",
            source.place,
            id.short()
        )));
    }
    done.lines = entries.iter().map(|e| e.line(&target)).collect();
    done.told = Told::ahead(ctx, &done.app, Way::Into, steps(&done.lines, &target.name));
    if !run {
        return Ok(done);
    }
    if !done.obstacles.is_empty() {
        return Err(RecoveryError::Refused(format!(
            "nothing was put into {}, and nothing was changed: {}",
            target.name,
            done.obstacles.join("; ")
        )));
    }
    let todo: Vec<&Entry> = entries.iter().filter(|e| e.todo != Todo::Right).collect();
    let ctx = &ctx.following(&done.told.steps);
    watch.split("plan");
    if todo.is_empty() {
        done.told.ended(ctx, &done.app, &watch, false);
        reports::keep(ctx, &done.app, &done);
        return Ok(done);
    }
    let mut kept = kept::Kept::begin(ctx, &target, wanted)?;
    ctx.progress.step("into-begin");
    let outcome = match &target.place {
        Place::Local { .. } => {
            let work = (&todo[..], &mut kept, &mut watch);
            local::run(ctx, &reader, &target, work, &mut done)
        }
        Place::Engine(_) => {
            let work = (&todo[..], &mut kept, &mut watch);
            archive::run(ctx, engine, &reader, &target, work, &mut done)
        }
    };
    done.kept_in = kept.end()?;
    outcome?;
    watch.split("read back");
    let whole = done.problems.is_empty();
    done.told.ended(ctx, &done.app, &watch, whole);
    reports::keep(ctx, &done.app, &done);
    Ok(done)
}

/// A step for each path; then everything that was put there is read again.
fn steps(lines: &[Line], container: &str) -> Vec<Step> {
    let step = |line: &Line| {
        let step = |action| Step::new(Work::File, &line.path, action).bytes(line.bytes);
        match line.action {
            Action::Create => step("create"),
            Action::Overwrite => step("overwrite"),
            Action::Right => step("is right already").there(),
        }
    };
    let mut steps: Vec<Step> = lines.iter().map(step).collect();
    let todo = lines.iter().filter(|l| l.action != Action::Right);
    if todo.clone().next().is_some() {
        let read_back = Step::new(Work::ReadBack, container, "compare with the point");
        steps.push(read_back.bytes(todo.map(|l| l.bytes).sum()));
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_and_a_path_in_it() {
        let wanted: Wanted = "shop-db-1:/var//lib/./x/".parse().unwrap();
        assert_eq!(wanted.container, "shop-db-1");
        assert_eq!(wanted.path, "/var/lib/x");
        for bad in [
            "",
            "shop",
            ":/x",
            "shop:",
            "shop:x",
            "shop:/",
            "shop:/a/../b",
        ] {
            bad.parse::<Wanted>().unwrap_err();
        }
    }
}
