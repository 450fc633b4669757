//! A machine from which an engine is far: a network namespace with a cable to the engine's, and a view of
//! the file system in which the engine's directory is not.
//!
//! The engine is reached at [`ENGINE_ADDRESS`]; the cable belongs to the two namespaces and goes with them.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;

use crate::command::run;
use crate::engine::PrivateEngine;
use crate::{Error, Result};

/// What the engine's host is called from here.
pub const ENGINE_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 30, 0, 2));
/// Where the engine listens with TLS, if it was started with [`tls_args`].
pub const TLS_PORT: u16 = 2376;
/// Where its SSH server listens.
pub const SSH_PORT: u16 = 2222;

/// What SSH needs from the distribution.
pub const PACKAGES: &[(&str, &str)] = &[
    (
        "openssh-server",
        "an engine that is reached over SSH; its service is not started",
    ),
    ("openssh-client", "the same"),
];

/// Arguments for `dockerd` that make it listen with TLS, and take only clients whom it knows.
pub fn tls_args(server: &Path) -> Vec<String> {
    let file = |flag: &str, name: &str| format!("--{flag}={}", server.join(name).display());
    vec![
        "--tlsverify".to_owned(),
        file("tlscacert", "ca.pem"),
        file("tlscert", "cert.pem"),
        file("tlskey", "key.pem"),
        "-H".to_owned(),
        format!("tcp://0.0.0.0:{TLS_PORT}"),
    ]
}

/// The machine. It ends when it is dropped, or with the process that made it.
#[derive(Debug)]
pub struct Remote {
    holder: Child,
}

impl Remote {
    /// A machine with a cable to this engine.
    pub fn connect(engine: &PrivateEngine) -> Result<Self> {
        let mut unshare = Command::new("unshare");
        unshare.args(["-n", "--", "sh", "-c"]);
        unshare.arg("ip link set lo up && echo ready && read -r _");
        unshare.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = unshare.spawn().map_err(|source| Error::Spawn {
            program: "unshare".into(),
            source,
        })?;
        let mut said = String::new();
        if let Some(stdout) = holder.stdout.take() {
            BufReader::new(stdout.take(100)).read_line(&mut said)?;
        }
        let remote = Self { holder };
        let (here, there) = (
            remote.holder.id().to_string(),
            engine.keeper_pid().to_string(),
        );
        let mut link = Command::new("ip");
        link.args(["link", "add", "lb-far", "netns", &here, "type", "veth"]);
        run(link.args(["peer", "name", "lb-far", "netns", &there]))?;
        for (pid, address) in [(&here, "10.30.0.1/30"), (&there, "10.30.0.2/30")] {
            let enter = |words: &[&str]| {
                let mut command = Command::new("nsenter");
                run(command.args(["-t", pid, "-n", "--", "ip"]).args(words))
            };
            enter(&["addr", "add", address, "dev", "lb-far"])?;
            enter(&["link", "set", "lb-far", "up"])?;
        }
        Ok(remote)
    }

    /// The same command as it runs on this machine, where the folders `hidden` are empty.
    pub fn on(&self, command: &Command, hidden: &[&Path]) -> Command {
        let mut there = Command::new("nsenter");
        there.arg("-t").arg(self.holder.id().to_string());
        there.args(["-n", "--", "unshare", "-m", "--propagation", "private"]);
        let hide = r#"while [ "$1" != -- ]; do [ ! -d "$1" ] || mount -t tmpfs none "$1" || exit 99; shift; done; shift; exec "$@""#;
        there.args(["--", "sh", "-c", hide, "sh"]).args(hidden);
        there.arg("--").arg(command.get_program());
        there.args(command.get_args());
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => there.env(key, value),
                None => there.env_remove(key),
            };
        }
        there
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        // Its standard input closes, which it waits for.
        drop(self.holder.stdin.take());
        let _ = self.holder.wait();
    }
}

/// An SSH server on the engine's host, with keys of its own. It ends when it is dropped.
#[derive(Debug)]
pub struct SshServer {
    sshd: Child,
    dir: PathBuf,
}

