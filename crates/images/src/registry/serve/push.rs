//! What changes the registry: uploads, manifests, deletions.
//!
//! ```text
//! POST   <name>/blobs/uploads/                 begin; ?digest= with a body: all at once; ?mount=&from=
//! PATCH  <name>/blobs/uploads/<id>             add, in order (Content-Range), or as one stream
//! PUT    <name>/blobs/uploads/<id>?digest=     end, with the last piece or none
//! GET    <name>/blobs/uploads/<id>             how much is there
//! DELETE <name>/blobs/uploads/<id>             give up
//! PUT    <name>/manifests/<tag or digest>      ?tag= more tags
//! DELETE <name>/manifests/<tag or digest>
//! DELETE <name>/blobs/<digest>
//! ```

use std::io::Read;

use hyper::{
    Method, StatusCode,
    header::{self, HeaderName},
};

use super::{
    answer::{Answer, Asked, CONTENT_DIGEST, Refusal, whole},
    route::{Route, digest_of},
};
use crate::{
    Algorithm, Digest,
    layout::MAX_JSON_BLOB,
    registry::{
        Intake, PushedManifest, Refused, fetch::manifest, is_repository, is_tag, registry_name,
    },
};

const UPLOAD_ID: HeaderName = HeaderName::from_static("docker-upload-uuid");
const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const TAG: HeaderName = HeaderName::from_static("oci-tag");
/// Tags that one push may give beside its own.
const MAX_TAGS: usize = 100;

/// Answers a request that changes something, or asks for an upload.
pub fn answer(
    intake: &dyn Intake,
    asked: &Asked,
    route: &Route<'_>,
    body: &mut dyn Read,
) -> Result<Answer, Refusal> {
    let elsewhere = asked.host.as_deref().map(registry_name);
    if elsewhere.is_some_and(|host| host != registry_name(intake.registry())) {
        let why = format!("pushes are taken for {} alone", intake.registry());
        return Err(Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "UNSUPPORTED",
            why,
        ));
    }
    let name = match route {
        Route::Upload(name, _) | Route::Manifest(name, _) | Route::Blob(name, _) => *name,
        _ => return Err(Refusal::unsupported()),
    };
    if !is_repository(name) {
        return Err(Refusal::name_invalid());
    }
    let request = Push {
        intake,
        asked,
        name,
    };
    match (&asked.method, route) {
        (&Method::POST, Route::Upload(_, "") | Route::Blob(_, "uploads")) => request.begin(body),
        (&Method::GET | &Method::HEAD, Route::Upload(_, id)) => request.state(id),
        (&Method::PATCH, Route::Upload(_, id)) => request.append(id, body),
        (&Method::PUT, Route::Upload(_, id)) => request.finish(id, body),
        (&Method::DELETE, Route::Upload(_, id)) => {
            intake.cancel(name, id)?;
            Ok(whole(StatusCode::NO_CONTENT, &[], ""))
        }
        (&Method::PUT, Route::Manifest(_, reference)) => request.manifest(reference, body),
        (&Method::DELETE, Route::Manifest(_, reference)) => {
            if is_tag(reference) {
                intake.delete_tag(name, reference)?;
            } else {
                intake.delete_manifest(name, &digest_of(reference)?)?;
            }
            Ok(whole(StatusCode::ACCEPTED, &[], ""))
        }
        (&Method::DELETE, Route::Blob(_, digest)) => {
            intake.delete_blob(name, &digest_of(digest)?)?;
            Ok(whole(StatusCode::ACCEPTED, &[], ""))
        }
        _ => Err(Refusal::unsupported()),
    }
}

struct Push<'a> {
    intake: &'a dyn Intake,
    asked: &'a Asked,
    name: &'a str,
}

