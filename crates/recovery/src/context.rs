//! What every use case needs: places on this host, settings, the vault, the engine.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

use lifeboat_capture::Cancel;
use lifeboat_engine::Engine;
use lifeboat_store::{SpoolStore, Store};
use lifeboat_vault::{Vault, progress::Progress};
use serde::{Deserialize, Serialize};

use crate::{
    RecoveryError, Result,
    restore::{Course, Step, Work},
};

/// Where things of ours lie on this host. Everything in it can be lost: a recovery needs the vault
/// and its key alone.
#[derive(Debug, Clone)]
pub struct Places {
    /// Settings and key, `/etc/lifeboat`.
    pub config: PathBuf,
    /// Journals, spool and the default vault, `/var/lib/lifeboat`.
    pub state: PathBuf,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            config: "/etc/lifeboat".into(),
            state: "/var/lib/lifeboat".into(),
        }
    }
}

impl Places {
    /// Default place of the vault.
    pub fn vault(&self) -> PathBuf {
        self.state.join("vault")
    }

    /// Default place of the generated key.
    pub fn key(&self) -> PathBuf {
        self.config.join("key")
    }

    /// The settings file.
    pub fn settings(&self) -> PathBuf {
        self.config.join("config.toml")
    }

    /// Journals of operations.
    pub fn journal(&self) -> PathBuf {
        self.state.join("journal")
    }

    /// Bind sources, project files and records of the copies that `restore --as` makes.
    pub fn copies(&self) -> PathBuf {
        self.state.join("copies")
    }

    /// Which bind sources held data at the newest points.
    pub fn held(&self) -> PathBuf {
        self.state.join("held")
    }

    /// What the agent knows to be gone: names of containers by app.
    pub fn gone(&self) -> PathBuf {
        self.state.join("agent").join("gone.json")
    }

    /// Records of what was set aside.
    pub fn asides(&self) -> PathBuf {
        self.state.join("aside")
    }

    /// Reports of restores.
    pub fn reports(&self) -> PathBuf {
        self.state.join("reports")
    }

    /// What this host has locked in a vault whose points are locked.
    pub fn locks(&self, vault: &str) -> PathBuf {
        // The id comes from the vault's config, which somebody else may have written.
        let name = vault.chars().filter(char::is_ascii_alphanumeric).take(64);
        self.state.join("locks").join(name.collect::<String>())
    }

    /// Where packs wait while an app is frozen and the vault is slow.
    pub fn spool(&self) -> PathBuf {
        self.state.join("spool")
    }
}

/// What `init` remembers, so that later commands need no flags. Holds no secret.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Location of the vault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vault: Option<String>,
    /// File that holds the key or password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Name of the site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub site: Option<String>,
    /// The name given to this host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Whether somebody said that the recovery sheet is kept away from this machine. `None`: nobody is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sheet_saved: Option<bool>,
    /// What `forget` keeps: by app, `[[SITE/]HOST/]APP`, or `*` for all others. Written by hand; last, as TOML wants it.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub retention: BTreeMap<String, toml::Table>,
}

impl Settings {
    /// Reads the settings; a missing file is the default.
    pub fn load(path: &Path) -> Result<Self> {
        let text = match fs_err::read_to_string(path) {
            Ok(text) => text,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(e) => return Err(e.into()),
        };
        toml::from_str(&text).map_err(|e| {
            RecoveryError::Failed(format!(
                "{} cannot be read: {}; correct that line or delete the file",
                path.display(),
                e.message()
            ))
        })
    }

    /// Writes the settings, whole or not at all.
    pub fn save(&self, path: &Path) -> Result<()> {
        let text = toml::to_string(self)
            .map_err(|e| RecoveryError::Failed(format!("settings cannot be written: {e}")))?;
        // No secret is in it, and everybody who may use the engine reads it.
        crate::setup::write_whole(path, text.as_bytes(), true, 0o644)
    }
}

/// What a use case works with.
#[derive(Clone)]
pub struct Context {
    /// The open vault.
    pub vault: Vault,
    /// The spool in front of the vault's store, if there is one: see [`open_spool`].
    pub spool: Option<Arc<SpoolStore>>,
    /// The engine, where one is needed.
    pub engine: Option<Arc<dyn Engine>>,
    /// Name of this site.
    pub site: String,
    /// The name given to this host; `None` means the engine's host name.
    pub host: Option<String>,
    /// This machine's own name, for plain snapshots.
    pub hostname: String,
    /// Who runs this, for plain snapshots.
    pub username: String,
    /// Places of ours.
    pub places: Places,
    /// Paths that no capture enters: vault, key, state.
    pub ours: Vec<PathBuf>,
    /// Who listens.
    pub progress: Arc<dyn Progress>,
    /// The plan that is carried out, if there is one.
    pub course: Option<Arc<Course>>,
    /// Set by a signal.
    pub cancel: Cancel,
    /// The program that the watchdog is started from (`lifeboat`, as `current_exe` has it).
    pub program: PathBuf,
}

