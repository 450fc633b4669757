//! What a file or folder is like, apart from what is in it: owner, mode, extended attributes.

use std::{os::unix::fs::MetadataExt, path::Path};

use rustix::{
    fs::{Gid, Mode, Timespec, Timestamps, Uid, XattrFlags},
    io::Errno,
};

use crate::{RecoveryError, Result};

/// The longest value and list that the kernel knows.
const LONGEST: usize = 64 << 10;

/// A time of change: seconds and nanoseconds since 1970.
pub type Time = (i64, i64);

/// When the content of it was changed.
pub fn time_of(meta: &std::fs::Metadata) -> Time {
    (meta.mtime(), meta.mtime_nsec())
}

/// Sets that; nothing known is nothing to do.
pub fn set_time(path: &Path, time: Option<Time>) -> Result<()> {
    let Some((tv_sec, tv_nsec)) = time else {
        return Ok(());
    };
    let at = Timespec { tv_sec, tv_nsec };
    let times = Timestamps {
        last_access: at,
        last_modification: at,
    };
    let file = fs_err::File::open(path)?;
    rustix::fs::futimens(&file, &times).map_err(|e| failed(path, "its times", e))
}

/// Gives one file or folder what another is like.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    let (source, target) = (fs_err::File::open(from)?, fs_err::File::open(to)?);
    let meta = source.metadata()?;
    let (uid, gid) = (Uid::from_raw(meta.uid()), Gid::from_raw(meta.gid()));
    rustix::fs::fchown(&target, Some(uid), Some(gid)).map_err(|e| failed(to, "its owner", e))?;
    let mode = Mode::from_raw_mode(meta.mode() & 0o7777);
    rustix::fs::fchmod(&target, mode).map_err(|e| failed(to, "its mode", e))?;
    let wanted = attributes(&source)?;
    for (name, _) in attributes(&target)? {
        if !wanted.iter().any(|(other, _)| *other == name) {
            // Gone is what is wanted; what a security module holds on to is its own.
            let _ = rustix::fs::fremovexattr(&target, &name[..]);
        }
    }
    for (name, value) in wanted {
        let set = rustix::fs::fsetxattr(&target, &name[..], &value, XattrFlags::empty());
        match set {
            Err(_) if name.starts_with(b"security.selinux") => {}
            Err(e) => return Err(failed(to, &String::from_utf8_lossy(&name), e)),
            Ok(()) => {}
        }
    }
    Ok(())
}

fn attributes(file: &fs_err::File) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    let mut buffer = vec![0; LONGEST];
    let list = match rustix::fs::flistxattr(file, &mut buffer[..]) {
        Ok(len) => buffer[..len].to_vec(),
        Err(Errno::NOTSUP | Errno::NOSYS) => return Ok(Vec::new()),
        Err(e) => return Err(std::io::Error::from(e).into()),
    };
    let mut found = Vec::new();
    for name in list.split(|b| *b == 0).filter(|name| !name.is_empty()) {
        match rustix::fs::fgetxattr(file, name, &mut buffer[..]) {
            Ok(len) => found.push((name.to_vec(), buffer[..len].to_vec())),
            // Gone since, or of a kind that only some may read.
            Err(Errno::NODATA | Errno::NOTSUP) => {}
            Err(e) => return Err(std::io::Error::from(e).into()),
        }
    }
    Ok(found)
}

fn failed(path: &Path, what: &str, why: Errno) -> RecoveryError {
    RecoveryError::Failed(format!("{}: {what} cannot be set: {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_extra_goes_and_what_is_missing_comes() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        for path in [&a, &b] {
            fs_err::create_dir(path).unwrap();
        }
        fs_err::set_permissions(&a, std::fs::Permissions::from_mode(0o2751)).unwrap();
        for (path, name) in [(&a, "user.one"), (&a, "user.two"), (&b, "user.three")] {
            rustix::fs::setxattr(path, name, name.as_bytes(), XattrFlags::empty()).unwrap();
        }
        copy(&a, &b).unwrap();
        let (a, b) = (
            fs_err::File::open(&a).unwrap(),
            fs_err::File::open(&b).unwrap(),
        );
        let mut found = [attributes(&a).unwrap(), attributes(&b).unwrap()];
        found.iter_mut().for_each(|list| list.sort());
        assert_eq!(found[0], found[1]);
        assert_eq!(found[0].len(), 2);
        assert_eq!(b.metadata().unwrap().mode() & 0o7777, 0o2751);
    }
}
