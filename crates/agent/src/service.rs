//! What a service manager is told (`sd_notify(3)`), and a watch over the loops.
//!
//! Without a service manager nothing is told. A loop that has not turned for a long time will not turn again: then the
//! program ends, so that whoever keeps it running (systemd, Docker's restart policy) starts it anew. Its state is written
//! before anything is done, so nothing is lost by that.

use std::{
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use parking_lot::Mutex;
use sd_notify::NotifyState;

use crate::{Error, Result};

/// Between two looks. A service manager wants to hear several times within its own patience.
const LOOK: Duration = Duration::from_secs(5);
/// A loop that turns takes a minute at most, on a disk that is about to die.
const HUNG: Duration = Duration::from_secs(120);
/// What the program ends with then (`EX_SOFTWARE` of `sysexits.h`).
const EXIT_HUNG: i32 = 70;

/// When a loop turned last.
#[derive(Debug, Clone)]
pub struct Turned(Arc<Mutex<Instant>>);

impl Default for Turned {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }
}

impl Turned {
    /// It turns.
    pub fn now(&self) {
        *self.0.lock() = Instant::now();
    }

    /// How long ago that was.
    #[must_use]
    pub fn ago(&self) -> Duration {
        self.0.lock().elapsed()
    }
}

/// Says how long ago a loop turned.
pub type Ago = Box<dyn Fn() -> Duration + Send>;

/// Looks after loops until it is dropped.
pub struct Watch {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// Begins to look after these loops, each with a name for people.
    ///
    /// # Errors
    /// No thread can be made.
    pub fn over(loops: Vec<(&'static str, Ago)>) -> Result<Self> {
        Self::with(loops, LOOK, HUNG, |name| {
            tracing::error!(
                "{name} has not turned for {} s; the agent ends, to be started again",
                HUNG.as_secs()
            );
            std::process::exit(EXIT_HUNG);
        })
    }

    fn with(
        loops: Vec<(&'static str, Ago)>,
        look: Duration,
        hung: Duration,
        ends: impl Fn(&'static str) + Send + 'static,
    ) -> Result<Self> {
        let (stop, stopped) = bounded(1);
        let thread = std::thread::Builder::new()
            .name("agent-watch".to_owned())
            .spawn(move || watch(&loops, &stopped, look, hung, &ends))
            .map_err(Error::file("start a thread"))?;
        Ok(Self {
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn watch(
    loops: &[(&'static str, Ago)],
    stopped: &Receiver<()>,
    look: Duration,
    hung: Duration,
    ends: &dyn Fn(&'static str),
) {
    while stopped.recv_timeout(look) == Err(RecvTimeoutError::Timeout) {
        match loops.iter().find(|(_, ago)| ago() > hung) {
            Some((name, _)) => ends(name),
            None => tell(&[NotifyState::Watchdog]),
        }
    }
}

/// All that was to begin has begun.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The settings are being read again; [`ready`] follows.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// It was asked to end, and does.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

fn tell(what: &[NotifyState]) {
    if let Err(error) = sd_notify::notify(what) {
        tracing::debug!(%error, "tell the service manager");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_stands_still_is_named_and_one_that_turns_is_not() {
        let (turns, stands) = (Turned::default(), Turned::default());
        let ago = |turned: &Turned| -> Ago {
            let turned = turned.clone();
            Box::new(move || turned.ago())
        };
        let loops = vec![("the first", ago(&turns)), ("the second", ago(&stands))];
        let (to, named) = bounded(100);
        let ms = Duration::from_millis;
        let watch = Watch::with(loops, ms(5), ms(500), move |name| {
            let _ = to.send(name);
        });
        let watch = watch.unwrap();
        let begin = Instant::now();
        let named = loop {
            turns.now();
            match named.try_recv() {
                Ok(name) => break name,
                Err(_) => std::thread::sleep(ms(5)),
            }
        };
        assert_eq!(named, "the second");
        assert!(begin.elapsed() >= ms(400));
        drop(watch);
    }
}
