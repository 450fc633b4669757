//! Two things change places: a file or folder that is in use by name, and its replacement that was made
//! aside of it.
//!
//! The new one is made whole **aside** (a hidden name on the same file system), sealed into a
//! [`Pair`], and put in place with `renameat2(RENAME_EXCHANGE)`, which is one step whatever the size.
//! From then on the old one lies aside, until somebody takes it away. Where that cannot be, since the target
//! is a mount point or its file system has no such exchange, a folder's entries change places one by one
//! (`within`), and a single file is copied over (`copied`); these tell by names how far they came.
//!
//! Invariant: a pair says which is which by inode and time of birth, so after a crash at any instant
//! the folders themselves tell whether the exchange happened. Journal the pair before
//! [`Pair::exchange`]; that and [`Pair::put_back`] can be run again, and do nothing where there is
//! nothing to do. What stands in either place and is neither of the two is a stranger's, and is
//! refused, never moved.
//!
//! Nobody may hold the old one open while it is exchanged: a container that is running keeps the
//! folder that it was started with.

use std::{
    io::ErrorKind,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};
use serde::{Deserialize, Serialize};

use self::{copied::Copied, within::Within};
use super::{
    attributes::{self, Time},
    volumes::folder_of,
};
use crate::{RecoveryError, Result, copies::mounted_in};

mod copied;
mod place;
mod within;

pub use self::place::{
    aside, aside_of_volume, hidden, leave_room, lying, make_room, place, place_within, settle,
};

/// Folder of ours in an engine's data root, for what lies aside of its volumes.
const IN_DATA_ROOT: &str = "lifeboat-aside";
/// How a folder of ours begins that lies in what it is aside of.
const OURS_WITHIN: &str = ".lifeboat-aside-";
/// How the name of a file ends that is copied over its target.
const COPIED: &str = ".copied";

/// How two change places. The place of the new one tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// By one rename, the new one beside the old one.
    Exchange,
    /// Entry by entry, the new one in the old one.
    Within,
    /// Byte by byte.
    Copied,
}

impl How {
    /// How `target` changes places with what is made at `aside`.
    pub fn of(target: &Path, aside: &Path) -> Self {
        match Self::by_name(aside) {
            // Something in a folder of ours may change places with something in the folder around it.
            Self::Within if aside.parent().and_then(Path::parent) != Some(target) => Self::Exchange,
            how => how,
        }
    }

    fn by_name(aside: &Path) -> Self {
        use std::os::unix::ffi::OsStrExt;
        let name = aside.file_name().unwrap_or_default().as_bytes();
        let above = aside.parent().and_then(Path::file_name).unwrap_or_default();
        if above.as_bytes().starts_with(OURS_WITHIN.as_bytes()) {
            Self::Within
        } else if name.ends_with(COPIED.as_bytes()) || name.ends_with(b".copied.old") {
            Self::Copied
        } else {
            Self::Exchange
        }
    }
}

/// Something in use by name, and what takes its place.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Pair {
    /// The name in use.
    pub target: PathBuf,
    /// The hidden name: the new one lies there before, the old one after.
    pub aside: PathBuf,
    /// Which one the new is.
    new: String,
    /// Which one the old is; `None`: there was nothing.
    old: Option<String>,
    /// When the new folder was changed, where moving things out of it would change that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time: Option<Time>,
}

/// How a pair lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lies {
    /// The old one is in use, or nothing is; the new one lies aside.
    Old,
    /// The new one is in use; the old one lies aside, if there was one.
    New,
}

impl Pair {
    /// Remembers which is which. The new one is whole and durable at `aside` by now.
    pub fn seal(target: &Path, aside: &Path) -> Result<Self> {
        let Some(new) = which(aside)? else {
            return Err(RecoveryError::Failed(format!(
                "{} is gone; it was to take the place of {}",
                aside.display(),
                target.display()
            )));
        };
        let mut time = None;
        if How::of(target, aside) == How::Within {
            within::settle_lost_and_found(target, aside)?;
            time = Some(attributes::time_of(&fs_err::metadata(aside)?));
        }
        Ok(Self {
            target: target.to_owned(),
            aside: aside.to_owned(),
            new,
            old: which(target)?,
            time,
        })
    }

    /// How the two change places.
    pub fn how(&self) -> How {
        How::of(&self.target, &self.aside)
    }

    /// Where the old one lies once the new one is in use.
    pub fn old_aside(&self) -> PathBuf {
        match self.how() {
            How::Exchange => self.aside.clone(),
            How::Within => self.aside.with_file_name("old"),
            How::Copied => copied::old_of(&self.aside),
        }
    }

    /// `true` if the new one is in use, all of it.
    pub fn is_through(&self) -> Result<bool> {
        Ok(match self.how() {
            How::Exchange => self.lies()? == Lies::New,
            How::Within => Within::of(self).state()? == within::State::Through,
            How::Copied => Copied::of(self).state()? == copied::State::Through,
        })
    }

