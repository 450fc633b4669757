//! Input that is larger, wider or emptier than most.

use std::os::unix::fs::{FileExt, MetadataExt};

use fs_err as fs;
use lifeboat_capture::Parent;

use crate::common::*;

/// 1 TB of which 2 MiB are there: nobody reads the rest, stores it, or writes it back.
#[test]
fn a_terabyte_of_holes_is_a_small_file() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir(&from).unwrap();
    let data = noise(2 << 20, 3);
    // Whole pages and not: both ways of cutting meet it.
    let sizes = [1_u64 << 40, (1 << 40) + 77];
    for size in sizes {
        let file = fs::File::create(from.join(size.to_string())).unwrap();
        file.set_len(size).unwrap();
        file.file().write_all_at(&data, 700 << 30).unwrap();
    }
    let vault = memory_vault();
    let writer = writer(&vault);
    let captured = capture(&writer, &from, None, false);
    assert_eq!(captured.problems, []);
    assert!(
        captured.counts.bytes_read <= 2 * (3 << 20),
        "{:?}",
        captured.counts
    );
    let stats = writer.stats();
    assert!(stats.packed_bytes < 16 << 20, "{stats:?}");
    commit(writer, subtree(&captured), &["/x"]);
    assert_eq!(restore(&vault, &captured.node, &to).problems, []);
    for size in sizes {
        let file = fs::File::open(to.join(size.to_string())).unwrap();
        let meta = file.metadata().unwrap();
        assert_eq!(meta.len(), size);
        assert!(meta.blocks() * 512 <= 24 << 20, "{}", meta.blocks());
        let mut read = vec![1; 4 << 20];
        file.file()
            .read_exact_at(&mut read, (700 << 30) - (1 << 20))
            .unwrap();
        let zeros = |bytes: &[u8]| bytes.iter().all(|b| *b == 0);
        assert!(
            read[1 << 20..3 << 20] == data && zeros(&read[..1 << 20]) && zeros(&read[3 << 20..])
        );
    }
}

/// The status of the names of a wide directory is asked for by several threads, a part each.
#[test]
fn nothing_of_a_wide_directory_is_missed() {
    let dir = tempfile::tempdir_in(place()).unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir(&from).unwrap();
    let name = |n: u32| from.join(format!("f{n:05}"));
    for n in 0..9001 {
        fs::write(name(n), n.to_string()).unwrap();
    }
    settle();
    let vault = memory_vault();
    let first = writer(&vault);
    let before = capture(&first, &from, None, false);
    assert_eq!((before.counts.files_new, before.problems.len()), (9001, 0));
    commit(first, subtree(&before), &["/x"]);
    // At the beginnings and ends of the parts, and between.
    for n in [0, 1, 4095, 4096, 8191, 8192, 8500] {
        fs::write(name(n), format!("changed {n}")).unwrap();
    }
    for n in [2, 8190, 9000] {
        fs::remove_file(name(n)).unwrap();
    }
    fs::write(from.join("a new one"), "x").unwrap();
    let second = writer(&vault);
    let parent = Parent::Node {
        node: &before.node,
        began: before.began,
    };
    let after = capture(&second, &from, Some(parent), false);
    let counts = after.counts;
    assert_eq!(
        (
            counts.files_new,
            counts.files_changed,
            counts.files_unmodified
        ),
        (1, 7, 9001 - 3 - 7)
    );
    commit(second, subtree(&after), &["/x"]);
    assert_eq!(restore(&vault, &after.node, &to).problems, []);
    compare(&look(&from), &look(&to), without_blocks);
}
