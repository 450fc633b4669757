//! What every backend must do. Each backend's tests call [`run`] on an empty store.

use sha2::{Digest, Sha256};

use crate::{Area, Capabilities, ObjectName, Store, StoreError};

/// Checks a store that is empty and may be filled. `Err` says what the backend did wrong.
///
/// Names are the hashes of what they hold, since some servers look. Where creation is not exclusive (the
/// store's own [`Store::probe`] says so), several may win one config; everything else holds there too.
pub fn run(store: &dyn Store) -> Result<(), String> {
    store.create().map_err(|e| format!("create: {e}"))?;
    store.create().map_err(|e| format!("create again: {e}"))?;
    let can = store.probe().map_err(|e| format!("probe: {e}"))?;
    for area in Area::ALL {
        one_area(store, area).map_err(|e| format!("{}: {e}", area.as_str()))?;
    }
    if can.exclusive_create {
        many_at_once(store)?;
    }
    same_at_once(store, can)?;
    staged(store)?;
    large(store)
}

/// What is staged is there once it is settled, and never in part.
fn staged(store: &dyn Store) -> Result<(), String> {
    let said = |what: &'static str| move |e: StoreError| format!("{what}: {e}");
    let objects = [b"one".to_vec(), vec![7; 3 << 20], vec![8; 1 << 20]];
    let mut all = Vec::new();
    for bytes in &objects {
        let object = name(Area::Data, bytes)?;
        all.push(store.stage(&object, bytes).map_err(said("stage"))?);
        match store.get(&object) {
            Err(StoreError::NotFound(_)) => {}
            Ok(read) if read == *bytes => {}
            other => {
                return Err(format!(
                    "get of what is staged gave {:?}",
                    other.map(|b| b.len())
                ));
            }
        }
    }
    store.settle(all).map_err(said("settle"))?;
    for bytes in &objects {
        let object = name(Area::Data, bytes)?;
        expect(
            store.get(&object).map_err(said("get"))? == *bytes,
            "what was settled has other bytes",
        )?;
        let again = store.stage(&object, bytes);
        match again.and_then(|staged| store.settle(vec![staged])) {
            Err(StoreError::AlreadyExists(_)) => {}
            // A server that refuses a large body while it is sent resets the connection, and its answer is
            // lost. The put is tried again, and takes equal bytes for its own.
            Ok(()) if store.is_remote() => {}
            other => return Err(format!("what is there staged and settled gave {other:?}")),
        }
        store.delete(&object).map_err(said("delete"))?;
    }
    Ok(())
}

fn expect(condition: bool, what: &str) -> Result<(), String> {
    if condition {
        Ok(())
    } else {
        Err(what.to_owned())
    }
}

/// The name of what holds these bytes.
fn name(area: Area, bytes: &[u8]) -> Result<ObjectName, String> {
    match area {
        Area::Config => Ok(ObjectName::config()),
        area => {
            let id = hex::encode(Sha256::digest(bytes));
            ObjectName::new(area, &id).ok_or_else(|| "not a name".to_owned())
        }
    }
}

fn one_area(store: &dyn Store, area: Area) -> Result<(), String> {
    let said = |what: &'static str| move |e: StoreError| format!("{what}: {e}");
    let not_found = |r: Result<(), StoreError>, what: &str| match r {
        Err(StoreError::NotFound(_)) => Ok(()),
        other => Err(format!("{what} of what is not there gave {other:?}")),
    };
    let bytes: Vec<u8> = (0..5000u32).map(|n| (n % 251) as u8).collect();
    let object = name(area, &bytes)?;
    expect(
        store.list(area).map_err(said("list"))?.is_empty(),
        "it was not empty at first",
    )?;
    not_found(store.get(&object).map(drop), "get")?;
    not_found(store.get_range(&object, 0, 1).map(drop), "get_range")?;
    not_found(store.get_range(&object, 0, 0).map(drop), "get_range")?;
    not_found(store.size(&object).map(drop), "size")?;
    match store.delete(&object) {
        // Not every store tells.
        Ok(()) | Err(StoreError::NotFound(_)) => {}
        other => return Err(format!("delete of what is not there gave {other:?}")),
    }

    store.put(&object, &bytes).map_err(said("put"))?;
    for other in [b"other", &bytes[..]] {
        match store.put(&object, other) {
            Err(StoreError::AlreadyExists(_)) => {}
            other => return Err(format!("put of a name that is there gave {other:?}")),
        }
    }
    expect(
        store.get(&object).map_err(said("get"))? == bytes,
        "get gave other bytes",
    )?;
    expect(
        store.size(&object).map_err(said("size"))? == 5000,
        "size is wrong",
    )?;
    for (offset, length) in [
        (0usize, 5000usize),
        (0, 0),
        (17, 1),
        (4999, 1),
        (100, 4000),
        (5000, 0),
    ] {
        let part = store
            .get_range(&object, offset as u64, length)
            .map_err(said("get_range"))?;
        expect(
            part == bytes[offset..offset + length],
            "get_range gave other bytes",
        )?;
    }
    for (offset, length) in [
        (4999, 2),
        (5001, 1),
        (u64::MAX, 1),
        (0, 5001),
        (0, usize::MAX / 2),
    ] {
        match store.get_range(&object, offset, length) {
            Err(StoreError::ShortRead { .. }) => {}
            other => {
                let got = other.map(|b| b.len());
                return Err(format!("get_range {offset}+{length} gave {got:?}"));
            }
        }
    }
    let listed = store.list(area).map_err(said("list"))?;
    expect(
        listed.len() == 1 && listed[0].name == object && listed[0].size == 5000,
        "list does not show the object, once and with its size",
    )?;
    if area != Area::Config {
        let empty = name(area, b"")?;
        store.put(&empty, b"").map_err(said("put of nothing"))?;
        expect(
            store.get(&empty).map_err(said("get"))?.is_empty(),
            "an empty object grew",
        )?;
        expect(
            store.list(area).map_err(said("list"))?.len() == 2,
            "list misses an object",
        )?;
        store.delete(&empty).map_err(said("delete"))?;
    }
    store.delete(&object).map_err(said("delete"))?;
    not_found(store.get(&object).map(drop), "get after delete")?;
    expect(
        store.list(area).map_err(said("list"))?.is_empty(),
        "list shows what was deleted",
    )?;
    store
        .put(&object, &bytes)
        .map_err(said("put after delete"))?;
    store.delete(&object).map_err(said("delete"))
}

