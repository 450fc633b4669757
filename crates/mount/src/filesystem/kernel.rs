//! The calls of the kernel, one by one: what each asks of [`PointsFs`], and the answer.

use std::{
    ffi::OsStr,
    io,
    os::unix::ffi::OsStrExt,
    sync::{Arc, atomic::Ordering},
};

use fuser::{
    Errno, FileHandle, Filesystem, FopenFlags, Generation, INodeNo, KernelConfig, LockOwner,
    OpenFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen,
    ReplyStatfs, ReplyXattr, Request,
};

use lifeboat_vault::NodeKind;

use super::{PointsFs, ttl};
use crate::inode::Inode;

impl Filesystem for PointsFs {
    fn init(&mut self, _: &Request, _: &mut KernelConfig) -> io::Result<()> {
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        match self.find(parent.0, name.as_bytes()) {
            Ok((number, inode)) => {
                let attributes = self.attributes(number, &inode);
                let ttl = ttl(&inode);
                self.inodes.remember(number, inode);
                reply.entry(ttl, &attributes, Generation(0));
            }
            Err(error) => reply.error(error),
        }
    }

    fn forget(&self, _: &Request, number: INodeNo, looks: u64) {
        self.inodes.forget(number.0, looks);
    }

    fn getattr(&self, _: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.inode(number.0) {
            Ok(inode) => reply.attr(ttl(&inode), &self.attributes(number.0, &inode)),
            Err(error) => reply.error(error),
        }
    }

    fn readlink(&self, _: &Request, number: INodeNo, reply: ReplyData) {
        let inode = self.inode(number.0);
        let target = inode.as_ref().ok().and_then(|inode| match inode {
            Inode::Link(target) => Some(target.as_slice()),
            inode => match inode.node().map(|node| &node.kind) {
                Some(NodeKind::Symlink { target }) => Some(target.as_slice()),
                _ => None,
            },
        });
        match target {
            Some(target) => reply.data(target),
            None => reply.error(Errno::EINVAL),
        }
    }

    fn open(&self, _: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.open_file(number.0) {
            Ok(file) => {
                let handle = self.next_handle.fetch_add(1, Ordering::Relaxed);
                self.files.lock().insert(handle, Arc::new(file));
                // It never changes: what the kernel has of it stays good.
                reply.opened(FileHandle(handle), FopenFlags::FOPEN_KEEP_CACHE);
            }
            Err(error) => reply.error(error),
        }
    }

    fn read(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let Some(file) = self.files.lock().get(&handle.0).cloned() else {
            return reply.error(Errno::EBADF);
        };
        match self.read_at(&file, offset, size as usize) {
            Ok(bytes) => reply.data(&bytes),
            Err(error) => reply.error(error),
        }
    }

    fn release(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        self.files.lock().remove(&handle.0);
        reply.ok();
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn lseek(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        const SEEK_DATA: i32 = 3;
        const SEEK_HOLE: i32 = 4;
        let Some(file) = self.files.lock().get(&handle.0).cloned() else {
            return reply.error(Errno::EBADF);
        };
        let (content, size) = (&file.content, file.content.size());
        let Some(mut at) = u64::try_from(offset).ok().filter(|at| *at < size) else {
            return reply.error(Errno::ENXIO);
        };
        let wants_hole = match whence {
            SEEK_DATA => false,
            SEEK_HOLE => true,
            _ => return reply.error(Errno::EINVAL),
        };
        while at < size {
            let (hole, until) = content.extent(at);
            if hole == wants_hole {
                break;
            }
            at = until;
        }
        // Behind the last byte there is a hole, and no data.
        match (at < size || wants_hole, i64::try_from(at)) {
            (true, Ok(at)) => reply.offset(at),
            _ => reply.error(Errno::ENXIO),
        }
    }

    fn opendir(&self, _: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.entries(number.0) {
            Ok(entries) => {
                let handle = self.next_handle.fetch_add(1, Ordering::Relaxed);
                self.folders.lock().insert(handle, Arc::new(entries));
                reply.opened(FileHandle(handle), FopenFlags::empty());
            }
            Err(error) => reply.error(error),
        }
    }

    fn readdir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let Some(entries) = self.folders.lock().get(&handle.0).cloned() else {
            return reply.error(Errno::EBADF);
        };
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        for (at, entry) in entries.iter().enumerate().skip(from) {
            let next = at as u64 + 1;
            let name = OsStr::from_bytes(&entry.name);
            if reply.add(INodeNo(entry.number), next, entry.kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn releasedir(
        &self,
        _: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        reply: ReplyEmpty,
    ) {
        self.folders.lock().remove(&handle.0);
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(0, 0, 0, 0, 0, 4096, 255, 4096);
    }

    fn getxattr(&self, _: &Request, number: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let inode = self.inode(number.0);
        let node = inode.as_ref().ok().and_then(Inode::node);
        let found = node.and_then(|node| {
            let mut xattrs = node.meta.xattrs.iter();
            xattrs.find(|xattr| xattr.name == name.as_bytes())
        });
        match found {
            Some(xattr) => xattr_reply(&xattr.value, size, reply),
            None => reply.error(Errno::ENODATA),
        }
    }

    fn listxattr(&self, _: &Request, number: INodeNo, size: u32, reply: ReplyXattr) {
        let inode = self.inode(number.0);
        let node = inode.as_ref().ok().and_then(Inode::node);
        let mut names = Vec::new();
        for xattr in node.map_or(&[][..], |node| &node.meta.xattrs) {
            names.extend_from_slice(&xattr.name);
            names.push(0);
        }
        xattr_reply(&names, size, reply);
    }
}

fn xattr_reply(bytes: &[u8], size: u32, reply: ReplyXattr) {
    match (size, u32::try_from(bytes.len())) {
        (0, Ok(length)) => reply.size(length),
        (size, Ok(length)) if length <= size => reply.data(bytes),
        _ => reply.error(Errno::ERANGE),
    }
}
