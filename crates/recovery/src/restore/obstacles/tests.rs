#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! Everything that can stand in the way, at once; and that the book says the same sentences.
//!
//! After a change of a sentence the book's table is written anew by
//! `LIFEBOAT_WRITE_REFERENCE=1 cargo test -p lifeboat-recovery --lib obstacles`.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    path::{Path, PathBuf},
};

use lifeboat_engine::{HostNetwork, Listening};
use lifeboat_plan::{
    inventory::{Container, ContainerState, EngineFacts, Inventory, Network, Volume},
    manifest::Manifest,
};
use serde_json::{Value, json};

use super::{Ground, PathState, notes, obstacles, platform};
use crate::restore::point::Definitions;

/// What is found, and the words by which its sentence is known.
const FINDINGS: &[(&str, &str)] = &[
    ("The name of a container is in use", "a container named"),
    ("The name of a volume is in use", "a volume named"),
    ("The name of a network is in use", "a network named"),
    (
        "Something stands where a bind source belongs",
        "move it away",
    ),
    (
        "A bind source that is not in the point is not there",
        "is missing or empty here",
    ),
    (
        "A port is published by another container",
        "is published by the container",
    ),
    ("A port is taken by a program", "is taken by"),
    (
        "A port is published on an address of another host",
        "no address of this host",
    ),
    (
        "A subnet overlaps with one that is there",
        "overlaps with that of",
    ),
    ("Another architecture", "images are for"),
    ("Another operating system", "the app ran on windows"),
    (
        "A rootless engine, whose owners nobody else knows",
        "rootless",
    ),
    ("A volume driver is missing", "needs the volume driver"),
    ("A network driver is missing", "needs the network driver"),
    ("A log driver is missing", "logs with the driver"),
    ("A runtime is missing", "runs with the runtime"),
    ("An older API: a part of a volume", "subpath"),
    ("An older API: an image as a mount", "an image as a mount"),
    ("An older API: a cluster volume", "a cluster volume"),
];

/// What stops nobody, and is said.
const NOTES: &[(&str, &str)] = &[
    (
        "An image for another architecture, which ran there as it will here",
        "by emulation",
    ),
    ("An older API: annotations", "annotations"),
    ("An older API: a start interval", "start interval"),
    ("An older API: gateway priority", "gateway priority"),
];

/// An app that nothing here is right for.
fn manifest() -> Manifest {
    let container = |id: &str, name: &str| {
        json!({"id": id.repeat(64), "name": name, "state": "running",
            "image_id": format!("sha256:{}", "a".repeat(64)), "image_ref": "postgres:16"})
    };
    let manifest = json!({
        "schema": 1, "versions": {}, "kind": "compose",
        "identity": {"site": "default", "host": "web1", "app": "shop"},
        "engine": {"kind": "docker", "version": "27.0.1", "api_version": "1.48", "architecture": "arm64", "os": "linux",
            "user_namespaces": true, "data_root": "/home/shop/.local/share/docker"},
        "consistency": {"level": "crash", "provider": "precopy", "stall_ns": 1,
            "began": "2026-11-03T10:00:00Z", "ended": "2026-11-03T10:00:09Z"},
        "containers": [container("1", "shop-db-1"), container("2", "shop-web-1")],
        "volumes": [
            {"name": "shop_db", "driver": "local", "content": "data"},
            {"name": "shop_media", "driver": "rexray/ebs", "content": "definition"},
        ],
        "images": [{"id": format!("sha256:{}", "a".repeat(64)), "config_digest": "c", "tags": ["postgres:16"]}],
        "binds": [
            {"source": "/srv/shop/uploads", "decision": "captured", "content": "present"},
            {"source": "/srv/films", "decision": "left_out", "content": "present"},
        ],
        "networks": [
            {"id": "9".repeat(64), "name": "shop_default", "driver": "bridge"},
            {"id": "8".repeat(64), "name": "shop_back", "driver": "bridge"},
            {"id": "7".repeat(64), "name": "shop_lan", "driver": "weave"},
        ],
    });
    serde_json::from_value(manifest).unwrap()
}

