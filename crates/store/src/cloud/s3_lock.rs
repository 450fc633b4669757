//! The requests of S3 that `object_store` has not: retention, versions, and putting something that is locked from its first
//! moment. Signed as `object_store` signs its own.

use std::sync::OnceLock;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use md5::{Digest, Md5};
use object_store::aws::{AwsAuthorizer, AwsCredentialProvider};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Url;
use serde::Deserialize;

use super::{
    connector::{A_PAGE, code, refusal},
    error,
};
use crate::{
    LockMode, LockPolicy, Result, StoreError,
    http::{Answer, Http, Most},
    place::refused,
};

/// What stands for itself in a signed path or query.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
const CONTENT_MD5: HeaderName = HeaderName::from_static("content-md5");

/// One bucket.
pub(crate) struct S3Lock {
    pub http: Http,
    /// With the bucket as its path.
    pub bucket: String,
    pub region: String,
    pub credentials: AwsCredentialProvider,
    pub policy: OnceLock<LockPolicy>,
}

/// What became of a put on the condition that the name is free.
pub(super) enum Put {
    Done,
    /// The name is taken, or another request was in the way.
    Taken,
    /// The server does not know the condition.
    Unknown,
}

/// One version of an object, or a marker that hides it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Version {
    pub key: String,
    pub version_id: String,
    #[serde(default)]
    pub is_latest: bool,
    /// With the size, tells contents apart without reading them.
    #[serde(default, rename = "ETag")]
    pub tag: String,
    #[serde(default)]
    pub size: u64,
    #[serde(skip)]
    pub marker: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listing {
    #[serde(default)]
    is_truncated: bool,
    next_key_marker: Option<String>,
    next_version_id_marker: Option<String>,
    #[serde(default, rename = "Version")]
    versions: Vec<Version>,
    #[serde(default, rename = "DeleteMarker")]
    markers: Vec<Version>,
}

/// A request in the making.
struct Ask<'a> {
    method: Method,
    key: &'a str,
    query: &'a [(&'a str, &'a str)],
    headers: HeaderMap,
    body: Bytes,
    /// How much of the answer is read.
    most: Most,
}

impl<'a> Ask<'a> {
    fn new(method: Method, key: &'a str, query: &'a [(&'a str, &'a str)]) -> Self {
        Self {
            method,
            key,
            query,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            most: A_PAGE,
        }
    }

    /// What is locked has to be sent with a sum that the server holds it against.
    fn with_body(mut self, body: Bytes) -> Self {
        let sum = BASE64_STANDARD.encode(Md5::digest(&body));
        if let Ok(sum) = HeaderValue::from_str(&sum) {
            self.headers.insert(CONTENT_MD5, sum);
        }
        self.body = body;
        self
    }
}

