//! The agent: one loop that takes what happens, asks the supervisor, and has done what it says.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use lifeboat_plan::supervise::{Effect, Event, Moment, Note, What, World};

use crate::asides::Asides;
use crate::ask::{Ask, Handle, Refused, Status};
use crate::definitions::Definitions;
use crate::follow::{Current, Follower};
use crate::hands::{Hands, Reach};
use crate::host::Host;
use crate::keeping::{Gone, Keeping};
use crate::lock::Lock;
use crate::log::Log;
use crate::making::Making;
use crate::probing::Probing;
use crate::service::Turned;
use crate::state::StateFile;
use crate::upkeep::Upkeep;
use crate::{Error, Options, Result};

/// Longest sleep of the loop.
const LONGEST: Duration = Duration::from_secs(10);
/// So many events are taken together: one save for all.
const AT_ONCE: usize = 500;

/// What comes to the loop.
pub(crate) enum Message {
    /// Something happened.
    Event(Event),
    /// Something to be written down.
    Note(Note),
    /// Somebody asks.
    Ask(Ask),
    /// The agent is to end.
    Stop,
}

/// Ends an agent from another thread.
#[derive(Clone)]
pub struct Stopper {
    to: Sender<Message>,
    stop: Arc<AtomicBool>,
}

impl Stopper {
    /// The agent ends once what it began is finished.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
        // It may have ended already.
        let _ = self.to.send(Message::Stop);
    }
}

/// An agent that holds its state directory and has not begun.
pub struct Agent {
    options: Options,
    world: World,
    file: StateFile,
    log: Log,
    from: Receiver<Message>,
    newest: Arc<AtomicU64>,
    stopper: Stopper,
    turned: Turned,
    /// Tells of changed definitions.
    changed: Sender<()>,
    /// Apps of which something is gone.
    gone: Gone,
    _lock: Lock,
}

