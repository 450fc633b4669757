//! What recovery points hold and what that costs: logical bytes, what remains of them when equal blocks are kept
//! once, and what that takes compressed and sealed.
//!
//! Each tree is read once for all points together. Memory: the index, one bit a blob for each group, and some 100 bytes
//! a directory.

use std::collections::{HashMap, HashSet};

use lifeboat_store::Area;

use crate::{
    bits::Bits,
    closure::Closure,
    error::{Result, VaultError},
    id::BlobId,
    node::{NodeKind, Tree},
    progress::Progress,
    repo::Vault,
};

/// Figures of some recovery points together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct GroupStats {
    /// Recovery points.
    pub points: u64,
    /// Entries of all points: names, so that a file with several counts as often.
    pub entries: u64,
    /// Bytes that a restore of each point would write; a file with several names counts once a point.
    pub logical_bytes: u64,
    /// Different blobs.
    pub blobs: u64,
    /// Their plain bytes: what remains of the logical ones when equal blocks are kept once. Directories included.
    pub plain_bytes: u64,
    /// Their bytes in the vault, compressed and sealed.
    pub stored_bytes: u64,
    /// Of these, what no other group needs: what the vault could become smaller by without this one.
    pub own_stored_bytes: u64,
}

/// Figures of a vault.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct VaultStats {
    /// Of each group, in the order in which they were asked for.
    pub groups: Vec<GroupStats>,
    /// Of all groups together.
    pub total: GroupStats,
    /// Packs in the vault.
    pub packs: u64,
    /// Their bytes.
    pub pack_bytes: u64,
    /// Bytes of blobs that no group needs.
    pub unused_bytes: u64,
}

/// One directory by itself.
#[derive(Default)]
struct Own {
    entries: u64,
    bytes: u64,
    /// Inode, device and bytes of files with several names.
    linked: Vec<(u64, u64, u64)>,
}

/// A directory with all below it, but for files with several names.
#[derive(Clone, Copy, Default)]
struct Below {
    entries: u64,
    bytes: u64,
    /// There are files with several names at or below it.
    linked: bool,
}

impl Vault {
    /// Figures of groups of recovery points, which are given by their root trees. Blobs that no group needs are
    /// counted as unused: give all points of the vault.
    pub fn stats(&self, groups: &[Vec<BlobId>], progress: &dyn Progress) -> Result<VaultStats> {
        let core = &*self.0;
        let _lock = self.shared_lock()?;
        progress.step("read index");
        let index = core.load_index()?.whole()?;
        progress.step("read trees");
        let mut sizes = Sizes {
            closure: Closure::new(core, &index),
            own: HashMap::new(),
            below: HashMap::new(),
        };
        let mut stats = VaultStats::default();
        let all = Bits::new(index.len());
        let twice = Bits::new(index.len());
        let mut used = Vec::new();
        for roots in groups {
            let mut group = GroupStats::default();
            let bits = Bits::new(index.len());
            for root in roots {
                sizes.read(*root, progress)?;
                let (entries, bytes) = sizes.sum(*root);
                group.points += 1;
                group.entries += entries;
                group.logical_bytes += bytes;
                sizes.closure.mark(*root, &bits)?;
            }
            for number in 0..index.len() {
                if bits.has(number) && !all.set(number) {
                    twice.set(number);
                }
            }
            stats.total.points += group.points;
            stats.total.entries += group.entries;
            stats.total.logical_bytes += group.logical_bytes;
            stats.groups.push(group);
            used.push(bits);
        }
        for (number, (_, _, location)) in index.iter().enumerate() {
            let (plain, stored) = (location.plain_len(), u64::from(location.length));
            if !all.has(number) {
                stats.unused_bytes += stored;
                continue;
            }
            let count = |group: &mut GroupStats, own: bool| {
                group.blobs += 1;
                group.plain_bytes += plain;
                group.stored_bytes += stored;
                group.own_stored_bytes += if own { stored } else { 0 };
            };
            count(&mut stats.total, true);
            for (group, bits) in stats.groups.iter_mut().zip(&used) {
                if bits.has(number) {
                    count(group, !twice.has(number));
                }
            }
        }
        let listed = core.store.list(Area::Data);
        let listed = listed.map_err(VaultError::store("list data"))?;
        stats.packs = listed.len() as u64;
        stats.pack_bytes = listed.iter().map(|object| object.size).sum();
        Ok(stats)
    }
}

struct Sizes<'a> {
    closure: Closure<'a>,
    own: HashMap<BlobId, Own>,
    below: HashMap<BlobId, Below>,
}

impl Sizes<'_> {
    fn read(&mut self, root: BlobId, progress: &dyn Progress) -> Result<()> {
        let own = &mut self.own;
        self.closure.read(root, &mut |id, tree| {
            own.insert(id, own_of(tree));
            progress.advance(1, 0);
            Ok(())
        })?;
        self.add_up(root);
        Ok(())
    }

    /// Fills in what is below each directory, the deepest first.
    fn add_up(&mut self, root: BlobId) {
        let mut open = vec![(root, false)];
        while let Some((id, children_done)) = open.pop() {
            if self.below.contains_key(&id) {
                continue;
            }
            if !children_done {
                open.push((id, true));
                let children = self.closure.directories(id).iter();
                open.extend(children.map(|child| (*child, false)));
                continue;
            }
            let mut below = Below::default();
            if let Some(own) = self.own.get(&id) {
                below.entries = own.entries;
                below.bytes = own.bytes;
                below.linked = !own.linked.is_empty();
            }
            for child in self.closure.directories(id) {
                let child = self.below.get(child).copied().unwrap_or_default();
                below.entries = below.entries.saturating_add(child.entries);
                below.bytes = below.bytes.saturating_add(child.bytes);
                below.linked |= child.linked;
            }
            self.below.insert(id, below);
        }
    }

    /// Entries and bytes of a whole point.
    fn sum(&self, root: BlobId) -> (u64, u64) {
        let below = |tree: &BlobId| self.below.get(tree).copied().unwrap_or_default();
        let Below {
            entries, mut bytes, ..
        } = below(&root);
        let mut files = HashSet::new();
        let mut seen = HashSet::from([root]);
        let mut open = vec![root];
        while let Some(tree) = open.pop().filter(|tree| below(tree).linked) {
            for (inode, device, size) in self.own.get(&tree).into_iter().flat_map(|o| &o.linked) {
                if files.insert((*inode, *device)) {
                    bytes = bytes.saturating_add(*size);
                }
            }
            // A directory that stands in two places names the same files twice.
            let children = self.closure.directories(tree).iter();
            open.extend(children.filter(|t| below(t).linked && seen.insert(**t)));
        }
        (entries, bytes)
    }
}

fn own_of(tree: &Tree) -> Own {
    let mut own = Own::default();
    for node in &tree.nodes {
        own.entries += 1;
        match &node.kind {
            NodeKind::File { size, .. } if node.meta.links > 1 && node.meta.inode != 0 => {
                let name = (node.meta.inode, node.meta.device_id, *size);
                own.linked.push(name);
            }
            NodeKind::File { size, .. } => own.bytes = own.bytes.saturating_add(*size),
            _ => {}
        }
    }
    own
}
