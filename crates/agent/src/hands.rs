//! What is done at the engine: on a few threads, each thing once, with what came of it sent back.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use lifeboat_engine::Engine;
use lifeboat_plan::supervise::{Did, Effect, Event, Failed, Trouble};
use parking_lot::Mutex;
use serde_json::json;

use crate::asides::Asides;
use crate::definitions::Definitions;
use crate::follow::Current;
use crate::help::Helper;
use crate::making::Making;
use crate::probing::Probing;
use crate::run::Message;
use crate::{blame, diagnose, needs, process, recreate, replicas, translate};

/// Threads for looking, for starting (the supervisor has no more than four starts under way), for stopping, and for
/// waiting for what is fetched.
const POOLS: [(&str, usize); 4] = [
    ("agent-look", 2),
    ("agent-start", 4),
    ("agent-stop", 8),
    ("agent-fetch", 2),
];

/// What every hand needs.
#[derive(Clone)]
pub(crate) struct Reach {
    pub(crate) current: Current,
    pub(crate) definitions: Definitions,
    pub(crate) asides: Asides,
    pub(crate) making: Making,
    pub(crate) help: Helper,
    /// A definition changed.
    pub(crate) changed: Sender<()>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) to: Sender<Message>,
    pub(crate) probing: Probing,
    pub(crate) heal_all: bool,
}

/// The hands.
pub(crate) struct Hands {
    queues: Vec<Sender<Effect>>,
    threads: Vec<JoinHandle<()>>,
    to_inspect: ToInspect,
}

/// Containers that wait to be looked at: each once, however often it was asked for.
type ToInspect = Arc<Mutex<HashSet<String>>>;

impl Hands {
    pub(crate) fn start(reach: &Reach) -> std::io::Result<Self> {
        let (mut queues, mut threads) = (Vec::new(), Vec::new());
        let to_inspect = ToInspect::default();
        for (name, count) in POOLS {
            let (sender, receiver) = unbounded::<Effect>();
            for _ in 0..count {
                let (reach, receiver) = (reach.clone(), receiver.clone());
                let to_inspect = Arc::clone(&to_inspect);
                let thread = std::thread::Builder::new().name(name.to_owned());
                threads.push(thread.spawn(move || work(&reach, &receiver, &to_inspect))?);
            }
            queues.push(sender);
        }
        Ok(Self {
            queues,
            threads,
            to_inspect,
        })
    }

    /// Has it done. `Tell` is not for hands.
    pub(crate) fn give(&self, effect: Effect) {
        let pool = match &effect {
            Effect::Start { .. }
            | Effect::Recreate { .. }
            | Effect::Replicate { .. }
            | Effect::Supersede { .. } => 1,
            Effect::Stop { .. } | Effect::Withdraw { .. } | Effect::TakeBack { .. } => 2,
            Effect::Fetch { .. } => 3,
            // Who waits to be looked at will be seen as it is then.
            Effect::Inspect { id } if !self.to_inspect.lock().insert(id.clone()) => return,
            _ => 0,
        };
        // The queues live as long as the hands.
        let _ = self.queues[pool].send(effect);
    }

