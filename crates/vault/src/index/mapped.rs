//! The index of a vault as a file that is mapped into memory: sorted, compact, ready.
//!
//! The JSON index files stay what counts; this one says what some of them said, by their names, which are hashes of
//! their bytes: as long as the vault has all of them, it is as good as they are, and only those that came after are
//! read. It lies in the cache and can be deleted at any time.
//!
//! # Nobody else can write one
//! A backup rests on what the index says, and leaves out what is named there. So the file carries an HMAC-SHA-256
//! (RFC 2104) under a key that is derived from the vault's own: one that was cut, changed, taken from another vault or
//! made up is not believed, and the JSON is read. The MAC covers the header and the SHA-256 of each 4 MiB behind it, so
//! that several threads check it. It is read whole each time: 48 bytes a blob.
//!
//! # Layout
//! In the machine's own byte order, which the header tells.
//!
//! | | bytes |
//! | --- | --- |
//! | header | 128 |
//! | ids of index files, ascending | 32 each |
//! | ids of packs | 32 each |
//! | states of packs: bit 0 named, bit 1 marked | 1 each, filled up to a multiple of 8 |
//! | table over the first bits of ids | 4 each, 2^bits + 1, filled up to a multiple of 8 |
//! | entries, ascending by id | 48 each |

use std::{
    collections::BTreeSet,
    fs::File,
    io::{self, BufWriter, Read, Seek, SeekFrom, Write},
    ops::{Deref, Range},
    path::Path,
    sync::Arc,
};

use aws_lc_rs::hmac;
use fs_err as fs;
use fs_err::os::unix::fs::OpenOptionsExt;
use memmap2::Mmap;
use sha2::{Digest, Sha256};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use super::{Entry, Index, PackState};
use crate::id::{IndexId, PackId};

const MAGIC: [u8; 16] = *b"lifeboat index 1";
const ORDER: u32 = 0x0102_0304;
const HEADER: usize = size_of::<Header>();
/// What one thread checks at a time.
const PIECE: usize = 4 << 20;
/// More bits than an index that fits into memory has.
const MOST_BITS: u32 = 28;

/// How the file begins.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Clone, Copy)]
#[repr(C)]
struct Header {
    magic: [u8; 16],
    order: u32,
    bits: u32,
    files: u64,
    packs: u64,
    entries: u64,
    reserved: [u8; 48],
    /// HMAC of all of the header before it, and of the hashes of the pieces behind it.
    mac: [u8; 32],
}

/// The key of the MAC.
pub struct MapKey(hmac::Key);

impl MapKey {
    /// From the vault's own secrets, by way of a hash with a name of its own.
    pub fn derive(master: &crate::seal::KeyMaterial) -> MapKey {
        let mut hash = Sha256::new();
        hash.update(b"lifeboat: mapped index\0");
        hash.update(master.encrypt);
        hash.update(master.mac_k);
        hash.update(master.mac_r);
        MapKey(hmac::Key::new(hmac::HMAC_SHA256, &hash.finalize()))
    }

    fn context(&self, header: &Header) -> hmac::Context {
        let mut mac = hmac::Context::with_key(&self.0);
        mac.update(&header.as_bytes()[..HEADER - size_of_val(&header.mac)]);
        mac
    }
}

/// Plain values, in memory of our own or in a mapped file.
pub(super) enum Slab<T> {
    Owned(Vec<T>),
    /// A range of the file that holds a whole number of them, aligned.
    Mapped(Arc<Mmap>, Range<usize>),
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab::Owned(Vec::new())
    }
}

impl<T: FromBytes + Immutable + KnownLayout> Deref for Slab<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Slab::Owned(own) => own,
            // That it fits was seen when it was mapped.
            Slab::Mapped(file, range) => {
                let bytes = file.get(range.clone()).unwrap_or_default();
                <[T]>::ref_from_bytes(bytes).unwrap_or_default()
            }
        }
    }
}

/// Where each section lies.
struct Sections {
    files: Range<usize>,
    packs: Range<usize>,
    states: Range<usize>,
    table: Range<usize>,
    entries: Range<usize>,
}

impl Sections {
    /// `None` where the numbers are absurd.
    fn of(header: &Header) -> Option<Sections> {
        let mut at = HEADER;
        let mut section = |count: u64, each: usize| {
            let length = usize::try_from(count).ok()?.checked_mul(each)?;
            let range = at..at.checked_add(length)?;
            at = range.end.checked_next_multiple_of(8)?;
            Some(range)
        };
        if header.bits > MOST_BITS {
            return None;
        }
        Some(Sections {
            files: section(header.files, 32)?,
            packs: section(header.packs, 32)?,
            states: section(header.packs, 1)?,
            table: section((1 << header.bits) + 1, 4)?,
            entries: section(header.entries, size_of::<Entry>())?,
        })
    }

