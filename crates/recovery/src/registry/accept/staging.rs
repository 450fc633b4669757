//! What was pushed and is not in the vault yet, on this host's disk.
//!
//! ```text
//! uploads/<repository>-<random>     bytes so far
//! blobs/<kind>-<digits>             whole, and of that digest
//! links/<repository>/<kind>-<digits>  the blob belongs to this repository
//! ```
//!
//! `<repository>` is the beginning of its name's digest. A blob is durable, and its link after it, before
//! [`Staging::finish`] returns. What a crash leaves: an upload that can be gone on with, or a blob that its client sends
//! again. What nobody touched for a day is taken away. Bytes on disk are bounded; what is more is refused.

use std::{
    collections::HashMap,
    io::{self, Read, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use lifeboat_images::{Algorithm, Digest, Hasher, registry::Refused};
use parking_lot::Mutex;
use rustix::fs::{FlockOperation, flock};

use crate::{RecoveryError, Result};

/// How long nobody has to touch something for it to be taken away.
const KEPT_FOR: Duration = Duration::from_secs(24 * 3600);
/// How often that is looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);
/// How long a request waits for another one on the same upload.
const BUSY: Duration = Duration::from_secs(10);
const PIECE: usize = 256 << 10;

/// The folder.
pub struct Staging {
    root: PathBuf,
    most: u64,
    used: AtomicU64,
    uploads: Mutex<HashMap<String, Arc<Mutex<Upload>>>>,
    swept: Mutex<Instant>,
    /// Locked as long as we are there.
    _lock: fs_err::File,
}

struct Upload {
    file: fs_err::File,
    size: u64,
    /// Of all bytes so far; nothing after a restart.
    hasher: Option<Hasher>,
}

impl Staging {
    /// Opens a folder, which is made if it is not there. At most `most` bytes are kept in it.
    ///
    /// # Errors
    /// Another process has it, or it cannot be written.
    pub fn open(root: &Path, most: u64) -> Result<Self> {
        for folder in ["uploads", "blobs", "links"] {
            fs_err::create_dir_all(root.join(folder))?;
        }
        let lock = fs_err::File::create(root.join("lock"))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(RecoveryError::Failed(format!(
                "another process takes pushes for this registry on this host ({} is locked); end it first",
                root.display()
            )));
        }
        let staging = Self {
            root: root.to_owned(),
            most,
            used: AtomicU64::new(0),
            uploads: Mutex::default(),
            swept: Mutex::new(Instant::now()),
            _lock: lock,
        };
        staging.sweep()?;
        Ok(staging)
    }

    /// Begins an upload.
    pub fn begin(&self, repository: &str) -> std::result::Result<String, Refused> {
        let is_due = {
            let mut swept = self.swept.lock();
            let is_due = swept.elapsed() > SWEEP_EVERY;
            if is_due {
                *swept = Instant::now();
            }
            is_due
        };
        if is_due {
            self.sweep()
                .map_err(|e| Refused::Failed(io::Error::other(e)))?;
        }
        self.refuse_full(0)?;
        let mut random = [0_u8; 16];
        rustix::rand::getrandom(&mut random[..], rustix::rand::GetRandomFlags::empty())
            .map_err(io::Error::from)?;
        let id = format!("{}-{}", short(repository), hex::encode(random));
        let file = fs_err::OpenOptions::new()
            .read(true)
            .append(true)
            .create_new(true)
            .open(self.upload_path(&id))?;
        let upload = Upload {
            file,
            size: 0,
            hasher: Some(Algorithm::Sha256.hasher()),
        };
        self.uploads
            .lock()
            .insert(id.clone(), Arc::new(Mutex::new(upload)));
        Ok(id)
    }

    /// Bytes of an upload.
    pub fn uploaded(&self, repository: &str, id: &str) -> std::result::Result<u64, Refused> {
        Ok(self.upload(repository, id)?.lock().size)
    }

    /// Adds to an upload.
    pub fn append(
        &self,
        repository: &str,
        id: &str,
        from: Option<u64>,
        body: &mut dyn Read,
    ) -> std::result::Result<u64, Refused> {
        let upload = self.upload(repository, id)?;
        let Some(mut upload) = upload.try_lock_for(BUSY) else {
            let why = "another request is at work on this upload";
            return Err(Refused::BrokeOff(io::Error::other(why)));
        };
        if from.is_some_and(|from| from != upload.size) {
            return Err(Refused::OutOfOrder(upload.size));
        }
        let mut piece = vec![0; PIECE];
        loop {
            let count = match body.read(&mut piece) {
                Ok(0) => return Ok(upload.size),
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(Refused::BrokeOff(error)),
            };
            self.refuse_full(count as u64)?;
            let piece = &piece[..count];
            if let Err(error) = upload.file.write_all(piece) {
                // Perhaps a part of it: what is there counts.
                upload.size = upload.file.metadata()?.len();
                upload.hasher = None;
                return Err(match error.kind() {
                    io::ErrorKind::StorageFull => Refused::Full(error.to_string()),
                    _ => Refused::Failed(error),
                });
            }
            upload.size += count as u64;
            self.used.fetch_add(count as u64, Ordering::SeqCst);
            if let Some(hasher) = &mut upload.hasher {
                hasher.update(piece);
            }
        }
    }

    /// Ends an upload: durable, and of this digest, or gone.
    pub fn finish(
        &self,
        repository: &str,
        id: &str,
        digest: &Digest,
    ) -> std::result::Result<(), Refused> {
        let shared = self.upload(repository, id)?;
        let Some(mut upload) = shared.try_lock_for(BUSY) else {
            let why = "another request is at work on this upload";
            return Err(Refused::BrokeOff(io::Error::other(why)));
        };
        let path = self.upload_path(id);
        let hasher = upload.hasher.take();
        let found = match hasher.filter(|_| digest.algorithm() == Algorithm::Sha256) {
            Some(hasher) => hasher.finish(),
            None => Digest::of_reader(digest.algorithm(), fs_err::File::open(&path)?)?,
        };
        self.uploads.lock().remove(id);
        if found != *digest {
            fs_err::remove_file(&path)?;
            self.free(upload.size);
            return Err(Refused::Digest(found));
        }
        upload.file.sync_all()?;
        let place = self.blob_path(digest);
        if place.exists() {
            fs_err::remove_file(&path)?;
            self.free(upload.size);
        } else {
            fs_err::rename(&path, &place)?;
            sync_folder(&self.root.join("blobs"))?;
        }
        self.link(repository, digest)?;
        Ok(())
    }

    /// Gives an upload up.
    pub fn cancel(&self, repository: &str, id: &str) -> std::result::Result<(), Refused> {
        let upload = self.upload(repository, id)?;
        self.uploads.lock().remove(id);
        let size = upload.lock().size;
        fs_err::remove_file(self.upload_path(id))?;
        self.free(size);
        Ok(())
    }

    /// Makes a blob that is here or in the vault one of a repository.
    pub fn link(&self, repository: &str, digest: &Digest) -> io::Result<()> {
        let folder = self.links(repository);
        if !folder.is_dir() {
            fs_err::create_dir_all(&folder)?;
            sync_folder(&self.root.join("links"))?;
        }
        fs_err::File::create(folder.join(file_name(digest)))?;
        sync_folder(&folder)
    }

    /// Whether a blob was made one of a repository.
    pub fn is_linked(&self, repository: &str, digest: &Digest) -> bool {
        self.links(repository).join(file_name(digest)).exists()
    }

    /// Whether a blob was made one of any repository.
    pub fn is_linked_anywhere(&self, digest: &Digest) -> bool {
        let Ok(folders) = fs_err::read_dir(self.root.join("links")) else {
            return false;
        };
        let name = file_name(digest);
        folders
            .flatten()
            .any(|folder| folder.path().join(&name).exists())
    }

    /// Whether anything was pushed into a repository that is not in the vault yet.
    pub fn has_repository(&self, repository: &str) -> bool {
        self.links(repository).is_dir()
    }

    /// Takes a blob out of a repository; `false` if it was none of it.
    pub fn unlink(&self, repository: &str, digest: &Digest) -> io::Result<bool> {
        match fs_err::remove_file(self.links(repository).join(file_name(digest))) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// A blob that is here, and its size.
    pub fn open_blob(&self, digest: &Digest) -> io::Result<Option<(fs_err::File, u64)>> {
        match fs_err::File::open(self.blob_path(digest)) {
            Ok(file) => {
                let size = file.metadata()?.len();
                Ok(Some((file, size)))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The vault has a blob now: its bytes here are not needed.
    pub fn settled(&self, digest: &Digest) {
        let path = self.blob_path(digest);
        let size = fs_err::metadata(&path).map_or(0, |meta| meta.len());
        if fs_err::remove_file(&path).is_ok() {
            self.free(size);
        }
    }

    fn upload(
        &self,
        repository: &str,
        id: &str,
    ) -> std::result::Result<Arc<Mutex<Upload>>, Refused> {
        let is_id = id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        let is_of_it = id.strip_prefix(&short(repository));
        if !is_id || !is_of_it.is_some_and(|rest| rest.starts_with('-')) {
            return Err(Refused::NoUpload);
        }
        let mut uploads = self.uploads.lock();
        if let Some(upload) = uploads.get(id) {
            return Ok(Arc::clone(upload));
        }
        // One of an earlier run.
        let opened = fs_err::OpenOptions::new()
            .read(true)
            .append(true)
            .open(self.upload_path(id));
        let file = match opened {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Refused::NoUpload);
            }
            other => other?,
        };
        let upload = Upload {
            size: file.metadata()?.len(),
            file,
            hasher: None,
        };
        let upload = Arc::new(Mutex::new(upload));
        uploads.insert(id.to_owned(), Arc::clone(&upload));
        Ok(upload)
    }

    fn refuse_full(&self, more: u64) -> std::result::Result<(), Refused> {
        let used = self.used.load(Ordering::SeqCst);
        if used.saturating_add(more) < self.most {
            return Ok(());
        }
        Err(Refused::Full(format!(
            "{} MiB of pushes wait on this host's disk, which is all that may (--most-staged)",
            used >> 20
        )))
    }

    fn free(&self, bytes: u64) {
        let _ = self
            .used
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |used| {
                Some(used.saturating_sub(bytes))
            });
    }

    /// Takes away what nobody touched for a day, and counts the rest.
    fn sweep(&self) -> Result<()> {
        let mut used = 0;
        let links = fs_err::read_dir(self.root.join("links"))?;
        let mut folders = vec![self.root.join("uploads"), self.root.join("blobs")];
        folders.extend(links.flatten().map(|entry| entry.path()));
        for folder in folders {
            for entry in fs_err::read_dir(&folder)? {
                let entry = entry?;
                let meta = entry.metadata()?;
                let touched = meta.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                let is_old = touched.elapsed().is_ok_and(|age| age > KEPT_FOR);
                if is_old && fs_err::remove_file(entry.path()).is_ok() {
                    let id = entry.file_name().to_string_lossy().into_owned();
                    self.uploads.lock().remove(&id);
                } else {
                    used += meta.len();
                }
            }
        }
        self.used.store(used, Ordering::SeqCst);
        Ok(())
    }

    fn upload_path(&self, id: &str) -> PathBuf {
        self.root.join("uploads").join(id)
    }

    fn blob_path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(file_name(digest))
    }

    fn links(&self, repository: &str) -> PathBuf {
        self.root.join("links").join(short(repository))
    }
}

/// A repository in a file's name.
fn short(repository: &str) -> String {
    Digest::of(repository.as_bytes()).hex()[..32].to_owned()
}

fn file_name(digest: &Digest) -> String {
    format!("{}-{}", digest.algorithm().name(), digest.hex())
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    fs_err::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn staged(staging: &Staging, repository: &str, bytes: &[u8]) -> Digest {
        let id = staging.begin(repository).unwrap();
        staging
            .append(repository, &id, Some(0), &mut &bytes[..])
            .unwrap();
        let digest = Digest::of(bytes);
        staging.finish(repository, &id, &digest).unwrap();
        digest
    }

    #[test]
    fn an_upload_outlives_us_and_a_wrong_one_is_gone() {
        let dir = tempfile::tempdir().unwrap();
        let staging = Staging::open(dir.path(), 1 << 20).unwrap();
        assert!(Staging::open(dir.path(), 1 << 20).is_err(), "two at once");
        let id = staging.begin("team/app").unwrap();
        staging
            .append("team/app", &id, None, &mut &b"half "[..])
            .unwrap();
        drop(staging);
        let staging = Staging::open(dir.path(), 1 << 20).unwrap();
        assert_eq!(staging.uploaded("team/app", &id).unwrap(), 5);
        let other = staging.uploaded("team/other", &id);
        assert!(matches!(other, Err(Refused::NoUpload)));
        let twice = staging.append("team/app", &id, Some(0), &mut &b"x"[..]);
        assert!(matches!(twice, Err(Refused::OutOfOrder(5))));
        staging
            .append("team/app", &id, Some(5), &mut &b"done"[..])
            .unwrap();
        let digest = Digest::of_as(Algorithm::Sha512, b"half done");
        staging.finish("team/app", &id, &digest).unwrap();
        assert!(staging.is_linked("team/app", &digest) && staging.is_linked_anywhere(&digest));
        assert!(!staging.is_linked("team", &digest));
        assert_eq!(staging.open_blob(&digest).unwrap().unwrap().1, 9);

        let id = staging.begin("team/app").unwrap();
        staging
            .append("team/app", &id, None, &mut &b"other"[..])
            .unwrap();
        let wrong = staging.finish("team/app", &id, &Digest::of(b"another"));
        assert!(matches!(wrong, Err(Refused::Digest(found)) if found == Digest::of(b"other")));
        assert!(matches!(
            staging.uploaded("team/app", &id),
            Err(Refused::NoUpload)
        ));
        for bad in ["", "../lock", "..", &short("team/app")] {
            let none = staging.uploaded("team/app", bad);
            assert!(matches!(none, Err(Refused::NoUpload)), "{bad}");
        }
    }

    #[test]
    fn the_disk_is_not_filled() {
        let dir = tempfile::tempdir().unwrap();
        let staging = Staging::open(dir.path(), 1000).unwrap();
        let kept = staged(&staging, "a", &[1; 600]);
        let id = staging.begin("a").unwrap();
        let full = staging.append("a", &id, None, &mut &[2; 600][..]);
        assert!(matches!(full, Err(Refused::Full(_))));
        staging.cancel("a", &id).unwrap();
        staging.settled(&kept);
        staged(&staging, "a", &[3; 600]);
        // Counted again after a restart.
        drop(staging);
        let staging = Staging::open(dir.path(), 1000).unwrap();
        let id = staging.begin("a").unwrap();
        let full = staging.append("a", &id, None, &mut &[4; 600][..]);
        assert!(matches!(full, Err(Refused::Full(_))));
    }
}
