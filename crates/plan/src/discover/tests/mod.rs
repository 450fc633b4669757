#![allow(clippy::unwrap_used, clippy::panic)]

mod coverage;
mod storage;

use super::*;
use crate::inventory::{ContainerState, EngineFacts, Image, Mount, MountKind, Network, Volume};

fn hex(digit: char) -> String {
    std::iter::repeat_n(digit, 64).collect()
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
        .collect()
}

fn container(id: char, name: &str, pairs: &[(&str, &str)]) -> Container {
    Container {
        id: hex(id),
        name: name.into(),
        labels: labels(pairs),
        state: ContainerState::Running,
        image_id: "sha256:i".into(),
        image_ref: "img:1".into(),
        ..Container::default()
    }
}

fn volume_mount(name: &str, destination: &str) -> Mount {
    Mount {
        kind: MountKind::Volume,
        name: Some(name.into()),
        source: format!("/var/lib/docker/volumes/{name}/_data"),
        destination: destination.into(),
        writable: true,
    }
}

fn bind_mount(source: &str, destination: &str) -> Mount {
    Mount {
        kind: MountKind::Bind,
        name: None,
        source: source.into(),
        destination: destination.into(),
        writable: true,
    }
}

fn volume(name: &str, pairs: &[(&str, &str)]) -> Volume {
    Volume {
        name: name.into(),
        driver: "local".into(),
        mountpoint: format!("/var/lib/docker/volumes/{name}/_data"),
        labels: labels(pairs),
        ..Volume::default()
    }
}

fn network(name: &str, pairs: &[(&str, &str)]) -> Network {
    Network {
        id: format!("id-of-{name}"),
        name: name.into(),
        driver: "bridge".into(),
        scope: "local".into(),
        labels: labels(pairs),
        predefined: matches!(name, "bridge" | "host" | "none"),
        ..Network::default()
    }
}

const SHOP: (&str, &str) = (label::PROJECT, "shop");

/// A Compose project, a stack, a labelled pair, a lone container, and what belongs to nobody.
fn world() -> Inventory {
    let mut db = container(
        '1',
        "shop-db-1",
        &[
            SHOP,
            (label::SERVICE, "db"),
            (label::NUMBER, "1"),
            (label::WORKING_DIR, "/srv/shop"),
            (label::CONFIG_FILES, "/srv/shop/compose.yml,override.yml"),
            (label::ENVIRONMENT_FILE, "/srv/shop/prod.env"),
            (label::COMPOSE_VERSION, "2.40.3"),
        ],
    );
    db.mounts = vec![
        volume_mount("shop_db", "/var/lib/postgresql/data"),
        bind_mount("/srv/shop/init", "/init"),
    ];
    db.env = vec![
        "PGDATA=/var/lib/postgresql/data/pg".into(),
        "POSTGRES_PASSWORD=hunter2".into(),
    ];
    db.networks = vec!["shop_default".into()];
    let mut web = container(
        '2',
        "shop-web-1",
        &[
            SHOP,
            (label::SERVICE, "web"),
            (label::WORKING_DIR, "/srv/shop"),
            (label::CONFIG_FILES, "/srv/shop/compose.yml,override.yml"),
        ],
    );
    web.mounts = vec![
        bind_mount("/srv/shop/init/sub", "/sub"),
        bind_mount("/etc/localtime", "/etc/localtime"),
        bind_mount("/srv/media/", "/media"),
        volume_mount("common", "/common"),
    ];
    web.networks = vec!["shop_default".into(), "proxy".into()];
    let run = container('3', "shop-run-1", &[SHOP, (label::ONE_OFF, "True")]);
    let hook = container('4', "shop-hook", &[SHOP, (label::HOOK, "x")]);
    let again = container('5', &format!("{}_shop-db-1", &hex('1')[..12]), &[SHOP]);
    let mut traefik = container('6', "traefik", &[]);
    traefik.networks = vec!["proxy".into()];
    traefik.mounts = vec![
        bind_mount("/var/run/docker.sock", "/var/run/docker.sock"),
        volume_mount("common", "/common"),
        bind_mount("/srv/media/films", "/films"),
    ];
    let task = container(
        '7',
        "stk_web.1.x",
        &[(label::STACK, "stk"), (label::SWARM_TASK, "t")],
    );
    let one = container('8', "one", &[(label::APP, "pair")]);
    let two = container('9', "two", &[(label::APP, "pair")]);
    let mut sock = container('a', "host-net", &[]);
    sock.network_mode = "host".into();
    Inventory {
        engine: EngineFacts {
            data_root: "/var/lib/docker".into(),
            ..EngineFacts::default()
        },
        containers: vec![sock, two, one, task, traefik, again, hook, run, web, db],
        volumes: vec![
            volume("shop_db", &[SHOP]),
            volume("shop_unused", &[SHOP]),
            volume("common", &[]),
            volume("nobody", &[]),
            volume(
                "gone_data",
                &[(label::PROJECT, "gone"), (label::COMPOSE_VERSION, "2.1")],
            ),
        ],
        networks: vec![
            network("bridge", &[]),
            network("host", &[]),
            network("shop_default", &[SHOP]),
            network("shop_idle", &[SHOP]),
            network("proxy", &[]),
        ],
        images: vec![Image {
            id: "sha256:i".into(),
            tags: vec!["img:1".into(), "img:latest".into()],
            size: 7,
            ..Image::default()
        }],
    }
}

