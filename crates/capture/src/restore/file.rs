//! Regular files: what is there is compared, what is missing is written.

use std::sync::Arc;

use lifeboat_vault::{BlobId, BlobKind, Gathered, Node, NodeKind, Reader};
use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{AtFlags, Mode, OFlags},
    io::Errno,
};
use sha2::{Digest, Sha256};

use super::{Overwrite, Restore, dir::DirWork, meta};
use crate::{
    Cancel, CaptureError, Result,
    sys::{self, FileType},
};

/// What became of one name.
pub(super) enum Made {
    /// It is there.
    Yes,
    /// It is not, and that was reported.
    No,
}

impl Restore<'_> {
    /// Restores anything but a directory. Its job is counted as done by the caller.
    pub(super) fn entry(&self, dir: &Arc<DirWork>, index: usize, near: &Gathered) -> Result<()> {
        let Some(node) = dir.tree.nodes.get(index) else {
            return Ok(());
        };
        if node.meta.links > 1 && node.meta.inode != 0 {
            return self.linked(dir, index, node, near);
        }
        self.single(dir, node, near).map(|_| ())
    }

    /// Restores what a node says, without regard to its other names.
    pub(super) fn single(&self, dir: &DirWork, node: &Node, near: &Gathered) -> Result<Made> {
        let name = self.checked(dir, &node.name)?;
        match &node.kind {
            NodeKind::File { size, content } => {
                let made = self.regular(dir, name, node, (*size, content), near)?;
                // The bytes were told blob by blob.
                self.options.progress.advance(1, 0);
                Ok(made)
            }
            _ => {
                let made = self.special(dir, name, node)?;
                self.options.progress.advance(1, 0);
                Ok(made)
            }
        }
    }

    fn regular(
        &self,
        dir: &DirWork,
        name: &[u8],
        node: &Node,
        (size, content): (u64, &[BlobId]),
        near: &Gathered,
    ) -> Result<Made> {
        let path = || self.path(&dir.path, name);
        if self.options.overwrite == Overwrite::Resume
            && let Some(fd) = self.right_already(dir, name, node, size, content)?
        {
            self.apply(&fd, &node.meta, path);
            self.counts.lock().kept += 1;
            self.options.progress.advance(0, size);
            return Ok(Made::Yes);
        }
        let flags =
            OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        // What goes to another owner, or has an access control list, nobody else reads until it has.
        let final_now = (node.meta.uid, node.meta.gid) == self.user
            && node.meta.xattrs.is_empty()
            && !dir.hands_down;
        let mode = match final_now {
            true => meta::mode(&node.meta) & Mode::from_raw_mode(0o777),
            false => Mode::RUSR | Mode::WUSR,
        };
        let fd = self.create(dir, name, || rustix::fs::openat(&dir.fd, name, flags, mode))?;
        if dir.hands_down {
            self.drop_inherited(&fd, &node.meta);
        }
        let written = self.write(&fd, size, content, near, &path);
        let reason = match written {
            Ok(None) => {
                self.apply_to_new(&fd, &node.meta, path);
                self.counts.lock().files += 1;
                return Ok(Made::Yes);
            }
            Ok(Some(reason)) => Ok(reason),
            Err(e) => Err(e),
        };
        // No half file stays in sight, unless somebody put another in its place.
        self.take_away(dir, name, &fd);
        self.problem(&path(), reason?);
        Ok(Made::No)
    }

    /// Calls `make`; with [`Overwrite::Resume`] once more after what is in the way was removed.
    pub(super) fn create<T>(
        &self,
        dir: &DirWork,
        name: &[u8],
        mut make: impl FnMut() -> rustix::io::Result<T>,
    ) -> Result<T> {
        let path = || self.path(&dir.path, name);
        let error = match make() {
            Ok(made) => return Ok(made),
            Err(Errno::EXIST) if self.options.overwrite == Overwrite::Resume => {
                match rustix::fs::unlinkat(&dir.fd, name, AtFlags::empty()) {
                    Ok(()) | Err(Errno::NOENT) => make(),
                    // A directory with whatever is in it is never removed.
                    Err(Errno::ISDIR | Errno::PERM) => Err(Errno::EXIST),
                    Err(e) => Err(e),
                }
            }
            Err(e) => Err(e),
        };
        error.map_err(|e| CaptureError::os("create", &path(), e))
    }

    fn take_away(&self, dir: &DirWork, name: &[u8], fd: &OwnedFd) {
        let ours = rustix::fs::fstat(fd);
        let there = sys::stat_at(&dir.fd, name);
        if let (Ok(ours), Ok(there)) = (ours, there)
            && (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)
        {
            let _ = rustix::fs::unlinkat(&dir.fd, name, AtFlags::empty());
        }
    }

    /// The file that is there, open, if it is what the node says byte for byte.
    fn right_already(
        &self,
        dir: &DirWork,
        name: &[u8],
        node: &Node,
        size: u64,
        content: &[BlobId],
    ) -> Result<Option<OwnedFd>> {
        let Ok(stat) = sys::stat_at(&dir.fd, name) else {
            return Ok(None);
        };
        let same = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            && u64::try_from(stat.st_size) == Ok(size)
            && sys::moment(stat.st_mtime, stat.st_mtime_nsec) == node.meta.mtime
            // One of several names where one is expected: its metadata would be changed elsewhere.
            && (stat.st_nlink < 2 || node.meta.links > 1);
        if !same {
            return Ok(None);
        }
        let Ok(fd) = sys::open_file(&dir.fd, name) else {
            return Ok(None);
        };
        match rustix::fs::fstat(&fd) {
            Ok(opened) if (opened.st_dev, opened.st_ino) == (stat.st_dev, stat.st_ino) => {}
            _ => return Ok(None),
        }
        let equal = is_content(self.reader, &fd, size, content, self.options.cancel)?;
        Ok(equal.then_some(fd))
    }
}

/// Whether an open file holds what a node says, byte for byte. A node that is no regular file holds
/// nothing.
pub fn holds(reader: &Reader, file: impl AsFd, node: &Node, cancel: &Cancel) -> Result<bool> {
    match &node.kind {
        NodeKind::File { size, content } => is_content(reader, file, *size, content, cancel),
        _ => Ok(false),
    }
}

fn is_content(
    reader: &Reader,
    file: impl AsFd,
    size: u64,
    content: &[BlobId],
    cancel: &Cancel,
) -> Result<bool> {
    let there = rustix::fs::fstat(&file).map(|stat| stat.st_size);
    if there.ok().and_then(|n| u64::try_from(n).ok()) != Some(size) {
        return Ok(false);
    }
    let mut at = 0;
    let mut buffer = Vec::new();
    for id in content {
        cancel.check()?;
        let len = reader
            .blob_len(BlobKind::Data, *id)
            .and_then(|l| usize::try_from(l).ok());
        let Some(len) = len else { return Ok(false) };
        buffer.resize(len, 0);
        if read_at(&file, &mut buffer, at).is_err() || Sha256::digest(&buffer)[..] != id.0[..] {
            return Ok(false);
        }
        at += len as u64;
    }
    Ok(at == size)
}

fn read_at(fd: impl AsFd, mut bytes: &mut [u8], mut at: u64) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::pread(&fd, &mut *bytes, at) {
            Ok(0) => return Err(Errno::NODATA),
            Ok(n) => {
                bytes = bytes.get_mut(n..).unwrap_or_default();
                at += n as u64;
            }
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
