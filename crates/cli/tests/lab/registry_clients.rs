//! Engines of the disaster recovery site pull by the names that images always had: containerd, Podman, skopeo, each told
//! where to go in its own way, as `registry serve` says and the book has it.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use lifeboat_images::Digest;
use lifeboat_testkit::packages;

use crate::{
    registry_accept::{image, skopeo_does},
    registry_serve::Served,
    support::Lab,
    tiny::{stderr, stdout},
};

const NAME: &str = "registry.example/team/app:1.0";

/// A registry in the vault that had [`NAME`], served to read only; and its digest.
fn served(lab: &Lab) -> (Served, String) {
    lab.init();
    let line = [
        "--accept",
        "--name",
        "registry.example",
        "--listen",
        "127.0.0.1:0",
    ];
    let served = Served::here(lab, &line);
    let to = format!("docker://{}/team/app:1.0", served.address());
    skopeo_does(&["copy", "--dest-tls-verify=false", &image(), &to]);
    let line = [
        "inspect",
        "--tls-verify=false",
        "--format",
        "{{.Digest}}",
        &to,
    ];
    let digest = skopeo_does(&line).trim().to_owned();
    served.stop();
    // The site: no name is told, the clients say whose image they mean.
    (Served::here(lab, &["--listen", "127.0.0.1:0"]), digest)
}

/// What Podman and skopeo read.
fn registries_conf(lab: &Lab, served: &Served) -> std::path::PathBuf {
    let file = lab.path("registries.conf");
    let text = format!(
        "[[registry]]\nlocation = \"registry.example\"\n[[registry.mirror]]\nlocation = \"{}\"\ninsecure = true\n",
        served.address()
    );
    fs_err::write(&file, text).unwrap();
    file
}

#[test]
fn skopeo_and_podman_pull_by_the_names_of_old() {
    packages::ensure(&[
        ("podman", "a second engine for the tests"),
        ("skopeo", "a second client of registries for the tests"),
    ])
    .unwrap();
    let lab = Lab::new();
    let (served, digest) = served(&lab);
    let conf = registries_conf(&lab, &served);

    let mut skopeo = Command::new("skopeo");
    skopeo.arg("--registries-conf").arg(&conf);
    let copy = lab.path("copy");
    let to = format!("dir:{}", copy.display());
    skopeo.args([
        "--insecure-policy",
        "copy",
        &format!("docker://{NAME}"),
        &to,
    ]);
    let output = skopeo.output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let manifest = fs_err::read(copy.join("manifest.json")).unwrap();
    assert_eq!(Digest::of(&manifest).to_string(), digest);

    let podman = |args: &[&str]| {
        // Its mounts are its own, and end with it.
        let mut podman = Command::new("unshare");
        podman.args([
            "--mount",
            "podman",
            "--storage-driver",
            "vfs",
            "--cgroup-manager",
            "cgroupfs",
        ]);
        podman.arg("--root").arg(lab.path("podman"));
        podman.arg("--runroot").arg(lab.path("podman-run"));
        podman.arg("--tmpdir").arg(lab.path("podman-tmp"));
        podman.args(args).env("CONTAINERS_REGISTRIES_CONF", &conf);
        // Debian's podman has no policy of its own without a recommended package.
        podman.output().unwrap()
    };
    let policy = lab.path("policy.json");
    fs_err::write(
        &policy,
        r#"{"default": [{"type": "insecureAcceptAnything"}]}"#,
    )
    .unwrap();
    let policy = policy.to_str().unwrap();
    for name in [
        NAME.to_owned(),
        format!("registry.example/team/app@{digest}"),
    ] {
        let pulled = podman(&["pull", "--signature-policy", policy, &name]);
        assert!(pulled.status.success(), "{name}: {}", stderr(&pulled));
    }
    let line = ["image", "inspect", "--format", "{{.Digest}}", NAME];
    assert_eq!(stdout(&podman(&line)).trim(), digest);
    let none = podman(&[
        "pull",
        "--signature-policy",
        policy,
        "registry.example/team/app:none",
    ]);
    assert!(
        !none.status.success() && stderr(&none).contains("manifest unknown"),
        "{}",
        stderr(&none)
    );
    served.stop();
}

