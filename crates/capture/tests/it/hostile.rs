//! Trees and neighbours that mean harm.

use std::{
    os::unix::fs::symlink,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
};

use fs_err as fs;
use lifeboat_capture::{
    Anchor, Cancel, CaptureError, Excludes, Overwrite, RestoreOptions, restore_tree,
};
use lifeboat_vault::{
    BlobId, BlobKind, ChunkPolicy, Metadata, Node, NodeKind, Silent, Tree, Vault, VisitLimit,
    Writer,
};

use crate::common::*;

fn file(writer: &Writer, name: &[u8], bytes: &[u8]) -> Node {
    let mut out = writer.file(ChunkPolicy::CONTENT, bytes.len() as u64);
    out.write(bytes).unwrap();
    let saved = out.finish().unwrap();
    let kind = NodeKind::File {
        size: saved.size,
        content: saved.content,
    };
    Node {
        name: name.to_vec(),
        kind,
        meta: meta(),
    }
}

fn meta() -> Metadata {
    Metadata {
        mode: 0o644,
        links: 1,
        ..Metadata::default()
    }
}

/// Writes a tree past every check of ours: as another program would.
fn raw_tree(writer: &Writer, json: &str) -> BlobId {
    writer
        .blob(BlobKind::Tree, format!("{json}\n").as_bytes())
        .unwrap()
}

fn try_restore(vault: &Vault, root: BlobId, to: &Path) -> Result<(), CaptureError> {
    let cancel = Cancel::new();
    let options = RestoreOptions::new(&Silent, &cancel);
    restore_tree(&vault.reader().unwrap(), root, to, &options).map(|_| ())
}

