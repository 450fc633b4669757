//! The index kept mapped: what it stands for is not read again, and it is never believed where it is not so.

use std::{path::Path, sync::Arc};

use lifeboat_store::{Area, Cache, FaultyStore, MemoryStore};
use lifeboat_vault::Vault;

use crate::{
    points::{forget, is_sound, is_whole, point, prune},
    support::*,
};

fn mapped(store: &Arc<FaultyStore>, cache: &Path) -> Vault {
    let vault = open(store.clone());
    vault.map_index(cache, 1);
    vault
}

/// Index files that are read when a vault is opened for reading.
fn read(store: &Arc<FaultyStore>, cache: &Path) -> usize {
    let before = store.reads(Area::Index);
    drop(mapped(store, cache).reader().unwrap());
    store.reads(Area::Index) - before
}

fn faulty() -> Arc<FaultyStore> {
    let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
    create(store.clone());
    store
}

#[test]
fn what_is_mapped_is_not_read_again() {
    let cache = tempfile::tempdir().unwrap();
    let store = faulty();
    let all: Vec<u64> = (0..200).collect();
    let first = point(&open(store.clone()), &all);
    assert_eq!(read(&store, cache.path()), 1);
    assert_eq!(read(&store, cache.path()), 0);
    is_whole(&mapped(&store, cache.path()), first, &all);

    // What comes after is read beside it, and mapped with it once it is much.
    let mut later = Vec::new();
    for n in 0..12 {
        // By one that maps, too: it leaves out what is there.
        let puts = store.puts();
        let with_more: Vec<u64> = (0..200).chain([1000 + n]).collect();
        later.push((point(&mapped(&store, cache.path()), &with_more), with_more));
        assert!(store.puts() - puts < 8, "what is there was stored again");
        assert!(read(&store, cache.path()) <= 9);
    }
    assert!(read(&store, cache.path()) < 9);
    for (id, numbers) in &later {
        is_whole(&mapped(&store, cache.path()), *id, numbers);
    }
}

#[test]
fn what_the_vault_has_no_more_is_not_believed_to_be_there() {
    let cache = tempfile::tempdir().unwrap();
    let store = faulty();
    let gone = point(&open(store.clone()), &[1, 2, 3, 4]);
    let kept = point(&open(store.clone()), &[4, 5]);
    assert_eq!(read(&store, cache.path()), 2);
    forget(&mapped(&store, cache.path()), &[gone]);
    prune(&mapped(&store, cache.path()));
    // Another program, or a second phase, may have taken it all away by now: stored anew, not rested on.
    let again = point(&mapped(&store, cache.path()), &[1, 2, 3, 6]);
    for vault in [mapped(&store, cache.path()), open(store.clone())] {
        is_whole(&vault, kept, &[4, 5]);
        is_whole(&vault, again, &[1, 2, 3, 6]);
        is_sound(&vault);
    }
}

#[test]
fn one_that_lies_is_not_believed() {
    let cache = tempfile::tempdir().unwrap();
    let (store, other) = (faulty(), faulty());
    let id = point(&open(store.clone()), &[1, 2, 3]);
    point(&open(other.clone()), &[1, 2, 3]);
    let place = |store: &Arc<FaultyStore>| {
        let vault = open(store.clone());
        Cache::index_map(cache.path(), vault.id()).unwrap()
    };
    read(&store, cache.path());
    read(&other, cache.path());
    let good = fs_err::read(place(&store)).unwrap();
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let others = fs_err::read(place(&other)).unwrap();
    for bad in [&flipped[..], &good[..good.len() / 2], b"", &others] {
        fs_err::write(place(&store), bad).unwrap();
        assert_eq!(read(&store, cache.path()), 1, "the vault's own is read");
        assert_eq!(read(&store, cache.path()), 0, "and mapped anew");
        is_whole(&mapped(&store, cache.path()), id, &[1, 2, 3]);
    }
    // No place to keep it.
    let nowhere = Path::new("/proc/no/such/place");
    assert_eq!((read(&store, nowhere), read(&store, nowhere)), (1, 1));
}
