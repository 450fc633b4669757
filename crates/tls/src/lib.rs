//! What a server of ours says who it is with, and whom it lets connect: for the API and for `registry serve`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        RootCertStore, ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
        server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    },
};

/// Why certificates cannot be used. Each is one sentence.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read.
    #[error("{} cannot be read: {source}", .file.display())]
    Read {
        /// Which.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// What is in them does not do.
    #[error("{} and {}: {why}", .cert.display(), .key.display())]
    Unfit {
        /// File of the certificate.
        cert: PathBuf,
        /// File of its key.
        key: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The authority that clients need.
    #[error("{}: {why}", .file.display())]
    Authority {
        /// Its file.
        file: PathBuf,
        /// What is wrong.
        why: String,
    },
}

/// What the server says who it is with; cheap to clone.
#[derive(Clone)]
pub struct Tls(Arc<ServerConfig>);

impl Tls {
    /// From files in PEM: the certificate with those that vouch for it, and its key. With `clients`, the file of an authority, nobody
    /// connects without a certificate of that authority.
    ///
    /// # Errors
    /// They cannot be read, or do not go together.
    pub fn from_files(cert: &Path, key: &Path, clients: Option<&Path>) -> Result<Self, Error> {
        let unfit = |why: String| Error::Unfit {
            cert: cert.to_owned(),
            key: key.to_owned(),
            why,
        };
        let chain = certificates(&read(cert)?);
        let chain = chain.ok_or_else(|| unfit("the first holds no certificate in PEM".into()))?;
        let private = PrivateKeyDer::from_pem_slice(&read(key)?)
            .map_err(|_| unfit("the second holds no key in PEM without a password".into()))?;
        let verifier = clients.map(authority).transpose()?;
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| unfit(error.to_string()))?;
        let config = match verifier {
            Some(verifier) => config.with_client_cert_verifier(verifier),
            None => config.with_no_client_auth(),
        };
        let config = config
            .with_single_cert(chain, private)
            .map_err(|error| unfit(format!("they do not go together: {error}")))?;
        Ok(Self(Arc::new(config)))
    }

    /// What accepts connections with it.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.0))
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Error> {
    fs_err::read(file).map_err(|source| Error::Read {
        file: file.to_owned(),
        source,
    })
}

/// All certificates; none: there is none, or something else.
fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let all: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .ok()?;
    (!all.is_empty()).then_some(all)
}

fn authority(file: &Path) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let unfit = |why: String| Error::Authority {
        file: file.to_owned(),
        why,
    };
    let all = certificates(&read(file)?);
    let all = all.ok_or_else(|| unfit("it holds no certificate in PEM".to_owned()))?;
    let mut roots = RootCertStore::empty();
    for one in all {
        roots.add(one).map_err(|why| unfit(why.to_string()))?;
    }
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    verifier.map_err(|why| unfit(why.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_go_together_is_said() {
        let dir = tempfile::tempdir().unwrap();
        let one = rcgen::generate_simple_self_signed(vec!["a".to_owned()]).unwrap();
        let other = rcgen::generate_simple_self_signed(vec!["b".to_owned()]).unwrap();
        let put = |name: &str, text: String| {
            let path = dir.path().join(name);
            fs_err::write(&path, text).unwrap();
            path
        };
        let cert = put("cert", one.cert.pem());
        let key = put("key", one.signing_key.serialize_pem());
        let others = put("others", other.signing_key.serialize_pem());
        let none = dir.path().join("none");
        assert!(Tls::from_files(&cert, &key, None).is_ok());
        assert!(Tls::from_files(&cert, &key, Some(&cert)).is_ok());
        for (cert, key, clients, why) in [
            (&key, &key, None, "holds no certificate"),
            (&cert, &cert, None, "no key in PEM"),
            (&cert, &others, None, "do not go together"),
            (&none, &key, None, "cannot be read"),
            (&cert, &key, Some(key.as_path()), "it holds no certificate"),
        ] {
            let error = Tls::from_files(cert, key, clients)
                .err()
                .unwrap()
                .to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
