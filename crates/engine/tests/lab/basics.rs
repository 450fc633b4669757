//! Lists, life cycle, exec, files and images, one by one.

use std::io::Read as _;
use std::time::Duration;

use lifeboat_engine::{ChangeKind, DockerEngine, Endpoint, Error, ExecRequest, Health};
use lifeboat_plan::inventory::{ContainerState, MountKind};
use serde_json::json;

use crate::{BUSYBOX, connect, shared, start};

#[test]
fn says_what_is_wrong_with_an_endpoint() {
    let place = tempfile::tempdir().unwrap();
    let missing = Endpoint::Unix(place.path().join("none.sock"));
    assert!(matches!(
        DockerEngine::connect(&missing),
        Err(Error::NoEngine { .. })
    ));
    let stale = place.path().join("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).unwrap());
    assert!(matches!(
        DockerEngine::connect(&Endpoint::Unix(stale)),
        Err(Error::NoEngine { .. })
    ));

    let other = place.path().join("other.sock");
    let listener = std::os::unix::net::UnixListener::bind(&other).unwrap();
    let thread = std::thread::spawn(move || {
        use std::io::Write as _;
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = [0; 1024];
        let _ = stream.read(&mut head).unwrap();
        stream.write_all(b"SSH-2.0-what\r\n").unwrap();
    });
    let error = DockerEngine::connect(&Endpoint::Unix(other)).unwrap_err();
    assert!(matches!(error, Error::NotAnEngine { .. }), "{error}");
    thread.join().unwrap();
}

/// As a user who is in no group that may use the socket. Credentials belong to threads, and the client's
/// own threads have those of the one that made it.
#[test]
fn says_that_the_socket_is_not_for_us() {
    let (engine, _) = shared();
    let endpoint = engine.docker_host().parse().unwrap();
    let nobody = rustix::fs::Uid::from_raw(65534);
    let error = std::thread::spawn(move || {
        rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        DockerEngine::connect(&endpoint).unwrap_err()
    })
    .join()
    .unwrap();
    assert!(matches!(error, Error::PermissionDenied { .. }), "{error}");
    assert!(error.to_string().contains("no permission"), "{error}");
}

#[test]
fn the_inventory_has_everything() {
    let (_, engine) = shared();
    engine
        .create_volume(&json!({"Name": "inv-unused", "Labels": {"a": "b"}}))
        .unwrap();
    let body = json!({
        "Image": BUSYBOX, "Cmd": ["sleep", "600"], "Env": ["A=1"], "Volumes": {"/anonymous": {}},
        "HostConfig": {"Binds": ["inv-named:/named:ro", "/tmp:/host"]},
    });
    let id = engine.create_container("inventory", &body).unwrap();
    let inventory = engine.inventory().unwrap();
    let container = inventory.containers.iter().find(|c| c.id == id).unwrap();
    assert_eq!(
        (container.name.as_str(), container.state),
        ("inventory", ContainerState::Created)
    );
    assert_eq!(container.image_ref, BUSYBOX);
    assert!(container.env.contains(&"A=1".to_owned()));
    let mut mounts: Vec<_> = container
        .mounts
        .iter()
        .map(|m| (m.destination.as_str(), m.kind, m.writable))
        .collect();
    mounts.sort_by_key(|mount| mount.0);
    assert_eq!(
        mounts,
        [
            ("/anonymous", MountKind::Volume, true),
            ("/host", MountKind::Bind, true),
            ("/named", MountKind::Volume, false)
        ]
    );
    assert!(
        inventory
            .volumes
            .iter()
            .any(|v| v.name == "inv-unused" && v.labels["a"] == "b")
    );
    assert!(
        inventory
            .networks
            .iter()
            .any(|n| n.name == "bridge" && n.predefined)
    );
    let image = inventory
        .images
        .iter()
        .find(|i| i.id == container.image_id)
        .unwrap();
    assert!(image.tags.contains(&BUSYBOX.to_owned()) && image.size > 0);
    assert_eq!(inventory.engine.kind, "docker");
    assert_eq!(inventory.engine.architecture, "amd64");
    let again = engine.inspect_container(&id).unwrap();
    assert_eq!(in_order(&container.raw), in_order(&again));
    engine.remove_container(&id, true, true).unwrap();
    assert!(engine.inspect_container(&id).unwrap_err().is_not_found());
}

/// The engine keeps mounts in a map, and answers in another order each time.
fn in_order(raw: &serde_json::Value) -> serde_json::Value {
    let mut sorted = raw.clone();
    if let Some(mounts) = sorted["Mounts"].as_array_mut() {
        mounts.sort_by_key(|mount| mount["Destination"].to_string());
    }
    sorted
}

#[test]
fn a_container_from_create_to_remove() {
    let (_, engine) = shared();
    let body = json!({"Image": BUSYBOX, "Cmd": ["sleep", "600"], "Tty": false, "StopTimeout": 1});
    let id = engine.create_container("cycle", &body).unwrap();
    assert!(
        engine
            .create_container("cycle", &body)
            .unwrap_err()
            .is_conflict()
    );
    engine.start(&id).unwrap();
    engine.start(&id).unwrap();
    assert_eq!(
        engine.wait_healthy(&id, Duration::from_secs(5)).unwrap(),
        Health::NoCheck
    );

    let mut request = ExecRequest::new(["sh", "-c", "echo out; echo err >&2; echo $X; exit 3"]);
    request.env.push("X=value".to_owned());
    let output = engine.exec(&id, &request).unwrap();
    assert_eq!(
        (
            output.exit_code,
            output.stdout.as_slice(),
            output.stderr.as_slice()
        ),
        (3, &b"out\nvalue\n"[..], &b"err\n"[..])
    );
    let mut slow = ExecRequest::new(["sleep", "30"]);
    slow.limit = Duration::from_millis(500);
    assert!(matches!(
        engine.exec(&id, &slow),
        Err(Error::Timeout { .. })
    ));

    engine.pause(&id).unwrap();
    assert!(engine.pause(&id).is_err());
    engine.unpause(&id).unwrap();
    engine.rename(&id, "cycle-2").unwrap();
    engine.stop(&id, Some(Duration::ZERO)).unwrap();
    engine.stop(&id, None).unwrap();
    let error = engine
        .wait_healthy(&id, Duration::from_secs(5))
        .unwrap_err();
    assert!(
        error.to_string().contains("cycle-2") && error.to_string().contains("exited"),
        "{error}"
    );
    engine.remove_container("cycle-2", false, false).unwrap();
}

#[test]
fn files_go_in_and_come_out() {
    let (_, engine) = shared();
    let id = engine
        .create_container("files", &json!({"Image": BUSYBOX, "Cmd": ["true"]}))
        .unwrap();
    let content = vec![7_u8; 3 << 20];
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o640);
    header.set_uid(1234);
    header.set_mtime(1_600_000_000);
    builder
        .append_data(&mut header, "put", content.as_slice())
        .unwrap();
    let archive = builder.into_inner().unwrap();
    engine
        .archive_put(&id, "/root", &mut archive.as_slice())
        .unwrap();

    let changes = engine.changes(&id).unwrap();
    assert!(
        changes
            .iter()
            .any(|c| c.path == "/root/put" && c.kind == ChangeKind::Added),
        "{changes:?}"
    );
    let mut back = tar::Archive::new(engine.archive_get(&id, "/root/put").unwrap());
    let mut entry = back.entries().unwrap().next().unwrap().unwrap();
    assert_eq!(
        (
            entry.header().uid().unwrap(),
            entry.header().mode().unwrap() & 0o7777
        ),
        (1234, 0o640)
    );
    let mut found = Vec::new();
    entry.read_to_end(&mut found).unwrap();
    assert!(found == content);
    assert!(
        engine
            .archive_get(&id, "/no/such")
            .err()
            .unwrap()
            .is_not_found()
    );
    engine.remove_container(&id, true, true).unwrap();
}

