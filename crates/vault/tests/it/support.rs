//! What several test modules share.

use std::{
    path::Path,
    process::{Command, Output},
    sync::Arc,
};

use lifeboat_store::{LocalStore, Store};
use lifeboat_vault::{
    BlobId, ChunkPolicy, Environment, Metadata, Node, NodeKind, Snapshot, Tree, Vault, Writer,
    WriterOptions,
};

pub const PASSWORD: &str = "correct horse battery staple";

pub fn env() -> Environment {
    Environment::system("lifeboat test")
}

pub fn local(path: &Path) -> Arc<dyn Store> {
    Arc::new(LocalStore::new(path))
}

pub fn create(store: Arc<dyn Store>) -> Vault {
    Vault::create(store, PASSWORD.as_bytes(), env()).unwrap()
}

pub fn open(store: Arc<dyn Store>) -> Vault {
    Vault::open(store, PASSWORD.as_bytes(), env()).unwrap()
}

/// Small packs, so that few bytes make many objects.
pub fn small_packs() -> WriterOptions {
    WriterOptions {
        pack_size: 64 << 10,
        threads: 2,
        ..WriterOptions::default()
    }
}

/// Bytes that do not compress, the same for the same seed.
pub fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = std::iter::repeat_with(&mut next)
        .take(length / 8 + 1)
        .flatten()
        .collect();
    bytes.truncate(length);
    bytes
}

pub fn text(length: usize) -> Vec<u8> {
    (0..)
        .flat_map(|n| format!("line {n}: the quick brown fox\n").into_bytes())
        .take(length)
        .collect()
}

pub fn save_file(writer: &Writer, name: &str, bytes: &[u8], policy: ChunkPolicy) -> Node {
    let mut file = writer.file(policy, bytes.len() as u64);
    for piece in bytes.chunks(300_000) {
        file.write(piece).unwrap();
    }
    let saved = file.finish().unwrap();
    assert_eq!(saved.size, bytes.len() as u64);
    file_node(name, saved.size, saved.content)
}

pub fn file_node(name: &str, size: u64, content: Vec<BlobId>) -> Node {
    let meta = Metadata {
        mode: 0o644,
        links: 1,
        ..Metadata::default()
    };
    Node {
        name: name.into(),
        kind: NodeKind::File { size, content },
        meta,
    }
}

/// A root tree `/<directory>/…` with these files.
pub fn save_root(writer: &Writer, directory: &str, mut nodes: Vec<Node>) -> BlobId {
    nodes.sort_by(|a, b| a.name.cmp(&b.name));
    let subtree = writer.tree(&Tree { nodes }).unwrap();
    let meta = Metadata {
        mode: 0o755,
        ..Metadata::default()
    };
    let dir = Node {
        name: directory.into(),
        kind: NodeKind::Dir { subtree },
        meta,
    };
    writer.tree(&Tree { nodes: vec![dir] }).unwrap()
}

pub fn snapshot(tree: BlobId) -> Snapshot {
    let env = env();
    Snapshot {
        time: env.clock.now().to_rfc3339(),
        tree: Some(tree),
        paths: vec!["/lifeboat/test".to_owned()],
        hostname: env.hostname,
        username: env.username,
        ..Snapshot::default()
    }
}

/// Runs Debian's restic on a local vault.
pub fn restic(vault: &Path, args: &[&str]) -> Output {
    let output = Command::new("restic")
        .args(["--no-cache", "-r"])
        .arg(vault)
        .args(args)
        .env("RESTIC_PASSWORD", PASSWORD)
        .output();
    match output {
        Ok(output) => output,
        Err(e) => {
            panic!("restic cannot be run ({e}); `cargo xtask test` installs what the tests need")
        }
    }
}

pub fn restic_ok(vault: &Path, args: &[&str]) -> String {
    let output = restic(vault, args);
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "restic {args:?}: {said}");
    said
}

pub fn copy_dir(from: &Path, to: &Path) {
    let done = Command::new("cp")
        .arg("-a")
        .arg(from)
        .arg(to)
        .status()
        .unwrap();
    assert!(done.success());
}