    fn end(&self) -> usize {
        self.entries.end.next_multiple_of(8)
    }
}

/// Maps the file, if it is there, whole, and ours. With the index files that it stands for.
pub fn open(path: &Path, key: &MapKey) -> Option<(Index, BTreeSet<IndexId>)> {
    let (file, _) = fs::File::open(path).ok()?.into_parts();
    let header = read_header(&file)?;
    let sections = Sections::of(&header)?;
    if file.metadata().ok()?.len() != sections.end() as u64 {
        return None;
    }
    #[allow(unsafe_code, reason = "mapping a file is unsafe by its nature")]
    // SAFETY: the file is never written once it has its name, but replaced by another; it lies in a directory of
    // ours (0700). Whoever cuts it all the same makes this program end with SIGBUS, and loses nothing.
    let map = unsafe { Mmap::map(&file) }.ok()?;
    if map.len() != sections.end() || !is_ours(&map, &header, key) {
        tracing::debug!(path = %path.display(), "the mapped index is not believed");
        return None;
    }
    let files = <[[u8; 32]]>::ref_from_bytes(map.get(sections.files)?).ok()?;
    let files = files.iter().copied().map(IndexId).collect();
    let packs = <[[u8; 32]]>::ref_from_bytes(map.get(sections.packs)?).ok()?;
    let packs = packs.iter().copied().map(PackId).collect();
    let states = map.get(sections.states)?.iter();
    let states = states.map(|bits| PackState {
        named: bits & 1 != 0,
        marked: bits & 2 != 0,
    });
    let states = states.collect();
    <[u32]>::ref_from_bytes(map.get(sections.table.clone())?).ok()?;
    <[Entry]>::ref_from_bytes(map.get(sections.entries.clone())?).ok()?;
    let map = Arc::new(map);
    let index = Index {
        packs,
        states,
        entries: Slab::Mapped(map.clone(), sections.entries),
        table: Slab::Mapped(map, sections.table),
        bits: header.bits,
    };
    Some((index, files))
}

fn read_header(mut file: &File) -> Option<Header> {
    let mut header = Header::new_zeroed();
    file.read_exact(header.as_mut_bytes()).ok()?;
    (header.magic == MAGIC && header.order == ORDER).then_some(header)
}

fn is_ours(map: &[u8], header: &Header, key: &MapKey) -> bool {
    let Some(behind) = map.get(HEADER..) else {
        return false;
    };
    let pieces: Vec<&[u8]> = behind.chunks(PIECE).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = pieces.len().div_ceil(threads.min(8)).max(1);
    let hashes: Option<Vec<[u8; 32]>> = std::thread::scope(|scope| {
        let running: Vec<_> = pieces
            .chunks(share)
            .map(|part| scope.spawn(|| part.iter().map(|p| Sha256::digest(p).into()).collect()))
            .collect();
        let mut all: Vec<[u8; 32]> = Vec::with_capacity(pieces.len());
        for thread in running {
            all.extend::<Vec<[u8; 32]>>(thread.join().ok()?);
        }
        Some(all)
    });
    let Some(hashes) = hashes else { return false };
    let mut mac = key.context(header);
    for hash in hashes {
        mac.update(&hash);
    }
    aws_lc_rs::constant_time::verify_slices_are_equal(mac.sign().as_ref(), &header.mac).is_ok()
}

/// Writes the file anew, in place of the one that is there. It is not made durable: one that a power cut tears is not
/// believed.
pub fn save(path: &Path, key: &MapKey, index: &Index, files: &BTreeSet<IndexId>) -> io::Result<()> {
    let temporary = path.with_file_name(format!("tmp-map-{}", std::process::id()));
    let mut options = fs::OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o600);
    let (file, _) = options.open(&temporary)?.into_parts();
    let saved = write(file, key, index, files).and_then(|()| fs::rename(&temporary, path));
    if saved.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    saved
}

fn write(file: File, key: &MapKey, index: &Index, files: &BTreeSet<IndexId>) -> io::Result<()> {
    let mut header = Header {
        magic: MAGIC,
        order: ORDER,
        bits: index.bits,
        files: files.len() as u64,
        packs: index.packs.len() as u64,
        entries: index.entries.len() as u64,
        reserved: [0; 48],
        mac: [0; 32],
    };
    let mut out = Pieces {
        out: BufWriter::with_capacity(1 << 20, file),
        mac: key.context(&header),
        hash: Sha256::new(),
        in_piece: 0,
        written: 0,
    };
    out.out.write_all(header.as_bytes())?;
    for id in files {
        out.put(&id.0)?;
    }
    out.fill()?;
    for id in &index.packs {
        out.put(&id.0)?;
    }
    out.fill()?;
    for state in &index.states {
        out.put(&[u8::from(state.named) | u8::from(state.marked) << 1])?;
    }
    out.fill()?;
    out.put(index.table.as_bytes())?;
    out.fill()?;
    out.put(index.entries.as_bytes())?;
    out.fill()?;
    if out.in_piece > 0 {
        out.end_piece();
    }
    header.mac.copy_from_slice(out.mac.sign().as_ref());
    let mut file = out.out.into_inner()?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(header.as_bytes())
}

