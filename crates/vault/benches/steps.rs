//! The inner steps of a vault, each by itself: `cargo bench -p lifeboat-vault --bench steps`. Figures are comparable from
//! commit to commit on one machine; `cargo xtask bench` measures whole programs.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{num::NonZeroU32, sync::Arc};

use divan::{Bencher, black_box, counter::BytesCount};
use lifeboat_store::MemoryStore;
use lifeboat_vault::{
    BlobId, BlobKind, ChunkPolicy, Environment, Metadata, Node, NodeKind, PackId, Timestamp, Tree,
    Vault, WriterOptions,
    chunk::Cutter,
    env::{Random as _, SystemRandom},
    index::{Index, IndexBuilder, IndexFile, IndexedPack},
    pack::PackedBlob,
    seal::{IV_LEN, KeyMaterial, OVERHEAD, SealKey},
    sha256, tree,
};
use sha2::{Digest as _, Sha256};

const MIB: usize = 1 << 20;

fn main() {
    divan::main();
}

/// SplitMix64.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut n = state;
        n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        n ^ (n >> 31)
    };
    let mut bytes: Vec<u8> = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&next().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Lines as a log has them.
fn text(length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length + 64);
    for pair in noise(7, length).chunks_exact(8) {
        if bytes.len() >= length {
            break;
        }
        let line = format!("{} user={} GET /item/{}\n", pair[0], pair[1], pair[2]);
        bytes.extend_from_slice(line.as_bytes());
    }
    bytes.truncate(length);
    bytes
}

#[divan::bench]
fn chunk_by_content(bencher: Bencher<'_, '_>) {
    let data = noise(1, 32 * MIB);
    bencher.counter(BytesCount::new(data.len())).bench(|| {
        let mut cutter = Cutter::new(ChunkPolicy::CONTENT);
        let (mut rest, mut cuts) = (&data[..], 0);
        while let Some(length) = cutter.next_cut(black_box(rest), true) {
            rest = &rest[length..];
            cuts += 1;
        }
        cuts
    });
}

#[divan::bench(args = [256 << 10, MIB])]
fn hash(bencher: Bencher<'_, '_>, length: usize) {
    let data = noise(2, length);
    bencher
        .counter(BytesCount::new(length))
        .bench(|| Sha256::digest(black_box(&data)));
}

/// So many messages of a megabyte at once.
#[divan::bench(args = [1, 2, 3, 4])]
fn hash_together(bencher: Bencher<'_, '_>, count: usize) {
    let data = noise(2, count * MIB);
    let messages: Vec<&[u8]> = data.chunks(MIB).collect();
    bencher
        .counter(BytesCount::new(data.len()))
        .bench(|| sha256::digests(black_box(&messages)));
}

#[divan::bench(args = [100, 256 << 10])]
fn seal(bencher: Bencher<'_, '_>, length: usize) {
    let key = SealKey::new(&KeyMaterial::random(&SystemRandom).unwrap()).unwrap();
    let data = noise(3, length);
    bencher
        .counter(BytesCount::new(length))
        .bench(|| key.seal(&SystemRandom, black_box(&data)).unwrap());
}

/// The same in a buffer that is used again, as a backup has it.
#[divan::bench(args = [100, 256 << 10])]
fn seal_in_place(bencher: Bencher<'_, '_>, length: usize) {
    let key = SealKey::new(&KeyMaterial::random(&SystemRandom).unwrap()).unwrap();
    let mut buffer = noise(3, IV_LEN + length + OVERHEAD);
    bencher.counter(BytesCount::new(length)).bench_local(|| {
        buffer.truncate(IV_LEN + length);
        key.seal_in_place(&SystemRandom, black_box(&mut buffer), 0)
            .unwrap();
    });
}

#[divan::bench(args = [100, 256 << 10])]
fn open(bencher: Bencher<'_, '_>, length: usize) {
    let key = SealKey::new(&KeyMaterial::random(&SystemRandom).unwrap()).unwrap();
    let sealed = key.seal(&SystemRandom, &noise(3, length)).unwrap();
    bencher
        .counter(BytesCount::new(length))
        .bench(|| key.open(black_box(&sealed)).unwrap());
}

#[divan::bench]
fn randomness_for_one_blob() -> [u8; 16] {
    let mut iv = [0; 16];
    SystemRandom.fill(&mut iv).unwrap();
    iv
}

#[divan::bench(args = [1, 2, 3])]
fn compress_text(bencher: Bencher<'_, '_>, level: i32) {
    let data = text(256 << 10);
    let mut zstd = zstd::bulk::Compressor::new(level).unwrap();
    bencher
        .counter(BytesCount::new(data.len()))
        .bench_local(|| zstd.compress(black_box(&data)).unwrap());
}

#[divan::bench]
fn decompress_text(bencher: Bencher<'_, '_>) {
    let data = text(256 << 10);
    let compressed = zstd::bulk::compress(&data, 2).unwrap();
    let mut zstd = zstd::bulk::Decompressor::new().unwrap();
    bencher
        .counter(BytesCount::new(data.len()))
        .bench_local(|| zstd.decompress(black_box(&compressed), data.len()).unwrap());
}

