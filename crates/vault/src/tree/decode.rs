//! The decoder: tolerant of every writer, not of what would harm a restore.

use std::{borrow::Cow, cell::Cell};

use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use serde::{
    Deserialize,
    de::{IgnoredAny, SeqAccess, Visitor},
};

use super::{check_name, shown, usual};
use crate::{
    error::{Result, VaultError},
    gojson,
    id::BlobId,
    mode,
    node::{Metadata, Node, NodeKind, Timestamp, Tree, Xattr},
};

/// What nodes may take in memory, for each byte of JSON and at least. What programs write takes about as much as
/// its JSON; entries with a name and nothing else take twenty times as much.
const MEMORY_FOR_A_BYTE: usize = 3;
const MEMORY_AT_LEAST: usize = 32 << 20;
/// Extended attributes of one file; Linux lists 64 KiB of names.
const MOST_XATTRS: usize = 1 << 16;

#[derive(Deserialize)]
struct RawTree {
    nodes: Option<Nodes>,
}

/// Turned into nodes one by one: directories of a million files should not be in memory twice.
struct Nodes(Result<Vec<Node>>);

thread_local! {
    /// What the nodes of the tree that this thread reads may take yet.
    static MEMORY: Cell<usize> = const { Cell::new(0) };
}

/// Takes what a node needs from the budget.
pub(super) fn afford(node: &Node) -> Result<()> {
    let content = match &node.kind {
        NodeKind::File { content, .. } => content.len() * size_of::<BlobId>(),
        NodeKind::Symlink { target } => target.len(),
        _ => 0,
    };
    let xattr = |x: &Xattr| size_of::<Xattr>() + x.name.len() + x.value.len();
    let xattrs: usize = node.meta.xattrs.iter().map(xattr).sum();
    let cost = size_of::<Node>() + node.name.len() + content + xattrs;
    let left = MEMORY.get().checked_sub(cost).ok_or_else(|| {
        let why = "its entries are so small and so many that they would fill the memory";
        VaultError::damaged("a tree", why)
    })?;
    MEMORY.set(left);
    Ok(())
}

impl<'de> Deserialize<'de> for Nodes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Nodes;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a list of nodes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Nodes, A::Error> {
                let mut nodes = Vec::new();
                while let Some(raw) = list.next_element()? {
                    match node(raw).and_then(|node| afford(&node).map(|()| node)) {
                        Ok(node) => nodes.push(node),
                        Err(error) => {
                            while list.next_element::<IgnoredAny>()?.is_some() {}
                            return Ok(Nodes(Err(error)));
                        }
                    }
                }
                Ok(Nodes(Ok(nodes)))
            }
        }
        deserializer.deserialize_seq(Each)
    }
}

/// Attributes, so many and no more.
struct RawXattrs<'a>(Vec<RawXattr<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for RawXattrs<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = RawXattrs<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "at most {MOST_XATTRS} extended attributes")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                let mut all = Vec::new();
                while let Some(raw) = list.next_element()? {
                    if all.len() == MOST_XATTRS {
                        return Err(serde::de::Error::invalid_length(MOST_XATTRS + 1, &self));
                    }
                    all.push(raw);
                }
                Ok(RawXattrs(all))
            }
        }
        deserializer.deserialize_seq(Each)
    }
}

/// Go leaves out or nulls what is zero, so everything may be absent. Unknown fields are ignored.
#[derive(Deserialize)]
pub(super) struct RawNode<'a> {
    #[serde(borrow)]
    name: Text<'a>,
    #[serde(rename = "type", borrow, default)]
    kind: Text<'a>,
    mode: Option<u32>,
    #[serde(borrow, default)]
    mtime: Text<'a>,
    #[serde(borrow, default)]
    atime: Text<'a>,
    #[serde(borrow, default)]
    ctime: Text<'a>,
    uid: Option<u32>,
    gid: Option<u32>,
    user: Option<String>,
    group: Option<String>,
    inode: Option<u64>,
    device_id: Option<u64>,
    size: Option<u64>,
    links: Option<u64>,
    #[serde(borrow, default)]
    linktarget: Text<'a>,
    #[serde(borrow, default)]
    linktarget_raw: Text<'a>,
    #[serde(borrow)]
    extended_attributes: Option<RawXattrs<'a>>,
    device: Option<u64>,
    content: Option<Vec<BlobId>>,
    subtree: Option<BlobId>,
}

#[derive(Deserialize)]
struct RawXattr<'a> {
    #[serde(borrow, default)]
    name: Text<'a>,
    #[serde(borrow, default)]
    value: Text<'a>,
}

/// A string that is borrowed where it has no escapes; absent and null are empty.
#[derive(Default)]
struct Text<'a>(Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Borrowed<'a>(#[serde(borrow)] Cow<'a, str>);
        let text = Option::<Borrowed<'a>>::deserialize(deserializer)?;
        Ok(text.map_or_else(Text::default, |text| Text(text.0)))
    }
}

