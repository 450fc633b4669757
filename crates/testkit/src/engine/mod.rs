//! A Docker Engine of our own: as many at once as a test needs, none of them in sight of another or
//! of the machine's.
//!
//! * **Own**: data root, exec root, socket, configuration, `/etc/docker` (so an own engine id),
//!   `/run` and with it an own containerd, network namespace, host name. Host-wide settings stay as
//!   they are; `ip_forward` and the firewall belong to the network namespace.
//! * **The same**: process ids, cgroups, and every path. A volume lies where the engine says it lies,
//!   for a program outside the namespaces too, since the data root is a plain directory. What is
//!   *mounted* inside (a volume with `o=bind`, a container's merged root) is seen only from within:
//!   [`PrivateEngine::host_command`].
//! * **Gone afterwards**: [`PrivateEngine::destroy`], or dropping it, kills every process that
//!   belongs to the engine and removes its directory. When the test itself is killed, the process
//!   that holds the namespaces notices (its stdin closes) and does the same.
//!
//! Needs root, and the packages in [`PACKAGES`].

mod newest;
mod podman;
mod process;
mod rootless;
mod start;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use fs_err as fs;
use rustix::process::Signal;

use crate::api::Client;
use crate::{Error, Result};

pub use newest::newest;
pub use podman::{PODMAN_PACKAGES, PrivatePodman};
pub use rootless::{ROOTLESS_IDS, ROOTLESS_PACKAGES, RootlessEngine};

/// What an engine of our own needs from the distribution.
pub const PACKAGES: &[(&str, &str)] = &[
    ("docker.io", "the engine; its service is not started"),
    ("iptables", "the engine's networks"),
    ("iproute2", "network namespaces"),
    ("util-linux", "unshare and nsenter"),
];

/// Whether we may start one: we are root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Which engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// The distribution's: 20.10 on Debian 12, with graph drivers.
    Distribution,
    /// The newest, with containerd's image store: [`newest()`].
    Newest,
}

impl Release {
    /// What a test gets that does not ask for a release: the distribution's, or the newest where
    /// `LIFEBOAT_TEST_ENGINE=newest` says so, so that any suite can be run on it.
    fn of_this_run() -> Self {
        match std::env::var("LIFEBOAT_TEST_ENGINE").as_deref() {
            Ok("newest") => Self::Newest,
            _ => Self::Distribution,
        }
    }
}

/// How an engine is to be.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// A word for messages.
    pub name: String,
    /// Where it lives. Must not exist or be empty; its parent must exist. At most 60 bytes, because
    /// names of sockets are short. Removed with the engine.
    pub dir: PathBuf,
    /// The host name that it sees; the machine's own if none.
    pub hostname: Option<String>,
    /// Which engine it is.
    pub release: Release,
    /// Where its programs (`dockerd`, `containerd`, …) are looked for before PATH.
    pub programs: Option<PathBuf>,
    /// More arguments for `dockerd`.
    pub args: Vec<String>,
    /// Files of ours that the engine sees in the place of the machine's: ours, the machine's.
    pub instead: Vec<(PathBuf, PathBuf)>,
}

impl EngineOptions {
    /// An engine of this name in this directory, everything else as usual.
    pub fn new(name: impl Into<String>, dir: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            dir: dir.into(),
            hostname: None,
            release: Release::of_this_run(),
            programs: None,
            args: Vec::new(),
            instead: Vec::new(),
        }
    }

    /// The same with a host name of its own.
    #[must_use]
    pub fn hostname(mut self, hostname: impl Into<String>) -> Self {
        self.hostname = Some(hostname.into());
        self
    }

    /// The same of another release.
    #[must_use]
    pub fn release(mut self, release: Release) -> Self {
        self.release = release;
        self
    }
}

/// A running (or stopped) engine of our own. Dropping it destroys it.
#[derive(Debug)]
pub struct PrivateEngine {
    options: EngineOptions,
    dir: PathBuf,
    token: String,
    slot: u32,
    keeper: Child,
    dockerd: Option<Child>,
    destroyed: bool,
}

impl PrivateEngine {
    /// Starts an engine and waits until it answers.
    ///
    /// When it does not come up, the error quotes the end of its log, and nothing is left of it.
    pub fn start(mut options: EngineOptions) -> Result<Self> {
        if options.release == Release::Newest && options.programs.is_none() {
            options.programs = Some(newest()?);
        }
        let mut engine = start::enter_namespaces(options)?;
        for (ours, theirs) in &engine.options.instead {
            let mut mount = engine.nsenter(&["-m"], "mount");
            crate::command::run(mount.arg("--bind").arg(ours).arg(theirs))?;
        }
        engine.start_dockerd()?; // On an error the drop takes everything away.
        Ok(engine)
    }

