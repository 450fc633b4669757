//! A write session under many threads.

use std::{
    collections::HashSet,
    ops::Range,
    sync::Arc,
    time::{Duration, Instant},
};

use lifeboat_store::{Area, FaultyStore, MemoryStore, Store};
use lifeboat_vault::{BlobKind, ChunkPolicy, FileWriter, Writer, WriterOptions};

use crate::support::*;

#[test]
fn threads_that_save_the_same_store_it_once() {
    let vault = create(Arc::new(MemoryStore::new()));
    let writer = vault.writer(small_packs()).unwrap();
    let ids: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    (0..50u64)
                        .map(|n| writer.blob(BlobKind::Data, &noise(n, 5000)).unwrap())
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(ids.iter().all(|i| *i == ids[0]));
    assert_eq!(writer.stats().data_blobs, 50);
    assert_eq!(writer.stats().plain_bytes, 250_000);
    writer.flush().unwrap();
    let reader = vault.reader().unwrap();
    for (n, id) in (0u64..).zip(&ids[0]) {
        assert!(reader.blob(BlobKind::Data, *id).unwrap() == noise(n, 5000));
    }
}

/// Appends bytes as a reader of a file does that is now and then told less than it asked for, or to ask again.
fn fill(file: &mut FileWriter<'_>, mut bytes: &[u8]) {
    let mut turn = 0;
    while !bytes.is_empty() {
        turn += 1;
        let read = |room: &mut [u8]| {
            if turn % 5 == 0 {
                room.fill(0xff);
                return Err("again");
            }
            let count = if turn % 3 == 0 { 1 } else { room.len() };
            room[..count].copy_from_slice(&bytes[..count]);
            Ok(count)
        };
        match file.fill(bytes.len(), read).unwrap() {
            Ok(count) => bytes = &bytes[count..],
            Err(why) => assert_eq!(why, "again"),
        }
    }
}

#[test]
fn chunks_come_back_in_order_whatever_the_pieces() {
    let store = FaultyStore::new(Arc::new(MemoryStore::new()))
        .with_put_delay(std::time::Duration::from_millis(3));
    let vault = create(Arc::new(store));
    let bytes = noise(9, 6_000_000);
    let mut seen = HashSet::new();
    for (piece, policy) in [
        (1 << 20, ChunkPolicy::CONTENT),
        (4097, ChunkPolicy::CONTENT),
        (6_000_000, ChunkPolicy::CONTENT),
        (5_999_999, ChunkPolicy::CONTENT),
        (6_000_000, ChunkPolicy::Fixed { size: 100_000 }),
        (5_999_999, ChunkPolicy::Fixed { size: 100_000 }),
        (777, ChunkPolicy::Fixed { size: 100_000 }),
    ] {
        let writer = vault
            .writer(WriterOptions {
                threads: 3,
                ..small_packs()
            })
            .unwrap();
        let mut file = writer.file(policy, 0);
        for (n, part) in bytes.chunks(piece).enumerate() {
            if (n + piece).is_multiple_of(2) {
                file.write(part).unwrap();
            } else {
                fill(&mut file, part);
            }
        }
        let saved = file.finish().unwrap();
        writer.flush().unwrap();
        let reader = vault.reader().unwrap();
        let mut back = Vec::new();
        for id in &saved.content {
            back.extend(reader.blob(BlobKind::Data, *id).unwrap());
        }
        assert!(back == bytes, "{piece} {policy:?}");
        seen.insert(saved.content);
    }
    // Cuts depend on content alone: two policies, two lists.
    assert_eq!(seen.len(), 2);
}

#[test]
fn holes_begin_with_the_blob_that_restic_looks_for() {
    let vault = create(Arc::new(MemoryStore::new()));
    let writer = vault.writer(WriterOptions::default()).unwrap();
    let mut file = writer.file(ChunkPolicy::CONTENT, 0);
    file.write(b"head").unwrap();
    file.hole(1000).unwrap();
    file.hole(1 << 40).unwrap();
    file.write(b"tail").unwrap();
    let saved = file.finish().unwrap();
    assert_eq!(saved.size, (1 << 40) + 1008);
    writer.flush().unwrap();
    let reader = vault.reader().unwrap();
    let length = |n: usize| reader.blob_len(BlobKind::Data, saved.content[n]).unwrap();
    assert_eq!(length(0), 1004);
    assert_eq!(length(1), 512 << 10);
    assert_eq!(length(2), 16 << 20);
    assert_eq!(
        reader.blob(BlobKind::Data, saved.content[1]).unwrap(),
        vec![0; 512 << 10]
    );
    let total: u64 = (0..saved.content.len()).map(length).sum();
    assert_eq!(total, saved.size);
    assert!(writer.stats().packed_bytes < 10_000, "{:?}", writer.stats());
}

#[test]
fn nothing_is_saved_for_nothing() {
    let vault = create(Arc::new(MemoryStore::new()));
    let writer = vault.writer(WriterOptions::default()).unwrap();
    let saved = writer.file(ChunkPolicy::CONTENT, 0).finish().unwrap();
    assert_eq!((saved.size, saved.content.len()), (0, 0));
    assert!(writer.blob(BlobKind::Data, b"").is_err());
    writer.flush().unwrap();
    assert!(writer.commit(lifeboat_vault::Snapshot::default()).is_err());
}

#[test]
fn much_that_is_durable_is_found_though_the_session_died() {
    let store = Arc::new(MemoryStore::new());
    let vault = create(store.clone());
    let save = |writer: &Writer, numbers: Range<u32>| {
        for n in numbers {
            let mut file = writer.file(ChunkPolicy::CONTENT, 4);
            file.write(&n.to_le_bytes()).unwrap();
            file.finish().unwrap();
        }
        writer.stats().data_blobs
    };
    let writer = vault.writer(small_packs()).unwrap();
    assert_eq!(save(&writer, 0..70_000), 70_000);
    // A thread of the session's makes them durable; the next file that comes has them named.
    let soon = Instant::now() + Duration::from_secs(30);
    let mut next = 70_000;
    while store.list(Area::Index).unwrap().is_empty() {
        assert!(Instant::now() < soon, "nothing is named");
        save(&writer, next..next + 1);
        next += 1;
        std::thread::sleep(Duration::from_millis(1));
    }
    drop(writer);
    let writer = vault.writer(small_packs()).unwrap();
    let again = save(&writer, 0..70_000);
    assert!(again <= 20_000, "{again} stored again");
}

#[test]
fn a_flush_waits_for_the_index_that_another_is_writing() {
    let slow = FaultyStore::new(Arc::new(MemoryStore::new()));
    let store = Arc::new(slow.with_put_delay(Duration::from_millis(400)));
    let writer = create(store.clone()).writer(small_packs()).unwrap();
    let id = writer.blob(BlobKind::Data, b"theirs and ours").unwrap();
    let before = store.puts();
    std::thread::scope(|scope| {
        let other = scope.spawn(|| writer.flush());
        // The pack, and the index that is being written now.
        while store.puts() < before + 2 {
            std::thread::sleep(Duration::from_millis(5));
        }
        // It rests on the same blob, and must not be told that all is there before it is.
        assert_eq!(writer.blob(BlobKind::Data, b"theirs and ours").unwrap(), id);
        writer.flush().unwrap();
        assert_eq!(store.list(Area::Index).unwrap().len(), 1);
        other.join().unwrap().unwrap();
    });
}
