//! A Compose project whose files lie all over the host: included, extended, env files, a secret, a
//! build context, a symbolic link. All of it lost, all of it back, and Compose finds nothing to change.

use std::{collections::BTreeMap, os::unix::fs::symlink, path::PathBuf, process::Output};

use lifeboat_testkit::{compose::docker_compose, engine::PrivateEngine, images};
use serde_json::Value;

use crate::support::{Lab, only};

const SECRET: &str = "hunter2-of-the-secret";

/// What the project consists of. `@IMAGE@` is the image to use.
const FILES: &[(&str, &str)] = &[
    (
        "stack/compose.yaml",
        "name: stack
include:
  - path: ../tool/compose.yaml
services:
  web:
    extends: {file: ../common/base.yaml, service: base}
    image: @IMAGE@
    build: {context: ../build, dockerfile: ../docker/web.Dockerfile}
    env_file: [own.env, '${COMMON}/web.env', {path: ../maybe.env, required: false}]
    label_file: ../common/web.labels
    secrets: [token]
  paused-profile:
    profiles: [never]
    image: @IMAGE@
    env_file: ../common/profile.env
secrets:
  token: {file: ../secrets/token}
",
    ),
    ("stack/.env", "COMMON=../common\n"),
    ("stack/own.env", "OWN=yes\n"),
    (
        "common/base.yaml",
        "services:\n  base:\n    command: [sleep, '1000000']\n    init: true\n    stop_grace_period: 1s\n    env_file: base.env\n",
    ),
    ("common/base.env", "BASE=yes\n"),
    ("common/web.env", "COMMON_ENV=yes\n"),
    ("common/web.labels", "example.from=label-file\n"),
    ("common/profile.env", "PROFILE=yes\n"),
    (
        "tool/compose.yaml",
        "services:\n  tool:\n    image: @IMAGE@\n    command: [sleep, '1000000']\n    init: true\n    stop_grace_period: 1s\n    env_file: ${TOOL_ENV}\n",
    ),
    ("tool/.env", "TOOL_ENV=tool.env\n"),
    ("secrets/token", SECRET),
    ("build/src/main", "main\n"),
    ("docker/web.Dockerfile", "FROM @IMAGE@\n"),
    ("far/tool.env", "TOOL=yes\n"),
];

#[test]
fn files_outside_of_the_project_folder_come_back_with_it() {
    let lab = Lab::new();
    lab.init();
    let engine = lab.engine("a");
    let host = Host::new(&lab);
    host.compose(&engine, &["up", "-d"]);
    assert_eq!(host.changes(&engine), Vec::<String>::new());
    let files = host.files();
    assert_eq!(files.len(), FILES.len() + 1);

    let apps = lab.json(Some(&engine), &["apps", "stack"], 0);
    let app = &apps["apps"][0];
    assert_eq!(app["uncovered"], serde_json::json!([]), "{app:#}");
    assert_eq!(app["notes"], serde_json::json!([]), "{app:#}");
    let table = lab.run(Some(&engine), &["apps"], 0);
    let table = String::from_utf8(table.stdout).unwrap();
    let row = table
        .lines()
        .find(|line| line.starts_with("stack "))
        .unwrap();
    assert!(row.ends_with(" -"), "{table}");
    // With Compose at hand it is looked at whether files and containers agree.
    assert_eq!(host.drift(&lab, &engine), Vec::<String>::new());
    fs_err::write(host.dir.join("common/web.env"), "COMMON_ENV=no\n").unwrap();
    let drift = host.drift(&lab, &engine);
    assert!(drift.len() == 1 && drift[0].contains("(web)"), "{drift:?}");
    fs_err::write(host.dir.join("common/web.env"), "COMMON_ENV=yes\n").unwrap();

    let backup = lab.json(Some(&engine), &["backup", "stack"], 0);
    assert_eq!(only(&backup)["incomplete"], serde_json::json!([]));
    engine.destroy().unwrap();
    fs_err::remove_dir_all(&host.dir).unwrap();

    let second = lab.engine("b");
    let restored = lab.json(Some(&second), &["restore", "stack"], 0);
    assert_eq!(
        restored["running"].as_array().map(Vec::len),
        Some(2),
        "{restored:#}"
    );
    assert_eq!(host.files(), files);
    assert_eq!(host.changes(&second), Vec::<String>::new());
    let ids = ids(&second);
    host.compose(&second, &["up", "-d"]);
    assert_eq!(self::ids(&second), ids);
    host.compose(&second, &["down", "-v"]);
    assert_eq!(self::ids(&second), BTreeMap::new());
    second.destroy().unwrap();
}

