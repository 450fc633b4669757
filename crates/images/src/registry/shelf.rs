//! What a registry server takes its answers from.

use std::{
    io::{self, Read, Seek},
    sync::Arc,
};

use super::Repository;
use crate::Digest;

/// Bytes that can be read from anywhere, on another thread.
pub trait Content: Read + Seek + Send {}

impl<T: Read + Seek + Send> Content for T {}

/// Repositories and their blobs. Asked anew at each request, from many threads; what it gives stays readable while it is
/// sent.
///
/// `host` is the registry that the client means, where it says so (containerd's `?ns=`, the name that a server was
/// given): `registry.example:5000`, `docker.io`.
pub trait Shelf: Send + Sync + 'static {
    /// Names of all repositories, sorted.
    ///
    /// # Errors
    /// The place cannot be read.
    fn repositories(&self, host: Option<&str>) -> io::Result<Vec<String>>;

    /// A repository by its name.
    ///
    /// # Errors
    /// The place cannot be read.
    fn repository(&self, host: Option<&str>, name: &str) -> io::Result<Option<Shelved>>;

    /// Whether a blob or manifest belongs to a repository that was found.
    fn holds(&self, repository: &Shelved, digest: &Digest) -> bool {
        let known = &repository.repository;
        known.manifests.contains_key(digest) || known.has_blob(digest)
    }

    /// A manifest or blob of a repository that was found.
    ///
    /// # Errors
    /// The place cannot be read, or what is there is damaged.
    fn blob(&self, repository: &Shelved, digest: &Digest) -> io::Result<Option<ShelvedBlob>>;
}

/// A repository, and where it was found.
#[derive(Debug, Clone)]
pub struct Shelved {
    /// Tags and manifests.
    pub repository: Arc<Repository>,
    /// The shelf's own name of the place, such as a recovery point's id.
    pub place: String,
}

/// One blob to be sent.
pub struct ShelvedBlob {
    /// Bytes.
    pub size: u64,
    /// From its beginning.
    pub content: Box<dyn Content>,
}
