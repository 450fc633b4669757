//! The engine crate against real engines. Needs root.
#![allow(clippy::disallowed_methods, reason = "tests run other programs")]
#![recursion_limit = "256"]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod basics;
mod freezer;
mod local;
mod recreate;

use std::sync::OnceLock;

use lifeboat_engine::DockerEngine;
use lifeboat_testkit::engine::{EngineOptions, PACKAGES, PrivateEngine};
use lifeboat_testkit::{images, packages};

/// An engine of its own.
pub fn start(name: &str) -> PrivateEngine {
    packages::ensure(PACKAGES).unwrap();
    let place = tempfile::Builder::new()
        .prefix("lb-")
        .tempdir()
        .unwrap()
        .keep();
    PrivateEngine::start(EngineOptions::new(name, place)).unwrap()
}

/// One engine for all tests of this binary that do not mind company, with the busybox image in it. It
/// goes when this process does.
pub fn shared() -> (&'static PrivateEngine, DockerEngine) {
    static ENGINE: OnceLock<PrivateEngine> = OnceLock::new();
    let engine = ENGINE.get_or_init(|| {
        let engine = start("shared");
        images::busybox().unwrap().load(&engine).unwrap();
        engine
    });
    (engine, connect(engine))
}

/// Connects as the product does.
pub fn connect(engine: &PrivateEngine) -> DockerEngine {
    DockerEngine::connect(&engine.docker_host().parse().unwrap()).unwrap()
}

/// The image that all tests use.
pub const BUSYBOX: &str = "lifeboat/busybox:latest";
