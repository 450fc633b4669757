//! What is kept near of a vault on a server: little is asked twice, and nothing is believed that is not so.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use lifeboat_store::{Area, MemoryStore, ObjectInfo, ObjectName, Store};
use lifeboat_vault::{CheckOptions, Silent, Vault};
use parking_lot::Mutex;

use crate::{
    points::{forget, is_whole, one_thread, options, point, prune, save, try_prune},
    support::*,
};

type StoreResult<T> = lifeboat_store::Result<T>;

/// A server that counts what it is asked.
#[derive(Default)]
struct Far {
    inner: MemoryStore,
    asked: Mutex<BTreeMap<(&'static str, Area), usize>>,
}

impl Far {
    fn count(&self, what: &'static str, area: Area) -> &MemoryStore {
        *self.asked.lock().entry((what, area)).or_default() += 1;
        &self.inner
    }

    /// What was read since the last look, of these areas.
    fn read(&self, areas: &[Area]) -> usize {
        let asked = std::mem::take(&mut *self.asked.lock());
        let of_these = asked
            .iter()
            .filter(|((what, area), _)| *what == "get" && areas.contains(area));
        of_these.map(|(_, count)| count).sum()
    }
}

impl Store for Far {
    fn location(&self) -> String {
        "far away".to_owned()
    }
    fn create(&self) -> StoreResult<()> {
        self.inner.create()
    }
    fn put(&self, name: &ObjectName, bytes: &[u8]) -> StoreResult<()> {
        self.count("put", name.area()).put(name, bytes)
    }
    fn get(&self, name: &ObjectName) -> StoreResult<Vec<u8>> {
        self.count("get", name.area()).get(name)
    }
    fn get_range(&self, name: &ObjectName, offset: u64, length: usize) -> StoreResult<Vec<u8>> {
        self.count("get", name.area())
            .get_range(name, offset, length)
    }
    fn size(&self, name: &ObjectName) -> StoreResult<u64> {
        self.count("size", name.area()).size(name)
    }
    fn list(&self, area: Area) -> StoreResult<Vec<ObjectInfo>> {
        self.count("list", area).list(area)
    }
    fn delete(&self, name: &ObjectName) -> StoreResult<()> {
        self.count("delete", name.area()).delete(name)
    }
    fn lists_at_once(&self) -> bool {
        true
    }
    fn is_remote(&self) -> bool {
        true
    }
}

const KEPT: [Area; 3] = [Area::Index, Area::Snapshots, Area::Data];

fn near(store: &Arc<Far>, cache: &Path) -> Vault {
    let vault = open(store.clone());
    vault.keep_near(cache).unwrap();
    vault
}

/// All points, all trees.
fn look(vault: &Vault) -> usize {
    let points = vault.snapshots().unwrap();
    assert!(points.unreadable.is_empty());
    let reader = vault.reader().unwrap();
    for (_, snapshot) in &points.found {
        reader.tree(snapshot.tree.unwrap()).unwrap();
    }
    points.found.len()
}

fn files(cache: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut open = vec![cache.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs_err::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => open.push(path),
                false if path.ends_with("CACHEDIR.TAG") => {}
                false => files.push(path),
            }
        }
    }
    files
}

#[test]
fn what_was_read_once_is_not_asked_for_again() {
    let cache = tempfile::tempdir().unwrap();
    let far = Arc::new(Far::default());
    create(far.clone());
    let writer = open(far.clone());
    for n in 0..5 {
        point(&writer, &[n, n + 1]);
    }
    far.read(&KEPT);
    assert_eq!(look(&near(&far, cache.path())), 5);
    // Five points, five index files, five packs of trees.
    assert_eq!(far.read(&KEPT), 15);
    assert_eq!(look(&near(&far, cache.path())), 5);
    assert_eq!(far.read(&KEPT), 0);
    // Without it, all of it.
    assert_eq!(look(&open(far.clone())), 5);
    assert_eq!(far.read(&KEPT), 15);
    // What a run writes itself it need not read.
    point(&near(&far, cache.path()), &[77]);
    far.read(&KEPT);
    assert_eq!(look(&near(&far, cache.path())), 6);
    assert_eq!(far.read(&KEPT), 0);
    // Nothing in it is plain.
    for file in files(cache.path()) {
        let bytes = fs_err::read(file).unwrap();
        assert!(
            !bytes
                .windows(5)
                .any(|w| w == b"nodes" || w == b"packs" || w == b"paths")
        );
    }
}

