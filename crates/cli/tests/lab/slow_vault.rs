//! A vault that takes a second for each object: the app waits for the local spool, not for the vault.

use std::{sync::Arc, time::Duration};

use lifeboat_capture::Cancel;
use lifeboat_engine::{DockerEngine, Engine};
use lifeboat_recovery::{
    Context, Places, Progress,
    context::open_spool,
    protect::{ProtectOptions, protect},
};
use lifeboat_store::{FaultyStore, LocalStore, Store};
use lifeboat_testkit::sample_app::SampleApp;
use lifeboat_vault::{Environment, Vault};
use parking_lot::Mutex;

use crate::support::Lab;

/// Remembers the steps.
#[derive(Default)]
struct Steps(Mutex<Vec<String>>);

impl Progress for Steps {
    fn step(&self, name: &str) {
        self.0.lock().push(name.to_owned());
    }
}

/// One object more takes so long.
const DELAY: Duration = Duration::from_secs(1);

#[test]
fn an_app_does_not_wait_for_a_slow_vault() {
    let lab = Lab::new();
    let engine = lab.engine("a");
    let app = SampleApp::create(&engine, &lab.path("shop")).unwrap();
    app.wait_ready(&engine).unwrap();
    let slow: Arc<dyn Store> =
        Arc::new(FaultyStore::new(Arc::new(LocalStore::new(&lab.vault()))).with_put_delay(DELAY));
    let places = Places {
        config: lab.path("etc"),
        state: lab.path("state"),
    };
    let spool = open_spool(&places, slow).unwrap();
    let vault = Vault::create(
        Arc::clone(&spool) as Arc<dyn Store>,
        b"secret",
        Environment::system("test"),
    )
    .unwrap();
    let docker = DockerEngine::connect(&engine.docker_host().parse().unwrap()).unwrap();
    let steps = Arc::new(Steps::default());
    let ctx = Context {
        vault: vault.clone(),
        spool: Some(spool),
        engine: Some(Arc::new(docker) as Arc<dyn Engine>),
        site: "default".to_owned(),
        host: None,
        hostname: "lab".to_owned(),
        username: "root".to_owned(),
        places,
        ours: vec![lab.path("state")],
        progress: Arc::clone(&steps) as Arc<dyn Progress>,
        cancel: Cancel::new(),
        program: env!("CARGO_BIN_EXE_lifeboat").into(),
    };
    let protected = protect(&ctx, "shop", &ProtectOptions::default()).unwrap();
    let stall = protected.stall_seconds.unwrap();
    assert!(
        steps.0.lock().iter().any(|step| step == "spool"),
        "the spool was not used"
    );
    // Packs of the frozen pass alone would have taken longer than one delay.
    assert!(
        stall < DELAY.as_secs_f64(),
        "the app stood still for {stall} s"
    );
    let report = vault
        .check(
            &lifeboat_vault::CheckOptions {
                read_data: true,
                ..Default::default()
            },
            &*ctx.progress,
        )
        .unwrap();
    assert!(report.is_healthy(), "{:?}", report.errors);
    engine.destroy().unwrap();
}
