//! The objects, what is under way to them, and what the dice do to both.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{Dice, Weather, failed};
use crate::{Area, ObjectInfo, ObjectName, Result, StoreError};

/// Listings are true again after this: below the 200 ms that everybody waits where they lag.
const STALE: Duration = Duration::from_millis(150);
/// What is late arrives within this.
const LATE_MILLIS: u64 = 2000;
/// An operation takes up to this.
const STEP_MICROS: u64 = 20_000;

struct Object {
    bytes: Vec<u8>,
    put_at: Duration,
    /// The how manieth that was put. The dice go by this: names of locks differ from process to process.
    number: u64,
}

/// What arrives later.
struct Coming {
    at: Duration,
    name: ObjectName,
    bytes: Vec<u8>,
}

pub(super) struct World {
    seed: u64,
    dice: Dice,
    pub(super) weather: Weather,
    pub(super) now: Duration,
    /// Counts what changes something, and listings.
    epoch: u64,
    objects: BTreeMap<ObjectName, Object>,
    /// Deleted, with number, size and time: some listings show them yet.
    gone: BTreeMap<ObjectName, (u64, u64, Duration)>,
    put: u64,
    coming: Vec<Coming>,
    torn: BTreeSet<ObjectName>,
    deleted: BTreeSet<ObjectName>,
    /// Deleted, and come back by a put that arrived a second time.
    returned: BTreeSet<ObjectName>,
    pub(super) log: Vec<String>,
}

/// What becomes of a put that is not acknowledged.
enum Fate {
    Lost,
    Stored,
    Late,
    Torn,
}

impl World {
    pub(super) fn new(seed: u64, weather: Weather) -> Self {
        Self {
            seed,
            dice: Dice::apart(seed, 2),
            weather,
            now: Duration::ZERO,
            epoch: 0,
            objects: BTreeMap::new(),
            gone: BTreeMap::new(),
            put: 0,
            coming: Vec::new(),
            torn: BTreeSet::new(),
            deleted: BTreeSet::new(),
            returned: BTreeSet::new(),
            log: Vec::new(),
        }
    }

    pub(super) fn say(&mut self, line: String) {
        let line = format!("{:>9.3} s  {line}", self.now.as_secs_f64());
        self.log.push(line);
    }

