//! Measures the write path: `cargo run --release -p lifeboat-vault --example write_speed [DIR]`.
//!
//! Writes 1 GB of incompressible and 1 GB of compressible bytes each as one large file and as files of
//! 100 KB, then 300,000 files of 100 B, into fresh vaults below DIR (default: the system's
//! temporary directory), and prints MB/s.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::{path::PathBuf, sync::Arc, time::Instant};

use lifeboat_store::LocalStore;
use lifeboat_vault::{ChunkPolicy, Environment, Vault, Writer, WriterOptions};

const TOTAL: usize = 1 << 30;

fn noise(length: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut out = Vec::with_capacity(length + 8);
    while out.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out
}

/// Words in random order: compresses to about a third.
fn text(length: usize) -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "select ",
        "insert ",
        "update ",
        "the ",
        "of ",
        "backup ",
        "volume ",
        "0.5 ",
        "1047 ",
        "\n",
        "container ",
        "recovery ",
        "point ",
        "a ",
        "network ",
        "9 ",
    ];
    let random = noise(length / 2);
    let mut out = Vec::with_capacity(length + 16);
    for n in random.iter().cycle() {
        if out.len() >= length {
            break;
        }
        out.extend_from_slice(WORDS[usize::from(n & 15)].as_bytes());
        if n & 0xf0 == 0 {
            out.push(b'a' + (n & 7));
        }
    }
    out
}

/// Peak memory of the process in MB.
fn peak() -> u64 {
    let status = fs_err::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<u64>()
        .unwrap()
        / 1000
}

fn measure(dir: &std::path::Path, what: &str, bytes: usize, work: impl FnOnce(&Writer)) {
    let path = dir.join(what.replace([' ', ',', '.'], "-"));
    let store = Arc::new(LocalStore::new(&path));
    let vault = Vault::create(store, b"x", Environment::system("bench")).unwrap();
    let writer = vault.writer(WriterOptions::default()).unwrap();
    let began = Instant::now();
    work(&writer);
    writer.flush().unwrap();
    let took = began.elapsed().as_secs_f64();
    let stats = writer.stats();
    println!(
        "{what}: {:.0} MB/s ({took:.2} s, {} blobs, {:.0} MB packed, peak memory {} MB)",
        bytes as f64 / 1e6 / took,
        stats.data_blobs,
        stats.packed_bytes as f64 / 1e6,
        peak()
    );
    drop(writer);
    fs_err::remove_dir_all(path).unwrap();
}

fn one_file(writer: &Writer, bytes: &[u8], policy: ChunkPolicy) {
    let mut file = writer.file(policy, bytes.len() as u64);
    for piece in bytes.chunks(1 << 20) {
        file.write(piece).unwrap();
    }
    file.finish().unwrap();
}

fn small_files(writer: &Writer, bytes: &[u8], each: usize, threads: usize) {
    std::thread::scope(|scope| {
        for part in bytes.chunks(bytes.len().div_ceil(threads)) {
            scope.spawn(move || {
                for content in part.chunks(each) {
                    let mut file = writer.file(ChunkPolicy::ContentDefined, each as u64);
                    file.write(content).unwrap();
                    file.finish().unwrap();
                }
            });
        }
    });
}

fn main() {
    let dir = std::env::args()
        .nth(1)
        .map_or_else(std::env::temp_dir, PathBuf::from);
    let dir = dir.join(format!("lifeboat-write-speed-{}", std::process::id()));
    for (kind, bytes) in [
        ("incompressible", noise(TOTAL)),
        ("compressible", text(TOTAL)),
    ] {
        let fixed = ChunkPolicy::Fixed { size: 256 << 10 };
        measure(
            &dir,
            &format!("{kind}, one file, fixed 256 KiB"),
            TOTAL,
            |w| {
                one_file(w, &bytes, fixed);
            },
        );
        measure(
            &dir,
            &format!("{kind}, one file, content-defined"),
            TOTAL,
            |w| {
                one_file(w, &bytes, ChunkPolicy::ContentDefined);
            },
        );
        measure(
            &dir,
            &format!("{kind}, files of 100 KB, 2 threads"),
            TOTAL,
            |w| {
                small_files(w, &bytes, 100_000, 2);
            },
        );
    }
    let bytes = noise(30_000_000);
    measure(&dir, "300,000 files of 100 B, 1 thread", bytes.len(), |w| {
        small_files(w, &bytes, 100, 1)
    });
    fs_err::remove_dir_all(dir).unwrap();
}
