//! Index files.
//!
//! `{"packs":[{"id":…,"blobs":[{"id","type","offset","length","uncompressed_length"?}],"time"?,"size"?}],
//! "packs_to_delete":[the same],"leases":[…]}`. `supersedes` is ignored.
//!
//! `packs_to_delete`, `time` and `size` are rustic's; restic ignores them. We mark a pack by naming it there while it
//! **stays** in `packs`, so that others find its blobs as before (rustic itself moves it). `leases` is ours: who was
//! at work when the file was written, and may still read or reuse what it marks.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use super::usual;
use crate::{
    blob::BlobKind,
    error::{Result, VaultError},
    id::{BlobId, PackId},
    pack::PackedBlob,
};

/// A writer begins a new index file when one holds so many blobs.
pub const MAX_BLOBS_PER_FILE: usize = 50_000;

/// A pack as an index file names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexedPack {
    /// Which.
    pub id: PackId,
    /// What is in it.
    pub blobs: Vec<PackedBlob>,
    /// RFC 3339: when it was written, or marked.
    pub time: Option<String>,
    /// Bytes of the file.
    pub size: Option<u64>,
}

impl IndexedPack {
    /// A pack of which no more is known.
    pub fn new(id: PackId, blobs: Vec<PackedBlob>) -> IndexedPack {
        IndexedPack {
            id,
            blobs,
            time: None,
            size: None,
        }
    }
}

/// The content of an index file.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct IndexFile {
    /// Packs with their blobs.
    pub packs: Vec<IndexedPack>,
    /// Packs that are to be deleted, here or in another file also in `packs` unless rustic marked them.
    pub to_delete: Vec<IndexedPack>,
    /// Ids of the leases that the deletion waits for; `None` where the marks are not ours.
    pub leases: Option<Vec<String>>,
}

#[derive(Serialize, Deserialize)]
struct FileJson {
    #[serde(default)]
    packs: Option<Vec<PackJson>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    packs_to_delete: Option<Vec<PackJson>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    leases: Option<Vec<String>>,
}

#[derive(Serialize, Deserialize)]
struct PackJson {
    id: PackId,
    #[serde(default)]
    blobs: Option<Vec<BlobJson>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
}

#[derive(Serialize, Deserialize)]
struct BlobJson {
    id: BlobId,
    #[serde(rename = "type")]
    kind: KindJson,
    offset: u32,
    length: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    uncompressed_length: Option<u32>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum KindJson {
    Data,
    Tree,
}

impl From<PackJson> for IndexedPack {
    fn from(pack: PackJson) -> IndexedPack {
        let blobs = pack.blobs.unwrap_or_default().into_iter();
        IndexedPack {
            id: pack.id,
            blobs: blobs
                .map(|b| PackedBlob {
                    kind: match b.kind {
                        KindJson::Data => BlobKind::Data,
                        KindJson::Tree => BlobKind::Tree,
                    },
                    id: b.id,
                    offset: b.offset,
                    length: b.length,
                    plain_length: b.uncompressed_length.and_then(NonZeroU32::new),
                })
                .collect(),
            time: pack.time,
            size: pack.size,
        }
    }
}

impl From<&IndexedPack> for PackJson {
    fn from(pack: &IndexedPack) -> PackJson {
        let blobs = pack.blobs.iter().map(|b| BlobJson {
            id: b.id,
            kind: match b.kind {
                BlobKind::Data => KindJson::Data,
                BlobKind::Tree => KindJson::Tree,
            },
            offset: b.offset,
            length: b.length,
            uncompressed_length: b.plain_length.map(NonZeroU32::get),
        });
        PackJson {
            id: pack.id,
            blobs: Some(blobs.collect()),
            time: pack.time.clone(),
            size: pack.size,
        }
    }
}

impl IndexFile {
    /// Reads the JSON. `what` names the file in errors.
    pub fn parse(bytes: &[u8], what: &str) -> Result<IndexFile> {
        match usual::parse(bytes) {
            Some(file) => Ok(file),
            None => Self::parse_any(bytes, what),
        }
    }