    /// `true` if there was something in the target's place.
    pub fn had_old(&self) -> bool {
        self.old.is_some()
    }

    /// `true` if the new one lies aside, as it was sealed.
    pub fn is_ready(&self) -> bool {
        is_still(&self.aside, &self.new) && which(&self.target).is_ok_and(|old| old == self.old)
    }

    /// How it lies now. A stranger's file in either place is an error, and so is one that is gone.
    /// In the middle of anything but one rename it is the new one: there is something to put back.
    pub fn lies(&self) -> Result<Lies> {
        match self.how() {
            How::Exchange => {}
            How::Within => {
                return Ok(match Within::of(self).state()? {
                    within::State::Staged => Lies::Old,
                    _ => Lies::New,
                });
            }
            How::Copied => {
                return Ok(match Copied::of(self).state()? {
                    copied::State::Staged => Lies::Old,
                    _ => Lies::New,
                });
            }
        }
        let (target, aside) = (which(&self.target)?, which(&self.aside)?);
        let new = Some(&self.new);
        if target.as_ref() == new && aside == self.old {
            return Ok(Lies::New);
        }
        if aside.as_ref() == new && target == self.old {
            return Ok(Lies::Old);
        }
        // Somebody took the old one away meanwhile, which is theirs to do; or the new one was discarded.
        if aside.is_none() && target.as_ref() == new {
            return Ok(Lies::New);
        }
        if aside.is_none() && target == self.old {
            return Ok(Lies::Old);
        }
        Err(RecoveryError::Refused(format!(
            "{} or {} was changed by somebody else in the middle of this restore, so neither is touched; put back what stood there, and run it again",
            self.target.display(),
            self.aside.display()
        )))
    }

    /// Puts the new one in place; the old one lies aside afterwards. Durable when it returns.
    /// Steps within are told, for tests.
    pub fn exchange(&self, step: &dyn Fn(&str)) -> Result<()> {
        match self.how() {
            How::Exchange => {}
            How::Within => return Within::of(self).exchange(step),
            How::Copied => return Copied::of(self).exchange(step),
        }
        match self.lies()? {
            Lies::New => Ok(()),
            Lies::Old => self.swap(&self.aside, &self.target),
        }
    }

    /// Puts the old one back in place; the new one lies aside afterwards. Durable when it returns.
    pub fn put_back(&self, step: &dyn Fn(&str)) -> Result<()> {
        match self.how() {
            How::Exchange => {}
            How::Within => return Within::of(self).put_back(step),
            How::Copied => return Copied::of(self).put_back(step),
        }
        match self.lies()? {
            Lies::Old => Ok(()),
            Lies::New if self.had_old() && which(&self.aside)?.is_none() => {
                Err(RecoveryError::Refused(format!(
                    "what stood at {} before is gone from {}, so it cannot be put back",
                    self.target.display(),
                    self.aside.display()
                )))
            }
            Lies::New => self.swap(&self.target, &self.aside),
        }
    }

    fn swap(&self, from: &Path, to: &Path) -> Result<()> {
        let flags = if self.had_old() {
            RenameFlags::EXCHANGE
        } else {
            RenameFlags::NOREPLACE
        };
        renameat_with(CWD, from, CWD, to, flags).map_err(|e| {
            let why = match e {
                Errno::BUSY => "something is mounted there".to_owned(),
                other => other.to_string(),
            };
            RecoveryError::Failed(format!(
                "{} and {} could not change places: {why}",
                self.aside.display(),
                self.target.display()
            ))
        })?;
        for path in [from, to] {
            let parent = path.parent().unwrap_or(Path::new("/"));
            fs_err::File::open(parent)?.sync_all()?;
        }
        Ok(())
    }
}

/// `true` if `path` is the very file or folder that was remembered.
pub fn is_still(path: &Path, remembered: &str) -> bool {
    which(path).is_ok_and(|found| found.as_deref() == Some(remembered))
}

/// Removes a file, or a folder with everything in it; nothing there is as good.
pub fn remove_tree(path: &Path) -> Result<()> {
    let removed = match fs_err::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => match mounted_in(path)? {
            Some(_) => Err(std::io::Error::from(ErrorKind::ResourceBusy)),
            None => fs_err::remove_dir_all(path),
        },
        Ok(_) => fs_err::remove_file(path),
        Err(e) => Err(e),
    };
    match removed {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(e.into()),
        _ => Ok(()),
    }
}

/// Which file or folder stands there, without following a link at the end.
pub(crate) fn which(path: &Path) -> Result<Option<String>> {
    match fs_err::symlink_metadata(path) {
        Ok(meta) => Ok(Some(folder_of(&meta))),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests;
