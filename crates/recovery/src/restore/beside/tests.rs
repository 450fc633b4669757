#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! What a copy is called, and what it is denied, on made definitions.

use std::path::Path;

use lifeboat_engine::{
    ApiVersion,
    recreate::{container_create_body, volume_create_body},
};
use lifeboat_plan::manifest::Manifest;
use lifeboat_vault::id::SnapshotId;
use serde_json::{Value, json};

use super::{
    Allow, Wanted,
    transform::{Transformed, transform},
};
use crate::restore::point::Definitions;

fn hex(digit: char) -> String {
    std::iter::repeat_n(digit, 64).collect()
}

fn container(id: char, name: &str) -> Value {
    json!({"id": hex(id), "name": name, "state": "running", "image_id": format!("sha256:{}", hex('a')), "image_ref": "x:1"})
}

/// A database, a web front in front of it and a helper in the front's network namespace.
fn manifest() -> Value {
    json!({
        "schema": 1, "versions": {}, "kind": "compose",
        "identity": {"site": "default", "host": "web1", "app": "shop"},
        "engine": {"kind": "docker", "version": "20.10.24", "api_version": "1.41", "architecture": "amd64", "os": "linux"},
        "consistency": {"level": "crash", "provider": "precopy", "stall_ns": 1,
            "began": "2026-11-03T10:00:00Z", "ended": "2026-11-03T10:00:09Z"},
        "containers": [container('1', "shop-db-1"), container('2', "shop-web-1"), container('3', "vpn")],
        "volumes": [
            {"name": "shop_db", "driver": "local", "content": "data"},
            {"name": "films", "driver": "local", "content": "data", "shared": true},
            {"name": hex('f'), "driver": "local", "content": "data", "anonymous": true},
        ],
        "binds": [
            {"source": "/srv/data", "decision": "captured", "content": "present", "shared": true},
            {"source": "/srv/shop/secret", "decision": "within", "within": "/srv/shop", "content": "present"},
            {"source": "/etc/localtime", "decision": "system", "content": "present"},
        ],
        "networks": [{"id": hex('9'), "name": "shop_default", "driver": "macvlan", "shared": true}],
        "layers": [{"container": "shop-web-1", "captured": ["/etc/c1"]}],
        "project": {"name": "shop", "working_dir": "/srv/shop", "config_files": [], "roots": ["/srv/shop"]},
    })
}

fn raw(id: char, name: &str, config: Value, host: Value, mounts: Value) -> Value {
    let endpoint = json!({
        "NetworkID": hex('9'), "IPAMConfig": {"IPv4Address": "10.9.0.7"}, "Aliases": ["db", name],
        "Links": ["shop-db-1:database", "stranger:x"],
    });
    json!({"Id": hex(id), "Name": format!("/{name}"), "Config": config, "HostConfig": host, "Mounts": mounts,
        "NetworkSettings": {"Networks": {"shop_default": endpoint}}})
}

