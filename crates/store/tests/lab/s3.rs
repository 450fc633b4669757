use std::time::{Duration, Instant};

use lifeboat_store::{Area, ObjectName, SecretString, StoreError, conformance, open};
use lifeboat_testkit::server::S3Server;

use crate::support::{BYTES, named, object, s3_access, tells_the_time};

#[test]
fn s3_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let server = S3Server::start(dir.path()).unwrap();
    for prefix in ["", "host/one"] {
        let store = open(&server.place(prefix), &s3_access()).unwrap();
        let can = store.probe().unwrap();
        assert!(can.exclusive_create && can.lists_at_once && !can.append_only);
        conformance::run(&*store).unwrap();
        tells_the_time(&*store);
    }
}

#[test]
fn s3_refusals_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let server = S3Server::start(dir.path()).unwrap();
    let place = server.place("v");
    let said = |place: &str, access| {
        let store = open(place, &access).unwrap();
        store.size(&ObjectName::config()).unwrap_err()
    };
    assert!(matches!(said(&place, s3_access()), StoreError::NotFound(_)));

    let mut wrong = s3_access();
    wrong.s3.secret = Some(SecretString::from("hunter2"));
    let error = said(&place, wrong);
    assert!(matches!(error, StoreError::Denied { .. }), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("AWS_SECRET_ACCESS_KEY") && !text.contains("hunter2"),
        "{text}"
    );

    let error = said(&place.replace("/vaults/", "/nothing/"), s3_access());
    assert!(matches!(error, StoreError::NoPlace { .. }), "{error:?}");

    // Nobody listens: no endless waiting for what never was there.
    drop(server);
    let began = Instant::now();
    let error = said(&place, s3_access());
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(60));
}

#[test]
fn s3_goes_on_when_the_server_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = S3Server::start(dir.path()).unwrap();
    let mut access = s3_access();
    access.retry.total = Duration::from_secs(60);
    let store = open(&server.place("v"), &access).unwrap();
    store.put(&object(Area::Locks), BYTES).unwrap();
    server.server.kill();
    std::thread::scope(|scope| {
        let put = scope.spawn(|| store.put(&object(Area::Keys), BYTES));
        std::thread::sleep(Duration::from_millis(700));
        assert!(!put.is_finished());
        server.server.start_again().unwrap();
        put.join().unwrap().unwrap();
    });
    assert_eq!(store.get(&object(Area::Keys)).unwrap(), BYTES);
}

#[test]
fn s3_stops_trying_when_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = S3Server::start(dir.path()).unwrap();
    let mut access = s3_access();
    access.retry.total = Duration::from_secs(600);
    let store = open(&server.place("v"), &access).unwrap();
    store.put(&object(Area::Locks), BYTES).unwrap();
    server.server.kill();
    std::thread::scope(|scope| {
        let get = scope.spawn(|| store.get(&object(Area::Locks)));
        std::thread::sleep(Duration::from_millis(300));
        assert!(!get.is_finished());
        access.stop.set();
        let error = get.join().unwrap().unwrap_err();
        assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    });
}

/// Larger than one request carries, and torn in the middle of it.
#[test]
fn s3_large_objects_go_up_in_parts() {
    let dir = tempfile::tempdir().unwrap();
    let server = S3Server::start(dir.path()).unwrap();
    let store = open(&server.place("v"), &s3_access()).unwrap();
    let bytes: Vec<u8> = (0..70u32 << 20)
        .map(|n| (n >> 13) as u8 ^ n as u8)
        .collect();
    let name = named(Area::Data, &bytes);
    store.put(&name, &bytes).unwrap();
    assert!(store.get(&name).unwrap() == bytes);
    let error = store.put(&name, &bytes).unwrap_err();
    assert!(matches!(error, StoreError::AlreadyExists(_)));
}
