//! The server over a shelf in memory, asked over a socket.
//!
//! Seen to fail: the damaged blob, while the digest was not looked at; the pages, while `last` was among them.

use std::{
    collections::BTreeMap,
    io::{self, Cursor, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread::JoinHandle,
};

use serde_json::Value;

use super::{ServeOptions, Stop, Users, serve};
use crate::{
    Digest,
    registry::{ManifestRecord, Repository, Shelf, Shelved, ShelvedBlob},
};

#[derive(Default)]
struct Memory {
    repositories: BTreeMap<String, Arc<Repository>>,
    blobs: BTreeMap<Digest, Vec<u8>>,
}

impl Shelf for Memory {
    fn repositories(&self, host: Option<&str>) -> io::Result<Vec<String>> {
        let none = host.is_some_and(|host| host != "registry.example");
        Ok(self
            .repositories
            .keys()
            .filter(|_| !none)
            .cloned()
            .collect())
    }

    fn repository(&self, host: Option<&str>, name: &str) -> io::Result<Option<Shelved>> {
        let none = host.is_some_and(|host| host != "registry.example");
        let found = self.repositories.get(name).filter(|_| !none);
        Ok(found.map(|repository| Shelved {
            repository: Arc::clone(repository),
            place: String::new(),
        }))
    }

    fn blob(&self, _: &Shelved, digest: &Digest) -> io::Result<Option<ShelvedBlob>> {
        Ok(self.blobs.get(digest).map(|bytes| ShelvedBlob {
            size: bytes.len() as u64,
            content: Box::new(Cursor::new(bytes.clone())),
        }))
    }
}

const TYPE: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// `team/app` with a manifest `1.0` to `1.9`, a layer, a damaged layer, a signature; and `other`.
fn memory() -> (Memory, Digest, Digest, Digest) {
    let mut memory = Memory::default();
    let layer: Vec<u8> = (0..700_000_u32).map(|i| (i % 253) as u8).collect();
    let (layer_digest, manifest) = (Digest::of(&layer), b"{\"manifest\": true}".to_vec());
    let (digest, bad) = (Digest::of(&manifest), Digest::of(b"what it was"));
    memory.blobs.insert(layer_digest.clone(), layer);
    memory.blobs.insert(digest.clone(), manifest);
    memory.blobs.insert(bad.clone(), vec![7; 300_000]);
    let mut repository = Repository::default();
    for n in 0..10 {
        repository.tags.insert(format!("1.{n}"), digest.clone());
    }
    let record = ManifestRecord {
        media_type: TYPE.to_owned(),
        size: 18,
        blobs: [layer_digest.clone(), bad.clone()].into(),
        ..ManifestRecord::default()
    };
    repository.manifests.insert(digest.clone(), record);
    for kind in ["signature", "sbom"] {
        let record = ManifestRecord {
            subject: Some(digest.clone()),
            artifact_type: Some(kind.to_owned()),
            annotations: [("who".to_owned(), "us".to_owned())].into(),
            ..ManifestRecord::default()
        };
        repository
            .manifests
            .insert(Digest::of(kind.as_bytes()), record);
    }
    memory
        .repositories
        .insert("team/app".to_owned(), Arc::new(repository));
    memory
        .repositories
        .insert("other".to_owned(), Arc::default());
    (memory, digest, layer_digest, bad)
}

struct Served {
    address: SocketAddr,
    stop: Stop,
    thread: Option<JoinHandle<io::Result<()>>>,
}

impl Served {
    fn new(memory: Memory, options: ServeOptions) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (address, stop) = (listener.local_addr().unwrap(), Stop::default());
        let stopped = stop.clone();
        let thread =
            std::thread::spawn(move || serve(listener, Arc::new(memory), options, &stopped));
        Self {
            address,
            stop,
            thread: Some(thread),
        }
    }

    /// Status, headers in lower case, and all bytes until the connection ends. Status 0 where it ends before the head.
    fn ask(&self, what: &str, headers: &str) -> (u16, String, Vec<u8>) {
        let mut stream = TcpStream::connect(self.address).unwrap();
        let host = if headers.contains("Host:") {
            ""
        } else {
            "Host: here\r\n"
        };
        write!(
            stream,
            "{what} HTTP/1.1\r\n{host}Connection: close\r\n{headers}\r\n"
        )
        .unwrap();
        let mut bytes = Vec::new();
        // A connection that is broken off may end with an error.
        let _ = stream.read_to_end(&mut bytes);
        let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else {
            return (0, String::new(), bytes);
        };
        let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, head.to_lowercase(), bytes.split_off(end + 4))
    }

    fn get(&self, path: &str) -> (u16, String, Vec<u8>) {
        self.ask(&format!("GET {path}"), "")
    }

    fn json(&self, path: &str) -> (u16, String, Value) {
        let (status, head, body) = self.get(path);
        (status, head, serde_json::from_slice(&body).unwrap())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.stop.stop();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap().unwrap();
        }
    }
}

