//! Registries that lie, stall, forget, or lead elsewhere.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use lifeboat_images::{
    Digest, Error,
    registry::{
        FetchOptions, Fetched, RegistryRecord,
        client::{ClientOptions, Credentials, RegistryClient},
        fetch,
    },
};
use serde_json::json;

use super::{
    liar::{Asked, Liar, Said},
    memory::{INDEX, Image, MANIFEST, Memory},
};

fn client(liar: &Liar, credentials: Option<Credentials>) -> RegistryClient {
    let options = ClientOptions {
        plain_http: true,
        credentials,
        ..ClientOptions::default()
    };
    let address = liar.address.to_string().parse().unwrap();
    RegistryClient::connect(&address, options, Arc::new(|| false)).unwrap()
}

fn fetched(liar: &Liar, store: &Memory) -> Result<Fetched, Error> {
    again(liar, store, None)
}

fn again(liar: &Liar, store: &Memory, before: Option<&RegistryRecord>) -> Result<Fetched, Error> {
    let options = FetchOptions {
        jobs: 4,
        ..FetchOptions::default()
    };
    fetch(
        &client(liar, None),
        &options,
        before,
        store,
        "now".to_owned(),
    )
}

/// An honest registry with these images as tags `0`, `1`, … of `team/app`.
fn honest(images: &[Image], asked: &Asked) -> Said {
    let manifest = |image: &Image| {
        Said::ok(image.manifest.clone())
            .with("content-type", MANIFEST)
            .with("docker-content-digest", image.digest().to_string())
    };
    let path = asked.path.split('?').next().unwrap_or_default();
    match path {
        "/v2/" => return Said::ok("{}"),
        "/v2/_catalog" => return Said::ok(r#"{"repositories":["team/app"]}"#),
        "/v2/team/app/tags/list" => {
            let tags: Vec<String> = (0..images.len()).map(|n| n.to_string()).collect();
            return Said::ok(json!({"name": "team/app", "tags": tags}).to_string());
        }
        _ => {}
    }
    if let Some(reference) = path.strip_prefix("/v2/team/app/manifests/") {
        let number = reference.parse::<usize>().ok();
        let found = number
            .and_then(|n| images.get(n))
            .or_else(|| images.iter().find(|i| i.digest().to_string() == reference));
        return found.map_or(Said::status(404), manifest);
    }
    if let Some(digest) = path.strip_prefix("/v2/team/app/blobs/") {
        let blobs = images.iter().flat_map(|i| [&i.config, &i.layer]);
        let found = blobs
            .into_iter()
            .find(|b| Digest::of(b).to_string() == digest);
        return found.map_or(Said::status(404), |bytes| Said::ok(bytes.clone()));
    }
    Said::status(404)
}

fn is_layer(asked: &Asked, image: &Image) -> bool {
    asked.path.ends_with(&Digest::of(&image.layer).to_string())
}

fn images() -> Vec<Image> {
    vec![Image::new(1), Image::new(2)]
}

/// One finding, that says these words, and nothing but the second image's parts in the store.
fn only_second_is_whole(fetched: &Fetched, store: &Memory, words: &str) {
    let findings = &fetched.record.findings;
    assert!(
        findings.len() == 1 && findings[0].reason.contains(words),
        "{findings:#?}"
    );
    let all = images();
    let has = |bytes: &[u8]| store.0.lock().unwrap().contains_key(&Digest::of(bytes));
    assert!(has(&all[1].layer) && has(&all[1].manifest));
    assert!(!has(&all[0].layer));
}

#[test]
fn an_honest_one_is_fetched_whole_and_nothing_twice() {
    let liar = Liar::start(|asked| honest(&images(), asked));
    let store = Memory::default();
    let first = fetched(&liar, &store).unwrap();
    assert_eq!(first.record.findings, []);
    assert_eq!(first.fetched, 6);
    let repository = &first.record.repositories["team/app"];
    assert_eq!(repository.tags["1"], images()[1].digest());
    assert_eq!(store.0.lock().unwrap().len(), 6);
    let before = liar.asked().len();
    let second = again(&liar, &store, Some(&first.record)).unwrap();
    assert_eq!(second.fetched, 0);
    assert_eq!(second.record, first.record);
    let gets: Vec<String> = liar.asked()[before..]
        .iter()
        .filter(|a| a.method == "GET")
        .map(|a| a.path.clone())
        .collect();
    let has_blob = gets
        .iter()
        .any(|path| path.contains("/blobs/") || path.contains("/manifests/"));
    assert!(!has_blob, "{gets:?}");
}

#[test]
fn a_blob_with_other_bytes_is_a_finding() {
    let liar = Liar::start(|asked| {
        let mut said = honest(&images(), asked);
        if is_layer(asked, &images()[0]) {
            said.body[50_000] ^= 1;
        }
        said
    });
    let store = Memory::default();
    let done = fetched(&liar, &store).unwrap();
    only_second_is_whole(&done, &store, "it should have digest");
    let manifest = &done.record.repositories["team/app"].manifests[&images()[0].digest()];
    assert_eq!(manifest.absent, [Digest::of(&images()[0].layer)].into());
}

#[test]
fn a_blob_that_does_not_end_is_a_finding() {
    let liar = Liar::start(|asked| {
        let mut said = honest(&images(), asked);
        said.endless = asked.method == "GET" && is_layer(asked, &images()[0]);
        said
    });
    let store = Memory::default();
    let done = fetched(&liar, &store).unwrap();
    only_second_is_whole(&done, &store, "longer than the 100000 bytes");
}

#[test]
fn a_layer_that_is_lost_is_a_finding() {
    let liar = Liar::start(|asked| match is_layer(asked, &images()[0]) {
        true => Said::status(404),
        false => honest(&images(), asked),
    });
    let store = Memory::default();
    let done = fetched(&liar, &store).unwrap();
    only_second_is_whole(&done, &store, "it is not there");
}

#[test]
fn a_blob_that_breaks_off_is_gone_on_with_where_it_was() {
    let liar = Liar::start(|asked| {
        let mut said = honest(&images(), asked);
        if asked.method == "GET" && is_layer(asked, &images()[0]) {
            let range = asked.header("range").unwrap_or("bytes=0-").to_owned();
            let from: usize = range["bytes=".len()..range.len() - 1].parse().unwrap();
            said.body.drain(..from);
            if from > 0 {
                said.status = 206;
                said = said.with("content-range", format!("bytes {from}-99999/100000"));
            }
            said.cut = (from < 90_000).then_some(30_000);
        }
        said
    });
    let store = Memory::default();
    let done = fetched(&liar, &store).unwrap();
    assert_eq!(done.record.findings, []);
    let ranges = liar
        .asked()
        .iter()
        .filter(|a| a.header("range").is_some())
        .count();
    assert_eq!(ranges, 3);
}

#[test]
fn manifests_that_are_none() {
    type Lie = fn(&mut Said);
    let cases: [(&str, Lie); 4] = [
        ("it should have digest", |said| said.body[40] ^= 1),
        ("larger than", |said| said.body = vec![b' '; 100 << 20]),
        ("larger than", |said| said.endless = true),
        ("answers 500", |said| said.status = 500),
    ];
    for (words, lie) in cases {
        let liar = Liar::start(move |asked| {
            let mut said = honest(&images(), asked);
            let digest = images()[0].digest().to_string();
            if asked.method == "GET" && asked.path.ends_with(&digest) {
                lie(&mut said);
            }
            said
        });
        let store = Memory::default();
        let done = fetched(&liar, &store).unwrap();
        let reasons: Vec<&str> = done
            .record
            .findings
            .iter()
            .map(|f| f.reason.as_str())
            .collect();
        assert!(
            reasons.iter().any(|r| r.contains(words)),
            "{words}: {reasons:?}"
        );
        let repository = &done.record.repositories["team/app"];
        assert_eq!(repository.tags.keys().collect::<Vec<_>>(), ["1"]);
    }
}

#[test]
fn indexes_without_end() {
    // Each names the next: told by the numbers in it.
    fn index(n: u32) -> Vec<u8> {
        let next = if n == 0 {
            Digest::of(b"none")
        } else {
            Digest::of(&index(n - 1))
        };
        json!({"schemaVersion": 2, "mediaType": INDEX, "n": n, "manifests": [{"digest": next.to_string(), "size": 1}]})
            .to_string()
            .into_bytes()
    }
    let liar = Liar::start(|asked| {
        let digest = asked.path.rsplit('/').next().unwrap_or_default();
        let at = (0..40).find(|n| Digest::of(&index(*n)).to_string() == digest);
        match (asked.path.as_str(), at) {
            ("/v2/team/app/manifests/0", _) => Said::ok(index(39))
                .with("docker-content-digest", Digest::of(&index(39)).to_string())
                .with("content-type", INDEX),
            (path, Some(n)) if path.contains("/manifests/") => {
                Said::ok(index(n)).with("content-type", INDEX)
            }
            _ => honest(&images()[..1], asked),
        }
    });
    let store = Memory::default();
    let done = fetched(&liar, &store).unwrap();
    let nested = done
        .record
        .findings
        .iter()
        .any(|f| f.reason.contains("nested too deeply"));
    assert!(nested, "{:#?}", done.record.findings);
    assert!(done.record.repositories["team/app"].manifests.len() < 12);
}

#[test]
fn lists_with_names_that_are_none_and_lists_without_end() {
    for (path, body, words) in [
        (
            "/v2/_catalog",
            r#"{"repositories":["a","../../etc"]}"#,
            "is no name",
        ),
        ("/v2/_catalog", "<html>", "it is no list"),
    ] {
        let liar = Liar::start(move |asked| match asked.path.starts_with(path) {
            true => Said::ok(body),
            false => honest(&images(), asked),
        });
        let error = fetched(&liar, &Memory::default()).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    let circle = Liar::start(|asked| match asked.path.starts_with("/v2/_catalog") {
        true => Said::ok(r#"{"repositories":["a"]}"#)
            .with("link", "</v2/_catalog?n=1000>; rel=\"next\""),
        false => honest(&images(), asked),
    });
    let error = fetched(&circle, &Memory::default())
        .unwrap_err()
        .to_string();
    assert!(error.contains("does not end"), "{error}");
    let away = Liar::start(|asked| match asked.path.starts_with("/v2/_catalog") {
        true => Said::ok(r#"{"repositories":["a"]}"#)
            .with("link", "<http://10.0.0.1/v2/_catalog>; rel=\"next\""),
        false => honest(&images(), asked),
    });
    let error = fetched(&away, &Memory::default()).unwrap_err().to_string();
    assert!(error.contains("another host"), "{error}");
}

fn login() -> Option<Credentials> {
    Some(Credentials::new("ann", "hunter2".into()))
}

#[test]
fn a_password_does_not_follow_a_redirect() {
    let elsewhere = Liar::start(|_| Said::ok(images()[0].layer.clone()));
    let place = format!("http://{}/blob?signature=1", elsewhere.address);
    let liar = Liar::start(move |asked| {
        if asked.header("authorization").is_none() {
            return Said::status(401).with("www-authenticate", "Basic realm=\"x\"");
        }
        match asked.path.contains("/blobs/") {
            true => Said::status(307).with("location", place.clone()),
            false => honest(&images(), asked),
        }
    });
    let client = client(&liar, login());
    let mut got = Vec::new();
    let image = &images()[0];
    let digest = Digest::of(&image.layer);
    assert!(client.blob("team/app", &digest, 100_000, &mut got).unwrap());
    assert_eq!(got, image.layer);
    let there = elsewhere.asked();
    assert_eq!(there.len(), 1);
    assert_eq!(there[0].header("authorization"), None);
    assert!(
        liar.asked()
            .last()
            .unwrap()
            .header("authorization")
            .is_some()
    );
}

#[test]
fn tokens_are_fetched_renewed_and_wrong_logins_said() {
    let issued = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&issued);
    let tokens = Liar::start(move |asked| {
        if asked.header("authorization") != Some("Basic YW5uOmh1bnRlcjI=") {
            return Said::status(401);
        }
        assert!(asked.path.contains("service=s"), "{}", asked.path);
        let n = count.fetch_add(1, Ordering::SeqCst);
        Said::ok(format!(r#"{{"token":"t{n}"}}"#))
    });
    let realm = format!(
        "Bearer realm=\"http://{}/token\",service=\"s\"",
        tokens.address
    );
    let now = Arc::clone(&issued);
    let liar = Liar::start(move |asked| {
        // Each token is good until the next is issued.
        let newest = format!("Bearer t{}", now.load(Ordering::SeqCst).saturating_sub(1));
        match asked.header("authorization") {
            Some(token) if token == newest => honest(&images(), asked),
            _ => Said::status(401).with("www-authenticate", realm.clone()),
        }
    });
    let client = client(&liar, login());
    assert_eq!(client.catalog().unwrap(), ["team/app"]);
    assert_eq!(client.tags("team/app").unwrap().unwrap(), ["0", "1"]);
    // The catalog's token is no longer good: asked for again in the middle.
    assert_eq!(client.catalog().unwrap(), ["team/app"]);
    assert!(issued.load(Ordering::SeqCst) >= 3);

    let wrong = ClientOptions {
        plain_http: true,
        credentials: Some(Credentials::new("ann", "wrong".into())),
        ..ClientOptions::default()
    };
    let address = liar.address.to_string().parse().unwrap();
    let error = RegistryClient::connect(&address, wrong, Arc::new(|| false))
        .err()
        .unwrap();
    let text = error.to_string();
    assert!(
        text.contains("is the name or the password wrong") && !text.contains("wrong'"),
        "{text}"
    );
}

#[test]
fn whoever_says_later_is_waited_for_and_whoever_ends_it_is_heard() {
    let times = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&times);
    let liar = Liar::start(move |asked| {
        if asked.path.starts_with("/v2/_catalog") && count.fetch_add(1, Ordering::SeqCst) < 2 {
            return Said::status(429).with("retry-after", "1");
        }
        honest(&images(), asked)
    });
    let began = std::time::Instant::now();
    assert_eq!(
        fetched(&liar, &Memory::default()).unwrap().record.findings,
        []
    );
    assert!(began.elapsed() >= std::time::Duration::from_secs(2));

    let liar = Liar::start(|asked| match asked.path.starts_with("/v2/_catalog") {
        true => Said::status(429).with("retry-after", "60"),
        false => honest(&images(), asked),
    });
    let options = ClientOptions {
        plain_http: true,
        ..ClientOptions::default()
    };
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let cancelled = Arc::new(move || count.fetch_add(1, Ordering::SeqCst) > 5);
    let address = liar.address.to_string().parse().unwrap();
    let client = RegistryClient::connect(&address, options, cancelled).unwrap();
    assert!(matches!(client.catalog(), Err(Error::Interrupted)));
}

/// A registry that says 429 without a word about when to come again, so many times or for so long.
fn limited_until(over: impl Fn(usize) -> bool + Send + Sync + 'static) {
    let times = AtomicUsize::new(0);
    let liar = Liar::start(move |asked| {
        let is_catalog = asked.path.starts_with("/v2/_catalog");
        if is_catalog && !over(times.fetch_add(1, Ordering::SeqCst)) {
            return Said::status(429);
        }
        honest(&images(), asked)
    });
    let done = fetched(&liar, &Memory::default()).unwrap();
    assert_eq!(done.record.findings, []);
    assert_eq!(done.record.repositories["team/app"].tags.len(), 2);
}

#[test]
fn a_limit_is_no_fault_however_often_it_is_said() {
    limited_until(|times| times >= 6);
}

#[test]
fn soak_a_limit_of_a_minute() {
    let began = std::time::Instant::now();
    limited_until(move |_| began.elapsed() >= std::time::Duration::from_secs(60));
}

#[test]
fn a_tag_that_moves_while_it_is_read_is_as_it_was_last() {
    let heads = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&heads);
    let liar = Liar::start(move |asked| {
        let is_tag = asked.path.ends_with("/manifests/0");
        if is_tag && count.fetch_add(1, Ordering::SeqCst) > 0 {
            let moved = asked.path.replace("/manifests/0", "/manifests/1");
            return honest(
                &images(),
                &Asked {
                    path: moved,
                    ..asked.clone()
                },
            );
        }
        honest(&images(), asked)
    });
    let store = Memory::default();
    let done = fetched(&liar, &store).unwrap();
    assert_eq!(done.record.findings, []);
    let repository = &done.record.repositories["team/app"];
    assert_eq!(repository.tags["0"], images()[1].digest());
    assert_eq!(
        repository.manifests.len(),
        1,
        "what it left behind is not in the record"
    );
}

/// It takes a greeting by TLS, and resets the connection, as one whose alert is lost; to plain HTTP it says what servers
/// that speak TLS say.
#[test]
fn one_that_breaks_tls_off_is_not_taken_for_a_plain_one() {
    use std::io::{Read as _, Write as _};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string().parse().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut first = [0; 1];
            if stream.read_exact(&mut first).is_ok() && first != [0x16] {
                let answer = "HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n";
                let _ = stream.write_all(answer.as_bytes());
                let _ = std::io::copy(&mut stream, &mut std::io::sink());
            }
        }
    });
    let error = RegistryClient::connect(&address, ClientOptions::default(), Arc::new(|| false))
        .map(|_| ())
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("cannot be reached") && text.contains("--registry-cert"),
        "{text}"
    );
}
