//! Where a registry is fetched from: over the line, or from its own storage.

use std::io::Write;

use super::client::{Descriptor, Pulled, RegistryClient};
use crate::{Digest, Result};

/// A registry that can be read, by several threads.
pub trait Source: Sync {
    /// Its address as images name it.
    fn name(&self) -> String;

    /// Names of all repositories.
    ///
    /// # Errors
    /// It cannot be read, or does not show them.
    fn catalog(&self) -> Result<Vec<String>>;

    /// Tags of a repository; `None` if there is no such repository.
    ///
    /// # Errors
    /// It cannot be read.
    fn tags(&self, repository: &str) -> Result<Option<Vec<String>>>;

    /// Where a tag points now; `None` if there is no such tag.
    ///
    /// # Errors
    /// It cannot be read.
    fn resolve(&self, repository: &str, tag: &str) -> Result<Option<Descriptor>>;

    /// A manifest by its digest; `None` if there is none.
    ///
    /// # Errors
    /// It cannot be read, or has another digest.
    fn manifest(&self, repository: &str, digest: &str) -> Result<Option<Pulled>>;

    /// What refers to a manifest; `None` where there is no such list.
    ///
    /// # Errors
    /// It cannot be read.
    fn referrers(&self, repository: &str, digest: &Digest) -> Result<Option<Vec<Digest>>>;

    /// Writes a blob to `sink`; `false` if there is none. It has the digest and the size, or it is an error.
    ///
    /// # Errors
    /// It cannot be read, is another, or the sink takes nothing.
    fn blob(
        &self,
        repository: &str,
        digest: &Digest,
        size: u64,
        sink: &mut dyn Write,
    ) -> Result<bool>;
}

impl Source for RegistryClient {
    fn name(&self) -> String {
        self.address().to_string()
    }

    fn catalog(&self) -> Result<Vec<String>> {
        Self::catalog(self)
    }

    fn tags(&self, repository: &str) -> Result<Option<Vec<String>>> {
        Self::tags(self, repository)
    }

    fn resolve(&self, repository: &str, tag: &str) -> Result<Option<Descriptor>> {
        Self::resolve(self, repository, tag)
    }

    fn manifest(&self, repository: &str, digest: &str) -> Result<Option<Pulled>> {
        Self::manifest(self, repository, digest)
    }

    fn referrers(&self, repository: &str, digest: &Digest) -> Result<Option<Vec<Digest>>> {
        Self::referrers(self, repository, digest)
    }

    fn blob(
        &self,
        repository: &str,
        digest: &Digest,
        size: u64,
        sink: &mut dyn Write,
    ) -> Result<bool> {
        Self::blob(self, repository, digest, size, sink)
    }
}
