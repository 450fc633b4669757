//! Object stores: S3-compatible ones, Google's, Azure's, all through `object_store`.
//!
//! Names are laid out as restic has them, below the prefix. A put asks for creation (`If-None-Match: *` and
//! its like); a server that does not know that is found out by `probe::Exclusive`. An object is
//! visible whole or not at all, and durable when the server says so.
//!
//! One request carries a whole object: packs have 16 MiB, and a request that failed is sent again.
//! Only what is larger than [`PART_ABOVE`] goes up in parts, each of which is tried again alone.
//!
//! What a crash leaves: of a larger object perhaps parts, which the bucket's own rule for unfinished
//! uploads clears. No listing shows them.

mod azure;
mod connector;
mod error;
mod gcs;
mod locked;
mod overwritten;
mod profile;
mod s3;
mod s3_lock;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt;
use object_store::{
    GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
    multipart::MultipartStore, path::Path,
};

use crate::{
    Access, Area, Capabilities, ObjectInfo, ObjectLock, ObjectName, Place, Result, RetryPolicy,
    Store, StoreError,
    http::{Http, Most, Waiter},
    place::refused,
    probe::{self, Exclusive, Raw},
};

/// Larger objects are sent in parts.
const PART_ABOVE: usize = 64 << 20;
/// Length of a part.
const PART: usize = 32 << 20;
/// How often one part is sent before the whole upload fails.
const PART_ATTEMPTS: u32 = 5;

/// A client of one bucket.
pub(crate) struct Client {
    pub objects: Arc<dyn ObjectStore>,
    pub parts: Arc<dyn MultipartStore>,
    /// Knows what the server's clock says.
    pub http: Http,
    /// Of S3 alone.
    pub lock: Option<s3_lock::S3Lock>,
}

/// A vault in a bucket.
pub struct CloudStore {
    place: Place,
    prefix: String,
    client: Client,
    waiter: Waiter,
    exclusive: Exclusive,
    retry: RetryPolicy,
    part_above: usize,
}

impl CloudStore {
    /// A vault at a place in an object store.
    pub(crate) fn new(place: &Place, access: &Access) -> Result<Self> {
        let (client, prefix) = match place {
            Place::S3 {
                endpoint,
                bucket,
                prefix,
            } => (s3::client(endpoint.as_ref(), bucket, access)?, prefix),
            Place::Gcs { bucket, prefix } => (gcs::client(bucket, access)?, prefix),
            Place::Azure { container, prefix } => (azure::client(container, access)?, prefix),
            _ => return Err(refused("it is no object store")),
        };
        Ok(Self {
            place: place.clone(),
            prefix: prefix.clone(),
            client,
            waiter: Waiter::new()?,
            exclusive: Exclusive::default(),
            retry: access.retry,
            part_above: PART_ABOVE,
        })
    }

    fn path(&self, below: &str) -> Result<Path> {
        let path = match &*self.prefix {
            "" => below.to_owned(),
            prefix => format!("{prefix}/{below}"),
        };
        Path::parse(path).map_err(|e| refused(&format!("the prefix cannot be one: {e}")))
    }

    fn object(&self, name: &ObjectName) -> Result<Path> {
        match name.area() {
            Area::Config => self.path("config"),
            Area::Data => self.path(&format!("data/{}/{}", &name.id()[..2], name.id())),
            area => self.path(&format!("{}/{}", area.as_str(), name.id())),
        }
    }

    fn error(&self, context: &str, error: object_store::Error) -> StoreError {
        error::said(&self.location(), context, error)
    }

    fn object_error(
        &self,
        name: &ObjectName,
        verb: &str,
        error: object_store::Error,
    ) -> StoreError {
        match error {
            object_store::Error::NotFound { .. } => StoreError::NotFound(name.to_string()),
            other => self.error(&format!("{verb} {name}"), other),
        }
    }

