//! Probes against real servers in real containers. Needs root.
#![allow(clippy::disallowed_methods, reason = "tests run other programs")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod engine;
mod hostile;
mod prober;
mod reach;
mod servers;
mod soak;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use lifeboat_engine::{DockerEngine, Engine, container_facts};
use lifeboat_plan::inventory::Container;
use lifeboat_plan::probe::{self, Outcome, Probes, Settings};
use lifeboat_probe::ask_once;
use lifeboat_testkit::engine::{EngineOptions, PACKAGES, PrivateEngine};
use lifeboat_testkit::{images, packages};
use serde_json::{Value, json};

/// The image that most tests use.
pub const BUSYBOX: &str = "lifeboat/busybox:latest";

/// One engine for all tests, with the busybox image in it. It goes when this process does.
pub fn shared() -> (&'static PrivateEngine, Arc<dyn Engine>) {
    static ENGINE: OnceLock<PrivateEngine> = OnceLock::new();
    let engine = ENGINE.get_or_init(|| {
        packages::ensure(PACKAGES).unwrap();
        let place = tempfile::Builder::new()
            .prefix("lb-")
            .tempdir()
            .unwrap()
            .keep();
        let engine = PrivateEngine::start(EngineOptions::new("probe", place)).unwrap();
        images::busybox().unwrap().load(&engine).unwrap();
        engine
    });
    (engine, Arc::new(connect(engine)))
}

/// Connects as the product does.
pub fn connect(engine: &PrivateEngine) -> DockerEngine {
    DockerEngine::connect(&engine.docker_host().parse().unwrap()).unwrap()
}

/// Makes and starts a container; its stop takes no time.
pub fn start(engine: &dyn Engine, name: &str, mut body: Value) -> Container {
    if body.get("Image").is_none() {
        body["Image"] = BUSYBOX.into();
    }
    if body.get("Cmd").is_none() {
        body["Cmd"] = json!(["sleep", "3600"]);
    }
    // It would lie where a container with this machine's programs has those.
    body["HostConfig"]["Init"] = body["HostConfig"]["Binds"].is_null().into();
    let id = engine.create_container(name, &body).unwrap();
    engine.start(&id).unwrap();
    facts(engine, &id)
}

/// What the engine says about it now.
pub fn facts(engine: &dyn Engine, id: &str) -> Container {
    container_facts(engine.inspect_container(id).unwrap())
}

/// Probes from labels, which have to be understood.
pub fn labels(container: &Container, labels: &[(&str, &str)]) -> Probes {
    let mut container = container.clone();
    let own = labels
        .iter()
        .map(|(k, v)| (format!("lifeboat.{k}"), (*v).to_owned()));
    container.labels.extend(own.collect::<BTreeMap<_, _>>());
    let probes = probe::read(&container, &Settings::default());
    assert!(probes.findings.is_empty(), "{:?}", probes.findings);
    probes
}

/// One answer of a liveness probe with these labels; five seconds' time unless they say otherwise.
pub fn ask(engine: &Arc<dyn Engine>, container: &Container, given: &[(&str, &str)]) -> Outcome {
    let mut all = vec![("liveness.timeout", "5s")];
    all.extend_from_slice(given);
    let probes = labels(container, &all);
    ask_once(
        Arc::clone(engine),
        container,
        probes.liveness.as_ref().unwrap(),
    )
    .unwrap()
}

/// One answer of `lifeboat.liveness=…` alone.
pub fn simply(engine: &Arc<dyn Engine>, container: &Container, check: &str) -> Outcome {
    ask(engine, container, &[("liveness", check)])
}

/// Asks until the answer is good: a server has to come up first.
pub fn until_good(
    engine: &Arc<dyn Engine>,
    container: &Container,
    given: &[(&str, &str)],
) -> Vec<Outcome> {
    let end = Instant::now() + Duration::from_secs(120);
    let mut before = Vec::new();
    loop {
        match ask(engine, container, given) {
            Outcome::Success => return before,
            other => before.push(other),
        }
        if Instant::now() > end {
            let logs = shared().0.api().logs(&container.id).unwrap_or_default();
            panic!("{given:?}: {:?}\n{logs}", before.last());
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// What a failure says; it has to be one.
#[track_caller]
pub fn failure(outcome: Outcome) -> String {
    match outcome {
        Outcome::Failure(why) => why,
        other => panic!("no failure: {other:?}"),
    }
}
