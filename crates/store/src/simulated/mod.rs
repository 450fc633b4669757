//! A place that does, by one seed, all that a place may do to those who write to it. For tests.
//!
//! - **Puts** fail and are lost, fail and are stored all the same, arrive late (after their writer gave
//!   them up, or died), arrive twice (the second time perhaps after the object was deleted), or tear:
//!   a part stands under the name. Only what was never acknowledged tears.
//! - **Listings** are stale for a while, where the weather says so: what was put is missing from some, what
//!   was deleted stands in some. Reading by name is never stale.
//! - **Clients** die between any two operations, and within one.
//! - **Time** is the world's own: each operation takes some, and waiting costs none of ours.
//!
//! What `put` acknowledged is kept, and nothing is overwritten: the contract of [`Store`]. Only a place that
//! [`Weather::forgets`] breaks it, to show that those who look notice.
//!
//! # One seed, one history
//! The clients of [`Simulation::run`] are threads, but one at a time: each waits before an operation for its
//! turn, and the dice say whose it is. So a history depends on the seed alone, as long as a client works on one
//! thread. Threads that a client starts for reading pass without a turn: while they read nobody else runs.

mod turns;
mod world;

use std::{
    cell::Cell,
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::{Condvar, Mutex, MutexGuard};

use self::{turns::Turns, world::World};
use crate::{Area, ObjectInfo, ObjectName, Result, Staged, Store, StoreError};

thread_local! {
    /// Which client of a run this thread is.
    static CLIENT: Cell<Option<usize>> = const { Cell::new(None) };
}

/// What can happen, in so many of a thousand operations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weather {
    /// Puts and deletes that fail: lost, stored all the same, late (and torn).
    pub failures: u32,
    /// Reads that fail.
    pub unreadable: u32,
    /// Puts that arrive a second time.
    pub twice: u32,
    /// Operations at which the client dies.
    pub crashes: u32,
    /// What is not acknowledged may leave a part of itself.
    pub tears: bool,
    /// Listings lag behind.
    pub stale: bool,
    /// The place does not say when an object was stored.
    pub timeless: bool,
    /// Puts that are acknowledged and lost: no store may do that.
    pub forgets: u32,
}

impl Weather {
    /// Whether nothing ever fails.
    pub fn is_calm(&self) -> bool {
        self.failures + self.unreadable + self.crashes + self.forgets == 0
    }
}

/// Numbers that look random and depend on a seed alone.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// Dice of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut n = self.0;
        n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^ (n >> 31)
    }

    /// A number below `sides`, 0 for no sides.
    pub fn below(&mut self, sides: u64) -> u64 {
        self.number().checked_rem(sides).unwrap_or(0)
    }

    /// True in so many of a thousand cases.
    pub fn chance(&mut self, in_thousand: u32) -> bool {
        self.below(1000) < u64::from(in_thousand)
    }

    /// Dice for another purpose that does not depend on how often these are thrown.
    pub fn apart(seed: u64, purpose: u64) -> Self {
        Self(Self(seed ^ purpose.wrapping_mul(0xd6e8_feb8_6659_fd93)).number())
    }
}

/// The world: a place, its time, its clients.
pub struct Simulation {
    state: Mutex<State>,
    turn: Condvar,
}

struct State {
    world: World,
    turns: Turns,
}

/// One client's way to the place, for one life of it.
pub struct SimulatedStore {
    simulation: Arc<Simulation>,
    name: String,
    /// No fault strikes here.
    calm: bool,
    /// Sees no locks and leaves none: whoever looks from outside.
    outside: bool,
    dead: AtomicBool,
}