/// Of many puts of the config exactly one wins, and what can be read is the winner's, whole.
fn many_at_once(store: &dyn Store) -> Result<(), String> {
    let object = ObjectName::config();
    let results = at_once(|n| store.put(&object, &[n; 100_000]));
    let mut winners = Vec::new();
    for (n, result) in (0u8..).zip(results) {
        match result {
            Some(Ok(())) => winners.push(n),
            Some(Err(StoreError::AlreadyExists(_))) => {}
            Some(Err(e)) => return Err(format!("concurrent put: {e}")),
            None => return Err("concurrent put: it panicked".to_owned()),
        }
    }
    let bytes = store
        .get(&object)
        .map_err(|e| format!("get after a race: {e}"))?;
    expect(
        winners.len() == 1,
        "not exactly one of the concurrent puts won",
    )?;
    expect(
        bytes == [winners[0]; 100_000],
        "the object is not what the winner put",
    )?;
    store
        .delete(&object)
        .map_err(|e| format!("delete after a race: {e}"))
}

/// Many put the same object at once, as two hosts with the same data do: it is there, whole.
fn same_at_once(store: &dyn Store, can: Capabilities) -> Result<(), String> {
    let bytes = vec![7; 300_000];
    let object = name(Area::Data, &bytes)?;
    for result in at_once(|_| store.put(&object, &bytes)) {
        match result {
            Some(Ok(()) | Err(StoreError::AlreadyExists(_))) => {}
            other => return Err(format!("concurrent put of the same bytes gave {other:?}")),
        }
    }
    if !can.exclusive_create && !store.get(&object).is_ok_and(|b| b == bytes) {
        // A server that replaces what is there may lose all of them. Put once more, it is there.
        let _ = store.delete(&object);
        store
            .put(&object, &bytes)
            .map_err(|e| format!("put after a race: {e}"))?;
    }
    expect(
        store.get(&object).is_ok_and(|b| b == bytes),
        "after concurrent puts of the same bytes others came back",
    )?;
    store
        .delete(&object)
        .map_err(|e| format!("delete after a race: {e}"))
}

/// Eight at the same time; `None` for one that panicked.
fn at_once(
    put: impl Fn(u8) -> Result<(), StoreError> + Sync,
) -> Vec<Option<Result<(), StoreError>>> {
    let put = &put;
    std::thread::scope(|scope| {
        let puts: Vec<_> = (0..8u8).map(|n| scope.spawn(move || put(n))).collect();
        puts.into_iter().map(|p| p.join().ok()).collect()
    })
}

fn large(store: &dyn Store) -> Result<(), String> {
    let bytes: Vec<u8> = (0..20u32 << 20)
        .map(|n| (n >> 12) as u8 ^ n as u8)
        .collect();
    let object = name(Area::Data, &bytes)?;
    store
        .put(&object, &bytes)
        .map_err(|e| format!("put of 20 MiB: {e}"))?;
    expect(
        store.get(&object).is_ok_and(|b| b == bytes),
        "20 MiB came back different",
    )?;
    let part = store
        .get_range(&object, 19 << 20, 4096)
        .map_err(|e| format!("get_range: {e}"))?;
    expect(
        part == bytes[19 << 20..(19 << 20) + 4096],
        "a range of 20 MiB came back different",
    )?;
    store.delete(&object).map_err(|e| format!("delete: {e}"))
}
