//! The cgroup freezer behind `pause`, reached without the engine.
//!
//! The engine does not see it: one that pauses a container itself ends its health monitor and calls it unhealthy until
//! the next check, and what watches health (healers, proxies) may act on that.
//!
//! A freeze must end though the engine hangs: a watchdog finds a container's freezer *before* the freeze,
//! and thaws by writing a file. Of a container that the engine paused, it goes on saying "paused" then, and its own
//! `unpause` fails, until the cgroup is frozen again. [`reconcile`] brings both back together.
//!
//! Paths come from `/proc/<pid>/cgroup` and our own mount table, so the engine has to be on this machine
//! (see `prove_local`) and its cgroup hierarchy mounted here.

use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Engine, Error, Result};

/// How long the kernel may take to stop or start all processes of a container.
const SETTLE: Duration = Duration::from_secs(10);

/// Which freezer: version 1 has a hierarchy of its own, version 2 a file in each cgroup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V2,
}

/// The freezer of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freezer {
    directory: PathBuf,
    version: Version,
}

impl Freezer {
    /// The freezer of the container whose first process is `pid`.
    ///
    /// # Errors
    /// The process is gone, is in no container's cgroup, or the hierarchy is not mounted here.
    pub fn of_pid(pid: u32) -> Result<Self> {
        let context = format!("find the freezer of process {pid}");
        let local = |source| Error::Local {
            context: context.clone(),
            source,
        };
        let cgroups = fs_err::read_to_string(format!("/proc/{pid}/cgroup")).map_err(local)?;
        let mounts = fs_err::read_to_string("/proc/self/mountinfo").map_err(local)?;
        let freezer = locate(&cgroups, &mounts).ok_or_else(|| {
            local(io::Error::new(
                io::ErrorKind::NotFound,
                "its cgroup is not mounted here, or is the root",
            ))
        })?;
        freezer.read_state().map_err(local)?;
        Ok(freezer)
    }

    /// The freezer of a container, by its first process and its id. An init system inside the container may have
    /// moved that process into a cgroup further down: the container's own is the one that bears its id.
    ///
    /// # Errors
    /// As of [`Self::of_pid`]; or no part of the path bears the id: the process may be another's by now.
    pub fn of_container(pid: u32, id: &str) -> Result<Self> {
        let mut freezer = Self::of_pid(pid)?;
        if let Some(own) = bearing(&freezer.directory, id) {
            freezer.directory = own;
        } else if id.is_empty() || !freezer.directory.to_string_lossy().contains(id) {
            return Err(Error::Local {
                context: format!("find the freezer of container {id}"),
                source: io::Error::new(
                    io::ErrorKind::NotFound,
                    format!("process {pid} is in another's cgroup"),
                ),
            });
        }
        Ok(freezer)
    }

    /// A freezer by its directory, as [`Self::path`] gave it: for a watchdog that is another process.
    ///
    /// # Errors
    /// The directory is no freezer (any more).
    pub fn from_path(path: &Path) -> Result<Self> {
        let v2 = path.join("cgroup.freeze").exists();
        let freezer = Self {
            directory: path.to_owned(),
            version: if v2 { Version::V2 } else { Version::V1 },
        };
        freezer.read_state().map_err(|source| Error::Local {
            context: "open a container's freezer".to_owned(),
            source,
        })?;
        Ok(freezer)
    }

