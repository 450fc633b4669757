//! Where each blob lies: compact in memory, JSON in the vault.
//!
//! In memory a blob costs 52 bytes, or nothing but pages of a file ([`mapped`]): entries sorted by id with a table over the first bits of the
//! id, so that a look-up touches one or two entries. Duplicates are tolerated: of equal blobs one in a pack that stays
//! wins over one in a pack that is marked for deletion ([`crate::prune`]), else the first read.
//!
//! A marked pack is still there, so a reader finds what is in it. A writer treats it as absent
//! ([`Index::find_live`]) and stores it again.

mod json;
mod load;
pub mod mapped;
mod rebuild;
mod rewrite;
mod usual;

pub use json::{IndexFile, IndexedPack, MAX_BLOBS_PER_FILE};
pub use load::IndexMap;
pub use load::LoadedIndex;
pub(crate) use load::is_gone;
pub use rebuild::RebuiltIndex;

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroU32,
};

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use self::mapped::Slab;
use crate::{
    blob::BlobKind,
    id::{BlobId, PackId},
};

/// Where a blob lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlobLocation {
    /// Pack.
    pub pack: PackId,
    /// First byte of the sealed blob in the pack.
    pub offset: u32,
    /// Bytes of the sealed blob.
    pub length: u32,
    /// Plain bytes of a compressed blob; `None` for one that is stored as it is.
    pub plain_length: Option<NonZeroU32>,
}

impl BlobLocation {
    /// Plain bytes of the blob.
    pub fn plain_len(&self) -> u64 {
        match self.plain_length {
            Some(n) => u64::from(n.get()),
            None => u64::from(self.length).saturating_sub(crate::seal::OVERHEAD as u64),
        }
    }
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Entry {
    id: BlobId,
    /// Number in `packs`, shifted left by one; the lowest bit says tree.
    pack: u32,
    offset: u32,
    length: u32,
    /// 0: not compressed.
    plain_length: u32,
}

impl Entry {
    /// In which order entries lie: of equal blobs one in a pack that stays, then the one in the pack that was added
    /// first.
    fn order(&self, states: &[PackState]) -> impl Ord + use<> {
        let dying = !states[(self.pack >> 1) as usize].is_live();
        (self.id, self.kind(), dying, self.pack, self.offset)
    }

    fn kind(&self) -> BlobKind {
        if self.pack & 1 == 1 {
            BlobKind::Tree
        } else {
            BlobKind::Data
        }
    }
}

/// What the index files say of a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PackState {
    /// It stands in `packs`.
    pub named: bool,
    /// It stands in `packs_to_delete`.
    pub marked: bool,
}

impl PackState {
    /// Whether other programs find what is in it.
    pub fn is_named(self) -> bool {
        self.named
    }

    /// Whether a writer may rest on what is in it.
    pub fn is_live(self) -> bool {
        self.named && !self.marked
    }
}

/// All index files of a vault, in memory. Read-only once built.
#[derive(Default)]
pub struct Index {
    packs: Vec<PackId>,
    states: Vec<PackState>,
    entries: Slab<Entry>,
    /// `table[b]..table[b + 1]` are the entries whose id begins with the bits `b`.
    table: Slab<u32>,
    bits: u32,
}

impl Index {
    /// Where a blob lies.
    pub fn find(&self, kind: BlobKind, id: &BlobId) -> Option<BlobLocation> {
        self.position(kind, id).map(|at| self.at(at).2)
    }

    /// Where a blob lies that a writer may rest on: not in a pack that is marked for deletion. With its number
    /// among all entries.
    pub fn find_live(&self, kind: BlobKind, id: &BlobId) -> Option<(usize, BlobLocation)> {
        let at = self.position(kind, id)?;
        self.state_at(at).is_live().then(|| (at, self.at(at).2))
    }

