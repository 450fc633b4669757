//! Targets as URLs.

use std::fmt;
use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use reqwest::Url;
use secrecy::SecretString;

/// A place that people read.
pub struct Target {
    pub(crate) kind: Kind,
    shown: String,
}

/// What kind of place; everything that is secret is wrapped.
pub(crate) enum Kind {
    Ntfy {
        base: String,
        topic: SecretString,
        login: Option<(String, SecretString)>,
    },
    Discord {
        id: String,
        token: SecretString,
    },
    SlackHook {
        path: SecretString,
    },
    SlackBot {
        token: SecretString,
        channel: String,
    },
    Telegram {
        token: SecretString,
        chats: Vec<String>,
    },
    Gotify {
        base: String,
        token: SecretString,
    },
    Smtp(Mail),
    Generic {
        url: SecretString,
        headers: Vec<(String, SecretString)>,
        json: bool,
    },
    Apprise {
        url: SecretString,
    },
    Exec {
        program: PathBuf,
    },
}

/// How mail is sent.
pub(crate) struct Mail {
    pub host: String,
    pub port: Option<u16>,
    pub login: Option<(String, SecretString)>,
    pub from: String,
    pub to: Vec<String>,
    pub tls: Tls,
}

/// How the way to a mail server is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tls {
    /// From the first byte.
    Wrapped,
    /// STARTTLS, or nothing is sent.
    Required,
    /// Not at all: only where the URL says so.
    None,
}

/// An URL that is no target: one sentence that shows nothing secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TargetError(String);

impl TargetError {
    pub(crate) fn of(sentence: String) -> Self {
        Self(sentence)
    }
}

/// Schemes, for the sentence that lists them.
const SCHEMES: &str = "ntfy, discord, slack, telegram, gotify, smtp, smtps, generic+https, apprise, apprises and exec";

impl Target {
    /// Reads an URL.
    pub fn parse(text: &str) -> Result<Self, TargetError> {
        let text = text.trim();
        let (scheme, _) = text
            .split_once("://")
            .ok_or_else(|| TargetError(format!("a notification URL begins with its service, as in ntfy://TOPIC; there are {SCHEMES}")))?;
        let scheme = scheme.to_ascii_lowercase();
        let wrong = |why: &str| TargetError(format!("the {scheme}:// URL cannot be used: {why}"));
        let url = Url::parse(text).map_err(|_| wrong("it is no URL"))?;
        let (kind, place) = match scheme.as_str() {
            "ntfy" | "ntfys" => ntfy(&url).map_err(wrong)?,
            "discord" => discord(&url).map_err(wrong)?,
            "slack" => slack(&url).map_err(wrong)?,
            "telegram" | "tgram" => telegram(&url).map_err(wrong)?,
            "gotify" | "gotifys" => gotify(&url).map_err(wrong)?,
            "smtp" | "smtps" | "mailto" | "mailtos" => smtp(&url).map_err(wrong)?,
            "generic" | "generic+https" | "generic+http" => generic(&url).map_err(wrong)?,
            "apprise" | "apprises" => apprise(&url).map_err(wrong)?,
            "exec" => exec(&url).map_err(wrong)?,
            other => {
                return Err(TargetError(format!(
                    "`{}` is no service that can be notified; there are {SCHEMES}",
                    other.chars().take(30).collect::<String>()
                )));
            }
        };
        let shown = match place.is_empty() {
            true => scheme,
            false => format!("{scheme}://{place}"),
        };
        Ok(Self { kind, shown })
    }

    /// Whether it runs a program of this machine: then it may come from root's own files alone.
    #[must_use]
    pub fn runs_a_program(&self) -> bool {
        matches!(self.kind, Kind::Exec { .. })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({})", self.shown)
    }
}

type Read = Result<(Kind, String), &'static str>;

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn login(url: &Url) -> Option<(String, SecretString)> {
    let user = decoded(url.username());
    (!user.is_empty()).then(|| (user, decoded(url.password().unwrap_or_default()).into()))
}

