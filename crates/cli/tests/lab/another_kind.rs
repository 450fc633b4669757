//! Engines and images of another architecture. No such engine can be had here: a stand-in between the
//! program and a real one says so in its name, and the images' own word is real.

use std::process::Command;

use lifeboat_testkit::engine::PrivateEngine;
use serde_json::{Value, json};

use crate::{
    stand_in::StandIn,
    support::{Lab, only},
    tiny::{self, IDLE, says},
};

/// An image with the small one's files that says that it is for arm64.
fn arm_image(lab: &Lab, engine: &PrivateEngine) {
    let api = engine.api();
    tiny::create(engine, "files", json!({}));
    let folder = lab.path("arm");
    fs_err::create_dir(&folder).unwrap();
    let layer = api.get_bytes("/containers/files/export").unwrap();
    fs_err::write(folder.join("layer.tar"), layer).unwrap();
    tiny::remove(engine, "files");
    let sum = Command::new("sha256sum")
        .arg(folder.join("layer.tar"))
        .output();
    let sum = tiny::stdout(&sum.unwrap());
    let layers = [format!("sha256:{}", sum.split(' ').next().unwrap())];
    let config = json!({"architecture": "arm64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": layers}});
    let list =
        json!([{"Config": "config.json", "RepoTags": ["lifeboat/arm:1"], "Layers": ["layer.tar"]}]);
    fs_err::write(folder.join("config.json"), config.to_string()).unwrap();
    fs_err::write(folder.join("manifest.json"), list.to_string()).unwrap();
    let (tar, files) = (
        lab.path("arm.tar"),
        ["manifest.json", "config.json", "layer.tar"],
    );
    let mut pack = Command::new("tar");
    pack.arg("-C").arg(&folder).arg("-cf").arg(&tar).args(files);
    assert!(pack.status().unwrap().success());
    api.load_image(&tar).unwrap();
    let raw = api.get("/images/lifeboat/arm:1/json").unwrap();
    assert_eq!(raw["Architecture"], "arm64");
}

fn run(engine: &PrivateEngine, name: &str, image: &str) {
    let body = json!({"Image": image, "Cmd": ["/bin/sh", "-c", IDLE], "StopTimeout": 1});
    engine.api().create_container(name, &body).unwrap();
    tiny::start(engine, name);
}

#[test]
fn images_for_another_engine_are_refused_and_what_fits_is_not() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let (some, api) = (Some(&engine), engine.api());
    arm_image(&lab, &engine);
    run(&engine, "foreign", "lifeboat/arm:1");
    run(&engine, "own", "lifeboat/busybox:latest");
    let arm = StandIn::before(&lab, &engine, r#""Arch":"amd64""#, r#""Arch":"arm64""#);

    // Points of an engine that says arm64: one image agrees, the other one does not.
    arm.run(&lab, &["backup", "--all"], 0);
    let gone = || {
        for name in ["foreign", "own"] {
            let _ = api.delete(&format!("/containers/{name}?force=true"));
        }
        let _ = api.delete("/images/lifeboat/arm:1?force=true");
    };
    gone();
    let plan = lab.json(some, &["restore", "foreign", "--dry-run"], 1);
    assert_eq!(
        plan["obstacles"],
        json!([
            "the app's images are for arm64 (lifeboat/arm:1), this engine is amd64; recover on an engine of that architecture, or have such images for this one here and name them (--map-image OLD=NEW)"
        ])
    );
    let refused = lab.run(some, &["restore", "foreign"], 1);
    says(&refused, &["nothing was changed", "lifeboat/arm:1"]);
    assert_eq!(tiny::names(&engine), Vec::<String>::new());
    // The way out that it names, and an image that fits from an engine that does not.
    let map = "lifeboat/arm:1=lifeboat/busybox:latest";
    lab.json(some, &["restore", "foreign", "--map-image", map], 0);
    lab.json(some, &["restore", "own"], 0);
    assert!(tiny::runs(&engine, "foreign") && tiny::runs(&engine, "own"));
    gone();
    // On an engine of that kind it comes back; the images alone anywhere, with a word.
    let loaded = lab.json(some, &["restore", "foreign", "--images"], 0);
    let said = loaded["warnings"].to_string();
    assert!(said.contains("lifeboat/arm:1 is for arm64"), "{said}");
    arm.run(&lab, &["restore", "foreign"], 0);
    assert!(tiny::runs(&engine, "foreign"));

    // What ran on an engine of this kind is not refused on one, whatever its image says.
    let report = lab.json(some, &["backup", "foreign"], 0);
    let id = only(&report)["id"].as_str().unwrap().to_owned();
    gone();
    let done = lab.json(some, &["restore", &id], 0);
    assert!(tiny::runs(&engine, "foreign"));
    let said: Vec<&Value> = done["warnings"].as_array().unwrap().iter().collect();
    let emulated = |w: &&&Value| w.as_str().unwrap().contains("by emulation");
    assert_eq!(said.iter().filter(emulated).count(), 1, "{said:?}");
}
