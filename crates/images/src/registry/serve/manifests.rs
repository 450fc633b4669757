//! `GET` and `HEAD /v2/<name>/manifests/<tag or digest>`.

use std::io::Read;

use hyper::{StatusCode, header};

use super::{
    Server,
    answer::{Answer, CONTENT_DIGEST, Refusal, whole},
};
use crate::{
    Digest,
    registry::{Shelved, is_tag},
};

/// Larger ones no registry takes; so much is read into memory.
const MAX_MANIFEST: u64 = 16 << 20;
const DEFAULT_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

/// A manifest, hashed before it is sent.
pub fn get(server: &Server, found: &Shelved, reference: &str) -> Result<Answer, Refusal> {
    let unknown = || Refusal::manifest_unknown(reference);
    let digest: Digest = if is_tag(reference) {
        found.repository.tags.get(reference).cloned()
    } else {
        reference.parse().ok()
    }
    .ok_or_else(unknown)?;
    let record = found
        .repository
        .manifests
        .get(&digest)
        .ok_or_else(unknown)?;
    let blob = server.shelf.blob(found, &digest)?.ok_or_else(unknown)?;
    if blob.size > MAX_MANIFEST {
        tracing::warn!("manifest {digest} has {} bytes: refused", blob.size);
        return Err(Refusal::failed());
    }
    let mut bytes = Vec::with_capacity(usize::try_from(blob.size).unwrap_or_default());
    blob.content
        .take(MAX_MANIFEST + 1)
        .read_to_end(&mut bytes)?;
    if Digest::of_as(digest.algorithm(), &bytes) != digest {
        tracing::warn!(
            "manifest {digest} is damaged: it is not sent; `lifeboat check --read-data` says more"
        );
        return Err(Refusal::failed());
    }
    let text = digest.to_string();
    let media_type = match record.media_type.as_str() {
        "" => DEFAULT_TYPE,
        media_type => media_type,
    };
    let headers = [
        (header::CONTENT_TYPE, media_type),
        (CONTENT_DIGEST, text.as_str()),
        (header::ETAG, &format!("\"{digest}\"")),
    ];
    Ok(whole(StatusCode::OK, &headers, bytes))
}