    /// What began is finished; what waits in a queue is done too, since it is written down as under way.
    pub(crate) fn finish(self) {
        drop(self.queues);
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

fn work(reach: &Reach, queue: &Receiver<Effect>, to_inspect: &ToInspect) {
    for effect in queue {
        if let Effect::Inspect { id } = &effect {
            to_inspect.lock().remove(id);
        }
        let id = match &effect {
            Effect::Inspect { id }
            | Effect::Start { id, .. }
            | Effect::Stop { id, .. }
            | Effect::Recreate { id, .. }
            | Effect::Fetch { id, .. }
            | Effect::Diagnose { id, .. }
            | Effect::Withdraw { id, .. }
            | Effect::Supersede { id, .. }
            | Effect::TakeBack { id, .. }
            | Effect::Replicate { of: id, .. }
            | Effect::Policy { id, .. } => id.clone(),
            Effect::Tell(_) => continue,
            Effect::Blame { .. } => String::new(),
        };
        let acts = matches!(
            effect,
            Effect::Start { .. } | Effect::Stop { .. } | Effect::Recreate { .. }
        );
        let event = match reach.current.get() {
            // Whoever helps reaches the engine by itself.
            _ if matches!(effect, Effect::Fetch { .. }) => reach.fetch(effect),
            Some(engine) => reach.act(engine.as_ref(), effect),
            None if acts => Some(failed(&id, Trouble::Engine, "the engine does not answer")),
            None => replicas::not_done(&effect),
        };
        if let Some(event) = event {
            let _ = reach.to.send(Message::Event(event));
        }
    }
}

fn failed(id: &str, kind: Trouble, text: &str) -> Event {
    Event::Did {
        id: id.to_owned(),
        did: Did::Failed(Failed {
            kind,
            text: text.to_owned(),
        }),
    }
}

/// What kind of failure an engine's error is.
pub(crate) fn kind_of(error: &lifeboat_engine::Error) -> Trouble {
    let text = error.to_string();
    let stale = text.contains("network") && text.contains("not found")
        || text.contains("joining network namespace of container")
        || text.contains("No such container:") && text.contains("cannot join");
    if error.is_unreachable() {
        Trouble::Engine
    } else if stale {
        Trouble::Stale
    } else if error.is_not_found() {
        Trouble::NotFound
    } else {
        Trouble::Other
    }
}

impl Reach {
    fn act(&self, engine: &dyn Engine, effect: Effect) -> Option<Event> {
        if let Effect::Start { id, after } | Effect::Recreate { id, after, .. } = &effect {
            let ended = process::ended(after);
            if !ended.is_empty() {
                return Some(Event::Did {
                    id: id.clone(),
                    did: Did::EndedFirst(ended),
                });
            }
        }
        match effect {
            Effect::Inspect { id } => self.inspect(engine, &id),
            Effect::Start { id, .. } => {
                let done = match needs::hinders_start(engine, &self.help, &id) {
                    Ok(Some(why)) => return Some(failed(&id, Trouble::Other, &why)),
                    Ok(None) => engine.start(&id),
                    Err(error) => Err(error),
                };
                Some(told(&id, done, Did::Started))
            }
            Effect::Stop { id, grace } => {
                process::wake(&id);
                let done = engine.stop(&id, grace.map(Duration::from_secs));
                Some(told(&id, done, Did::Stopped))
            }
            Effect::Recreate {
                id,
                name,
                refers,
                also,
                ..
            } => {
                let again = recreate::Again {
                    id: &id,
                    name: &name,
                    refers: &refers,
                    also: &also,
                };
                let did = recreate::recreate(engine, self, &again);
                Some(Event::Did { id, did })
            }
            Effect::Replicate { of, name } => Some(replicas::replicate(engine, &of, &name)),
            Effect::Supersede { of, id, name } => {
                Some(replicas::supersede(engine, &of, &id, &name))
            }
            Effect::TakeBack { id, name, instead } => {
                Some(replicas::take_back(engine, &id, &name, instead.as_deref()))
            }
            Effect::Withdraw { id, name } => Some(replicas::withdraw(engine, &id, &name)),
            Effect::Blame { shortage } => Some(Event::Blamed {
                takers: blame::takers(engine, shortage),
                shortage,
            }),
            Effect::Diagnose { id, error } => Some(Event::Diagnosed {
                sentence: diagnose::diagnose(engine, &id, error.as_deref()),
                id,
            }),
            Effect::Policy { id, policy } => {
                let (name, most) = match policy {
                    lifeboat_plan::supervise::Policy::OnFailure(most) => ("on-failure", most),
                    lifeboat_plan::supervise::Policy::Always => ("always", 0),
                    lifeboat_plan::supervise::Policy::UnlessStopped => ("unless-stopped", 0),
                    lifeboat_plan::supervise::Policy::No => ("no", 0),
                };
                let body = json!({"RestartPolicy": {"Name": name, "MaximumRetryCount": most}});
                if let Err(error) = engine.update_container(&id, &body) {
                    tracing::warn!(%error, "a restart policy cannot be changed");
                }
                None
            }
            Effect::Tell(_) | Effect::Fetch { .. } => None,
        }
    }

    /// Waits until it is there. An agent that ends does not: whoever comes after it goes on.
    fn fetch(&self, effect: Effect) -> Option<Event> {
        let Effect::Fetch { id, app, lack } = effect else {
            return None;
        };
        if self.stop.load(Ordering::Relaxed) {
            return None;
        }
        let brought = match &self.help {
            Some(help) => help.bring(&app, &lack, &self.stop),
            None => Err("there is no vault to fetch it from".to_owned()),
        };
        if self.stop.load(Ordering::Relaxed) {
            return None;
        }
        Some(match brought {
            Ok(()) => Event::Did {
                id,
                did: Did::Fetched,
            },
            Err(why) => {
                let text = format!("{} cannot be fetched: {why}", lack.words());
                failed(&id, Trouble::Other, &text)
            }
        })
    }

    fn inspect(&self, engine: &dyn Engine, id: &str) -> Option<Event> {
        match engine.inspect_container(id) {
            Ok(raw) => {
                if self.definitions.keep(engine, &raw) {
                    // Nobody listens where there is no vault.
                    let _ = self.changed.send(());
                }
                let container = lifeboat_engine::container_facts(raw);
                self.probing.watch(&container);
                let settings = self.probing.settings();
                Some(translate::inspected(&container, self.heal_all, settings))
            }
            Err(error) if error.is_not_found() => {
                self.probing.forget(id);
                Some(Event::Vanished { id: id.to_owned() })
            }
            Err(error) => {
                tracing::warn!(%error, "a container cannot be looked at");
                None
            }
        }
    }
}

fn told(id: &str, done: lifeboat_engine::Result<()>, did: Did) -> Event {
    match done {
        Ok(()) => Event::Did {
            id: id.to_owned(),
            did,
        },
        Err(error) => failed(id, kind_of(&error), &error.to_string()),
    }
}
