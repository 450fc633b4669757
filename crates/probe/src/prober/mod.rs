//! All probes of all containers, on one thread.
//!
//! Each probe is asked on a grid of its period, from a moment of its own on; no question is asked while the last one of
//! the same probe is on its way. What an answer means is [`Health`](lifeboat_plan::probe::Health)'s; what changed goes over the channel, in order.
//!
//! The thread keeps no state that is not in the containers themselves: after a crash everything is watched anew, and
//! begins alive and not ready, as a container that has just started.

mod schedule;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lifeboat_engine::Engine;
use lifeboat_plan::inventory::Container;
use lifeboat_plan::probe::{Change, Outcome, Probes, Verdict, Which};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::ask::Asker;
use crate::target::Target;
use crate::{Error, Result};

/// Commands and the like wait on a thread each.
const SPARE_THREADS: usize = 4;

/// How probes are carried out.
#[derive(Debug, Clone)]
pub struct Options {
    /// Spreads the probes over their periods; the same number spreads them the same way.
    pub seed: u64,
    /// So many questions over the network are on their way at most.
    pub at_once: usize,
    /// So many commands in containers, and other questions to the engine, run at most.
    pub commands_at_once: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            seed: 0,
            at_once: 256,
            commands_at_once: 8,
        }
    }
}

/// Something that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The container's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When the run that this is about started, as the engine says it (`State.StartedAt`): a report about a run that is
    /// over can still be on its way.
    pub run: String,
    /// The probe that said it.
    pub which: Which,
    /// What changed.
    pub change: Change,
    /// What is thought of it now.
    pub verdict: Verdict,
}

/// The last answer of one probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LastAnswer {
    /// The answer.
    pub outcome: Outcome,
    /// When it came.
    pub at: Instant,
    /// How long it took.
    pub took: Duration,
}

/// What is known about a container.
#[derive(Debug, Clone)]
pub struct State {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The run: `State.StartedAt`.
    pub run: String,
    /// What is thought of it.
    pub verdict: Verdict,
    /// Since when it is thought to be alive, and ready, or not.
    pub since: HashMap<Which, Instant>,
    /// The last answers of its probes.
    pub answers: HashMap<Which, LastAnswer>,
    /// Nothing is asked at the moment: [`Prober::hold`].
    pub held: bool,
}

/// What the thread is told.
enum Order {
    Watch(Box<Target>, Box<Probes>),
    Forget(String),
    Hold(String),
    Resume(String),
    Look(String),
}

type States = Arc<Mutex<HashMap<String, State>>>;

/// Asks all probes of all containers that it was given. Every method returns at once and may be called from any
/// thread. Dropping it ends it, and what is on its way.
#[derive(Debug)]
pub struct Prober {
    orders: Option<mpsc::UnboundedSender<Order>>,
    states: States,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Prober {
    /// Starts, with nothing to ask. Reports come over the channel, which holds as many as there are: whoever takes it
    /// has to read it.
    ///
    /// # Errors
    /// The system gives us no thread or no timer.
    pub fn start(
        engine: Arc<dyn Engine>,
        options: Options,
    ) -> Result<(Self, crossbeam_channel::Receiver<Report>)> {
        let failed = |context| move |source| Error::Start { context, source };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(options.commands_at_once + SPARE_THREADS)
            .thread_keep_alive(Duration::from_secs(5))
            .thread_stack_size(512 << 10)
            .build()
            .map_err(failed("make a runtime"))?;
        let asker = Arc::new(Asker::new(engine, options.commands_at_once));
        let (orders, from_outside) = mpsc::unbounded_channel();
        let (reports, receiver) = crossbeam_channel::unbounded();
        let states = States::default();
        let schedule = schedule::Schedule::new(asker, options, reports, Arc::clone(&states));
        let thread = std::thread::Builder::new()
            .name("probe".to_owned())
            .spawn(move || {
                runtime.block_on(schedule.run(from_outside));
                // A question to an engine that stands still is not waited for.
                runtime.shutdown_background();
            })
            .map_err(failed("start a thread"))?;
        let prober = Self {
            orders: Some(orders),
            states,
            thread: Some(thread),
        };
        Ok((prober, receiver))
    }

    /// Asks these probes of a container from now on. To be called again after each start and after each change of its
    /// labels: another run, or other probes, begin anew; the same ones go on as they were. A container that does not
    /// run is forgotten.
    pub fn watch(&self, container: &Container, probes: Probes) {
        match Target::of(container) {
            Some(target) => self.order(Order::Watch(Box::new(target), Box::new(probes))),
            None => self.forget(&container.id),
        }
    }

    /// Asks nothing more of a container. What is on its way is dropped.
    pub fn forget(&self, id: &str) {
        self.order(Order::Forget(id.to_owned()));
    }

    /// Asks nothing for now, while it is paused or frozen. What is on its way is dropped.
    pub fn hold(&self, id: &str) {
        self.order(Order::Hold(id.to_owned()));
    }

    /// Goes on after [`hold`](Self::hold): with what was known before, and at once.
    pub fn resume(&self, id: &str) {
        self.order(Order::Resume(id.to_owned()));
    }

    /// Asks at once, for instance because the engine says that a HEALTHCHECK has changed. The grid stays as it is.
    pub fn look(&self, id: &str) {
        self.order(Order::Look(id.to_owned()));
    }

    /// What is known about a container.
    #[must_use]
    pub fn state(&self, id: &str) -> Option<State> {
        self.states.lock().get(id).cloned()
    }

    /// What is known about all.
    #[must_use]
    pub fn states(&self) -> Vec<State> {
        self.states.lock().values().cloned().collect()
    }

    fn order(&self, order: Order) {
        // It ends only with us.
        let _ = self.orders.as_ref().map(|orders| orders.send(order));
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        drop(self.orders.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