/// A value of the query, whatever the case of its name.
fn query(url: &Url, name: &str) -> Option<String> {
    let mut pairs = url.query_pairs();
    let found = pairs.find(|(key, _)| key.eq_ignore_ascii_case(name));
    found
        .map(|(_, value)| value.into_owned())
        .filter(|v| !v.is_empty())
}

fn is_yes(url: &Url, name: &str) -> bool {
    query(url, name)
        .is_some_and(|v| matches!(v.to_ascii_lowercase().as_str(), "yes" | "true" | "1" | "on"))
}

fn segments(url: &Url) -> Vec<String> {
    let path = url.path().trim_matches('/');
    path.split('/')
        .filter(|s| !s.is_empty())
        .map(decoded)
        .collect()
}

fn host(url: &Url) -> Result<String, &'static str> {
    let host = url.host_str().filter(|host| !host.is_empty());
    host.map(str::to_owned).ok_or("it names no host")
}

fn authority(url: &Url) -> Result<String, &'static str> {
    let host = host(url)?;
    Ok(match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host,
    })
}

fn ntfy(url: &Url) -> Read {
    let mut segments = segments(url);
    let plain = query(url, "scheme").is_some_and(|s| s == "http");
    let scheme = if plain { "http" } else { "https" };
    let (host, topic) = match segments.pop() {
        Some(topic) => (authority(url)?, topic),
        // `ntfy://TOPIC` is the public server's.
        None => ("ntfy.sh".to_owned(), host(url)?),
    };
    if !segments.is_empty() {
        return Err("it has more than a topic behind the host");
    }
    let kind = Kind::Ntfy {
        base: format!("{scheme}://{host}"),
        topic: topic.into(),
        login: login(url),
    };
    Ok((kind, host))
}

fn discord(url: &Url) -> Read {
    let id = host(url)?;
    let token = match login(url) {
        Some((token, _)) => token,
        // As Apprise has it: `discord://ID/TOKEN`.
        None => segments(url)
            .into_iter()
            .next()
            .ok_or("it has no token: discord://TOKEN@WEBHOOK_ID")?,
    };
    let kind = Kind::Discord {
        id,
        token: token.into(),
    };
    Ok((kind, String::new()))
}

fn slack(url: &Url) -> Read {
    const HOW: &str =
        "write it as slack://hook:A-B-C@webhook, slack://A/B/C or slack://xoxb:TOKEN@CHANNEL";
    let user = decoded(url.username());
    let pass = decoded(url.password().unwrap_or_default());
    let at = url.host_str().unwrap_or_default().to_owned();
    if user.starts_with("xox") {
        let kind = Kind::SlackBot {
            token: format!("{user}-{}", pass.trim_start_matches('-')).into(),
            channel: at,
        };
        return Ok((kind, String::new()));
    }
    let parts: Vec<String> = if user == "hook" {
        pass.splitn(3, '-').map(str::to_owned).collect()
    } else {
        std::iter::once(at).chain(segments(url)).collect()
    };
    match parts.as_slice() {
        [a, b, c] if !a.is_empty() && !b.is_empty() && !c.is_empty() => {
            let kind = Kind::SlackHook {
                path: format!("{}/{}/{c}", a.to_ascii_uppercase(), b.to_ascii_uppercase()).into(),
            };
            Ok((kind, String::new()))
        }
        _ => Err(HOW),
    }
}

fn telegram(url: &Url) -> Read {
    let user = decoded(url.username());
    let token = match url.password() {
        Some(rest) => format!("{user}:{}", decoded(rest)),
        None => user,
    };
    if token.is_empty() {
        return Err("it has no token: telegram://TOKEN@telegram?chats=CHAT,CHAT");
    }
    let chats = query(url, "chats")
        .or_else(|| query(url, "channels"))
        .unwrap_or_default();
    let chats: Vec<String> = list(&chats);
    if chats.is_empty() {
        return Err("it names no chat: telegram://TOKEN@telegram?chats=CHAT,CHAT");
    }
    let kind = Kind::Telegram {
        token: token.into(),
        chats,
    };
    Ok((kind, String::new()))
}

