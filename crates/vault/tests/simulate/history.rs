//! One seed: its weather, its rounds of clients, and the look from outside after each.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use lifeboat_store::{Area, Dice, ObjectName, Simulation, Store as _, Weather};
use lifeboat_vault::{CheckOptions, Silent, SnapshotId, Vault};
use parking_lot::Mutex;

use crate::{
    client::{Client, Deed, Trouble, read_point},
    model::Model,
    order::Broken,
    place::{Life, elsewhere, found},
};

/// What a seed came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Figures {
    pub attempts: usize,
    pub acknowledged: usize,
    pub forgotten: usize,
    pub packs_deleted: usize,
    pub copied: usize,
    pub deaths: usize,
    pub operations: usize,
}

impl std::ops::AddAssign for Figures {
    fn add_assign(&mut self, other: Figures) {
        self.attempts += other.attempts;
        self.acknowledged += other.acknowledged;
        self.forgotten += other.forgotten;
        self.packs_deleted += other.packs_deleted;
        self.copied += other.copied;
        self.deaths += other.deaths;
        self.operations += other.operations;
    }
}

/// Runs a seed. `Err` tells what was found, and the history.
pub fn run(seed: u64, weather: Option<Weather>, broken: Option<Broken>) -> Result<Figures, String> {
    let mut history = History::new(seed, weather, broken);
    history.live().map_err(|why| {
        let log = history.simulation.log().join("\n");
        format!("{why}\nweather: {:?}\n{log}", history.weather)
    })?;
    let attempts = &history.model.lock().attempts;
    let log = history.simulation.log();
    Ok(Figures {
        forgotten: attempts.iter().filter(|a| a.forgotten).count(),
        packs_deleted: log.iter().filter(|l| l.contains("deletes data/")).count(),
        copied: history.copies.snapshots().map_or(0, |all| all.found.len()),
        attempts: attempts.len(),
        acknowledged: attempts.iter().filter(|a| a.acknowledged.is_some()).count(),
        deaths: history.deaths,
        operations: log.len(),
    })
}

/// What happens under a seed.
pub fn log(seed: u64) -> Vec<String> {
    let mut history = History::new(seed, None, None);
    let _ = history.live();
    history.simulation.log()
}

struct History {
    simulation: Arc<Simulation>,
    weather: Weather,
    dice: Dice,
    model: Mutex<Model>,
    copies: Vault,
    broken: Option<Broken>,
    lives: u64,
    deaths: usize,
    /// Every other seed: machines that keep the index mapped.
    maps: Option<tempfile::TempDir>,
}

impl History {
    fn new(seed: u64, weather: Option<Weather>, broken: Option<Broken>) -> Self {
        let mut dice = Dice::apart(seed, 3);
        let drawn = draw_weather(&mut dice);
        let weather = weather.unwrap_or(drawn);
        let simulation = Simulation::new(seed, weather);
        Self {
            copies: elsewhere(&simulation),
            simulation,
            weather,
            dice,
            model: Mutex::default(),
            broken,
            lives: seed << 16,
            deaths: 0,
            maps: (seed % 2 == 1).then(|| tempfile::tempdir().expect("a folder for the maps")),
        }
    }

    fn live(&mut self) -> Result<(), String> {
        found(&self.simulation);
        for _ in 0..2 + self.dice.below(4) {
            self.round()?;
            self.simulation.pass(Duration::from_secs(5));
            self.inspect()?;
            // Sometimes long enough for locks of the dead to count no more.
            let minutes = [0, 0, 10, 40, 26 * 60][self.dice.below(5) as usize];
            self.simulation.pass(Duration::from_secs(minutes * 60));
        }
        self.heal()
    }

    fn life(&mut self, name: &str) -> Life {
        self.lives += 1;
        // Where the place has a clock of its own, those of the machines may be as wrong as they like; elsewhere by less
        // than what is between two renewals of a lock and its end.
        let most: u64 = match self.weather.timeless {
            true => 12 * 60,
            false => 30 * 3600,
        };
        let off = match self.dice.chance(300) {
            true => self.dice.below(2 * most).cast_signed() - most.cast_signed(),
            false => 0,
        };
        let mut life = Life::new(&self.simulation, name, self.lives, off, self.broken);
        life.maps = self.maps.as_ref().map(|dir| dir.path().join(name));
        life
    }

    /// One to three clients beside each other.
    fn round(&mut self) -> Result<(), String> {
        let (mut clients, mut stores) = (Vec::new(), Vec::new());
        for name in ["anna", "bert", "carl"]
            .into_iter()
            .take(1 + self.dice.below(3) as usize)
        {
            let life = self.life(name);
            stores.push(life.store.clone());
            let deeds: Vec<Deed> = (0..1 + self.dice.below(3))
                .map(|_| Deed::draw(&mut self.dice))
                .collect();
            clients.push((name.to_owned(), life, deeds));
        }
        let (simulation, model, copies) = (&self.simulation, &self.model, &self.copies);
        // Where listings lag, what is there may not be found for a moment.
        let calm = self.weather.is_calm() && !self.weather.stale;
        let start = |(name, life, deeds)| {
            let client = Client {
                simulation,
                model,
                copies,
                name,
                life,
                calm,
            };
            Box::new(move || client.run(deeds)) as Box<dyn FnOnce() -> Result<(), String> + Send>
        };
        let clients = clients.into_iter().map(start).collect();
        for end in simulation.run(clients) {
            end.map_err(|_| "a client panicked".to_owned())??;
        }
        self.deaths += stores.iter().filter(|store| store.is_dead()).count();
        Ok(())
    }

