//! Clients of registries that share no code with ours: skopeo, Podman and containerd, each with a storage of its own.
//!
//! They run in the network of the thread that calls them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;
use sha2::{Digest as _, Sha256};

use crate::command::run;
use crate::{Error, Result, packages};

/// Podman.
#[derive(Debug)]
pub struct Podman {
    dir: PathBuf,
}

impl Podman {
    /// With its storage below `dir`.
    pub fn new(dir: &Path) -> Result<Self> {
        packages::ensure(&[("podman", "a second engine for the tests")])?;
        fs::create_dir_all(dir)?;
        // Debian's has no policy of its own without a recommended package.
        let policy = r#"{"default": [{"type": "insecureAcceptAnything"}]}"#;
        fs::write(dir.join("policy.json"), policy)?;
        Ok(Self {
            dir: dir.to_owned(),
        })
    }

    /// `podman ARGS`.
    pub fn command(&self, args: &[&str]) -> Command {
        // Its mounts are its own, and end with it.
        let mut podman = Command::new("unshare");
        podman.args(["--mount", "podman", "--storage-driver", "vfs"]);
        podman.args(["--cgroup-manager", "cgroupfs"]);
        for (option, place) in [
            ("--root", "root"),
            ("--runroot", "run"),
            ("--tmpdir", "tmp"),
        ] {
            podman.arg(option).arg(self.dir.join(place));
        }
        podman.args(args);
        podman
    }

    /// `podman pull MORE NAME`.
    pub fn pull(&self, more: &[&str], name: &str) -> Command {
        let mut pull = self.command(&["pull", "--signature-policy"]);
        pull.arg(self.dir.join("policy.json")).args(more).arg(name);
        pull
    }
}

/// A containerd; ended when dropped.
#[derive(Debug)]
pub struct Containerd {
    child: Child,
    socket: PathBuf,
}

impl Containerd {
    /// Everything of it is below `dir`, where one that has ended may have been before.
    pub fn start(dir: &Path) -> Result<Self> {
        packages::ensure(&[("containerd", "the engine below Docker and Kubernetes")])?;
        fs::create_dir_all(dir)?;
        let socket = dir.join("sock");
        if socket.exists() {
            fs::remove_file(&socket)?;
        }
        let config = dir.join("config.toml");
        let text = format!(
            "version = 2\nroot = \"{0}/root\"\nstate = \"{0}/state\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \"{0}/sock\"\n",
            dir.display()
        );
        fs::write(&config, text)?;
        let mut containerd = Command::new("unshare");
        containerd.args(["--mount", "containerd", "--config"]);
        containerd.arg(config).stdout(Stdio::null());
        let log = fs::File::create(dir.join("log"))?;
        let child = containerd.stderr(log.into_parts().0).spawn()?;
        let started = Self { child, socket };
        let (begin, seconds) = (Instant::now(), 30);
        while !started.socket.exists() {
            if begin.elapsed() > Duration::from_secs(seconds) {
                return Err(Error::Timeout {
                    what: "containerd".to_owned(),
                    seconds,
                    hint: fs::read_to_string(dir.join("log"))?,
                });
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(started)
    }

    /// `ctr ARGS`.
    pub fn ctr(&self, args: &[&str]) -> Command {
        let mut ctr = Command::new("ctr");
        ctr.arg("--address").arg(&self.socket).args(args);
        ctr
    }

    /// `ctr images pull MORE NAME`.
    pub fn pull(&self, more: &[&str], name: &str) -> Command {
        let mut pull = self.ctr(&["images", "pull", "--snapshotter", "native"]);
        pull.args(more).arg(name);
        pull
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Pulls an image by tag and by digest from a registry without TLS, by each of the three. What each of them says its digest
/// is has to be `digest`, that of its index.
///
/// `by_tag` and `by_digest` are `HOST:PORT/NAME:TAG` and `HOST:PORT/NAME@DIGEST`; `dir` is empty, and filled.
pub fn pull_by_all(dir: &Path, by_tag: &str, by_digest: &str, digest: &str) -> Result<()> {
    packages::ensure(&[("skopeo", "a second client of registries for the tests")])?;
    let podman = Podman::new(&dir.join("podman"))?;
    let containerd = Containerd::start(&dir.join("containerd"))?;
    for name in [by_tag, by_digest] {
        let mut skopeo = Command::new("skopeo");
        skopeo.args(["inspect", "--raw", "--tls-verify=false"]);
        let raw = run(skopeo.arg(format!("docker://{name}")))?;
        let found = format!("sha256:{}", hex::encode(Sha256::digest(raw)));
        same("skopeo", name, &found, digest)?;

        run(&mut podman.pull(&["--tls-verify=false"], name))?;
        let line = ["image", "inspect", "--format", "{{.RepoDigests}}", name];
        same("podman", name, &run(&mut podman.command(&line))?, digest)?;

        run(&mut containerd.pull(&["--plain-http"], name))?;
        let listed = run(&mut containerd.ctr(&["images", "ls", &format!("name=={name}")]))?;
        let columns = |line: &str| line.split_whitespace().nth(2).map(ToOwned::to_owned);
        let found = listed.lines().nth(1).and_then(columns);
        same("ctr", name, &found.unwrap_or(listed), digest)?;
    }
    Ok(())
}

fn same(client: &str, name: &str, found: &str, digest: &str) -> Result<()> {
    if found.contains(digest) {
        return Ok(());
    }
    Err(Error::Unsupported(format!(
        "{client} says that {name} is {found}, not {digest}"
    )))
}
