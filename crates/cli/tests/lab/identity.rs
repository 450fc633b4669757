//! Whose points are these? Two engines with the same stack in one vault, lost state, a copied vault.

use std::process::Command;

use lifeboat_testkit::{engine::PrivateEngine, images};
use serde_json::{Value, json};

use crate::{
    support::{Lab, only},
    tiny::{self, IDLE, noise, refused, stderr, stdout},
};

fn engine(lab: &Lab, name: &str, hostname: &str) -> PrivateEngine {
    let engine = lab.engine_called(name, hostname);
    images::busybox().unwrap().load(&engine).unwrap();
    engine
}

/// The stack, with a row that tells whose it is.
fn create_shop(engine: &PrivateEngine, row: &str) {
    tiny::run(engine, "shop", IDLE, &["shop_data:/data"]);
    let dir = engine.volume_path("shop_data").unwrap();
    fs_err::write(dir.join("row"), row).unwrap();
}

fn row(engine: &PrivateEngine) -> String {
    fs_err::read_to_string(engine.volume_path("shop_data").unwrap().join("row")).unwrap()
}

fn lose_shop(engine: &PrivateEngine) {
    tiny::remove(engine, "shop");
    tiny::remove_volume(engine, "shop_data");
}

fn ids(lab: &Lab, reference: &str) -> Vec<String> {
    let points = lab.json(None, &["points", reference], 0);
    let id = |point: &Value| point["id"].as_str().unwrap().to_owned();
    points["points"]
        .as_array()
        .unwrap()
        .iter()
        .map(id)
        .collect()
}

#[test]
fn two_engines_that_say_the_same_host_are_not_mixed() {
    let lab = Lab::new();
    lab.init();
    let (one, two) = (engine(&lab, "a", "lab"), engine(&lab, "b", "lab"));
    create_shop(&one, "one\n");
    create_shop(&two, "two\n");
    lab.json(Some(&one), &["backup", "shop"], 0);
    let first = ids(&lab, "shop");

    let report = lab.json(Some(&two), &["backup", "shop"], 1);
    let error = report["failed"][0]["error"].as_str().unwrap();
    for word in [
        "another host or engine",
        "data root",
        "--host NAME",
        "--take-over lab/shop",
    ] {
        assert!(error.contains(word), "{error}");
    }
    // Said by a dry run too, and nothing came of it.
    let report = lab.json(Some(&two), &["backup", "shop", "--dry-run"], 1);
    assert!(
        report["failed"][0]["error"]
            .as_str()
            .unwrap()
            .contains("another host")
    );
    assert_eq!(ids(&lab, "shop"), first);
    assert!(tiny::runs(&two, "shop"));
    // The first goes on as before.
    lab.json(Some(&one), &["backup", "shop"], 0);

    // A name of its own separates them.
    let report = lab.json(Some(&two), &["backup", "shop", "--host", "other"], 0);
    assert_eq!(only(&report)["app"], "default/other/shop");
    refused(
        &lab,
        Some(&two),
        "restore shop",
        1,
        &["default/lab/shop", "default/other/shop", "more than one"],
    );
    refused(
        &lab,
        None,
        "ls shop",
        1,
        &["default/lab/shop", "default/other/shop"],
    );
    assert_eq!(ids(&lab, "other/shop").len(), 1);
    assert_eq!(ids(&lab, "default/lab/shop").len(), 2);
    assert_eq!(ids(&lab, "shop").len(), 3);
    let table = stdout(&lab.run(None, &["points"], 0));
    assert!(table.contains("lab") && table.contains("other"), "{table}");

    lose_shop(&one);
    lab.json(Some(&one), &["restore", "lab/shop"], 0);
    assert_eq!(row(&one), "one\n");
    lose_shop(&two);
    lab.json(Some(&two), &["restore", "other/shop"], 0);
    assert_eq!(row(&two), "two\n");
    one.destroy().unwrap();
    two.destroy().unwrap();
}

#[test]
fn an_app_that_was_recovered_elsewhere_continues_its_line_when_told_so() {
    let lab = Lab::new();
    lab.init();
    let one = engine(&lab, "a", "web1");
    create_shop(&one, "one\n");
    let large = one.volume_path("shop_data").unwrap().join("large");
    fs_err::write(large, noise(3_000_000, 1)).unwrap();
    let report = lab.json(Some(&one), &["backup", "shop"], 0);
    assert_eq!(only(&report)["app"], "default/web1/shop");
    one.destroy().unwrap();

    let two = engine(&lab, "b", "web2");
    lab.json(Some(&two), &["restore", "shop"], 0);
    assert_eq!(row(&two), "one\n");
    // By itself it begins a line of its own.
    let report = lab.json(Some(&two), &["backup", "shop"], 0);
    assert_eq!(only(&report)["app"], "default/web2/shop");
    // Under the old name it is another host, unless it is told.
    let report = lab.json(Some(&two), &["backup", "shop", "--host", "web1"], 1);
    assert!(
        report["failed"][0]["error"]
            .as_str()
            .unwrap()
            .contains("--take-over web1/shop")
    );
    let report = lab.json(
        Some(&two),
        &["backup", "shop", "--take-over", "web1/shop"],
        0,
    );
    assert_eq!(only(&report)["app"], "default/web1/shop");
    assert!(
        only(&report)["added"].as_u64().unwrap() < 200_000,
        "{report}"
    );
    assert_eq!(ids(&lab, "web1/shop").len(), 2);
    // Now the line is this host's.
    let report = lab.json(Some(&two), &["backup", "shop", "--host", "web1"], 0);
    assert_eq!(only(&report)["app"], "default/web1/shop");
    assert_eq!(ids(&lab, "web1/shop").len(), 3);
    // Nor is another app put into it.
    tiny::run(&two, "other", IDLE, &["other_data:/data"]);
    let report = lab.json(
        Some(&two),
        &["backup", "other", "--take-over", "web1/shop"],
        1,
    );
    let error = report["failed"][0]["error"].as_str().unwrap();
    assert!(error.contains("another app"), "{error}");
    assert_eq!(ids(&lab, "web1/shop").len(), 3);
    // A line that is not there cannot be taken over.
    let report = lab.json(
        Some(&two),
        &["backup", "shop", "--take-over", "wbe1/shop"],
        1,
    );
    let error = report["failed"][0]["error"].as_str().unwrap();
    assert!(
        error.contains("wbe1/shop") && error.contains("did you mean `default/web1/shop`"),
        "{error}"
    );
    two.destroy().unwrap();
}

