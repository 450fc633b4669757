//! The hand-written encoder: one pass, one buffer.

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};

use super::{check_name, shown};
use crate::{
    error::{Result, VaultError},
    gojson,
    id::BlobId,
    mode,
    node::{Node, NodeKind, Timestamp, Tree},
};

/// The bytes of a tree blob.
///
/// Left out as restic does: `links` of directories, and `device_id` of what has no further hard links (or
/// trees would change at each mount). Fails where names are not strictly ascending or are no names:
/// readers would call such a tree damaged.
pub fn encode(tree: &Tree) -> Result<Vec<u8>> {
    let ids: usize = tree.nodes.iter().map(content_length).sum();
    let mut encoder = Encoder::default();
    encoder
        .writer
        .out
        .reserve(64 + tree.nodes.len() * 384 + ids * 67);
    for node in &tree.nodes {
        encoder.node(node)?;
    }
    encoder.end();
    Ok(encoder.writer.out)
}

/// The same, entry by entry, for directories that should not be in memory as nodes and as bytes at once.
#[derive(Default)]
pub struct Encoder {
    writer: Writer,
    last: Option<Vec<u8>>,
}

impl Encoder {
    /// Appends an entry. Fails where its name does not come after the one before, or is none.
    pub fn node(&mut self, node: &Node) -> Result<()> {
        check_name(&node.name)?;
        match &mut self.last {
            Some(last) if last.as_slice() >= node.name.as_slice() => {
                let name = shown(&node.name);
                return Err(VaultError::Invalid(format!(
                    "a tree's names must ascend, but `{name}` does not"
                )));
            }
            Some(last) => {
                last.clear();
                last.extend_from_slice(&node.name);
                self.writer.out.push(b',');
            }
            None => {
                self.last = Some(node.name.clone());
                self.writer.out.extend_from_slice(BEGIN);
            }
        }
        self.writer.node(node);
        Ok(())
    }

    /// Nothing follows.
    pub fn end(&mut self) {
        if self.last.is_none() {
            self.writer.out.extend_from_slice(BEGIN);
        }
        self.writer.out.extend_from_slice(b"]}\n");
    }

    /// The bytes that were not taken yet. Whoever takes them clears them.
    pub fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.writer.out
    }
}

const BEGIN: &[u8] = b"{\"nodes\":[";

fn content_length(node: &Node) -> usize {
    match &node.kind {
        NodeKind::File { content, .. } => content.len(),
        _ => 0,
    }
}

#[derive(Default)]
struct Writer {
    out: Vec<u8>,
    quoted: String,
    /// Day (since 1970) and text of the last date: neighbours often share it.
    date: Option<(i64, Vec<u8>)>,
}

impl Writer {
    fn node(&mut self, node: &Node) {
        let meta = &node.meta;
        let (kind, file_type) = kind_and_type(&node.kind);
        self.out.extend_from_slice(b"{\"name\":");
        self.name(&node.name);
        self.out.extend_from_slice(b",\"type\":\"");
        self.out.extend_from_slice(kind.as_bytes());
        self.out.push(b'"');
        self.number(
            ",\"mode\":",
            u64::from(mode::permissions_to_go(meta.mode) | file_type),
        );
        self.time(",\"mtime\":\"", meta.mtime);
        self.time(",\"atime\":\"", meta.atime);
        self.time(",\"ctime\":\"", meta.ctime);
        self.number_or_zero(",\"uid\":", u64::from(meta.uid));
        self.number_or_zero(",\"gid\":", u64::from(meta.gid));
        self.text(",\"user\":", meta.user.as_bytes());
        self.text(",\"group\":", meta.group.as_bytes());
        self.number(",\"inode\":", meta.inode);
        let links = if matches!(node.kind, NodeKind::Dir { .. }) {
            0
        } else {
            meta.links
        };
        self.number(
            ",\"device_id\":",
            if links > 1 { meta.device_id } else { 0 },
        );
        if let NodeKind::File { size, .. } = node.kind {
            self.number(",\"size\":", size);
        }
        self.number(",\"links\":", links);
        if let NodeKind::Symlink { target } = &node.kind {
            self.text(",\"linktarget\":", target);
            if std::str::from_utf8(target).is_err() {
                self.base64(",\"linktarget_raw\":", target);
            }
        }
        for (i, xattr) in meta.xattrs.iter().enumerate() {
            let before: &[u8] = if i == 0 {
                b",\"extended_attributes\":[{\"name\":"
            } else {
                b",{\"name\":"
            };
            self.out.extend_from_slice(before);
            gojson::push_json_string(&mut self.out, &xattr.name);
            self.base64(",\"value\":", &xattr.value);
            self.out.push(b'}');
        }
        if !meta.xattrs.is_empty() {
            self.out.push(b']');
        }
        if let NodeKind::BlockDevice { device } | NodeKind::CharDevice { device } = node.kind {
            self.number(",\"device\":", device);
        }
        match &node.kind {
            NodeKind::File { content, .. } => self.content(content),
            NodeKind::Dir { subtree } => {
                self.out
                    .extend_from_slice(b",\"content\":null,\"subtree\":");
                self.id(subtree);
            }
            _ => self.out.extend_from_slice(b",\"content\":null"),
        }
        self.out.push(b'}');
    }

