//! What is to be kept: apps and settings as they were seen, told to the schedule.

use std::collections::BTreeSet;
use std::sync::Arc;

use lifeboat_plan::policy::Period;
use lifeboat_plan::schedule::{Event, Limits, Plan, Task, Work};

use super::{Loop, now};
use crate::{Settings, metrics, policies::AppPolicy, serve};

impl Loop {
    pub(super) fn seen(&mut self, apps: Vec<AppPolicy>, settings: Arc<Settings>) {
        let captures = settings.upkeep.captures;
        self.scheduler.set_limits(Limits {
            captures,
            ..Limits::default()
        });
        self.settings = settings;
        self.knows_settings = true;
        let mut there = BTreeSet::new();
        for app in apps.iter().filter(|app| app.policy.protect.value) {
            there.insert(app.app.clone());
            let key: Arc<str> = app.app.as_str().into();
            let plan = Plan::from(&app.policy);
            self.step(Event::Planned {
                app: Arc::clone(&key),
                plan,
            });
            if self.planned.insert(app.app.clone())
                && let Some((began, took)) = self.known.get(&app.app).copied()
            {
                self.step(Event::Point {
                    app: key,
                    began,
                    took,
                });
            }
        }
        for gone in self.planned.difference(&there).cloned().collect::<Vec<_>>() {
            let work = Work::Capture {
                app: gone.as_str().into(),
            };
            if let Some(job) = self.scheduler.asked(&work) {
                self.close_queued(job, "the app is gone, or opted out");
            }
            self.planned.remove(&gone);
            self.told.remove(&gone);
            self.step(Event::Gone {
                app: gone.as_str().into(),
            });
        }
        self.apps = apps;
        self.upkeep();
        self.ask_again();
        self.begin_orders();
        self.serve();
    }

    fn upkeep(&mut self) {
        let settings = Arc::clone(&self.settings);
        let mut wanted: Vec<(Task, u64)> = vec![
            (Task::Forget, settings.upkeep.forget.as_millis()),
            (Task::Prune, settings.upkeep.prune.as_millis()),
            (Task::Check, settings.upkeep.check.as_millis()),
        ];
        for (name, registry) in &settings.registries {
            let task =
                |task: fn(String) -> Task, every: Period| (task(name.clone()), every.as_millis());
            wanted.extend(registry.every.map(|every| task(Task::Registry, every)));
            let forget = registry.forget.as_ref();
            wanted.extend(forget.map(|rules| task(Task::ForgetTags, rules.every)));
        }
        for (name, copy) in &settings.copies {
            let task =
                |task: fn(String) -> Task, every: Period| (task(name.clone()), every.as_millis());
            wanted.push(task(Task::Copy, copy.rpo));
            if copy.retain.is_some() {
                wanted.push(task(Task::ForgetIn, settings.upkeep.forget));
                wanted.push(task(Task::PruneIn, settings.upkeep.prune));
            }
            wanted.extend(copy.check.map(|every| task(Task::CheckIn, every)));
        }
        let gone = self
            .tasks
            .iter()
            .filter(|task| !wanted.iter().any(|(w, _)| w == *task));
        for task in gone.cloned().collect::<Vec<_>>() {
            self.step(Event::Every {
                task,
                every: None,
                last: None,
            });
        }
        self.tasks = wanted.iter().map(|(task, _)| task.clone()).collect();
        for (task, every) in wanted {
            let last = self.last_done.get(&task).copied();
            self.step(Event::Every {
                task,
                every: Some(every),
                last,
            });
        }
    }

    fn serve(&mut self) {
        let wanted = self.settings.metrics.listen;
        if self.serving == wanted {
            return;
        }
        self.serving = wanted;
        let Some(at) = wanted else { return };
        let view = Arc::clone(&self.view);
        let served = serve::serve(at, Arc::clone(&self.stop), move || {
            metrics::text(&view.lock(), now())
        });
        if let Err(why) = served {
            tracing::error!("figures cannot be served at {at}: {why}");
        }
    }
}
