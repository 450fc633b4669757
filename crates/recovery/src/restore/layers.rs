//! What had been put into a writable layer, back into a container that has not started yet.

use std::io::Read;

use lifeboat_engine::Engine;
use lifeboat_plan::manifest::LayerRecord;
use lifeboat_vault::{
    Reader,
    id::BlobId,
    node::{Node, NodeKind},
};
use tar::{Builder, EntryType, Header};

use crate::{RecoveryError, Result};

/// Puts the captured paths of one layer, which lie below `place` in the point, into the container `id`.
pub fn put_layer(
    engine: &dyn Engine,
    reader: &Reader,
    root: BlobId,
    place: &str,
    id: &str,
    layer: &LayerRecord,
) -> Result<()> {
    let mut tar = Builder::new(Vec::new());
    for path in &layer.captured {
        let place = format!("{place}{path}");
        let parts: Vec<&[u8]> = place.split('/').map(str::as_bytes).collect();
        let node = reader.lookup(root, &parts)?.ok_or_else(|| {
            RecoveryError::Failed(format!("{place} is missing from the recovery point"))
        })?;
        append(
            &mut tar,
            reader,
            path.trim_start_matches('/').as_bytes(),
            &node,
            true,
        )?;
    }
    let bytes = tar.into_inner()?;
    if layer.captured.is_empty() {
        return Ok(());
    }
    Ok(engine.archive_put(id, "/", &mut bytes.as_slice())?)
}

/// One node, if `deep` with everything below it. Held in memory: for what is bounded, as what is captured of a
/// layer is.
pub(super) fn append(
    tar: &mut Builder<Vec<u8>>,
    reader: &Reader,
    path: &[u8],
    node: &Node,
    deep: bool,
) -> Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(node.meta.mode);
    header.set_uid(u64::from(node.meta.uid));
    header.set_gid(u64::from(node.meta.gid));
    header.set_mtime(u64::try_from(node.meta.mtime.secs).unwrap_or(0));
    let xattrs: Vec<(String, &[u8])> = node
        .meta
        .xattrs
        .iter()
        .map(|x| {
            (
                format!("SCHILY.xattr.{}", String::from_utf8_lossy(&x.name)),
                x.value.as_slice(),
            )
        })
        .collect();
    if !xattrs.is_empty() {
        tar.append_pax_extensions(xattrs.iter().map(|(name, value)| (name.as_str(), *value)))?;
    }
    let name = as_path(path);
    match &node.kind {
        NodeKind::File { size, .. } => {
            let mut content = Vec::new();
            reader.file(node)?.read_to_end(&mut content)?;
            header.set_entry_type(EntryType::Regular);
            header.set_size(*size);
            tar.append_data(&mut header, name, content.as_slice())?;
        }
        NodeKind::Symlink { target } => {
            header.set_entry_type(EntryType::Symlink);
            header.set_size(0);
            tar.append_link(&mut header, name, as_path(target))?;
        }
        NodeKind::Fifo => {
            header.set_entry_type(EntryType::Fifo);
            header.set_size(0);
            tar.append_data(&mut header, name, std::io::empty())?;
        }
        NodeKind::Dir { subtree } => {
            header.set_entry_type(EntryType::Directory);
            header.set_size(0);
            tar.append_data(&mut header, name, std::io::empty())?;
            let below = if deep {
                reader.tree(*subtree)?.nodes
            } else {
                Vec::new()
            };
            for child in below {
                let mut below = path.to_vec();
                below.push(b'/');
                below.extend_from_slice(&child.name);
                append(tar, reader, &below, &child, true)?;
            }
        }
        _ => {}
    }
    Ok(())
}

pub(super) fn as_path(bytes: &[u8]) -> &std::path::Path {
    use std::os::unix::ffi::OsStrExt;
    std::path::Path::new(std::ffi::OsStr::from_bytes(bytes))
}
