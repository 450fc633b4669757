//! What is protected of what was found.

use super::*;
use crate::bind::{BindPolicy, BindSize, decide};
use crate::coverage::{ProjectFacts, Row, Status, Weight, coverage, gaps};
use crate::protection::{Verdict, protection};

#[test]
fn opting_out_needs_all_containers() {
    let off = (label::ENABLE, "false");
    let world = Inventory {
        containers: vec![
            container('1', "lone", &[off]),
            container('2', "shop-a-1", &[SHOP, off]),
            container('3', "shop-b-1", &[SHOP]),
        ],
        ..Inventory::default()
    };
    let found = discover(&world);
    assert!(!found.app("lone").unwrap().enabled);
    let shop = found.app("shop").unwrap();
    assert!(shop.enabled && has_note(shop, "stands on shop-a-1 only"));
    let lone = found.app("lone").unwrap();
    assert_eq!(protection(lone, &[], &[]).verdict, Verdict::OptedOut);
}

#[test]
fn coverage_names_only_rows_that_apply() {
    let world = world();
    let found = discover(&world);
    let rows = |name: &str, facts: Option<&ProjectFacts>| {
        let findings = coverage(found.app(name).unwrap(), &world, facts);
        gaps(&findings)
            .map(|f| (f.row, f.status))
            .collect::<Vec<_>>()
    };
    assert_eq!(rows("volume:nobody", None), []);
    assert_eq!(rows("pair", None), [(Row::WritableLayers, Status::Partly)]);
    assert!(rows("stk", None).contains(&(Row::Swarm, Status::NotCovered)));
    let shop = rows("shop", None);
    assert!(
        shop.contains(&(Row::IncludedFiles, Status::Partly))
            && !shop.contains(&(Row::Hooks, Status::NotCovered))
    );
    assert!(!shop.iter().any(|(row, _)| *row == Row::ComposeFiles));
    let facts = ProjectFacts {
        missing: vec!["/srv/shop/override.yml".into()],
        lost: vec!["/srv/common.yml".into()],
        hooks: vec!["web".into()],
        ..ProjectFacts::default()
    };
    let shop = rows("shop", Some(&facts));
    for row in [Row::ComposeFiles, Row::IncludedFiles, Row::Hooks] {
        assert!(shop.contains(&(row, Status::NotCovered)), "{row:?}");
    }
    let findings = coverage(found.app("shop").unwrap(), &world, Some(&facts));
    let hooks = findings.iter().find(|f| f.row == Row::Hooks).unwrap();
    assert_eq!(hooks.subjects, ["web"]);
    for who in ["recovery", "agent", "engine"] {
        assert!(hooks.text.contains(who), "{who}: {}", hooks.text);
    }
}

#[test]
fn a_whole_project_has_nothing_to_complain_of() {
    let world = world();
    let found = discover(&world);
    let shop = found.app("shop").unwrap();
    let weights = |facts: Option<&ProjectFacts>| {
        coverage(shop, &world, facts)
            .iter()
            .map(|f| (f.row, f.weight()))
            .filter(|(_, weight)| *weight >= Weight::Note)
            .collect::<Vec<_>>()
    };
    assert_eq!(weights(None), []);
    let mut facts = ProjectFacts {
        outside: vec!["/srv/common.env".into()],
        drift: Some(Vec::new()),
        ..ProjectFacts::default()
    };
    assert_eq!(weights(Some(&facts)), []);
    facts.drift = Some(vec!["web".into()]);
    assert_eq!(weights(Some(&facts)), [(Row::Drift, Weight::Note)]);
    facts.hooks.push("web".into());
    assert!(weights(Some(&facts)).contains(&(Row::Hooks, Weight::Gap)));
}

#[test]
fn coverage_names_volumes_that_are_not_ours_to_read() {
    let mut world = world();
    world.volumes[0].driver = "rclone".into();
    world.volumes[1].options = labels(&[("type", "nfs"), ("o", "addr=hunter2")]);
    let found = discover(&world);
    let shop = found.app("shop").unwrap();
    let findings = coverage(shop, &world, None);
    let subjects = |row: Row| {
        findings
            .iter()
            .find(|f| f.row == row && f.status == Status::NotCovered)
            .unwrap()
            .subjects
            .clone()
    };
    assert_eq!(subjects(Row::VolumeDrivers), ["shop_db"]);
    assert_eq!(subjects(Row::VolumeOptions), ["shop_unused"]);
    let text = serde_json::to_string(&(&found.apps, &findings)).unwrap();
    assert!(
        !text.contains("hunter2"),
        "neither options nor environment may leave the inventory"
    );
    let decisions = decide(&shop.binds, &BindPolicy::default(), &[], |_| {
        BindSize::Exactly(1)
    });
    let summary = protection(shop, &decisions, &findings);
    assert_eq!(summary.verdict, Verdict::Partly);
    let names: Vec<_> = summary
        .unprotected()
        .filter(|i| !i.decided)
        .map(|i| i.what.as_str())
        .collect();
    assert_eq!(names, ["shop_db", "shop_unused"]);
}

#[test]
fn a_whole_app_is_protected() {
    let world = world();
    let found = discover(&world);
    let shop = found.app("shop").unwrap();
    let decisions = decide(&shop.binds, &BindPolicy::default(), &[], |_| {
        BindSize::Exactly(1)
    });
    let summary = protection(shop, &decisions, &coverage(shop, &world, None));
    assert_eq!(summary.verdict, Verdict::Protected, "{:?}", summary.items);
    let big = decide(&shop.binds, &BindPolicy::default(), &[], |_| {
        BindSize::Exactly(u64::MAX)
    });
    assert_eq!(protection(shop, &big, &[]).verdict, Verdict::Partly);
}
