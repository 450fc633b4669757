#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;

use super::*;

fn point(id: &str, path: &str, second: i64) -> PointSummary {
    PointSummary::new(
        format!("{id:0<64}"),
        Timestamp::from_second(second).unwrap(),
        "web01".into(),
        vec![path.into()],
        vec!["lifeboat".into()],
    )
}

fn vault() -> Vec<PointSummary> {
    vec![
        point("aaaaaaaa1", "/lifeboat/default/web01/app/shop", 10),
        point("aaaaaaaa2", "/lifeboat/default/web01/app/shop", 30),
        point("bbbbbbbb", "/lifeboat/default/web01/app/blog", 20),
        point("cccccccc", "/lifeboat/default/web02/app/blog", 25),
        point("dddddddd", "/lifeboat/berlin/web02/app/blog", 5),
        point("eeeeeeee", "/srv/data", 50),
        point("ffffffff", "/lifeboat/default/web01/app/volume:old_db", 1),
    ]
}

fn id_of(text: &str) -> String {
    let points = vault();
    find(text, &points)
        .unwrap()
        .id
        .trim_end_matches('0')
        .to_owned()
}

fn error_of(text: &str) -> ReferenceError {
    find(text, &vault()).unwrap_err()
}

#[test]
fn an_app_is_its_newest_point() {
    assert_eq!(id_of("shop"), "aaaaaaaa2");
    assert_eq!(id_of("web01/shop"), "aaaaaaaa2");
    assert_eq!(id_of("default/web01/shop@latest"), "aaaaaaaa2");
    assert_eq!(id_of("shop@aaaaaaaa1"), "aaaaaaaa1");
    assert_eq!(id_of("SHOP@aaaaaaaa1".to_lowercase().as_str()), "aaaaaaaa1");
    assert_eq!(id_of("volume:old_db"), "ffffffff");
}

#[test]
fn an_app_alone_is_its_newest_complete_point_and_latest_the_newest() {
    const SHOP: &str = "/lifeboat/default/web01/app/shop";
    let tagged = |id: &str, second: i64, tags: &[&str]| PointSummary {
        tags: tags.iter().map(|&tag| tag.to_owned()).collect(),
        ..point(id, SHOP, second)
    };
    let whole = tagged("aaaaaaaa", 10, &[]);
    let newer = tagged("bbbbbbbb", 20, &[]);
    let half = tagged("cccccccc", 30, &[TAG_PARTIAL]);
    let older_half = tagged("dddddddd", 5, &[TAG_PARTIAL]);
    let safety = tagged("eeeeeeee", 40, &[TAG_SAFETY]);
    for (points, alone, latest, incomplete) in [
        (vec![&whole, &half, &newer], &newer, &half, Some(&half)),
        (
            vec![&half, &newer, &older_half, &safety],
            &newer,
            &half,
            Some(&half),
        ),
        (vec![&older_half, &whole], &whole, &whole, None),
        // None is complete, but the state that somebody chose to leave.
        (vec![&safety, &half, &older_half], &half, &half, Some(&half)),
        (vec![&safety], &safety, &safety, None),
    ] {
        let points: Vec<PointSummary> = points.into_iter().cloned().collect();
        for name in ["shop", "web01/shop", "default/web01/shop"] {
            let taken = find(name, &points).unwrap();
            assert_eq!(taken, alone, "{name}");
            let found = newest_incomplete(&name.parse().unwrap(), taken, &points);
            assert_eq!(found, incomplete, "{name}");
        }
        assert_eq!(find("latest", &points).unwrap(), latest);
        let asked = "shop@latest".parse().unwrap();
        let taken = resolve(&asked, &points).unwrap();
        assert_eq!(taken, latest);
        assert_eq!(newest_incomplete(&asked, taken, &points), None);
        let id = points[0].short_id().parse().unwrap();
        let taken = resolve(&id, &points).unwrap();
        assert_eq!(taken, &points[0]);
        assert_eq!(newest_incomplete(&id, taken, &points), None);
    }
}

#[test]
fn ids_reach_everything_plain_snapshots_too() {
    assert_eq!(id_of("eeeeeeee"), "eeeeeeee");
    assert_eq!(id_of("EEEEEEEE"), "eeeeeeee");
    assert_eq!(id_of("bbbbbbbb00"), "bbbbbbbb");
    assert!(
        matches!(error_of("aaaaaaaa"), ReferenceError::Ambiguous { candidates, .. } if candidates.len() == 2)
    );
    assert!(matches!(error_of("eeeeee"), ReferenceError::ShortId { .. }));
    assert!(matches!(
        error_of("99999999"),
        ReferenceError::NotFound { .. }
    ));
}

