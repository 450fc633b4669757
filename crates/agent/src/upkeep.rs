//! What has to be done now and then, whatever happens: the host is looked at, and old containers that were set
//! aside are taken away.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use lifeboat_plan::supervise::{Event, Note};

use crate::Clock;
use crate::asides::Asides;
use crate::follow::Current;
use crate::host::Host;
use crate::run::Message;

/// How often it is seen whether to end.
const POLL: Duration = Duration::from_millis(200);
/// How often the host is looked at.
const READ: Duration = Duration::from_secs(5);
/// How often what was set aside is looked at.
const EXPIRE: Duration = Duration::from_secs(600);

/// The thread's own.
pub(crate) struct Upkeep {
    pub(crate) current: Current,
    pub(crate) asides: Asides,
    pub(crate) clock: Clock,
    pub(crate) to: Sender<Message>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) host: Host,
}

impl Upkeep {
    /// The thread's work.
    pub(crate) fn run(&self) {
        let mut expired: Option<Instant> = None;
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
            if read.is_none_or(|last| last.elapsed() >= READ) {
                read = Some(Instant::now());
                let reading = Event::Host(Box::new(self.host.read()));
                let _ = self.to.send(Message::Event(reading));
            }
            std::thread::sleep(POLL);
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
