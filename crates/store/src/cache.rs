//! Objects of a vault that lies far away, kept near: a directory that can be deleted at any time.
//!
//! One folder a vault, named by the vault's id, laid out as the vault is. It holds what was read or written lately, as
//! it was: sealed. Whoever takes something out of it must check it as if it came from the vault itself, and says
//! [`Cache::remove`] where it is not what it should be. Nothing in here fails a command: what cannot be read is not
//! there, what cannot be written is not kept.
//!
//! Many programs may use it at once: a file gets its name when it is whole, and one that another deletes was not there.
//! It is bounded: what was not used for the longest goes first, and vaults that nobody asked for in thirty days go whole
//! ([`clean`]). What a crash leaves is a file with a temporary name, which goes a day later.

use std::{
    fs::File,
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, FileExt},
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt;
use rustix::fs::{CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};

use crate::{Area, ObjectName};

/// Bytes that one vault's cache may have.
pub const LIMIT: u64 = 4 << 30;
/// A vault that was not asked for in so long is not kept.
pub const MAX_AGE: Duration = Duration::from_secs(30 * 24 * 3600);
/// What was used is marked so again after this.
const TOUCH_AFTER: Duration = Duration::from_secs(3600);
/// Files with temporary names are left alone for so long.
const HALF_WRITTEN: Duration = Duration::from_secs(24 * 3600);
const TEMPORARY: &str = "tmp-";
/// So that programs that save everything leave it out (<https://bford.info/cachedir/>).
const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n# Objects of vaults, kept near by Lifeboat. May be deleted at any time.\n";

/// The cache of one vault.
#[derive(Debug)]
pub struct Cache {
    dir: PathBuf,
    limit: u64,
    /// By the clock of the file system, when this was opened.
    opened: SystemTime,
    /// Bytes that it has, about.
    bytes: AtomicU64,
    number: AtomicU64,
    told: AtomicBool,
}

/// A vault that has a cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedVault {
    /// The vault's id.
    pub id: String,
    /// When it was last opened.
    pub used: SystemTime,
    /// Bytes, where they were asked for.
    pub bytes: Option<u64>,
    /// Not opened for longer than asked.
    pub old: bool,
}

impl Cache {
    /// The cache of a vault below this directory; made if it is not there. `vault` is its id.
    pub fn open(root: &Path, vault: &str, limit: u64) -> io::Result<Cache> {
        if !is_id(vault) {
            return Err(io::Error::other("a vault's id is 64 hexadecimal digits"));
        }
        make_dir(root)?;
        let tag = root.join("CACHEDIR.TAG");
        if !tag.exists() {
            fs::write(&tag, TAG)?;
        }
        let dir = root.join(vault);
        make_dir(&dir)?;
        for area in [Area::Index, Area::Snapshots, Area::Data] {
            make_dir(&dir.join(area.as_str()))?;
        }
        touch(&dir)?;
        let cache = Cache {
            opened: fs::metadata(&dir)?.modified()?,
            dir,
            limit,
            bytes: AtomicU64::new(0),
            number: AtomicU64::new(0),
            told: AtomicBool::new(false),
        };
        cache.trim()?;
        Ok(cache)
    }

    /// Where a vault's index is kept in a form of its own. It counts as one of the kept files.
    pub fn index_map(root: &Path, vault: &str) -> Option<PathBuf> {
        let dir = is_id(vault).then(|| root.join(vault))?;
        Some(dir.join(Area::Index.as_str()).join("map"))
    }

    /// A whole object, if it is there and not larger than one of its area can be.
    pub fn get(&self, name: &ObjectName) -> Option<Vec<u8>> {
        let (mut file, length) = self.file(name)?;
        if length > name.area().largest() {
            return None;
        }
        let mut bytes = Vec::with_capacity(usize::try_from(length).ok()?);
        file.read_to_end(&mut bytes).ok()?;
        Some(bytes)
    }

