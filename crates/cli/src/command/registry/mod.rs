//! `registry`: image repositories into the vault and out of it.

mod backup;
mod check;
mod forget;
mod howto;
mod restore;
mod serve;

use std::{path::Path, sync::Arc};

use lifeboat_images::registry::{
    Finding,
    client::{Address, ClientOptions, Credentials, DockerConfig, RegistryClient},
};
use lifeboat_recovery::{Context, RecoveryError, protect::Registries};
use secrecy::SecretString;

use crate::{
    args::{Registry, RegistryAccessArgs, RegistryArgs},
    environment,
    exit::{Exit, Failure, Result},
    human, password,
    session::Session,
};

/// Where Docker keeps authorities of registries, a folder for each.
const CERTIFICATES: &str = "/etc/docker/certs.d";

/// Does what was asked for.
pub fn run(session: &Session, args: &RegistryArgs) -> Result<Exit> {
    match &args.what {
        Registry::Backup(args) => backup::run(session, args),
        Registry::Check(args) => check::run(session, args),
        Registry::Forget(args) => forget::run(session, args),
        Registry::Restore(args) => restore::run(session, args),
        Registry::Serve(args) => serve::run(session, args),
    }
}

/// Connects to a registry with what was said, else with what `docker login` keeps.
fn connect(ctx: &Context, address: &str, access: &RegistryAccessArgs) -> Result<RegistryClient> {
    let address: Address = address.parse().map_err(usage)?;
    let credentials = match (&access.registry_user, &access.registry_password_file) {
        (Some(user), Some(file)) => {
            let source = password::Source::File(file.clone());
            let secret = password::read_as(&source, "registry-")?;
            let text = std::str::from_utf8(&secret).map_err(|_| {
                Failure::usage(format!("the password in {} is no text", file.display()))
            })?;
            Some(Credentials::new(user.clone(), SecretString::from(text)))
        }
        _ => kept(&address)?,
    };
    let read = |path: &Option<std::path::PathBuf>| path.as_ref().map(fs_err::read).transpose();
    let options = ClientOptions {
        plain_http: access.plain_http,
        authorities: read(&access.registry_ca)?,
        identity: read(&access.registry_cert)?,
        credentials,
    };
    let cancel = ctx.cancel.clone();
    let client =
        RegistryClient::connect(&address, options, Arc::new(move || cancel.is_cancelled()));
    Ok(client.map_err(RecoveryError::from)?)
}

/// The registries that images of apps came from, reached as Docker here reaches them: with the logins of `docker
/// login` and the authorities in `/etc/docker/certs.d`.
pub fn of_images() -> Registries {
    Registries::new(Arc::new(|address| {
        let failed = |failure: Failure| RecoveryError::Failed(failure.to_string());
        Ok(ClientOptions {
            authorities: authorities(&Path::new(CERTIFICATES).join(address.to_string()))?,
            credentials: kept(address).map_err(failed)?,
            ..ClientOptions::default()
        })
    }))
}

/// Every `*.crt` of a folder, together; `None` where there is none.
fn authorities(folder: &Path) -> std::io::Result<Option<Vec<u8>>> {
    let mut pem = Vec::new();
    let Ok(entries) = fs_err::read_dir(folder) else {
        return Ok(None);
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|end| end == "crt") {
            pem.extend(fs_err::read(path)?);
            pem.push(b'\n');
        }
    }
    Ok((!pem.is_empty()).then_some(pem))
}

fn kept(address: &Address) -> Result<Option<Credentials>> {
    let Some(folder) = environment::docker().config else {
        return Ok(None);
    };
    let config = DockerConfig::load(&folder.join("config.json")).map_err(RecoveryError::from)?;
    Ok(config.find(address).map_err(RecoveryError::from)?)
}

fn usage(error: lifeboat_images::Error) -> Failure {
    Failure::usage(error.to_string())
}

/// Findings as lines under a heading; nothing where there are none.
fn listed(heading: &str, findings: &[Finding]) -> String {
    let mut text = String::new();
    if !findings.is_empty() {
        text.push_str(&format!("{heading}\n"));
    }
    for finding in findings {
        let line = format!(
            "  {} {}: {}",
            finding.repository, finding.reference, finding.reason
        );
        text.push_str(&human::escape(line.as_bytes()));
        text.push('\n');
    }
    text
}
