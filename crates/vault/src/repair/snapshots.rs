//! Recovery points that lost something: a new point beside each, without what is gone, as `restic repair snapshots`
//! makes it.
//!
//! A file of which blobs are in no index keeps what is there of it, or is left out, as asked; a directory that cannot be
//! read is empty in the new point; a point whose root cannot be read has nothing to be saved. Everything that is taken
//! away is told by its path. The new point has the tag `repaired` (and those of the caller), names the old one as its
//! `original`, and the old one stays, unless it is asked to go, which it does when all new ones are durable.
//!
//! What a crash leaves: some of the new points. Run again, a point that was repaired the same way is found, not made
//! twice.

use std::{
    collections::HashMap,
    rc::Rc,
    sync::atomic::{AtomicBool, Ordering},
    vec,
};

use lifeboat_store::Area;
use sha2::{Digest, Sha256};

use crate::{
    blob::BlobKind,
    error::{ErrorKind, Result, VaultError},
    id::{BlobId, SnapshotId},
    index::Index,
    node::{Node, NodeKind, Tree},
    opened::Core,
    progress::Progress,
    read::MAX_DEPTH,
    repo::Vault,
    snapshot::Snapshot,
    tree,
    write::WriterOptions,
};

/// The tag of a point that was made so; restic's word.
pub const TAG_REPAIRED: &str = "repaired";

/// How to repair recovery points.
#[derive(Debug)]
pub struct RepairSnapshots<'a> {
    /// Leave files out of which something is gone, rather than keep what is there of them.
    pub drop_files: bool,
    /// Delete the old points, and those of which nothing is left.
    pub forget: bool,
    /// Say what would be done, and change nothing.
    pub dry_run: bool,
    /// Tags of the new points, beside [`TAG_REPAIRED`].
    pub tags: Vec<String>,
    /// How it is written.
    pub writer: WriterOptions,
    /// Ends it before the next point.
    pub stop: &'a AtomicBool,
}

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LossKind {
    /// Content is gone; what is there of it was kept.
    Shortened {
        /// Bytes before.
        from: u64,
        /// Bytes now.
        to: u64,
    },
    /// Content is gone, and the file is left out.
    Dropped,
    /// All content is there, but the size was wrong.
    SizeMended {
        /// Bytes before.
        from: u64,
        /// Bytes now.
        to: u64,
    },
    /// A directory that cannot be read is empty now.
    Emptied,
}

/// One path that is not what it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loss {
    /// From the root of the point, beginning with `/`.
    pub path: Vec<u8>,
    /// What happened to it.
    pub what: LossKind,
}

/// What became of one point in which something was lost.
#[derive(Debug)]
pub enum Repaired {
    /// There is a new one. `None`: a dry run.
    New(Option<SnapshotId>),
    /// It was repaired in the same way before, as this one.
    Before(SnapshotId),
    /// Nothing is left of it, for its root cannot be read: why.
    Nothing(String),
}

/// One point in which something was lost.
#[derive(Debug)]
pub struct RepairedSnapshot {
    /// The old point.
    pub id: SnapshotId,
    /// What became of it.
    pub outcome: Repaired,
    /// What it lost.
    pub losses: Vec<Loss>,
    /// Whether the old one was deleted.
    pub forgotten: bool,
}

/// What a repair did, or would do.
#[derive(Debug, Default)]
pub struct RepairedSnapshots {
    /// Points in which something was lost.
    pub points: Vec<RepairedSnapshot>,
    /// Points that are whole.
    pub whole: usize,
}

