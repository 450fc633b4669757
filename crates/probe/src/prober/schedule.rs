//! The thread's work: what is due is asked, what comes back is judged.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use lifeboat_plan::probe::{Change, Health, Outcome, Probes, Which};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::{LastAnswer, Options, Order, Report, State, States};
use crate::ask::Asker;
use crate::target::Target;

/// One container.
struct Watched {
    target: Arc<Target>,
    probes: Arc<Probes>,
    health: Health,
    /// Answers to older questions are dropped.
    generation: u64,
    held: bool,
    on_their_way: Vec<Which>,
}

/// A question that is to be asked.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: Duration,
    id: String,
    which: Which,
    generation: u64,
    /// The next one is put on the grid after it.
    on_grid: bool,
}

/// An answer that came.
struct Done {
    due: Due,
    outcome: Outcome,
    took: Duration,
}

pub(super) struct Schedule {
    asker: Arc<Asker>,
    turns: Arc<Semaphore>,
    seed: u64,
    reports: crossbeam_channel::Sender<Report>,
    states: States,
    began: Instant,
    generations: u64,
    watched: HashMap<String, Watched>,
    due: BinaryHeap<Reverse<Due>>,
    asked: JoinSet<Done>,
}

impl Schedule {
    pub fn new(
        asker: Arc<Asker>,
        options: Options,
        reports: crossbeam_channel::Sender<Report>,
        states: States,
    ) -> Self {
        Self {
            asker,
            turns: Arc::new(Semaphore::new(options.at_once.max(1))),
            seed: options.seed,
            reports,
            states,
            // Times are counted from here. A container may have started earlier, but no more than this.
            began: Instant::now(),
            generations: 0,
            watched: HashMap::new(),
            due: BinaryHeap::new(),
            asked: JoinSet::new(),
        }
    }