impl Simulation {
    /// An empty place.
    pub fn new(seed: u64, weather: Weather) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State {
                world: World::new(seed, weather),
                turns: Turns::new(Dice::apart(seed, 1)),
            }),
            turn: Condvar::new(),
        })
    }

    /// A client that the weather strikes. It lives until it dies.
    pub fn client(self: &Arc<Self>, name: &str) -> Arc<SimulatedStore> {
        self.handle(name, false, false)
    }

    /// A client that no fault strikes, among others like anybody.
    pub fn calm_client(self: &Arc<Self>, name: &str) -> Arc<SimulatedStore> {
        self.handle(name, true, false)
    }

    /// A look from outside: no fault strikes it, it sees no locks and leaves none.
    pub fn inspector(self: &Arc<Self>) -> Arc<SimulatedStore> {
        self.handle("inspector", true, true)
    }

    fn handle(self: &Arc<Self>, name: &str, calm: bool, outside: bool) -> Arc<SimulatedStore> {
        Arc::new(SimulatedStore {
            simulation: self.clone(),
            name: name.to_owned(),
            calm,
            outside,
            dead: AtomicBool::new(false),
        })
    }

    /// Time since the world began.
    pub fn now(&self) -> Duration {
        self.state.lock().world.now
    }

    /// Waits: the others go on meanwhile.
    pub fn sleep(&self, time: Duration) {
        let mut state = self.state.lock();
        let until = state.world.now + time;
        loop {
            self.wait_for_turn(&mut state);
            // Nobody else may have anything to do before then: time passes all the same.
            let left = until.saturating_sub(state.world.now);
            if left.is_zero() {
                return;
            }
            state
                .world
                .pass(left.min(Duration::from_millis(50)).max(left / 4));
        }
    }

    /// Lets time pass for all, with nobody at work: what is late arrives, listings become true.
    pub fn pass(&self, time: Duration) {
        self.state.lock().world.pass(time);
    }

    /// What was torn and is still there.
    pub fn torn(&self) -> Vec<ObjectName> {
        self.state.lock().world.torn()
    }

    /// What was deleted and came back, because a put of it arrived a second time.
    pub fn returned(&self) -> Vec<ObjectName> {
        self.state.lock().world.returned()
    }

    /// What has happened, one line each.
    pub fn log(&self) -> Vec<String> {
        self.state.lock().world.log.clone()
    }

    /// Adds a line to the log.
    pub fn note(&self, line: impl Into<String>) {
        self.state.lock().world.say(line.into());
    }

    /// Runs clients beside each other, one operation at a time, and returns what came of them.
    pub fn run<'env, T: Send>(
        &self,
        clients: Vec<Box<dyn FnOnce() -> T + Send + 'env>>,
    ) -> Vec<std::thread::Result<T>> {
        self.state.lock().turns.begin(clients.len());
        std::thread::scope(|scope| {
            let start = |(number, work): (usize, Box<dyn FnOnce() -> T + Send + 'env>)| {
                scope.spawn(move || {
                    CLIENT.set(Some(number));
                    let _leave = Leave(self, number);
                    self.wait_for_turn(&mut self.state.lock());
                    work()
                })
            };
            let threads: Vec<_> = clients.into_iter().enumerate().map(start).collect();
            threads.into_iter().map(|thread| thread.join()).collect()
        })
    }

    /// Threads that are no clients go at once.
    fn wait_for_turn(&self, state: &mut MutexGuard<'_, State>) {
        let Some(number) = CLIENT.get() else { return };
        state.turns.arrive(number);
        self.turn.notify_all();
        while !state.turns.is_at(number) {
            self.turn.wait(state);
        }
    }
}

/// A client that has ended, even by a panic, keeps nobody waiting.
struct Leave<'s>(&'s Simulation, usize);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        self.0.state.lock().turns.leave(self.1);
        self.0.turn.notify_all();
    }
}

