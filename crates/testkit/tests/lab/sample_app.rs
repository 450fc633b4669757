//! The sample app comes up, keeps its promises, and can be told from a changed one.

use std::time::{Duration, Instant};

use lifeboat_testkit::engine::{EngineOptions, PACKAGES, PrivateEngine};
use lifeboat_testkit::sample_app::{self, SampleApp};
use lifeboat_testkit::{images, packages};

#[test]
fn runs_acknowledges_and_is_compared_field_by_field() {
    packages::ensure(PACKAGES).unwrap();
    images::services().unwrap();
    let place = tempfile::Builder::new().prefix("lb-").tempdir().unwrap();
    let begin = Instant::now();
    let options = EngineOptions::new("app", place.path().join("e"));
    let mut engine = PrivateEngine::start(options).unwrap();
    println!("engine up {:?}", begin.elapsed());
    let begin = Instant::now();
    let app = SampleApp::create(&engine, &place.path().join("shop")).unwrap();
    println!("images loaded, app created {:?}", begin.elapsed());
    app.wait_ready(&engine).unwrap();
    println!("app ready {:?}", begin.elapsed());

    let fingerprint = app.fingerprint(&engine).unwrap();
    std::thread::sleep(Duration::from_secs(5));
    let acked = app.acked().unwrap();
    println!("{} rows acknowledged", acked.len());
    assert!(acked.len() > 100);
    println!("{:?}", app.verify_recovered(&engine, &acked).unwrap());
    let again = app.fingerprint(&engine).unwrap();
    assert_eq!(sample_app::diff(&fingerprint, &again), Vec::<String>::new());

    // The oracle sees a lost row, and the comparison a change.
    let api = engine.api();
    let lose = [
        "psql",
        "-h",
        "/tmp",
        "-qc",
        "delete from ledger where n = 7",
    ];
    api.exec_ok(sample_app::DB, &lose).unwrap();
    let error = app.verify_recovered(&engine, &acked).unwrap_err();
    assert!(error.to_string().contains("[7]"), "{error}");
    api.post(
        "/containers/shop-web-1/update",
        &serde_json::json!({"CpuShares": 77}),
    )
    .unwrap();
    let changed = sample_app::diff(&fingerprint, &app.fingerprint(&engine).unwrap());
    assert_eq!(
        changed,
        ["container shop-web-1 / HostConfig / CpuShares: 0 became 77"]
    );

    // The engine is killed, and comes back over the same data and with the same network.
    let before = app.acked().unwrap().len();
    engine.kill().unwrap();
    engine.restart().unwrap();
    app.start(&engine).unwrap();
    app.wait_ready(&engine).unwrap();
    assert!(app.acked().unwrap().len() > before);

    let begin = Instant::now();
    app.remove(&engine).unwrap();
    println!("app removed {:?}", begin.elapsed());
    let begin = Instant::now();
    engine.destroy().unwrap();
    println!("engine destroyed {:?}", begin.elapsed());
}
