//! A tree in the order in which it is sent: each folder before what is in it, names ascending.
//!
//! The order is the point's alone, so the path of the last entry that the engine took says everything of
//! how far a restore came.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash as _, Hasher as _},
    vec::IntoIter,
};

use lifeboat_vault::{
    Reader,
    node::{Node, NodeKind},
    read::MAX_DEPTH,
};

use crate::{RecoveryError, Result};

/// One thing to send.
pub struct Entry {
    /// Below the root, `/` between names; empty for the root itself.
    pub path: Vec<u8>,
    /// What it is.
    pub node: Node,
    /// The first name of the same file.
    pub first: Option<Vec<u8>>,
}

/// Goes through a tree. Holds the folders above the present entry, and the first names of files that have
/// several.
pub struct Walk<'r> {
    reader: &'r Reader,
    root: Option<Node>,
    open: Vec<(IntoIter<Node>, usize)>,
    path: Vec<u8>,
    links: HashMap<(u64, u64), (u64, Vec<u8>)>,
}

impl<'r> Walk<'r> {
    /// From this node on, which is the first entry.
    pub fn new(reader: &'r Reader, root: &Node) -> Self {
        Self {
            reader,
            root: Some(root.clone()),
            open: Vec::new(),
            path: Vec::new(),
            links: HashMap::new(),
        }
    }

    /// The next entry.
    pub fn next(&mut self) -> Result<Option<Entry>> {
        if let Some(root) = self.root.take() {
            self.enter(&root)?;
            return Ok(Some(Entry {
                path: Vec::new(),
                node: root,
                first: None,
            }));
        }
        while let Some((nodes, length)) = self.open.last_mut() {
            let Some(node) = nodes.next() else {
                self.open.pop();
                continue;
            };
            self.path.truncate(*length);
            if !self.path.is_empty() {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(&node.name);
            self.enter(&node)?;
            let first = self.first_name(&node);
            return Ok(Some(Entry {
                path: self.path.clone(),
                node,
                first,
            }));
        }
        Ok(None)
    }

    /// Goes on behind an entry that was sent before.
    pub fn skip_through(&mut self, path: &[u8]) -> Result<()> {
        while let Some(entry) = self.next()? {
            if entry.path == path {
                break;
            }
        }
        Ok(())
    }

    fn enter(&mut self, node: &Node) -> Result<()> {
        let NodeKind::Dir { subtree } = node.kind else {
            return Ok(());
        };
        let hostile = |what: &str| {
            Err(RecoveryError::Refused(format!(
                "the recovery point holds {what} in {}; it was not written by an honest program, and nothing of it was put there",
                self.path.escape_ascii()
            )))
        };
        if self.open.len() >= MAX_DEPTH {
            return hostile("folders in folders without end");
        }
        let nodes = self.reader.tree(subtree)?.nodes;
        let mut before: Option<&[u8]> = None;
        for node in &nodes {
            let name = node.name.as_slice();
            let leads_away = name.is_empty()
                || matches!(name, b"." | b"..")
                || name.iter().any(|b| matches!(b, b'/' | 0));
            if leads_away || before == Some(name) {
                return hostile("a name that no file can have");
            }
            before = Some(name);
        }
        self.open.push((nodes.into_iter(), self.path.len()));
        Ok(())
    }

    /// The name under which the same file was met first. Numbers are used again: what differs in kind or
    /// content is another file.
    fn first_name(&mut self, node: &Node) -> Option<Vec<u8>> {
        let alone = matches!(node.kind, NodeKind::Dir { .. } | NodeKind::Socket);
        if alone || node.meta.links < 2 || node.meta.inode == 0 {
            return None;
        }
        let what = digest(&node.kind);
        let key = (node.meta.device_id, node.meta.inode);
        match self.links.get(&key) {
            Some((known, path)) if *known == what => Some(path.clone()),
            Some(_) => None,
            None => {
                self.links.insert(key, (what, self.path.clone()));
                None
            }
        }
    }
}

fn digest(kind: &NodeKind) -> u64 {
    let mut hasher = DefaultHasher::new();
    std::mem::discriminant(kind).hash(&mut hasher);
    match kind {
        NodeKind::File { size, content } => {
            size.hash(&mut hasher);
            content.iter().for_each(|id| id.0.hash(&mut hasher));
        }
        NodeKind::Symlink { target } => target.hash(&mut hasher),
        NodeKind::BlockDevice { device } | NodeKind::CharDevice { device } => {
            device.hash(&mut hasher);
        }
        _ => {}
    }
    hasher.finish()
}
