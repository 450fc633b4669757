//! Getting root's rights, for engines of our own: as root directly, else through sudo.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use lifeboat_testkit::{cache, command};

/// What a program needs around it when sudo starts it: sudo clears the environment, and root's cache
/// is not the user's.
fn environment() -> Result<Vec<OsString>> {
    let mut pairs = Vec::new();
    for name in [
        "PATH",
        "HOME",
        "CARGO_HOME",
        "RUSTUP_HOME",
        "CARGO_TARGET_DIR",
        "RUST_BACKTRACE",
    ] {
        if let Some(value) = std::env::var_os(name) {
            let mut pair = OsString::from(format!("{name}="));
            pair.push(value);
            pairs.push(pair);
        }
    }
    let mut pair = OsString::from("LIFEBOAT_CACHE=");
    pair.push(cache::dir()?);
    pairs.push(pair);
    Ok(pairs)
}

/// Whether we have them already.
pub fn is_root() -> bool {
    lifeboat_testkit::engine::is_root()
}

/// Starts this program again as root, with the same arguments, unless it is root.
pub fn become_root() -> Result<()> {
    if is_root() {
        return Ok(());
    }
    need_sudo()?;
    let mut sudo = Command::new("sudo");
    sudo.args(["--", "env"]).args(environment()?);
    sudo.arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1));
    let error = sudo.exec();
    Err(error).context("start again through sudo")
}

/// The program that cargo has to start test binaries with so that they are root: none if we are.
pub fn runner() -> Result<Option<String>> {
    if is_root() {
        return Ok(None);
    }
    need_sudo()?;
    let words: Vec<_> = environment()?;
    let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
    Ok(Some(format!("sudo -- env {}", words.join(" "))))
}

fn need_sudo() -> Result<()> {
    if !command::is_on_path("sudo") {
        bail!("private engines need root, and there is no sudo here: run this as root");
    }
    Ok(())
}
