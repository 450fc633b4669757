//! The table of the crate's document ("what may run beside what"), cell by cell: an operation is stopped at its n-th
//! step of the store, for every n, another runs from beginning to end, the first goes on. Each ends well or is told who
//! stands in its way, as the table says; every point is whole afterwards, and nothing that is needed is gone.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use lifeboat_store::{Area, MemoryStore, ObjectInfo, ObjectName, Store};
use lifeboat_vault::{CheckOptions, ErrorKind, Silent, SnapshotId, Vault, prune::PruneOptions};
use parking_lot::{Mutex, RwLock};

use crate::{prune as lab, support::*};

type StoreResult<T> = lifeboat_store::Result<T>;

/// A place whose content can be exchanged, so that a vault is opened once for all cells; and whose user is stopped
/// before its n-th step until something else has been done.
struct Place {
    inner: Arc<RwLock<Arc<dyn Store>>>,
    steps: AtomicU64,
    stop_at: AtomicU64,
    meanwhile: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Place {
    fn new(inner: Arc<RwLock<Arc<dyn Store>>>) -> Arc<Place> {
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
enum Deed {
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

use Deed::{Backup, Check, CopyOut, Forget, Init, Instant, Pin, Prune, Read, RepairIndex};

const ALL: [Deed; 10] = [
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
fn beside(a: Deed, b: Deed) -> bool {
    let alone = |deed| matches!(deed, Instant | RepairIndex);
    match (a, b) {
        // It refuses a place where there is a vault, and looks no further.
        (Init, _) | (_, Init) => true,
        (Prune, Prune) => false,
        _ => !alone(a) && !alone(b),
    }
}

/// The vault of every cell.
struct Base {
    objects: Vec<(ObjectName, Vec<u8>)>,
    kept: Vec<(SnapshotId, Vec<u64>)>,
    gone: SnapshotId,
    pinned: SnapshotId,
}

impl Base {
    fn new() -> Base {
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

    fn fill(&self, store: &dyn Store) {
        for (name, bytes) in &self.objects {
            store.put(name, bytes).unwrap();
        }
    }
}

/// What is copied to.
fn elsewhere() -> Vault {
    let store = Arc::new(MemoryStore::new());
    create(Place::new(Arc::new(RwLock::new(store))))
}

/// New points say what they hold.
type New = Arc<Mutex<Vec<(SnapshotId, Vec<u64>)>>>;

struct Hands {
    base: Arc<Base>,
    new: New,
    other: Vault,
}

impl Hands {
    fn perform(&self, vault: &Vault, deed: Deed, salt: u64) -> lifeboat_vault::Result<()> {
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
                    dry_run: false,
                    writer: lab::one_thread(),
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
fn all_is_well(vault: &Vault, base: &Base, new: &New, cell: &str) {
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
fn single() -> lifeboat_vault::Environment {
    lifeboat_vault::Environment {
        threads: false,
        ..env()
    }
}

#[test]
fn every_deed_beside_every_other_at_every_step() {
    let base = Arc::new(Base::new());
    let inner: Arc<RwLock<Arc<dyn Store>>> = Arc::new(RwLock::new(Arc::new(MemoryStore::new())));
    base.fill(&**inner.read());
    let (first, second) = (Place::new(inner.clone()), Place::new(inner.clone()));
    let open = |store| Vault::open(store, PASSWORD.as_bytes(), single()).unwrap();
    let (one, two) = (open(first.clone()), open(second));
    let other = elsewhere();
    let mut cells = 0;
    for a in ALL {
        for b in ALL {
            let mut refused = 0;
            let mut stop_at = 0;
            loop {
                let fresh = Arc::new(MemoryStore::new());
                base.fill(&*fresh);
                *inner.write() = fresh;
                first.steps.store(0, Ordering::SeqCst);
                first.stop_at.store(stop_at, Ordering::SeqCst);
                let hands = Arc::new(Hands {
                    base: base.clone(),
                    new: New::default(),
                    other: other.clone(),
                });
                let outcome = Arc::new(Mutex::new(None));
                let (theirs, told, vault) = (hands.clone(), outcome.clone(), two.clone());
                *first.meanwhile.lock() = Some(Box::new(move || {
                    *told.lock() = Some(theirs.perform(&vault, b, 1));
                }));
                let cell = format!("{a:?}, stopped at step {stop_at} for {b:?}");
                let done = hands.perform(&one, a, 0);
                let Some(told) = outcome.lock().take() else {
                    done.unwrap_or_else(|e| panic!("{cell}: {e}"));
                    break;
                };
                done.unwrap_or_else(|e| panic!("{cell}: the first: {e}"));
                match told {
                    Ok(()) => {}
                    Err(e) if e.kind() == ErrorKind::Locked => refused += 1,
                    Err(e) => panic!("{cell}: the second: {e}"),
                }
                all_is_well(&two, &base, &hands.new, &cell);
                hands.perform(&two, Prune, 2).unwrap();
                all_is_well(&two, &base, &hands.new, &format!("{cell}, then pruned"));
                stop_at += 1;
                cells += 1;
            }
            assert!(stop_at > 0, "{a:?} takes no step");
            let beside = beside(a, b);
            assert_eq!(
                refused == 0,
                beside,
                "{a:?} and {b:?}: refused {refused} of {stop_at}"
            );
        }
    }
    println!("{cells} interleavings");
}

/// restic beside ours, stopped while they hold their lock: what it may, and what not.
#[test]
fn restic_beside_ours() {
    let base = Arc::new(Base::new());
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs_err::write(&file, noise(1, 50_000)).unwrap();
    let file = file.to_str().unwrap().to_owned();
    for (a, share) in [
        (Backup, 2),
        (Backup, 6),
        (Read, 4),
        (Prune, 3),
        (Prune, 5),
        (Prune, 8),
        (Instant, 5),
        (RepairIndex, 6),
    ] {
        for b in [
            &["backup", &file][..],
            &["forget", "--keep-last", "9", "--prune"],
            &["check"],
        ] {
            let path = dir.path().join("vault");
            let store = local(&path);
            store.create().unwrap();
            base.fill(&*store);
            let inner = Arc::new(RwLock::new(store));
            let place = Place::new(inner);
            let open = |store| Vault::open(store, PASSWORD.as_bytes(), single()).unwrap();
            let vault = open(place.clone());
            let hands = Hands {
                base: base.clone(),
                new: New::default(),
                other: elsewhere(),
            };
            // How many steps there are is seen on a copy.
            let counted = dir.path().join("counted");
            copy_dir(&path, &counted);
            let counter = Place::new(Arc::new(RwLock::new(local(&counted))));
            let counting = open(counter.clone());
            counter.steps.store(0, Ordering::SeqCst);
            hands.perform(&counting, a, 0).unwrap();
            hands.new.lock().clear();
            let steps = counter.steps.load(Ordering::SeqCst);
            fs_err::remove_dir_all(&counted).unwrap();

            place.steps.store(0, Ordering::SeqCst);
            place.stop_at.store(steps * share / 10, Ordering::SeqCst);
            let said = Arc::new(Mutex::new(None));
            let (told, at) = (said.clone(), path.clone());
            let line: Vec<String> = b.iter().map(|word| (*word).to_owned()).collect();
            *place.meanwhile.lock() = Some(Box::new(move || {
                let line: Vec<&str> = line.iter().map(String::as_str).collect();
                *told.lock() = Some(restic(&at, &line));
            }));
            hands.perform(&vault, a, 0).unwrap();
            let output = said.lock().take().expect("it was not stopped");
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            let may = match (b[0], a) {
                ("backup", Backup | Read) => Some(true),
                // While it deletes, for moments, it keeps others out.
                ("backup", Prune) => None,
                _ => Some(false),
            };
            assert!(
                may.is_none_or(|may| may == output.status.success()),
                "{a:?} {b:?}: {stderr}"
            );
            assert!(
                output.status.success() || stderr.contains("already locked"),
                "{stderr}"
            );
            after(&path, &vault, &base, &hands.new, &format!("{a:?} {b:?}"));
            fs_err::remove_dir_all(&path).unwrap();
        }
    }
}

fn after(path: &Path, vault: &Vault, base: &Base, new: &New, cell: &str) {
    all_is_well(vault, base, new, cell);
    restic_ok(path, &["check", "--read-data"]);
    lab::prune(vault);
    all_is_well(vault, base, new, cell);
    restic_ok(path, &["check", "--read-data"]);
}
