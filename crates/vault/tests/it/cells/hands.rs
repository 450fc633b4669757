//! Who does what to a vault, for the table of what may run beside what: operations of ours, a place in which one of them is
//! stopped before any of its steps, and what must hold afterwards.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use lifeboat_store::{Area, MemoryStore, ObjectInfo, ObjectName, Store};
use lifeboat_vault::{CheckOptions, Silent, SnapshotId, Vault, prune::PruneOptions};
use parking_lot::{Mutex, RwLock};

use crate::{points as lab, support::*};

type StoreResult<T> = lifeboat_store::Result<T>;

/// A place whose content can be exchanged, so that a vault is opened once for all cells; and whose user is stopped
/// before its n-th step until something else has been done.
pub struct Place {
    pub inner: Arc<RwLock<Arc<dyn Store>>>,
    pub steps: AtomicU64,
    pub stop_at: AtomicU64,
    pub meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Place {
    pub fn new(inner: Arc<RwLock<Arc<dyn Store>>>) -> Arc<Place> {
        Arc::new(Place {
            inner,
            steps: AtomicU64::new(0),
            stop_at: AtomicU64::new(u64::MAX),
            meanwhile: Mutex::default(),
        })
    }

    fn step(&self) -> Arc<dyn Store> {
        if self.steps.fetch_add(1, Ordering::SeqCst) == self.stop_at.load(Ordering::SeqCst) {
            let meanwhile = self.meanwhile.lock().take();
            if let Some(meanwhile) = meanwhile {
                meanwhile();
            }
        }
        self.inner.read().clone()
    }
}

impl Store for Place {
    fn location(&self) -> String {
        format!("the place at {:p}", Arc::as_ptr(&self.inner))
    }
    fn create(&self) -> StoreResult<()> {
        self.step().create()
    }
    fn put(&self, name: &ObjectName, bytes: &[u8]) -> StoreResult<()> {
        self.step().put(name, bytes)
    }
    fn get(&self, name: &ObjectName) -> StoreResult<Vec<u8>> {
        self.step().get(name)
    }
    fn get_range(&self, name: &ObjectName, offset: u64, length: usize) -> StoreResult<Vec<u8>> {
        self.step().get_range(name, offset, length)
    }
    fn size(&self, name: &ObjectName) -> StoreResult<u64> {
        self.step().size(name)
    }
    fn list(&self, area: Area) -> StoreResult<Vec<ObjectInfo>> {
        self.step().list(area)
    }
    fn delete(&self, name: &ObjectName) -> StoreResult<()> {
        self.step().delete(name)
    }
    fn lists_at_once(&self) -> bool {
        true
    }
}

/// What runs beside what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Backup,
    Read,
    Check,
    CopyOut,
    Forget,
    Pin,
    Prune,
    Instant,
    RepairIndex,
    Init,
}

pub use Deed::{Backup, Check, CopyOut, Forget, Init, Instant, Pin, Prune, Read, RepairIndex};

pub const ALL: [Deed; 10] = [
    Backup,
    Read,
    Check,
    CopyOut,
    Forget,
    Pin,
    Prune,
    Instant,
    RepairIndex,
    Init,
];

/// Whether the second goes on while the first is at work.
pub fn beside(a: Deed, b: Deed) -> bool {
    let alone = |deed| matches!(deed, Instant | RepairIndex);
    match (a, b) {
        // It refuses a place where there is a vault, and looks no further.
        (Init, _) | (_, Init) => true,
        (Prune, Prune) => false,
        _ => !alone(a) && !alone(b),
    }
}

/// The vault of every cell.
pub struct Base {
    pub objects: Vec<(ObjectName, Vec<u8>)>,
    pub kept: Vec<(SnapshotId, Vec<u64>)>,
    pub gone: SnapshotId,
    pub pinned: SnapshotId,
}

impl Base {
    pub fn new() -> Base {
        let store = Arc::new(MemoryStore::new());
        let vault = create(store.clone());
        let gone = lab::point(&vault, &(0..12).collect::<Vec<_>>());
        let kept: Vec<Vec<u64>> = vec![vec![0, 5, 20], vec![21, 22]];
        let kept = kept
            .into_iter()
            .map(|numbers| (lab::point(&vault, &numbers), numbers))
            .collect();
        let pinned = lab::point(&vault, &[30]);
        let before = lab::point(&vault, &[1, 2, 3, 4]);
        lab::forget(&vault, &[before]);
        let mut objects = vec![(
            ObjectName::config(),
            store.get(&ObjectName::config()).unwrap(),
        )];
        for area in [Area::Keys, Area::Data, Area::Index, Area::Snapshots] {
            for object in store.list(area).unwrap() {
                let bytes = store.get(&object.name).unwrap();
                objects.push((object.name, bytes));
            }
        }
        Base {
            objects,
            kept,
            gone,
            pinned,
        }
    }

