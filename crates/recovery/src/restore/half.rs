//! Volumes that a restore has not filled to their end: nothing is to be started on half of one.

use std::collections::BTreeSet;

use super::journal::{AppJournal, Intent, read_file};
use crate::Places;

/// Volumes that restores on this host have begun to fill and have not filled to the end. Those on other engines have
/// another name in the world.
pub fn volumes_begun(places: &Places) -> BTreeSet<String> {
    let entries = fs_err::read_dir(places.journal()).into_iter().flatten();
    let files = entries.flatten().filter(|entry| {
        let name = entry.file_name();
        let name = name.to_str().and_then(|name| name.strip_suffix(".jsonl"));
        let of_app = name.and_then(AppJournal::parse);
        of_app.is_some_and(|journal| journal.at.is_none())
    });
    files
        .flat_map(|entry| half_filled(&read_file(&entry.path())))
        .collect()
}

fn half_filled(intents: &BTreeSet<Intent>) -> BTreeSet<String> {
    let begun = intents.iter().filter_map(|intent| match intent {
        Intent::Volume(name) => Some(name),
        _ => None,
    });
    let whole = |name: &String| {
        let filled = |folder: &String| {
            intents.contains(&Intent::VolumeFilledAt(name.clone(), folder.clone()))
        };
        let mut made = intents.iter().filter_map(|intent| match intent {
            Intent::VolumeMade(made, folder) if made == name => Some(folder),
            _ => None,
        });
        let any = intents
            .iter()
            .any(|i| matches!(i, Intent::VolumeFilledAt(filled, _) if filled == name));
        intents.contains(&Intent::VolumeFilled(name.clone())) || (any && made.all(filled))
    };
    begun.filter(|name| !whole(name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_volume_is_whole_once_the_folder_that_it_is_was_filled() {
        let text = |text: &str| text.to_owned();
        let intents = |all: &[Intent]| all.iter().cloned().collect::<BTreeSet<_>>();
        let volume = Intent::Volume(text("db"));
        let made = |folder| Intent::VolumeMade(text("db"), text(folder));
        let filled = |folder| Intent::VolumeFilledAt(text("db"), text(folder));
        let half = BTreeSet::from([text("db")]);
        for (journal, expected) in [
            (vec![volume.clone()], &half),
            (vec![volume.clone(), made("1")], &half),
            (
                vec![volume.clone(), made("1"), filled("1")],
                &BTreeSet::new(),
            ),
            // The engine lost what was filled, and it is filled again.
            (
                vec![volume.clone(), made("1"), filled("1"), made("2")],
                &half,
            ),
            (
                vec![
                    volume.clone(),
                    made("1"),
                    filled("1"),
                    made("2"),
                    filled("2"),
                ],
                &BTreeSet::new(),
            ),
            (
                vec![volume.clone(), Intent::VolumeFilled(text("db"))],
                &BTreeSet::new(),
            ),
            (vec![made("1")], &BTreeSet::new()),
        ] {
            assert_eq!(half_filled(&intents(&journal)), *expected, "{journal:?}");
        }
    }
}
