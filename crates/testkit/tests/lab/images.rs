//! The images are made, loaded and started.

use std::time::Instant;

use lifeboat_testkit::engine::{EngineOptions, PACKAGES, PrivateEngine};
use lifeboat_testkit::{images, packages};
use serde_json::json;

#[test]
fn images_load_with_all_their_tags_and_run() {
    packages::ensure(PACKAGES).unwrap();
    let begin = Instant::now();
    let made = [images::busybox().unwrap(), images::services().unwrap()];
    println!("images made or found {:?}", begin.elapsed());
    let place = tempfile::Builder::new().prefix("lb-").tempdir().unwrap();
    let options = EngineOptions::new("images", place.path().join("e"));
    let engine = PrivateEngine::start(options).unwrap();
    let api = engine.api();
    for image in &made {
        let begin = Instant::now();
        image.load(&engine).unwrap();
        let size = image.tar.metadata().unwrap().len();
        println!(
            "{} ({size} bytes) loaded {:?}",
            image.reference(),
            begin.elapsed()
        );
        for tag in &image.tags {
            let inspect = api.get(&format!("/images/{tag}/json")).unwrap();
            assert_eq!(inspect["Id"], image.id.as_str());
        }
    }
    let programs =
        "psql --version; redis-server --version; /usr/lib/postgresql/*/bin/postgres --version";
    let definition = json!({
        "Image": made[1].reference(),
        "Cmd": ["sh", "-ec", programs],
    });
    let id = api.create_container("versions", &definition).unwrap();
    api.post(&format!("/containers/{id}/start"), &json!({}))
        .unwrap();
    let end = api
        .post(&format!("/containers/{id}/wait"), &json!({}))
        .unwrap();
    let said = api.logs(&id).unwrap();
    assert_eq!(end["StatusCode"], 0, "{said}");
    assert!(said.contains("psql (PostgreSQL)") && said.contains("Redis server"));
    engine.destroy().unwrap();
}