fn definitions() -> Definitions {
    let labels = |more: &[(&str, &str)]| -> Value {
        let mut labels =
            json!({"com.docker.compose.project": "shop", "com.docker.compose.config-hash": "h"});
        for (key, value) in more {
            labels[*key] = (*value).into();
        }
        labels
    };
    let volume = |name: &str, destination: &str| json!({"Type": "volume", "Name": name, "Destination": destination, "RW": true});
    let bind =
        |source: &str| json!({"Type": "bind", "Source": source, "Destination": source, "RW": true});
    let db = raw(
        '1',
        "shop-db-1",
        json!({"Image": "x:1", "Labels": labels(&[("diun.enable", "true")]), "Volumes": {"/scratch": {}}}),
        json!({
            "NetworkMode": "shop_default", "Binds": ["shop_db:/db", "/etc/localtime:/etc/localtime"],
            "RestartPolicy": {"Name": "always"}, "LogConfig": {"Type": "gelf", "Config": {"gelf-address": "udp://log:1"}},
        }),
        json!([
            volume("shop_db", "/db"),
            volume(&hex('f'), "/scratch"),
            bind("/etc/localtime")
        ]),
    );
    let web = raw(
        '2',
        "shop-web-1",
        json!({
            "Image": "x:1", "Labels": labels(&[("lifeboat.depends-on", "shop-db-1, other")]),
            "Env": ["VIRTUAL_HOST=shop.example", "A=b"],
        }),
        json!({
            "NetworkMode": hex('9'), "Binds": ["/srv/data/x:/x:rw,z", "films:/films"],
            "Mounts": [{"Type": "bind", "Source": "/srv/shop/secret", "Target": "/run/secrets/s"}],
            "PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": "80"}]}, "AutoRemove": true,
            "VolumesFrom": ["shop-db-1:ro"],
        }),
        json!([
            volume("films", "/films"),
            bind("/srv/data/x"),
            bind("/srv/shop/secret")
        ]),
    );
    let mut vpn = raw(
        '3',
        "vpn",
        json!({"Image": "x:1", "Labels": {}}),
        json!({"NetworkMode": format!("container:{}", hex('2'))}),
        json!([]),
    );
    vpn["NetworkSettings"]["Networks"] = json!({});
    let network = json!({
        "Name": "shop_default", "Driver": "macvlan", "Options": {"parent": "eth0"}, "Labels": labels(&[]),
        "IPAM": {"Config": [{"Subnet": "10.9.0.0/24"}]}, "EnableIPv6": true,
    });
    Definitions {
        api: Some(ApiVersion::new(1, 41)),
        containers: [("shop-db-1", db), ("shop-web-1", web), ("vpn", vpn)]
            .map(|(name, raw)| (name.to_owned(), raw))
            .into(),
        networks: [("shop_default".to_owned(), network)].into(),
        volumes: [
            (
                "shop_db",
                json!({"Name": "shop_db", "Driver": "local", "Labels": labels(&[]), "Options": {}}),
            ),
            (
                "films",
                json!({"Name": "films", "Driver": "local", "Labels": null, "Options": null}),
            ),
        ]
        .map(|(name, raw)| (name.to_owned(), raw))
        .into(),
        fresh: [(hex('f'), ("shop-db-1".to_owned(), "/scratch".to_owned()))].into(),
        ..Definitions::default()
    }
}

fn made(manifest: &Value, definitions: Definitions, wanted: &Wanted) -> Transformed {
    let manifest = Manifest::from_json(manifest.to_string().as_bytes()).unwrap();
    transform(
        &manifest,
        definitions,
        SnapshotId([0x6f; 32]),
        wanted,
        Path::new("/st/copies"),
    )
}

fn wanted(allow: &[&str]) -> Wanted {
    Wanted {
        name: "shop-try".to_owned(),
        network_access: false,
        allow: allow.iter().map(|a| a.parse().unwrap()).collect(),
        ..Wanted::default()
    }
}

/// The create body of a container of the copy.
fn body(copy: &Transformed, name: &str) -> Value {
    let raw = copy.definitions.container(name).unwrap();
    container_create_body(raw, &copy.definitions.mapping())
        .unwrap()
        .body
}