    /// Its directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.directory
    }

    /// Whether we may write it: in a container the hierarchy is often mounted read-only.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        let file = match self.version {
            Version::V1 => "freezer.state",
            Version::V2 => "cgroup.freeze",
        };
        rustix::fs::access(self.directory.join(file), rustix::fs::Access::WRITE_OK).is_ok()
    }

    /// Whether all its processes stand still. A cgroup that is gone is not frozen.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn is_frozen(&self) -> Result<bool> {
        match self.read_state() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            other => other.map_err(|source| self.failed("read", source)),
        }
    }

    /// Lets all its processes run. Behind the engine's back: see [`reconcile`]. A cgroup that is gone
    /// is thawed.
    ///
    /// # Errors
    /// The state cannot be written, or does not settle.
    pub fn thaw(&self) -> Result<()> {
        let (file, word) = match self.version {
            Version::V1 => ("freezer.state", "THAWED"),
            Version::V2 => ("cgroup.freeze", "0"),
        };
        match fs_err::write(self.directory.join(file), word) {
            Err(error) if gone(&error) => return Ok(()),
            other => other.map_err(|source| self.failed("thaw", source))?,
        }
        self.settle(false)
    }

    /// Stops all its processes, and waits until they stand still. Behind the engine's back.
    ///
    /// # Errors
    /// The state cannot be written, or does not settle (then it is thawed again).
    pub fn freeze(&self) -> Result<()> {
        let (file, word) = match self.version {
            Version::V1 => ("freezer.state", "FROZEN"),
            Version::V2 => ("cgroup.freeze", "1"),
        };
        fs_err::write(self.directory.join(file), word)
            .map_err(|source| self.failed("freeze", source))?;
        let settled = self.settle(true);
        if settled.is_err() {
            self.thaw()?;
        }
        settled
    }

    fn settle(&self, frozen: bool) -> Result<()> {
        let end = Instant::now() + SETTLE;
        while self.is_frozen()? != frozen {
            if Instant::now() >= end {
                let source = io::Error::new(io::ErrorKind::TimedOut, "its state did not settle");
                return Err(self.failed(if frozen { "freeze" } else { "thaw" }, source));
            }
            if frozen && self.version == Version::V1 {
                // A process that forks during the freeze keeps it at FREEZING until it is asked again.
                fs_err::write(self.directory.join("freezer.state"), "FROZEN")
                    .map_err(|source| self.failed("freeze", source))?;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    fn read_state(&self) -> io::Result<bool> {
        match self.version {
            Version::V1 => Ok(
                fs_err::read_to_string(self.directory.join("freezer.state"))?.trim() == "FROZEN",
            ),
            Version::V2 => {
                let events = fs_err::read_to_string(self.directory.join("cgroup.events"))?;
                Ok(events.lines().any(|line| line == "frozen 1"))
            }
        }
    }

    fn failed(&self, verb: &str, source: io::Error) -> Error {
        Error::Local {
            context: format!("{verb} cgroup {}", self.directory.display()),
            source,
        }
    }
}

fn gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::NODEV.raw_os_error())
}

/// The freezer in `/proc/<pid>/cgroup`, as our mount table reaches it. Never a hierarchy's root: that
/// would be the whole machine.
fn locate(cgroups: &str, mountinfo: &str) -> Option<Freezer> {
    let entries = || {
        cgroups
            .lines()
            .filter_map(|line| line.split_once(':')?.1.split_once(':'))
    };
    let v1 =
        entries().find(|(controllers, _)| controllers.split(',').any(|name| name == "freezer"));
    if let Some((_, path)) = v1 {
        let is_freezer = |kind: &str, options: &str| {
            kind == "cgroup" && options.split(',').any(|option| option == "freezer")
        };
        let directory = reach(path, mountinfo, is_freezer)?;
        return Some(Freezer {
            directory,
            version: Version::V1,
        });
    }
    let (_, path) = entries().find(|(controllers, _)| controllers.is_empty())?;
    let directory = reach(path, mountinfo, |kind, _| kind == "cgroup2")?;
    Some(Freezer {
        directory,
        version: Version::V2,
    })
}

/// Where the kernel counts the memory of a process's cgroup; nothing where that is not mounted here.
#[must_use]
pub fn memory_cgroup(pid: u32) -> Option<PathBuf> {
    let cgroups = fs_err::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
    let mounts = fs_err::read_to_string("/proc/self/mountinfo").ok()?;
    let mut entries = cgroups
        .lines()
        .filter_map(|line| line.split_once(':')?.1.split_once(':'));
    let counts = |names: &str| names.split(',').any(|name| name == "memory");
    if let Some((_, path)) = entries.clone().find(|(controllers, _)| counts(controllers)) {
        return reach(path, &mounts, |kind, options| {
            kind == "cgroup" && counts(options)
        });
    }
    let (_, path) = entries.find(|(controllers, _)| controllers.is_empty())?;
    reach(path, &mounts, |kind, _| kind == "cgroup2")
}

/// The part of the path down to the cgroup that Docker named after the container: `…/<id>` or, by systemd,
/// `…/docker-<id>.scope`.
fn bearing(directory: &Path, id: &str) -> Option<PathBuf> {
    let scope = format!("docker-{id}.scope");
    let own = directory.ancestors().find(|part| {
        part.file_name()
            .is_some_and(|name| name == id || name == scope.as_str())
    });
    own.filter(|_| !id.is_empty()).map(Path::to_owned)
}

/// The path of a cgroup through the first mount that shows it.
fn reach(cgroup: &str, mountinfo: &str, fits: impl Fn(&str, &str) -> bool) -> Option<PathBuf> {
    for line in mountinfo.lines() {
        let Some((left, right)) = line.split_once(" - ") else {
            continue;
        };
        let mut left = left.split(' ').skip(3);
        let (Some(root), Some(point)) = (left.next(), left.next()) else {
            continue;
        };
        let mut right = right.split(' ');
        let kind = right.next().unwrap_or_default();
        if !fits(kind, right.nth(1).unwrap_or_default()) {
            continue;
        }
        let Ok(below) = Path::new(cgroup).strip_prefix(root) else {
            continue;
        };
        let harmless = below
            .components()
            .all(|part| matches!(part, std::path::Component::Normal(_)));
        if harmless && cgroup != "/" {
            return Some(Path::new(point).join(below));
        }
    }
    None
}

