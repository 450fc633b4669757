//! `registry`: a real registry with an image for two machines and its signature is backed up and lost. It is served from
//! the vault under its own address, pulled from by tag and by digest, and restored into an empty one, every byte of which is
//! compared.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use lifeboat_testkit::{
    command, images, packages,
    server::{RegistryOptions, RegistryServer},
};
use serde_json::{Value, json};

use super::Context;
use crate::say;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// Runs it and prints the report.
pub fn run(context: &Context) -> Result<()> {
    packages::ensure(&[
        ("docker-registry", "the registry that is lost"),
        ("skopeo", "a client of registries"),
        ("podman", "an engine that pulls"),
    ])?;
    let stage = Stage { context };
    say(
        "1/6  a registry (Debian's docker-registry) with an image for amd64 and arm64, and its signature",
    );
    let registry = RegistryServer::start(&context.dir.join("first"), RegistryOptions::default())?;
    let address = registry.address();
    let digest = fill(&stage, &registry)?;

    say(format!("2/6  lifeboat registry backup {address}"));
    stage.json(&["init", "--sheet", &stage.path("recovery-sheet.txt")])?;
    let point = stage.json(&["registry", "backup", &address])?;
    let again = stage.json(&["registry", "backup", &address])?;
    ensure!(
        again["fetched"] == 0,
        "an unchanged registry was fetched again"
    );
    stage.json(&["registry", "check", "--read-data"])?;

    say("3/6  the disaster: the registry and all of its storage are gone");
    let before = blobs(&registry.data())?;
    let lost_at = Instant::now();
    drop(registry);
    fs_err::remove_dir_all(context.dir.join("first"))?;

    say(format!(
        "4/6  lifeboat registry serve --listen {address}: the vault stands in its place"
    ));
    let served = stage.serve(&address)?;
    let back_after = lost_at.elapsed();

    say("5/6  skopeo and podman pull by tag and by digest, as if nothing had happened");
    let names = [
        format!("{address}/team/app:1.0"),
        format!("{address}/team/app@{digest}"),
        format!("{address}/team/app:{}.sig", digest.replace(':', "-")),
    ];
    for name in &names[..2] {
        let found = stage.digest(name)?;
        ensure!(found == digest, "{name} has digest {found}, not {digest}");
        stage.podman_pull(name)?;
    }
    let signature = stage.skopeo(&[
        "inspect",
        "--raw",
        "--tls-verify=false",
        &format!("docker://{}", names[2]),
    ])?;
    let signature: Value = serde_json::from_str(&signature)?;
    ensure!(
        signature["subject"]["digest"] == digest.as_str(),
        "the signature is of something else"
    );
    drop(served);

    say("6/6  lifeboat registry restore --to an empty registry, and every byte compared");
    let empty = RegistryServer::start(&context.dir.join("second"), RegistryOptions::default())?;
    let restored = stage.json(&["registry", "restore", "--to", &empty.address()])?;
    let after = blobs(&empty.data())?;
    ensure!(
        !before.is_empty() && before == after,
        "not every byte is as it was"
    );
    say(format!(
        "  point        {} repositories, {} tags, {} manifests and blobs, {} bytes; the vault grew by {}",
        point["repositories"], point["tags"], point["blobs"], point["bytes"], point["added"]
    ));
    say(format!(
        "  again        nothing fetched, {:.2} s",
        again["seconds"].as_f64().unwrap_or_default()
    ));
    say(format!(
        "  served       {:.1} s after the registry was gone, under its own address",
        back_after.as_secs_f64()
    ));
    say(format!(
        "  digests      by tag and by digest, by skopeo and podman: {digest}"
    ));
    say(format!(
        "  restored     {} tags in {:.1} s; {} files of the storage are what they were, byte for byte",
        restored["tags"],
        restored["seconds"].as_f64().unwrap_or_default(),
        after.len()
    ));
    Ok(())
}

struct Stage<'c> {
    context: &'c Context,
}

/// The program, serving; ended when dropped.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Stage<'_> {
    fn path(&self, name: &str) -> String {
        self.context.dir.join(name).display().to_string()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.context.lifeboat);
        command
            .args(args)
            .args(["-o", "json"])
            .env("LIFEBOAT_CONFIG_DIR", self.path("etc"))
            .env("LIFEBOAT_STATE_DIR", self.path("state"))
            .env_remove("LIFEBOAT_VAULT")
            .env_remove("LIFEBOAT_PASSWORD");
        command
    }

    fn json(&self, args: &[&str]) -> Result<Value> {
        let output = self.command(args).stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            bail!("lifeboat {} ended with {}", args.join(" "), output.status);
        }
        Ok(serde_json::from_slice(&output.stdout).unwrap_or_default())
    }

    fn serve(&self, address: &str) -> Result<Served> {
        let mut serve = self.command(&["registry", "serve", "--listen", address]);
        let served = Served(serve.stdout(Stdio::null()).spawn()?);
        let until = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(address).is_err() {
            ensure!(Instant::now() < until, "nothing serves on {address}");
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(served)
    }

    fn skopeo(&self, args: &[&str]) -> Result<String> {
        let mut skopeo = Command::new("skopeo");
        Ok(command::run(skopeo.arg("--insecure-policy").args(args))?)
    }

    /// The digest of what skopeo gets under a name.
    fn digest(&self, name: &str) -> Result<String> {
        let raw = self.skopeo(&[
            "inspect",
            "--raw",
            "--tls-verify=false",
            &format!("docker://{name}"),
        ])?;
        let file = self.context.dir.join("raw");
        fs_err::write(&file, raw)?;
        sha256(&file)
    }

    fn podman_pull(&self, name: &str) -> Result<()> {
        let policy = self.path("policy.json");
        fs_err::write(
            &policy,
            r#"{"default": [{"type": "insecureAcceptAnything"}]}"#,
        )?;
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
        podman.args([
            "--root",
            &self.path("podman"),
            "--runroot",
            &self.path("podman-run"),
        ]);
        podman.args([
            "--tmpdir",
            &self.path("podman-tmp"),
            "pull",
            "--tls-verify=false",
        ]);
        podman.args(["--signature-policy", &policy, name]);
        command::run(&mut podman)?;
        Ok(())
    }
}

