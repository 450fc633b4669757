//! The engine as it changes: looked at within half a second of an event, after each gap, and every 30 s in any case.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::Sender;

use crate::{
    Settings,
    keeper::{Connect, Msg},
    policies::{self, Where},
    wishes::ApiWishes,
};

const WAIT: Duration = Duration::from_millis(200);
/// Events that do not stop are looked at all the same after so long.
const LONGEST: Duration = Duration::from_millis(500);
const ANYWAY: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_secs(1);

pub(crate) struct Follow {
    pub connect: Connect,
    pub file: PathBuf,
    pub at: Where,
    pub wishes: ApiWishes,
    pub to: Sender<Msg>,
    pub stop: Arc<AtomicBool>,
}

impl Follow {
    pub fn run(&self) {
        let mut settings = Arc::new(Settings::default());
        let mut read = None;
        let mut told = String::new();
        while !self.stop.load(Ordering::Relaxed) {
            match self.follow(&mut settings, &mut read) {
                Ok(()) => {}
                Err(why) => {
                    // Once, not each second.
                    if told != why {
                        tracing::warn!("{why}");
                        told = why.clone();
                    }
                    let _ = self.to.send(Msg::Blind(why));
                }
            }
            if !self.stop.load(Ordering::Relaxed) {
                std::thread::sleep(AGAIN);
            }
        }
    }

    fn follow(
        &self,
        settings: &mut Arc<Settings>,
        read: &mut Option<Option<SystemTime>>,
    ) -> Result<(), String> {
        let engine = (self.connect)().map_err(|e| e.to_string())?;
        let mut events = engine.events(None).map_err(|e| e.to_string())?;
        let mut looked: Option<Instant> = None;
        let mut changed: Option<Instant> = None;
        let mut set = self.wishes.changes();
        while !self.stop.load(Ordering::Relaxed) {
            let event = events.next(WAIT).map_err(|e| e.to_string())?;
            let relevant = event.as_ref().is_some_and(|event| {
                let action = event.action.as_str();
                matches!(event.kind.as_str(), "container" | "volume")
                    && matches!(
                        action,
                        "create" | "destroy" | "start" | "die" | "rename" | "update"
                    )
            });
            if relevant {
                changed.get_or_insert_with(Instant::now);
            }
            let modified = fs_err::metadata(&self.file).and_then(|f| f.modified()).ok();
            if *read != Some(modified) {
                *read = Some(modified);
                match Settings::load(&self.file) {
                    Ok(new) => *settings = Arc::new(new),
                    Err(why) => {
                        tracing::warn!("{why}; what held before holds on");
                        let _ = self.to.send(Msg::Unsettled(why.to_string()));
                    }
                }
                changed.get_or_insert_with(Instant::now);
            }
            let quiet = event.is_none();
            if self.wishes.changes() != set {
                set = self.wishes.changes();
                changed.get_or_insert_with(Instant::now);
            }
            let due = changed.is_some_and(|since| quiet || since.elapsed() >= LONGEST)
                || looked.is_none_or(|at| at.elapsed() >= ANYWAY);
            if due {
                changed = None;
                looked = Some(Instant::now());
                let heeded = self.wishes.changes();
                let seen = policies::policies(
                    engine.as_ref(),
                    &self.at,
                    &settings.policies,
                    &self.wishes.all(),
                )
                .map_err(|e| e.to_string())?;
                let _ = self.to.send(Msg::Seen(seen, Arc::clone(settings), heeded));
            }
        }
        Ok(())
    }
}
