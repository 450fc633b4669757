//! From sealed bytes in a pack to the plain bytes of a blob. Nothing comes out of here whose hash was
//! not checked.

use std::{
    cell::RefCell,
    io::{self, Read},
    num::NonZeroU32,
};

use lifeboat_store::{Area, StoreError};
use sha2::{Digest, Sha256};

use crate::{
    blob::BlobKind,
    error::{Result, VaultError},
    id::{BlobId, PackId},
    index::BlobLocation,
    node::Tree,
    opened::Core,
    seal::{IV_LEN, OVERHEAD, SealKey},
    tree,
    unpacked::object_name,
};

thread_local! {
    /// A context has 100 KB and more to set up: one for each thread, not for each blob.
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

/// A tree of more bytes is decoded while it is decompressed.
const STREAM_FROM: u32 = 1 << 20;

const TOO_LARGE: &str = "it is said to be larger than any program writes one";
const CHANGED: &str = "it does not open: its bytes were changed";
const WRONG_LENGTH: &str = "it does not decompress to the length that the index says";
const OTHER_CONTENT: &str = "its content does not match its name";

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
    let length = seal.open_in_place(&mut sealed).map_err(|_| CHANGED)?.len();
    let plain = match plain_length {
        None => {
            sealed.copy_within(IV_LEN..IV_LEN + length, 0);
            sealed.truncate(length);
            sealed
        }
        Some(expected) => decompress(&sealed[IV_LEN..IV_LEN + length], expected.get() as usize)?,
    };
    if <[u8; 32]>::from(Sha256::digest(&plain)) != id.0 {
        return Err(OTHER_CONTENT);
    }
    Ok(plain)
}

/// The same for a tree, decoded. One that is large is never in memory as bytes.
pub(crate) fn open_tree(
    seal: &SealKey,
    id: BlobId,
    plain_length: Option<NonZeroU32>,
    mut sealed: Vec<u8>,
) -> Result<Result<Tree>, &'static str> {
    let Some(expected) = plain_length
        .map(NonZeroU32::get)
        .filter(|n| *n >= STREAM_FROM)
    else {
        return open(seal, BlobKind::Tree, id, plain_length, sealed)
            .map(|plain| tree::decode(&plain));
    };
    if u64::from(expected) > BlobKind::Tree.largest() {
        return Err(TOO_LARGE);
    }
    let compressed = seal.open_in_place(&mut sealed).map_err(|_| CHANGED)?;
    let zstd = zstd::stream::read::Decoder::with_buffer(&*compressed);
    let mut plain = Hashed {
        from: zstd.map_err(|_| WRONG_LENGTH)?,
        hash: Sha256::new(),
        left: u64::from(expected),
        wrong: false,
    };
    let decoded = tree::decode_from(&mut plain, expected as usize);
    if let Ok(Some(_)) | Err(_) = &decoded {
        // An error may have come before the end; what is said of it must be true of these bytes.
        io::copy(&mut plain, &mut io::sink()).map_err(|_| WRONG_LENGTH)?;
        if plain.wrong || plain.left > 0 {
            return Err(WRONG_LENGTH);
        }
        if <[u8; 32]>::from(plain.hash.finalize()) != id.0 {
            return Err(OTHER_CONTENT);
        }
    }
    match decoded {
        Ok(Some(tree)) => Ok(Ok(tree)),
        Err(error) => Ok(Err(error)),
        Ok(None) => {
            let plain = decompress(compressed, expected as usize)?;
            if <[u8; 32]>::from(Sha256::digest(&plain)) != id.0 {
                return Err(OTHER_CONTENT);
            }
            Ok(tree::decode(&plain))
        }
    }
}

/// Bytes that are hashed as they are read, and of which there are so many and no more.
struct Hashed<R> {
    from: R,
    hash: Sha256,
    left: u64,
    wrong: bool,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.from.read(buffer).inspect_err(|_| self.wrong = true)?;
        let Some(left) = self.left.checked_sub(count as u64) else {
            self.wrong = true;
            return Err(io::ErrorKind::InvalidData.into());
        };
        self.left = left;
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
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
        .ok_or(WRONG_LENGTH)
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
        let opened = |sealed| open(&self.seal, kind, id, location.plain_length, sealed);
        if kind == BlobKind::Tree
            && let Some(tree) = self.near_tree(location, opened)
        {
            return Ok(tree);
        }
        let sealed = self.pack_range(location.pack, location.offset, location.length)?;
        opened(sealed).map_err(damaged)
    }

    /// Reads a directory from its pack.
    pub(crate) fn tree_at(&self, id: BlobId, location: &BlobLocation) -> Result<Tree> {
        let damaged =
            |why| VaultError::damaged(format!("tree blob {id} in pack {}", location.pack), why);
        if u64::from(location.length) > BlobKind::Tree.largest() {
            return Err(damaged(TOO_LARGE));
        }
        let opened = |sealed| open_tree(&self.seal, id, location.plain_length, sealed);
        let tree = match self.near_tree(location, opened) {
            Some(tree) => tree,
            None => {
                let sealed = self.pack_range(location.pack, location.offset, location.length)?;
                opened(sealed).map_err(damaged)?
            }
        };
        tree.map_err(|error| match error {
            VaultError::Damaged { why, .. } => VaultError::damaged(format!("tree {id}"), why),
            other => other,
        })
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
