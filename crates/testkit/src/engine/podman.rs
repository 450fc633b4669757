//! Podman of our own, as an engine through Docker's API (`podman system service`).
//!
//! As private as [`super::PrivateEngine`]: storage, run directory, socket, settings, `/run`, network namespace and host
//! name of its own. Its containers outlive the service as on a host; taking it away ends them first.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;

use super::process;
use crate::api::Client;
use crate::{Error, Result, packages};

/// What it needs from the distribution.
pub const PODMAN_PACKAGES: &[(&str, &str)] = &[
    ("podman", "a second engine for the tests"),
    ("netavark", "its networks"),
    ("aardvark-dns", "names in its networks"),
    ("iptables", "the same"),
];

const SETUP: &str = include_str!("podman.sh");
const UP_WITHIN: Duration = Duration::from_secs(30);

/// A running Podman. Dropping it takes it away.
#[derive(Debug)]
pub struct PrivatePodman {
    dir: PathBuf,
    service: Child,
}

impl PrivatePodman {
    /// Starts it in a directory that does not exist yet, and waits until it answers.
    pub fn start(dir: &Path, hostname: &str) -> Result<Self> {
        packages::ensure(PODMAN_PACKAGES)?;
        for part in ["root", "run", "machine-run", "networks", "cgroup"] {
            fs::create_dir_all(dir.join(part))?;
        }
        let log = fs::File::create(dir.join("log"))?.into_parts().0;
        let mut unshare = Command::new("unshare");
        unshare.args(["-m", "-n", "-u", "--propagation", "slave", "--"]);
        unshare
            .args(["sh", "-c", SETUP, "podman"])
            .arg(dir)
            .arg(hostname);
        unshare.stdin(Stdio::null()).stdout(log.try_clone()?);
        let spawned = unshare.stderr(log).spawn();
        let podman = Self {
            dir: dir.to_owned(),
            service: spawned.map_err(|source| Error::Spawn {
                program: "unshare".into(),
                source,
            })?,
        };
        let end = Instant::now() + UP_WITHIN;
        while !podman.api().ping() {
            if Instant::now() >= end {
                return Err(Error::Timeout {
                    what: "an answer of podman".into(),
                    seconds: UP_WITHIN.as_secs(),
                    hint: podman.log_tail(),
                });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(podman)
    }

    /// What `DOCKER_HOST` has to be to talk to it.
    pub fn docker_host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// A client for it.
    pub fn api(&self) -> Client {
        Client::new(self.socket())
    }

    /// The end of what the service said.
    pub fn log_tail(&self) -> String {
        let log = fs::read(self.dir.join("log")).unwrap_or_default();
        crate::command::tail(&String::from_utf8_lossy(&log), 3000).to_owned()
    }

    fn socket(&self) -> PathBuf {
        self.dir.join("podman.sock")
    }
}

impl Drop for PrivatePodman {
    fn drop(&mut self) {
        let api = self.api();
        let all = api.get("/containers/json?all=true").unwrap_or_default();
        for container in all.as_array().into_iter().flatten() {
            let id = container["Id"].as_str().unwrap_or_default();
            let _ = api.delete(&format!("/containers/{id}?force=true"));
        }
        process::signal(&self.service, rustix::process::Signal::TERM);
        if !process::wait(&mut self.service, Duration::from_secs(5)).unwrap_or(false) {
            let _ = self.service.kill();
            let _ = self.service.wait();
        }
        let _ = process::remove_dir(&self.dir);
    }
}