/// A containerd of our own; ended when dropped.
struct Containerd(Child);

impl Containerd {
    fn start(dir: &Path) -> Self {
        packages::ensure(&[("containerd", "the engine below Docker and Kubernetes")]).unwrap();
        fs_err::create_dir_all(dir).unwrap();
        let config = dir.join("config.toml");
        let text = format!(
            "version = 2\nroot = \"{0}/root\"\nstate = \"{0}/state\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = \"{0}/sock\"\n",
            dir.display()
        );
        fs_err::write(&config, text).unwrap();
        let log = fs_err::File::create(dir.join("log"))
            .unwrap()
            .into_parts()
            .0;
        let child = Command::new("unshare")
            .args(["--mount", "containerd", "--config"])
            .arg(config)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap();
        let started = Self(child);
        let until = Instant::now() + Duration::from_secs(30);
        while !dir.join("sock").exists() {
            assert!(Instant::now() < until, "containerd does not start");
            std::thread::sleep(Duration::from_millis(100));
        }
        started
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn containerd_pulls_by_the_names_of_old() {
    let lab = Lab::new();
    let (served, digest) = served(&lab);
    let dir = lab.path("containerd");
    let _containerd = Containerd::start(&dir);
    let hosts = lab.path("certs.d").join("registry.example");
    fs_err::create_dir_all(&hosts).unwrap();
    let text = format!(
        "[host.\"http://{}\"]\n  capabilities = [\"pull\", \"resolve\"]\n",
        served.address()
    );
    fs_err::write(hosts.join("hosts.toml"), text).unwrap();
    let ctr = |args: &[&str]| {
        let mut ctr = Command::new("ctr");
        ctr.arg("--address").arg(dir.join("sock")).args(args);
        ctr.output().unwrap()
    };
    let certs = lab.path("certs.d").display().to_string();
    let pull = |name: &str| {
        let line = ["images", "pull", "--snapshotter", "native"];
        ctr(&[&line[..], &["--hosts-dir", &certs, name]].concat())
    };
    for name in [
        NAME.to_owned(),
        format!("registry.example/team/app@{digest}"),
    ] {
        let pulled = pull(&name);
        assert!(
            pulled.status.success(),
            "{name}: {}{}",
            stdout(&pulled),
            stderr(&pulled)
        );
    }
    let listed = stdout(&ctr(&["images", "ls"]));
    assert_eq!(
        listed.matches(&digest).count(),
        2 + listed.matches(&format!("@{digest}")).count(),
        "{listed}"
    );
    served.stop();

    // The same from another host's point of view: TLS, with the certificate that the server made and names.
    let served = Served::here(&lab, &["--listen", "127.0.0.1:0", "--tls-self-signed"]);
    let url = served.said["url"].as_str().unwrap().to_owned();
    assert!(url.starts_with("https://"), "{url}");
    let toml = |ca: &str| {
        let text = format!("[host.\"{url}\"]\n  capabilities = [\"pull\", \"resolve\"]\n{ca}");
        fs_err::write(hosts.join("hosts.toml"), text).unwrap();
    };
    ctr(&["images", "rm", NAME]);
    toml("");
    let refused = pull(NAME);
    assert!(
        !refused.status.success() && stderr(&refused).contains("certificate"),
        "{}",
        stderr(&refused)
    );
    toml(&format!("  ca = {}\n", served.said["ca"]));
    let pulled = pull(NAME);
    assert!(pulled.status.success(), "{}", stderr(&pulled));
    let listed = stdout(&ctr(&["images", "ls", &format!("name=={NAME}")]));
    assert!(listed.contains(&digest), "{listed}");
    served.stop();
}
