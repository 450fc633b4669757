//! Each kind of order with what it takes, carried out on a real engine, a vault, a further one and a registry; what came of it is
//! looked at where it lies.

use std::path::{Path, PathBuf};

use lifeboat_testkit::{
    images,
    server::{RegistryOptions, RegistryServer},
};
use serde_json::{Value, json};

use super::{
    Served, Via,
    restoring::{done, ended, result},
};
use crate::{
    parts_pieces::{small, started},
    tiny,
};

/// Done, and what its command answered.
fn answer(served: &Served, via: Via, wanted: &Value) -> Value {
    let job = done(served, via, wanted);
    let told = result(served, via, &job);
    assert_eq!(told["code"], 0, "{told}");
    told["answer"].clone()
}

fn sh(served: &Served, container: &str, script: &str) -> String {
    let api = served.engine.api();
    api.exec_ok(container, &["sh", "-c", script]).unwrap()
}

/// Points of a vault, the newest first.
fn points(served: &Served, vault: &Path) -> Vec<Value> {
    let key = served.lab.key();
    let args = ["--vault", vault.to_str().unwrap(), "--password-file"];
    let args = [&args[..], &[key.to_str().unwrap(), "points"]].concat();
    let listed = served.lab.json(None, &args, 0);
    listed["points"].as_array().unwrap().clone()
}

/// Files of one area of the vault.
fn area(served: &Served, area: &str) -> Vec<PathBuf> {
    let mut left = vec![served.lab.vault().join(area)];
    let mut found = Vec::new();
    while let Some(path) = left.pop() {
        match path.is_dir() {
            true => left.extend(fs_err::read_dir(path).unwrap().map(|e| e.unwrap().path())),
            false => found.push(path),
        }
    }
    found
}

#[test]
fn every_order_does_what_its_command_does() {
    let open = tempfile::Builder::new().prefix("lb-").tempdir_in("/tmp");
    let open = open.unwrap();
    let far = open.path().join("far");
    let options = RegistryOptions::default();
    let registry = RegistryServer::start(&open.path().join("r"), options).unwrap();
    let name = registry.address();
    // Nothing begins by itself.
    let settings = format!(
        "[policy.\"*\"]\nprotect = false\n[copy.far]\nto = \"{}\"\nrpo = \"30d\"\n[registry.\"{name}\"]\nevery = \"30d\"\n",
        far.display()
    );
    let served = Served::start(&[], &settings);
    let key = served.lab.key();
    served
        .lab
        .command(None, &["--vault", far.to_str().unwrap()])
        .args(["--config-dir", open.path().join("etc").to_str().unwrap()])
        .args(["--state-dir", open.path().join("var").to_str().unwrap()])
        .args(["--password-file", key.to_str().unwrap(), "init"])
        .args(["--sheet", open.path().join("sheet").to_str().unwrap()])
        .output()
        .map(|made| assert!(made.status.success(), "{made:?}"))
        .unwrap();
    small(&served.lab, &served.engine);
    served.until("the app is known", || {
        served.ask(Via::Socket, "GET", "/apps/app", None).status == 200
    });
    let admin = served.token("all", &["--role", "admin"]);
    let operator = served.token("run", &["--role", "operator"]);
    let (admin, operator) = (Via::Token(&admin), Via::Token(&operator));
    let backup = json!({"kind": "backup", "app": "app", "now": true});
    let made = done(&served, operator, &backup);
    let first = made["point"].as_str().unwrap().to_owned();

    parts(&served, admin, operator, &first);
    into(&served, admin, operator, &first);
    chosen(&served, operator, &first, &far);
    registries(&served, admin, operator, &registry);
    space(&served, admin, operator);
    mended(&served, admin, operator);
}