impl S3Lock {
    /// Puts a new object that is locked until then, if it is to be.
    pub(super) async fn put(
        &self,
        place: &str,
        key: &str,
        bytes: Bytes,
        lock: Option<(LockMode, i64)>,
        only_if_free: bool,
    ) -> Result<Put> {
        let mut ask = Ask::new(Method::PUT, key, &[]).with_body(bytes);
        let mut header = |name: &'static str, value: &str| {
            let value = HeaderValue::from_str(value).map_err(|_| refused("it cannot be sent"))?;
            ask.headers.insert(HeaderName::from_static(name), value);
            Ok::<_, StoreError>(())
        };
        if let Some((mode, until)) = lock {
            header("x-amz-object-lock-mode", &mode.as_str().to_uppercase())?;
            header("x-amz-object-lock-retain-until-date", &date(until))?;
        }
        if only_if_free {
            header("if-none-match", "*")?;
        }
        match self.send(place, &format!("write {key}"), ask).await {
            Ok(answer) if answer.status.is_success() => Ok(Put::Done),
            Ok(answer) if answer.status == StatusCode::NOT_FOUND => {
                Err(StoreError::NotFound(place.to_owned()))
            }
            Ok(_) => Ok(Put::Taken),
            Err(Said { unknown: true, .. }) if only_if_free => Ok(Put::Unknown),
            Err(said) => Err(said.error),
        }
    }

    /// Locks an object for longer; a longer time that it has already stays.
    pub(super) async fn extend(
        &self,
        place: &str,
        key: &str,
        lock: (LockPolicy, i64),
    ) -> Result<()> {
        let (policy, until) = lock;
        let body = format!(
            r#"<Retention xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Mode>{}</Mode><RetainUntilDate>{}</RetainUntilDate></Retention>"#,
            policy.mode.as_str().to_uppercase(),
            date(until)
        );
        let ask = Ask::new(Method::PUT, key, &[("retention", "")]).with_body(body.into());
        match self.send(place, &format!("lock {key}"), ask).await {
            Ok(answer) => found(answer, key).map(drop),
            // Nobody shortens it: perhaps somebody locked it for longer.
            Err(said) if matches!(said.error, StoreError::Denied { .. }) => {
                match self.lock_of(place, key, None).await {
                    Ok(Some((_, there))) if there >= until => Ok(()),
                    _ => Err(said.error),
                }
            }
            Err(said) => Err(said.error),
        }
    }

    /// How, and until when, a version, or else the newest, is locked.
    pub(super) async fn lock_of(
        &self,
        place: &str,
        key: &str,
        version: Option<&str>,
    ) -> Result<Option<(LockMode, i64)>> {
        let mut query = vec![("retention", "")];
        query.extend(version.map(|version| ("versionId", version)));
        let ask = Ask::new(Method::GET, key, &query);
        let context = format!("look at the lock of {key}");
        const NONE: &str = "NoSuchObjectLockConfiguration";
        let answer = match self.send(place, &context, ask).await {
            Ok(answer) if code(&answer).is_some_and(|code| code == NONE) => return Ok(None),
            // Servers differ in the status.
            Err(said) if said.code == NONE => return Ok(None),
            said => found(said.map_err(|said| said.error)?, key)?,
        };
        let text = String::from_utf8_lossy(&answer.body);
        let told = super::connector::between(&text, "<RetainUntilDate>", "</RetainUntilDate>");
        let until = told.and_then(|told| told.parse::<jiff::Timestamp>().ok());
        let mode = match text.contains("<Mode>GOVERNANCE</Mode>") {
            true => LockMode::Governance,
            false => LockMode::Compliance,
        };
        Ok(until.map(|until| (mode, until.as_second())))
    }

    /// The bytes of one version, if they are no more than that.
    pub(super) async fn read(
        &self,
        place: &str,
        key: &str,
        version: &str,
        largest: u64,
    ) -> Result<Bytes> {
        let query = [("versionId", version)];
        let mut ask = Ask::new(Method::GET, key, &query);
        ask.most = Most::Whole(largest);
        let context = format!("read a version of {key}");
        let answer = self.send(place, &context, ask).await;
        Ok(found(answer.map_err(|said| said.error)?, key)?.body)
    }

    /// Whether the bucket was made for it.
    pub(super) async fn possible(&self, place: &str) -> Result<()> {
        let no = |reason: &str| {
            Err(StoreError::NoLock {
                place: place.to_owned(),
                reason: reason.to_owned(),
            })
        };
        let without = "the bucket has no Object Lock, which it can only be given when it is made, as by `aws s3api create-bucket --object-lock-enabled-for-bucket --bucket NAME`";
        let ask = Ask::new(Method::GET, "", &[("object-lock", "")]);
        match self.send(place, "ask for Object Lock", ask).await {
            Ok(answer) if answer.status.is_success() => {
                match String::from_utf8_lossy(&answer.body)
                    .contains("<ObjectLockEnabled>Enabled</ObjectLockEnabled>")
                {
                    true => Ok(()),
                    false => no(without),
                }
            }
            Ok(_) => no(without),
            Err(Said { unknown: true, .. }) => no("the server does not know Object Lock"),
            Err(said) => Err(said.error),
        }
    }

    /// All versions of what begins so, and the markers that hide them.
    pub(super) async fn versions(&self, place: &str, prefix: &str) -> Result<Vec<Version>> {
        let mut all = Vec::new();
        let mut from: (Option<String>, Option<String>) = (None, None);
        loop {
            let mut query = vec![("versions", ""), ("prefix", prefix)];
            query.extend(from.0.as_deref().map(|key| ("key-marker", key)));
            query.extend(from.1.as_deref().map(|id| ("version-id-marker", id)));
            let ask = Ask::new(Method::GET, "", &query);
            let answer = self.send(place, "list versions", ask).await;
            let answer = found(answer.map_err(|said| said.error)?, prefix)?;
            let listing: Listing =
                quick_xml::de::from_reader(&answer.body[..]).map_err(|e| StoreError::Io {
                    context: format!("read the list of versions from {place}"),
                    source: std::io::Error::other(e.to_string()),
                })?;
            all.extend(listing.versions);
            all.extend(listing.markers.into_iter().map(|marker| Version {
                marker: true,
                ..marker
            }));
            if !listing.is_truncated || listing.next_key_marker.is_none() {
                return Ok(all);
            }
            from = (listing.next_key_marker, listing.next_version_id_marker);
        }
    }

    /// Deletes one version for good; without one, hides the object.
    pub(super) async fn delete(&self, place: &str, key: &str, version: Option<&str>) -> Result<()> {
        let version = version.map(|version| ("versionId", version));
        let query: Vec<_> = version.into_iter().collect();
        let ask = Ask::new(Method::DELETE, key, &query);
        let said = self.send(place, &format!("delete {key}"), ask).await;
        said.map(drop).map_err(|said| said.error)
    }

    async fn send(&self, place: &str, context: &str, ask: Ask<'_>) -> Result<Answer, Said> {
        let own = |reason: String| StoreError::Io {
            context: context.to_owned(),
            source: std::io::Error::other(reason),
        };
        let path: Vec<String> = ask.key.split('/').map(encoded).collect();
        let query: Vec<String> = ask
            .query
            .iter()
            .map(|(name, value)| format!("{name}={}", encoded(value)))
            .collect();
        let mut url = self.bucket.clone();
        if !ask.key.is_empty() {
            url = format!("{url}/{}", path.join("/"));
        }
        if !query.is_empty() {
            url = format!("{url}?{}", query.join("&"));
        }
        let credential = self.credentials.get_credential().await;
        let credential = credential.map_err(|e| error::said(place, context, e))?;
        let mut request = http::Request::new(ask.body.into());
        *request.method_mut() = ask.method;
        *request.uri_mut() = url.parse().map_err(|_| own("no such URL".to_owned()))?;
        *request.headers_mut() = ask.headers;
        AwsAuthorizer::new(&credential, "s3", &self.region)
            .try_authorize(&mut request, None)
            .map_err(|e| own(e.to_string()))?;
        let (parts, body) = request.into_parts();
        let url = Url::parse(&url).map_err(|_| own("no such URL".to_owned()))?;
        let body = body.as_bytes().cloned().unwrap_or_default();
        let answer = self
            .http
            .exchange(parts.method, url, parts.headers, body, ask.most);
        let answer = answer.await.map_err(|e| e.at(place))?;
        match refusal(&answer) {
            None => Ok(answer),
            Some(refusal) => Err(Said {
                unknown: refusal.is_unknown(),
                code: refusal.code.clone(),
                error: error::refused(place, context, &refusal),
            }),
        }
    }
}

