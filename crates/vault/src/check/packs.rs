//! Packs: what the index says of them, what the store says, and what is in them.

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroU32,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use lifeboat_store::Area;
use sha2::{Digest, Sha256};

use super::{CheckReport, Damage};
use crate::{
    blob::BlobKind,
    error::{ErrorKind, Result, VaultError},
    id::PackId,
    index::{Index, IndexBuilder},
    opened::Core,
    pack::{PackedBlob, TRAILER},
    progress::Progress,
    read::blobs,
    seal::OVERHEAD,
};

/// Bytes of a pack that are in memory at a time, or one blob.
const WINDOW: usize = 16 << 20;

/// What the index says of a pack, in few bytes: there may be millions of blobs.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct PackFacts {
    blobs: u64,
    /// Size of the whole file that follows from its blobs.
    size: u64,
    /// A sum over all entries, so that their order does not matter.
    fingerprint: u64,
}

impl PackFacts {
    fn of(blobs: &[PackedBlob]) -> PackFacts {
        let mut facts = PackFacts {
            blobs: blobs.len() as u64,
            size: (OVERHEAD + TRAILER) as u64,
            fingerprint: 0,
        };
        for blob in blobs {
            let entry = if blob.plain_length.is_some() { 41 } else { 37 };
            facts.size += u64::from(blob.length) + entry;
            let mut hash = Sha256::new();
            hash.update(blob.id.0);
            hash.update([u8::from(blob.kind == BlobKind::Tree)]);
            hash.update(blob.offset.to_le_bytes());
            hash.update(blob.length.to_le_bytes());
            hash.update(blob.plain_length.map_or(0, NonZeroU32::get).to_le_bytes());
            let [a, b, c, d, e, f, g, h, ..] = <[u8; 32]>::from(hash.finalize());
            let entry = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
            facts.fingerprint = facts.fingerprint.wrapping_add(entry);
        }
        facts
    }
}

/// What the index files say.
#[derive(Default)]
pub(super) struct Said {
    builder: IndexBuilder,
    /// Of the packs that they name.
    pub(super) facts: HashMap<PackId, PackFacts>,
    /// Packs that only wait for their deletion.
    waiting: HashSet<PackId>,
}

/// Reads all index files. Those that cannot be read are findings.
pub(super) fn load(core: &Core, damage: &mut Damage) -> Result<Said> {
    let mut said = Said::default();
    let mut contradicting = Vec::new();
    let (_, unreadable) = core.read_index(|_, file| {
        for pack in file.packs {
            let says = PackFacts::of(&pack.blobs);
            if *said.facts.entry(pack.id).or_insert(says) != says {
                contradicting.push(pack.id);
            }
            said.builder.add(pack.id, pack.blobs);
        }
        for pack in file.to_delete {
            said.waiting.insert(pack.id);
            said.builder.add_marked(pack.id, pack.blobs);
        }
        Ok(())
    })?;
    said.waiting.retain(|pack| !said.facts.contains_key(pack));
    for pack in contradicting {
        damage.add_pack(pack, "two index files say different things of it");
    }
    for (id, error) in unreadable {
        let object = format!("index/{id}");
        let sentence = format!(
            "{object} is damaged: {}; `lifeboat repair index` writes it again from the packs",
            error.reason()
        );
        damage.add(object, sentence);
    }
    Ok(said)
}

/// Holds the index against the list of packs. Returns the index without packs that were deleted as they should be, and
/// the packs that both know.
pub(super) fn compare_with_listing(
    core: &Core,
    said: &mut Said,
    damage: &mut Damage,
    report: &mut CheckReport,
) -> Result<(Index, Vec<(PackId, u64)>)> {
    let listed = core
        .store
        .list(Area::Data)
        .map_err(VaultError::store("list data"))?;
    let mut sizes = HashMap::with_capacity(listed.len());
    let (mut unknown, mut unknown_bytes) = (0_u64, 0_u64);
    let mut waiting = (0_u64, 0_u64);
    for object in listed {
        let mut id = [0; 32];
        if hex::decode_to_slice(object.name.id(), &mut id).is_err() {
            continue;
        }
        if said.facts.contains_key(&PackId(id)) {
            sizes.insert(PackId(id), object.size);
        } else if said.waiting.remove(&PackId(id)) {
            waiting = (waiting.0 + 1, waiting.1 + object.size);
        } else {
            unknown += 1;
            unknown_bytes += object.size;
        }
    }
    if waiting.0 > 0 {
        report.notes.push(format!(
            "{} packs with {} bytes wait for their deletion, which `lifeboat prune` does",
            waiting.0, waiting.1
        ));
    }
    if unknown > 0 {
        report.notes.push(format!(
            "{unknown} packs with {unknown_bytes} bytes are in no index: left by an interrupted backup (prune removes them), or an index file was lost"
        ));
    }
    let mut builder = std::mem::take(&mut said.builder);
    builder.drop_packs(&said.waiting);
    let mut present = Vec::new();
    // In the order of ids, so that two runs say the same.
    let mut packs: Vec<_> = said.facts.iter().collect();
    packs.sort_unstable_by_key(|(pack, _)| **pack);
    for (&pack, said) in packs {
        match sizes.get(&pack) {
            None => damage.add_pack(pack, "it is gone"),
            Some(&size) => {
                if size != said.size {
                    let why = format!("it has {size} bytes, the index asks for {}", said.size);
                    damage.add_pack(pack, &why);
                }
                report.bytes += size;
                present.push((pack, size));
            }
        }
    }
    Ok((builder.build(), present))
}

