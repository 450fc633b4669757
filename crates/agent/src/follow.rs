//! The engine's events, as long as it answers; a list after each gap and every 30 s.
//!
//! After a gap the engine is asked for what happened since the last event that was seen: it remembers some hundred, as
//! long as it was not restarted itself.
//!
//! An engine can tell more than the loop takes. Then the stream is left unread for a while, and everything is listed
//! afterwards: an engine drops what a slow reader does not take, and says nothing of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use lifeboat_engine::{Engine, EngineEvent};
use lifeboat_plan::supervise::Event;
use parking_lot::Mutex;

use crate::run::Message;
use crate::{Connect, translate};

/// How often everything is looked at, though nothing happened.
const RECONCILE: Duration = Duration::from_secs(30);
/// The same while the engine tells more than is taken.
const CATCH_UP: Duration = Duration::from_secs(2);
/// How often the stream is left to see whether to end.
const POLL: Duration = Duration::from_millis(500);
/// Between two tries to reach an engine that does not answer.
const RETRY: Duration = Duration::from_millis(200);
/// What the engine remembers comes at once; so long nothing comes, and that was all.
const REPLAY: Duration = Duration::from_millis(150);

/// So many messages may wait for the loop before the stream is left unread.
const MOST_WAITING: usize = 5_000;
/// How often it is looked whether there is room again.
const ROOM: Duration = Duration::from_millis(10);

/// The engine, as long as it answers.
#[derive(Clone, Default)]
pub(crate) struct Current(Arc<Mutex<Option<Arc<dyn Engine>>>>);

impl Current {
    pub(crate) fn get(&self) -> Option<Arc<dyn Engine>> {
        self.0.lock().clone()
    }

    fn set(&self, engine: Option<Arc<dyn Engine>>) {
        *self.0.lock() = engine;
    }
}

/// Which data root it is, behind a `#`: one that was emptied and made anew has the same path, and with some engines the
/// same id. Nothing where it cannot be seen from here.
fn generation(engine: &dyn Engine, data_root: &str) -> String {
    use std::os::unix::fs::MetadataExt as _;
    if !engine.endpoint().starts_with("unix:") {
        return String::new();
    }
    let folder = std::path::Path::new(data_root).join("containers");
    let Ok(meta) = fs_err::metadata(folder) else {
        return String::new();
    };
    let born = meta.created().ok();
    let born = born.and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
    format!("#{}:{}", meta.ino(), born.unwrap_or_default().as_nanos())
}

/// Follows until told to stop.
pub(crate) struct Follower {
    pub(crate) connect: Connect,
    pub(crate) current: Current,
    pub(crate) to: Sender<Message>,
    pub(crate) stop: Arc<AtomicBool>,
    /// The last event that was seen before.
    pub(crate) since: Option<i64>,
}

impl Follower {
    /// The thread's work.
    pub(crate) fn run(&self) {
        let mut since = self.since;
        let mut complained = false;
        while !self.stops() {
            match self.follow(&mut since) {
                Ok(()) => return,
                Err(error) => {
                    if self.current.get().is_some() {
                        self.current.set(None);
                        self.send(Event::Lost);
                        complained = true;
                        tracing::warn!(%error, "the engine is lost");
                    } else if !complained {
                        complained = true;
                        tracing::warn!(%error, "no engine yet; trying on");
                    }
                }
            }
            std::thread::sleep(RETRY);
        }
    }

