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
    let random = noise(length / 4);
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

/// Seconds of processor time that this process has used.
fn cpu() -> f64 {
    let stat = fs_err::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .collect();
    fields[11..13]
        .iter()
        .map(|ticks| ticks.parse::<f64>().unwrap() / 100.0)
        .sum()
}

fn measure(dir: &std::path::Path, what: &str, bytes: usize, work: impl FnOnce(&Writer)) {
    let path = dir.join(what.replace([' ', ',', '.'], "-"));
    let store = Arc::new(LocalStore::new(&path));
    let vault = Vault::create(store, b"x", Environment::system("bench")).unwrap();
    let writer = vault.writer(WriterOptions::default()).unwrap();
    let (began, cpu_before) = (Instant::now(), cpu());
    work(&writer);
    writer.flush().unwrap();
    let took = began.elapsed().as_secs_f64();
    let cpu = cpu() - cpu_before;
    let stats = writer.stats();
    println!(
        "{what}: {:.0} MB/s, {:.0} MB/s a core ({took:.2} s, cpu {cpu:.2} s, {} blobs, {:.0} MB packed, peak memory {} MB)",
        bytes as f64 / 1e6 / took,
        bytes as f64 / 1e6 / cpu,
        stats.data_blobs,
        stats.packed_bytes as f64 / 1e6,
        peak()
    );
    drop(writer);
    fs_err::remove_dir_all(path).unwrap();
}

/// The bytes of one run, made piece by piece so that the figures of memory are the writer's.
struct Source {
    base: Vec<u8>,
}

impl Source {
    /// Piece `n` of `length` bytes: a part of the base, stamped every 4 KiB so that no two pieces
    /// are equal.
    fn piece(&self, n: usize, length: usize, out: &mut Vec<u8>) {
        let start = (n * length) % (self.base.len() - length);
        out.clear();
        out.extend_from_slice(&self.base[start..start + length]);
        for page in out.chunks_mut(4096).filter(|p| p.len() >= 8) {
            page[..8]
                .copy_from_slice(&(n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        }
    }
}

fn one_file(writer: &Writer, source: &Source, policy: ChunkPolicy) {
    let mut file = writer.file(policy, TOTAL as u64);
    let mut piece = Vec::new();
    for n in 0..TOTAL >> 20 {
        source.piece(n, 1 << 20, &mut piece);
        file.write(&piece).unwrap();
    }
    file.finish().unwrap();
}

fn small_files(writer: &Writer, source: &Source, count: usize, each: usize, threads: usize) {
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                let mut piece = Vec::new();
                for n in (thread..count).step_by(threads) {
                    source.piece(n, each, &mut piece);
                    let mut file = writer.file(ChunkPolicy::CONTENT, each as u64);
                    file.write(&piece).unwrap();
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
    let noise = Source {
        base: noise(33 << 20),
    };
    let text = Source {
        base: text(33 << 20),
    };
    println!("peak memory before: {} MB", peak());
    for (kind, source) in [("incompressible", &noise), ("compressible", &text)] {
        let fixed = ChunkPolicy::Fixed { size: 256 << 10 };
        measure(
            &dir,
            &format!("{kind}, one file, fixed 256 KiB"),
            TOTAL,
            |w| {
                one_file(w, source, fixed);
            },
        );
        measure(
            &dir,
            &format!("{kind}, one file, content-defined"),
            TOTAL,
            |w| {
                one_file(w, source, ChunkPolicy::CONTENT);
            },
        );
        measure(
            &dir,
            &format!("{kind}, files of 100 KB, 2 threads"),
            TOTAL,
            |w| {
                small_files(w, source, TOTAL / 100_000, 100_000, 2);
            },
        );
    }
    measure(&dir, "300,000 files of 100 B, 1 thread", 30_000_000, |w| {
        small_files(w, &noise, 300_000, 100, 1);
    });
    fs_err::remove_dir_all(dir).unwrap();
}
