//! A part of a point: the compose file, the images.

use std::path::Path;

use lifeboat_testkit::{
    compose::{CONTAINERS, Project},
    engine::PrivateEngine,
    sample_app::{self, SampleApp, diff},
};
use serde_json::{Value, json};

use crate::{
    support::Lab,
    tiny::{self, refused},
};

/// Compose on this project with that file.
fn compose(project: &Project, engine: &PrivateEngine, file: &Path, args: &[&str]) -> String {
    let mut command = project.command(engine);
    let output = command.arg("-f").arg(file).args(args).output().unwrap();
    let text = tiny::stdout(&output);
    assert!(
        output.status.success(),
        "{args:?}: {text}{}",
        tiny::stderr(&output)
    );
    text
}

/// What was asked for of a container, without what comes anew with each and what Compose notes for
/// itself.
fn asked_for(engine: &PrivateEngine, name: &str) -> Value {
    let mut raw = tiny::inspect(engine, name);
    let (config, host) = (raw["Config"].take(), raw["HostConfig"].take());
    let mut networks = json!({});
    for (network, endpoint) in raw["NetworkSettings"]["Networks"].as_object().unwrap() {
        let mut aliases: Vec<String> = endpoint["Aliases"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|a| a.as_str().unwrap().to_owned())
            // Compose gives the container's own name to each.
            .filter(|a| a != name && !raw["Id"].as_str().unwrap().starts_with(a.as_str()))
            .collect();
        aliases.sort();
        aliases.dedup();
        networks[network] = json!({"aliases": aliases, "address": endpoint["IPAMConfig"]});
    }
    let mut asked = json!({"Config": config, "HostConfig": host, "Networks": networks});
    let config = asked["Config"].as_object_mut().unwrap();
    for list in ["Env"] {
        if let Some(list) = config[list].as_array_mut() {
            list.sort_by_key(Value::to_string);
        }
    }
    let labels = config["Labels"].as_object_mut().unwrap();
    labels.retain(|key, _| !key.starts_with("com.docker.compose."));
    let id = raw["Id"].as_str().unwrap();
    if config["Hostname"]
        .as_str()
        .is_some_and(|h| id.starts_with(h))
    {
        config.remove("Hostname");
    }
    // Compose attaches to nothing, and says so.
    for key in ["AttachStdout", "AttachStderr", "OnBuild", "StdinOnce"] {
        config.remove(key);
    }
    // Two ways to ask for the same mount.
    let host = asked["HostConfig"].as_object_mut().unwrap();
    for key in ["Binds", "Mounts"] {
        host.remove(key);
    }
    for key in ["CapAdd", "CapDrop"] {
        for capability in host[key].as_array_mut().into_iter().flatten() {
            *capability = json!(capability.as_str().unwrap().trim_start_matches("CAP_"));
        }
    }
    asked["Mounts"] = raw["Mounts"].take();
    for mount in asked["Mounts"].as_array_mut().unwrap() {
        let anonymous = mount["Name"].as_str().is_some_and(|name| name.len() == 64);
        let mount = mount.as_object_mut().unwrap();
        mount.remove("Mode");
        if anonymous {
            mount.remove("Name");
        }
        if mount["Type"] == "volume" {
            mount.remove("Source");
        }
    }
    let key = |mount: &Value| mount["Destination"].to_string();
    asked["Mounts"].as_array_mut().unwrap().sort_by_key(key);
    plain(asked)
}

/// Null, false, 0, empty lists and objects say the same.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let members = map.into_iter().map(|(k, v)| (k, plain(v)));
            let members: serde_json::Map<_, _> = members.filter(|(_, v)| !v.is_null()).collect();
            if members.is_empty() {
                return Value::Null;
            }
            Value::Object(members)
        }
        Value::Array(list) if list.is_empty() => Value::Null,
        Value::Array(list) => Value::Array(list.into_iter().map(plain).collect()),
        Value::Bool(false) => Value::Null,
        Value::Number(n) if n.as_i64() == Some(0) => Value::Null,
        Value::String(text) if text.is_empty() => Value::Null,
        other => other,
    }
}

