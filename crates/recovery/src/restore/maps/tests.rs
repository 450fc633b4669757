#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! Mappings as they are written, and put on made definitions.

use lifeboat_engine::{
    ApiVersion,
    recreate::{container_create_body, network_create_body},
};
use lifeboat_plan::{
    inventory::{Image, Inventory, Network},
    manifest::Manifest,
};
use serde_json::{Value, json};

use super::{
    Applied, Given, Maps,
    apply::{Scope, apply_to},
};
use crate::restore::point::Definitions;

fn hex(digit: char) -> String {
    std::iter::repeat_n(digit, 64).collect()
}

fn given(flags: &[(&str, &str)]) -> Given {
    let of = |flag: &str| {
        let all = flags.iter().filter(|(f, _)| *f == flag);
        all.map(|(_, value)| (*value).to_owned()).collect()
    };
    Given {
        ports: of("port"),
        binds: of("bind"),
        networks: of("network"),
        subnets: of("subnet"),
        volumes: of("volume"),
        images: of("image"),
        variables: of("env"),
        file: None,
    }
}

fn maps(flags: &[(&str, &str)]) -> Maps {
    given(flags).read().unwrap()
}

#[test]
fn what_cannot_be_read_is_told_all_at_once() {
    let long = format!("/old:/{}", "x".repeat(256));
    let wrong = given(&[
        ("port", "80"),
        ("port", "0:81"),
        ("port", "80/icmp:81"),
        ("port", "80:70000"),
        ("port", "80:localhost:81"),
        ("bind", "srv:/data"),
        ("bind", "/srv:data"),
        ("bind", "/a/../b:/c"),
        ("bind", "/:/c"),
        ("bind", &long),
        ("network", "a:b c"),
        ("network", "old:"),
        ("volume", "a:x"),
        ("volume", "db:one"),
        ("volume", "db:two"),
        ("subnet", "10.0.0.0/8:10.0.0.0/9"),
        ("subnet", "10.0.0.0/8"),
        ("image", "postgres"),
        ("env", "PASSWORD:hunter2"),
        ("env", "A=1"),
        ("env", "A=2"),
        ("port", "8080:1"),
        ("port", "8080/tcp:2"),
    ]);
    let told = wrong.read().unwrap_err();
    assert_eq!(told.len(), 20, "{told:#?}");
    let text = told.join("\n");
    for word in [
        "--map-port 80:",
        "given twice",
        "too long",
        "absolute",
        "at least two",
    ] {
        assert!(text.contains(word), "{word}: {text}");
    }
    // Two that are wrong only together are told once.
    assert!(!text.contains("=2"), "{text}");
}

#[test]
fn a_file_holds_the_same_pairs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("map.yaml");
    let text = "ports:\n  8080: 8081\n  53/udp: 127.0.0.1:5353\nbinds:\n  /srv: /data\nenv:\n  HOST: db.example\n  web:DEBUG: true\n  PIN: 0123\n  EMPTY: ''\nimages:\n  postgres:16: postgres:17\n";
    fs_err::write(&path, text).unwrap();
    let from_file = Given {
        file: Some(path.clone()),
        ..Given::default()
    };
    let by_flags = maps(&[
        ("port", "53/udp:127.0.0.1:5353"),
        ("port", "8080:8081"),
        ("bind", "/srv:/data"),
        ("env", "EMPTY="),
        ("env", "HOST=db.example"),
        ("env", "PIN=0123"),
        ("env", "web:DEBUG=true"),
        ("image", "postgres:16=postgres:17"),
    ]);
    let read = from_file.read().unwrap();
    assert_eq!(read.variables, by_flags.variables);
    assert_eq!(Maps::from_journal(&read.journaled()), Some(read.clone()));
    assert!(!format!("{read:?}").contains("0123"), "{read:?}");
    // Once in the file and once as a flag.
    let twice = Given {
        ports: vec!["8080:9".to_owned()],
        ..from_file.clone()
    };
    assert!(twice.read().unwrap_err()[0].contains("given twice"));
    fs_err::write(&path, "env:\n  A: s3cret\nprots: {}\n").unwrap();
    let told = from_file.read().unwrap_err().join("");
    assert!(
        told.contains("map.yaml") && !told.contains("s3cret"),
        "{told}"
    );
}

