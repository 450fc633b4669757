//! A vault that somebody else wrote, and means harm: nothing is written outside the target, nothing is
//! made on the engine.

use lifeboat_vault::{BlobKind, Environment, Vault, WriterOptions};
use serde_json::{Value, json};

use crate::{
    support::Lab,
    tiny::{self, IDLE, refused, stderr},
};

#[test]
fn a_hostile_point_leaves_its_target_alone() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    let some = Some(&engine);
    tiny::run(&engine, "good", IDLE, &["good_data:/data"]);
    lab.json(some, &["backup", "good"], 0);
    let target = lab.path("manifest");
    let args = ["restore", "good", "--target", target.to_str().unwrap()];
    lab.run(None, &args, 0);
    let honest: Value =
        serde_json::from_slice(&fs_err::read(target.join("app.json")).unwrap()).unwrap();
    let before = tiny::names(&engine);
    let changes = [
        ("/volumes/0/name", json!("../../../victim")),
        (
            "/binds",
            json!([{"source": "/srv/../etc", "decision": "captured", "content": "present"}]),
        ),
        (
            "/binds",
            json!([{"source": "/etc/passwd", "decision": "captured", "content": "present"}]),
        ),
        ("/containers/0/name", json!("../x")),
        ("/schema", json!(99)),
        ("/schema", json!("x")),
    ];
    for (at, value) in changes {
        let mut hostile = honest.clone();
        hostile["identity"]["app"] = json!("evil");
        *hostile.pointer_mut(at).unwrap() = value;
        let id = commit_raw(&lab, &hostile.to_string());
        for line in [format!("restore {id}"), format!("restore {id} --dry-run")] {
            let said = refused(&lab, some, &line, 1, &["recovery point"]);
            assert!(
                said.contains("app.json") || said.contains("manifest"),
                "{at}: {said}"
            );
        }
        assert_eq!(tiny::names(&engine), before, "{at}");
    }
    let id = commit_raw(&lab, "no json");
    refused(&lab, some, &format!("restore {id}"), 1, &["app.json"]);

    // Names in the tree that lead out of the target.
    for name in ["..", "../victim", "/tmp/victim", "a/../../victim"] {
        let id = commit_tree(&lab, name);
        let out = lab.path("in/out");
        let line = format!("restore {id} --target {}", out.display());
        let output = lab
            .command(None, &line.split(' ').collect::<Vec<_>>())
            .output()
            .unwrap();
        assert!(
            [Some(1), Some(3)].contains(&output.status.code()),
            "{name}: {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains("name"),
            "{name}: {}",
            stderr(&output)
        );
        assert!(!lab.path("in/victim").exists() && !std::path::Path::new("/tmp/victim").exists());
        for left in fs_err::read_dir(lab.path("in")).unwrap() {
            assert_eq!(left.unwrap().path(), out, "{name}");
        }
        let _ = fs_err::remove_dir_all(lab.path("in"));
    }
    engine.destroy().unwrap();
}

fn vault(lab: &Lab) -> Vault {
    let key = fs_err::read_to_string(lab.key()).unwrap();
    let store = lifeboat_store::open(lab.vault().to_str().unwrap(), &Default::default()).unwrap();
    Vault::open(store, key.trim().as_bytes(), Environment::system("hostile")).unwrap()
}

/// A point of an app `evil` whose manifest is this text.
fn commit_raw(lab: &Lab, manifest: &str) -> String {
    let vault = vault(lab);
    let writer = vault.writer(WriterOptions::default()).unwrap();
    let blob = writer.blob(BlobKind::Data, manifest.as_bytes()).unwrap();
    let size = manifest.len();
    let node = node(
        "app.json",
        &format!(r#""size":{size},"content":["{}"]"#, blob.to_hex()),
    );
    commit(writer, &node, "/lifeboat/default/lab/app/evil")
}

/// A plain snapshot with one file of this name.
fn commit_tree(lab: &Lab, name: &str) -> String {
    let vault = vault(lab);
    let writer = vault.writer(WriterOptions::default()).unwrap();
    commit(writer, &node(name, r#""content":[]"#), "/srv/plain")
}

fn node(name: &str, more: &str) -> String {
    let time = "2026-01-01T00:00:00Z";
    format!(
        r#"{{"nodes":[{{"name":"{name}","type":"file","mode":420,"mtime":"{time}","atime":"{time}","ctime":"{time}","uid":0,"gid":0,{more}}}]}}"#
    )
}

fn commit(writer: lifeboat_vault::Writer, tree: &str, path: &str) -> String {
    let tree = writer
        .blob(BlobKind::Tree, format!("{tree}\n").as_bytes())
        .unwrap();
    writer.flush().unwrap();
    writer
        .commit(lifeboat_vault::Snapshot {
            time: "2026-01-01T00:00:00Z".to_owned(),
            tree: Some(tree),
            paths: vec![path.to_owned()],
            hostname: "lab".to_owned(),
            ..lifeboat_vault::Snapshot::default()
        })
        .unwrap()
        .to_hex()
}
