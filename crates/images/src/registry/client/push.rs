//! Writing: blobs, then manifests. What is there already is not sent again.

use std::io::Read;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use reqwest::{Method, Response, Url};

use super::{RegistryClient, exchange::Ask};
use crate::{Algorithm, Digest, Error, Result};

/// Sent at once.
const PIECE: usize = 8 << 20;
/// How often an upload is begun anew that broke off.
const TRIES: u32 = 4;

/// Gives a blob's bytes from its beginning, each time it is called.
pub type Open<'a> = dyn FnMut() -> std::io::Result<Box<dyn Read + 'a>> + 'a;

impl RegistryClient {
    /// Sends a blob, unless it is there; `true` if it was sent. `elsewhere` is a repository of the same registry that has
    /// it already: it is mounted from there, where the registry does that.
    ///
    /// # Errors
    /// The registry does not take it, or the bytes cannot be read.
    pub fn push_blob(
        &self,
        repository: &str,
        digest: &Digest,
        elsewhere: Option<&str>,
        open: &mut Open<'_>,
    ) -> Result<bool> {
        if self.has_blob(repository, digest)? {
            return Ok(false);
        }
        let what = format!("the blob {digest} into {repository}");
        let mut tries = 0;
        loop {
            tries += 1;
            match self.upload(repository, digest, elsewhere, &what, open) {
                Err(Error::Unreachable { .. } | Error::BadAnswer { .. }) if tries < TRIES => {
                    tracing::info!(%digest, repository, tries, "an upload broke off and is begun anew");
                }
                done => return done,
            }
        }
    }

    fn upload(
        &self,
        repository: &str,
        digest: &Digest,
        elsewhere: Option<&str>,
        what: &str,
        open: &mut Open<'_>,
    ) -> Result<bool> {
        let mut scope = push_scope(repository);
        let hex = digest.to_string();
        let mut query = Vec::new();
        if let Some(from) = elsewhere {
            query = vec![("mount", hex.as_str()), ("from", from)];
            scope = format!("{scope} repository:{from}:pull");
        }
        let url = self.url(&format!("v2/{repository}/blobs/uploads/"), &query)?;
        let answer = self.wait(self.send(Ask::new(Method::POST, url, &scope, what)))?;
        match answer.status() {
            StatusCode::CREATED if elsewhere.is_some() => return Ok(false),
            StatusCode::ACCEPTED => {}
            status => return Err(self.status(what, status)),
        }
        let mut place = self.place(&answer, what)?;
        let mut source = open().map_err(Error::io(format!("read {what}")))?;
        let mut sent = 0_u64;
        loop {
            let mut piece = Vec::with_capacity(PIECE);
            let read = source.by_ref().take(PIECE as u64).read_to_end(&mut piece);
            let read = read.map_err(Error::io(format!("read {what}")))? as u64;
            if read == 0 {
                break;
            }
            let range = format!("{sent}-{}", sent + read - 1);
            let ask = Ask {
                body: Bytes::from(piece),
                ..Ask::new(Method::PATCH, place, &scope, what)
            };
            let ask = ask
                .with(header::CONTENT_TYPE, OCTETS)
                .with(header::CONTENT_RANGE, self.header(&range)?);
            let answer = self.wait(self.send(ask))?;
            if answer.status() != StatusCode::ACCEPTED {
                return Err(self.status(what, answer.status()));
            }
            place = self.place(&answer, what)?;
            sent += read;
        }
        place.query_pairs_mut().append_pair("digest", &hex);
        let ask = Ask::new(Method::PUT, place, &scope, what).with(header::CONTENT_TYPE, OCTETS);
        let answer = self.wait(self.send(ask))?;
        match answer.status() {
            StatusCode::CREATED => Ok(true),
            status => Err(self.status(what, status)),
        }
    }

    /// Puts a manifest under a tag or its digest. All that it names has to be there.
    ///
    /// # Errors
    /// The registry does not take it, or calls it by another digest.
    pub fn push_manifest(
        &self,
        repository: &str,
        reference: &str,
        media_type: &str,
        bytes: Vec<u8>,
    ) -> Result<()> {
        let what = format!("the manifest {reference} into {repository}");
        let scope = push_scope(repository);
        let wanted = reference.parse::<Digest>();
        let algorithm = wanted.map_or(Algorithm::Sha256, |digest| digest.algorithm());
        let digest = Digest::of_as(algorithm, &bytes);
        let url = self.url(&format!("v2/{repository}/manifests/{reference}"), &[])?;
        let ask = Ask {
            body: Bytes::from(bytes),
            ..Ask::new(Method::PUT, url, &scope, &what)
        };
        let kind = HeaderValue::from_str(media_type)
            .map_err(|_| self.bad_answer(&what, "its media type is none"))?;
        let answer = self.wait(self.send(ask.with(header::CONTENT_TYPE, kind)))?;
        if !matches!(answer.status(), StatusCode::CREATED | StatusCode::OK) {
            return Err(self.status(&what, answer.status()));
        }
        let named = answer.headers().get("docker-content-digest");
        match named.and_then(|named| named.to_str().ok()) {
            Some(named) if named != digest.to_string() => Err(Error::DigestMismatch {
                what: format!("{what} as {} has taken it", self.address),
                wanted: digest.to_string(),
                found: named.to_owned(),
            }),
            _ => Ok(()),
        }
    }

    /// Where an upload goes on: on the same host.
    fn place(&self, answer: &Response, what: &str) -> Result<Url> {
        let place = answer.headers().get(header::LOCATION);
        let place = place.and_then(|place| place.to_str().ok());
        let url = place.and_then(|place| self.base.join(place).ok());
        let mut url = url
            .filter(|url| url.host() == self.base.host())
            .ok_or_else(|| self.bad_answer(what, "it does not say where to send it"))?;
        // Behind a proxy that ends TLS they write http.
        if url.set_scheme(self.base.scheme()).is_err() || url.set_port(self.base.port()).is_err() {
            return Err(self.bad_answer(what, "it does not say where to send it"));
        }
        Ok(url)
    }
}

const OCTETS: HeaderValue = HeaderValue::from_static("application/octet-stream");

fn push_scope(repository: &str) -> String {
    format!("repository:{repository}:pull,push")
}
