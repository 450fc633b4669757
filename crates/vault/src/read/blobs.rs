//! From sealed bytes in a pack to the plain bytes of a blob. Nothing comes out of here whose hash was
//! not checked.

use std::{cell::RefCell, num::NonZeroU32};

use lifeboat_store::{Area, StoreError};
use sha2::{Digest, Sha256};

use crate::{
    blob::BlobKind,
    error::{Result, VaultError},
    id::{BlobId, PackId},
    index::BlobLocation,
    opened::Core,
    seal::{IV_LEN, OVERHEAD, SealKey},
    unpacked::object_name,
};

thread_local! {
    /// A context has 100 KB and more to set up: one for each thread, not for each blob.
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

const TOO_LARGE: &str = "it is said to be larger than any program writes one";

/// Opens one sealed blob, decompresses it and checks its hash. The error is the reason, for a
/// sentence that names the object.
pub(crate) fn open(
    seal: &SealKey,
    kind: BlobKind,
    id: BlobId,
    plain_length: Option<NonZeroU32>,
    mut sealed: Vec<u8>,
) -> Result<Vec<u8>, &'static str> {
    if sealed.len() < OVERHEAD {
        return Err("it is too short to be one");
    }
    if plain_length.is_some_and(|length| u64::from(length.get()) > kind.largest()) {
        return Err(TOO_LARGE);
    }
    let length = seal
        .open_in_place(&mut sealed)
        .map_err(|_| "it does not open: its bytes were changed")?
        .len();
    let plain = match plain_length {
        None => {
            sealed.copy_within(IV_LEN..IV_LEN + length, 0);
            sealed.truncate(length);
            sealed
        }
        Some(expected) => decompress(&sealed[IV_LEN..IV_LEN + length], expected.get() as usize)?,
    };
    if <[u8; 32]>::from(Sha256::digest(&plain)) != id.0 {
        return Err("its content does not match its name");
    }
    Ok(plain)
}

/// Bytes whose length is known before: never more memory than that.
fn decompress(compressed: &[u8], expected: usize) -> Result<Vec<u8>, &'static str> {
    let plain = DECOMPRESSOR.with_borrow_mut(|context| {
        if context.is_none() {
            *context = zstd::bulk::Decompressor::new().ok();
        }
        context
            .as_mut()
            .and_then(|context| context.decompress(compressed, expected).ok())
    });
    plain
        .filter(|plain| plain.len() == expected)
        .ok_or("it does not decompress to the length that the index says")
}

impl Core {
    /// Reads a blob from its pack.
    pub(crate) fn blob_at(
        &self,
        kind: BlobKind,
        id: BlobId,
        location: &BlobLocation,
    ) -> Result<Vec<u8>> {
        let damaged = |why| {
            let what = format!("{} blob {id} in pack {}", kind.as_str(), location.pack);
            VaultError::damaged(what, why)
        };
        // Before memory is asked for.
        if u64::from(location.length) > kind.largest() {
            return Err(damaged(TOO_LARGE));
        }
        if kind == BlobKind::Tree
            && let Some(tree) = self.near_tree(id, location)
        {
            return Ok(tree);
        }
        let sealed = self.pack_range(location.pack, location.offset, location.length)?;
        open(&self.seal, kind, id, location.plain_length, sealed).map_err(damaged)
    }

    /// Reads a range of a pack. A pack that is gone, or shorter than it was, is damage.
    pub(crate) fn pack_range(&self, pack: PackId, offset: u32, length: u32) -> Result<Vec<u8>> {
        let name = object_name(Area::Data, &pack.0)?;
        self.store
            .get_range(&name, u64::from(offset), length as usize)
            .map_err(|error| match error {
                StoreError::NotFound(_) => VaultError::PackGone(pack),
                StoreError::ShortRead { .. } => {
                    VaultError::damaged(format!("pack {pack}"), "it is shorter than the index says")
                }
                other => VaultError::store(format!("read {name}"))(other),
            })
    }
}
