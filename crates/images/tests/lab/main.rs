//! Images out of one real engine and into another. Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]
#![allow(clippy::disallowed_methods, reason = "tests run other programs")]

use lifeboat_engine::DockerEngine;
use lifeboat_images::{
    DirectoryLayout, Layout, LayoutBuilder, TagOutcome, Wanted, load, set_tags, verify,
};
use lifeboat_testkit::engine::{EngineOptions, PACKAGES, PrivateEngine};
use lifeboat_testkit::{images, packages};
use serde_json::json;

fn start(place: &tempfile::TempDir, name: &str) -> (PrivateEngine, DockerEngine) {
    packages::ensure(PACKAGES).unwrap();
    let engine = PrivateEngine::start(EngineOptions::new(name, place.path().join(name))).unwrap();
    let client = DockerEngine::connect(&engine.docker_host().parse().unwrap()).unwrap();
    (engine, client)
}

#[test]
fn an_image_is_the_same_on_another_engine() {
    let place = tempfile::Builder::new().prefix("lb-").tempdir().unwrap();
    let (from, source_engine) = start(&place, "from");
    let busybox = images::busybox().unwrap();
    busybox.load(&from).unwrap();
    // A second image that shares the first one's layer, as a build would make it.
    let body = json!({"Image": busybox.reference(), "Cmd": ["sh", "-c", "echo more > /more"]});
    let id = source_engine.create_container("builder", &body).unwrap();
    source_engine.start(&id).unwrap();
    while source_engine.inspect_container(&id).unwrap()["State"]["Running"] == true {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let second = from
        .api()
        .post(
            &format!("/commit?container={id}&repo=derived&tag=1"),
            &json!({}),
        )
        .unwrap();
    let second = second["Id"].as_str().unwrap().to_owned();

    let directory = place.path().join("layout");
    let mut sink = DirectoryLayout::new(&directory);
    let mut builder = LayoutBuilder::new(&mut sink);
    let wanted = [
        Wanted {
            id: busybox.id.clone(),
            tags: busybox.tags.clone(),
        },
        Wanted {
            id: second.clone(),
            tags: vec!["derived:1".to_owned()],
        },
    ];
    builder.add_from_engine(&source_engine, &wanted).unwrap();
    builder.finish().unwrap();
    let before = [&busybox.id, &second].map(|id| source_engine.inspect_image(id).unwrap());
    from.destroy().unwrap();

    let layout_source = DirectoryLayout::new(&directory);
    let layout = Layout::read(&layout_source).unwrap();
    let all: Vec<_> = layout.images.iter().collect();
    verify(&layout_source, &all).unwrap();
    assert_eq!(layout.images[0].layers[0], layout.images[1].layers[0]);

    let (to, engine) = start(&place, "to");
    // A newer image has the tag already.
    let newer = engine
        .import_image(&mut [0_u8; 1024].as_slice(), "derived:1", &[])
        .unwrap();
    let loaded = load(&engine, &layout_source, &all).unwrap();
    let ids: Vec<&str> = loaded.iter().map(|image| image.id.as_str()).collect();
    assert_eq!(ids, [busybox.id.as_str(), second.as_str()]);
    assert!(loaded.iter().all(|image| !image.was_there));
    for (image, before) in loaded.iter().zip(&before) {
        let now = engine.inspect_image(&image.id).unwrap();
        assert_eq!(now["RepoTags"], json!([]), "load sets no tag");
        for same in ["Config", "RootFS", "Created", "Architecture"] {
            assert_eq!(now[same], before[same], "{same}");
        }
    }
    let outcome = set_tags(&engine, &second, &layout.images[1].tags).unwrap();
    assert_eq!(
        outcome,
        [TagOutcome::Conflict {
            tag: "derived:1".to_owned(),
            present: newer,
            wanted: second
        }]
    );
    let tags = &layout.images[0].tags;
    assert!(matches!(
        set_tags(&engine, &busybox.id, tags).unwrap().as_slice(),
        [TagOutcome::Set(_), TagOutcome::Set(_)]
    ));
    assert!(matches!(
        set_tags(&engine, &busybox.id, tags).unwrap().as_slice(),
        [TagOutcome::AlreadyRight(_), TagOutcome::AlreadyRight(_)]
    ));
    assert!(
        load(&engine, &layout_source, &all)
            .unwrap()
            .iter()
            .all(|image| image.was_there)
    );

    let id = engine
        .create_container("works", &json!({"Image": ids[1], "Cmd": ["cat", "/more"]}))
        .unwrap();
    engine.start(&id).unwrap();
    to.destroy().unwrap();
}

/// What stands in README for a person without us: a layout is loaded by the engine as it is.
#[test]
fn a_person_loads_the_layout_with_tar() {
    let place = tempfile::Builder::new().prefix("lb-").tempdir().unwrap();
    let (from, engine) = start(&place, "plain");
    let busybox = images::busybox().unwrap();
    busybox.load(&from).unwrap();
    let directory = place.path().join("layout");
    let mut sink = DirectoryLayout::new(&directory);
    let mut builder = LayoutBuilder::new(&mut sink);
    builder
        .add_from_engine(
            &engine,
            &[Wanted {
                id: busybox.id.clone(),
                tags: busybox.tags.clone(),
            }],
        )
        .unwrap();
    builder.finish().unwrap();
    for tag in &busybox.tags {
        engine.remove_image(tag, false).unwrap();
    }
    assert!(
        engine
            .inspect_image(&busybox.id)
            .unwrap_err()
            .is_not_found()
    );
    let archive = place.path().join("images.tar");
    let status = std::process::Command::new("tar")
        .arg("-cf")
        .arg(&archive)
        .arg("-C")
        .arg(&directory)
        .arg(".")
        .status()
        .unwrap();
    assert!(status.success());
    engine
        .load_images(&mut fs_err::File::open(archive).unwrap())
        .unwrap();
    assert_eq!(
        engine.inspect_image(busybox.reference()).unwrap()["Id"],
        busybox.id.as_str()
    );
    from.destroy().unwrap();
}
