//! Reading: lists, manifests, blobs.

use std::{collections::HashSet, io::Write};

use http::{HeaderValue, StatusCode, header};
use reqwest::{Method, Response, Url};
use serde::Deserialize;

use super::{
    RegistryClient,
    exchange::{Ask, reason},
};
use crate::{
    Algorithm, Digest, Error, Result,
    layout::MAX_JSON_BLOB,
    registry::{is_repository, is_tag},
};

/// Every media type of a manifest that we know.
const MANIFESTS: HeaderValue = HeaderValue::from_static(
    "application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.artifact.manifest.v1+json",
);
/// Names or tags in a page.
const PAGE: &str = "1000";
/// Largest page.
const LARGEST_PAGE: usize = 32 << 20;
/// More names no registry has; a list that goes on is one without an end.
const MOST_NAMES: usize = 10_000_000;
/// How often a blob is gone on with where it broke off.
const RESUMES: u32 = 8;

/// A manifest, as a registry or another manifest points to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Digest.
    pub digest: Digest,
    /// Media type.
    pub media_type: String,
    /// Bytes.
    pub size: u64,
}

/// A manifest's bytes, which have their digest.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// Digest.
    pub digest: Digest,
    /// Media type, as the registry said it.
    pub media_type: String,
    /// Untouched.
    pub bytes: Vec<u8>,
}

