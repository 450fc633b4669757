//! The whole way: a running app is protected, everything is lost, and it comes back.

use lifeboat_testkit::engine::Release;
use lifeboat_testkit::sample_app::{Acked, DB, SampleApp, WEB, diff};
use serde_json::Value;

use crate::support::{Lab, began};

#[test]
fn a_lost_app_comes_back_with_every_acknowledged_row() {
    lost_and_recovered(Release::Distribution, Release::Distribution);
}

#[test]
fn the_same_on_the_newest_engine() {
    lost_and_recovered(Release::Newest, Release::Newest);
}

#[test]
fn the_same_from_the_newest_engine_onto_the_distributions() {
    lost_and_recovered(Release::Newest, Release::Distribution);
}

#[test]
fn the_same_from_the_distributions_engine_onto_the_newest() {
    lost_and_recovered(Release::Distribution, Release::Newest);
}

fn lost_and_recovered(was: Release, becomes: Release) {
    let lab = Lab::new();
    lab.init();
    let engine = lab.engine_of("a", was);
    let app = SampleApp::create(&engine, &lab.path("shop")).unwrap();
    app.wait_ready(&engine).unwrap();

    let apps = lab.json(Some(&engine), &["apps"], 0);
    let names: Vec<_> = apps["apps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| &a["name"])
        .collect();
    assert_eq!(names, ["shop", "volume:attic"]);
    let shop = &apps["apps"][0];
    // The worker is made of the database's image, and is none.
    let databases = ["Redis in shop-cache-1", "PostgreSQL in shop-db-1"];
    assert_eq!(shop["databases"], serde_json::json!(databases));
    assert_eq!(shop["uncovered"], serde_json::json!([]), "{shop:#}");
    let report = lab.json(Some(&engine), &["backup", "--all"], 0);
    let point = report["protected"][0].clone();
    assert_eq!(point["level"], "crash");
    assert!(point["stall_seconds"].as_f64().unwrap() > 0.0);
    let before = app.fingerprint(&engine).unwrap();
    lab.restic(&["check", "--read-data"]);

    let acked = app.acked().unwrap();
    engine.destroy().unwrap();
    app.remove_files().unwrap();

    let second = lab.engine_of("b", becomes);
    let restored = lab.json(Some(&second), &["restore", "shop"], 0);
    assert_eq!(restored["stopped"], serde_json::json!(["shop-migrate-1"]));
    lab.json(Some(&second), &["restore", "volume:attic"], 0);
    app.wait_ready(&second).unwrap();
    let promised = Acked::before(&acked, began(&point));
    assert!(!promised.is_empty());
    app.verify_recovered(&second, &promised).unwrap();
    let after = app.fingerprint(&second).unwrap();
    let mut differences = diff(&before, &after);
    if was != becomes {
        differences.retain(|line| !is_the_engines_own(line));
        the_images_are_the_same(&after);
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// What the two releases say differently of the same container, by themselves.
fn is_the_engines_own(line: &str) -> bool {
    let (field, values) = line.split_once(": ").unwrap();
    let name = field.rsplit(" / ").next().unwrap();
    match name {
        // Which store it has, and so what the id of an image is.
        "Driver" => values.contains("overlay2") && values.contains("overlayfs"),
        "image id" | "Id" | "com.docker.compose.image" => true,
        // Removed after 20.10; it never was more than 0 here.
        "KernelMemory" | "KernelMemoryTCP" => values.contains('0') && values.contains("nothing"),
        // What API 1.44 and later say of what was always so.
        "EnableIPv4" => values.contains("true") && values.contains("nothing"),
        "Mounts" => {
            let (before, after) = values.split_once(" became ").unwrap();
            let without = |text: &str| text.replace(r#","ReadOnlyNonRecursive":true"#, "");
            without(before) == without(after)
        }
        _ => false,
    }
}

/// Containers run the image that their tag names, and their Compose label says so too: otherwise Compose
/// would make them again.
fn the_images_are_the_same(after: &Value) {
    for (name, tag) in [
        (DB, "lifeboat/services:latest"),
        (WEB, "lifeboat/busybox:latest"),
    ] {
        let container = &after[format!("container {name}")];
        let image = &after[format!("image {tag}")]["Id"];
        assert!(image.is_string(), "{after:#}");
        assert_eq!(&container["image id"], image);
        assert_eq!(
            &container["Config"]["Labels"]["com.docker.compose.image"],
            image
        );
    }
}
