//! A vault that takes a second for each object: the app waits for the local spool, not for the vault.

use std::{io::Read, path::PathBuf, sync::Arc, time::Duration};

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

/// Remembers the steps, and how many objects the vault had been given at each. Right before the freeze it writes what
/// fills more than a pack, so that the frozen pass has one to put.
struct Steps {
    late: PathBuf,
    slow: Arc<FaultyStore>,
    seen: Mutex<Vec<(String, u64)>>,
}

impl Steps {
    fn puts_at(&self, step: &str) -> u64 {
        let seen = self.seen.lock();
        let found = seen.iter().find(|(name, _)| name == step);
        found.unwrap_or_else(|| panic!("no {step} in {seen:?}")).1
    }
}

impl Progress for Steps {
    fn step(&self, name: &str) {
        if name == "freeze" {
            let mut bytes = vec![0; LATE];
            let mut random = fs_err::File::open("/dev/urandom").unwrap();
            random.read_exact(&mut bytes).unwrap();
            fs_err::write(&self.late, bytes).unwrap();
        }
        self.seen.lock().push((name.to_owned(), self.slow.puts()));
    }
}

/// One object more takes so long.
const DELAY: Duration = Duration::from_secs(1);
/// Bytes, more than two packs.
const LATE: usize = 48 << 20;

#[test]
fn an_app_does_not_wait_for_a_slow_vault() {
    let lab = Lab::new();
    let engine = lab.engine("a");
    let app = SampleApp::create(&engine, &lab.path("shop")).unwrap();
    app.wait_ready(&engine).unwrap();
    let slow =
        Arc::new(FaultyStore::new(Arc::new(LocalStore::new(&lab.vault()))).with_put_delay(DELAY));
    let places = Places {
        config: lab.path("etc"),
        state: lab.path("state"),
    };
    let spool = open_spool(&places, Arc::clone(&slow) as Arc<dyn Store>).unwrap();
    let vault = Vault::create(
        Arc::clone(&spool) as Arc<dyn Store>,
        b"secret",
        Environment::system("test"),
    )
    .unwrap();
    let docker = DockerEngine::connect(&engine.docker_host().parse().unwrap()).unwrap();
    let steps = Arc::new(Steps {
        late: lab.path("shop/acked/late"),
        slow,
        seen: Mutex::default(),
    });
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
        course: None,
        cancel: Cancel::new(),
        program: env!("CARGO_BIN_EXE_lifeboat").into(),
    };
    let protected = protect(&ctx, "shop", &ProtectOptions::default()).unwrap();
    assert!(protected.stall_seconds.is_some());
    // What the frozen pass wrote went to the spool ("spool" is a step only where one is used), and from it to the
    // vault once the app ran again: the vault was given nothing while the app stood still.
    let before = steps.puts_at("spool");
    assert_eq!(
        before,
        steps.puts_at("thawed"),
        "the app waited for the vault"
    );
    assert!(before < steps.puts_at("commit"), "the spool was empty");
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
