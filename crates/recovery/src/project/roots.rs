//! Which folders and files have to be taken so that all that is named comes back: none within
//! another, none twice, and none that would keep the others from coming back.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use lifeboat_capture::{SkipSet, estimate_within};
use lifeboat_plan::{bind::system_path, path::is_within};

use crate::selection::{BindChoice, Size};

/// Project folder and build contexts together hold no more: else they hold more than definitions.
pub(super) const MAX_BYTES: u64 = 1 << 30;
/// A folder above the project folder is taken entry by entry, if it has no more than these.
const MAX_ENTRIES: usize = 200;
/// Counting what is in a build context takes no longer.
const MAX_TIME: Duration = Duration::from_secs(10);

/// Why something is not taken.
pub(super) struct Refused {
    pub reason: String,
    pub bytes: Option<u64>,
}

/// What is taken so far.
pub(super) struct Roots<'a> {
    binds: &'a [BindChoice],
    skip: SkipSet,
    /// Folders and files.
    pub roots: Vec<PathBuf>,
    /// What each of them holds, binds aside.
    pub sizes: BTreeMap<PathBuf, Size>,
    /// What they hold together.
    pub size: Size,
}

impl<'a> Roots<'a> {
    pub fn new(binds: &'a [BindChoice], skip: &SkipSet) -> Self {
        let mut skip = skip.clone();
        for path in binds.iter().flat_map(paths) {
            skip.insert(&path);
        }
        Self {
            binds,
            skip,
            roots: Vec::new(),
            sizes: BTreeMap::new(),
            size: Size::default(),
        }
    }

    /// Binds below the roots: decided about by themselves.
    pub fn without(&self) -> Vec<PathBuf> {
        let below = |path: &PathBuf| self.roots.iter().any(|root| path.starts_with(root));
        self.binds.iter().flat_map(paths).filter(below).collect()
    }

    /// `true` if this path comes back already.
    pub fn cover(&self, path: &str) -> bool {
        let above = self
            .binds
            .iter()
            .filter(|b| is_within(path, &b.bind.source))
            .max_by_key(|b| b.bind.source.len());
        match above {
            // The bind itself was decided about, and named if it is left out.
            Some(bind) if bind.decision.is_captured() || bind.bind.source == path => true,
            Some(bind) => self.roots.iter().any(|root| {
                root.starts_with(&bind.bind.source) && Path::new(path).starts_with(root)
            }),
            None => self
                .roots
                .iter()
                .any(|root| Path::new(path).starts_with(root)),
        }
    }

    /// Takes what is at a path; where that is a symbolic link, what it leads to as well.
    pub fn take(&mut self, path: &str) -> Result<(), Refused> {
        self.take_one(path)?;
        let link = fs_err::symlink_metadata(path).is_ok_and(|meta| meta.is_symlink());
        let to = fs_err::canonicalize(path).ok();
        match to.as_deref().and_then(Path::to_str) {
            Some(to) if to != path && (link || !self.cover_through(path, to)) => self.take_one(to),
            _ => Ok(()),
        }
    }

    /// `true` if a path that holds a link further up comes back as it is, the link being outside of
    /// all that is taken.
    fn cover_through(&self, path: &str, to: &str) -> bool {
        let inner = self
            .roots
            .iter()
            .find(|root| Path::new(path).starts_with(root));
        let Some(root) = inner else { return true };
        fs_err::canonicalize(root).is_ok_and(|root| Path::new(to).starts_with(root))
    }

    fn take_one(&mut self, path: &str) -> Result<(), Refused> {
        let refused = |reason: String, bytes| Err(Refused { reason, bytes });
        if self.cover(path) {
            return Ok(());
        }
        if let Some(what) = system_path(path, "") {
            return refused(format!("it is the host's own ({what})"), None);
        }
        let Ok(meta) = fs_err::symlink_metadata(path) else {
            return refused("it is not there".to_owned(), None);
        };
        if !meta.is_dir() {
            if !meta.is_file() && !meta.is_symlink() {
                return refused("it is a socket, pipe or device".to_owned(), None);
            }
            return self.add(path);
        }
        if !may_be_project(path) {
            let reason = "it is somebody's whole home folder, or the host's own".to_owned();
            return refused(reason, None);
        }
        if self.roots.iter().any(|root| root.starts_with(path)) {
            self.around(path)
        } else {
            self.add(path)
        }
    }

    /// Takes one folder or file, if it is not too large.
    fn add(&mut self, path: &str) -> Result<(), Refused> {
        let size = estimate_within(Path::new(path), &self.skip, Some(MAX_TIME));
        let size = size.map_err(|e| Refused {
            reason: e.to_string(),
            bytes: None,
        })?;
        let total = self.size.bytes.saturating_add(size.bytes);
        // A folder must not crowd out what is named file by file.
        let counted = if size.dirs > 0 { total } else { size.bytes };
        if size.incomplete || counted > MAX_BYTES {
            let all = if counted == size.bytes {
                ""
            } else {
                " with the rest of the project"
            };
            return Err(Refused {
                reason: format!(
                    "it holds more than {} GiB{all}, binds aside",
                    MAX_BYTES >> 30
                ),
                bytes: Some(size.bytes),
            });
        }
        self.size.bytes = total;
        self.size.files += size.files;
        let own = Size {
            bytes: size.bytes,
            files: size.files,
        };
        self.sizes.insert(PathBuf::from(path), own);
        self.roots.push(PathBuf::from(path));
        Ok(())
    }

    /// Takes a folder around what is taken already, entry by entry: as one root it would be "there
    /// already" on any host that has something beside the project, and nothing of it would come back.
    fn around(&mut self, path: &str) -> Result<(), Refused> {
        let entries = fs_err::read_dir(path).map_err(|e| Refused {
            reason: e.kind().to_string(),
            bytes: None,
        })?;
        let mut names: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        names.sort();
        if names.len() > MAX_ENTRIES {
            return Err(Refused {
                reason: format!(
                    "it lies around the project and holds more than {MAX_ENTRIES} entries"
                ),
                bytes: None,
            });
        }
        for name in names.iter().filter_map(|name| name.to_str()) {
            match self.take_one(name) {
                Ok(()) => {}
                // What cannot be part of an image is not missed.
                Err(_) if is_special(name) => {}
                Err(refused) => return Err(refused),
            }
        }
        Ok(())
    }
}

fn is_special(path: &str) -> bool {
    fs_err::symlink_metadata(path)
        .is_ok_and(|meta| !meta.is_dir() && !meta.is_file() && !meta.is_symlink())
}

/// A bind's source as it is named, and where that leads.
fn paths(bind: &BindChoice) -> impl Iterator<Item = PathBuf> + use<> {
    let named = PathBuf::from(&bind.bind.source);
    let real = fs_err::canonicalize(&named)
        .ok()
        .filter(|real| *real != named);
    std::iter::once(named).chain(real)
}

/// `false` for folders that are somebody's home or the system's: a project in them would claim all.
pub(super) fn may_be_project(dir: &str) -> bool {
    let depth = dir
        .trim_matches('/')
        .split('/')
        .filter(|part| !part.is_empty())
        .count();
    let home = dir == "/root" || (dir.starts_with("/home/") && depth <= 2);
    depth >= 1 && !home && system_path(dir, "").is_none() && Path::new(dir).is_dir()
}
