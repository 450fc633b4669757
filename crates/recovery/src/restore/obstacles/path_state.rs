//! What stands at a path of this host.

use std::path::Path;

/// What stands at a path of this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathState {
    /// Nothing.
    Absent,
    /// An empty folder.
    EmptyFolder,
    /// A file, or a folder with something in it.
    Something,
}

impl PathState {
    /// Looks, without following a symbolic link at the end.
    pub fn of(path: &Path) -> Self {
        match fs_err::symlink_metadata(path) {
            Err(_) => Self::Absent,
            Ok(meta) if meta.is_dir() => match fs_err::read_dir(path) {
                Ok(mut entries) => match entries.next() {
                    None => Self::EmptyFolder,
                    Some(_) => Self::Something,
                },
                Err(_) => Self::Something,
            },
            Ok(_) => Self::Something,
        }
    }
}
