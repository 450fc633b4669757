//! Registries as they are: backed up, lost, brought back into empty ones, byte for byte.

use std::{
    collections::BTreeMap,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use lifeboat_images::Digest;
use lifeboat_testkit::server::{RegistryOptions, RegistryServer};
use serde_json::{Value, json};

use crate::{
    support::Lab,
    tiny::{says, stderr, stdout},
};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// An OCI layout that skopeo pushes from: every kind of thing that a registry holds.
struct Layout {
    dir: PathBuf,
    named: Vec<Value>,
}

impl Layout {
    fn new(dir: PathBuf) -> Self {
        fs_err::create_dir_all(dir.join("blobs/sha256")).unwrap();
        fs_err::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        Self {
            dir,
            named: Vec::new(),
        }
    }

    fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = Digest::of(bytes);
        fs_err::write(self.dir.join(digest.path()), bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest.to_string(), "size": bytes.len()})
    }

    /// An image of one layer for a platform; its descriptor.
    fn image(&self, seed: u8, architecture: &str, magic: &[u8], packed: &str) -> Value {
        let layer: Vec<u8> = magic
            .iter()
            .copied()
            .chain((0..300_000_u32).map(|n| (n % 253) as u8 ^ seed))
            .collect();
        let config = json!({"architecture": architecture, "os": "linux", "config": {"Env": [format!("SEED={seed}")]},
            "rootfs": {"type": "layers", "diff_ids": [Digest::of(&layer).to_string()]}});
        let config = self.blob(
            "application/vnd.oci.image.config.v1+json",
            config.to_string().as_bytes(),
        );
        let kind = format!("application/vnd.oci.image.layer.v1.tar+{packed}");
        let layer = self.blob(&kind, &layer);
        let manifest =
            json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": [layer]});
        let mut image = self.blob(MANIFEST, manifest.to_string().as_bytes());
        image["platform"] = json!({"os": "linux", "architecture": architecture});
        image
    }

    fn name(&mut self, name: &str, mut descriptor: Value) {
        descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        self.named.push(descriptor);
        let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": self.named});
        fs_err::write(self.dir.join("index.json"), index.to_string()).unwrap();
    }

    fn source(&self, name: &str) -> String {
        format!("oci:{}:{name}", self.dir.display())
    }
}

const GZIP: &[u8] = &[0x1f, 0x8b, 8, 0];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Fills a registry: five versions, an index of two platforms with a zstd layer, a second repository; returns the digest of
/// the first version.
pub fn fill(lab: &Lab, registry: &RegistryServer) -> String {
    let mut layout = Layout::new(lab.path("layout"));
    for version in 0..5 {
        let image = layout.image(version, "amd64", GZIP, "gzip");
        layout.name(&format!("v{version}"), image);
    }
    let first = layout.named[0]["digest"].as_str().unwrap().to_owned();
    let platforms = [
        layout.image(10, "amd64", GZIP, "gzip"),
        layout.image(11, "arm64", ZSTD, "zstd"),
    ];
    let index = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": platforms});
    let index = layout.blob(INDEX, index.to_string().as_bytes());
    layout.name("multi", index);
    for version in 0..5 {
        let source = layout.source(&format!("v{version}"));
        registry
            .push(&source, &format!("team/app:v{version}"))
            .unwrap();
    }
    registry
        .push(&layout.source("multi"), "team/app:multi")
        .unwrap();
    registry.push(&layout.source("v0"), "other:latest").unwrap();
    // A signature: it refers to the first version, and is known by its digest alone, or by cosign's tag.
    let mut subject = layout.named[0].clone();
    for extra in ["annotations", "platform"] {
        subject.as_object_mut().unwrap().remove(extra);
    }
    let empty = layout.blob("application/vnd.oci.empty.v1+json", b"{}");
    let payload = layout.blob("application/vnd.example.signature", b"signed by ann");
    let signature = json!({"schemaVersion": 2, "mediaType": MANIFEST, "artifactType": "application/vnd.example.signature",
        "config": empty, "layers": [payload], "subject": subject, "annotations": {"by": "ann"}});
    let signature = layout.blob(MANIFEST, signature.to_string().as_bytes());
    layout.name("signature", signature);
    let tag = format!("team/app:{}.sig", first.replace(':', "-"));
    registry.push(&layout.source("signature"), &tag).unwrap();
    first
}

/// Every blob that a registry keeps, by its path.
fn blobs(registry: &RegistryServer) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let top = registry.data().join("docker/registry/v2/blobs");
    let mut next = vec![top.clone()];
    while let Some(dir) = next.pop() {
        for entry in fs_err::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                next.push(path);
            } else {
                let place = path.strip_prefix(&top).unwrap().to_owned();
                found.insert(place, fs_err::read(path).unwrap());
            }
        }
    }
    found
}

