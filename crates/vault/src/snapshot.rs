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
    /// Whether it may be forgotten: rustic's field.
    #[serde(default, skip_serializing_if = "Delete::is_not_set")]
    pub delete: Delete,
}

/// The tag of a point that no command of ours forgets.
pub const TAG_PIN: &str = "pin";

impl Snapshot {
    /// Whether a person said that it stays.
    #[must_use]
    pub fn is_pinned(&self) -> bool {
        self.tags.iter().any(|tag| tag == TAG_PIN)
    }

    /// Why it must not be forgotten, if that is so: for a sentence.
    pub fn protected(&self, now: crate::node::Timestamp) -> Option<String> {
        if self.is_pinned() {
            return Some("it is pinned".to_owned());
        }
        match &self.delete {
            Delete::NotSet => None,
            Delete::Never => Some("it says that it is never to be deleted".to_owned()),
            Delete::After(time) => {
                let after = crate::node::Timestamp::parse_rfc3339(time);
                // A time that cannot be read protects.
                let early = after.is_none_or(|after| now < after);
                early.then(|| format!("it says that it is to be kept until {time}"))
            }
        }
    }
}

/// rustic's word on the deletion of a snapshot: `"NotSet"`, `"Never"` or `{"After": time}`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub enum Delete {
    /// Nothing was said.
    #[default]
    NotSet,
    /// Never. What we do not understand is read so as well.
    Never,
    /// Not before this time, RFC 3339.
    After(String),
}

impl Delete {
    fn is_not_set(&self) -> bool {
        *self == Delete::NotSet
    }
}

impl<'de> Deserialize<'de> for Delete {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        use serde_json::Value;
        Ok(match Value::deserialize(d)? {
            Value::Null => Delete::NotSet,
            Value::String(word) if word == "NotSet" => Delete::NotSet,
            Value::Object(map) => match map.get("After") {
                Some(Value::String(time)) => Delete::After(time.clone()),
                _ => Delete::Never,
            },
            _ => Delete::Never,
        })
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Timestamp;

    #[test]
    fn what_rustic_says_of_deletion() {
        let now = Timestamp::parse_rfc3339("2026-06-01T00:00:00Z").unwrap();
        for (json, protected) in [
            (r#""NotSet""#, false),
            ("null", false),
            (r#""Never""#, true),
            (r#"{"After":"2026-05-31T23:00:00+00:00"}"#, false),
            (r#"{"After":"2026-06-01T02:00:00+01:00"}"#, true),
            (r#"{"After":"soon"}"#, true),
            (r#"{"Before":1}"#, true),
            ("7", true),
        ] {
            let text = format!(r#"{{"time":"x","delete":{json}}}"#);
            let snapshot: Snapshot = serde_json::from_str(&text).unwrap();
            assert_eq!(snapshot.protected(now).is_some(), protected, "{json}");
        }
        let pinned = Snapshot {
            tags: vec!["a".to_owned(), TAG_PIN.to_owned()],
            ..Snapshot::default()
        };
        assert!(pinned.protected(now).is_some());
        assert!(!serde_json::to_string(&pinned).unwrap().contains("delete"));
        let never = Delete::Never;
        assert_eq!(serde_json::to_string(&never).unwrap(), r#""Never""#);
    }
}