fn definitions() -> Definitions {
    let db = json!({
        "Config": {"Healthcheck": {"StartInterval": 5_000_000_000_i64}},
        "HostConfig": {
            "Annotations": {"org.example": "1"}, "LogConfig": {"Type": "loki"}, "Runtime": "nvidia",
            "PortBindings": {"5432/tcp": [{"HostIp": "192.0.2.7", "HostPort": "5432"}]},
            "Mounts": [
                {"Type": "volume", "Source": "shop_db", "Target": "/db", "VolumeOptions": {"Subpath": "db"}},
                {"Type": "image", "Source": "models:1", "Target": "/models"},
                {"Type": "cluster", "Source": "wide", "Target": "/wide"},
            ],
        },
        "NetworkSettings": {"Networks": {"shop_back": {"GwPriority": 1, "IPAMConfig": {"IPv4Address": "10.9.0.7"}}}},
    });
    let web = json!({
        "HostConfig": {"PortBindings": {
            "80/tcp": [{"HostIp": "", "HostPort": "8080"}], "443/tcp": [{"HostIp": "", "HostPort": "8443"}],
        }},
    });
    let image = json!({"Architecture": "arm64"});
    let back = json!({"Name": "shop_back", "IPAM": {"Config": [{"Subnet": "10.9.0.0/24"}]}});
    Definitions {
        containers: [("shop-db-1".to_owned(), db), ("shop-web-1".to_owned(), web)].into(),
        networks: [("shop_back".to_owned(), back)].into(),
        images: [(format!("sha256:{}", "a".repeat(64)), image)].into(),
        ..Definitions::default()
    }
}

fn here() -> Inventory {
    let container = |name: &str, ports: Value| Container {
        id: "c".repeat(64),
        name: name.to_owned(),
        state: ContainerState::Running,
        raw: json!({"NetworkSettings": {"Ports": ports}}),
        ..Container::default()
    };
    let network = |name: &str, subnet: &str| Network {
        name: name.to_owned(),
        raw: json!({"IPAM": {"Config": [{"Subnet": subnet}]}}),
        ..Network::default()
    };
    Inventory {
        engine: EngineFacts {
            api_version: "1.41".to_owned(),
            architecture: "amd64".to_owned(),
            os: "linux".to_owned(),
            data_root: "/var/lib/docker".to_owned(),
            raw: json!({
                "Plugins": {"Volume": ["local"], "Network": ["bridge", "host"], "Log": ["json-file"]},
                "Runtimes": {"runc": {}},
            }),
            ..EngineFacts::default()
        },
        containers: vec![
            container("shop-db-1", Value::Null),
            container(
                "proxy",
                json!({"80/tcp": [{"HostIp": "0.0.0.0", "HostPort": "8080"}]}),
            ),
        ],
        volumes: vec![Volume {
            name: "shop_db".to_owned(),
            ..Volume::default()
        }],
        networks: vec![
            network("shop_default", "172.20.0.0/16"),
            network("office", "10.0.0.0/8"),
        ],
        images: Vec::new(),
    }
}

/// All that is found, and all that is noted.
fn found(manifest: &Manifest, here: &Inventory) -> (Vec<String>, Vec<String>) {
    let network = HostNetwork {
        listening: vec![Listening::unseen("tcp", [0, 0, 0, 0].into(), 8443)],
        addresses: vec![[203, 0, 113, 5].into()],
    };
    let paths = [
        ("/srv/shop/uploads", PathState::Something),
        ("/srv/films", PathState::Absent),
    ];
    let ground = Ground {
        manifest,
        definitions: &definitions(),
        here,
        ours: &BTreeSet::new(),
        network: Some(&network),
        paths: &paths.map(|(path, state)| (path.to_owned(), state)).into(),
    };
    (obstacles(&ground), notes(&ground))
}