    pub fn fill(&self, store: &dyn Store) {
        for (name, bytes) in &self.objects {
            store.put(name, bytes).unwrap();
        }
    }
}

/// What is copied to.
pub fn elsewhere() -> Vault {
    let store = Arc::new(MemoryStore::new());
    create(Place::new(Arc::new(RwLock::new(store))))
}

/// New points say what they hold.
pub type New = Arc<Mutex<Vec<(SnapshotId, Vec<u64>)>>>;

pub struct Hands {
    pub base: Arc<Base>,
    pub new: New,
    pub other: Vault,
}

impl Hands {
    pub fn perform(&self, vault: &Vault, deed: Deed, salt: u64) -> lifeboat_vault::Result<()> {
        let stop = AtomicBool::new(false);
        match deed {
            Backup => {
                // Of the gone, of the kept, of the forgotten, and new.
                let numbers = vec![0, 1, 2, 8, 9, 21, 100 + salt];
                let id = lab::try_point(vault, &numbers)?;
                self.new.lock().push((id, numbers));
            }
            Read => {
                let reader = vault.reader()?;
                for (id, _) in &self.base.kept {
                    let root = vault.snapshot(*id)?.tree.unwrap();
                    let node = reader.lookup(root, &[b"f"])?.unwrap();
                    let mut file = reader.file(&node)?;
                    while !file.next_chunk()?.is_empty() {}
                }
            }
            Check => {
                let options = CheckOptions {
                    read_data: true,
                    threads: 1,
                    ..CheckOptions::default()
                };
                let report = vault.check(&options, &Silent)?;
                assert!(report.is_healthy(), "{report:?}");
            }
            CopyOut => {
                let (id, _) = self.base.kept[0];
                let point = (id, vault.snapshot(id)?);
                let options = lifeboat_vault::copy::CopyOptions {
                    writer: lab::one_thread(),
                    ..Default::default()
                };
                vault.copy_to(&self.other, &[point], &options, &stop, &Silent)?;
            }
            Forget => drop(vault.forget(&[self.base.gone], Duration::ZERO, &stop)?),
            Pin => match vault.pin(self.base.pinned, true, Duration::ZERO) {
                // The other of two has done it.
                Ok(_) | Err(lifeboat_vault::VaultError::NoSnapshot(_)) => {}
                Err(error) => return Err(error),
            },
            Prune => drop(vault.prune(&lab::options(), &stop, &Silent)?),
            Instant => {
                let options = PruneOptions {
                    instant: true,
                    ..lab::options()
                };
                vault.prune(&options, &stop, &Silent)?;
            }
            RepairIndex => drop(vault.rebuild_index(Duration::ZERO, &stop, &Silent)?),
            Init => {
                let made = Vault::create(vault.store().clone(), b"another", env());
                assert!(made.is_err());
            }
        }
        Ok(())
    }
}

/// All that must be there is there.
pub fn all_is_well(vault: &Vault, base: &Base, new: &New, cell: &str) {
    let options = CheckOptions {
        read_data: true,
        threads: 1,
        ..CheckOptions::default()
    };
    let report = vault.check(&options, &Silent).unwrap();
    assert!(report.is_healthy(), "{cell}: {report:?}");
    for (id, numbers) in base.kept.iter().chain(new.lock().iter()) {
        lab::is_whole(vault, *id, numbers);
    }
}

/// A session of one thread, so that the steps come in one order.
pub fn single() -> lifeboat_vault::Environment {
    lifeboat_vault::Environment {
        threads: false,
        ..env()
    }
}

pub fn after(path: &Path, vault: &Vault, base: &Base, new: &New, cell: &str) {
    all_is_well(vault, base, new, cell);
    restic_ok(path, &["check", "--read-data"]);
    lab::prune(vault);
    all_is_well(vault, base, new, cell);
    restic_ok(path, &["check", "--read-data"]);
}