/// Writes, and hashes piece by piece.
struct Pieces {
    out: BufWriter<File>,
    mac: hmac::Context,
    hash: Sha256,
    in_piece: usize,
    written: usize,
}

impl Pieces {
    fn put(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.written += bytes.len();
        while !bytes.is_empty() {
            let (now, later) = bytes.split_at(bytes.len().min(PIECE - self.in_piece));
            self.hash.update(now);
            self.in_piece += now.len();
            if self.in_piece == PIECE {
                self.end_piece();
            }
            bytes = later;
        }
        Ok(())
    }

    /// Up to a multiple of 8, where the next section begins.
    fn fill(&mut self) -> io::Result<()> {
        let missing = self.written.next_multiple_of(8) - self.written;
        self.put(&[0; 8][..missing])
    }

    fn end_piece(&mut self) {
        let hash = std::mem::take(&mut self.hash).finalize();
        self.mac.update(&hash);
        self.in_piece = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        blob::BlobKind, id::BlobId, index::IndexBuilder, pack::PackedBlob, seal::KeyMaterial,
    };

    fn key(n: u8) -> MapKey {
        MapKey::derive(&KeyMaterial::from_bytes(&[n; 64]))
    }

    fn index(count: u32) -> Index {
        let mut builder = IndexBuilder::default();
        for n in 0..count {
            let blob = PackedBlob {
                kind: if n % 9 == 0 {
                    BlobKind::Tree
                } else {
                    BlobKind::Data
                },
                id: BlobId(Sha256::digest(n.to_be_bytes()).into()),
                offset: n,
                length: n + 50,
                plain_length: std::num::NonZeroU32::new(n % 3 * 100),
            };
            let pack = PackId([(n % 11) as u8; 32]);
            match n % 11 {
                7 => builder.add_marked(pack, [blob]),
                _ => builder.add(pack, [blob]),
            }
        }
        builder.build()
    }

    fn files() -> BTreeSet<IndexId> {
        (0..5).map(|n| IndexId([n; 32])).collect()
    }

    #[test]
    fn what_is_mapped_is_what_was_saved() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("map");
        for count in [0, 1, 2, 1000, 120_000] {
            let own = index(count);
            save(&path, &key(1), &own, &files()).unwrap();
            let (mapped, named) = open(&path, &key(1)).unwrap();
            assert_eq!(named, files());
            assert!(mapped.iter().eq(own.iter()));
            assert_eq!(
                (mapped.packs(), mapped.states()),
                (own.packs(), own.states())
            );
            for (kind, id, at) in own.iter() {
                assert_eq!(mapped.find(kind, &id), Some(at));
                let live = own.find_live(kind, &id);
                assert_eq!(mapped.find_live(kind, &id), live);
            }
            assert_eq!(mapped.find(BlobKind::Data, &BlobId([0xff; 32])), None);
        }
    }

    #[test]
    fn what_was_changed_anywhere_is_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("map");
        save(&path, &key(1), &index(100), &files()).unwrap();
        assert!(open(&path, &key(2)).is_none(), "another vault's");
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            fs::write(&path, &bad).unwrap();
            assert!(open(&path, &key(1)).is_none(), "byte {at}");
        }
        for length in [0, 1, 60, HEADER, good.len() / 2, good.len() - 1] {
            fs::write(&path, &good[..length]).unwrap();
            assert!(open(&path, &key(1)).is_none(), "cut to {length}");
        }
        fs::write(&path, [&good[..], b"more"].concat()).unwrap();
        assert!(open(&path, &key(1)).is_none(), "longer");
        fs::write(&path, &good).unwrap();
        assert!(open(&path, &key(1)).is_some());
    }

    #[test]
    fn absurd_numbers_ask_for_no_memory() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("map");
        save(&path, &key(1), &index(10), &files()).unwrap();
        let good = fs::read(&path).unwrap();
        // bits, files, packs, entries
        for (at, width) in [(20, 4), (24, 8), (32, 8), (40, 8)] {
            let mut bad = good.clone();
            bad[at..at + width].fill(0xff);
            fs::write(&path, &bad).unwrap();
            assert!(open(&path, &key(1)).is_none());
        }
    }
}