fn manifest() -> Manifest {
    let container = |id: char, name: &str, service: &str| {
        json!({"id": hex(id), "name": name, "service": service, "state": "running",
            "image_id": format!("sha256:{}", hex('a')), "image_ref": "postgres:16"})
    };
    let manifest = json!({
        "schema": 1, "versions": {}, "kind": "compose",
        "identity": {"site": "default", "host": "web1", "app": "shop"},
        "engine": {"kind": "docker", "version": "20.10.24", "api_version": "1.41", "architecture": "amd64", "os": "linux"},
        "consistency": {"level": "crash", "provider": "precopy", "stall_ns": 1,
            "began": "2026-11-03T10:00:00Z", "ended": "2026-11-03T10:00:09Z"},
        "containers": [container('1', "shop-db-1", "db"), container('2', "shop-web-1", "web")],
        "volumes": [
            {"name": "shop_db", "driver": "local", "content": "data"},
            {"name": "shop_web", "driver": "local", "content": "data"},
        ],
        "images": [{"id": format!("sha256:{}", hex('a')), "config_digest": "c", "tags": ["postgres:16"]}],
        "binds": [
            {"source": "/srv/data", "decision": "captured", "content": "present"},
            {"source": "/srv/shop/secret", "decision": "within", "within": "/srv/shop", "content": "present"},
            {"source": "/films", "decision": "left_out", "content": "present"},
        ],
        "networks": [{"id": hex('9'), "name": "shop_default", "driver": "bridge"},
            {"id": hex('8'), "name": "proxy", "driver": "bridge", "shared": true}],
        "project": {"name": "shop", "working_dir": "/srv/shop", "config_files": ["/srv/shop/compose.yaml"], "roots": ["/srv/shop"]},
    });
    serde_json::from_value(manifest).unwrap()
}

