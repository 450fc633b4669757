//! Bringing an engine up: its directory, its namespaces, then `dockerd` in them.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use fs_err as fs;
use serde_json::json;

use super::{EngineOptions, PrivateEngine, Release, process};
use crate::{Error, Result};

/// `sun_path` has 108 bytes; the longest of the engine's own sockets needs the rest.
const LONGEST_DIR: usize = 60;

/// How often `dockerd` is started when its containerd was slow.
const STARTS: u32 = 3;
/// What `dockerd` says then.
const CONTAINERD_WAS_SLOW: &str = "timeout waiting for containerd to start";

const UP_WITHIN: Duration = Duration::from_secs(60);

/// Makes the directory and starts the process that holds the namespaces.
pub(super) fn enter_namespaces(options: EngineOptions) -> Result<PrivateEngine> {
    if !super::is_root() {
        return Err(Error::Unsupported(
            "an engine of our own needs root; run this through sudo".into(),
        ));
    }
    let dir = prepare_dir(&options.dir)?;
    // Unique on the machine for as long as the engine lives, whatever its directory is called.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos = now.unwrap_or_default().as_nanos();
    let (pid, slot) = (std::process::id(), next_slot());
    let token = format!("{pid}-{slot}-{nanos:x}");
    for part in ["data", "run", "cgroup", &format!("etc-docker-{token}")] {
        fs::create_dir(dir.join(part))?;
    }
    fs::write(dir.join("token"), &token)?;
    // The mount point on the machine. An empty directory is all that it will ever see of us.
    fs::create_dir_all("/etc/docker")?;

    let mut unshare = Command::new("unshare");
    // Slave: what the machine mounts later is seen inside, what the engine mounts is not seen outside.
    unshare.args(["-m", "-n", "-u", "--propagation", "slave", "--"]);
    unshare.args(["sh", "-c", include_str!("keeper.sh"), "keeper"]);
    unshare.arg(&dir).arg(&token);
    unshare.arg(options.hostname.as_deref().unwrap_or_default());
    unshare.arg(process::CLEANUP);
    unshare.env("PATH", search_path(None));
    unshare.stdin(Stdio::piped()).stdout(Stdio::piped());
    unshare.stderr(fs::File::create(dir.join("keeper.log"))?.into_parts().0);
    // A group of its own, or an interrupt from the terminal would end it before its work.
    let spawned = unshare.process_group(0).spawn();
    let mut keeper = spawned.map_err(|source| Error::Spawn {
        program: "unshare".into(),
        source,
    })?;
    let mut said = String::new();
    if let Some(stdout) = keeper.stdout.take() {
        BufReader::new(stdout.take(100)).read_line(&mut said)?;
    }
    if said.trim() != "ready" {
        let status = keeper.wait()?;
        let log = fs::read_to_string(dir.join("keeper.log")).unwrap_or_default();
        let _ = fs::remove_dir_all(&dir);
        return Err(Error::Command {
            command: "unshare (namespaces for an engine)".into(),
            status: status.to_string(),
            output: log,
        });
    }
    Ok(PrivateEngine {
        options,
        dir,
        token,
        slot,
        keeper,
        dockerd: None,
        destroyed: false,
    })
}

impl PrivateEngine {
    /// Starts `dockerd` in the namespaces and waits for its first answer. It gives its own containerd fifteen seconds and no
    /// more, which a disk that stalls can take; a containerd that is up by then is taken over by the
    /// next try.
    pub(super) fn start_dockerd(&mut self) -> Result<()> {
        for _ in 1..STARTS {
            match self.start_dockerd_once() {
                Err(Error::Command { output, .. }) if output.contains(CONTAINERD_WAS_SLOW) => {}
                other => return other,
            }
        }
        self.start_dockerd_once()
    }

    fn start_dockerd_once(&mut self) -> Result<()> {
        let dir = &self.dir;
        // Engines that were not stopped leave these; a stale one would look like a running engine.
        for stale in ["docker.sock", "run/docker.pid"] {
            if let Err(error) = fs::remove_file(dir.join(stale))
                && error.kind() != std::io::ErrorKind::NotFound
            {
                return Err(error.into());
            }
        }
        forget_dead_containerd(dir)?;
        let config = dir.join("daemon.json");
        fs::write(&config, self.configuration().to_string())?;
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(dir.join("dockerd.log"))?
            .into_parts()
            .0;
        let mut dockerd = self.nsenter(&["-m", "-n", "-u"], "dockerd");
        dockerd.arg("--config-file").arg(&config);
        dockerd.args(["-H", &self.docker_host()]);
        dockerd.args(&self.options.args);
        dockerd.env("PATH", search_path(self.options.programs.as_deref()));
        for machines in ["DOCKER_HOST", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"] {
            dockerd.env_remove(machines);
        }
        dockerd.stdin(Stdio::null()).stdout(log.try_clone()?);
        let spawned = dockerd.stderr(log).process_group(0).spawn();
        self.dockerd = Some(spawned.map_err(|source| Error::Spawn {
            program: "nsenter".into(),
            source,
        })?);
        self.wait_until_it_answers()
    }

