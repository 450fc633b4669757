//! The second half of a prune: what was marked is deleted, once nobody can need it any more.
//!
//! Under a lock that other programs see as exclusive, for moments: the long walk was made before, and only what came
//! since is looked at again. In this order: who is at work, new snapshots, packs and index; then index files are written
//! without the packs, then the packs go, then their marks.
//!
//! What a crash leaves: packs that are marked and that no index names; the next prune goes on.

use std::collections::{BTreeMap, HashMap, HashSet};

use lifeboat_store::{Area, StoreError};

use super::{
    Amount, Run, Waiting, WaitsFor,
    mark::Rewrite,
    plan::{self, Kept},
    state::{FileFacts, Seen, State, carry_over},
    used,
};
use crate::{
    bits::Bits,
    error::{Result, VaultError},
    id::PackId,
    index::IndexedPack,
    lock::{self, LockMode, Present},
    node::Timestamp,
    opened::Core,
    pack::PackedBlob,
    unpacked::object_name,
};

/// How long a program that takes no lock may be at work (rustic's figure).
const LOCKLESS_SECS: i64 = 23 * 3600;
/// An index file with fewer blobs is joined with others, once there are so many of them.
const SMALL_FILE: usize = 10_000;
const JOIN_FILES_FROM: usize = 8;

/// What was deleted, and what was not.
#[derive(Default)]
pub(super) struct Swept {
    pub(super) deleted: Amount,
    pub(super) used_again: u64,
    pub(super) waiting: Vec<Waiting>,
}

/// Deletes what may go.
pub(super) fn sweep(run: &Run<'_>, before: &State, used: &Bits, seen: &mut Seen) -> Result<Swept> {
    let core = &run.vault.0;
    run.progress.step("delete");
    let mut own = vec![run.lock.lease()];
    let mut held = None;
    let mut in_the_way = None;
    if !run.options.instant {
        match lock::acquire_unless(core, LockMode::Delete, run.options.retry_lock, &|| {
            run.stopped()
        }) {
            Ok(lock) => {
                own.push(lock.lease());
                held = Some(lock);
            }
            Err(VaultError::Locked { holder, .. }) => in_the_way = Some(holder),
            Err(error) => return Err(error),
        }
    }
    run.go_on()?;
    let present = lock::present(core, &own)?;
    let in_the_way = in_the_way.or_else(|| present.foreign.first().cloned());
    // Who has ended by now has committed before: that must show.
    core.settle();
    let roots = seen.new_roots(run.vault)?;
    let state = State::read(core, run.progress)?;
    let used = carry_over(used, &before.index, &state.index)?;
    used::add(core, &state.index, roots, &used, run.threads, run.progress)?;
    let kept = plan::keep(&state, &used)?;

    let mut verdict = judge(run, &state, &kept, seen, &present, in_the_way)?;
    verdict.leave_locked(core, &state)?;
    let mut swept = Swept {
        used_again: verdict.used_again.len() as u64,
        waiting: verdict.waiting,
        ..Swept::default()
    };
    let Some(confirm) = confirm(run, held.as_ref()) else {
        return Ok(swept);
    };
    let first = rewrite_first(&state, &verdict.deletable, &verdict.used_again, &kept);
    let mut mark_files = Vec::new();
    if !first.files.is_empty() || !first.more.is_empty() {
        let rewritten: HashSet<_> = first.files.iter().map(|file| file.id).collect();
        mark_files = first.run(core, &confirm)?;
        mark_files.extend(others(&state.files, &rewritten));
    } else {
        mark_files.extend(others(&state.files, &HashSet::new()));
    }
    run.progress.expect(verdict.deletable.len() as u64, 0);
    for (number, pack) in verdict.deletable.iter().enumerate() {
        // Often enough to notice that we were stopped, not so often that it costs more than the work.
        if number % 32 == 0 {
            run.go_on()?;
            confirm()?;
        }
        match core.store.delete(&object_name(Area::Data, &pack.0)?) {
            Ok(()) | Err(StoreError::NotFound(_)) => {}
            Err(e) => {
                return Err(VaultError::store(format!("delete pack {}", pack.short()))(
                    e,
                ));
            }
        }
        swept.deleted.packs += 1;
        swept.deleted.bytes += state.sizes.get(pack).copied().unwrap_or(0);
        run.progress.advance(1, 0);
    }
    let mut done: HashSet<PackId> = verdict.deletable.into_iter().collect();
    done.extend(state.marks.keys().filter(|p| !state.sizes.contains_key(p)));
    let last = Rewrite {
        files: mark_files
            .iter()
            .filter(|file| file.marks.iter().any(|mark| done.contains(mark)))
            .collect(),
        without_marks: done,
        ..Rewrite::default()
    };
    if !last.files.is_empty() {
        last.run(core, &confirm)?;
    }
    Ok(swept)
}

/// What makes sure that both our locks hold. None where deleting is not for now.
fn confirm<'a>(
    run: &'a Run<'_>,
    held: Option<&'a lock::HeldLock>,
) -> Option<impl Fn() -> Result<()> + 'a> {
    (held.is_some() || run.options.instant).then_some(move || {
        run.lock.confirm()?;
        held.map_or(Ok(()), lock::HeldLock::confirm)
    })
}

fn others(files: &[FileFacts], rewritten: &HashSet<crate::id::IndexId>) -> Vec<FileFacts> {
    let files = files.iter().filter(|file| !rewritten.contains(&file.id));
    files.cloned().collect()
}

/// What is to be done with each marked pack.
struct Verdict {
    deletable: Vec<PackId>,
    used_again: Vec<PackId>,
    waiting: Vec<Waiting>,
}

