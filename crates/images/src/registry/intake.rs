//! What takes what is pushed to a registry server.

use std::io::{self, Read};

use super::ManifestRecord;
use crate::Digest;

/// Takes uploads, manifests and deletions. Asked from many threads.
///
/// What is answered with success is durable. An upload can be gone on with after it broke off, as long as it is kept.
pub trait Intake: Send + Sync + 'static {
    /// The registry that it belongs to, as the names of images have it.
    fn registry(&self) -> &str;

    /// Begins an upload; its id.
    ///
    /// # Errors
    /// There is no room.
    fn begin(&self, repository: &str) -> Result<String, Refused>;

    /// How many bytes of an upload are there.
    ///
    /// # Errors
    /// There is no such upload.
    fn uploaded(&self, repository: &str, id: &str) -> Result<u64, Refused>;

    /// Adds to an upload, whose bytes so far are `from` where the client says it; how many there are now. What came
    /// before the body broke off is kept.
    ///
    /// # Errors
    /// There is no such upload, other bytes are expected, there is no room, or the body breaks off.
    fn append(
        &self,
        repository: &str,
        id: &str,
        from: Option<u64>,
        body: &mut dyn Read,
    ) -> Result<u64, Refused>;

    /// Ends an upload, whose bytes have this digest.
    ///
    /// # Errors
    /// They have another, or cannot be kept.
    fn finish(&self, repository: &str, id: &str, digest: &Digest) -> Result<(), Refused>;

    /// Gives an upload up.
    ///
    /// # Errors
    /// There is no such upload.
    fn cancel(&self, repository: &str, id: &str) -> Result<(), Refused>;

    /// Makes a blob that another repository has (or any, if none is named) one of this one too; `false` if there is none.
    ///
    /// # Errors
    /// It cannot be kept.
    fn mount(&self, repository: &str, digest: &Digest, from: Option<&str>)
    -> Result<bool, Refused>;

    /// Takes a manifest.
    ///
    /// # Errors
    /// Something that it needs is not there, or it cannot be kept.
    fn manifest(&self, repository: &str, pushed: PushedManifest) -> Result<(), Refused>;

    /// Takes a tag away.
    ///
    /// # Errors
    /// There is none, or it cannot be taken away now.
    fn delete_tag(&self, repository: &str, tag: &str) -> Result<(), Refused>;

    /// Takes a manifest away, and the tags that point to it.
    ///
    /// # Errors
    /// There is none, something needs it, or it cannot be taken away now.
    fn delete_manifest(&self, repository: &str, digest: &Digest) -> Result<(), Refused>;

    /// Takes a blob away.
    ///
    /// # Errors
    /// There is none, something needs it, or it cannot be taken away now.
    fn delete_blob(&self, repository: &str, digest: &Digest) -> Result<(), Refused>;
}

/// A manifest that was pushed; its bytes have its digest.
#[derive(Debug, Clone)]
pub struct PushedManifest {
    /// Its digest.
    pub digest: Digest,
    /// Untouched.
    pub bytes: Vec<u8>,
    /// What it says.
    pub record: ManifestRecord,
    /// Blobs of it that need not be there: they are fetched from elsewhere.
    pub foreign: std::collections::BTreeSet<Digest>,
    /// Tags that it gets.
    pub tags: Vec<String>,
}

/// Why something that was pushed is not taken.
#[derive(Debug)]
pub enum Refused {
    /// There is no such upload.
    NoUpload,
    /// There is nothing of this name.
    NotFound,
    /// The upload has so many bytes, and others were sent.
    OutOfOrder(u64),
    /// The bytes have this digest.
    Digest(Digest),
    /// These have to be there first.
    Missing(Vec<Digest>),
    /// It is needed, as this says.
    Needed(String),
    /// There is no room, as this says.
    Full(String),
    /// The client's body broke off.
    BrokeOff(io::Error),
    /// It cannot be kept.
    Failed(io::Error),
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}
