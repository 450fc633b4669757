//! Two things of one file system change places: a file or folder that is in use by name, and its
//! replacement that was made beside it.
//!
//! The new one is made whole **aside** (a hidden name on the same file system), sealed into a
//! [`Pair`], and put in place with `renameat2(RENAME_EXCHANGE)`, which is one step whatever the size.
//! From then on the old one lies aside, until somebody takes it away.
//!
//! Invariant: a pair says which is which by inode and time of birth, so after a crash at any instant
//! the folders themselves tell whether the exchange happened. Journal the pair before
//! [`Pair::exchange`]; that and [`Pair::put_back`] can be run again, and do nothing where there is
//! nothing to do. What stands in either place and is neither of the two is a stranger's, and is
//! refused, never moved.
//!
//! Nobody may hold the old one open while it is exchanged: a container that is running keeps the
//! folder that it was started with.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};
use serde::{Deserialize, Serialize};

use super::volumes::folder_of;
use crate::{RecoveryError, Result, copies::mounted_in};

/// Folder of ours in an engine's data root, for what lies aside of its volumes.
const IN_DATA_ROOT: &str = "lifeboat-aside";
/// The longest name that file systems take.
const LONGEST_NAME: usize = 255;

/// The hidden name beside `target` for the operation `id`: a few letters that tell operations apart.
/// The name is cut where it would be too long; `id` and the cut name tell targets apart.
pub fn aside(target: &Path, id: &str) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    let name = target.file_name().unwrap_or_default();
    let tail = format!(".lifeboat-aside-{id}");
    let whole = name.len() + tail.len() < LONGEST_NAME;
    let name = if whole {
        name.to_string_lossy().into_owned()
    } else {
        format!("{:016x}", fnv(name.as_bytes()))
    };
    target.with_file_name(format!(".{name}{tail}"))
}

/// The same for the data folder of an engine's volume: in a folder of ours in the engine's data root,
/// so that it does not go with the volume; in the volume's own folder where the data root is another
/// file system. Never beside the volume's folder: the engine takes every folder there for a volume.
pub fn aside_of_volume(data: &Path, volume: &str, id: &str) -> PathBuf {
    let root = data.ancestors().nth(3);
    let is_named = data.file_name().is_some_and(|n| n == "_data")
        && data.parent().and_then(Path::file_name) == Some(volume.as_ref());
    match root.filter(|root| is_named && *root != Path::new("/") && one_file_system(root, data)) {
        Some(root) => root.join(IN_DATA_ROOT).join(id).join(volume),
        None => aside(data, id),
    }
}

/// Makes the folders above an aside place, for root alone where they are ours.
pub fn make_room(aside: &Path) -> Result<()> {
    let Some(parent) = aside.parent() else {
        return Ok(());
    };
    let ours = |path: &&Path| path.file_name().is_some_and(|n| n == IN_DATA_ROOT);
    if let Some(root) = aside.ancestors().find(ours) {
        use std::os::unix::fs::PermissionsExt;
        fs_err::create_dir_all(root)?;
        fs_err::set_permissions(root, std::fs::Permissions::from_mode(0o700))?;
    }
    fs_err::create_dir_all(parent)?;
    Ok(())
}

/// Removes our folders above an aside place that are empty now.
pub fn leave_room(aside: &Path) {
    let is_ours = |path: &Path| path.components().any(|c| c.as_os_str() == IN_DATA_ROOT);
    let above = aside.ancestors().skip(1);
    for folder in above.take_while(|path| is_ours(path)) {
        // Not empty: it stays.
        let _ = fs_err::remove_dir(folder);
    }
}