/// Finding to sentence, each known by its words and by no others.
fn table(known: &[(&'static str, &str)], said: &[String]) -> BTreeMap<&'static str, String> {
    let mut table = BTreeMap::new();
    for sentence in said {
        let fits = known.iter().filter(|(_, words)| sentence.contains(words));
        let fits: Vec<_> = fits.collect();
        let [(title, _)] = fits.as_slice() else {
            panic!("{} findings for: {sentence}", fits.len());
        };
        let before = table.insert(*title, sentence.clone());
        assert_eq!(before, None, "said twice: {sentence}");
    }
    table
}

fn book() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/prechecks.md")
}

#[test]
fn everything_is_found_at_once_and_the_book_has_each_sentence() {
    let (mut wrong, notes) = found(&manifest(), &here());
    assert_eq!(wrong.len(), FINDINGS.len() - 1, "all at once: {wrong:#?}");
    // Where the operating system is another one, nobody asks for the architecture.
    let mut windows = manifest();
    "windows".clone_into(&mut windows.engine.os);
    let (other, _) = found(&windows, &here());
    let new = other.into_iter().filter(|s| !wrong.contains(s));
    let new: Vec<String> = new.collect();
    assert_eq!(new.len(), 1, "{new:?}");
    wrong.extend(new);
    // Where the engine is the same kind, what ran there is not refused here.
    let mut same = manifest();
    "amd64".clone_into(&mut same.engine.architecture);
    let (none, more) = found(&same, &here());
    assert!(
        none.iter().all(|s| !s.contains("images are for")),
        "{none:?}"
    );
    let mut notes = notes;
    notes.extend(
        more.into_iter()
            .filter(|s| !notes.contains(s))
            .collect::<Vec<_>>(),
    );
    let (wrong, notes) = (table(FINDINGS, &wrong), table(NOTES, &notes));
    for sentence in wrong.values() {
        let way_out = sentence.split_once("; ").map(|(_, way_out)| way_out);
        assert!(
            way_out.is_some_and(|w| !w.is_empty()),
            "no way out: {sentence}"
        );
    }
    let mut rows = String::new();
    for (known, table) in [(FINDINGS, &wrong), (NOTES, &notes)] {
        let second = if table.len() == NOTES.len() {
            "is said, and stops nobody"
        } else {
            "is refused with"
        };
        writeln!(rows, "\n| what is found | {second} |\n| --- | --- |").unwrap();
        for (title, _) in known {
            let sentence = table.get(title);
            let sentence = sentence.unwrap_or_else(|| panic!("never found: {title}"));
            writeln!(rows, "| {title} | {sentence} |").unwrap();
        }
    }
    rows.push('\n');

    let page = fs_err::read_to_string(book()).unwrap();
    let (begin, end) = ("<!-- written by a test -->\n", "<!-- until here -->");
    let (head, rest) = page.split_once(begin).unwrap();
    let (written, tail) = rest.split_once(end).unwrap();
    #[allow(
        clippy::disallowed_methods,
        reason = "the person who changed a sentence says so"
    )]
    if std::env::var_os("LIFEBOAT_WRITE_REFERENCE").is_some() {
        fs_err::write(book(), format!("{head}{begin}{rows}{end}{tail}")).unwrap();
        return;
    }
    assert_eq!(
        written, rows,
        "docs/src/prechecks.md says otherwise; write it anew with LIFEBOAT_WRITE_REFERENCE=1"
    );
}

/// All source text of restores, on one line.
fn source(folder: &Path, text: &mut String) {
    for entry in fs_err::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            source(&path, text);
        } else if path.extension().is_some_and(|e| e == "rs") {
            text.push_str(&fs_err::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn the_other_sentences_of_the_book_stand_in_the_code() {
    let mut code = String::new();
    source(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src/restore"),
        &mut code,
    );
    let page = fs_err::read_to_string(book()).unwrap();
    let quoted = page.lines().filter_map(|line| line.strip_prefix("> "));
    let quoted: Vec<&str> = quoted.collect();
    assert!(quoted.len() > 10, "{quoted:?}");
    for sentence in quoted {
        // Names in italics stand for what the sentence is about.
        for (at, piece) in sentence.split('*').enumerate() {
            let piece = piece.trim();
            if at % 2 == 0 && piece.len() > 3 {
                assert!(code.contains(piece), "`{piece}` of: {sentence}");
            }
        }
    }
}

#[test]
fn it_is_the_images_own_architecture_that_counts() {
    let (manifest, here) = (manifest(), here());
    let id = manifest.images[0].id.clone();
    let found = |definitions: &Definitions, here: &Inventory| {
        platform::foreign(definitions, &manifest, &here.engine)
    };
    let arm = BTreeMap::from([("arm64".to_owned(), vec!["postgres:16".to_owned()])]);
    assert_eq!(found(&definitions(), &here), arm);
    // What it does not say, the engine of the point says.
    assert_eq!(found(&Definitions::default(), &here), arm);
    // An image for this engine may come from an engine of another kind, and 32 bits run on 64.
    for fits in ["amd64", "386"] {
        let mut definitions = definitions();
        definitions.images = [(id.clone(), json!({"Architecture": fits}))].into();
        assert_eq!(found(&definitions, &here), BTreeMap::new());
    }
    // One for several platforms, of which this one is in the point: where the engine chooses.
    let mut several = definitions();
    let both = BTreeSet::from(["amd64".to_owned(), "arm64".to_owned()]);
    several.platforms.insert(id, both);
    assert_eq!(found(&several, &here), arm);
    let mut newer = here;
    newer.engine.raw["DriverStatus"] = json!([["driver-type", "io.containerd.snapshotter.v1"]]);
    assert_eq!(found(&several, &newer), BTreeMap::new());
    assert_eq!(found(&definitions(), &newer), arm);
}
