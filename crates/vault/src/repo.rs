//! A vault that is open.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use lifeboat_store::{Area, LockPolicy, ObjectLock, ObjectName, Store, StoreError};
use parking_lot::Mutex;

use crate::{
    config::Config,
    env::Environment,
    error::{Result, VaultError},
    id::{KeyId, SnapshotId},
    key,
    lock::{self, LockMode},
    opened::{Core, Patience},
    read::Reader,
    seal::SealKey,
    snapshot::Snapshot,
    unpacked::object_name,
    write::{Writer, WriterOptions},
};

/// A vault that is open. Cheap to clone; shared between threads.
#[derive(Clone)]
pub struct Vault(pub(crate) Arc<Core>);

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Vault({} at {})", self.id(), self.location())
    }
}

/// All snapshots of a vault.
#[derive(Debug, Default)]
pub struct Snapshots {
    /// Sorted by time, oldest first.
    pub found: Vec<(SnapshotId, Snapshot)>,
    /// Files that could not be read.
    pub unreadable: Vec<(SnapshotId, VaultError)>,
}

impl Vault {
    /// Creates a vault. Refuses where one is already, or where one has lost its config.
    ///
    /// The key is written before the config. A crash between them leaves a place that is no vault yet and
    /// can be created again. Of two that create at once the store lets one write the config: that
    /// one removes the keys of the others, which open nothing.
    pub fn create(store: Arc<dyn Store>, password: &[u8], env: Environment) -> Result<Vault> {
        Self::create_locked(store, password, env, None)
    }

    /// As [`Vault::create`]; with a policy, one whose points are locked (`locked`). Refused where the store cannot, or
    /// says that it can and does not.
    pub fn create_locked(
        store: Arc<dyn Store>,
        password: &[u8],
        env: Environment,
        policy: Option<LockPolicy>,
    ) -> Result<Vault> {
        let location = store.location();
        if password.is_empty() {
            return Err(VaultError::Invalid(
                "an empty password protects nothing".to_owned(),
            ));
        }
        refuse_what_is_there(&*store)?;
        store
            .create()
            .map_err(VaultError::store(format!("create a vault at {location}")))?;
        let master = crate::seal::KeyMaterial::random(&*env.random)?;
        let seal = SealKey::new(&master)?;
        let config = Config {
            object_lock: policy,
            ..Config::generate(&*env.random)?
        };
        let lock = match policy {
            Some(policy) => Some(lock_from_now(&*store, policy)?),
            None => None,
        };
        let sealed = seal.seal(&*env.random, &config.to_json()?)?;
        let key_id = key::add(&*store, password, &master, &env, key::Cost::DEFAULT)?;
        if let (Some(policy), Some(lock)) = (policy, lock) {
            prove_lock(
                lock,
                policy,
                &object_name(Area::Keys, &key_id.0)?,
                &location,
            )?;
        }
        match store.put(&ObjectName::config(), &sealed) {
            Ok(()) => {}
            Err(StoreError::AlreadyExists(_)) => {
                let _ = store.delete(&object_name(Area::Keys, &key_id.0)?);
                return Err(VaultError::AlreadyThere(location));
            }
            Err(e) => return Err(VaultError::store("write the config")(e)),
        }
        let core = Core {
            store,
            seal,
            master,
            config,
            key_id,
            env,
            told: Mutex::default(),
            doubts: AtomicU64::new(0),
            lock_memory: OnceLock::new(),
            near: OnceLock::new(),
            index_map: OnceLock::new(),
            patience: OnceLock::new(),
            seen_to_lag: AtomicBool::new(false),
        };
        for other in core
            .list(Area::Keys)?
            .into_iter()
            .filter(|id| *id != key_id.0)
        {
            match core.store.delete(&object_name(Area::Keys, &other)?) {
                Ok(()) | Err(StoreError::NotFound(_)) => {}
                Err(e) => return Err(VaultError::store("remove a left-over key")(e)),
            }
        }
        Ok(Vault(Arc::new(core)))
    }

