//! The second pass runs inside the freeze: it has to be bound by `stat`.

use std::time::Instant;

use fs_err as fs;
use lifeboat_capture::{Parent, SkipSet, estimate};

use crate::common::*;

#[test]
fn a_pass_over_twenty_thousand_unchanged_files_takes_milliseconds() {
    let dir = tempfile::tempdir().unwrap();
    let from = dir.path().join("from");
    for d in 0..100 {
        let sub = from.join(format!("d{d:02}"));
        fs::create_dir_all(&sub).unwrap();
        for f in 0..200 {
            fs::write(sub.join(format!("file-{f:03}")), format!("{d} {f}")).unwrap();
        }
    }
    settle();
    let vault = memory_vault();
    let writer = writer(&vault);
    let timed = |what: &str, parent: Option<Parent<'_>>| {
        let start = Instant::now();
        let captured = capture(&writer, &from, parent, true);
        println!(
            "{what}: {:?}, {} bytes read",
            start.elapsed(),
            captured.counts.bytes_read
        );
        (captured, start.elapsed())
    };
    let (first, _) = timed("first pass, 20,000 files", None);
    let (second, _) = timed("second pass", Some(Parent::Pass(&first)));
    let (third, took) = timed("third pass", Some(Parent::Pass(&second)));
    assert_eq!(third.counts.bytes_read, 0);
    assert_eq!(third.counts.dirs_unmodified, 101);
    assert!(took.as_millis() < 1500, "{took:?}");
    fs::write(from.join("d50/file-100"), b"changed").unwrap();
    let (fourth, _) = timed("one file changed", Some(Parent::Pass(&third)));
    assert_eq!(fourth.counts.bytes_read, 7);
    assert_eq!(
        (fourth.counts.dirs_unmodified, fourth.counts.dirs_changed),
        (99, 2)
    );
    commit(writer, subtree(&fourth), &["/x"]);
    let start = Instant::now();
    restore(&vault, &fourth.node, &dir.path().join("to"));
    println!("restore: {:?}", start.elapsed());
    let start = Instant::now();
    assert_eq!(estimate(&from, &SkipSet::new()).unwrap().files, 20_000);
    println!("estimate: {:?}", start.elapsed());
}
