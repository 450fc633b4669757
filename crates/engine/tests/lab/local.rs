//! The proof that the engine's files are ours, where they are and where they are not.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};

use lifeboat_engine::{DockerEngine, Endpoint, Error, OwnPathQuery, OwnPathReason};
use serde_json::{Value, json};

use crate::{BUSYBOX, connect, shared, start};

/// Two proofs at once do not disturb each other, but a look at what is left would see the other's.
static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn scratch_left(engine: &lifeboat_testkit::engine::PrivateEngine) -> Vec<Value> {
    let api = engine.api();
    let filter = "filters=%7B%22label%22%3A%5B%22lifeboat.scratch%22%5D%7D";
    let lists = [
        api.get(&format!("/containers/json?all=1&{filter}"))
            .unwrap(),
        api.get(&format!("/volumes?{filter}")).unwrap()["Volumes"].clone(),
        api.get(&format!("/images/json?all=1&{filter}")).unwrap(),
    ];
    lists
        .into_iter()
        .flat_map(|list| list.as_array().cloned().unwrap_or_default())
        .collect()
}

#[test]
fn proves_with_an_image_and_without_any() {
    let _turn = ONE_AT_A_TIME.lock().unwrap();
    let (engine, client) = shared();
    client.prove_local(None).unwrap();
    client.prove_local(Some(BUSYBOX)).unwrap();
    client.prove_local(Some("no/such:image")).unwrap();
    assert!(scratch_left(engine).is_empty());

    let empty = start("empty");
    let client = connect(&empty);
    client.prove_local(None).unwrap();
    assert!(scratch_left(&empty).is_empty());
    assert!(
        empty
            .api()
            .get("/images/json?all=1")
            .unwrap()
            .as_array()
            .unwrap()
            .is_empty()
    );

    std::thread::scope(|scope| {
        let proofs: Vec<_> = (0..4)
            .map(|_| scope.spawn(|| client.prove_local(None)))
            .collect();
        proofs
            .into_iter()
            .for_each(|proof| proof.join().unwrap().unwrap());
    });
    assert!(scratch_left(&empty).is_empty());

    // What a crash left goes, what belongs to somebody else stays.
    let left = json!({"Name": "left", "Labels": {"lifeboat.scratch": "1", "lifeboat.scratch.owner": "x.1.1"}});
    client.create_volume(&left).unwrap();
    client.create_volume(&json!({"Name": "kept"})).unwrap();
    assert_eq!(
        client.inventory().unwrap().volumes.len(),
        1,
        "scratch is not in the inventory"
    );
    client.prove_local(None).unwrap();
    assert!(client.inspect_volume("left").unwrap_err().is_not_found());
    client.inspect_volume("kept").unwrap();
    empty.destroy().unwrap();
}

/// An engine whose volumes lie elsewhere: a proxy in front of a real one that changes the mountpoints
/// it tells, as an engine behind a forwarded socket would have them.
#[test]
fn refuses_an_engine_whose_files_are_not_ours() {
    let _turn = ONE_AT_A_TIME.lock().unwrap();
    let (engine, _) = shared();
    let place = tempfile::tempdir().unwrap();
    let socket = place.path().join("far.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let real = engine.socket();
    std::thread::spawn(move || {
        for client in listener.incoming() {
            let (mut client, mut server) = (client.unwrap(), UnixStream::connect(&real).unwrap());
            let (mut from, mut to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            std::thread::spawn(move || {
                let _ = std::io::copy(&mut from, &mut to);
                let _ = to.shutdown(std::net::Shutdown::Write);
            });
            std::thread::spawn(move || {
                let mut buffer = [0; 65536];
                while let Ok(count @ 1..) = server.read(&mut buffer) {
                    // Same length, so that the framing stays.
                    let piece =
                        String::from_utf8_lossy(&buffer[..count]).replace("/_data\"", "/_elsw\"");
                    if client.write_all(piece.as_bytes()).is_err() {
                        break;
                    }
                }
            });
        }
    });
    let far = DockerEngine::connect(&Endpoint::Unix(socket)).unwrap();
    let error = far.prove_local(None).unwrap_err();
    assert!(matches!(error, Error::NotOurFiles { .. }), "{error}");
    assert!(scratch_left(engine).is_empty());
}

#[test]
fn knows_what_we_run_through() {
    let (_, engine) = shared();
    let body = json!({
        "Image": BUSYBOX, "Cmd": ["sleep", "600"], "ExposedPorts": {"2375/tcp": {}},
        "HostConfig": {"PortBindings": {"2375/tcp": [{"HostIp": "127.0.0.1", "HostPort": "23750"}]}},
    });
    let id = engine.create_container("proxy", &body).unwrap();
    engine.start(&id).unwrap();
    let raw = engine.inspect_container(&id).unwrap();
    let pid = u32::try_from(raw["State"]["Pid"].as_u64().unwrap()).unwrap();
    let ask = |pids: Vec<u32>, servers: Vec<(String, u16)>| {
        let found = engine
            .own_path(&OwnPathQuery {
                pids,
                servers,
                paths: Vec::new(),
            })
            .unwrap();
        found
            .into_iter()
            .map(|own| (own.name, own.reason))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        ask(vec![pid], vec![]),
        [("proxy".to_owned(), OwnPathReason::Process(pid))]
    );
    let served = ("127.0.0.1".to_owned(), 23750);
    assert_eq!(
        ask(vec![], vec![served.clone()]),
        [(
            "proxy".to_owned(),
            OwnPathReason::Serves(served.0, served.1)
        )]
    );
    assert_eq!(ask(vec![], vec![("127.0.0.1".to_owned(), 9)]), []);
    engine.remove_container(&id, true, true).unwrap();
}

#[test]
fn fingerprints_are_the_same_twice() {
    let (_, engine) = shared();
    let first = engine.fingerprints().unwrap();
    assert_eq!(first, engine.fingerprints().unwrap());
    assert!(first.engine_id.is_some() && first.hostname.is_some());
}
