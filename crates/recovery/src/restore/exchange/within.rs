//! A folder that cannot be renamed, since it is a mount point, since its file system has no exchange, or
//! since it must not leave a quota: what is *in* it changes places.
//!
//! Everything of ours lies in one hidden folder in the target, `.lifeboat-aside-ID`, for root alone: there
//! the new content is made as `new`. Each entry of the target moves to `old` in it, then each entry of the
//! new content into the target; each is one rename, and how long it takes depends on the number of entries
//! at the top, not on what is in them. The target's own owner, mode and attributes follow.
//!
//! Invariant: the names alone say how far it came, so it goes on, or back, from any instant. What lies in
//! the target's top is old as long as `new` is there, and new from the rename of that to `in` on.
//!
//! | in the hidden folder | |
//! | --- | --- |
//! | `new` | not begun |
//! | `new`, `old` | the old entries are moving |
//! | `in`, `old` | the new entries are moving |
//! | `old` | through |
//!
//! What anybody else of us has set aside in the same target stays where it is, and so does a file system's
//! `lost+found`. Two that want one name are refused, never overwritten.

use std::{
    ffi::{OsStr, OsString},
    io::ErrorKind,
    os::unix::ffi::OsStrExt,
    path::{Path, PathBuf},
};

use rustix::{
    fs::{CWD, RenameFlags, renameat_with},
    io::Errno,
};

use super::{OURS_WITHIN, Pair, which};
use crate::{RecoveryError, Result, restore::attributes};

/// What a file system's check puts files into that it found without a name.
const LOST_AND_FOUND: &str = "lost+found";

/// How far it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// The new content lies aside, nothing was moved.
    Staged,
    /// Old entries are moving, one way or the other.
    Out,
    /// New entries are moving, one way or the other.
    In,
    /// The new content is in use, the old one lies aside.
    Through,
}

/// The places of one exchange.
pub(super) struct Within<'p> {
    pair: &'p Pair,
    new: &'p Path,
    old: PathBuf,
    moving: PathBuf,
}

impl<'p> Within<'p> {
    pub(super) fn of(pair: &'p Pair) -> Self {
        Self {
            pair,
            new: &pair.aside,
            old: pair.aside.with_file_name("old"),
            moving: pair.aside.with_file_name("in"),
        }
    }

    pub(super) fn state(&self) -> Result<State> {
        let target = &self.pair.target;
        if which(target)? != self.pair.old {
            return Err(RecoveryError::Refused(format!(
                "{} is not the folder that it was when this restore began (is what was mounted there still mounted?); nothing in it is touched",
                target.display()
            )));
        }
        let there = |path: &Path| Ok::<_, RecoveryError>(which(path)?.is_some());
        match (there(self.new)?, there(&self.moving)?, there(&self.old)?) {
            (true, false, false) => Ok(State::Staged),
            (true, false, true) => Ok(State::Out),
            (false, true, true) => Ok(State::In),
            (false, false, true) => Ok(State::Through),
            (new, moving, old) => Err(RecoveryError::Refused(format!(
                "what lies aside in {} is not what this restore left there (new: {new}, in: {moving}, old: {old}); put back what was there, and run it again",
                self.hidden().display()
            ))),
        }
    }

    /// The new content into use.
    pub(super) fn exchange(&self, step: &dyn Fn(&str)) -> Result<()> {
        loop {
            step("swap-phase");
            match self.state()? {
                State::Staged => self.make(&self.old)?,
                State::Out => {
                    self.empty_into(&self.old, step)?;
                    self.rename(self.new, &self.moving)?;
                }
                State::In => {
                    self.fill_from(&self.moving, step)?;
                    attributes::set_time(&self.pair.target, self.pair.time)?;
                    self.gone(&self.moving)?;
                }
                State::Through => return Ok(()),
            }
        }
    }