    /// All that would otherwise come from the machine's own `daemon.json` or from a default.
    fn configuration(&self) -> serde_json::Value {
        let slot = self.slot % 128;
        let mut configuration = json!({
            "data-root": self.data_root(),
            "exec-root": "/run/docker",
            "pidfile": "/run/docker.pid",
            // systemd's control group manager cannot be reached through a /run of our own.
            "exec-opts": ["native.cgroupdriver=cgroupfs"],
            "bip": format!("10.31.{slot}.1/24"),
            "default-address-pools": [{"base": format!("10.{}.0.0/16", 32 + slot), "size": 24}],
            "shutdown-timeout": 10,
        });
        if let (Release::Newest, Some(programs)) = (self.options.release, &self.options.programs) {
            // It looks for its proxy where the distribution has one, before PATH.
            configuration["userland-proxy-path"] = json!(programs.join("docker-proxy"));
        }
        configuration
    }

    fn wait_until_it_answers(&mut self) -> Result<()> {
        let api = self.api();
        let end = Instant::now() + UP_WITHIN;
        loop {
            if api.ping() {
                return Ok(());
            }
            let ended = match self.dockerd.as_mut() {
                Some(dockerd) => dockerd.try_wait()?,
                None => None,
            };
            if let Some(status) = ended {
                self.dockerd = None;
                return Err(Error::Command {
                    command: format!("dockerd ({})", self.options.name),
                    status: status.to_string(),
                    output: self.log_tail(),
                });
            }
            if Instant::now() >= end {
                return Err(Error::Timeout {
                    what: format!("an answer of the engine {}", self.options.name),
                    seconds: UP_WITHIN.as_secs(),
                    hint: self.log_tail(),
                });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// A containerd that died with its engine leaves a file with its process id. Where process 1 is slow
/// to reap it, it still looks alive to the next engine, which would wait for it in vain.
fn forget_dead_containerd(dir: &Path) -> Result<()> {
    let file = dir.join("run/docker/containerd/containerd.pid");
    let Ok(pid) = fs::read_to_string(&file) else {
        return Ok(());
    };
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    let state = stat.rsplit(") ").next().unwrap_or_default();
    if state.is_empty() || state.starts_with(['Z', 'X']) {
        fs::remove_file(file)?;
    }
    Ok(())
}

fn prepare_dir(dir: &Path) -> Result<std::path::PathBuf> {
    let wrong = |why: &str| {
        Err(Error::Path {
            path: dir.to_owned(),
            why: why.to_owned(),
        })
    };
    if !dir.exists() {
        fs::create_dir(dir)?;
    }
    let dir = fs::canonicalize(dir)?;
    if fs::read_dir(&dir)?.next().is_some() {
        return wrong("an engine needs a directory of its own, and this one is not empty");
    }
    let Some(name) = dir.to_str() else {
        return wrong("an engine's directory needs a name in UTF-8");
    };
    if name.len() > LONGEST_DIR {
        return wrong("this name is too long for the sockets below it: 60 bytes at most");
    }
    // The kernel escapes these in mountinfo, where the cleanup looks for the name.
    if name.contains(|c: char| c.is_whitespace() || c.is_control() || c == '\\' || c == ':') {
        return wrong(
            "an engine's directory must have no blanks, backslashes or colons in its name",
        );
    }
    Ok(dir)
}

/// Numbers the engines, so that those of one test do not share address ranges. Those of different
/// processes may: each has a network namespace of its own.
fn next_slot() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::Relaxed)
        .wrapping_add(std::process::id().wrapping_mul(8))
}

fn search_path(first: Option<&Path>) -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"];
    let all = first
        .map(Path::to_owned)
        .into_iter()
        .chain(std::env::split_paths(&path))
        .chain(usual.map(Into::into));
    std::env::join_paths(all).unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_that_would_break_later_are_refused_at_once() {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join("x"), "").unwrap();
        let error = prepare_dir(parent.path()).unwrap_err().to_string();
        assert!(error.contains("not empty"), "{error}");
        prepare_dir(&parent.path().join("with blank")).unwrap_err();
        prepare_dir(&parent.path().join("l".repeat(61))).unwrap_err();
        prepare_dir(&parent.path().join("good")).unwrap();
    }
}
