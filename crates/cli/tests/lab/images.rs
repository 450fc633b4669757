//! The images of apps: from their registry where it answers, from the engine where it does not, each layer once.

use std::{path::Path, process::Command};

use lifeboat_testkit::{
    engine::{PrivateEngine, Release},
    images,
    server::{RegistryOptions, RegistryServer},
};
use serde_json::{Value, json};

use crate::{
    registry_serve::docker,
    support::{Lab, only},
    tiny::{self, IDLE, noise, stderr, stdout},
};

fn pull_and_run(engine: &PrivateEngine, image: &str) {
    let pulled = docker(engine, &format!("pull {image}"));
    assert!(pulled.status.success(), "{}", stderr(&pulled));
    let body = json!({"Image": image, "Cmd": ["sh", "-c", IDLE], "StopTimeout": 1});
    engine.api().create_container("shop", &body).unwrap();
    tiny::start(engine, "shop");
}

/// Bytes as hexadecimal digits.
fn in_text(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `app.json` of the newest point.
fn manifest(lab: &Lab) -> Value {
    let id = lab.restic(&["snapshots", "--json", "latest"]);
    let list: Value = serde_json::from_str(id.lines().last().unwrap()).unwrap();
    let id = list[0]["short_id"].as_str().unwrap().to_owned();
    serde_json::from_str(&lab.restic(&["dump", &id, "/app.json"])).unwrap()
}

#[test]
fn an_image_is_kept_as_its_registry_has_it_and_comes_back_without_it() {
    let lab = Lab::new();
    lab.init();
    let engine = lab.engine_of("a", Release::Distribution);
    let image = engine
        .in_network(|| {
            let mut registry =
                RegistryServer::start(&lab.path("r"), RegistryOptions::default()).unwrap();
            let digest = images::push_index(&lab.path("layout"), &registry, "team/app:1").unwrap();
            let name = format!("{}/team/app", registry.address());
            pull_and_run(&engine, &format!("{name}:1"));
            let there = lab.json(Some(&engine), &["apps", "--images"], 0);
            let there = &there["images"][0];
            assert_eq!(there["registry"], format!("{name}@{digest}"), "{there}");
            assert_eq!(there["only_here"], false);

            let first = lab.json(Some(&engine), &["backup", "shop"], 0);
            let image = manifest(&lab)["images"][0].clone();
            assert_eq!(image["from_registry"], format!("{name}@{digest}"));
            assert_eq!(image["manifest_digest"], digest, "{first}");
            lab.json(None, &["check", "--read-data"], 0);

            // What is known costs nothing and needs nobody.
            registry.server.kill();
            let again = lab.json(Some(&engine), &["backup", "shop"], 0);
            assert_eq!(manifest(&lab)["images"][0], image);
            assert_eq!(only(&again)["warnings"], only(&first)["warnings"]);
            // What is new comes from the engine where no registry answers, and that is said.
            lab.json(Some(&engine), &["apps", "--images"], 0);
            let lab = Lab::new();
            lab.init();
            let alone = lab.json(Some(&engine), &["apps", "--images"], 0);
            assert_eq!(alone["images"][0]["only_here"], true, "{alone}");
            let table = stdout(&lab.run(Some(&engine), &["apps", "--images"], 0));
            assert!(table.contains("One disk away"), "{table}");
            let told = lab.json(Some(&engine), &["backup", "shop"], 0);
            let warnings = only(&told)["warnings"].to_string();
            assert!(warnings.contains("taken from the engine"), "{warnings}");
            assert_eq!(manifest(&lab)["images"][0]["from_registry"], Value::Null);
            image
        })
        .unwrap();
    engine.destroy().unwrap();
    for (name, release) in [("b", Release::Distribution), ("c", Release::Newest)] {
        let second = lab.engine_of(name, release);
        lab.json(Some(&second), &["restore", "shop"], 0);
        assert!(tiny::runs(&second, "shop"));
        let id = &tiny::inspect(&second, "shop")["Image"];
        let wanted = match release {
            Release::Distribution => &image["config_digest"],
            // It keeps the image as the registry had it, the index of which it has one platform included.
            Release::Newest => &image["manifest_digest"],
        };
        assert_eq!(id, wanted);
        lab.run(Some(&second), &["restore", "shop", "--dry-run"], 1);
    }
}

/// A registry that is not open to everybody: what vouches for it lies in `certs.d`, the login where `docker login` keeps it.
/// Where either is missing the image comes from the engine, and why is said.
#[test]
fn an_image_of_a_registry_with_tls_and_a_login() {
    let lab = Lab::new();
    let engine = lab.engine_of("a", Release::Distribution);
    engine
        .in_network(|| {
            let options = RegistryOptions {
                password: true,
                tls: true,
                ..RegistryOptions::default()
            };
            let registry = RegistryServer::start(&lab.path("r"), options).unwrap();
            let digest = images::push_index(&lab.path("layout"), &registry, "team/app:1").unwrap();
            let name = format!("{}/team/app", registry.address());
            // As `docker login` writes it.
            let config = lab.path("docker-config");
            fs_err::create_dir(&config).unwrap();
            let login = json!({"auth": "bGlmZWJvYXQ6Y29ycmVjdCBob3JzZQ=="});
            let auths = json!({"auths": {registry.address(): login}});
            fs_err::write(config.join("config.json"), auths.to_string()).unwrap();
            // Docker asks for no certificate on this machine itself.
            let line = format!("--config {} pull {name}:1", config.display());
            let pulled = docker(&engine, &line);
            assert!(pulled.status.success(), "{}", stderr(&pulled));
            let body = json!({"Image": format!("{name}:1"), "Cmd": ["sh", "-c", IDLE]});
            engine.api().create_container("shop", &body).unwrap();
            tiny::start(&engine, "shop");

            // Where the engine's own /etc/docker is.
            let backup = |config: &Path| {
                let lab = Lab::new();
                lab.init();
                let mut command = engine.host_command(env!("CARGO_BIN_EXE_lifeboat"));
                command.args(["backup", "shop", "-o", "json"]);
                command.env("LIFEBOAT_CONFIG_DIR", lab.path("etc"));
                command.env("LIFEBOAT_STATE_DIR", lab.path("state"));
                let output = command.env("DOCKER_CONFIG", config).output().unwrap();
                assert!(output.status.success(), "{}", stderr(&output));
                assert!(!stderr(&output).contains("horse"));
                let report: Value = serde_json::from_slice(&output.stdout).unwrap();
                let image = manifest(&lab)["images"][0].clone();
                (image, only(&report)["warnings"].to_string())
            };
            let (image, warnings) = backup(&config);
            assert_eq!(image["from_registry"], Value::Null, "{warnings}");
            assert!(warnings.contains("certificate"), "{warnings}");
            let mut trust = engine.host_command("sh");
            let folder = format!("/etc/docker/certs.d/{}", registry.address());
            trust.args([
                "-c",
                "mkdir -p \"$1\" && cp \"$2\" \"$1/ca.crt\"",
                "sh",
                &folder,
            ]);
            assert!(trust.arg(registry.authority()).status().unwrap().success());
            let (image, warnings) = backup(&lab.path("nothing"));
            assert_eq!(image["from_registry"], Value::Null, "{warnings}");
            assert!(warnings.contains("login"), "{warnings}");
            let (image, warnings) = backup(&config);
            assert_eq!(
                image["from_registry"],
                format!("{name}@{digest}"),
                "{warnings}"
            );
            assert_eq!(image["manifest_digest"], digest);
        })
        .unwrap();
}

#[test]
fn an_index_of_which_the_engine_has_one_platform_is_no_damage() {
    let lab = Lab::new();
    lab.init();
    let engine = lab.engine_of("a", Release::Newest);
    let digest = engine
        .in_network(|| {
            let registry =
                RegistryServer::start(&lab.path("r"), RegistryOptions::default()).unwrap();
            let digest = images::push_index(&lab.path("layout"), &registry, "team/app:1").unwrap();
            pull_and_run(&engine, &format!("{}/team/app:1", registry.address()));
            digest
        })
        .unwrap();
    // The registry is gone: the engine has all that it served, under the digest that it had.
    lab.json(Some(&engine), &["backup", "shop"], 0);
    let image = manifest(&lab)["images"][0].clone();
    assert_eq!(image["manifest_digest"], digest, "{image}");
    lab.json(None, &["check", "--read-data"], 0);
    engine.destroy().unwrap();
    let second = lab.engine_of("b", Release::Newest);
    lab.json(Some(&second), &["restore", "shop"], 0);
    assert_eq!(tiny::inspect(&second, "shop")["Image"], digest);
}

#[test]
fn soak_twenty_versions_of_an_image_cost_little_more_than_one() {
    const VERSIONS: u64 = 20;
    const MIB: usize = 1 << 20;
    let (one, all) = (Lab::new(), Lab::new());
    one.init();
    all.init();
    let engine = one.engine("a");
    let base = images::services().unwrap();
    base.load(&engine).unwrap();
    let api = engine.api();
    let files = |change: u64| {
        let dir = one.path("files");
        let _ = fs_err::remove_dir_all(&dir);
        fs_err::create_dir(&dir).unwrap();
        // Of the program itself a tenth differs; what it stands on is a distribution with PostgreSQL and Redis.
        // As programs do, it compresses to about half.
        let program = [noise(9 * MIB / 20, 2), noise(MIB / 20, 3 + 2 * change)].concat();
        fs_err::write(dir.join("program"), in_text(&program)).unwrap();
        let mut tar = Command::new("tar");
        let made = tar.arg("-C").arg(&dir).args(["-c", "."]).output().unwrap();
        assert!(made.status.success());
        made.stdout
    };
    let making = json!({"Image": base.reference(), "Cmd": ["true"]});
    api.create_container("making", &making).unwrap();
    for version in 0..VERSIONS {
        let tar = files(version);
        let length = tar.len() as u64;
        api.upload(
            "PUT",
            "/containers/making/archive?path=/",
            &mut tar.as_slice(),
            length,
        )
        .unwrap();
        api.post(
            &format!("/commit?container=making&repo=team/app&tag=v{version}"),
            &json!({}),
        )
        .unwrap();
        tiny::remove(&engine, "making");
        api.create_container("making", &making).unwrap();
        let app = |project: &str| {
            json!({"Image": format!("team/app:v{version}"), "Cmd": ["true"],
            "Labels": {"com.docker.compose.project": project, "com.docker.compose.service": format!("v{version}")}})
        };
        api.create_container(&format!("all-{version}"), &app("all"))
            .unwrap();
        if version == 0 {
            api.create_container("one", &app("one")).unwrap();
        }
    }
    one.json(Some(&engine), &["backup", "one"], 0);
    all.json(Some(&engine), &["backup", "all"], 0);
    let size = |lab: &Lab| {
        let mut du = Command::new("du");
        let said = du
            .args(["-sb"])
            .arg(lab.vault().join("data"))
            .output()
            .unwrap();
        let said = String::from_utf8(said.stdout).unwrap();
        said.split_whitespace()
            .next()
            .unwrap()
            .parse::<u64>()
            .unwrap()
    };
    let (one_size, all_size) = (size(&one), size(&all));
    let ratio = all_size as f64 / one_size as f64;
    println!(
        "one version: {one_size} bytes, {VERSIONS} versions: {all_size} bytes, {ratio:.3} times"
    );
    assert!(one_size > 40 * MIB as u64, "{one_size}");
    assert!(ratio < 1.3, "{one_size} and {all_size}");
    // A second backup of all of them reads none.
    let again = all.json(Some(&engine), &["backup", "all"], 0);
    assert!(only(&again)["added"].as_u64().unwrap() < 200_000, "{again}");
}