    /// The old content back into use; what had taken its place lies aside as the new one did.
    pub(super) fn put_back(&self, step: &dyn Fn(&str)) -> Result<()> {
        loop {
            step("swap-phase");
            match self.state()? {
                State::Through => self.make(&self.moving)?,
                State::In => {
                    self.empty_into(&self.moving, step)?;
                    self.rename(&self.moving, self.new)?;
                }
                State::Out => {
                    self.fill_from(&self.old, step)?;
                    self.gone(&self.old)?;
                }
                State::Staged => return Ok(()),
            }
        }
    }

    fn hidden(&self) -> &Path {
        self.new.parent().unwrap_or(self.new)
    }

    /// Makes a folder with the target's owner, mode and attributes, which is there with them or not at all.
    fn make(&self, folder: &Path) -> Result<()> {
        let part = part_of(folder);
        match fs_err::create_dir(&part) {
            Err(e) if e.kind() != ErrorKind::AlreadyExists => return Err(e.into()),
            _ => {}
        }
        attributes::copy(&self.pair.target, &part)?;
        sync(&part)?;
        self.rename(&part, folder)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        fs_err::rename(from, to)?;
        sync(self.hidden())
    }

    fn gone(&self, folder: &Path) -> Result<()> {
        fs_err::remove_dir(folder)?;
        sync(self.hidden())
    }

    /// Everything in the target that is not ours moves into `to`.
    fn empty_into(&self, to: &Path, step: &dyn Fn(&str)) -> Result<()> {
        let target = &self.pair.target;
        for name in names(target)?.iter().filter(|name| !stays(name)) {
            step("swap-entry");
            move_one(&target.join(name), &to.join(name))?;
        }
        sync(to)?;
        sync(target)
    }

    /// Everything in `from` moves into the target, and with it what the folder itself is like.
    fn fill_from(&self, from: &Path, step: &dyn Fn(&str)) -> Result<()> {
        let target = &self.pair.target;
        for name in names(from)? {
            step("swap-entry");
            move_one(&from.join(&name), &target.join(&name))?;
        }
        attributes::copy(from, target)?;
        sync(target)?;
        sync(from)
    }
}

/// Of new content in a mount: its `lost+found`, where the file system that is there has one of its own.
pub(super) fn settle_lost_and_found(target: &Path, new: &Path) -> Result<()> {
    let ours = new.join(LOST_AND_FOUND);
    if which(&ours)?.is_none() || which(&target.join(LOST_AND_FOUND))?.is_none() {
        return Ok(());
    }
    fs_err::remove_dir(&ours).map_err(|e| {
        RecoveryError::Refused(format!(
            "the point has files in {LOST_AND_FOUND} of {}, and the file system there has one of its own ({e}); restore them with --target",
            target.display()
        ))
    })
}

/// Takes away what a crash left half-made beside `new`: empty folders.
pub(super) fn clean(new: &Path) {
    for name in ["old", "in"] {
        let _ = fs_err::remove_dir(part_of(&new.with_file_name(name)));
    }
}

/// In no case moved.
fn stays(name: &OsStr) -> bool {
    name.as_bytes().starts_with(OURS_WITHIN.as_bytes()) || name == LOST_AND_FOUND
}

fn part_of(folder: &Path) -> PathBuf {
    folder.with_extension("part")
}

fn names(folder: &Path) -> Result<Vec<OsString>> {
    let mut names = Vec::new();
    for entry in fs_err::read_dir(folder)? {
        names.push(entry?.file_name());
    }
    Ok(names)
}

fn move_one(from: &Path, to: &Path) -> Result<()> {
    let moved = match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // File systems that know no flags. Nobody else is about to write here.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) if which(to)?.is_none() => {
            rustix::fs::rename(from, to)
        }
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => Err(Errno::EXIST),
        other => other,
    };
    moved.map_err(|e| {
        let why = match e {
            Errno::EXIST => {
                "somebody made something of that name in the middle of this; move it away"
                    .to_owned()
            }
            Errno::BUSY => "something is mounted there".to_owned(),
            other => other.to_string(),
        };
        RecoveryError::Failed(format!(
            "{} could not be moved to {}: {why}",
            from.display(),
            to.display()
        ))
    })
}

fn sync(folder: &Path) -> Result<()> {
    Ok(fs_err::File::open(folder)?.sync_all()?)
}