    /// A part of an object, if it is there.
    pub fn get_range(&self, name: &ObjectName, offset: u64, length: usize) -> Option<Vec<u8>> {
        let (file, _) = self.file(name)?;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, offset).ok()?;
        Some(bytes)
    }

    /// Whether an object is there.
    pub fn has(&self, name: &ObjectName) -> bool {
        self.path(name).exists()
    }

    /// Keeps an object. Where that cannot be done, it is not kept.
    pub fn put(&self, name: &ObjectName, bytes: &[u8]) {
        if bytes.len() as u64 > self.limit / 4 {
            return;
        }
        let kept = self.write(name, bytes).and_then(|()| {
            let length = bytes.len() as u64;
            match self.bytes.fetch_add(length, Ordering::Relaxed) + length > self.limit {
                true => self.trim(),
                false => Ok(()),
            }
        });
        if let Err(error) = kept
            && !self.told.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(%error, "the cache cannot be written, and is gone without");
        }
    }

    /// Takes an object out.
    pub fn remove(&self, name: &ObjectName) {
        let _ = fs::remove_file(self.path(name));
    }

    /// Takes out what the vault has no more.
    pub fn retain(&self, area: Area, keep: &dyn Fn(&str) -> bool) {
        let gone = |entry: io::Result<fs::DirEntry>| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            (is_id(&name) && !keep(&name)).then_some(name)
        };
        let Ok(entries) = fs::read_dir(self.dir.join(area.as_str())) else {
            return;
        };
        for id in entries.filter_map(gone) {
            if let Some(name) = ObjectName::new(area, &id) {
                self.remove(&name);
            }
        }
    }

    fn path(&self, name: &ObjectName) -> PathBuf {
        self.dir.join(name.area().as_str()).join(name.id())
    }

    fn file(&self, name: &ObjectName) -> Option<(File, u64)> {
        let path = self.path(name);
        let (file, _) = fs::File::open(&path).ok()?.into_parts();
        let meta = file.metadata().ok()?;
        let age = self.opened.duration_since(meta.modified().ok()?);
        if age.is_ok_and(|age| age > TOUCH_AFTER) {
            let _ = touch(&path);
        }
        Some((file, meta.len()))
    }

    fn write(&self, name: &ObjectName, bytes: &[u8]) -> io::Result<()> {
        let path = self.path(name);
        if path.exists() {
            return Ok(());
        }
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let temporary = format!("{TEMPORARY}{}-{number}", std::process::id());
        let temporary = self.dir.join(name.area().as_str()).join(temporary);
        let mut options = fs::OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let mut file = match options.open(&temporary) {
            // Another of our number, in another container: then this one keeps it not.
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(()),
            file => file?,
        };
        let written = file
            .write_all(bytes)
            .and_then(|()| fs::rename(&temporary, &path));
        if written.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        written
    }

    /// Makes room: a quarter of all, of what was not used for the longest. And counts anew.
    fn trim(&self) -> io::Result<()> {
        let mut files = Vec::new();
        let mut bytes = 0;
        for area in [Area::Index, Area::Snapshots, Area::Data] {
            for entry in fs::read_dir(self.dir.join(area.as_str()))? {
                let entry = entry?;
                let Ok(meta) = entry.metadata() else { continue };
                let used = meta.modified()?;
                let age = self.opened.duration_since(used).unwrap_or_default();
                let half = entry
                    .file_name()
                    .as_encoded_bytes()
                    .starts_with(TEMPORARY.as_bytes());
                if half && age > HALF_WRITTEN {
                    let _ = fs::remove_file(entry.path());
                } else if !half {
                    bytes += meta.len();
                    files.push((used, entry.path(), meta.len()));
                }
            }
        }
        if bytes > self.limit {
            files.sort();
            for (_, path, length) in files {
                if bytes <= self.limit / 4 * 3 {
                    break;
                }
                let _ = fs::remove_file(path);
                bytes -= length;
            }
        }
        self.bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }
}

/// The vaults that have a cache below this directory, the one used last first. `age`: which count as old.
pub fn vaults(root: &Path, age: Duration, sizes: bool) -> io::Result<Vec<CachedVault>> {
    let entries = match fs::read_dir(root) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut all = Vec::new();
    for entry in entries {
        let entry = entry?;
        let Ok(id) = entry.file_name().into_string() else {
            continue;
        };
        let Ok(meta) = entry.metadata() else { continue };
        if !is_id(&id) || !meta.is_dir() {
            continue;
        }
        all.push(CachedVault {
            used: meta.modified()?,
            bytes: sizes.then(|| size(&entry.path())),
            old: false,
            id,
        });
    }
    let now = now(root)?;
    for vault in &mut all {
        vault.old = now
            .duration_since(vault.used)
            .is_ok_and(|since| since >= age);
    }
    all.sort_by(|a, b| b.used.cmp(&a.used).then_with(|| a.id.cmp(&b.id)));
    Ok(all)
}

/// Deletes the caches of vaults that were not opened for so long; which.
pub fn clean(root: &Path, age: Duration) -> io::Result<Vec<CachedVault>> {
    let mut old = vaults(root, age, false)?;
    old.retain(|vault| vault.old);
    for vault in &old {
        match fs::remove_dir_all(root.join(&vault.id)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(old)
}

/// By the clock of the file system, so that no other has to be right.
fn now(root: &Path) -> io::Result<SystemTime> {
    touch(root)?;
    fs::metadata(root)?.modified()
}

fn touch(path: &Path) -> io::Result<()> {
    let time = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    let times = Timestamps {
        last_access: time(UTIME_OMIT),
        last_modification: time(UTIME_NOW),
    };
    Ok(rustix::fs::utimensat(
        CWD,
        path,
        &times,
        rustix::fs::AtFlags::empty(),
    )?)
}

fn size(dir: &Path) -> u64 {
    let mut bytes = 0;
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        for entry in entries {
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => open.push(entry.path()),
                Ok(meta) => bytes += meta.len(),
                Err(_) => {}
            }
        }
    }
    bytes
}