    fn read(&self, name: &ObjectName, range: Option<GetRange>) -> Result<Bytes> {
        let path = self.object(name)?;
        let whole = range.is_none();
        // How much of the answer is read, for our own connector.
        let mut extensions = http::Extensions::new();
        extensions.insert(match &range {
            Some(GetRange::Bounded(range)) => Most::Range {
                offset: range.start,
                length: range.end.saturating_sub(range.start),
            },
            _ => Most::Whole(name.area().largest()),
        });
        let options = GetOptions {
            range,
            extensions,
            ..GetOptions::default()
        };
        self.waiter
            .wait(async {
                self.client
                    .objects
                    .get_opts(&path, options)
                    .await?
                    .bytes()
                    .await
            })
            .map_err(|e| match whole && error::is_too_large(&e) {
                true => name.too_large(self.location()),
                false => self.object_error(name, "read", e),
            })
    }

    fn put_once(&self, path: &Path, bytes: &[u8], mode: PutMode) -> object_store::Result<()> {
        let payload = PutPayload::from_bytes(Bytes::copy_from_slice(bytes));
        let options = PutOptions {
            mode,
            ..PutOptions::default()
        };
        self.waiter
            .wait(self.client.objects.put_opts(path, payload, options))
            .map(drop)
    }

    /// Parts of a large object one after the other; a part that failed is sent again alone.
    fn put_in_parts(&self, path: &Path, bytes: &[u8]) -> object_store::Result<()> {
        let parts = &self.client.parts;
        let upload = self.waiter.wait(parts.create_multipart(path))?;
        let sent = bytes.chunks(PART).enumerate().map(|(at, part)| {
            let payload = PutPayload::from_bytes(Bytes::copy_from_slice(part));
            let mut attempt = 1;
            loop {
                let sent = parts.put_part(path, &upload, at, payload.clone());
                match self.waiter.wait(sent) {
                    Err(_) if attempt < PART_ATTEMPTS => {
                        std::thread::sleep(self.retry.first_pause * 2u32.pow(attempt));
                        attempt += 1;
                    }
                    other => return other,
                }
            }
        });
        let done = sent
            .collect::<object_store::Result<Vec<_>>>()
            .and_then(|sent| {
                self.waiter
                    .wait(parts.complete_multipart(path, &upload, sent))
            });
        if done.is_err() {
            let _ = self.waiter.wait(parts.abort_multipart(path, &upload));
        }
        done.map(drop)
    }
}

impl Raw for CloudStore {
    fn put_unlooked(&self, name: &ObjectName, bytes: &[u8]) -> Result<bool> {
        let path = self.object(name)?;
        let failed = |e| self.object_error(name, "write", e);
        if bytes.len() > self.part_above {
            // Parts cannot be put on a condition.
            if self.is_there(name)? {
                return Ok(false);
            }
            return self
                .put_in_parts(&path, bytes)
                .map_err(failed)
                // Locked a moment later.
                .and_then(|()| match self.locking(name) {
                    Some((_, (_, until))) => self.extend(name, until),
                    None => Ok(()),
                })
                .map(|()| true);
        }
        if let Some((lock, until)) = self.locking(name) {
            return self.put_locked(name, bytes, lock, until);
        }
        match self.put_once(&path, bytes, PutMode::Create) {
            Ok(()) => Ok(true),
            // A conflict can also mean that two requests met and neither landed.
            Err(object_store::Error::AlreadyExists { .. }) => match self.is_there(name)? {
                true => Ok(false),
                false => Err(StoreError::Unreachable {
                    place: self.location(),
                    reason: "another request for the same name was in the way".to_owned(),
                }),
            },
            Err(e) if error::is_not_implemented(&e) => self
                .put_once(&path, bytes, PutMode::Overwrite)
                .map(|()| true)
                .map_err(failed),
            Err(e) => Err(failed(e)),
        }
    }
}

impl Store for CloudStore {
    fn location(&self) -> String {
        self.place.to_string()
    }