#[test]
fn manifests_by_tag_and_digest() {
    let (memory, digest, ..) = memory();
    let served = Served::new(memory, ServeOptions::default());
    for reference in [
        "1.0".to_owned(),
        digest.to_string(),
        digest.to_string().replace(':', "%3A"),
    ] {
        for method in ["GET", "HEAD"] {
            let (status, head, body) =
                served.ask(&format!("{method} /v2/team/app/manifests/{reference}"), "");
            assert_eq!(status, 200, "{head}");
            assert!(head.contains(&format!("content-type: {TYPE}")), "{head}");
            assert!(
                head.contains(&format!("docker-content-digest: {digest}")),
                "{head}"
            );
            assert!(head.contains("content-length: 18"), "{head}");
            assert_eq!(body.is_empty(), method == "HEAD");
        }
    }
    for (path, status, code) in [
        ("/v2/team/app/manifests/2.0", 404, "MANIFEST_UNKNOWN"),
        ("/v2/team/app/manifests/.INVALID", 404, "MANIFEST_UNKNOWN"),
        ("/v2/nobody/manifests/1.0", 404, "NAME_UNKNOWN"),
        ("/v2/a/../b/manifests/1.0", 400, "NAME_INVALID"),
        ("/v2/a/%2e%2e/b/manifests/1.0", 400, "NAME_INVALID"),
        (
            "/v2/team/app/manifests/1.0?ns=other.example",
            404,
            "NAME_UNKNOWN",
        ),
        ("/v2/team/app/blobs/sha256:12", 400, "DIGEST_INVALID"),
        ("/elsewhere", 404, "UNSUPPORTED"),
    ] {
        let (found, _, body) = served.json(path);
        assert_eq!(
            (found, body["errors"][0]["code"].as_str()),
            (status, Some(code)),
            "{path}"
        );
    }
    assert_eq!(served.get("/v2/").0, 200);
    for method in ["PUT", "POST", "PATCH", "DELETE"] {
        let (status, head, body) = served.ask(
            &format!("{method} /v2/team/app/manifests/1.0"),
            "Content-Length: 0\r\n",
        );
        assert_eq!(status, 405);
        assert!(head.contains("allow: get, head"), "{head}");
        assert!(String::from_utf8(body).unwrap().contains("UNSUPPORTED"));
    }
}

#[test]
fn blobs_whole_in_parts_and_never_wrong() {
    let (memory, _, layer, bad) = memory();
    let bytes = memory.blobs[&layer].clone();
    let served = Served::new(memory, ServeOptions::default());
    let path = format!("/v2/team/app/blobs/{layer}");
    let (status, head, body) = served.get(&path);
    assert_eq!(status, 200);
    assert!(
        body == bytes && head.contains("content-length: 700000"),
        "{head}"
    );
    assert!(head.contains(&format!("etag: \"{layer}\"")), "{head}");
    let (status, head, body) = served.ask(&format!("HEAD {path}"), "");
    assert!(
        status == 200 && body.is_empty() && head.contains("content-length: 700000"),
        "{head}"
    );

    let (status, head, body) = served.ask(&format!("GET {path}"), "Range: bytes=699990-\r\n");
    assert_eq!((status, body.as_slice()), (206, &bytes[699_990..]));
    assert!(
        head.contains("content-range: bytes 699990-699999/700000"),
        "{head}"
    );
    let (status, head, _) = served.ask(&format!("GET {path}"), "Range: bytes=700000-\r\n");
    assert!(
        status == 416 && head.contains("content-range: bytes */700000"),
        "{head}"
    );
    let header = format!("If-None-Match: \"{layer}\"\r\n");
    assert_eq!(served.ask(&format!("GET {path}"), &header).0, 304);
    let stale = "Range: bytes=1-2\r\nIf-Range: \"other\"\r\n";
    assert_eq!(served.ask(&format!("GET {path}"), stale).0, 200);

    // The head promises 300,000 bytes; they never come. Broken off at once, even the head may not.
    let (status, head, body) = served.get(&format!("/v2/team/app/blobs/{bad}"));
    assert!(
        status == 0 || status == 200 && head.contains("content-length: 300000"),
        "{head}"
    );
    assert!(body.len() < 300_000, "{}", body.len());
    // A digest that is in the place, but not of this repository.
    assert_eq!(served.get(&format!("/v2/other/blobs/{layer}")).0, 404);
}

