//! The folder aside: what is made before it takes its place, and what was overwritten.
//!
//! For volumes and binds it lies on their file system and outside of what the container sees, where
//! that can be; for a writable layer in the state directory. Its place is journaled before it is made.
//! What is in its `new` is ours and can be made again; what is in its `old` was somebody's, and is
//! never removed by us.

use std::path::{Path, PathBuf};

use rustix::{
    fd::OwnedFd,
    fs::{AtFlags, CWD},
    io::Errno,
};
use serde::{Deserialize, Serialize};

use super::{Target, Wanted, compare::Entry, folder::status, local::below, target::Place};
use crate::{Context, RecoveryError, Result, journal::Journal, restore::exchange};

/// What is journaled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Aside {
    id: String,
    aside: PathBuf,
}

/// The folder aside of one run, and the lock on the container.
pub struct Kept {
    journal: Journal,
    aside: PathBuf,
    keep: bool,
}

impl Kept {
    /// Makes it, and takes away what an interrupted run left unplaced. Refused while another run is
    /// at work on the same container.
    pub fn begin(ctx: &Context, target: &Target, wanted: &Wanted) -> Result<Self> {
        let name = format!("into-{}", lifeboat_plan::name::escape(&target.name));
        let (mut journal, before) = Journal::open::<Aside>(&ctx.places.journal(), &name)?;
        // To the millisecond: two runs within one second must not keep two files in one place.
        let id = jiff::Timestamp::now()
            .strftime("%Y%m%d-%H%M%S-%3f")
            .to_string();
        let aside = place(ctx, target, &id)?;
        let mut record = Aside { id, aside };
        for left in before {
            remove_tree(&left.aside.join("new"))?;
            // What it overwrote is kept with what this run overwrites.
            if place(ctx, target, &left.id)? == left.aside {
                record = left;
            }
        }
        journal.append(&record)?;
        let kept = Self {
            journal,
            aside: record.aside,
            keep: wanted.keep,
        };
        for folder in [kept.aside.clone(), kept.unplaced(), kept.old()] {
            make(&folder)?;
        }
        Ok(kept)
    }

    fn unplaced(&self) -> PathBuf {
        self.aside.join("new")
    }

    /// What was overwritten, by its path in the container.
    pub fn old(&self) -> PathBuf {
        self.aside.join("old")
    }

    /// Whether what is overwritten is kept.
    pub fn keeps(&self) -> bool {
        self.keep
    }

    /// Where an entry is made.
    pub fn staged(&self, index: usize) -> PathBuf {
        self.unplaced().join(index.to_string())
    }

    /// Keeps what stands at an entry's place: a further name for it, so that nothing is copied and
    /// what is written to it until it is replaced is kept too. Why it cannot be kept is a sentence.
    pub fn keep(
        &mut self,
        target: &Target,
        folder: &OwnedFd,
        entry: &Entry,
    ) -> Result<std::result::Result<(), String>> {
        let (Place::Local { mounted, .. }, Some((name, _)), true) =
            (&target.place, entry.path.split_last(), self.keep)
        else {
            return Ok(Ok(()));
        };
        let at = below(&self.old(), mounted, &entry.path);
        if let Some(parent) = at.parent() {
            fs_err::create_dir_all(parent)?;
        }
        match rustix::fs::linkat(folder, &name[..], CWD, &at, AtFlags::empty()) {
            Ok(()) => Ok(Ok(())),
            Err(Errno::EXIST) if is_same(folder, name, &at)? => Ok(Ok(())),
            Err(e) => Ok(Err(format!(
                "was left alone, because what is there could not be kept aside ({e}); with --no-backup it is not kept"
            ))),
        }
    }

    /// Takes away what is ours; says where the rest is, if there is any.
    pub fn end(self) -> Result<Option<PathBuf>> {
        remove_tree(&self.unplaced())?;
        let old = self.old();
        // Folders of ours in which nothing is.
        let is_empty = fs_err::remove_dir(&old).is_ok();
        if is_empty {
            // Not empty: somebody else's, it stays.
            let _ = fs_err::remove_dir(&self.aside);
            exchange::leave_room(&self.aside);
        }
        self.journal.finish()?;
        Ok((!is_empty).then_some(old))
    }
}

/// Whether two names are of one file.
fn is_same(folder: &OwnedFd, name: &[u8], at: &Path) -> Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let there = status(folder, name)?;
    let kept = fs_err::symlink_metadata(at)?;
    Ok(there.is_some_and(|s| (s.st_dev, s.st_ino) == (kept.dev(), kept.ino())))
}

fn make(folder: &Path) -> Result<()> {
    use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    let parent = folder.parent().unwrap_or(Path::new("/"));
    fs_err::create_dir_all(parent)?;
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder
        .create(folder)
        .map_err(|e| RecoveryError::Failed(format!("create {}: {e}", folder.display())))?;
    // A link in its place, or somebody else's folder, is no place for data.
    let meta = fs_err::symlink_metadata(folder)?;
    if !meta.is_dir() {
        return Err(RecoveryError::Refused(format!(
            "{} is in the way; move it away",
            folder.display()
        )));
    }
    fs_err::set_permissions(folder, std::fs::Permissions::from_mode(0o700))?;
    Ok(())
}

fn remove_tree(folder: &Path) -> Result<()> {
    match fs_err::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e.into()),
        _ => Ok(()),
    }
}

/// Beside the mount's own folder where that is the same file system, else in it.
fn place(ctx: &Context, target: &Target, id: &str) -> Result<PathBuf> {
    use std::os::unix::fs::MetadataExt;
    let Place::Local { root, volume, .. } = &target.place else {
        return Ok(ctx.places.state.join("kept").join(format!("into-{id}")));
    };
    let beside = match volume {
        Some(volume) => exchange::aside_of_volume(root, volume, id),
        None => exchange::aside(root, id),
    };
    let near = beside.ancestors().skip(1).find(|path| path.exists());
    let device = |path: &Path| fs_err::metadata(path).map(|meta| meta.dev());
    let one = near.is_some_and(|near| device(near).ok() == device(root).ok());
    if !one || crate::copies::mounted_in(root)?.is_some_and(|mount| mount == *root) {
        return Ok(root.join(format!(".lifeboat-aside-{id}")));
    }
    exchange::make_room(&beside)?;
    Ok(beside)
}
