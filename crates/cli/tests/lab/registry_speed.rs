//! Many that pull at once, and how fast one does beside Debian's docker-registry: over a socket, by skopeo, by docker.

use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};

use lifeboat_images::{Algorithm, Digest};
use lifeboat_testkit::{
    engine::PrivateEngine,
    server::{RegistryOptions, RegistryServer},
};
use serde_json::json;

use crate::{
    registry_accept::skopeo_does,
    registry_point::{MANIFEST, Made},
    registry_serve::{RealRegistry, Served, docker, docker_does, id},
    support::{Lab, PATIENCE},
    tiny::{self, noise},
};

/// A registry's point with one image whose layer has so many bytes, half of them noise; the layer's digest.
pub fn made(lab: &Lab, size: usize) -> Digest {
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
pub fn pulled(address: &str, digest: &Digest) -> Digest {
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

fn median(all: &mut [f64]) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
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
    let [their_raw, our_raw, their_copy, our_copy] = took.each_mut().map(|all| median(all));
    println!(
        "640 MB, medians of 3, docker-registry and ours: blob {their_raw:.2} s, {our_raw:.2} s ({:.2}x); skopeo {their_copy:.2} s, {our_copy:.2} s ({:.2}x)",
        their_raw / our_raw,
        their_copy / our_copy
    );
    served.stop();
}

/// An image of 640 MB in eight layers, half of each noise, built and pushed by docker as people do.
fn pushed(lab: &Lab, engine: &PrivateEngine, name: &str) {
    let context = lab.path("context");
    let mut dockerfile = "FROM lifeboat/busybox:latest\n".to_owned();
    for layer in 0..8 {
        let folder = context.join(format!("layer-{layer}"));
        fs_err::create_dir_all(&folder).unwrap();
        for file in 0..40 {
            let mut bytes = noise(1_000_000, 2 * (layer * 100 + file));
            bytes.resize(2_000_000, b'x');
            fs_err::write(folder.join(format!("file-{file}")), bytes).unwrap();
        }
        dockerfile += &format!("COPY layer-{layer} /data/layer-{layer}\n");
    }
    fs_err::write(context.join("Dockerfile"), dockerfile).unwrap();
    docker_does(engine, &format!("build -q -t {name} {}", context.display()));
    fs_err::remove_dir_all(context).unwrap();
    let clock = Instant::now();
    while !docker(engine, &format!("push {name}")).status.success() {
        assert!(clock.elapsed() < PATIENCE, "the registry never came");
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[test]
#[ignore = "measures: docker pulls 640 MB from two registries in turns"]
fn soak_speed_of_docker_pull_beside_docker_registry() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "one");
    let (theirs, ours) = ("127.0.0.1:5001", "127.0.0.1:5002");
    let registry = RealRegistry::start(&lab, &engine, theirs);
    let name = format!("{theirs}/team/app:1.0");
    pushed(&lab, &engine, &name);
    let mut backup = engine.netns_command(env!("CARGO_BIN_EXE_lifeboat"));
    let backup = backup
        .args(["registry", "backup", theirs])
        .env("LIFEBOAT_CONFIG_DIR", lab.path("etc"))
        .env("LIFEBOAT_STATE_DIR", lab.path("state"))
        .status()
        .unwrap();
    assert!(backup.success());
    let image = id(&engine, &name);
    let served = Served::start(&lab, &engine, &["--listen", ours]);
    let mut took = [Vec::new(), Vec::new()];
    for round in 0..4 {
        for (at, address) in [theirs, ours].into_iter().enumerate() {
            docker_does(&engine, &format!("rmi -f {image}"));
            let clock = Instant::now();
            docker_does(&engine, &format!("pull -q {address}/team/app:1.0"));
            let seconds = clock.elapsed().as_secs_f64();
            assert_eq!(id(&engine, &format!("{address}/team/app:1.0")), image);
            // The first round warms up.
            if round > 0 {
                took[at].push(seconds);
            }
        }
    }
    let [theirs, ours] = took.each_mut().map(|all| median(all));
    println!(
        "docker pull of 640 MB, medians of 3: docker-registry {theirs:.2} s, ours {ours:.2} s ({:.2}x)",
        theirs / ours
    );
    served.stop();
    drop(registry);
}