fn gotify(url: &Url) -> Read {
    let mut segments = segments(url);
    let token = segments
        .pop()
        .ok_or("it has no token: gotify://HOST/TOKEN")?;
    let scheme = if is_yes(url, "disabletls") {
        "http"
    } else {
        "https"
    };
    let host = authority(url)?;
    let mut base = format!("{scheme}://{host}");
    for segment in segments {
        base.push('/');
        base.push_str(&segment);
    }
    let kind = Kind::Gotify {
        base,
        token: token.into(),
    };
    Ok((kind, host))
}

fn smtp(url: &Url) -> Read {
    let from = query(url, "from").or_else(|| query(url, "fromAddress"));
    let to = query(url, "to")
        .or_else(|| query(url, "toAddresses"))
        .unwrap_or_default();
    let to = list(&to);
    if to.is_empty() {
        return Err("it says to nobody: smtp://USER:PASSWORD@HOST:PORT/?from=A&to=B,C");
    }
    let login = login(url);
    let from = from
        .or_else(|| {
            login
                .as_ref()
                .map(|(user, _)| user.clone())
                .filter(|u| u.contains('@'))
        })
        .ok_or("it has no sender: add ?from=ADDRESS")?;
    let said = query(url, "encryption").map(|e| e.to_ascii_lowercase());
    let off = query(url, "usestarttls").or_else(|| query(url, "starttls"));
    let off = off.is_some_and(|v| matches!(v.to_ascii_lowercase().as_str(), "no" | "false" | "0"));
    let tls = match said.as_deref() {
        Some("none") => Tls::None,
        Some("implicittls") => Tls::Wrapped,
        Some("explicittls") => Tls::Required,
        Some("auto") | None if url.scheme().ends_with('s') || url.port() == Some(465) => {
            Tls::Wrapped
        }
        Some("auto") | None if off => Tls::None,
        Some("auto") | None => Tls::Required,
        Some(_) => return Err("its encryption is none of None, ExplicitTLS, ImplicitTLS and Auto"),
    };
    let host = host(url)?;
    let shown = host.clone();
    let kind = Kind::Smtp(Mail {
        host,
        port: url.port(),
        login,
        from,
        to,
        tls,
    });
    Ok((kind, shown))
}

fn generic(url: &Url) -> Read {
    let plain = url.scheme() == "generic+http" || is_yes(url, "disabletls");
    let json = query(url, "template").is_some_and(|t| t.eq_ignore_ascii_case("json"));
    let mut headers = Vec::new();
    let mut kept = Vec::new();
    for (key, value) in url.query_pairs() {
        match key.strip_prefix('@') {
            Some(header) => headers.push((header.to_owned(), value.into_owned().into())),
            None if ["template", "disabletls"]
                .iter()
                .any(|k| key.eq_ignore_ascii_case(k)) => {}
            None => kept.push((key.into_owned(), value.into_owned())),
        }
    }
    let host = authority(url)?;
    let scheme = if plain { "http" } else { "https" };
    let mut to =
        Url::parse(&format!("{scheme}://{host}{}", url.path())).map_err(|_| "it is no URL")?;
    if let Some((user, pass)) = login(url) {
        use secrecy::ExposeSecret as _;
        to.set_username(&user)
            .map_err(|()| "its user cannot be used")?;
        to.set_password(Some(pass.expose_secret()))
            .map_err(|()| "its password cannot be used")?;
    }
    if !kept.is_empty() {
        to.query_pairs_mut().extend_pairs(kept);
    }
    let kind = Kind::Generic {
        url: String::from(to).into(),
        headers,
        json,
    };
    Ok((kind, host))
}

