//! Owner, mode, extended attributes, times: in this order.

use lifeboat_vault::{Metadata, Timestamp, Xattr};
use rustix::{
    fd::OwnedFd,
    fs::{Gid, Mode, Timespec, Timestamps, Uid, XattrFlags},
    io::Errno,
};

use super::Restore;

const ACL: [&str; 2] = ["system.posix_acl_access", "system.posix_acl_default"];

impl Restore<'_> {
    /// Gives an open file or directory its metadata.
    pub(super) fn apply(&self, fd: &OwnedFd, meta: &Metadata, path: impl Fn() -> Vec<u8>) {
        let (uid, gid) = owner(meta);
        // Where it is the same owner this takes away capabilities still.
        self.noted("its owner", &path, rustix::fs::fchown(fd, uid, gid));
        self.apply_mode(fd, meta, &path);
        self.apply_rest(fd, meta, &path);
    }

    /// The same for a file that was just made: mostly it has the owner and the mode that it shall have, and a look costs
    /// a tenth of a change.
    pub(super) fn apply_to_new(&self, fd: &OwnedFd, meta: &Metadata, path: impl Fn() -> Vec<u8>) {
        match rustix::fs::fstat(fd) {
            Ok(is) if (is.st_uid, is.st_gid) == (meta.uid, meta.gid) => {
                if Mode::from_raw_mode(is.st_mode) != mode(meta) {
                    self.apply_mode(fd, meta, &path);
                }
                self.apply_rest(fd, meta, &path);
            }
            _ => self.apply(fd, meta, path),
        }
    }

    fn apply_mode(&self, fd: &OwnedFd, meta: &Metadata, path: &impl Fn() -> Vec<u8>) {
        self.noted("its mode", path, rustix::fs::fchmod(fd, mode(meta)));
    }

    fn apply_rest(&self, fd: &OwnedFd, meta: &Metadata, path: &impl Fn() -> Vec<u8>) {
        self.set_xattrs(meta, path, |x| {
            rustix::fs::fsetxattr(fd, &x.name[..], &x.value, XattrFlags::empty())
        });
        self.noted("its times", path, rustix::fs::futimens(fd, &times(meta)));
    }

    /// Extended attributes, each by `set`.
    pub(super) fn set_xattrs(
        &self,
        meta: &Metadata,
        path: &impl Fn() -> Vec<u8>,
        set: impl Fn(&Xattr) -> rustix::io::Result<()>,
    ) {
        for xattr in &meta.xattrs {
            let Err(e) = set(xattr) else { continue };
            let name = String::from_utf8_lossy(&xattr.name);
            let reason = format!("its attribute {} cannot be set: {e}", name.escape_debug());
            // What this file system, its modules or our rights cannot hold.
            let lesser = matches!(e, Errno::NOTSUP | Errno::NOSYS)
                || name.starts_with("security.selinux")
                || (!self.privileged && matches!(e, Errno::PERM | Errno::ACCESS));
            if lesser {
                self.warn(&path(), reason)
            } else {
                self.problem(&path(), reason)
            }
        }
    }

    /// Reports what could not be set: a warning where we lack the right, else a problem.
    pub(super) fn noted(
        &self,
        what: &str,
        path: &impl Fn() -> Vec<u8>,
        result: rustix::io::Result<()>,
    ) {
        let Err(e) = result else { return };
        let reason = format!("{what} cannot be set: {e}");
        if !self.privileged && matches!(e, Errno::PERM | Errno::INVAL) {
            self.warn(&path(), reason);
        } else {
            self.problem(&path(), reason);
        }
    }

    /// Removes the access control lists that a new file got from its directory.
    pub(super) fn drop_inherited(&self, fd: &OwnedFd, meta: &Metadata) {
        for name in ACL {
            if !meta.xattrs.iter().any(|x| x.name == name.as_bytes()) {
                // Not there is what is wanted.
                let _ = rustix::fs::fremovexattr(fd, name);
            }
        }
    }
}

/// Who may do what with it.
pub(super) fn mode(meta: &Metadata) -> Mode {
    Mode::from_raw_mode(meta.mode & 0o7777)
}

/// Who it belongs to.
pub(super) fn owner(meta: &Metadata) -> (Option<Uid>, Option<Gid>) {
    // All ones would mean "leave it".
    let some = |n: u32| (n != u32::MAX).then_some(n);
    (
        some(meta.uid).map(Uid::from_raw),
        some(meta.gid).map(Gid::from_raw),
    )
}

/// Times as the system wants them.
pub(super) fn times(meta: &Metadata) -> Timestamps {
    let spec = |t: Timestamp| Timespec {
        tv_sec: t.secs,
        tv_nsec: i64::from(t.nanos),
    };
    Timestamps {
        last_access: spec(meta.atime),
        last_modification: spec(meta.mtime),
    }
}
