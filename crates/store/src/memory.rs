//! Objects in memory, for tests. Nothing survives the process.

use std::collections::BTreeMap;

use parking_lot::Mutex;

use crate::{Area, ObjectInfo, ObjectName, Result, Store, StoreError};

/// Objects in memory.
#[derive(Default)]
pub struct MemoryStore {
    objects: Mutex<BTreeMap<ObjectName, Vec<u8>>>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// Changes the bytes of an object behind the vault's back, for tests of damage. False if it is
    /// not there.
    pub fn tamper(&self, name: &ObjectName, change: impl FnOnce(&mut Vec<u8>)) -> bool {
        self.objects.lock().get_mut(name).map(change).is_some()
    }
}

impl Store for MemoryStore {
    fn location(&self) -> String {
        "memory".to_owned()
    }

    fn create(&self) -> Result<()> {
        Ok(())
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<()> {
        let mut objects = self.objects.lock();
        if objects.contains_key(name) {
            return Err(StoreError::AlreadyExists(name.to_string()));
        }
        objects.insert(name.clone(), bytes.to_vec());
        Ok(())
    }

    fn get(&self, name: &ObjectName) -> Result<Vec<u8>> {
        let objects = self.objects.lock();
        objects
            .get(name)
            .cloned()
            .ok_or_else(|| StoreError::NotFound(name.to_string()))
    }

    fn get_range(&self, name: &ObjectName, offset: u64, length: usize) -> Result<Vec<u8>> {
        let objects = self.objects.lock();
        let bytes = objects
            .get(name)
            .ok_or_else(|| StoreError::NotFound(name.to_string()))?;
        let range = usize::try_from(offset).ok().and_then(|start| {
            let end = start.checked_add(length)?;
            bytes.get(start..end)
        });
        range
            .map(<[u8]>::to_vec)
            .ok_or_else(|| StoreError::ShortRead {
                name: name.to_string(),
                offset,
                wanted: length,
            })
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        let objects = self.objects.lock();
        let bytes = objects
            .get(name)
            .ok_or_else(|| StoreError::NotFound(name.to_string()))?;
        Ok(bytes.len() as u64)
    }

    fn list(&self, area: Area) -> Result<Vec<ObjectInfo>> {
        let objects = self.objects.lock();
        let of_area = objects.iter().filter(|(name, _)| name.area() == area);
        Ok(of_area
            .map(|(name, bytes)| ObjectInfo {
                name: name.clone(),
                size: bytes.len() as u64,
            })
            .collect())
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        let gone = self.objects.lock().remove(name);
        gone.map(drop)
            .ok_or_else(|| StoreError::NotFound(name.to_string()))
    }

    fn lists_at_once(&self) -> bool {
        true
    }
}
