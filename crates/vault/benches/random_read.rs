//! `cargo bench -p lifeboat-vault --bench random_read [-- GIB]`: random reads of 8 KiB out of one big file, from a vault in
//! a directory, with the index in memory: what a file system over the vault has to wait for.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "it measures and says what it found"
)]

use std::{
    io::{Read as _, Seek as _, SeekFrom},
    sync::Arc,
    time::Instant,
};

use lifeboat_store::LocalStore;
use lifeboat_vault::{
    ChunkPolicy, Environment, Metadata, Node, NodeKind, Vault, WriterOptions,
    env::{Random as _, SystemRandom},
};

const READS: usize = 2000;
const BLOCK: usize = 8192;

fn main() {
    let size = std::env::args().skip(1).find_map(|word| word.parse().ok());
    let size: u64 = size.unwrap_or(1) << 30;
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(LocalStore::new(dir.path()));
    let vault = Vault::create(store, b"bench", Environment::system("bench")).unwrap();
    let policies = [
        (
            "changed in place (whole pages)",
            ChunkPolicy::for_file(size, size),
        ),
        ("any other", ChunkPolicy::CONTENT),
    ];
    for (what, policy) in policies {
        let writer = vault.writer(WriterOptions::default()).unwrap();
        let mut file = writer.file(policy, size);
        let mut piece = vec![0; 1 << 20];
        for _ in 0..size >> 20 {
            // A quarter noise, the rest zeros: reads have something to decompress.
            SystemRandom.fill(&mut piece[..256 << 10]).unwrap();
            file.write(&piece).unwrap();
        }
        let saved = file.finish().unwrap();
        writer.flush().unwrap();
        drop(writer);
        let node = Node {
            name: b"big".to_vec(),
            kind: NodeKind::File {
                size: saved.size,
                content: saved.content,
            },
            meta: Metadata::default(),
        };
        let mut file = vault.reader().unwrap().file(&node).unwrap();
        let mut took = Vec::with_capacity(READS);
        let mut block = [0; BLOCK];
        for _ in 0..READS {
            let mut number = [0; 8];
            SystemRandom.fill(&mut number).unwrap();
            let at = u64::from_le_bytes(number) % (size - BLOCK as u64);
            let begin = Instant::now();
            file.seek(SeekFrom::Start(at)).unwrap();
            file.read_exact(&mut block).unwrap();
            took.push(begin.elapsed().as_secs_f64() * 1e3);
        }
        took.sort_unstable_by(f64::total_cmp);
        let at = |share: f64| took[(READS as f64 * share) as usize];
        println!(
            "{what}: {READS} reads of {BLOCK} bytes out of {} GiB: median {:.2} ms, p99 {:.2} ms, longest {:.2} ms",
            size >> 30,
            at(0.5),
            at(0.99),
            took[READS - 1]
        );
    }
}
