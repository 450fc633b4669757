//! Who an app is: site, host and name. Never an engine's id, never the app's name alone.
//!
//! The identity is written into each recovery point's snapshot as its one path, so that points are
//! grouped, parents found and apps listed by anything that reads the vault, restic included.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::{AppName, HostName, SiteName};

/// The tag that every snapshot of ours carries.
pub const TAG: &str = "lifeboat";
/// The tag of a recovery point that lacks something it should hold.
pub const TAG_PARTIAL: &str = "partial";
/// Tag of a point that was made right before its app was replaced.
pub const TAG_SAFETY: &str = "safety";
/// The beginning of the tag that names the app.
pub const TAG_APP: &str = "app=";

/// The beginning of the tag that names the app whose definition it is.
pub const TAG_DEFINITION: &str = "definition=";

/// The identity of an app.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AppIdentity {
    /// Where: a place with an engine and a vault.
    pub site: SiteName,
    /// On which host: a name given once.
    pub host: HostName,
    /// Which app of that host.
    #[serde(rename = "app")]
    pub name: AppName,
}

impl AppIdentity {
    /// Joins three checked names.
    #[must_use]
    pub fn new(site: SiteName, host: HostName, name: AppName) -> Self {
        Self { site, host, name }
    }

    /// The one path of the app's snapshots: `/lifeboat/<site>/<host>/app/<name>`.
    #[must_use]
    pub fn snapshot_path(&self) -> String {
        format!("/lifeboat/{}/{}/app/{}", self.site, self.host, self.name)
    }

    /// The identity that a snapshot's path stands for; `None` if it is no app's.
    #[must_use]
    pub fn from_snapshot_path(path: &str) -> Option<Self> {
        Self::parse(path, "app")
    }

    fn parse(path: &str, kind: &str) -> Option<Self> {
        let mut parts = path.strip_prefix("/lifeboat/")?.split('/');
        let site = SiteName::new(parts.next()?).ok()?;
        let host = HostName::new(parts.next()?).ok()?;
        if parts.next()? != kind {
            return None;
        }
        let name = AppName::new(parts.next()?).ok()?;
        parts.next().is_none().then_some(Self { site, host, name })
    }

    /// The identity that a snapshot's paths stand for: exactly one path, and that one ours.
    #[must_use]
    pub fn from_snapshot_paths<P: AsRef<str>>(paths: &[P]) -> Option<Self> {
        match paths {
            [one] => Self::from_snapshot_path(one.as_ref()),
            _ => None,
        }
    }

    /// The one path of the snapshots of the app's definition: `/lifeboat/<site>/<host>/definition/<name>`. They are no
    /// points of the app, and none of the app's paths.
    #[must_use]
    pub fn definition_path(&self) -> String {
        format!(
            "/lifeboat/{}/{}/definition/{}",
            self.site, self.host, self.name
        )
    }

    /// The app whose definition a snapshot with these paths is: exactly one path, and that one a definition's.
    #[must_use]
    pub fn from_definition_paths<P: AsRef<str>>(paths: &[P]) -> Option<Self> {
        let [path] = paths else { return None };
        Self::parse(path.as_ref(), "definition")
    }

    /// The tags of a snapshot of its definition.
    #[must_use]
    pub fn definition_tags(&self) -> Vec<String> {
        tags(format!("{TAG_DEFINITION}{}", self.name), false, &[])
    }

    /// The tags of a snapshot of this app: ours first, then the user's, each once.
    #[must_use]
    pub fn snapshot_tags(&self, partial: bool, user: &[String]) -> Vec<String> {
        tags(format!("{TAG_APP}{}", self.name), partial, user)
    }
}

fn tags(whose: String, partial: bool, user: &[String]) -> Vec<String> {
    let mut tags = vec![TAG.to_owned(), whose];
    if partial {
        tags.push(TAG_PARTIAL.to_owned());
    }
    for tag in user {
        if !tag.is_empty() && !tags.contains(tag) {
            tags.push(tag.clone());
        }
    }
    tags
}

impl fmt::Display for AppIdentity {
    /// `site/host/app`, which is also a reference.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.site, self.host, self.name)
    }
}

/// The beginning of the tag that names a registry.
pub const TAG_REGISTRY: &str = "registry=";

/// The identity of a registry: as a place of this site, whoever reads it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RegistryIdentity {
    /// Where it is backed up.
    pub site: SiteName,
    /// Its address as images name it: `registry.example:5000`.
    pub registry: String,
}

impl RegistryIdentity {
    /// The one path of its snapshots: `/lifeboat/<site>/registry/<address>`.
    #[must_use]
    pub fn snapshot_path(&self) -> String {
        format!("/lifeboat/{}/registry/{}", self.site, self.registry)
    }