impl SshServer {
    /// Starts it. `dir` is made, and is not below the engine's.
    pub fn start(engine: &PrivateEngine, dir: &Path) -> Result<Self> {
        fs::create_dir_all(dir)?;
        for name in ["host", "other-host", "user", "stranger"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]);
            run(keygen.arg(dir.join(name)))?;
        }
        fs::copy(dir.join("user.pub"), dir.join("authorized"))?;
        let at = |name: &str| dir.join(name).display().to_string();
        let settings = format!(
            "Port {SSH_PORT}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nLogLevel ERROR\n",
            at("host"),
            at("authorized")
        );
        fs::write(dir.join("sshd_config"), settings)?;
        // As on an ordinary host, the engine has its socket where everybody looks for it.
        let run_dir = engine.dir().join("run");
        fs::create_dir_all(run_dir.join("sshd"))?;
        fs::set_permissions(run_dir.join("sshd"), std::fs::Permissions::from_mode(0o755))?;
        let usual = run_dir.join("docker.sock");
        if !usual.exists() {
            std::os::unix::fs::symlink(engine.socket(), usual)?;
        }
        let log = fs::File::create(dir.join("sshd.log"))?.into_parts().0;
        let mut command = engine.host_command("/usr/sbin/sshd");
        command
            .args(["-D", "-e", "-f"])
            .arg(dir.join("sshd_config"));
        command.env_remove("DOCKER_HOST");
        command.stdin(Stdio::null()).stderr(log);
        let sshd = command.spawn().map_err(|source| Error::Spawn {
            program: "sshd".into(),
            source,
        })?;
        let server = Self {
            sshd,
            dir: dir.to_owned(),
        };
        server.wait(engine)?;
        server.know("host")?;
        server.client("user")?;
        Ok(server)
    }

    fn wait(&self, engine: &PrivateEngine) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(10);
        let answers = || {
            engine.in_network(|| {
                let at = (Ipv4Addr::LOCALHOST, SSH_PORT);
                std::net::TcpStream::connect(at).is_ok()
            })
        };
        while !answers()? {
            if Instant::now() > end {
                return Err(Error::Timeout {
                    what: "an answer of sshd".to_owned(),
                    seconds: 10,
                    hint: fs::read_to_string(self.dir.join("sshd.log")).unwrap_or_default(),
                });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Makes the client know this host key (`host`, or `other-host`, which is wrong), or none (``).
    pub fn know(&self, key: &str) -> Result<()> {
        let mut known = String::new();
        if !key.is_empty() {
            let public = fs::read_to_string(self.dir.join(format!("{key}.pub")))?;
            known = format!("[{ENGINE_ADDRESS}]:{SSH_PORT} {public}");
        }
        Ok(fs::write(self.dir.join("known_hosts"), known)?)
    }

    /// Makes the client use this key: `user`, or `stranger`, whom the host does not know.
    pub fn client(&self, key: &str) -> Result<()> {
        let at = |name: &str| self.dir.join(name).display().to_string();
        let settings = format!(
            "IdentityFile {}\nIdentitiesOnly yes\nUserKnownHostsFile {}\nGlobalKnownHostsFile none\n",
            at(key),
            at("known_hosts")
        );
        fs::write(self.dir.join("ssh_config"), settings)?;
        let bin = self.bin();
        fs::create_dir_all(&bin)?;
        let script = format!(
            "#!/bin/sh\nexec /usr/bin/ssh -F {} \"$@\"\n",
            at("ssh_config")
        );
        fs::write(bin.join("ssh"), script)?;
        Ok(fs::set_permissions(
            bin.join("ssh"),
            std::fs::Permissions::from_mode(0o755),
        )?)
    }

    /// The folder with an `ssh` that has these settings: for PATH.
    pub fn bin(&self) -> PathBuf {
        self.dir.join("bin")
    }

    /// `ssh://…` to the engine.
    pub fn address(&self) -> String {
        format!("ssh://root@{ENGINE_ADDRESS}:{SSH_PORT}")
    }
}

impl Drop for SshServer {
    fn drop(&mut self) {
        let _ = self.sshd.kill();
        let _ = self.sshd.wait();
    }
}