impl Verdict {
    /// A session that began before the mark may have locked it since.
    fn leave_locked(&mut self, core: &Core, state: &State) -> Result<()> {
        let locked = core.locked_packs(&self.deletable)?;
        self.deletable.retain(|pack| !locked.contains_key(pack));
        for (pack, until) in locked {
            self.waiting.push(Waiting {
                amount: Amount {
                    packs: 1,
                    bytes: state.sizes.get(&pack).copied().unwrap_or(0),
                },
                waits_for: WaitsFor::until(until),
            });
        }
        Ok(())
    }
}

fn judge(
    run: &Run<'_>,
    state: &State,
    kept: &Kept,
    seen: &Seen,
    present: &Present,
    in_the_way: Option<String>,
) -> Result<Verdict> {
    let now = run.vault.0.now();
    let lockless = seen.lockless || state.marked_by_others();
    let numbers: HashMap<PackId, usize> = state
        .index
        .packs()
        .iter()
        .enumerate()
        .map(|(number, pack)| (*pack, number))
        .collect();
    let mut verdict = Verdict {
        deletable: Vec::new(),
        used_again: Vec::new(),
        waiting: Vec::new(),
    };
    let mut waiting: BTreeMap<WaitsFor, Amount> = BTreeMap::new();
    for (pack, marks) in &state.marks {
        let Some(size) = state.sizes.get(pack) else {
            continue;
        };
        let number = numbers.get(pack).copied();
        if number.is_some_and(|n| kept.packs[n].is_used()) {
            verdict.used_again.push(*pack);
            continue;
        }
        let named = number.is_some_and(|n| state.index.states()[n].named);
        let why = match &in_the_way {
            Some(holder) => Some(WaitsFor::Lock(holder.clone())),
            None => {
                // One mark that waits for nobody is enough: whoever began before it has ended.
                let waits = marks.iter().map(|mark| {
                    let file = &state.files[mark.file];
                    let strict = lockless || !named || file.leases.is_none();
                    let age = (strict && !run.options.instant).then_some(mark.time.as_deref());
                    waits_for(
                        file.leases.as_deref().unwrap_or_default(),
                        present,
                        age,
                        now,
                    )
                });
                waits.min().unwrap_or_default()
            }
        };
        match why {
            None => verdict.deletable.push(*pack),
            Some(why) => {
                let amount = waiting.entry(why).or_default();
                amount.packs += 1;
                amount.bytes += size;
            }
        }
    }
    verdict.deletable.sort_unstable();
    verdict.used_again.sort_unstable();
    let wait = |(waits_for, amount)| Waiting { amount, waits_for };
    verdict.waiting = waiting.into_iter().map(wait).collect();
    Ok(verdict)
}

/// What a mark waits for: sessions that were at work, and an age where somebody may be at work unseen.
fn waits_for(
    leases: &[String],
    present: &Present,
    age: Option<Option<&str>>,
    now: Timestamp,
) -> Option<WaitsFor> {
    if let Some(holder) = leases.iter().find_map(|id| present.leases.get(id)) {
        return Some(WaitsFor::Session(holder.clone()));
    }
    // A mark without a time was made now.
    let marked = age?.and_then(Timestamp::parse_rfc3339).unwrap_or(now);
    let may_go = Timestamp {
        secs: marked.secs.saturating_add(LOCKLESS_SECS),
        ..marked
    };
    (may_go > now).then(|| WaitsFor::Age(may_go.to_rfc3339()))
}

/// The index without what goes, with what is needed again, and in fewer files.
fn rewrite_first<'a>(
    state: &'a State,
    deletable: &[PackId],
    used_again: &[PackId],
    kept: &Kept,
) -> Rewrite<'a> {
    let mut without_packs: HashSet<PackId> = deletable.iter().copied().collect();
    let without_marks: HashSet<PackId> = used_again.iter().copied().collect();
    // Named, not there, and nobody needs them.
    for (number, pack) in state.index.packs().iter().enumerate() {
        if state.size(number).is_none() && !kept.packs[number].is_used() {
            without_packs.insert(*pack);
        }
    }
    let small = |file: &FileFacts| file.blobs < SMALL_FILE && file.marks.is_empty();
    let many = state.files.iter().filter(|file| small(file)).count() >= JOIN_FILES_FROM;
    let files = state.files.iter().filter(|file| {
        (many && small(file))
            || file.packs.iter().any(|pack| without_packs.contains(pack))
            || file.marks.iter().any(|mark| without_marks.contains(mark))
    });
    Rewrite {
        files: files.collect(),
        more: unnamed(state, &without_marks),
        without_packs,
        without_marks,
    }
}

/// Packs that are needed and that only a mark names, as the index is to name them.
fn unnamed(state: &State, used_again: &HashSet<PackId>) -> Vec<IndexedPack> {
    let index = &state.index;
    let wanted: HashMap<usize, PackId> = index
        .packs()
        .iter()
        .enumerate()
        .filter(|(n, pack)| !index.states()[*n].named && used_again.contains(pack))
        .map(|(n, pack)| (n, *pack))
        .collect();
    if wanted.is_empty() {
        return Vec::new();
    }
    let mut packs: BTreeMap<PackId, Vec<PackedBlob>> = BTreeMap::new();
    for at in 0..index.len() {
        if let Some(pack) = wanted.get(&index.pack_number(at)) {
            let (kind, id, location) = index.at(at);
            packs.entry(*pack).or_default().push(PackedBlob {
                kind,
                id,
                offset: location.offset,
                length: location.length,
                plain_length: location.plain_length,
            });
        }
    }
    let named = |(id, mut blobs): (PackId, Vec<PackedBlob>)| {
        blobs.sort_unstable_by_key(|blob| blob.offset);
        IndexedPack::new(id, blobs)
    };
    packs.into_iter().map(named).collect()
}
