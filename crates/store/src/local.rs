//! A directory as a store, laid out as restic has it.
//!
//! `config`, `keys/`, `data/xx/`, `index/`, `snapshots/`, `locks/`. Files 0400 (their content never
//! changes), folders 0700.
//!
//! A put writes a temporary file in the object's own folder, syncs it, gives it its name without
//! replacing (`renameat2` with `RENAME_NOREPLACE`; `link` and `unlink` where the file system does
//! not know that; rename after a look where it knows neither), and syncs the folder. A folder that
//! was made on the way is synced into its parent first; a new vault gets all of them at once, as restic makes them.
//!
//! Several objects are staged (written, and not synced yet) and settled together: one sync has the device write all
//! of them, where each would have had to wait for its own ([`temporary`]).
//!
//! Where there is a limit on bandwidth (the directory may lie on a network), bytes pass in pieces as the limit lets
//! them ([`paced`]).
//!
//! What a crash leaves: temporary files `.tmp-PID-N-…`. Listings never show them; the first put of
//! data removes those that are older than a day ([`LocalStore::clean`]).

mod direct;
mod paced;
mod system;
mod temporary;

use std::{
    io::{self, Seek, SeekFrom},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use fs_err as fs;
use rustix::io::Errno;

use self::paced::Pace;
pub(crate) use self::temporary::{Temporary, settle};
use crate::{Area, Limits, ObjectInfo, ObjectName, Result, Staged, Store, StoreError};

/// Temporary files begin so; no object's name does.
const TEMPORARY: &str = ".tmp-";
/// A temporary file so old belongs to nobody who still writes.
const STALE: Duration = Duration::from_secs(24 * 3600);

/// A directory as a store.
#[derive(Debug)]
pub struct LocalStore {
    root: PathBuf,
    counter: AtomicU64,
    cleaned: AtomicBool,
    pace: Pace,
}

impl LocalStore {
    /// A store in a directory, which need not be there yet.
    pub fn new(root: &Path) -> Self {
        Self {
            root: root.to_owned(),
            counter: AtomicU64::new(0),
            cleaned: AtomicBool::new(false),
            pace: Pace::default(),
        }
    }

    /// Objects are written and read no faster than that.
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.pace = Pace::new(limits);
        self
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where an object lies.
    pub fn path(&self, name: &ObjectName) -> PathBuf {
        match name.area() {
            Area::Config => self.root.join("config"),
            Area::Data => self.root.join("data").join(&name.id()[..2]).join(name.id()),
            area => self.root.join(area.as_str()).join(name.id()),
        }
    }

    /// Removes temporary files that are older than a day. Returns how many. What cannot be looked
    /// at is passed over.
    #[allow(
        clippy::disallowed_methods,
        reason = "compared with times of this file system"
    )]
    pub fn clean(&self) -> usize {
        let now = SystemTime::now();
        let mut folders = vec![self.root.clone()];
        folders.extend(Area::ALL.iter().skip(1).map(|a| self.root.join(a.as_str())));
        folders.extend((0..256).map(|n| self.root.join(format!("data/{n:02x}"))));
        let entries = folders
            .iter()
            .filter_map(|f| fs::read_dir(f).ok())
            .flatten()
            .flatten();
        entries
            .filter(|e| e.file_name().to_string_lossy().starts_with(TEMPORARY))
            .filter(|e| {
                let modified = e.metadata().and_then(|m| m.modified());
                modified.is_ok_and(|t| now.duration_since(t).is_ok_and(|age| age > STALE))
            })
            .filter(|e| fs::remove_file(e.path()).is_ok())
            .count()
    }

    /// Writes a file that has no name yet.
    fn write_temporary(&self, named: PathBuf, bytes: &[u8]) -> Result<Temporary> {
        let folder = named.parent().unwrap_or(&self.root).to_owned();
        let mut temporary = loop {
            let path = folder.join(self.temporary_name());
            match Temporary::create(&self.root, &path, &named) {
                Ok(temporary) => break temporary,
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    self.make_folder(&folder)?;
                }
                Err(e) => return Err(self.error("create a file in the vault", e)),
            }
        };
        match temporary.fill(|file| self.pace.write(file, bytes)) {
            Ok(()) => Ok(temporary),
            Err(e) => Err(self.error("write a file of the vault", e)),
        }
    }

    /// The process id keeps programs apart, the time keeps pid name spaces and reuse apart.
    fn temporary_name(&self) -> String {
        let number = self.counter.fetch_add(1, Ordering::Relaxed);
        let nanos = SystemTime::UNIX_EPOCH
            .elapsed()
            .map_or(0, |d| d.subsec_nanos());
        format!("{TEMPORARY}{}-{number}-{nanos}", std::process::id())
    }

    /// Makes a folder below the root (one level deep at most) and syncs it into its parent.
    fn make_folder(&self, folder: &Path) -> Result<()> {
        let mut missing = Vec::new();
        let mut at = folder;
        while !at.is_dir() {
            missing.push(at.to_owned());
            match at.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => at = parent,
                _ => break,
            }
        }
        for path in missing.iter().rev() {
            match std::fs::DirBuilder::new().mode(0o700).create(path) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
                Err(e) => {
                    let context = format!("create the folder {}", path.display());
                    return Err(self.error(&context, e));
                }
            }
            if let Some(parent) = path.parent() {
                let parent = if parent.as_os_str().is_empty() {
                    Path::new(".")
                } else {
                    parent
                };
                self.sync_folder(parent)?;
            }
        }
        Ok(())
    }

    /// All of them, and one sync: else the first packs of a vault would each wait for that.
    fn make_folders_of_data(&self) -> Result<()> {
        let data = self.root.join(Area::Data.as_str());
        for n in 0..256 {
            let path = data.join(format!("{n:02x}"));
            match std::fs::DirBuilder::new().mode(0o700).create(&path) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => {
                    let context = format!("create the folder {}", path.display());
                    return Err(self.error(&context, e));
                }
                _ => {}
            }
        }
        self.sync_folder(&data)
    }

    fn sync_folder(&self, folder: &Path) -> Result<()> {
        system::sync_folder(folder).map_err(|e| self.error("sync a folder of the vault", e))
    }

    fn error(&self, context: &str, source: io::Error) -> StoreError {
        system::store_error(self.location(), context, source)
    }

    fn object_error(&self, name: &ObjectName, verb: &str, source: io::Error) -> StoreError {
        match source.kind() {
            io::ErrorKind::NotFound => StoreError::NotFound(name.to_string()),
            _ => self.error(&format!("{verb} {name}"), source),
        }
    }

    fn open_object(&self, name: &ObjectName) -> Result<fs::File> {
        let path = self.path(name);
        fs::File::open(&path).map_err(|e| self.object_error(name, "open", e))
    }
}

