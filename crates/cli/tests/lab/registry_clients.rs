//! Engines of the disaster recovery site pull by the names that images always had: containerd, Podman, skopeo, each told
//! where to go in its own way, as `registry serve` says and the book has it.

use std::{path::PathBuf, process::Command};

use lifeboat_images::Digest;
use lifeboat_testkit::{
    clients::{Containerd, Podman, pull_by_all},
    engine::Release,
    images,
    server::{Notation, RegistryOptions, RegistryServer},
};
use serde_json::json;

use crate::{
    registry_accept::{image, skopeo_does},
    registry_serve::{Served, docker_does, id},
    support::Lab,
    tiny::{self, IDLE, stderr, stdout},
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
fn registries_conf(lab: &Lab, served: &Served) -> PathBuf {
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
    let lab = Lab::new();
    let storage = Podman::new(&lab.path("podman")).unwrap();
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

    let podman = |mut command: Command| {
        let command = command.env("CONTAINERS_REGISTRIES_CONF", &conf);
        command.output().unwrap()
    };
    for name in [
        NAME.to_owned(),
        format!("registry.example/team/app@{digest}"),
    ] {
        let pulled = podman(storage.pull(&[], &name));
        assert!(pulled.status.success(), "{name}: {}", stderr(&pulled));
    }
    let line = ["image", "inspect", "--format", "{{.Digest}}", NAME];
    assert_eq!(stdout(&podman(storage.command(&line))).trim(), digest);
    let none = podman(storage.pull(&[], "registry.example/team/app:none"));
    assert!(
        !none.status.success() && stderr(&none).contains("manifest unknown"),
        "{}",
        stderr(&none)
    );
    served.stop();
}

#[test]
fn containerd_pulls_by_the_names_of_old() {
    let lab = Lab::new();
    let (served, digest) = served(&lab);
    let containerd = Containerd::start(&lab.path("containerd")).unwrap();
    let hosts = lab.path("certs.d").join("registry.example");
    fs_err::create_dir_all(&hosts).unwrap();
    let text = format!(
        "[host.\"http://{}\"]\n  capabilities = [\"pull\", \"resolve\"]\n",
        served.address()
    );
    fs_err::write(hosts.join("hosts.toml"), text).unwrap();
    let ctr = |args: &[&str]| containerd.ctr(args).output().unwrap();
    let certs = lab.path("certs.d").display().to_string();
    let pull = |name: &str| {
        containerd
            .pull(&["--hosts-dir", &certs], name)
            .output()
            .unwrap()
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

/// A signed image for two machines, and an app that runs from it. Registry and engine are lost; all that the next engine
/// reaches is the vault, in the registry's place.
#[test]
fn an_app_comes_back_where_no_registry_but_ours_is_and_every_client_pulls_its_image() {
    let lab = Lab::new();
    lab.init();
    let notation = Notation::new(&lab.path("notation")).unwrap();
    let first = lab.engine("first");
    let lost = || {
        let registry = RegistryServer::start(&lab.path("r"), RegistryOptions::default()).unwrap();
        let address = registry.address();
        let digest = images::push_index(&lab.path("layout"), &registry, "team/app:1.0").unwrap();
        let by_digest = format!("{address}/team/app@{digest}");
        notation.verify(&by_digest).unwrap_err();
        notation.sign(&by_digest).unwrap();
        notation.verify(&by_digest).unwrap();
        lab.json(None, &["registry", "backup", &address], 0);
        let name = format!("{address}/team/app:1.0");
        docker_does(&first, &format!("pull {name}"));
        let body = json!({"Image": name, "Cmd": ["sh", "-c", IDLE], "StopTimeout": 1});
        first.api().create_container("shop", &body).unwrap();
        tiny::start(&first, "shop");
        lab.json(Some(&first), &["backup", "shop"], 0);
        (address, digest)
    };
    let (address, digest) = first.in_network(lost).unwrap();
    let (name, by_digest) = (
        format!("{address}/team/app:1.0"),
        format!("{address}/team/app@{digest}"),
    );
    first.destroy().unwrap();

    for release in [Release::Distribution, Release::Newest] {
        let engine = lab.engine_of(&format!("{release:?}").to_lowercase(), release);
        let served = Served::start(&lab, &engine, &["--listen", &address]);
        lab.json(Some(&engine), &["restore", "shop"], 0);
        assert!(tiny::runs(&engine, "shop"));
        let runs_from = tiny::inspect(&engine, "shop")["Image"].clone();
        for name in [&name, &by_digest] {
            let said = docker_does(&engine, &format!("pull {name}"));
            assert!(said.contains(&digest), "{said}");
        }
        assert_eq!(runs_from, id(&engine, &name), "{release:?}");
        // As if it had never been there.
        tiny::remove(&engine, "shop");
        docker_does(&engine, &format!("rmi -f {}", id(&engine, &name)));
        docker_does(&engine, &format!("run --rm {name} true"));
        let line = "image inspect -f {{.RepoDigests}} ";
        assert!(docker_does(&engine, &format!("{line}{name}")).contains(&by_digest));
        let clients = || {
            notation.verify(&by_digest)?;
            let dir = lab.path(&format!("clients-{release:?}"));
            pull_by_all(&dir, &name, &by_digest, &digest)
        };
        engine.in_network(clients).unwrap().unwrap();
        served.stop();
    }
}
