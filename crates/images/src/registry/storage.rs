//! A registry's own storage: what distribution's filesystem driver writes, as Docker's registry, Harbor and GitLab have it.
//!
//! ```text
//! docker/registry/v2/blobs/<kind>/<2 digits>/<digits>/data
//! docker/registry/v2/repositories/<name>/_manifests/tags/<tag>/current/link
//! docker/registry/v2/repositories/<name>/_manifests/revisions/<kind>/<digits>/link
//! docker/registry/v2/repositories/<name>/_layers/<kind>/<digits>/link
//! ```
//!
//! Nothing is written, and no registry has to run. What signs an image is found among the revisions, whether the registry
//! lists it or not. A registry that runs meanwhile writes blobs before links, and links before tags.

use std::{
    collections::{BTreeMap, HashMap},
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;

use super::{
    client::{Address, Descriptor, Pulled},
    fetch::manifest,
    is_repository, is_tag,
    source::Source,
};
use crate::{Digest, Error, Result, layout::MAX_JSON_BLOB};

/// How deep names of repositories go, at most: 255 characters with slashes between.
const DEEPEST: usize = 128;
const IMAGE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What refers to which manifest, of one repository.
type Referrers = Arc<BTreeMap<Digest, Vec<Digest>>>;

/// The storage of a registry.
pub struct RegistryStorage {
    root: PathBuf,
    address: Address,
    referrers: Mutex<HashMap<String, Referrers>>,
}

impl RegistryStorage {
    /// Opens the folder that the registry was given as `rootdirectory`. `address` is what images call the registry.
    ///
    /// # Errors
    /// There is no such storage.
    pub fn open(folder: &Path, address: &Address) -> Result<Self> {
        let inner = folder.join("docker/registry/v2");
        let root = if inner.is_dir() {
            inner
        } else {
            folder.to_owned()
        };
        if !root.join("repositories").is_dir() || !root.join("blobs").is_dir() {
            return Err(Error::Setup(format!(
                "{} is no storage of a registry (docker/registry/v2/repositories is not there); give the folder that the registry has as rootdirectory",
                folder.display()
            )));
        }
        Ok(Self {
            root,
            address: address.clone(),
            referrers: Mutex::default(),
        })
    }

    fn repository(&self, name: &str) -> PathBuf {
        // The name is a checked one.
        self.root.join("repositories").join(name)
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.hex();
        let folder = self.root.join("blobs").join(digest.algorithm().name());
        folder.join(&hex[..2]).join(hex).join("data")
    }

    /// The names below a folder; none where it is not there.
    fn names(&self, folder: &Path) -> Result<Vec<String>> {
        let entries = match fs_err::read_dir(folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(Error::io("read the registry's storage")(e)),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(Error::io("read the registry's storage"))?;
            names.extend(entry.file_name().into_string().ok());
        }
        names.sort();
        Ok(names)
    }

    fn find(&self, name: &str, depth: usize, found: &mut Vec<String>) -> Result<()> {
        let folder = self.repository(name);
        if folder.join("_manifests").is_dir() && is_repository(name) {
            found.push(name.to_owned());
        }
        if depth == 0 {
            return Ok(());
        }
        for part in self.names(&folder)? {
            if !part.starts_with('_') && folder.join(&part).is_dir() {
                let below = match name {
                    "" => part,
                    name => format!("{name}/{part}"),
                };
                self.find(&below, depth - 1, found)?;
            }
        }
        Ok(())
    }

    /// A small file, whole; nothing if it is not there.
    fn small(&self, path: &Path) -> Result<Option<Vec<u8>>> {
        let file = match fs_err::File::open(path) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(Error::io("read the registry's storage")(e)),
        };
        let mut bytes = Vec::new();
        file.take(MAX_JSON_BLOB + 1)
            .read_to_end(&mut bytes)
            .map_err(Error::io("read the registry's storage"))?;
        if bytes.len() as u64 > MAX_JSON_BLOB {
            return Err(self.bad(path, "it is larger than any manifest"));
        }
        Ok(Some(bytes))
    }

    fn link(&self, path: &Path) -> Result<Option<Digest>> {
        let Some(bytes) = self.small(path)? else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(&bytes);
        let digest = text.trim().parse();
        let digest = digest.map_err(|()| self.bad(path, "it holds no digest"))?;
        Ok(Some(digest))
    }

    fn bad(&self, path: &Path, why: &str) -> Error {
        let place = path.strip_prefix(&self.root).unwrap_or(path);
        Error::BadAnswer {
            registry: self.address.to_string(),
            what: format!("{} of its storage", place.display()),
            why: why.to_owned(),
        }
    }

    fn revisions(&self, name: &str) -> Result<Vec<Digest>> {
        let folder = self.repository(name).join("_manifests/revisions");
        let mut found = Vec::new();
        for kind in self.names(&folder)? {
            for hex in self.names(&folder.join(&kind))? {
                if let Ok(digest) = format!("{kind}:{hex}").parse::<Digest>()
                    && folder.join(&kind).join(&hex).join("link").exists()
                {
                    found.push(digest);
                }
            }
        }
        Ok(found)
    }

    fn subjects(&self, name: &str) -> Result<Referrers> {
        if let Some(known) = self.referrers.lock().get(name) {
            return Ok(Arc::clone(known));
        }
        let mut found: BTreeMap<Digest, Vec<Digest>> = BTreeMap::new();
        for digest in self.revisions(name)? {
            let Ok(Some(bytes)) = self.small(&self.blob_path(&digest)) else {
                continue;
            };
            let read = manifest::read(&bytes, "", &[]);
            if let Some(subject) = read.and_then(|read| read.record.subject) {
                found.entry(subject).or_default().push(digest);
            }
        }
        let found = Arc::new(found);
        self.referrers
            .lock()
            .insert(name.to_owned(), Arc::clone(&found));
        Ok(found)
    }
}

