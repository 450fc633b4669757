//! Folders of a container, entered from the mount's own by descriptors: no symbolic link is followed,
//! and no other file system is entered.

use std::path::Path;

use rustix::{
    fd::OwnedFd,
    fs::{AtFlags, FileType, Mode, OFlags, Stat},
    io::Errno,
};

use crate::{RecoveryError, Result};

/// The mount's own folder.
pub struct Root {
    fd: OwnedFd,
    device: u64,
}

/// What comes of a way through folders.
pub enum Way {
    /// The folder, open.
    Folder(OwnedFd),
    /// A folder on the way is missing.
    Missing,
    /// Something on the way is not entered: one clause.
    Barred(String),
}

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

impl Root {
    /// Opens it; the way to it is the host's.
    pub fn open(path: &Path) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let failed = |e: Errno| RecoveryError::Failed(format!("open {}: {e}", path.display()));
        let fd = rustix::fs::open(path, flags, Mode::empty()).map_err(failed)?;
        let device = rustix::fs::fstat(&fd).map_err(failed)?.st_dev;
        Ok(Self { fd, device })
    }

    /// Enters folders below it, one after another.
    pub fn enter(&self, folders: &[Vec<u8>]) -> Result<Way> {
        let failed = |name: &[u8], e: Errno| {
            RecoveryError::Failed(format!("open {}: {e}", name.escape_ascii()))
        };
        let mut at = rustix::fs::openat(&self.fd, ".", FOLDER, Mode::empty())
            .map_err(|e| failed(b".", e))?;
        for name in folders {
            at = match rustix::fs::openat(&at, &name[..], FOLDER, Mode::empty()) {
                Ok(fd) => fd,
                Err(Errno::NOENT) => return Ok(Way::Missing),
                Err(Errno::LOOP | Errno::NOTDIR) => {
                    return Ok(Way::Barred(format!(
                        "cannot be reached: {} on the way is a symbolic link or no folder, and none is followed; name the real path",
                        name.escape_ascii()
                    )));
                }
                Err(e) => return Err(failed(name, e)),
            };
            let device = rustix::fs::fstat(&at).map_err(|e| failed(name, e))?.st_dev;
            if device != self.device {
                return Ok(Way::Barred(format!(
                    "cannot be reached: {} on the way is another file system",
                    name.escape_ascii()
                )));
            }
        }
        Ok(Way::Folder(at))
    }
}

/// Status of a name itself; `None` if nothing is there.
pub fn status(folder: &OwnedFd, name: &[u8]) -> Result<Option<Stat>> {
    match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(RecoveryError::Failed(format!(
            "look at {}: {e}",
            name.escape_ascii()
        ))),
    }
}

/// Opens a regular file for reading; `None` if it is none any more.
pub fn open_file(folder: &OwnedFd, name: &[u8]) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = rustix::fs::openat(folder, name, flags, Mode::empty()).ok()?;
    let stat = rustix::fs::fstat(&fd).ok()?;
    (FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile).then_some(fd)
}
