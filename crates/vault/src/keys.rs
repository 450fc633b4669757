//! The key files of an open vault: list, add, remove, change the password.
//!
//! Invariants: a key file that this process relies on is never removed before another one, made here, was read back
//! from the store and found to open the vault; and no two processes remove keys at once, so that the last one
//! that opens is never lost between them.
//!
//! What a crash leaves: a key is added durably before another goes, so at worst both passwords open the vault. The
//! change of a password that is run again takes up the key that the first run made.

use std::time::Duration;

use lifeboat_store::{Area, ObjectName, StoreError};

use crate::{
    error::{Result, VaultError},
    id::KeyId,
    key::{self, Cost, KeyInfo},
    lock::{self, LockMode},
    opened::Core,
    repo::Vault,
    seal::SealKey,
    unpacked::object_name,
};

/// Whose key it is, for people who read the list of keys.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyOwner {
    /// User; `None` for the one who runs this.
    pub username: Option<String>,
    /// Host; `None` for this one.
    pub hostname: Option<String>,
}

impl Vault {
    /// All key files, ascending by id.
    pub fn keys(&self) -> Result<Vec<KeyInfo>> {
        let core = &*self.0;
        let mut keys = Vec::new();
        for id in core.list(Area::Keys)? {
            // Removed between listing and reading: it is not there.
            keys.extend(key::info(&*core.store, KeyId(id))?);
        }
        Ok(keys)
    }

    /// Adds a key file that opens with this password. Durable, and proven to open the vault, when this returns.
    pub fn add_key(&self, password: &[u8], owner: &KeyOwner) -> Result<KeyId> {
        self.0.refuse_version_1()?;
        let _lock = self.shared_lock()?;
        self.0.add_key(password, owner)
    }

    /// Removes a key file; its password opens the vault no more. The key that this vault was opened with is refused.
    pub fn remove_key(&self, id: KeyId, retry_lock: Duration) -> Result<()> {
        let core = &self.0;
        core.refuse_version_1()?;
        if id == core.key_id {
            return Err(VaultError::Invalid(format!(
                "key {} is the one that the vault was opened with, and is not removed; open the vault with another password, or give it a new one with `lifeboat key passwd`",
                id.short()
            )));
        }
        let lock = lock::acquire(core, LockMode::Exclusive, retry_lock)?;
        // Ours may have been removed by the one whose key this is.
        if key::info(&*core.store, core.key_id)?.is_none_or(|own| own.damage.is_some()) {
            return Err(VaultError::Invalid(format!(
                "the key {} that the vault was opened with is not there any more, so no other is removed",
                core.key_id.short()
            )));
        }
        lock.confirm()?;
        core.delete_key(id)
    }

    /// Gives the vault a new password in place of the one that it was opened with.
    ///
    /// `proven` is called when the new key is durable and opens the vault, and before the old one is removed; where it
    /// fails both stay. Other passwords are not touched.
    pub fn change_password(
        &self,
        password: &[u8],
        owner: &KeyOwner,
        retry_lock: Duration,
        proven: &mut dyn FnMut(KeyId) -> Result<()>,
    ) -> Result<KeyId> {
        let core = &self.0;
        core.refuse_version_1()?;
        if key::open_one(&*core.store, core.key_id, password)?.is_some() {
            return Err(VaultError::Invalid(
                "the new password is the one that the vault has already; nothing was changed"
                    .to_owned(),
            ));
        }
        let lock = lock::acquire(core, LockMode::Exclusive, retry_lock)?;
        let new = match core.opens_with(password)? {
            // Made by a run that was interrupted.
            Some(id) => id,
            None => core.add_key(password, owner)?,
        };
        proven(new)?;
        lock.confirm()?;
        core.delete_key(core.key_id)?;
        Ok(new)
    }
}

impl Core {
    fn add_key(&self, password: &[u8], owner: &KeyOwner) -> Result<KeyId> {
        if password.is_empty() {
            return Err(VaultError::Invalid(
                "an empty password protects nothing".to_owned(),
            ));
        }
        let mut env = self.env.clone();
        if let Some(name) = &owner.username {
            env.username.clone_from(name);
        }
        if let Some(name) = &owner.hostname {
            env.hostname.clone_from(name);
        }
        let id = key::add(&*self.store, password, &self.master, &env, Cost::DEFAULT)?;
        if !self.opens(id, password)? {
            // What does not open is no key: it would only make people believe that they have one.
            let _ = self.delete_key(id);
            return Err(VaultError::damaged(
                format!("keys/{id}"),
                "it was written just now and does not open the vault",
            ));
        }
        Ok(id)
    }

    /// The key file that opens with this password, and opens the vault.
    fn opens_with(&self, password: &[u8]) -> Result<Option<KeyId>> {
        for id in self.list(Area::Keys)? {
            if self.opens(KeyId(id), password)? {
                return Ok(Some(KeyId(id)));
            }
        }
        Ok(None)
    }

    /// Whether password and key file, as it lies in the store, open the vault's config.
    fn opens(&self, id: KeyId, password: &[u8]) -> Result<bool> {
        let Some(master) = key::open_one(&*self.store, id, password)? else {
            return Ok(false);
        };
        let config = self
            .store
            .get(&ObjectName::config())
            .map_err(VaultError::store("read the config"))?;
        Ok(SealKey::new(&master)?.open(&config).is_ok())
    }

    fn delete_key(&self, id: KeyId) -> Result<()> {
        match self.store.delete(&object_name(Area::Keys, &id.0)?) {
            Ok(()) => Ok(()),
            Err(StoreError::NotFound(_)) => Err(VaultError::Invalid(format!(
                "there is no key {} in the vault any more",
                id.short()
            ))),
            Err(e) => Err(VaultError::store(format!("delete keys/{id}"))(e)),
        }
    }
}
