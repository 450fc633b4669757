//! Certificates for TLS on both sides, as an administrator makes them with openssl: a CA, a server, a
//! client; and a second CA with a client of its own, whom nobody knows.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use fs_err as fs;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};

use crate::{Error, Result};

/// Folders as `DOCKER_CERT_PATH` has them: `ca.pem`, `cert.pem`, `key.pem`.
#[derive(Debug)]
pub struct Certificates {
    /// Of the engine.
    pub server: PathBuf,
    /// Of a client that the engine knows.
    pub client: PathBuf,
    /// Of a client that knows the engine, and whom the engine does not know.
    pub stranger: PathBuf,
    /// The CA alone: a client that does not say who it is.
    pub nobody: PathBuf,
    /// A client that trusts another CA.
    pub misled: PathBuf,
}

/// Makes them for an engine at this address.
pub fn make(dir: &Path, address: IpAddr) -> Result<Certificates> {
    let (ca, other) = (authority("one")?, authority("another")?);
    let folder = |name: &str, trusts: &Authority, from: Option<&Authority>, server: bool| {
        let path = dir.join(name);
        fs::create_dir_all(&path)?;
        fs::write(path.join("ca.pem"), trusts.pem())?;
        if let Some(from) = from {
            let (cert, key) = leaf(from, address, server)?;
            fs::write(path.join("cert.pem"), cert)?;
            fs::write(path.join("key.pem"), key)?;
        }
        Ok::<_, Error>(path)
    };
    Ok(Certificates {
        server: folder("server", &ca, Some(&ca), true)?,
        client: folder("client", &ca, Some(&ca), false)?,
        stranger: folder("stranger", &ca, Some(&other), false)?,
        nobody: folder("nobody", &ca, None, false)?,
        misled: folder("misled", &other, Some(&ca), false)?,
    })
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Result<Authority> {
    let mut params = CertificateParams::new(Vec::<String>::new()).map_err(failed)?;
    params.distinguished_name.push(
        rcgen::DnType::CommonName,
        format!("Lifeboat's test CA, {name}"),
    );
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate().map_err(failed)?;
    CertifiedIssuer::self_signed(params, key).map_err(failed)
}

fn leaf(from: &Authority, address: IpAddr, server: bool) -> Result<(String, String)> {
    let mut params = CertificateParams::new(Vec::<String>::new()).map_err(failed)?;
    let (name, usage) = if server {
        params.subject_alt_names.push(SanType::IpAddress(address));
        ("engine", ExtendedKeyUsagePurpose::ServerAuth)
    } else {
        ("client", ExtendedKeyUsagePurpose::ClientAuth)
    };
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    params.extended_key_usages = vec![usage];
    let key = KeyPair::generate().map_err(failed)?;
    let cert = params.signed_by(&key, from).map_err(failed)?;
    Ok((cert.pem(), key.serialize_pem()))
}

fn failed(error: rcgen::Error) -> Error {
    Error::malformed("a certificate", error)
}