impl Store for LocalStore {
    fn location(&self) -> String {
        self.root.display().to_string()
    }

    fn create(&self) -> Result<()> {
        self.make_folder(&self.root)?;
        for area in Area::ALL.iter().filter(|a| **a != Area::Config) {
            self.make_folder(&self.root.join(area.as_str()))?;
        }
        self.make_folders_of_data()?;
        // Prove that it can be written before anybody relies on it. It goes unnamed.
        let probe = self.write_temporary(self.root.join("probe"), b"probe")?;
        probe.sync().map_err(|e| self.error("write a file", e))
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<()> {
        self.settle(vec![self.stage(name, bytes)?])
    }

    fn stage(&self, name: &ObjectName, bytes: &[u8]) -> Result<Staged> {
        if name.area() == Area::Data && !self.cleaned.swap(true, Ordering::Relaxed) {
            self.clean();
        }
        let path = self.path(name);
        if path.symlink_metadata().is_ok() {
            return Err(StoreError::AlreadyExists(name.to_string()));
        }
        let file = self.write_temporary(path, bytes)?;
        Ok(Staged::unnamed(file, bytes.len()))
    }

    fn get(&self, name: &ObjectName) -> Result<Vec<u8>> {
        let largest = name.area().largest();
        let mut file = self.open_object(name)?;
        let read = self.pace.read(&mut file, largest + 1, Vec::new());
        let bytes = read.map_err(|e| self.object_error(name, "read", e))?;
        if bytes.len() as u64 > largest {
            return Err(name.too_large(self.location()));
        }
        Ok(bytes)
    }

    fn get_range(&self, name: &ObjectName, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut file = self.open_object(name)?;
        let short = || StoreError::ShortRead {
            name: name.to_string(),
            offset,
            wanted: length,
        };
        let failed = |e| self.object_error(name, "read", e);
        // Before memory is asked for: lengths come from files that may be damaged.
        let size = file.metadata().map_err(failed)?.len();
        if offset
            .checked_add(length as u64)
            .is_none_or(|end| end > size)
        {
            return Err(short());
        }
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        let into = Vec::with_capacity(length);
        let bytes = self.pace.read(&mut file, length as u64, into);
        let bytes = bytes.map_err(failed)?;
        if bytes.len() == length {
            Ok(bytes)
        } else {
            Err(short())
        }
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        let path = self.path(name);
        fs::metadata(path)
            .map(|m| m.len())
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
        let folder = self.root.join(area.as_str());
        let mut found = Vec::new();
        if area == Area::Data {
            for n in 0..256 {
                self.list_folder(area, &folder.join(format!("{n:02x}")), &mut found)?;
            }
        } else {
            self.list_folder(area, &folder, &mut found)?;
        }
        Ok(found)
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        let path = self.path(name);
        fs::remove_file(&path).map_err(|e| self.object_error(name, "delete", e))?;
        self.sync_folder(path.parent().unwrap_or(&self.root))
    }

    fn lists_at_once(&self) -> bool {
        // Network and user-space file systems may keep listings for a while.
        const LOCAL: [i64; 9] = [
            0xef53,      // ext2, ext3, ext4
            0x5846_5342, // XFS
            0x9123_683e, // btrfs
            0x0102_1994, // tmpfs
            0x794c_7630, // overlayfs
            0x2fc1_2fc1, // ZFS
            0xf2f5_2010, // F2FS
            0xca45_1a4e, // bcachefs
            0x4d44,      // FAT
        ];
        rustix::fs::statfs(&self.root).is_ok_and(|s| LOCAL.contains(&s.f_type))
    }

    fn modified(&self, name: &ObjectName) -> Result<Option<i64>> {
        use std::os::unix::fs::MetadataExt;
        let meta = fs::metadata(self.path(name));
        let meta = meta.map_err(|e| self.object_error(name, "look at", e))?;
        Ok(Some(meta.mtime()))
    }

    fn may_be_slow(&self) -> bool {
        self.pace.limits_writing()
    }

    fn free_space(&self) -> Option<u64> {
        let mut at: &Path = &self.root;
        loop {
            match rustix::fs::statvfs(if at.as_os_str().is_empty() {
                Path::new(".")
            } else {
                at
            }) {
                Ok(s) => return Some(s.f_bavail.saturating_mul(s.f_frsize)),
                Err(Errno::NOENT) => at = at.parent()?,
                Err(_) => return None,
            }
        }
    }
}

impl LocalStore {
    fn list_folder(&self, area: Area, folder: &Path, found: &mut Vec<ObjectInfo>) -> Result<()> {
        let context = format!("list {}", area.as_str());
        let entries = match fs::read_dir(folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
            Err(e) => return Err(self.error(&context, e)),
        };
        for entry in entries {
            let entry = entry.map_err(|e| self.error(&context, e))?;
            let file_name = entry.file_name();
            let Some(name) = file_name.to_str().and_then(|id| ObjectName::new(area, id)) else {
                continue;
            };
            match entry.metadata() {
                // Data objects lie where `path` looks for them, or they are not ours.
                Ok(m) if m.is_file() && entry.path() == self.path(&name) => {
                    found.push(ObjectInfo {
                        name,
                        size: m.len(),
                    });
                }
                Ok(_) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(self.error(&context, e)),
            }
        }
        Ok(())
    }
}
