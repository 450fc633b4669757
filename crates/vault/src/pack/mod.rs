//! Pack files: `sealed blobs | sealed header | header length (u32, little endian)`.
//!
//! A header entry is: type (u8: 0 data, 1 tree, 2 data compressed, 3 tree compressed), length of
//! the sealed blob (u32), plain length (u32, only for 2 and 3), id (32 bytes). Blobs follow each
//! other without gaps in the order of the header. Trees and data are never mixed in packs of ours.

mod pages;

use std::{io, num::NonZeroU32};

use sha2::{Digest, Sha256};

use crate::{
    blob::BlobKind,
    env::Random,
    error::{Result, VaultError},
    id::{BlobId, PackId},
    index::BlobLocation,
    seal::{IV_LEN, OVERHEAD, SealKey},
    sha256,
};

pub use pages::Pages;

/// A header is at most so long (restic's bound).
pub const MAX_HEADER: usize = 16 << 20;
/// Bytes of the header length at the end of a pack.
pub const TRAILER: usize = 4;
const PLAIN_ENTRY: usize = 1 + 4 + 32;
const COMPRESSED_ENTRY: usize = PLAIN_ENTRY + 4;

/// One blob of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackedBlob {
    /// Kind.
    pub kind: BlobKind,
    /// Id: SHA-256 of the plain bytes.
    pub id: BlobId,
    /// First byte of the sealed blob.
    pub offset: u32,
    /// Bytes of the sealed blob.
    pub length: u32,
    /// Plain bytes of a compressed blob; `None` for one that is stored as it is.
    pub plain_length: Option<NonZeroU32>,
}

impl PackedBlob {
    /// Where it lies, in this pack.
    pub fn in_pack(&self, pack: PackId) -> BlobLocation {
        BlobLocation {
            pack,
            offset: self.offset,
            length: self.length,
            plain_length: self.plain_length,
        }
    }
}

/// A pack in the making.
pub struct PackBuilder {
    bytes: Pages,
    blobs: Vec<PackedBlob>,
    header_len: usize,
}

/// A pack that is ready to be put.
pub struct FinishedPack {
    /// Its id.
    pub id: PackId,
    /// Its bytes.
    pub bytes: Pages,
    /// Its blobs.
    pub blobs: Vec<PackedBlob>,
}

impl PackBuilder {
    /// An empty pack that takes its space from `buffer`.
    pub fn new(mut buffer: Pages) -> PackBuilder {
        buffer.clear();
        PackBuilder {
            bytes: buffer,
            blobs: Vec::new(),
            header_len: 0,
        }
    }

    /// Bytes so far, header included.
    pub fn len(&self) -> usize {
        self.bytes.len() + self.header_len + OVERHEAD + TRAILER
    }