    fn stops(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn send(&self, event: Event) {
        // Nobody listens once the agent ends.
        let _ = self.to.send(Message::Event(event));
    }

    /// Lets the loop take what waits for it; whether it had to.
    fn waits_for_room(&self) -> bool {
        let is_full = || self.to.len() > MOST_WAITING;
        let had_to = is_full();
        while is_full() && !self.stops() {
            std::thread::sleep(ROOM);
        }
        had_to
    }

    fn follow(&self, since: &mut Option<i64>) -> lifeboat_engine::Result<()> {
        let engine = (self.connect)()?;
        let facts = engine.facts()?;
        // Podman's id is another one at each call.
        let id = if facts.kind == "docker" {
            facts.id
        } else {
            facts.hostname
        };
        let fingerprint = format!(
            "{}:{id}:{}{}",
            facts.kind,
            facts.data_root,
            generation(engine.as_ref(), &facts.data_root)
        );
        let seen = *since;
        let mut stream = engine.events(seen)?;
        while let Some(event) = stream.next(REPLAY)? {
            self.take(&event, seen, since);
        }
        self.list(&engine, &fingerprint)?;
        self.current.set(Some(Arc::clone(&engine)));
        let mut listed = Instant::now();
        let mut behind = false;
        while !self.stops() {
            if let Some(event) = stream.next(POLL)? {
                self.take(&event, seen, since);
            }
            behind |= self.waits_for_room();
            if listed.elapsed() >= if behind { CATCH_UP } else { RECONCILE } {
                behind = false;
                listed = Instant::now();
                self.list(&engine, &fingerprint)?;
            }
        }
        Ok(())
    }

    /// Hands an event on, unless it was seen before this connection: what is asked for again begins with that. Within one
    /// connection events may come in another order than their times: an engine that stops several containers at once
    /// stamps them before it sends them.
    fn take(&self, event: &EngineEvent, seen: Option<i64>, since: &mut Option<i64>) {
        if seen.is_some_and(|seen| event.time_nano <= seen) {
            return;
        }
        *since = (*since).max(Some(event.time_nano));
        if let Some(happened) = translate::event(event) {
            self.send(Event::Happened(happened));
        }
    }

    fn list(&self, engine: &Arc<dyn Engine>, fingerprint: &str) -> lifeboat_engine::Result<()> {
        let containers = engine.list_containers()?;
        if self.current.get().is_none() {
            self.current.set(Some(Arc::clone(engine)));
        }
        self.send(Event::Listed {
            engine: fingerprint.to_owned(),
            containers: containers.iter().map(translate::seen).collect(),
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn follower(to: Sender<Message>) -> Follower {
        Follower {
            connect: Arc::new(|| -> lifeboat_engine::Result<Arc<dyn Engine>> {
                unreachable!("nobody connects")
            }),
            current: Current::default(),
            to,
            stop: Arc::default(),
            since: None,
        }
    }

    #[test]
    fn the_stream_is_left_unread_while_the_loop_is_behind() {
        let (to, told) = crossbeam_channel::unbounded();
        let follower = follower(to);
        for _ in 0..MOST_WAITING {
            follower.send(Event::Tick);
        }
        assert!(!follower.waits_for_room());
        follower.send(Event::Tick);
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| {
                let waited = follower.waits_for_room();
                (waited, follower.to.len())
            });
            // So that it is seen waiting, or has not begun to: either way it ends once there is room.
            std::thread::yield_now();
            assert!(told.try_recv().is_ok());
            let (_, left) = waits.join().unwrap();
            assert!(left <= MOST_WAITING);
        });
        // Whoever is told to end does not wait for it.
        follower.send(Event::Tick);
        follower.stop.store(true, Ordering::Relaxed);
        assert!(follower.waits_for_room());
    }

    #[test]
    fn what_was_seen_before_is_dropped_and_what_comes_out_of_order_is_not() {
        let (to, told) = crossbeam_channel::unbounded();
        let follower = follower(to);
        let mut since = Some(10);
        for time_nano in [9, 10, 20, 15] {
            let event = EngineEvent {
                kind: "container".to_owned(),
                action: "stop".to_owned(),
                id: time_nano.to_string(),
                attributes: std::collections::BTreeMap::new(),
                time_nano,
            };
            follower.take(&event, Some(10), &mut since);
        }
        let ids: Vec<String> = told
            .try_iter()
            .filter_map(|message| match message {
                Message::Event(Event::Happened(happened)) => Some(happened.id),
                _ => None,
            })
            .collect();
        assert_eq!(ids, ["20", "15"]);
        assert_eq!(since, Some(20));
    }
}
