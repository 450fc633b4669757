//! Tags and manifests that no rule keeps go out of a registry of the vault.
//!
//! What goes is missing in a new point; earlier points have it until they are forgotten themselves. A server that takes
//! pushes for the same registry sees the new point, and what is pushed meanwhile stays.

use std::collections::BTreeMap;

use globset::{Glob, GlobSet, GlobSetBuilder};
use lifeboat_images::registry::{ImageReference, RegistryRecord, registry_name};
use lifeboat_plan::identity::{AppIdentity, TAG_PARTIAL};
use lifeboat_vault::{Snapshot, SnapshotId, Timestamp, Vault};
use serde::Serialize;

use super::{
    accept, resolve,
    retention::{Needed, Rules, Verdict, judge},
};
use crate::{Context, RecoveryError, Result, points};

/// What goes.
#[derive(Debug, Clone, Default)]
pub struct ForgetImagesOptions {
    /// The registry; nothing: the only one.
    pub registry: Option<String>,
    /// Repositories, with `*`; none: all.
    pub repositories: Vec<String>,
    /// Names of tags that stay, with `*`.
    pub keep_tags: Vec<String>,
    /// What stays beside them.
    pub rules: Rules,
    /// Only say.
    pub dry_run: bool,
}

/// What went.
#[derive(Debug, Clone, Serialize)]
pub struct ImagesForgotten {
    /// The registry.
    pub registry: String,
    /// Nothing was changed.
    pub dry_run: bool,
    /// The new point; nothing where nothing went.
    pub point: Option<String>,
    /// Each tag, and why it stays or goes.
    pub tags: Vec<Verdict>,
    /// Manifests that go.
    pub manifests: u64,
}

/// Takes out of a registry what no rule keeps.
///
/// # Errors
/// There is no such registry, what apps need cannot be read, or the vault cannot be written. Nothing is changed then.
pub fn forget(ctx: &Context, options: &ForgetImagesOptions) -> Result<ImagesForgotten> {
    let identity = resolve(&ctx.vault, options.registry.as_deref())?.identity;
    let registry = identity.registry.clone();
    if options
        .registry
        .as_ref()
        .is_some_and(|name| *name != registry)
    {
        return Err(RecoveryError::Refused(format!(
            "a recovery point never changes; name the registry, {registry}, and what goes is missing in its next point"
        )));
    }
    let chosen = globs("--repo", &options.repositories)?;
    let rules = Rules {
        tags: globs("--keep-tag", &options.keep_tags)?,
        ..options.rules.clone()
    };
    let needed = needed(&ctx.vault, &registry)?;
    let is_chosen = |name: &str| options.repositories.is_empty() || chosen.is_match(name);
    let judge = |record: &RegistryRecord| {
        if !record.repositories.keys().any(|name| is_chosen(name)) {
            let known: Vec<&str> = record.repositories.keys().map(String::as_str).collect();
            return Err(RecoveryError::NotFound(format!(
                "no repository of {registry} is called so; it has {}",
                known.join(", ")
            )));
        }
        let (tags, removal) = judge(record, &rules, &is_chosen, &needed, jiff::Timestamp::now());
        let manifests = removal.manifests();
        let removal = (!options.dry_run && !removal.is_empty()).then_some(removal);
        Ok(((tags, manifests), removal))
    };
    let folder = ctx.places.state.join("registry").join("forget");
    let vault = ctx.vault.clone();
    let done = accept::forget(vault, identity, &ctx.username, &folder, judge);
    let ((tags, manifests), point) = done?;
    Ok(ImagesForgotten {
        registry,
        dry_run: options.dry_run,
        point: point.map(|id| id.to_hex()),
        tags,
        manifests,
    })
}

fn globs(flag: &str, patterns: &[String]) -> Result<GlobSet> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        let glob = Glob::new(pattern)
            .map_err(|e| RecoveryError::Refused(format!("{flag} {pattern}: {e}")))?;
        set.add(glob);
    }
    set.build()
        .map_err(|e| RecoveryError::Refused(format!("{flag}: {e}")))
}

/// What the newest point of each app names of a registry, by repository; where that is no whole one, the newest whole one's
/// too. An app's point has its images itself; what is named here is what a compose file, or an engine that is set up
/// anew, would ask the registry for.
fn needed(vault: &Vault, registry: &str) -> Result<BTreeMap<String, Needed>> {
    let mut newest: BTreeMap<String, Vec<(Option<Timestamp>, SnapshotId, Snapshot)>> =
        BTreeMap::new();
    for (id, snapshot) in vault.snapshots()?.found {
        if let Some(app) = AppIdentity::from_snapshot_paths(&snapshot.paths) {
            let time = Timestamp::parse_rfc3339(&snapshot.time);
            let of_app = newest.entry(app.to_string()).or_default();
            of_app.push((time, id, snapshot));
        }
    }
    let reader = vault.reader()?;
    let mut needed: BTreeMap<String, Needed> = BTreeMap::new();
    for (app, mut points) in newest {
        points.sort_by_key(|(time, id, _)| std::cmp::Reverse((*time, *id)));
        let is_whole = |snapshot: &Snapshot| !snapshot.tags.iter().any(|tag| tag == TAG_PARTIAL);
        let whole = points.iter().position(|(.., snapshot)| is_whole(snapshot));
        let count = [Some(0), whole.filter(|at| *at > 0)];
        for (_, id, snapshot) in count.into_iter().flatten().map(|at| &points[at]) {
            let manifest = points::manifest_from(&reader, snapshot).map_err(|e| {
                RecoveryError::Refused(format!(
                    "it cannot be told which images {app} needs, so nothing goes: point {} cannot be read ({e}); run `lifeboat check`",
                    id.short()
                ))
            })?;
            let images = manifest.map(|manifest| manifest.images).unwrap_or_default();
            let names = images.iter().flat_map(|image| {
                image
                    .tags
                    .iter()
                    .chain(&image.repo_digests)
                    .chain(&image.from_registry)
            });
            for name in names.filter_map(|name| ImageReference::parse(name)) {
                if registry_name(&name.host) != registry {
                    continue;
                }
                let of_repository = needed.entry(name.repository).or_default();
                let digest = name.digest.map(|digest| digest.to_string());
                for named in name.tag.into_iter().chain(digest) {
                    of_repository.insert(named, app.clone());
                }
            }
        }
    }
    Ok(needed)
}
