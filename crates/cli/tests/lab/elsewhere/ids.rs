//! From an engine with plain ids to one that maps them (userns-remap), and back.

use std::os::unix::fs::{PermissionsExt, chown};

use lifeboat_testkit::{
    engine::{EngineOptions, PrivateEngine},
    images,
};
use serde_json::json;

use super::{Elsewhere, helpers};
use crate::support::Lab;
use crate::tiny::{self, IDLE};

const OWNERS: &str = "33:44 1000:0";

/// What the container sees.
fn owners(engine: &PrivateEngine) -> String {
    let script = "echo $(stat -c %u:%g /data/file /bind/file)";
    let said = engine.api().exec_ok("one", &["sh", "-c", script]);
    said.unwrap().trim().to_owned()
}

#[test]
fn owners_are_the_containers_on_every_engine() {
    let lab = Lab::new();
    // A mapped root has to get through.
    let open = std::fs::Permissions::from_mode(0o755);
    fs_err::set_permissions(lab.path("."), open).unwrap();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let bind = lab.path("srv").join("bind");
    fs_err::create_dir_all(&bind).unwrap();
    fs_err::write(bind.join("file"), "bind\n").unwrap();
    chown(bind.join("file"), Some(1000), Some(0)).unwrap();
    let binds = ["data:/data".to_owned(), format!("{}:/bind", bind.display())];
    let binds: Vec<&str> = binds.iter().map(String::as_str).collect();
    tiny::run(&engine, "one", IDLE, &binds);
    let data = engine.volume_path("data").unwrap();
    fs_err::write(data.join("file"), "data\n").unwrap();
    chown(data.join("file"), Some(33), Some(44)).unwrap();
    assert_eq!(owners(&engine), OWNERS);
    lab.run(Some(&engine), &["backup", "one"], 0);
    engine.destroy().unwrap();
    fs_err::remove_dir_all(lab.path("srv")).unwrap();

    let ranges = lab.path("subids");
    fs_err::write(&ranges, "daemon:165536:65536\n").unwrap();
    for file in ["/etc/subuid", "/etc/subgid"] {
        if !std::path::Path::new(file).exists() {
            fs_err::write(file, "").unwrap();
        }
    }
    let mapped = Elsewhere::start_with(&lab, "b", |options: &mut EngineOptions| {
        options.args.push("--userns-remap=daemon".to_owned());
        for file in ["/etc/subuid", "/etc/subgid"] {
            options.instead.push((ranges.clone(), file.into()));
        }
    });
    mapped.json(&lab, &["restore", "one"], 0);
    assert_eq!(owners(&mapped.engine), OWNERS);
    let on_host = fs_err::metadata(mapped.engine.volume_path("data").unwrap().join("file"));
    let uid = std::os::unix::fs::MetadataExt::uid(&on_host.unwrap());
    assert_eq!(uid, 165_536 + 33);
    assert_eq!(helpers(&mapped.engine), Vec::<String>::new());

    // A point of the mapped engine, read from its host's files, and back onto a plain one.
    lab.run(Some(&mapped.engine), &["backup", "one"], 0);
    drop(mapped);
    fs_err::remove_dir_all(lab.path("srv")).unwrap();
    let plain = lab.engine("c");
    images::busybox().unwrap().load(&plain).unwrap();
    let plan = lab.json(Some(&plain), &["restore", "far/one", "--dry-run"], 0);
    let steps = plan["steps"].as_array().unwrap();
    let through = |step: &&serde_json::Value| {
        step["action"]
            .as_str()
            .unwrap()
            .contains("through the engine")
    };
    assert_eq!(steps.iter().filter(through).count(), 2, "{steps:#?}");
    let report = lab.json(Some(&plain), &["restore", "far/one"], 0);
    assert_eq!(owners(&plain), OWNERS);
    assert_eq!(report["incomplete"], json!([]));
}
