//! System calls, relative to descriptors. Nothing here follows a symbolic link in the last
//! component of a name.

use std::{
    ffi::OsStr,
    mem::MaybeUninit,
    os::{fd::AsFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
};

use lifeboat_vault::node::{Timestamp, Xattr};
use rustix::{
    fd::{AsRawFd, OwnedFd},
    fs::{AtFlags, Mode, OFlags, RawDir, Stat},
    io::Errno,
};

/// What kind of file, from `st_mode`.
pub(crate) use rustix::fs::FileType;

/// Levels of directories that are followed. A path has at most 4,096 bytes, so no program that uses
/// paths gets further; and what nests without end must not exhaust descriptors or the stack.
pub(crate) const DEEPEST: usize = 2048;

type OsResult<T> = rustix::io::Result<T>;

pub(crate) fn to_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsStr::from_bytes(bytes))
}

pub(crate) fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(dir.len() + 1 + name.len());
    path.extend_from_slice(dir);
    if dir.last() != Some(&b'/') {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

/// Writes everything that is dirty on the file system where `path` lies to stable storage.
pub fn syncfs(path: &Path) -> crate::Result<()> {
    use crate::CaptureError;
    let bytes = path.as_os_str().as_bytes();
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let fd = rustix::fs::open(path, flags, Mode::empty())
        .map_err(|e| CaptureError::os("open", bytes, e))?;
    rustix::fs::syncfs(&fd).map_err(|e| CaptureError::os("sync", bytes, e))
}

/// Status of a name, the name itself if it is a symbolic link.
pub(crate) fn stat_at(dir: impl AsFd, name: &[u8]) -> OsResult<Stat> {
    rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)
}

/// Opens for reading, without touching the access time where that is allowed.
fn open_quietly(dir: impl AsFd, name: &[u8], flags: OFlags) -> OsResult<OwnedFd> {
    let flags = flags | OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(dir.as_fd(), name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => rustix::fs::openat(dir.as_fd(), name, flags, Mode::empty()),
        result => result,
    }
}

/// Opens a directory.
pub(crate) fn open_dir(dir: impl AsFd, name: &[u8]) -> OsResult<OwnedFd> {
    open_quietly(dir, name, OFlags::DIRECTORY)
}

/// Opens a regular file; never blocks, should the name have become a pipe in the meantime.
pub(crate) fn open_file(dir: impl AsFd, name: &[u8]) -> OsResult<OwnedFd> {
    open_quietly(dir, name, OFlags::NONBLOCK | OFlags::NOCTTY)
}

/// Opens whatever is there, for its metadata alone: no driver, pipe or link is touched.
pub(crate) fn open_path(dir: impl AsFd, name: &[u8]) -> OsResult<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    rustix::fs::openat(dir, name, flags, Mode::empty())
}

/// Opens a directory by path, links on the way followed: what leads to a root.
pub(crate) fn open_dir_path(path: &[u8]) -> OsResult<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
}

/// The name of an open descriptor: calls that know no descriptor reach its file through this, and
/// no link on the way is followed.
pub(crate) fn proc_path(fd: impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

/// Reads the names of a directory, in the order of the file system, `.` and `..` left out.
pub(crate) fn list(fd: impl AsFd, mut each: impl FnMut(&[u8])) -> OsResult<()> {
    let mut buffer = [MaybeUninit::<u8>::uninit(); 32 * 1024];
    let mut dir = RawDir::new(fd, &mut buffer);
    while let Some(entry) = dir.next() {
        match entry {
            Ok(entry) => match entry.file_name().to_bytes() {
                b"." | b".." => {}
                name => each(name),
            },
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// The moment of a `stat`.
pub(crate) fn moment(secs: i64, nanos: u64) -> Timestamp {
    Timestamp {
        secs,
        nanos: u32::try_from(nanos).unwrap_or(0).min(999_999_999),
    }
}

/// Now, by the clock that file systems stamp with.
pub fn now() -> Timestamp {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    moment(t.tv_sec, u64::try_from(t.tv_nsec).unwrap_or(0))
}

/// Where extended attributes are read from.
pub(crate) enum XattrOf<'a> {
    /// An open file or directory.
    Open(&'a OwnedFd),
    /// A name in a directory, itself if it is a link.
    Name(&'a OwnedFd, &'a [u8]),
}

/// All extended attributes, ascending by name. A file system that knows none has none.
pub(crate) fn xattrs(of: &XattrOf<'_>) -> OsResult<Vec<Xattr>> {
    let path = match of {
        XattrOf::Open(_) => Vec::new(),
        XattrOf::Name(dir, name) => join(proc_path(dir).as_bytes(), name),
    };
    let list = grow(|buf| match of {
        XattrOf::Open(fd) => rustix::fs::flistxattr(fd, buf),
        XattrOf::Name(..) => rustix::fs::llistxattr(&path[..], buf),
    });
    let list = match list {
        Ok(list) => list,
        Err(Errno::NOTSUP | Errno::NOSYS) => return Ok(Vec::new()),
        Err(e) => return Err(e),
    };
    let mut found = Vec::new();
    for name in list.split(|b| *b == 0).filter(|n| !n.is_empty()) {
        let value = grow(|buf| match of {
            XattrOf::Open(fd) => rustix::fs::fgetxattr(fd, name, buf),
            XattrOf::Name(..) => rustix::fs::lgetxattr(&path[..], name, buf),
        });
        match value {
            Ok(value) => found.push(Xattr {
                name: name.to_vec(),
                value,
            }),
            // Taken away since it was listed, or one that only its module may read.
            Err(Errno::NODATA | Errno::NOTSUP | Errno::PERM | Errno::ACCESS) => {}
            Err(e) => return Err(e),
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

/// Calls with a buffer that grows until the answer fits.
fn grow(mut call: impl FnMut(&mut [u8]) -> OsResult<usize>) -> OsResult<Vec<u8>> {
    let mut small = [0; 1024];
    match call(&mut small) {
        Ok(n) => return Ok(small.get(..n).unwrap_or_default().to_vec()),
        Err(Errno::RANGE) => {}
        Err(e) => return Err(e),
    }
    let mut size = 16 * 1024;
    loop {
        let mut buffer = vec![0; size];
        match call(&mut buffer) {
            Ok(n) => {
                buffer.truncate(n);
                return Ok(buffer);
            }
            Err(Errno::RANGE) if size < (1 << 20) => size *= 4,
            Err(e) => return Err(e),
        }
    }
}

/// Raises the soft limit of open files to the hard one: a walk holds a descriptor for each level.
pub(crate) fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        // Where it is refused the limit stays, and a tree that is too deep says so.
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: limit.maximum,
                ..limit
            },
        );
    }
}
