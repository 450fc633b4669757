//! Many that pull at once, and how fast one does beside Debian's docker-registry.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::Instant,
};

use lifeboat_images::{Algorithm, Digest};
use lifeboat_testkit::server::{RegistryOptions, RegistryServer};
use serde_json::json;

use crate::{
    registry_accept::skopeo_does,
    registry_point::{MANIFEST, Made},
    registry_serve::Served,
    support::Lab,
    tiny::noise,
};

/// A registry's point with one image whose layer has so many bytes, half of them noise; the layer's digest.
fn made(lab: &Lab, size: usize) -> Digest {
    let mut made = Made::new("made.example");
    let mut layer = noise(size / 2, 1);
    layer.resize(size, 7);
    let digest = Digest::of(&layer);
    let config =
        br#"{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}"#;
    let config = made.blob("application/vnd.oci.image.config.v1+json", config.to_vec());
    let layer = made.blob("application/vnd.oci.image.layer.v1.tar", layer);
    let image =
        json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
    made.manifest("team/app", Some("1.0"), &image);
    made.commit(lab);
    digest
}

/// Fetches a blob with nothing but a socket; its digest.
fn pulled(address: &str, digest: &Digest) -> Digest {
    let mut stream = TcpStream::connect(address).unwrap();
    let asked = format!(
        "GET /v2/team/app/blobs/{digest} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(asked.as_bytes()).unwrap();
    // The head ends with an empty line, read byte by byte.
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    assert!(
        head.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&head)
    );
    Digest::of_reader(Algorithm::Sha256, stream).unwrap()
}

#[test]
fn fifty_pull_at_once_in_bounded_memory() {
    let lab = Lab::new();
    lab.init();
    let digest = made(&lab, 24 << 20);
    let served = Served::here(&lab, &["--listen", "127.0.0.1:0"]);
    let address = served.address();
    std::thread::scope(|scope| {
        let pulls: Vec<_> = (0..50)
            .map(|_| scope.spawn(|| pulled(address, &digest)))
            .collect();
        for pull in pulls {
            assert_eq!(pull.join().unwrap(), digest);
        }
    });
    let most = served.most_memory();
    println!("50 pulls at once: at most {} MiB", most >> 20);
    assert!(most < 256 << 20, "{} MiB", most >> 20);
    let said = served.stop();
    assert!(!said.contains("broken off"), "{said}");
}

#[test]
#[ignore = "measures: two registries in turns, 640 MB"]
fn soak_speed_of_a_pull_beside_docker_registry() {
    let lab = Lab::new();
    lab.init();
    let digest = made(&lab, 640_000_000);
    let registry = RegistryServer::start(&lab.path("r1"), RegistryOptions::default()).unwrap();
    let theirs = registry.address();
    lab.run(None, &["registry", "restore", "--to", &theirs], 0);
    let served = Served::here(&lab, &["--listen", "127.0.0.1:0"]);
    let ours = served.address().to_owned();
    let mut took = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
    for round in 0..4 {
        for (at, address) in [&theirs, &ours].into_iter().enumerate() {
            let clock = Instant::now();
            assert_eq!(pulled(address, &digest), digest);
            let raw = clock.elapsed().as_secs_f64();
            let copy = lab.path("copy");
            let (from, to) = (
                format!("docker://{address}/team/app:1.0"),
                format!("dir:{}", copy.display()),
            );
            let clock = Instant::now();
            skopeo_does(&["copy", "--src-tls-verify=false", &from, &to]);
            let by_skopeo = clock.elapsed().as_secs_f64();
            fs_err::remove_dir_all(&copy).unwrap();
            // The first round warms up.
            if round > 0 {
                took[at].push(raw);
                took[at + 2].push(by_skopeo);
            }
        }
    }
    let median = |all: &mut Vec<f64>| {
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    };
    let [their_raw, our_raw, their_copy, our_copy] = took.each_mut().map(median);
    println!(
        "640 MB, medians of 3, docker-registry and ours: blob {their_raw:.2} s, {our_raw:.2} s ({:.2}x); skopeo {their_copy:.2} s, {our_copy:.2} s ({:.2}x)",
        their_raw / our_raw,
        their_copy / our_copy
    );
    served.stop();
}
