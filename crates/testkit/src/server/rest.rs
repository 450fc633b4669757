//! restic's REST protocol: rest-server, the strict one, and `rclone serve restic`, the lax one.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::{Server, certificate, free_port};
use crate::Result;
use crate::go::GoTool;

pub(super) const REST_SERVER: GoTool = GoTool {
    program: "rest-server",
    module: "github.com/restic/rest-server",
    version: "v0.14.0",
    package: "github.com/restic/rest-server/cmd/rest-server",
    flags: "",
    main: "",
};

/// rclone with the one command and the one backend that are needed: all of it takes minutes.
pub(super) const RCLONE: GoTool = GoTool {
    program: "rclone-serve-restic",
    module: "github.com/rclone/rclone",
    version: "v1.76.0",
    package: "github.com/rclone/rclone/cmd/serve/restic",
    flags: "",
    main: r#"package main

import (
	_ "github.com/rclone/rclone/backend/local"
	"github.com/rclone/rclone/cmd"
	_ "github.com/rclone/rclone/cmd/serve"
	_ "github.com/rclone/rclone/cmd/serve/restic"
)

func main() { cmd.Main() }
"#,
};

/// How the server is to be.
#[derive(Debug, Clone, Copy, Default)]
pub struct RestOptions {
    /// Ask for [`RestServer::USER`] and [`RestServer::PASSWORD`].
    pub password: bool,
    /// Speak TLS, with a certificate of its own.
    pub tls: bool,
    /// Let nothing but locks be deleted.
    pub append_only: bool,
    /// Take no more than so many bytes.
    pub max_size: Option<u64>,
}

/// A REST server.
#[derive(Debug)]
pub struct RestServer {
    /// The server.
    pub server: Server,
    port: u16,
    dir: PathBuf,
    options: RestOptions,
}

impl RestServer {
    /// Whom it lets in.
    pub const USER: &str = "lifeboat";
    /// With this password.
    pub const PASSWORD: &str = "correct horse";

    /// rest-server over a directory, which is made if it is not there.
    pub fn start(dir: &Path, options: RestOptions) -> Result<Self> {
        let program = REST_SERVER.ensure()?;
        fs::create_dir_all(dir.join("data"))?;
        let port = free_port()?;
        let htpasswd = dir.join("htpasswd");
        fs::write(&htpasswd, "lifeboat:{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=\n")?;
        let tls = options.tls.then(|| certificate(dir)).transpose()?;
        let server = Server::start(&program, port, &dir.join("log"), |command| {
            command.args(["--listen", &format!("127.0.0.1:{port}")]);
            // Every request is a line in the log.
            command.args(["--log", "-"]);
            command.arg("--path").arg(dir.join("data"));
            match options.password {
                true => command.arg("--htpasswd-file").arg(&htpasswd),
                false => command.arg("--no-auth"),
            };
            if let Some((cert, key)) = &tls {
                command.arg("--tls").arg("--tls-cert").arg(cert);
                command.arg("--tls-key").arg(key);
            }
            if options.append_only {
                command.arg("--append-only");
            }
            if let Some(size) = options.max_size {
                command.args(["--max-size", &size.to_string()]);
            }
        })?;
        Ok(Self {
            server,
            port,
            dir: dir.to_owned(),
            options,
        })
    }

    /// `rclone serve restic` over a directory. Of the options it knows `append_only`.
    pub fn start_rclone(dir: &Path, options: RestOptions) -> Result<Self> {
        let program = RCLONE.ensure()?;
        fs::create_dir_all(dir.join("data"))?;
        let port = free_port()?;
        let server = Server::start(&program, port, &dir.join("log"), |command| {
            command.env("RCLONE_CONFIG", "/notfound");
            command.args(["serve", "restic", "--addr", &format!("127.0.0.1:{port}")]);
            if options.append_only {
                command.arg("--append-only");
            }
            command.arg(dir.join("data"));
        })?;
        Ok(Self {
            server,
            port,
            dir: dir.to_owned(),
            options,
        })
    }

    /// A place on it, without user and password.
    pub fn place(&self, path: &str) -> String {
        let scheme = if self.options.tls { "https" } else { "http" };
        format!("rest:{scheme}://127.0.0.1:{}/{path}/", self.port)
    }

    /// The file of the authority that vouches for it, if it speaks TLS.
    pub fn authority(&self) -> PathBuf {
        self.dir.join("cert.pem")
    }

    /// What an environment has to hold to get in.
    pub fn environment() -> [(&'static str, &'static str); 2] {
        [
            ("RESTIC_REST_USERNAME", Self::USER),
            ("RESTIC_REST_PASSWORD", Self::PASSWORD),
        ]
    }

    /// Where its objects lie.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }
}
