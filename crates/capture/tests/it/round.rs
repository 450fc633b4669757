//! There and back.

use std::os::unix::fs::MetadataExt;

use fs_err as fs;
use lifeboat_capture::{TreeBuilder, metadata};
use lifeboat_vault::{BlobKind, NodeKind};

use crate::common::*;

#[test]
fn the_odd_tree_comes_back_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    odd_tree(&from);
    chmod(&from, 0o2751);
    std::os::unix::fs::chown(&from, Some(99), Some(98)).unwrap();
    set_times(&from, 42, 42);
    let before = look(&from);
    let vault = memory_vault();
    let writer = writer(&vault);
    let captured = capture(&writer, &from, None, false);
    assert_eq!(captured.problems, []);
    assert_eq!(captured.counts.files_total, captured.counts.files_new);
    assert_eq!(captured.counts.dirs_new, 7);
    commit(writer, subtree(&captured), &["/odd"]);
    let restored = restore(&vault, &captured.node, &to);
    assert_eq!(restored.problems, []);
    assert_eq!(restored.warnings, []);
    compare(&before, &look(&to), without_blocks);
    assert_eq!(restored.counts.hard_links, 4);
    // The capture itself has changed nothing, access times included.
    compare(&before, &look(&from), |_, _| false);
}

#[test]
fn holes_come_back_as_holes() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    odd_tree(&from);
    // Else a file of several names is too young to be read under one of them alone.
    settle();
    let vault = memory_vault();
    let writer = writer(&vault);
    let captured = capture(&writer, &from, None, false);
    commit(writer, subtree(&captured), &["/odd"]);
    restore(&vault, &captured.node, &to);
    for name in ["sparse", "all-hole"] {
        let (a, b) = (
            fs::metadata(from.join(name)).unwrap(),
            fs::metadata(to.join(name)).unwrap(),
        );
        assert_eq!(a.size(), b.size());
        // A hole shorter than a chunk may come back as zeros, the long ones may not.
        assert!(
            b.blocks() * 512 <= a.blocks() * 512 + (1 << 20),
            "{name}: {} {}",
            a.blocks(),
            b.blocks()
        );
    }
    assert_eq!(fs::metadata(to.join("all-hole")).unwrap().blocks(), 0);
    // What holes are is known without reading them.
    // `big` has two names, which two threads may read at once.
    let sizes = 3 * 70_000 + 2 * (9 << 20) + (4 << 20) + (1 << 20);
    assert!(
        captured.counts.bytes_read < sizes,
        "{}",
        captured.counts.bytes_read
    );
}

#[test]
fn a_single_file_of_any_kind_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    odd_tree(&from);
    let vault = memory_vault();
    let writer = writer(&vault);
    let mut nodes = Vec::new();
    for name in [
        "owned", "big", "link", "pipe", "socket", "null", "hollow", "able",
    ] {
        nodes.push((name, capture(&writer, &from.join(name), None, false).node));
    }
    commit(writer, lifeboat_vault::BlobId([0; 32]), &["/x"]);
    for (name, node) in nodes {
        let to = dir.path().join(format!("to-{name}"));
        assert_eq!(restore(&vault, &node, &to).problems, [], "{name}");
        compare(&look(&from.join(name)), &look(&to), |_, seen| {
            // Its other names stay behind.
            seen.same_as = None;
            seen.blocks = 0;
            false
        });
    }
}

#[test]
fn a_built_tree_holds_what_was_put_into_it() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir(&from).unwrap();
    fs::write(from.join("f"), b"data").unwrap();
    chmod(&from, 0o751);
    let vault = memory_vault();
    let writer = writer(&vault);
    let captured = capture(&writer, &from, None, false);
    let mut builder = TreeBuilder::new(captured.began);
    builder
        .insert("volumes/data", captured.node.clone())
        .unwrap();
    builder
        .insert(b"binds//srv/x\xff", captured.node.clone())
        .unwrap();
    builder
        .file_bytes(&writer, "app.json", b"{}", 0o600)
        .unwrap();
    builder.dir("binds/srv", metadata(&from).unwrap()).unwrap();
    builder.dir("layers", metadata(&from).unwrap()).unwrap();
    assert!(builder.insert("app.json", captured.node.clone()).is_err());
    assert!(builder.insert("app.json/x", captured.node.clone()).is_err());
    assert!(builder.insert("a/../b", captured.node.clone()).is_err());
    assert!(builder.insert("", captured.node.clone()).is_err());
    let root = builder.write(&writer).unwrap();
    commit(writer, root, &["/lifeboat"]);
    restore(&vault, root, &to);
    let seen = look(&to);
    let names: Vec<_> = seen.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "",
            "app.json",
            "binds",
            "binds/srv",
            "binds/srv/x\\xff",
            "binds/srv/x\\xff/f",
            "layers",
            "volumes",
            "volumes/data",
            "volumes/data/f"
        ]
    );
    assert_eq!(seen["app.json"].mode, 0o600);
    assert_eq!(seen["volumes"].mode, 0o700);
    assert_eq!(seen["binds/srv"].mode, 0o751);
    assert_eq!(seen["volumes/data"].mode, 0o751);
    let reader = vault.reader().unwrap();
    let tree = reader.tree(root).unwrap();
    let NodeKind::File { content, .. } = &tree.nodes[0].kind else {
        panic!()
    };
    assert_eq!(reader.blob(BlobKind::Data, content[0]).unwrap(), b"{}");
}

#[test]
fn a_directory_that_hands_lists_down_gives_none_to_what_has_none() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    odd_tree(&from);
    let vault = memory_vault();
    let writer = writer(&vault);
    let captured = capture(&writer, &from.join("hands-down"), None, false);
    commit(writer, subtree(&captured), &["/x"]);
    // The target has a default list of its own beforehand.
    fs::create_dir(&to).unwrap();
    let list = look(&from.join("hands-down"))[""].xattrs[0].1.clone();
    set_xattr(&to, "system.posix_acl_default", &list);
    restore(&vault, &captured.node, &to);
    compare(&look(&from.join("hands-down")), &look(&to), without_blocks);
}
