//! Object Lock, on a server that has it.

use lifeboat_store::{Area, LockMode, LockPolicy, ObjectLock, ObjectName, Store, StoreError, open};
use lifeboat_testkit::server::S3Server;

use crate::support::{BYTES, named, object, s3_access};

const HOUR: LockPolicy = LockPolicy {
    mode: LockMode::Compliance,
    seconds: 3600,
};

/// What the server has, versions and markers.
fn versions(server: &S3Server) -> (usize, usize) {
    let listed = server.ask("GET", "?versions=", &[]).unwrap();
    let count = |what: &str| listed.matches(what).count();
    (count("<Version>"), count("<DeleteMarker>"))
}

fn locking(store: &dyn Store) -> &dyn ObjectLock {
    store.object_lock().unwrap()
}

#[test]
fn one_of_many_puts_what_is_locked_whatever_its_size() {
    let dir = tempfile::tempdir().unwrap();
    let server = S3Server::start_locking(dir.path()).unwrap();
    let store = open(&server.place("a b/c&d"), &s3_access()).unwrap();
    let lock = locking(&*store);
    lock.possible().unwrap();
    lock.keep(HOUR);
    let config = ObjectName::config();
    let won = std::thread::scope(|scope| {
        let put = |n: u8| store.put(&config, &[n; 1000]);
        let puts: Vec<_> = (0..6).map(|n| scope.spawn(move || put(n))).collect();
        let ends = puts.into_iter().map(|put| put.join().unwrap());
        ends.filter(Result::is_ok).count()
    });
    assert_eq!((won, versions(&server)), (1, (1, 0)));
    assert_eq!(store.get(&config).unwrap().len(), 1000);
    let error = store.put(&config, b"other").unwrap_err();
    assert!(matches!(error, StoreError::AlreadyExists(_)), "{error}");

    // In parts, and locked a moment later.
    let bytes = vec![7; 65 << 20];
    let large = named(Area::Data, &bytes);
    store.put(&large, &bytes).unwrap();
    assert!(lock.locked_until(&large).unwrap() >= lock.locked_until(&config).unwrap());

    // A place where a vault was deleted before its time is not free.
    store.delete(&config).unwrap();
    let error = store.put(&config, b"another").unwrap_err();
    assert!(error.to_string().contains("repair deleted"), "{error}");
}

#[test]
fn what_is_locked_is_hidden_and_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let server = S3Server::start_locking(dir.path()).unwrap();
    let store = open(&server.place("v"), &s3_access()).unwrap();
    let lock = locking(&*store);
    lock.keep(HOUR);
    let pack = object(Area::Data);
    store.put(&pack, BYTES).unwrap();
    let now = store.server_time().unwrap();
    let until = lock.locked_until(&pack).unwrap().unwrap();
    assert!(until >= now + 3600 && until <= now + 3600 + 2400, "{until}");

    // A snapshot for exactly as long as was promised.
    let snapshot = object(Area::Snapshots);
    store.put(&snapshot, BYTES).unwrap();
    let until = lock.locked_until(&snapshot).unwrap().unwrap();
    assert!((now + 3590..now + 3700).contains(&until), "{until}");

    // Longer is possible, shorter is not, and is no error where it is long enough already.
    lock.extend(&pack, now + 9000).unwrap();
    lock.extend(&pack, now + 5000).unwrap();
    assert_eq!(lock.locked_until(&pack).unwrap(), Some(now + 9000));
    let absent = named(Area::Data, b"absent");
    for error in [
        lock.extend(&absent, now + 9000).unwrap_err(),
        lock.locked_until(&absent).unwrap_err(),
    ] {
        assert!(matches!(error, StoreError::NotFound(_)), "{error}");
    }

    // Of a session's lock nothing stays.
    store.put(&object(Area::Locks), BYTES).unwrap();
    assert_eq!(lock.locked_until(&object(Area::Locks)).unwrap(), None);
    store.delete(&object(Area::Locks)).unwrap();
    assert_eq!(versions(&server), (2, 0));

    // Another program with the same keys can hide it, and not delete it.
    let path = format!("/v/data/{}/{}", &pack.id()[..2], pack.id());
    server.ask("DELETE", &path, &[]).unwrap();
    assert!(matches!(store.get(&pack), Err(StoreError::NotFound(_))));
    let listed = server.ask("GET", "?versions=", &[]).unwrap();
    let mut listed = listed.split("<Version>").skip(1);
    let version = listed.find(|one| one.contains("/data/")).unwrap();
    let id = version.split("<VersionId>").nth(1).unwrap();
    let id = id.split('<').next().unwrap();
    server
        .ask("DELETE", &format!("{path}?versionId={id}"), &[])
        .unwrap_err();
    assert_eq!(lock.bring_back().unwrap(), std::slice::from_ref(&pack));
    assert_eq!(store.get(&pack).unwrap(), BYTES);
    assert_eq!(lock.bring_back().unwrap(), []);

    // We ourselves hide it, once.
    store.delete(&pack).unwrap();
    store.delete(&pack).unwrap();
    assert_eq!(versions(&server), (2, 1));
    assert_eq!(lock.sweep().unwrap(), 0);
    assert_eq!(versions(&server), (2, 1));
    server.let_locks_end("").unwrap();
    assert_eq!(lock.sweep().unwrap(), 1);
    assert_eq!(versions(&server), (1, 0));
    store.delete(&snapshot).unwrap();
    assert_eq!(versions(&server), (0, 0));
}

