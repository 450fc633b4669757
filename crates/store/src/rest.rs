//! A server of restic's REST protocol: rest-server, `rclone serve restic`, or a site of Lifeboat's.
//!
//! The server makes an object durable before it answers (rest-server syncs file and folder). It may refuse
//! a name that is not the hash of its content, and everything but locks to be deleted.
//!
//! rest-server refuses to replace, with 403; rclone replaces: `probe::Exclusive` finds out which.
//!
//! What a crash leaves: nothing of ours; an upload that was cut off is the server's to forget.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, LAST_MODIFIED, RANGE},
};
use reqwest::Url;

use crate::{
    Access, Area, Capabilities, ExposeSecret, ObjectInfo, ObjectName, Place, Result, SecretString,
    Store, StoreError,
    http::{Answer, Http, Most, NoAnswer, Waiter},
    place::refused,
    probe::{self, Exclusive, Raw},
};

/// The second version of listings, with sizes.
const V2: &str = "application/vnd.x.restic.rest.v2";

/// What is answered where nothing is read but whether it was done.
const A_WORD: Most = Most::Whole(1 << 20);

/// A vault behind a REST server.
pub struct RestStore {
    place: Place,
    url: Url,
    authorization: Option<HeaderValue>,
    http: Http,
    waiter: Waiter,
    exclusive: Exclusive,
}

impl RestStore {
    /// A vault at a URL; user and password are those of the URL, else those of `access`.
    pub(crate) fn new(place: &Place, access: &Access) -> Result<Self> {
        let Place::Rest {
            url,
            user,
            password,
        } = place
        else {
            return Err(refused("it is no REST server"));
        };
        let (user, password) = match user {
            Some(user) => (
                Some(user),
                password.as_ref().or(access.rest.password.as_ref()),
            ),
            None => (access.rest.user.as_ref(), access.rest.password.as_ref()),
        };
        Ok(Self {
            place: place.clone(),
            url: url.clone(),
            authorization: user.map(|user| basic(user, password)).transpose()?,
            http: Http::new(url, access)?,
            waiter: Waiter::new()?,
            exclusive: Exclusive::default(),
        })
    }

    fn ask(&self, method: Method, path: &str, headers: HeaderMap, body: Bytes) -> Result<Answer> {
        let answer = self.ask_for(method, path, headers, body, A_WORD)?;
        answer.map_err(|e| e.at(&self.location()))
    }

    fn ask_for(
        &self,
        method: Method,
        path: &str,
        mut headers: HeaderMap,
        body: Bytes,
        most: Most,
    ) -> Result<Result<Answer, NoAnswer>> {
        let url = self
            .url
            .join(path)
            .map_err(|_| refused("the URL of the REST server has no path"))?;
        if let Some(value) = &self.authorization {
            headers.insert(AUTHORIZATION, value.clone());
        }
        let answer = self.http.exchange(method, url, headers, body, most);
        Ok(self.waiter.wait(answer))
    }

    fn head(&self, name: &ObjectName) -> Result<Option<u64>> {
        let answer = self.ask(
            Method::HEAD,
            &name.to_string(),
            HeaderMap::new(),
            Bytes::new(),
        )?;
        match answer.status {
            StatusCode::OK => {
                let length = answer.headers.get(CONTENT_LENGTH);
                let length = length.and_then(|v| v.to_str().ok()?.parse().ok());
                length
                    .map(Some)
                    .ok_or_else(|| self.odd(&format!("it does not say how large {name} is")))
            }
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(self.error(&format!("look at {name}"), &answer)),
        }
    }

    fn odd(&self, reason: &str) -> StoreError {
        StoreError::Io {
            context: format!("talk to {}", self.location()),
            source: std::io::Error::other(reason.to_owned()),
        }
    }

    /// What a status means that is not the one that was hoped for.
    fn error(&self, context: &str, answer: &Answer) -> StoreError {
        let place = self.location();
        let status = answer.status;
        match status {
            StatusCode::UNAUTHORIZED => StoreError::Denied {
                place,
                reason: match self.authorization {
                    Some(_) => "the server does not take this user name and password",
                    None => "the server asks for a user name and a password; set RESTIC_REST_USERNAME and RESTIC_REST_PASSWORD",
                }
                .to_owned(),
            },
            StatusCode::FORBIDDEN => StoreError::Denied {
                place,
                reason: format!("the server refused to {context}"),
            },
            StatusCode::PAYLOAD_TOO_LARGE | StatusCode::INSUFFICIENT_STORAGE => {
                StoreError::Full { place }
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
                StoreError::Unreachable {
                    place,
                    reason: format!("it said {status}"),
                }
            }
            status if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED => {
                StoreError::Unreachable {
                    place,
                    reason: format!("it said {status}"),
                }
            }
            status if status.is_redirection() => {
                self.odd("it sends us elsewhere; give the place itself")
            }
            _ => self.odd(&format!(
                "it said {status} when it was asked to {context}; is this a restic REST server?"
            )),
        }
    }