fn app_names(found: &Discovery) -> Vec<&str> {
    found.apps.iter().map(|a| a.name.as_str()).collect()
}

fn has_note(app: &App, text: &str) -> bool {
    app.notes.iter().any(|n| n.text.contains(text))
}

#[test]
fn everything_belongs_somewhere() {
    let found = discover(&world());
    assert_eq!(
        app_names(&found),
        [
            "gone",
            "host-net",
            "pair",
            "shop",
            "stk",
            "traefik",
            "volume:nobody"
        ]
    );
    let kind = |name: &str| found.app(name).unwrap().kind;
    assert_eq!(kind("gone"), AppKind::Compose);
    assert_eq!(kind("pair"), AppKind::Labelled);
    assert_eq!(kind("stk"), AppKind::SwarmStack);
    assert_eq!(kind("traefik"), AppKind::Container);
    assert_eq!(kind("volume:nobody"), AppKind::Volume);
    assert_eq!(found.app("pair").unwrap().containers.len(), 2);
    assert_eq!(found.find("shpo").unwrap_err(), ["shop"]);
    assert_eq!(
        found.app_of_container(&hex('9')).unwrap().name.as_str(),
        "pair"
    );
}

#[test]
fn the_order_of_the_inventory_does_not_matter() {
    let mut turned = world();
    turned.containers.reverse();
    turned.volumes.reverse();
    turned.networks.reverse();
    assert_eq!(discover(&turned), discover(&world()));
}

#[test]
fn a_project_has_its_parts_and_no_one_off_containers() {
    let found = discover(&world());
    let shop = found.app("shop").unwrap();
    let names: Vec<_> = shop.containers.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["shop-db-1", "shop-web-1"]);
    assert_eq!(shop.containers[0].service.as_deref(), Some("db"));
    assert_eq!(shop.containers[0].number, Some(1));
    for text in [
        "shop-run-1 is part of no app",
        "shop-hook is part of no app",
        "in the middle of replacing shop-db-1",
    ] {
        assert!(has_note(shop, text), "{text}: {:?}", shop.notes);
    }
    assert_eq!(shop.images.len(), 1);
    assert_eq!(shop.images[0].tags.len(), 2);
    let volumes: Vec<_> = shop
        .volumes
        .iter()
        .map(|v| (v.name.as_str(), v.external, v.uses.len()))
        .collect();
    assert_eq!(
        volumes,
        [
            ("common", true, 1),
            ("shop_db", false, 1),
            ("shop_unused", false, 0)
        ]
    );
    let networks: Vec<_> = shop
        .networks
        .iter()
        .map(|n| (n.name.as_str(), n.external))
        .collect();
    assert_eq!(
        networks,
        [
            ("proxy", true),
            ("shop_default", false),
            ("shop_idle", false)
        ]
    );
}