#[test]
fn a_commit_reads_nothing_back_the_first_no_more_than_the_second() {
    let far = Arc::new(Far::default());
    create(far.clone());
    for number in [1, 2] {
        let vault = open(far.clone());
        let writer = vault.writer(one_thread()).unwrap();
        let tree = save(&writer, &[number]).unwrap();
        far.read(&KEPT);
        writer.commit(snapshot(tree)).unwrap();
        assert_eq!(far.read(&KEPT), 0, "point {number}");
    }
}

#[test]
fn a_cache_that_lies_is_not_believed() {
    type Spoil = fn(&Path);
    let ways: [(&str, Spoil); 4] = [
        ("flipped", |file| {
            let mut bytes = fs_err::read(file).unwrap();
            let middle = bytes.len() / 3;
            bytes[middle] ^= 1;
            fs_err::write(file, bytes).unwrap();
        }),
        ("cut", |file| {
            let bytes = fs_err::read(file).unwrap();
            fs_err::write(file, &bytes[..bytes.len() / 4]).unwrap();
        }),
        ("emptied", |file| fs_err::write(file, b"").unwrap()),
        ("deleted", |file| fs_err::remove_file(file).unwrap()),
    ];
    for (way, spoil) in ways {
        let cache = tempfile::tempdir().unwrap();
        let far = Arc::new(Far::default());
        create(far.clone());
        let id = point(&open(far.clone()), &[1, 2, 3]);
        look(&near(&far, cache.path()));
        // One that is at work meanwhile, too.
        let at_work = near(&far, cache.path());
        for file in files(cache.path()) {
            spoil(&file);
        }
        for vault in [at_work, near(&far, cache.path())] {
            assert_eq!(look(&vault), 1, "{way}");
            is_whole(&vault, id, &[1, 2, 3]);
        }
        far.read(&KEPT);
        look(&near(&far, cache.path()));
        assert_eq!(far.read(&KEPT), 0, "{way}: it is mended");
    }
}

#[test]
fn what_the_vault_has_no_more_is_not_there() {
    let cache = tempfile::tempdir().unwrap();
    let far = Arc::new(Far::default());
    create(far.clone());
    let elsewhere = open(far.clone());
    let gone = point(&elsewhere, &[1, 2, 3]);
    let stays = point(&elsewhere, &[3, 4]);
    let vault = near(&far, cache.path());
    assert_eq!(look(&vault), 2);
    let before = files(cache.path()).len();
    // By others, who have no cache.
    forget(&elsewhere, &[gone]);
    assert!(vault.snapshot(gone).is_err());
    prune(&elsewhere);
    prune(&elsewhere);
    let vault = near(&far, cache.path());
    assert_eq!(look(&vault), 1);
    is_whole(&vault, stays, &[3, 4]);
    assert!(files(cache.path()).len() < before);
    // A session that thinks it knows it all reuses nothing that is gone.
    let writer = vault.writer(one_thread()).unwrap();
    let tree = save(&writer, &[1, 2, 3]).unwrap();
    let id = writer.commit(snapshot(tree)).unwrap();
    is_whole(&open(far.clone()), id, &[1, 2, 3]);
    let whole = CheckOptions {
        read_data: true,
        ..CheckOptions::default()
    };
    assert!(elsewhere.check(&whole, &Silent).unwrap().is_healthy());
}

#[test]
fn many_use_it_at_once_and_somebody_deletes_it() {
    let cache = tempfile::tempdir().unwrap();
    let far = Arc::new(Far::default());
    create(far.clone());
    let points: Vec<_> = (0..6).map(|n| point(&open(far.clone()), &[n, 9])).collect();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..4 {
                    let vault = near(&far, cache.path());
                    assert_eq!(look(&vault), 6);
                    is_whole(&vault, points[2], &[2, 9]);
                }
            });
        }
        scope.spawn(|| {
            for _ in 0..20 {
                for file in files(cache.path()) {
                    let _ = fs_err::remove_file(file);
                }
            }
        });
    });
    // And a prune with one.
    let vault = near(&far, cache.path());
    forget(&vault, &points[..3]);
    try_prune(&vault, &options()).unwrap();
    assert_eq!(look(&near(&far, cache.path())), 3);
    is_whole(&near(&far, cache.path()), points[4], &[4, 9]);
}

#[test]
fn a_vault_in_a_directory_has_none() {
    let (cache, dir) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let vault = create(local(dir.path()));
    vault.keep_near(cache.path()).unwrap();
    point(&vault, &[1]);
    assert!(files(cache.path()).is_empty());
}
