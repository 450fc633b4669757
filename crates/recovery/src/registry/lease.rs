//! Readers of the vault for a server that runs for long.
//!
//! A reader holds a lease, and what is marked for deletion waits for it. So a server holds none for life: requests that
//! come within a minute share one, it is kept for some seconds after the last of them, and it ends with the
//! last blob that is sent through it. Of the index, too, there is one copy for all of them, and none while nobody asks.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use lifeboat_vault::{Reader, Result, Vault};
use std::sync::Mutex;

/// How long a reader is given to new requests.
const SHARED_FOR: Duration = Duration::from_secs(60);
/// How long it is kept when nobody asks.
const IDLE_FOR: Duration = Duration::from_secs(5);

/// Gives readers.
pub struct Leases {
    vault: Vault,
    current: Arc<Mutex<Option<Lease>>>,
}

struct Lease {
    reader: Reader,
    since: Instant,
    used: Instant,
}

impl Lease {
    fn is_over(&self) -> bool {
        self.since.elapsed() > SHARED_FOR || self.used.elapsed() > IDLE_FOR
    }
}

impl Leases {
    /// Over a vault.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn new(vault: Vault) -> std::io::Result<Self> {
        let current = Arc::new(Mutex::new(None));
        let watched = Arc::downgrade(&current);
        std::thread::Builder::new()
            .name("registry-lease".to_owned())
            .spawn(move || watch(&watched))?;
        Ok(Self { vault, current })
    }

    /// The vault.
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// The next request gets a new reader.
    pub fn renew(&self) {
        *lock(&self.current) = None;
    }

    /// A reader. Whoever keeps it keeps the lease.
    ///
    /// # Errors
    /// The vault cannot be read now.
    pub fn reader(&self) -> Result<Reader> {
        let mut current = lock(&self.current);
        if let Some(lease) = current.as_mut().filter(|lease| !lease.is_over()) {
            lease.used = Instant::now();
            return Ok(lease.reader.clone());
        }
        // The old one goes first, so that there are not two indexes where one suffices.
        *current = None;
        let reader = self.vault.reader()?;
        let now = Instant::now();
        *current = Some(Lease {
            reader: reader.clone(),
            since: now,
            used: now,
        });
        Ok(reader)
    }
}

/// Ends a lease that nobody needs.
fn watch(current: &Weak<Mutex<Option<Lease>>>) {
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let Some(current) = current.upgrade() else {
            return;
        };
        let over = lock(&current).take_if(|lease| lease.is_over());
        drop(over);
    }
}

fn lock(current: &Mutex<Option<Lease>>) -> std::sync::MutexGuard<'_, Option<Lease>> {
    current
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