#[test]
fn nothing_of_the_original_is_left_in_a_copy() {
    let copy = made(&manifest(), definitions(), &wanted(&[]));
    assert_eq!(copy.refusals, Vec::<String>::new());
    let names: Vec<&str> = copy
        .manifest
        .containers
        .iter()
        .map(|c| c.name.as_str())
        .collect();
    assert_eq!(names, ["shop-try-db-1", "shop-try-web-1", "shop-try-vpn"]);

    let db = body(&copy, "shop-try-db-1");
    let host = &db["HostConfig"];
    assert_eq!(
        host["Binds"],
        json!(["shop-try_db:/db", "/etc/localtime:/etc/localtime:ro"])
    );
    assert_eq!(host["RestartPolicy"]["Name"], "no");
    assert_eq!(
        host["LogConfig"],
        json!({"Type": "json-file", "Config": {}})
    );
    assert_eq!(host["NetworkMode"], "shop-try_default");
    assert_eq!(host["Dns"], json!(["127.0.0.254"]));
    // Anonymous, so made anew with the container and not pinned by the original's name.
    assert!(!db.to_string().contains(&hex('f')), "{db}");
    let endpoint = &db["NetworkingConfig"]["EndpointsConfig"]["shop-try_default"];
    assert_eq!(endpoint["Aliases"], json!(["db", "shop-db-1"]));
    assert!(
        endpoint.get("IPAMConfig").is_none_or(Value::is_null),
        "{endpoint}"
    );
    assert_eq!(endpoint["Links"], json!(["shop-try-db-1:database"]));

    let web = body(&copy, "shop-try-web-1");
    let host = &web["HostConfig"];
    assert_eq!(
        host["Binds"],
        json!([
            "/st/copies/shop-try/binds/srv/data/x:/x:rw,z",
            "shop-try_films:/films"
        ])
    );
    assert_eq!(
        host["Mounts"][0]["Source"],
        "/st/copies/shop-try/project/srv/shop/secret"
    );
    assert_eq!(
        (&host["PortBindings"], &host["AutoRemove"]),
        (&json!({}), &json!(false))
    );
    assert_eq!(host["VolumesFrom"], json!([format!("{}:ro", hex('1'))]));
    assert_eq!(web["Env"], json!(["A=b"]));
    assert_eq!(web["Labels"]["lifeboat.depends-on"], "shop-try-db-1,other");
    assert_eq!(web["Labels"]["com.docker.compose.project"], "shop-try");

    let vpn = body(&copy, "shop-try-vpn");
    assert_eq!(
        vpn["HostConfig"]["NetworkMode"],
        format!("container:{}", hex('2'))
    );
    assert!(vpn["HostConfig"].get("Dns").is_none(), "{vpn}");

    let network = copy.definitions.network_body("shop-try_default").unwrap();
    assert_eq!(
        (&network["Driver"], &network["Internal"]),
        (&json!("bridge"), &json!(true))
    );
    assert_eq!(network["IPAM"]["Config"], json!([]));
    assert!(!network.to_string().contains("eth0"), "{network}");
    assert!(
        network["Labels"]
            .get("com.docker.compose.config-hash")
            .is_none()
    );
    assert_eq!(network["Labels"]["lifeboat.copy"], "shop-try");

    let volume = volume_create_body(
        &copy.definitions.volumes["shop-try_db"],
        &copy.definitions.mapping(),
    )
    .unwrap();
    assert_eq!(
        (&volume["Name"], &volume["Labels"]["lifeboat.copy"]),
        (&json!("shop-try_db"), &json!("shop-try"))
    );

    let binds: Vec<&str> = copy
        .manifest
        .binds
        .iter()
        .map(|b| b.source.as_str())
        .collect();
    assert_eq!(binds, ["/st/copies/shop-try/binds/srv/data"]);
    let definitions = &copy.definitions;
    for (new, old) in [
        ("binds/st/copies/shop-try/binds/srv/data", "binds/srv/data"),
        (
            "project/st/copies/shop-try/project/srv/shop",
            "project/srv/shop",
        ),
        ("volumes/shop-try_films", "volumes/films"),
        ("layers/shop-try-web-1", "layers/shop-web-1"),
        ("volumes/anything", "volumes/anything"),
    ] {
        assert_eq!(definitions.place(new), old);
    }
    assert_eq!(definitions.fresh()[&hex('f')].0, "shop-try-db-1");
    let told = copy.changes.join("\n");
    for word in [
        "diun.enable (updater)",
        "VIRTUAL_HOST",
        "gelf",
        "macvlan",
        "IPv6",
        "10.9.0.7",
        "80/tcp",
        "stranger",
    ] {
        assert!(told.contains(word), "{word} is not told: {told}");
    }
    assert!(!told.contains("shop.example"), "a value is told: {told}");
}

#[test]
fn with_access_ports_are_free_ones_of_the_loopback() {
    let access = Wanted {
        network_access: true,
        ..wanted(&[])
    };
    let copy = made(&manifest(), definitions(), &access);
    let web = body(&copy, "shop-try-web-1");
    assert_eq!(
        web["HostConfig"]["PortBindings"],
        json!({"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": ""}]})
    );
    assert!(web["HostConfig"].get("Dns").is_none());
    let network = copy.definitions.network_body("shop-try_default").unwrap();
    assert_eq!(network["Internal"], false);
}