#[test]
fn what_compose_needs_and_is_gone_is_named() {
    let lab = Lab::new();
    lab.init();
    let engine = lab.engine("a");
    let host = Host::new(&lab);
    host.compose(&engine, &["up", "-d"]);
    fs_err::remove_file(host.dir.join("common/web.env")).unwrap();
    fs_err::remove_dir_all(host.dir.join("build")).unwrap();
    fs_err::write(host.dir.join("tool/compose.yaml"), "a: \"hunter3\nb: [").unwrap();

    let apps = lab.json(Some(&engine), &["apps", "stack"], 0);
    let app = &apps["apps"][0];
    let said = |key: &str| -> Vec<String> {
        let list = app[key].as_array().unwrap().iter();
        list.map(|s| s.as_str().unwrap().to_owned()).collect()
    };
    let (uncovered, notes) = (said("uncovered"), said("notes"));
    assert_eq!(uncovered.len(), 1, "{uncovered:?}");
    assert!(uncovered[0].contains("common/web.env") && uncovered[0].contains("not there"));
    let noted = |what: &str| notes.iter().any(|n| n.contains(what));
    assert!(noted("tool/compose.yaml was not understood"), "{notes:?}");
    assert!(noted("/build"), "{notes:?}");
    assert!(!app.to_string().contains("hunter3"));

    // Never a failure: a point, and exit 3 for the one that Compose cannot do without.
    let backup = lab.json(Some(&engine), &["backup", "stack"], 3);
    let incomplete = only(&backup)["incomplete"].as_array().unwrap();
    assert_eq!(incomplete.len(), 1, "{incomplete:?}");
    engine.destroy().unwrap();
}

struct Host {
    dir: PathBuf,
    compose: PathBuf,
}

impl Host {
    fn new(lab: &Lab) -> Self {
        let host = Self {
            dir: lab.path("host"),
            compose: docker_compose().unwrap(),
        };
        let image = images::busybox().unwrap();
        for (name, text) in FILES {
            let path = host.dir.join(name);
            fs_err::create_dir_all(path.parent().unwrap()).unwrap();
            fs_err::write(path, text.replace("@IMAGE@", image.reference())).unwrap();
        }
        symlink(
            host.dir.join("far/tool.env"),
            host.dir.join("tool/tool.env"),
        )
        .unwrap();
        host
    }

    fn try_compose(&self, engine: &PrivateEngine, args: &[&str]) -> Output {
        images::busybox().unwrap().load(engine).unwrap();
        // Entering a mount namespace ends in its root, so the way to the folder is taken inside.
        let mut command = engine.host_command("sh");
        command.args(["-c", r#"cd "$1" && shift && exec "$@""#, "sh"]);
        command.arg(self.dir.join("stack")).arg(&self.compose);
        command.env("COMPOSE_ANSI", "never").args(args);
        command.output().unwrap()
    }

    /// What `apps` notes, where Compose is on the path.
    fn drift(&self, lab: &Lab, engine: &PrivateEngine) -> Vec<String> {
        let mut command = lab.command(Some(engine), &["apps", "stack", "-o", "json"]);
        let tools = self.compose.parent().unwrap().display();
        let path = std::env::var("PATH").unwrap();
        let output = command
            .env("PATH", format!("{tools}:{path}"))
            .output()
            .unwrap();
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        let app = &said["apps"][0];
        let not_looked = |text: &Value| text.as_str().unwrap().contains("was not looked at");
        assert!(
            !app["limits"].as_array().unwrap().iter().any(not_looked),
            "{app:#}"
        );
        let notes = app["notes"].as_array().unwrap().iter();
        notes
            .map(|note| note.as_str().unwrap().to_owned())
            .collect()
    }

    fn compose(&self, engine: &PrivateEngine, args: &[&str]) {
        let output = self.try_compose(engine, args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{args:?}: {said}");
    }

    /// What `up` would do.
    fn changes(&self, engine: &PrivateEngine) -> Vec<String> {
        let args = ["--dry-run", "--progress", "plain", "up", "-d"];
        let output = self.try_compose(engine, &args);
        let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.push_str(&String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{said}");
        let idle = |line: &str| line.is_empty() || line.ends_with(" Running");
        let lines = said.lines().map(str::trim).filter(|line| !idle(line));
        lines.map(str::to_owned).collect()
    }

    /// Every file below, with its content or where it leads.
    fn files(&self) -> BTreeMap<PathBuf, String> {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.dir.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs_err::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_symlink() {
                    let to = fs_err::read_link(&path).unwrap();
                    found.insert(path, to.display().to_string());
                } else if path.is_dir() {
                    folders.push(path);
                } else {
                    let content = fs_err::read_to_string(&path).unwrap();
                    found.insert(path, content);
                }
            }
        }
        found
    }
}

fn ids(engine: &PrivateEngine) -> BTreeMap<String, String> {
    let all = engine.api().get("/containers/json?all=1").unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    all.as_array()
        .into_iter()
        .flatten()
        .map(|c| (text(&c["Names"][0]), text(&c["Id"])))
        .collect()
}
