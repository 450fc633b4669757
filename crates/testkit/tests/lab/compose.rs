//! Docker Compose brings its project up, finds nothing to do afterwards, and sees a change.

use std::time::Instant;

use lifeboat_testkit::compose::{self, Project};
use lifeboat_testkit::engine::{EngineOptions, PACKAGES, PrivateEngine};
use lifeboat_testkit::packages;

#[test]
fn compose_brings_its_project_up_and_then_finds_nothing_to_change() {
    packages::ensure(PACKAGES).unwrap();
    let begin = Instant::now();
    compose::docker_compose().unwrap();
    println!("compose built or found {:?}", begin.elapsed());
    let place = tempfile::Builder::new().prefix("lb-").tempdir().unwrap();
    let engine = PrivateEngine::start(EngineOptions::new("c", place.path().join("e"))).unwrap();
    let project = Project::write(place.path()).unwrap();
    let begin = Instant::now();
    project.up(&engine).unwrap();
    println!("up {:?}", begin.elapsed());
    let api = engine.api();
    for name in compose::CONTAINERS {
        let inspect = api.get(&format!("/containers/{name}/json")).unwrap();
        assert_eq!(inspect["State"]["Running"], true, "{name}");
    }
    let greeting = api.exec_ok(
        "notes-api-2",
        &["cat", "/etc/greeting", "/run/secrets/token"],
    );
    assert_eq!(
        greeting.unwrap(),
        format!("hello in green\n{}", compose::SECRET)
    );
    assert_eq!(
        project.up_dry_run_changes(&engine).unwrap(),
        Vec::<String>::new()
    );

    api.delete("/containers/notes-tools-1?force=1").unwrap();
    let changes = project.up_dry_run_changes(&engine).unwrap();
    assert!(
        changes.iter().any(|line| line.contains("notes-tools-1")),
        "{changes:?}"
    );

    project.down_v(&engine).unwrap();
    assert_eq!(
        api.get("/containers/json?all=1").unwrap(),
        serde_json::json!([])
    );
    engine.destroy().unwrap();
}
