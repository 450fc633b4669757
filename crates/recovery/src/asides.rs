//! Data that was set aside: what an app had before it was replaced. It stays for a week, or until
//! somebody takes it away.
//!
//! A record is `aside/ID.json` in the state directory; the data lies where it lay, under a hidden name
//! beside what took its place. Invariant: what is removed stands in a record **and** is the very file
//! or folder that was written down there (inode and birth); anything else stays and is named. A
//! removal that is interrupted is run again: the record goes last.

use std::path::{Path, PathBuf};

use lifeboat_vault::id::SnapshotId;
use serde::{Deserialize, Serialize};

use crate::{
    Places, RecoveryError, Result,
    restore::{
        exchange,
        journal::{Intent, read_file},
    },
    setup::write_private,
};

/// How long the data stays.
const KEPT_HOURS: i64 = 7 * 24;

/// One file or folder that lies aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsidePath {
    /// Where it lies.
    pub path: PathBuf,
    /// Whose place it had.
    pub of: PathBuf,
    /// Which one it is.
    is: String,
}

impl AsidePath {
    /// What lies there now; `None` if nothing does.
    pub(crate) fn look(path: &Path, of: &Path) -> Result<Option<Self>> {
        Ok(exchange::which(path)?.map(|is| Self {
            path: path.to_owned(),
            of: of.to_owned(),
            is,
        }))
    }
}

/// What one operation set aside.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Aside {
    /// The operation.
    pub id: String,
    /// `site/host/app`.
    pub app: String,
    /// The point that took its place.
    pub point: Option<SnapshotId>,
    /// The point that holds the app as it was.
    pub safety_point: Option<SnapshotId>,
    /// It is not what was replaced, but what the replacement wrote before it was taken back.
    #[serde(default)]
    pub of_replacement: bool,
    /// When it was set aside.
    pub made: jiff::Timestamp,
    /// When it goes.
    pub until: jiff::Timestamp,
    /// What lies where.
    pub paths: Vec<AsidePath>,
}

/// What a removal will take away, or did.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Removed {
    /// Paths that go.
    pub paths: Vec<PathBuf>,
    /// What stays, and why. Not empty: exit code 3.
    pub stays: Vec<String>,
}

impl Aside {
    pub(crate) fn new(
        app: &str,
        id: &str,
        point: Option<SnapshotId>,
        safety_point: Option<SnapshotId>,
    ) -> Self {
        let made = jiff::Timestamp::now();
        let week = jiff::SignedDuration::from_hours(KEPT_HOURS);
        Self {
            id: id.to_owned(),
            app: app.to_owned(),
            point,
            safety_point,
            of_replacement: false,
            made,
            until: made.checked_add(week).unwrap_or(made),
            paths: Vec::new(),
        }
    }

    /// Writes the record, whole or not at all. One of the same operation keeps its time.
    pub(crate) fn save(&self, places: &Places) -> Result<()> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|e| RecoveryError::Failed(format!("write a record: {e}")))?;
        fs_err::create_dir_all(places.asides())?;
        write_private(&self.file(places), &text, true)
    }

    fn file(&self, places: &Places) -> PathBuf {
        places.asides().join(format!("{}.json", self.id))
    }

    /// The app's own name.
    pub fn name(&self) -> &str {
        self.app.rsplit('/').next().unwrap_or(&self.app)
    }

    /// What a removal would take away.
    pub fn look(&self) -> Removed {
        let mut removed = Removed::default();
        for path in &self.paths {
            if exchange::is_still(&path.path, &path.is) {
                removed.paths.push(path.path.clone());
            } else if path.path.exists() {
                removed.stays.push(format!(
                    "{} is not what was set aside there",
                    path.path.display()
                ));
            }
        }
        removed
    }

    /// Takes it away, for ever.
    pub fn remove(&self, places: &Places) -> Result<Removed> {
        let mut found = self.look();
        for path in std::mem::take(&mut found.paths) {
            match exchange::remove_tree(&path) {
                Ok(()) => {
                    exchange::leave_room(&path);
                    found.paths.push(path);
                }
                Err(e) => found.stays.push(format!("{}: {e}", path.display())),
            }
        }
        if found.stays.is_empty() {
            match fs_err::remove_file(self.file(places)) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
                _ => {}
            }
        }
        Ok(found)
    }
}

