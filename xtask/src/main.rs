//! The developer's commands: `cargo xtask demo`, `cargo xtask test`, `cargo xtask simulate`,
//! `cargo xtask fuzz`, `cargo xtask bench`, `cargo xtask profile`, `cargo xtask package`,
//! `cargo xtask arm64`.
//!
//! They install what they need from the distribution and the language registries, saying what and
//! why before, and keep what is expensive in the user's cache directory.
#![allow(clippy::disallowed_methods, reason = "it starts cargo and the tests")]

mod arm64;
mod bench;
mod build;
mod demo;
mod fuzz;
mod package;
mod profile;
mod root;
mod simulate;
mod test;
mod tools;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Lifeboat's developer commands")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Show it working: a scenario in private engines of its own
    Demo(demo::Args),
    /// Install what the tests need, then run them all
    Test(test::Args),
    /// Run random histories of the vault on a simulated store
    Simulate(simulate::Args),
    /// Run a parser of vault bytes under libFuzzer
    Fuzz(fuzz::Args),
    /// Measure the vault beside its peers, and write docs/benchmarks.md
    Bench(bench::Args),
    /// Make a Debian package
    Package(package::Args),
    /// Show where a backup or a restore spends its time
    Profile(profile::Args),
    /// Compile it for 64-bit ARM, and run the tests of what computes there
    Arm64,
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Demo(args) => demo::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Package(args) => package::run(&args),
        Command::Profile(args) => profile::run(&args),
        Command::Arm64 => arm64::run(),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints a line for the person in front of it. A closed pipe is no reason to stop the work.
fn say(line: impl AsRef<str>) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{}", line.as_ref()).and_then(|()| out.flush());
}
