//! How `object_store` reaches a server: through our own HTTP, with its limits, and with answers that
//! refuse turned into an error that still knows what the server said.

use async_trait::async_trait;
use http::{HeaderMap, StatusCode, Uri};
use http_body_util::BodyExt;
use object_store::{
    ClientOptions, RetryConfig,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    },
};
use reqwest::Url;

use crate::http::{Answer, Http, Most};

/// What is no object's content: a page of a list, a word.
pub(super) const A_PAGE: Most = Most::Whole(64 << 20);

/// One for each bucket.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    pub http: Http,
    /// An emulator, whatever host `object_store` takes it for.
    pub instead: Option<Url>,
}

/// An answer that is a refusal.
#[derive(Debug, thiserror::Error)]
#[error("{status} {code}")]
pub(super) struct Refusal {
    pub status: StatusCode,
    /// The server's own word, e.g. `NoSuchBucket`; may be empty.
    pub code: String,
    /// The server's sentence; may be empty.
    pub message: String,
    /// Where Amazon says that the bucket lies.
    pub region: Option<String>,
}

impl Refusal {
    /// The server does not know what it was asked for.
    pub(super) fn is_unknown(&self) -> bool {
        self.status == StatusCode::NOT_IMPLEMENTED || self.code == "NotImplemented"
    }
}

/// Trying again is [`crate::retry`]'s alone.
pub(super) fn no_retries() -> RetryConfig {
    RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(self.clone()))
    }
}

#[async_trait]
impl HttpService for Connector {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let url = self.url(&parts.uri)?;
        let body = body.collect().await?.to_bytes();
        let most = parts.extensions.get().copied().unwrap_or(A_PAGE);
        let answer = self
            .http
            .exchange(parts.method, url, parts.headers, body, most);
        let answer = answer
            .await
            .map_err(|e| HttpError::new(HttpErrorKind::Unknown, e))?;
        if let Some(refusal) = refusal(&answer) {
            return Err(HttpError::new(HttpErrorKind::Unknown, refusal));
        }
        let mut response = http::Response::new(answer.body.into());
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        Ok(response)
    }
}

impl Connector {
    fn url(&self, uri: &Uri) -> Result<Url, HttpError> {
        let url = Url::parse(&uri.to_string());
        let mut url = url.map_err(|_| {
            let odd = std::io::Error::other("a request without a URL");
            HttpError::new(HttpErrorKind::Unknown, odd)
        })?;
        if let Some(instead) = &self.instead {
            // Each fails only for URLs without a host, which neither is.
            let _ = url.set_scheme(instead.scheme());
            let _ = url.set_host(instead.host_str());
            let _ = url.set_port(instead.port());
        }
        Ok(url)
    }
}

/// Words with which a server says that an object, or what was asked about it, is not there. With any other word 404 means
/// something else: versitygw says it of keys that it does not know, and nobody may take that for an empty place.
const ABSENT: [&str; 9] = [
    // An answer to HEAD has no words.
    "",
    "NoSuchKey",
    "NoSuchVersion",
    "NoSuchUpload",
    "NotFound",
    "BlobNotFound",
    "ResourceNotFound",
    "NoSuchObjectLockConfiguration",
    "ObjectLockConfigurationNotFoundError",
];

/// What `object_store` knows how to read as an answer passes; the rest keeps the server's words.
pub(super) fn refusal(answer: &Answer) -> Option<Refusal> {
    let status = answer.status;
    if status.is_success() || status == StatusCode::NOT_MODIFIED {
        return None;
    }
    let text = String::from_utf8_lossy(&answer.body);
    let header = |name: &str| header(&answer.headers, name);
    let code = code(answer).unwrap_or_default();
    let no_place = matches!(&*code, "NoSuchBucket" | "ContainerNotFound")
        || text.contains("bucket does not exist");
    let ordinary = match status {
        StatusCode::NOT_FOUND => ABSENT.contains(&&*code),
        status => matches!(
            status,
            StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED
        ),
    };
    (no_place || !ordinary).then(|| Refusal {
        status,
        code: if no_place {
            "NoSuchBucket".to_owned()
        } else {
            code
        },
        message: between(&text, "<Message>", "</Message>")
            .or_else(|| between(&text, "\"message\": \"", "\""))
            .unwrap_or_default(),
        region: header("x-amz-bucket-region").or_else(|| between(&text, "<Region>", "</Region>")),
    })
}

/// The server's own word for what is wrong.
pub(super) fn code(answer: &Answer) -> Option<String> {
    let text = String::from_utf8_lossy(&answer.body);
    header(&answer.headers, "x-ms-error-code").or_else(|| between(&text, "<Code>", "</Code>"))
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    Some(value.to_owned())
}

pub(super) fn between(text: &str, from: &str, to: &str) -> Option<String> {
    let rest = &text[text.find(from)? + from.len()..];
    let found = &rest[..rest.find(to)?];
    // A sentence for a person, not a page.
    Some(found.lines().next()?.chars().take(200).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &'static str) -> Answer {
        Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: HeaderMap::new(),
            body: body.into(),
        }
    }

    #[test]
    fn a_missing_bucket_is_no_missing_object() {
        let bucket = "<Error><Code>NoSuchBucket</Code><Message>no</Message></Error>";
        assert_eq!(refusal(&answer(404, bucket)).unwrap().code, "NoSuchBucket");
        assert!(refusal(&answer(404, "<Error><Code>NoSuchKey</Code></Error>")).is_none());
        assert!(refusal(&answer(404, "")).is_none());
        let nobody = "<Error><Code>XAdminUserNotFound</Code></Error>";
        assert_eq!(
            refusal(&answer(404, nobody)).unwrap().code,
            "XAdminUserNotFound"
        );
        assert!(refusal(&answer(206, "x")).is_none());
    }

    #[test]
    fn the_servers_words_are_kept() {
        let body = "<Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>";
        let refusal = refusal(&answer(400, body)).unwrap();
        assert_eq!(refusal.code, "ExpiredToken");
        assert_eq!(refusal.message, "The provided token has expired.");
    }
}
