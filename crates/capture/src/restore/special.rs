//! Links, devices, pipes and sockets.

use lifeboat_vault::{Node, NodeKind};
use rustix::{
    fs::{AtFlags, CWD, Mode, XattrFlags},
    io::Errno,
};

use super::{
    Overwrite, Restore,
    dir::DirWork,
    file::Made,
    meta::{owner, times},
};
use crate::{
    CaptureError, Result,
    sys::{self, FileType},
};

impl Restore<'_> {
    /// Makes what is neither a file nor a directory.
    pub(super) fn special(&self, dir: &DirWork, name: &[u8], node: &Node) -> Result<Made> {
        let (kind, device) = match &node.kind {
            NodeKind::Symlink { target } => return self.symlink(dir, name, node, target),
            NodeKind::BlockDevice { device } => (FileType::BlockDevice, *device),
            NodeKind::CharDevice { device } => (FileType::CharacterDevice, *device),
            NodeKind::Fifo => (FileType::Fifo, 0),
            NodeKind::Socket => (FileType::Socket, 0),
            NodeKind::Irregular | NodeKind::File { .. } | NodeKind::Dir { .. } => {
                self.problem(
                    &self.path(&dir.path, name),
                    "it is of a kind that cannot be restored",
                );
                return Ok(Made::No);
            }
        };
        let path = || self.path(&dir.path, name);
        let there = self.there(dir, name).is_some_and(|stat| {
            FileType::from_raw_mode(stat.st_mode) == kind && stat.st_rdev == device
        });
        if !there {
            let mode = Mode::RUSR | Mode::WUSR;
            let made = self.create(dir, name, || {
                rustix::fs::mknodat(&dir.fd, name, kind, mode, device)
            });
            if let Err(e) = made {
                return self.refused(e, &path());
            }
        }
        let opened = sys::open_path(&dir.fd, name)
            .and_then(|fd| rustix::fs::fstat(&fd).map(|stat| (fd, stat)));
        let fd = match opened {
            Ok((fd, stat)) if FileType::from_raw_mode(stat.st_mode) == kind => fd,
            Ok(_) => {
                return Err(CaptureError::Exists {
                    path: sys::to_path(&path()),
                });
            }
            Err(e) => return Err(CaptureError::os("open", &path(), e)),
        };
        let meta = &node.meta;
        let itself = sys::proc_path(&fd);
        let (uid, gid) = owner(meta);
        self.noted(
            "its owner",
            &path,
            rustix::fs::chownat(&fd, "", uid, gid, AtFlags::EMPTY_PATH),
        );
        let mode = Mode::from_raw_mode(meta.mode & 0o7777);
        self.noted("its mode", &path, rustix::fs::chmod(&itself, mode));
        self.set_xattrs(meta, &path, |x| {
            rustix::fs::setxattr(&itself, &x.name[..], &x.value, XattrFlags::empty())
        });
        let set = rustix::fs::utimensat(CWD, &itself, &times(meta), AtFlags::empty());
        self.noted("its times", &path, set);
        self.counts.lock().others += 1;
        Ok(Made::Yes)
    }

    fn symlink(&self, dir: &DirWork, name: &[u8], node: &Node, target: &[u8]) -> Result<Made> {
        let path = || self.path(&dir.path, name);
        let there = self.there(dir, name).is_some()
            && rustix::fs::readlinkat(&dir.fd, name, Vec::new())
                .is_ok_and(|there| there.as_bytes() == target);
        if !there {
            let made = self.create(dir, name, || rustix::fs::symlinkat(target, &dir.fd, name));
            if let Err(e) = made {
                return self.refused(e, &path());
            }
        }
        let meta = &node.meta;
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        let (uid, gid) = owner(meta);
        self.noted(
            "its owner",
            &path,
            rustix::fs::chownat(&dir.fd, name, uid, gid, nofollow),
        );
        let itself = sys::join(sys::proc_path(&dir.fd).as_bytes(), name);
        self.set_xattrs(meta, &path, |x| {
            rustix::fs::lsetxattr(&itself[..], &x.name[..], &x.value, XattrFlags::empty())
        });
        let set = rustix::fs::utimensat(&dir.fd, name, &times(meta), nofollow);
        self.noted("its times", &path, set);
        self.counts.lock().others += 1;
        Ok(Made::Yes)
    }

    /// What is there already, if that may be kept.
    fn there(&self, dir: &DirWork, name: &[u8]) -> Option<rustix::fs::Stat> {
        match self.options.overwrite {
            Overwrite::Never => None,
            Overwrite::Resume => sys::stat_at(&dir.fd, name).ok(),
        }
    }

    /// A device that we may not make, or a link that no system can hold, concerns itself alone.
    fn refused(&self, error: CaptureError, path: &[u8]) -> Result<Made> {
        match error {
            CaptureError::Io { source, .. }
                if matches!(
                    Errno::from_io_error(&source),
                    Some(Errno::PERM | Errno::INVAL | Errno::NOENT | Errno::NAMETOOLONG)
                ) =>
            {
                self.problem(path, format!("it cannot be made: {source}"));
                Ok(Made::No)
            }
            error => Err(error),
        }
    }
}
