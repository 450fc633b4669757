//! A project that Docker Compose itself brought up: lost with its engine and its folder, recovered,
//! and then Compose finds nothing to change and takes it down as its own.

use std::collections::BTreeMap;

use lifeboat_testkit::{
    compose::{CONTAINERS, Project, SECRET},
    engine::PrivateEngine,
};

use crate::support::Lab;

#[test]
fn compose_finds_nothing_to_change_after_a_recovery() {
    let lab = Lab::new();
    lab.init();
    let engine = lab.engine("a");
    let project = Project::write(&lab.path("")).unwrap();
    project.up(&engine).unwrap();
    assert_eq!(
        project.up_dry_run_changes(&engine).unwrap(),
        Vec::<String>::new()
    );
    let files = files(&project);
    assert!(files.len() >= 6, "{files:?}");

    lab.json(Some(&engine), &["backup", "notes"], 0);
    engine.destroy().unwrap();
    project.remove_files().unwrap();

    let second = lab.engine("b");
    let restored = lab.json(Some(&second), &["restore", "notes"], 0);
    assert_eq!(
        restored["running"].as_array().unwrap().len(),
        CONTAINERS.len(),
        "{restored:#}"
    );
    assert_eq!(self::files(&project), files);
    assert_eq!(
        project.up_dry_run_changes(&second).unwrap(),
        Vec::<String>::new()
    );
    // `up` itself, not only its rehearsal: the same containers run on.
    let ids = ids(&second);
    project.up(&second).unwrap();
    assert_eq!(self::ids(&second), ids);
    project.down_v(&second).unwrap();
    for what in ["/containers/json?all=1", "/volumes"] {
        let left = second.api().get(what).unwrap();
        let left = left.get("Volumes").unwrap_or(&left);
        assert!(left.as_array().is_none_or(Vec::is_empty), "{what}: {left}");
    }
    second.destroy().unwrap();
}

#[test]
fn the_secret_is_in_no_manifest() {
    let lab = Lab::new();
    lab.init();
    let engine = lab.engine("a");
    let project = Project::write(&lab.path("")).unwrap();
    project.up(&engine).unwrap();
    let output = lab.run(Some(&engine), &["-v", "backup", "notes"], 0);
    let manifest = lab.restic(&["dump", "latest", "/app.json"]);
    let said = format!(
        "{}{}{manifest}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(manifest.contains("notes-store-1"));
    assert!(!said.contains(SECRET));
    engine.destroy().unwrap();
}

fn ids(engine: &PrivateEngine) -> BTreeMap<String, String> {
    let inspect = |name: &&str| {
        let raw = engine
            .api()
            .get(&format!("/containers/{name}/json"))
            .unwrap();
        (name.to_string(), raw["Id"].as_str().unwrap().to_owned())
    };
    CONTAINERS.iter().map(inspect).collect()
}

/// Every file of the project and of what it mounts, with its content.
fn files(project: &Project) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![project.dir().to_owned(), project.absolute().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs_err::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let content = fs_err::read(&path).unwrap();
                found.insert(path.display().to_string(), content);
            }
        }
    }
    found
}