    /// Whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.blobs.is_empty()
    }

    /// Number of blobs so far.
    pub fn count(&self) -> usize {
        self.blobs.len()
    }

    /// Whether another sealed blob of so many bytes still fits into offsets and header.
    pub fn fits(&self, sealed_len: usize) -> bool {
        self.header_len + COMPRESSED_ENTRY + OVERHEAD <= MAX_HEADER
            && u32::try_from(self.len() + COMPRESSED_ENTRY + sealed_len).is_ok()
    }

    /// Appends a sealed blob. Returns what it adds to the pack, its header entry included.
    pub fn add(
        &mut self,
        kind: BlobKind,
        id: BlobId,
        plain_length: Option<NonZeroU32>,
        sealed: &[u8],
    ) -> Result<usize> {
        let too_large = |_| VaultError::Invalid("a pack may have 4 GiB at most".to_owned());
        let offset = u32::try_from(self.bytes.len()).map_err(too_large)?;
        let length = u32::try_from(sealed.len()).map_err(too_large)?;
        let entry = if plain_length.is_some() {
            COMPRESSED_ENTRY
        } else {
            PLAIN_ENTRY
        };
        self.bytes.extend(sealed).map_err(no_memory)?;
        self.blobs.push(PackedBlob {
            kind,
            id,
            offset,
            length,
            plain_length,
        });
        self.header_len += entry;
        Ok(sealed.len() + entry)
    }

    /// Seals the header and names the pack.
    pub fn finish(self, key: &SealKey, random: &dyn Random) -> Result<FinishedPack> {
        let (bytes, blobs) = self.sealed(key, random)?;
        let id = PackId(Sha256::digest(&*bytes).into());
        Ok(FinishedPack { id, bytes, blobs })
    }

    /// The same for packs together, which takes less time than one after the other.
    pub fn finish_all(
        packs: Vec<PackBuilder>,
        key: &SealKey,
        random: &dyn Random,
    ) -> Result<Vec<FinishedPack>> {
        let sealed = packs.into_iter().map(|pack| pack.sealed(key, random));
        let sealed = sealed.collect::<Result<Vec<_>>>()?;
        let bytes: Vec<&[u8]> = sealed.iter().map(|(bytes, _)| &bytes[..]).collect();
        let ids = sha256::digests(&bytes);
        let finished = ids.into_iter().zip(sealed);
        let finished = finished.map(|(id, (bytes, blobs))| FinishedPack {
            id: PackId(id),
            bytes,
            blobs,
        });
        Ok(finished.collect())
    }

    /// The whole bytes of the pack, with its header, and what it holds.
    fn sealed(mut self, key: &SealKey, random: &dyn Random) -> Result<(Pages, Vec<PackedBlob>)> {
        let mut header = Vec::with_capacity(self.header_len + OVERHEAD);
        header.resize(IV_LEN, 0);
        for blob in &self.blobs {
            let tree = u8::from(blob.kind == BlobKind::Tree);
            header.push(tree | u8::from(blob.plain_length.is_some()) << 1);
            header.extend_from_slice(&blob.length.to_le_bytes());
            if let Some(plain) = blob.plain_length {
                header.extend_from_slice(&plain.get().to_le_bytes());
            }
            header.extend_from_slice(&blob.id.0);
        }
        key.seal_in_place(random, &mut header, 0)?;
        let length = u32::try_from(header.len())
            .map_err(|_| VaultError::Invalid("a pack header may have 16 MiB at most".to_owned()))?;
        header.extend_from_slice(&length.to_le_bytes());
        self.bytes.extend(&header).map_err(no_memory)?;
        Ok((self.bytes, self.blobs))
    }
}

/// What it means that there is no memory for a pack.
pub(crate) fn no_memory(source: io::Error) -> VaultError {
    VaultError::Io {
        context: "get memory for a pack".to_owned(),
        source,
    }
}

/// Bytes of the sealed header, from the last four bytes of a pack.
pub fn header_length(trailer: [u8; TRAILER], pack_size: u64, what: &str) -> Result<usize> {
    let length = u32::from_le_bytes(trailer) as usize;
    let damaged = |why: &str| Err(VaultError::damaged(what, why));
    if length < OVERHEAD + PLAIN_ENTRY {
        return damaged("its header is too short to hold an entry (a truncated pack?)");
    }
    if length > MAX_HEADER {
        return damaged("its header says that it is larger than 16 MiB (a truncated pack?)");
    }
    if (length + TRAILER) as u64 > pack_size {
        return damaged("its header says that it is larger than the pack (a truncated pack?)");
    }
    Ok(length)
}

/// Opens the sealed header of a pack of `pack_size` bytes and lists its blobs.
pub fn parse_header(
    key: &SealKey,
    mut sealed: Vec<u8>,
    pack_size: u64,
    what: &str,
) -> Result<Vec<PackedBlob>> {
    let data_end = pack_size.saturating_sub((sealed.len() + TRAILER) as u64);
    let plain = key
        .open_in_place(&mut sealed)
        .map_err(|_| VaultError::damaged(what, "its header does not open"))?;
    let blobs = parse_entries(plain, what)?;
    let end = blobs
        .last()
        .map_or(0, |b| u64::from(b.offset) + u64::from(b.length));
    if end != data_end {
        return Err(VaultError::damaged(
            what,
            format!("its blobs end at {end}, its header begins at {data_end}"),
        ));
    }
    Ok(blobs)
}

