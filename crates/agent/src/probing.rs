//! The probes: which containers are asked what, and what they answer, told to the supervisor.
//!
//! Only checks that are not the image's own are asked here: of those the engine tells by itself, at no cost. A prober
//! belongs to one connection; an engine that came back gets another one, and all containers are watched anew, since all are
//! inspected after a gap.

use std::sync::Arc;

use crossbeam_channel::Sender;
use lifeboat_engine::Engine;
use lifeboat_plan::inventory::{Container, ContainerState};
use lifeboat_plan::probe::{self, Change, Check, Settings, Which};
use lifeboat_plan::supervise::{Event, Kind, What};
use lifeboat_probe::{Options, Prober, Report};
use parking_lot::Mutex;

use crate::follow::Current;
use crate::run::Message;

struct Asking {
    engine: Arc<dyn Engine>,
    prober: Prober,
}

/// Shared by those who see containers and those who hear events.
#[derive(Clone)]
pub(crate) struct Probing(Arc<Inner>);

struct Inner {
    current: Current,
    to: Sender<Message>,
    seed: u64,
    settings: Settings,
    asking: Mutex<Option<Asking>>,
}

impl Probing {
    pub(crate) fn new(
        current: Current,
        to: Sender<Message>,
        seed: u64,
        settings: Settings,
    ) -> Self {
        Self(Arc::new(Inner {
            current,
            to,
            seed,
            settings,
            asking: Mutex::default(),
        }))
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    /// A container was inspected.
    pub(crate) fn watch(&self, container: &Container) {
        let mut probes = probe::read(container, &self.0.settings);
        for which in [
            &mut probes.startup,
            &mut probes.liveness,
            &mut probes.readiness,
        ] {
            if which
                .as_ref()
                .is_some_and(|probe| probe.check.value == Check::Docker)
            {
                *which = None;
            }
        }
        let any =
            probes.startup.is_some() || probes.liveness.is_some() || probes.readiness.is_some();
        if !any || container.state != ContainerState::Running {
            self.forget(&container.id);
            return;
        }
        let Some(engine) = self.0.current.get() else {
            return;
        };
        let mut asking = self.0.asking.lock();
        let same = asking
            .as_ref()
            .is_some_and(|asking| Arc::ptr_eq(&asking.engine, &engine));
        if !same {
            *asking = self.begin(engine);
        }
        if let Some(asking) = asking.as_ref() {
            asking.prober.watch(container, probes);
        }
    }

    fn begin(&self, engine: Arc<dyn Engine>) -> Option<Asking> {
        let options = Options {
            seed: self.0.seed,
            ..Options::default()
        };
        let started = Prober::start(Arc::clone(&engine), options);
        let (prober, reports) = match started {
            Ok(both) => both,
            Err(error) => {
                tracing::warn!(%error, "no probes are asked");
                return None;
            }
        };
        let to = self.0.to.clone();
        let listening = std::thread::Builder::new()
            .name("agent-probes".to_owned())
            .spawn(move || {
                // Ends with the prober.
                for report in reports {
                    if let Some(event) = told(report) {
                        let _ = to.send(Message::Event(event));
                    }
                }
            });
        if let Err(error) = listening {
            tracing::warn!(%error, "no probes are asked");
            return None;
        }
        Some(Asking { engine, prober })
    }

    pub(crate) fn forget(&self, id: &str) {
        self.with(|prober| prober.forget(id));
    }

    /// What the engine told, before the supervisor takes it.
    pub(crate) fn hear(&self, event: &Event) {
        let Event::Happened(happened) = event else {
            return;
        };
        let id = &happened.id;
        match happened.what {
            What::Pause => self.with(|prober| prober.hold(id)),
            What::Unpause => self.with(|prober| prober.resume(id)),
            What::Die { .. } | What::Destroy => self.forget(id),
            _ => {}
        }
    }

    fn with(&self, order: impl Fn(&Prober)) {
        if let Some(asking) = self.0.asking.lock().as_ref() {
            order(&asking.prober);
        }
    }

    pub(crate) fn finish(&self) {
        self.0.asking.lock().take();
    }
}

fn told(report: Report) -> Option<Event> {
    let times = |failures: u32, why: String| match failures {
        1 => why,
        n => format!("{why} ({n} times in a row)"),
    };
    let (kind, well, why) = match report.change {
        Change::Started | Change::Responsive => (Kind::Liveness, true, String::new()),
        Change::StartupFailed { failures, why } => (
            Kind::Liveness,
            false,
            format!("it does not come up: {}", times(failures, why)),
        ),
        Change::Unresponsive { failures, why } => (
            Kind::Liveness,
            false,
            format!("it does not answer: {}", times(failures, why)),
        ),
        Change::Ready => (Kind::Readiness, true, String::new()),
        Change::NotReady { failures, why } => (
            Kind::Readiness,
            false,
            format!("not ready: {}", times(failures, why)),
        ),
        // A database that recovers is left to it.
        Change::Recovering { why } => (
            Kind::Readiness,
            false,
            format!("still coming up, and left to it: {why}"),
        ),
    };
    // Without a readiness probe, ready is what the liveness probe says; that is no news.
    if kind == Kind::Readiness && report.which != Which::Readiness {
        return None;
    }
    Some(Event::Probed {
        id: report.id,
        kind,
        well,
        why,
    })
}
