//! TLS to an engine: its certificate is always checked, and the errors of both sides become sentences.

use std::io;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{self, AlertDescription, CertificateError, ClientConfig, RootCertStore};

use crate::endpoint::Tls;
use crate::{Error, Result};

/// Where systems keep the list of whom they trust.
const SYSTEM: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Reads the files.
pub(super) fn config(endpoint: &str, tls: &Tls) -> Result<Arc<ClientConfig>> {
    let bad = |why: String| Error::Tls {
        endpoint: endpoint.to_owned(),
        why,
    };
    let mut roots = RootCertStore::empty();
    let named = tls.ca.as_deref();
    let found = || SYSTEM.iter().map(Path::new).find(|path| path.exists());
    let Some(ca) = named.or_else(found) else {
        return Err(bad(
            "this machine has no list of whom to trust; name the engine's CA (ca.pem in DOCKER_CERT_PATH)"
                .to_owned(),
        ));
    };
    for certificate in certificates(ca).map_err(bad)? {
        let added = roots.add(certificate);
        // A system's list may hold what nobody can read any more.
        if let (Err(error), true) = (added, named.is_some()) {
            return Err(bad(format!("{} is no CA: {error}", ca.display())));
        }
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| bad(error.to_string()))?
        .with_root_certificates(roots);
    let config = match (&tls.cert, &tls.key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(cert), Some(key)) => {
            let chain = certificates(cert).map_err(bad)?;
            let secret = private_key(key).map_err(bad)?;
            builder
                .with_client_auth_cert(chain, secret)
                .map_err(|error| {
                    bad(format!(
                        "{} and {} do not go together: {error}",
                        cert.display(),
                        key.display()
                    ))
                })?
        }
        (Some(alone), None) | (None, Some(alone)) => {
            return Err(bad(format!(
                "{} is there without its other half; a certificate (cert.pem) needs its key (key.pem)",
                alone.display()
            )));
        }
    };
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> std::result::Result<Vec<CertificateDer<'static>>, String> {
    let text = fs_err::read(path).map_err(|error| error.to_string())?;
    let read: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match read {
        Ok(list) if !list.is_empty() => Ok(list),
        _ => Err(format!("{} holds no certificate in PEM", path.display())),
    }
}

fn private_key(path: &Path) -> std::result::Result<PrivateKeyDer<'static>, String> {
    let text = fs_err::read(path).map_err(|error| error.to_string())?;
    PrivateKeyDer::from_pem_slice(&text)
        .map_err(|_| format!("{} holds no key in PEM without a password", path.display()))
}

/// Shakes hands.
pub(super) async fn connect(
    config: Arc<ClientConfig>,
    host: &str,
    stream: TcpStream,
) -> io::Result<TlsStream<TcpStream>> {
    let name = ServerName::try_from(host.to_owned())
        .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
    TlsConnector::from(config).connect(name, stream).await
}

/// The sentence for what TLS says, if it is TLS that speaks in this error or one of its causes.
pub(super) fn words(
    error: &(dyn std::error::Error + 'static),
    we_say_who_we_are: bool,
) -> Option<String> {
    let mut next = Some(error);
    while let Some(cause) = next {
        if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
            return Some(sentence(tls, we_say_who_we_are));
        }
        // An I/O error hides what it was made of from its sources.
        let inside = cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        if let Some(tls) = inside.and_then(|e| e.downcast_ref::<rustls::Error>()) {
            return Some(sentence(tls, we_say_who_we_are));
        }
        next = cause.source();
    }
    None
}

fn sentence(error: &rustls::Error, we_say_who_we_are: bool) -> String {
    use AlertDescription as Alert;
    use CertificateError as Cert;
    match error {
        rustls::Error::InvalidCertificate(why) => match why {
            Cert::UnknownIssuer => "its certificate is not signed by the CA that was named (ca.pem in DOCKER_CERT_PATH or in the context), nor by one that this machine trusts; take the engine's own CA".to_owned(),
            Cert::Expired | Cert::ExpiredContext { .. } => "its certificate has expired; it needs a new one, or the clocks differ".to_owned(),
            Cert::NotValidYet | Cert::NotValidYetContext { .. } => "its certificate is not valid yet; look at the clocks of both machines".to_owned(),
            Cert::NotValidForName | Cert::NotValidForNameContext { .. } => "its certificate is for another name; use a name or address that stands in it (subjectAltName)".to_owned(),
            Cert::BadSignature => "its certificate was signed with another key than the CA's (ca.pem); the file may be of another engine, or of an older CA".to_owned(),
            other => format!("its certificate is refused: {other:?}"),
        },
        rustls::Error::AlertReceived(alert) => match alert {
            // Engines built with an older Go say the second.
            Alert::CertificateRequired | Alert::BadCertificate if !we_say_who_we_are => "it wants to know who we are; put cert.pem and key.pem beside ca.pem (DOCKER_CERT_PATH, or the context's TLS files)".to_owned(),
            Alert::BadCertificate | Alert::UnknownCA | Alert::CertificateUnknown | Alert::DecryptError => {
                "it does not accept our certificate (cert.pem): it is not signed by the CA that the engine was told (--tlscacert)".to_owned()
            }
            Alert::CertificateExpired => "our certificate (cert.pem) has expired".to_owned(),
            other => format!("it broke off: {other:?}"),
        },
        rustls::Error::InvalidMessage(_) => "what answers there speaks no TLS; leave out DOCKER_TLS_VERIFY, or take the engine's TLS port (2376 as a rule)".to_owned(),
        other => other.to_string(),
    }
}
