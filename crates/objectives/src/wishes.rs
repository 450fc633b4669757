//! What the API set: one file, replaced whole. It is no record that could be made again, so it does not lie among them.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lifeboat_plan::policy::Wishes;
use parking_lot::Mutex;

use crate::{Error, Result};

/// The wishes of all apps, by `site/host/app`.
#[derive(Clone)]
pub(crate) struct ApiWishes {
    path: PathBuf,
    all: Arc<Mutex<BTreeMap<String, Wishes>>>,
    changes: Arc<AtomicU64>,
}

/// What the API set for all apps of a state directory, for those who only show it.
#[must_use]
pub fn set_by_api(state: &Path) -> BTreeMap<String, Wishes> {
    let text = fs_err::read(state.join("objectives").join("policies.json"));
    text.ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default()
}

impl ApiWishes {
    /// Reads what is there. A file that makes no sense is set aside and said: labels, `lifeboat.toml` and the default then
    /// hold, which never takes protection away.
    pub fn open(state: &Path) -> Result<Self> {
        let path = state.join("objectives").join("policies.json");
        let all = match fs_err::read(&path) {
            Ok(text) => serde_json::from_slice(&text).unwrap_or_else(|why| {
                let aside = path.with_extension("json.damaged");
                tracing::error!(
                    "what the API set of policies cannot be read ({why}); it is set aside as {} and does not hold any more",
                    aside.display()
                );
                let _ = fs_err::rename(&path, aside);
                BTreeMap::new()
            }),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => BTreeMap::new(),
            Err(e) => return Err(e.into()),
        };
        Ok(Self {
            path,
            all: Arc::new(Mutex::new(all)),
            changes: Arc::default(),
        })
    }

    pub fn all(&self) -> BTreeMap<String, Wishes> {
        self.all.lock().clone()
    }

    pub fn get(&self, app: &str) -> Option<Wishes> {
        self.all.lock().get(app).cloned()
    }

    /// How often something was set since the agent began.
    pub fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Sets or takes back, durably; the number of the change.
    pub fn set(&self, app: &str, wishes: Option<Wishes>) -> Result<u64> {
        let mut all = self.all.lock();
        let mut new = all.clone();
        match wishes {
            Some(wishes) => drop(new.insert(app.to_owned(), wishes)),
            None => drop(new.remove(app)),
        }
        let text = serde_json::to_vec(&new).map_err(|e| Error::Settings(e.to_string()))?;
        let temporary = self.path.with_extension("json.new");
        let mut file = fs_err::File::create(&temporary)?;
        file.write_all(&text)?;
        file.sync_all()?;
        fs_err::rename(&temporary, &self.path)?;
        if let Some(folder) = self.path.parent() {
            fs_err::File::open(folder)?.sync_all()?;
        }
        *all = new;
        Ok(self.changes.fetch_add(1, Ordering::AcqRel) + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_is_there_after_a_restart_and_damage_is_set_aside() {
        let dir = tempfile::tempdir().unwrap();
        fs_err::create_dir_all(dir.path().join("objectives")).unwrap();
        let wishes = ApiWishes::open(dir.path()).unwrap();
        let hourly = Wishes {
            rpo: Some("1h".parse().unwrap()),
            ..Wishes::default()
        };
        assert_eq!(wishes.set("s/h/a", Some(hourly.clone())).unwrap(), 1);
        assert_eq!(wishes.set("s/h/b", Some(hourly.clone())).unwrap(), 2);
        assert_eq!(wishes.set("s/h/b", None).unwrap(), 3);
        let again = ApiWishes::open(dir.path()).unwrap();
        assert_eq!(again.get("s/h/a"), Some(hourly));
        assert_eq!(again.get("s/h/b"), None);
        fs_err::write(&again.path, "{").unwrap();
        assert!(ApiWishes::open(dir.path()).unwrap().all().is_empty());
        assert!(again.path.with_extension("json.damaged").exists());
    }
}
