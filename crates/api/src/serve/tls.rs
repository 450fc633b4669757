//! The certificate of the API.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

use crate::{Error, Result};

/// What the server says who it is with.
#[derive(Clone)]
pub struct Tls(Arc<ServerConfig>);

impl Tls {
    /// From files in PEM: the certificate with those that vouch for it, and its key.
    ///
    /// # Errors
    /// They cannot be read, or do not go together.
    pub fn from_files(cert: &Path, key: &Path) -> Result<Self> {
        let read = |path: &Path| {
            let context = format!("read {}", path.display());
            fs_err::read(path).map_err(Error::at(context))
        };
        Self::from_pem(&read(cert)?, &read(key)?).map_err(|why| {
            Error::Certificate(format!("{} and {}: {why}", cert.display(), key.display()))
        })
    }

    fn from_pem(cert: &[u8], key: &[u8]) -> std::result::Result<Self, String> {
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(cert)
            .collect::<std::result::Result<_, _>>()
            .map_err(|_| "the first holds no certificate in PEM".to_owned())?;
        if chain.is_empty() {
            return Err("the first holds no certificate in PEM".to_owned());
        }
        let key = PrivateKeyDer::from_pem_slice(key)
            .map_err(|_| "the second holds no key in PEM without a password".to_owned())?;
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(|error| format!("they do not go together: {error}"))?;
        Ok(Self(Arc::new(config)))
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.0))
    }
}
