//! What no point needs goes, what one needs stays, whoever is at work and wherever it is stopped.

mod beside;
mod crash;
mod echo;
mod freed;

use std::{
    path::Path,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use lifeboat_store::{Area, Store};
use lifeboat_vault::{
    BlobKind, Environment, Silent, SnapshotId, Vault,
    env::Clock,
    node::Timestamp,
    prune::{PruneOptions, PruneReport},
};
use parking_lot::Mutex;

use crate::{points::*, support::*};
