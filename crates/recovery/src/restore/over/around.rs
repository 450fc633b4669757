//! Who stands still around a part that is replaced and is the same afterwards: a running container keeps
//! the folder that it was started with, and some have to be restarted with what they need.
//!
//! While one stands still its restart policy is `no`, so that the engine does not start it in the middle.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use lifeboat_engine::{Engine, Health};
use lifeboat_plan::{
    app::is_live,
    inventory::{Container, ContainerState, Mount, MountKind},
    order::{Because, order},
    path::is_within,
};

use super::{
    here::uses,
    look::{Looking, Swap},
    old::Old,
};
use crate::{RecoveryError, Result};

/// How long a container may take to become healthy again.
const HEALTHY_WITHIN: Duration = Duration::from_secs(180);
/// A container without a health check has to run for so long to count as up.
const UP_FOR: Duration = Duration::from_millis(1500);

impl Looking<'_> {
    /// Everybody who runs and uses something that changes places, and who has to be restarted with one
    /// that is replaced: what shares a namespace with it, what its `depends_on` asks to restart.
    pub(super) fn around(&mut self) {
        let Some(part) = self.part else {
            return;
        };
        // What comes back without having been here has dependents as well.
        let mut all = self.here.containers.clone();
        let coming = self.point.definitions.containers.values();
        let coming = coming.map(|raw| lifeboat_engine::container_facts(raw.clone()));
        let absent: Vec<Container> = coming
            .filter(|new| !all.iter().any(|c| c.name == new.name))
            .collect();
        let mut moved: BTreeSet<String> = self.scene.old.iter().map(|o| o.id.clone()).collect();
        moved.extend(absent.iter().map(|c| c.id.clone()));
        let replaced = moved.clone();
        all.extend(absent);
        let steps = order(&all.iter().collect::<Vec<_>>()).steps;
        for (at, step) in steps.iter().enumerate() {
            if let Some(old) = self.scene.old.iter_mut().find(|old| old.id == step.id) {
                old.order = at;
            }
        }
        for (at, step) in steps.into_iter().enumerate() {
            let here = self.here.containers.iter();
            let mut here = here.filter(|c| c.id == step.id);
            let Some(container) = here.next().filter(|c| !replaced.contains(&c.id)) else {
                continue;
            };
            let bound = step
                .waits_for
                .iter()
                .any(|d| d.because == Because::Reference && replaced.contains(&d.on));
            if !is_live(container.state) {
                if bound {
                    self.scene.notes.push(format!(
                        "{}, which does not run, shares a namespace, a link or volumes with a container that is replaced, and cannot be started any more; replace it too (--service {}), or make it anew",
                        container.name, container.name
                    ));
                }
                continue;
            }
            if bound {
                self.scene.refused.push(format!(
                    "{} shares a namespace, a link or volumes with a container that is replaced, and cannot run with its successor; replace it too (--service {})",
                    container.name, container.name
                ));
                continue;
            }
            let follows = |d: &lifeboat_plan::order::Dependency| d.restart && moved.contains(&d.on);
            let holds_one = |m: &Mount| {
                let is_it = |s: &Swap| {
                    holds(m, &s.target) || uses(m, self.here, &s.target.to_string_lossy())
                };
                self.scene.swaps.iter().any(is_it)
            };
            if !step.waits_for.iter().any(follows) && !container.mounts.iter().any(holds_one) {
                continue;
            }
            moved.insert(step.id);
            let ours = self
                .app
                .is_some_and(|app| app.container(&container.id).is_some());
            if !ours && !part.pieces.stop_users {
                self.scene.refused.push(format!(
                    "{} belongs to another app and would have to stop for it; --stop-users stops it and starts it again",
                    container.name
                ));
            }
            if container.auto_remove {
                self.scene.refused.push(format!(
                    "{} uses it and is removed by the engine when it stops (--rm); stop it first",
                    container.name
                ));
            }
            self.scene.around.push(Old {
                order: at,
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
    }
}

/// Those that start before anything that is replaced, and those that start after it.
pub fn before_and_after<'o>(around: &'o [Old], old: &[Old]) -> (Vec<&'o Old>, Vec<&'o Old>) {
    let first = old.iter().map(|old| old.order).min();
    around
        .iter()
        .partition(|one| first.is_some_and(|first| one.order < first))
}

/// Restart policies as they were, and everything started. `told` hears which comes next.
pub fn start(engine: &dyn Engine, around: &[&Old], told: &dyn Fn(&Old)) -> Result<()> {
    for one in around {
        told(one);
        one.release(engine)?;
        match engine.start(&one.id) {
            // Somebody took it away meanwhile, which is theirs to do.
            Err(e) if e.is_not_found() => continue,
            Err(e) => {
                return Err(RecoveryError::Failed(format!(
                    "{} did not start again: {e}",
                    one.name
                )));
            }
            Ok(()) => {}
        }
        // Dependents come after it; whether it is well is judged at the end.
        if !one.paused {
            let _ = engine.wait_healthy(&one.id, HEALTHY_WITHIN);
        }
    }
    Ok(())
}

/// What somebody had paused is so again.
pub fn pause_again(engine: &dyn Engine, around: &[Old]) {
    for one in around.iter().filter(|one| one.paused) {
        if let Err(e) = engine.pause(&one.id) {
            tracing::warn!("{} had been paused and is not any more: {e}", one.name);
        }
    }
}

/// Waits until all of them are up. One that somebody took away meanwhile is not asked.
pub fn validate(engine: &dyn Engine, around: &[Old]) -> Result<()> {
    let began = Instant::now();
    for one in around {
        let up = match engine.wait_healthy(&one.id, HEALTHY_WITHIN) {
            Ok(Health::Healthy) => true,
            Ok(Health::NoCheck) => {
                if let Some(rest) = UP_FOR.checked_sub(began.elapsed()) {
                    std::thread::sleep(rest);
                }
                engine.inspect_container(&one.id)?["State"]["Running"] == true
            }
            Err(e) if e.is_not_found() => true,
            Err(_) => false,
        };
        if !up {
            return Err(RecoveryError::Failed(format!(
                "{} does not run with the data of the point; look at `docker logs {}`",
                one.name, one.name
            )));
        }
    }
    pause_again(engine, around);
    Ok(())
}

/// Whether a mount shows the target: it lies in it, or it lies in what is mounted and may be written.
/// (Who only looks at the whole host, as monitors do, looks at what is there.)
pub(super) fn holds(mount: &Mount, target: &std::path::Path) -> bool {
    let target = target.to_string_lossy();
    let kind = matches!(mount.kind, MountKind::Volume | MountKind::Bind);
    let around = mount.writable && mount.source != "/" && is_within(&target, &mount.source);
    kind && !mount.source.is_empty() && (is_within(&mount.source, &target) || around)
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
