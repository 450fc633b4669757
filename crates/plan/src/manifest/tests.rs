#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::{Value, json};

use super::*;

fn hex(digit: char) -> String {
    std::iter::repeat_n(digit, 64).collect()
}

fn sample() -> Value {
    json!({
        "schema": 1,
        "versions": {"lifeboat": "0.1.0"},
        "identity": {"site": "default", "host": "web01", "app": "shop"},
        "kind": "compose",
        "fingerprints": {"machine_id": "m"},
        "engine": {"kind": "docker", "version": "20.10.24", "api_version": "1.41", "architecture": "amd64", "os": "linux"},
        "consistency": {
            "level": "crash", "provider": "precopy", "stall_ns": 120_000_000,
            "began": "2026-11-03T10:00:00.000000001Z", "ended": "2026-11-03T10:00:09Z",
            "instant": "2026-11-03T10:00:08Z", "frozen": ["shop-db-1"], "passes": 2
        },
        "containers": [{"id": hex('1'), "name": "shop-db-1", "service": "db", "state": "running",
                        "image_id": format!("sha256:{}", hex('a')), "image_ref": "postgres:16"}],
        "volumes": [{"name": "shop_db", "driver": "local", "content": "data", "bytes": 5, "files": 1},
                    {"name": "nfs/x", "driver": "netshare", "content": "definition"}],
        "binds": [{"source": "/srv/shop", "decision": "captured", "kind": "dir", "content": "present"},
                  {"source": "/srv/shop/html", "decision": "within", "within": "/srv/shop", "content": "present"},
                  {"source": "/var/run/docker.sock", "decision": "system", "content": "unknown"}],
        "networks": [{"id": hex('9'), "name": "shop_default", "driver": "bridge"}],
        "images": [{"id": format!("sha256:{}", hex('a')), "config_digest": format!("sha256:{}", hex('a')),
                    "tags": ["postgres:16"]}],
        "layers": [{"container": "shop-db-1", "captured": ["/etc/c1"], "bytes": 3}],
        "project": {"name": "shop", "working_dir": "/srv/shop", "config_files": ["/srv/shop/compose.yml"], "roots": ["/srv/shop"]},
        "left_out": [{"kind": "bind", "what": "/var/run/docker.sock", "reason": "a socket", "decided": true}],
        "something_of_a_later_version": {"x": 1}
    })
}

fn read(value: &Value) -> Result<Manifest, ManifestError> {
    Manifest::from_json(value.to_string().as_bytes())
}

/// The sample with one place changed.
fn with(pointer: &str, value: Value) -> Value {
    let mut sample = sample();
    *sample
        .pointer_mut(pointer)
        .unwrap_or_else(|| panic!("{pointer}")) = value;
    sample
}

#[test]
fn it_is_read_and_written_and_unknown_fields_do_not_hurt() {
    let manifest = read(&sample()).unwrap();
    assert_eq!(manifest.identity.to_string(), "default/web01/shop");
    assert_eq!(manifest.consistency.level, Level::Crash);
    assert_eq!(manifest.consistency.began.subsec_nanosecond(), 1);
    assert!(!manifest.is_partial());
    let bytes = manifest.to_json().unwrap();
    assert_eq!(bytes.last(), Some(&b'\n'));
    assert_eq!(Manifest::from_json(&bytes).unwrap(), manifest);
}

#[test]
fn levels_are_ordered() {
    assert!(Level::Live < Level::Crash && Level::Crash < Level::Application);
}

