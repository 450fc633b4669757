//! `restore --replace`: a point in the place of the app that runs.

use std::path::{Path, PathBuf};

use lifeboat_testkit::{
    engine::{PrivateEngine, Release},
    images,
    sample_app::diff,
};
use serde_json::{Value, json};

use crate::{
    support::{Lab, only},
    tiny::{self, IDLE},
};

/// Two containers with a named volume, a bind mount and a volume without a name.
pub struct Pair<'e> {
    engine: &'e PrivateEngine,
    pub html: PathBuf,
}

impl<'e> Pair<'e> {
    pub fn create(lab: &Lab, engine: &'e PrivateEngine) -> Self {
        let html = lab.path("html");
        fs_err::create_dir_all(&html).unwrap();
        let labels = json!({"lifeboat.app": "pair"});
        let always = json!({"Name": "always"});
        tiny::create(
            engine,
            "pair-db",
            json!({
                "Cmd": ["sh", "-c", IDLE],
                "Labels": labels,
                "Volumes": {"/nameless": {}},
                "HostConfig": {"Binds": ["pairdata:/data"], "RestartPolicy": always},
            }),
        );
        tiny::create(
            engine,
            "pair-web",
            json!({
                "Cmd": ["sh", "-c", IDLE],
                "Labels": {"lifeboat.app": "pair", "lifeboat.depends-on": "pair-db"},
                "HostConfig": {
                    "Binds": [format!("{}:/www", html.display()), "pairdata:/data:ro"],
                    "RestartPolicy": always,
                },
            }),
        );
        tiny::start(engine, "pair-db");
        tiny::start(engine, "pair-web");
        Self::of(lab, engine)
    }

    /// The one that is there.
    pub fn of(lab: &Lab, engine: &'e PrivateEngine) -> Self {
        let html = lab.path("html");
        Self { engine, html }
    }

    /// Writes the same word everywhere.
    pub fn write(&self, word: &str) {
        for (container, path) in [
            ("pair-db", "/data/f"),
            ("pair-db", "/nameless/f"),
            ("pair-web", "/www/f"),
        ] {
            let line = format!("echo {word} >{path}");
            let api = self.engine.api();
            api.exec_ok(container, &["sh", "-c", &line]).unwrap();
        }
    }

    /// The word that stands everywhere; both containers run, under their names and with their policies.
    pub fn word(&self) -> String {
        let mut words = Vec::new();
        for (container, path) in [
            ("pair-db", "/data/f"),
            ("pair-db", "/nameless/f"),
            ("pair-web", "/www/f"),
            ("pair-web", "/data/f"),
        ] {
            let raw = tiny::inspect(self.engine, container);
            assert_eq!(raw["State"]["Running"], true, "{container}");
            assert_eq!(raw["HostConfig"]["RestartPolicy"]["Name"], "always");
            words.push(
                self.engine
                    .api()
                    .exec_ok(container, &["cat", path])
                    .unwrap(),
            );
        }
        words.dedup();
        assert_eq!(words.len(), 1, "neither the one nor the other: {words:?}");
        words[0].trim().to_owned()
    }

    /// Containers, and volumes with a name: nothing of ours is among them.
    pub fn names(&self) -> Vec<String> {
        let nameless = |name: &&String| !name.starts_with("volume ") || name.len() < 64;
        tiny::names(self.engine)
            .iter()
            .filter(nameless)
            .cloned()
            .collect()
    }
}

#[test]
fn the_point_takes_the_place_and_the_way_back_is_the_same() {
    there_and_back(Release::Distribution);
}

#[test]
fn the_same_on_the_newest_engine() {
    there_and_back(Release::Newest);
}