/// Volumes, services, binds and images of a point.
fn parts(served: &Served, admin: Via, operator: Via, first: &str) {
    let engine = &served.engine;
    let row = |volume: &str| {
        let volume = engine.volume_path(volume).unwrap();
        fs_err::read_to_string(volume.join("row")).unwrap()
    };
    let html = served.lab.path("html");
    let page = || fs_err::read_to_string(html.join("index.html")).unwrap();
    let restore = |more: Value| {
        let mut wanted = json!({"kind": "restore", "point": format!("app@{first}")});
        let all = wanted.as_object_mut().unwrap();
        all.extend(more.as_object().unwrap().clone());
        wanted
    };
    sh(
        served,
        "app-db-1",
        "echo later >/data/row; echo later >/shared/file",
    );
    fs_err::write(html.join("index.html"), "later").unwrap();

    // A volume beside the original; the order to have it over the original names the app once more.
    answer(
        served,
        operator,
        &restore(json!({"volumes": ["data"], "as": "data-then"})),
    );
    assert_eq!(
        (row("data-then"), row("app_data")),
        ("first\n".into(), "later\n".into())
    );
    let remove = json!({"kind": "remove_copy", "name": "data-then", "confirm": "data-then"});
    answer(served, operator, &remove);
    assert!(engine.api().get("/volumes/data-then").is_err());
    let over = |more: Value| {
        let mut wanted = restore(json!({"replace": true, "confirm": "app"}));
        let all = wanted.as_object_mut().unwrap();
        all.extend(more.as_object().unwrap().clone());
        wanted
    };
    let unconfirmed = restore(json!({"replace": true, "volumes": ["app_shared"]}));
    let refused = served.ask(operator, "POST", "/operations", Some(&unconfirmed));
    refused.refused(409, "say its name once more");
    let told = answer(served, operator, &over(json!({"volumes": ["app_shared"]})));
    assert!(told["safety_point"].is_string(), "{told}");
    assert_eq!(sh(served, "app-web-1", "cat /shared/file"), "both\n");
    assert_eq!(row("app_data"), "later\n");

    // A service anew over the data that it has now.
    let ids = || ["app-db-1", "app-web-1"].map(|name| started(engine, name).0);
    let before = ids();
    let wanted = over(json!({"services": ["db"], "keep_data": true, "no_safety_point": true}));
    let refused = served.ask(operator, "POST", "/operations", Some(&wanted));
    refused.refused(403, "takes admin");
    let told = answer(served, admin, &wanted);
    assert!(told["safety_point"].is_null(), "{told}");
    let now = ids();
    assert!(
        now[0] != before[0] && now[1] == before[1],
        "{before:?} {now:?}"
    );
    assert_eq!(row("app_data"), "later\n");

    // A bind source is a path of the host.
    let bind = over(json!({"binds": [html]}));
    let refused = served.ask(operator, "POST", "/operations", Some(&bind));
    refused.refused(403, "takes admin");
    answer(served, admin, &bind);
    assert_eq!(page(), "from the bind");

    // What is gone comes back without a word of what is here.
    tiny::remove(engine, "app-side-1");
    answer(served, operator, &restore(json!({"services": ["side"]})));
    assert!(tiny::runs(engine, "app-side-1"));
    answer(served, operator, &restore(json!({"images": true})));
    // What does not go is a job that failed, with its sentence.
    let job = ended(served, operator, &restore(json!({"volumes": ["none"]})));
    assert_eq!(job["state"], "failed", "{job}");
    let why = result(served, admin, &job)["said"].to_string();
    assert!(why.contains("no volume `none`"), "{why}");
}

/// Files of a point into a container that runs.
fn into(served: &Served, admin: Via, operator: Via, first: &str) {
    sh(served, "app-web-1", "echo spoilt >/www/index.html");
    sh(
        served,
        "app-db-1",
        "echo spoilt >/data/row; echo mine >/data/other",
    );
    let point = format!("app@{first}");
    let page = json!({"kind": "restore", "point": point, "into": "app-web-1:/www/index.html"});
    let refused = served.ask(operator, "POST", "/operations", Some(&page));
    refused.refused(403, "takes admin");
    let told = answer(served, admin, &page);
    assert_eq!(
        sh(served, "app-web-1", "cat /www/index.html"),
        "from the bind"
    );
    let kept = PathBuf::from(told["kept_in"].as_str().unwrap());
    let kept = fs_err::read_to_string(kept.join("www/index.html")).unwrap();
    assert_eq!(kept, "spoilt\n");
    let some = json!({
        "kind": "restore", "point": point, "into": "app-db-1:/data", "from": "volumes/app_data",
        "includes": ["row"], "no_backup": true,
    });
    let told = answer(served, admin, &some);
    assert!(told["kept_in"].is_null(), "{told}");
    assert_eq!(
        sh(served, "app-db-1", "cat /data/row /data/other"),
        "first\nmine\n"
    );
}

