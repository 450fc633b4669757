//! A registry that is pushed to: what comes is in the vault when it is answered.
//!
//! - `staging`: uploads and blobs on this host's disk, until a manifest names them;
//! - `change`: what a push or a deletion does to the record;
//! - `commit`: changes into recovery points, written by `point`;
//! - `recent`: what was answered lately, where another server's point was made without it.
//!
//! **What 201 says.** Of a blob: it is durable on this host's disk. Of a manifest, with all that it names: it is in a
//! recovery point. Deletions make a point too; what was deleted stands in its record, and earlier points have it until
//! they are forgotten.
//!
//! **One registry.** Who says no host gets this registry, and what is under `point-<id>/`; the other images of the vault
//! are for clients that name their registry (containerd).
//!
//! **Beside others.** Points are made by ordinary write sessions: backups and prunes go on beside them. Two servers of one
//! registry, on two hosts, see each other's points within seconds; on one host the second is refused.

mod change;
mod commit;
mod point;
mod recent;
mod staging;

use std::{
    io::{self, Read},
    path::PathBuf,
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use lifeboat_images::{
    Digest,
    registry::{
        Intake, PushedManifest, Refused, RegistryRecord, Shelf, Shelved, ShelvedBlob, registry_name,
    },
};
use lifeboat_plan::{identity::RegistryIdentity, name::SiteName};
use lifeboat_vault::{SnapshotId, Vault};
use parking_lot::{Mutex, RwLock};

use self::{
    change::Change,
    commit::{Ask, Committer, Head, Request},
    staging::Staging,
};
use super::{VaultShelf, retention::Removal, shelf::POINT};
use crate::Result;

/// How long a look at what other servers have made is good.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(3);
/// How long a request waits for it.
const LOOK_FOR: Duration = Duration::from_secs(2);
/// What stands before the name of a repository in a place of ours.
const OWN: &str = "pushed ";

/// How pushes are taken.
#[derive(Debug, Clone)]
pub struct AcceptOptions {
    /// The registry that they are part of.
    pub registry: String,
    /// The site of its points.
    pub site: String,
    /// Who makes them.
    pub username: String,
    /// Where on this host's disk they wait.
    pub folder: PathBuf,
    /// Bytes that may wait there.
    pub most: u64,
}

/// A registry in the vault that takes pushes, and all others of the vault beside it.
pub struct Accepting {
    registry: String,
    shelf: Arc<VaultShelf>,
    staging: Arc<Staging>,
    head: Arc<RwLock<Arc<Head>>>,
    requests: Mutex<Option<mpsc::Sender<Ask>>>,
    looked: Mutex<Instant>,
    committer: Mutex<Option<JoinHandle<()>>>,
}

impl Accepting {
    /// Over a vault and the shelf of all else in it.
    ///
    /// # Errors
    /// The vault cannot be read, or another process takes pushes for this registry.
    pub fn new(vault: Vault, shelf: VaultShelf, options: &AcceptOptions) -> Result<Self> {
        let site = match options.site.as_str() {
            "" => SiteName::default(),
            name => SiteName::new(name).map_err(lifeboat_plan::Error::from)?,
        };
        let identity = RegistryIdentity {
            site,
            registry: registry_name(&options.registry),
        };
        let staging = Arc::new(Staging::open(&options.folder, options.most)?);
        let head: Arc<RwLock<Arc<Head>>> = Arc::default();
        let shelf = Arc::new(shelf);
        let renewed = Arc::clone(&shelf);
        let mut committer =
            Committer::new(vault, identity, Arc::clone(&staging), Arc::clone(&head));
        committer.username = options.username.clone();
        committer.made = Box::new(move || renewed.renew());
        committer.start()?;
        let registry = committer.identity.registry.clone();
        let (requests, queue) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("registry-commit".to_owned())
            .spawn(move || committer.run(&queue))?;
        Ok(Self {
            registry,
            shelf,
            staging,
            head,
            requests: Mutex::new(Some(requests)),
            looked: Mutex::new(Instant::now()),
            committer: Mutex::new(Some(thread)),
        })
    }

    /// Registries whose images are here, and how many repositories of each.
    #[must_use]
    pub fn registries(&self) -> Vec<(String, usize)> {
        let mut all = self.shelf.registries();
        all.retain(|(name, _)| *name != self.registry);
        all.push((self.registry.clone(), self.head().repositories.len()));
        all
    }

    fn head(&self) -> Arc<Head> {
        Arc::clone(&self.head.read())
    }

    /// The registry, with what another server has made of it: looked for at most every three seconds, and not waited for
    /// where that takes long, as it does while layers go into the vault.
    fn seen(&self) -> Arc<Head> {
        let is_due = {
            let mut looked = self.looked.lock();
            let is_due = looked.elapsed() > LOOK_AGAIN_AFTER;
            if is_due {
                *looked = Instant::now();
            }
            is_due
        };
        let sender = self.requests.lock().clone().filter(|_| is_due);
        if let Some(sender) = sender {
            let (reply, answer) = mpsc::sync_channel(1);
            if sender.send(Ask::Look(reply)).is_ok() {
                let _ = answer.recv_timeout(LOOK_FOR);
            }
        }
        self.head()
    }

    fn is_own(&self, host: Option<&str>) -> bool {
        host.is_none_or(|host| registry_name(host) == self.registry)
    }

    /// Has a change made, and waits until it is.
    fn change(&self, change: Change) -> std::result::Result<(), Refused> {
        let ended = || Refused::Failed(io::Error::other("the server ends"));
        let (reply, answer) = mpsc::sync_channel(1);
        let sender = self.requests.lock().clone().ok_or_else(ended)?;
        sender
            .send(Ask::Change(Request { change, reply }))
            .map_err(|_| ended())?;
        drop(sender);
        answer.recv().map_err(|_| ended())?
    }
}

/// Makes a point without what no rule keeps, beside a server that may take pushes meanwhile. `judge` says what goes of
/// the registry as it is; nothing is written where that is nothing. Returns the point and what was judged.
///
/// # Errors
/// The vault cannot be read or written, or another process does the same here.
pub(super) fn forget<T>(
    vault: Vault,
    identity: RegistryIdentity,
    username: &str,
    folder: &std::path::Path,
    judge: impl FnOnce(&RegistryRecord) -> Result<(T, Option<Removal>)>,
) -> Result<(T, Option<SnapshotId>)> {
    let staging = Arc::new(Staging::open(folder, 0)?);
    let mut committer = Committer::new(vault, identity, staging, Arc::default());
    committer.username = username.to_owned();
    committer.start()?;
    let head = Arc::clone(&committer.head.read());
    let (judged, removal) = judge(&head.record)?;
    let Some(removal) = removal else {
        return Ok((judged, None));
    };
    committer.make(&[Change::Forget(Arc::new(removal))])?;
    let point = committer.head.read().point;
    Ok((judged, point.filter(|point| Some(*point) != head.point)))
}

impl Drop for Accepting {
    fn drop(&mut self) {
        // What waits is done before the thread ends.
        self.requests.lock().take();
        if let Some(thread) = self.committer.lock().take() {
            let _ = thread.join();
        }
    }
}

impl Shelf for Accepting {
    fn repositories(&self, host: Option<&str>) -> io::Result<Vec<String>> {
        if self.is_own(host) {
            return Ok(self.seen().repositories.keys().cloned().collect());
        }
        self.shelf.repositories(host)
    }

    /// What is asked for here is this registry alone: a client that sees a blob under a name does not push it again, so
    /// another registry's must not be seen under the same name. Those are asked for by host, or out of one point.
    fn repository(&self, host: Option<&str>, name: &str) -> io::Result<Option<Shelved>> {
        if !self.is_own(host) || name.starts_with(POINT) {
            return self.shelf.repository(host, name);
        }
        let known = self.seen().repositories.get(name).cloned();
        let begun = || self.staging.has_repository(name).then(Arc::default);
        Ok(known.or_else(begun).map(|repository| Shelved {
            repository,
            place: format!("{OWN}{name}"),
        }))
    }

    fn holds(&self, found: &Shelved, digest: &Digest) -> bool {
        let known = &found.repository;
        known.manifests.contains_key(digest)
            || known.has_blob(digest)
            || found
                .place
                .strip_prefix(OWN)
                .is_some_and(|name| self.staging.is_linked(name, digest))
    }

    fn blob(&self, found: &Shelved, digest: &Digest) -> io::Result<Option<ShelvedBlob>> {
        if !found.place.starts_with(OWN) {
            return self.shelf.blob(found, digest);
        }
        if let Some((file, size)) = self.staging.open_blob(digest)? {
            return Ok(Some(ShelvedBlob {
                size,
                content: Box::new(file),
            }));
        }
        let head = self.head();
        let Some(node) = head.files.get(digest) else {
            return Ok(None);
        };
        self.shelf.file(node).map(Some).map_err(io::Error::other)
    }
}

impl Intake for Accepting {
    fn registry(&self) -> &str {
        &self.registry
    }

    fn begin(&self, repository: &str) -> std::result::Result<String, Refused> {
        self.staging.begin(repository)
    }

    fn uploaded(&self, repository: &str, id: &str) -> std::result::Result<u64, Refused> {
        self.staging.uploaded(repository, id)
    }

    fn append(
        &self,
        repository: &str,
        id: &str,
        from: Option<u64>,
        body: &mut dyn Read,
    ) -> std::result::Result<u64, Refused> {
        self.staging.append(repository, id, from, body)
    }

    fn finish(
        &self,
        repository: &str,
        id: &str,
        digest: &Digest,
    ) -> std::result::Result<(), Refused> {
        self.staging.finish(repository, id, digest)
    }

    fn cancel(&self, repository: &str, id: &str) -> std::result::Result<(), Refused> {
        self.staging.cancel(repository, id)
    }

    fn mount(
        &self,
        repository: &str,
        digest: &Digest,
        from: Option<&str>,
    ) -> std::result::Result<bool, Refused> {
        let head = self.head();
        let has = |name: &str| {
            let known = head.repositories.get(name);
            known.is_some_and(|known| known.has_blob(digest))
                || self.staging.is_linked(name, digest)
        };
        let is_one = match from {
            Some(from) => has(from),
            None => {
                let mut all = head.repositories.values();
                all.any(|known| known.has_blob(digest)) || self.staging.is_linked_anywhere(digest)
            }
        };
        let is_there = || {
            Ok::<_, io::Error>(
                head.files.contains_key(digest) || self.staging.open_blob(digest)?.is_some(),
            )
        };
        if !is_one || !is_there()? {
            return Ok(false);
        }
        self.staging.link(repository, digest)?;
        Ok(true)
    }

    fn manifest(
        &self,
        repository: &str,
        pushed: PushedManifest,
    ) -> std::result::Result<(), Refused> {
        self.change(Change::Manifest(repository.to_owned(), Box::new(pushed)))
    }

    fn delete_tag(&self, repository: &str, tag: &str) -> std::result::Result<(), Refused> {
        self.change(Change::DeleteTag(repository.to_owned(), tag.to_owned()))
    }

    fn delete_manifest(
        &self,
        repository: &str,
        digest: &Digest,
    ) -> std::result::Result<(), Refused> {
        let change = Change::DeleteManifest(repository.to_owned(), digest.clone());
        self.change(change)
    }

    fn delete_blob(&self, repository: &str, digest: &Digest) -> std::result::Result<(), Refused> {
        let head = self.head();
        let known = head.repositories.get(repository);
        if known.is_some_and(|known| known.has_blob(digest)) {
            let why = "a manifest needs it; delete that first";
            return Err(Refused::Needed(why.to_owned()));
        }
        match self.staging.unlink(repository, digest)? {
            true => {
                if !self.staging.is_linked_anywhere(digest) {
                    self.staging.settled(digest);
                }
                Ok(())
            }
            false => Err(Refused::NotFound),
        }
    }
}
