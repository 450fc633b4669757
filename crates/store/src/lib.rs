//! Bytes by name: one trait over the places where a vault can lie.
//!
//! A store keeps objects in six areas, the six folders of a restic repository. It knows nothing of
//! what an object holds. Contract of every backend, checked by [`conformance`]:
//!
//! - `put` is atomic (a reader sees the whole object or none) and **durable when it returns**:
//!   data, name and folder have reached stable storage.
//! - `put` of a name that is there already fails with [`StoreError::AlreadyExists`] and leaves it
//!   untouched. Nothing is ever overwritten.
//! - What is staged is as if it were put, at the latest when it is settled; before that it may be there or not, and it is
//!   never there in part.
//! - `delete` of a name that is not there fails with [`StoreError::NotFound`], or succeeds where the
//!   store does not tell (most object stores).
//! - `list` shows every object whose `put` has returned and none that is half written.
//!
//! What a place is called and what is needed to reach it are two things: a [`Place`] can be shown and
//! remembered, an [`Access`] holds secrets and limits. [`open()`] puts them together, with
//! [`RetryStore`] around what is reached over a network.
//!
//! What a crash leaves: at most temporary files, which `list` never shows and which the backend
//! clears when they are old.

pub mod access;
pub mod cache;
mod cloud;
pub mod conformance;
mod faulty;
mod http;
mod local;
mod lock;
mod memory;
mod object;
mod open;
mod place;
mod probe;
mod rest;
mod retry;
mod sftp;
mod simulated;
mod spool;
mod staged;

pub use access::{Access, ExposeSecret, Limits, RetryPolicy, SecretString, Stop};
pub use cache::Cache;
pub use cloud::CloudStore;
pub use faulty::{Fault, FaultyStore};
pub use local::LocalStore;
pub use lock::{LockMode, LockPolicy, ObjectLock};
pub use memory::MemoryStore;
pub use object::{Area, ObjectInfo, ObjectName, StoreError};
pub use open::open;
pub use place::Place;
pub use probe::Capabilities;
pub use rest::RestStore;
pub use retry::RetryStore;
pub use sftp::SftpStore;
pub use simulated::{Dice, SimulatedStore, Simulation, Weather};
pub use spool::SpoolStore;
pub use staged::Staged;

/// Result of a store operation.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;

/// A place that keeps objects by name. Blocking; shared between threads.
pub trait Store: Send + Sync {
    /// Where this is, for people: a path or a URL without credentials.
    fn location(&self) -> String;

    /// Makes the place ready for a new vault (creates folders). Fails if it cannot be written.
    fn create(&self) -> Result<()>;

    /// Stores a new object, whole and durable when this returns.
    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<()>;

    /// Takes a new object that needs to be durable, and there for others, only once it is settled. Where many are settled
    /// together, a directory's disk has less to wait for than by as many [`put`](Self::put)s.
    fn stage(&self, name: &ObjectName, bytes: &[u8]) -> Result<Staged> {
        self.put(name, bytes).map(|()| Staged::durable())
    }

    /// Makes objects that this store has staged whole, durable and visible when this returns. After an error each may be
    /// there or not.
    fn settle(&self, staged: Vec<Staged>) -> Result<()> {
        Staged::settle(self, staged)
    }

    /// Reads a whole object.
    fn get(&self, name: &ObjectName) -> Result<Vec<u8>>;

    /// Reads `length` bytes from `offset`. Fewer bytes than asked for is [`StoreError::ShortRead`].
    fn get_range(&self, name: &ObjectName, offset: u64, length: usize) -> Result<Vec<u8>>;

    /// Size of an object in bytes, or [`StoreError::NotFound`].
    fn size(&self, name: &ObjectName) -> Result<u64>;

    /// All objects of an area, in no order.
    fn list(&self, area: Area) -> Result<Vec<ObjectInfo>>;

    /// Deletes an object.
    fn delete(&self, name: &ObjectName) -> Result<()>;

    /// Whether `list` shows at once, to every program, what another has put. Then writing and listing
    /// is enough to see each other; elsewhere a wait between the two is needed.
    fn lists_at_once(&self) -> bool {
        false
    }

    /// When an object was stored, in seconds since 1970 by the clock of whoever keeps it. `None` where that cannot be
    /// told. A client cannot choose it, where the server is another machine.
    fn modified(&self, _name: &ObjectName) -> Result<Option<i64>> {
        Ok(None)
    }

    /// What the clock of whoever keeps this says now, in seconds since 1970, where it is another machine and has
    /// told. Nothing is asked for it.
    fn server_time(&self) -> Option<i64> {
        None
    }

    /// What keeps objects from being deleted before their time, where there is such a thing.
    fn object_lock(&self) -> Option<&dyn ObjectLock> {
        None
    }

    /// Whether these credentials may delete more than locks, as far as it can be told without deleting anything.
    fn may_delete(&self) -> Result<bool> {
        Ok(true)
    }

    /// What the place can do, found out by trying where that is not known. Only before a vault is
    /// made there: for a moment there is a lock that no program can read.
    fn probe(&self) -> Result<Capabilities> {
        Ok(Capabilities {
            lists_at_once: self.lists_at_once(),
            ..Capabilities::DIRECTORY
        })
    }

    /// Whether it is reached over a network of our own making, and so may be slow at any time.
    fn is_remote(&self) -> bool {
        false
    }

    /// Whether a put can take long, whatever was seen so far.
    fn may_be_slow(&self) -> bool {
        self.is_remote()
    }

    /// Free bytes where this lies, if that can be told.
    fn free_space(&self) -> Option<u64> {
        None
    }
}