    /// The identity that a snapshot's paths stand for: exactly one path, and that one a registry's.
    #[must_use]
    pub fn from_snapshot_paths<P: AsRef<str>>(paths: &[P]) -> Option<Self> {
        let [path] = paths else { return None };
        let mut parts = path.as_ref().strip_prefix("/lifeboat/")?.split('/');
        let site = SiteName::new(parts.next()?).ok()?;
        if parts.next()? != "registry" {
            return None;
        }
        let registry = parts.next().filter(|name| !name.is_empty())?.to_owned();
        parts.next().is_none().then_some(Self { site, registry })
    }

    /// The tags of a snapshot of this registry: ours first, then the user's, each once.
    #[must_use]
    pub fn snapshot_tags(&self, partial: bool, user: &[String]) -> Vec<String> {
        tags(format!("{TAG_REGISTRY}{}", self.registry), partial, user)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn identity(site: &str, host: &str, app: &str) -> AppIdentity {
        AppIdentity::new(
            site.parse().unwrap(),
            host.parse().unwrap(),
            app.parse().unwrap(),
        )
    }

    #[test]
    fn the_path_is_as_the_format_says() {
        let shop = identity("default", "web01", "shop");
        assert_eq!(shop.snapshot_path(), "/lifeboat/default/web01/app/shop");
        assert_eq!(
            AppIdentity::from_snapshot_path("/lifeboat/default/web01/app/shop"),
            Some(shop.clone())
        );
        assert_eq!(
            shop.snapshot_tags(true, &["x".into(), "x".into(), "lifeboat".into()]),
            ["lifeboat", "app=shop", "partial", "x"]
        );
        assert_eq!(shop.to_string(), "default/web01/shop");
    }

    #[test]
    fn definitions_are_told_from_points() {
        let shop = identity("default", "web01", "shop");
        let path = shop.definition_path();
        assert_eq!(path, "/lifeboat/default/web01/definition/shop");
        assert_eq!(AppIdentity::from_snapshot_path(&path), None);
        assert_eq!(
            AppIdentity::from_definition_paths(&[path.as_str()]),
            Some(shop.clone())
        );
        assert_eq!(shop.definition_tags(), ["lifeboat", "definition=shop"]);
        let point = [shop.snapshot_path()];
        assert_eq!(AppIdentity::from_definition_paths(&point), None);
        let two = [path.as_str(), "/x"];
        assert_eq!(AppIdentity::from_definition_paths(&two), None);
    }

    #[test]
    fn registries_are_told_from_apps() {
        let registry = RegistryIdentity {
            site: SiteName::default(),
            registry: "registry.example:5000".to_owned(),
        };
        let path = registry.snapshot_path();
        assert_eq!(path, "/lifeboat/default/registry/registry.example:5000");
        assert_eq!(AppIdentity::from_snapshot_path(&path), None);
        assert_eq!(
            registry.snapshot_tags(false, &["x".into()]),
            ["lifeboat", "registry=registry.example:5000", "x"]
        );
        assert_eq!(
            RegistryIdentity::from_snapshot_paths(&[path]),
            Some(registry)
        );
        for other in [
            "/lifeboat/default/registry/app/shop",
            "/lifeboat/default/registry/",
            "/lifeboat/default/registry",
            "/srv",
        ] {
            assert_eq!(RegistryIdentity::from_snapshot_paths(&[other]), None);
        }
    }

    #[test]
    fn other_paths_are_nobody() {
        for other in [
            "/srv/data",
            "/lifeboat/default/web01/host",
            "/lifeboat/default/web01/app",
            "/lifeboat/default/web01/app/",
            "/lifeboat/default/web01/app/a/b",
            "/lifeboat/default/web01/definition/shop",
            "/lifeboat/../web01/app/shop",
            "lifeboat/default/web01/app/shop",
        ] {
            assert_eq!(AppIdentity::from_snapshot_path(other), None, "{other}");
        }
        assert_eq!(
            AppIdentity::from_snapshot_paths(&["/lifeboat/a/b/app/c", "/x"]),
            None
        );
        assert_eq!(AppIdentity::from_snapshot_paths::<&str>(&[]), None);
    }

    proptest! {
        #[test]
        fn paths_come_back(site in "[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", host in "[A-Za-z0-9][A-Za-z0-9_.-]{0,80}",
                           app in "[A-Za-z0-9][A-Za-z0-9_.-]{0,80}") {
            let x = identity(&site, &host, &app);
            prop_assert_eq!(AppIdentity::from_snapshot_path(&x.snapshot_path()), Some(x));
        }

        #[test]
        fn volumes_of_any_name_come_back(volume in "[^\\p{Cc}]{1,60}") {
            let name = AppName::of_volume(&volume).unwrap();
            let x = AppIdentity::new(SiteName::default(), "h".parse().unwrap(), name);
            let back = AppIdentity::from_snapshot_path(&x.snapshot_path()).unwrap();
            prop_assert_eq!(back.name.volume(), Some(volume));
            prop_assert_eq!(back, x);
        }

        #[test]
        fn no_path_makes_it_panic(path in ".{0,80}") {
            if let Some(x) = AppIdentity::from_snapshot_path(&path) {
                prop_assert_eq!(x.snapshot_path(), path);
            }
        }
    }
}
