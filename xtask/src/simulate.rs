//! `cargo xtask simulate`: random histories of the vault on a simulated store, as many seeds as one likes.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result};

#[derive(clap::Args)]
pub struct Args {
    /// How many seeds
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    seeds: u64,
    /// The first
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    from: u64,
}

/// Runs `crates/vault/tests/simulate` with these seeds.
pub fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut cargo = Command::new("cargo");
    cargo.current_dir(workspace);
    cargo.args(["test", "--quiet", "--package", "lifeboat-vault"]);
    cargo.args([
        "--test",
        "simulate",
        "--",
        "--exact",
        "seeds",
        "--nocapture",
    ]);
    cargo.env("LIFEBOAT_SIMULATE_SEEDS", args.seeds.to_string());
    cargo.env("LIFEBOAT_SIMULATE_FROM", args.from.to_string());
    let status = cargo.status().context("run the simulation")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