impl Push<'_> {
    fn begin(&self, body: &mut dyn Read) -> Result<Answer, Refusal> {
        if let Some(digest) = self.asked.query("mount") {
            let digest = digest_of(digest)?;
            if self
                .intake
                .mount(self.name, &digest, self.asked.query("from"))?
            {
                return Ok(self.created(&digest));
            }
            // It is not there: the client sends it.
        }
        let whole_digest = self.asked.query("digest").map(digest_of).transpose()?;
        let id = self.intake.begin(self.name)?;
        let Some(digest) = whole_digest else {
            return Ok(self.accepted(StatusCode::ACCEPTED, &id, 0));
        };
        self.intake.append(self.name, &id, Some(0), body)?;
        self.intake.finish(self.name, &id, &digest)?;
        Ok(self.created(&digest))
    }

    fn state(&self, id: &str) -> Result<Answer, Refusal> {
        let size = self.intake.uploaded(self.name, id)?;
        Ok(self.accepted(StatusCode::NO_CONTENT, id, size))
    }

    fn append(&self, id: &str, body: &mut dyn Read) -> Result<Answer, Refusal> {
        match self.intake.append(self.name, id, self.from()?, body) {
            Ok(size) => Ok(self.accepted(StatusCode::ACCEPTED, id, size)),
            Err(Refused::OutOfOrder(size)) => {
                Ok(self.accepted(StatusCode::RANGE_NOT_SATISFIABLE, id, size))
            }
            Err(other) => Err(other.into()),
        }
    }

    fn finish(&self, id: &str, body: &mut dyn Read) -> Result<Answer, Refusal> {
        let digest = self.asked.query("digest").unwrap_or_default();
        let digest = digest_of(digest)?;
        match self.intake.append(self.name, id, self.from()?, body) {
            Ok(_) => {}
            Err(Refused::OutOfOrder(size)) => {
                return Ok(self.accepted(StatusCode::RANGE_NOT_SATISFIABLE, id, size));
            }
            Err(other) => return Err(other.into()),
        }
        self.intake.finish(self.name, id, &digest)?;
        Ok(self.created(&digest))
    }

    /// Where the client says that its bytes begin: `Content-Range: 0-99`, with or without `bytes`.
    fn from(&self) -> Result<Option<u64>, Refusal> {
        let Some(said) = self.asked.header(header::CONTENT_RANGE) else {
            return Ok(None);
        };
        let range = said.trim().trim_start_matches("bytes").trim_start();
        let from = range
            .split_once('-')
            .and_then(|(from, _)| from.parse().ok());
        from.map(Some).ok_or_else(|| {
            let why = "Content-Range is written FIRST-LAST";
            Refusal::new(StatusCode::BAD_REQUEST, "BLOB_UPLOAD_INVALID", why)
        })
    }

    fn accepted(&self, status: StatusCode, id: &str, size: u64) -> Answer {
        let place = format!("/v2/{}/blobs/uploads/{id}", self.name);
        // Nothing at all is written so too, by everybody.
        let range = format!("0-{}", size.saturating_sub(1));
        let headers = [
            (header::LOCATION, place.as_str()),
            (header::RANGE, range.as_str()),
            (UPLOAD_ID, id),
        ];
        whole(status, &headers, "")
    }

    fn created(&self, digest: &Digest) -> Answer {
        let place = format!("/v2/{}/blobs/{digest}", self.name);
        let digest = digest.to_string();
        let headers = [
            (header::LOCATION, place.as_str()),
            (CONTENT_DIGEST, digest.as_str()),
        ];
        whole(StatusCode::CREATED, &headers, "")
    }

    fn manifest(&self, reference: &str, body: &mut dyn Read) -> Result<Answer, Refusal> {
        let invalid = |why: &str| Refusal::new(StatusCode::BAD_REQUEST, "MANIFEST_INVALID", why);
        let named = match is_tag(reference) {
            true => None,
            false => Some(digest_of(reference)?),
        };
        let mut tags: Vec<String> = self.asked.all("tag").map(str::to_owned).collect();
        if named.is_none() {
            tags.push(reference.to_owned());
        }
        if tags.len() > MAX_TAGS || !tags.iter().all(|tag| is_tag(tag)) {
            return Err(invalid("these are no tags, or too many at once"));
        }
        let mut bytes = Vec::new();
        let mut bounded = body.take(MAX_JSON_BLOB + 1);
        bounded
            .read_to_end(&mut bytes)
            .map_err(|error| Refusal::from(Refused::BrokeOff(error)))?;
        if bytes.len() as u64 > MAX_JSON_BLOB {
            let why = format!("a manifest has at most {} MiB", MAX_JSON_BLOB >> 20);
            return Err(Refusal::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "MANIFEST_INVALID",
                why,
            ));
        }
        let algorithm = named.as_ref().map_or(Algorithm::Sha256, Digest::algorithm);
        let digest = Digest::of_as(algorithm, &bytes);
        if named.is_some_and(|named| named != digest) {
            return Err(Refused::Digest(digest).into());
        }
        let media_type = self.asked.header(header::CONTENT_TYPE).unwrap_or_default();
        let media_type = media_type.split(';').next().unwrap_or_default().trim();
        let read = manifest::read(&bytes, media_type, &[]);
        let read = read.ok_or_else(|| invalid("this is no manifest"))?;
        if let Some(odd) = read.odd.first() {
            return Err(invalid(&format!("{odd:?} in it is no digest")));
        }
        let kept_tags = tags.clone();
        let subject = read.record.subject.as_ref().map(Digest::to_string);
        let pushed = PushedManifest {
            digest: digest.clone(),
            bytes,
            record: read.record,
            foreign: read.foreign,
            tags,
        };
        self.intake.manifest(self.name, pushed)?;
        let place = format!("/v2/{}/manifests/{digest}", self.name);
        let digest = digest.to_string();
        let mut headers = vec![
            (header::LOCATION, place.as_str()),
            (CONTENT_DIGEST, digest.as_str()),
        ];
        headers.extend(subject.as_deref().map(|subject| (SUBJECT, subject)));
        headers.extend(kept_tags.iter().map(|tag| (TAG, tag.as_str())));
        Ok(whole(StatusCode::CREATED, &headers, ""))
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        let listed = |digests: &[Digest]| {
            let some: Vec<String> = digests.iter().take(8).map(Digest::to_string).collect();
            some.join(", ")
        };
        match refused {
            Refused::NoUpload => Refusal::new(
                StatusCode::NOT_FOUND,
                "BLOB_UPLOAD_UNKNOWN",
                "there is no such upload, or no more",
            ),
            Refused::NotFound => Refusal::new(
                StatusCode::NOT_FOUND,
                "MANIFEST_UNKNOWN",
                "there is no such thing",
            ),
            Refused::OutOfOrder(size) => Refusal::new(
                StatusCode::RANGE_NOT_SATISFIABLE,
                "BLOB_UPLOAD_INVALID",
                format!("the upload has {size} bytes"),
            ),
            Refused::Digest(found) => Refusal::new(
                StatusCode::BAD_REQUEST,
                "DIGEST_INVALID",
                format!("these bytes have digest {found}"),
            ),
            Refused::Missing(digests) => Refusal::new(
                StatusCode::BAD_REQUEST,
                "MANIFEST_BLOB_UNKNOWN",
                format!("what it names has to be pushed first: {}", listed(&digests)),
            ),
            Refused::Needed(why) => Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "DENIED", why),
            Refused::Full(why) => {
                Refusal::new(StatusCode::INSUFFICIENT_STORAGE, "SIZE_INVALID", why)
            }
            Refused::BrokeOff(error) => {
                tracing::debug!(%error, "a push broke off");
                Refusal::new(
                    StatusCode::BAD_REQUEST,
                    "BLOB_UPLOAD_INVALID",
                    "it broke off",
                )
            }
            Refused::Failed(error) => {
                tracing::warn!("a push was refused: {error}");
                let why = "it cannot be kept; the log of `lifeboat registry serve` says why";
                Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "UNKNOWN", why)
            }
        }
    }
}
