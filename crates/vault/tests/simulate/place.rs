//! A vault in a simulated place, and who works with it.

use std::{
    path::PathBuf,
    sync::{Arc, OnceLock},
    time::Duration,
};

use lifeboat_store::{Area, Dice, MemoryStore, ObjectName, SimulatedStore, Simulation, Store};
use lifeboat_vault::{
    Clock, Environment, Random, Result, Timestamp, Vault,
    config::Config,
    key::{self, Cost},
    seal::{KeyMaterial, SealKey},
};
use parking_lot::Mutex;

use crate::order::{Broken, Disorder};

const PASSWORD: &[u8] = b"simulated";
/// 2030-01-01.
const BEGIN: i64 = 1_893_456_000;

struct SimulatedClock {
    simulation: Arc<Simulation>,
    /// Seconds that this machine's clock is off.
    off: i64,
}

impl Clock for SimulatedClock {
    fn now(&self) -> Timestamp {
        let now = self.simulation.now();
        Timestamp {
            secs: BEGIN + self.off + now.as_secs().cast_signed(),
            nanos: now.subsec_nanos(),
        }
    }

    fn uptime(&self) -> Duration {
        self.simulation.now()
    }

    fn sleep(&self, time: Duration) {
        self.simulation.sleep(time);
    }
}

struct SimulatedRandom(Mutex<Dice>);

impl Random for SimulatedRandom {
    fn fill(&self, bytes: &mut [u8]) -> Result<()> {
        let mut dice = self.0.lock();
        for part in bytes.chunks_mut(8) {
            part.copy_from_slice(&dice.number().to_le_bytes()[..part.len()]);
        }
        Ok(())
    }
}

/// A process on a machine of this name.
fn environment(simulation: &Arc<Simulation>, name: &str, seed: u64, off: i64) -> Environment {
    Environment {
        clock: Arc::new(SimulatedClock {
            simulation: simulation.clone(),
            off,
        }),
        random: Arc::new(SimulatedRandom(Mutex::new(Dice::new(seed)))),
        hostname: name.to_owned(),
        username: "root".to_owned(),
        uid: 0,
        gid: 0,
        pid: 1,
        threads: false,
        ..Environment::system("lifeboat simulated")
    }
}

/// One life of one client.
pub struct Life {
    pub store: Arc<SimulatedStore>,
    env: Environment,
    broken: Option<Broken>,
    /// Where this machine keeps its mapped index, from one life to the next.
    pub maps: Option<PathBuf>,
}

impl Life {
    pub fn new(
        simulation: &Arc<Simulation>,
        name: &str,
        seed: u64,
        off: i64,
        broken: Option<Broken>,
    ) -> Life {
        Life {
            store: simulation.client(name),
            env: environment(simulation, name, seed, off),
            broken,
            maps: None,
        }
    }

    pub fn calm(simulation: &Arc<Simulation>, name: &str, seed: u64) -> Life {
        Life {
            store: simulation.calm_client(name),
            env: environment(simulation, name, seed, 0),
            broken: None,
            maps: None,
        }
    }

    pub fn inspector(simulation: &Arc<Simulation>, seed: u64) -> Life {
        Life {
            store: simulation.inspector(),
            env: environment(simulation, "inspector", seed, 0),
            broken: None,
            maps: None,
        }
    }

    pub fn open(&self) -> Result<Vault> {
        let store: Arc<dyn Store> = match self.broken {
            Some(broken) => Arc::new(Disorder::new(self.store.clone(), broken)),
            None => self.store.clone(),
        };
        let vault = Vault::open(store, PASSWORD, self.env.clone())?;
        if let Some(maps) = &self.maps {
            vault.map_index(maps, 1);
        }
        Ok(vault)
    }
}

/// Config and key of an empty vault, whose key costs nothing: made once.
fn objects() -> &'static [(ObjectName, Vec<u8>)] {
    static OBJECTS: OnceLock<Vec<(ObjectName, Vec<u8>)>> = OnceLock::new();
    OBJECTS.get_or_init(|| {
        let simulation = Simulation::new(0, lifeboat_store::Weather::default());
        let env = environment(&simulation, "maker", 7, 0);
        let store = MemoryStore::new();
        let master = KeyMaterial::random(&*env.random).unwrap();
        let seal = SealKey::new(&master).unwrap();
        let config = Config::generate(&*env.random).unwrap().to_json().unwrap();
        let sealed = seal.seal(&*env.random, &config).unwrap();
        store.put(&ObjectName::config(), &sealed).unwrap();
        let cost = Cost {
            log_n: 1,
            r: 1,
            p: 1,
        };
        key::add(&store, PASSWORD, &master, &env, cost).unwrap();
        let of = |area| store.list(area).unwrap();
        let names = of(Area::Config).into_iter().chain(of(Area::Keys));
        names
            .map(|object| (object.name.clone(), store.get(&object.name).unwrap()))
            .collect()
    })
}

/// An empty vault in a place where nothing ever fails.
pub fn elsewhere(simulation: &Arc<Simulation>) -> Vault {
    let store = MemoryStore::new();
    for (name, bytes) in objects() {
        store.put(name, bytes).unwrap();
    }
    let env = environment(simulation, "elsewhere", 99, 0);
    Vault::open(Arc::new(store), PASSWORD, env).unwrap()
}

/// Puts an empty vault there.
pub fn found(simulation: &Arc<Simulation>) {
    let store = simulation.inspector();
    for (name, bytes) in objects() {
        store.put(name, bytes).unwrap();
    }
    simulation.pass(Duration::from_secs(1));
}