/// Reads a tree blob.
///
/// Entries come back ascending by name: old repositories have trees in another order. Refused as damage:
/// JSON of another shape, names that are no names or stand there twice, a directory without a tree.
pub fn decode(bytes: &[u8]) -> Result<Tree> {
    allow(bytes.len());
    match usual::nodes(bytes, |node| afford(node).is_ok()) {
        Some(nodes) => in_order(nodes),
        None => decode_any(bytes),
    }
}

/// Sets the budget for a tree of so many bytes.
pub(super) fn allow(bytes: usize) {
    MEMORY.set(MEMORY_AT_LEAST.max(bytes.saturating_mul(MEMORY_FOR_A_BYTE)));
}

/// The same by a parser that takes every JSON.
pub(super) fn decode_any(bytes: &[u8]) -> Result<Tree> {
    allow(bytes.len());
    let raw: RawTree = serde_json::from_slice(bytes).map_err(|error| {
        VaultError::damaged("a tree", format!("it is no directory listing ({error})"))
    })?;
    match raw.nodes {
        Some(Nodes(nodes)) => in_order(nodes?),
        None => Ok(Tree::default()),
    }
}

pub(super) fn in_order(mut nodes: Vec<Node>) -> Result<Tree> {
    if !nodes.is_sorted_by(|a, b| a.name < b.name) {
        nodes.sort_by(|a, b| a.name.cmp(&b.name));
        if let Some([twice, _]) = nodes.array_windows().find(|[a, b]| a.name == b.name) {
            let why = format!("`{}` stands in it twice", shown(&twice.name));
            return Err(VaultError::damaged("a tree", why));
        }
    }
    Ok(Tree { nodes })
}

pub(super) fn node(raw: RawNode<'_>) -> Result<Node> {
    let Some(name) = gojson::unquote(&raw.name.0) else {
        let why = format!(
            "the name `{}` is not quoted as names are",
            raw.name.0.escape_debug()
        );
        return Err(VaultError::damaged("a tree", why));
    };
    check_name(&name)?;
    let damaged = |why: &str| VaultError::damaged("a tree", format!("`{}` {why}", shown(&name)));
    let kind = match raw.kind.0.as_ref() {
        "file" => NodeKind::File {
            size: raw.size.unwrap_or(0),
            content: raw.content.unwrap_or_default(),
        },
        "dir" => NodeKind::Dir {
            subtree: raw.subtree.ok_or_else(|| damaged("has no subtree"))?,
        },
        "symlink" if raw.linktarget_raw.0.is_empty() => NodeKind::Symlink {
            target: raw.linktarget.0.into_owned().into_bytes(),
        },
        "symlink" => NodeKind::Symlink {
            target: BASE64
                .decode(raw.linktarget_raw.0.as_bytes())
                .map_err(|_| damaged("has a link target that is no base64"))?,
        },
        "dev" => NodeKind::BlockDevice {
            device: raw.device.unwrap_or(0),
        },
        "chardev" => NodeKind::CharDevice {
            device: raw.device.unwrap_or(0),
        },
        "fifo" => NodeKind::Fifo,
        "socket" => NodeKind::Socket,
        // `irregular`, and what a later version may bring: shown, not restored.
        _ => NodeKind::Irregular,
    };
    let time = |text: &Text<'_>, which| {
        if text.0.is_empty() {
            return Ok(Timestamp::default());
        }
        Timestamp::parse_rfc3339(&text.0).ok_or_else(|| damaged(which))
    };
    let xattrs = raw
        .extended_attributes
        .map_or_else(Vec::new, |xattrs| xattrs.0)
        .into_iter()
        .map(|xattr| {
            let value = BASE64
                .decode(xattr.value.0.as_bytes())
                .map_err(|_| damaged("has an extended attribute that is no base64"))?;
            Ok(Xattr {
                name: xattr.name.0.into_owned().into_bytes(),
                value,
            })
        })
        .collect::<Result<Vec<_>>>()?;
    let meta = Metadata {
        mode: mode::permissions_from_go(raw.mode.unwrap_or(0)),
        mtime: time(&raw.mtime, "has an unreadable mtime")?,
        atime: time(&raw.atime, "has an unreadable atime")?,
        ctime: time(&raw.ctime, "has an unreadable ctime")?,
        uid: raw.uid.unwrap_or(0),
        gid: raw.gid.unwrap_or(0),
        user: raw.user.unwrap_or_default(),
        group: raw.group.unwrap_or_default(),
        inode: raw.inode.unwrap_or(0),
        device_id: raw.device_id.unwrap_or(0),
        links: raw.links.unwrap_or(0),
        xattrs,
    };
    Ok(Node { name, kind, meta })
}