    /// Time passes; what is due arrives.
    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
        let now = self.now;
        let due: Vec<Coming> = self.coming.extract_if(.., |c| c.at <= now).collect();
        for Coming { name, bytes, .. } in due {
            self.say(format!("arrives late: {}", short(&name)));
            if self.deleted.contains(&name) {
                self.returned.insert(name.clone());
            }
            self.keep(&name, bytes);
        }
        self.gone.retain(|_, (_, _, at)| now < *at + STALE);
    }

    /// An operation takes its time.
    pub(super) fn tick(&mut self) {
        let micros = 1 + self.dice.below(STEP_MICROS);
        self.pass(Duration::from_micros(micros));
    }

    /// Whether the client dies in this operation.
    pub(super) fn strikes(&mut self) -> bool {
        self.dice.chance(self.weather.crashes)
    }

    fn keep(&mut self, name: &ObjectName, bytes: Vec<u8>) {
        let put_at = self.now;
        self.gone.remove(name);
        self.put += 1;
        let number = self.put;
        let object = Object {
            bytes,
            put_at,
            number,
        };
        self.objects.entry(name.clone()).or_insert(object);
    }

    fn later(&mut self, name: &ObjectName, bytes: &[u8]) {
        let at = self.now + Duration::from_millis(1 + self.dice.below(LATE_MILLIS));
        let (name, bytes) = (name.clone(), bytes.to_vec());
        self.coming.push(Coming { at, name, bytes });
    }

    fn fate(&mut self) -> Fate {
        let sides = if self.weather.tears { 4 } else { 3 };
        match self.dice.below(sides) {
            0 => Fate::Lost,
            1 => Fate::Stored,
            2 => Fate::Late,
            _ => Fate::Torn,
        }
    }

    pub(super) fn put(
        &mut self,
        who: &str,
        name: &ObjectName,
        bytes: &[u8],
        calm: bool,
        dies: bool,
    ) -> Result<()> {
        self.epoch += 1;
        if self.objects.contains_key(name) {
            self.say(format!("{who} puts {}: there already", short(name)));
            return Err(StoreError::AlreadyExists(name.to_string()));
        }
        let fails = dies || (!calm && self.dice.chance(self.weather.failures));
        if !fails {
            if !calm && self.dice.chance(self.weather.forgets) {
                self.say(format!("{who} puts {}: FORGOTTEN", short(name)));
                return Ok(());
            }
            self.say(format!("{who} puts {}", short(name)));
            self.keep(name, bytes.to_vec());
            if !calm && self.dice.chance(self.weather.twice) {
                self.later(name, bytes);
            }
            return Ok(());
        }
        let word = if dies { "dies putting" } else { "fails to put" };
        let fate = match self.fate() {
            Fate::Lost => "lost",
            Fate::Stored => {
                self.keep(name, bytes.to_vec());
                "stored all the same"
            }
            Fate::Late => {
                self.later(name, bytes);
                "under way"
            }
            Fate::Torn => {
                let length = self.dice.below(bytes.len() as u64) as usize;
                self.keep(name, bytes[..length].to_vec());
                self.torn.insert(name.clone());
                "torn"
            }
        };
        self.say(format!("{who} {word} {}: {fate}", short(name)));
        Err(failed("write", name))
    }

    pub(super) fn delete(
        &mut self,
        who: &str,
        name: &ObjectName,
        calm: bool,
        dies: bool,
    ) -> Result<()> {
        self.epoch += 1;
        let Some(size) = self.objects.get(name).map(|o| o.bytes.len() as u64) else {
            self.say(format!("{who} deletes {}: not there", short(name)));
            return Err(StoreError::NotFound(name.to_string()));
        };
        let fails = dies || (!calm && self.dice.chance(self.weather.failures));
        let done = !fails || self.dice.chance(500);
        let word = match (fails, done) {
            (false, _) => "deletes",
            (true, true) => "fails, yet deletes",
            (true, false) => "fails to delete",
        };
        let dying = if dies { " and dies" } else { "" };
        self.say(format!("{who} {word} {}{dying}", short(name)));
        if done && let Some(object) = self.objects.remove(name) {
            self.deleted.insert(name.clone());
            self.gone
                .insert(name.clone(), (object.number, size, self.now));
        }
        if fails {
            return Err(failed("delete", name));
        }
        Ok(())
    }

    pub(super) fn get(&self, name: &ObjectName) -> Result<&[u8]> {
        let object = self.objects.get(name);
        let object = object.ok_or_else(|| StoreError::NotFound(name.to_string()))?;
        Ok(&object.bytes)
    }

    /// By the place's own clock, which is its time.
    pub(super) fn modified(&self, name: &ObjectName) -> Result<Option<i64>> {
        let object = self.objects.get(name);
        let object = object.ok_or_else(|| StoreError::NotFound(name.to_string()))?;
        let told = !self.weather.timeless;
        Ok(told.then_some(object.put_at.as_secs().cast_signed()))
    }

    pub(super) fn is_unreadable(&self, name: &ObjectName) -> bool {
        let number = self.objects.get(name).map_or(0, |object| object.number);
        self.coin(number) % 1000 < u64::from(self.weather.unreadable)
    }

    pub(super) fn list(&mut self, area: Area, calm: bool) -> Vec<ObjectInfo> {
        self.epoch += 1;
        let stale = self.weather.stale && !calm;
        let shown = |number: u64, at: Duration| {
            !stale || self.now >= at + STALE || self.coin(number).is_multiple_of(2)
        };
        let there = self
            .objects
            .iter()
            .filter(|(name, o)| name.area() == area && shown(o.number, o.put_at))
            .map(|(name, o)| (o.number, name, o.bytes.len() as u64));
        let gone = self
            .gone
            .iter()
            .filter(|(name, (number, _, at))| stale && name.area() == area && !shown(*number, *at))
            .map(|(name, (number, size, _))| (*number, name, *size));
        let mut all: Vec<_> = there.chain(gone).collect();
        all.sort();
        let info = |(_, name, size): (u64, &ObjectName, u64)| ObjectInfo {
            name: name.clone(),
            size,
        };
        all.into_iter().map(info).collect()
    }

    pub(super) fn torn(&self) -> Vec<ObjectName> {
        self.of_these(&self.torn)
    }

    pub(super) fn returned(&self) -> Vec<ObjectName> {
        self.of_these(&self.returned)
    }

    fn of_these(&self, names: &BTreeSet<ObjectName>) -> Vec<ObjectName> {
        let there = |name: &&ObjectName| self.objects.contains_key(*name);
        names.iter().filter(there).cloned().collect()
    }

    /// Depends on the object and on what has changed so far, not on who asks first.
    fn coin(&self, number: u64) -> u64 {
        Dice::apart(self.seed, number << 32 ^ self.epoch).number()
    }
}

fn short(name: &ObjectName) -> String {
    let text = name.to_string();
    text.chars()
        .take(text.len().min(name.area().as_str().len() + 9))
        .collect()
}