    fn parse_any(bytes: &[u8], what: &str) -> Result<IndexFile> {
        let file: FileJson = serde_json::from_slice(bytes)
            .map_err(|e| VaultError::damaged(what, format!("its JSON does not parse: {e}")))?;
        let packs = |list: Option<Vec<PackJson>>| {
            let list = list.unwrap_or_default().into_iter();
            list.map(IndexedPack::from).collect()
        };
        Ok(IndexFile {
            packs: packs(file.packs),
            to_delete: packs(file.packs_to_delete),
            leases: file.leases,
        })
    }

    /// Writes the JSON.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let marks = (!self.to_delete.is_empty())
            .then(|| self.to_delete.iter().map(PackJson::from).collect());
        serde_json::to_vec(&FileJson {
            packs: Some(self.packs.iter().map(PackJson::from).collect()),
            packs_to_delete: marks,
            leases: self.leases.clone(),
        })
        .map_err(|e| VaultError::Invalid(format!("write the index: {e}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_it_was_written() {
        let blob = |n: u8, plain| PackedBlob {
            kind: if n.is_multiple_of(2) {
                BlobKind::Tree
            } else {
                BlobKind::Data
            },
            id: BlobId([n; 32]),
            offset: u32::from(n),
            length: 100,
            plain_length: NonZeroU32::new(plain),
        };
        let pack = IndexedPack::new(PackId([7; 32]), vec![blob(1, 0), blob(2, 500)]);
        let marked = IndexedPack {
            time: Some("2026-01-01T00:00:00Z".to_owned()),
            size: Some(77),
            ..IndexedPack::new(PackId([8; 32]), Vec::new())
        };
        let file = IndexFile {
            packs: vec![pack],
            to_delete: vec![marked],
            leases: Some(vec!["a".to_owned()]),
        };
        let json = file.to_json().unwrap();
        assert_eq!(IndexFile::parse(&json, "x").unwrap(), file);
        let text = String::from_utf8(json).unwrap();
        assert_eq!(text.matches("uncompressed_length").count(), 1);
    }

    #[test]
    fn marked_packs_are_told_apart_and_foreign_fields_do_no_harm() {
        let id = "00".repeat(32);
        let text = format!(
            r#"{{"supersedes":["{id}"],"packs":null,"packs_to_delete":[{{"id":"{id}","blobs":[],"time":"2026-01-01T00:00:00Z","size":5}}]}}"#
        );
        let file = IndexFile::parse(text.as_bytes(), "x").unwrap();
        assert_eq!((file.packs.len(), file.to_delete.len()), (0, 1));
        assert_eq!(file.to_delete[0].size, Some(5));
        assert_eq!(file.leases, None);
    }

    /// What the quick parser takes, the other one understands the same; what it does not take, neither is lost.
    #[test]
    fn both_parsers_agree() {
        let blob = |n: u8| PackedBlob {
            kind: BlobKind::Data,
            id: BlobId([n; 32]),
            offset: u32::from(n),
            length: 100,
            plain_length: NonZeroU32::new(u32::from(n % 3)),
        };
        let pack = IndexedPack {
            time: Some("2026-01-01T00:00:00Z".to_owned()),
            size: Some(77),
            ..IndexedPack::new(PackId([7; 32]), (0..5).map(blob).collect())
        };
        let file = IndexFile {
            packs: vec![IndexedPack::new(PackId([6; 32]), Vec::new()), pack],
            ..IndexFile::default()
        };
        let json = file.to_json().unwrap();
        assert_eq!(usual::parse(&json), Some(file));
        let mut taken = 0;
        for at in 0..json.len() {
            for byte in *b"09afz\"\\ ,:{}[]\x00\xff" {
                let mut other = json.clone();
                other[at] = byte;
                if let Some(file) = usual::parse(&other) {
                    taken += 1;
                    assert_eq!(IndexFile::parse_any(&other, "x").unwrap(), file);
                }
            }
            assert_eq!(usual::parse(&json[..at]), None, "{at}");
        }
        assert!(taken > 1000, "{taken}");
    }

    #[test]
    fn what_is_no_index_is_damage() {
        for bad in [
            "",
            "[",
            "{\"packs\":[{\"id\":\"zz\"}]}",
            "{\"packs\":[{\"id\":5}]}",
        ] {
            let error = IndexFile::parse(bad.as_bytes(), "index x").unwrap_err();
            assert_eq!(error.kind(), crate::error::ErrorKind::Damaged, "{bad}");
        }
    }
}
