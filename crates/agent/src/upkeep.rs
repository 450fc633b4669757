//! What has to be done now and then, whatever happens: the host is looked at, and old containers that were set
//! aside are taken away, and definitions that nobody needs any more.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use lifeboat_engine::Engine;
use lifeboat_plan::supervise::{Event, Note};

use crate::Clock;
use crate::asides::Asides;
use crate::definitions::Definitions;
use crate::follow::Current;
use crate::host::Host;
use crate::keeping::Gone;
use crate::run::Message;
use crate::tidy;

/// How often it is seen whether to end.
const POLL: Duration = Duration::from_millis(200);
/// How often the host is looked at.
const READ: Duration = Duration::from_secs(5);
/// How often what was set aside is looked at.
const EXPIRE: Duration = Duration::from_secs(600);
/// How often definitions are looked at, and how soon first: by then it is known what is gone.
const TIDY: Duration = Duration::from_secs(600);

/// The thread's own.
pub(crate) struct Upkeep {
    pub(crate) current: Current,
    pub(crate) asides: Asides,
    pub(crate) definitions: Definitions,
    pub(crate) gone: Gone,
    pub(crate) clock: Clock,
    pub(crate) to: Sender<Message>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) host: Host,
}

impl Upkeep {
    /// The thread's work.
    pub(crate) fn run(&self) {
        let mut expired: Option<Instant> = None;
        let mut tidied = Instant::now();
        let mut read: Option<Instant> = None;
        while !self.stop.load(Ordering::Relaxed) {
            if expired.is_none_or(|last| last.elapsed() >= EXPIRE)
                && let Some(engine) = self.current.get()
            {
                expired = Some(Instant::now());
                for (name, aside) in self.asides.expire(engine.as_ref()) {
                    let text = format!(
                        "{aside}, set aside when {name} was made again, is taken away after 7 days"
                    );
                    self.tell(&name, "tidied", text);
                }
            }
            if tidied.elapsed() >= TIDY
                && let Some(engine) = self.current.get()
            {
                tidied = Instant::now();
                self.tidy(engine.as_ref());
            }
            if read.is_none_or(|last| last.elapsed() >= READ) {
                read = Some(Instant::now());
                let reading = Event::Host(Box::new(self.host.read()));
                let _ = self.to.send(Message::Event(reading));
            }
            std::thread::sleep(POLL);
        }
    }

    fn tidy(&self, engine: &dyn Engine) {
        let Ok(listed) = engine.list_containers() else {
            // It is asked again.
            return;
        };
        let here: BTreeSet<String> = listed.into_iter().map(|one| one.name).collect();
        let wanted = self.gone.lock().values().flatten().cloned().collect();
        match tidy::tidy(&self.definitions, &here, &wanted, self.clock.now()) {
            Ok(names) => {
                for name in names {
                    let text = format!(
                        "the definition of {name}, which is not there any more, is taken away"
                    );
                    self.tell(&name, "tidied", text);
                }
            }
            Err(error) => {
                tracing::warn!(%error, "definitions of what is not there any more cannot be taken away; it is tried again");
            }
        }
    }

    fn tell(&self, container: &str, kind: &str, text: String) {
        // Nobody listens once the agent ends.
        let _ = self.to.send(Message::Note(Note {
            at: self.clock.now(),
            app: container.to_owned(),
            container: container.to_owned(),
            kind: kind.to_owned(),
            text,
        }));
    }
}
