//! `cargo run --release -p lifeboat-vault --example index_growth -- BLOBS`: what opening an index of so many blobs costs.
//! Synthetic index files, as a writer makes them, are parsed and sorted one by one; then it is asked a million times.
//! Then it is saved as a file to be mapped, and opened from it. Prints seconds of CPU to open, seconds of CPU for the
//! questions, bytes of memory at the peak, and seconds of CPU to open the mapped one.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "it measures and says what it found"
)]

use std::{collections::BTreeSet, hint::black_box, num::NonZeroU32};

use lifeboat_vault::{
    BlobId, BlobKind, PackId,
    index::{
        IndexBuilder, IndexFile, IndexedPack, MAX_BLOBS_PER_FILE,
        mapped::{self, MapKey},
    },
    pack::PackedBlob,
    seal::KeyMaterial,
};
use rustix::time::{ClockId, clock_gettime};

/// Blobs of a pack.
const IN_PACK: u64 = 100;

/// Spread as hashes are.
fn id(n: u64) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (part, word) in bytes.chunks_exact_mut(8).zip(1_u64..) {
        let mut m = (n ^ word << 56).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        m = (m ^ (m >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        m = (m ^ (m >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        part.copy_from_slice(&(m ^ (m >> 31)).to_le_bytes());
    }
    bytes
}

fn cpu() -> f64 {
    let t = clock_gettime(ClockId::ProcessCPUTime);
    t.tv_sec as f64 + t.tv_nsec as f64 / 1e9
}

fn peak() -> u64 {
    let status = fs_err::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse::<u64>()
        .unwrap()
        * 1024
}

fn file(from: u64, to: u64) -> Vec<u8> {
    let blob = |n: u64| PackedBlob {
        kind: BlobKind::Data,
        id: BlobId(id(n)),
        offset: (n % IN_PACK) as u32 * 1000,
        length: 1000,
        plain_length: NonZeroU32::new(2000),
    };
    let packs = (from..to).step_by(IN_PACK as usize).map(|first| {
        let blobs = (first..to.min(first + IN_PACK)).map(blob).collect();
        IndexedPack::new(PackId(id(first | 1 << 60)), blobs)
    });
    let file = IndexFile {
        packs: packs.collect(),
        ..IndexFile::default()
    };
    file.to_json().unwrap()
}

fn main() {
    let count: u64 = std::env::args().nth(1).unwrap().parse().unwrap();
    let mut builder = IndexBuilder::default();
    let mut spent = 0.0;
    for from in (0..count).step_by(MAX_BLOBS_PER_FILE) {
        let json = file(from, count.min(from + MAX_BLOBS_PER_FILE as u64));
        let begin = cpu();
        builder.add_file(IndexFile::parse(&json, "index").unwrap());
        spent += cpu() - begin;
    }
    let begin = cpu();
    let index = builder.build();
    spent += cpu() - begin;
    assert_eq!(index.len() as u64, count);
    let begin = cpu();
    let mut found = 0_u64;
    for n in 0..1_000_000 {
        // Every second one is not there.
        let asked = BlobId(id(n * 7919 % (2 * count)));
        found += u64::from(black_box(index.find(BlobKind::Data, &asked)).is_some());
    }
    let asked = cpu() - begin;
    assert!(found > 400_000, "{found}");
    let peak = peak();
    let (dir, key) = (
        tempfile::tempdir().unwrap(),
        KeyMaterial::from_bytes(&[7; 64]),
    );
    let (path, key) = (dir.path().join("map"), MapKey::derive(&key));
    mapped::save(&path, &key, &index, &BTreeSet::new()).unwrap();
    let begin = cpu();
    let (opened, _) = mapped::open(&path, &key).unwrap();
    let mapped = cpu() - begin;
    assert_eq!(opened.len(), index.len());
    println!("{spent:.4} {asked:.4} {peak} {mapped:.4}");
}