#[test]
fn an_exact_app_name_wins_over_an_id() {
    let mut points = vault();
    points.push(point("12345678", "/lifeboat/default/web01/app/eeeeeeee", 3));
    assert!(
        find("eeeeeeee", &points)
            .unwrap()
            .id
            .starts_with("12345678")
    );
    points.push(point("12345679", "/lifeboat/default/web01/app/latest", 2));
    assert!(find("latest", &points).unwrap().id.starts_with("12345679"));
}

#[test]
fn what_is_ambiguous_is_listed() {
    let error = error_of("blog");
    let ReferenceError::Ambiguous { candidates, .. } = &error else {
        panic!("{error}")
    };
    assert_eq!(
        candidates,
        &[
            "berlin/web02/blog",
            "default/web01/blog",
            "default/web02/blog"
        ]
    );
    assert!(
        error
            .to_string()
            .contains("berlin/web02/blog, default/web01/blog")
    );
    assert!(
        matches!(error_of("web02/blog"), ReferenceError::Ambiguous { candidates, .. } if candidates.len() == 2)
    );
    assert_eq!(id_of("default/web02/blog"), "cccccccc");
    assert_eq!(id_of("blog@dddddddd"), "dddddddd");
}

#[test]
fn latest_needs_one_subject() {
    assert!(matches!(
        error_of("latest"),
        ReferenceError::Ambiguous { .. }
    ));
    let one: Vec<_> = vault().into_iter().take(2).collect();
    assert!(find("latest", &one).unwrap().id.starts_with("aaaaaaaa2"));
    let plain = [point("1", "/a", 1), point("2", "/b", 2)];
    assert!(find("latest", &plain).unwrap().id.starts_with('2'));
    assert_eq!(find("latest", &[]).unwrap_err(), ReferenceError::Empty);
}

#[test]
fn wrong_names_get_help() {
    let error = error_of("shpo");
    assert!(
        error.to_string().contains("did you mean `shop`?"),
        "{error}"
    );
    let error = error_of("web09/shop");
    assert!(
        error.to_string().contains("`default/web01/shop`"),
        "{error}"
    );
    assert!(matches!(
        error_of("shop@bbbbbbbb"),
        ReferenceError::NoSuchPoint { .. }
    ));
    assert!(matches!(
        error_of("shop@aaaa"),
        ReferenceError::Point { .. }
    ));
    for bad in [
        "",
        "/",
        "a/",
        "/a",
        "a/b/c/d",
        "a@b@latest",
        "@latest",
        "a\nb",
    ] {
        assert!(
            matches!(error_of(bad), ReferenceError::Syntax { .. }),
            "{bad:?}"
        );
    }
}

#[test]
fn points_of_an_app_come_newest_first() {
    let points = vault();
    let shop: Vec<_> = points_of(&"shop".parse().unwrap(), &points)
        .iter()
        .map(|p| p.time.as_second())
        .collect();
    assert_eq!(shop, [30, 10]);
    assert_eq!(points_of(&"blog".parse().unwrap(), &points).len(), 3);
}

proptest! {
    #[test]
    fn references_come_back(site in proptest::option::of("[a-z0-9][a-z0-9_.-]{0,10}"), host in "[a-z0-9][a-z0-9_.-]{0,10}",
                            name in "(volume:)?[A-Za-z0-9][A-Za-z0-9_.-]{0,10}", id in proptest::option::of("[0-9a-f]{8,64}"),
                            with_host in any::<bool>()) {
        let reference = Reference {
            host: (with_host || site.is_some()).then_some(host),
            site,
            name,
            point: id.map(PointRef::Id),
        };
        prop_assert_eq!(reference.to_string().parse::<Reference>().unwrap(), reference);
    }

    #[test]
    fn every_identity_is_a_reference_to_itself(host in "[a-z0-9][a-z0-9_.-]{0,10}", app in "[A-Za-z0-9][A-Za-z0-9_.-]{0,10}") {
        let points = [point("abcdabcd", &format!("/lifeboat/default/{host}/app/{app}"), 1)];
        let text = points[0].identity.clone().unwrap().to_string();
        prop_assert_eq!(find(&text, &points).unwrap(), &points[0]);
    }

    #[test]
    fn nothing_typed_makes_it_panic(text in ".{0,60}") {
        let _ = find(&text, &vault());
    }
}

#[test]
fn a_definition_is_never_the_latest_nor_an_apps_point() {
    let points = [
        point("aaaaaaaa", "/lifeboat/default/web01/app/shop", 10),
        point("bbbbbbbb", "/lifeboat/default/web01/definition/shop", 20),
    ];
    for text in ["latest", "shop", "shop@latest", "aaaaaaaa"] {
        assert_eq!(find(text, &points).unwrap().id, points[0].id, "{text}");
    }
    assert_eq!(find("bbbbbbbb", &points).unwrap().id, points[1].id);
    assert!(find("shop@bbbbbbbb", &points).is_err());
}
