//! What is asked.

use std::fmt;

use super::{Http, Login, Reference, Which, exec, known};

/// Whose wire protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Database {
    /// PostgreSQL.
    Postgres,
    /// MySQL, MariaDB.
    MySql,
}

/// What is asked of a container. Every network check goes to the container itself, at a port of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Check {
    /// `http://:8080/path`, `https://:8443/path`.
    Http(Http),
    /// `tcp://:5432`: somebody takes the connection.
    Tcp {
        /// Port.
        port: u16,
    },
    /// `grpc://:50051/service` (`grpcs` with TLS): the standard health service says SERVING.
    Grpc {
        /// TLS; the certificate is not verified.
        tls: bool,
        /// Port.
        port: u16,
        /// The service that is asked about; empty is the server as a whole.
        service: String,
    },
    /// `amqp://:5672/vhost` (AMQP 0-9-1): a connection, the virtual host, a channel.
    Amqp {
        /// Port.
        port: u16,
        /// Virtual host; `/` if none is named.
        vhost: String,
        /// Who one logs in as; `guest` if nobody is named.
        login: Login,
    },
    /// `exec:command`: ends with 0.
    Exec {
        /// Program and arguments.
        command: Vec<String>,
    },
    /// `sql:postgres://user@:5432/db`, `sql:mysql://…`: a query is answered.
    Sql {
        /// Whose protocol.
        database: Database,
        /// Port.
        port: u16,
        /// Name of the database.
        name: String,
        /// Who one logs in as.
        login: Login,
        /// The query; `SELECT 1` if none is given.
        query: String,
        /// What the first field of its first row has to be, as text; any row if nothing.
        expect: Option<String>,
    },
    /// `redis://:6379`: PING is answered with PONG.
    Redis {
        /// Port.
        port: u16,
        /// Who one logs in as; without a password nobody does.
        login: Login,
    },
    /// `docker`: what the engine makes of the container's own HEALTHCHECK.
    Docker,
}

impl Check {
    /// Reads one, without its details. `None`: `none`, nothing is to be asked.
    pub(super) fn parse(text: &str) -> Result<Option<Self>, String> {
        let text = text.trim();
        match text {
            "none" | "off" | "false" | "no" => return Ok(None),
            "docker" => return Ok(Some(Self::Docker)),
            _ => {}
        }
        let (scheme, rest) = text.split_once(':').ok_or_else(|| unknown(text))?;
        if scheme == "exec" {
            let command = exec::words(rest)?;
            return Ok(Some(Self::Exec { command }));
        }
        let (scheme, rest) = match scheme {
            "sql" => rest.split_once(':').ok_or(
                "write sql:postgres://user@:5432/database or sql:mysql://user@:3306/database",
            )?,
            _ => (scheme, rest),
        };
        let place = Place::parse(scheme, rest)?;
        let check = match scheme {
            "http" | "https" => {
                place.nobody(scheme)?;
                let tls = scheme == "https";
                let path = if place.path.starts_with('/') {
                    place.path.clone()
                } else {
                    format!("/{}", place.path)
                };
                let visible = |c: char| c.is_ascii_graphic();
                if !path.chars().all(visible) {
                    return Err("the path holds what no URL may hold; escape it with %".to_owned());
                }
                Self::Http(Http {
                    tls,
                    port: place.port.unwrap_or(if tls { 443 } else { 80 }),
                    path,
                    ..Http::default()
                })
            }
            "tcp" => {
                place.nobody(scheme)?;
                if !place.path.trim_matches('/').is_empty() {
                    return Err("a tcp probe has no path".to_owned());
                }
                let port = place.need_port("tcp://:5432")?;
                Self::Tcp { port }
            }
            "grpc" | "grpcs" => {
                place.nobody(scheme)?;
                Self::Grpc {
                    tls: scheme == "grpcs",
                    port: place.need_port("grpc://:50051")?,
                    service: place.path.trim_matches('/').to_owned(),
                }
            }
            "amqp" => Self::Amqp {
                port: place.port.unwrap_or(5672),
                vhost: match place.path.strip_prefix('/').unwrap_or(&place.path) {
                    "" => "/".to_owned(),
                    vhost => unescape(vhost)?,
                },
                login: place.login(),
            },
            "redis" => Self::Redis {
                port: place.port.unwrap_or(6379),
                login: place.login(),
            },
            "postgres" | "postgresql" | "mysql" | "mariadb" => {
                let postgres = scheme.starts_with("postgres");
                let login = place.login();
                let name = unescape(place.path.trim_matches('/'))?;
                let (database, port) = if postgres {
                    (Database::Postgres, 5432)
                } else {
                    (Database::MySql, 3306)
                };
                Self::Sql {
                    database,
                    port: place.port.unwrap_or(port),
                    name,
                    login,
                    query: "SELECT 1".to_owned(),
                    expect: None,
                }
            }
            _ => return Err(unknown(scheme)),
        };
        Ok(Some(check))
    }

