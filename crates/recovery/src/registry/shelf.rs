//! The recovery points of a vault as a registry server's shelf.
//!
//! New points are seen without a restart: the listing of the vault is looked at again with a request, at most every
//! three seconds, and what is new in it is read. A vault that cannot be listed for a while leaves what was seen before.
//! A point that cannot be read is left out, with a warning; the others are served.
//!
//! Repositories of one point alone are those under `point-<the id's first digits>/`.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    sync::Arc,
    time::{Duration, Instant},
};

use lifeboat_images::{
    Algorithm, Digest,
    registry::{Shelf, Shelved, ShelvedBlob},
};
use lifeboat_store::Area;
use lifeboat_vault::{
    ErrorKind, Reader, SnapshotId, Vault,
    id::BlobId,
    node::{Node, NodeKind, Timestamp, Tree},
};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{
    holding::{self, Listed, Repositories},
    lease::Leases,
    view::{View, that_count},
};
use crate::{RecoveryError, Result};

/// How long a listing of the vault is good.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(if cfg!(test) { 0 } else { 3 });
/// The same where somebody names a point that the listing has not: an attacker who makes ids up is to cost little.
const FOR_A_POINT: Duration = Duration::from_millis(200);
/// Directories of blobs, and views of single points, that are kept in memory.
const KEPT: usize = 4;
/// What stands before the id of a point in the name of a repository.
pub(super) const POINT: &str = "point-";
/// The fewest digits of an id.
const MIN_ID: usize = 8;

/// What is served of a vault.
#[derive(Debug, Clone, Default)]
pub struct ShelfOptions {
    /// Registries whose images are meant where a client does not say which.
    pub preferred: Vec<String>,
    /// This point and no other.
    pub point: Option<SnapshotId>,
    /// Points of this time and before.
    pub until: Option<Timestamp>,
    /// Not the points of this registry, which somebody else serves.
    pub except: Option<String>,
}

/// A directory of blobs: of which point's tree, and of which kind of digest.
type Folder = (BlobId, Algorithm);

/// The points of a vault.
pub struct VaultShelf {
    leases: Leases,
    options: ShelfOptions,
    state: Mutex<State>,
    folders: Mutex<Vec<(Folder, Arc<Tree>)>>,
}

#[derive(Default)]
struct State {
    looked: Option<Instant>,
    /// All objects that the listing showed.
    listed: BTreeSet<SnapshotId>,
    points: BTreeMap<SnapshotId, Arc<Listed>>,
    /// What points hold; nothing for one that cannot be read.
    held: BTreeMap<SnapshotId, Option<Arc<Repositories>>>,
    view: Arc<View>,
    single: Vec<(SnapshotId, Arc<View>)>,
}

impl VaultShelf {
    /// Looks at the vault for the first time.
    ///
    /// # Errors
    /// The vault cannot be read.
    pub fn new(vault: Vault, options: ShelfOptions) -> Result<Self> {
        let shelf = Self {
            leases: Leases::new(vault)?,
            options,
            state: Mutex::default(),
            folders: Mutex::default(),
        };
        shelf.look(&mut lock(&shelf.state))?;
        Ok(shelf)
    }

    /// Registries whose images are here, and how many repositories of each.
    #[must_use]
    pub fn registries(&self) -> Vec<(String, usize)> {
        let view = Arc::clone(&lock(&self.state).view);
        let hosts = view.hosts();
        hosts
            .map(|(host, count)| (host.to_owned(), count))
            .collect()
    }