#[test]
fn names_that_lead_out_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let vault = memory_vault();
    let writer = writer(&vault);
    let mut roots = Vec::new();
    for name in [
        "..",
        ".",
        "",
        "/etc/x",
        "../x",
        "a/b",
        "a\\u0000b",
        "a\\\\x00b",
    ] {
        let node = format!(
            r#"{{"name":"{name}","type":"file","mode":420,"mtime":"2020-01-01T00:00:00Z","atime":"2020-01-01T00:00:00Z","ctime":"2020-01-01T00:00:00Z","uid":0,"gid":0,"content":[]}}"#
        );
        roots.push((name, raw_tree(&writer, &format!(r#"{{"nodes":[{node}]}}"#))));
    }
    writer.flush().unwrap();
    commit(writer, roots[0].1, &["/x"]);
    for (name, root) in roots {
        let to = dir.path().join("to");
        assert!(try_restore(&vault, root, &to).is_err(), "{name}");
        assert_eq!(names(&to), Vec::<String>::new(), "{name}");
    }
    assert_eq!(names(dir.path()), ["to"]);
}

fn names(at: &Path) -> Vec<String> {
    fs::read_dir(at)
        .map(|d| {
            d.map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
                .collect()
        })
        .unwrap_or_default()
}

#[test]
fn what_is_in_the_way_is_neither_followed_nor_touched() {
    let dir = tempfile::tempdir().unwrap();
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("victim"), b"victim").unwrap();
    let vault = memory_vault();
    let writer = writer(&vault);
    let inner = writer
        .tree(&Tree {
            nodes: vec![file(&writer, b"victim", b"evil")],
        })
        .unwrap();
    let sub = Node {
        name: b"sub".to_vec(),
        kind: NodeKind::Dir { subtree: inner },
        meta: meta(),
    };
    let plain = file(&writer, b"plain", b"evil");
    let root = writer
        .tree(&Tree {
            nodes: vec![plain, sub],
        })
        .unwrap();
    commit(writer, root, &["/x"]);
    let cancel = Cancel::new();
    for overwrite in [Overwrite::Never, Overwrite::Resume] {
        let to = dir.path().join(format!("to-{overwrite:?}"));
        fs::create_dir(&to).unwrap();
        symlink(&outside, to.join("sub")).unwrap();
        fs::hard_link(outside.join("victim"), to.join("plain")).unwrap();
        let mut options = RestoreOptions::new(&Silent, &cancel);
        options.overwrite = overwrite;
        let end = restore_tree(&vault.reader().unwrap(), root, &to, &options);
        assert!(matches!(end, Err(CaptureError::Exists { .. })), "{end:?}");
        assert_eq!(fs::read(outside.join("victim")).unwrap(), b"victim");
        assert_eq!(names(&outside), ["victim"]);
    }
}

#[test]
fn a_directory_swapped_for_a_link_leads_nowhere() {
    let dir = tempfile::tempdir_in(place()).unwrap();
    let outside = dir.path().join("outside");
    fs::create_dir(&outside).unwrap();
    let vault = memory_vault();
    let writer = writer(&vault);
    let leaf = |i: usize| file(&writer, format!("f{i:03}").as_bytes(), b"evil");
    let inner = writer
        .tree(&Tree {
            nodes: (0..50).map(leaf).collect(),
        })
        .unwrap();
    let nodes = (0..60)
        .map(|i| Node {
            name: format!("d{i:03}").into_bytes(),
            kind: NodeKind::Dir { subtree: inner },
            meta: meta(),
        })
        .collect();
    let root = writer.tree(&Tree { nodes }).unwrap();
    commit(writer, root, &["/x"]);
    let stop = AtomicBool::new(false);
    let mut swaps = 0;
    for round in 0..20 {
        let to = dir.path().join(format!("to{round}"));
        stop.store(false, Ordering::Relaxed);
        swaps += std::thread::scope(|scope| {
            let swapper = scope.spawn(|| {
                let mut swaps = 0;
                while !stop.load(Ordering::Relaxed) {
                    for i in 0..60 {
                        let path = to.join(format!("d{i:03}"));
                        let aside = to.join(format!("moved{i}"));
                        if fs::rename(&path, &aside).is_ok() && symlink(&outside, &path).is_ok() {
                            swaps += 1;
                        }
                    }
                }
                swaps
            });
            let _ = try_restore(&vault, root, &to);
            stop.store(true, Ordering::Relaxed);
            swapper.join().unwrap()
        });
    }
    assert!(swaps > 0);
    assert_eq!(names(&outside), Vec::<String>::new());
}

#[test]
fn a_damaged_file_is_reported_and_the_others_come() {
    let dir = tempfile::tempdir().unwrap();
    let vault = memory_vault();
    let writer = writer(&vault);
    let good = file(&writer, b"good", b"good");
    let mut missing = file(&writer, b"missing", b"x");
    missing.kind = NodeKind::File {
        size: 5,
        content: vec![BlobId([9; 32])],
    };
    let mut short = file(&writer, b"short", b"short");
    if let NodeKind::File { size, .. } = &mut short.kind {
        *size = 6;
    }
    let mut long = file(&writer, b"long", b"too long");
    if let NodeKind::File { size, .. } = &mut long.kind {
        *size = 6;
    }
    let gone = NodeKind::Dir {
        subtree: BlobId([8; 32]),
    };
    let lost = Node {
        name: b"lost".to_vec(),
        kind: gone,
        meta: meta(),
    };
    let root = writer
        .tree(&Tree {
            nodes: vec![good, long, lost, missing, short],
        })
        .unwrap();
    commit(writer, root, &["/x"]);
    let to = dir.path().join("to");
    let restored = restore(&vault, root, &to);
    let paths: Vec<_> = restored.problems.iter().map(|p| p.path.clone()).collect();
    assert_eq!(
        paths,
        ["long", "lost", "missing", "short"].map(|n| to.join(n))
    );
    assert_eq!(names(&to), ["good"]);
}

#[test]
fn one_inode_number_for_two_files_does_not_make_them_one() {
    let dir = tempfile::tempdir().unwrap();
    let vault = memory_vault();
    let writer = writer(&vault);
    let linked = |name: &[u8], bytes: &[u8]| {
        let mut node = file(&writer, name, bytes);
        node.meta.links = 2;
        node.meta.inode = 7;
        node.meta.device_id = 1;
        node
    };
    let nodes = vec![
        linked(b"a", b"one"),
        linked(b"b", b"two"),
        linked(b"c", b"one"),
    ];
    let root = writer.tree(&Tree { nodes }).unwrap();
    commit(writer, root, &["/x"]);
    let to = dir.path().join("to");
    let restored = restore(&vault, root, &to);
    assert_eq!(fs::read(to.join("b")).unwrap(), b"two");
    assert_eq!(fs::read(to.join("c")).unwrap(), b"one");
    assert_eq!(restored.warnings.len(), 1);
}

#[test]
fn directories_in_each_other_without_end_are_not_made() {
    let dir = tempfile::tempdir_in(place()).unwrap();
    let vault = memory_vault();
    let writer = writer(&vault);
    // Ten to the power of twelve files.
    let leaf = (0..10).map(|n| file(&writer, format!("f{n}").as_bytes(), b"x"));
    let mut subtree = writer
        .tree(&Tree {
            nodes: leaf.collect(),
        })
        .unwrap();
    for _ in 0..11 {
        let node = |n| Node {
            name: format!("d{n}").into_bytes(),
            kind: NodeKind::Dir { subtree },
            meta: meta(),
        };
        subtree = writer
            .tree(&Tree {
                nodes: (0..10).map(node).collect(),
            })
            .unwrap();
    }
    commit(writer, subtree, &["/x"]);
    let (cancel, to) = (Cancel::new(), dir.path().join("to"));
    let limit = VisitLimit {
        free: 1000,
        repeated: 2000,
    };
    let reader = vault.reader().unwrap();
    let nowhere = Excludes::parse(["/d0/d1/d2/nowhere"], Anchor::Source).unwrap();
    for include in [None, Some(&nowhere)] {
        let options = RestoreOptions {
            visits: limit,
            include,
            ..RestoreOptions::new(&Silent, &cancel)
        };
        let error = restore_tree(&reader, subtree, &to, &options).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("the same directories stand in each other"),
            "{text}"
        );
        let _ = fs::remove_dir_all(&to);
    }
}
