//! The vault of a run: its store, its password, what is kept near of it.

use std::{path::PathBuf, sync::Arc};

use lifeboat_recovery::capabilities;
use lifeboat_store::{ObjectName, Store, StoreError, cache};
use lifeboat_vault::{Environment, Vault, VaultError};

use super::{PROGRAM, Session};
use crate::{
    environment,
    exit::{Exit, Failure, Result},
    human,
    password::{self, Password},
};

/// From so many blobs on the index is kept mapped; the JSON of fewer is read in a few milliseconds.
const SMALLEST_MAP: usize = 20_000;
/// Seconds by which two clocks may differ, the way between them included.
const CLOCK_MAY_DIFFER: i64 = 120;

impl Session {
    pub(super) fn store(&self) -> Result<Arc<dyn Store>> {
        self.store_at(&self.vault_location())
    }

    /// The store at a place, whether there is a vault or not.
    pub fn store_at(&self, place: &str) -> Result<Arc<dyn Store>> {
        lifeboat_store::open(place, &self.access).map_err(|e| Failure::new(e.to_string()))
    }

    /// The store of another vault, which may have credentials of its own.
    fn other_store(&self, place: &str) -> Result<Arc<dyn Store>> {
        let access = environment::access_to_other(&self.access);
        lifeboat_store::open(place, &access).map_err(|e| Failure::new(e.to_string()))
    }

    /// Opens the vault.
    pub fn open_vault(&self) -> Result<Vault> {
        self.open_vault_in(self.store()?)
    }

    /// Opens the vault to see what it holds itself, and not what is kept of it here.
    pub fn open_vault_itself(&self) -> Result<Vault> {
        Ok(self.open_with_password_in(self.store()?)?.0)
    }

    /// Opens the vault, and gives the password that opened it.
    pub fn open_vault_with_password(&self) -> Result<(Vault, Password)> {
        let (vault, password) = self.open_with_password_in(self.store()?)?;
        self.keep_near(&vault);
        Ok((vault, password))
    }

    /// Opens another vault with this password.
    pub fn open_other(&self, place: &str, password: &Password) -> Result<Vault> {
        let vault = Vault::open(self.other_store(place)?, password, world())?;
        self.prepare(&vault);
        self.keep_near(&vault);
        Ok(vault)
    }

    /// Where what is kept near of vaults on servers lies.
    pub fn cache_dir(&self) -> Option<PathBuf> {
        let named = self.global.store.cache_dir.clone();
        let named = named.filter(|dir| !dir.as_os_str().is_empty());
        named.or_else(environment::cache_dir)
    }

    /// What this run and this host know of it.
    fn prepare(&self, vault: &Vault) {
        let stop = self.access.stop.clone();
        vault.remember_locks_in(&self.places.locks(vault.id()));
        vault.wait_for_locks(self.global.retry_lock, move || stop.is_set());
        let known = capabilities::remembered(&self.places, vault.id());
        if known.is_some_and(|can| !can.lists_at_once) {
            vault.listings_lag();
        }
    }

    /// Without it everything works, only slower.
    fn keep_near(&self, vault: &Vault) {
        if self.global.store.no_cache {
            return;
        }
        let Some(dir) = self.cache_dir() else { return };
        vault.map_index(&dir, SMALLEST_MAP);
        if !vault.store().is_remote() {
            return;
        }
        let opened = vault
            .keep_near(&dir)
            .and_then(|()| cache::clean(&dir, cache::MAX_AGE));
        if let Err(error) = opened {
            let dir = dir.display();
            self.reporter.warn_once(&format!(
                "nothing is kept near of the vault, which makes commands slower: the cache in {dir} cannot be used ({error}); name another folder with --cache-dir, or --no-cache"
            ));
        }
    }

    /// Says so where this machine's clock is not the one of the server that keeps the vault.
    pub fn warn_of_clock(&self, vault: &Vault) {
        let (Some(there), here) = vault.clocks() else {
            return;
        };
        let ahead = here.secs.saturating_sub(there.secs);
        if ahead.abs() < CLOCK_MAY_DIFFER {
            return;
        }
        self.reporter.warn_once(&format!(
            "the clock of this machine is {} {} that of the store at {}: what is too young or too old is judged by the store's; set this one right (NTP), since points bear its time",
            human::seconds(ahead.unsigned_abs() as f64),
            if ahead > 0 { "ahead of" } else { "behind" },
            vault.location()
        ));
    }

    pub(super) fn open_vault_in(&self, store: Arc<dyn Store>) -> Result<Vault> {
        let (vault, _) = self.open_with_password_in(store)?;
        self.keep_near(&vault);
        Ok(vault)
    }

    /// Whether there is a vault is looked at before anybody is asked for a password.
    fn open_with_password_in(&self, store: Arc<dyn Store>) -> Result<(Vault, Password)> {
        match store.size(&ObjectName::config()) {
            Ok(_) => {}
            Err(StoreError::NotFound(_)) => {
                return Err(VaultError::NoVault(store.location()).into());
            }
            // Of a directory, opening says more.
            Err(e) if store.is_remote() => return Err(Failure::new(e.to_string())),
            Err(_) => {}
        }
        let open = |password: Password| -> Result<_, VaultError> {
            let vault = Vault::open(Arc::clone(&store), &password, world())?;
            self.prepare(&vault);
            Ok((vault, password))
        };
        let question = format!("Password of the vault at {}: ", store.location());

        if let Some(source) = password::named_source(&self.global) {
            return Ok(open(password::read(&source)?)?);
        }
        let key = self.key_file();
        if key.exists() {
            let password = password::read(&password::Source::File(key.clone()))?;
            return match open(password) {
                // The remembered key is of the remembered vault; another one may have another.
                Err(VaultError::WrongPassword { .. }) if self.named_vault().is_some() => {
                    match password::ask(&question)? {
                        Some(password) => Ok(open(password)?),
                        None => Err(Failure {
                            exit: Exit::WrongKey,
                            sentence: format!(
                                "the key in {} does not open the vault at {}; name the file of its password with --password-file",
                                key.display(),
                                store.location()
                            ),
                        }),
                    }
                }
                other => Ok(other?),
            };
        }
        match password::ask(&question)? {
            Some(password) => Ok(open(password)?),
            None => Err(Failure::new(format!(
                "no password for the vault at {}: there is no key in {}, and nobody to ask; give --password-file, --password-command or {}",
                store.location(),
                key.display(),
                environment::PASSWORD
            ))),
        }
    }

    /// File that holds the key when nothing else is said.
    pub fn key_file(&self) -> PathBuf {
        self.settings
            .password_file
            .clone()
            .unwrap_or_else(|| self.places.key())
    }
}

/// This process, this machine, and its clock.
fn world() -> Environment {
    let world = Environment::system(PROGRAM);
    #[cfg(debug_assertions)]
    if let Some(seconds) = crate::environment::test_clock_ahead() {
        return Environment {
            clock: Arc::new(Ahead(seconds)),
            ..world
        };
    }
    world
}

/// A clock that is wrong, for tests.
#[cfg(debug_assertions)]
struct Ahead(i64);

#[cfg(debug_assertions)]
impl lifeboat_vault::Clock for Ahead {
    fn now(&self) -> lifeboat_vault::Timestamp {
        let now = lifeboat_vault::env::SystemClock.now();
        lifeboat_vault::Timestamp {
            secs: now.secs + self.0,
            ..now
        }
    }
}
