//! Where a layout goes to and comes from.

use std::io::{self, Read, Write};

use crate::Digest;

/// Takes a layout. A layout is whole only when `index.json` and `manifest.json` are in it; they come last.
pub trait LayoutSink {
    /// Whether a blob is in it already: then it is not sent again.
    ///
    /// # Errors
    /// The place cannot be asked.
    fn has_blob(&mut self, digest: &Digest) -> io::Result<bool>;

    /// Begins a blob whose digest is known only at its end.
    ///
    /// # Errors
    /// The place takes nothing.
    fn begin_blob(&mut self) -> io::Result<Box<dyn BlobWriter + '_>>;

    /// Takes a small file outside `blobs/`: `oci-layout`, `index.json`, `manifest.json`.
    ///
    /// # Errors
    /// The place takes nothing.
    fn put_file(&mut self, path: &str, bytes: &[u8]) -> io::Result<()>;
}

/// One blob on its way. Dropped without [`BlobWriter::finish`], it is as if it had never begun.
pub trait BlobWriter: Write {
    /// Places the blob at [`Digest::path`]. That one is there already is no error: it has the same bytes.
    ///
    /// # Errors
    /// The place did not take it whole.
    fn finish(self: Box<Self>, digest: &Digest, size: u64) -> io::Result<()>;
}

/// Gives a layout back.
pub trait LayoutSource {
    /// A file's content and size. `NotFound` where there is none.
    ///
    /// # Errors
    /// No such file, or it cannot be read.
    fn open(&self, path: &str) -> io::Result<(Box<dyn Read + '_>, u64)>;
}