impl Vault {
    /// Repairs recovery points. See [`snapshots`](self).
    pub fn repair_snapshots(
        &self,
        points: &[(SnapshotId, Snapshot)],
        options: &RepairSnapshots<'_>,
        progress: &dyn Progress,
    ) -> Result<RepairedSnapshots> {
        let core = &*self.0;
        core.refuse_version_1()?;
        let _lock = self.shared_lock()?;
        // Points that were listed by now rest on index files that every listing must show.
        core.settle();
        progress.step("read index");
        let index = core.load_index()?.whole()?;
        refuse_lost_packs(core, &index)?;
        progress.step("read trees");
        let mut rewriter = Rewriter {
            core,
            index: &index,
            drop_files: options.drop_files,
            known: HashMap::new(),
            new: HashMap::new(),
            progress,
        };
        let all = self.snapshots()?.found;
        let mut result = RepairedSnapshots::default();
        let mut wanted = Vec::new();
        for (id, snapshot) in points {
            if options.stop.load(Ordering::Relaxed) {
                return Err(VaultError::Interrupted("the repair of points".to_owned()));
            }
            let (outcome, losses) = match rewriter.root(snapshot.tree)? {
                Rewritten::Same => {
                    result.whole += 1;
                    continue;
                }
                Rewritten::Lost(why) => (Repaired::Nothing(why), Rc::default()),
                Rewritten::New(tree, losses) => {
                    let new = repaired(*id, snapshot, tree, &options.tags);
                    match all.iter().find(|(_, other)| *other == new) {
                        Some((before, _)) => (Repaired::Before(*before), losses),
                        None => {
                            wanted.push((result.points.len(), new));
                            (Repaired::New(None), losses)
                        }
                    }
                }
            };
            result.points.push(RepairedSnapshot {
                id: *id,
                outcome,
                losses: losses.to_vec(),
                forgotten: false,
            });
        }
        if options.dry_run {
            return Ok(result);
        }
        if options.forget {
            let touched = |id: &SnapshotId| result.points.iter().any(|point| point.id == *id);
            let touched = points.iter().filter(|(id, _)| touched(id)).cloned();
            self.refuse_pinned(&touched.collect::<Vec<_>>())?;
        }
        let trees = rewriter.new;
        for (number, new) in wanted {
            progress.step("write points");
            let writer = self.writer(options.writer.clone())?;
            for bytes in trees.values() {
                writer.blob(BlobKind::Tree, bytes)?;
            }
            result.points[number].outcome = Repaired::New(Some(writer.commit(new)?));
        }
        if options.forget {
            let ids: Vec<SnapshotId> = result.points.iter().map(|point| point.id).collect();
            let forgotten = self.forget(&ids, options.writer.retry_lock, options.stop)?;
            for point in &mut result.points {
                point.forgotten = forgotten.contains(&point.id);
            }
        }
        Ok(result)
    }

    /// Before anything is written: what is pinned is not forgotten, and then there is no need for a second one.
    fn refuse_pinned(&self, points: &[(SnapshotId, Snapshot)]) -> Result<()> {
        let now = self.0.env.clock.now();
        for (id, snapshot) in points {
            if let Some(why) = snapshot.protected(now) {
                return Err(VaultError::Unsupported(format!(
                    "point {} would have to be forgotten, and {why}; `lifeboat unpin {}` releases it; nothing was changed",
                    id.short(),
                    id.short()
                )));
            }
        }
        Ok(())
    }
}

/// A blob in a pack that is gone looks as if it were there. And packs that are away for a day (a disk that is not
/// mounted) must not cost points anything.
fn refuse_lost_packs(core: &Core, index: &Index) -> Result<()> {
    let there: std::collections::HashSet<[u8; 32]> = core.list(Area::Data)?.into_iter().collect();
    let gone = index
        .packs()
        .iter()
        .filter(|pack| !there.contains(&pack.0))
        .count();
    match gone {
        0 => Ok(()),
        gone => Err(VaultError::Unsupported(format!(
            "the index names {gone} pack(s) that are not there; if they are lost for good, `lifeboat repair index` takes them out of it, and this can be run again; nothing was changed"
        ))),
    }
}

fn repaired(id: SnapshotId, snapshot: &Snapshot, tree: BlobId, tags: &[String]) -> Snapshot {
    let mut new = snapshot.clone();
    new.tree = Some(tree);
    new.original.get_or_insert(id);
    for tag in [TAG_REPAIRED]
        .into_iter()
        .chain(tags.iter().map(String::as_str))
    {
        if !new.tags.iter().any(|own| own == tag) {
            new.tags.push(tag.to_owned());
        }
    }
    new
}

/// What became of a tree.
#[derive(Clone)]
enum Rewritten {
    Same,
    /// A new one, and what it and those below it lost, with paths from it.
    New(BlobId, Rc<Vec<Loss>>),
    Lost(String),
}

struct Frame {
    tree: BlobId,
    left: vec::IntoIter<Node>,
    done: Vec<Node>,
    losses: Vec<Loss>,
}

struct Rewriter<'a> {
    core: &'a Core,
    index: &'a Index,
    drop_files: bool,
    known: HashMap<BlobId, Rewritten>,
    /// New trees.
    new: HashMap<BlobId, Vec<u8>>,
    progress: &'a dyn Progress,
}

