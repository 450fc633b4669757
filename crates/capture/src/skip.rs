//! What is never captured: the vault, its key and our state, wherever a walk meets them.

use std::{
    collections::HashSet,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

/// Files and directories that no walk enters or names, by identity and by path.
///
/// Identity (device and inode) finds them through bind mounts too; the path finds what did not
/// exist yet when the set was made.
#[derive(Debug, Clone, Default)]
pub struct SkipSet {
    ids: HashSet<(u64, u64)>,
    paths: HashSet<PathBuf>,
}

impl SkipSet {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an absolute path, and what lies there now.
    pub fn insert(&mut self, path: &Path) {
        if let Ok(stat) = rustix::fs::stat(path) {
            self.insert_id(stat.st_dev, stat.st_ino);
        }
        if let Ok(real) = path.canonicalize() {
            self.paths.insert(real);
        }
        self.paths.insert(path.to_owned());
    }

    /// Adds a file by device and inode.
    pub fn insert_id(&mut self, device: u64, inode: u64) {
        self.ids.insert((device, inode));
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty() && self.paths.is_empty()
    }

    /// Whether a file is in it.
    pub fn contains(&self, path: &Path, device: u64, inode: u64) -> bool {
        self.ids.contains(&(device, inode)) || self.paths.contains(path)
    }

    /// As [`SkipSet::contains`], without making a path where none is needed.
    pub(crate) fn hits(&self, dir: &[u8], name: &[u8], device: u64, inode: u64) -> bool {
        if self.is_empty() {
            return false;
        }
        self.ids.contains(&(device, inode))
            || self.paths.iter().any(|p| {
                let p = p.as_os_str().as_bytes();
                p.strip_suffix(name).and_then(|d| d.strip_suffix(b"/")) == Some(dir)
            })
    }
}