/// Puts a spool of this process in front of a store. Spools of processes that are dead are removed:
/// what they held, no snapshot names.
pub fn open_spool(places: &Places, store: Arc<dyn Store>) -> Result<Arc<SpoolStore>> {
    let failed = |e: lifeboat_store::StoreError| RecoveryError::Failed(e.to_string());
    remove_spools_of_the_dead(&places.spool())?;
    let own = places.spool().join(std::process::id().to_string());
    Ok(Arc::new(SpoolStore::new(store, &own).map_err(failed)?))
}

/// Several processes may do so at once: what another one has removed is as well.
fn remove_spools_of_the_dead(spools: &Path) -> std::io::Result<()> {
    fs_err::create_dir_all(spools)?;
    for entry in fs_err::read_dir(spools)? {
        let entry = entry?;
        let pid = entry.file_name().to_string_lossy().parse::<u32>();
        if pid.is_ok_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            match fs_err::remove_dir_all(entry.path()) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
                _ => {}
            }
        }
    }
    Ok(())
}

impl Context {
    /// The engine, or a sentence.
    pub fn engine(&self) -> Result<&Arc<dyn Engine>> {
        self.engine.as_ref().ok_or_else(|| {
            RecoveryError::Failed("this needs an engine, and none was connected".to_owned())
        })
    }

    /// Stops at a safe place once a signal came.
    pub fn stop_if_cancelled(&self) -> Result<()> {
        if self.cancel.is_cancelled() {
            Err(RecoveryError::Interrupted)
        } else {
            Ok(())
        }
    }

    /// The same, carrying out these steps.
    pub(crate) fn following(&self, steps: &[Step]) -> Self {
        Self {
            course: Some(Arc::new(Course::new(steps.to_vec()))),
            ..self.clone()
        }
    }

    /// This step of the plan begins, and the one before has ended.
    pub(crate) fn take(&self, work: Work, name: &str) {
        let begun = self.course.as_ref().and_then(|c| c.begin(work, name));
        if let Some(step) = begun {
            self.progress.planned(step.at, step.of, &step.label);
        }
    }

    /// The step under way has ended.
    pub(crate) fn taken(&self) {
        if let Some(course) = &self.course {
            course.end();
            self.progress.planned(0, 0, "");
        }
    }

    /// There was nothing to do for this step.
    pub(crate) fn is_there(&self, work: Work, name: &str) {
        if let Some(course) = &self.course {
            course.is_there(work, name);
        }
    }

    /// All steps of a kind were taken together.
    pub(crate) fn done_together(&self, work: Work) {
        if let Some(course) = &self.course {
            course.done_together(work);
        }
    }

    /// The steps of a plan as they came out.
    pub(crate) fn steps_taken(&self, steps: &[Step], continues: bool) -> Vec<Step> {
        self.taken();
        match &self.course {
            Some(course) => course.ended(continues),
            None => steps.to_vec(),
        }
    }

    /// Once a signal came, whatever went wrong went wrong because of it.
    pub(crate) fn or_interrupted(&self, error: RecoveryError) -> RecoveryError {
        if self.cancel.is_cancelled() {
            RecoveryError::Interrupted
        } else {
            error
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spools_of_the_dead_are_removed_by_several_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let spools = dir.path().join("spool");
        // No process has a number so high (PID_MAX_LIMIT in linux/threads.h).
        const NOBODY: u32 = 1 << 22;
        let living = spools.join(std::process::id().to_string());
        fs_err::create_dir_all(&living).unwrap();
        for n in 1..=200 {
            let data = spools.join((NOBODY + n).to_string()).join("data");
            fs_err::create_dir_all(&data).unwrap();
            fs_err::write(data.join("pack"), "x").unwrap();
        }
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| remove_spools_of_the_dead(&spools)))
                .collect();
            for one in all {
                one.join().unwrap().unwrap();
            }
        });
        let left: Vec<_> = fs_err::read_dir(&spools).unwrap().collect();
        assert_eq!(left.len(), 1);
        assert!(living.exists());
    }
}
