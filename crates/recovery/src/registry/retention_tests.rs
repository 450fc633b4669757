use globset::{Glob, GlobSetBuilder};
use lifeboat_images::registry::ManifestRecord;

use super::*;

fn digest(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

fn globs(patterns: &[&str]) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(Glob::new(pattern).unwrap());
    }
    set.build().unwrap()
}

/// `app`: five versions, a day apart; `1` is an index of two, one of which is `2` as well; `3` is signed in both ways.
/// One manifest has no tag.
fn record() -> RegistryRecord {
    let mut repository = Repository::default();
    let mut add = |name: &str, record: ManifestRecord| {
        repository.manifests.insert(digest(name), record);
    };
    for name in [
        "two",
        "three",
        "four",
        "five",
        "only in the index",
        "untagged",
    ] {
        add(name, ManifestRecord::default());
    }
    add(
        "index",
        ManifestRecord {
            children: [digest("two"), digest("only in the index")].into(),
            ..ManifestRecord::default()
        },
    );
    add(
        "referrer",
        ManifestRecord {
            subject: Some(digest("three")),
            ..ManifestRecord::default()
        },
    );
    add("signature", ManifestRecord::default());
    let signature = format!("{}.sig", digest("three").to_string().replace(':', "-"));
    for (tag, name, day) in [
        ("1", "index", 1),
        ("2", "two", 2),
        ("3", "three", 3),
        ("4", "four", 4),
        ("5", "five", 5),
        (&*signature, "signature", 9),
    ] {
        repository.tags.insert(tag.to_owned(), digest(name));
        let time = format!("2026-11-{day:02}T00:00:00Z");
        repository.since.insert(tag.to_owned(), time);
    }
    RegistryRecord {
        time: "2026-11-06T00:00:00Z".to_owned(),
        repositories: [("app".to_owned(), repository)].into(),
        ..RegistryRecord::default()
    }
}

fn now() -> Timestamp {
    "2026-11-06T00:00:00Z".parse().unwrap()
}

/// What stays once the verdict is carried out: tags, and the names of manifests.
fn left(rules: &Rules, needed: &[(&str, &str)]) -> (Vec<String>, Vec<&'static str>) {
    let mut record = record();
    let needed: Needed = needed
        .iter()
        .map(|(name, app)| ((*name).to_owned(), (*app).to_owned()))
        .collect();
    let needed = [("app".to_owned(), needed)].into();
    let (verdicts, removal) = judge(&record, rules, &|_| true, &needed, now());
    assert_eq!(verdicts.len(), 6);
    removal.carry_out(&mut record);
    let repository = record.repositories.remove("app").unwrap_or_default();
    for manifest in repository.manifests.values() {
        let is_there = |child| repository.manifests.contains_key(child);
        assert!(manifest.children.iter().all(is_there), "an index is broken");
    }
    let known = [
        "index",
        "only in the index",
        "two",
        "three",
        "four",
        "five",
        "signature",
        "referrer",
        "untagged",
    ];
    let manifests = known.into_iter();
    let manifests = manifests.filter(|name| repository.manifests.contains_key(&digest(name)));
    let tags = repository.tags.into_keys().filter(|tag| tag.len() < 9);
    (tags.collect(), manifests.collect())
}

#[test]
fn the_last_ones_stay_and_what_only_others_led_to_goes() {
    let last = |last| Rules {
        last,
        ..Rules::default()
    };
    let (tags, manifests) = left(&last(2), &[]);
    assert_eq!(tags, ["4", "5"]);
    assert_eq!(manifests, ["four", "five", "untagged"]);
    // Signatures stay with what they sign, and count as nobody's version.
    let (tags, manifests) = left(&last(3), &[]);
    assert_eq!(tags, ["3", "4", "5"]);
    let all = ["three", "four", "five", "signature", "referrer", "untagged"];
    assert_eq!(manifests, all);
    let (tags, manifests) = left(&last(4), &[]);
    assert_eq!((tags.len(), manifests.contains(&"index")), (4, false));
    assert_eq!(left(&last(9), &[]).1.len(), 9);
}

#[test]
fn names_and_ages() {
    let rules = Rules {
        tags: globs(&["[12]"]),
        ..Rules::default()
    };
    let (tags, manifests) = left(&rules, &[]);
    assert_eq!(tags, ["1", "2"]);
    assert_eq!(manifests, ["index", "only in the index", "two", "untagged"]);
    let rules = Rules {
        within: Some("3d".parse().unwrap()),
        untagged: true,
        ..Rules::default()
    };
    let (tags, manifests) = left(&rules, &[]);
    assert_eq!(tags, ["4", "5"]);
    assert_eq!(manifests, ["four", "five"]);
    // A part of an index that stays is needed, whether its own tag goes or not.
    let rules = Rules {
        tags: globs(&["1"]),
        untagged: true,
        ..Rules::default()
    };
    let (tags, manifests) = left(&rules, &[]);
    assert_eq!(
        (tags, manifests),
        (
            vec!["1".to_owned()],
            vec!["index", "only in the index", "two"]
        )
    );
}

#[test]
fn what_an_app_names_stays_by_tag_and_by_digest() {
    let rules = Rules {
        last: 1,
        untagged: true,
        ..Rules::default()
    };
    let (tags, manifests) = left(&rules, &[("2", "h/shop")]);
    assert_eq!(tags, ["2", "5"]);
    assert_eq!(manifests, ["two", "five"]);
    let three = digest("three").to_string();
    let (tags, manifests) = left(&rules, &[(&three, "h/shop")]);
    assert_eq!(tags, ["3", "5"]);
    assert_eq!(manifests, ["three", "five", "signature", "referrer"]);
    let untagged = digest("untagged").to_string();
    assert!(
        left(&rules, &[(&untagged, "h/shop")])
            .1
            .contains(&"untagged")
    );
    let child = digest("only in the index").to_string();
    assert!(
        left(&rules, &[(&child, "h/shop")])
            .1
            .contains(&"only in the index")
    );
}

#[test]
fn what_moved_meanwhile_stays() {
    let mut record = record();
    let rules = Rules {
        last: 1,
        ..Rules::default()
    };
    let nothing = BTreeMap::new();
    let (verdicts, removal) = judge(&record, &rules, &|_| true, &nothing, now());
    let five = verdicts.iter().find(|verdict| verdict.tag == "5").unwrap();
    assert_eq!(five.stays, ["one of the 1 that moved last"]);
    let repository = record.repositories.get_mut("app").unwrap();
    repository.tags.insert("1".to_owned(), digest("four"));
    repository.tags.insert("new".to_owned(), digest("two"));
    let gone = removal.carry_out(&mut record);
    let repository = &record.repositories["app"];
    let tags: Vec<_> = repository.tags.keys().map(String::as_str).collect();
    assert_eq!(tags, ["1", "5", "new"]);
    for name in ["four", "five", "two"] {
        assert!(repository.manifests.contains_key(&digest(name)), "{name}");
    }
    assert!(gone.iter().any(|(_, reference, _)| reference == "2"));
    // Once more: nothing is left to do.
    assert_eq!(removal.carry_out(&mut record), []);
    // Repositories that were not chosen are not looked at, and one of which nothing stays is gone.
    let (verdicts, removal) = judge(&record, &rules, &|_| false, &nothing, now());
    assert!(verdicts.is_empty() && removal.is_empty());
    let rules = Rules {
        untagged: true,
        ..Rules::default()
    };
    let (_, removal) = judge(&record, &rules, &|_| true, &nothing, now());
    removal.carry_out(&mut record);
    assert!(record.repositories.is_empty());
}