#[test]
fn lists_page_by_page() {
    let (memory, digest, ..) = memory();
    let served = Served::new(memory, ServeOptions::default());
    let (mut all, mut path) = (Vec::new(), "/v2/team/app/tags/list?n=4".to_owned());
    for _ in 0..3 {
        let (_, head, body) = served.json(&path);
        let page = body["tags"].as_array().unwrap().clone();
        assert!(page.len() <= 4);
        all.extend(page.into_iter().map(|tag| tag.as_str().unwrap().to_owned()));
        let Some(link) = head.lines().find_map(|l| l.strip_prefix("link: <")) else {
            break;
        };
        let (next, rest) = link.split_once('>').unwrap();
        assert_eq!(rest, "; rel=\"next\"");
        next.clone_into(&mut path);
    }
    let wanted: Vec<String> = (0..10).map(|n| format!("1.{n}")).collect();
    assert_eq!(all, wanted);
    let (_, head, body) = served.json("/v2/team/app/tags/list?n=0");
    assert_eq!(body["tags"], serde_json::json!([]));
    assert!(!head.contains("link:"), "{head}");
    assert_eq!(served.get("/v2/team/app/tags/list?n=x").0, 400);
    let names = served.json("/v2/_catalog").2;
    assert_eq!(
        names["repositories"],
        serde_json::json!(["other", "team/app"])
    );
    let (_, head, body) = served.json("/v2/_catalog?n=1&ns=registry.example");
    assert_eq!(body["repositories"], serde_json::json!(["other"]));
    assert!(
        head.contains("/v2/_catalog?last=other&n=1&ns=registry%2eexample"),
        "{head}"
    );

    let (_, head, body) = served.json(&format!("/v2/team/app/referrers/{digest}"));
    assert_eq!(body["manifests"].as_array().unwrap().len(), 2);
    assert!(!head.contains("oci-filters-applied"), "{head}");
    let path = format!("/v2/team/app/referrers/{digest}?artifactType=sbom");
    let (_, head, body) = served.json(&path);
    assert_eq!(body["manifests"].as_array().unwrap().len(), 1);
    assert_eq!(body["manifests"][0]["annotations"]["who"], "us");
    assert!(head.contains("oci-filters-applied: artifacttype"), "{head}");
    let (status, _, body) = served.json(&format!("/v2/nobody/referrers/{digest}"));
    assert_eq!(
        (status, body["manifests"].as_array().unwrap().len()),
        (200, 0)
    );
}

#[test]
fn only_who_is_known() {
    let mut users = Users::default();
    users.add("ann", b"secret");
    let options = ServeOptions {
        users: Some(users),
        ..ServeOptions::default()
    };
    let served = Served::new(memory().0, options);
    let (status, head, body) = served.get("/v2/");
    assert!(
        status == 401 && head.contains("www-authenticate: basic"),
        "{head}"
    );
    assert!(String::from_utf8(body).unwrap().contains("UNAUTHORIZED"));
    // ann:secret
    let known = "Authorization: Basic YW5uOnNlY3JldA==\r\n";
    assert_eq!(served.ask("GET /v2/", known).0, 200);
    assert_eq!(served.ask("GET /v2/team/app/manifests/1.0", known).0, 200);
}

#[test]
fn a_name_that_it_was_given_is_a_registry() {
    let options = ServeOptions {
        names: vec!["elsewhere.example".to_owned()],
        ..ServeOptions::default()
    };
    let served = Served::new(memory().0, options);
    let path = "GET /v2/team/app/manifests/1.0";
    assert_eq!(served.ask(path, "Host: 127.0.0.1\r\n").0, 200);
    assert_eq!(served.ask(path, "Host: Elsewhere.Example\r\n").0, 404);
}
