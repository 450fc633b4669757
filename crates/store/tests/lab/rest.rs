use std::time::{Duration, Instant};

use lifeboat_store::{Access, Area, Limits, ObjectName, StoreError, conformance, open};
use lifeboat_testkit::server::{RestOptions, RestServer};

use crate::support::{BYTES, impatient, named, object, rest_access, tells_the_time};

#[test]
fn rest_server_keeps_the_contract() {
    let dir = tempfile::tempdir().unwrap();
    let server = RestServer::start(dir.path(), RestOptions::default()).unwrap();
    let store = open(&server.place("host/one"), &impatient()).unwrap();
    conformance::run(&*store).unwrap();
    let can = store.probe().unwrap();
    assert!(can.exclusive_create && can.lists_at_once && !can.append_only);
}

#[test]
fn rest_of_rclone_keeps_the_contract_but_for_exclusive_creation() {
    let dir = tempfile::tempdir().unwrap();
    let server = RestServer::start_rclone(dir.path(), RestOptions::default()).unwrap();
    let store = open(&server.place("one"), &impatient()).unwrap();
    conformance::run(&*store).unwrap();
    assert!(!store.probe().unwrap().exclusive_create);
    tells_the_time(&*store);
}

/// Where the server replaces, two who make a vault at once cannot be kept apart, only told.
#[test]
fn rest_of_rclone_tells_the_loser_of_two_configs() {
    let dir = tempfile::tempdir().unwrap();
    let server = RestServer::start_rclone(dir.path(), RestOptions::default()).unwrap();
    let place = server.place("one");
    open(&place, &impatient()).unwrap().create().unwrap();
    let results: Vec<_> = std::thread::scope(|scope| {
        let put = |n: u8| {
            let store = open(&place, &impatient()).unwrap();
            store.put(&ObjectName::config(), &[n; 100])
        };
        let puts: Vec<_> = (0..4).map(|n| scope.spawn(move || put(n))).collect();
        puts.into_iter().map(|p| p.join().unwrap()).collect()
    });
    // rclone itself may lose both.
    let there = open(&place, &impatient())
        .unwrap()
        .get(&ObjectName::config());
    for (n, result) in (0u8..).zip(results) {
        match result {
            Ok(()) => assert_eq!(there.as_ref().unwrap(), &[n; 100]),
            Err(e) => assert!(matches!(e, StoreError::AlreadyExists(_)), "{e}"),
        }
    }
}

#[test]
fn rest_by_tls_and_password() {
    let dir = tempfile::tempdir().unwrap();
    let options = RestOptions {
        password: true,
        tls: true,
        ..RestOptions::default()
    };
    let server = RestServer::start(dir.path(), options).unwrap();
    let place = server.place("v");
    let said = |place: &str, access: &Access| {
        open(place, access)
            .unwrap()
            .size(&ObjectName::config())
            .unwrap_err()
    };
    let untrusted = said(&place, &rest_access()).to_string();
    assert!(untrusted.contains("--cacert"), "{untrusted}");

    let mut access = rest_access();
    access.ca_file = Some(server.authority());
    let error = said(&place, &access);
    assert!(matches!(error, StoreError::NotFound(_)), "{error:?}");
    let store = open(&place, &access).unwrap();
    store.create().unwrap();
    store.put(&object(Area::Keys), BYTES).unwrap();
    assert_eq!(store.get(&object(Area::Keys)).unwrap(), BYTES);

    // The URL's user comes first.
    let wrong = place.replace("https://", "https://lifeboat:hunter2@");
    let error = said(&wrong, &access);
    assert!(matches!(error, StoreError::Denied { .. }), "{error:?}");
    assert!(!error.to_string().contains("hunter2"));
    let right = place.replace("https://", "https://lifeboat:correct%20horse@");
    access.rest = Default::default();
    assert!(matches!(said(&right, &access), StoreError::NotFound(_)));
    let error = said(&place, &access).to_string();
    assert!(error.contains("RESTIC_REST_PASSWORD"), "{error}");
}

#[test]
fn rest_append_only_is_seen_and_lets_locks_go() {
    let dir = tempfile::tempdir().unwrap();
    let options = RestOptions {
        append_only: true,
        ..RestOptions::default()
    };
    let strict = RestServer::start(&dir.path().join("a"), options).unwrap();
    let lax = RestServer::start_rclone(&dir.path().join("b"), options).unwrap();
    for place in [strict.place("v"), lax.place("v")] {
        let store = open(&place, &impatient()).unwrap();
        store.create().unwrap();
        let can = store.probe().unwrap();
        assert!(can.append_only && can.exclusive_create, "{place}: {can:?}");
        assert!(store.list(Area::Locks).unwrap().is_empty());
        store.put(&object(Area::Data), BYTES).unwrap();
        let error = store.delete(&object(Area::Data)).unwrap_err();
        assert!(matches!(error, StoreError::Denied { .. }), "{error:?}");
        store.put(&object(Area::Locks), BYTES).unwrap();
        store.delete(&object(Area::Locks)).unwrap();
    }
}

#[test]
fn rest_full_is_full() {
    let dir = tempfile::tempdir().unwrap();
    let options = RestOptions {
        max_size: Some(1000),
        ..RestOptions::default()
    };
    let server = RestServer::start(dir.path(), options).unwrap();
    let store = open(&server.place("v"), &impatient()).unwrap();
    store.create().unwrap();
    let error = store
        .put(&named(Area::Data, &[1; 2000]), &[1; 2000])
        .unwrap_err();
    assert!(matches!(error, StoreError::Full { .. }), "{error:?}");
}

#[test]
fn rest_keeps_to_the_bandwidth() {
    let dir = tempfile::tempdir().unwrap();
    let server = RestServer::start(dir.path(), RestOptions::default()).unwrap();
    let access = Access {
        limits: Limits::new(Some(400 << 10), Some(800 << 10)),
        ..impatient()
    };
    let store = open(&server.place("v"), &access).unwrap();
    store.create().unwrap();
    // The config is put twice, to see whether the server replaces: larger objects are not.
    let bytes = vec![1; 400 << 10];
    let began = Instant::now();
    store.put(&ObjectName::config(), &bytes).unwrap();
    let up = began.elapsed();
    let began = Instant::now();
    store.get(&ObjectName::config()).unwrap();
    let down = began.elapsed();
    // Never faster; that it is hardly slower is not for a test on a machine that may stall.
    let within = |took: Duration, from: u64| {
        took > Duration::from_millis(from) && took < Duration::from_secs(60)
    };
    assert!(within(up, 800), "{up:?}");
    assert!(within(down, 350), "{down:?}");
}
