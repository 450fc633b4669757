//! A vault whose points nobody can delete before their time, not even with its keys in hand.
//!
//! The vault's config says so (`lifeboat.object_lock`, a field that other programs pass over), so that every host that
//! writes to it does the same. The store locks what it is given ([`LockPolicy`]); a commit locks what its point rests on:
//! **before** the snapshot is written, config, keys, index and every pack that the point needs are locked until at
//! least the point's own time. So a point that is there is locked whole. What was locked so is remembered on this host
//! (`lock memory`), and most commits have nothing to extend.
//!
//! Nothing of ours deletes a point or a pack before its time: [`Vault::forget`](crate::Vault) refuses, and a prune neither
//! deletes nor repacks such packs. Index files and snapshots that are replaced (by a prune, by a pin) are hidden; their
//! bytes stay until their time is over, and a prune sweeps them out then.
//!
//! All times are the server's. What a crash leaves: things that are locked for longer than need be.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
};

use lifeboat_store::{Area, LockPolicy, ObjectLock, ObjectName, StoreError};
use parking_lot::Mutex;

use crate::{
    bits::Bits,
    closure::Closure,
    error::{Result, VaultError},
    id::{BlobId, PackId, SnapshotId},
    index::Index,
    node::Timestamp,
    opened::Core,
    repo::Vault,
    unpacked::object_name,
};

/// Requests at the same time.
const AT_ONCE: usize = 16;

impl Core {
    /// What time it is: by the server's clock where there is one, for a client's may be wrong.
    pub fn now(&self) -> Timestamp {
        match self.store.server_time() {
            Some(secs) => Timestamp { secs, nanos: 0 },
            None => self.env.clock.now(),
        }
    }

    /// How this vault is locked, where it is and the store can.
    pub(crate) fn lock(&self) -> Option<(&dyn ObjectLock, LockPolicy)> {
        Some((self.store.object_lock()?, self.config.object_lock?))
    }

    /// Locks what a point needs that is about to be committed: these packs, and what every point needs.
    pub(crate) fn lock_what_is_needed(&self, packs: BTreeSet<PackId>) -> Result<()> {
        let Some((lock, policy)) = self.lock() else {
            return Ok(());
        };
        let until = policy.carried(self.now().secs);
        let mut names = vec![ObjectName::config()];
        for area in [Area::Keys, Area::Index] {
            for id in self.list(area)? {
                names.push(object_name(area, &id)?);
            }
        }
        for pack in packs {
            names.push(object_name(Area::Data, &pack.0)?);
        }
        let mut memory = Memory::read(self.lock_memory.get(), until);
        names.retain(|name| !memory.knows(name));
        each(&names, self.env.threads, |name| {
            match lock.extend(name, until) {
                Ok(()) => Ok(()),
                // Replaced or deleted meanwhile. Whether the point misses it, the commit looks afterwards.
                Err(StoreError::NotFound(_)) => Ok(()),
                Err(e) => Err(VaultError::store(format!("lock {name}"))(e)),
            }
        })?;
        memory.learn(names);
        memory.write();
        Ok(())
    }

    /// Locks all that a tree needs, found out by walking it.
    pub(crate) fn lock_tree(&self, index: &Index, root: BlobId) -> Result<()> {
        if self.lock().is_none() {
            return Ok(());
        }
        let mut closure = Closure::new(self, index);
        closure.read(root, &mut |_, _| Ok(()))?;
        let bits = Bits::new(index.len());
        closure.mark(root, &bits)?;
        self.lock_what_is_needed(packs_of(index, &bits))
    }

    /// Of these packs those that are locked now, and until when.
    pub(crate) fn locked_packs(&self, packs: &[PackId]) -> Result<HashMap<PackId, i64>> {
        let Some((lock, _)) = self.lock() else {
            return Ok(HashMap::new());
        };
        let now = self.now().secs;
        let found = Mutex::new(HashMap::new());
        each(packs, self.env.threads, |pack| {
            let name = object_name(Area::Data, &pack.0)?;
            if let Some(until) = until(lock, &name)?.filter(|until| *until > now) {
                found.lock().insert(*pack, until);
            }
            Ok(())
        })?;
        Ok(found.into_inner())
    }

    /// Until when each of these objects is locked; those that are not there are left out.
    pub(crate) fn locks_of(&self, names: &[ObjectName]) -> Result<HashMap<ObjectName, i64>> {
        let Some((lock, _)) = self.lock() else {
            return Ok(HashMap::new());
        };
        let found = Mutex::new(HashMap::new());
        each(names, self.env.threads, |name| {
            if let Some(until) = until(lock, name)? {
                found.lock().insert(name.clone(), until);
            }
            Ok(())
        })?;
        Ok(found.into_inner())
    }
}

/// The packs of blobs, by their numbers in the index.
pub(crate) fn packs_of(index: &Index, bits: &Bits) -> BTreeSet<PackId> {
    bits.iter().map(|at| index.at(at).2.pack).collect()
}

fn until(lock: &dyn ObjectLock, name: &ObjectName) -> Result<Option<i64>> {
    match lock.locked_until(name) {
        Err(StoreError::NotFound(_)) => Ok(None),
        other => other.map_err(VaultError::store(format!("look at the lock of {name}"))),
    }
}

