//! OpenSSH's server, with its SFTP subsystem, on the loopback and with keys of its own.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

use super::{Server, free_port};
use crate::command::run;
use crate::{Result, packages};

/// An SSH server. Needs root.
#[derive(Debug)]
pub struct SftpServer {
    /// The server.
    pub server: Server,
    port: u16,
    dir: PathBuf,
}

impl SftpServer {
    /// Starts it; its keys and settings are kept in `dir`.
    pub fn start(dir: &Path) -> Result<Self> {
        packages::ensure(crate::remote::PACKAGES)?;
        packages::ensure(&[("openssh-sftp-server", "vaults behind SFTP")])?;
        fs::create_dir_all(dir)?;
        // Where it drops its rights to; it refuses to start without.
        fs::create_dir_all("/run/sshd")?;
        for name in ["host", "user"] {
            let mut keygen = Command::new("ssh-keygen");
            keygen.args(["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"]);
            run(keygen.arg(dir.join(name)))?;
        }
        let port = free_port()?;
        let at = |name: &str| dir.join(name).display().to_string();
        let settings = format!(
            "ListenAddress 127.0.0.1:{port}\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nStrictModes no\nUsePAM no\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\nSubsystem sftp /usr/lib/openssh/sftp-server\n",
            at("host"),
            at("user.pub")
        );
        fs::write(dir.join("sshd_config"), settings)?;
        let key = fs::read_to_string(dir.join("host.pub"))?;
        fs::write(dir.join("known"), format!("[127.0.0.1]:{port} {key}"))?;
        let client = format!(
            "Host *\n  User root\n  Port {port}\n  IdentityFile {}\n  IdentitiesOnly yes\n  UserKnownHostsFile {}\n  StrictHostKeyChecking yes\n",
            at("user"),
            at("known")
        );
        fs::write(dir.join("ssh_config"), client)?;
        let program = Path::new("/usr/sbin/sshd");
        let server = Server::start(program, port, &dir.join("log"), |command| {
            command
                .args(["-D", "-e", "-f"])
                .arg(dir.join("sshd_config"));
        })?;
        Ok(Self {
            server,
            port,
            dir: dir.to_owned(),
        })
    }

    /// A directory of this machine, as reached through it.
    pub fn place(&self, path: &Path) -> String {
        format!("sftp://root@127.0.0.1:{}/{}", self.port, path.display())
    }

    /// The same for restic, which takes the port from [`SftpServer::restic_command`].
    pub fn restic_place(path: &Path) -> String {
        format!("sftp:root@127.0.0.1:{}", path.display())
    }

    /// What stands for `ssh`, so that it knows keys and host.
    pub fn ssh(&self) -> String {
        format!("ssh -F {}", self.dir.join("ssh_config").display())
    }

    /// restic's `sftp.command`.
    pub fn restic_command(&self) -> String {
        format!("{} root@127.0.0.1 -s sftp", self.ssh())
    }

    /// From now on it knows nobody.
    pub fn forget_keys(&self) -> Result<()> {
        Ok(fs::write(self.dir.join("user.pub"), "")?)
    }
}
