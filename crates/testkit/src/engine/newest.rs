//! The newest engine, built from its source: the distribution's is years behind, and what people run
//! lies between the two.
//!
//! One directory in the cache holds `dockerd` and its proxy, `containerd` and its shim, and `runc`, none
//! of them from the distribution. The first build takes three minutes on two cores.

use std::path::PathBuf;

use fs_err as fs;

use crate::go::Module;
use crate::{Result, cache, packages};

/// What building it needs from the distribution.
const PACKAGES: &[(&str, &str)] = &[
    ("libseccomp-dev", "runc, of the newest engine"),
    ("pkg-config", "the same"),
    ("gcc", "the same"),
    ("libc6-dev", "the same"),
];

const DOCKER: &str = "github.com/moby/moby/v2";
const DOCKER_VERSION: &str = "v2.0.0-beta.24";
/// What it is to say that it is: the pre-release of the module has no number of its own.
const RELEASE: &str = "29.9.0";
const CONTAINERD: &str = "github.com/containerd/containerd/v2";
const CONTAINERD_VERSION: &str = "v2.4.2";
const RUNC: &str = "github.com/opencontainers/runc";
const RUNC_VERSION: &str = "v1.5.2";

/// The directory with the programs of the newest engine, built if they are not in the cache.
pub fn newest() -> Result<PathBuf> {
    packages::ensure(PACKAGES)?;
    let recipe = format!(
        "{DOCKER} {DOCKER_VERSION} {RELEASE}\n{CONTAINERD} {CONTAINERD_VERSION}\n{RUNC} {RUNC_VERSION}\n{} 1\n",
        std::env::consts::ARCH
    );
    cache::entry("tool-engine", &recipe, |dir| {
        let all = [
            format!("{DOCKER}/cmd/dockerd"),
            format!("{DOCKER}/cmd/docker-proxy"),
            format!("{CONTAINERD}/cmd/containerd"),
            format!("{CONTAINERD}/cmd/containerd-shim-runc-v2"),
        ];
        let module = Module::new(dir, false)?;
        module.get(&format!("{DOCKER}@{DOCKER_VERSION}"))?;
        module.get(&format!("{CONTAINERD}@{CONTAINERD_VERSION}"))?;
        for package in &all {
            module.get(package)?;
        }
        let flags = format!("-X {DOCKER}/dockerversion.Version={RELEASE}");
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        fs::create_dir(dir.join("bin"))?;
        module.build(&dir.join("bin/"), &flags, "", &all)?;
        module.remove()?;
        // A module of its own, as upstream builds it: it must not choose versions for the others.
        let module = Module::new(dir, true)?;
        module.get(&format!("{RUNC}@{RUNC_VERSION}"))?;
        let flags = format!("-X main.version={}", RUNC_VERSION.trim_start_matches('v'));
        module.build(&dir.join("bin/runc"), &flags, "seccomp", &[RUNC])?;
        module.remove()
    })
    .map(|dir| dir.join("bin"))
}