/// What [`reconcile`] found and did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reconciled {
    /// Engine and kernel agree that it runs (or it does not run at all): nothing was done.
    Running,
    /// Both said frozen: unpaused.
    Unpaused,
    /// The engine said paused, the kernel had thawed it: frozen for a moment and unpaused.
    FrozenAndUnpaused,
    /// The engine said running, the kernel had frozen it: thawed.
    Thawed,
}

/// Brings a container that **we** froze or paused back to running in the engine's eyes and in the kernel's,
/// whatever a watchdog did meanwhile. Can be run again. Never call it for what a person paused.
///
/// # Errors
/// The engine does not answer, or the cgroup cannot be written.
pub fn reconcile(engine: &dyn Engine, id: &str) -> Result<Reconciled> {
    let raw = engine.inspect_container(id)?;
    let state = &raw["State"];
    let paused = state["Paused"].as_bool().unwrap_or(false);
    let pid = state["Pid"]
        .as_u64()
        .and_then(|pid| u32::try_from(pid).ok())
        .filter(|pid| *pid != 0);
    let Some(pid) = pid else {
        return Ok(Reconciled::Running);
    };
    let freezer = Freezer::of_container(pid, id)?;
    match (paused, freezer.is_frozen()?) {
        (false, false) => Ok(Reconciled::Running),
        (false, true) => freezer.thaw().map(|()| Reconciled::Thawed),
        (true, true) => unpause(engine, id).map(|()| Reconciled::Unpaused),
        (true, false) => {
            freezer.freeze()?;
            match unpause(engine, id) {
                Ok(()) => Ok(Reconciled::FrozenAndUnpaused),
                Err(error) => {
                    // Running in the kernel and paused for the engine is better than not running.
                    freezer.thaw()?;
                    Err(error)
                }
            }
        }
    }
}

/// Unpauses, and takes "it is not paused" from an engine that meanwhile says so itself as done.
fn unpause(engine: &dyn Engine, id: &str) -> Result<()> {
    let Err(error) = engine.unpause(id) else {
        return Ok(());
    };
    let paused = engine.inspect_container(id)?["State"]
        .get("Paused")
        .and_then(Value::as_bool);
    if paused == Some(false) {
        Ok(())
    } else {
        Err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1_MOUNTS: &str = "30 24 0:26 / /sys/fs/cgroup rw - tmpfs cgroup rw\n\
        31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        32 30 0:28 / /sys/fs/cgroup/freezer rw,nosuid shared:9 - cgroup cgroup rw,freezer\n";
    const V2_MOUNTS: &str = "31 30 0:27 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn finds_the_freezer_of_both_versions() {
        let v1 = locate(
            "12:cpu,cpuacct:/docker/ab\n9:freezer:/docker/ab\n0::/x\n",
            V1_MOUNTS,
        )
        .unwrap();
        assert_eq!(v1.path(), Path::new("/sys/fs/cgroup/freezer/docker/ab"));
        let v2 = locate("0::/system.slice/docker-ab.scope\n", V2_MOUNTS).unwrap();
        assert_eq!(
            v2.path(),
            Path::new("/sys/fs/cgroup/system.slice/docker-ab.scope")
        );
    }

    #[test]
    fn what_an_init_system_moved_further_down_is_frozen_as_a_whole() {
        let own = |path: &str| bearing(Path::new(path), "ab");
        for (path, whole) in [
            (
                "/sys/fs/cgroup/freezer/docker/ab",
                "/sys/fs/cgroup/freezer/docker/ab",
            ),
            ("/c/docker/ab/init.scope", "/c/docker/ab"),
            (
                "/c/system.slice/docker-ab.scope/system.slice/x",
                "/c/system.slice/docker-ab.scope",
            ),
        ] {
            assert_eq!(own(path).as_deref(), Some(Path::new(whole)), "{path}");
        }
        assert_eq!(own("/c/machine.slice/libpod-ab.scope/container"), None);
        assert_eq!(bearing(Path::new("/c/docker/ab"), ""), None);
    }

    #[test]
    fn goes_through_a_mount_of_a_part() {
        let mounts = "32 30 0:28 /docker /mnt rw - cgroup cgroup rw,freezer\n";
        assert_eq!(
            locate("9:freezer:/docker/ab\n", mounts).unwrap().path(),
            Path::new("/mnt/ab")
        );
        assert_eq!(locate("9:freezer:/elsewhere/ab\n", mounts), None);
    }

    #[test]
    fn never_freezes_the_machine_or_what_lies_outside() {
        for cgroups in [
            "9:freezer:/\n",
            "9:freezer:/../docker/ab\n",
            "9:freezer:/docker/../ab\n",
            "",
        ] {
            assert_eq!(locate(cgroups, V1_MOUNTS), None, "{cgroups:?}");
        }
        assert_eq!(locate("0::/\n", V2_MOUNTS), None);
    }
}
