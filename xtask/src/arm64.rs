//! `cargo xtask arm64`: whether all of it compiles for 64-bit ARM, and whether what computes gives the same there, on an
//! emulated processor (qemu's user mode).
//!
//! The vault has code of its own for x86-64: this shows that it is not needed.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};
use lifeboat_testkit::packages;

const TARGET: &str = "aarch64-unknown-linux-gnu";

const NEEDS: &[(&str, &str)] = &[
    (
        "gcc-aarch64-linux-gnu",
        "compiling what is written in C, and linking",
    ),
    ("libc6-dev-arm64-cross", "the C library to link with"),
    ("qemu-user", "running what was compiled"),
];

/// Compiles all, and runs the unit tests of the crates that compute.
pub fn run() -> Result<ExitCode> {
    packages::ensure(NEEDS)?;
    let mut rustup = Command::new("rustup");
    rustup.args(["target", "add", TARGET]);
    let mut check = Command::new("cargo");
    check.args(["check", "--workspace", "--all-targets", "--target", TARGET]);
    let mut test = Command::new("cargo");
    test.args(["test", "--lib", "--target", TARGET]);
    test.args(["--package", "lifeboat-vault", "--package", "lifeboat-plan"]);
    for mut step in [rustup, check, test] {
        step.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
        step.env("RUSTFLAGS", "-D warnings");
        step.env(variable("LINKER"), "aarch64-linux-gnu-gcc");
        step.env(variable("RUNNER"), "qemu-aarch64 -L /usr/aarch64-linux-gnu");
        if !step
            .status()
            .with_context(|| format!("run {step:?}"))?
            .success()
        {
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// What cargo reads a setting of the target from.
fn variable(setting: &str) -> String {
    let target = TARGET.to_uppercase().replace('-', "_");
    format!("CARGO_TARGET_{target}_{setting}")
}
