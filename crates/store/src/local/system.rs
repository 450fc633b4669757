//! What the local store asks of the system where systems differ, and what its errors mean.

use std::{io, path::Path};

use fs_err as fs;
use rustix::{
    fs::{AtFlags, CWD, RenameFlags},
    io::Errno,
};

use crate::StoreError;

/// What a system error means for the caller.
pub(super) fn store_error(place: String, context: &str, source: io::Error) -> StoreError {
    // fs_err wraps the system's error, and its number with it.
    let number = source
        .raw_os_error()
        .or_else(|| source.get_ref().and_then(raw_of))
        .map(Errno::from_raw_os_error);
    match number {
        Some(Errno::NOSPC | Errno::DQUOT) => StoreError::Full { place },
        Some(Errno::ACCESS | Errno::PERM | Errno::ROFS) => StoreError::Denied {
            place,
            reason: source.to_string(),
        },
        _ => match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full { place },
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                StoreError::Denied {
                    place,
                    reason: source.to_string(),
                }
            }
            _ => StoreError::Io {
                context: context.to_owned(),
                source,
            },
        },
    }
}

fn raw_of(error: &(dyn std::error::Error + Send + Sync + 'static)) -> Option<i32> {
    let mut at: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(e) = at {
        if let Some(number) = e
            .downcast_ref::<io::Error>()
            .and_then(io::Error::raw_os_error)
        {
            return Some(number);
        }
        at = e.source();
    }
    None
}

/// Modes are a courtesy where the file system has none (vfat, some network ones).
pub(super) fn ignore_unsupported(e: io::Error) -> io::Result<()> {
    let number = e.raw_os_error().or_else(|| e.get_ref().and_then(raw_of));
    match number.map(Errno::from_raw_os_error) {
        Some(Errno::OPNOTSUPP | Errno::PERM) => Ok(()),
        _ => Err(e),
    }
}

/// Makes durable which files a folder has.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)
        .and_then(|f| f.sync_all())
        // Some network file systems cannot sync folders; there is nothing more to be had there.
        .or_else(|e| match e.raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::INVAL | Errno::OPNOTSUPP) => Ok(()),
            _ => Err(e),
        })
}

/// Gives a temporary file its name. Never replaces.
pub(super) fn name_without_replacing(from: &Path, to: &Path) -> io::Result<()> {
    match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => return Ok(()),
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {}
        Err(e) => return Err(e.into()),
    }
    match rustix::fs::linkat(CWD, from, CWD, to, AtFlags::empty()) {
        Ok(()) => return fs::remove_file(from),
        Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {}
        Err(e) => return Err(e.into()),
    }
    // Neither is known here. A name is the hash of its content, so that the race that is left could
    // only put the same bytes there (but for the config, whose first writer looks again).
    if to.exists() {
        return Err(io::ErrorKind::AlreadyExists.into());
    }
    fs::rename(from, to)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::{LocalStore, Store};

    fn judged(error: io::Error) -> StoreError {
        store_error("/somewhere".to_owned(), "write", error)
    }

    #[test]
    fn a_full_disk_is_full_whoever_wraps_the_error() {
        let mut full = fs::OpenOptions::new()
            .write(true)
            .open("/dev/full")
            .unwrap();
        let wrapped = full.write_all(b"x").unwrap_err();
        for error in [
            wrapped,
            io::Error::from_raw_os_error(Errno::NOSPC.raw_os_error()),
            io::Error::from_raw_os_error(Errno::DQUOT.raw_os_error()),
        ] {
            let error = judged(error);
            assert!(matches!(&error, StoreError::Full { place } if place == "/somewhere"));
        }
    }

    #[test]
    fn what_we_may_not_is_denied() {
        for number in [Errno::ACCESS, Errno::PERM, Errno::ROFS] {
            let error = io::Error::from_raw_os_error(number.raw_os_error());
            assert!(matches!(judged(error), StoreError::Denied { .. }));
        }
        // Nobody, root neither, makes files there.
        let error = LocalStore::new(Path::new("/sys/kernel/vault"))
            .create()
            .unwrap_err();
        assert!(matches!(error, StoreError::Denied { .. }), "{error:?}");
    }

    #[test]
    fn a_name_is_never_taken_from_another() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::write(&from, "new").unwrap();
        fs::write(&to, "old").unwrap();
        let error = name_without_replacing(&from, &to).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&to).unwrap(), b"old");
    }
}