/// Pinned and released; into the further vault, and no other than was named.
fn chosen(served: &Served, operator: Via, first: &str, far: &Path) {
    let pin = json!({"kind": "pin", "points": [format!("app@{first}")]});
    let pinned = answer(served, operator, &pin)[0].clone();
    assert_eq!(
        (&pinned["before"], &pinned["pinned"]),
        (&json!(first), &json!(true))
    );
    let unpin = json!({"kind": "unpin", "points": [pinned["id"]]});
    let released = answer(served, operator, &unpin)[0].clone();
    assert_eq!(
        (&released["before"], &released["pinned"]),
        (&pinned["id"], &json!(false))
    );
    let first = released["id"].as_str().unwrap();

    assert!(points(served, &served.lab.vault()).len() > 1);
    let copy =
        |dry: bool| json!({"kind": "copy", "name": "far", "points": [first], "dry_run": dry});
    let told = answer(served, operator, &copy(true));
    assert_eq!(told["points"][0]["outcome"], "would", "{told}");
    assert_eq!(points(served, far).len(), 0);
    let told = answer(served, operator, &copy(false));
    assert_eq!(told["points"][0]["outcome"], "copied", "{told}");
    let there = points(served, far);
    assert_eq!(there.len(), 1, "{there:?}");
    assert_eq!(there[0]["id"], told["points"][0]["copy"]);
}

/// A part of a registry into the vault, checked, into a registry under another name, and tags out of the vault.
fn registries(served: &Served, admin: Via, operator: Via, registry: &RegistryServer) {
    let name = registry.address();
    let image = format!(
        "docker-archive:{}",
        images::busybox().unwrap().tar.display()
    );
    for tag in ["team/app:1", "team/app:2", "team/app:v1", "other/app:1"] {
        registry.push(&image, tag).unwrap();
    }
    let part =
        json!({"kind": "registry", "name": name, "repositories": ["team/*"], "tags": ["2", "v*"]});
    let told = answer(served, operator, &part);
    assert_eq!(
        (&told["repositories"], &told["tags"]),
        (&json!(1), &json!(2)),
        "{told}"
    );
    let check = |more: Value| {
        let mut wanted = json!({"kind": "registry_check"});
        let all = wanted.as_object_mut().unwrap();
        all.extend(more.as_object().unwrap().clone());
        wanted
    };
    let told = answer(
        served,
        operator,
        &check(json!({"point": name, "read_data": true})),
    );
    assert!(told["bytes_read"].as_u64() > Some(0), "{told}");
    assert_eq!(
        (&told["registry"], &told["damaged"]),
        (&json!(name), &json!([])),
        "{told}"
    );

    let back = json!({
        "kind": "registry_restore", "point": name, "to": name, "repositories": ["team/app"],
        "renames": {"team": "dr/team"},
    });
    let refused = served.ask(operator, "POST", "/operations", Some(&back));
    refused.refused(403, "takes admin");
    let told = answer(served, admin, &back);
    assert_eq!(told["tags"], 2, "{told}");
    let digest = |name: &str| registry.manifest(name).unwrap();
    assert_eq!(digest("dr/team/app:v1"), digest("team/app:v1"));

    let forget = |dry: bool| json!({"kind": "registry_forget", "registry": name, "keep_tags": ["v*"], "dry_run": dry});
    let refused = served.ask(operator, "POST", "/operations", Some(&forget(false)));
    refused.refused(403, "takes admin");
    let tags = |told: &Value| told["tags"].as_array().unwrap().len();
    let told = answer(served, admin, &forget(true));
    assert_eq!((tags(&told), &told["point"]), (2, &Value::Null), "{told}");
    let told = answer(served, admin, &forget(false));
    assert!(told["point"].is_string(), "{told}");
    assert_eq!(tags(&answer(served, admin, &forget(true))), 1);
}