    /// A bucket is not made: who may write a vault need not be who decides on buckets.
    fn create(&self) -> Result<()> {
        self.list(Area::Keys).map(drop)
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<()> {
        self.exclusive.put(self, name, bytes)
    }

    fn get(&self, name: &ObjectName) -> Result<Vec<u8>> {
        Ok(self.read(name, None)?.into())
    }

    fn get_range(&self, name: &ObjectName, offset: u64, length: usize) -> Result<Vec<u8>> {
        let short = || StoreError::ShortRead {
            name: name.to_string(),
            offset,
            wanted: length,
        };
        let end = offset.checked_add(length as u64);
        let (Some(end), 1..) = (end, length) else {
            // A range of nothing cannot be asked for, and one past all bounds need not be.
            let size = self.size(name)?;
            return match end.is_some_and(|end| end <= size) {
                true => Ok(Vec::new()),
                false => Err(short()),
            };
        };
        match self.read(name, Some(GetRange::Bounded(offset..end))) {
            Ok(bytes) if bytes.len() == length => Ok(bytes.into()),
            Ok(_) => Err(short()),
            // Servers differ in how they refuse a range that is not there.
            Err(e @ (StoreError::Io { .. } | StoreError::ShortRead { .. })) => {
                match self.size(name)? < end {
                    true => Err(short()),
                    false => Err(e),
                }
            }
            Err(e) => Err(e),
        }
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        // An answer to HEAD cannot say why: that the bucket is gone, or the key has expired. The
        // config is what every run begins with, and it is small.
        if name.area() == Area::Config {
            return Ok(self.read(name, None)?.len() as u64);
        }
        let path = self.object(name)?;
        self.waiter
            .wait(self.client.objects.head(&path))
            .map(|meta| meta.size)
            .map_err(|e| self.object_error(name, "look at", e))
    }

    fn modified(&self, name: &ObjectName) -> Result<Option<i64>> {
        let path = self.object(name)?;
        self.waiter
            .wait(self.client.objects.head(&path))
            .map(|meta| Some(meta.last_modified.timestamp()))
            .map_err(|e| self.object_error(name, "look at", e))
    }

    fn list(&self, area: Area) -> Result<Vec<ObjectInfo>> {
        if area == Area::Config {
            let name = ObjectName::config();
            return match self.size(&name) {
                Ok(size) => Ok(vec![ObjectInfo { name, size }]),
                Err(StoreError::NotFound(_)) => Ok(Vec::new()),
                Err(e) => Err(e),
            };
        }
        let folder = self.path(area.as_str())?;
        let listed = self.waiter.wait(
            self.client
                .objects
                .list(Some(&folder))
                .try_filter_map(async |meta| {
                    let name = meta
                        .location
                        .filename()
                        .and_then(|id| ObjectName::new(area, id));
                    // What lies elsewhere is not ours.
                    let name = name.filter(|n| self.object(n).is_ok_and(|p| p == meta.location));
                    Ok(name.map(|name| ObjectInfo {
                        name,
                        size: meta.size,
                    }))
                })
                .try_collect::<Vec<_>>(),
        );
        match listed {
            Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
            listed => listed.map_err(|e| self.error(&format!("list {}", area.as_str()), e)),
        }
    }

    /// Most object stores do not say whether there was something to delete.
    fn delete(&self, name: &ObjectName) -> Result<()> {
        let locking = self.client.lock.as_ref();
        if let Some(lock) = locking.filter(|lock| lock.policy.get().is_some()) {
            return self.delete_versions(name, lock);
        }
        let path = self.object(name)?;
        self.waiter
            .wait(self.client.objects.delete(&path))
            .map_err(|e| self.object_error(name, "delete", e))
    }

    fn probe(&self) -> Result<Capabilities> {
        probe::probe(self, &probe::nonce())
    }

    fn server_time(&self) -> Option<i64> {
        self.client.http.server_time()
    }

    fn object_lock(&self) -> Option<&dyn ObjectLock> {
        self.client.lock.as_ref().map(|_| self as &dyn ObjectLock)
    }

    /// All three promise it, and so do the S3-compatible ones of today.
    fn lists_at_once(&self) -> bool {
        true
    }

    fn is_remote(&self) -> bool {
        true
    }
}

/// For [`crate::open()`].
pub(crate) fn open(place: &Place, access: &Access) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(CloudStore::new(place, access)?))
}
