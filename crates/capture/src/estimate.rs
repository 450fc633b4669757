//! How much there is, by `stat` alone.

use std::{
    collections::HashSet,
    os::unix::ffi::OsStrExt,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rustix::fd::OwnedFd;

use crate::{
    CaptureError, Excludes, Result, SkipSet, pool,
    sys::{self, FileType},
};

/// What lies below a path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Files that are no directories.
    pub files: u64,
    /// Directories, the root included.
    pub dirs: u64,
    /// Their bytes as a reader sees them; a file of several names once.
    pub bytes: u64,
    /// What they take on disk: less where there are holes.
    pub allocated: u64,
    /// Something could not be looked at, or time ran out: the figures are a lower bound.
    pub incomplete: bool,
}

struct Job {
    above: Arc<OwnedFd>,
    name: Vec<u8>,
    path: Vec<u8>,
}

#[derive(Default)]
struct Sum {
    size: Size,
    linked: HashSet<(u64, u64)>,
}

/// Adds up what is below a path, mount points included.
pub fn estimate(path: &Path, skip: &SkipSet) -> Result<Size> {
    estimate_within(path, skip, None)
}

/// As [`estimate`], without what the patterns leave out.
pub fn estimate_without(path: &Path, skip: &SkipSet, exclude: &Excludes) -> Result<Size> {
    add_up(path, skip, exclude, None)
}

/// As [`estimate`], and gives up after a while with what it has.
pub fn estimate_within(path: &Path, skip: &SkipSet, limit: Option<Duration>) -> Result<Size> {
    add_up(path, skip, &Excludes::none(), limit)
}

fn add_up(
    path: &Path,
    skip: &SkipSet,
    exclude: &Excludes,
    limit: Option<Duration>,
) -> Result<Size> {
    let bytes = path.as_os_str().as_bytes();
    let failed = |e| CaptureError::os("read", bytes, e);
    sys::raise_open_files();
    let deadline = limit.and_then(|limit| Instant::now().checked_add(limit));
    let stat = sys::stat_at(rustix::fs::CWD, bytes).map_err(failed)?;
    let sum = Mutex::new(Sum::default());
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        let mut sum = sum.into_inner();
        sum.add(&stat);
        return Ok(sum.size);
    }
    let root = sys::open_dir(rustix::fs::CWD, bytes).map_err(failed)?;
    let first = Job {
        above: Arc::new(root),
        name: b".".to_vec(),
        path: bytes.to_vec(),
    };
    pool::run(
        pool::threads(0),
        first,
        || (),
        |job, queue, ()| {
            if deadline.is_some_and(|d| Instant::now() >= d) {
                sum.lock().size.incomplete = true;
                return Ok(());
            }
            let left_out = |at: &[u8]| {
                let inside = at.strip_prefix(bytes).unwrap_or(at);
                !exclude.is_empty() && exclude.matches(at, inside)
            };
            directory(&job, skip, &left_out, queue, &sum);
            Ok(())
        },
    )?;
    Ok(sum.into_inner().size)
}

fn directory(
    job: &Job,
    skip: &SkipSet,
    left_out: &dyn Fn(&[u8]) -> bool,
    queue: &pool::Queue<Job>,
    sum: &Mutex<Sum>,
) {
    let mut names: Vec<Vec<u8>> = Vec::new();
    let listed = sys::open_dir(&job.above, &job.name)
        .and_then(|fd| sys::list(&fd, |name| names.push(name.to_vec())).map(|()| Arc::new(fd)));
    let Ok(fd) = listed else {
        sum.lock().size.incomplete = true;
        return;
    };
    let mut stats = Vec::with_capacity(names.len());
    let mut dirs = Vec::new();
    for name in names {
        let Ok(stat) = sys::stat_at(&fd, &name) else {
            continue;
        };
        if skip.hits(&job.path, &name, stat.st_dev, stat.st_ino) {
            continue;
        }
        let path = sys::join(&job.path, &name);
        if left_out(&path) {
            continue;
        }
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            dirs.push(Job {
                above: fd.clone(),
                name,
                path,
            });
        } else {
            stats.push(stat);
        }
    }
    {
        let mut sum = sum.lock();
        sum.size.dirs += 1;
        for stat in &stats {
            sum.add(stat);
        }
    }
    queue.extend(dirs);
}

impl Sum {
    fn add(&mut self, stat: &rustix::fs::Stat) {
        self.size.files += 1;
        let regular = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        let first = stat.st_nlink < 2 || self.linked.insert((stat.st_dev, stat.st_ino));
        if regular && first {
            self.size.bytes += u64::try_from(stat.st_size).unwrap_or(0);
            self.size.allocated += u64::try_from(stat.st_blocks).unwrap_or(0) * 512;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Anchor;

    #[test]
    fn what_patterns_leave_out_is_not_counted() {
        let dir = tempfile::tempdir().unwrap();
        let cache = dir.path().join("cache");
        fs_err::create_dir(&cache).unwrap();
        fs_err::write(cache.join("big"), [0; 1000]).unwrap();
        fs_err::write(dir.path().join("kept"), [0; 10]).unwrap();
        let skip = SkipSet::new();
        let exclude = Excludes::parse(["cache"], Anchor::Host).unwrap();
        assert_eq!(estimate(dir.path(), &skip).unwrap().bytes, 1010);
        let size = estimate_without(dir.path(), &skip, &exclude).unwrap();
        assert_eq!((size.files, size.bytes), (1, 10));
    }
}