    /// The number of the first entry of a blob, among all entries.
    pub fn position(&self, kind: BlobKind, id: &BlobId) -> Option<usize> {
        let bucket = prefix(id, self.bits);
        let start = *self.table.get(bucket)? as usize;
        let end = *self.table.get(bucket + 1)? as usize;
        let entries = self.entries.get(start..end)?;
        let first = entries.partition_point(|e| e.id < *id);
        entries[first..]
            .iter()
            .take_while(|e| e.id == *id)
            .position(|e| e.kind() == kind)
            .map(|at| start + first + at)
    }

    /// All copies of a blob ([`IndexBuilder::build_with_copies`]), the best first.
    pub fn copies(
        &self,
        kind: BlobKind,
        id: &BlobId,
    ) -> impl Iterator<Item = (usize, BlobLocation)> + '_ {
        let first = self.position(kind, id);
        first.into_iter().flat_map(|first| self.copies_from(first))
    }

    /// The same, from the number of the first.
    pub fn copies_from(&self, first: usize) -> impl Iterator<Item = (usize, BlobLocation)> + '_ {
        let (kind, id, _) = self.at(first);
        let rest = self.entries[first..].iter();
        rest.take_while(move |e| e.id == id && e.kind() == kind)
            .enumerate()
            .map(move |(n, entry)| (first + n, self.location(entry)))
    }

    /// The entry with this number, which must be below [`len`](Self::len).
    pub fn at(&self, number: usize) -> (BlobKind, BlobId, BlobLocation) {
        let entry = &self.entries[number];
        (entry.kind(), entry.id, self.location(entry))
    }

    /// Number in [`packs`](Self::packs) of the pack of an entry.
    pub fn pack_number(&self, number: usize) -> usize {
        (self.entries[number].pack >> 1) as usize
    }

    fn state_at(&self, number: usize) -> PackState {
        self.states[self.pack_number(number)]
    }

    /// What is said of each of [`packs`](Self::packs), in their order.
    pub fn states(&self) -> &[PackState] {
        &self.states
    }

    /// Number of blobs.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no blob.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All packs that an index names, in no order.
    pub fn packs(&self) -> &[PackId] {
        &self.packs
    }

    /// All blobs, ascending by id.
    pub fn iter(&self) -> impl Iterator<Item = (BlobKind, BlobId, BlobLocation)> + '_ {
        self.entries
            .iter()
            .map(|e| (e.kind(), e.id, self.location(e)))
    }

    fn location(&self, entry: &Entry) -> BlobLocation {
        BlobLocation {
            pack: self.packs[(entry.pack >> 1) as usize],
            offset: entry.offset,
            length: entry.length,
            plain_length: NonZeroU32::new(entry.plain_length),
        }
    }
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Index({} blobs in {} packs)",
            self.entries.len(),
            self.packs.len()
        )
    }
}

/// The first `bits` bits of an id.
fn prefix(id: &BlobId, bits: u32) -> usize {
    let head = u32::from_be_bytes([id.0[0], id.0[1], id.0[2], id.0[3]]);
    if bits == 0 {
        0
    } else {
        (head >> (32 - bits)) as usize
    }
}

/// Gathers index files into an [`Index`].
#[derive(Default)]
pub struct IndexBuilder {
    /// What was gathered before, in order and each blob once; its packs are the first ones here.
    base: Option<Index>,
    packs: Vec<PackId>,
    states: Vec<PackState>,
    numbers: HashMap<PackId, u32>,
    entries: Vec<Entry>,
}

impl IndexBuilder {
    /// Goes on from an index that was [built](Self::build). Right as long as what is added marks no packs: of a blob
    /// that several packs have the index has kept one, and that one might be marked.
    pub fn onto(base: Index) -> IndexBuilder {
        let numbers = base.packs.iter().zip(0..).map(|(pack, n)| (*pack, n));
        IndexBuilder {
            packs: base.packs.clone(),
            states: base.states.clone(),
            numbers: numbers.collect(),
            entries: Vec::new(),
            base: Some(base),
        }
    }

