//! Dead man's switches: Healthchecks.io, and Uptime Kuma's push monitors.

use std::fmt;

use reqwest::{Client, RequestBuilder, Url};
use secrecy::{ExposeSecret as _, SecretString};

use crate::{message::shortened, target::TargetError};

/// So much of a log goes along, of its end: Healthchecks.io keeps 100 kB, Kuma a line.
const LOG: usize = 10_000;
const LINE: usize = 200;

/// What is said to a switch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beat {
    /// Work began. `run` ties it to its end: a UUID.
    Start {
        /// Which run.
        run: String,
    },
    /// A point is complete and durable.
    Success {
        /// Which run.
        run: String,
        /// How long it took, in milliseconds.
        took: u64,
        /// One line.
        line: String,
    },
    /// It failed.
    Fail {
        /// Which run.
        run: String,
        /// The end of the log.
        log: String,
    },
}

/// A switch.
pub struct Heartbeat {
    kind: Kind,
    shown: String,
}

enum Kind {
    Healthchecks(SecretString),
    Kuma(SecretString),
}

impl Heartbeat {
    /// Healthchecks.io, or a server of one's own: the ping URL of a check.
    pub fn healthchecks(url: &str) -> Result<Self, TargetError> {
        let (url, host) = checked(url, "healthchecks")?;
        let path = url.path().trim_end_matches('/').to_owned();
        let mut url = url;
        url.set_path(&path);
        Ok(Self {
            kind: Kind::Healthchecks(String::from(url).into()),
            shown: format!("healthchecks://{host}"),
        })
    }

    /// Uptime Kuma: the push URL of a monitor, whatever stands behind its question mark.
    pub fn kuma(url: &str) -> Result<Self, TargetError> {
        let (mut url, host) = checked(url, "uptime-kuma")?;
        url.set_query(None);
        Ok(Self {
            kind: Kind::Kuma(String::from(url).into()),
            shown: format!("uptime-kuma://{host}"),
        })
    }

    /// The request that says it; `None` where this switch has no word for it.
    pub(crate) fn request(&self, client: &Client, beat: &Beat) -> Option<RequestBuilder> {
        match &self.kind {
            Kind::Healthchecks(url) => {
                let mut url = Url::parse(url.expose_secret()).ok()?;
                let (end, run, body) = match beat {
                    Beat::Start { run } => ("/start", run, String::new()),
                    Beat::Success { run, line, .. } => ("", run, shortened(line, LOG)),
                    Beat::Fail { run, log } => ("/fail", run, tail(log, LOG)),
                };
                let path = format!("{}{end}", url.path());
                url.set_path(&path);
                url.query_pairs_mut().append_pair("rid", run);
                Some(client.post(url).body(body))
            }
            Kind::Kuma(url) => {
                let mut url = Url::parse(url.expose_secret()).ok()?;
                let (status, line, took) = match beat {
                    Beat::Start { .. } => return None,
                    Beat::Success { line, took, .. } => ("up", line.clone(), took.to_string()),
                    Beat::Fail { log, .. } => (
                        "down",
                        log.lines().last().unwrap_or_default().to_owned(),
                        String::new(),
                    ),
                };
                url.query_pairs_mut()
                    .append_pair("status", status)
                    .append_pair("msg", &shortened(&line, LINE))
                    .append_pair("ping", &took);
                Some(client.get(url))
            }
        }
    }
}

fn checked(text: &str, what: &str) -> Result<(Url, String), TargetError> {
    let url = Url::parse(text.trim()).ok();
    let url = url.filter(|url| matches!(url.scheme(), "http" | "https"));
    let host = url
        .as_ref()
        .and_then(|url| url.host_str())
        .map(str::to_owned);
    url.zip(host).ok_or_else(|| {
        TargetError::of(format!(
            "the address for {what} is no http:// or https:// URL"
        ))
    })
}

fn tail(text: &str, most: usize) -> String {
    let skip = text.chars().count().saturating_sub(most);
    text.chars().skip(skip).collect()
}

impl fmt::Display for Heartbeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

impl fmt::Debug for Heartbeat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Heartbeat({})", self.shown)
    }
}