    /// The look from outside: all that was promised is there, and all that is there is whole.
    fn inspect(&mut self) -> Result<(), String> {
        self.lives += 1;
        let life = Life::inspector(&self.simulation, self.lives);
        let vault = life.open().map_err(|e| format!("open: {e}"))?;
        let points = vault.snapshots().map_err(|e| format!("points: {e}"))?;
        let torn: BTreeSet<String> = self.simulation.torn().iter().map(id).collect();
        for (id, error) in &points.unreadable {
            if !torn.contains(&id.to_hex()) {
                return Err(format!("point {} is unreadable: {error}", id.short()));
            }
        }
        let reader = vault.reader().map_err(|e| format!("reader: {e}"))?;
        let mut seen = BTreeSet::new();
        // Forgotten, and brought back by the store alone: no vault can promise anything of those.
        let returned = self.simulation.returned();
        let returned: BTreeSet<String> = returned.iter().map(id).collect();
        for (id, snapshot) in &points.found {
            if returned.contains(&id.to_hex()) {
                continue;
            }
            seen.insert(*id);
            read_point(&reader, *id, snapshot, &self.model).map_err(|e| match e {
                Trouble::Vault(e) => format!("point {} does not come back: {e}", id.short()),
                Trouble::Finding(what) => what,
            })?;
        }
        drop(reader);
        self.compare(&seen, &returned)?;
        self.check(&vault, &torn, &returned)?;
        self.inspect_copies()
    }

    /// What lies in the other vault is whole as well.
    fn inspect_copies(&self) -> Result<(), String> {
        let reader = self.copies.reader().map_err(|e| format!("copies: {e}"))?;
        let points = self
            .copies
            .snapshots()
            .map_err(|e| format!("copies: {e}"))?;
        for (id, snapshot) in &points.found {
            read_point(&reader, *id, snapshot, &self.model).map_err(|e| format!("copy: {e}"))?;
        }
        drop(reader);
        self.check(&self.copies, &BTreeSet::new(), &BTreeSet::new())
            .map_err(|e| format!("copies: {e}"))
    }

    fn compare(
        &self,
        seen: &BTreeSet<SnapshotId>,
        returned: &BTreeSet<String>,
    ) -> Result<(), String> {
        for (number, attempt) in self.model.lock().attempts.iter().enumerate() {
            let Some(id) = attempt.acknowledged else {
                continue;
            };
            if returned.contains(&id.to_hex()) {
                continue;
            }
            if !seen.contains(&id) && !attempt.forgetting {
                return Err(format!("attempt {number} was acknowledged and is gone"));
            }
            if seen.contains(&id) && attempt.forgotten {
                return Err(format!("attempt {number} was forgotten and is there"));
            }
        }
        Ok(())
    }

    /// `check --read-data` finds nothing but what was torn.
    fn check(
        &self,
        vault: &Vault,
        torn: &BTreeSet<String>,
        returned: &BTreeSet<String>,
    ) -> Result<(), String> {
        let options = CheckOptions {
            read_data: true,
            threads: 1,
            ..CheckOptions::default()
        };
        let report = vault
            .check(&options, &Silent)
            .map_err(|e| format!("check: {e}"))?;
        for finding in &report.errors {
            let points = &finding.snapshots;
            let of_returned =
                !points.is_empty() && points.iter().all(|id| returned.contains(&id.to_hex()));
            // An index file that the store alone brought back names packs that have gone: no harm while no point needs
            // them (that is looked at apart); `repair index` takes it away.
            let of_index = points.is_empty() && self.simulation.returned().iter().any(is_index);
            if of_index && finding.object.starts_with("pack ") {
                continue;
            }
            if !of_returned && !torn.iter().any(|id| finding.object.contains(id)) {
                return Err(format!("check: {finding}"));
            }
        }
        Ok(())
    }

    /// What a person does after the storm, and then everything works.
    fn heal(&mut self) -> Result<(), String> {
        // A dead lock counts for half an hour more than its clock was ahead.
        self.simulation.pass(Duration::from_secs(31 * 3600));
        self.simulation.note("after the storm");
        let store = self.simulation.calm_client("operator");
        for name in self.simulation.torn() {
            // An index is mended by `repair index`; packs hurt nobody.
            if matches!(name.area(), Area::Locks | Area::Snapshots) {
                store.delete(&name).map_err(|e| e.to_string())?;
            }
        }
        self.lives += 1;
        let life = Life::calm(&self.simulation, "last", self.lives);
        let vault = life.open().map_err(|e| e.to_string())?;
        let stop = AtomicBool::new(false);
        vault
            .rebuild_index(Duration::ZERO, &stop, &Silent)
            .map_err(|e| format!("repair index after the storm: {e}"))?;
        let client = Client {
            simulation: &self.simulation,
            model: &self.model,
            copies: &self.copies,
            name: "last".to_owned(),
            life,
            calm: true,
        };
        let deeds = vec![
            Deed::Backup {
                files: crate::model::files(&mut self.dice),
                flush: true,
                pause: None,
            },
            Deed::Prune {
                repack: true,
                instant: false,
            },
            Deed::Read,
            Deed::Copy,
        ];
        client.run(deeds)?;
        self.inspect()
    }
}

fn is_index(name: &ObjectName) -> bool {
    name.area() == Area::Index
}

fn id(name: &ObjectName) -> String {
    name.id().to_owned()
}

fn draw_weather(dice: &mut Dice) -> Weather {
    let mut some = |often: u32, most: u64| match dice.chance(often) {
        true => 1 + dice.below(most) as u32,
        false => 0,
    };
    Weather {
        failures: some(500, 40),
        unreadable: some(200, 10),
        twice: some(300, 50),
        crashes: some(600, 30),
        tears: some(400, 1) == 1,
        stale: some(400, 1) == 1,
        timeless: some(300, 1) == 1,
        forgets: 0,
    }
}
