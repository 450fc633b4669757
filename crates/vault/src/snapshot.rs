//! A snapshot: one recovery point, as the format has it (FORMAT: `data/snapshot.go`).

use serde::{Deserialize, Serialize};

use crate::id::{BlobId, SnapshotId};

/// The content of a snapshot file. Field names and order are restic's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// RFC 3339 with nanoseconds: the instant at which the capture began.
    pub time: String,
    /// The snapshot whose unchanged files were reused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<SnapshotId>,
    /// Root tree. `None` only in a hostile file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tree: Option<BlobId>,
    /// What was protected.
    #[serde(default, deserialize_with = "null_as_default")]
    pub paths: Vec<String>,
    /// The protected host's given name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hostname: String,
    /// User who ran it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// Its user id.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub uid: u32,
    /// Its group id.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub gid: u32,
    /// Exclude patterns that were in force.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub excludes: Vec<String>,
    /// Tags.
    #[serde(
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "null_as_default"
    )]
    pub tags: Vec<String>,
    /// The snapshot that this one was rewritten or copied from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original: Option<SnapshotId>,
    /// Who wrote it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub program_version: String,
    /// Figures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<Summary>,
}

/// Figures of one run.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// RFC 3339.
    pub backup_start: String,
    /// RFC 3339.
    pub backup_end: String,
    /// Files that the parent did not have.
    pub files_new: u64,
    /// Files that differ from the parent's.
    pub files_changed: u64,
    /// Files taken over from the parent unread.
    pub files_unmodified: u64,
    /// Directories, likewise.
    pub dirs_new: u64,
    /// Directories, likewise.
    pub dirs_changed: u64,
    /// Directories, likewise.
    pub dirs_unmodified: u64,
    /// Data blobs stored.
    pub data_blobs: i64,
    /// Tree blobs stored.
    pub tree_blobs: i64,
    /// Plain bytes stored.
    pub data_added: u64,
    /// Bytes stored after compression and sealing.
    pub data_added_packed: u64,
    /// Files seen.
    pub total_files_processed: u64,
    /// Their bytes.
    pub total_bytes_processed: u64,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

fn null_as_default<'de, D, T>(d: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}