    fn read(&self, name: &ObjectName, range: Option<(u64, usize)>) -> Result<Answer> {
        let mut headers = HeaderMap::new();
        let mut most = Most::Whole(name.area().largest());
        if let Some((offset, length)) = range {
            let length = length as u64;
            most = Most::Range { offset, length };
            let last = offset.saturating_add(length).saturating_sub(1);
            if let Ok(value) = HeaderValue::from_str(&format!("bytes={offset}-{last}")) {
                headers.insert(RANGE, value);
            }
        }
        let path = name.to_string();
        let answer = self.ask_for(Method::GET, &path, headers, Bytes::new(), most)?;
        let answer = answer.map_err(|e| match e {
            NoAnswer::TooLarge(_) if range.is_none() => name.too_large(self.location()),
            other => other.at(&self.location()),
        })?;
        match answer.status {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => {
                Ok(answer)
            }
            StatusCode::NOT_FOUND => Err(StoreError::NotFound(name.to_string())),
            _ => Err(self.error(&format!("read {name}"), &answer)),
        }
    }
}

impl Raw for RestStore {
    fn put_unlooked(&self, name: &ObjectName, bytes: &[u8]) -> Result<bool> {
        let mut headers = HeaderMap::new();
        let kind = HeaderValue::from_static("application/octet-stream");
        headers.insert(CONTENT_TYPE, kind);
        let body = Bytes::copy_from_slice(bytes);
        let answer = self.ask(Method::POST, &name.to_string(), headers, body)?;
        match answer.status {
            status if status.is_success() => Ok(true),
            // Both for a name that is taken and for what we may not.
            StatusCode::FORBIDDEN | StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED
                if self.head(name)?.is_some() =>
            {
                Ok(false)
            }
            _ => Err(self.error(&format!("write {name}"), &answer)),
        }
    }
}

impl Store for RestStore {
    fn location(&self) -> String {
        self.place.to_string()
    }

    fn create(&self) -> Result<()> {
        let answer = self.ask(Method::POST, "?create=true", HeaderMap::new(), Bytes::new())?;
        if answer.status.is_success() {
            Ok(())
        } else {
            Err(self.error("create a vault", &answer))
        }
    }

    fn put(&self, name: &ObjectName, bytes: &[u8]) -> Result<()> {
        self.exclusive.put(self, name, bytes)
    }

    fn get(&self, name: &ObjectName) -> Result<Vec<u8>> {
        Ok(self.read(name, None)?.body.into())
    }

    fn get_range(&self, name: &ObjectName, offset: u64, length: usize) -> Result<Vec<u8>> {
        let short = || StoreError::ShortRead {
            name: name.to_string(),
            offset,
            wanted: length,
        };
        let end = offset.checked_add(length as u64);
        // A range of nothing cannot be asked for, and one past all bounds need not be.
        if length == 0 || end.is_none() {
            let size = self.size(name)?;
            return match end.is_some_and(|end| end <= size) {
                true => Ok(Vec::new()),
                false => Err(short()),
            };
        }
        let answer = self.read(name, Some((offset, length)))?;
        let bytes = match answer.status {
            StatusCode::RANGE_NOT_SATISFIABLE => return Err(short()),
            StatusCode::PARTIAL_CONTENT => answer.body,
            // It sent the whole object.
            _ => {
                let from = usize::try_from(offset).unwrap_or(usize::MAX);
                let to = from.saturating_add(length);
                if to > answer.body.len() {
                    return Err(short());
                }
                answer.body.slice(from..to)
            }
        };
        if bytes.len() == length {
            Ok(bytes.into())
        } else {
            Err(short())
        }
    }

    fn size(&self, name: &ObjectName) -> Result<u64> {
        self.head(name)?
            .ok_or_else(|| StoreError::NotFound(name.to_string()))
    }

    /// rclone says it; rest-server does not.
    fn modified(&self, name: &ObjectName) -> Result<Option<i64>> {
        let answer = self.read(name, Some((0, 1)))?;
        Ok(answer.headers.get(LAST_MODIFIED).and_then(|value| {
            let date = jiff::fmt::rfc2822::parse(value.to_str().ok()?).ok()?;
            Some(date.timestamp().as_second())
        }))
    }

