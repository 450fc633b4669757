//! restic reads what we wrote, and we read what restic wrote.

use std::io::Read;

use lifeboat_vault::{
    CheckOptions, ChunkPolicy, ErrorKind, NodeKind, Silent, Vault, WriterOptions,
};

use crate::support::*;

#[test]
fn restic_checks_and_restores_what_we_wrote() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vault");
    let vault = create(local(&path));
    let files = [
        ("empty", Vec::new(), ChunkPolicy::CONTENT),
        ("hello", b"hello".to_vec(), ChunkPolicy::CONTENT),
        ("noise", noise(1, 9_000_000), ChunkPolicy::CONTENT),
        (
            "pages",
            noise(2, 3 << 20),
            ChunkPolicy::Fixed { size: 256 << 10 },
        ),
        ("text", text(5_000_000), ChunkPolicy::CONTENT),
    ];
    let mut expected: Vec<(&str, Vec<u8>)> = Vec::new();
    let writer = vault
        .writer(WriterOptions {
            pack_size: 1 << 20,
            ..Default::default()
        })
        .unwrap();
    let mut nodes = Vec::new();
    for (name, bytes, policy) in files {
        nodes.push(save_file(&writer, name, &bytes, policy));
        expected.push((name, bytes));
    }
    // A sparse file: data, a hole, data.
    let mut sparse = writer.file(ChunkPolicy::Fixed { size: 256 << 10 }, 0);
    sparse.write(&noise(3, 700_000)).unwrap();
    sparse.hole(20 << 20).unwrap();
    sparse.write(b"end").unwrap();
    let saved = sparse.finish().unwrap();
    nodes.push(file_node("sparse", saved.size, saved.content));
    let mut bytes = noise(3, 700_000);
    bytes.resize(700_000 + (20 << 20), 0);
    bytes.extend_from_slice(b"end");
    expected.push(("sparse", bytes));
    let root = save_root(&writer, "d", nodes);
    let id = writer.commit(snapshot(root)).unwrap();

    let said = restic_ok(&path, &["check", "--read-data"]);
    assert!(said.contains("no errors were found"), "{said}");
    let target = dir.path().join("restored");
    restic_ok(
        &path,
        &[
            "restore",
            &id.to_hex(),
            "--target",
            target.to_str().unwrap(),
        ],
    );
    for (name, bytes) in &expected {
        assert!(
            fs_err::read(target.join("d").join(name)).unwrap() == *bytes,
            "{name} differs"
        );
    }
    // The format's own figures agree.
    assert!(restic_ok(&path, &["snapshots"]).contains(&id.short()));
    let said = restic_ok(&path, &["prune", "--dry-run"]);
    assert!(said.contains("unused size after prune: 0 B"), "{said}");

    let report = open(local(&path)).check(
        &CheckOptions {
            read_data: true,
            ..Default::default()
        },
        &Silent,
    );
    assert!(report.unwrap().is_healthy());
}

#[test]
fn what_is_there_is_not_stored_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vault");
    let vault = create(local(&path));
    for round in 0..2 {
        let writer = vault.writer(WriterOptions::default()).unwrap();
        let nodes = vec![
            save_file(&writer, "a", &noise(1, 3_000_000), ChunkPolicy::CONTENT),
            save_file(&writer, "b", &noise(1, 3_000_000), ChunkPolicy::CONTENT),
        ];
        let root = save_root(&writer, "d", nodes);
        let stats = writer.stats();
        match round {
            0 => {
                assert!(
                    (3_000_000..3_005_000).contains(&stats.plain_bytes),
                    "{stats:?}"
                );
                assert_eq!(stats.tree_blobs, 2);
            }
            _ => assert_eq!(stats, Default::default()),
        }
        writer.commit(snapshot(root)).unwrap();
    }
    assert_eq!(vault.snapshots().unwrap().found.len(), 2);
    restic_ok(&path, &["check", "--read-data"]);
}

fn read_by_us(vault: &Vault, name: &[u8]) -> Vec<u8> {
    let snapshots = vault.snapshots().unwrap();
    assert!(snapshots.unreadable.is_empty());
    let root = snapshots.found[0].1.tree.unwrap();
    let reader = vault.reader().unwrap();
    let mut found = None;
    reader
        .walk(root, &mut |path, node| {
            if path.ends_with(name) {
                found = Some(node.clone());
            }
            Ok(lifeboat_vault::Descend::Into)
        })
        .unwrap();
    let node = found.unwrap();
    assert!(matches!(node.kind, NodeKind::File { .. }));
    let mut bytes = Vec::new();
    reader.file(&node).unwrap().read_to_end(&mut bytes).unwrap();
    bytes
}

fn written_by_restic(version: &str) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vault");
    let source = dir.path().join("source");
    fs_err::create_dir(&source).unwrap();
    fs_err::write(source.join("noise"), noise(7, 6_000_000)).unwrap();
    fs_err::write(source.join("text"), text(3_000_000)).unwrap();
    restic_ok(&path, &["init", "--repository-version", version]);
    restic_ok(&path, &["backup", source.to_str().unwrap()]);

    let vault = open(local(&path));
    assert_eq!(vault.version().to_string(), version);
    assert!(read_by_us(&vault, b"/noise") == noise(7, 6_000_000));
    assert!(read_by_us(&vault, b"/text") == text(3_000_000));
    let check = vault.check(
        &CheckOptions {
            read_data: true,
            ..Default::default()
        },
        &Silent,
    );
    assert!(check.unwrap().is_healthy());

    if version == "1" {
        let error = vault
            .writer(WriterOptions::default())
            .map(drop)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert!(error.to_string().contains("migrate"), "{error}");
    } else {
        // We add a point, restic goes on beside it.
        let writer = vault.writer(WriterOptions::default()).unwrap();
        let node = save_file(&writer, "x", b"from us", ChunkPolicy::CONTENT);
        let root = save_root(&writer, "ours", vec![node]);
        writer.commit(snapshot(root)).unwrap();
        restic_ok(&path, &["backup", source.to_str().unwrap()]);
    }
    // Our locks are gone, or an exclusive check would refuse.
    restic_ok(&path, &["check", "--read-data"]);
}

#[test]
fn we_read_what_restic_wrote() {
    written_by_restic("2");
}

#[test]
fn we_read_version_1_and_refuse_to_write_it() {
    written_by_restic("1");
}

#[test]
fn restic_respects_our_lock() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("vault");
    let vault = create(local(&path));
    let writer = vault.writer(WriterOptions::default()).unwrap();
    assert_eq!(
        restic_ok(&path, &["list", "locks", "--no-lock"])
            .lines()
            .count(),
        1
    );
    let pruned = restic(&path, &["prune"]);
    let said = String::from_utf8_lossy(&pruned.stderr).into_owned();
    assert!(
        !pruned.status.success() && said.contains("already locked"),
        "{said}"
    );
    drop(writer);
    restic_ok(&path, &["prune"]);
}
