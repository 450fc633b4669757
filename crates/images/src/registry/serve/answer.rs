//! What is asked, what comes back, and errors as the specification has them.

use std::io;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::feed::{Feed, Pieces};

/// The body of an answer.
pub type Body = Either<Full<Bytes>, Pieces>;

/// A request, without its body.
pub struct Asked {
    pub method: Method,
    /// Decoded.
    pub path: String,
    pub headers: HeaderMap,
    query: Vec<(String, String)>,
    /// The registry that the client means.
    pub host: Option<String>,
}

impl Asked {
    pub fn new<B>(request: &Request<B>, names: &[String]) -> Self {
        let uri = request.uri();
        let query: Vec<(String, String)> = uri
            .query()
            .unwrap_or_default()
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, value)| (decoded(key), decoded(value)))
            .collect();
        let said = query.iter().find(|(key, _)| key == "ns");
        let here = request
            .headers()
            .get(header::HOST)
            .and_then(|host| host.to_str().ok());
        let named = names
            .iter()
            .find(|name| here.is_some_and(|here| here.eq_ignore_ascii_case(name)));
        Self {
            method: request.method().clone(),
            path: decoded(uri.path()),
            headers: request.headers().clone(),
            host: said.map(|(_, value)| value.clone()).or(named.cloned()),
            query,
        }
    }

    /// A value of the query.
    pub fn query(&self, key: &str) -> Option<&str> {
        let found = self.query.iter().find(|(k, _)| k == key);
        found.map(|(_, value)| value.as_str())
    }

    /// All values of the query.
    pub fn all(&self, key: &str) -> impl Iterator<Item = &str> {
        let found = self.query.iter().filter(move |(k, _)| k == key);
        found.map(|(_, value)| value.as_str())
    }

    pub fn header(&self, name: HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// Whether the answer may be long.
    pub fn wants_blob(&self) -> bool {
        self.path.contains("/blobs/")
    }
}

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// What comes back.
pub enum Answer {
    /// At once.
    Whole(Response<Full<Bytes>>),
    /// In pieces.
    Stream(Response<()>, Feed),
}

/// An answer with these headers. What is no header's value is left out.
pub fn head<B>(status: StatusCode, headers: &[(HeaderName, &str)], body: B) -> Response<B> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let out = response.headers_mut();
    out.insert(API_VERSION, HeaderValue::from_static("registry/2.0"));
    for (name, value) in headers {
        if let Ok(value) = HeaderValue::from_str(value) {
            out.append(name, value);
        }
    }
    response
}

/// The whole of some bytes. To HEAD goes all but the bytes.
pub fn whole(
    status: StatusCode,
    headers: &[(HeaderName, &str)],
    bytes: impl Into<Bytes>,
) -> Answer {
    let bytes = bytes.into();
    let length = bytes.len().to_string();
    let mut response = head(status, headers, Full::new(bytes));
    if let Ok(length) = HeaderValue::from_str(&length) {
        response
            .headers_mut()
            .insert(header::CONTENT_LENGTH, length);
    }
    Answer::Whole(response)
}

pub const API_VERSION: HeaderName = HeaderName::from_static("docker-distribution-api-version");
pub const CONTENT_DIGEST: HeaderName = HeaderName::from_static("docker-content-digest");
pub const FILTERS_APPLIED: HeaderName = HeaderName::from_static("oci-filters-applied");
pub const JSON: &str = "application/json";

/// An error of the specification.
#[derive(Debug)]
pub struct Refusal {
    pub status: StatusCode,
    code: &'static str,
    message: String,
    header: Option<(HeaderName, String)>,
}

impl Refusal {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            header: None,
        }
    }

    pub fn name_unknown(name: &str) -> Self {
        let why = format!("no recovery point holds a repository {name}");
        Self::new(StatusCode::NOT_FOUND, "NAME_UNKNOWN", why)
    }

    pub fn manifest_unknown(reference: &str) -> Self {
        let why = format!("the recovery point holds no manifest {reference} of it");
        Self::new(StatusCode::NOT_FOUND, "MANIFEST_UNKNOWN", why)
    }

    pub fn blob_unknown(digest: &str) -> Self {
        let why = format!("the recovery point holds no blob {digest} of it");
        Self::new(StatusCode::NOT_FOUND, "BLOB_UNKNOWN", why)
    }

    pub fn nothing_here() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "UNSUPPORTED",
            "there is nothing here",
        )
    }

    pub fn name_invalid() -> Self {
        let why = "this is no name of a repository";
        Self::new(StatusCode::BAD_REQUEST, "NAME_INVALID", why)
    }

    pub fn unsupported() -> Self {
        let why = "this cannot be done here";
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", why)
    }

    pub fn read_only() -> Self {
        let why = "this registry serves recovery points: it can be pulled from, nothing can be changed in it";
        let mut refusal = Self::new(StatusCode::METHOD_NOT_ALLOWED, "UNSUPPORTED", why);
        refusal.header = Some((header::ALLOW, "GET, HEAD".to_owned()));
        refusal
    }

    pub fn denied() -> Self {
        let why = "this name may pull, and nothing else";
        Self::new(StatusCode::FORBIDDEN, "DENIED", why)
    }

    /// With how to come in: by name and password if nothing else is said.
    pub fn unauthorized(challenge: Option<&str>) -> Self {
        let why = "name and password are needed, and these are not known or may not";
        let mut refusal = Self::new(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", why);
        refusal.header = Some((
            header::WWW_AUTHENTICATE,
            challenge
                .unwrap_or("Basic realm=\"Lifeboat\", charset=\"UTF-8\"")
                .to_owned(),
        ));
        refusal
    }

    /// What the log has more about.
    pub fn failed() -> Self {
        let why =
            "the recovery point cannot be read; the log of `lifeboat registry serve` says why";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", why)
    }

    pub fn into_response(self) -> Response<Full<Bytes>> {
        let body: Value =
            json!({"errors": [{"code": self.code, "message": self.message, "detail": null}]});
        let mut headers = vec![(header::CONTENT_TYPE, JSON)];
        if let Some((name, value)) = &self.header {
            headers.push((name.clone(), value));
        }
        let body = body.to_string();
        let length = body.len().to_string();
        headers.push((header::CONTENT_LENGTH, &length));
        head(self.status, &headers, Full::new(body.into()))
    }
}

/// Where the shelf fails.
impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        tracing::warn!("a pull was refused: {error}");
        Self::failed()
    }
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        Self::Whole(refusal.into_response())
    }
}