#[test]
fn a_later_schema_is_said_so_even_if_nothing_else_is_known() {
    let error = Manifest::from_json(br#"{"schema": 2, "all": "different"}"#).unwrap_err();
    assert_eq!(error, ManifestError::NewerSchema { found: 2 });
    assert!(error.to_string().contains("newer lifeboat"), "{error}");
}

#[test]
fn what_is_no_manifest_is_malformed() {
    for bad in [
        "",
        "{}",
        "[]",
        "null",
        r#"{"schema":0}"#,
        r#"{"schema":1}"#,
        r#"{"schema":"1"}"#,
        "{\"schema\":1",
    ] {
        assert!(
            matches!(
                Manifest::from_json(bad.as_bytes()),
                Err(ManifestError::Malformed { .. })
            ),
            "{bad}"
        );
    }
}

#[test]
fn undecided_omissions_make_it_partial() {
    let manifest = read(&with("/left_out/0/decided", json!(false))).unwrap();
    assert!(manifest.is_partial());
}

#[test]
fn less_consistent_than_asked_is_partial_and_says_why() {
    let asked = |level: &str, reached: &str, reason: &str| {
        let mut sample = with("/consistency/level", json!(reached));
        sample["consistency"]["asked"] = json!(level);
        sample["consistency"]["reason"] = json!(reason);
        read(&sample).unwrap()
    };
    for (level, reached) in [("live", "live"), ("live", "crash"), ("crash", "crash")] {
        let manifest = asked(level, reached, "");
        assert!(!manifest.is_partial(), "{level} {reached}");
        assert_eq!(manifest.consistency.shortfall(), None);
    }
    let manifest = asked("crash", "live", "x writes volume y.");
    assert!(manifest.is_partial());
    assert_eq!(
        manifest.consistency.shortfall().unwrap(),
        "the point is live where the policy asks for crash, because x writes volume y; it does not count as usable"
    );
    let manifest = asked("application", "crash", "");
    let said = manifest.consistency.shortfall().unwrap();
    assert!(said.contains("makes the application take part"), "{said}");
}

#[test]
fn hostile_manifests_are_refused() {
    let hostile = [
        ("/binds/0/source", json!("srv/shop")),
        ("/binds/0/source", json!("/srv/../etc")),
        ("/binds/0/source", json!("/srv//shop")),
        ("/binds/0/source", json!("/")),
        ("/binds/0/source", json!("/etc/passwd")),
        ("/binds/0/source", json!("/proc/self")),
        ("/binds/0/source", json!("/srv/shop/html")),
        ("/binds/1/within", json!("/srv/other")),
        ("/binds/1/within", json!(null)),
        ("/volumes/0/name", json!("../../etc")),
        ("/volumes/0/name", json!("")),
        ("/volumes/0/name", json!("a b")),
        ("/volumes/0/name", json!(".hidden")),
        ("/volumes/1/name", json!("a\nb")),
        ("/volumes/1/name", json!("shop_db")),
        ("/containers/0/name", json!("a/b")),
        ("/containers/0/id", json!("123")),
        ("/containers/0/image_id", json!("sha256:xyz")),
        ("/images/0/id", json!("../x")),
        ("/images/0/config_digest", json!("sha256:AA")),
        ("/images/0/tags/0", json!("--flag")),
        ("/layers/0/container", json!("other")),
        ("/layers/0/captured/0", json!("../x")),
        ("/project/working_dir", json!("relative")),
        ("/project/config_files/0", json!("/srv/../x")),
        ("/project/roots/0", json!("/etc")),
        ("/networks/0/name", json!("")),
        ("/consistency/ended", json!("2020-01-01T00:00:00Z")),
    ];
    for (place, value) in hostile {
        let error = read(&with(place, value.clone()));
        assert!(
            matches!(error, Err(ManifestError::Hostile { .. })),
            "{place} {value}: {error:?}"
        );
    }
    let named = [
        ("/identity/app", json!("../x")),
        ("/identity/host", json!("")),
        ("/containers/0/state", json!("flying")),
    ];
    for (place, value) in named {
        assert!(
            matches!(
                read(&with(place, value)),
                Err(ManifestError::Malformed { .. })
            ),
            "{place}"
        );
    }
    let error = read(&with("/volumes/0/name", json!("../../etc"))).unwrap_err();
    assert!(error.to_string().contains("volume `../../etc`"), "{error}");
}

#[test]
fn nothing_is_written_that_could_not_be_read() {
    let mut manifest = read(&sample()).unwrap();
    manifest.volumes[0].name = "../x".into();
    assert!(manifest.to_json().is_err());
}
