//! How each program is asked for the same work: encrypted, deduplicated, compressed as it does by default, into a
//! directory of this machine, with its caches where it wants them but in the place of the run.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use lifeboat_testkit::command;

use super::set;

/// What we are called.
pub const OURS: &str = "lifeboat";
const PASSWORD: &str = "correct horse battery staple";

/// A program.
pub struct Program {
    /// As in the tables.
    pub name: String,
    /// What it says of itself.
    pub version: String,
    file: PathBuf,
    kind: Kind,
}

#[derive(Clone, Copy)]
enum Kind {
    Lifeboat,
    Restic,
    Rustic,
    Kopia,
    Borg,
}

impl Program {
    fn new(name: &str, file: PathBuf, kind: Kind, version: &[&str]) -> Result<Self> {
        let said = command::run(Command::new(&file).args(version))
            .with_context(|| format!("ask {name} for its version"))?;
        let version = said.lines().next().unwrap_or_default();
        Ok(Self {
            name: name.to_owned(),
            version: version.trim().to_owned(),
            file,
            kind,
        })
    }

    /// Ours.
    pub fn lifeboat(file: PathBuf) -> Result<Self> {
        Self::new(OURS, file, Kind::Lifeboat, &["--version"])
    }

    /// restic; there may be more than one.
    pub fn restic(name: &str, file: PathBuf) -> Result<Self> {
        Self::new(name, file, Kind::Restic, &["version"])
    }

    /// rustic.
    pub fn rustic(file: PathBuf) -> Result<Self> {
        Self::new("rustic", file, Kind::Rustic, &["--version"])
    }

    /// kopia.
    pub fn kopia(file: PathBuf) -> Result<Self> {
        Self::new("kopia", file, Kind::Kopia, &["--version"])
    }

    /// Borg.
    pub fn borg(file: PathBuf) -> Result<Self> {
        Self::new("borg", file, Kind::Borg, &["--version"])
    }

    /// The program with its environment: home, vault and password of this place, nothing of the person's.
    fn command(&self, place: &Place) -> Command {
        let mut command = Command::new(&self.file);
        let vault = place.vault();
        command.env("HOME", place.dir().join("home"));
        command.env("XDG_CACHE_HOME", place.dir().join("cache"));
        command.env_remove("XDG_CONFIG_HOME");
        match self.kind {
            Kind::Lifeboat => {
                command.env("LIFEBOAT_CONFIG_DIR", place.dir().join("config"));
                command.env("LIFEBOAT_STATE_DIR", place.dir().join("state"));
                command.env("LIFEBOAT_VAULT", vault);
                command.env("LIFEBOAT_PASSWORD", PASSWORD).arg("--quiet");
            }
            Kind::Restic => {
                command.env("RESTIC_REPOSITORY", vault);
                command.env("RESTIC_PASSWORD", PASSWORD).arg("--quiet");
            }
            Kind::Rustic => {
                command.env("RUSTIC_REPOSITORY", vault);
                command.env("RUSTIC_PASSWORD", PASSWORD);
                command.env("RUSTIC_NO_PROGRESS", "true");
            }
            Kind::Kopia => {
                command.env("KOPIA_PASSWORD", PASSWORD);
                command.env("KOPIA_CHECK_FOR_UPDATES", "false");
                command.env("KOPIA_CONFIG_PATH", place.dir().join("kopia.config"));
                command.env("KOPIA_LOG_DIR", place.dir().join("log"));
                command.env("KOPIA_CACHE_DIRECTORY", place.dir().join("cache/kopia"));
                command.arg("--no-progress");
            }
            Kind::Borg => {
                command.env("BORG_REPO", vault);
                command.env("BORG_PASSPHRASE", PASSWORD);
                command.env("BORG_BASE_DIR", place.dir().join("home"));
            }
        }
        command
    }

    /// Makes an empty vault.
    pub fn init(&self, place: &Place) -> Result<()> {
        let mut init = self.command(place);
        match self.kind {
            Kind::Lifeboat => {
                init.args(["init", "--sheet"])
                    .arg(place.dir().join("sheet.txt"));
            }
            Kind::Restic | Kind::Rustic => {
                init.arg("init");
            }
            Kind::Kopia => {
                init.args(["repository", "create", "filesystem", "--path"]);
                init.arg(place.vault());
            }
            Kind::Borg => {
                init.args(["init", "--encryption", "repokey-blake2"]);
            }
        }
        command::run(&mut init)?;
        if matches!(self.kind, Kind::Kopia) {
            // It compresses nothing unless it is told to; this is the fastest that it has.
            let mut policy = self.command(place);
            policy.args(["policy", "set", "--global", "--compression=zstd-fastest"]);
            // By itself it forgets all but ten snapshots of a day.
            policy.arg("--keep-latest=100");
            command::run(&mut policy)?;
        }
        Ok(())
    }

