//! Which recovery points a command is about.

use lifeboat_plan::identity::AppIdentity;
use lifeboat_vault::{Snapshot, Snapshots, Vault, id::SnapshotId};

use crate::{RecoveryError, Result, points};

/// Points by name, or by what they are of. Empty: all of the vault.
#[derive(Debug, Clone, Default)]
pub struct PointFilter {
    /// `[[SITE/]HOST/]APP[@POINT]`, ids, `latest`: exactly these.
    pub references: Vec<String>,
    /// `[[SITE/]HOST/]APP`: all points of one of these.
    pub apps: Vec<String>,
    /// Hosts, as snapshots name them.
    pub hosts: Vec<String>,
    /// Paths that a snapshot must have, all of them.
    pub paths: Vec<String>,
    /// Tags; those of one item, with commas between them, must all be there.
    pub tags: Vec<String>,
}

impl PointFilter {
    /// The points, oldest first. A reference that leads nowhere is an error; a filter that lets none pass is not.
    /// Files that cannot be read are told apart: nobody knows whose they are.
    pub fn select(&self, vault: &Vault) -> Result<Snapshots> {
        let mut snapshots = vault.snapshots()?;
        let mut named = Vec::new();
        for reference in &self.references {
            named.push(points::resolve(vault, reference)?.0);
        }
        for app in &self.apps {
            if !snapshots.found.iter().any(|(_, s)| is_of(s, app)) {
                return Err(RecoveryError::NotFound(format!(
                    "no recovery point of `{app}` in the vault; `lifeboat points` lists what there is"
                )));
            }
        }
        let wanted = |id: &SnapshotId, snapshot: &Snapshot| {
            (named.is_empty() || named.contains(id))
                && (self.apps.is_empty() || self.apps.iter().any(|app| is_of(snapshot, app)))
                && (self.hosts.is_empty() || self.hosts.contains(&snapshot.hostname))
                && self.paths.iter().all(|path| snapshot.paths.contains(path))
                && (self.tags.is_empty() || self.tags.iter().any(|tags| has_tags(snapshot, tags)))
        };
        snapshots
            .found
            .retain(|(id, snapshot)| wanted(id, snapshot));
        Ok(snapshots)
    }
}

/// Whether it is a point of the app, or a definition of it.
fn is_of(snapshot: &Snapshot, reference: &str) -> bool {
    let paths = &snapshot.paths;
    let identity = AppIdentity::from_snapshot_paths(paths);
    let identity = identity.or_else(|| AppIdentity::from_definition_paths(paths));
    identity.is_some_and(|identity| {
        let (site, host, name) = (
            identity.site.to_string(),
            identity.host.to_string(),
            identity.name.to_string(),
        );
        reference == name
            || reference == format!("{host}/{name}")
            || reference == format!("{site}/{host}/{name}")
    })
}

fn has_tags(snapshot: &Snapshot, tags: &str) -> bool {
    tags.split(',')
        .map(str::trim)
        .filter(|tag| !tag.is_empty())
        .all(|tag| snapshot.tags.iter().any(|own| own == tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_is_named_in_three_ways() {
        let snapshot = Snapshot {
            paths: vec!["/lifeboat/berlin/web1/app/shop".to_owned()],
            tags: vec!["a".to_owned(), "b".to_owned()],
            ..Snapshot::default()
        };
        for name in ["shop", "web1/shop", "berlin/web1/shop"] {
            assert!(is_of(&snapshot, name), "{name}");
        }
        for name in ["web2/shop", "sho", "berlin/shop", "web1"] {
            assert!(!is_of(&snapshot, name), "{name}");
        }
        assert!(has_tags(&snapshot, "a") && has_tags(&snapshot, "a, b"));
        assert!(!has_tags(&snapshot, "a,c"));
    }
}
