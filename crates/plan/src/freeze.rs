//! Which containers stand still for the instant of a recovery point.
//!
//! Every container, of whichever app, that runs and can write what is captured: a volume, a bind, a
//! path above or below one, or its own writable layer. Never one that the capture itself, the vault
//! or the engine's socket runs through: freezing it would stop us before we can thaw it. Where such
//! a one writes, the point is `live`, and says so.

use std::collections::{BTreeMap, BTreeSet};

use crate::app::{App, is_live};
use crate::bind::Decision;
use crate::inventory::{Container, ContainerState, Inventory, Mount, MountKind};
use crate::manifest::Level;
use crate::path;

/// What a point will hold: what a writer can spoil.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Captured {
    /// Names of volumes whose data is captured.
    pub volumes: BTreeSet<String>,
    /// Clean absolute paths of binds (and project roots) that are captured.
    pub paths: BTreeSet<String>,
    /// Ids of containers whose writable layer is captured.
    pub layers: BTreeSet<String>,
}

impl Captured {
    /// What a point of `app` will hold, by the decisions about its binds (in their order). Writable
    /// layers are the caller's to add.
    #[must_use]
    pub fn of(app: &App, decisions: &[Decision]) -> Self {
        let readable = app.volumes.iter().filter(|v| v.backing.is_readable());
        let captured = app
            .binds
            .iter()
            .zip(decisions)
            .filter(|(_, d)| d.is_captured());
        Self {
            volumes: readable.map(|v| v.name.clone()).collect(),
            paths: captured.map(|(b, _)| b.source.clone()).collect(),
            layers: BTreeSet::new(),
        }
    }
}

/// A container that writes what is captured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Writer {
    /// Full id.
    pub id: String,
    /// Name.
    pub name: String,
    /// It belongs to the app itself.
    pub of_app: bool,
    /// What it can write, for people.
    pub writes: Vec<String>,
}

/// Why a writer is not frozen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unfrozen {
    /// Which.
    pub writer: Writer,
    /// Why, one clause.
    pub reason: String,
}

impl FreezePlan {
    /// The same where nothing may be frozen: `live` as soon as anything writes.
    #[must_use]
    pub fn without_freezing(mut self) -> Self {
        if !self.freeze.is_empty() {
            self.freeze.clear();
            self.level = Level::Live;
            self.reason = "the policy lets nothing be frozen".to_owned();
        }
        self
    }
}

/// Who stands still, and what that is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FreezePlan {
    /// To be frozen, by name.
    pub freeze: Vec<Writer>,
    /// Frozen by somebody else already: not ours to freeze or to thaw.
    pub already_paused: Vec<Writer>,
    /// Writers that keep writing.
    pub unfrozen: Vec<Unfrozen>,
    /// `crash` if all writers stand still, else `live`.
    pub level: Level,
    /// Why it is `live`, one sentence; empty otherwise.
    pub reason: String,
}

/// Plans the freeze of an app. `own_path` are containers that must never be frozen, by full id, each
/// with the reason as a clause (`the vault runs in it`).
#[must_use]
pub fn plan(
    app: &App,
    inventory: &Inventory,
    captured: &Captured,
    own_path: &BTreeMap<String, String>,
) -> FreezePlan {
    let mountpoints: Vec<(&str, String)> = inventory
        .volumes
        .iter()
        .filter(|v| captured.volumes.contains(&v.name))
        .filter_map(|v| path::clean(&v.mountpoint).map(|m| (v.name.as_str(), m)))
        .collect();
    let mut containers: Vec<&Container> = inventory
        .containers
        .iter()
        .filter(|c| is_live(c.state))
        .collect();
    containers.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    let (mut freeze, mut already_paused, mut unfrozen) = (Vec::new(), Vec::new(), Vec::new());
    for c in containers {
        let writes = writes(c, captured, &mountpoints);
        if writes.is_empty() {
            continue;
        }
        let writer = Writer {
            id: c.id.clone(),
            name: c.name.clone(),
            of_app: app.container(&c.id).is_some(),
            writes: writes.into_iter().collect(),
        };
        if let Some(reason) = own_path.get(&c.id) {
            unfrozen.push(Unfrozen {
                writer,
                reason: reason.clone(),
            });
        } else if c.state == ContainerState::Paused {
            already_paused.push(writer);
        } else if c.state == ContainerState::Restarting {
            unfrozen.push(Unfrozen {
                writer,
                reason: "it is restarting".to_owned(),
            });
        } else {
            freeze.push(writer);
        }
    }
    let level = if unfrozen.is_empty() {
        Level::Crash
    } else {
        Level::Live
    };
    let reason = reason(&unfrozen);
    FreezePlan {
        freeze,
        already_paused,
        unfrozen,
        level,
        reason,
    }
}