impl Source for RegistryStorage {
    fn name(&self) -> String {
        self.address.to_string()
    }

    fn catalog(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        self.find("", DEEPEST, &mut found)?;
        found.sort();
        Ok(found)
    }

    fn tags(&self, repository: &str) -> Result<Option<Vec<String>>> {
        let folder = self.repository(repository).join("_manifests");
        if !folder.is_dir() {
            return Ok(None);
        }
        let mut tags = self.names(&folder.join("tags"))?;
        // What was deleted leaves its folder.
        tags.retain(|tag| {
            is_tag(tag) && folder.join("tags").join(tag).join("current/link").exists()
        });
        Ok(Some(tags))
    }

    fn resolve(&self, repository: &str, tag: &str) -> Result<Option<Descriptor>> {
        let tags = self.repository(repository).join("_manifests/tags");
        let Some(digest) = self.link(&tags.join(tag).join("current/link"))? else {
            return Ok(None);
        };
        let pulled = self.manifest(repository, &digest.to_string())?;
        Ok(pulled.map(|pulled| Descriptor {
            digest: pulled.digest,
            media_type: pulled.media_type,
            size: pulled.bytes.len() as u64,
        }))
    }

    fn manifest(&self, repository: &str, digest: &str) -> Result<Option<Pulled>> {
        let Ok(digest) = digest.parse::<Digest>() else {
            return Ok(None);
        };
        let revisions = self.repository(repository).join("_manifests/revisions");
        let link = revisions.join(digest.algorithm().name()).join(digest.hex());
        // A deleted manifest loses its link, and its bytes only later.
        if self.link(&link.join("link"))?.is_none() {
            return Ok(None);
        }
        let path = self.blob_path(&digest);
        let Some(bytes) = self.small(&path)? else {
            return Ok(None);
        };
        let found = Digest::of_as(digest.algorithm(), &bytes);
        if found != digest {
            return Err(Error::DigestMismatch {
                what: format!("the manifest {digest} of {repository}"),
                wanted: digest.to_string(),
                found: found.to_string(),
            });
        }
        let said: serde_json::Value = serde_json::from_slice(&bytes).unwrap_or_default();
        let media_type = match (&said["mediaType"], said["manifests"].is_array()) {
            (serde_json::Value::String(said), _) => said.clone(),
            (_, true) => INDEX.to_owned(),
            (_, false) => IMAGE.to_owned(),
        };
        Ok(Some(Pulled {
            digest,
            media_type,
            bytes,
        }))
    }

    fn referrers(&self, repository: &str, digest: &Digest) -> Result<Option<Vec<Digest>>> {
        let all = self.subjects(repository)?;
        Ok(Some(all.get(digest).cloned().unwrap_or_default()))
    }

    fn blob(
        &self,
        repository: &str,
        digest: &Digest,
        size: u64,
        sink: &mut dyn Write,
    ) -> Result<bool> {
        let what = format!("the blob {digest} of {repository}");
        let mut file = match fs_err::File::open(self.blob_path(digest)) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(Error::io(format!("read {what}"))(e)),
        };
        let mut hasher = digest.algorithm().hasher();
        let mut piece = vec![0; 256 << 10];
        let mut have = 0_u64;
        loop {
            let count = file
                .read(&mut piece)
                .map_err(Error::io(format!("read {what}")))?;
            if count == 0 {
                break;
            }
            have += count as u64;
            let piece = &piece[..count];
            hasher.update(piece);
            sink.write_all(piece)
                .map_err(Error::io(format!("keep {what}")))?;
        }
        let found = hasher.finish();
        if found != *digest || have != size {
            return Err(Error::DigestMismatch {
                what,
                wanted: format!("{digest} with {size} bytes"),
                found: format!("{found} with {have}"),
            });
        }
        Ok(true)
    }
}