/// Fills the registry; the digest of its index.
fn fill(stage: &Stage<'_>, registry: &RegistryServer) -> Result<String> {
    let layout = stage.context.dir.join("layout");
    let image = images::busybox()?;
    let from = format!("docker-archive:{}", image.tar.display());
    stage.skopeo(&["copy", &from, &format!("oci:{}:amd64", layout.display())])?;
    let read =
        |path: PathBuf| -> Result<Value> { Ok(serde_json::from_slice(&fs_err::read(path)?)?) };
    let of = |descriptor: &Value| -> Result<PathBuf> {
        let digest = descriptor["digest"]
            .as_str()
            .context("a descriptor has no digest")?;
        Ok(layout.join("blobs").join(digest.replace(':', "/")))
    };
    let index = read(layout.join("index.json"))?;
    let mut first = index["manifests"][0].clone();
    first["annotations"].take();
    let first = json!({"mediaType": MANIFEST, "digest": first["digest"], "size": first["size"],
        "platform": {"os": "linux", "architecture": "amd64"}});
    // The same for another machine, as far as a registry can tell.
    let mut manifest = read(of(&first)?)?;
    let mut config = read(of(&manifest["config"])?)?;
    config["architecture"] = "arm64".into();
    let kind = manifest["config"]["mediaType"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    manifest["config"] = put(&layout, &kind, &config)?;
    let mut second = put(&layout, MANIFEST, &manifest)?;
    second["platform"] = json!({"os": "linux", "architecture": "arm64"});
    let both = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [first, second]});
    let index = put(&layout, INDEX, &both)?;
    let empty = put(&layout, "application/vnd.oci.empty.v1+json", &json!({}))?;
    let payload = put(
        &layout,
        "application/vnd.example.signature",
        &json!("signed by ann"),
    )?;
    let signature = json!({"schemaVersion": 2, "mediaType": MANIFEST,
        "artifactType": "application/vnd.example.signature", "config": empty, "layers": [payload], "subject": index});
    let signature = put(&layout, MANIFEST, &signature)?;
    let digest = index["digest"]
        .as_str()
        .context("the index has no digest")?
        .to_owned();
    let tag = format!("{}.sig", digest.replace(':', "-"));
    for (descriptor, tag) in [(index, "1.0"), (signature, tag.as_str())] {
        let mut named = descriptor;
        named["annotations"] = json!({"org.opencontainers.image.ref.name": tag});
        let list = json!({"schemaVersion": 2, "mediaType": INDEX, "manifests": [named]});
        fs_err::write(layout.join("index.json"), list.to_string())?;
        let from = format!("oci:{}:{tag}", layout.display());
        registry.push(&from, &format!("team/app:{tag}"))?;
    }
    Ok(digest)
}

/// Writes a blob into a layout; its descriptor.
fn put(layout: &Path, kind: &str, value: &Value) -> Result<Value> {
    let text = value.to_string();
    let file = layout.join("new");
    fs_err::write(&file, &text)?;
    let digest = sha256(&file)?;
    fs_err::rename(&file, layout.join("blobs").join(digest.replace(':', "/")))?;
    Ok(json!({"mediaType": kind, "digest": digest, "size": text.len()}))
}

/// By a program that shares no code with ours.
fn sha256(file: &Path) -> Result<String> {
    let said = command::run(Command::new("sha256sum").arg(file))?;
    let hex = said
        .split_whitespace()
        .next()
        .context("sha256sum says nothing")?;
    Ok(format!("sha256:{hex}"))
}

/// Every file of a registry's blobs, by its path.
fn blobs(data: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let top = data.join("docker/registry/v2/blobs");
    let mut found = BTreeMap::new();
    let mut next = vec![top.clone()];
    while let Some(folder) = next.pop() {
        for entry in fs_err::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                next.push(path);
            } else {
                found.insert(path.strip_prefix(&top)?.to_owned(), fs_err::read(path)?);
            }
        }
    }
    Ok(found)
}
