//! Files that are no packs: index, snapshot and lock files.
//!
//! Sealed; inside either raw JSON (begins with `{` or `[`) or the byte 2 and zstd. Named by the
//! SHA-256 of their sealed bytes. Version 1 knows raw JSON only.

use std::{io::Read, sync::atomic::Ordering};

use lifeboat_store::{Area, ObjectName, StoreError};
use sha2::{Digest, Sha256};

use crate::{
    error::{Result, VaultError},
    opened::Core,
};

/// First byte of compressed content.
const COMPRESSED: u8 = 2;
/// zstd's level. Nearly all of an index is ids, which are random: a level that looks for more finds short repeats that
/// cost more bits than the digits themselves (level 3: 8 % more bytes, in three times the time).
const LEVEL: i32 = 1;

/// Turns the opened bytes of a file of this area into JSON.
pub fn decode(plain: Vec<u8>, area: Area, what: &str) -> Result<Vec<u8>> {
    let largest = area.largest();
    if plain.len() as u64 > largest {
        return Err(too_large(what, largest));
    }
    match plain.first() {
        Some(b'{' | b'[') => Ok(plain),
        Some(&COMPRESSED) => {
            let broken = |e| VaultError::damaged(what, format!("it does not decompress: {e}"));
            let mut json = Vec::new();
            zstd::stream::read::Decoder::with_buffer(&plain[1..])
                .map_err(broken)?
                .take(largest + 1)
                .read_to_end(&mut json)
                .map_err(broken)?;
            if json.len() as u64 > largest {
                return Err(too_large(what, largest));
            }
            Ok(json)
        }
        Some(other) => Err(VaultError::damaged(
            what,
            format!("it has an unknown encoding (byte {other})"),
        )),
        None => Err(VaultError::damaged(what, "it is empty")),
    }
}

fn too_large(what: &str, largest: u64) -> VaultError {
    let why = format!("it has more than {} MiB", largest >> 20);
    VaultError::damaged(what, why + ", more than any program writes")
}

/// Wraps JSON as version 2 has it.
pub fn encode(json: &[u8]) -> Result<Vec<u8>> {
    let failed = |source| VaultError::Io {
        context: "compress a file of the vault".into(),
        source,
    };
    let mut out = vec![COMPRESSED];
    zstd::stream::copy_encode(json, &mut out, LEVEL).map_err(failed)?;
    Ok(out)
}

impl Core {
    /// Reads, checks, opens and decompresses an index, snapshot or lock file.
    pub fn load_unpacked(&self, name: &ObjectName) -> Result<Vec<u8>> {
        let sealed = self.get_unpacked(name)?;
        self.open_unpacked(name, sealed)
    }

    /// Its bytes as the store gives them.
    pub fn get_unpacked(&self, name: &ObjectName) -> Result<Vec<u8>> {
        self.store
            .get(name)
            .map_err(VaultError::store(format!("read {name}")))
    }

    /// Checks, opens and decompresses one.
    pub fn open_unpacked(&self, name: &ObjectName, sealed: Vec<u8>) -> Result<Vec<u8>> {
        let what = name.to_string();
        let digest = hex::encode(Sha256::digest(&sealed));
        if digest != name.id() {
            return Err(VaultError::damaged(what, "its bytes do not match its name"));
        }
        let plain = self
            .seal
            .open(&sealed)
            .map_err(|_| VaultError::damaged(&*what, "it does not open"))?;
        decode(plain, name.area(), &what)
    }

    /// Seals and puts a file, durably; returns its id.
    pub fn save_unpacked(&self, area: Area, json: &[u8]) -> Result<[u8; 32]> {
        let sealed = match self.config.version {
            // Only locks are written there.
            1 => self.seal.seal(&*self.env.random, json)?,
            _ => self.seal.seal(&*self.env.random, &encode(json)?)?,
        };
        let id: [u8; 32] = Sha256::digest(&sealed).into();
        let name = object_name(area, &id)?;
        self.store.put(&name, &sealed).map_err(|error| {
            // On a disk of ours nothing arrives late.
            if area != Area::Locks && self.store.is_remote() && may_arrive(&error) {
                self.doubts.fetch_add(1, Ordering::SeqCst);
            }
            VaultError::store(format!("write {name}"))(error)
        })?;
        self.keep_near(&name, &sealed);
        Ok(id)
    }
}

/// Whether what failed so may have been stored, or may yet be.
fn may_arrive(error: &StoreError) -> bool {
    !matches!(
        error,
        StoreError::Full { .. } | StoreError::Denied { .. } | StoreError::AlreadyExists(_)
    )
}

/// The name of an object from the bytes of its id.
pub fn object_name(area: Area, id: &[u8; 32]) -> Result<ObjectName> {
    ObjectName::new(area, &hex::encode(id))
        .ok_or_else(|| VaultError::Invalid(format!("{} has no objects by id", area.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        blob::BlobKind,
        id::{BlobId, PackId},
        index::{IndexFile, IndexedPack},
        pack::PackedBlob,
    };

    #[test]
    fn both_encodings() {
        assert_eq!(decode(b"{}".to_vec(), Area::Index, "x").unwrap(), b"{}");
        assert_eq!(decode(b"[1]".to_vec(), Area::Index, "x").unwrap(), b"[1]");
        assert_eq!(
            decode(encode(b"{\"a\":1}").unwrap(), Area::Index, "x").unwrap(),
            b"{\"a\":1}"
        );
    }

    #[test]
    fn nonsense_is_damage() {
        for bad in [&b""[..], b"\x03abc", b"\x02abc", b" {}"] {
            assert!(matches!(
                decode(bad.to_vec(), Area::Index, "x"),
                Err(VaultError::Damaged { .. })
            ));
        }
    }

    #[test]
    fn an_index_takes_fewer_bytes_than_at_the_level_of_other_programs() {
        let id = |n: u32| <[u8; 32]>::from(Sha256::digest(n.to_le_bytes()));
        let blob = |n: u32| PackedBlob {
            kind: BlobKind::Data,
            id: BlobId(id(n)),
            offset: n * 9_000,
            length: 8_000 + n % 1_000,
            plain_length: std::num::NonZeroU32::new(16_000 + n % 3_000),
        };
        let pack = |n: u32| {
            IndexedPack::new(
                PackId(id(1 << 20 | n)),
                (n * 1_000..(n + 1) * 1_000).map(blob).collect(),
            )
        };
        let index = IndexFile {
            packs: (0..10).map(pack).collect(),
            ..IndexFile::default()
        };
        let json = index.to_json().unwrap();
        let encoded = encode(&json).unwrap();
        let before = zstd::encode_all(&*json, 3).unwrap();
        assert!(
            encoded.len() < before.len(),
            "{} of {}, {} bytes",
            encoded.len(),
            json.len(),
            before.len()
        );
        assert_eq!(decode(encoded, Area::Index, "an index").unwrap(), json);
    }
}
