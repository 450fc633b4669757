//! Registries: Debian's docker-registry 2.8, and distribution 3.1, which lists referrers.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;
use serde_json::json;

use super::{Server, certificate, free_port};
use crate::command::run;
use crate::go::GoTool;
use crate::{Result, packages};

/// The newest distribution.
pub(super) const DISTRIBUTION: GoTool = GoTool {
    program: "registry",
    module: "github.com/distribution/distribution/v3",
    version: "v3.1.1",
    package: "github.com/distribution/distribution/v3/cmd/registry",
    flags: "",
    main: "",
};

/// How the registry is to be.
#[derive(Debug, Clone, Copy, Default)]
pub struct RegistryOptions {
    /// Ask for [`RegistryServer::USER`] and [`RegistryServer::PASSWORD`].
    pub password: bool,
    /// Speak TLS, with a certificate of its own.
    pub tls: bool,
    /// distribution 3.1, not Debian's.
    pub newest: bool,
    /// With TLS: let nobody in who does not come with the server's own certificate and key.
    pub client_certificate: bool,
}

/// A registry on loopback.
#[derive(Debug)]
pub struct RegistryServer {
    /// The server.
    pub server: Server,
    port: u16,
    dir: PathBuf,
    options: RegistryOptions,
}

impl RegistryServer {
    /// Whom it lets in.
    pub const USER: &str = "lifeboat";
    /// With this password.
    pub const PASSWORD: &str = "correct horse";

    /// A registry over a directory, which is made if it is not there.
    pub fn start(dir: &Path, options: RegistryOptions) -> Result<Self> {
        let program = if options.newest {
            DISTRIBUTION.ensure()?
        } else {
            packages::ensure(&[("docker-registry", "a real registry for the tests")])?;
            PathBuf::from("docker-registry")
        };
        fs::create_dir_all(dir.join("data"))?;
        let port = free_port()?;
        let mut http = json!({"addr": format!("127.0.0.1:{port}")});
        if options.tls {
            let (certificate, key) = certificate(dir)?;
            http["tls"] = json!({"certificate": certificate, "key": key});
            if options.client_certificate {
                http["tls"]["clientcas"] = json!([certificate]);
            }
        }
        let mut config = json!({
            "version": 0.1,
            "log": {"level": "warn"},
            "storage": {
                "filesystem": {"rootdirectory": dir.join("data")},
                "delete": {"enabled": true},
            },
            "http": http,
        });
        if options.password {
            let htpasswd = dir.join("htpasswd");
            fs::write(&htpasswd, format!("{}:{HASH}\n", Self::USER))?;
            config["auth"] = json!({"htpasswd": {"realm": "lab", "path": htpasswd}});
        }
        let file = dir.join("config.yml");
        fs::write(&file, config.to_string())?;
        let server = Server::start(&program, port, &dir.join("log"), |command| {
            command.env("OTEL_TRACES_EXPORTER", "none");
            command.arg("serve").arg(&file);
        })?;
        Ok(Self {
            server,
            port,
            dir: dir.to_owned(),
            options,
        })
    }

    /// `127.0.0.1:PORT`, as the names of images have it.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The file of the authority that vouches for it, if it speaks TLS.
    pub fn authority(&self) -> PathBuf {
        self.dir.join("cert.pem")
    }

    /// Where its blobs lie.
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// Pushes an image by skopeo, a client that shares no code with ours.
    ///
    /// `from` is what skopeo calls a source, such as `oci:DIR:TAG` or `docker-archive:FILE`.
    pub fn push(&self, from: &str, to: &str) -> Result<()> {
        let to = format!("docker://{}/{to}", self.address());
        let mut command = self.skopeo("copy", "--dest")?;
        command.args(["--all", "--preserve-digests", from, &to]);
        run(&mut command).map(drop)
    }

    /// A manifest's bytes as skopeo gets them.
    pub fn manifest(&self, name: &str) -> Result<String> {
        let mut command = self.skopeo("inspect", "")?;
        command.args(["--raw", &format!("docker://{}/{name}", self.address())]);
        run(&mut command)
    }

    fn skopeo(&self, what: &str, side: &str) -> Result<Command> {
        packages::ensure(&[("skopeo", "a second client of registries for the tests")])?;
        let option = |name: &str| match side {
            "" => format!("--{name}"),
            side => format!("{side}-{name}"),
        };
        let mut command = Command::new("skopeo");
        command.args(["--insecure-policy", what]);
        command.arg(format!("{}=false", option("tls-verify")));
        if self.options.password {
            let pair = format!("{}:{}", Self::USER, Self::PASSWORD);
            command.args([option("creds"), pair]);
        }
        Ok(command)
    }
}

/// bcrypt of the password, which is the one kind that the registry reads.
const HASH: &str = "$2b$05$2VoYxXVPSae.DSPHPdX8Iur8otkbjEZ4mLtQcMx2wulmcntIwQTdC";