    /// Names of the details that this one knows, beside the timing. `header.` stands for every header.
    pub(super) fn details(&self) -> &'static [&'static str] {
        match self {
            Self::Http(_) => &["status", "host", "body", "json", "header."],
            Self::Amqp { .. } | Self::Redis { .. } => &["user", "password"],
            Self::Sql { .. } => &["user", "password", "query", "expect"],
            Self::Tcp { .. } | Self::Grpc { .. } | Self::Exec { .. } | Self::Docker => &[],
        }
    }

    /// Sets one of the details.
    pub(super) fn set(
        &mut self,
        which: Which,
        name: &str,
        text: &str,
        from_label: bool,
    ) -> Result<(), String> {
        let kind = self.kind();
        match (self, name) {
            (Self::Http(http), _) => http.set(name, text, from_label),
            (
                Self::Amqp { login, .. } | Self::Redis { login, .. } | Self::Sql { login, .. },
                "user",
            ) => {
                login.user = Some(text.to_owned());
                Ok(())
            }
            (
                Self::Amqp { login, .. } | Self::Redis { login, .. } | Self::Sql { login, .. },
                "password",
            ) => {
                login.password = Some(Reference::parse(text, from_label)?);
                Ok(())
            }
            (Self::Sql { query, .. }, "query") => {
                *query = text.to_owned();
                Ok(())
            }
            (Self::Sql { expect, .. }, "expect") => {
                *expect = Some(text.to_owned());
                Ok(())
            }
            _ => Err(format!(
                "{name} means nothing to a {which} probe of the kind {kind}"
            )),
        }
    }

    /// One word: `http`, `tcp`, …
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Http(http) if http.tls => "https",
            Self::Http(_) => "http",
            Self::Tcp { .. } => "tcp",
            Self::Grpc { .. } => "grpc",
            Self::Amqp { .. } => "amqp",
            Self::Exec { .. } => "exec",
            Self::Sql { .. } => "sql",
            Self::Redis { .. } => "redis",
            Self::Docker => "docker",
        }
    }
}

/// As it stands in a label. Holds no secret: there is none in a check.
impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |login: &Login| match &login.user {
            Some(user) => format!("{}@", escape(user)),
            None => String::new(),
        };
        match self {
            Self::Http(http) => write!(f, "{}://:{}{}", self.kind(), http.port, http.path),
            Self::Tcp { port } => write!(f, "tcp://:{port}"),
            Self::Grpc { tls, port, service } => {
                let scheme = if *tls { "grpcs" } else { "grpc" };
                write!(f, "{scheme}://:{port}/{service}")
            }
            Self::Amqp { port, vhost, login } => {
                write!(f, "amqp://{}:{port}/{}", at(login), escape(vhost))
            }
            Self::Exec { command } => {
                let plain = |word: &String| {
                    let letter = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
                    !word.is_empty() && word.chars().all(letter)
                };
                if command.iter().all(plain) {
                    return write!(f, "exec:{}", command.join(" "));
                }
                write!(f, "exec:{}", serde_json::Value::from(command.clone()))
            }
            Self::Sql {
                database,
                port,
                name,
                login,
                ..
            } => {
                let scheme = match database {
                    Database::Postgres => "postgres",
                    Database::MySql => "mysql",
                };
                write!(f, "sql:{scheme}://{}:{port}/{}", at(login), escape(name))
            }
            Self::Redis { port, login } => write!(f, "redis://{}:{port}", at(login)),
            Self::Docker => f.write_str("docker"),
        }
    }
}

/// What stands behind `scheme:`.
struct Place {
    user: Option<String>,
    port: Option<u16>,
    path: String,
}

impl Place {
    fn parse(scheme: &str, rest: &str) -> Result<Self, String> {
        let Some(rest) = rest.strip_prefix("//") else {
            // What stands there is not quoted: it may hold a password.
            return Err(format!(
                "behind {scheme}: there have to be two slashes and a port, as in {scheme}://:8080"
            ));
        };
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, _)) if user.contains(':') => {
                return Err(
                    "it holds a password, which everybody reads who may see labels; change that password, and name it by reference (.password=env:NAME or .password=file:/path)"
                        .to_owned(),
                );
            }
            Some((user, host)) => (Some(unescape(user)?), host),
            None => (None, authority),
        };
        let (host, port) = host.rsplit_once(':').unwrap_or((host, ""));
        if !host.is_empty() {
            return Err(format!(
                "the probe goes to the container itself, so no host is named: write {scheme}://:PORT{}",
                if scheme.starts_with("http") {
                    ", and the name in .host"
                } else {
                    ""
                }
            ));
        }
        let port = match port {
            "" => None,
            text => match text.parse::<u16>() {
                Ok(port) if port > 0 => Some(port),
                _ => return Err("the port is no number from 1 to 65535".to_owned()),
            },
        };
        Ok(Self {
            user: user.filter(|user| !user.is_empty()),
            port,
            path: path.to_owned(),
        })
    }

    fn nobody(&self, scheme: &str) -> Result<(), String> {
        match self.user {
            Some(_) => Err(format!(
                "a {scheme} probe logs in as nobody; leave the name out"
            )),
            None => Ok(()),
        }
    }

    fn need_port(&self, example: &str) -> Result<u16, String> {
        self.port
            .ok_or_else(|| format!("a port is missing; write for instance {example}"))
    }

    fn login(&self) -> Login {
        Login {
            user: self.user.clone(),
            password: None,
        }
    }
}

fn unknown(scheme: &str) -> String {
    let short: String = scheme.chars().take(20).collect();
    let near = crate::suggest::suggest(&short, known::SCHEMES.iter().copied());
    let near = crate::suggest::sentence(&near);
    format!(
        "{short:?} is no kind of probe{near}; there are {}",
        known::SCHEMES.join(", ")
    )
}

/// `%2F` and the like.
fn unescape(text: &str) -> Result<String, String> {
    let wrong = || "a % is not followed by two hexadecimal digits".to_owned();
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16));
        let (high, low) = (digit().ok_or_else(wrong)?, digit().ok_or_else(wrong)?);
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| wrong())?);
    }
    let text = String::from_utf8(bytes).map_err(|_| "what is escaped is no UTF-8".to_owned())?;
    if text.chars().any(char::is_control) {
        return Err("it holds a control character".to_owned());
    }
    Ok(text)
}

fn escape(text: &str) -> String {
    use fmt::Write as _;
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a String cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}
