//! A single file that cannot be renamed, since it is a mount point: its bytes are copied, while nobody uses
//! it. The one case in which the downtime depends on a size, which is a single file's.
//!
//! The new file lies aside; the old one is copied beside that, whole and durable, before a byte of it is
//! overwritten. Both are files of their own, on the file system of the folder that the target lies in.
//!
//! Invariant: the names alone say how far it came.
//!
//! | aside | |
//! | --- | --- |
//! | the new one | not begun |
//! | the new one and `….old` | being overwritten, one way or the other: what is in the target says nothing |
//! | `….old` | through |

use std::{
    io::{Read, Seek, Write},
    path::{Path, PathBuf},
};

use super::{Pair, which};
use crate::{RecoveryError, Result, restore::attributes};

/// How far it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// The new file lies aside, nothing was written.
    Staged,
    /// One of the two is being written.
    Writing,
    /// The new file is in use, the old one lies aside.
    Through,
}

/// The places of one exchange.
pub(super) struct Copied<'p> {
    pair: &'p Pair,
    new: &'p Path,
    old: PathBuf,
}

impl<'p> Copied<'p> {
    pub(super) fn of(pair: &'p Pair) -> Self {
        Self {
            pair,
            new: &pair.aside,
            old: old_of(&pair.aside),
        }
    }

    pub(super) fn state(&self) -> Result<State> {
        let target = &self.pair.target;
        let changed = |what: &str| {
            Err(RecoveryError::Refused(format!(
                "{} {what} in the middle of this restore, so it is not touched; put back what stood there, and run it again",
                target.display()
            )))
        };
        if which(target)? != self.pair.old {
            return changed("was changed by somebody else");
        }
        match (which(self.new)?.is_some(), which(&self.old)?.is_some()) {
            (true, false) => Ok(State::Staged),
            (true, true) => Ok(State::Writing),
            (false, true) => Ok(State::Through),
            (false, false) => changed("lost what lay aside of it"),
        }
    }

    /// The new content into use.
    pub(super) fn exchange(&self, step: &dyn Fn(&str)) -> Result<()> {
        loop {
            step("swap-phase");
            match self.state()? {
                State::Staged => keep(&self.pair.target, &self.old)?,
                State::Writing => {
                    write(self.new, &self.pair.target, step)?;
                    gone(self.new)?;
                }
                State::Through => return Ok(()),
            }
        }
    }

    /// The old content back into use; what had taken its place lies aside.
    pub(super) fn put_back(&self, step: &dyn Fn(&str)) -> Result<()> {
        loop {
            step("swap-phase");
            match self.state()? {
                State::Through => keep(&self.pair.target, self.new)?,
                State::Writing => {
                    write(&self.old, &self.pair.target, step)?;
                    gone(&self.old)?;
                }
                State::Staged => return Ok(()),
            }
        }
    }
}

/// Where the old file lies while the new one is in use.
pub(super) fn old_of(new: &Path) -> PathBuf {
    ending(new, ".old")
}

/// Takes away what a crash left half-made.
pub(super) fn clean(new: &Path) {
    for file in [new.to_owned(), old_of(new)] {
        let _ = fs_err::remove_file(ending(&file, ".part"));
    }
}

fn ending(path: &Path, tail: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(tail);
    path.with_file_name(name)
}

/// A copy that is there whole and durable, or not at all.
fn keep(from: &Path, to: &Path) -> Result<()> {
    let part = ending(to, ".part");
    fs_err::File::create(&part)?;
    write(from, &part, &|_| {})?;
    fs_err::rename(&part, to)?;
    sync_above(to)
}

fn gone(file: &Path) -> Result<()> {
    fs_err::remove_file(file)?;
    sync_above(file)
}

fn sync_above(path: &Path) -> Result<()> {
    let above = path.parent().unwrap_or(Path::new("/"));
    Ok(fs_err::File::open(above)?.sync_all()?)
}

/// Content and attributes of one file into another that is there, durable when it returns.
fn write(from: &Path, to: &Path, step: &dyn Fn(&str)) -> Result<()> {
    let mut source = fs_err::File::open(from)?;
    let time = attributes::time_of(&source.metadata()?);
    let mut target = fs_err::OpenOptions::new().write(true).open(to)?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = source.read(&mut buffer)?;
        if read == 0 {
            break;
        }
        target.write_all(&buffer[..read])?;
        step("swap-bytes");
    }
    let len = target.stream_position()?;
    target.set_len(len)?;
    attributes::copy(from, to)?;
    attributes::set_time(to, Some(time))?;
    Ok(target.sync_all()?)
}