/// Everything that was set aside on this host, oldest first. A record that cannot be read is an error:
/// its data would be forgotten.
pub fn list(places: &Places) -> Result<Vec<Aside>> {
    let mut found = Vec::new();
    for entry in fs_err::read_dir(places.asides()).into_iter().flatten() {
        let path = entry?.path();
        if path.extension().is_none_or(|e| e != "json") {
            continue;
        }
        let aside: Aside = serde_json::from_slice(&fs_err::read(&path)?).map_err(|e| {
            RecoveryError::Failed(format!("{} cannot be read ({e})", path.display()))
        })?;
        found.push(aside);
    }
    found.sort_by_key(|aside| aside.made);
    Ok(found)
}

/// What was set aside of one app, by its name or `[SITE/]HOST/APP`.
pub fn of_app(places: &Places, app: &str) -> Result<Vec<Aside>> {
    let fits = |aside: &Aside| aside.app == app || aside.app.ends_with(&format!("/{app}"));
    Ok(list(places)?.into_iter().filter(fits).collect())
}

/// Takes away what has been aside for long enough, and returns what went of which app.
pub fn expire(places: &Places, now: jiff::Timestamp) -> Result<Vec<(Aside, Removed)>> {
    let mut gone = Vec::new();
    for aside in list(places)?.into_iter().filter(|aside| aside.until <= now) {
        let removed = aside.remove(places)?;
        gone.push((aside, removed));
    }
    Ok(gone)
}

/// Everything of ours that lies beside an app's data, for captures to leave out: what was set aside, and
/// what a restore is making.
pub(crate) fn paths(places: &Places) -> Vec<PathBuf> {
    let aside = list(places).unwrap_or_default().into_iter();
    let mut found: Vec<PathBuf> = aside
        .flat_map(|aside| aside.paths)
        .flat_map(|p| exchange::hidden(&p.path))
        .collect();
    let journals = fs_err::read_dir(places.journal()).into_iter().flatten();
    for journal in journals.flatten() {
        for intent in read_file(&journal.path()) {
            if let Intent::Staging(_, place) = intent {
                found.extend(exchange::hidden(&place));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_folder_goes_and_the_record_last() {
        let dir = tempfile::tempdir().unwrap();
        let places = Places {
            config: dir.path().join("etc"),
            state: dir.path().join("state"),
        };
        let (data, theirs) = (dir.path().join(".data"), dir.path().join(".theirs"));
        for path in [&data, &theirs] {
            fs_err::create_dir_all(path.join("below")).unwrap();
        }
        let mut aside = Aside::new("default/web1/shop", "1a", None, None);
        for path in [&data, &theirs] {
            let found = AsidePath::look(path, Path::new("/srv/data")).unwrap();
            aside.paths.push(found.unwrap());
        }
        aside.save(&places).unwrap();
        assert_eq!(paths(&places), [data.clone(), theirs.clone()]);
        fs_err::rename(&theirs, dir.path().join("kept")).unwrap();
        fs_err::create_dir(&theirs).unwrap();
        let found = of_app(&places, "web1/shop").unwrap();
        assert!(of_app(&places, "hop").unwrap().is_empty());
        let removed = found[0].remove(&places).unwrap();
        assert_eq!(removed.paths, std::slice::from_ref(&data));
        assert_eq!(removed.stays.len(), 1);
        assert!(!data.exists() && theirs.exists());
        fs_err::remove_dir(&theirs).unwrap();
        // A week later the rest goes by itself.
        assert!(expire(&places, jiff::Timestamp::now()).unwrap().is_empty());
        let gone = expire(&places, found[0].until).unwrap();
        assert_eq!(gone.len(), 1);
        assert!(list(&places).unwrap().is_empty());
    }
}
