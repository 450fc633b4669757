//! API versions, and how one is agreed upon.

use std::fmt;
use std::str::FromStr;

use hyper::Method;
use serde_json::Value;

use super::http::{Ask, Body, Http, ORDINARY};
use crate::{Error, Result};

/// A version of the engine's API, e.g. 1.41.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersion {
    major: u16,
    minor: u16,
}

impl ApiVersion {
    /// The oldest that we speak: Docker 20.10.
    pub const OLDEST: Self = Self::new(1, 41);
    /// The newest that we know.
    pub const NEWEST: Self = Self::new(1, 56);

    /// A version from its parts.
    #[must_use]
    pub const fn new(major: u16, minor: u16) -> Self {
        Self { major, minor }
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

impl FromStr for ApiVersion {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let (major, minor) = text.split_once('.').ok_or(())?;
        Ok(Self {
            major: major.parse().map_err(drop)?,
            minor: minor.parse().map_err(drop)?,
        })
    }
}

/// Asks the engine for its versions and chooses the newest common one.
pub(super) fn negotiate(http: &Http) -> Result<(ApiVersion, Value)> {
    let context = "ask the engine for its version";
    let endpoint = http.endpoint().to_string();
    let strange = |why: String| Error::NotAnEngine {
        endpoint: endpoint.clone(),
        why,
    };
    let ask = Ask {
        method: Method::GET,
        path: "/version".to_owned(),
        body: Body::Empty,
        context: context.to_owned(),
        limit: ORDINARY,
    };
    let answer = match http.send(ask) {
        Err(Error::Transport { source, .. }) => return Err(strange(source.to_string())),
        other => other?,
    };
    let answer = answer.success(context).map_err(|error| match error {
        // Go's own words.
        Error::Refused { message, .. } if message.contains("to an HTTPS server") => Error::Tls {
            endpoint: endpoint.clone(),
            why: "it wants TLS; set DOCKER_TLS_VERIFY=1 and DOCKER_CERT_PATH, or name a context that has its files".to_owned(),
        },
        other => strange(other.to_string()),
    })?;
    let version = answer
        .json(context)
        .map_err(|_| strange("it does not answer in JSON".to_owned()))?;
    let read = |key: &str| super::text(&version, key).parse::<ApiVersion>().ok();
    let Some(newest) = read("ApiVersion") else {
        return Err(strange("it names no API version".to_owned()));
    };
    let chosen = choose(newest, read("MinAPIVersion"), &endpoint)?;
    Ok((chosen, version))
}

fn choose(newest: ApiVersion, oldest: Option<ApiVersion>, endpoint: &str) -> Result<ApiVersion> {
    if newest < ApiVersion::OLDEST {
        return Err(Error::ApiTooOld {
            endpoint: endpoint.to_owned(),
            found: newest.to_string(),
            needed: ApiVersion::OLDEST.to_string(),
        });
    }
    if let Some(oldest) = oldest.filter(|oldest| *oldest > ApiVersion::NEWEST) {
        return Err(Error::ApiTooNew {
            endpoint: endpoint.to_owned(),
            found: oldest.to_string(),
            known: ApiVersion::NEWEST.to_string(),
        });
    }
    Ok(newest.min(ApiVersion::NEWEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v(text: &str) -> ApiVersion {
        text.parse().unwrap()
    }

    #[test]
    fn chooses_the_newest_common_version() {
        assert_eq!(choose(v("1.41"), Some(v("1.12")), "e").unwrap(), v("1.41"));
        assert_eq!(
            choose(v("1.99"), Some(v("1.40")), "e").unwrap(),
            ApiVersion::NEWEST
        );
        assert_eq!(choose(v("1.44"), None, "e").unwrap(), v("1.44"));
        assert!(matches!(
            choose(v("1.40"), None, "e"),
            Err(Error::ApiTooOld { .. })
        ));
        assert!(matches!(
            choose(v("2.0"), Some(v("1.99")), "e"),
            Err(Error::ApiTooNew { .. })
        ));
    }

    #[test]
    fn compares_numbers_not_text() {
        assert!(v("1.9") < v("1.41"));
        assert!("1".parse::<ApiVersion>().is_err());
    }
}