/// Why a request was not carried out.
struct Said {
    /// The server does not know such requests.
    unknown: bool,
    /// Its own word.
    code: String,
    error: StoreError,
}

impl From<StoreError> for Said {
    fn from(error: StoreError) -> Self {
        Self {
            unknown: false,
            code: String::new(),
            error,
        }
    }
}

/// What passed as no refusal may still say that there is nothing.
fn found(answer: Answer, key: &str) -> Result<Answer> {
    match answer.status.is_success() {
        true => Ok(answer),
        false => Err(StoreError::NotFound(key.to_owned())),
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

fn date(seconds: i64) -> String {
    let at = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_markers_may_stand_in_any_order() {
        let xml = r#"<?xml version="1.0" encoding="UTF-8"?><ListVersionsResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
            <Name>b</Name><IsTruncated>true</IsTruncated><NextKeyMarker>z</NextKeyMarker>
            <DeleteMarker><Key>a&amp;b</Key><VersionId>3</VersionId><IsLatest>true</IsLatest></DeleteMarker>
            <Version><Key>a&amp;b</Key><VersionId>2</VersionId><IsLatest>false</IsLatest><Size>3</Size></Version>
            <DeleteMarker><Key>c</Key><VersionId>1</VersionId><IsLatest>true</IsLatest></DeleteMarker>
        </ListVersionsResult>"#;
        let listing: Listing = quick_xml::de::from_str(xml).unwrap();
        assert_eq!((listing.versions.len(), listing.markers.len()), (1, 2));
        assert_eq!(listing.versions[0].key, "a&b");
        assert!(listing.markers[0].is_latest && !listing.versions[0].is_latest);
        assert_eq!(listing.next_key_marker.as_deref(), Some("z"));
        let nothing = "<ListVersionsResult><IsTruncated>false</IsTruncated></ListVersionsResult>";
        let listing: Listing = quick_xml::de::from_str(nothing).unwrap();
        assert!(listing.versions.is_empty());
    }

    #[test]
    fn dates_are_whole_seconds() {
        assert_eq!(date(1_795_407_289), "2026-11-23T04:14:49Z");
    }
}
