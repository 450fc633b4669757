//! One request and its answer: authenticated, tried again, redirected, waited for.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use reqwest::{Method, Request, Response, Url};

use super::{RegistryClient, auth::Challenge};
use crate::{Error, Result};

/// How often a request is tried that broke off.
const TRIES: u32 = 6;
/// The first pause; each is twice as long.
const PAUSE: Duration = Duration::from_millis(250);
/// No pause is longer where the server does not say when to come again.
const BETWEEN: Duration = Duration::from_secs(5);
/// No single wait is longer, whatever a server says.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// All waits for a server that says to come later, together.
const PATIENCE: Duration = Duration::from_secs(900);
/// Redirects that are followed.
const REDIRECTS: usize = 5;

/// What is asked for.
pub(super) struct Ask<'a> {
    pub method: Method,
    pub url: Url,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// What a token has to allow: `repository:team/app:pull`.
    pub scope: &'a str,
    /// For errors: "the tags of team/app".
    pub what: &'a str,
}

impl<'a> Ask<'a> {
    pub(super) fn new(method: Method, url: Url, scope: &'a str, what: &'a str) -> Self {
        Self {
            method,
            url,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            scope,
            what,
        }
    }

    pub(super) fn with(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

impl RegistryClient {
    /// Whether there is a registry. Over the first of two schemes a failure is no reason to wait; `over_tls` is what
    /// it was.
    pub(super) fn ping(&self, is_first_try: bool, over_tls: Option<String>) -> Result<()> {
        let url = self.url("v2/", &[])?;
        let work = async {
            if is_first_try {
                let first = self.execute(Request::new(Method::GET, url.clone())).await;
                first.map_err(|why| self.unreachable(why))?;
            }
            self.send(Ask::new(Method::GET, url, "", "its greeting"))
                .await
        };
        let answer = self.wait(work)?;
        match (answer.status(), over_tls) {
            (StatusCode::OK, _) => Ok(()),
            // What a TLS server says to plain HTTP: it broke off before, and its reason (an alert) got lost in the
            // reset of the connection.
            (StatusCode::BAD_REQUEST, Some(why)) => Err(self.unreachable(format!(
                "{why}; it speaks TLS: where it wants a certificate of ours, give one with --registry-cert"
            ))),
            (StatusCode::NOT_FOUND, _) => Err(self.bad_answer(
                "its greeting",
                "it is no registry (no /v2/); is the address right?",
            )),
            (status, _) => Err(self.status("its greeting", status)),
        }
    }

    /// `BASE/path?query`. The path's parts are checked names or digests.
    pub(super) fn url(&self, path: &str, query: &[(&str, &str)]) -> Result<Url> {
        let mut url = self
            .base
            .join(path)
            .map_err(|e| Error::Setup(format!("{path:?} is no path of a registry: {e}")))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        Ok(url)
    }

    /// Sends and gives the answer's head, whatever its status is; but what is a matter of waiting, of logging in or of
    /// going elsewhere is done first.
    pub(super) async fn send(&self, ask: Ask<'_>) -> Result<Response> {
        let mut broke_off = 0;
        let mut limited = 0;
        let mut waited = Duration::ZERO;
        let mut logged_in = false;
        loop {
            let answer = match self.follow(&ask).await {
                Ok(answer) => answer,
                Err(Error::Unreachable { registry, why }) => {
                    broke_off += 1;
                    if broke_off >= TRIES {
                        return Err(Error::Unreachable { registry, why });
                    }
                    tokio::time::sleep(PAUSE * 2_u32.pow(broke_off - 1)).await;
                    continue;
                }
                Err(other) => return Err(other),
            };
            let status = answer.status();
            match status {
                StatusCode::UNAUTHORIZED if !logged_in => {
                    let Some(challenge) = Challenge::read(answer.headers()) else {
                        return Ok(answer);
                    };
                    logged_in = true;
                    self.authenticate(challenge, ask.scope).await?;
                }
                StatusCode::TOO_MANY_REQUESTS
                | StatusCode::BAD_GATEWAY
                | StatusCode::SERVICE_UNAVAILABLE
                | StatusCode::GATEWAY_TIMEOUT => {
                    let pause = retry_after(answer.headers()).unwrap_or_else(|| {
                        // A limit of a rate is over once its minute is: that is no fault of which there can be too many.
                        let times = if status == StatusCode::TOO_MANY_REQUESTS {
                            &mut limited
                        } else {
                            &mut broke_off
                        };
                        *times += 1;
                        (PAUSE * 2_u32.pow((*times).min(8) - 1)).min(BETWEEN)
                    });
                    let pause = pause.min(LONGEST_WAIT);
                    if broke_off >= TRIES || waited + pause > PATIENCE {
                        return Ok(answer);
                    }
                    waited += pause;
                    tracing::info!(registry = %self.address, %status, ?pause, "asked to come later");
                    tokio::time::sleep(pause).await;
                }
                _ => return Ok(answer),
            }
        }
    }

    /// Follows redirects of reads, without our credentials where they lead to another host.
    async fn follow(&self, ask: &Ask<'_>) -> Result<Response> {
        let mut url = ask.url.clone();
        for _ in 0..=REDIRECTS {
            let mut request = Request::new(ask.method.clone(), url.clone());
            *request.headers_mut() = ask.headers.clone();
            let is_at_home = url.origin() == self.base.origin();
            if let Some(authorization) = self.authorization(ask.scope).filter(|_| is_at_home) {
                let value = self.header(&authorization)?;
                request.headers_mut().insert(header::AUTHORIZATION, value);
            }
            if !ask.body.is_empty() {
                *request.body_mut() = Some(ask.body.clone().into());
            } else if !matches!(ask.method, Method::GET | Method::HEAD | Method::DELETE) {
                *request.body_mut() = Some(Bytes::new().into());
            }
            let answer = self
                .execute(request)
                .await
                .map_err(|why| self.unreachable(why))?;
            let leads_on = answer.status().is_redirection()
                && matches!(ask.method, Method::GET | Method::HEAD)
                && answer.status() != StatusCode::NOT_MODIFIED;
            if !leads_on {
                return Ok(answer);
            }
            let place = answer.headers().get(header::LOCATION);
            let next = place
                .and_then(|place| place.to_str().ok())
                .and_then(|place| url.join(place).ok())
                .ok_or_else(|| self.bad_answer(ask.what, "it redirects to nowhere"))?;
            let downgrades = url.scheme() == "https" && next.scheme() != "https";
            if downgrades || !matches!(next.scheme(), "http" | "https") {
                return Err(self.bad_answer(
                    ask.what,
                    "it redirects from TLS to a line without, which is not followed",
                ));
            }
            url = next;
        }
        Err(self.bad_answer(ask.what, "it redirects in a circle"))
    }

    /// Sends one request. An error is a sentence without the URL, which could hold a signature.
    pub(super) async fn execute(&self, request: Request) -> Result<Response, String> {
        self.http.execute(request).await.map_err(reason)
    }

    /// A body of bounded size, whole.
    pub(super) async fn body(
        &self,
        what: &str,
        mut answer: Response,
        bound: usize,
    ) -> Result<Bytes> {
        let too_large = || {
            self.bad_answer(
                what,
                format!("it is larger than the {} MiB that it may have", bound >> 20),
            )
        };
        if answer.content_length().is_some_and(|n| n > bound as u64) {
            return Err(too_large());
        }
        let mut read = BytesMut::new();
        while let Some(piece) = answer
            .chunk()
            .await
            .map_err(|e| self.unreachable(reason(e)))?
        {
            if read.len() + piece.len() > bound {
                return Err(too_large());
            }
            read.extend_from_slice(&piece);
        }
        Ok(read.freeze())
    }

    pub(super) fn unreachable(&self, why: impl Into<String>) -> Error {
        Error::Unreachable {
            registry: self.address.to_string(),
            why: why.into(),
        }
    }

    pub(super) fn header(&self, value: &str) -> Result<HeaderValue> {
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| Error::Setup("the name or password cannot be sent".to_owned()))?;
        value.set_sensitive(true);
        Ok(value)
    }

    /// The error that a status is.
    pub(super) fn status(&self, what: &str, status: StatusCode) -> Error {
        let refused = |why: &str| Error::Refused {
            registry: self.address.to_string(),
            what: what.to_owned(),
            why: why.to_owned(),
        };
        match status {
            StatusCode::UNAUTHORIZED => refused(
                "it wants a name and a password; run docker login, or give --registry-user and --registry-password-file",
            ),
            StatusCode::FORBIDDEN => refused("this login may not; use one that may"),
            StatusCode::TOO_MANY_REQUESTS => {
                refused("too many requests, again and again; run the command again later")
            }
            StatusCode::METHOD_NOT_ALLOWED => refused("it does not do that"),
            status => self.bad_answer(what, format!("it answers {status}")),
        }
    }
}

/// `Retry-After` in seconds, or as a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

/// Whether there is no answer because nobody vouches for who would give it.
pub(super) fn is_about_trust(why: &str) -> bool {
    why.to_ascii_lowercase().contains("certificate")
}

/// Why there is no answer, without the URL.
pub(super) fn reason(error: reqwest::Error) -> String {
    use std::error::Error as _;
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        text = deeper.to_string();
        cause = deeper.source();
    }
    // What TLS says where a client has to come with one of its own.
    if text.contains("CertificateRequired") {
        text = "it wants a certificate of ours; give one with --registry-cert".to_owned();
    } else if is_about_trust(&text) {
        text.push_str("; name the file of its authority with --registry-ca");
    }
    text
}