/// Does something for each, some at a time; ends with the first error.
fn each<T: Sync>(all: &[T], threads: bool, work: impl Fn(&T) -> Result<()> + Sync) -> Result<()> {
    let next = AtomicUsize::new(0);
    let run = || {
        while let Some(one) = all.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = work(one) {
                next.store(all.len(), Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(())
    };
    if !threads {
        return run();
    }
    std::thread::scope(|scope| {
        let workers = AT_ONCE.min(all.len());
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(run)).collect();
        workers.into_iter().try_for_each(|worker| {
            worker
                .join()
                .unwrap_or_else(|_| Err(VaultError::Interrupted("a thread that locks died".into())))
        })
    })
}

/// What is locked until a certain time, as far as this host knows. Can be lost at any time: then all is asked for again.
struct Memory {
    path: Option<PathBuf>,
    until: i64,
    names: HashSet<String>,
}

impl Memory {
    /// What is known for this time or a later one; nothing of an earlier one.
    fn read(path: Option<&PathBuf>, until: i64) -> Memory {
        let mut memory = Memory {
            path: path.cloned(),
            until,
            names: HashSet::new(),
        };
        let text = memory.path.as_ref().map(fs_err::read_to_string);
        let Some(Ok(text)) = text else {
            return memory;
        };
        let mut lines = text.lines();
        let known = lines.next().and_then(|line| line.parse::<i64>().ok());
        if known.is_some_and(|known| known >= until) {
            memory.names = lines.map(str::to_owned).collect();
        }
        memory
    }

    fn knows(&self, name: &ObjectName) -> bool {
        self.names.contains(&name.to_string())
    }

    fn learn(&mut self, names: Vec<ObjectName>) {
        self.names.extend(names.iter().map(ToString::to_string));
    }

    fn write(&self) {
        let Some(path) = &self.path else { return };
        let mut text = format!("{}\n", self.until);
        for name in &self.names {
            text.push_str(name);
            text.push('\n');
        }
        let new = path.with_extension("new");
        let written = (|| {
            if let Some(folder) = path.parent() {
                fs_err::create_dir_all(folder)?;
            }
            fs_err::write(&new, text)?;
            fs_err::rename(&new, path)
        })();
        if let Err(error) = written {
            tracing::debug!(%error, "remember what is locked");
        }
    }
}

impl Vault {
    /// How the points of this vault are locked, if they are. `None`, too, where the store it lies on now cannot.
    pub fn lock_policy(&self) -> Option<LockPolicy> {
        Some(self.0.lock()?.1)
    }

    /// Whether the config says that points are locked, wherever the vault lies.
    pub fn says_locked(&self) -> Option<LockPolicy> {
        self.0.config.object_lock
    }

    /// A file in which this host remembers what it has locked. Without one every commit asks for all that it needs.
    pub fn remember_locks_in(&self, file: &Path) {
        let _ = self.0.lock_memory.set(file.to_owned());
    }

    /// What time it is where the vault lies, if that is another machine; and on this one.
    pub fn clocks(&self) -> (Option<Timestamp>, Timestamp) {
        let there = self.0.store.server_time();
        let there = there.map(|secs| Timestamp { secs, nanos: 0 });
        (there, self.0.env.clock.now())
    }

    /// What time it is, by the best clock there is.
    pub fn now(&self) -> Timestamp {
        self.0.now()
    }

    /// Of these points those that are locked now, and until when, in seconds since 1970.
    pub fn locked_points(&self, ids: &[SnapshotId]) -> Result<HashMap<SnapshotId, i64>> {
        let now = self.0.now().secs;
        let names = ids.iter().map(|id| object_name(Area::Snapshots, &id.0));
        let names = names.collect::<Result<Vec<_>>>()?;
        let locks = self.0.locks_of(&names)?;
        let of = |(id, name): (&SnapshotId, &ObjectName)| Some((*id, *locks.get(name)?));
        let all = ids.iter().zip(&names).filter_map(of);
        Ok(all.filter(|(_, until)| *until > now).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_counts_for_its_time_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("deep/locks");
        let name = ObjectName::new(Area::Keys, &"ab".repeat(32)).unwrap();
        let mut memory = Memory::read(Some(&path), 100);
        assert!(!memory.knows(&name));
        memory.learn(vec![name.clone()]);
        memory.write();
        assert!(Memory::read(Some(&path), 100).knows(&name));
        assert!(Memory::read(Some(&path), 99).knows(&name));
        assert!(!Memory::read(Some(&path), 101).knows(&name));
        fs_err::write(&path, "nonsense").unwrap();
        assert!(!Memory::read(Some(&path), 100).knows(&name));
        assert!(!Memory::read(None, 100).knows(&name));
    }

    #[test]
    fn each_is_done_once_and_the_first_error_ends_it() {
        let all: Vec<usize> = (0..100).collect();
        for threads in [false, true] {
            let done = Mutex::new(Vec::new());
            each(&all, threads, |n| {
                done.lock().push(*n);
                Ok(())
            })
            .unwrap();
            let mut done = done.into_inner();
            done.sort_unstable();
            assert_eq!(done, all);
            let failed = each(&all, threads, |n| match n {
                7 => Err(VaultError::Invalid("seven".into())),
                _ => Ok(()),
            });
            assert_eq!(failed.unwrap_err().to_string(), "seven");
        }
    }
}