    /// Looks at the listing, if the last look is long ago.
    fn current(&self) -> MutexGuard<'_, State> {
        let mut state = lock(&self.state);
        let is_old = state
            .looked
            .is_none_or(|at| at.elapsed() > LOOK_AGAIN_AFTER);
        if is_old && let Err(error) = self.look(&mut state) {
            tracing::warn!("new recovery points cannot be looked for: {error}");
        }
        state
    }

    fn look(&self, state: &mut State) -> Result<()> {
        state.looked = Some(Instant::now());
        let vault = self.leases.vault();
        let listing =
            vault
                .store()
                .list(Area::Snapshots)
                .map_err(lifeboat_vault::VaultError::store(
                    "list the recovery points",
                ))?;
        let listed: BTreeSet<SnapshotId> = listing
            .iter()
            .filter_map(|object| object.name.id().parse().ok())
            .collect();
        if listed == state.listed {
            return Ok(());
        }
        for &id in listed.difference(&state.listed) {
            match vault.snapshot(id) {
                Ok(snapshot) => {
                    if let Some(point) = Listed::new(id, snapshot) {
                        state.points.insert(id, Arc::new(point));
                    }
                }
                Err(lifeboat_vault::VaultError::NoSnapshot(_)) => {}
                Err(error) => tracing::warn!("point {} is left out: {error}", id.short()),
            }
        }
        state.points.retain(|id, _| listed.contains(id));
        state.single.clear();
        let options = &self.options;
        let points: Vec<Arc<Listed>> = state.points.values().cloned().collect();
        let wanted = points.iter().map(Arc::as_ref).filter(|point| {
            options.point.is_none_or(|id| id == point.id)
                && options
                    .until
                    .is_none_or(|until| point.time.is_some_and(|time| time <= until))
                && !options
                    .except
                    .as_deref()
                    .is_some_and(|except| point.is_of_registry(except))
        });
        let counting = that_count(wanted);
        let mut held = Vec::new();
        for point in &counting {
            if let Some(repositories) = self.held(state, point)? {
                held.push((*point, repositories));
            }
        }
        state
            .held
            .retain(|id, _| counting.iter().any(|point| point.id == *id));
        state.view = Arc::new(View::of(held.into_iter()));
        // Only now: a look that failed is made again.
        state.listed = listed;
        Ok(())
    }

    /// What a point holds; nothing where it cannot be read. An error if nothing can be read now.
    fn held(&self, state: &mut State, point: &Listed) -> Result<Option<Arc<Repositories>>> {
        if let Some(known) = state.held.get(&point.id) {
            return Ok(known.clone());
        }
        let reader = self.leases.reader()?;
        let held = match holding::read(&reader, point) {
            Ok(held) => Some(Arc::new(held)),
            // It cannot be reached now: that may be another thing soon.
            Err(RecoveryError::Vault(error)) if error.kind() != ErrorKind::Damaged => {
                return Err(error.into());
            }
            Err(error) => {
                tracing::warn!(
                    "the images of point {} are left out: {error}",
                    point.id.short()
                );
                None
            }
        };
        state.held.insert(point.id, held.clone());
        Ok(held)
    }

    /// The view that a repository's name leads to, and the name in it.
    fn view<'n>(&self, name: &'n str) -> io::Result<(Arc<View>, &'n str)> {
        let mut state = self.current();
        let Some((id, rest)) = name
            .strip_prefix(POINT)
            .and_then(|name| name.split_once('/'))
        else {
            return Ok((Arc::clone(&state.view), name));
        };
        let is_id = id.len() >= MIN_ID && id.bytes().all(|b| b.is_ascii_hexdigit());
        let fits = |point: &&Arc<Listed>| is_id && point.id.to_hex().starts_with(id);
        // Whoever names a point has just seen it: it may be younger than the last look.
        let is_new = is_id && !state.points.values().any(|point| fits(&point));
        if is_new && state.looked.is_none_or(|at| at.elapsed() > FOR_A_POINT) {
            self.look(&mut state).map_err(io::Error::other)?;
        }
        let mut fitting = state.points.values().filter(fits);
        let (Some(point), None) = (fitting.next().cloned(), fitting.next()) else {
            return Ok((Arc::clone(&state.view), name));
        };
        if let Some((_, view)) = state.single.iter().find(|(id, _)| *id == point.id) {
            return Ok((Arc::clone(view), rest));
        }
        let held = self.held(&mut state, &point).map_err(io::Error::other)?;
        let held = held.map(|held| (point.as_ref(), held));
        let view = Arc::new(View::of(held.into_iter()));
        if state.single.len() >= KEPT {
            let (gone, _) = state.single.remove(0);
            state.held.remove(&gone);
        }
        state.single.push((point.id, Arc::clone(&view)));
        Ok((view, rest))
    }

    /// The directory of blobs of a point, which may be large and is asked for often.
    fn folder(
        &self,
        reader: &Reader,
        point: &Listed,
        algorithm: Algorithm,
    ) -> Result<Option<Arc<Tree>>> {
        let folder = (point.tree, algorithm);
        if let Some((_, tree)) = lock(&self.folders).iter().find(|(id, _)| *id == folder) {
            return Ok(Some(Arc::clone(tree)));
        }
        let above = point.folder().iter().copied();
        let parts: Vec<&[u8]> = above
            .chain(["blobs", algorithm.name()])
            .map(str::as_bytes)
            .collect();
        let found = reader.lookup(point.tree, &parts)?;
        let Some(NodeKind::Dir { subtree }) = found.map(|node| node.kind) else {
            return Ok(None);
        };
        let tree = Arc::new(reader.tree(subtree)?);
        let mut folders = lock(&self.folders);
        if folders.len() >= KEPT {
            folders.remove(0);
        }
        folders.push((folder, Arc::clone(&tree)));
        Ok(Some(tree))
    }

    /// From now on what others have just written is read.
    pub(super) fn renew(&self) {
        self.leases.renew();
    }

    /// The content of a file of the vault.
    pub(super) fn file(&self, node: &Node) -> Result<ShelvedBlob> {
        let NodeKind::File { size, .. } = &node.kind else {
            return Err(RecoveryError::Failed("a blob is no file".to_owned()));
        };
        let reader = self.leases.reader()?;
        Ok(ShelvedBlob {
            size: *size,
            content: Box::new(reader.file(node)?),
        })
    }

    fn open(&self, point: &Listed, digest: &Digest) -> Result<Option<ShelvedBlob>> {
        let reader = self.leases.reader()?;
        let Some(folder) = self.folder(&reader, point, digest.algorithm())? else {
            return Ok(None);
        };
        let Some(node) = folder.get(digest.hex().as_bytes()) else {
            return Ok(None);
        };
        let NodeKind::File { size, .. } = &node.kind else {
            return Err(RecoveryError::Failed(format!("{digest} is no file")));
        };
        Ok(Some(ShelvedBlob {
            size: *size,
            content: Box::new(reader.file(node)?),
        }))
    }
}

