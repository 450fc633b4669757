//! What can be asked for over `POST operations`.
//!
//! Each kind has fields of its own, and none of them is a command, a place that is written to outside of the engine and the vault, or
//! a place of a vault: those come from root's files.

mod apps;
mod registry;
mod vault;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use self::{
    apps::{
        BackupWanted, EstimateWanted, InterruptedWanted, Maps, RemoveCopyWanted, RestoreWanted,
    },
    registry::{RegistryCheckWanted, RegistryForgetWanted, RegistryRestoreWanted, RegistryWanted},
    vault::{
        CheckWanted, CopyWanted, ForgetWanted, Keep, Mend, PointsWanted, PruneWanted, RepairWanted,
    },
};
use crate::guard::Role;

/// Something that is to be done now.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Wanted {
    /// A recovery point of an app.
    Backup(BackupWanted),
    /// How much a backup of an app would read, and what it would leave out; nothing is written.
    Estimate(EstimateWanted),
    /// An app, or a part of it, comes back from a point.
    Restore(Box<RestoreWanted>),
    /// A restore that was interrupted goes on.
    ContinueRestore(InterruptedWanted),
    /// A restore that was interrupted is taken back.
    UndoRestore(InterruptedWanted),
    /// A copy that a restore made, or the data that one replaced, goes away.
    RemoveCopy(RemoveCopyWanted),
    /// What has been aside for longer than its time goes away.
    RemoveExpired(NothingMore),
    /// Points that no policy forgets.
    Pin(PointsWanted),
    /// Points that policies may forget again.
    Unpin(PointsWanted),
    /// Forget points: by the policies, or (admin) by rules or by name.
    Forget(Box<ForgetWanted>),
    /// Free space.
    Prune(PruneWanted),
    /// Read and check the vault: a part of it each time, or (with `read`) as it is said.
    Check(CheckWanted),
    /// Mend the vault; for admins.
    Repair(RepairWanted),
    /// Copy to a further vault of `lifeboat.toml`.
    Copy(CopyWanted),
    /// Back up a registry of `lifeboat.toml`.
    Registry(RegistryWanted),
    /// Whether a registry's point is whole.
    RegistryCheck(RegistryCheckWanted),
    /// Take tags out of a registry that the vault is itself; for admins.
    RegistryForget(RegistryForgetWanted),
    /// Push a registry's point into a registry; for admins.
    RegistryRestore(RegistryRestoreWanted),
}

/// Nothing more is to be said.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NothingMore {}

impl Wanted {
    /// Who may ask for it. What names paths of the host, changes what runs in containers, takes data out of them or out of the
    /// vault for good, is an admin's.
    #[must_use]
    pub fn least(&self) -> Role {
        let admin = match self {
            Self::Backup(wanted) => {
                !wanted.include_binds.is_empty() || !wanted.exclude_binds.is_empty()
            }
            Self::Restore(wanted) => wanted.is_for_admins(),
            Self::Forget(wanted) => !wanted.is_plain(),
            Self::Prune(wanted) => wanted.instant,
            Self::Repair(_) | Self::RegistryForget(_) | Self::RegistryRestore(_) => true,
            _ => false,
        };
        if admin { Role::Admin } else { Role::Operator }
    }
}