/// The vault is read as it is said, and freed of what nobody needs.
fn space(served: &Served, admin: Via, operator: Via) {
    let check = |read: &str| json!({"kind": "check", "read": read});
    let told = answer(served, operator, &check("structure"));
    assert_eq!(
        (&told["read_packs"], &told["errors"]),
        (&json!(0), &json!([])),
        "{told}"
    );
    let told = answer(served, operator, &check("all"));
    assert_eq!(told["read_packs"], told["packs"], "{told}");
    let all = told["packs"].as_u64().unwrap();
    let read = |told: Value| told["read_packs"].as_u64().unwrap();
    let halves = ["1/2", "2/2"].map(|part| read(answer(served, operator, &check(part))));
    assert_eq!(halves[0] + halves[1], all, "{halves:?}");
    let oldest = json!({"kind": "check", "oldest": "1K", "with_cache": true});
    assert!((1..all).contains(&read(answer(served, operator, &oldest))));
    let both = json!({"kind": "check", "read": "all", "oldest": "1K"});
    let refused = served.ask(operator, "POST", "/operations", Some(&both));
    refused.refused(400, "do not go together");

    // A pack of which a part stays.
    let html = served.lab.path("html");
    let waste = html.join("waste");
    fs_err::write(&waste, tiny::noise(3_000_000, 7)).unwrap();
    fs_err::write(html.join("wanted"), tiny::noise(500_000, 8)).unwrap();
    let backup = json!({"kind": "backup", "app": "app", "now": true});
    let made = done(served, operator, &backup);
    fs_err::remove_file(&waste).unwrap();
    done(served, operator, &backup);
    let forget = json!({"kind": "forget", "points": [made["point"]]});
    answer(served, admin, &forget);

    let before = area(served, "data").len();
    let prune = |more: Value| {
        let mut wanted = json!({"kind": "prune"});
        let all = wanted.as_object_mut().unwrap();
        all.extend(more.as_object().unwrap().clone());
        wanted
    };
    let told = answer(
        served,
        operator,
        &prune(json!({"dry_run": true, "max_unused": "0"})),
    );
    assert_eq!(told["dry_run"], true, "{told}");
    assert_eq!(area(served, "data").len(), before);
    let told = answer(served, operator, &prune(json!({"max_unused": "unlimited"})));
    assert!(told["left_bytes"].as_u64() > Some(2_000_000), "{told}");
    let little = prune(json!({"max_unused": "0", "max_repack_size": "1"}));
    let told = answer(served, operator, &little);
    assert_eq!(told["postponed"], true, "{told}");
    let alone = prune(json!({"max_unused": "0", "instant": true}));
    let refused = served.ask(operator, "POST", "/operations", Some(&alone));
    refused.refused(403, "takes admin");
    let told = answer(served, admin, &alone);
    assert_eq!(
        (&told["left_bytes"], &told["waiting"]),
        (&json!(0), &json!([])),
        "{told}"
    );
    let told = answer(served, operator, &check("all"));
    assert_eq!(told["errors"], json!([]), "{told}");
}

/// From damage to a whole vault.
fn mended(served: &Served, admin: Via, operator: Via) {
    let repair = |what: &str, more: Value| {
        let mut wanted = json!({"kind": "repair", "what": what});
        let all = wanted.as_object_mut().unwrap();
        all.extend(more.as_object().unwrap().clone());
        wanted
    };
    let check = json!({"kind": "check", "read": "all"});
    let index = repair("index", json!({}));
    let refused = served.ask(operator, "POST", "/operations", Some(&index));
    refused.refused(403, "takes admin");
    for file in area(served, "index") {
        fs_err::remove_file(file).unwrap();
    }
    let job = ended(served, operator, &check);
    assert_eq!(job["state"], "failed", "{job}");
    let told = answer(served, admin, &index);
    assert!(told["packs"].as_u64() > Some(0), "{told}");
    answer(served, operator, &check);

    // One pack that holds data of an app's points.
    let size = |path: &PathBuf| fs_err::metadata(path).unwrap().len();
    let pack = area(served, "data").into_iter().max_by_key(size).unwrap();
    let mut bytes = fs_err::read(&pack).unwrap();
    bytes[1000] ^= 1;
    fs_err::write(&pack, bytes).unwrap();
    let id = pack.file_name().unwrap().to_str().unwrap();
    let job = ended(served, operator, &check);
    assert_eq!(job["state"], "failed", "{job}");
    let incomplete = |wanted: &Value| {
        let job = ended(served, admin, wanted);
        assert_eq!(job["state"], "incomplete", "{job}");
        let told = result(served, admin, &job);
        assert_eq!(told["code"], 3, "{told}");
        told["answer"].clone()
    };
    let told = incomplete(&repair("packs", json!({"only": [id], "dry_run": true})));
    assert_eq!(told["packs"][0]["id"], id, "{told}");
    assert!(pack.exists());
    let told = incomplete(&repair("packs", json!({"only": [id]})));
    assert!(!pack.exists());
    let aside = PathBuf::from(told["set_aside"].as_str().unwrap());
    assert_eq!(aside, served.lab.path("state/set-aside"));
    assert!(aside.join(format!("pack-{id}")).is_file());
    let told = answer(served, admin, &repair("points", json!({"dry_run": true})));
    let lost = told["points"].as_array().unwrap().len();
    assert!(lost > 0, "{told}");
    let told = answer(
        served,
        admin,
        &repair("points", json!({"drop_damaged": true, "forget": true})),
    );
    let forgotten = told["points"].as_array().unwrap().iter();
    assert_eq!(
        forgotten.filter(|point| point["forgotten"] == true).count(),
        lost
    );
    let told = answer(served, operator, &check);
    assert_eq!(told["errors"], json!([]), "{told}");
    // Of what a directory deletes nothing is kept.
    let job = ended(served, admin, &repair("deleted", json!({})));
    assert_eq!(job["state"], "failed", "{job}");
    assert!(
        job["why"]
            .to_string()
            .contains("only S3 with Object Lock keeps it"),
        "{job}"
    );
}
