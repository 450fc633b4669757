//! Azure Blob Storage, as Microsoft's emulator has it: `azurite`, from npm. An emulator, not the store itself.

use std::path::{Path, PathBuf};
use std::process::Command;

use fs_err as fs;

use super::{Server, certificate, free_port};
use crate::command::run;
use crate::{Result, cache, packages};

/// The newest that runs on Node 18 and 20.
const AZURITE: &str = "azurite@3.35.0";

/// Makes a container, by the rules of Azure's shared keys.
const MAKE_CONTAINER: &str = r#"
const [scheme, port, account, key, container] = process.argv.slice(1);
const date = new Date().toUTCString(), version = '2021-08-06';
const path = `/${account}/${container}`;
const text = `PUT${'\n'.repeat(12)}x-ms-date:${date}\nx-ms-version:${version}\n/${account}${path}\nrestype:container`;
const mac = require('crypto').createHmac('sha256', Buffer.from(key, 'base64')).update(text, 'utf8').digest('base64');
const headers = { 'x-ms-date': date, 'x-ms-version': version, 'content-length': 0, authorization: `SharedKey ${account}:${mac}` };
require(scheme).request({ port, host: '127.0.0.1', rejectUnauthorized: false, method: 'PUT', path: path + '?restype=container', headers }, (answer) => {
  answer.resume();
  if (answer.statusCode != 201) { console.error(answer.statusCode, answer.statusMessage); process.exit(1); }
}).end();
"#;

/// The emulator, with one container, `vaults`, and nothing in it.
#[derive(Debug)]
pub struct AzuriteServer {
    /// The server.
    pub server: Server,
    port: u16,
    scheme: &'static str,
    dir: PathBuf,
}

impl AzuriteServer {
    /// The account that it knows.
    pub const ACCOUNT: &str = "devstoreaccount1";
    /// Its key, the same everywhere.
    pub const KEY: &str =
        "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";
    /// The container that tests make.
    pub const CONTAINER: &str = "vaults";

    /// The host that restic takes it for, with [`Self::restic_suffix`].
    pub const HOST: &str = "devstoreaccount1.blob.vaults.test";

    /// Serves a directory, which is made if it is not there.
    pub fn start(dir: &Path) -> Result<Self> {
        Self::serve(dir, false)
    }

    /// The same with TLS, without which restic reaches no store of Azure's.
    pub fn start_with_tls(dir: &Path) -> Result<Self> {
        Self::serve(dir, true)
    }

    fn serve(dir: &Path, tls: bool) -> Result<Self> {
        let program = ensure()?;
        fs::create_dir_all(dir)?;
        let port = free_port()?;
        let tls = tls.then(|| certificate(dir)).transpose()?;
        let server = Server::start(Path::new("node"), port, &dir.join("log"), |command| {
            command.arg(program.join("node_modules/azurite/dist/src/blob/main.js"));
            command.args(["--blobHost", "127.0.0.1", "--blobPort", &port.to_string()]);
            command.args(["--silent", "--disableTelemetry", "--skipApiVersionCheck"]);
            command.arg("--location").arg(dir.join("data"));
            if let Some((cert, key)) = &tls {
                command.arg("--cert").arg(cert).arg("--key").arg(key);
            }
        })?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let mut make = Command::new("node");
        make.args([
            "-e",
            MAKE_CONTAINER,
            scheme,
            &port.to_string(),
            Self::ACCOUNT,
        ]);
        run(make.args([Self::KEY, Self::CONTAINER]))?;
        Ok(Self {
            server,
            port,
            scheme,
            dir: dir.to_owned(),
        })
    }

    /// Installs it, if it is not in the cache.
    pub fn install() -> Result<()> {
        ensure().map(drop)
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("{}://127.0.0.1:{}", self.scheme, self.port)
    }

    /// The certificate that vouches for it.
    pub fn authority(&self) -> PathBuf {
        self.dir.join("cert.pem")
    }

    /// restic reaches Azure by names alone: what `AZURE_ENDPOINT_SUFFIX` is for it, where [`Self::HOST`] leads here.
    pub fn restic_suffix(&self) -> String {
        format!("vaults.test:{}", self.port)
    }

    /// What an environment has to hold to get in.
    pub fn environment(&self) -> [(&'static str, String); 3] {
        [
            ("AZURITE_BLOB_STORAGE_URL", self.url()),
            ("AZURE_ACCOUNT_NAME", Self::ACCOUNT.to_owned()),
            ("AZURE_ACCOUNT_KEY", Self::KEY.to_owned()),
        ]
    }
}

/// The directory that the emulator is installed in.
fn ensure() -> Result<std::path::PathBuf> {
    if !crate::command::is_on_path("npm") {
        packages::ensure(&[("nodejs", "runs azurite"), ("npm", "brings azurite")])?;
    }
    cache::entry("tool-azurite", &format!("{AZURITE}\n"), |dir| {
        let mut npm = Command::new("npm");
        npm.current_dir(dir).args(["install", "--prefix", "."]);
        npm.args(["--no-audit", "--no-fund", "--omit=dev", AZURITE]);
        run(&mut npm).map(drop)
    })
}
