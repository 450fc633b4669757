//! Old containers that were set aside when one was made again: kept for some days, then taken away.
//!
//! `asides.json` in the agent's folder, written before anything is renamed. Taken away is what this record *and*
//! the name that we gave agree on, and does not run; whatever else is there is somebody's.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fs_err as fs;
use lifeboat_engine::Engine;
use lifeboat_plan::supervise::Moment;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::Clock;

/// So long they are kept.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// So long a replacement may take: what does not have its name by then was not set aside, or is somebody's now.
const UNDER_WAY: Duration = Duration::from_secs(3600);

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Aside {
    /// Full id.
    id: String,
    /// The name that it had.
    name: String,
    /// The name that it has since.
    aside: String,
    /// Since when.
    at: Moment,
}

/// The record.
#[derive(Clone)]
pub(crate) struct Asides {
    path: PathBuf,
    clock: Clock,
    // Hands write it, and the upkeep.
    one_at_a_time: Arc<Mutex<()>>,
}

impl Asides {
    pub(crate) fn in_folder(folder: &Path, clock: Clock) -> Self {
        Self {
            path: folder.join("asides.json"),
            clock,
            one_at_a_time: Arc::default(),
        }
    }

    /// Writes down that it is about to be set aside. Where that cannot be written it is kept for ever, which is no
    /// harm.
    pub(crate) fn record(&self, id: &str, name: &str, aside: &str) {
        let _one = self.one_at_a_time.lock();
        let mut all = self.load();
        all.retain(|old| old.id != id);
        all.push(Aside {
            id: id.to_owned(),
            name: name.to_owned(),
            aside: aside.to_owned(),
            at: self.clock.now(),
        });
        self.save(&all);
    }

    /// Takes away what has been kept long enough. Names of what was.
    pub(crate) fn expire(&self, engine: &dyn Engine) -> Vec<(String, String)> {
        let _one = self.one_at_a_time.lock();
        let (all, now) = (self.load(), self.clock.now());
        let mut gone = Vec::new();
        let mut left = Vec::new();
        for aside in &all {
            match look(engine, aside, now) {
                Fate::Kept => left.push(aside.clone()),
                Fate::Forgotten => {}
                // Volumes without a name are the new one's now.
                Fate::Due => match engine.remove_container(&aside.id, false, false) {
                    Ok(()) => gone.push((aside.name.clone(), aside.aside.clone())),
                    Err(error) => {
                        tracing::warn!(%error, container = aside.aside, "what was set aside cannot be taken away; it is tried again");
                        left.push(aside.clone());
                    }
                },
            }
        }
        if left != all {
            self.save(&left);
        }
        gone
    }

    fn load(&self) -> Vec<Aside> {
        let text = fs::read(&self.path).unwrap_or_default();
        // Lost or damaged: what it named is kept for ever.
        serde_json::from_slice(&text).unwrap_or_default()
    }

    fn save(&self, all: &[Aside]) {
        let new = self.path.with_extension("json.new");
        let write = || {
            fs::write(&new, serde_json::to_vec(all)?)?;
            fs::File::open(&new)?.sync_all()?;
            fs::rename(&new, &self.path)
        };
        if let Err(error) = write() {
            tracing::warn!(%error, "what was set aside cannot be written down; it is not taken away by itself");
        }
    }
}

/// What becomes of one.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    Kept,
    Forgotten,
    Due,
}

fn look(engine: &dyn Engine, aside: &Aside, now: Moment) -> Fate {
    let raw = match engine.inspect_container(&aside.id) {
        Ok(raw) => raw,
        Err(error) if error.is_not_found() => return Fate::Forgotten,
        Err(_) => return Fate::Kept,
    };
    let name = raw["Name"].as_str().unwrap_or_default();
    let runs = raw["State"]["Running"] == true || raw["State"]["Paused"] == true;
    fate(name.trim_start_matches('/'), runs, aside, now)
}

fn fate(name: &str, runs: bool, aside: &Aside, now: Moment) -> Fate {
    let kept = now.since(aside.at);
    if name != aside.aside {
        return match kept < UNDER_WAY {
            true => Fate::Kept,
            false => Fate::Forgotten,
        };
    }
    match !runs && kept >= KEPT {
        true => Fate::Due,
        false => Fate::Kept,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_ours_still_does_not_run_and_is_old_enough_goes() {
        let aside = Aside {
            id: "ab".to_owned(),
            name: "web".to_owned(),
            aside: "web.lifeboat-old-ab".to_owned(),
            at: Moment(1_000),
        };
        let after = |time: Duration| aside.at.plus(time);
        let minute = Duration::from_secs(60);
        for (name, runs, now, expected) in [
            ("web.lifeboat-old-ab", false, after(KEPT), Fate::Due),
            (
                "web.lifeboat-old-ab",
                false,
                after(KEPT - minute),
                Fate::Kept,
            ),
            // A clock that was set back.
            ("web.lifeboat-old-ab", false, Moment(0), Fate::Kept),
            ("web.lifeboat-old-ab", true, after(KEPT * 2), Fate::Kept),
            ("web", false, after(minute), Fate::Kept),
            ("web", false, after(KEPT), Fate::Forgotten),
        ] {
            assert_eq!(
                fate(name, runs, &aside, now),
                expected,
                "{name} {runs} {now:?}"
            );
        }
    }

    #[test]
    fn it_is_written_once_for_each() {
        let dir = tempfile::tempdir().unwrap();
        let asides = Asides::in_folder(dir.path(), Clock::at(1_000_000));
        assert_eq!(asides.load(), []);
        asides.record("ab", "web", "web.old");
        asides.record("cd", "db", "db.old");
        asides.record("ab", "web", "web.old");
        let all = asides.load();
        let ids: Vec<&str> = all.iter().map(|a| a.id.as_str()).collect();
        assert_eq!(ids, ["cd", "ab"]);
        fs::write(dir.path().join("asides.json"), "{").unwrap();
        assert_eq!(asides.load(), []);
    }
}
