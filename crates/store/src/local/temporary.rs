//! A file that is on its way to its name.
//!
//! Written by [`Temporary::fill`], then made durable and named by [`settle`], in this order for however many: every file
//! is synced, then every file gets its name, then every folder is synced. So a name never stands for a file that a crash
//! of the machine could still take bytes from.

use std::{
    collections::BTreeSet,
    fs::Permissions,
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use fs_err::{self as fs, os::unix::fs::OpenOptionsExt};

use super::system;
use crate::{Result, StoreError};

/// A file without its name. Dropped as such, it is removed.
#[derive(Debug)]
pub(crate) struct Temporary {
    root: PathBuf,
    path: PathBuf,
    named: PathBuf,
    file: fs::File,
    is_named: bool,
}

impl Temporary {
    /// An empty one at `path`, which `named` is the name for.
    pub(super) fn create(root: &Path, path: &Path, named: &Path) -> io::Result<Temporary> {
        let file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        Ok(Temporary {
            root: root.to_owned(),
            path: path.to_owned(),
            named: named.to_owned(),
            file,
            is_named: false,
        })
    }

    /// Writes it by `write`, and lets nobody write it again.
    pub(super) fn fill(
        &mut self,
        write: impl FnOnce(&mut fs::File) -> io::Result<()>,
    ) -> io::Result<()> {
        write(&mut self.file)?;
        self.file
            .set_permissions(Permissions::from_mode(0o400))
            .or_else(system::ignore_unsupported)
    }

    /// Makes its bytes durable.
    pub(super) fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    fn name(&mut self) -> Result<()> {
        system::name_without_replacing(&self.path, &self.named).map_err(|e| {
            let name = self.named.strip_prefix(&self.root).unwrap_or(&self.named);
            match e.kind() {
                io::ErrorKind::AlreadyExists => {
                    StoreError::AlreadyExists(name.display().to_string())
                }
                _ => self.error(&format!("name {}", name.display()), e),
            }
        })?;
        self.is_named = true;
        Ok(())
    }

    fn error(&self, context: &str, source: io::Error) -> StoreError {
        system::store_error(self.root.display().to_string(), context, source)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if !self.is_named {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Makes files durable, under their names. After an error some may be there and some not.
pub(crate) fn settle(mut files: Vec<Temporary>) -> Result<()> {
    for file in &files {
        let synced = file.sync();
        synced.map_err(|e| file.error("write a file of the vault", e))?;
    }
    files.iter_mut().try_for_each(Temporary::name)?;
    let mut synced = BTreeSet::new();
    for file in &files {
        let folder = file.named.parent().unwrap_or(&file.root);
        if synced.insert(folder) {
            system::sync_folder(folder).map_err(|e| file.error("sync a folder of the vault", e))?;
        }
    }
    Ok(())
}