/// New versions on top: those that are no object's content go, and the right ones are the newest again.
#[test]
fn what_was_written_over_comes_back() {
    let dir = tempfile::tempdir().unwrap();
    let server = S3Server::start_locking(dir.path()).unwrap();
    let store = open(&server.place("v"), &s3_access()).unwrap();
    let lock = locking(&*store);
    lock.keep(HOUR);
    let config = ObjectName::config();
    store.put(&config, b"the config").unwrap();
    let (pack, index) = (object(Area::Data), object(Area::Index));
    let (key, session) = (object(Area::Keys), object(Area::Locks));
    for name in [&pack, &index, &key, &session] {
        store.put(name, BYTES).unwrap();
    }
    let path = |name: &ObjectName| match name.area() {
        Area::Config => "/v/config".to_owned(),
        Area::Data => format!("/v/data/{}/{}", &name.id()[..2], name.id()),
        area => format!("/v/{}/{}", area.as_str(), name.id()),
    };
    // Twice; as long as the right one; later hidden as well, or locked, so that it cannot go.
    for name in [&config, &pack, &index, &session] {
        server.write_over(&path(name), b"rubbish").unwrap();
    }
    server.write_over(&path(&pack), b"same bytes").unwrap();
    // What may be ours below is not swept away, whatever its time.
    let right = lock.locked_until(&key).unwrap();
    for part in ["/config", "/data/", "/index/"] {
        server.let_locks_end(part).unwrap();
    }
    lock.sweep().unwrap();

    server.ask("DELETE", &path(&pack), &[]).unwrap();
    server.write_over(&path(&key), b"rubbish").unwrap();
    let until = store.server_time().unwrap() + 9000;
    for name in [&config, &index, &key] {
        lock.extend(name, until).unwrap();
    }
    let mut back = lock.bring_back().unwrap();
    back.sort();
    let mut all = vec![config.clone(), pack.clone(), index.clone(), key.clone()];
    all.sort();
    assert_eq!(back, all);
    assert_eq!(store.get(&config).unwrap(), b"the config");
    for name in [&pack, &index, &key] {
        assert_eq!(store.get(name).unwrap(), BYTES, "{name}");
    }
    // As long as it was, on top of what cannot go.
    assert_eq!(lock.locked_until(&key).unwrap(), right);
    assert_eq!(lock.bring_back().unwrap(), []);
    // A session's lock is nobody's to bring back.
    assert_eq!(store.get(&session).unwrap(), b"rubbish");
}

#[test]
fn a_bucket_without_object_lock_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let server = S3Server::start(dir.path()).unwrap();
    let store = open(&server.place("v"), &s3_access()).unwrap();
    let error = locking(&*store).possible().unwrap_err();
    assert!(matches!(error, StoreError::NoLock { .. }), "{error:?}");
    assert!(error.to_string().contains("when it is made"), "{error}");
    // Nobody has said how: nothing is locked.
    store.put(&ObjectName::config(), BYTES).unwrap();
    assert_eq!(
        locking(&*store)
            .locked_until(&ObjectName::config())
            .ok()
            .flatten(),
        None
    );
}
