//! What a manifest says, as far as a copy of it needs to know.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};

use crate::{Digest, registry::ManifestRecord};

/// OCI and Docker manifests, indexes and lists, and artifact manifests of OCI 1.1's release candidates.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Raw {
    media_type: Option<String>,
    config: Option<Link>,
    layers: Option<Vec<Link>>,
    blobs: Option<Vec<Link>>,
    manifests: Option<Vec<Link>>,
    subject: Option<Link>,
    artifact_type: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Link {
    digest: String,
    size: u64,
    media_type: Option<String>,
    platform: Option<Platform>,
    urls: Option<Vec<String>>,
}

impl Link {
    /// Registries need not have it: Windows' base layers once.
    fn is_foreign(&self) -> bool {
        let kind = self.media_type.as_deref().unwrap_or_default();
        let may_be = kind.contains("nondistributable") || kind.contains("foreign");
        may_be && self.urls.as_ref().is_some_and(|urls| !urls.is_empty())
    }
}

/// For which machines an image is: `os/architecture[/variant]`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Platform {
    os: String,
    architecture: String,
    variant: Option<String>,
}

impl std::str::FromStr for Platform {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split('/').collect();
        match parts.as_slice() {
            [os, architecture] | [os, architecture, _]
                if !os.is_empty() && !architecture.is_empty() =>
            {
                Ok(Self {
                    os: (*os).to_owned(),
                    architecture: (*architecture).to_owned(),
                    variant: parts.get(2).map(|variant| (*variant).to_owned()),
                })
            }
            _ => Err(format!(
                "{text:?} is no platform; it is written OS/ARCH or OS/ARCH/VARIANT, such as linux/arm64"
            )),
        }
    }
}

impl Platform {
    /// Whether somebody who wants `self` wants this one.
    fn takes(&self, other: &Platform) -> bool {
        let variant = self.variant.is_none() || self.variant == other.variant;
        self.os == other.os && self.architecture == other.architecture && variant
    }

    /// Attestations stand in indexes under a platform that no machine has.
    fn is_unknown(&self) -> bool {
        self.os == "unknown" || self.os.is_empty()
    }
}

/// A manifest that was read.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub record: ManifestRecord,
    /// Bytes of each blob.
    pub sizes: BTreeMap<Digest, u64>,
    /// Children that nobody wants.
    pub unwanted: Vec<Digest>,
    /// Blobs that are fetched from elsewhere.
    pub foreign: BTreeSet<Digest>,
    /// Digests that are neither SHA-256 nor SHA-512: what has one cannot be kept.
    pub odd: Vec<String>,
}

/// Reads a manifest; `None` if it is none.
pub(crate) fn read(bytes: &[u8], media_type: &str, platforms: &[Platform]) -> Option<Read> {
    let raw: Raw = serde_json::from_slice(bytes).ok()?;
    let mut read = Read::default();
    read.record.size = bytes.len() as u64;
    read.record.media_type = match raw.media_type {
        // A registry that does not know says something general.
        Some(own) if !media_type.contains("manifest") && !media_type.contains("index") => own,
        _ => media_type.to_owned(),
    };
    let artifact_type = raw
        .artifact_type
        .or_else(|| raw.config.as_ref().and_then(|c| c.media_type.clone()));
    let blobs = raw
        .config
        .into_iter()
        .chain(raw.layers.unwrap_or_default())
        .chain(raw.blobs.unwrap_or_default());
    for link in blobs {
        match link.digest.parse::<Digest>() {
            Ok(digest) => {
                if link.is_foreign() {
                    read.foreign.insert(digest.clone());
                }
                read.sizes.insert(digest.clone(), link.size);
                read.record.blobs.insert(digest);
            }
            Err(()) => read.odd.push(link.digest),
        }
    }
    for link in raw.manifests.unwrap_or_default() {
        let Ok(digest) = link.digest.parse::<Digest>() else {
            read.odd.push(link.digest);
            continue;
        };
        let platform = link.platform.unwrap_or_default();
        let is_wanted = platforms.is_empty()
            || platform.is_unknown()
            || platforms.iter().any(|wanted| wanted.takes(&platform));
        if !is_wanted {
            read.unwanted.push(digest.clone());
        }
        read.record.children.insert(digest);
    }
    if let Some(subject) = raw.subject {
        read.record.subject = subject.digest.parse().ok();
        read.record.artifact_type = artifact_type;
        read.record.annotations = raw.annotations.unwrap_or_default();
    }
    Some(read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_manifest_needs() {
        let (a, b, c) = (Digest::of(b"a"), Digest::of(b"b"), Digest::of(b"c"));
        let json = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"x/config","digest":"{a}","size":1}},"layers":[{{"digest":"{b}","size":2}},{{"digest":"sha512:00","size":3}}],
            "subject":{{"digest":"{c}"}},"annotations":{{"k":"v"}}}}"#
        );
        let read = read(
            json.as_bytes(),
            "application/vnd.oci.image.manifest.v1+json",
            &[],
        )
        .unwrap();
        assert_eq!(read.record.blobs, [a.clone(), b.clone()].into());
        assert_eq!(read.sizes, [(a, 1), (b, 2)].into());
        assert_eq!(read.odd, ["sha512:00"]);
        assert_eq!(read.record.subject, Some(c));
        assert_eq!(read.record.artifact_type.as_deref(), Some("x/config"));
        assert_eq!(read.record.annotations["k"], "v");
        assert!(super::read(b"<html>", "text/html", &[]).is_none());
    }

    #[test]
    fn platforms_are_chosen_and_attestations_kept() {
        let digests: Vec<Digest> = (0..4).map(|n| Digest::of(&[n])).collect();
        let platforms = [
            r#"{"os":"linux","architecture":"amd64"}"#,
            r#"{"os":"linux","architecture":"arm","variant":"v7"}"#,
            r#"{"os":"linux","architecture":"arm","variant":"v6"}"#,
            r#"{"os":"unknown","architecture":"unknown"}"#,
        ];
        let children: Vec<String> = digests
            .iter()
            .zip(platforms)
            .map(|(digest, platform)| {
                format!(r#"{{"digest":"{digest}","size":1,"platform":{platform}}}"#)
            })
            .collect();
        let json = format!(
            r#"{{"mediaType":"m/index","manifests":[{}]}}"#,
            children.join(",")
        );
        let unwanted = |wanted: &[&str]| {
            let wanted: Vec<Platform> = wanted.iter().map(|text| text.parse().unwrap()).collect();
            let read = read(json.as_bytes(), "application/octet-stream", &wanted).unwrap();
            assert_eq!(read.record.media_type, "m/index");
            assert_eq!(read.record.children.len(), 4);
            read.unwanted
        };
        assert_eq!(unwanted(&[]), []);
        assert_eq!(unwanted(&["linux/arm"]), digests[..1]);
        assert_eq!(unwanted(&["linux/amd64", "linux/arm/v7"]), digests[2..3]);
        for bad in ["", "linux", "/", "linux/", "a/b/c/d"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }
}