/// Each thing of the host or of others, and the word that allows it.
#[test]
fn what_is_not_the_apps_own_is_refused_unless_it_is_named() {
    type Change = fn(&mut Value, &mut Definitions);
    fn host(definitions: &mut Definitions) -> &mut Value {
        &mut definitions.containers.get_mut("shop-db-1").unwrap()["HostConfig"]
    }
    let cases: [(&str, Change); 10] = [
        ("host-network", |_, d| {
            host(d)["NetworkMode"] = "host".into()
        }),
        ("host-pid", |_, d| host(d)["PidMode"] = "host".into()),
        ("host-ipc", |_, d| host(d)["IpcMode"] = "host".into()),
        ("host-uts", |_, d| host(d)["UTSMode"] = "host".into()),
        ("privileged", |_, d| host(d)["Privileged"] = true.into()),
        ("devices", |_, d| {
            host(d)["DeviceRequests"] = json!([{"Driver": "nvidia"}])
        }),
        ("engine-socket", |m, _| {
            m["binds"][2]["source"] = "/var/run/docker.sock".into();
        }),
        ("bind:/dev/dri", |m, _| {
            m["binds"][2]["source"] = "/dev/dri".into()
        }),
        ("bind:/srv/data", |m, d| {
            m["binds"][0]["decision"] = "left_out".into();
            d.containers.get_mut("shop-web-1").unwrap()["Mounts"][1]["Source"] = "/srv/data".into();
        }),
        ("volume:films", |m, _| {
            m["volumes"][1]["content"] = "definition".into()
        }),
    ];
    for (word, change) in cases {
        let allow: Allow = word.parse().unwrap();
        for allowed in [false, true] {
            let (mut manifest, mut definitions) = (manifest(), definitions());
            change(&mut manifest, &mut definitions);
            // The mount of the time zone goes where its record went.
            if manifest["binds"][2]["source"] != "/etc/localtime" {
                let db = definitions.containers.get_mut("shop-db-1").unwrap();
                db["Mounts"][2]["Source"] = manifest["binds"][2]["source"].clone();
            }
            let list: &[&str] = if allowed { &[word] } else { &[] };
            let copy = made(&manifest, definitions, &wanted(list));
            if allowed {
                assert_eq!(copy.refusals, Vec::<String>::new(), "{word}");
            } else {
                assert!(copy.refusals.len() == 1, "{word}: {:?}", copy.refusals);
                assert!(
                    copy.refusals[0].contains(&format!("--allow {allow}")),
                    "{word}"
                );
            }
        }
    }
}

#[test]
fn a_network_of_others_is_joined_only_by_name_and_without_aliases() {
    let mut definitions = definitions();
    definitions.networks.get_mut("shop_default").unwrap()["Labels"] = json!({});
    let refused = made(&manifest(), definitions, &wanted(&[]));
    assert!(refused.refusals[0].contains("--allow network:shop_default"));
    assert!(refused.definitions.networks.is_empty());

    let mut definitions = self::definitions();
    definitions.networks.get_mut("shop_default").unwrap()["Labels"] = json!({});
    let copy = made(&manifest(), definitions, &wanted(&["network:shop_default"]));
    assert_eq!(copy.refusals, Vec::<String>::new());
    assert!(copy.manifest.networks.is_empty(), "it is not made");
    let db = body(&copy, "shop-try-db-1");
    let endpoint = &db["NetworkingConfig"]["EndpointsConfig"]["shop_default"];
    assert!(
        endpoint.is_object() && endpoint.get("Aliases").is_none(),
        "{endpoint}"
    );
}

#[test]
fn what_the_point_does_not_know_is_refused() {
    let mut definitions = definitions();
    let db = definitions.containers.get_mut("shop-db-1").unwrap();
    db["Mounts"] = json!([
        {"Type": "volume", "Name": "strange", "Destination": "/s"},
        {"Type": "bind", "Source": "/home/me", "Destination": "/h"},
    ]);
    db["NetworkSettings"]["Networks"]["elsewhere"] = json!({});
    db["HostConfig"]["PidMode"] = "container:stranger".into();
    definitions
        .containers
        .insert("vpn".to_owned(), json!("no object"));
    let copy = made(&manifest(), definitions, &wanted(&[]));
    let refused = copy.refusals.join("\n");
    for word in ["strange,", "/home/me", "elsewhere", "stranger", "vpn"] {
        assert!(refused.contains(word), "{word}: {refused}");
    }
}

#[test]
fn names_that_become_too_long_are_refused() {
    let long = Wanted {
        name: "x".repeat(48),
        ..Wanted::default()
    };
    let mut manifest = manifest();
    let name = format!("shop-{}", "y".repeat(30));
    manifest["containers"][2]["name"] = name.as_str().into();
    let copy = made(&manifest, definitions(), &long);
    assert_eq!(copy.refusals.len(), 1, "{:?}", copy.refusals);
    assert!(copy.refusals[0].contains("longer than 63"));
    let own = Wanted {
        name: "shop".to_owned(),
        ..Wanted::default()
    };
    let copy = made(&self::manifest(), definitions(), &own);
    assert!(copy.refusals[0].contains("the app itself"));
}
