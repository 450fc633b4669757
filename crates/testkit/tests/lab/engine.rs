//! A private engine comes, works and goes without a trace.

use std::time::Instant;

use lifeboat_testkit::engine::{EngineOptions, PACKAGES, PrivateEngine};
use lifeboat_testkit::packages;

#[test]
fn starts_and_goes_without_a_trace() {
    packages::ensure(PACKAGES).unwrap();
    let place = tempfile::Builder::new().prefix("lb-").tempdir().unwrap();
    let begin = Instant::now();
    let options = EngineOptions::new("one", place.path().join("one")).hostname("harbour");
    let engine = PrivateEngine::start(options).unwrap();
    println!("engine start {:?}", begin.elapsed());
    let info = engine.api().get("/info").unwrap();
    assert_eq!(info["Name"], "harbour");
    let begin = Instant::now();
    engine.destroy().unwrap();
    println!("engine destroy {:?}", begin.elapsed());
    assert!(!place.path().join("one").exists());
}
