//! Index files.
//!
//! `{"packs":[{"id":…,"blobs":[{"id","type","offset","length","uncompressed_length"?}]}]}`.
//! `supersedes` is ignored. `packs_to_delete` (rustic, and our own marks) is read as packs that are
//! there, for their blobs still are.

use std::num::NonZeroU32;

use serde::{Deserialize, Serialize};

use crate::{
    blob::BlobKind,
    error::{Result, VaultError},
    id::{BlobId, PackId},
    pack::PackedBlob,
};

/// A writer begins a new index file when one holds so many blobs.
pub const MAX_BLOBS_PER_FILE: usize = 50_000;

/// The content of an index file.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct IndexFile {
    /// Packs with their blobs.
    pub packs: Vec<(PackId, Vec<PackedBlob>)>,
}

#[derive(Serialize, Deserialize)]
struct FileJson {
    #[serde(default)]
    packs: Option<Vec<PackJson>>,
    #[serde(default, skip_serializing)]
    packs_to_delete: Option<Vec<PackJson>>,
}

#[derive(Serialize, Deserialize)]
struct PackJson {
    id: PackId,
    #[serde(default)]
    blobs: Option<Vec<BlobJson>>,
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

impl IndexFile {
    /// Reads the JSON. `what` names the file in errors.
    pub fn parse(bytes: &[u8], what: &str) -> Result<IndexFile> {
        let file: FileJson = serde_json::from_slice(bytes)
            .map_err(|e| VaultError::damaged(what, format!("its JSON does not parse: {e}")))?;
        let all = file.packs.into_iter().chain(file.packs_to_delete).flatten();
        let packs = all.map(|p| {
            let blobs = p.blobs.unwrap_or_default().into_iter().map(|b| PackedBlob {
                kind: match b.kind {
                    KindJson::Data => BlobKind::Data,
                    KindJson::Tree => BlobKind::Tree,
                },
                id: b.id,
                offset: b.offset,
                length: b.length,
                plain_length: b.uncompressed_length.and_then(NonZeroU32::new),
            });
            (p.id, blobs.collect())
        });
        Ok(IndexFile {
            packs: packs.collect(),
        })
    }

    /// Writes the JSON.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let packs = self.packs.iter().map(|(id, blobs)| PackJson {
            id: *id,
            blobs: Some(
                blobs
                    .iter()
                    .map(|b| BlobJson {
                        id: b.id,
                        kind: match b.kind {
                            BlobKind::Data => KindJson::Data,
                            BlobKind::Tree => KindJson::Tree,
                        },
                        offset: b.offset,
                        length: b.length,
                        uncompressed_length: b.plain_length.map(NonZeroU32::get),
                    })
                    .collect(),
            ),
        });
        serde_json::to_vec(&FileJson {
            packs: Some(packs.collect()),
            packs_to_delete: None,
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
        let file = IndexFile {
            packs: vec![(PackId([7; 32]), vec![blob(1, 0), blob(2, 500)])],
        };
        let json = file.to_json().unwrap();
        assert_eq!(IndexFile::parse(&json, "x").unwrap(), file);
        let text = String::from_utf8(json).unwrap();
        assert_eq!(text.matches("uncompressed_length").count(), 1);
    }

    #[test]
    fn marked_packs_are_there_and_foreign_fields_do_no_harm() {
        let id = "00".repeat(32);
        let text = format!(
            r#"{{"supersedes":["{id}"],"packs":null,"packs_to_delete":[{{"id":"{id}","blobs":[],"time":"2026-01-01T00:00:00Z","size":5}}]}}"#
        );
        assert_eq!(
            IndexFile::parse(text.as_bytes(), "x").unwrap().packs.len(),
            1
        );
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