/// Why `target` cannot change places with something beside it; `None` if it can. One clause.
pub fn obstacle(target: &Path, aside: &Path) -> Result<Option<String>> {
    let meta = match fs_err::symlink_metadata(target) {
        Ok(meta) => meta,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    if meta.is_symlink() {
        return Ok(Some("it is a symbolic link".to_owned()));
    }
    if let Some(mount) = mounted_in(target)? {
        return Ok(Some(if mount == target {
            "it is a mount point, and a mount point cannot be renamed".to_owned()
        } else {
            format!("something is mounted in it, on {}", mount.display())
        }));
    }
    let near = aside.ancestors().skip(1).find(|path| path.exists());
    if near.is_some_and(|near| !one_file_system(near, target)) {
        return Ok(Some(
            "no place beside it is on the same file system".to_owned(),
        ));
    }
    Ok(None)
}

/// Tries an exchange beside `aside`, with two empty folders: some file systems have none.
pub fn probe(aside: &Path) -> Result<()> {
    make_room(aside)?;
    let name = |tail: &str| {
        let mut name = aside.file_name().unwrap_or_default().to_owned();
        name.push(tail);
        aside.with_file_name(name)
    };
    let (a, b) = (name("-a"), name("-b"));
    let made = [&a, &b].map(fs_err::create_dir);
    let tried = renameat_with(CWD, &a, CWD, &b, RenameFlags::EXCHANGE);
    for path in [&a, &b] {
        let _ = fs_err::remove_dir(path);
    }
    for one in made {
        // What a crash left of the last one is as good.
        if let Err(e) = one
            && e.kind() != ErrorKind::AlreadyExists
        {
            return Err(e.into());
        }
    }
    tried.map_err(|e| {
        RecoveryError::Refused(format!(
            "the file system of {} cannot let two folders change places (renameat2: {e}); restore there with the app stopped and its old data moved away",
            aside.parent().unwrap_or(aside).display()
        ))
    })
}

/// Something in use by name, and what takes its place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Pair {
    /// The name in use.
    pub target: PathBuf,
    /// The hidden name: the new one lies there before, the old one after.
    pub aside: PathBuf,
    /// Which one the new is.
    new: String,
    /// Which one the old is; `None`: there was nothing.
    old: Option<String>,
}

/// How a pair lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lies {
    /// The old one is in use, or nothing is; the new one lies aside.
    Old,
    /// The new one is in use; the old one lies aside, if there was one.
    New,
}

impl Pair {
    /// Remembers which is which. The new one is whole and durable at `aside` by now.
    pub fn seal(target: &Path, aside: &Path) -> Result<Self> {
        let Some(new) = which(aside)? else {
            return Err(RecoveryError::Failed(format!(
                "{} is gone; it was to take the place of {}",
                aside.display(),
                target.display()
            )));
        };
        Ok(Self {
            target: target.to_owned(),
            aside: aside.to_owned(),
            new,
            old: which(target)?,
        })
    }

    /// `true` if there was something in the target's place.
    pub fn had_old(&self) -> bool {
        self.old.is_some()
    }

    /// `true` if the new one lies aside, as it was sealed.
    pub fn is_ready(&self) -> bool {
        is_still(&self.aside, &self.new) && which(&self.target).is_ok_and(|old| old == self.old)
    }

    /// How it lies now. A stranger's file in either place is an error, and so is one that is gone.
    pub fn lies(&self) -> Result<Lies> {
        let (target, aside) = (which(&self.target)?, which(&self.aside)?);
        let new = Some(&self.new);
        if target.as_ref() == new && aside == self.old {
            return Ok(Lies::New);
        }
        if aside.as_ref() == new && target == self.old {
            return Ok(Lies::Old);
        }
        // Somebody took the old one away meanwhile, which is theirs to do; or the new one was discarded.
        if aside.is_none() && target.as_ref() == new {
            return Ok(Lies::New);
        }
        if aside.is_none() && target == self.old {
            return Ok(Lies::Old);
        }
        Err(RecoveryError::Refused(format!(
            "{} or {} was changed by somebody else in the middle of this restore, so neither is touched; put back what stood there, and run it again",
            self.target.display(),
            self.aside.display()
        )))
    }