#[test]
fn vault_and_key_alone_bring_the_app_back_from_wherever_they_lie() {
    let lab = Lab::new();
    let (vault, sheet) = (lab.path("vault"), lab.path("sheet.txt"));
    let args = [
        "init",
        "--vault",
        vault.to_str().unwrap(),
        "--sheet",
        sheet.to_str().unwrap(),
    ];
    lab.run(None, &args, 0);
    let one = engine(&lab, "a", "web1");
    create_shop(&one, "one\n");
    lab.json(Some(&one), &["backup", "--all"], 0);
    one.destroy().unwrap();
    // All of ours is gone but the key, and the vault was carried elsewhere by hand.
    let key = lab.path("usb-key");
    fs_err::copy(lab.key(), &key).unwrap();
    fs_err::remove_dir_all(lab.path("etc")).unwrap();
    fs_err::remove_dir_all(lab.path("state")).unwrap();
    let moved = lab.path("moved");
    let copied = Command::new("cp")
        .arg("-a")
        .args([&vault, &moved])
        .status()
        .unwrap();
    assert!(copied.success());
    fs_err::remove_dir_all(&vault).unwrap();
    let two = engine(&lab, "b", "empty");
    let place = [
        "--vault",
        moved.to_str().unwrap(),
        "--password-file",
        key.to_str().unwrap(),
    ];
    let with = |args: &[&'static str]| -> Vec<String> {
        args.iter()
            .chain(&place)
            .map(|arg| (*arg).to_owned())
            .collect()
    };
    let run = |args: &[&'static str]| {
        let args = with(args);
        lab.run(
            Some(&two),
            &args.iter().map(String::as_str).collect::<Vec<_>>(),
            0,
        )
    };
    let table = stdout(&run(&["points"]));
    assert!(table.contains("web1") && table.contains("shop"), "{table}");
    let output = run(&["restore", "shop"]);
    assert!(
        stdout(&output).contains("running: shop"),
        "{}",
        stderr(&output)
    );
    assert_eq!(row(&two), "one\n");
    run(&["check", "--read-data"]);
    two.destroy().unwrap();
}

#[test]
fn the_parent_is_of_the_same_app_and_saves_the_reading() {
    let lab = Lab::new();
    lab.init();
    let one = engine(&lab, "a", "lab");
    for name in ["shop", "twin"] {
        let bind = format!("{name}_data:/data");
        tiny::run(&one, name, IDLE, &[&bind]);
        let dir = one.volume_path(&format!("{name}_data")).unwrap();
        fs_err::write(dir.join("noise"), noise(8_000_000, 1)).unwrap();
    }
    let read = |app: &str| {
        let report = lab.json(Some(&one), &["backup", app], 0);
        let of = |key: &str| only(&report)[key].as_u64().unwrap();
        (of("bytes_read"), of("added"))
    };
    let (first_read, first_added) = read("shop");
    assert!(first_read >= 8_000_000 && first_added >= 8_000_000);
    // Files that are younger than the clock's granularity are read again on purpose.
    std::thread::sleep(std::time::Duration::from_millis(2100));
    read("shop");
    let (twin_read, twin_added) = read("twin");
    assert!(
        twin_read >= 8_000_000,
        "another app's point served as parent"
    );
    assert!(
        twin_added < 100_000,
        "the same content was kept twice: {twin_added}"
    );
    let (again_read, again_added) = read("shop");
    assert!(
        again_read < 100_000 && again_added < 100_000,
        "{again_read} {again_added}"
    );
    let all = ids(&lab, "shop");
    let parent = lab.restic(&["cat", "snapshot", all.last().unwrap()]);
    let parent: Value = serde_json::from_str(&parent[parent.find('{').unwrap()..]).unwrap();
    assert_eq!(parent["paths"], json!(["/lifeboat/default/lab/app/shop"]));
    assert_eq!(parent["parent"].as_str().unwrap(), all[1]);
    one.destroy().unwrap();
}
