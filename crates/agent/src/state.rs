//! The world on disk: one file, replaced whole.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use fs_err as fs;
use lifeboat_plan::supervise::{Moment, World};

use crate::{Error, Result};

/// The file, and what was written last.
pub(crate) struct StateFile {
    path: PathBuf,
    written: Vec<u8>,
}

impl StateFile {
    pub(crate) fn new(folder: &Path) -> Self {
        Self {
            path: folder.join("supervisor.json"),
            written: Vec::new(),
        }
    }

    /// What was written before. A file that cannot be read is set aside and said: supervision begins anew, and what does not
    /// run then counts as stopped by somebody.
    pub(crate) fn load(&self, seed: u64, at: Moment) -> World {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return World::new(seed),
            Err(error) => {
                tracing::warn!(%error, "the supervisor's state cannot be read; it begins anew");
                return World::new(seed);
            }
        };
        match serde_json::from_slice::<World>(&text) {
            Ok(world) => world.resumed(at),
            Err(error) => {
                let aside = self.path.with_extension("json.unreadable");
                tracing::warn!(%error, aside = %aside.display(), "the supervisor's state makes no sense and is set aside; it begins anew");
                let _ = fs::rename(&self.path, aside);
                World::new(seed)
            }
        }
    }

    /// Writes down what is gone, in a file of its own that others read: names of containers by app.
    pub(crate) fn save_gone(&self, gone: &BTreeMap<String, Vec<String>>) -> std::io::Result<()> {
        let path = self.path.with_file_name("gone.json");
        let temporary = self.path.with_file_name("gone.json.new");
        fs::write(&temporary, serde_json::to_vec(gone)?)?;
        fs::rename(&temporary, &path)
    }

    /// Writes the world if it changed; durably where something is about to be done.
    pub(crate) fn save(&mut self, world: &World, durable: bool) -> Result<()> {
        let context = "write the supervisor's state";
        let text = serde_json::to_vec(world).map_err(|error| Error::File {
            context: context.to_owned(),
            source: error.into(),
        })?;
        if text == self.written {
            return Ok(());
        }
        let temporary = self.path.with_extension("json.new");
        let write = || {
            let mut file = fs::File::create(&temporary)?;
            file.write_all(&text)?;
            if durable {
                file.sync_all()?;
            }
            fs::rename(&temporary, &self.path)
        };
        write().map_err(Error::file(context))?;
        self.written = text;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_and_begins_anew_where_it_makes_no_sense() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = StateFile::new(dir.path());
        let at = Moment(5_000);
        assert_eq!(file.load(1, at), World::new(1));
        let mut world = World::new(7);
        world.engine = "e".to_owned();
        file.save(&world, true).unwrap();
        assert_eq!(StateFile::new(dir.path()).load(1, at).engine, "e");
        fs::write(dir.path().join("supervisor.json"), "{\"units\":").unwrap();
        assert_eq!(StateFile::new(dir.path()).load(1, at), World::new(1));
        assert!(dir.path().join("supervisor.json.unreadable").exists());
    }
}
