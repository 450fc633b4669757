//! Image repositories: a registry into a recovery point, and out of one.
//!
//! A point of a registry is one snapshot whose tree is an OCI image layout (`oci-layout`, `index.json`,
//! `blobs/sha256/…`) with a `registry.json` beside it ([`RegistryRecord`]): what other tools copy images from, and what
//! our own server and [`restore`](restore::restore) read.
//!
//! [`forget`](forget::forget) makes a point without the tags that no rule keeps ([`retention`]).
//!
//! The server's part, over points of registries and of apps:
//! - `holding`: the images that one recovery point holds;
//! - `view`: those of many points as one;
//! - `lease`: a reader of the vault for requests, never for life;
//! - `shelf`: what a registry server takes its answers from;
//! - `accept`: a registry of the vault that takes pushes;
//! - `certificate`: what a server says who it is with, where nobody gives it one.

mod accept;
pub mod backup;
mod blobs;
mod certificate;
pub mod check;
pub mod forget;
mod holding;
mod lease;
pub mod restore;
pub mod retention;
mod shelf;
#[cfg(test)]
mod tests;
mod view;

use std::collections::BTreeSet;

use lifeboat_images::registry::RegistryRecord;
use lifeboat_plan::identity::{RegistryIdentity, TAG_PARTIAL};
use lifeboat_vault::{Snapshot, SnapshotId, Vault};

pub use accept::{AcceptOptions, Accepting};
pub use certificate::{KeptCertificate, token_key};
pub use shelf::{ShelfOptions, VaultShelf};

use crate::{RecoveryError, Result, points};

/// The record's place in a point.
pub const RECORD: &str = "registry.json";

/// A point of a registry.
#[derive(Debug, Clone)]
pub struct RegistryPoint {
    /// Id.
    pub id: SnapshotId,
    /// Its snapshot.
    pub snapshot: Snapshot,
    /// Of which registry.
    pub identity: RegistryIdentity,
}

/// All points of registries, oldest first.
///
/// # Errors
/// The vault cannot be read.
pub fn points(vault: &Vault) -> Result<Vec<RegistryPoint>> {
    let found = vault.snapshots()?.found.into_iter();
    let point = |(id, snapshot): (SnapshotId, Snapshot)| {
        let identity = RegistryIdentity::from_snapshot_paths(&snapshot.paths)?;
        Some(RegistryPoint {
            id,
            snapshot,
            identity,
        })
    };
    Ok(found.filter_map(point).collect())
}

/// The point that somebody means: an id, a registry's address (its newest complete point, else its newest), or nothing
/// where the vault knows one registry.
///
/// # Errors
/// There is none, or it is not clear which.
pub fn resolve(vault: &Vault, reference: Option<&str>) -> Result<RegistryPoint> {
    let mut all = points(vault)?;
    let known: BTreeSet<String> = all.iter().map(|p| p.identity.registry.clone()).collect();
    let list = || known.iter().cloned().collect::<Vec<_>>().join(", ");
    if all.is_empty() {
        return Err(RecoveryError::NotFound(
            "the vault holds no point of a registry yet; `lifeboat registry backup` makes one"
                .to_owned(),
        ));
    }
    match reference {
        None if known.len() > 1 => {
            return Err(RecoveryError::NotFound(format!(
                "the vault holds several registries ({}); say which",
                list()
            )));
        }
        None => {}
        Some(text) if known.contains(text) => all.retain(|p| p.identity.registry == text),
        Some(text) => {
            let is_id = text.len() >= 8;
            all.retain(|p| is_id && p.id.to_hex().starts_with(text));
            if all.len() > 1 {
                return Err(RecoveryError::NotFound(format!(
                    "{text} is the beginning of several ids; give more of it"
                )));
            }
        }
    }
    let is_partial = |p: &RegistryPoint| p.snapshot.tags.iter().any(|tag| tag == TAG_PARTIAL);
    let at = all
        .iter()
        .rposition(|p| !is_partial(p))
        .or(all.len().checked_sub(1));
    at.map(|at| all.swap_remove(at)).ok_or_else(|| {
        RecoveryError::NotFound(format!(
            "the vault holds no registry and no point of one that is called {}; it holds {}",
            reference.unwrap_or_default(),
            list()
        ))
    })
}

/// What a point says of its registry.
///
/// # Errors
/// It cannot be read, or is none.
pub fn record(reader: &lifeboat_vault::Reader, snapshot: &Snapshot) -> Result<RegistryRecord> {
    let bytes = points::read_file(reader, snapshot, RECORD)?.ok_or_else(|| {
        RecoveryError::Failed(format!(
            "the recovery point has no {RECORD}: it is no point of a registry, or was changed"
        ))
    })?;
    Ok(RegistryRecord::from_json(&bytes)?)
}