impl Agent {
    /// Takes the state directory, and reads what was left in it.
    ///
    /// # Errors
    /// Another agent runs there, or the directory cannot be used.
    pub fn open(options: Options) -> Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let folder = Options::folder(&options.state);
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .map_err(Error::file(format!("make {}", folder.display())))?;
        let lock = Lock::take(&folder, &options.state)?;
        let file = StateFile::new(&folder);
        let world = file.load(options.seed, options.clock.now());
        // What was written down is of an agent before.
        let gone = Gone::new(parking_lot::Mutex::new(world.gone()));
        let (to, from) = unbounded();
        let log = Log::open(&folder)?;
        Ok(Self {
            world,
            file,
            newest: Arc::new(AtomicU64::new(log.newest())),
            log,
            from,
            stopper: Stopper {
                to,
                stop: Arc::new(AtomicBool::new(false)),
            },
            turned: Turned::default(),
            changed: unbounded().0,
            gone,
            options,
            _lock: lock,
        })
    }

    /// When its loop turned last.
    #[must_use]
    pub fn turned(&self) -> Turned {
        self.turned.clone()
    }

    /// What ends it.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// What others ask it through while it runs.
    #[must_use]
    pub fn handle(&self) -> Handle {
        Handle {
            to: self.stopper.to.clone(),
            newest: Arc::clone(&self.newest),
        }
    }

    /// Runs until it is stopped.
    ///
    /// # Errors
    /// A thread cannot be made. Nothing that happens later ends it.
    pub fn run(mut self) -> Result<()> {
        let folder = Options::folder(&self.options.state);
        let current = Current::default();
        let to = self.stopper.to.clone();
        let probing = Probing::new(
            current.clone(),
            to.clone(),
            self.options.seed,
            self.options.probes.clone(),
        );
        let (changed, changes) = unbounded();
        self.changed = changed.clone();
        let reach = Reach {
            making: Making::in_folder(&folder),
            help: self.options.help.clone(),
            changed,
            stop: Arc::clone(&self.stopper.stop),
            probing: probing.clone(),
            current: current.clone(),
            definitions: Definitions::in_folder(&folder),
            asides: Asides::in_folder(&folder, self.options.clock),
            to: to.clone(),
            heal_all: self.options.heal_all,
        };
        let thread = || Error::file("start a thread");
        let hands = Hands::start(&reach).map_err(thread())?;
        let upkeep = Upkeep {
            current: current.clone(),
            asides: reach.asides.clone(),
            definitions: reach.definitions.clone(),
            gone: Gone::clone(&self.gone),
            clock: self.options.clock,
            to: to.clone(),
            stop: Arc::clone(&self.stopper.stop),
            host: Host::begin(
                self.options.state.clone(),
                Arc::clone(&self.options.connect),
                Arc::clone(&self.stopper.stop),
            ),
        };
        let keeping = std::thread::Builder::new()
            .name("agent-upkeep".to_owned())
            .spawn(move || upkeep.run())
            .map_err(thread())?;
        let storing = match self.options.help.clone() {
            Some(help) => {
                let keeping = Keeping {
                    help,
                    current: current.clone(),
                    gone: Gone::clone(&self.gone),
                    knows_nothing: self.world.engine.is_empty(),
                    changes,
                    clock: self.options.clock,
                    to: to.clone(),
                    stop: Arc::clone(&self.stopper.stop),
                };
                let thread_of = std::thread::Builder::new().name("agent-keep".to_owned());
                Some(thread_of.spawn(move || keeping.run()).map_err(thread())?)
            }
            None => None,
        };
        let follower = Follower {
            connect: Arc::clone(&self.options.connect),
            current,
            to,
            stop: Arc::clone(&self.stopper.stop),
            since: Some(self.world.last_event).filter(|nano| *nano > 0),
        };
        let following = std::thread::Builder::new()
            .name("agent-events".to_owned())
            .spawn(move || follower.run())
            .map_err(thread())?;
        self.tell(
            "agent",
            format!("the agent begins (process {})", std::process::id()),
        );
        self.turn(&hands, &probing);
        // A thread that panicked has nothing more to give.
        let _ = following.join();
        let _ = keeping.join();
        if let Some(storing) = storing {
            let _ = storing.join();
        }
        hands.finish();
        probing.finish();
        self.last_words();
        self.tell("agent", "the agent ends".to_owned());
        self.save(true);
        Ok(())
    }

    fn turn(&mut self, hands: &Hands, probing: &Probing) {
        loop {
            self.turned.now();
            let now = self.options.clock.now();
            let due = self
                .world
                .next_due(now)
                .map_or(LONGEST, |due| due.since(now));
            let first = match self.from.recv_timeout(due.min(LONGEST)) {
                Ok(message) => message,
                Err(RecvTimeoutError::Timeout) => Message::Event(Event::Tick),
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let mut effects = Vec::new();
            let from = self.from.clone();
            // No more than are dealt with leave the channel: each in its order.
            for message in std::iter::once(first).chain(from.try_iter()).take(AT_ONCE) {
                match message {
                    Message::Stop => return,
                    Message::Event(event) => {
                        probing.hear(&event);
                        self.hear(&event);
                        let at = self.options.clock.now();
                        effects.extend(self.world.step(at, event));
                    }
                    Message::Note(note) => effects.push(Effect::Tell(note)),
                    Message::Ask(ask) => self.answer(ask, &mut effects),
                }
            }
            self.note_gone();
            self.carry_out(effects, hands);
        }
    }

    /// Written down for others: what is captured of such an app is not all of it.
    fn note_gone(&mut self) {
        let now = self.world.gone();
        let mut known = self.gone.lock();
        if *known == now {
            return;
        }
        if let Err(error) = self.file.save_gone(&now) {
            tracing::warn!(%error, "a backup that is made now does not know what is gone");
        }
        *known = now;
    }

    /// What is not there any more has another definition: none.
    fn hear(&self, event: &Event) {
        if let Event::Happened(happened) = event
            && happened.what == What::Destroy
        {
            // Nobody listens where there is no vault.
            let _ = self.changed.send(());
        }
    }

    fn carry_out(&mut self, effects: Vec<Effect>, hands: &Hands) {
        let acts = effects.iter().any(|effect| {
            matches!(
                effect,
                Effect::Start { .. }
                    | Effect::Stop { .. }
                    | Effect::Recreate { .. }
                    | Effect::Replicate { .. }
                    | Effect::Supersede { .. }
                    | Effect::TakeBack { .. }
                    | Effect::Withdraw { .. }
                    | Effect::Policy { .. }
            )
        });
        self.save(acts);
        for effect in effects {
            match effect {
                Effect::Tell(note) => self.add(note),
                other => hands.give(other),
            }
        }
    }

    /// What the hands sent while they finished.
    fn last_words(&mut self) {
        while let Ok(message) = self.from.try_recv() {
            if let Message::Event(event @ Event::Did { .. }) = message {
                let at = self.options.clock.now();
                for effect in self.world.step(at, event) {
                    if let Effect::Tell(note) = effect {
                        self.add(note);
                    }
                }
            }
        }
    }

    fn save(&mut self, durable: bool) {
        if let Err(error) = self.file.save(&self.world, durable) {
            // A full disk is no reason to leave containers down.
            tracing::warn!(%error, "the supervisor goes on; after a crash it would know less");
        }
    }

    fn add(&mut self, note: Note) {
        self.log.add(note);
        self.newest.store(self.log.newest(), Ordering::Release);
    }

    fn tell(&mut self, kind: &str, text: String) {
        let at: Moment = self.options.clock.now();
        self.add(Note {
            at,
            app: String::new(),
            container: String::new(),
            kind: kind.to_owned(),
            text,
        });
    }

    fn answer(&mut self, ask: Ask, effects: &mut Vec<Effect>) {
        let at = self.options.clock.now();
        // Whoever asked may have gone.
        match ask {
            Ask::Status(reply) => drop(reply.send(Status {
                now: at.0,
                pid: std::process::id(),
                picture: self.world.picture(at),
            })),
            Ask::Events { after, most, reply } => drop(reply.send(self.log.after(after, most))),
            Ask::Maintenance { app, on, reply } => {
                let known = |name: &str| self.world.units.values().any(|unit| unit.app() == name);
                if let Some(name) = app.as_deref().filter(|name| on && !known(name)) {
                    let names = self.world.units.values().map(|unit| unit.app());
                    let meant = lifeboat_plan::suggest::suggest(name, names);
                    let hint = lifeboat_plan::suggest::sentence(&meant);
                    let why = format!("there is no app `{name}` here{hint}");
                    let _ = reply.send(Err(Refused::NoSuchApp(why)));
                    return;
                }
                effects.extend(self.world.step(at, Event::Maintenance { app, on }));
                let _ = reply.send(Ok(()));
            }
            Ask::Release(reply) => {
                effects.extend(self.world.step(at, Event::Release));
                let _ = reply.send(());
            }
        }
    }
}
