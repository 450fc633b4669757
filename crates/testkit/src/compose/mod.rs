//! A project that Docker Compose itself brings up: the real client that a recovery has to satisfy.
//!
//! Compose is built from its source through the Go module proxy and kept in the cache, since no
//! registry of binaries is assumed. The project uses what people put into one: two compose files,
//! `.env`, env files, an inline config, a secret from a file, a profile, two replicas, bind mounts with
//! relative and absolute paths, a named volume. After a recovery `up -d` must find nothing to change:
//! [`Project::up_dry_run_changes`].

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

use crate::command::run;
use crate::engine::PrivateEngine;
use crate::go::GoTool;
use crate::{Result, images};

/// The version of Docker Compose that the tests use. 5.7 wants a newer Go.
pub const VERSION: &str = "v5.6.0";

/// The program `docker-compose`, built if it is not in the cache.
pub fn docker_compose() -> Result<PathBuf> {
    GoTool {
        program: "docker-compose",
        module: "github.com/docker/compose/v5",
        version: VERSION,
        package: "github.com/docker/compose/v5/cmd",
        flags: "-X github.com/docker/compose/v5/internal.Version=v5.6.0",
        main: "",
    }
    .ensure()
}

/// The project's name.
pub const PROJECT: &str = "notes";

/// Every container that the project has, the profile's included.
pub const CONTAINERS: &[&str] = &[
    "notes-api-1",
    "notes-api-2",
    "notes-store-1",
    "notes-tools-1",
];

/// What must never be seen in a log, an error or `app.json`.
pub const SECRET: &str = "hunter2-of-the-notes";

/// The project's folder and the Compose that works on it.
#[derive(Debug, Clone)]
pub struct Project {
    dir: PathBuf,
    absolute: PathBuf,
    compose: PathBuf,
}

impl Project {
    /// Writes the project into `parent/notes`, and what it mounts by absolute path into
    /// `parent/notes-data`. Builds Compose if it is not in the cache: a minute or two.
    pub fn write(parent: &Path) -> Result<Self> {
        let parent = std::path::absolute(parent)?;
        let project = Self {
            dir: parent.join(PROJECT),
            absolute: parent.join("notes-data"),
            compose: docker_compose()?,
        };
        let image = images::busybox()?;
        let place = |text: &str| {
            text.replace("@IMAGE@", image.reference())
                .replace("@ABSOLUTE@", &project.absolute.to_string_lossy())
        };
        fs::create_dir_all(project.dir.join("data"))?;
        fs::create_dir_all(&project.absolute)?;
        for (name, text) in [
            ("compose.yaml", include_str!("compose.yaml")),
            (
                "compose.override.yaml",
                include_str!("compose.override.yaml"),
            ),
            (".env", "COLOUR=green\nCOMPOSE_PROFILES=tools\n"),
            ("api.env", "FROM_ENV_FILE=yes\nQUOTED=\"a b\"\n"),
            ("secret.txt", SECRET),
            ("data/index.html", "<h1>notes</h1>\n"),
        ] {
            fs::write(project.dir.join(name), place(text))?;
        }
        fs::write(project.absolute.join("kept"), "by absolute path\n")?;
        Ok(project)
    }

    /// The project's folder.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The directory that is mounted by its absolute path.
    pub fn absolute(&self) -> &Path {
        &self.absolute
    }

    /// `docker-compose` on this project and that engine, as on the engine's host.
    pub fn command(&self, engine: &PrivateEngine) -> Command {
        // Entering a mount namespace ends in its root, so the way to the folder is taken inside.
        let mut command = engine.host_command("sh");
        command.args(["-c", r#"cd "$1" && shift && exec "$@""#, "sh"]);
        command.arg(&self.dir).arg(&self.compose);
        command.env("COMPOSE_ANSI", "never");
        for other in ["COMPOSE_FILE", "COMPOSE_PROJECT_NAME", "COMPOSE_PROFILES"] {
            command.env_remove(other);
        }
        command
    }

    /// Loads the image and runs `docker-compose up -d`, waiting until all run.
    pub fn up(&self, engine: &PrivateEngine) -> Result<()> {
        images::busybox()?.load(engine)?;
        run(self.command(engine).args(["up", "-d", "--wait"])).map(drop)
    }

    /// What `up -d` would do to what is there: a line for each thing that it would create, start or
    /// make again. Empty when it finds everything as it should be.
    pub fn up_dry_run_changes(&self, engine: &PrivateEngine) -> Result<Vec<String>> {
        let mut command = self.command(engine);
        command.args(["--dry-run", "--progress", "plain", "up", "-d"]);
        let out = crate::command::output(&mut command)?;
        let mut said = String::from_utf8_lossy(&out.stdout).into_owned();
        said.push_str(&String::from_utf8_lossy(&out.stderr));
        if !out.status.success() {
            return Ok(vec![said]);
        }
        // What runs, and the waiting for what others depend on.
        let idle = [" Running", " Waiting", " Healthy"];
        let idle = |line: &str| line.is_empty() || idle.iter().any(|word| line.ends_with(word));
        let lines = said.lines().map(str::trim).filter(|line| !idle(line));
        Ok(lines.map(str::to_owned).collect())
    }

    /// `docker-compose down -v`: takes everything of the project away, if it knows it as its own.
    pub fn down_v(&self, engine: &PrivateEngine) -> Result<()> {
        run(self.command(engine).args(["down", "-v"])).map(drop)
    }

    /// Removes the project's folder and what it mounts, as a lost disk would.
    pub fn remove_files(&self) -> Result<()> {
        fs::remove_dir_all(&self.dir)?;
        Ok(fs::remove_dir_all(&self.absolute)?)
    }
}
