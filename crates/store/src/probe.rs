//! What a store can do, found out by trying, before a vault is trusted to it.

use std::{
    sync::atomic::{AtomicU8, Ordering},
    time::Duration,
};

use sha2::{Digest, Sha256};

use crate::{Area, ObjectName, Result, Store, StoreError};

/// What a store can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capabilities {
    /// Of two who create one name, the store itself refuses one.
    pub exclusive_create: bool,
    /// Nothing but locks can be deleted.
    pub append_only: bool,
    /// A listing showed at once what had been put.
    pub lists_at_once: bool,
}

impl Capabilities {
    /// Of a file system.
    pub const DIRECTORY: Self = Self {
        exclusive_create: true,
        append_only: false,
        lists_at_once: true,
    };
}

/// What a backend lets the probe do without its own precautions.
pub(crate) trait Raw: Store {
    /// Puts without looking before. `false` where the server said that the name is taken.
    fn put_unlooked(&self, name: &ObjectName, bytes: &[u8]) -> Result<bool>;

    /// Whether there is such an object.
    fn is_there(&self, name: &ObjectName) -> Result<bool> {
        match self.size(name) {
            Ok(_) => Ok(true),
            Err(StoreError::NotFound(_)) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// What an object holds.
    fn bytes(&self, name: &ObjectName) -> Result<Vec<u8>> {
        self.get(name)
    }

    /// Whether a name that is not there could be deleted.
    fn could_delete(&self, absent: &ObjectName) -> Result<bool> {
        match self.delete(absent) {
            Ok(()) | Err(StoreError::NotFound(_)) => Ok(true),
            Err(StoreError::Denied { .. }) => Ok(false),
            Err(e) => Err(e),
        }
    }

    /// A listing.
    fn names(&self, area: Area) -> Result<Vec<ObjectName>> {
        Ok(self.list(area)?.into_iter().map(|o| o.name).collect())
    }

    /// Takes the probe away.
    fn take_away(&self, name: &ObjectName) -> Result<()> {
        self.delete(name)
    }
}

fn named(area: Area, text: &[u8]) -> Result<ObjectName> {
    let id = hex::encode(Sha256::digest(text));
    ObjectName::new(area, &id).ok_or(StoreError::NotFound(id))
}

/// A pack that is not there.
pub(crate) fn absent(nonce: &[u8]) -> Result<ObjectName> {
    named(Area::Data, &[nonce, b"absent"].concat())
}

/// Tries a store out. It leaves nothing: its object is a lock, which append-only servers let go too,
/// and deleting something that is not there shows whether something could be.
pub(crate) fn probe(store: &dyn Raw, nonce: &[u8]) -> Result<Capabilities> {
    let object = named(Area::Locks, nonce)?;
    store.put_unlooked(&object, nonce)?;
    let tried = (|| {
        Ok(Capabilities {
            lists_at_once: store.names(Area::Locks)?.contains(&object),
            exclusive_create: !store.put_unlooked(&object, nonce)?,
            append_only: !store.could_delete(&absent(nonce)?)?,
        })
    })();
    let taken_away = store.take_away(&object);
    let found = tried?;
    taken_away?;
    Ok(found)
}

/// Larger objects are not put twice to learn something.
const SMALL: usize = 64 << 10;
/// How long another's config, begun before ours was there, may take to land.
const SETTLE: Duration = Duration::from_secs(2);

/// Whether a server refuses a name that is taken, as far as is known.
#[derive(Debug, Default)]
pub(crate) struct Exclusive(AtomicU8);

const YES: u8 = 1;
const NO: u8 = 2;

impl Exclusive {
    /// Puts a new object, whatever the server does with a name that is taken.
    ///
    /// Until it is known that the server refuses, every put looks first. The first small object of a
    /// run is put twice, with the same bytes, and that tells. Where the server replaces, two can win
    /// the config (all other names are hashes of what they hold); so each waits until the other must
    /// have landed and looks whose bytes are there. It cannot be prevented there, only noticed.
    pub(crate) fn put(&self, store: &dyn Raw, name: &ObjectName, bytes: &[u8]) -> Result<()> {
        let taken = || Err(StoreError::AlreadyExists(name.to_string()));
        let known = self.0.load(Ordering::Relaxed);
        if known != YES && store.is_there(name)? || !store.put_unlooked(name, bytes)? {
            return taken();
        }
        if known == 0 && bytes.len() <= SMALL {
            let replaced = store.put_unlooked(name, bytes)?;
            self.0
                .store(if replaced { NO } else { YES }, Ordering::Relaxed);
        }
        if name.area() == Area::Config && self.0.load(Ordering::Relaxed) != YES {
            std::thread::sleep(SETTLE);
            match store.bytes(name) {
                Ok(there) if there == bytes => {}
                // Not every server comes out of such a race with either.
                Ok(_) | Err(StoreError::NotFound(_)) => return taken(),
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

/// Something that no other probe has.
pub(crate) fn nonce() -> Vec<u8> {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let random = || RandomState::new().build_hasher().finish();
    format!(
        "probe {} {:016x}{:016x}",
        std::process::id(),
        random(),
        random()
    )
    .into_bytes()
}