    /// Opens a vault of version 1 or 2.
    pub fn open(store: Arc<dyn Store>, password: &[u8], env: Environment) -> Result<Vault> {
        let location = store.location();
        let sealed = match store.get(&ObjectName::config()) {
            Ok(sealed) => sealed,
            Err(StoreError::NotFound(_)) => return Err(VaultError::NoVault(location)),
            Err(e) => {
                return Err(VaultError::store(format!("read the config at {location}"))(
                    e,
                ));
            }
        };
        let (key_id, (seal, master, plain)) = key::unlock(&*store, password, |master| {
            let seal = SealKey::new(master)?;
            match seal.open(&sealed) {
                Ok(plain) => Ok((seal, master.clone(), plain)),
                // A key that a creation left behind opens nothing; another may.
                Err(_) => Err(VaultError::damaged(
                    "config",
                    "it does not open with the key that the password opened",
                )),
            }
        })?;
        let config = Config::parse(&plain)?;
        if let (Some(policy), Some(lock)) = (config.object_lock, store.object_lock()) {
            lock.keep(policy);
        }
        Ok(Vault(Arc::new(Core {
            store,
            seal,
            master,
            config,
            key_id,
            env,
            told: Mutex::default(),
            doubts: AtomicU64::new(0),
            lock_memory: OnceLock::new(),
            near: OnceLock::new(),
            index_map: OnceLock::new(),
            patience: OnceLock::new(),
            seen_to_lag: AtomicBool::new(false),
        })))
    }

    /// Readers and checks wait so long for who holds the vault, unless `stopped` says so; else they fail at once. What
    /// takes a time of its own goes by that.
    pub fn wait_for_locks(
        &self,
        retry: Duration,
        stopped: impl Fn() -> bool + Send + Sync + 'static,
    ) {
        let stopped = Box::new(stopped);
        let _ = self.0.patience.set(Patience { retry, stopped });
    }

    /// Says that listings of this store were seen to lag, whatever it promises: locks and prunes wait accordingly.
    pub fn listings_lag(&self) {
        self.0.seen_to_lag.store(true, Ordering::Relaxed);
    }

    /// The vault's id, random at creation.
    pub fn id(&self) -> &str {
        &self.0.config.id
    }

    /// Format version: 1 (read only) or 2.
    pub fn version(&self) -> u32 {
        self.0.config.version
    }

    /// Where it is, for people.
    pub fn location(&self) -> String {
        self.0.store.location()
    }

    /// The key file that the password opened.
    pub fn key_id(&self) -> KeyId {
        self.0.key_id
    }

    /// The store below.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    /// All snapshots, those that cannot be read told apart.
    pub fn snapshots(&self) -> Result<Snapshots> {
        let mut all = Snapshots::default();
        let listed = self.0.list(Area::Snapshots)?;
        self.0
            .keep_only(Area::Snapshots, &|id| listed.binary_search(id).is_ok());
        for object in listed {
            let id = SnapshotId(object);
            match self.read_snapshot(id, true) {
                Ok(snapshot) => all.found.push((id, snapshot)),
                // Deleted between listing and reading: it is not there.
                Err(VaultError::NoSnapshot(_)) => {}
                Err(error) => all.unreadable.push((id, error)),
            }
        }
        all.found.sort_by_cached_key(|(id, s)| {
            (
                crate::node::Timestamp::parse_rfc3339(&s.time),
                s.time.clone(),
                *id,
            )
        });
        Ok(all)
    }

    /// One snapshot.
    pub fn snapshot(&self, id: SnapshotId) -> Result<Snapshot> {
        self.read_snapshot(id, false)
    }

    fn read_snapshot(&self, id: SnapshotId, listed: bool) -> Result<Snapshot> {
        let name = object_name(Area::Snapshots, &id.0)?;
        let json = match listed {
            true => self.0.load_listed(&name),
            false => self.0.load_unpacked(&name),
        };
        let json = match json {
            Err(VaultError::Store {
                source: StoreError::NotFound(_),
                ..
            }) => {
                return Err(VaultError::NoSnapshot(id.to_hex()));
            }
            other => other?,
        };
        serde_json::from_slice(&json).map_err(|e| {
            VaultError::damaged(name.to_string(), format!("its JSON does not parse: {e}"))
        })
    }

