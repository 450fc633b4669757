//! HTTP as every networked store here speaks it: one client, one way of waiting, one way of failing.
//!
//! - Bodies pass in small pieces through the bandwidth limits.
//! - There is no bound on how long a request may take, only on how long nothing may move: a slow line
//!   is no fault, a silent one is.
//! - Redirects are not followed: a POST would silently become a GET.
//! - No error holds a URL: it could hold a password.

mod body;
mod clock;
mod limit;
mod runtime;

use std::{
    error::Error,
    net::IpAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode};
use reqwest::{Certificate, Client, Url};

use self::clock::ServerClock;
pub use self::limit::Bucket;
pub(crate) use self::runtime::Waiter;
use crate::{Access, Limits, Result, StoreError, place::refused};

/// A connection that is not there after so long does not come.
const CONNECT: Duration = Duration::from_secs(20);
/// So long nothing may move in a request.
const IDLE: Duration = Duration::from_secs(60);
/// What a server says about why it refuses; more of it nobody reads.
const REFUSAL: usize = 64 << 10;

/// An HTTP client with the limits of one store.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: Client,
    limits: Limits,
    clock: ServerClock,
}

/// What a server answered, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

/// How much of an answer's body is taken into memory. A server may be somebody else's by now.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Most {
    /// So many bytes; an answer that has more is none.
    Whole(u64),
    /// What is needed for a range that was asked for, also where the server sends the whole object.
    Range {
        /// Where it begins.
        offset: u64,
        /// Its length.
        length: u64,
    },
}

