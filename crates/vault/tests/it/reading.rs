//! Files as streams, paths and walks.

use std::{
    io::{Read, Seek, SeekFrom},
    sync::Arc,
};

use lifeboat_store::MemoryStore;
use lifeboat_vault::{
    BlobId, ChunkPolicy, Descend, Environment, Metadata, Node, NodeKind, Tree, Vault, Writer,
    WriterOptions,
};

fn vault() -> (Vault, Writer) {
    let store = Arc::new(MemoryStore::new());
    let vault = Vault::create(store, b"secret", Environment::system("test")).unwrap();
    let writer = vault.writer(WriterOptions::default()).unwrap();
    (vault, writer)
}

fn directory(writer: &Writer, entries: &[(&str, NodeKind)]) -> BlobId {
    let nodes = entries
        .iter()
        .map(|(name, kind)| Node {
            name: name.as_bytes().to_vec(),
            kind: kind.clone(),
            meta: Metadata::default(),
        })
        .collect();
    writer.tree(&Tree { nodes }).unwrap()
}

#[test]
fn a_file_is_read_from_anywhere() {
    let (vault, writer) = vault();
    let bytes: Vec<u8> = (0..5_000_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    let mut file = writer.file(ChunkPolicy::Fixed { size: 64 << 10 }, 0);
    file.write(&bytes[..2_000_000]).unwrap();
    file.hole(3 << 20).unwrap();
    file.write(&bytes[2_000_000..]).unwrap();
    let saved = file.finish().unwrap();
    let mut expected = bytes[..2_000_000].to_vec();
    expected.resize(2_000_000 + (3 << 20), 0);
    expected.extend_from_slice(&bytes[2_000_000..]);
    assert_eq!(saved.size, expected.len() as u64);
    writer.flush().unwrap();
    let node = Node {
        name: b"f".to_vec(),
        kind: NodeKind::File {
            size: saved.size,
            content: saved.content,
        },
        meta: Metadata::default(),
    };
    let mut reader = vault.reader().unwrap().file(&node).unwrap();
    let mut all = Vec::new();
    reader.read_to_end(&mut all).unwrap();
    assert!(all == expected);
    for at in [
        0_u64,
        1,
        65_535,
        65_536,
        65_537,
        1_999_999,
        2_000_000,
        4_000_000,
        saved.size - 1,
    ] {
        reader.seek(SeekFrom::Start(at)).unwrap();
        let mut piece = vec![0; 100_000.min((saved.size - at) as usize)];
        reader.read_exact(&mut piece).unwrap();
        assert!(
            piece == expected[at as usize..at as usize + piece.len()],
            "at {at}"
        );
    }
    assert_eq!(reader.seek(SeekFrom::End(5)).unwrap(), saved.size + 5);
    assert_eq!(reader.read(&mut [0; 9]).unwrap(), 0);
    assert!(reader.next_chunk().unwrap().is_empty());
    assert!(
        reader
            .seek(SeekFrom::Current(-1 - saved.size as i64 - 5))
            .is_err()
    );
    reader.seek(SeekFrom::Start(70_000)).unwrap();
    let mut streamed = Vec::new();
    loop {
        let chunk = reader.next_chunk().unwrap();
        if chunk.is_empty() {
            break;
        }
        streamed.extend_from_slice(chunk);
    }
    assert!(streamed == expected[70_000..]);
}

#[test]
fn paths_and_walks() {
    let (vault, writer) = vault();
    let empty = directory(&writer, &[]);
    let inner = directory(
        &writer,
        &[
            ("f", NodeKind::Fifo),
            (
                "l",
                NodeKind::Symlink {
                    target: b"f".to_vec(),
                },
            ),
        ],
    );
    let root = directory(
        &writer,
        &[
            ("a", NodeKind::Dir { subtree: inner }),
            ("b", NodeKind::Fifo),
            ("c", NodeKind::Dir { subtree: empty }),
        ],
    );
    writer.flush().unwrap();
    let reader = vault.reader().unwrap();
    let found = |path: &[&[u8]]| reader.lookup(root, path).unwrap().map(|node| node.kind);
    assert_eq!(found(&[b"a", b"f"]), Some(NodeKind::Fifo));
    assert_eq!(found(&[b"c"]), Some(NodeKind::Dir { subtree: empty }));
    for none in ["", "x", "a/x", "b/f", "a/l/f", "..", "a/.."] {
        let path: Vec<&[u8]> = none.split('/').map(str::as_bytes).collect();
        assert_eq!(found(&path), None, "{none}");
    }
    assert_eq!(found(&[]), None);
    let walked = |decide: &dyn Fn(&[u8]) -> Descend| {
        let mut paths = Vec::new();
        let mut visit = |path: &[u8], _: &Node| {
            paths.push(String::from_utf8(path.to_vec()).unwrap());
            Ok(decide(path))
        };
        reader.walk(root, &mut visit).unwrap();
        paths
    };
    assert_eq!(walked(&|_| Descend::Into), ["a", "a/f", "a/l", "b", "c"]);
    assert_eq!(walked(&|_| Descend::Skip), ["a", "b", "c"]);
    assert_eq!(
        walked(&|p| if p == b"a/f" {
            Descend::Stop
        } else {
            Descend::Into
        }),
        ["a", "a/f"]
    );
}

#[test]
fn a_bottomless_tree_is_refused() {
    let (vault, writer) = vault();
    let mut tree = directory(&writer, &[]);
    for _ in 0..5000 {
        tree = directory(&writer, &[("d", NodeKind::Dir { subtree: tree })]);
    }
    writer.flush().unwrap();
    let mut count = 0;
    let result = vault.reader().unwrap().walk(tree, &mut |_, _| {
        count += 1;
        Ok(Descend::Into)
    });
    assert!(result.is_err());
    assert!(count > 4000);
}