    /// A reader: takes a shared lock (where the store can be written) and loads the index. A damaged index file
    /// is told as a warning, and what it named is found all the same.
    pub fn reader(&self) -> Result<Reader> {
        let lock = self.shared_lock()?;
        let loaded = self.0.load_index()?;
        self.0.warn_of_index(&loaded.unreadable);
        Ok(Reader::new(self.0.clone(), loaded, lock))
    }

    /// A shared lock; none where the store cannot be written.
    pub(crate) fn shared_lock(&self) -> Result<Option<lock::HeldLock>> {
        let patience = self.0.patience.get();
        let retry = patience.map_or(Duration::ZERO, |patience| patience.retry);
        let stopped = || patience.is_some_and(|patience| (patience.stopped)());
        match lock::acquire_unless(&self.0, LockMode::Shared, retry, &stopped) {
            Ok(lock) => Ok(Some(lock)),
            Err(VaultError::Locked { .. }) if stopped() => {
                Err(VaultError::Interrupted("the wait for a lock".to_owned()))
            }
            Err(e) if e.kind() == crate::error::ErrorKind::Denied => Ok(None),
            Err(e) if e.kind() == crate::error::ErrorKind::Full => Ok(None),
            // A torn lock file of another program must not stand between a person and the data.
            Err(e) if e.kind() == crate::error::ErrorKind::Damaged => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// A write session: takes a shared lock and loads the index. Version 2 only, and only where every index file
    /// can be read.
    pub fn writer(&self, options: WriterOptions) -> Result<Writer> {
        Writer::open(self.0.clone(), options)
    }

    /// Removes the locks of this host's dead processes, and those of ours older than 30 minutes.
    pub fn remove_stale_locks(&self) -> Result<usize> {
        lock::remove_stale(&self.0)
    }
}

/// From now on what is put is locked.
fn lock_from_now(store: &dyn Store, policy: LockPolicy) -> Result<&dyn ObjectLock> {
    let failed = || VaultError::store("make a vault whose points are locked");
    let lock = store.object_lock().ok_or_else(|| StoreError::NoLock {
        place: store.location(),
        reason: "only S3 has Object Lock".to_owned(),
    });
    let lock = lock.map_err(failed())?;
    lock.possible().map_err(failed())?;
    lock.keep(policy);
    Ok(lock)
}

/// Whether what was put is locked, and can be locked for longer: some servers take such requests and do nothing.
fn prove_lock(
    lock: &dyn ObjectLock,
    policy: LockPolicy,
    name: &ObjectName,
    location: &str,
) -> Result<()> {
    let failed = || VaultError::store("try whether the store locks what it is given");
    let until = lock.locked_until(name).map_err(failed())?;
    match until {
        Some(until) => lock.extend(name, until).map_err(failed()),
        None => Err(failed()(StoreError::NoLock {
            place: location.to_owned(),
            reason: format!(
                "it took an object that was to be locked for {} s and did not lock it",
                policy.seconds
            ),
        })),
    }
}

/// Before a vault is created: there must be none, nor what is left of one.
fn refuse_what_is_there(store: &dyn Store) -> Result<()> {
    let location = store.location();
    let failed = || VaultError::store(format!("look for a vault at {location}"));
    match store.size(&ObjectName::config()) {
        Ok(_) => return Err(VaultError::AlreadyThere(location)),
        Err(StoreError::NotFound(_)) => {}
        Err(e) => return Err(failed()(e)),
    }
    for area in [Area::Snapshots, Area::Index, Area::Data] {
        if !store.list(area).map_err(failed())?.is_empty() {
            return Err(VaultError::damaged(
                format!("the vault at {location}"),
                "its config is missing, but it holds data; nothing was changed",
            ));
        }
    }
    Ok(())
}