impl Most {
    /// Bytes that are read, and whether it is an error if there are more.
    fn of(self, status: StatusCode) -> (usize, bool) {
        let (most, strict) = match self {
            _ if !status.is_success() => return (REFUSAL, false),
            Self::Whole(most) => (most, true),
            Self::Range { length, .. } if status == StatusCode::PARTIAL_CONTENT => (length, true),
            Self::Range { offset, length } => (offset.saturating_add(length), false),
        };
        (usize::try_from(most).unwrap_or(usize::MAX), strict)
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoAnswer {
    /// It may be there later.
    #[error("{0}")]
    Unreachable(String),
    /// It is there, and we cannot talk to it.
    #[error("{0}")]
    Refused(String),
    /// It has more bytes than what was asked for can have.
    #[error("the answer has more than {0} bytes")]
    TooLarge(u64),
}

impl Http {
    /// A client for a server at `url`.
    pub(crate) fn new(url: &Url, access: &Access) -> Result<Self> {
        refuse_open_lines(url, access.insecure_http)?;
        let mut builder = Client::builder()
            .user_agent(concat!("lifeboat/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .connect_timeout(CONNECT)
            .tcp_keepalive(Duration::from_secs(15))
            .pool_idle_timeout(Duration::from_secs(50));
        if is_loopback(url) {
            builder = builder.no_proxy();
        }
        builder = if url.scheme() == "http" {
            // A machine without any authorities can talk to itself all the same.
            builder.tls_certs_only([])
        } else {
            match &access.ca_file {
                Some(path) => builder.tls_certs_merge(certificates(path)?),
                None => builder,
            }
        };
        let client = builder.build().map_err(|e| {
            refused(&format!(
                "TLS cannot be set up: {}; install the package ca-certificates or name a file with --cacert",
                reason(&e)
            ))
        })?;
        Ok(Self {
            client,
            limits: access.limits.clone(),
            clock: ServerClock::default(),
        })
    }

    /// What the server's clock says now, in seconds since 1970, as far as its answers have told.
    pub(crate) fn server_time(&self) -> Option<i64> {
        self.clock.now()
    }

    /// Sends a request and reads the answer, whatever its status is, up to so many bytes.
    pub(crate) async fn exchange(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
        body: Bytes,
        most: Most,
    ) -> Result<Answer, NoAnswer> {
        let moved = Arc::new(Moved::now());
        let work = self.talk(method, url, headers, body, most, Arc::clone(&moved));
        tokio::pin!(work);
        loop {
            tokio::select! {
                answer = &mut work => return answer,
                () = tokio::time::sleep(IDLE.saturating_sub(moved.ago())) => {
                    if moved.ago() >= IDLE {
                        let seconds = IDLE.as_secs();
                        return Err(NoAnswer::Unreachable(format!("nothing came for {seconds} seconds")));
                    }
                }
            }
        }
    }

    async fn talk(
        &self,
        method: Method,
        url: Url,
        headers: HeaderMap,
        body: Bytes,
        most: Most,
        moved: Arc<Moved>,
    ) -> Result<Answer, NoAnswer> {
        let reads_nothing = method == Method::HEAD;
        let mut request = reqwest::Request::new(method, url);
        *request.headers_mut() = headers;
        if !body.is_empty() {
            let upload = body::Upload::new(body, self.limits.upload.clone(), Arc::clone(&moved));
            *request.body_mut() = Some(reqwest::Body::wrap(upload));
        } else if !matches!(
            *request.method(),
            Method::GET | Method::HEAD | Method::DELETE
        ) {
            *request.body_mut() = Some(Bytes::new().into());
        }
        let mut response = self.client.execute(request).await.map_err(no_answer)?;
        moved.mark();
        let (status, headers) = (response.status(), response.headers().clone());
        self.clock.hear(&headers);
        let (most, strict) = most.of(status);
        let too_large = || NoAnswer::TooLarge(most as u64);
        // Where it says beforehand how much comes, nothing of it need be read. A HEAD's says what a GET would bring.
        let announced = response.content_length().filter(|_| !reads_nothing);
        if strict && announced.is_some_and(|length| length > most as u64) {
            return Err(too_large());
        }
        let mut read = BytesMut::new();
        while let Some(mut piece) = response.chunk().await.map_err(no_answer)? {
            let room = most - read.len();
            let cut = piece.len() > room;
            if cut && strict {
                return Err(too_large());
            }
            piece.truncate(room);
            read.extend_from_slice(&piece);
            if cut {
                break;
            }
            if let Some(bucket) = &self.limits.download {
                tokio::time::sleep(bucket.take(Instant::now(), piece.len())).await;
            }
            moved.mark();
        }
        Ok(Answer {
            status,
            headers,
            body: read.freeze(),
        })
    }
}

/// When something last moved.
#[derive(Debug)]
pub(crate) struct Moved {
    began: Instant,
    /// Milliseconds after that.
    at: AtomicU64,
}

impl Moved {
    fn now() -> Self {
        Self {
            began: Instant::now(),
            at: AtomicU64::new(0),
        }
    }

    pub(crate) fn mark(&self) {
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.at.store(millis, Ordering::Relaxed);
    }

    fn ago(&self) -> Duration {
        let at = Duration::from_millis(self.at.load(Ordering::Relaxed));
        self.began.elapsed().saturating_sub(at)
    }
}

impl NoAnswer {
    /// For the caller of a store at `place`.
    pub(crate) fn at(self, place: &str) -> StoreError {
        match self {
            Self::Unreachable(reason) => StoreError::Unreachable {
                place: place.to_owned(),
                reason,
            },
            Self::Refused(reason) => StoreError::Io {
                context: format!("talk to {place}"),
                source: std::io::Error::other(reason),
            },
            Self::TooLarge(_) => StoreError::Io {
                context: format!("talk to {place}"),
                source: std::io::Error::other(self.to_string()),
            },
        }
    }
}

fn no_answer(error: reqwest::Error) -> NoAnswer {
    let connecting = error.is_connect();
    let reason = reason(&error.without_url());
    // rustls says so; nothing of it is to be had as a type here.
    if reason.contains("CaUsedAsEndEntity") {
        return NoAnswer::Refused(
            "its certificate is that of an authority; a server's own has to be made with basicConstraints=CA:FALSE".to_owned(),
        );
    }
    if let Some(at) = reason.find("invalid peer certificate") {
        return NoAnswer::Refused(format!(
            "its certificate is not trusted ({}); name the file of the authority that signed it with --cacert",
            &reason[at + "invalid peer certificate: ".len()..]
        ));
    }
    if connecting && reason.contains("received corrupt message") {
        return NoAnswer::Refused(
            "it does not speak TLS; a place with http:// is one without".to_owned(),
        );
    }
    NoAnswer::Unreachable(reason)
}

/// The innermost reasons: the outer ones only say that a request was sent.
fn reason(error: &dyn Error) -> String {
    let mut chain = vec![error.to_string()];
    let mut at = error.source();
    while let Some(inner) = at {
        let text = inner.to_string();
        if chain.last() != Some(&text) {
            chain.push(text);
        }
        at = inner.source();
    }
    let from = chain.len().saturating_sub(2);
    let inner = &chain[from..];
    match inner {
        [outer, inner] if outer.contains(inner.as_str()) => outer.clone(),
        parts => parts.join(": "),
    }
}

/// Keys and passwords do not travel readable, but to this very machine.
fn refuse_open_lines(url: &Url, allowed: bool) -> Result<()> {
    if url.scheme() == "https" || allowed || is_loopback(url) {
        return Ok(());
    }
    Err(refused(&format!(
        "{} is reached without TLS, so that others on the way could change or delete the vault; use https://, or say --insecure-http if the way is safe",
        url.host_str().unwrap_or_default()
    )))
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || address.parse::<IpAddr>().is_ok_and(|a| a.is_loopback())
}

fn certificates(path: &Path) -> Result<Vec<Certificate>> {
    let pem = fs_err::read(path).map_err(|source| StoreError::Io {
        context: "read the certificates".to_owned(),
        source,
    })?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(refused(&format!(
            "{} holds no certificate in PEM form",
            path.display()
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn open_lines_are_for_this_machine_alone() {
        for (url, fine) in [
            ("https://h.example/", true),
            ("http://127.0.0.1:9000/", true),
            ("http://127.7.7.7/", true),
            ("http://[::1]:9000/", true),
            ("http://localhost/", true),
            ("http://h.example/", false),
            ("http://10.0.0.1/", false),
            ("http://127.0.0.1.example/", false),
            ("http://localhost.example/", false),
        ] {
            let url: Url = url.parse().unwrap();
            let said = Http::new(&url, &Access::default()).map(drop);
            assert_eq!(said.is_ok(), fine, "{url}: {said:?}");
            let access = Access {
                insecure_http: true,
                ..Access::default()
            };
            assert!(refuse_open_lines(&url, access.insecure_http).is_ok());
        }
    }

    #[test]
    fn of_an_answer_so_much_is_read() {
        let range = Most::Range {
            offset: 100,
            length: 10,
        };
        for (most, status, expected) in [
            (Most::Whole(5), 200, (5, true)),
            (Most::Whole(5), 404, (REFUSAL, false)),
            (range, 206, (10, true)),
            // It does not know ranges: what lies before has to be read, what lies behind has not.
            (range, 200, (110, false)),
            (range, 416, (REFUSAL, false)),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(most.of(status), expected, "{most:?} {status}");
        }
    }

    #[test]
    fn a_file_without_certificates_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.pem");
        fs_err::write(&path, "nothing").unwrap();
        let access = Access {
            ca_file: Some(path),
            ..Access::default()
        };
        let url = "https://h.example/".parse().unwrap();
        let error = Http::new(&url, &access).unwrap_err().to_string();
        assert!(error.contains("ca.pem"), "{error}");
    }
}
