//! Build tools that the machine may lack: built once, kept in the cache, keyed by their version.

use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use lifeboat_testkit::cache;

use crate::say;

/// A program of a crate. Those that help are built without optimisation: that takes a fraction of the time, and
/// what they do themselves is little.
pub struct Tool {
    /// The crate.
    pub name: &'static str,
    /// Its program.
    pub program: &'static str,
    /// The exact version.
    pub version: &'static str,
    /// More arguments for `cargo install`.
    pub args: &'static [&'static str],
    /// Why a person should wait for it.
    pub why: &'static str,
}

/// Runs each test in a process of its own, so that one that hangs or crashes takes no other along.
pub const NEXTEST: Tool = Tool {
    name: "cargo-nextest",
    program: "cargo-nextest",
    version: "0.9.151",
    args: &[
        "--debug",
        "--no-default-features",
        "--features",
        "default-no-update",
    ],
    why: "runs the tests",
};

/// Looks after licences, sources and banned crates.
pub const DENY: Tool = Tool {
    name: "cargo-deny",
    program: "cargo-deny",
    version: "0.20.2",
    args: &["--debug"],
    why: "checks licences and banned crates",
};

/// Runs libFuzzer.
pub const FUZZ: Tool = Tool {
    name: "cargo-fuzz",
    program: "cargo-fuzz",
    version: "0.13.1",
    args: &["--debug"],
    why: "runs the fuzz targets",
};

/// The other program that writes the format, in Rust.
pub const RUSTIC: Tool = Tool {
    name: "rustic-rs",
    program: "rustic",
    version: "0.11.4",
    args: &["--debug", "--no-default-features"],
    why: "reads the vaults that we write, and the other way round",
};

/// The same as its users have it: to be measured, not only to be right.
pub const RUSTIC_RELEASE: Tool = Tool {
    name: "rustic-rs",
    program: "rustic",
    version: "0.11.4",
    args: &["--no-default-features"],
    why: "is measured",
};

/// The directory with the tool's program, built if it is not there.
pub fn ensure(tool: &Tool) -> Result<PathBuf> {
    let recipe = format!("{} {} {:?}\n", tool.name, tool.version, tool.args);
    let dir = cache::entry(&format!("tool-{}", tool.name), &recipe, |dir| {
        say(format!(
            "Building {} {}, once: it {}. This takes some minutes.",
            tool.name, tool.version, tool.why
        ));
        let begin = Instant::now();
        let build = dir.join("build");
        let mut cargo = Command::new("cargo");
        // Not at the price of whatever else the machine is doing.
        cargo.args(["install", "--quiet", "--locked"]);
        cargo.args(["--version", tool.version, tool.name]);
        cargo.args(tool.args).arg("--root").arg(dir);
        // Outside the workspace, whose settings are not meant for others.
        cargo.current_dir(dir).env("CARGO_TARGET_DIR", &build);
        lifeboat_testkit::command::run(&mut cargo)?;
        fs_err::remove_dir_all(&build)?;
        say(format!("{} built in {:.0?}", tool.name, begin.elapsed()));
        Ok(())
    });
    let bin = dir
        .with_context(|| format!("install {}", tool.name))?
        .join("bin");
    if !bin.join(tool.program).is_file() {
        bail!(
            "{} is not in {}: remove that directory and try again",
            tool.name,
            bin.display()
        );
    }
    Ok(bin)
}

/// PATH with these directories first.
pub fn path_with(first: &[PathBuf]) -> Result<std::ffi::OsString> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = first.iter().cloned().chain(std::env::split_paths(&path));
    std::env::join_paths(all).context("put tools on PATH")
}
