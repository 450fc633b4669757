//! Index files as restic and we write them, read without a general parser; what is otherwise in any way is left to that.

use std::num::NonZeroU32;

use super::{IndexFile, IndexedPack};
use crate::{
    blob::BlobKind,
    gojson::scan::Scan,
    id::{BlobId, PackId},
    pack::PackedBlob,
};

/// What the file says; `None` where something is unusual: marks, too, are left to the other parser.
pub(super) fn parse(bytes: &[u8]) -> Option<IndexFile> {
    let mut scan = Scan::new(bytes);
    scan.need(b"{\"packs\":[")?;
    let mut packs = Vec::new();
    if !scan.eat(b"]") {
        loop {
            packs.push(pack(&mut scan)?);
            if !scan.eat(b",") {
                break;
            }
        }
        scan.need(b"]")?;
    }
    scan.need(b"}")?;
    scan.end()?;
    Some(IndexFile {
        packs,
        ..IndexFile::default()
    })
}

fn pack(scan: &mut Scan<'_>) -> Option<IndexedPack> {
    scan.need(b"{\"id\":")?;
    let id = PackId(scan.id()?);
    scan.need(b",\"blobs\":[")?;
    let mut blobs = Vec::new();
    if !scan.eat(b"]") {
        loop {
            blobs.push(blob(scan)?);
            if !scan.eat(b",") {
                break;
            }
        }
        scan.need(b"]")?;
    }
    let mut pack = IndexedPack::new(id, blobs);
    if scan.eat(b",\"time\":") {
        pack.time = Some(scan.plain()?.to_owned());
    }
    if scan.eat(b",\"size\":") {
        pack.size = Some(scan.number()?);
    }
    scan.need(b"}")?;
    Some(pack)
}

fn blob(scan: &mut Scan<'_>) -> Option<PackedBlob> {
    scan.need(b"{\"id\":")?;
    let id = BlobId(scan.id()?);
    scan.need(b",\"type\":\"")?;
    let kind = if scan.eat(b"data\"") {
        BlobKind::Data
    } else {
        scan.need(b"tree\"")?;
        BlobKind::Tree
    };
    scan.need(b",\"offset\":")?;
    let offset = scan.number32()?;
    scan.need(b",\"length\":")?;
    let length = scan.number32()?;
    let mut plain_length = None;
    if scan.eat(b",\"uncompressed_length\":") {
        plain_length = NonZeroU32::new(scan.number32()?);
    }
    scan.need(b"}")?;
    Some(PackedBlob {
        kind,
        id,
        offset,
        length,
        plain_length,
    })
}
