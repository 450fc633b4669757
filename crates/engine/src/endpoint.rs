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
    /// HTTP over TCP: plain, as a socket proxy serves it, or with TLS on both sides.
    Tcp {
        /// Host name or address, without brackets.
        host: String,
        /// Port.
        port: u16,
        /// How both sides know each other; `None`: they do not, and everybody can listen.
        tls: Option<Tls>,
    },
    /// Through the system's `ssh` to a host on which the `docker` program connects us.
    Ssh(Ssh),
}

/// Files with which an engine and we know each other, in PEM. They are read when we connect.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tls {
    /// Who signs engines' certificates; `None`: whom this machine trusts.
    pub ca: Option<PathBuf>,
    /// Our certificate.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

/// A host to reach with `ssh`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssh {
    /// User; `None`: as ssh's own settings have it.
    pub user: Option<String>,
    /// Host, or a name in ssh's settings.
    pub host: String,
    /// Port; `None`: as ssh's own settings have it.
    pub port: Option<u16>,
    /// Socket of the engine there; `None`: as `docker` finds it there.
    pub socket: Option<PathBuf>,
}

impl Default for Endpoint {
    fn default() -> Self {
        Self::Unix(PathBuf::from(DEFAULT_SOCKET))
    }
}

impl Endpoint {
    /// Reads an address: `unix:///path`, a bare absolute path, `tcp://host[:port]`,
    /// `http://host[:port]`, `https://host[:port]`, `ssh://[user@]host[:port][/socket]`; the empty string is
    /// the default socket. `tls` holds for `tcp` and `https`, and changes the port that is meant if none
    /// is said.
    ///
    /// # Errors
    /// It says nothing that we can connect to.
    pub fn parse(given: &str, tls: Option<Tls>) -> Result<Self> {
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
        let address = |tls: Option<Tls>| {
            let (host, port) = host_and_port(rest.trim_end_matches('/'))
                .ok_or_else(|| bad("host or port is not valid"))?;
            let usual = if tls.is_some() { TLS_PORT } else { PLAIN_PORT };
            Ok(Self::Tcp {
                host,
                port: port.unwrap_or(usual),
                tls,
            })
        };
        match scheme {
            "unix" if rest.starts_with('/') => Ok(Self::Unix(PathBuf::from(rest))),
            "unix" => Err(bad("the socket's path is not absolute")),
            "tcp" => address(tls),
            "http" => address(None),
            "https" => address(Some(tls.unwrap_or_default())),
            "ssh" => ssh(rest).map(Self::Ssh).map_err(bad),
            "npipe" | "fd" => Err(bad("this kind of address is not for clients on Linux")),
            _ => Err(bad("its scheme is not known")),
        }
    }

    /// The socket's path, for an engine on a local socket.
    #[must_use]
    pub fn socket(&self) -> Option<&Path> {
        match self {
            Self::Unix(path) => Some(path),
            _ => None,
        }
    }

    /// `true` for plain TCP to anything but this machine itself: whoever is on the way is root on the
    /// engine's host.
    #[must_use]
    pub fn is_exposed(&self) -> bool {
        match self {
            Self::Tcp {
                host, tls: None, ..
            } => {
                let address = host.parse::<std::net::IpAddr>();
                host != "localhost" && !address.is_ok_and(|a| a.is_loopback())
            }
            _ => false,
        }
    }

    /// `true` where a connection costs so much that it is kept for the next question.
    pub(crate) fn is_costly(&self) -> bool {
        matches!(self, Self::Tcp { tls: Some(_), .. } | Self::Ssh(_))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host_part = |host: &str| {
            if host.contains(':') {
                format!("[{host}]")
            } else {
                host.to_owned()
            }
        };
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port, tls } => {
                let scheme = if tls.is_some() { "https" } else { "tcp" };
                write!(f, "{scheme}://{}:{port}", host_part(host))
            }
            Self::Ssh(ssh) => {
                write!(f, "ssh://")?;
                if let Some(user) = &ssh.user {
                    write!(f, "{user}@")?;
                }
                write!(f, "{}", host_part(&ssh.host))?;
                if let Some(port) = ssh.port {
                    write!(f, ":{port}")?;
                }
                match &ssh.socket {
                    Some(socket) => write!(f, "{}", socket.display()),
                    None => Ok(()),
                }
            }
        }
    }
}