    /// Adds a pack (again).
    pub fn add(&mut self, pack: PackId, blobs: impl IntoIterator<Item = crate::pack::PackedBlob>) {
        let number = self.number(pack);
        self.states[number as usize].named = true;
        self.add_blobs(number, blobs);
    }

    /// Adds a pack that is marked for deletion; it may be named as well.
    pub fn add_marked(
        &mut self,
        pack: PackId,
        blobs: impl IntoIterator<Item = crate::pack::PackedBlob>,
    ) {
        let number = self.number(pack);
        self.states[number as usize].marked = true;
        self.add_blobs(number, blobs);
    }

    /// Adds all that an index file says.
    pub fn add_file(&mut self, file: IndexFile) {
        for pack in file.packs {
            self.add(pack.id, pack.blobs);
        }
        for pack in file.to_delete {
            self.add_marked(pack.id, pack.blobs);
        }
    }

    /// Takes out what lies in these packs.
    pub fn drop_packs(&mut self, packs: &HashSet<PackId>) {
        let gone: Vec<bool> = self.packs.iter().map(|p| packs.contains(p)).collect();
        self.entries.retain(|e| !gone[(e.pack >> 1) as usize]);
    }

    fn number(&mut self, pack: PackId) -> u32 {
        let next = u32::try_from(self.packs.len()).unwrap_or(u32::MAX);
        *self.numbers.entry(pack).or_insert_with(|| {
            self.packs.push(pack);
            self.states.push(PackState::default());
            next
        })
    }

    fn add_blobs(&mut self, number: u32, blobs: impl IntoIterator<Item = crate::pack::PackedBlob>) {
        self.entries.extend(blobs.into_iter().map(|b| Entry {
            id: b.id,
            pack: number << 1 | u32::from(b.kind == BlobKind::Tree),
            offset: b.offset,
            length: b.length,
            plain_length: b.plain_length.map_or(0, NonZeroU32::get),
        }));
    }

    /// Sorts. Each blob is there once.
    pub fn build(self) -> Index {
        self.finish(false)
    }

    /// Sorts, and keeps a blob once for each pack that has it: for whoever must know what lies where.
    pub fn build_with_copies(self) -> Index {
        self.finish(true)
    }

    fn finish(self, copies: bool) -> Index {
        let IndexBuilder {
            base,
            packs,
            states,
            mut entries,
            ..
        } = self;
        entries.sort_unstable_by_key(|e| e.order(&states));
        if let Some(base) = base {
            entries = merged(&base.entries, entries, &states);
        }
        entries
            .dedup_by(|a, b| a.id == b.id && a.kind() == b.kind() && !(copies && a.pack != b.pack));
        entries.shrink_to_fit();
        // About one entry in each bucket.
        let bits = usize::BITS - entries.len().leading_zeros();
        let bits = bits.min(28);
        let mut table = vec![0u32; (1 << bits) + 1];
        for e in &entries {
            table[prefix(&e.id, bits) + 1] += 1;
        }
        for i in 1..table.len() {
            table[i] += table[i - 1];
        }
        Index {
            packs,
            states,
            entries: Slab::Owned(entries),
            table: Slab::Owned(table),
            bits,
        }
    }
}

