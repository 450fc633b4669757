//! Directories that exist nowhere: what a recovery point puts around the data.

use std::{collections::BTreeMap, os::unix::ffi::OsStrExt, path::Path};

use lifeboat_vault::{
    chunk::ChunkPolicy,
    id::BlobId,
    node::{Metadata, Node, NodeKind, Timestamp, Tree},
    write::Writer,
};
use rustix::fs::CWD;

use crate::{
    CaptureError, Result,
    names::Names,
    pass::Facts,
    sys::{self, XattrOf},
};

/// Metadata of a live file or directory, as a capture would take it (a symbolic link's own).
pub fn metadata(path: &Path) -> Result<Metadata> {
    let bytes = path.as_os_str().as_bytes();
    let failed = |e| CaptureError::os("read", bytes, e);
    let stat = sys::stat_at(CWD, bytes).map_err(failed)?;
    let fd = sys::open_path(CWD, bytes).map_err(failed)?;
    let xattrs = match path.file_name() {
        // By the name in its directory, so that a link's own are read.
        Some(name) => {
            let above = match path.parent() {
                Some(p) if !p.as_os_str().is_empty() => p.as_os_str().as_bytes(),
                _ => b".",
            };
            let above = sys::open_dir_path(above).map_err(failed)?;
            sys::xattrs(&XattrOf::Name(&above, name.as_bytes())).map_err(failed)?
        }
        None => sys::xattrs(&XattrOf::Name(&fd, b".")).map_err(failed)?,
    };
    Ok(Facts::of(&stat).metadata(&xattrs, &Names::of_this_host()))
}

/// Builds a tree from captured nodes and from bytes, then writes it bottom-up.
///
/// Directories that a path needs come into being on the way, 0700 and root's. Paths are bytes
/// separated by `/`; leading and doubled slashes say nothing, so `binds` + an absolute path works.
#[derive(Debug)]
pub struct TreeBuilder {
    time: Timestamp,
    root: Dir,
}

#[derive(Debug, Default)]
struct Dir {
    meta: Option<Metadata>,
    children: BTreeMap<Vec<u8>, Child>,
}

#[derive(Debug)]
enum Child {
    Dir(Dir),
    Node(Node),
}

impl TreeBuilder {
    /// An empty tree. `time` is what its own directories and files bear.
    pub fn new(time: Timestamp) -> Self {
        Self {
            time,
            root: Dir::default(),
        }
    }

    fn meta(&self, mode: u32) -> Metadata {
        Metadata {
            mode,
            mtime: self.time,
            atime: self.time,
            ctime: self.time,
            user: "root".to_owned(),
            group: "root".to_owned(),
            links: 1,
            ..Metadata::default()
        }
    }

    /// Puts a captured node at a path; its name becomes the last component.
    pub fn insert(&mut self, path: impl AsRef<[u8]>, mut node: Node) -> Result<()> {
        let path = path.as_ref();
        let (dir, name) = self.place(path)?;
        node.name = name.to_vec();
        match dir.children.get_mut(name) {
            None => {
                dir.children.insert(name.to_vec(), Child::Node(node));
                Ok(())
            }
            Some(_) => Err(taken(path)),
        }
    }

    /// Puts a file with these bytes at a path.
    pub fn file_bytes(
        &mut self,
        writer: &Writer,
        path: impl AsRef<[u8]>,
        bytes: &[u8],
        mode: u32,
    ) -> Result<()> {
        let size = bytes.len() as u64;
        let mut file = writer.file(ChunkPolicy::for_file(size, size), size);
        file.write(bytes)?;
        let saved = file.finish()?;
        let kind = NodeKind::File {
            size: saved.size,
            content: saved.content,
        };
        let meta = self.meta(mode);
        self.insert(
            path,
            Node {
                name: Vec::new(),
                kind,
                meta,
            },
        )
    }

    /// Says what metadata a directory has, and that it is there even if nothing is put into it.
    pub fn dir(&mut self, path: impl AsRef<[u8]>, meta: Metadata) -> Result<()> {
        let path = path.as_ref();
        let (dir, name) = self.place(path)?;
        match dir
            .children
            .entry(name.to_vec())
            .or_insert_with(|| Child::Dir(Dir::default()))
        {
            Child::Dir(dir) => {
                dir.meta = Some(meta);
                Ok(())
            }
            Child::Node(_) => Err(taken(path)),
        }
    }

    /// The directory that a path lies in, and its last component.
    fn place<'p>(&mut self, path: &'p [u8]) -> Result<(&mut Dir, &'p [u8])> {
        let bad = |why: &str| {
            let path = String::from_utf8_lossy(path);
            CaptureError::Invalid(format!(
                "`{path}` cannot be a path in a recovery point: {why}"
            ))
        };
        let mut parts: Vec<&[u8]> = path
            .split(|b| *b == b'/')
            .filter(|p| !p.is_empty())
            .collect();
        if parts
            .iter()
            .any(|p| matches!(*p, b"." | b"..") || p.contains(&0))
        {
            return Err(bad("`.`, `..` and NUL are no names"));
        }
        let Some(name) = parts.pop() else {
            return Err(bad("it is empty"));
        };
        let mut dir = &mut self.root;
        for part in parts {
            let child = dir
                .children
                .entry(part.to_vec())
                .or_insert_with(|| Child::Dir(Dir::default()));
            match child {
                Child::Dir(next) => dir = next,
                Child::Node(_) => return Err(taken(path)),
            }
        }
        Ok((dir, name))
    }

    /// Writes all directories, the deepest first. The root's id is a snapshot's `tree`.
    pub fn write(self, writer: &Writer) -> Result<BlobId> {
        let default = self.meta(0o700);
        write_dir(self.root, writer, &default)
    }
}

fn write_dir(dir: Dir, writer: &Writer, default: &Metadata) -> Result<BlobId> {
    let mut nodes = Vec::with_capacity(dir.children.len());
    for (name, child) in dir.children {
        nodes.push(match child {
            Child::Node(node) => node,
            Child::Dir(mut dir) => {
                let meta = dir.meta.take().unwrap_or_else(|| default.clone());
                let subtree = write_dir(dir, writer, default)?;
                Node {
                    name,
                    kind: NodeKind::Dir { subtree },
                    meta,
                }
            }
        });
    }
    Ok(writer.tree(&Tree { nodes })?)
}

fn taken(path: &[u8]) -> CaptureError {
    let path = String::from_utf8_lossy(path);
    CaptureError::Invalid(format!(
        "something is at `{path}` in the recovery point already"
    ))
}
