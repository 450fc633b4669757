//! One directory on its way into the vault, entry by entry.
//!
//! Up to a mebibyte it is gathered and saved as any blob is. What is larger is hashed and compressed as it comes: in memory
//! is what it is compressed to, about an eighth, and never all of its JSON.

use std::{io::Write as _, num::NonZeroU32};

use sha2::{Digest, Sha256};
use zstd::stream::write::Encoder as Zstd;

use super::{Writer, session::too_large_for_the_format};
use crate::{
    blob::BlobKind,
    error::{Result, VaultError},
    id::BlobId,
    node::Node,
    seal::IV_LEN,
    tree::Encoder,
};

/// Bytes of JSON that are in memory at once.
const PIECE: usize = 1 << 20;

/// Takes the entries of a directory, ascending by name. Dropped without [`finish`](Self::finish), it is forgotten.
pub struct TreeWriter<'w> {
    writer: &'w Writer,
    json: Encoder,
    large: Option<Large>,
}

/// What is known of a directory whose beginning is compressed already.
struct Large {
    hash: Sha256,
    length: u64,
    /// Behind room for the IV.
    compressed: Zstd<'static, Vec<u8>>,
}

fn failed(source: std::io::Error) -> VaultError {
    VaultError::Io {
        context: "compress a directory".to_owned(),
        source,
    }
}

impl<'w> TreeWriter<'w> {
    pub(super) fn new(writer: &'w Writer) -> Self {
        Self {
            writer,
            json: Encoder::default(),
            large: None,
        }
    }

    /// Appends an entry.
    pub fn node(&mut self, node: &Node) -> Result<()> {
        self.json.node(node)?;
        if self.json.bytes().len() >= PIECE {
            self.compress()?;
        }
        Ok(())
    }

    /// Saves the directory.
    pub fn finish(mut self) -> Result<BlobId> {
        self.writer.index_early()?;
        let session = &self.writer.session;
        self.json.end();
        if self.large.is_none() {
            return session.save(BlobKind::Tree, self.json.bytes());
        }
        self.compress()?;
        let Some(large) = self.large else {
            return Err(VaultError::Interrupted(
                "a directory was not saved".to_owned(),
            ));
        };
        let id = BlobId(large.hash.finalize().into());
        let too_large = || too_large_for_the_format(BlobKind::Tree, large.length);
        let length = u32::try_from(large.length).ok().and_then(NonZeroU32::new);
        let length = length.ok_or_else(too_large)?;
        let compressed = large.compressed.finish().map_err(failed)?;
        session.save_compressed_tree(id, length, compressed)?;
        Ok(id)
    }

    /// Hashes and compresses what was gathered.
    fn compress(&mut self) -> Result<()> {
        let large = match &mut self.large {
            Some(large) => large,
            none => {
                let level = self.writer.session.options.compression_level;
                none.insert(Large {
                    hash: Sha256::new(),
                    length: 0,
                    compressed: Zstd::new(vec![0; IV_LEN], level).map_err(failed)?,
                })
            }
        };
        let json = self.json.bytes();
        large.length += json.len() as u64;
        if large.length > BlobKind::Tree.largest() {
            return Err(too_large_for_the_format(BlobKind::Tree, large.length));
        }
        large.hash.update(&*json);
        large.compressed.write_all(json).map_err(failed)?;
        json.clear();
        Ok(())
    }
}
