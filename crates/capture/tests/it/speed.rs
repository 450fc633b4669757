//! The second pass runs inside the freeze: it has to be bound by `stat`.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use fs_err as fs;
use lifeboat_capture::{Cancel, Parent, RestoreOptions, SkipSet, estimate, restore_tree};
use lifeboat_store::{FaultyStore, MemoryStore};
use lifeboat_vault::Silent;

use crate::{common::*, company::CompanyStore};

/// What all threads of this process have used.
fn cpu() -> Duration {
    let t = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(t.tv_sec as u64, t.tv_nsec as u32)
}

#[test]
fn a_pass_over_twenty_thousand_unchanged_files_takes_milliseconds() {
    let begun = Instant::now();
    // In memory where that can be had: what is measured is us, not the disk.
    let memory = std::path::Path::new("/dev/shm");
    let place = if memory.is_dir() {
        memory.to_owned()
    } else {
        std::env::temp_dir()
    };
    let dir = tempfile::tempdir_in(place).unwrap();
    let from = dir.path().join("from");
    for d in 0..100 {
        let sub = from.join(format!("d{d:02}"));
        fs::create_dir_all(&sub).unwrap();
        for f in 0..200 {
            fs::write(sub.join(format!("file-{f:03}")), format!("{d} {f}")).unwrap();
        }
    }
    println!("made: {:?}", begun.elapsed());
    settle();
    let vault = memory_vault();
    let writer = writer(&vault);
    let timed = |what: &str, parent: Option<Parent<'_>>| {
        let (start, before) = (Instant::now(), cpu());
        let captured = capture(&writer, &from, parent, true);
        let took = cpu() - before;
        println!(
            "{what}: {:?}, processor {took:?}, {} bytes read",
            start.elapsed(),
            captured.counts.bytes_read
        );
        (captured, took)
    };
    let (first, _) = timed("first pass, 20,000 files", None);
    let (second, _) = timed("second pass", Some(Parent::Pass(&first)));
    let (third, took) = timed("third pass", Some(Parent::Pass(&second)));
    assert_eq!(third.counts.bytes_read, 0);
    assert_eq!(third.counts.dirs_unmodified, 101);
    // The processor's time, because the machine may be busy with something else.
    assert!(took.as_millis() < 500, "{took:?}");
    fs::write(from.join("d50/file-100"), b"changed").unwrap();
    let (fourth, _) = timed("one file changed", Some(Parent::Pass(&third)));
    assert_eq!(fourth.counts.bytes_read, 7);
    assert_eq!(
        (fourth.counts.dirs_unmodified, fourth.counts.dirs_changed),
        (99, 2)
    );
    let start = Instant::now();
    commit(writer, subtree(&fourth), &["/x"]);
    println!("commit: {:?}", start.elapsed());
    let start = Instant::now();
    restore(&vault, &fourth.node, &dir.path().join("to"));
    println!("restore: {:?}", start.elapsed());
    let start = Instant::now();
    assert_eq!(estimate(&from, &SkipSet::new()).unwrap().files, 20_000);
    println!("estimate: {:?}", start.elapsed());
}

#[test]
fn a_large_file_is_written_by_several_threads() {
    let dir = tempfile::tempdir_in(place()).unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir(&from).unwrap();
    // Noise, zeros that were written, a hole, and an end that fits no block.
    let mut bytes = noise(96 << 20, 6);
    bytes.extend(vec![0; 8 << 20]);
    bytes.extend(noise((8 << 20) + 4096 * 3, 7));
    fs::write(from.join("large"), &bytes).unwrap();
    bytes.extend(b"odd");
    fs::write(from.join("odd"), &bytes).unwrap();
    let vault = memory_vault();
    let writer = writer(&vault);
    let start = Instant::now();
    let captured = capture(&writer, &from, None, false);
    let root = subtree(&captured);
    commit(writer, root, &["/x"]);
    println!("capture of 2 x 112 MiB: {:?}", start.elapsed());
    let start = Instant::now();
    let restored = restore(&vault, root, &to);
    println!("restore of 2 x 112 MiB: {:?}", start.elapsed());
    assert_eq!(restored.problems, []);
    compare(&look(&from), &look(&to), |name, seen| {
        without_blocks(name, seen) || name.is_empty()
    });
}