    /// Puts the new one in place; the old one lies aside afterwards. Durable when it returns.
    pub fn exchange(&self) -> Result<()> {
        match self.lies()? {
            Lies::New => Ok(()),
            Lies::Old => self.swap(&self.aside, &self.target),
        }
    }

    /// Puts the old one back in place; the new one lies aside afterwards. Durable when it returns.
    pub fn put_back(&self) -> Result<()> {
        match self.lies()? {
            Lies::Old => Ok(()),
            Lies::New if self.had_old() && which(&self.aside)?.is_none() => {
                Err(RecoveryError::Refused(format!(
                    "what stood at {} before is gone from {}, so it cannot be put back",
                    self.target.display(),
                    self.aside.display()
                )))
            }
            Lies::New => self.swap(&self.target, &self.aside),
        }
    }

    /// Takes away what lies aside: the new one if it was not put in place, else the old one, for ever.
    /// Nothing that is neither.
    pub fn discard(&self) -> Result<()> {
        if which(&self.aside)?.is_some() {
            self.lies()?;
        }
        remove_tree(&self.aside)?;
        leave_room(&self.aside);
        Ok(())
    }

    fn swap(&self, from: &Path, to: &Path) -> Result<()> {
        let flags = if self.had_old() {
            RenameFlags::EXCHANGE
        } else {
            RenameFlags::NOREPLACE
        };
        renameat_with(CWD, from, CWD, to, flags).map_err(|e| {
            let why = match e {
                Errno::BUSY => "something is mounted there".to_owned(),
                other => other.to_string(),
            };
            RecoveryError::Failed(format!(
                "{} and {} could not change places: {why}",
                self.aside.display(),
                self.target.display()
            ))
        })?;
        for path in [from, to] {
            let parent = path.parent().unwrap_or(Path::new("/"));
            fs_err::File::open(parent)?.sync_all()?;
        }
        Ok(())
    }
}

/// `true` if `path` is the very file or folder that was remembered.
pub fn is_still(path: &Path, remembered: &str) -> bool {
    which(path).is_ok_and(|found| found.as_deref() == Some(remembered))
}

/// Removes a file, or a folder with everything in it; nothing there is as good.
pub fn remove_tree(path: &Path) -> Result<()> {
    let removed = match fs_err::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => match mounted_in(path)? {
            Some(_) => Err(std::io::Error::from(ErrorKind::ResourceBusy)),
            None => fs_err::remove_dir_all(path),
        },
        Ok(_) => fs_err::remove_file(path),
        Err(e) => Err(e),
    };
    match removed {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e.into()),
        _ => Ok(()),
    }
}

/// Which file or folder stands there, without following a link at the end.
pub(crate) fn which(path: &Path) -> Result<Option<String>> {
    match fs_err::symlink_metadata(path) {
        Ok(meta) => Ok(Some(folder_of(&meta))),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e.into()),
    }
}

fn one_file_system(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (fs_err::metadata(a), fs_err::metadata(b)) {
        (Ok(a), Ok(b)) => a.dev() == b.dev(),
        _ => false,
    }
}