fn make_dir(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700).create(path)
}

fn is_id(text: &str) -> bool {
    ObjectName::new(Area::Data, text).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    const VAULT: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn name(n: u8) -> ObjectName {
        ObjectName::new(Area::Index, &format!("{n:064x}")).unwrap()
    }

    fn age(path: &Path, by: Duration) {
        let file = fs::File::open(path).unwrap().into_parts().0;
        let before = file.metadata().unwrap().modified().unwrap() - by;
        file.set_modified(before).unwrap();
    }

    #[test]
    fn what_was_kept_is_there_until_somebody_deletes_it() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::open(root.path(), VAULT, LIMIT).unwrap();
        cache.put(&name(1), b"one two");
        assert_eq!(cache.get(&name(1)).unwrap(), b"one two");
        assert_eq!(cache.get_range(&name(1), 4, 3).unwrap(), b"two");
        assert_eq!(cache.get_range(&name(1), 4, 4), None);
        assert_eq!(cache.get(&name(2)), None);
        // Another program, at the same time.
        let other = Cache::open(root.path(), VAULT, LIMIT).unwrap();
        assert_eq!(other.get(&name(1)).unwrap(), b"one two");
        fs::remove_dir_all(root.path().join(VAULT)).unwrap();
        assert_eq!(cache.get(&name(1)), None);
        cache.put(&name(1), b"x");
        assert_eq!(cache.get(&name(1)), None);
    }

    #[test]
    fn what_the_vault_has_no_more_goes() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::open(root.path(), VAULT, LIMIT).unwrap();
        for n in 0..4 {
            cache.put(&name(n), b"x");
        }
        cache.retain(Area::Index, &|id| id == name(2).id());
        let left: Vec<u8> = (0..4).filter(|n| cache.has(&name(*n))).collect();
        assert_eq!(left, [2]);
    }

    #[test]
    fn it_is_bounded_and_the_oldest_goes_first() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::open(root.path(), VAULT, 1000).unwrap();
        for n in 0..4 {
            cache.put(&name(n), &[n; 240]);
            age(
                &cache.path(&name(n)),
                Duration::from_secs(10 * (9 - u64::from(n))),
            );
        }
        assert!((0..4).all(|n| cache.has(&name(n))));
        cache.put(&name(4), &[4; 240]);
        let left: Vec<u8> = (0..5).filter(|n| cache.has(&name(*n))).collect();
        assert_eq!(left, [2, 3, 4]);
        // What is larger than a good part of it is not worth the rest.
        cache.put(&name(5), &[5; 300]);
        assert!(!cache.has(&name(5)));
        // Used, it is young again.
        age(&cache.path(&name(2)), 2 * TOUCH_AFTER);
        cache.get(&name(2)).unwrap();
        let again = fs::metadata(cache.path(&name(2)))
            .unwrap()
            .modified()
            .unwrap();
        assert!(cache.opened.duration_since(again).unwrap_or_default() < TOUCH_AFTER);
    }

    #[test]
    fn vaults_that_nobody_asks_for_go_and_strangers_stay() {
        let root = tempfile::tempdir().unwrap();
        let old = "b".repeat(64);
        for id in [VAULT, &old] {
            Cache::open(root.path(), id, LIMIT)
                .unwrap()
                .put(&name(1), b"12345");
        }
        fs::create_dir(root.path().join("tool-x")).unwrap();
        age(&root.path().join(&old), MAX_AGE + Duration::from_secs(60));
        let all = vaults(root.path(), MAX_AGE, true).unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(
            (&*all[0].id, all[0].bytes, all[0].old),
            (VAULT, Some(5), false)
        );
        assert!(all[1].old);
        let gone = clean(root.path(), MAX_AGE).unwrap();
        assert_eq!(gone.len(), 1);
        assert_eq!(vaults(root.path(), MAX_AGE, true).unwrap().len(), 1);
        assert!(root.path().join("tool-x").exists());
    }

    #[test]
    fn what_a_crash_left_goes_a_day_later() {
        let root = tempfile::tempdir().unwrap();
        let cache = Cache::open(root.path(), VAULT, LIMIT).unwrap();
        let half = cache.dir.join("index").join("tmp-1-1");
        fs::write(&half, b"x").unwrap();
        drop(Cache::open(root.path(), VAULT, LIMIT).unwrap());
        assert!(half.exists());
        age(&half, 2 * HALF_WRITTEN);
        drop(Cache::open(root.path(), VAULT, LIMIT).unwrap());
        assert!(!half.exists());
    }
}
