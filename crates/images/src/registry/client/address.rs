//! Addresses of registries, as the names of images have them.

use std::{fmt, net::IpAddr, str::FromStr};

use reqwest::Url;

use crate::{Error, Result};

/// What images without a host's name are from.
pub const DOCKER_HUB: &str = "docker.io";
/// Where it answers.
const DOCKER_HUB_HOST: &str = "registry-1.docker.io";

/// `host` or `host:port`, with nothing before and behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address(String);

impl Address {
    /// The host without its port.
    #[must_use]
    pub fn host(&self) -> &str {
        match self.0.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => host,
            _ => &self.0,
        }
    }

    /// Whether it is on this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.host().trim_matches(['[', ']']);
        host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    pub(super) fn url(&self, scheme: &str) -> Result<Url> {
        let at = if self.0 == DOCKER_HUB {
            DOCKER_HUB_HOST
        } else {
            &self.0
        };
        Url::parse(&format!("{scheme}://{at}/"))
            .map_err(|e| Error::Setup(format!("{self} is no address of a registry: {e}")))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let is_one = text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b".:-_[]".contains(&b));
        let address = Self(text.to_ascii_lowercase());
        // `..` is no host, whatever a URL may say.
        let is_host = address.host().split('.').all(|label| !label.is_empty());
        let host = address.url("https").ok().filter(|_| is_one && is_host);
        match host {
            Some(url) if url.has_host() && !text.is_empty() && url.path() == "/" => Ok(address),
            _ => Err(Error::Setup(format!(
                "{text:?} is no address of a registry; it is written HOST or HOST:PORT, without https:// and without a path"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in [
            "registry.example:5000",
            "docker.io",
            "127.0.0.1:5000",
            "[::1]:5000",
            "localhost",
        ] {
            assert_eq!(good.parse::<Address>().unwrap().to_string(), good);
        }
        for bad in [
            "",
            "https://a",
            "a/b",
            "a b",
            "user@host",
            "a:b:c",
            "a:99999",
            "..",
            "a..b",
            ".a",
            "..\u{e4}",
        ] {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
        let url = |text: &str| text.parse::<Address>().unwrap().url("https").unwrap();
        assert_eq!(url("docker.io").as_str(), "https://registry-1.docker.io/");
        for (text, is) in [
            ("127.0.0.1:5000", true),
            ("[::1]:5000", true),
            ("localhost", true),
            ("10.0.0.1", false),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().is_loopback(), is, "{text}");
        }
    }
}