#[test]
fn a_registry_is_lost_and_brought_back_byte_for_byte() {
    let lab = Lab::new();
    lab.init();
    let registry = RegistryServer::start(&lab.path("r1"), RegistryOptions::default()).unwrap();
    let first = fill(&lab, &registry);
    let address = registry.address();

    let report = lab.json(None, &["registry", "backup", &address], 0);
    assert_eq!(report["repositories"], 2);
    assert_eq!(report["tags"], 8);
    assert_eq!(report["findings"], json!([]));
    let again = lab.json(None, &["registry", "backup", &address], 0);
    assert_eq!(again["fetched"], 0, "what the vault has was fetched again");
    assert_eq!(again["blobs"], report["blobs"]);
    let list = lab.run(None, &["points"], 0);
    assert!(
        stdout(&list).contains(&format!("registry {address}")),
        "{}",
        stdout(&list)
    );

    // Killed before its point is written: nothing of it is in sight, and the next run is whole.
    lab.killed(None, &["registry", "backup", &address], "write-snapshot");
    assert_eq!(
        lab.json(None, &["points"], 0)["points"]
            .as_array()
            .unwrap()
            .len(),
        2
    );

    let (before, manifest) = (
        blobs(&registry),
        registry.manifest("team/app:multi").unwrap(),
    );
    drop(registry);
    fs_err::remove_dir_all(lab.path("r1")).unwrap();

    // Takes the lock of the dead away, which restic's exclusive check would stop at.
    lab.run(None, &["check"], 0);
    lab.restic(&["check", "--read-data"]);
    lab.run(None, &["registry", "check", "--read-data"], 0);
    let empty = RegistryServer::start(&lab.path("r2"), RegistryOptions::default()).unwrap();
    let to = empty.address();
    lab.killed(None, &["registry", "restore", "--to", &to], "push");
    let back = lab.json(None, &["registry", "restore", "--to", &to], 0);
    assert_eq!(back["tags"], 8);
    assert!(blobs(&empty) == before, "not every byte is as it was");
    assert_eq!(empty.manifest("team/app:multi").unwrap(), manifest);
    let by_digest = empty.manifest(&format!("team/app@{first}")).unwrap();
    assert_eq!(Digest::of(by_digest.as_bytes()).to_string(), first);
    let again = lab.json(None, &["registry", "restore", "--to", &to], 0);
    assert_eq!(again["blobs"], 0, "what is there was sent again");

    // Under other names, a part of it.
    let line = [
        "registry",
        "restore",
        "--to",
        &to,
        "--repo",
        "team/*",
        "--rename",
        "team=dr/team",
    ];
    let renamed = lab.json(None, &line, 0);
    assert_eq!(
        (&renamed["repositories"], &renamed["tags"]),
        (&json!(1), &json!(7))
    );
    assert_eq!(empty.manifest("dr/team/app:multi").unwrap(), manifest);

    // Plain restic gives a layout that another client copies from.
    let out = lab.path("out");
    lab.restic(&["restore", "latest", "--target", out.to_str().unwrap()]);
    let name = format!("{address}/team/app:v3");
    empty
        .push(&format!("oci:{}:{name}", out.display()), "from-restic:v3")
        .unwrap();
    assert_eq!(
        empty.manifest("from-restic:v3").unwrap(),
        empty.manifest("team/app:v3").unwrap()
    );
}

#[test]
fn what_a_registry_lost_is_said_and_the_rest_is_kept() {
    let lab = Lab::new();
    lab.init();
    let registry = RegistryServer::start(&lab.path("r1"), RegistryOptions::default()).unwrap();
    fill(&lab, &registry);
    // The way that distribution's own garbage collection loses a layer that is in use.
    let lost = Digest::of(&fs_err::read(largest(&registry.data())).unwrap());
    fs_err::remove_file(largest(&registry.data())).unwrap();
    let report = lab.json(None, &["registry", "backup", &registry.address()], 3);
    let findings = report["findings"].as_array().unwrap();
    assert!(!findings.is_empty());
    assert!(
        findings.iter().all(|f| f["reference"] == lost.to_string()),
        "{report:#}"
    );
    lab.run(None, &["registry", "check", "--read-data"], 3);
    let point = &lab.json(None, &["points"], 0)["points"][0];
    assert_eq!(point["partial"], true);

    // Only what was asked for.
    let line = [
        "registry",
        "backup",
        &registry.address(),
        "--repo",
        "team/app",
        "--tag",
        "multi",
        "--platform",
        "linux/arm64",
    ];
    let one = lab.json(None, &line, 0);
    assert_eq!((&one["tags"], &one["blobs"]), (&json!(1), &json!(4)));
    let line = [
        "registry",
        "backup",
        &registry.address(),
        "--repo",
        "nothing/here",
    ];
    let none = lab.json(None, &line, 3);
    assert!(
        none["findings"][0]["reason"]
            .as_str()
            .unwrap()
            .contains("no such repository")
    );
}

