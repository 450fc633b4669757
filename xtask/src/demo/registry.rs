//! `registry`: a real registry with a signed image for two machines, and an app that runs from it, are backed up and lost
//! with their host. Another host, which reaches no registry but the vault under the old address, brings the app back; every
//! client pulls by tag and by digest, and the signature holds. An empty registry is filled, every byte of which is compared.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use lifeboat_testkit::{
    clients::pull_by_all,
    command,
    engine::{EngineOptions, PrivateEngine, Release},
    images, packages,
    server::{Notation, RegistryOptions, RegistryServer},
};
use serde_json::{Value, json};

use super::{Context, stage::Stage};
use crate::say;

/// The registry and what is in it.
struct Lost {
    address: String,
    /// Of the index.
    digest: String,
    point: Value,
    again: Value,
    /// Every blob by its path.
    blobs: BTreeMap<PathBuf, Vec<u8>>,
}

impl Lost {
    fn by_tag(&self) -> String {
        format!("{}/team/app:1.0", self.address)
    }

    fn by_digest(&self) -> String {
        format!("{}/team/app@{}", self.address, self.digest)
    }
}

/// Runs it and prints the report.
pub fn run(context: &Context) -> Result<()> {
    packages::ensure(&[("docker-registry", "the registry that is lost")])?;
    let stage = Stage { context };
    let notation = Notation::new(&context.dir.join("notation"))?;
    say(
        "1/6  a host with a registry (Debian's), a signed image for two machines, and an app that runs from it",
    );
    let first = engine(context, "first", Release::Distribution)?;
    let lost = first.in_network(|| lose(&stage, &first, &notation))??;
    let lost_at = Instant::now();
    first.destroy()?;
    fs_err::remove_dir_all(context.dir.join("registry"))?;

    let address = &lost.address;
    let second = engine(context, "second", Release::Newest)?;
    say(format!(
        "4/6  a new host that reaches nothing; lifeboat registry serve --listen {address}, lifeboat restore shop"
    ));
    let served = serve(&stage, &second, address)?;
    let back_after = lost_at.elapsed();
    let restored = stage.json(&second, &["restore", "shop"])?;
    let runs_from = second.api().get("/containers/shop/json")?["Image"].clone();

    say(
        "5/6  docker, skopeo, podman and ctr pull by tag and by digest, as if nothing had happened; notation verifies",
    );
    for name in [lost.by_tag(), lost.by_digest()] {
        let said = command::run(docker(&second).args(["pull", &name]))?;
        ensure!(said.contains(&lost.digest), "docker pull {name}: {said}");
    }
    ensure!(
        runs_from == lost.digest.as_str(),
        "the app runs from {runs_from}, and the registry had {}",
        lost.digest
    );
    let dir = context.dir.join("clients");
    second.in_network(|| {
        pull_by_all(&dir, &lost.by_tag(), &lost.by_digest(), &lost.digest)?;
        notation.verify(&lost.by_digest())
    })??;
    drop(served);

    say("6/6  lifeboat registry restore --to an empty registry, and every byte compared");
    let empty = RegistryServer::start(&context.dir.join("empty"), RegistryOptions::default())?;
    let to = empty.address();
    let filled = stage.json(&second, &["registry", "restore", "--to", &to])?;
    let after = blobs(&empty.data())?;
    ensure!(
        !lost.blobs.is_empty() && lost.blobs == after,
        "not every byte is as it was"
    );
    notation.verify(&lost.by_digest().replacen(address, &to, 1))?;
    if context.keep {
        second.detach()?;
    } else {
        second.destroy()?;
    }

    let seconds = |report: &Value| report["seconds"].as_f64().unwrap_or_default();
    let point = &lost.point;
    say(format!(
        "  point        {} repositories, {} tags, {} manifests and blobs, {} bytes; the vault grew by {}",
        point["repositories"], point["tags"], point["blobs"], point["bytes"], point["added"]
    ));
    say(format!(
        "  again        nothing fetched, {:.2} s",
        seconds(&lost.again)
    ));
    say(format!(
        "  served       {:.1} s after the host was gone (the start of a new one included), under the old address",
        back_after.as_secs_f64()
    ));
    say(format!(
        "  app          restored in {:.1} s on a host that reaches no other registry, from the image it always had",
        restored["rto_seconds"].as_f64().unwrap_or_default()
    ));
    say(format!(
        "  digests      by tag and by digest, by docker, skopeo, podman and ctr: {}",
        lost.digest
    ));
    say("  signature    notation verifies it, from the vault and from the new registry");
    say(format!(
        "  restored     {} tags in {:.1} s; {} files of the storage are what they were, byte for byte",
        filled["tags"],
        seconds(&filled),
        after.len()
    ));
    Ok(())
}

/// What there was, protected. Everything of it but the engine and the registry's storage has ended.
fn lose(stage: &Stage<'_>, engine: &PrivateEngine, notation: &Notation) -> Result<Lost> {
    let dir = &stage.context.dir;
    let registry = RegistryServer::start(&dir.join("registry"), RegistryOptions::default())?;
    let digest = images::push_index(&dir.join("layout"), &registry, "team/app:1.0")?;
    let mut lost = Lost {
        address: registry.address(),
        digest,
        point: Value::Null,
        again: Value::Null,
        blobs: BTreeMap::new(),
    };
    notation.sign(&lost.by_digest())?;
    command::run(docker(engine).args(["pull", &lost.by_tag()]))?;
    let body = json!({"Image": lost.by_tag(), "Cmd": ["sh", "-c", "trap exit TERM; while :; do sleep 1; done"]});
    let api = engine.api();
    let id = api.create_container("shop", &body)?;
    api.post(&format!("/containers/{id}/start"), &Value::Null)?;

    say(format!(
        "2/6  lifeboat registry backup {}, lifeboat backup shop",
        lost.address
    ));
    stage.json(
        engine,
        &["init", "--sheet", &stage.path("recovery-sheet.txt")],
    )?;
    lost.point = stage.json(engine, &["registry", "backup", &lost.address])?;
    lost.again = stage.json(engine, &["registry", "backup", &lost.address])?;
    ensure!(
        lost.again["fetched"] == 0,
        "an unchanged registry was fetched again"
    );
    stage.json(engine, &["registry", "check", "--read-data"])?;
    stage.json(engine, &["backup", "shop"])?;
    say("3/6  the disaster: host, app, registry and all of its storage are gone");
    lost.blobs = blobs(&registry.data())?;
    Ok(lost)
}

fn engine(context: &Context, name: &str, release: Release) -> Result<PrivateEngine> {
    let options = EngineOptions::new(name, context.dir.join(name)).hostname("demo");
    Ok(PrivateEngine::start(options.release(release))?)
}

fn docker(engine: &PrivateEngine) -> Command {
    let mut docker = engine.netns_command("docker");
    docker.env("DOCKER_HOST", engine.docker_host());
    docker
}

/// The program, serving; ended when dropped.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn serve(stage: &Stage<'_>, engine: &PrivateEngine, address: &str) -> Result<Served> {
    let line = ["registry", "serve", "--listen", address];
    let mut serve = stage.command(engine, &line);
    serve.stdout(Stdio::null());
    let served = Served(engine.in_network(|| serve.spawn())??);
    let until = Instant::now() + Duration::from_secs(30);
    while engine.in_network(|| std::net::TcpStream::connect(address).is_err())? {
        ensure!(Instant::now() < until, "nothing serves on {address}");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(served)
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