#[derive(Deserialize)]
struct Catalog {
    #[serde(default)]
    repositories: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Tags {
    #[serde(default)]
    tags: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Referrers {
    #[serde(default)]
    manifests: Option<Vec<Referrer>>,
}

#[derive(Deserialize)]
struct Referrer {
    digest: String,
}

impl RegistryClient {
    /// Names of all repositories.
    ///
    /// # Errors
    /// It does not answer, or does not show them: not all registries do.
    pub fn catalog(&self) -> Result<Vec<String>> {
        let url = self.url("v2/_catalog", &[("n", PAGE)])?;
        let what = "the list of its repositories";
        let pages = self.pages(url, "registry:catalog:*", what, |page| {
            let read: Catalog = serde_json::from_slice(page).ok()?;
            Some(read.repositories.unwrap_or_default())
        })?;
        let names = pages.ok_or_else(|| Error::Refused {
            registry: self.address.to_string(),
            what: what.to_owned(),
            why: "it does not show it; name them with --repo".to_owned(),
        })?;
        self.checked(what, names, is_repository)
    }

    /// Tags of a repository; `None` if there is no such repository.
    ///
    /// # Errors
    /// It does not answer, or not as a registry does.
    pub fn tags(&self, repository: &str) -> Result<Option<Vec<String>>> {
        let url = self.url(&format!("v2/{repository}/tags/list"), &[("n", PAGE)])?;
        let what = format!("the tags of {repository}");
        let pages = self.pages(url, &pull_scope(repository), &what, |page| {
            let read: Tags = serde_json::from_slice(page).ok()?;
            Some(read.tags.unwrap_or_default())
        })?;
        pages
            .map(|tags| self.checked(&what, tags, is_tag))
            .transpose()
    }

    /// What refers to a manifest; `None` where the registry has no such list (distribution 2, Docker Hub once).
    ///
    /// # Errors
    /// It does not answer, or not as a registry does.
    pub fn referrers(&self, repository: &str, digest: &Digest) -> Result<Option<Vec<Digest>>> {
        let url = self.url(&format!("v2/{repository}/referrers/{digest}"), &[])?;
        let what = format!("what refers to {digest} of {repository}");
        self.pages(url, &pull_scope(repository), &what, |page| {
            let read: Referrers = serde_json::from_slice(page).ok()?;
            let all = read.manifests.unwrap_or_default();
            // One with a digest of another kind is found by nobody else either.
            Some(all.iter().filter_map(|r| r.digest.parse().ok()).collect())
        })
    }

    /// Where a tag points now; `None` if there is no such tag.
    ///
    /// # Errors
    /// It does not answer, or not as a registry does.
    pub fn resolve(&self, repository: &str, tag: &str) -> Result<Option<Descriptor>> {
        let what = format!("{repository}:{tag}");
        let scope = pull_scope(repository);
        let url = self.url(&format!("v2/{repository}/manifests/{tag}"), &[])?;
        let ask = Ask::new(Method::HEAD, url, &scope, &what).with(header::ACCEPT, MANIFESTS);
        let answer = self.wait(self.send(ask))?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            status => return Err(self.status(&what, status)),
        }
        let named = text(&answer, "docker-content-digest");
        let size = text(&answer, header::CONTENT_LENGTH.as_str()).and_then(|n| n.parse().ok());
        if let (Some(named), Some(size)) = (named, size) {
            let digest = named.parse().map_err(|()| {
                self.bad_answer(
                    &what,
                    format!("it has digest {named:?}, which is neither SHA-256 nor SHA-512"),
                )
            })?;
            return Ok(Some(Descriptor {
                digest,
                media_type: media_type(&answer),
                size,
            }));
        }
        // Old registries do not say it: what it is says it.
        Ok(self.manifest(repository, tag)?.map(|pulled| Descriptor {
            digest: pulled.digest,
            media_type: pulled.media_type,
            size: pulled.bytes.len() as u64,
        }))
    }

    /// A manifest by digest or tag; `None` if there is none.
    ///
    /// # Errors
    /// It does not answer, or sends what has another digest.
    pub fn manifest(&self, repository: &str, reference: &str) -> Result<Option<Pulled>> {
        let what = format!("the manifest {reference} of {repository}");
        let scope = pull_scope(repository);
        let url = self.url(&format!("v2/{repository}/manifests/{reference}"), &[])?;
        let work = async {
            let ask = Ask::new(Method::GET, url, &scope, &what).with(header::ACCEPT, MANIFESTS);
            let answer = self.send(ask).await?;
            match answer.status() {
                StatusCode::OK => {}
                StatusCode::NOT_FOUND => return Ok(None),
                status => return Err(self.status(&what, status)),
            }
            let media_type = media_type(&answer);
            let bytes = self.body(&what, answer, MAX_JSON_BLOB as usize).await?;
            let wanted = reference.parse::<Digest>().ok();
            let algorithm = wanted.as_ref().map_or(Algorithm::Sha256, Digest::algorithm);
            let digest = Digest::of_as(algorithm, &bytes);
            if wanted.is_some_and(|wanted| wanted != digest) {
                return Err(Error::DigestMismatch {
                    what: format!("what {} sends for {what}", self.address),
                    wanted: reference.to_owned(),
                    found: digest.to_string(),
                });
            }
            Ok(Some(Pulled {
                digest,
                media_type,
                bytes: bytes.to_vec(),
            }))
        };
        self.wait(work)
    }

    /// Whether it has a blob.
    ///
    /// # Errors
    /// It does not answer, or not as a registry does.
    pub fn has_blob(&self, repository: &str, digest: &Digest) -> Result<bool> {
        let what = format!("the blob {digest} of {repository}");
        let scope = pull_scope(repository);
        let url = self.url(&format!("v2/{repository}/blobs/{digest}"), &[])?;
        let answer = self.wait(self.send(Ask::new(Method::HEAD, url, &scope, &what)))?;
        match answer.status() {
            StatusCode::OK => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            status => Err(self.status(&what, status)),
        }
    }

    /// Writes a blob to `sink`; `false` if there is none. It has the digest and the size, or it is an error; where a
    /// connection breaks off, the rest is asked for.
    ///
    /// # Errors
    /// It does not answer, sends something else, or the sink takes nothing.
    pub fn blob(
        &self,
        repository: &str,
        digest: &Digest,
        size: u64,
        sink: &mut dyn Write,
    ) -> Result<bool> {
        let what = format!("the blob {digest} of {repository}");
        let scope = pull_scope(repository);
        let url = self.url(&format!("v2/{repository}/blobs/{digest}"), &[])?;
        let work = async {
            let mut hasher = digest.algorithm().hasher();
            let mut have = 0_u64;
            let mut resumes = 0;
            loop {
                let mut ask = Ask::new(Method::GET, url.clone(), &scope, &what);
                if have > 0 {
                    let range = format!("bytes={have}-");
                    ask = ask.with(header::RANGE, self.header(&range)?);
                }
                let answer = self.send(ask).await?;
                let mut skip = match answer.status() {
                    StatusCode::PARTIAL_CONTENT if begins_at(&answer, have) => 0,
                    // It gives no parts: what we have comes once more.
                    StatusCode::OK => have,
                    StatusCode::NOT_FOUND if have == 0 => return Ok(false),
                    status => return Err(self.status(&what, status)),
                };
                let broke_off = self
                    .take(answer, &mut skip, &mut |piece| {
                        have += piece.len() as u64;
                        if have > size {
                            let why =
                                format!("it is longer than the {size} bytes that it should have");
                            return Err(self.bad_answer(&what, why));
                        }
                        hasher.update(piece);
                        sink.write_all(piece)
                            .map_err(Error::io(format!("keep {what}")))
                    })
                    .await?;
                match broke_off {
                    None => break,
                    Some(why) if resumes >= RESUMES => return Err(self.unreachable(why)),
                    Some(why) => {
                        resumes += 1;
                        tracing::info!(%why, have, "a blob broke off and is gone on with");
                    }
                }
            }
            let found = hasher.finish();
            if found != *digest {
                return Err(Error::DigestMismatch {
                    what: format!("what {} sends for {what}", self.address),
                    wanted: digest.to_string(),
                    found: found.to_string(),
                });
            }
            Ok(true)
        };
        self.wait(work)
    }

    /// Passes a body on; `Some(why)` if it broke off.
    async fn take(
        &self,
        mut answer: Response,
        skip: &mut u64,
        sink: &mut dyn FnMut(&[u8]) -> Result<()>,
    ) -> Result<Option<String>> {
        loop {
            match answer.chunk().await {
                Ok(Some(piece)) => {
                    let known = usize::try_from(*skip)
                        .unwrap_or(usize::MAX)
                        .min(piece.len());
                    *skip -= known as u64;
                    let fresh = piece.get(known..).unwrap_or_default();
                    if !fresh.is_empty() {
                        sink(fresh)?;
                    }
                }
                Ok(None) => return Ok(None),
                Err(e) => return Ok(Some(reason(e))),
            }
        }
    }

    /// A list over all of its pages; `None` if there is no such list.
    fn pages<T>(
        &self,
        first: Url,
        scope: &str,
        what: &str,
        read: impl Fn(&[u8]) -> Option<Vec<T>>,
    ) -> Result<Option<Vec<T>>> {
        let work = async {
            let mut all = Vec::new();
            let mut seen = HashSet::new();
            let mut next = Some(first);
            while let Some(url) = next {
                if !seen.insert(url.clone()) || all.len() > MOST_NAMES {
                    return Err(self.bad_answer(what, "it does not end"));
                }
                let answer = self
                    .send(Ask::new(Method::GET, url.clone(), scope, what))
                    .await?;
                match answer.status() {
                    StatusCode::OK => {}
                    StatusCode::NOT_FOUND => return Ok(None),
                    status => return Err(self.status(what, status)),
                }
                next = self.next_page(&url, &answer, what)?;
                let page = self.body(what, answer, LARGEST_PAGE).await?;
                let part = read(&page).ok_or_else(|| self.bad_answer(what, "it is no list"))?;
                all.extend(part);
            }
            Ok(Some(all))
        };
        self.wait(work)
    }

    /// `Link: <…>; rel="next"` (RFC 8288), which never leads to another host.
    fn next_page(&self, url: &Url, answer: &Response, what: &str) -> Result<Option<Url>> {
        let Some(link) = text(answer, header::LINK.as_str()) else {
            return Ok(None);
        };
        let Some((place, rest)) = link.trim_start_matches('<').split_once('>') else {
            return Ok(None);
        };
        if !rest.contains("next") {
            return Ok(None);
        }
        let next = url.join(place).ok();
        let next = next.filter(|next| next.host() == self.base.host());
        let mut next =
            next.ok_or_else(|| self.bad_answer(what, "its next page is on another host"))?;
        // Behind a proxy that ends TLS they write http.
        if next.set_scheme(self.base.scheme()).is_err() || next.set_port(self.base.port()).is_err()
        {
            return Err(self.bad_answer(what, "its next page is nowhere"));
        }
        Ok(Some(next))
    }

    fn checked(
        &self,
        what: &str,
        mut names: Vec<String>,
        is_name: fn(&str) -> bool,
    ) -> Result<Vec<String>> {
        if let Some(odd) = names.iter().find(|name| !is_name(name)) {
            return Err(self.bad_answer(what, format!("{odd:?} is no name")));
        }
        names.sort();
        names.dedup();
        Ok(names)
    }
}

/// What a token has to allow for reading.
pub(super) fn pull_scope(repository: &str) -> String {
    format!("repository:{repository}:pull")
}

fn text<'r>(answer: &'r Response, name: &str) -> Option<&'r str> {
    answer.headers().get(name)?.to_str().ok()
}

fn media_type(answer: &Response) -> String {
    let said = text(answer, header::CONTENT_TYPE.as_str()).unwrap_or_default();
    said.split(';').next().unwrap_or_default().trim().to_owned()
}

fn begins_at(answer: &Response, offset: u64) -> bool {
    let range = text(answer, header::CONTENT_RANGE.as_str());
    range.is_some_and(|range| range.starts_with(&format!("bytes {offset}-")))
}