fn apprise(url: &Url) -> Read {
    let segments = segments(url);
    let key = match segments.as_slice() {
        [key] => key,
        [notify, key] if notify == "notify" => key,
        _ => return Err("it has no key: apprise://HOST:PORT/KEY"),
    };
    let scheme = if url.scheme() == "apprises" {
        "https"
    } else {
        "http"
    };
    let host = authority(url)?;
    let kind = Kind::Apprise {
        url: format!("{scheme}://{host}/notify/{key}").into(),
    };
    Ok((kind, host))
}

fn exec(url: &Url) -> Read {
    let path = decoded(url.path());
    if url.host_str().is_some_and(|host| !host.is_empty())
        || !path.starts_with('/')
        || path.len() < 2
    {
        return Err("it names no program: exec:///usr/local/bin/PROGRAM");
    }
    let shown = path.clone();
    let kind = Kind::Exec {
        program: path.into(),
    };
    Ok((kind, shown))
}

fn list(text: &str) -> Vec<String> {
    let parts = text.split(',').map(str::trim);
    parts
        .filter(|part| !part.is_empty())
        .map(str::to_owned)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_is_shown() {
        for (url, shown) in [
            ("ntfy://s3cret", "ntfy://ntfy.sh"),
            (
                "ntfy://me:s3cret@ntfy.example:8080/s3cret?scheme=http",
                "ntfy://ntfy.example:8080",
            ),
            ("discord://s3cret@123456", "discord"),
            ("slack://hook:T000-B000-s3cret@webhook", "slack"),
            ("slack://T000/B000/s3cret", "slack"),
            ("slack://xoxb:1-s3cret@C001", "slack"),
            ("telegram://123:s3cret@telegram?chats=@a,42", "telegram"),
            (
                "gotify://push.example/path/s3cret?disabletls=yes",
                "gotify://push.example",
            ),
            (
                "smtp://me:s3cret@mail.example:587/?from=a@x&to=b@y",
                "smtp://mail.example",
            ),
            (
                "generic+https://u:s3cret@h.example/hook/s3cret?k=s3cret&@Auth=s3cret",
                "generic+https://h.example",
            ),
            (
                "apprise://a.example:8000/s3cret",
                "apprise://a.example:8000",
            ),
            ("exec:///usr/local/bin/tell", "exec:///usr/local/bin/tell"),
        ] {
            let target = Target::parse(url).unwrap();
            assert_eq!(target.to_string(), shown);
            assert!(!format!("{target:?}").contains("s3cret"));
        }
    }

    #[test]
    fn what_is_no_target_is_said_without_secrets() {
        for url in [
            "s3cret",
            "ntfy:s3cret",
            "pushover://s3cret",
            "telegram://s3cret@telegram",
            "slack://s3cret",
            "smtp://me:s3cret@mail/",
            "gotify://host",
            "apprise://host",
            "exec://s3cret",
            "discord://id",
            "smtp://s3cret@mail/?to=a@b&from=c@d&encryption=rot13",
            "ntfy://h/s3cret/s3cret",
        ] {
            let error = Target::parse(url).unwrap_err().to_string();
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn mail_is_sealed_unless_somebody_says_otherwise() {
        let tls = |url: &str| match Target::parse(url).unwrap().kind {
            Kind::Smtp(mail) => mail.tls,
            _ => panic!("no mail"),
        };
        assert_eq!(tls("smtp://m/?from=a@b&to=c@d"), Tls::Required);
        assert_eq!(tls("smtp://m:465/?from=a@b&to=c@d"), Tls::Wrapped);
        assert_eq!(tls("smtps://m/?from=a@b&to=c@d"), Tls::Wrapped);
        assert_eq!(tls("smtp://m/?from=a@b&to=c@d&encryption=None"), Tls::None);
        assert_eq!(tls("smtp://m/?from=a@b&to=c@d&usestarttls=no"), Tls::None);
    }
}
