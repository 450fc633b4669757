//! What a prune does, decided: which copy of each blob stays, which packs nobody needs, which are written anew. No I/O.

use std::collections::{HashMap, HashSet};

use super::{Amount, MaxUnused, state::State, used};
use crate::{bits::Bits, blob::BlobKind, error::Result, id::PackId};

/// Packs of one kind that are smaller than a quarter of a full one are joined from this number on.
const JOIN_FROM: usize = 4;

/// What the decision depends on beside the vault.
#[derive(Debug, Clone)]
pub(super) struct Wishes {
    pub(super) max_unused: MaxUnused,
    pub(super) max_repack: Option<u64>,
    pub(super) pack_size: u64,
    /// Packs that the index says were written from then on may belong to a session that has not ended. `None`:
    /// nobody else is at work.
    pub(super) at_work_since: Option<String>,
    /// Whether anybody else is at work, so that a pack that no index names may be one on its way.
    pub(super) others: bool,
    /// Packs that the store does not let go before a time: as good as needed, and not worth to be written anew.
    pub(super) locked: HashMap<PackId, i64>,
}

/// What one pack holds.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct PackUse {
    /// Bytes of blobs that stay.
    pub(super) used: u64,
    used_blobs: u64,
    blobs: u64,
    tree: bool,
    data: bool,
}

impl PackUse {
    /// Whether anything in it stays.
    pub(super) fn is_used(self) -> bool {
        self.used_blobs > 0
    }
}

/// The decision. Packs by their number in the index.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Nobody needs them: to be marked.
    pub(super) unused: Vec<usize>,
    /// Their used blobs are written anew, then they are marked.
    pub(super) repack: Vec<usize>,
    /// Marked, and needed after all: the mark goes.
    pub(super) used_again: Vec<usize>,
    /// In no index: to be marked.
    pub(super) unindexed: Vec<PackId>,
    /// All that is needed.
    pub(super) used: Amount,
    /// All that is not, in packs that nobody marked yet.
    pub(super) garbage: Amount,
    /// What stays of that, beside used blobs.
    pub(super) left: u64,
    /// Left because of the bound on what is written anew.
    pub(super) postponed: bool,
}

/// Of each used blob the one copy that stays.
pub(super) struct Kept {
    pub(super) entries: Bits,
    pub(super) packs: Vec<PackUse>,
}

/// Chooses the copies that stay: in packs that are there and not marked, if there is one; of these in the pack of
/// which the most is used.
pub(super) fn keep(state: &State, used: &Bits) -> Result<Kept> {
    let index = &state.index;
    let there: Vec<bool> = index
        .packs()
        .iter()
        .map(|pack| state.sizes.contains_key(pack))
        .collect();
    let mut weight = vec![0_u64; there.len()];
    for first in used.iter() {
        for (at, location) in index.copies_from(first) {
            weight[index.pack_number(at)] += u64::from(location.length);
        }
    }
    let entries = Bits::new(index.len());
    for first in used.iter() {
        let best = index
            .copies_from(first)
            .map(|(at, _)| (at, index.pack_number(at)))
            .filter(|(_, pack)| there[*pack])
            .max_by_key(|(_, pack)| {
                let state = index.states()[*pack];
                (
                    state.is_live(),
                    state.named,
                    weight[*pack],
                    index.packs()[*pack],
                )
            });
        let (kind, id, _) = index.at(first);
        entries.set(best.ok_or_else(|| used::lost(kind, id))?.0);
    }
    let mut packs = vec![PackUse::default(); there.len()];
    for at in 0..index.len() {
        let (kind, _, location) = index.at(at);
        let pack = &mut packs[index.pack_number(at)];
        pack.blobs += 1;
        pack.tree |= kind == BlobKind::Tree;
        pack.data |= kind == BlobKind::Data;
        if entries.has(at) {
            pack.used += u64::from(location.length);
            pack.used_blobs += 1;
        }
    }
    Ok(Kept { entries, packs })
}

/// Decides.
pub(super) fn decide(state: &State, kept: &Kept, wishes: &Wishes) -> Plan {
    let mut plan = Plan::default();
    // Number, size, bytes that nobody needs.
    let mut partly = Vec::new();
    let mut small = Vec::new();
    for (number, pack) in kept.packs.iter().enumerate() {
        let Some(size) = state.size(number) else {
            continue;
        };
        plan.used.bytes += pack.used;
        plan.used.packs += u64::from(pack.used_blobs > 0);
        if !state.index.states()[number].is_live() {
            if pack.used_blobs > 0 {
                plan.used_again.push(number);
            }
            continue;
        }
        let locked = wishes.locked.contains_key(&state.index.packs()[number]);
        let young = wishes.at_work_since.as_ref().is_some_and(|since| {
            let written = state.times.get(&state.index.packs()[number]);
            written.is_some_and(|written| written >= since)
        });
        let unused = match pack.used_blobs == pack.blobs {
            true => 0,
            false => size.saturating_sub(pack.used),
        };
        plan.garbage.bytes += unused;
        if pack.used_blobs == 0 {
            plan.garbage.packs += 1;
        }
        match (young || locked, pack.used_blobs) {
            (true, _) => plan.left += unused,
            (false, 0) => plan.unused.push(number),
            (false, n) if n < pack.blobs => {
                plan.left += unused;
                partly.push((number, size, unused));
            }
            _ if size < wishes.pack_size / 4 => small.push((number, size)),
            _ => {}
        }
    }
    choose_repack(&mut plan, kept, partly, small, wishes);
    if !wishes.others {
        plan.unindexed = state.unindexed();
        plan.unindexed
            .retain(|pack| !wishes.locked.contains_key(pack));
    }
    plan
}

/// Trees first, since every operation reads them; then where the most is gained for what is written.
fn choose_repack(
    plan: &mut Plan,
    kept: &Kept,
    mut partly: Vec<(usize, u64, u64)>,
    small: Vec<(usize, u64)>,
    wishes: &Wishes,
) {
    let bound = wishes.max_unused.bytes(plan.used.bytes);
    let ratio = |size: u64, unused: u64| unused as f64 / size.max(1) as f64;
    partly.sort_by(|a, b| {
        let trees = |n: usize| kept.packs[n].tree;
        trees(b.0)
            .cmp(&trees(a.0))
            .then(ratio(b.1, b.2).total_cmp(&ratio(a.1, a.2)))
            .then(a.0.cmp(&b.0))
    });
    let mut room = wishes.max_repack.unwrap_or(u64::MAX);
    let mut kinds = HashSet::new();
    for (number, size, unused) in partly {
        if plan.left <= bound {
            break;
        }
        if size > room {
            plan.postponed = true;
            continue;
        }
        room -= size;
        plan.left -= unused.min(plan.left);
        plan.repack.push(number);
        kinds.insert(kept.packs[number].tree);
    }
    if bound == u64::MAX {
        return;
    }
    let mut by_kind: HashMap<bool, Vec<(usize, u64)>> = HashMap::new();
    for (number, size) in small {
        let of_kind = by_kind.entry(kept.packs[number].tree).or_default();
        of_kind.push((number, size));
    }
    for tree in [true, false] {
        let mut of_kind = by_kind.remove(&tree).unwrap_or_default();
        if of_kind.len() < JOIN_FROM && !kinds.contains(&tree) {
            continue;
        }
        of_kind.sort_unstable_by_key(|(number, size)| (*size, *number));
        for (number, size) in of_kind {
            if size > room {
                plan.postponed = true;
                break;
            }
            room -= size;
            plan.repack.push(number);
        }
    }
}