/// Reads every pack whole.
pub(super) fn read_all(
    core: &Core,
    index: &Index,
    facts: &HashMap<PackId, PackFacts>,
    present: &[(PackId, u64)],
    threads: usize,
    damage: &mut Damage,
    progress: &dyn Progress,
) {
    progress.expect(
        present.len() as u64,
        present.iter().map(|(_, size)| size).sum(),
    );
    let next = AtomicUsize::new(0);
    let bad = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads.min(present.len()) {
            scope.spawn(|| {
                while let Some(&(pack, size)) = present.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let said = facts.get(&pack).copied().unwrap_or_default();
                    if let Err(error) = read_one(core, index, pack, size, said) {
                        bad.lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push((pack, error));
                    }
                    progress.advance(1, size);
                }
            });
        }
    });
    let mut bad = bad.into_inner().unwrap_or_else(PoisonError::into_inner);
    bad.sort_unstable_by_key(|(pack, _)| *pack);
    for (pack, error) in bad {
        let why = match error {
            VaultError::Damaged { why, .. } => why,
            VaultError::PackGone(_) => error.reason(),
            other => format!("it cannot be read ({other})"),
        };
        damage.add_pack(pack, &why);
    }
}

fn read_one(core: &Core, index: &Index, pack: PackId, size: u64, said: PackFacts) -> Result<()> {
    let damaged = |why: String| Err(VaultError::damaged(format!("pack {pack}"), why));
    let header = match core.pack_header(pack) {
        Err(error) if error.kind() != ErrorKind::Damaged => return Err(error),
        // Told below, behind what the hash of the whole file says.
        header => header,
    };
    let blobs: &[PackedBlob] = header.as_deref().unwrap_or_default();
    if blobs
        .iter()
        .any(|blob| u64::from(blob.length) > blob.kind.largest())
    {
        return damaged(
            "it says that a blob in it is larger than any program writes one".to_owned(),
        );
    }
    // The hash of the whole file comes first: it tells damage at rest from wrong writing.
    let mut hash = Sha256::new();
    let mut bad_blob = None;
    let (mut offset, mut number) = (0_u64, 0);
    while offset < size {
        // As many whole blobs as fit into a window; behind the last blob, header and trailer.
        let mut end = offset;
        let first = number;
        while let Some(blob) = blobs.get(number) {
            let blob_end = u64::from(blob.offset) + u64::from(blob.length);
            if end > offset && blob_end - offset > WINDOW as u64 {
                break;
            }
            end = blob_end;
            number += 1;
        }
        if end == offset {
            end = size.min(offset + WINDOW as u64);
        }
        let (Ok(from), Ok(length)) = (u32::try_from(offset), u32::try_from(end - offset)) else {
            return damaged("it is larger than 4 GiB".to_owned());
        };
        let bytes = core.pack_range(pack, from, length)?;
        hash.update(&bytes);
        for blob in &blobs[first..number] {
            let begin = (u64::from(blob.offset) - offset) as usize;
            let sealed = bytes
                .get(begin..begin + blob.length as usize)
                .unwrap_or_default()
                .to_vec();
            if let Err(why) = blobs::open(&core.seal, blob.kind, blob.id, blob.plain_length, sealed)
            {
                bad_blob.get_or_insert((blob.id, why));
            }
        }
        offset = end;
    }
    if <[u8; 32]>::from(hash.finalize()) != pack.0 {
        return damaged("its bytes do not match its name".to_owned());
    }
    if let Err(VaultError::Damaged { why, .. }) = header {
        return damaged(why);
    }
    if let Some((id, why)) = bad_blob {
        return damaged(format!("blob {id} in it: {why}"));
    }
    if PackFacts::of(blobs) != said {
        return damaged("its header and the index name different blobs".to_owned());
    }
    // Not only some index entries of this pack, but all of its blobs can be found.
    match blobs
        .iter()
        .find(|blob| index.find(blob.kind, &blob.id).is_none())
    {
        Some(blob) => damaged(format!("blob {} in it is not found by the index", blob.id)),
        None => Ok(()),
    }
}

/// Tries every blob of the packs that have a finding, and says in it how many are lost.
pub(super) fn find_bad_blobs(core: &Core, index: &Index, damage: &mut Damage) {
    if damage.packs.is_empty() {
        return;
    }
    let mut counts: HashMap<usize, (u64, u64)> = HashMap::new();
    let copies = core.load_copies().unwrap_or_default();
    let is_elsewhere = |kind, id| {
        let mut copies = copies.copies(kind, &id);
        copies.any(|(_, at)| core.blob_at(kind, id, &at).is_ok())
    };
    for (kind, id, location) in index.iter() {
        let Some(&number) = damage.packs.get(&location.pack) else {
            continue;
        };
        let (all, lost) = counts.entry(number).or_default();
        *all += 1;
        if core.blob_at(kind, id, &location).is_err() && !is_elsewhere(kind, id) {
            *lost += 1;
            damage.blobs.insert((kind, id), number);
        }
    }
    for (number, (all, lost)) in counts {
        let sentence = &mut damage.findings[number].sentence;
        sentence.push_str(&match lost {
            0 => format!("; all its {all} blobs can still be read"),
            lost => format!("; {lost} of its {all} blobs are lost"),
        });
    }
}