    fn list(&self, area: Area) -> Result<Vec<ObjectInfo>> {
        if area == Area::Config {
            let name = ObjectName::config();
            let size = self.head(&name)?;
            return Ok(size
                .map(|size| ObjectInfo { name, size })
                .into_iter()
                .collect());
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(V2));
        let path = format!("{}/", area.as_str());
        let most = Most::Whole(area.longest_list());
        let answer = self.ask_for(Method::GET, &path, headers, Bytes::new(), most)?;
        let answer = answer.map_err(|e| e.at(&self.location()))?;
        match answer.status {
            StatusCode::OK => {}
            // A folder that nothing was put in yet.
            StatusCode::NOT_FOUND => return Ok(Vec::new()),
            _ => return Err(self.error(&format!("list {}", area.as_str()), &answer)),
        }
        let listed = listed(area, &answer.body)
            .map_err(|why| self.odd(&format!("its list of {} {why}", area.as_str())))?;
        let mut found = Vec::with_capacity(listed.len());
        for (name, size) in listed {
            // The first version of the protocol lists names alone.
            let size = match size {
                Some(size) => Some(size),
                None => self.head(&name)?,
            };
            found.extend(size.map(|size| ObjectInfo { name, size }));
        }
        Ok(found)
    }

    fn delete(&self, name: &ObjectName) -> Result<()> {
        let answer = self.ask(
            Method::DELETE,
            &name.to_string(),
            HeaderMap::new(),
            Bytes::new(),
        )?;
        match answer.status {
            status if status.is_success() => Ok(()),
            StatusCode::NOT_FOUND => Err(StoreError::NotFound(name.to_string())),
            StatusCode::FORBIDDEN | StatusCode::METHOD_NOT_ALLOWED => Err(StoreError::Denied {
                place: self.location(),
                reason: "the server is append-only or does not let this user delete".to_owned(),
            }),
            _ => Err(self.error(&format!("delete {name}"), &answer)),
        }
    }

    fn probe(&self) -> Result<Capabilities> {
        probe::probe(self, &probe::nonce())
    }

    fn server_time(&self) -> Option<i64> {
        self.http.server_time()
    }

    /// Append-only servers refuse to delete even what is not there.
    fn may_delete(&self) -> Result<bool> {
        self.could_delete(&probe::absent(&probe::nonce())?)
    }

    fn is_remote(&self) -> bool {
        true
    }
}

#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Entry {
    WithSize { name: String, size: u64 },
    Name(String),
}

/// Both versions of a listing; what is no object's name is left out.
fn listed(area: Area, body: &[u8]) -> Result<Vec<(ObjectName, Option<u64>)>, String> {
    // Go's servers say `null` for an empty list.
    let entries: Option<Vec<Entry>> =
        serde_json::from_slice(body).map_err(|e| format!("cannot be read: {e}"))?;
    let entries = entries.unwrap_or_default().into_iter();
    Ok(entries
        .filter_map(|entry| match entry {
            Entry::WithSize { name, size } => Some((ObjectName::new(area, &name)?, Some(size))),
            Entry::Name(name) => Some((ObjectName::new(area, &name)?, None)),
        })
        .collect())
}

fn basic(user: &str, password: Option<&SecretString>) -> Result<HeaderValue> {
    let password = password.map_or("", |p| p.expose_secret());
    let pair = BASE64_STANDARD.encode(format!("{user}:{password}"));
    let mut value = HeaderValue::from_str(&format!("Basic {pair}"))
        .map_err(|_| refused("the user name cannot be sent"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// For [`crate::open()`].
pub(crate) fn open(place: &Place, access: &Access) -> Result<Arc<dyn Store>> {
    Ok(Arc::new(RestStore::new(place, access)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_listings_are_understood_and_strangers_left_out() {
        let id = "ab".repeat(32);
        let v2 = format!(r#"[{{"name":"{id}","size":7}},{{"name":"x.tmp","size":1}}]"#);
        let found = listed(Area::Data, v2.as_bytes()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].0.id(), found[0].1), (&*id, Some(7)));
        let v1 = format!(r#"["{id}","../../etc/passwd"]"#);
        let found = listed(Area::Keys, v1.as_bytes()).unwrap();
        assert_eq!((found.len(), found[0].1), (1, None));
        assert!(listed(Area::Keys, b"null").unwrap().is_empty());
        assert!(listed(Area::Keys, b"<html>").is_err());
    }
}
