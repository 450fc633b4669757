//! Names of images as engines have them, in full: `busybox:1` is `library/busybox` of `docker.io`.

use super::{
    client::{Address, DOCKER_HUB},
    is_repository, is_tag,
};
use crate::Digest;

/// The name of an image: where it comes from, and which one it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageReference {
    /// The registry: `docker.io`, `registry.example:5000`.
    pub host: String,
    /// The repository.
    pub repository: String,
    /// Its tag, if it is named by one.
    pub tag: Option<String>,
    /// Its digest, if it is named by one.
    pub digest: Option<Digest>,
}

impl ImageReference {
    /// Reads `name`, `name:tag`, `name@digest`. `None` if it is no name, or only an id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (name, digest) = match text.split_once('@') {
            None => (text, None),
            Some((name, digest)) => (name, Some(digest.parse().ok()?)),
        };
        let (name, tag) = match name.rsplit_once(':') {
            // A colon before a slash is a port.
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (name, None),
        };
        let (host, repository) = match name.split_once('/') {
            Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
            _ => (DOCKER_HUB, name),
        };
        let host = registry_name(host);
        let repository = if host == DOCKER_HUB && !repository.contains('/') {
            format!("library/{repository}")
        } else {
            repository.to_owned()
        };
        let is_one =
            host.parse::<Address>().is_ok() && is_repository(&repository) && tag.is_none_or(is_tag);
        is_one.then(|| Self {
            host,
            repository,
            tag: tag.map(str::to_owned),
            digest,
        })
    }
}

/// A registry's name, the same however it is written: lower case, and Docker's own by the one name.
#[must_use]
pub fn registry_name(host: &str) -> String {
    match host.to_ascii_lowercase().as_str() {
        "docker.io" | "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => {
            DOCKER_HUB.to_owned()
        }
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_full() {
        let digest = Digest::of(b"x");
        for (text, host, repository, tag) in [
            ("busybox", "docker.io", "library/busybox", None),
            ("busybox:1", "docker.io", "library/busybox", Some("1")),
            (
                "docker.io/busybox:1",
                "docker.io",
                "library/busybox",
                Some("1"),
            ),
            ("index.docker.io/a/b", "docker.io", "a/b", None),
            ("team/app:1", "docker.io", "team/app", Some("1")),
            ("localhost/app", "localhost", "app", None),
            ("localhost:5000/app:2", "localhost:5000", "app", Some("2")),
            (
                "Registry.Example/a/b:3",
                "registry.example",
                "a/b",
                Some("3"),
            ),
        ] {
            let wanted = ImageReference {
                host: host.to_owned(),
                repository: repository.to_owned(),
                tag: tag.map(str::to_owned),
                digest: None,
            };
            assert_eq!(ImageReference::parse(text), Some(wanted.clone()), "{text}");
            let with = format!("{text}@{digest}");
            let digest = Some(digest.clone());
            assert_eq!(
                ImageReference::parse(&with),
                Some(ImageReference { digest, ..wanted }),
                "{with}"
            );
        }
        for none in [
            "",
            "<none>:<none>",
            "<none>@<none>",
            "A:1",
            "a:",
            "../a:1",
            "a/../b",
            "a@x",
        ] {
            assert_eq!(ImageReference::parse(none), None, "{none}");
        }
    }
}