#[test]
fn what_is_shared_says_with_whom() {
    let found = discover(&world());
    let shop = found.app("shop").unwrap();
    let with = |names: &[AppName]| {
        names
            .iter()
            .map(|n| n.as_str().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(with(&shop.volumes[0].shared_with), ["traefik"]);
    assert_eq!(with(&shop.networks[0].shared_with), ["traefik"]);
    let media = shop
        .binds
        .iter()
        .find(|b| b.source == "/srv/media")
        .unwrap();
    assert_eq!(with(&media.shared_with), ["traefik"]);
    assert!(shop.volumes[1].shared_with.is_empty());
    let host = found.app("host-net").unwrap();
    assert!(host.networks[0].predefined && host.own_networks().count() == 0);
}

#[test]
fn an_interrupted_recreate_keeps_its_only_container() {
    let mut world = world();
    world.containers.retain(|c| c.name != "shop-db-1");
    let found = discover(&world);
    let shop = found.app("shop").unwrap();
    assert!(
        shop.containers
            .iter()
            .any(|c| c.name.ends_with("_shop-db-1"))
    );
    assert!(has_note(shop, "interrupted recreate"));
}

#[test]
fn names_that_collide_are_told_apart() {
    let world = Inventory {
        containers: vec![
            container('1', "shop-a-1", &[SHOP]),
            container('2', "shop", &[]),
            container('3', "joined", &[(label::APP, "shop")]),
            container('4', "x", &[(label::STACK, "shop")]),
            container('5', "bad", &[(label::APP, "a b")]),
            container('6', "evil", &[(label::APP, "volume:x")]),
        ],
        ..Inventory::default()
    };
    let found = discover(&world);
    assert_eq!(
        app_names(&found),
        ["bad", "evil", "shop", "shop.container", "shop.stack"]
    );
    let shop = found.app("shop").unwrap();
    assert_eq!((shop.kind, shop.containers.len()), (AppKind::Compose, 2));
    assert!(has_note(found.app("bad").unwrap(), "is no app name"));
    assert!(has_note(
        found.app("shop.container").unwrap(),
        "called `shop` on the engine"
    ));
}

#[test]
fn references_to_other_apps_and_to_nothing_are_said() {
    let mut child = container('1', "child", &[]);
    child.refers_to = vec![hex('2'), "gone".into()];
    let world = Inventory {
        containers: vec![child, container('2', "vpn", &[])],
        ..Inventory::default()
    };
    let found = discover(&world);
    let child = found.app("child").unwrap();
    assert!(
        has_note(child, "needs container vpn of another app")
            && has_note(child, "container gone, which does not exist")
    );
}

#[test]
fn a_copy_is_shown_as_one_and_never_protected() {
    let of_copy = [
        (label::COPY, "shop-try"),
        (label::COPY_OF, "default/web1/shop@6f1d3c20"),
        (label::PROJECT, "shop-try"),
    ];
    let inventory = Inventory {
        containers: vec![
            container('a', "shop-db-1", &[(label::PROJECT, "shop")]),
            container('b', "shop-try-db-1", &of_copy),
        ],
        volumes: vec![
            volume("shop_db", &[(label::PROJECT, "shop")]),
            volume("shop-try_db", &of_copy),
        ],
        ..Inventory::default()
    };
    let found = discover(&inventory);
    let names: Vec<&str> = found.apps.iter().map(|a| a.name.as_str()).collect();
    assert_eq!(names, ["shop", "shop-try"]);
    let copy = found.app("shop-try").unwrap();
    assert_eq!((copy.kind, copy.enabled), (AppKind::Copy, false));
    assert_eq!(
        (copy.containers.len(), copy.volumes.len()),
        (1, 1),
        "its volume belongs to it although nothing uses it"
    );
    assert!(copy.notes[0].text.contains("lifeboat rm shop-try"));
    assert_eq!(found.app("shop").unwrap().volumes.len(), 1);

    // Its containers are gone: the volume is still nobody's app.
    let inventory = Inventory {
        volumes: vec![volume("shop-try_db", &of_copy)],
        ..Inventory::default()
    };
    let found = discover(&inventory);
    assert!(!found.app("shop-try").unwrap().enabled);
}

#[test]
fn what_a_replacement_keeps_for_the_moment_is_part_of_no_app() {
    let name = |name: &str| container('1', name, &[(label::APP, "pair")]);
    for ours in ["web.lifeboat-old-6b039d5b", "web.lifeboat-new-6b039d5b"] {
        let here = Inventory {
            containers: vec![name(ours)],
            ..Inventory::default()
        };
        let found = discover(&here);
        assert!(found.apps.is_empty(), "{ours}");
        assert!(
            found.notes[0].text.contains("--replace"),
            "{:?}",
            found.notes
        );
    }
    for theirs in [
        "web.lifeboat-old-x",
        "web.lifeboat-6b039d5b",
        "lifeboat-new-6b039d5b",
    ] {
        let here = Inventory {
            containers: vec![name(theirs)],
            ..Inventory::default()
        };
        assert_eq!(discover(&here).apps.len(), 1, "{theirs}");
    }
}
