//! What the kernel asks, and what it is told. Several threads at once.

mod kernel;

use std::{
    collections::{HashMap, HashSet},
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use fuser::{Errno, FileAttr, FileType, INodeNo};
use lifeboat_vault::{BlobId, Metadata, Node, NodeKind, Reader, Timestamp, Tree};
use parking_lot::Mutex;

use crate::{
    cache::Cache,
    content::Content,
    inode::{self, Inode, Inodes, ROOT},
    layout::{Folder, Item, MountedPoint, lay_out},
};

/// What lies in a point never changes.
const FOR_EVER: Duration = Duration::from_secs(24 * 3600);
/// Folders of points do.
const A_MOMENT: Duration = Duration::from_secs(1);
/// How often the points are looked at again, while somebody looks at their folders.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(10);
/// Directories that are kept decoded, by their entries.
const KEPT_ENTRIES: usize = 200_000;
/// Blobs that are decoded ahead of who reads one after another.
const AHEAD: usize = 2;
/// Damage is told in so many sentences at most.
const MOST_TOLD: usize = 10_000;

/// Where the points come from; asked now and then.
pub(crate) type Source = Box<dyn Fn() -> Result<Vec<MountedPoint>, String> + Send + Sync>;

pub(crate) struct PointsFs {
    reader: Reader,
    cache: Cache,
    source: Source,
    layout: Mutex<(Arc<Folder>, Instant)>,
    inodes: Inodes,
    trees: Mutex<Vec<(BlobId, Arc<Tree>)>>,
    files: Mutex<HashMap<u64, Arc<OpenFile>>>,
    folders: Mutex<HashMap<u64, Arc<Vec<Entry>>>>,
    next_handle: AtomicU64,
    told: Mutex<HashSet<String>>,
    owner: (u32, u32),
}

struct OpenFile {
    content: Content,
    name: Vec<u8>,
    /// Where the last read ended.
    last_end: AtomicU64,
}

/// A line of an open directory.
struct Entry {
    number: u64,
    kind: FileType,
    name: Vec<u8>,
}

impl PointsFs {
    pub(crate) fn new(reader: Reader, source: Source, cache: usize) -> io::Result<PointsFs> {
        let points = source().map_err(io::Error::other)?;
        Ok(PointsFs {
            cache: Cache::new(reader.clone(), cache)?,
            reader,
            source,
            layout: Mutex::new((Arc::new(lay_out(&points)), now())),
            inodes: Inodes::default(),
            trees: Mutex::default(),
            files: Mutex::default(),
            folders: Mutex::default(),
            next_handle: AtomicU64::new(1),
            told: Mutex::default(),
            owner: (
                rustix::process::getuid().as_raw(),
                rustix::process::getgid().as_raw(),
            ),
        })
    }

    /// The folders, with points that were made meanwhile.
    fn layout(&self) -> Arc<Folder> {
        let mut layout = self.layout.lock();
        if layout.1.elapsed() >= LOOK_AGAIN_AFTER {
            layout.1 = now();
            match (self.source)() {
                Ok(points) => layout.0 = Arc::new(lay_out(&points)),
                Err(why) => tracing::warn!("the points cannot be listed again: {why}"),
            }
        }
        layout.0.clone()
    }

    fn inode(&self, number: u64) -> Result<Inode, Errno> {
        match number {
            ROOT => Ok(Inode::Folder(self.layout())),
            number => self.inodes.get(number).ok_or(Errno::ESTALE),
        }
    }

    /// Says what is damaged, once.
    fn tell(&self, sentence: String) -> Errno {
        let mut told = self.told.lock();
        if told.len() < MOST_TOLD && !told.contains(&sentence) {
            tracing::warn!("{sentence}");
            told.insert(sentence);
        }
        Errno::EIO
    }

    fn tree(&self, id: BlobId) -> Result<Arc<Tree>, Errno> {
        let mut trees = self.trees.lock();
        if let Some(at) = trees.iter().position(|(known, _)| *known == id) {
            let found = trees.remove(at);
            trees.push(found.clone());
            return Ok(found.1);
        }
        drop(trees);
        let tree = self.reader.tree(id).map_err(|e| self.tell(e.to_string()))?;
        let tree = Arc::new(tree);
        let mut trees = self.trees.lock();
        trees.push((id, tree.clone()));
        let mut entries: usize = trees.iter().map(|(_, t)| t.nodes.len() + 10).sum();
        while entries > KEPT_ENTRIES && trees.len() > 1 {
            entries -= trees.remove(0).1.nodes.len() + 10;
        }
        Ok(tree)
    }

    /// The tree of a directory in a point, and the number of the point's root.
    fn tree_of(&self, number: u64, inode: &Inode) -> Result<Option<(Arc<Tree>, u64)>, Errno> {
        Ok(match inode {
            Inode::Point(point) => Some((self.tree(point.tree)?, number)),
            Inode::Node(_, _, root) => match inode.node().map(|node| &node.kind) {
                Some(NodeKind::Dir { subtree }) => Some((self.tree(*subtree)?, *root)),
                _ => return Err(Errno::ENOTDIR),
            },
            Inode::Link(_) => return Err(Errno::ENOTDIR),
            Inode::Folder(_) => None,
        })
    }

    fn find(&self, parent: u64, name: &[u8]) -> Result<(u64, Inode), Errno> {
        let above = self.inode(parent)?;
        if let Inode::Folder(_) = above {
            // As it is now: the kernel may remember a folder that has grown since.
            let folder = self.folder_now(parent, &above)?;
            let item = folder.items.get(name).ok_or(Errno::ENOENT)?;
            return Ok((inode::of_item(parent, name), item.into()));
        }
        let (tree, root) = self.tree_of(parent, &above)?.ok_or(Errno::ENOTDIR)?;
        let at = tree
            .nodes
            .binary_search_by(|node| node.name.as_slice().cmp(name));
        let at = at.map_err(|_| Errno::ENOENT)?;
        let number = inode::of_node(parent, root, &tree.nodes[at]);
        Ok((number, Inode::Node(tree, at, root)))
    }

    /// A folder of the layout with this number, as the layout is now.
    fn folder_now(&self, number: u64, known: &Inode) -> Result<Arc<Folder>, Errno> {
        let layout = self.layout();
        if number == ROOT {
            return Ok(layout);
        }
        let mut open = vec![(ROOT, layout)];
        while let Some((above, folder)) = open.pop() {
            for (name, item) in &folder.items {
                if let Item::Folder(below) = item {
                    let below_number = inode::of_item(above, name);
                    if below_number == number {
                        return Ok(below.clone());
                    }
                    open.push((below_number, below.clone()));
                }
            }
        }
        match known {
            Inode::Folder(folder) => Ok(folder.clone()),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn attributes(&self, number: u64, inode: &Inode) -> FileAttr {
        let plain = |kind, perm, size, time: Timestamp| FileAttr {
            ino: INodeNo(number),
            size,
            blocks: 0,
            atime: system_time(time),
            mtime: system_time(time),
            ctime: system_time(time),
            crtime: system_time(time),
            kind,
            perm,
            nlink: 1,
            uid: self.owner.0,
            gid: self.owner.1,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        };
        match inode {
            Inode::Folder(folder) => plain(FileType::Directory, 0o555, 0, folder.time),
            Inode::Link(to) => plain(
                FileType::Symlink,
                0o777,
                to.len() as u64,
                Timestamp::default(),
            ),
            Inode::Point(point) => {
                let time = Timestamp::parse_rfc3339(&point.time).unwrap_or_default();
                plain(FileType::Directory, 0o555, 0, time)
            }
            Inode::Node(..) => match inode.node() {
                Some(node) => {
                    let base = plain(kind_of(node), 0, 0, Timestamp::default());
                    self.node_attributes(base, node)
                }
                None => plain(FileType::RegularFile, 0, 0, Timestamp::default()),
            },
        }
    }

    fn node_attributes(&self, base: FileAttr, node: &Node) -> FileAttr {
        let Metadata {
            mode,
            mtime,
            atime,
            ctime,
            uid,
            gid,
            links,
            ..
        } = &node.meta;
        let (size, blocks, rdev) = match &node.kind {
            NodeKind::File { size, content } => {
                // Only what begins a hole as restic does can have one.
                let filled = match self.may_have_holes(content) {
                    true => {
                        Content::new(&self.reader, *size, content).map_or(*size, |c| c.filled())
                    }
                    false => *size,
                };
                (*size, filled.div_ceil(512), 0)
            }
            NodeKind::Symlink { target } => (target.len() as u64, 0, 0),
            NodeKind::BlockDevice { device } | NodeKind::CharDevice { device } => {
                (0, 0, *device as u32)
            }
            _ => (0, 0, 0),
        };
        FileAttr {
            size,
            blocks,
            rdev,
            perm: (*mode & 0o7777) as u16,
            mtime: system_time(*mtime),
            atime: system_time(*atime),
            ctime: system_time(*ctime),
            uid: *uid,
            gid: *gid,
            // One link tells `find` that it cannot count subdirectories by it.
            nlink: match node.kind {
                NodeKind::Dir { .. } => 1,
                _ => u32::try_from(*links).unwrap_or(u32::MAX).max(1),
            },
            ..base
        }
    }

    fn may_have_holes(&self, content: &[BlobId]) -> bool {
        content.contains(&crate::content::first_of_hole())
    }

    fn entries(&self, number: u64) -> Result<Vec<Entry>, Errno> {
        let inode = self.inode(number)?;
        let entry = |number, kind, name: &[u8]| Entry {
            number,
            kind,
            name: name.to_vec(),
        };
        let mut entries = vec![
            entry(number, FileType::Directory, b"."),
            entry(number, FileType::Directory, b".."),
        ];
        match self.tree_of(number, &inode)? {
            Some((tree, root)) => entries.extend(tree.nodes.iter().map(|node| {
                let below = inode::of_node(number, root, node);
                entry(below, kind_of(node), &node.name)
            })),
            None => {
                let folder = self.folder_now(number, &inode)?;
                entries.extend(folder.items.iter().map(|(name, item)| {
                    let kind = match item {
                        Item::Link(_) => FileType::Symlink,
                        _ => FileType::Directory,
                    };
                    entry(inode::of_item(number, name), kind, name)
                }));
            }
        }
        Ok(entries)
    }

    fn open_file(&self, number: u64) -> Result<OpenFile, Errno> {
        let inode = self.inode(number)?;
        let node = inode.node().ok_or(Errno::EISDIR)?;
        let NodeKind::File { size, content } = &node.kind else {
            return Err(Errno::EINVAL);
        };
        let content = Content::new(&self.reader, *size, content).map_err(|why| {
            self.tell(format!(
                "file `{}` is damaged: {why}",
                node.name.escape_ascii()
            ))
        })?;
        Ok(OpenFile {
            content,
            name: node.name.clone(),
            last_end: AtomicU64::new(0),
        })
    }

    fn read_at(&self, file: &OpenFile, offset: u64, size: usize) -> Result<Vec<u8>, Errno> {
        let content = &file.content;
        let end = content.size().min(offset.saturating_add(size as u64));
        let mut bytes = Vec::with_capacity(end.saturating_sub(offset) as usize);
        let mut position = offset;
        let mut last = None;
        while position < end {
            let (hole, until) = content.extent(position);
            if hole {
                let length = until.min(end) - position;
                bytes.resize(bytes.len() + length as usize, 0);
                position += length;
                continue;
            }
            let Some((number, begin)) = content.at(position) else {
                break;
            };
            let blob = self
                .cache
                .get(content.blobs[number])
                .map_err(|e| self.tell(format!("file `{}`: {e}", file.name.escape_ascii())))?;
            let from = (position - begin) as usize;
            let to = blob.len().min((end - begin) as usize);
            let part = blob.get(from..to).filter(|part| !part.is_empty());
            let part = part.ok_or_else(|| {
                let name = file.name.escape_ascii();
                self.tell(format!(
                    "file `{name}`: a blob of it is shorter than the index says"
                ))
            })?;
            bytes.extend_from_slice(part);
            position += part.len() as u64;
            last = Some(number);
        }
        // Who goes on where the last read ended will ask for what comes next.
        if file.last_end.swap(end, Ordering::Relaxed) == offset
            && let Some(last) = last
        {
            for id in content.blobs.iter().skip(last + 1).take(AHEAD) {
                self.cache.ahead(*id);
            }
        }
        Ok(bytes)
    }
}

/// A cache may tell the time by the system's clock: nothing in the vault depends on it.
fn now() -> Instant {
    Instant::now()
}

fn system_time(time: Timestamp) -> SystemTime {
    let nanos = Duration::from_nanos(u64::from(time.nanos));
    let whole = Duration::from_secs(time.secs.unsigned_abs());
    let base = match time.secs {
        0.. => SystemTime::UNIX_EPOCH.checked_add(whole),
        _ => SystemTime::UNIX_EPOCH.checked_sub(whole),
    };
    base.and_then(|base| base.checked_add(nanos))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

fn kind_of(node: &Node) -> FileType {
    match node.kind {
        NodeKind::Dir { .. } => FileType::Directory,
        NodeKind::Symlink { .. } => FileType::Symlink,
        NodeKind::BlockDevice { .. } => FileType::BlockDevice,
        NodeKind::CharDevice { .. } => FileType::CharDevice,
        NodeKind::Fifo => FileType::NamedPipe,
        NodeKind::Socket => FileType::Socket,
        NodeKind::File { .. } | NodeKind::Irregular => FileType::RegularFile,
    }
}

fn ttl(inode: &Inode) -> &'static Duration {
    match inode {
        Inode::Node(..) => &FOR_EVER,
        _ => &A_MOMENT,
    }
}
