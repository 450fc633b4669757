//! A host to lose: a private engine, places of its own for vault, key and state, and the program.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use lifeboat_testkit::engine::{EngineOptions, PrivateEngine, Release};
use serde_json::Value;

/// How long what has to come may take, where how long is not the question: a machine that others load as well has been
/// seen to take seven times as long as usual.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// Folders of one test, short enough for sockets; removed when dropped.
pub struct Lab {
    dir: tempfile::TempDir,
}

impl Lab {
    pub fn new() -> Self {
        let dir = tempfile::Builder::new()
            .prefix("lb-")
            .tempdir_in("/tmp")
            .unwrap();
        Self { dir }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts an engine; all engines of a lab say that their host is `lab`.
    pub fn engine(&self, name: &str) -> PrivateEngine {
        self.engine_called(name, "lab")
    }

    pub fn engine_called(&self, name: &str, hostname: &str) -> PrivateEngine {
        PrivateEngine::start(EngineOptions::new(name, self.path(name)).hostname(hostname)).unwrap()
    }

    /// The same of a given release.
    pub fn engine_of(&self, name: &str, release: Release) -> PrivateEngine {
        let options = EngineOptions::new(name, self.path(name)).hostname("lab");
        PrivateEngine::start(options.release(release)).unwrap()
    }

    pub fn vault(&self) -> PathBuf {
        self.path("state/vault")
    }

    pub fn key(&self) -> PathBuf {
        self.path("etc/key")
    }

    /// The program, with this lab's places.
    pub fn command(&self, engine: Option<&PrivateEngine>, args: &[&str]) -> Command {
        // A measurement may want the program as it is released.
        let program = std::env::var_os("LIFEBOAT_TEST_PROGRAM");
        let mut command = Command::new(program.unwrap_or(env!("CARGO_BIN_EXE_lifeboat").into()));
        command
            .args(args)
            .env("LIFEBOAT_CONFIG_DIR", self.path("etc"))
            .env("LIFEBOAT_STATE_DIR", self.path("state"))
            .env("LIFEBOAT_CACHE_DIR", self.path("cache"))
            .env_remove("LIFEBOAT_VAULT")
            .env_remove("LIFEBOAT_PASSWORD")
            .env_remove("LIFEBOAT_PASSWORD_FILE")
            .env(
                "DOCKER_HOST",
                engine.map_or(
                    "unix:///nowhere.sock".to_owned(),
                    PrivateEngine::docker_host,
                ),
            );
        command
    }

    /// Runs it and says what it printed if the exit code is another than expected.
    pub fn run(&self, engine: Option<&PrivateEngine>, args: &[&str], code: i32) -> Output {
        let output = self.command(engine, args).output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(code),
            "lifeboat {}\n--- stdout\n{}\n--- stderr\n{}",
            args.join(" "),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        output
    }

    pub fn json(&self, engine: Option<&PrivateEngine>, args: &[&str], code: i32) -> Value {
        let args: Vec<&str> = args.iter().copied().chain(["-o", "json"]).collect();
        let output = self.run(engine, &args, code);
        serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stdout)))
    }

    /// Runs a command that is killed at a step, as `kill -9` does it, and that has to come so far.
    pub fn killed(&self, engine: Option<&PrivateEngine>, args: &[&str], step: &str) {
        kill_at(self.command(engine, args), step);
    }

    /// Journals of operations that have not ended.
    pub fn begun(&self) -> Vec<String> {
        let entries = fs_err::read_dir(self.path("state/journal"));
        let names = entries
            .into_iter()
            .flatten()
            .map(|e| e.unwrap().file_name());
        names
            .map(|name| name.to_string_lossy().into_owned())
            .collect()
    }

    pub fn init(&self) {
        let sheet = self.path("sheet.txt");
        self.run(None, &["init", "--sheet", sheet.to_str().unwrap()], 0);
    }

    /// Debian's restic on the vault; what it says, once it is content.
    pub fn restic(&self, args: &[&str]) -> String {
        self.restic_at(Path::new("restic"), args)
    }

    /// The same of a restic by its path.
    pub fn restic_at(&self, program: &Path, args: &[&str]) -> String {
        let output = Command::new(program)
            .arg("-r")
            .arg(self.vault())
            .arg("--password-file")
            .arg(self.key())
            .arg("--no-cache")
            .args(args)
            .output()
            .expect("restic is missing: run `cargo xtask test`, which installs it");
        let text = format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
        assert!(output.status.success(), "restic {}: {text}", args.join(" "));
        text
    }
}

/// The same for any command of the program.
pub fn kill_at(mut command: Command, step: &str) {
    let output = command.env("LIFEBOAT_TEST_KILL_AT", step).output().unwrap();
    assert_eq!(
        output.status.code(),
        None,
        "{step}: it was to die there: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The only member of `protected` in the answer of `backup`.
pub fn only(report: &Value) -> &Value {
    let protected = report["protected"].as_array().unwrap();
    assert_eq!(protected.len(), 1, "{report}");
    &protected[0]
}

/// Nanoseconds since 1970 at which the capture of a point began.
pub fn began(point: &Value) -> u64 {
    let time: jiff::Timestamp = point["time"].as_str().unwrap().parse().unwrap();
    u64::try_from(time.as_nanosecond()).unwrap()
}
