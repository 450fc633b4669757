//! Who holds what is to be replaced: a running container keeps the folder that it was started with.

use std::{collections::BTreeSet, path::PathBuf};

use lifeboat_plan::{
    app::is_live,
    inventory::{Container, ContainerState, Inventory, Mount, MountKind},
    label,
    manifest::Manifest,
    order::order,
    path::is_within,
};

use super::Options;
use crate::restore::{exchange::Pair, over::Old};

/// Containers that have to stand still.
#[derive(Default)]
pub struct Users {
    /// In the order in which they start.
    pub old: Vec<Old>,
    /// Those that are not of the app.
    pub foreign: Vec<String>,
    /// Names and project of the app, to tell.
    pub app: App,
}

/// What tells that a container is of the app.
#[derive(Debug, Clone, Default)]
pub struct App {
    names: BTreeSet<String>,
    project: Option<String>,
}

impl From<&Manifest> for App {
    fn from(manifest: &Manifest) -> Self {
        Self {
            names: manifest.containers.iter().map(|c| c.name.clone()).collect(),
            project: manifest.project.as_ref().map(|p| p.name.clone()),
        }
    }
}

impl From<&App> for App {
    fn from(app: &App) -> Self {
        app.clone()
    }
}

impl App {
    fn has(&self, container: &Container) -> bool {
        let project = label::get(&container.labels, label::PROJECT);
        self.names.contains(&container.name)
            || (project.is_some() && project == self.project.as_deref())
    }
}

/// Everybody who runs and uses one of the targets, and who has to be restarted with one of them: what
/// shares a namespace with it, what its `depends_on` asks to restart.
pub fn users(here: &Inventory, app: impl Into<App>, targets: &[PathBuf]) -> Users {
    let app = app.into();
    let all: Vec<&Container> = here.containers.iter().collect();
    let live = |id: &str| all.iter().find(|c| c.id == id && is_live(c.state)).copied();
    let uses = |c: &Container| c.mounts.iter().any(|m| targets.iter().any(|t| holds(m, t)));
    let mut moved: BTreeSet<String> = BTreeSet::new();
    let mut found = Users::default();
    for step in order(&all).steps {
        let Some(container) = live(&step.id) else {
            continue;
        };
        let follows = step
            .waits_for
            .iter()
            .any(|d| d.restart && moved.contains(&d.on));
        if !uses(container) && !follows {
            continue;
        }
        moved.insert(step.id);
        if !app.has(container) {
            found.foreign.push(container.name.clone());
        }
        found.old.push(Old {
            order: found.old.len(),
            id: container.id.clone(),
            name: container.name.clone(),
            running: true,
            paused: container.state == ContainerState::Paused,
            policy: container.raw["HostConfig"]["RestartPolicy"].to_string(),
            auto_remove: container.auto_remove,
            anonymous: Vec::new(),
            image: container.image_id.clone(),
        });
    }
    found.app = app;
    found
}

impl Users {
    /// Who may not be stopped.
    pub fn obstacles(&self, options: Options) -> Vec<String> {
        let mut found = Vec::new();
        for name in self.foreign.iter().filter(|_| !options.stop_users) {
            found.push(format!(
                "{name} belongs to another app and would have to stop for it; --stop-users stops it and starts it again"
            ));
        }
        for old in self.old.iter().filter(|old| old.is_removed_on_stop()) {
            found.push(format!(
                "{} uses it and is removed by the engine when it stops (--rm); stop it first",
                old.name
            ));
        }
        found
    }
}

/// Whether a mount shows the target: it lies in it, or it lies in what is mounted and may be written.
/// (Who only looks at the whole host, as monitors do, looks at what is there.)
fn holds(mount: &Mount, target: &std::path::Path) -> bool {
    let target = target.to_string_lossy();
    let kind = matches!(mount.kind, MountKind::Volume | MountKind::Bind);
    let around = mount.writable && mount.source != "/" && is_within(&target, &mount.source);
    kind && !mount.source.is_empty() && (is_within(&mount.source, &target) || around)
}

/// A container that runs and holds what is about to be exchanged.
pub fn still_uses(here: &Inventory, pairs: &[Pair]) -> Option<String> {
    let live = here.containers.iter().filter(|c| is_live(c.state));
    let uses = |c: &&Container| {
        c.mounts
            .iter()
            .any(|m| pairs.iter().any(|p| holds(m, &p.target)))
    };
    live.into_iter().find(uses).map(|c| c.name.clone())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn who_holds_a_folder() {
        let mount = |source: &str, writable| Mount {
            kind: MountKind::Bind,
            source: source.to_owned(),
            writable,
            ..Mount::default()
        };
        let target = Path::new("/srv/shop");
        for (source, writable, held) in [
            ("/srv/shop", false, true),
            ("/srv/shop/inner", false, true),
            ("/srv", true, true),
            ("/srv", false, false),
            ("/", true, false),
            ("/srv/shop2", true, false),
            ("", true, false),
        ] {
            assert_eq!(holds(&mount(source, writable), target), held, "{source}");
        }
    }
}