fn there_and_back(release: Release) {
    let lab = Lab::new();
    lab.init();
    let engine = lab.engine_of("a", release);
    images::busybox().unwrap().load(&engine).unwrap();
    let pair = Pair::create(&lab, &engine);
    pair.write("first");
    let report = lab.json(Some(&engine), &["backup", "pair"], 0);
    let first = only(&report)["id"].as_str().unwrap()[..8].to_owned();
    pair.write("second");
    let before = pair.names();
    let inspected = ["pair-db", "pair-web"].map(|name| tiny::inspect(&engine, name));
    // Dry runs touch nothing.
    let line = format!("pair@{first}");
    let plan = lab.json(Some(&engine), &["restore", &line, "--replace", "-n"], 0);
    assert_eq!(plan["obstacles"], json!([]));
    assert!(
        plan["steps"].to_string().contains("change places"),
        "{plan:#}"
    );
    assert_eq!(pair.word(), "second");

    let done = lab.json(Some(&engine), &["restore", &line, "--replace"], 0);
    assert_eq!(pair.word(), "first");
    assert_eq!(pair.names(), before);
    assert!(done["downtime_seconds"].as_f64().unwrap() < 30.0);
    let aside = done["set_aside"]["paths"].as_array().unwrap().clone();
    assert_eq!(aside.len(), 3, "{done:#}");
    for path in &aside {
        let file = PathBuf::from(path["path"].as_str().unwrap()).join("f");
        assert_eq!(fs_err::read_to_string(&file).unwrap(), "second\n", "{path}");
    }
    for (name, was) in ["pair-db", "pair-web"].iter().zip(&inspected) {
        let is = tiny::inspect(&engine, name);
        for part in ["HostConfig", "Config"] {
            // A host name that nobody chose is the new id.
            let (mut was, mut is) = (was[part].clone(), is[part].clone());
            was["Hostname"] = Value::Null;
            is["Hostname"] = Value::Null;
            assert_eq!(diff(&was, &is), Vec::<String>::new(), "{name} {part}");
        }
    }
    // The newest is the app's own point; the safety point is found by its id.
    let safety = done["safety_point"].as_str().unwrap()[..8].to_owned();
    let plan = lab.json(Some(&engine), &["restore", "pair", "--replace", "-n"], 0);
    assert!(plan["id"].as_str().unwrap().starts_with(&first), "{plan}");
    let points = lab.json(None, &["points", "pair"], 0).to_string();
    assert!(points.contains("\"safety\""), "{points}");
    let args = ["restore", &safety, "--replace", "--no-safety-point"];
    let again = lab.json(Some(&engine), &args, 0);
    assert_eq!(again["safety_point"], Value::Null);
    assert_eq!((pair.word().as_str(), pair.names()), ("second", before));
    // A backup takes nothing of what lies aside, wherever that is.
    let report = lab.json(Some(&engine), &["backup", "--all"], 0);
    assert_eq!(only(&report)["files"], 3, "{report:#}");
    // Everything that was set aside goes by name, and only that.
    tiny::refused(&lab, Some(&engine), "rm pair", 2, &["--yes"]);
    let line = ["rm", "pair", "--dry-run"];
    let would = lab.json(Some(&engine), &line, 0);
    for path in &aside {
        assert!(PathBuf::from(path["path"].as_str().unwrap()).exists());
    }
    let gone = lab.json(Some(&engine), &["rm", "pair", "--yes"], 0);
    assert_eq!(gone.as_array().unwrap().len(), 2, "{gone:#}");
    assert_eq!(gone, would, "what `--dry-run` said");
    for path in &aside {
        assert!(!PathBuf::from(path["path"].as_str().unwrap()).exists());
    }
    assert_eq!(lab.json(None, &["rm", "--expired"], 0), json!([]));
    assert_eq!(pair.word(), "second");

    // After its time it goes with the next backup or restore, and before that with none.
    for command in [&["backup", "pair"][..], &["restore", "pair", "--replace"]] {
        lab.json(Some(&engine), &args, 0);
        let (record, folders) = set_aside(&lab);
        lab.run(Some(&engine), &["backup", "pair"], 0);
        assert!(record.exists() && folders.iter().all(|f| f.exists()));
        its_time_is_over(&record);
        let would = lab.json(None, &["rm", "--expired", "--dry-run"], 0);
        assert_eq!(would.as_array().unwrap().len(), 1, "{would:#}");
        let dry = [command, &["--dry-run"]].concat();
        lab.run(Some(&engine), &dry, 0);
        assert!(folders.iter().all(|f| f.exists()), "a dry run");
        let said = tiny::stderr(&lab.run(Some(&engine), command, 0));
        assert!(said.contains("what had been set aside of"), "{said}");
        assert!(!record.exists() && !folders.iter().any(|f| f.exists()));
        lab.run(None, &["rm", "--expired"], 0);
        if command[0] == "restore" {
            lab.json(Some(&engine), &["rm", "pair", "--yes"], 0);
        }
    }
    engine.destroy().unwrap();
}

/// The one record of what lies aside, and its folders.
fn set_aside(lab: &Lab) -> (PathBuf, Vec<PathBuf>) {
    let found = fs_err::read_dir(lab.path("state/aside")).unwrap();
    let records: Vec<PathBuf> = found.map(|entry| entry.unwrap().path()).collect();
    let [record] = &records[..] else {
        panic!("{records:?}");
    };
    let text: Value = serde_json::from_slice(&fs_err::read(record).unwrap()).unwrap();
    let paths = text["paths"].as_array().unwrap().iter();
    let paths = paths.map(|path| PathBuf::from(path["path"].as_str().unwrap()));
    (record.clone(), paths.collect())
}

/// Seven days pass.
fn its_time_is_over(record: &Path) {
    let mut text: Value = serde_json::from_slice(&fs_err::read(record).unwrap()).unwrap();
    text["until"] = json!("2020-01-01T00:00:00Z");
    fs_err::write(record, text.to_string()).unwrap();
}