/// The largest file below.
pub fn largest(dir: &Path) -> PathBuf {
    let mut all = Vec::new();
    let mut next = vec![dir.to_owned()];
    while let Some(dir) = next.pop() {
        for entry in fs_err::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => next.push(path),
                false => all.push((fs_err::metadata(&path).unwrap().len(), path)),
            }
        }
    }
    all.sort();
    all.pop().unwrap().1
}

#[test]
fn logins_certificates_and_whom_it_does_not_know() {
    let lab = Lab::new();
    lab.init();
    let options = RegistryOptions {
        password: true,
        tls: true,
        newest: true,
        ..RegistryOptions::default()
    };
    let registry = RegistryServer::start(&lab.path("r1"), options).unwrap();
    fill(&lab, &registry);
    let address = registry.address();
    let ca = registry.authority().display().to_string();
    let (config, bin) = (lab.path("docker"), lab.path("bin"));
    fs_err::create_dir_all(&config).unwrap();
    fs_err::create_dir_all(&bin).unwrap();
    let path = format!("{}:{}", bin.display(), "/usr/sbin:/usr/bin:/sbin:/bin");
    let backup = |more: &[&str], code: i32| {
        let args: Vec<&str> = ["registry", "backup", &address]
            .iter()
            .chain(more)
            .copied()
            .collect();
        let mut command = lab.command(None, &args);
        command.env("DOCKER_CONFIG", &config).env("PATH", &path);
        let output = command.output().unwrap();
        assert_eq!(
            output.status.code(),
            Some(code),
            "{args:?}: {}",
            stderr(&output)
        );
        let said = format!("{}{}", stdout(&output), stderr(&output));
        assert!(!said.contains(RegistryServer::PASSWORD), "{said}");
        output
    };
    // No authority of ours vouches for it; then nobody has logged in; then with a wrong password.
    says(&backup(&[], 1), &["cannot be reached", "certificate"]);
    says(
        &backup(&["--registry-ca", &ca], 1),
        &["docker login", "--registry-user"],
    );
    let file = lab.path("password");
    let with_password = |password: &str, code: i32| {
        fs_err::write(&file, format!("{password}\n")).unwrap();
        let file = file.display().to_string();
        let line = [
            "--registry-ca",
            &ca,
            "--registry-user",
            RegistryServer::USER,
            "--registry-password-file",
            &file,
        ];
        backup(&line, code)
    };
    says(&with_password("wrong", 1), &["refuses", "docker login"]);
    with_password(RegistryServer::PASSWORD, 0);
    // As `docker login` keeps it, in the file and by a helper.
    let auth = "bGlmZWJvYXQ6Y29ycmVjdCBob3JzZQ==";
    fs_err::write(
        config.join("config.json"),
        json!({"auths": {&address: {"auth": auth}}}).to_string(),
    )
    .unwrap();
    backup(&["--registry-ca", &ca], 0);
    let helper = bin.join("docker-credential-lab");
    let answer = json!({"ServerURL": address, "Username": RegistryServer::USER, "Secret": RegistryServer::PASSWORD});
    fs_err::write(
        &helper,
        format!(
            "#!/bin/sh\nread server\n[ \"$1 $server\" = 'get {address}' ] && echo '{answer}'\n"
        ),
    )
    .unwrap();
    fs_err::set_permissions(&helper, std::fs::Permissions::from_mode(0o755)).unwrap();
    fs_err::write(
        config.join("config.json"),
        json!({"credHelpers": {&address: "lab"}}).to_string(),
    )
    .unwrap();
    backup(&["--registry-ca", &ca], 0);
    fs_err::write(
        config.join("config.json"),
        json!({"credsStore": "nobody"}).to_string(),
    )
    .unwrap();
    says(
        &backup(&["--registry-ca", &ca], 1),
        &["docker-credential-nobody"],
    );
    fs_err::write(config.join("config.json"), "{\"auths\": 1").unwrap();
    says(
        &backup(&["--registry-ca", &ca], 1),
        &["config.json", "no configuration of Docker"],
    );
    // Nobody is there, and what is no address.
    says(
        &lab.run(None, &["registry", "backup", "127.0.0.1:1"], 1),
        &["cannot be reached", "run the command again"],
    );
    says(
        &lab.run(None, &["registry", "backup", "https://a/b"], 2),
        &["HOST or HOST:PORT"],
    );
    says(
        &lab.run(None, &["registry", "restore", "nope", "--to", &address], 1),
        &["holds no registry", &address],
    );
}