/// A source that breaks off must not look like its end.
#[test]
fn a_failing_source_loads_nothing() {
    struct Broken<'a>(&'a [u8]);
    impl std::io::Read for Broken<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            match self.0.read(buffer) {
                Ok(0) => Err(std::io::Error::other("the vault went away")),
                other => other,
            }
        }
    }
    let engine = start("broken");
    let client = connect(&engine);
    let image = lifeboat_testkit::images::busybox().unwrap();
    let whole = fs_err::read(&image.tar).unwrap();
    let error = client
        .load_images(&mut Broken(&whole[..whole.len() / 2]))
        .unwrap_err();
    assert!(error.to_string().contains("the vault went away"), "{error}");
    assert!(client.inventory().unwrap().images.is_empty());
    let loaded = client.load_images(&mut whole.as_slice()).unwrap();
    assert!(loaded.names.contains(&BUSYBOX.to_owned()), "{loaded:?}");

    let id = client.inspect_image(BUSYBOX).unwrap()["Id"]
        .as_str()
        .unwrap()
        .to_owned();
    client.tag_image(&id, "other:5").unwrap();
    assert_eq!(client.image_for_create("other:5", &id).unwrap(), "other:5");
    assert_eq!(client.image_for_create("absent:1", &id).unwrap(), id);
    client.remove_image("other:5", false).unwrap();
    let mut saved = Vec::new();
    client
        .save_images(&[&id])
        .unwrap()
        .read_to_end(&mut saved)
        .unwrap();
    assert!(saved.len() > 1 << 20);
    engine.destroy().unwrap();
}
