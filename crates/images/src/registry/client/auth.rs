//! Who we are: basic authentication, and tokens from the server that the registry names (the "token authentication
//! specification" of distribution).

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use http::{HeaderMap, header};
use reqwest::{Method, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::RegistryClient;
use crate::{Error, Result};

/// A token server's answer is small.
const LARGEST_TOKEN: usize = 1 << 20;
/// What the specification says of a token without a time.
const SHORTEST: u64 = 60;

/// What was learned of how to authenticate.
#[derive(Default)]
pub(super) struct Tokens {
    basic: bool,
    /// By scope.
    bearer: HashMap<String, (SecretString, Instant)>,
}

/// What a registry wants.
#[derive(Debug, PartialEq)]
pub(super) enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

impl Challenge {
    /// Reads `WWW-Authenticate` (RFC 9110 section 11.6.1); the strongest that we know.
    pub(super) fn read(headers: &HeaderMap) -> Option<Self> {
        let mut found = None;
        for value in headers.get_all(header::WWW_AUTHENTICATE) {
            let Ok(text) = value.to_str() else { continue };
            let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
            if scheme.eq_ignore_ascii_case("bearer") {
                let mut parameters = parameters(rest);
                let realm = parameters.remove("realm")?;
                return Some(Self::Bearer {
                    realm,
                    service: parameters.remove("service"),
                    scope: parameters.remove("scope"),
                });
            }
            if scheme.eq_ignore_ascii_case("basic") {
                found = Some(Self::Basic);
            }
        }
        found
    }
}

/// `name="value", name=value`.
fn parameters(text: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let name = name.trim_matches([' ', ',']).to_ascii_lowercase();
        let after = after.trim_start();
        let (value, behind) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.insert(name, value.trim().to_owned());
        rest = behind;
    }
    found
}

#[derive(Deserialize)]
struct Answer {
    token: Option<SecretString>,
    access_token: Option<SecretString>,
    expires_in: Option<u64>,
}

impl RegistryClient {
    /// The `Authorization` header for requests of this scope, as far as it is known.
    pub(super) fn authorization(&self, scope: &str) -> Option<String> {
        let tokens = self.tokens.lock();
        if tokens.basic {
            return self.credentials.as_ref().map(|c| c.basic());
        }
        let (token, until) = tokens.bearer.get(scope)?;
        (Instant::now() < *until).then(|| format!("Bearer {}", token.expose_secret()))
    }

    /// Does what a challenge asks for, so that [`Self::authorization`] has something for the next try.
    pub(super) async fn authenticate(&self, challenge: Challenge, scope: &str) -> Result<()> {
        match challenge {
            Challenge::Basic => {
                if self.credentials.is_none() {
                    return Err(self.refused_login("it wants a name and a password; run docker login, or give --registry-user and --registry-password-file"));
                }
                self.tokens.lock().basic = true;
            }
            Challenge::Bearer {
                realm,
                service,
                scope: asked,
            } => {
                let wanted = asked.as_deref().unwrap_or(scope);
                let (token, lasts) = self.token(&realm, service.as_deref(), wanted).await?;
                let until = Instant::now() + Duration::from_secs(lasts.max(SHORTEST) * 9 / 10);
                self.tokens
                    .lock()
                    .bearer
                    .insert(scope.to_owned(), (token, until));
            }
        }
        Ok(())
    }

    async fn token(
        &self,
        realm: &str,
        service: Option<&str>,
        scope: &str,
    ) -> Result<(SecretString, u64)> {
        let url = Url::parse(realm).map_err(|e| {
            self.bad_answer("its token server", format!("{realm:?} is no URL: {e}"))
        })?;
        // The registry says where our password goes: never over an open line that the registry itself is not.
        let is_open = url.scheme() != "https" && self.base.scheme() == "https";
        if is_open || !matches!(url.scheme(), "http" | "https") {
            return Err(self.refused_login(
                "it names a token server without TLS, and no password is sent there",
            ));
        }
        let refresh = self.credentials.as_ref().filter(|c| c.is_token);
        let mut request = match refresh {
            None => reqwest::Request::new(Method::GET, with_query(url, service, scope)),
            Some(token) => {
                let mut request = reqwest::Request::new(Method::POST, url);
                let form = form(service, scope, token.password.expose_secret());
                *request.body_mut() = Some(form.into());
                let kind = header::HeaderValue::from_static("application/x-www-form-urlencoded");
                request.headers_mut().insert(header::CONTENT_TYPE, kind);
                request
            }
        };
        if let Some(basic) = self.credentials.as_ref().filter(|c| !c.is_token) {
            request
                .headers_mut()
                .insert(header::AUTHORIZATION, self.header(&basic.basic())?);
        }
        let answer = self
            .execute(request)
            .await
            .map_err(|why| Error::Unreachable {
                registry: self.address.to_string(),
                why: format!("its token server: {why}"),
            })?;
        let status = answer.status();
        if !status.is_success() {
            return Err(self.refused_login(&format!(
                "its token server answers {status}; is the name or the password wrong?"
            )));
        }
        let body = self.body("the token", answer, LARGEST_TOKEN).await?;
        let read: Answer = serde_json::from_slice(&body)
            .map_err(|_| self.bad_answer("its token", "it is no token"))?;
        let token = read.token.or(read.access_token);
        let token = token.ok_or_else(|| self.bad_answer("its token", "there is none in it"))?;
        Ok((token, read.expires_in.unwrap_or(SHORTEST)))
    }

    fn refused_login(&self, why: &str) -> Error {
        Error::Refused {
            registry: self.address.to_string(),
            what: "us".to_owned(),
            why: why.to_owned(),
        }
    }
}

fn with_query(mut url: Url, service: Option<&str>, scope: &str) -> Url {
    {
        let mut query = url.query_pairs_mut();
        if let Some(service) = service {
            query.append_pair("service", service);
        }
        for one in scope.split(' ').filter(|one| !one.is_empty()) {
            query.append_pair("scope", one);
        }
    }
    url
}

fn form(service: Option<&str>, scope: &str, token: &str) -> String {
    let escape = |text: &str| {
        percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
    };
    format!(
        "grant_type=refresh_token&client_id=lifeboat&service={}&scope={}&refresh_token={}",
        escape(service.unwrap_or_default()),
        escape(scope),
        escape(token)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&str]) -> Option<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::WWW_AUTHENTICATE, value.parse().unwrap());
        }
        Challenge::read(&headers)
    }

    #[test]
    fn challenges_are_read() {
        let bearer = |realm: &str, service: Option<&str>, scope: Option<&str>| {
            Some(Challenge::Bearer {
                realm: realm.to_owned(),
                service: service.map(str::to_owned),
                scope: scope.map(str::to_owned),
            })
        };
        assert_eq!(
            read(&[
                r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#
            ]),
            bearer(
                "https://auth.docker.io/token",
                Some("registry.docker.io"),
                Some("repository:a/b:pull,push")
            )
        );
        assert_eq!(
            read(&[
                "Basic realm=\"x\"",
                "bearer realm=https://t/, error=\"invalid_token\""
            ]),
            bearer("https://t/", None, None)
        );
        assert_eq!(read(&["Basic realm=\"x\""]), Some(Challenge::Basic));
        for odd in [
            "Digest x=1",
            "",
            "Bearer",
            "Bearer scope=\"",
            "Bearer =,=,=",
        ] {
            assert_eq!(read(&[odd]), None, "{odd}");
        }
    }
}
