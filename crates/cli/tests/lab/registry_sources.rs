//! Where registries are backed up from: their own storage, with a certificate of ours, one that lists referrers, and one of
//! a thousand tags that has not changed.

use lifeboat_images::Digest;
use lifeboat_testkit::server::{RegistryOptions, RegistryServer};
use serde_json::{Value, json};

use crate::{
    registry::{fill, largest},
    registry_point::{MANIFEST, Made},
    registry_serve::Served,
    support::Lab,
    tiny::says,
};

/// What a point says of its registry's repositories.
fn repositories(lab: &Lab, registry: &str) -> Value {
    let points = lab.json(None, &["points"], 0);
    let points = points["points"].as_array().unwrap();
    let of_it = |point: &&Value| point.to_string().contains(registry);
    let id = points.iter().rfind(of_it).unwrap()["id"].as_str().unwrap();
    let said = lab.restic(&["-q", "dump", id, "/registry.json"]);
    let mut record: Value = serde_json::from_str(said.trim()).unwrap();
    // When a tag was first seen is another moment in each point.
    for repository in record["repositories"].as_object_mut().unwrap().values_mut() {
        repository.as_object_mut().unwrap().remove("since");
    }
    record["repositories"].take()
}

#[test]
fn a_registrys_own_storage_is_what_it_says_over_the_line() {
    let lab = Lab::new();
    lab.init();
    let registry = RegistryServer::start(&lab.path("r1"), RegistryOptions::default()).unwrap();
    fill(&lab, &registry);
    let address = registry.address();
    let over_the_line = lab.json(None, &["registry", "backup", &address], 0);
    let data = registry.data();
    let folder = data.to_str().unwrap();
    let line = ["registry", "backup", folder, "--name", "storage.example"];
    let own = lab.json(None, &line, 0);
    for same in ["repositories", "tags", "blobs", "bytes", "findings"] {
        assert_eq!(own[same], over_the_line[same], "{same}");
    }
    assert_eq!(
        repositories(&lab, "storage.example"),
        repositories(&lab, &address)
    );
    assert_eq!(lab.json(None, &line, 0)["fetched"], 0);

    // What its garbage collection lost is said here too.
    drop(registry);
    let file = largest(&data);
    let lost = Digest::of(&fs_err::read(&file).unwrap());
    fs_err::write(&file, b"turned").unwrap();
    let other = ["registry", "backup", folder, "--name", "broken.example"];
    let report = lab.json(None, &other, 3);
    let findings = report["findings"].as_array().unwrap();
    assert!(findings.iter().all(|f| f["reference"] == lost.to_string()));
    assert!(!findings.is_empty());
    says(
        &lab.run(None, &["registry", "backup", folder], 2),
        &["--name", "HOST:PORT"],
    );
    let none = ["registry", "backup", "/proc", "--name", "a.example"];
    says(&lab.run(None, &none, 1), &["no storage of a registry"]);
}

#[test]
fn who_asks_for_a_certificate_gets_ours() {
    let lab = Lab::new();
    lab.init();
    let options = RegistryOptions {
        tls: true,
        newest: true,
        client_certificate: true,
        ..RegistryOptions::default()
    };
    let registry = RegistryServer::start(&lab.path("r1"), options).unwrap();
    let (address, ca) = (registry.address(), registry.authority());
    let both = lab.path("client.pem");
    let mut pem = fs_err::read(&ca).unwrap();
    pem.extend(fs_err::read(ca.with_file_name("key.pem")).unwrap());
    fs_err::write(&both, pem).unwrap();
    let (ca, both) = (ca.display().to_string(), both.display().to_string());
    let line = ["registry", "backup", &address, "--registry-ca", &ca];
    says(
        &lab.run(None, &line, 1),
        &["cannot be reached", "--registry-cert"],
    );
    let with = [&line[..], &["--registry-cert", &both]].concat();
    let report = lab.json(None, &with, 0);
    assert_eq!(report["repositories"], 0);
}

#[test]
fn signatures_without_tags_come_along() {
    let source = Lab::new();
    source.init();
    let mut made = Made::new("made.example");
    let config = made.blob("application/vnd.oci.image.config.v1+json", b"{}".to_vec());
    let image = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []});
    let image = made.manifest("team/app", Some("1.0"), &image);
    let signed = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/vnd.example.signature",
        "config": config, "layers": [], "subject": image, "annotations": {"by": "ann"},
    });
    let signature = made.manifest("team/app", None, &signed);
    made.commit(&source);
    let line = [
        "--accept",
        "--name",
        "registry.example",
        "--listen",
        "127.0.0.1:0",
    ];
    let served = Served::here(&source, &line);
    let to = served.address().to_owned();
    source.run(
        None,
        &["registry", "restore", "made.example", "--to", &to],
        0,
    );

    let lab = Lab::new();
    lab.init();
    let report = lab.json(None, &["registry", "backup", &to], 0);
    assert_eq!(
        (&report["tags"], &report["findings"]),
        (&json!(1), &json!([]))
    );
    let kept = repositories(&lab, &to);
    let digest = signature["digest"].as_str().unwrap();
    let kept = &kept["team/app"]["manifests"][digest];
    assert_eq!(kept["subject"], image["digest"], "{kept:#}");
    assert_eq!(kept["annotations"], json!({"by": "ann"}));
    served.stop();
}

#[test]
fn an_unchanged_registry_is_asked_once_for_each_of_a_thousand_tags() {
    let source = Lab::new();
    source.init();
    let mut made = Made::new("made.example");
    let layer = made.blob("application/vnd.oci.image.layer.v1.tar", vec![7; 100_000]);
    for number in 0..1000 {
        let config = format!("{{\"architecture\":\"amd64\",\"os\":\"linux\",\"n\":{number}}}");
        let config = made.blob(
            "application/vnd.oci.image.config.v1+json",
            config.into_bytes(),
        );
        let image =
            json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        made.manifest("team/app", Some(&format!("v{number}")), &image);
    }
    made.commit(&source);
    let registry = RegistryServer::start(&source.path("r1"), RegistryOptions::default()).unwrap();
    let address = registry.address();
    let back = source.json(None, &["registry", "restore", "--to", &address], 0);
    assert_eq!(back["tags"], 1000);
    let first = source.json(None, &["registry", "backup", &address], 0);
    assert_eq!(
        (&first["tags"], &first["fetched"]),
        (&json!(1000), &json!(2001))
    );
    let requests = || registry.server.log().matches(" HTTP/1.1\" ").count();
    let before = requests();
    let second = source.json(None, &["registry", "backup", &address], 0);
    assert_eq!(
        (&second["tags"], &second["fetched"]),
        (&json!(1000), &json!(0))
    );
    let requests = requests() - before;
    println!(
        "second backup of 1,000 tags: {requests} requests, {} s",
        second["seconds"]
    );
    assert!((1000..1050).contains(&requests), "{requests}");
}
