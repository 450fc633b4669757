//! Debian packages that the tests and the demo need: installed when missing, said before.
//!
//! Works on a bare Debian or Ubuntu, as root or through `sudo`. A package that brings a service
//! must not bring that service up: `docker.io` would start an engine of the machine, which is
//! neither ours nor needed. Debian's own way to prevent that is `/usr/sbin/policy-rc.d`; where the
//! machine has none, ours is put there for the time of the installation and taken away after it,
//! also when the installation failed. Where there is one, the machine's word stands.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use crate::command::{self, run};
use crate::{Error, Result};

const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs what is missing of `wanted`, each with the reason that a person is told.
///
/// Nothing happens, and nothing is printed, when everything is there.
pub fn ensure(wanted: &[(&str, &str)]) -> Result<()> {
    let missing: Vec<_> = wanted.iter().filter(|(name, _)| !installed(name)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !command::is_on_path("apt-get") {
        let names: Vec<_> = missing.iter().map(|(name, _)| *name).collect();
        return Err(Error::Unsupported(format!(
            "these packages are missing and there is no apt-get to install them with: {}; install them by hand",
            names.join(" ")
        )));
    }
    let mut err = std::io::stderr().lock();
    writeln!(err, "Installing from the distribution:")?;
    for (name, why) in &missing {
        writeln!(err, "  {name:<24} {why}")?;
    }
    drop(err);
    let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    let _guard = NoServices::put()?;
    if install(&names).is_ok() {
        return Ok(());
    }
    // The package lists may be missing or too old.
    run(as_root("apt-get").args(["-q", "update"]))?;
    install(&names)
}

fn install(names: &[&str]) -> Result<()> {
    let mut apt = as_root("env");
    apt.args(["DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "apt-get"]);
    // Another apt-get may hold the lock, for instance the machine's own updates.
    apt.args(["-o", "DPkg::Lock::Timeout=300", "-q", "-y"]);
    apt.args(["--no-install-recommends", "install", "--"]);
    run(apt.args(names)).map(drop)
}

/// Whether dpkg has this package, installed and configured.
pub fn installed(name: &str) -> bool {
    let mut query = Command::new("dpkg-query");
    query.args(["-W", "-f", "${Status}", name]);
    command::output(&mut query)
        .is_ok_and(|out| out.status.success() && out.stdout.ends_with(b" installed"))
}

/// A command that runs with root's rights: directly when we have them, else through sudo.
pub fn as_root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut sudo = Command::new("sudo");
    sudo.arg("--").arg(program);
    sudo
}

/// Keeps installed services from being started, for as long as it lives.
struct NoServices {
    ours: bool,
}

impl NoServices {
    fn put() -> Result<Self> {
        if Path::new(POLICY).exists() {
            return Ok(Self { ours: false });
        }
        let script = format!(
            "printf '#!/bin/sh\\n# put by lifeboat for the time of one installation\\nexit 101\\n' >{POLICY} && chmod 755 {POLICY}"
        );
        run(as_root("sh").args(["-c", &script]))?;
        Ok(Self { ours: true })
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if self.ours {
            let _ = run(as_root("rm").args(["-f", POLICY]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_what_is_there_and_what_is_not() {
        assert!(installed("dpkg"));
        assert!(!installed("no-such-package-of-any-kind"));
    }

    #[test]
    fn what_is_there_needs_no_rights() {
        ensure(&[("dpkg", "it is always there"), ("libc6", "so is this")]).unwrap();
    }
}
