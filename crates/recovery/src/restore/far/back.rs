//! What was sent, read back and compared: names, kinds, sizes, links, owners, modes, times and every byte.
//!
//! An engine's archive shows no extended attributes but capabilities, and whole seconds: beyond that
//! nothing is known of what it did with them.

use std::io::{self, Read};

use lifeboat_vault::{
    BlobKind,
    node::{Node, NodeKind},
};
use sha2::{Digest as _, Sha256};
use tar::{Entry, EntryType};

use super::{
    Target,
    decode::{self, Member},
    walk::{self, Walk},
};
use crate::{
    RecoveryError, Result,
    restore::data::{Data, DataStage},
};

/// So many differences are named.
const NAMED: usize = 5;

impl DataStage<'_> {
    /// Compares what the engine holds with what was sent. Content that differs ends the restore; what
    /// the engine did not take of owners, modes and times is said.
    pub(super) fn read_back(
        &self,
        target: &Target<'_>,
        node: &Node,
        done: &mut Data,
    ) -> Result<()> {
        let path = format!("/{}", String::from_utf8_lossy(&target.base));
        let stream = self.engine.archive_get(&target.helper.id, &path)?;
        let mut archive = tar::Archive::new(stream);
        let mut walk = Walk::new(self.reader, node);
        let mut differs = Vec::new();
        let wrong = |path: &[u8], why: &str| {
            Err(RecoveryError::Failed(format!(
                "{} was sent to the engine and is not what comes back: {} {why}; nothing was started, look at the engine's host and its disk",
                target.what,
                path.escape_ascii()
            )))
        };
        let mut entries = archive.entries().map_err(broke)?.raw(true);
        while let Some((member, mut content)) = decode::next(&mut entries).map_err(broke)? {
            self.ctx.stop_if_cancelled()?;
            let found = below_root(&member.name);
            let wanted = loop {
                match walk.next()? {
                    Some(next) if matches!(next.node.kind, NodeKind::Socket) => {}
                    other => break other,
                }
            };
            let Some(wanted) = wanted else {
                return wrong(&found, "was not sent");
            };
            if wanted.path != found {
                return wrong(&wanted.path, "is missing");
            }
            if let Some(why) = self.content_differs(&wanted, &member, &mut content)? {
                return wrong(&wanted.path, why);
            }
            if let Some(why) = self.meta_differs(&wanted.node, &member) {
                differs.push(format!("{} ({why})", wanted.path.escape_ascii()));
            }
        }
        while let Some(left) = walk.next()? {
            if !matches!(left.node.kind, NodeKind::Socket) {
                return wrong(&left.path, "is missing");
            }
        }
        if !differs.is_empty() {
            done.warnings.push(format!(
                "{}: the engine's host did not take every owner, mode or time: {} of them, e.g. {}",
                target.what,
                differs.len(),
                differs[..differs.len().min(NAMED)].join(", ")
            ));
        }
        Ok(())
    }

    fn content_differs<R: Read>(
        &self,
        wanted: &walk::Entry,
        found: &Member,
        content: &mut Entry<'_, R>,
    ) -> Result<Option<&'static str>> {
        let kind = found.header.entry_type();
        if kind == EntryType::Link {
            let known = wanted.node.meta.links > 1;
            return Ok((!known).then_some("is another name of something"));
        }
        let right = match &wanted.node.kind {
            NodeKind::Dir { .. } => kind.is_dir(),
            NodeKind::Symlink { target } => {
                kind.is_symlink() && found.link.as_ref() == Some(target)
            }
            NodeKind::Fifo => kind.is_fifo(),
            NodeKind::BlockDevice { device } => {
                kind.is_block_special() && is_device(found, *device)
            }
            NodeKind::CharDevice { device } => {
                kind.is_character_special() && is_device(found, *device)
            }
            NodeKind::File {
                size,
                content: blobs,
            } => {
                if !kind.is_file() || content.size() != *size {
                    return Ok(Some("is of another kind or length"));
                }
                for id in blobs {
                    let length = self.reader.blob_len(BlobKind::Data, *id).unwrap_or(0);
                    if !same_bytes(content, length, &id.0).map_err(broke)? {
                        return Ok(Some("has other content"));
                    }
                }
                true
            }
            NodeKind::Socket | NodeKind::Irregular => false,
        };
        Ok((!right).then_some("is of another kind"))
    }

    fn meta_differs(&self, node: &Node, found: &Member) -> Option<&'static str> {
        let (header, shift) = (&found.header, self.reach.shift());
        let (uid, gid) = (shift.uid(node.meta.uid), shift.gid(node.meta.gid));
        if found.uid != Some(u64::from(uid)) || found.gid != Some(u64::from(gid)) {
            return Some("owner");
        }
        let is_link = header.entry_type().is_symlink();
        if !is_link && header.mode().ok().map(|m| m & 0o7777) != Some(node.meta.mode & 0o7777) {
            return Some("mode");
        }
        let then = u64::try_from(node.meta.mtime.secs).ok();
        // Of before 1970 it was said already.
        if then.is_some() && header.mtime().ok() != then {
            return Some("time");
        }
        None
    }
}

fn is_device(found: &Member, device: u64) -> bool {
    let header = &found.header;
    header.device_major().ok().flatten() == Some(rustix::fs::major(device))
        && header.device_minor().ok().flatten() == Some(rustix::fs::minor(device))
}

/// Whether the next bytes have this hash.
fn same_bytes(from: &mut impl Read, length: u64, hash: &[u8; 32]) -> io::Result<bool> {
    let mut hasher = Sha256::new();
    let mut left = length;
    let mut piece = [0_u8; 64 << 10];
    while left > 0 {
        let want = piece
            .len()
            .min(usize::try_from(left).unwrap_or(piece.len()));
        from.read_exact(&mut piece[..want])?;
        hasher.update(&piece[..want]);
        left -= want as u64;
    }
    Ok(hasher.finalize()[..] == hash[..])
}

/// A name in the engine's archive without the folder that it begins with.
fn below_root(name: &[u8]) -> Vec<u8> {
    match name.iter().position(|b| *b == b'/') {
        Some(at) => name[at + 1..].to_vec(),
        None => Vec::new(),
    }
}

fn broke(error: io::Error) -> RecoveryError {
    RecoveryError::Failed(format!(
        "reading back what was sent to the engine failed: {error}; run the restore again"
    ))
}