/// A short name for one that is too long.
fn fnv(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(path: &Path, content: &str) {
        fs_err::create_dir_all(path).unwrap();
        fs_err::write(path.join("f"), content).unwrap();
    }

    fn content(path: &Path) -> String {
        fs_err::read_to_string(path.join("f")).unwrap()
    }

    fn pair(dir: &Path) -> Pair {
        let (target, aside) = (dir.join("data"), super::aside(&dir.join("data"), "1a"));
        folder(&target, "old");
        folder(&aside, "new");
        Pair::seal(&target, &aside).unwrap()
    }

    #[test]
    fn they_change_places_and_back_again_as_often_as_one_likes() {
        let dir = tempfile::tempdir().unwrap();
        let pair = pair(dir.path());
        probe(&pair.aside).unwrap();
        assert_eq!(obstacle(&pair.target, &pair.aside).unwrap(), None);
        for _ in 0..2 {
            assert_eq!(pair.lies().unwrap(), Lies::Old);
            pair.exchange().unwrap();
            pair.exchange().unwrap();
            assert_eq!(
                (content(&pair.target), content(&pair.aside)),
                ("new".to_owned(), "old".to_owned())
            );
            // A crash leaves the journal, and the folders tell the rest.
            let text = serde_json::to_string(&pair).unwrap();
            let again: Pair = serde_json::from_str(&text).unwrap();
            assert_eq!(again.lies().unwrap(), Lies::New);
            again.put_back().unwrap();
            again.put_back().unwrap();
            assert_eq!(content(&pair.target), "old");
        }
        pair.discard().unwrap();
        assert!(!pair.aside.exists() && pair.target.exists());
    }

    #[test]
    fn a_stranger_is_never_moved() {
        let dir = tempfile::tempdir().unwrap();
        let pair = pair(dir.path());
        fs_err::rename(&pair.target, dir.path().join("kept")).unwrap();
        folder(&pair.target, "stranger");
        for refused in [pair.exchange(), pair.put_back(), pair.discard()] {
            let sentence = refused.unwrap_err().to_string();
            assert!(sentence.contains("somebody else"), "{sentence}");
        }
        assert_eq!(content(&pair.target), "stranger");
        assert_eq!(content(&pair.aside), "new");
    }

    #[test]
    fn where_nothing_was_nothing_is_afterwards() {
        let dir = tempfile::tempdir().unwrap();
        let (target, aside) = (dir.path().join("data"), dir.path().join(".new"));
        folder(&aside, "new");
        let pair = Pair::seal(&target, &aside).unwrap();
        assert!(!pair.had_old());
        pair.exchange().unwrap();
        pair.exchange().unwrap();
        assert_eq!(content(&target), "new");
        pair.put_back().unwrap();
        assert!(!target.exists());
        assert_eq!(content(&aside), "new");
        fs_err::write(&target, "somebody's").unwrap();
        pair.exchange().unwrap_err();
        assert_eq!(fs_err::read_to_string(&target).unwrap(), "somebody's");
    }

    #[test]
    fn single_files_change_places_too() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("app.conf");
        let aside = super::aside(&target, "1a");
        fs_err::write(&target, "old").unwrap();
        fs_err::write(&aside, "new").unwrap();
        let pair = Pair::seal(&target, &aside).unwrap();
        pair.exchange().unwrap();
        assert_eq!(fs_err::read_to_string(&target).unwrap(), "new");
        pair.discard().unwrap();
        assert!(!aside.exists());
        // Whoever took the old one away did so for ever.
        pair.put_back().unwrap_err();
        assert_eq!(fs_err::read_to_string(&target).unwrap(), "new");
    }

    #[test]
    fn a_link_and_another_file_system_are_no_place() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        fs_err::os::unix::fs::symlink("/", &link).unwrap();
        assert!(obstacle(&link, &aside(&link, "1a")).unwrap().is_some());
        let proc = obstacle(Path::new("/proc"), Path::new("/.proc"));
        assert!(proc.unwrap().unwrap().contains("mount point"));
    }

    #[test]
    fn a_volume_has_its_place_in_the_data_root() {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("docker/volumes/db/_data");
        fs_err::create_dir_all(&data).unwrap();
        let place = aside_of_volume(&data, "db", "1a");
        assert_eq!(place, dir.path().join("docker/lifeboat-aside/1a/db"));
        make_room(&place).unwrap();
        leave_room(&place);
        assert!(!dir.path().join("docker/lifeboat-aside").exists());
        // Elsewhere it lies beside, as a bind does.
        let other = dir.path().join("elsewhere");
        let beside = aside_of_volume(&other, "db", "1a");
        assert_eq!(beside, dir.path().join(".elsewhere.lifeboat-aside-1a"));
        let long = dir.path().join("x".repeat(250));
        assert!(aside(&long, "1a").file_name().unwrap().len() < 60);
    }
}
