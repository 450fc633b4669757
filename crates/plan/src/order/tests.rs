#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn id(name: &str) -> String {
    let hex: String = name.bytes().map(|b| format!("{b:02x}")).collect();
    format!("{hex:0<64}")
}

fn service(name: &str, depends_on: &str) -> Container {
    let labels = [
        (label::PROJECT, "shop"),
        (label::SERVICE, name),
        (label::DEPENDS_ON, depends_on),
    ];
    Container {
        id: id(name),
        name: format!("shop-{name}-1"),
        labels: labels.map(|(k, v)| (k.into(), v.into())).into(),
        ..Container::default()
    }
}

fn lone(name: &str, refers_to: &[&str]) -> Container {
    Container {
        id: id(name),
        name: name.into(),
        refers_to: refers_to.iter().map(|r| (*r).to_owned()).collect(),
        ..Container::default()
    }
}

fn ordered(containers: &[Container]) -> Order {
    order(&containers.iter().collect::<Vec<_>>())
}

fn names(order: &Order) -> Vec<&str> {
    order.steps.iter().map(|s| s.name.as_str()).collect()
}

#[test]
fn dependencies_come_first_and_stop_last() {
    let all = [
        service("web", "app:service_started:false"),
        service("app", "db:service_healthy:true,cache"),
        service("db", ""),
        service("cache", ""),
    ];
    let order = ordered(&all);
    assert_eq!(
        names(&order),
        ["shop-cache-1", "shop-db-1", "shop-app-1", "shop-web-1"]
    );
    assert_eq!(order.stop().next(), Some(all[0].id.as_str()));
    let app = &order.steps[2];
    assert!(
        app.waits_for
            .iter()
            .any(|d| d.on == id("db") && d.condition == Condition::Healthy && d.restart)
    );
    // The old form: Compose assumes restart.
    assert!(
        app.waits_for
            .iter()
            .any(|d| d.on == id("cache") && d.condition == Condition::Started && d.restart)
    );
    assert!(order.steps[3].waits_for.iter().all(|d| !d.restart));
    assert!(order.cycles.is_empty() && order.unresolved.is_empty());
}

#[test]
fn replicas_all_come_first_and_other_projects_do_not_count() {
    let mut second = service("db", "");
    second.id = id("db2");
    second.name = "shop-db-2".into();
    let mut other = service("db", "");
    other.id = id("db3");
    other.name = "a-db-1".into();
    other.labels.insert(label::PROJECT.into(), "a".into());
    let order = ordered(&[service("app", "db"), second, service("db", ""), other]);
    let app = order.steps.iter().find(|s| s.name == "shop-app-1").unwrap();
    assert_eq!(app.waits_for.len(), 2);
}

#[test]
fn references_are_followed_in_every_spelling() {
    let vpn = lone("vpn", &[]);
    for spelling in [
        id("vpn"),
        format!("container:{}", id("vpn")),
        "vpn".into(),
        "/vpn:alias".into(),
        id("vpn")[..12].into(),
    ] {
        let order = ordered(&[lone("a", &[&spelling]), vpn.clone()]);
        assert_eq!(names(&order), ["vpn", "a"], "{spelling}");
        assert_eq!(order.steps[1].waits_for[0].because, Because::Reference);
    }
    let order = ordered(&[lone("a", &["container:gone"])]);
    assert_eq!(
        order.unresolved,
        [("a".to_owned(), "container:gone".to_owned())]
    );
}

#[test]
fn other_tools_labels_count() {
    let mut a = lone("a", &[]);
    a.labels
        .insert(label::WATCHTOWER_DEPENDS_ON.into(), "/b, c".into());
    let mut b = lone("b", &[]);
    b.labels
        .insert(label::LIFEBOAT_DEPENDS_ON.into(), "c".into());
    assert_eq!(names(&ordered(&[a, b, lone("c", &[])])), ["c", "b", "a"]);
}

#[test]
fn cycles_are_reported_and_broken_at_a_wish() {
    // a needs b to exist; b only wishes for a.
    let a = lone("a", &["b"]);
    let mut b = lone("b", &[]);
    b.labels
        .insert(label::LIFEBOAT_DEPENDS_ON.into(), "a".into());
    let order = ordered(&[a.clone(), b.clone()]);
    assert_eq!(names(&order), ["b", "a"]);
    assert_eq!(order.cycles, [["a", "b", "a"]]);
    assert_eq!(order, ordered(&[b, a]));
    let hard = ordered(&[lone("x", &["y"]), lone("y", &["x"])]);
    assert_eq!((hard.steps.len(), hard.cycles.len()), (2, 1));
    assert_eq!(names(&ordered(&[lone("self", &["self"])])), ["self"]);
}

#[test]
fn fixed_addresses_go_first_with_what_they_wait_for() {
    let fixed = |mut c: Container| {
        c.raw = json!({"NetworkSettings": {"Networks": {"n": {"IPAMConfig": {"IPv4Address": "10.0.0.9"}}}}});
        c
    };
    let mut z = fixed(lone("z", &[]));
    z.labels
        .insert(label::LIFEBOAT_DEPENDS_ON.into(), "m".into());
    let order = ordered(&[lone("a", &[]), lone("m", &[]), z, fixed(lone("y", &[]))]);
    assert_eq!(names(&order), ["y", "m", "z", "a"]);
    assert!(order.steps[0].fixed_address && !order.steps[1].fixed_address);
    assert!(!has_fixed_address(&lone("a", &[])));
}

proptest! {
    /// Whatever the arrows: everybody has one turn, after all that it still waits for.
    #[test]
    fn every_graph_is_ordered(arrows in proptest::collection::vec((0usize..9, 0usize..9, any::<bool>()), 0..30)) {
        let name = |n: usize| format!("c{n}");
        let mut all: Vec<Container> = (0..9).map(|n| lone(&name(n), &[])).collect();
        for (from, to, hard) in arrows {
            if hard {
                all[from].refers_to.push(id(&name(to)));
            } else {
                let list = all[from].labels.entry(label::LIFEBOAT_DEPENDS_ON.into()).or_default();
                list.push_str(&format!(",{}", name(to)));
            }
        }
        let found = ordered(&all);
        prop_assert_eq!(found.steps.len(), 9);
        for (at, step) in found.steps.iter().enumerate() {
            for d in &step.waits_for {
                prop_assert!(found.steps[..at].iter().any(|s| s.id == d.on));
            }
        }
        all.reverse();
        prop_assert_eq!(ordered(&all), found);
    }
}