impl Rewriter<'_> {
    fn root(&mut self, root: Option<BlobId>) -> Result<Rewritten> {
        let Some(root) = root else {
            return Ok(Rewritten::Lost("it names no tree".to_owned()));
        };
        let mut frames = Vec::new();
        self.enter(root, &mut frames)?;
        while let Some(frame) = frames.last_mut() {
            let subtree = match frame.left.as_slice().first().map(|node| &node.kind) {
                None => {
                    if let Some(frame) = frames.pop() {
                        let rewritten = self.end(&frame)?;
                        self.known.insert(frame.tree, rewritten);
                    }
                    continue;
                }
                Some(NodeKind::Dir { subtree }) => Some(*subtree),
                Some(_) => None,
            };
            let known = subtree.map(|subtree| self.known.get(&subtree).cloned());
            if let (Some(subtree), Some(None)) = (subtree, &known) {
                // Met again when what is below it is known.
                self.enter(subtree, &mut frames)?;
                continue;
            }
            let Some(node) = frame.left.next() else {
                continue;
            };
            let Some(known) = known.flatten() else {
                let (node, loss) = self.file(node);
                frame.done.extend(node);
                frame.losses.extend(loss);
                continue;
            };
            self.dir(frame, node, known)?;
        }
        Ok(self.known.get(&root).cloned().unwrap_or(Rewritten::Same))
    }

    /// Begins a tree; one that cannot be read is known at once.
    fn enter(&mut self, id: BlobId, frames: &mut Vec<Frame>) -> Result<()> {
        if self.known.contains_key(&id) {
            return Ok(());
        }
        if frames.len() >= MAX_DEPTH {
            let why = format!("more than {MAX_DEPTH} directories lie within each other");
            return Err(VaultError::damaged(format!("tree {id}"), why));
        }
        self.progress.advance(1, 0);
        match self.load(id) {
            Ok(tree) => frames.push(Frame {
                tree: id,
                left: tree.nodes.into_iter(),
                done: Vec::new(),
                losses: Vec::new(),
            }),
            // A store that is away for a moment must not cost a directory.
            Err(error) if error.kind() != ErrorKind::Damaged => return Err(error),
            Err(error) => drop(self.known.insert(id, Rewritten::Lost(error.to_string()))),
        }
        Ok(())
    }

    fn load(&self, id: BlobId) -> Result<Tree> {
        let kind = BlobKind::Tree;
        let location = self.index.find(kind, &id).ok_or(VaultError::MissingBlob {
            kind: kind.as_str(),
            id,
        })?;
        self.core.tree_at(id, &location)
    }

    fn dir(&mut self, frame: &mut Frame, mut node: Node, known: Rewritten) -> Result<()> {
        let mut path = vec![b'/'];
        path.extend_from_slice(&node.name);
        match known {
            Rewritten::Same => {}
            Rewritten::New(subtree, losses) => {
                node.kind = NodeKind::Dir { subtree };
                frame.losses.extend(losses.iter().map(|loss| Loss {
                    path: [path.as_slice(), &loss.path].concat(),
                    what: loss.what,
                }));
            }
            Rewritten::Lost(_) => {
                let subtree = self.save(&Tree::default())?;
                node.kind = NodeKind::Dir { subtree };
                frame.losses.push(Loss {
                    path,
                    what: LossKind::Emptied,
                });
            }
        }
        frame.done.push(node);
        Ok(())
    }

    /// What stays of a file, and what it lost.
    fn file(&self, mut node: Node) -> (Option<Node>, Option<Loss>) {
        let NodeKind::File { size, content } = &mut node.kind else {
            return (Some(node), None);
        };
        let before = content.len();
        let mut to = 0_u64;
        content.retain(|id| match self.index.find(BlobKind::Data, id) {
            Some(at) => {
                to = to.saturating_add(at.plain_len());
                true
            }
            None => false,
        });
        let from = std::mem::replace(size, to);
        let gone = content.len() < before;
        let what = match gone {
            false if from == to => return (Some(node), None),
            false => LossKind::SizeMended { from, to },
            true if self.drop_files => LossKind::Dropped,
            true => LossKind::Shortened { from, to },
        };
        let mut path = vec![b'/'];
        path.extend_from_slice(&node.name);
        let loss = Some(Loss { path, what });
        match what {
            LossKind::Dropped => (None, loss),
            _ => (Some(node), loss),
        }
    }

    fn end(&mut self, frame: &Frame) -> Result<Rewritten> {
        if frame.losses.is_empty() {
            return Ok(Rewritten::Same);
        }
        let nodes = frame.done.clone();
        let id = self.save(&Tree { nodes })?;
        Ok(Rewritten::New(id, Rc::new(frame.losses.clone())))
    }

    fn save(&mut self, tree: &Tree) -> Result<BlobId> {
        let bytes = tree::encode(tree)?;
        let id = BlobId(Sha256::digest(&bytes).into());
        self.new.insert(id, bytes);
        Ok(id)
    }
}
