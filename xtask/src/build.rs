//! The program itself, built.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

/// Builds `lifeboat` with a profile of the workspace and says where it is.
pub fn lifeboat(profile: &str) -> Result<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut cargo = Command::new("cargo");
    cargo.current_dir(&workspace);
    cargo.args(["build", "--package", "lifeboat-cli", "--profile", profile]);
    let status = cargo.status().context("run cargo")?;
    if !status.success() {
        bail!("lifeboat could not be built ({status})");
    }
    let target = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    let target = target.unwrap_or_else(|| workspace.join("target"));
    fs_err::canonicalize(target.join(profile).join("lifeboat")).context("find what was built")
}
