//! From a place to a store.

use std::sync::Arc;

use crate::{Access, LocalStore, Place, Result, RetryStore, Store, cloud, rest, sftp};

/// Opens the store at a place that a person wrote. Does not look whether anything is there.
pub fn open(location: &str, access: &Access) -> Result<Arc<dyn Store>> {
    let place = Place::parse(location)?;
    let remote = match &place {
        Place::Local(path) => {
            let store = LocalStore::new(path).with_limits(access.limits.clone());
            return Ok(Arc::new(store));
        }
        Place::S3 { .. } | Place::Gcs { .. } | Place::Azure { .. } => cloud::open(&place, access)?,
        Place::Rest { .. } => rest::open(&place, access)?,
        Place::Sftp { .. } => sftp::open(&place, access)?,
    };
    let retried = RetryStore::new(remote, access.retry, access.stop.clone());
    Ok(Arc::new(retried))
}