impl Shelf for VaultShelf {
    fn repositories(&self, host: Option<&str>) -> io::Result<Vec<String>> {
        let view = Arc::clone(&self.current().view);
        Ok(view.names(host))
    }

    fn repository(&self, host: Option<&str>, name: &str) -> io::Result<Option<Shelved>> {
        let (view, name) = self.view(name)?;
        let found = view.find(host, &self.options.preferred, name);
        Ok(found.map(|seen| Shelved {
            repository: Arc::clone(&seen.repository),
            place: seen.places.iter().map(|id| id.to_hex() + " ").collect(),
        }))
    }

    fn blob(&self, repository: &Shelved, digest: &Digest) -> io::Result<Option<ShelvedBlob>> {
        let mut failed = None;
        for id in repository.place.split_whitespace() {
            let point = id
                .parse()
                .ok()
                .and_then(|id: SnapshotId| lock(&self.state).points.get(&id).cloned());
            // Forgotten since it was found.
            let Some(point) = point else { continue };
            match self.open(&point, digest) {
                Ok(Some(blob)) => return Ok(Some(blob)),
                Ok(None) => {}
                // Another point may have it whole.
                Err(error) => failed = Some(error),
            }
        }
        failed.map_or(Ok(None), |error| Err(io::Error::other(error)))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
