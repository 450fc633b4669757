//! The decoder of trees as restic and we write them: fields in their order, nothing escaped. What is otherwise in any way
//! is left to the other decoder.

use super::check_name;
use crate::{
    gojson::scan::Scan,
    id::BlobId,
    mode,
    node::{Metadata, Node, NodeKind, Timestamp},
};

/// The nodes in their order; `None` where something is unusual, or `afford` says no.
pub(super) fn nodes(bytes: &[u8], mut afford: impl FnMut(&Node) -> bool) -> Option<Vec<Node>> {
    let mut scan = Scan::new(bytes);
    scan.need(b"{\"nodes\":[")?;
    let mut nodes = Vec::new();
    if !scan.eat(b"]") {
        loop {
            let node = node(&mut scan)?;
            if !afford(&node) {
                return None;
            }
            nodes.push(node);
            if !scan.eat(b",") {
                break;
            }
        }
        scan.need(b"]")?;
    }
    scan.need(b"}")?;
    scan.end()?;
    Some(nodes)
}

pub(super) fn node(scan: &mut Scan<'_>) -> Option<Node> {
    scan.need(b"{\"name\":")?;
    let name = scan.plain()?.as_bytes().to_vec();
    check_name(&name).ok()?;
    scan.need(b",\"type\":")?;
    let kind = scan.plain()?;
    let mut meta = Metadata::default();
    if scan.eat(b",\"mode\":") {
        meta.mode = mode::permissions_from_go(scan.number32()?);
    }
    let mtime = time(scan, b",\"mtime\":")?;
    let atime = time(scan, b",\"atime\":")?;
    let ctime = time(scan, b",\"ctime\":")?;
    meta.mtime = moment(mtime)?;
    // Nearly always.
    meta.atime = if atime == mtime {
        meta.mtime
    } else {
        moment(atime)?
    };
    meta.ctime = if ctime == mtime {
        meta.mtime
    } else {
        moment(ctime)?
    };
    if scan.eat(b",\"uid\":") {
        meta.uid = scan.number32()?;
    }
    if scan.eat(b",\"gid\":") {
        meta.gid = scan.number32()?;
    }
    if scan.eat(b",\"user\":") {
        meta.user = scan.plain()?.to_owned();
    }
    if scan.eat(b",\"group\":") {
        meta.group = scan.plain()?.to_owned();
    }
    if scan.eat(b",\"inode\":") {
        meta.inode = scan.number()?;
    }
    if scan.eat(b",\"device_id\":") {
        meta.device_id = scan.number()?;
    }
    let mut size = 0;
    if scan.eat(b",\"size\":") {
        size = scan.number()?;
    }
    if scan.eat(b",\"links\":") {
        meta.links = scan.number()?;
    }
    let mut target = "";
    if scan.eat(b",\"linktarget\":") {
        target = scan.plain()?;
    }
    scan.need(b",\"content\":")?;
    let content = content(scan)?;
    let kind = match kind {
        "file" => NodeKind::File { size, content },
        "dir" => {
            scan.need(b",\"subtree\":")?;
            let subtree = BlobId(scan.id()?);
            NodeKind::Dir { subtree }
        }
        "symlink" => NodeKind::Symlink {
            target: target.as_bytes().to_vec(),
        },
        _ => return None,
    };
    scan.need(b"}")?;
    Some(Node { name, kind, meta })
}

fn time<'a>(scan: &mut Scan<'a>, key: &[u8]) -> Option<&'a str> {
    if scan.eat(key) {
        scan.plain()
    } else {
        Some("")
    }
}

fn moment(text: &str) -> Option<Timestamp> {
    match text {
        "" => Some(Timestamp::default()),
        text => Timestamp::parse_rfc3339(text),
    }
}

fn content(scan: &mut Scan<'_>) -> Option<Vec<BlobId>> {
    if scan.eat(b"null") || scan.eat(b"[]") {
        return Some(Vec::new());
    }
    scan.need(b"[")?;
    let mut ids = Vec::with_capacity(1);
    loop {
        ids.push(BlobId(scan.id()?));
        if !scan.eat(b",") {
            break;
        }
    }
    scan.need(b"]")?;
    Some(ids)
}