fn reason(unfrozen: &[Unfrozen]) -> String {
    let clauses: Vec<String> = unfrozen
        .iter()
        .map(|u| {
            format!(
                "{} writes {} and cannot be frozen, because {}",
                u.writer.name,
                u.writer.writes.join(", "),
                u.reason
            )
        })
        .collect();
    if clauses.is_empty() {
        String::new()
    } else {
        format!("{}.", clauses.join("; "))
    }
}

fn writes(c: &Container, captured: &Captured, mountpoints: &[(&str, String)]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if captured.layers.contains(&c.id) {
        found.insert("its own writable layer".to_owned());
    }
    for m in c.mounts.iter().filter(|m| m.writable) {
        match m.kind {
            MountKind::Volume => {
                if let Some(name) = m
                    .name
                    .as_ref()
                    .filter(|name| captured.volumes.contains(*name))
                {
                    found.insert(format!("volume {name}"));
                }
            }
            MountKind::Bind => {}
            MountKind::Tmpfs | MountKind::Other => continue,
        }
        paths(m, captured, mountpoints, &mut found);
    }
    found
}

/// Anything that the mount's source overlaps: a path has many doors.
fn paths(
    m: &Mount,
    captured: &Captured,
    mountpoints: &[(&str, String)],
    found: &mut BTreeSet<String>,
) {
    let Some(source) = path::join("/", &m.source).filter(|_| m.source.starts_with('/')) else {
        return;
    };
    let overlaps = |p: &str| path::is_within(p, &source) || path::is_within(&source, p);
    for p in captured.paths.iter().filter(|p| overlaps(p)) {
        found.insert(p.clone());
    }
    for (name, mountpoint) in mountpoints {
        if overlaps(mountpoint) {
            found.insert(format!("volume {name}"));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::discover::discover;
    use crate::inventory::Volume;

    fn mount(kind: MountKind, name: Option<&str>, source: &str, writable: bool) -> Mount {
        Mount {
            kind,
            name: name.map(str::to_owned),
            source: source.into(),
            destination: "/x".into(),
            writable,
        }
    }

    fn container(id: char, name: &str, state: ContainerState, mounts: Vec<Mount>) -> Container {
        Container {
            id: std::iter::repeat_n(id, 64).collect(),
            name: name.into(),
            state,
            mounts,
            ..Container::default()
        }
    }

    fn world() -> Inventory {
        use ContainerState::{Exited, Paused, Restarting, Running};
        let at = "/var/lib/docker/volumes/db/_data";
        let volume = |writable| mount(MountKind::Volume, Some("db"), at, writable);
        let bind = |source, writable| mount(MountKind::Bind, None, source, writable);
        Inventory {
            containers: vec![
                container('1', "db", Running, vec![volume(true)]),
                container('2', "reader", Running, vec![volume(false)]),
                container('3', "old", Exited, vec![volume(true)]),
                container('4', "other", Running, vec![volume(true)]),
                container('5', "files", Running, vec![bind("/srv/data/sub", true)]),
                container('6', "agent", Running, vec![bind("/", true)]),
                container('7', "exporter", Running, vec![bind("/", false)]),
                container('8', "held", Paused, vec![bind("/srv", true)]),
                container('9', "crashing", Restarting, vec![volume(true)]),
                container('a', "stateless", Running, Vec::new()),
                container('b', "nearby", Running, vec![bind("/srv/data2", true)]),
            ],
            volumes: vec![Volume {
                name: "db".into(),
                driver: "local".into(),
                mountpoint: at.into(),
                ..Volume::default()
            }],
            ..Inventory::default()
        }
    }

    fn captured() -> Captured {
        Captured {
            volumes: ["db".into()].into(),
            paths: ["/srv/data".into()].into(),
            layers: BTreeSet::new(),
        }
    }

    fn names(writers: &[Writer]) -> Vec<&str> {
        writers.iter().map(|w| w.name.as_str()).collect()
    }

    #[test]
    fn all_writers_of_any_app_are_frozen_and_nobody_else() {
        let mut world = world();
        world.containers.retain(|c| c.name != "crashing");
        let found = discover(&world);
        let plan = plan(
            found.app("db").unwrap(),
            &world,
            &captured(),
            &BTreeMap::new(),
        );
        assert_eq!(names(&plan.freeze), ["agent", "db", "files", "other"]);
        assert_eq!(names(&plan.already_paused), ["held"]);
        assert_eq!((plan.level, plan.reason.as_str()), (Level::Crash, ""));
        let own: Vec<&str> = plan
            .freeze
            .iter()
            .filter(|w| w.of_app)
            .map(|w| w.name.as_str())
            .collect();
        assert_eq!(own, ["db"]);
        assert_eq!(plan.freeze[0].writes, ["/srv/data", "volume db"]);
    }

    #[test]
    fn where_nothing_may_be_frozen_it_is_live_as_soon_as_anything_writes() {
        let mut world = world();
        world.containers.retain(|c| c.name != "crashing");
        let found = discover(&world);
        let app = found.app("db").unwrap();
        let of =
            |captured: &Captured| plan(app, &world, captured, &BTreeMap::new()).without_freezing();
        let all = of(&captured());
        assert_eq!((all.level, all.freeze.len()), (Level::Live, 0));
        assert!(all.reason.contains("lets nothing be frozen"));
        let nothing = of(&Captured::default());
        assert_eq!((nothing.level, nothing.reason.as_str()), (Level::Crash, ""));
    }

    #[test]
    fn what_we_run_through_is_never_frozen_and_said() {
        let world = world();
        let own: BTreeMap<String, String> = [(
            world.containers[3].id.clone(),
            "the vault runs in it".to_owned(),
        )]
        .into();
        let found = discover(&world);
        let plan = plan(found.app("db").unwrap(), &world, &captured(), &own);
        assert!(!names(&plan.freeze).contains(&"other"));
        assert_eq!(plan.level, Level::Live);
        assert_eq!(
            plan.reason,
            "crashing writes volume db and cannot be frozen, because it is restarting; other writes volume db and cannot be frozen, because the vault runs in it."
        );
        // It does not matter where it writes nothing that is captured.
        let nothing = super::plan(found.app("db").unwrap(), &world, &Captured::default(), &own);
        assert_eq!((nothing.level, nothing.freeze.len()), (Level::Crash, 0));
    }

    #[test]
    fn what_is_captured_follows_the_decisions() {
        let world = world();
        let found = discover(&world);
        let files = found.app("files").unwrap();
        let of = |d: Decision| Captured::of(files, &[d]).paths.len();
        assert_eq!(of(Decision::Captured), 1);
        assert_eq!(
            of(Decision::LeftOut {
                reason: String::new(),
                decided: true
            }),
            0
        );
        assert_eq!(
            Captured::of(found.app("db").unwrap(), &[]).volumes,
            ["db".to_owned()].into()
        );
    }

    #[test]
    fn a_captured_layer_makes_its_container_a_writer() {
        let world = world();
        let captured = Captured {
            layers: [world.containers[9].id.clone()].into(),
            ..Captured::default()
        };
        let found = discover(&world);
        let plan = plan(
            found.app("stateless").unwrap(),
            &world,
            &captured,
            &BTreeMap::new(),
        );
        assert_eq!(names(&plan.freeze), ["stateless"]);
    }
}