    /// The word for messages that it was given.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// What `DOCKER_HOST` has to be to talk to it: `unix://…`.
    pub fn docker_host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("docker.sock")
    }

    /// Which engine it is.
    pub fn release(&self) -> Release {
        self.options.release
    }

    /// Its data root.
    pub fn data_root(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// The directory that everything of it is in.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The process that holds the engine's namespaces, for `nsenter -t PID`. It stays the same when
    /// the engine is restarted.
    pub fn keeper_pid(&self) -> u32 {
        self.keeper.id()
    }

    /// A client for it.
    pub fn api(&self) -> Client {
        Client::new(self.socket())
    }

    /// Where the data of a volume lies, as the engine says.
    pub fn volume_path(&self, volume: &str) -> Result<PathBuf> {
        let volume = self.api().get(&format!("/volumes/{volume}"))?;
        crate::api::text(&volume, "/Mountpoint").map(PathBuf::from)
    }

    /// A command that will run in the engine's network, with everything else as it is here: there a
    /// published port is on loopback and a container's address can be reached.
    pub fn netns_command(&self, program: &str) -> Command {
        self.nsenter(&["-n"], program)
    }

    /// A command that will run where the engine runs: its network, its mounts, its host name. To
    /// such a program the engine is the engine of its host.
    pub fn host_command(&self, program: &str) -> Command {
        let mut command = self.nsenter(&["-m", "-n", "-u"], program);
        command.env("DOCKER_HOST", self.docker_host());
        command
    }

    /// Runs `work` in a thread of its own inside the engine's network, to connect to published
    /// ports and to the addresses of containers.
    pub fn in_network<T, F>(&self, work: F) -> Result<T>
    where
        T: Send,
        F: FnOnce() -> T + Send,
    {
        let namespace = fs::File::open(format!("/proc/{}/ns/net", self.keeper.id()))?;
        let entered = std::thread::scope(|scope| {
            let inside = scope.spawn(move || {
                use std::os::fd::AsFd as _;
                rustix::thread::move_into_link_name_space(
                    namespace.file().as_fd(),
                    Some(rustix::thread::LinkNameSpaceType::Network),
                )
                .map(|()| work())
            });
            inside.join()
        });
        match entered {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(errno)) => Err(std::io::Error::from(errno).into()),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }

    /// Fetches `http://ADDRESS:PORT/PATH` inside the engine's network and gives back status and body.
    pub fn http_get(&self, address: IpAddr, port: u16, path: &str) -> Result<(u16, String)> {
        self.in_network(|| process::http_get(address, port, path))?
    }

    /// Stops the engine as a shutdown of the host would, and waits for its end. Containers get
    /// their grace. Namespaces and directories stay: [`PrivateEngine::restart`].
    pub fn stop(&mut self) -> Result<()> {
        let Some(mut dockerd) = self.dockerd.take() else {
            return Ok(());
        };
        process::signal(&dockerd, Signal::TERM);
        if process::wait(&mut dockerd, Duration::from_secs(40))? {
            return Ok(());
        }
        process::signal(&dockerd, Signal::KILL);
        dockerd.wait()?;
        Err(Error::Timeout {
            what: format!("the end of the engine {}", self.options.name),
            seconds: 40,
            hint: self.log_tail(),
        })
    }

    /// Kills the engine, and only the engine: its containers run on, as on a host.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut dockerd) = self.dockerd.take() {
            process::signal(&dockerd, Signal::KILL);
            dockerd.wait()?;
        }
        Ok(())
    }

    /// Stops the engine if it runs and starts it again over the same data root and namespaces.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        self.start_dockerd()
    }

    /// Stops the engine and starts another release over the same data root and namespaces, as a package manager does.
    pub fn upgrade(&mut self, release: Release) -> Result<()> {
        self.stop()?;
        self.options.release = release;
        self.options.programs = match release {
            Release::Newest => Some(newest()?),
            Release::Distribution => None,
        };
        self.start_dockerd()
    }

    /// Takes everything away: the engine, its containers, its namespaces, its directory.
    pub fn destroy(mut self) -> Result<()> {
        self.tear_down()
    }

    /// Takes away an engine that was left running with [`PrivateEngine::detach`], or by a crash, given
    /// its directory. A directory that holds no engine is refused.
    pub fn destroy_at(dir: &Path) -> Result<()> {
        let token = fs::read_to_string(dir.join("token"))?;
        process::clean_up(dir, token.trim())?;
        process::remove_dir(dir)
    }

    /// Lets the engine outlive this process. It is taken away by [`PrivateEngine::destroy_at`].
    pub fn detach(mut self) -> Result<PathBuf> {
        use std::io::Write as _;
        if let Some(mut pipe) = self.keeper.stdin.take() {
            pipe.write_all(b"keep\n")?;
        }
        self.destroyed = true;
        Ok(self.dir.clone())
    }

    /// The end of the engine's log.
    pub fn log_tail(&self) -> String {
        let log = fs::read(self.dir.join("dockerd.log")).unwrap_or_default();
        crate::command::tail(&String::from_utf8_lossy(&log), 3000).to_owned()
    }

    fn nsenter(&self, which: &[&str], program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.arg("-t").arg(self.keeper.id().to_string());
        command.args(which).arg("--").arg(program);
        command
    }

    fn tear_down(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.destroyed, true) {
            return Ok(());
        }
        let cleaned = process::clean_up(&self.dir, &self.token);
        for child in [Some(&mut self.keeper), self.dockerd.as_mut()] {
            child.map(Child::wait).transpose()?;
        }
        cleaned?;
        process::remove_dir(&self.dir)
    }
}

impl Drop for PrivateEngine {
    fn drop(&mut self) {
        if std::thread::panicking() && !self.destroyed {
            use std::io::Write as _;
            let mut err = std::io::stderr().lock();
            let _ = writeln!(
                err,
                "log of engine {}:\n{}",
                self.options.name,
                self.log_tail()
            );
        }
        let _ = self.tear_down();
    }
}
