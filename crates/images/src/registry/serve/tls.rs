//! A certificate that the server makes itself.

use std::net::IpAddr;

use rcgen::{CertificateParams, DnType, KeyPair, SanType};

use crate::{Error, Result};

/// A certificate that vouches for itself: clients take it as their authority.
pub struct SelfSigned {
    /// Certificate, PEM.
    pub cert: String,
    /// Its key, PEM.
    pub key: String,
}

impl SelfSigned {
    /// Makes one for these names and addresses.
    ///
    /// # Errors
    /// A name that no certificate can have.
    pub fn make(names: &[String]) -> Result<Self> {
        let bad = |error: rcgen::Error| Error::Certificate(error.to_string());
        let mut params = CertificateParams::new(Vec::<String>::new()).map_err(bad)?;
        for name in names {
            params.subject_alt_names.push(match name.parse::<IpAddr>() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) => SanType::DnsName(name.as_str().try_into().map_err(bad)?),
            });
        }
        params
            .distinguished_name
            .push(DnType::CommonName, "Lifeboat's registry");
        let key = KeyPair::generate().map_err(bad)?;
        let cert = params.self_signed(&key).map_err(bad)?;
        Ok(Self {
            cert: cert.pem(),
            key: key.serialize_pem(),
        })
    }
}
