//! A Docker Engine that a user runs without rights: the distribution's `dockerd-rootless.sh`, in a
//! user namespace, with mapped ids, without control groups and with plain directories for layers.
//!
//! The user is `daemon`, which every machine has. Data lies in its home, where root sees it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;

use super::{PACKAGES, process};
use crate::api::Client;
use crate::{Error, Result, packages};

/// What it needs from the distribution, beside an engine.
pub const ROOTLESS_PACKAGES: &[(&str, &str)] = &[
    ("rootlesskit", "an engine without root's rights"),
    ("slirp4netns", "its network"),
    ("uidmap", "its ids"),
];

/// The user's number, and its group's.
const USER: u32 = 1;
/// The first id of its range, which is 65,536 wide.
pub const ROOTLESS_IDS: u32 = 200_000;

const SETUP: &str = include_str!("rootless.sh");
const UP_WITHIN: Duration = Duration::from_secs(60);

/// A running engine of a user. Dropping it takes it away.
#[derive(Debug)]
pub struct RootlessEngine {
    dir: PathBuf,
    kit: Child,
}

impl RootlessEngine {
    /// Starts it in a directory that does not exist yet, and waits until it answers. Everybody may
    /// enter the folders above it.
    pub fn start(dir: &Path, hostname: &str) -> Result<Self> {
        packages::ensure(PACKAGES)?;
        packages::ensure(ROOTLESS_PACKAGES)?;
        for part in ["home", "run", "cgroup"] {
            fs::create_dir_all(dir.join(part))?;
        }
        for part in ["home", "run"] {
            std::os::unix::fs::chown(dir.join(part), Some(USER), Some(USER))?;
        }
        fs::write(dir.join("subids"), format!("daemon:{ROOTLESS_IDS}:65536\n"))?;
        for file in ["/etc/subuid", "/etc/subgid"] {
            if !Path::new(file).exists() {
                fs::write(file, "")?;
            }
        }
        let log = fs::File::create(dir.join("log"))?.into_parts().0;
        let mut unshare = Command::new("unshare");
        unshare.args(["-m", "-n", "-u", "--propagation", "slave", "--"]);
        let script = ["sh", "-c", SETUP, "rootless"];
        unshare.args(script).arg(dir).arg(hostname);
        unshare.stdin(Stdio::null()).stdout(log.try_clone()?);
        let spawned = unshare.stderr(log).spawn();
        let engine = Self {
            dir: dir.to_owned(),
            kit: spawned.map_err(|source| Error::Spawn {
                program: "unshare".into(),
                source,
            })?,
        };
        let end = Instant::now() + UP_WITHIN;
        while !engine.api().ping() {
            if Instant::now() >= end {
                return Err(Error::Timeout {
                    what: "an answer of a rootless engine".into(),
                    seconds: UP_WITHIN.as_secs(),
                    hint: engine.log_tail(),
                });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(engine)
    }

    /// What `DOCKER_HOST` has to be to talk to it.
    pub fn docker_host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// A client for it.
    pub fn api(&self) -> Client {
        Client::new(self.socket())
    }

    /// The end of what it said.
    pub fn log_tail(&self) -> String {
        let log = fs::read(self.dir.join("log")).unwrap_or_default();
        crate::command::tail(&String::from_utf8_lossy(&log), 3000).to_owned()
    }

    fn socket(&self) -> PathBuf {
        self.dir.join("run/docker.sock")
    }
}

impl Drop for RootlessEngine {
    fn drop(&mut self) {
        let api = self.api();
        let all = api.get("/containers/json?all=true").unwrap_or_default();
        for container in all.as_array().into_iter().flatten() {
            let id = container["Id"].as_str().unwrap_or_default();
            let _ = api.delete(&format!("/containers/{id}?force=true"));
        }
        process::signal(&self.kit, rustix::process::Signal::TERM);
        if !process::wait(&mut self.kit, Duration::from_secs(15)).unwrap_or(false) {
            let _ = self.kit.kill();
            let _ = self.kit.wait();
        }
        let _ = process::remove_dir(&self.dir);
    }
}
