//! `cargo xtask fuzz TARGET`: one parser under libFuzzer, for as long as one likes. Needs the nightly toolchain.
//!
//! `cargo xtask test` tries the same targets without it (`crates/vault/tests/fuzz`).

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

use crate::tools::{self, FUZZ};

#[derive(clap::Args)]
pub struct Args {
    /// `config`, `index`, `key`, `lock`, `pack_header`, `snapshot`, `tree` or `unpacked`
    #[arg(value_name = "TARGET")]
    target: String,
    /// For how long
    #[arg(long, value_name = "N", default_value_t = 3600)]
    seconds: u64,
}

/// Runs it. What is new is kept in `fuzz/found`; what fails, in `fuzz/artifacts`.
pub fn run(args: &Args) -> Result<ExitCode> {
    let vault = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/vault");
    let found = format!("fuzz/found/{}", args.target);
    fs_err::create_dir_all(vault.join(&found))?;
    let path = tools::path_with(&[tools::ensure(&FUZZ)?])?;
    let mut cargo = Command::new("cargo");
    cargo.current_dir(vault).env("PATH", path);
    cargo.args(["+nightly", "fuzz", "run", &args.target, &found]);
    cargo.arg(format!("fuzz/corpus/{}", args.target));
    cargo.args(["--", &format!("-max_total_time={}", args.seconds)]);
    let status = cargo.status().context("run cargo-fuzz")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