/// Who comes to a large file while others have all the help gets it when they are done.
#[test]
fn a_large_file_is_helped_when_another_is_done() {
    let dir = tempfile::tempdir_in(place()).unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir_all(from.join("later")).unwrap();
    fs::write(from.join("short"), noise(20 << 20, 1)).unwrap();
    fs::write(from.join("later/long"), noise(96 << 20, 2)).unwrap();
    let store = Arc::new(CompanyStore::default());
    let vault = vault(store.clone());
    let writer = writer(&vault);
    let captured = capture(&writer, &from, None, false);
    let root = subtree(&captured);
    commit(writer, root, &["/x"]);
    let cancel = Cancel::new();
    let mut options = RestoreOptions::new(&Silent, &cancel);
    (options.sync, options.threads) = (false, 2);
    let reader = vault.reader().unwrap();
    // The short file and its help, and the long one alone: three that read at once.
    let reads = store.watch(3, || {
        let restored = restore_tree(&reader, root, &to, &options).unwrap();
        assert_eq!(restored.problems, []);
    });
    compare(&look(&from), &look(&to), |name, seen| {
        without_blocks(name, seen) || name.is_empty()
    });
    println!("{reads:?}");
    assert!(
        reads.gathered,
        "the long file did not begin alone: {reads:?}"
    );
    assert!(reads.all > 20, "{reads:?}");
    // Those of one piece before the help comes, and the last ones. Without help it is two thirds.
    assert!(reads.alone * 4 < reads.all, "{reads:?}");
}

/// Neighbours in a pack are read together: small files of one directory, the pieces of a large one.
#[test]
fn a_restore_asks_for_neighbours_at_once() {
    let dir = tempfile::tempdir_in(place()).unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    fs::create_dir_all(from.join("small")).unwrap();
    for n in 0..640 {
        fs::write(from.join(format!("small/{n:03}")), noise(500, n)).unwrap();
    }
    fs::write(from.join("large"), noise(48 << 20, 9)).unwrap();
    let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())));
    let vault = vault(store.clone());
    let writer = writer(&vault);
    let captured = capture(&writer, &from, None, false);
    let root = subtree(&captured);
    commit(writer, root, &["/x"]);
    let before = store.ranges();
    assert_eq!(restore(&vault, root, &to).problems, []);
    let asked = store.ranges() - before;
    compare(&look(&from), &look(&to), |name, seen| {
        without_blocks(name, seen) || name.is_empty()
    });
    // One by one it would be more than 700. How the writer spreads blobs over packs is a matter of threads.
    println!("{asked} ranges");
    assert!(asked < 200, "{asked} ranges for 640 small files and 48 MiB");
}

/// On a server, packs are read ahead: not a request for each folder with its few small files.
#[test]
fn a_restore_from_a_server_reads_ahead() {
    let dir = tempfile::tempdir_in(place()).unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("to"));
    for n in 0..1200 {
        let folder = from.join(format!("{:02}/{n:04}", n % 40));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("one"), noise(20_000, n)).unwrap();
        fs::write(folder.join("two"), noise(300, n + 5000)).unwrap();
    }
    let store = Arc::new(FaultyStore::new(Arc::new(MemoryStore::new())).on_a_server());
    let vault = vault(store.clone());
    let writer = writer(&vault);
    let captured = capture(&writer, &from, None, false);
    let root = subtree(&captured);
    commit(writer, root, &["/x"]);
    let before = store.ranges();
    assert_eq!(restore(&vault, root, &to).problems, []);
    let asked = store.ranges() - before;
    compare(&look(&from), &look(&to), |name, seen| {
        without_blocks(name, seen) || name.is_empty()
    });
    // Trees have 1,241 requests, as nothing is kept near here.
    println!("{asked} ranges");
    assert!(asked < 1241 + 300, "{asked} ranges for 1,200 folders");
}