fn id(n: u64) -> BlobId {
    BlobId(Sha256::digest(n.to_le_bytes()).into())
}

fn packs(blobs: u64) -> Vec<IndexedPack> {
    let blob = |n: u64| PackedBlob {
        kind: BlobKind::Data,
        id: id(n),
        offset: (n % 40) as u32 * 400_000,
        length: 400_000,
        plain_length: NonZeroU32::new(1_000_000),
    };
    let pack = |p: u64| {
        let blobs = (p * 40..blobs.min((p + 1) * 40)).map(blob).collect();
        IndexedPack::new(PackId(id(u64::MAX - p).0), blobs)
    };
    (0..blobs.div_ceil(40)).map(pack).collect()
}

fn index(blobs: u64) -> Index {
    let mut builder = IndexBuilder::default();
    for pack in packs(blobs) {
        builder.add(pack.id, pack.blobs);
    }
    builder.build()
}

#[divan::bench(args = [100_000, 1_000_000])]
fn index_look_up(bencher: Bencher<'_, '_>, blobs: u64) {
    let index = index(blobs);
    let ids: Vec<BlobId> = (0..10_000).map(|n| id(n * (blobs / 5000))).collect();
    bencher.counter(ids.len()).bench(|| {
        let found = ids
            .iter()
            .filter(|id| index.find(BlobKind::Data, id).is_some());
        found.count()
    });
}

#[divan::bench(args = [50_000])]
fn index_file_parse(bencher: Bencher<'_, '_>, blobs: u64) {
    let file = IndexFile {
        packs: packs(blobs),
        ..IndexFile::default()
    };
    let json = file.to_json().unwrap();
    bencher
        .counter(blobs)
        .bench(|| IndexFile::parse(black_box(&json), "x").unwrap());
}

#[divan::bench(args = [200_000])]
fn index_build(bencher: Bencher<'_, '_>, blobs: u64) {
    let files = packs(blobs);
    bencher
        .counter(blobs)
        .with_inputs(|| {
            let mut builder = IndexBuilder::default();
            for pack in &files {
                builder.add(pack.id, pack.blobs.iter().copied());
            }
            builder
        })
        .bench_values(IndexBuilder::build);
}

fn directory(files: u64) -> Tree {
    let moment = |n: u64| Timestamp {
        secs: 1_760_000_000 + n as i64,
        nanos: 123_456_000,
    };
    let node = |n: u64| Node {
        name: format!("file-{n:07}.txt").into_bytes(),
        kind: NodeKind::File {
            size: 100 + n,
            content: vec![id(n)],
        },
        meta: Metadata {
            mode: 0o644,
            mtime: moment(n),
            atime: moment(n),
            ctime: moment(n + 1),
            user: "root".to_owned(),
            group: "root".to_owned(),
            inode: 1_000_000 + n,
            links: 1,
            ..Metadata::default()
        },
    };
    Tree {
        nodes: (0..files).map(node).collect(),
    }
}

#[divan::bench(args = [1000])]
fn tree_encode(bencher: Bencher<'_, '_>, files: u64) {
    let tree = directory(files);
    bencher
        .counter(files)
        .bench(|| tree::encode(black_box(&tree)).unwrap());
}

#[divan::bench(args = [1000])]
fn tree_decode(bencher: Bencher<'_, '_>, files: u64) {
    let bytes = tree::encode(&directory(files)).unwrap();
    bencher
        .counter(files)
        .bench(|| tree::decode(black_box(&bytes)).unwrap());
}

fn vault() -> Vault {
    let store = Arc::new(MemoryStore::default());
    Vault::create(store, b"bench", Environment::system("bench")).unwrap()
}

/// The whole way of a file's bytes, but for the disk.
#[divan::bench(sample_count = 10)]
fn save_one_file(bencher: Bencher<'_, '_>) {
    let data = noise(5, 64 * MIB);
    let vault = vault();
    bencher
        .counter(BytesCount::new(data.len()))
        .with_inputs(|| vault.writer(WriterOptions::default()).unwrap())
        .bench_values(|writer| {
            let mut file = writer.file(ChunkPolicy::CONTENT, data.len() as u64);
            file.write(&data).unwrap();
            file.finish().unwrap();
            writer.flush().unwrap();
        });
}

/// Files of one small blob each.
#[divan::bench(sample_count = 10)]
fn save_small_blobs(bencher: Bencher<'_, '_>) {
    let vault = vault();
    let data = noise(6, 10_000 * 100);
    bencher
        .counter(10_000_u64)
        .with_inputs(|| vault.writer(WriterOptions::default()).unwrap())
        .bench_values(|writer| {
            for bytes in data.chunks_exact(100) {
                writer.blob(BlobKind::Data, bytes).unwrap();
            }
        });
}
