//! TLS without a look at the certificate, as Kubernetes' probes do it: the question goes to the container's own address,
//! which no certificate names, and asks whether it answers, not who it is.

use std::sync::{Arc, OnceLock};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{self, ClientConfig, DigitallySignedStruct, SignatureScheme};

use super::Bad;

/// A connection, in TLS or not.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// Made when the first probe needs it.
#[derive(Default)]
pub(super) struct Connector {
    plain: OnceLock<Option<Arc<ClientConfig>>>,
}

impl Connector {
    /// The connection itself, or TLS over it.
    pub async fn maybe(
        &self,
        tls: bool,
        stream: TcpStream,
        protocols: &[&[u8]],
    ) -> Result<Box<dyn Stream>, Bad> {
        if !tls {
            return Ok(Box::new(stream));
        }
        let config = self.plain.get_or_init(config).as_ref();
        let config = config.ok_or_else(|| Bad::Unknown("TLS is not to be had here".to_owned()))?;
        let config = if protocols.is_empty() {
            Arc::clone(config)
        } else {
            let mut config = ClientConfig::clone(config);
            config.alpn_protocols = protocols.iter().map(|p| p.to_vec()).collect();
            Arc::new(config)
        };
        let name = ServerName::try_from("localhost").map_err(|e| Bad::Unknown(e.to_string()))?;
        let shaken = TlsConnector::from(config).connect(name, stream).await;
        let stream = shaken.map_err(|e| {
            let why = e
                .get_ref()
                .map_or_else(|| e.kind().to_string(), ToString::to_string);
            Bad::Failure(format!("no TLS: {}", super::wire::short(&why)))
        })?;
        Ok(Box::new(stream))
    }
}

fn config() -> Option<Arc<ClientConfig>> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let verifier = Arc::new(Anyone(Arc::clone(&provider)));
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .ok()?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Some(Arc::new(config))
}

/// Takes every certificate; that its owner has the key is still checked.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
