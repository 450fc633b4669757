//! A host of its own: settings, state, vault and data in a temporary directory, and no engine.

use std::path::{Path, PathBuf};

use assert_cmd::{Command, assert::Assert};
use tempfile::TempDir;

pub struct Host {
    dir: TempDir,
}

impl Host {
    pub fn new() -> Self {
        Self {
            dir: tempfile::tempdir().unwrap(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The program, with nothing of the machine that the test runs on.
    pub fn lifeboat(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lifeboat"));
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("TZ", "UTC")
            .env("LIFEBOAT_CONFIG_DIR", self.path("etc"))
            .env("LIFEBOAT_STATE_DIR", self.path("var"))
            .env("LIFEBOAT_CACHE_DIR", self.path("cache"))
            .env(
                "DOCKER_HOST",
                format!("unix://{}", self.path("no.sock").display()),
            )
            .current_dir(self.dir.path());
        command
    }

    /// Runs it with arguments apart by white space.
    pub fn run(&self, line: &str) -> Assert {
        self.lifeboat().args(line.split_whitespace()).assert()
    }

    /// A folder `data` with a few files.
    pub fn with_data(&self) -> PathBuf {
        let data = self.path("data");
        fs_err::create_dir_all(data.join("deep/er")).unwrap();
        fs_err::write(data.join("hello.txt"), "hello\n").unwrap();
        fs_err::write(data.join("deep/er/big.bin"), vec![7; 300_000]).unwrap();
        fs_err::write(data.join("deep/skip.log"), "not this\n").unwrap();
        data
    }
}

pub fn stdout(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stdout.clone()).unwrap()
}

pub fn stderr(assert: &Assert) -> String {
    String::from_utf8(assert.get_output().stderr.clone()).unwrap()
}

/// One sentence behind the program's name, and nothing that a person cannot use.
pub fn is_one_sentence(text: &str) -> bool {
    text.lines().count() == 1
        && text.starts_with("lifeboat: ")
        && ![
            "panicked",
            "internal error",
            "Error {",
            "Os {",
            "stack backtrace",
        ]
        .iter()
        .any(|bad| text.contains(bad))
}

/// Everything that one file or a tree of them holds, to look for a secret.
pub fn contains(root: &Path, needle: &[u8]) -> bool {
    if root.is_dir() {
        return fs_err::read_dir(root)
            .unwrap()
            .any(|entry| contains(&entry.unwrap().path(), needle));
    }
    let bytes = fs_err::read(root).unwrap_or_default();
    bytes.windows(needle.len()).any(|window| window == needle)
}

/// Debian's restic on the host's vault; what it wrote to its standard output.
pub fn restic_bytes(host: &Host, key: &str, args: &[&str]) -> Vec<u8> {
    restic_run(host, "var/vault", key, args).stdout
}

/// The same as text.
pub fn restic(host: &Host, key: &str, args: &[&str]) -> String {
    String::from_utf8(restic_bytes(host, key, args)).unwrap()
}

/// On another vault.
pub fn restic_at(host: &Host, vault: &str, key: &str, args: &[&str]) -> String {
    String::from_utf8(restic_run(host, vault, key, args).stdout).unwrap()
}

fn restic_run(host: &Host, vault: &str, key: &str, args: &[&str]) -> std::process::Output {
    let output = std::process::Command::new("restic")
        .args(["--no-cache", "-r"])
        .arg(host.path(vault))
        .arg("--password-file")
        .arg(host.path(key))
        .args(args)
        .env("TZ", "UTC")
        .current_dir(host.path(""))
        .output()
        .expect("restic is missing: run `cargo xtask test`, which installs it");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "restic {args:?}: {said}");
    output
}