impl SimulatedStore {
    /// Whether its client has died.
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::SeqCst)
    }

    /// Its client dies now.
    pub fn kill(&self) {
        self.dead.store(true, Ordering::SeqCst);
    }

    /// Reads of helpers cost no time and throw no dice, or their order would matter.
    fn read<T>(&self, name: &ObjectName, look: impl FnOnce(&World) -> Result<T>) -> Result<T> {
        let mut state = self.simulation.state.lock();
        if CLIENT.get().is_some() && !self.calm {
            self.simulation.wait_for_turn(&mut state);
            state.world.tick();
        }
        self.alive()?;
        if !self.calm && state.world.is_unreadable(name) {
            return Err(failed("read", name));
        }
        look(&state.world)
    }

    /// The state, and whether the client dies in this operation.
    fn step(&self) -> Result<(MutexGuard<'_, State>, bool)> {
        let mut state = self.simulation.state.lock();
        self.simulation.wait_for_turn(&mut state);
        self.alive()?;
        state.world.tick();
        let dies = !self.calm && state.world.strikes();
        if dies {
            self.kill();
        }
        Ok((state, dies))
    }

    fn passes_over(&self, area: Area) -> bool {
        self.outside && area == Area::Locks
    }

    fn alive(&self) -> Result<()> {
        if self.is_dead() { Err(dead()) } else { Ok(()) }
    }
}

fn dead() -> StoreError {
    StoreError::Io {
        context: "reach the store".to_owned(),
        source: io::Error::new(io::ErrorKind::BrokenPipe, "simulated crash"),
    }
}

fn failed(what: &str, name: &ObjectName) -> StoreError {
    StoreError::Io {
        context: format!("{what} {name}"),
        source: io::Error::new(io::ErrorKind::TimedOut, "simulated failure"),
    }
}

impl Store for SimulatedStore {
    fn location(&self) -> String {
        "simulated".to_owned()
    }

    fn create(&self) -> Result<()> {
        self.alive()
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<()> {
        if self.passes_over(name.area()) {
            return Ok(());
        }
        let (mut state, dies) = self.step()?;
        let result = state.world.put(&self.name, name, bytes, self.calm, dies);
        if dies { Err(dead()) } else { result }
    }

    /// What is not settled is lost by a crash.
    fn stage(&self, name: &ObjectName, bytes: &[u8]) -> Result<Staged> {
        Ok(Staged::deferred(name, bytes))
    }

    fn get(&self, name: &ObjectName) -> Result<Vec<u8>> {
        self.read(name, |world| world.get(name).map(<[u8]>::to_vec))
    }

    fn get_range(&self, name: &ObjectName, offset: u64, length: usize) -> Result<Vec<u8>> {
        self.read(name, |world| {
            let bytes = world.get(name)?;
            let range = usize::try_from(offset)
                .ok()
                .and_then(|start| bytes.get(start..start.checked_add(length)?));
            range
                .map(<[u8]>::to_vec)
                .ok_or_else(|| StoreError::ShortRead {
                    name: name.to_string(),
                    offset,
                    wanted: length,
                })
        })
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        if self.passes_over(name.area()) {
            return Ok(0);
        }
        self.read(name, |world| {
            world.get(name).map(|bytes| bytes.len() as u64)
        })
    }

    fn list(&self, area: Area) -> Result<Vec<ObjectInfo>> {
        if self.passes_over(area) {
            return Ok(Vec::new());
        }
        let (mut state, dies) = self.step()?;
        if dies {
            return Err(dead());
        }
        Ok(state.world.list(area, self.calm))
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        if self.passes_over(name.area()) {
            return Ok(());
        }
        let (mut state, dies) = self.step()?;
        let result = state.world.delete(&self.name, name, self.calm, dies);
        if dies { Err(dead()) } else { result }
    }

    fn modified(&self, name: &ObjectName) -> Result<Option<i64>> {
        self.read(name, |world| world.modified(name))
    }

    fn is_remote(&self) -> bool {
        true
    }

    fn lists_at_once(&self) -> bool {
        !self.simulation.state.lock().world.weather.stale
    }
}

#[cfg(test)]
mod tests;
