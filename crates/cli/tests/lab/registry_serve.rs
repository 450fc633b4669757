//! Engines that pull from the vault: by the server's address, by the names that images had, by digest, beside
//! a vault that is damaged, in the place of a registry that was backed up.
//!
//! Seen to fail: the damaged vault, while its byte was not turned.

use std::{
    io::{BufRead, BufReader, Read},
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

use lifeboat_testkit::{
    engine::{EngineOptions, PrivateEngine},
    packages,
};
use serde_json::{Value, json};

use crate::{
    support::Lab,
    tiny::{self, IDLE, stderr, stdout},
};

/// The program, serving inside an engine's network.
pub struct Served {
    child: Child,
    /// What it said on standard output.
    pub said: Value,
}

impl Served {
    pub fn start(lab: &Lab, engine: &PrivateEngine, args: &[&str]) -> Self {
        let command = engine.netns_command(env!("CARGO_BIN_EXE_lifeboat"));
        Self::run(lab, command, args)
    }

    /// On this machine's own loopback.
    pub fn here(lab: &Lab, args: &[&str]) -> Self {
        Self::run(lab, Command::new(env!("CARGO_BIN_EXE_lifeboat")), args)
    }

    /// By a program that was told other places, perhaps.
    pub fn run(lab: &Lab, mut command: Command, args: &[&str]) -> Self {
        let mut child = command
            .args(["registry", "serve", "-o", "json"])
            .args(args)
            .env("LIFEBOAT_CONFIG_DIR", lab.path("etc"))
            .env("LIFEBOAT_STATE_DIR", lab.path("state"))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let stdout = child.stdout.take().unwrap();
        BufReader::new(stdout).read_line(&mut line).unwrap();
        let said = serde_json::from_str(&line).unwrap_or_else(|_| {
            let mut why = String::new();
            let _ = child.stderr.take().unwrap().read_to_string(&mut why);
            panic!("it does not serve: {line}{why}")
        });
        Self { child, said }
    }

    /// The most memory that it had so far, in bytes.
    pub fn most_memory(&self) -> u64 {
        let status = fs_err::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:"));
        let kib: u64 = line
            .unwrap()
            .split_whitespace()
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        kib << 10
    }

    /// `HOST:PORT`.
    pub fn address(&self) -> &str {
        let url = self.said["url"].as_str().unwrap();
        url.split_once("://").unwrap().1
    }

    /// Ends it as a power cut does.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ends it as an administrator does; what it said on standard error.
    pub fn stop(mut self) -> String {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let mut said = String::new();
        let mut stderr = self.child.stderr.take().unwrap();
        stderr.read_to_string(&mut said).unwrap();
        let status = self.child.wait().unwrap();
        assert_eq!(status.code(), Some(0), "{said}");
        said
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The docker program inside an engine's network.
pub fn docker(engine: &PrivateEngine, line: &str) -> Output {
    let mut docker = engine.netns_command("docker");
    docker.args(line.split_whitespace());
    docker.env("DOCKER_HOST", engine.docker_host());
    docker.output().unwrap()
}

pub fn docker_does(engine: &PrivateEngine, line: &str) -> String {
    let output = docker(engine, line);
    assert!(
        output.status.success(),
        "docker {line}: {}",
        stderr(&output)
    );
    stdout(&output)
}

pub fn id(engine: &PrivateEngine, image: &str) -> String {
    let id = docker_does(engine, &format!("image inspect -f {{{{.Id}}}} {image}"));
    id.trim().to_owned()
}

const NAMED: &str = "registry.example/team/app:1.0";

/// A vault with a point of an app on an engine, its image under two names; the image's id.
fn protected(lab: &Lab) -> String {
    lab.init();
    let engine = tiny::engine(lab, "one");
    docker_does(&engine, &format!("tag lifeboat/busybox:latest {NAMED}"));
    let body = json!({"Image": NAMED, "Cmd": ["sh", "-c", IDLE], "StopTimeout": 1});
    engine.api().create_container("shop", &body).unwrap();
    tiny::start(&engine, "shop");
    lab.run(Some(&engine), &["backup", "shop"], 0);
    id(&engine, NAMED)
}

/// An engine that has nothing, and gives up at once.
pub fn empty(lab: &Lab, more: &[&str], instead: Vec<(PathBuf, PathBuf)>) -> PrivateEngine {
    let mut options = EngineOptions::new("two", lab.path("two")).hostname("lab");
    options.args = ["--max-download-attempts", "1"]
        .iter()
        .chain(more)
        .map(|arg| (*arg).to_owned())
        .collect();
    options.instead = instead;
    PrivateEngine::start(options).unwrap()
}

#[test]
fn an_engine_pulls_from_the_vault_and_is_never_given_a_wrong_byte() {
    let lab = Lab::new();
    let image = protected(&lab);
    let mirror = ["--registry-mirror", "http://127.0.0.1:5000"];
    let engine = empty(&lab, &mirror, Vec::new());
    let served = Served::start(&lab, &engine, &[]);
    assert_eq!(served.said["url"], "http://127.0.0.1:5000");

    // By the address, by tag.
    let said = docker_does(&engine, "pull 127.0.0.1:5000/lifeboat/busybox:latest");
    assert_eq!(id(&engine, "127.0.0.1:5000/lifeboat/busybox"), image);
    let digest = said
        .lines()
        .find_map(|line| line.strip_prefix("Digest: "))
        .unwrap();
    // By digest, and out of the one point.
    let points = lab.json(None, &["points"], 0);
    let point = &points["points"][0]["id"].as_str().unwrap()[..8];
    docker_does(&engine, &format!("rmi -f {image}"));
    docker_does(&engine, &format!("pull 127.0.0.1:5000/team/app@{digest}"));
    docker_does(
        &engine,
        &format!("pull 127.0.0.1:5000/point-{point}/team/app:1.0"),
    );
    assert_eq!(
        id(
            &engine,
            &format!("127.0.0.1:5000/point-{point}/team/app:1.0")
        ),
        image
    );

    // By its own name: all that the engine can reach is ours.
    docker_does(&engine, "run --rm lifeboat/busybox:latest true");
    assert_eq!(id(&engine, "lifeboat/busybox"), image);

    // What is not there is not there.
    let refused = docker(&engine, "pull 127.0.0.1:5000/lifeboat/busybox:other");
    assert!(
        stderr(&refused).contains("manifest unknown"),
        "{}",
        stderr(&refused)
    );
    let pushed = docker(
        &engine,
        &format!("push 127.0.0.1:5000/point-{point}/team/app:1.0"),
    );
    assert!(!pushed.status.success());

    // Bytes that are turned come as no bytes.
    let all = docker_does(&engine, "images -q --no-trunc");
    let all: std::collections::BTreeSet<&str> = all.lines().collect();
    for image in all {
        docker_does(&engine, &format!("rmi -f {image}"));
    }
    damage(&lab);
    let pulled = docker(&engine, "pull 127.0.0.1:5000/lifeboat/busybox:latest");
    assert!(!pulled.status.success(), "{}", stdout(&pulled));
    assert_eq!(docker_does(&engine, "images -q"), "");
    let said = served.stop();
    assert!(
        said.contains("broken off") || said.contains("refused"),
        "{said}"
    );
}

/// Turns a byte in the middle of the largest pack, which the layer fills.
fn damage(lab: &Lab) {
    let mut largest: Option<(u64, PathBuf)> = None;
    for folder in fs_err::read_dir(lab.vault().join("data")).unwrap() {
        for pack in fs_err::read_dir(folder.unwrap().path()).unwrap() {
            let pack = pack.unwrap();
            let size = pack.metadata().unwrap().len();
            if largest.as_ref().is_none_or(|(most, _)| *most < size) {
                largest = Some((size, pack.path()));
            }
        }
    }
    let pack = largest.unwrap().1;
    let mut bytes = fs_err::read(&pack).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs_err::remove_file(&pack).unwrap();
    fs_err::write(&pack, bytes).unwrap();
}

#[test]
fn an_engine_pulls_by_the_name_of_the_registry_that_is_gone() {
    let lab = Lab::new();
    let image = protected(&lab);
    // Not an address that Docker trusts whatever its certificate.
    let hosts = lab.path("hosts");
    fs_err::write(&hosts, "127.0.0.1 localhost\n10.99.0.1 registry.example\n").unwrap();
    let engine = empty(&lab, &[], vec![(hosts, PathBuf::from("/etc/hosts"))]);
    let mut ip = engine.netns_command("ip");
    let added = ip
        .args(["addr", "add", "10.99.0.1/32", "dev", "lo"])
        .status();
    assert!(added.unwrap().success());

    let secret = lab.path("secret");
    fs_err::write(&secret, "open sesame\n").unwrap();
    let served = Served::start(
        &lab,
        &engine,
        &[
            "--listen",
            "10.99.0.1:443",
            "--name",
            "registry.example",
            "--user",
            "ann",
            "--user-password-file",
            secret.to_str().unwrap(),
        ],
    );
    let refused = docker(&engine, &format!("pull {NAMED}"));
    assert!(
        stderr(&refused).contains("certificate"),
        "{}",
        stderr(&refused)
    );
    // What the program said to do.
    let trusted = fs_err::read_dir(lab.path("two"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.display().to_string().contains("etc-docker-"))
        .unwrap()
        .join("certs.d/registry.example");
    fs_err::create_dir_all(&trusted).unwrap();
    fs_err::copy(served.said["ca"].as_str().unwrap(), trusted.join("ca.crt")).unwrap();

    let refused = docker(&engine, &format!("pull {NAMED}"));
    assert!(
        stderr(&refused).contains("no basic auth"),
        "{}",
        stderr(&refused)
    );
    let config = lab.path("docker-config");
    fs_err::create_dir_all(&config).unwrap();
    let login = format!(
        "--config {} login -u ann -p wrong registry.example",
        config.display()
    );
    assert!(!docker(&engine, &login).status.success());
    let mut login = engine.netns_command("sh");
    login.args([
        "-c",
        "docker --config \"$1\" login -u ann --password-stdin registry.example <\"$2\"",
        "sh",
    ]);
    login.arg(&config).arg(&secret);
    login.env("DOCKER_HOST", engine.docker_host());
    let login = login.output().unwrap();
    assert!(login.status.success(), "{}", stderr(&login));
    docker_does(
        &engine,
        &format!("--config {} pull {NAMED}", config.display()),
    );
    assert_eq!(id(&engine, NAMED), image);
    assert!(!served.stop().contains("open sesame"));
}

/// Debian's registry inside an engine's network; killed when dropped.
pub struct RealRegistry(Child);

impl RealRegistry {
    pub fn start(lab: &Lab, engine: &PrivateEngine, address: &str) -> Self {
        packages::ensure(&[(
            "docker-registry",
            "a real registry; its service is not started",
        )])
        .unwrap();
        let config = lab.path("registry.yml");
        let storage = lab.path("registry");
        let text = format!(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\nhttp:\n  addr: {address}\n",
            storage.display()
        );
        fs_err::write(&config, text).unwrap();
        let mut registry = engine.netns_command("docker-registry");
        registry.arg("serve").arg(config);
        let log = fs_err::File::create(lab.path("registry.log")).unwrap();
        registry.stdout(Stdio::null()).stderr(log.into_parts().0);
        Self(registry.spawn().unwrap())
    }
}

impl Drop for RealRegistry {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn what_a_registry_had_is_pulled_in_its_place_with_its_own_digest() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "one");
    let (address, name) = ("127.0.0.1:5001", "127.0.0.1:5001/team/app:1.0");
    let registry = RealRegistry::start(&lab, &engine, address);
    docker_does(&engine, &format!("tag lifeboat/busybox:latest {name}"));
    let image = id(&engine, name);
    let mut tries = 0;
    while !docker(&engine, &format!("push {name}")).status.success() {
        tries += 1;
        assert!(tries < 60, "the registry never came");
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
    let mut backup = engine.netns_command(env!("CARGO_BIN_EXE_lifeboat"));
    let backup = backup
        .args(["registry", "backup", address])
        .env("LIFEBOAT_CONFIG_DIR", lab.path("etc"))
        .env("LIFEBOAT_STATE_DIR", lab.path("state"))
        .output()
        .unwrap();
    assert!(backup.status.success(), "{}", stderr(&backup));
    let digests = docker_does(
        &engine,
        "images --digests --format {{.Repository}}@{{.Digest}}",
    );
    let by_digest = digests
        .lines()
        .find(|line| line.starts_with(address))
        .unwrap();

    drop(registry);
    fs_err::remove_dir_all(lab.path("registry")).unwrap();
    docker_does(&engine, &format!("rmi -f {image}"));
    let served = Served::start(&lab, &engine, &["--listen", address]);
    docker_does(&engine, &format!("pull {by_digest}"));
    let said = docker_does(&engine, &format!("pull {name}"));
    let digest = by_digest.split('@').nth(1).unwrap();
    assert!(said.contains(&format!("Digest: {digest}")), "{said}");
    assert_eq!(id(&engine, name), image);
    served.stop();
}