impl FromStr for Endpoint {
    type Err = Error;

    /// As [`Endpoint::parse`] without files for TLS.
    fn from_str(given: &str) -> Result<Self> {
        Self::parse(given, None)
    }
}

const PLAIN_PORT: u16 = 2375;
const TLS_PORT: u16 = 2376;

/// `host:port`, `[v6]:port` or a host alone.
fn host_and_port(text: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, tail) = rest.split_once(']')?;
        match tail.strip_prefix(':') {
            Some(port) => (host, Some(port.parse().ok()?)),
            None if tail.is_empty() => (host, None),
            None => return None,
        }
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port.parse().ok()?)),
            None => (text, None),
        }
    };
    // What begins with a dash would be an option to a program that is handed it.
    let strange = |c: char| "/@?#\\".contains(c) || c.is_whitespace() || c.is_control();
    let valid =
        !host.is_empty() && port != Some(0) && !host.starts_with('-') && !host.contains(strange);
    valid.then(|| (host.to_owned(), port))
}

/// `[user@]host[:port][/socket]`.
fn ssh(rest: &str) -> std::result::Result<Ssh, &'static str> {
    let (place, socket) = match rest.find('/') {
        Some(at) => (&rest[..at], Some(&rest[at..]).filter(|path| *path != "/")),
        None => (rest, None),
    };
    let (user, host) = match place.rsplit_once('@') {
        Some((user, _)) if user.contains(':') => {
            return Err("it holds a password, which everybody can see there; use a key");
        }
        Some((user, _)) if user.is_empty() || user.starts_with('-') => {
            return Err("its user is not valid");
        }
        Some((user, host)) => (Some(user.to_owned()), host),
        None => (None, place),
    };
    let (host, port) = host_and_port(host).ok_or("host or port is not valid")?;
    Ok(Ssh {
        user,
        host,
        port,
        socket: socket.map(PathBuf::from),
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
            tls: None,
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
            ("ssh://me:secret@host", "password"),
            ("ssh://-oProxyCommand=x", "host or port"),
            ("ssh://-l@host", "user"),
            ("gopher://x", "not known"),
        ] {
            let error = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(
                error.contains(why) && error.contains(text),
                "{text}: {error}"
            );
        }
    }

    #[test]
    fn tls_and_ssh() {
        let tls = Tls {
            ca: Some("/c/ca.pem".into()),
            ..Tls::default()
        };
        let read = Endpoint::parse("tcp://h", Some(tls.clone())).unwrap();
        assert_eq!(read.to_string(), "https://h:2376");
        let Endpoint::Tcp {
            tls: Some(files), ..
        } = read
        else {
            panic!("no TLS")
        };
        assert_eq!(files, tls);
        let plain = Endpoint::parse("http://h", Some(tls)).unwrap();
        assert_eq!(plain.to_string(), "tcp://h:2375");
        for text in [
            "ssh://host",
            "ssh://me@host:2222",
            "ssh://me@[::1]:22/run/user/1000/docker.sock",
        ] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn plain_tcp_is_for_this_machine() {
        for (text, exposed) in [
            ("tcp://127.0.0.1:1", false),
            ("tcp://localhost:1", false),
            ("tcp://[::1]:1", false),
            ("tcp://10.0.0.1:1", true),
            ("tcp://proxy:1", true),
            ("https://10.0.0.1:1", false),
            ("ssh://host", false),
            ("/run/docker.sock", false),
        ] {
            assert_eq!(
                text.parse::<Endpoint>().unwrap().is_exposed(),
                exposed,
                "{text}"
            );
        }
    }
}
