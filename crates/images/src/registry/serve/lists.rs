//! `tags/list`, `_catalog` and `referrers/<digest>`.

use hyper::{StatusCode, header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::{
    Server,
    answer::{Answer, Asked, FILTERS_APPLIED, JSON, Refusal, whole},
};
use crate::{Digest, registry::Shelved};

/// Names on a page, where the client wants more or does not say.
const MAX_PAGE: usize = 10_000;
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// The tags of a repository.
pub fn tags(found: &Shelved, asked: &Asked, name: &str) -> Result<Answer, Refusal> {
    let tags: Vec<&str> = found.repository.tags.keys().map(String::as_str).collect();
    let (page, next) = page(&tags, asked)?;
    Ok(listed(asked, &json!({"name": name, "tags": page}), next))
}

/// All repositories.
pub fn catalog(server: &Server, asked: &Asked) -> Result<Answer, Refusal> {
    let names = server.shelf.repositories(asked.host.as_deref())?;
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (page, next) = page(&names, asked)?;
    Ok(listed(asked, &json!({"repositories": page}), next))
}

/// What refers to a manifest.
pub fn referrers(found: Option<&Shelved>, subject: &Digest, asked: &Asked) -> Answer {
    let wanted = asked.query("artifactType").filter(|kind| !kind.is_empty());
    let all = found
        .iter()
        .flat_map(|found| found.repository.referrers(subject));
    let fits = |kind: &Option<String>| wanted.is_none_or(|wanted| kind.as_deref() == Some(wanted));
    let manifests: Vec<Value> = all
        .filter(|(_, manifest)| fits(&manifest.artifact_type))
        .map(|(digest, manifest)| {
            let mut entry = json!({
                "mediaType": manifest.media_type,
                "digest": digest,
                "size": manifest.size,
            });
            if let Some(kind) = &manifest.artifact_type {
                entry["artifactType"] = json!(kind);
            }
            if !manifest.annotations.is_empty() {
                entry["annotations"] = json!(manifest.annotations);
            }
            entry
        })
        .collect();
    let list = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests});
    let mut headers = vec![(header::CONTENT_TYPE, INDEX)];
    if wanted.is_some() {
        headers.push((FILTERS_APPLIED, "artifactType"));
    }
    whole(StatusCode::OK, &headers, list.to_string())
}

/// The names after `last`, at most `n`, and after which one the next page begins. Names are sorted.
fn page<'n>(
    names: &'n [&'n str],
    asked: &Asked,
) -> Result<(&'n [&'n str], Option<&'n str>), Refusal> {
    let most = match asked.query("n") {
        None => MAX_PAGE,
        Some(n) => n.parse::<usize>().map(|n| n.min(MAX_PAGE)).map_err(|_| {
            let why = "`n` is no number";
            Refusal::new(StatusCode::BAD_REQUEST, "PAGINATION_NUMBER_INVALID", why)
        })?,
    };
    let last = asked.query("last").unwrap_or_default();
    let from = names.partition_point(|name| *name <= last && !last.is_empty());
    let rest = &names[from..];
    let page = &rest[..most.min(rest.len())];
    let next = page.last().copied().filter(|_| page.len() < rest.len());
    Ok((page, next))
}

fn listed(asked: &Asked, body: &Value, next: Option<&str>) -> Answer {
    let mut headers = vec![(header::CONTENT_TYPE, JSON)];
    let link = next.map(|last| {
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let mut link = format!("<{}?last={}", asked.path, encoded(last));
        for key in ["n", "ns"] {
            if let Some(value) = asked.query(key) {
                link.push_str(&format!("&{key}={}", encoded(value)));
            }
        }
        link + ">; rel=\"next\""
    });
    if let Some(link) = &link {
        headers.push((header::LINK, link));
    }
    whole(StatusCode::OK, &headers, body.to_string())
}
