//! What the journal of a replacement says.

use std::collections::BTreeSet;

use lifeboat_vault::id::SnapshotId;

use super::old::{Cut, Old};
use crate::{
    Context,
    restore::{
        exchange::Pair,
        journal::{self, AppJournal, Intent},
    },
};

pub(super) fn cut_of(intents: &BTreeSet<Intent>) -> Option<&Cut> {
    intents.iter().find_map(|intent| match intent {
        Intent::Cutting(cut) => Some(cut),
        _ => None,
    })
}

pub(super) fn olds(intents: &BTreeSet<Intent>) -> &[Old] {
    cut_of(intents).map_or(&[], |cut| cut.old.as_slice())
}

/// Containers that stand still around it and are the same afterwards.
pub(super) fn arounds(intents: &BTreeSet<Intent>) -> &[Old] {
    cut_of(intents).map_or(&[], |cut| cut.around.as_slice())
}

pub(super) fn pairs(intents: &BTreeSet<Intent>) -> impl Iterator<Item = &Pair> {
    intents.iter().filter_map(|intent| match intent {
        Intent::Staged(pair) => Some(pair),
        _ => None,
    })
}

pub(super) fn carries(intents: &BTreeSet<Intent>) -> impl Iterator<Item = &Pair> {
    intents.iter().filter_map(|intent| match intent {
        Intent::Carry(pair) => Some(pair),
        _ => None,
    })
}

pub(super) fn keepers(intents: &BTreeSet<Intent>) -> impl Iterator<Item = &String> {
    intents.iter().filter_map(|intent| match intent {
        Intent::Keeper(name) => Some(name),
        _ => None,
    })
}

/// The point that holds the app as it was.
pub(super) fn safety_of(intents: &BTreeSet<Intent>) -> Option<SnapshotId> {
    intents.iter().find_map(|intent| match intent {
        Intent::Safety(id) => Some(*id),
        _ => None,
    })
}

/// Why an app of this name cannot be protected now: it is half one and half the other.
pub(crate) fn in_the_cut(ctx: &Context, app: &str) -> Option<String> {
    let entries = fs_err::read_dir(ctx.places.journal()).into_iter().flatten();
    entries.flatten().find_map(|entry| {
        let name = entry.file_name();
        let AppJournal { app: of, .. } =
            AppJournal::parse(name.to_str()?.strip_suffix(".jsonl")?)?;
        let intents = journal::read_file(&entry.path());
        let is_it = of.rsplit('/').next() == Some(app);
        let half = cut_of(&intents).is_some() && !intents.contains(&Intent::Passed);
        (is_it && half).then(|| {
            format!(
                "a replacement of {of} was interrupted in the middle; finish it with `lifeboat restore --continue`, or go back with `lifeboat restore --undo`, and protect it then"
            )
        })
    })
}

/// Why it is going back already.
pub(super) fn going_back(intents: &BTreeSet<Intent>) -> Option<String> {
    intents.iter().find_map(|intent| match intent {
        Intent::GoingBack(why) => Some(why.clone()),
        _ => None,
    })
}