/// Two sorted lists as one.
fn merged(base: &[Entry], new: Vec<Entry>, states: &[PackState]) -> Vec<Entry> {
    let mut all = Vec::with_capacity(base.len() + new.len());
    let mut rest = base;
    for entry in new {
        let before = rest.partition_point(|e| e.order(states) < entry.order(states));
        let (now, later) = rest.split_at(before);
        all.extend_from_slice(now);
        all.push(entry);
        rest = later;
    }
    all.extend_from_slice(rest);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pack::PackedBlob;

    fn id(n: u32) -> BlobId {
        let mut bytes = [0; 32];
        // Spread like a hash.
        bytes[..4].copy_from_slice(&n.wrapping_mul(2_654_435_761).to_be_bytes());
        bytes[4..8].copy_from_slice(&n.to_be_bytes());
        BlobId(bytes)
    }

    #[test]
    fn finds_what_was_added_and_nothing_else() {
        for count in [0u32, 1, 2, 3, 1000] {
            let mut b = IndexBuilder::default();
            for n in 0..count {
                let kind = if n % 3 == 0 {
                    BlobKind::Tree
                } else {
                    BlobKind::Data
                };
                let plain_length = NonZeroU32::new(n % 2 * 77);
                b.add(
                    PackId([(n % 7) as u8; 32]),
                    [PackedBlob {
                        kind,
                        id: id(n),
                        offset: n,
                        length: n + 40,
                        plain_length,
                    }],
                );
            }
            let index = b.build();
            assert_eq!(index.len(), count as usize);
            for n in 0..count {
                let (kind, other) = match n % 3 {
                    0 => (BlobKind::Tree, BlobKind::Data),
                    _ => (BlobKind::Data, BlobKind::Tree),
                };
                let found = index.find(kind, &id(n)).unwrap();
                assert_eq!((found.offset, found.length), (n, n + 40));
                assert_eq!(found.pack, PackId([(n % 7) as u8; 32]));
                assert_eq!(found.plain_length, NonZeroU32::new(n % 2 * 77));
                assert_eq!(index.find(other, &id(n)), None);
            }
            assert_eq!(index.find(BlobKind::Data, &id(count + 1)), None);
            assert_eq!(index.find(BlobKind::Data, &BlobId([0xff; 32])), None);
        }
    }

    #[test]
    fn one_id_as_tree_and_data_and_twice() {
        let mut b = IndexBuilder::default();
        let blob = |kind, offset| PackedBlob {
            kind,
            id: id(9),
            offset,
            length: 50,
            plain_length: None,
        };
        b.add(
            PackId([1; 32]),
            [blob(BlobKind::Data, 0), blob(BlobKind::Data, 60)],
        );
        b.add(
            PackId([2; 32]),
            [blob(BlobKind::Tree, 7), blob(BlobKind::Data, 1)],
        );
        let index = b.build();
        assert_eq!(
            index.find(BlobKind::Tree, &id(9)).unwrap().pack,
            PackId([2; 32])
        );
        assert_eq!(
            index.find(BlobKind::Data, &id(9)).unwrap().pack,
            PackId([1; 32])
        );
        assert_eq!(index.packs().len(), 2);
    }

    #[test]
    fn what_is_marked_is_found_by_readers_and_absent_for_writers() {
        let blob = |n| PackedBlob {
            kind: BlobKind::Data,
            id: id(n),
            offset: 0,
            length: 50,
            plain_length: None,
        };
        let (old, new, moved) = (PackId([1; 32]), PackId([2; 32]), PackId([3; 32]));
        for copies in [false, true] {
            let mut b = IndexBuilder::default();
            b.add_marked(old, [blob(1), blob(2)]);
            b.add(old, [blob(1), blob(2)]);
            b.add(new, [blob(1)]);
            // As rustic marks.
            b.add_marked(moved, [blob(3)]);
            let index = if copies {
                b.build_with_copies()
            } else {
                b.build()
            };
            assert_eq!(index.len(), if copies { 4 } else { 3 });
            let live = |n| index.find_live(BlobKind::Data, &id(n)).map(|(_, l)| l.pack);
            let found = |n| index.find(BlobKind::Data, &id(n)).map(|l| l.pack);
            assert_eq!((found(1), live(1)), (Some(new), Some(new)));
            assert_eq!((found(2), live(2)), (Some(old), None));
            assert_eq!((found(3), live(3)), (Some(moved), None));
        }
    }
}
