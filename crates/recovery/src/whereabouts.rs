//! Where the images of apps are beside the engine: in the vault, in a registry that still answers to their digest, or
//! nowhere. An image that only one engine has is one disk away from being lost.
//!
//! A registry is asked for the digest itself; that an engine remembers one says only where an image once came from.
//! Nothing is changed, neither here nor there.

use std::collections::{BTreeMap, BTreeSet};

use lifeboat_capture::Cancel;
use lifeboat_engine::Engine;
use lifeboat_images::registry::ImageReference;
use lifeboat_plan::discover::discover;
use lifeboat_vault::Vault;
use serde::Serialize;

use crate::{Result, points, protect::Registries, registry};

/// One image of apps.
#[derive(Debug, Clone, Serialize)]
pub struct Whereabouts {
    /// Its first tag, else its id.
    pub image: String,
    /// Its id on the engine.
    pub id: String,
    /// The apps that need it.
    pub apps: Vec<String>,
    /// Bytes on the engine.
    pub bytes: u64,
    /// The newest recovery point that holds it.
    pub point: Option<String>,
    /// `name@sha256:…` to which its registry answered now.
    pub registry: Option<String>,
    /// Why a registry that it may be in could not be asked.
    pub unanswered: Option<String>,
    /// The engine alone has it, as far as could be seen.
    pub only_here: bool,
}

/// Looks for the images of all apps; `vault` where there is one.
///
/// # Errors
/// The engine does not answer, or the vault cannot be read.
pub fn whereabouts(
    engine: &dyn Engine,
    registries: &Registries,
    vault: Option<&Vault>,
    cancel: &Cancel,
) -> Result<Vec<Whereabouts>> {
    let saved = vault.map(saved).transpose()?.unwrap_or_default();
    let found = discover(&engine.inventory()?);
    let mut images: BTreeMap<String, Whereabouts> = BTreeMap::new();
    for app in &found.apps {
        for image in app.images.iter().filter(|image| !image.missing) {
            if let Some(known) = images.get_mut(&image.id) {
                known.apps.push(app.name.to_string());
                continue;
            }
            let digests = image.repo_digests.iter();
            let digests = digests.filter_map(|name| Some((name, ImageReference::parse(name)?)));
            let mut seen = Whereabouts {
                image: image.tags.first().unwrap_or(&image.id).clone(),
                id: image.id.clone(),
                apps: vec![app.name.to_string()],
                bytes: image.size,
                point: saved.get(&image.id).cloned(),
                registry: None,
                unanswered: None,
                only_here: false,
            };
            for (name, reference) in digests {
                let digest = reference.digest.as_ref().map(ToString::to_string);
                let point = digest.as_ref().and_then(|digest| saved.get(digest));
                seen.point = seen.point.or_else(|| point.cloned());
                match asked(registries, &reference, cancel) {
                    Ok(true) => seen.registry = Some(name.clone()),
                    Ok(false) => {}
                    Err(why) => seen.unanswered = Some(why),
                }
            }
            if cancel.is_cancelled() {
                return Err(crate::RecoveryError::Interrupted);
            }
            if seen.registry.is_some() {
                seen.unanswered = None;
            }
            seen.only_here = seen.point.is_none() && seen.registry.is_none();
            images.insert(image.id.clone(), seen);
        }
    }
    let mut images: Vec<Whereabouts> = images.into_values().collect();
    images.sort_by(|a, b| (!a.only_here, &a.image).cmp(&(!b.only_here, &b.image)));
    Ok(images)
}

/// Whether the registry has the image now.
fn asked(
    registries: &Registries,
    reference: &ImageReference,
    cancel: &Cancel,
) -> std::result::Result<bool, String> {
    let Some(digest) = &reference.digest else {
        return Ok(false);
    };
    if !registries.is_one(&reference.host) {
        return Ok(false);
    }
    let client = registries.client(&reference.host, cancel)?;
    let manifest = client.manifest(&reference.repository, &digest.to_string());
    Ok(manifest.map_err(|e| e.to_string())?.is_some())
}

/// What the vault holds, by ids and digests, and the newest point that has it.
fn saved(vault: &Vault) -> Result<BTreeMap<String, String>> {
    let mut saved = BTreeMap::new();
    let mut points = points::list(vault)?.points;
    // The newest comes last, and its word stays.
    points.sort_by(|a, b| a.time.cmp(&b.time));
    let reader = vault.reader()?;
    for point in points {
        let (id, snapshot) = points::by_id(vault, point.id)?;
        let mut names: BTreeSet<String> = BTreeSet::new();
        if point.registry.is_some() {
            let record = registry::record(&reader, &snapshot)?;
            names.extend(record.digests().iter().map(|digest| digest.to_string()));
        } else if let Some(manifest) = points::manifest(vault, &snapshot)? {
            for image in manifest.images {
                names.extend([image.id, image.config_digest]);
                names.extend(image.manifest_digest);
            }
        }
        saved.extend(names.into_iter().map(|name| (name, id.short().to_string())));
    }
    Ok(saved)
}