    fn name(&mut self, name: &[u8]) {
        if gojson::is_plain(name) {
            gojson::push_json_string(&mut self.out, name);
        } else {
            self.quoted.clear();
            gojson::quote(&mut self.quoted, name);
            gojson::push_json_string(&mut self.out, self.quoted.as_bytes());
        }
    }

    /// A number that is left out when it is zero.
    fn number(&mut self, key: &str, value: u64) {
        if value != 0 {
            self.number_or_zero(key, value);
        }
    }

    fn number_or_zero(&mut self, key: &str, mut value: u64) {
        self.out.extend_from_slice(key.as_bytes());
        let mut digits = [0; 20];
        let mut at = digits.len();
        loop {
            at -= 1;
            digits[at] = b'0' + (value % 10) as u8;
            value /= 10;
            if value == 0 {
                break;
            }
        }
        self.out.extend_from_slice(&digits[at..]);
    }

    /// A string that is left out when it is empty.
    fn text(&mut self, key: &str, value: &[u8]) {
        if !value.is_empty() {
            self.out.extend_from_slice(key.as_bytes());
            gojson::push_json_string(&mut self.out, value);
        }
    }

    fn base64(&mut self, key: &str, value: &[u8]) {
        self.out.extend_from_slice(key.as_bytes());
        self.out.push(b'"');
        self.out.extend_from_slice(BASE64.encode(value).as_bytes());
        self.out.push(b'"');
    }

    fn time(&mut self, key: &str, time: Timestamp) {
        self.out.extend_from_slice(key.as_bytes());
        let day = time.secs.div_euclid(86_400);
        if self.date.as_ref().is_none_or(|(known, _)| *known != day) {
            let midnight = Timestamp {
                secs: day.saturating_mul(86_400),
                nanos: 0,
            };
            let text = midnight.to_rfc3339().into_bytes();
            self.date = Some((day, text));
        }
        if let Some((_, text)) = &self.date {
            // Ten digits of date and the `T`.
            self.out
                .extend_from_slice(text.get(..11).unwrap_or_default());
        }
        let second = time.secs.rem_euclid(86_400) as u64;
        self.padded(second / 3600, 2, b':');
        self.padded(second / 60 % 60, 2, b':');
        self.padded(second % 60, 2, b'.');
        self.padded(u64::from(time.nanos.min(999_999_999)), 9, b'Z');
        while let [before @ .., b'0' | b'.', b'Z'] = self.out.as_slice() {
            let (keep, point) = (before.len(), self.out[before.len()] == b'.');
            self.out.truncate(keep);
            self.out.push(b'Z');
            if point {
                break;
            }
        }
        self.out.push(b'"');
    }

    fn padded(&mut self, mut value: u64, width: usize, after: u8) {
        let begin = self.out.len();
        self.out.resize(begin + width, b'0');
        for digit in self.out[begin..].iter_mut().rev() {
            *digit = b'0' + (value % 10) as u8;
            value /= 10;
        }
        self.out.push(after);
    }

    fn content(&mut self, ids: &[BlobId]) {
        self.out.extend_from_slice(b",\"content\":[");
        for (i, id) in ids.iter().enumerate() {
            if i > 0 {
                self.out.push(b',');
            }
            self.id(id);
        }
        self.out.push(b']');
    }

    fn id(&mut self, id: &BlobId) {
        self.out.push(b'"');
        for byte in id.0 {
            let digits = b"0123456789abcdef";
            self.out.push(digits[usize::from(byte >> 4)]);
            self.out.push(digits[usize::from(byte & 15)]);
        }
        self.out.push(b'"');
    }
}

/// The format's word for a kind and Go's bits for it.
fn kind_and_type(kind: &NodeKind) -> (&'static str, u32) {
    let (word, st_type) = match kind {
        NodeKind::File { .. } => ("file", 0o100_000),
        NodeKind::Dir { .. } => ("dir", 0o040_000),
        NodeKind::Symlink { .. } => ("symlink", 0o120_000),
        NodeKind::BlockDevice { .. } => ("dev", 0o060_000),
        NodeKind::CharDevice { .. } => ("chardev", 0o020_000),
        NodeKind::Fifo => ("fifo", 0o010_000),
        NodeKind::Socket => ("socket", 0o140_000),
        NodeKind::Irregular => ("irregular", 0),
    };
    (word, mode::to_go(st_type))
}
