//! Where an engine listens: the strings that people put into `DOCKER_HOST`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::{Error, Result};

/// Where Docker listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// Where an engine listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// A socket of the local machine.
    Unix(PathBuf),
    /// Plain HTTP over TCP, as a socket proxy serves it.
    Tcp {
        /// Host name or address, without brackets.
        host: String,
        /// Port.
        port: u16,
    },
}

impl Default for Endpoint {
    fn default() -> Self {
        Self::Unix(PathBuf::from(DEFAULT_SOCKET))
    }
}

impl Endpoint {
    /// The socket's path, for an engine on a local socket.
    #[must_use]
    pub fn socket(&self) -> Option<&Path> {
        match self {
            Self::Unix(path) => Some(path),
            Self::Tcp { .. } => None,
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
        }
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    /// Understands `unix:///path`, a bare absolute path, `tcp://host[:port]` and `http://host[:port]`;
    /// the empty string is the default socket.
    fn from_str(given: &str) -> Result<Self> {
        let bad = |why| Error::BadEndpoint {
            given: given.to_owned(),
            why,
        };
        let text = given.trim();
        if text.is_empty() {
            return Ok(Self::default());
        }
        if text.starts_with('/') {
            return Ok(Self::Unix(PathBuf::from(text)));
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(bad("it has no scheme"));
        };
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Self::Unix(PathBuf::from(rest))),
            "unix" => Err(bad("the socket's path is not absolute")),
            "tcp" | "http" => {
                tcp(rest.trim_end_matches('/')).ok_or_else(|| bad("host or port is not valid"))
            }
            "ssh" | "https" => Err(bad("engines over ssh and TLS are not supported yet")),
            "npipe" | "fd" => Err(bad("this kind of address is not for clients on Linux")),
            _ => Err(bad("its scheme is not known")),
        }
    }
}

/// `host:port`, `[v6]:port` or `host` with Docker's default port.
fn tcp(text: &str) -> Option<Endpoint> {
    const PLAIN_PORT: u16 = 2375;
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, tail) = rest.split_once(']')?;
        match tail.strip_prefix(':') {
            Some(port) => (host, port.parse().ok()?),
            None if tail.is_empty() => (host, PLAIN_PORT),
            None => return None,
        }
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (text, PLAIN_PORT),
        }
    };
    let valid = !host.is_empty() && port != 0 && !host.contains(['/', ' ', '@', '?', '#']);
    valid.then(|| Endpoint::Tcp {
        host: host.to_owned(),
        port,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_put_into_docker_host() {
        let unix = |p: &str| Endpoint::Unix(PathBuf::from(p));
        let tcp = |h: &str, port| Endpoint::Tcp {
            host: h.to_owned(),
            port,
        };
        for (text, want) in [
            ("", unix(DEFAULT_SOCKET)),
            ("unix:///run/x.sock", unix("/run/x.sock")),
            ("/run/x.sock", unix("/run/x.sock")),
            ("tcp://127.0.0.1:2375", tcp("127.0.0.1", 2375)),
            ("tcp://proxy", tcp("proxy", 2375)),
            ("tcp://[::1]:99/", tcp("::1", 99)),
            ("http://proxy:80", tcp("proxy", 80)),
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap(), want, "{text}");
        }
        assert_eq!(tcp("::1", 99).to_string(), "tcp://[::1]:99");
    }

    #[test]
    fn names_what_is_wrong() {
        for (text, why) in [
            ("docker.sock", "no scheme"),
            ("unix://docker.sock", "not absolute"),
            ("tcp://host:notaport", "host or port"),
            ("tcp://:1", "host or port"),
            ("tcp://h:0", "host or port"),
            ("ssh://me@host", "not supported yet"),
            ("gopher://x", "not known"),
        ] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(
                error.contains(why) && error.contains(text),
                "{text}: {error}"
            );
        }
    }
}