    /// Until nobody gives orders any more.
    pub async fn run(mut self, mut orders: mpsc::UnboundedReceiver<Order>) {
        loop {
            let next = self.due.peek().map(|Reverse(due)| self.began + due.at);
            tokio::select! {
                biased;
                order = orders.recv() => match order {
                    Some(order) => self.order(order),
                    None => return,
                },
                Some(done) = self.asked.join_next(), if !self.asked.is_empty() => {
                    // A task that panicked took its probe with it; that is a defect, and said as one.
                    match done {
                        Ok(done) => self.done(done),
                        Err(error) => tracing::error!(%error, "a probe broke down"),
                    }
                }
                () = until(next), if next.is_some() => self.launch(),
            }
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn order(&mut self, order: Order) {
        match order {
            Order::Watch(target, probes) => self.watch(*target, *probes),
            Order::Forget(id) => {
                self.watched.remove(&id);
                self.states.lock().remove(&id);
            }
            Order::Hold(id) => self.renew(&id, true),
            Order::Resume(id) => {
                self.renew(&id, false);
                self.ask_all(&id, true);
            }
            Order::Look(id) => self.ask_all(&id, false),
        }
    }

    fn watch(&mut self, target: Target, probes: Probes) {
        let known = self.watched.get(&target.id);
        let same = |w: &&Watched| w.target.run == target.run && *w.probes == probes;
        if known.filter(same).is_some() {
            return;
        }
        let now = self.now();
        self.generations += 1;
        let watched = Watched {
            health: Health::new(&probes, now),
            generation: self.generations,
            held: false,
            on_their_way: Vec::new(),
            target: Arc::new(target),
            probes: Arc::new(probes),
        };
        let age = watched.target.age();
        for (which, probe) in watched.probes.iter() {
            let spread = spread(self.seed, &watched.target.id, which);
            // The age is taken off what is waited for, since the count of time begins with us.
            let wait = probe
                .timing
                .first(Duration::ZERO, age, spread)
                .saturating_sub(age);
            self.due.push(Reverse(Due {
                at: now + wait,
                id: watched.target.id.clone(),
                which,
                generation: watched.generation,
                on_grid: true,
            }));
        }
        self.note(&watched, None);
        self.watched.insert(watched.target.id.clone(), watched);
    }

    /// Everything that is on its way, or planned, is nobody's any more.
    fn renew(&mut self, id: &str, held: bool) {
        self.generations += 1;
        if let Some(mut watched) = self.watched.remove(id) {
            watched.generation = self.generations;
            watched.held = held;
            watched.on_their_way.clear();
            self.note(&watched, None);
            self.watched.insert(id.to_owned(), watched);
        }
    }

    fn ask_all(&mut self, id: &str, on_grid: bool) {
        let now = self.now();
        let Some(watched) = self.watched.get(id).filter(|w| !w.held) else {
            return;
        };
        for (which, _) in watched.probes.iter() {
            self.due.push(Reverse(Due {
                at: now,
                id: id.to_owned(),
                which,
                generation: watched.generation,
                on_grid,
            }));
        }
    }

    /// Asks what is due.
    fn launch(&mut self) {
        let now = self.now();
        while let Some(Reverse(due)) = self.due.peek() {
            if due.at > now {
                return;
            }
            let Some(Reverse(due)) = self.due.pop() else {
                return;
            };
            let watched = self.watched.get_mut(&due.id);
            let watched = watched.filter(|w| w.generation == due.generation && !w.held);
            let Some(watched) = watched.filter(|w| w.health.is_asked(due.which)) else {
                self.wait_for_start(due, now);
                continue;
            };
            let Some(probe) = watched.probes.get(due.which) else {
                continue;
            };
            if watched.on_their_way.contains(&due.which) {
                // Somebody looked out of turn, and it is not back yet: the grid goes on.
                if due.on_grid {
                    let at = now + probe.timing.period.value;
                    self.due.push(Reverse(Due { at, ..due }));
                }
                continue;
            }
            watched.on_their_way.push(due.which);
            let (asker, turns) = (Arc::clone(&self.asker), Arc::clone(&self.turns));
            let (target, probes) = (Arc::clone(&watched.target), Arc::clone(&watched.probes));
            self.asked.spawn(async move {
                let turn = turns.acquire_owned().await;
                let began = Instant::now();
                let outcome = match probes.get(due.which) {
                    Some(probe) => {
                        let limit = probe.timing.timeout.value;
                        asker.ask(&target, &probe.check.value, limit).await
                    }
                    None => Outcome::Unknown("it is asked nothing".to_owned()),
                };
                drop(turn);
                let took = began.elapsed();
                Done { due, outcome, took }
            });
        }
    }

    /// A probe that is not asked yet keeps its delay: it is looked at again when the container has started.
    fn wait_for_start(&mut self, due: Due, now: Duration) {
        let watched = self.watched.get(&due.id);
        let watched = watched.filter(|w| w.generation == due.generation && !w.held);
        let waits = watched
            .filter(|w| due.on_grid && due.which != Which::Startup && !w.health.verdict().started);
        if let Some(startup) = waits.and_then(|w| w.probes.startup.as_ref()) {
            // The startup probe's success asks at once; this is for a delay that is longer than the start.
            let at = now + startup.timing.period.value;
            self.due.push(Reverse(Due { at, ..due }));
        }
    }

    fn done(&mut self, done: Done) {
        let Done { due, outcome, took } = done;
        let now = self.now();
        let Some(mut watched) = self.watched.remove(&due.id) else {
            return;
        };
        if watched.generation == due.generation {
            watched.on_their_way.retain(|which| *which != due.which);
            tracing::trace!(container = watched.target.name, probe = %due.which, ?outcome, ?took, "asked");
            let health = watched.health.clone();
            let (health, changes) = health.step(&watched.probes, due.which, outcome.clone(), now);
            watched.health = health;
            let started = changes.contains(&Change::Started);
            self.note(&watched, Some((due.which, outcome, took)));
            for change in changes {
                self.report(&watched, due.which, change);
            }
            if due.on_grid
                && let Some(probe) = watched.probes.get(due.which)
                && watched.health.is_asked(due.which)
            {
                let at = (due.at + probe.timing.period.value).max(now);
                let id = due.id.clone();
                self.due.push(Reverse(Due { at, id, ..due }));
            }
            if started {
                self.first_after_start(&watched, now);
            }
        }
        self.watched.insert(due.id, watched);
    }

    /// It has started: the others are asked at once, or when their delay is over.
    fn first_after_start(&mut self, watched: &Watched, now: Duration) {
        let age = watched.target.age();
        for (which, probe) in watched.probes.iter() {
            if which == Which::Startup {
                continue;
            }
            let delay = probe.timing.delay.value.saturating_sub(age);
            if delay.is_zero() {
                self.due.push(Reverse(Due {
                    at: now,
                    id: watched.target.id.clone(),
                    which,
                    generation: watched.generation,
                    on_grid: false,
                }));
            }
        }
    }

    fn report(&self, watched: &Watched, which: Which, change: Change) {
        let report = Report {
            id: watched.target.id.clone(),
            name: watched.target.name.clone(),
            run: watched.target.run.clone(),
            which,
            change,
            verdict: watched.health.verdict(),
        };
        // Whoever does not listen does not want to know.
        let _ = self.reports.send(report);
    }

    /// For those who look from outside.
    fn note(&self, watched: &Watched, answer: Option<(Which, Outcome, Duration)>) {
        let mut states = self.states.lock();
        let state = states
            .entry(watched.target.id.clone())
            .or_insert_with(|| State {
                id: watched.target.id.clone(),
                name: watched.target.name.clone(),
                run: String::new(),
                verdict: watched.health.verdict(),
                since: HashMap::new(),
                answers: HashMap::new(),
                held: false,
            });
        if state.run != watched.target.run {
            state.run.clone_from(&watched.target.run);
            state.answers.clear();
        }
        state.verdict = watched.health.verdict();
        state.held = watched.held;
        let began = self.began.into_std();
        for which in Which::ALL {
            state
                .since
                .insert(which, began + watched.health.since(which));
        }
        if let Some((which, outcome, took)) = answer {
            let at = std::time::Instant::now();
            state
                .answers
                .insert(which, LastAnswer { outcome, at, took });
        }
    }
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// A number in [0, 1) that is a container's own: FNV-1a over its id, mixed once more, since ids may be alike.
fn spread(seed: u64, id: &str, which: Which) -> f64 {
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ seed;
    for byte in id.bytes().chain(which.word().bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash ^= hash >> 31;
    hash = hash.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // 32 bits are exact in an f64.
    f64::from((hash >> 32) as u32) / (f64::from(u32::MAX) + 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_spread_over_a_period() {
        let mut tenths = [0; 10];
        for number in 0..1000 {
            let at = spread(1, &format!("container-{number}"), Which::Liveness);
            assert!((0.0..1.0).contains(&at));
            tenths[(at * 10.0) as usize] += 1;
        }
        assert!(
            tenths.iter().all(|count| (60..140).contains(count)),
            "{tenths:?}"
        );
    }
}