fn definitions() -> Definitions {
    let raw = |id: char, name: &str, service: &str, host: Value| {
        json!({
            "Id": hex(id), "Name": format!("/{name}"), "Image": format!("sha256:{}", hex('a')),
            "Config": {
                "Image": "postgres:16", "Env": ["PATH=/bin", "HOST=old", "PG=16"],
                "Cmd": ["postgres"], "Entrypoint": ["own"], "User": "",
                "Labels": {"com.docker.compose.service": service, "com.docker.compose.image": format!("sha256:{}", hex('a')),
                    "com.docker.compose.project.config_files": "/srv/shop/compose.yaml,/else/o.yaml", "of.image": "1"},
            },
            "HostConfig": host, "Mounts": [],
            "NetworkSettings": {"Networks": {"shop_default": {"NetworkID": hex('9'), "IPAMConfig": {"IPv4Address": "10.9.0.7"}}}},
        })
    };
    let db = raw(
        '1',
        "shop-db-1",
        "db",
        json!({"NetworkMode": "shop_default", "Binds": ["shop_db:/db", "/films:/films"],
            "PortBindings": {"5432/tcp": [{"HostIp": "10.0.0.1", "HostPort": "5432"}]}}),
    );
    let web = raw(
        '2',
        "shop-web-1",
        "web",
        json!({"NetworkMode": hex('9'), "Binds": ["shop_web:/w", "/srv/data/x:/x", "/srv/shop/secret:/s"],
            "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "8080"}], "80/udp": [{"HostIp": "", "HostPort": "8080"}]}}),
    );
    let network = |name: &str, id: char, subnet: &str, gateway: &str| {
        json!({"Name": name, "Id": hex(id), "Driver": "bridge", "Labels": {"com.docker.compose.config-hash": "h"},
            "IPAM": {"Config": [{"Subnet": subnet, "Gateway": gateway}]}})
    };
    let image = json!({"Config": {"Env": ["PATH=/bin", "PG=16"], "Cmd": ["postgres"],
        "Entrypoint": ["docker-entrypoint.sh"], "User": "", "Labels": {"of.image": "1"}}});
    Definitions {
        api: Some(ApiVersion::new(1, 41)),
        containers: [("shop-db-1".to_owned(), db), ("shop-web-1".to_owned(), web)].into(),
        networks: [
            (
                "shop_default".to_owned(),
                network("shop_default", '9', "10.9.0.0/24", "10.9.0.1"),
            ),
            (
                "proxy".to_owned(),
                network("proxy", '8', "10.8.0.0/24", "10.8.0.1"),
            ),
        ]
        .into(),
        volumes: ["shop_db", "shop_web"]
            .map(|name| (name.to_owned(), json!({"Name": name, "Driver": "local"})))
            .into(),
        images: [(format!("sha256:{}", hex('a')), image)].into(),
        ..Definitions::default()
    }
}

fn here() -> Inventory {
    let network = |name: &str, subnet: &str| Network {
        name: name.to_owned(),
        raw: json!({"IPAM": {"Config": [{"Subnet": subnet}]}}),
        ..Network::default()
    };
    Inventory {
        networks: vec![
            network("traefik", "10.7.0.0/24"),
            network("other", "10.8.0.0/16"),
        ],
        images: vec![Image {
            id: format!("sha256:{}", hex('b')),
            tags: vec!["postgres:17".to_owned()],
            ..Image::default()
        }],
        ..Inventory::default()
    }
}

fn applied(flags: &[(&str, &str)]) -> (Manifest, Definitions, Applied) {
    let (mut manifest, mut definitions) = (manifest(), definitions());
    let applied = apply_to(
        &mut manifest,
        &mut definitions,
        &maps(flags),
        &here(),
        Scope::App,
    );
    (manifest, definitions, applied)
}

#[test]
fn all_of_them_at_once() {
    let (manifest, definitions, done) = applied(&[
        ("port", "8080/tcp:127.0.0.1:8081"),
        ("port", "5432:0"),
        ("bind", "/srv:/data/srv"),
        ("bind", "/srv/shop:/opt/shop"),
        ("bind", "/films:/mnt/films"),
        ("network", "shop_default:store_default"),
        ("network", "proxy:traefik"),
        ("subnet", "10.9.0.0/24:10.99.5.0/24"),
        ("volume", "shop_db:shop_web"),
        ("volume", "shop_web:shop_db"),
        ("image", "postgres:16:postgres:17"),
        ("env", "web:HOST=new"),
        ("env", "web:MORE=x"),
        ("env", "PATH=/usr/bin"),
    ]);
    assert_eq!(done.problems, Vec::<String>::new());
    let mapping = lifeboat_engine::recreate::Mapping {
        image: Some("postgres:17".to_owned()),
        image_id: Some(format!("sha256:{}", hex('b'))),
        ..definitions.mapping()
    };
    let body = |name: &str| {
        let raw = definitions.container(name).unwrap();
        container_create_body(raw, &mapping).unwrap().body
    };
    let web = body("shop-web-1");
    assert_eq!(
        web["HostConfig"]["PortBindings"],
        json!({"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "8081"}], "80/udp": [{"HostIp": "", "HostPort": "8080"}]})
    );
    assert_eq!(
        web["HostConfig"]["Binds"],
        json!(["shop_db:/w", "/data/srv/data/x:/x", "/opt/shop/secret:/s"])
    );
    assert_eq!(web["HostConfig"]["NetworkMode"], "store_default");
    let endpoint = &web["NetworkingConfig"]["EndpointsConfig"]["store_default"];
    assert_eq!(endpoint["IPAMConfig"]["IPv4Address"], "10.99.5.7");
    // The old image's defaults are gone, what somebody chose stays, and what was asked for is set.
    assert_eq!(web["Env"], json!(["PATH=/usr/bin", "HOST=new", "MORE=x"]));
    assert!(web.get("Cmd").is_none(), "{web}");
    assert_eq!(web["Entrypoint"], json!(["own"]));
    assert_eq!(
        web["Labels"],
        json!({"com.docker.compose.service": "web", "com.docker.compose.image": format!("sha256:{}", hex('b')),
            "com.docker.compose.project.config_files": "/opt/shop/compose.yaml,/else/o.yaml"})
    );
    let db = body("shop-db-1");
    assert_eq!(
        db["HostConfig"]["Binds"],
        json!(["shop_web:/db", "/mnt/films:/films"])
    );
    assert_eq!(
        db["HostConfig"]["PortBindings"],
        json!({"5432/tcp": [{"HostIp": "10.0.0.1", "HostPort": ""}]})
    );
    assert_eq!(db["Env"], json!(["PATH=/usr/bin", "HOST=old"]));

    let network = network_create_body(&definitions.networks["store_default"], &mapping).unwrap();
    assert_eq!(network["Name"], "store_default");
    assert_eq!(
        network["Labels"],
        json!({}),
        "a hash that is wrong is dangerous"
    );
    assert_eq!(
        network["IPAM"]["Config"],
        json!([{"Subnet": "10.99.5.0/24", "Gateway": "10.99.5.1"}])
    );
    let names: Vec<&str> = manifest.networks.iter().map(|n| n.name.as_str()).collect();
    assert_eq!(names, ["store_default", "traefik"]);
    // Data is found under its old name.
    assert_eq!(definitions.place("volumes/shop_db"), "volumes/shop_web");
    assert_eq!(definitions.place("binds/data/srv/data"), "binds/srv/data");
    assert_eq!(definitions.place("project/opt/shop"), "project/srv/shop");
    assert_eq!(manifest.binds[1].source, "/opt/shop/secret");
    assert_eq!(manifest.binds[1].within.as_deref(), Some("/opt/shop"));
    assert_eq!(manifest.binds[2].source, "/mnt/films");
    assert!(manifest.images.is_empty(), "nothing runs from it any more");
    let told = format!("{:?}", done.mapped);
    assert!(!told.contains("new\"") && told.contains("MORE"), "{told}");
    assert!(done.warnings.iter().any(|w| w.contains("compose files")));
    assert!(
        done.warnings
            .iter()
            .any(|w| w.contains("network traefik is there already"))
    );
}

#[test]
fn what_fits_nothing_is_told_all_at_once() {
    let (_, _, done) = applied(&[
        ("port", "8081:9"),
        ("port", "8080:5432"),
        ("bind", "/srv/data/x:/y"),
        ("bind", "/nowhere:/y"),
        ("bind", "/srv/shop/secret:/z"),
        ("bind", "/films:/srv/data/films"),
        ("network", "shop_defualt:x1"),
        ("network", "shop_default:traefik"),
        ("network", "proxy:host"),
        ("subnet", "10.1.0.0/24:auto"),
        ("subnet", "10.9.0.0/24:auto"),
        ("volume", "db:x1"),
        ("volume", "shop_db:shop_web"),
        ("image", "mysql:8=postgres:17"),
        ("image", "postgres:16=postgres:18"),
        ("env", "webb:A=1"),
        ("env", "NOWHERE=1"),
    ]);
    let text = done.problems.join("\n");
    for words in [
        "no published port 8081; it has 5432, 8080",
        "5432 would be published twice, by shop-db-1 (5432/tcp) and by shop-web-1 (80/tcp)",
        "/srv/data/x is a part of /srv/data",
        "no bind source or project folder /nowhere",
        "/srv/shop/secret lies in /srv/shop",
        "/films and /srv/data would lie in one another",
        "did you mean shop_default?",
        "10.9.0.7, which is not in the network traefik",
        "host is the engine's own network",
        "no subnet 10.1.0.0/24",
        "10.9.0.0/24:auto: shop-db-1 has the fixed address 10.9.0.7",
        "no volume db",
        "shop_db and shop_web would both be called shop_web",
        "no container of the image mysql:8; it has postgres:16",
        "postgres:18 is not on this engine",
        "no service or container webb; did you mean web?",
        "no container has the variable NOWHERE",
    ] {
        assert!(text.contains(words), "{words}\n--\n{text}");
    }
}

#[test]
fn a_taken_subnet_gives_way_unless_something_is_fixed_in_it() {
    let (_, definitions, done) = applied(&[]);
    // `proxy` is in what `other` has here; nothing in it has a fixed address.
    assert_eq!(definitions.networks["proxy"]["IPAM"]["Config"], json!([]));
    assert_eq!(done.warnings.len(), 1, "{:?}", done.warnings);
    let kept = &definitions.networks["shop_default"]["IPAM"]["Config"];
    assert_eq!(kept[0]["Subnet"], "10.9.0.0/24");
}
