//! Servers that keep vaults, as they really are, each on a port of this machine's loopback.
//!
//! A server dies with the [`Server`] that holds it, and with the test that holds that, however the
//! test ends. What it keeps lies in a directory that the test gives, so that it can be killed and
//! started again where it was.

mod azurite;
mod between;
mod collector;
mod gcs;
mod grpc;
mod notation;
mod registry;
mod rest;
mod s3;
mod sftp;

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use fs_err as fs;

pub use azurite::AzuriteServer;
pub use between::{Answer, Between, Then};
pub use collector::Collector;
pub use gcs::GcsStandIn;
pub use grpc::grpc_health;
pub use notation::Notation;
pub use registry::{RegistryOptions, RegistryServer};
pub use rest::{RestOptions, RestServer};
pub use s3::S3Server;
pub use sftp::SftpServer;

use crate::command::{line, run, tail};
use crate::go::GoTool;
use crate::{Error, Result, packages};

/// So long a server may take to listen.
const START: Duration = Duration::from_secs(30);

/// The programs that are built for this and beside it, so that they are there before the tests begin.
pub const TOOLS: &[&GoTool] = &[
    &s3::VERSITYGW,
    &rest::REST_SERVER,
    &rest::RCLONE,
    &registry::DISTRIBUTION,
    &crate::restic::RESTIC,
    &grpc::HEALTH,
    &collector::COLLECTOR,
    &notation::NOTATION,
    &crate::grafana::SCHEMA,
];

/// From the distribution, to be probed: they run in containers that see this machine's programs.
pub const PROBED: &[(&str, &str)] = &[
    (
        "rabbitmq-server",
        "a broker to probe; its service is not started",
    ),
    (
        "mariadb-server",
        "a database to probe; its service is not started",
    ),
    (
        "nginx-light",
        "a web server to probe; its service is not started",
    ),
];

/// A program that listens.
#[derive(Debug)]
pub struct Server {
    command: Command,
    port: u16,
    log: PathBuf,
    child: Option<Child>,
}

impl Server {
    /// Starts a program that will listen on `port`; what it says goes to `log`.
    fn start(
        program: &Path,
        port: u16,
        log: &Path,
        set: impl FnOnce(&mut Command),
    ) -> Result<Self> {
        // The server must not outlive us, even if we are killed.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).arg(program);
        set(&mut command);
        let mut server = Self {
            command,
            port,
            log: log.to_owned(),
            child: None,
        };
        server.start_again()?;
        Ok(server)
    }

    /// Starts it again, with the same arguments, on the same port.
    pub fn start_again(&mut self) -> Result<()> {
        self.kill();
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)?;
        let (out, err) = (log.file().try_clone()?, log.file().try_clone()?);
        self.command
            .stdin(Stdio::null())
            .stdout(Stdio::from(out))
            .stderr(Stdio::from(err));
        let child = self.command.spawn().map_err(|source| Error::Spawn {
            program: line(&self.command),
            source,
        })?;
        let child = self.child.insert(child);
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let ended = child.try_wait()?;
            if ended.is_some() || began.elapsed() > START {
                let text = fs::read_to_string(&self.log)?;
                return Err(Error::Command {
                    command: line(&self.command),
                    status: ended.map_or("does not listen".to_owned(), |s| s.to_string()),
                    output: tail(&text, 2000).to_owned(),
                });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Kills it, as a power cut would. Who was connected notices.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// What it has said so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A port that nobody listens on.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// A certificate for 127.0.0.1, and for the emulator's account by name, that only itself vouches for; and its key.
pub fn certificate(dir: &Path) -> Result<(PathBuf, PathBuf)> {
    packages::ensure(&[("openssl", "certificates for the tests' servers")])?;
    fs::create_dir_all(dir)?;
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    let mut make = Command::new("openssl");
    make.args(["req", "-x509", "-newkey", "ec", "-pkeyopt"]);
    make.args(["ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]);
    make.args([
        "-subj",
        "/CN=lifeboat test",
        "-addext",
        &format!("subjectAltName=IP:127.0.0.1,DNS:{}", AzuriteServer::HOST),
    ]);
    make.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
    make.arg("-keyout").arg(&key).arg("-out").arg(&cert);
    run(&mut make)?;
    Ok((cert, key))
}