    /// Backs `source` up, for the `n`th time (from 1).
    pub fn backup(&self, place: &Place, n: usize, source: &Path) -> Command {
        let mut backup = self.command(place);
        match self.kind {
            Kind::Lifeboat => backup.args(["backup", "--path"]).arg(source),
            Kind::Restic | Kind::Rustic => backup.arg("backup").arg(source),
            Kind::Kopia => backup.args(["snapshot", "create"]).arg(source),
            Kind::Borg => backup.args(["create", &format!("::g{n}")]).arg(source),
        };
        backup
    }

    /// Restores the `n`th backup of the vault (from 1) into an empty directory.
    pub fn restore(&self, place: &Place, n: usize, target: &Path) -> Result<Command> {
        let mut restore = self.command(place);
        match self.kind {
            Kind::Lifeboat | Kind::Restic => {
                restore.args(["restore", &self.nth(place, n)?, "--target"]);
                restore.arg(target);
            }
            Kind::Rustic => {
                restore.args(["restore", &self.nth(place, n)?]).arg(target);
            }
            Kind::Kopia => {
                restore.args(["snapshot", "restore", &self.nth(place, n)?]);
                restore.arg(target);
            }
            Kind::Borg => {
                restore.args(["extract", &format!("::g{n}")]);
                restore.current_dir(target);
            }
        }
        Ok(restore)
    }

    /// The id of the `n`th snapshot, oldest first.
    fn nth(&self, place: &Place, n: usize) -> Result<String> {
        let mut list = self.command(place);
        match self.kind {
            Kind::Lifeboat => list.args(["points", "-o", "json"]),
            Kind::Kopia => list.args(["snapshot", "list", "--all", "--json"]),
            _ => list.args(["snapshots", "--json"]),
        };
        let said = command::run(&mut list)?;
        let json: serde_json::Value = serde_json::from_str(&said).context("a list of snapshots")?;
        let mut found = Vec::new();
        collect(&json, &mut found);
        found.sort();
        found.dedup();
        let found = found.into_iter().nth(n - 1);
        Ok(found.context("a snapshot is missing")?.1)
    }
}

/// All objects with a time and an id, however the list is wrapped.
fn collect(json: &serde_json::Value, found: &mut Vec<(String, String)>) {
    match json {
        serde_json::Value::Array(all) => all.iter().for_each(|one| collect(one, found)),
        serde_json::Value::Object(object) => {
            let text = |name: &str| object.get(name).and_then(|value| value.as_str());
            match (text("time").or_else(|| text("startTime")), text("id")) {
                (Some(time), Some(id)) => found.push((time.to_owned(), id.to_owned())),
                _ => object.values().for_each(|one| collect(one, found)),
            }
        }
        _ => {}
    }
}

/// Where one program works once.
pub struct Place(PathBuf);

impl Place {
    /// An empty one.
    pub fn new(dir: &Path) -> Result<Self> {
        if dir.exists() {
            fs_err::remove_dir_all(dir)?;
        }
        for part in ["home", "cache", "log"] {
            fs_err::create_dir_all(dir.join(part))?;
        }
        // Kopia wants it to be there.
        fs_err::create_dir(dir.join("vault"))?;
        Ok(Self(dir.to_owned()))
    }

    /// Its directory.
    pub fn dir(&self) -> &Path {
        &self.0
    }

    fn vault(&self) -> PathBuf {
        self.0.join("vault")
    }

    /// Bytes of the vault's files.
    pub fn vault_size(&self) -> Result<u64> {
        Ok(set::count(&self.vault())?.1)
    }

    /// Takes everything away.
    pub fn remove(self) -> Result<()> {
        Ok(fs_err::remove_dir_all(self.0)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_found_in_every_kind_of_list() {
        let json = serde_json::json!([
            {"group": {}, "snapshots": [{"time": "2026-02", "id": "b"}]},
            {"startTime": "2026-01", "id": "a"},
        ]);
        let mut found = Vec::new();
        collect(&json, &mut found);
        found.sort();
        let ids: Vec<&str> = found.iter().map(|(_, id)| id.as_str()).collect();
        assert_eq!(ids, ["a", "b"]);
    }
}