/// Reads the entries of an opened header. Bytes from outside: every bound is checked.
pub fn parse_entries(mut plain: &[u8], what: &str) -> Result<Vec<PackedBlob>> {
    let damaged = |why: &str| VaultError::damaged(what, why);
    let mut blobs = Vec::with_capacity(plain.len() / PLAIN_ENTRY);
    let mut offset = 0u32;
    while !plain.is_empty() {
        let kind = match plain[0] {
            0 | 2 => BlobKind::Data,
            1 | 3 => BlobKind::Tree,
            _ => return Err(damaged("its header has an entry of an unknown type")),
        };
        let compressed = plain[0] >= 2;
        let size = if compressed {
            COMPRESSED_ENTRY
        } else {
            PLAIN_ENTRY
        };
        let entry = plain
            .get(..size)
            .ok_or_else(|| damaged("its header ends within an entry"))?;
        let number = |at: usize| {
            u32::from_le_bytes([entry[at], entry[at + 1], entry[at + 2], entry[at + 3]])
        };
        let length = number(1);
        if (length as usize) < OVERHEAD {
            return Err(damaged("its header has a blob that is too short to be one"));
        }
        let plain_length = compressed.then(|| number(5)).and_then(NonZeroU32::new);
        let mut id = [0; 32];
        id.copy_from_slice(&entry[size - 32..]);
        blobs.push(PackedBlob {
            kind,
            id: BlobId(id),
            offset,
            length,
            plain_length,
        });
        offset = offset
            .checked_add(length)
            .ok_or_else(|| damaged("its header describes more than 4 GiB"))?;
        plain = &plain[size..];
    }
    Ok(blobs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{env::SystemRandom, seal::KeyMaterial};

    fn key() -> SealKey {
        SealKey::new(&KeyMaterial::from_bytes(&[9; 64])).unwrap()
    }

    fn pack() -> FinishedPack {
        let mut pack = PackBuilder::new(Pages::default());
        for (n, plain) in [(1u8, None), (2, NonZeroU32::new(700)), (3, None)] {
            let sealed = key()
                .seal(&SystemRandom, &vec![n; usize::from(n) * 100])
                .unwrap();
            pack.add(BlobKind::Data, BlobId([n; 32]), plain, &sealed)
                .unwrap();
        }
        let expected = pack.len();
        let pack = pack.finish(&key(), &SystemRandom).unwrap();
        assert_eq!(pack.bytes.len(), expected);
        pack
    }

    fn read(bytes: &[u8]) -> Result<Vec<PackedBlob>> {
        let size = bytes.len() as u64;
        let end = bytes
            .len()
            .checked_sub(TRAILER)
            .ok_or_else(|| VaultError::damaged("x", "y"))?;
        let trailer = bytes[end..]
            .try_into()
            .map_err(|_| VaultError::damaged("x", "y"))?;
        let length = header_length(trailer, size, "x")?;
        parse_header(&key(), bytes[end - length..end].to_vec(), size, "x")
    }

    #[test]
    fn the_header_tells_what_is_in_the_pack() {
        let pack = pack();
        assert_eq!(read(&pack.bytes).unwrap(), pack.blobs);
        assert_eq!(pack.id.0, <[u8; 32]>::from(Sha256::digest(&*pack.bytes)));
        let second = pack.blobs[1];
        let (start, length) = (second.offset as usize, second.length as usize);
        assert_eq!(
            key().open(&pack.bytes[start..start + length]).unwrap(),
            vec![2; 200]
        );
    }

    #[test]
    fn every_truncation_is_damage() {
        let pack = pack();
        for length in 0..pack.bytes.len() {
            assert!(read(&pack.bytes[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn hostile_entries_do_no_harm() {
        let mut huge = vec![0];
        huge.extend_from_slice(&u32::MAX.to_le_bytes());
        huge.extend_from_slice(&[0; 32]);
        let twice = [huge.clone(), huge.clone()].concat();
        let tiny = vec![0; 37];
        for bad in [&twice[..], &tiny, &[4; 37], &huge[..36], &[2; 40]] {
            assert!(parse_entries(bad, "x").is_err());
        }
        assert_eq!(parse_entries(&huge, "x").unwrap().len(), 1);
        assert!(header_length(u32::MAX.to_le_bytes(), u64::MAX, "x").is_err());
        assert!(header_length(100u32.to_le_bytes(), 103, "x").is_err());
    }
}
