//! The table of the crate's document ("what may run beside what"), cell by cell: an operation is stopped at its n-th
//! step of the store, for every n, another runs from beginning to end, the first goes on. Each ends well or is told who
//! stands in its way, as the table says; every point is whole afterwards, and nothing that is needed is gone.

pub mod hands;

use std::sync::{Arc, atomic::Ordering};

use lifeboat_store::{MemoryStore, Store};
use lifeboat_vault::{ErrorKind, Vault};
use parking_lot::{Mutex, RwLock};

use self::hands::*;
use crate::support::*;

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
