use lifeboat_images::registry::{ManifestRecord, PushedManifest};
use lifeboat_plan::name::SiteName;
use lifeboat_store::MemoryStore;
use lifeboat_vault::Environment;

use super::*;

/// Two servers of one registry, each with a disk of its own.
fn two() -> (Vec<Committer>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let env = Environment::system("test");
    let vault = Vault::create(Arc::new(MemoryStore::new()), b"password", env).unwrap();
    let servers = ["a", "b"].map(|name| {
        let identity = RegistryIdentity {
            site: SiteName::default(),
            registry: "registry.example".to_owned(),
        };
        let staging = Arc::new(Staging::open(&dir.path().join(name), 1 << 20).unwrap());
        let mut server = Committer::new(vault.clone(), identity, staging, Arc::default());
        server.start().unwrap();
        server
    });
    (servers.into(), dir)
}

/// An image of one layer, which is on the server's disk.
fn image(server: &Committer, tag: &str) -> Change {
    let layer = format!("the layer of {tag}").into_bytes();
    let blob = Digest::of(&layer);
    let staging = &server.staging;
    let upload = staging.begin("app").unwrap();
    staging
        .append("app", &upload, None, &mut &layer[..])
        .unwrap();
    staging.finish("app", &upload, &blob).unwrap();
    let bytes = format!("the manifest of {tag}").into_bytes();
    let pushed = PushedManifest {
        digest: Digest::of(&bytes),
        record: ManifestRecord {
            blobs: [blob].into(),
            ..ManifestRecord::default()
        },
        bytes,
        foreign: BTreeSet::new(),
        tags: vec![tag.to_owned()],
    };
    Change::Manifest("app".to_owned(), Box::new(pushed))
}

/// Makes a point on what the server knew, and dies before it looks at those of others.
fn dies(server: &mut Committer, change: &Change) {
    let head = Arc::clone(&server.head.read());
    let mut record = head.record.clone();
    let now = jiff::Timestamp::now();
    record.time = now.to_string();
    change
        .apply(&mut record, &now.to_string(), &|_, _| true)
        .unwrap();
    let changes = std::slice::from_ref(change);
    server
        .point(&head, record, changes, &BTreeMap::new(), now)
        .unwrap();
}

fn tags(server: &Committer) -> Vec<String> {
    let head = server.head.read();
    for digest in head.record.digests() {
        assert!(head.files.contains_key(digest), "{digest} is nowhere");
    }
    assert!(head.record.findings.is_empty());
    let app = head.record.repositories.get("app");
    app.map(|app| app.tags.keys().cloned().collect())
        .unwrap_or_default()
}

fn make(server: &mut Committer, change: Change) {
    for outcome in server.make(&[change]).unwrap() {
        outcome.unwrap();
    }
}

#[test]
fn what_was_answered_is_made_again_on_a_point_that_was_made_without_it() {
    let (mut servers, _dir) = two();
    let [a, b] = &mut servers[..] else { panic!() };
    let first = image(a, "first");
    make(a, first);
    b.look().unwrap();
    for tag in ["old", "one", "two"] {
        let change = image(a, tag);
        make(a, change);
    }
    make(a, Change::DeleteTag("app".to_owned(), "old".to_owned()));
    let other = image(b, "other");
    dies(b, &other);

    // The newest point has nothing of that; nobody pushes, somebody only asks.
    let mut third = Committer::new(
        a.vault.clone(),
        a.identity.clone(),
        Arc::clone(&b.staging),
        Arc::default(),
    );
    third.start().unwrap();
    assert_eq!(tags(&third), ["first", "other"]);
    a.look_again().unwrap();
    assert_eq!(tags(a), ["first", "one", "other", "two"]);
    third.look_again().unwrap();
    assert_eq!(tags(&third), ["first", "one", "other", "two"]);
    // Once.
    let point = a.head.read().point;
    a.look_again().unwrap();
    assert_eq!(a.head.read().point, point);
}

#[test]
fn what_others_deleted_or_moved_since_is_not_made_again() {
    let (mut servers, _dir) = two();
    let [a, b] = &mut servers[..] else { panic!() };
    for tag in ["one", "two", "three"] {
        let change = image(a, tag);
        make(a, change);
    }
    make(b, Change::DeleteTag("app".to_owned(), "one".to_owned()));
    let Change::Manifest(name, mut moved) = image(b, "new") else {
        panic!()
    };
    moved.tags.push("two".to_owned());
    make(b, Change::Manifest(name, moved));
    let digest = b.head.read().record.repositories["app"].tags["three"].clone();
    make(b, Change::DeleteManifest("app".to_owned(), digest));
    let point = b.head.read().point;
    a.look_again().unwrap();
    assert_eq!(
        (a.head.read().point, tags(a)),
        (point, vec!["new".into(), "two".into()])
    );
    // A deletion that somebody's point knows nothing of is made again, and a push after it is not undone.
    make(a, Change::DeleteTag("app".to_owned(), "new".to_owned()));
    let again = image(b, "new");
    make(b, again);
    a.look_again().unwrap();
    assert_eq!(tags(a), ["new", "two"]);
}

/// Another server's point comes between ours and our look at it.
#[test]
fn a_push_that_met_another_one_is_made_again_without_its_blobs_on_the_disk() {
    let (mut servers, _dir) = two();
    let mut b = servers.remove(1);
    let a = &mut servers[0];
    let other = image(&b, "other");
    let first = image(a, "first");
    let b = parking_lot::Mutex::new(Some(move || dies(&mut b, &other)));
    a.made = Box::new(move || {
        let meets = b.lock().take();
        if let Some(mut meets) = meets {
            meets();
        }
    });
    make(a, first);
    assert_eq!(tags(a), ["first", "other"]);
}