#[test]
fn the_compose_file_comes_back_as_it_was_and_a_made_one_brings_up_the_same() {
    let lab = Lab::new();
    lab.init();
    let engine = lab.engine("a");
    let some = Some(&engine);
    let project = Project::write(&lab.path("")).unwrap();
    project.up(&engine).unwrap();
    lab.json(some, &["backup", "notes"], 0);
    let configured = compose(
        &project,
        &engine,
        &project.dir().join("compose.yaml"),
        &["-f", "compose.override.yaml", "config"],
    );
    let before: Vec<Value> = CONTAINERS.iter().map(|c| asked_for(&engine, c)).collect();

    // As it was: several files are the documents of one, and Compose reads the same from it.
    let joined = lab.path("joined.yaml");
    let at = joined.to_str().unwrap();
    lab.run(
        None,
        &["restore", "notes", "--definition", "--target", at],
        0,
    );
    let dir = project.dir().to_str().unwrap();
    let again = compose(
        &project,
        &engine,
        &joined,
        &["--project-directory", dir, "config"],
    );
    assert_eq!(again, configured);
    // Each by itself, with what it reads.
    let folder = lab.path("files");
    fs_err::create_dir(&folder).unwrap();
    lab.run(
        None,
        &[
            "restore",
            "notes",
            "--definition=own",
            "--target",
            folder.to_str().unwrap(),
        ],
        0,
    );
    for name in ["compose.yaml", "compose.override.yaml", ".env"] {
        let (was, is) = (project.dir().join(name), folder.join(name));
        assert_eq!(
            fs_err::read(was).unwrap(),
            fs_err::read(is).unwrap(),
            "{name}"
        );
    }
    let printed = lab.run(None, &["restore", "notes", "--definition"], 0);
    assert_eq!(printed.stdout, fs_err::read(&joined).unwrap());
    assert!(
        tiny::stderr(&printed).contains(".env"),
        "{}",
        tiny::stderr(&printed)
    );
    let line = format!("restore notes --definition --target {at}");
    refused(&lab, None, &line, 1, &["joined.yaml", "never overwritten"]);

    // Made from the containers: Compose takes it, and what it brings up was asked for the same.
    let made = lab.path("made.yaml");
    let line = [
        "restore",
        "notes",
        "--definition=made",
        "--target",
        made.to_str().unwrap(),
    ];
    let said = lab.run(None, &line, 0);
    assert!(
        tiny::stderr(&said).contains("/etc/greeting"),
        "{}",
        tiny::stderr(&said)
    );
    project.down_v(&engine).unwrap();
    compose(&project, &engine, &made, &["up", "-d", "--wait"]);
    for (name, before) in CONTAINERS.iter().zip(&before) {
        let differences = diff(before, &asked_for(&engine, name));
        assert!(
            differences.is_empty(),
            "{name}: {}\n{}",
            differences.join("\n"),
            fs_err::read_to_string(&made).unwrap()
        );
    }
    engine.destroy().unwrap();
}

#[test]
fn a_made_file_says_everything_that_the_sample_app_was_asked_for() {
    let lab = Lab::new();
    lab.init();
    let engine = lab.engine("a");
    let app = SampleApp::create(&engine, &lab.path("shop")).unwrap();
    lab.json(Some(&engine), &["backup", "shop"], 0);
    let before: Vec<Value> = sample_app::CONTAINERS
        .iter()
        .map(|c| asked_for(&engine, c))
        .collect();
    let made = lab.path("made.yaml");
    lab.run(
        None,
        &[
            "restore",
            "shop",
            "--definition=made",
            "--target",
            made.to_str().unwrap(),
        ],
        0,
    );
    engine.destroy().unwrap();

    // Images alone, onto an engine that has nothing.
    let second = lab.engine("b");
    let some = Some(&second);
    let planned = lab.json(some, &["restore", "shop", "--images", "--dry-run"], 0);
    let is_there = |report: &Value| {
        let images = report["images"].as_array().unwrap().clone();
        images
            .iter()
            .map(|i| i["is_there"] == true)
            .collect::<Vec<_>>()
    };
    assert_eq!(is_there(&planned), [false, false], "{planned:#}");
    lab.json(some, &["restore", "shop", "--images"], 0);
    let again = lab.json(some, &["restore", "shop", "--images"], 0);
    assert_eq!(is_there(&again), [true, true], "{again:#}");
    assert_eq!(tiny::names(&second), Vec::<String>::new());

    let project = Project::write(&lab.path("")).unwrap();
    compose(&project, &second, &made, &["up", "--no-start"]);
    for (name, before) in sample_app::CONTAINERS.iter().zip(&before) {
        let differences = diff(before, &asked_for(&second, name));
        assert!(
            differences.is_empty(),
            "{name}: {}\n{}",
            differences.join("\n"),
            fs_err::read_to_string(&made).unwrap()
        );
    }
    drop(app);
    second.destroy().unwrap();
}

#[test]
fn an_app_without_a_file_gets_a_made_one_and_no_own_one() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    tiny::run(&engine, "plain", tiny::IDLE, &["plaindata:/data"]);
    lab.json(Some(&engine), &["backup", "plain"], 0);
    refused(
        &lab,
        None,
        "restore plain --definition=own",
        1,
        &["no compose file", "--definition=made"],
    );
    let found = lab.json(None, &["restore", "plain", "--definition"], 0);
    assert_eq!(found["made"], true);
    let text = found["files"][0]["content"].as_str().unwrap();
    assert!(
        text.contains("container_name: plain") && text.contains("plaindata:/data"),
        "{text}"
    );
    lab.json(
        Some(&engine),
        &["backup", "--path", lab.path("sheet.txt").to_str().unwrap()],
        0,
    );
    refused(
        &lab,
        None,
        "restore latest --definition",
        1,
        &["plain snapshot"],
    );
    engine.destroy().unwrap();
}
