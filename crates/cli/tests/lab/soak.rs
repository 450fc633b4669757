//! Long runs, by `cargo xtask test --all` only.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use lifeboat_testkit::{
    api::Client,
    engine::PrivateEngine,
    sample_app::{Acked, DB, SampleApp},
};

use crate::support::{Lab, began};

const RUNS: usize = 20;

#[test]
fn soak_no_acknowledged_row_is_lost_in_twenty_recoveries_under_load() {
    let lab = Lab::new();
    lab.init();
    let engine = lab.engine("a");
    let app = SampleApp::create(&engine, &lab.path("shop")).unwrap();
    let mut rows = 0;
    for run in 0..RUNS {
        app.wait_ready(&engine).unwrap();
        let load = Load::start(&engine);
        thread::sleep(std::time::Duration::from_millis(500));
        let report = lab.json(Some(&engine), &["backup", "--all"], 0);
        let point = report["protected"][0].clone();
        assert_eq!(point["level"], "crash");
        load.stop();
        let promised = Acked::before(&app.acked().unwrap(), began(&point));
        assert!(promised.len() > rows, "run {run}: the worker had stopped");
        rows = promised.len();
        lose(&engine, &app);
        lab.json(Some(&engine), &["restore", "shop"], 0);
        app.verify_recovered(&engine, &promised).unwrap();
        println!("run {run}: {rows} rows, stall {}", point["stall_seconds"]);
    }
    lab.restic(&["check", "--read-data"]);
    engine.destroy().unwrap();
}

/// Writes beside the worker: rows in bulk, checkpoints, and changes of what is there.
struct Load {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<()>,
}

impl Load {
    fn start(engine: &PrivateEngine) -> Self {
        let api: Client = engine.api();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let sql = "create table if not exists bulk (n int, t text); \
                       insert into bulk select g, repeat(md5(random()::text), 8) from generate_series(1, 5000) g; \
                       update bulk set t = t || 'x' where n % 7 = 0; checkpoint;";
            while !stopped.load(Ordering::Relaxed) {
                let _ = api.exec(DB, &["psql", "-h", "/tmp", "-Xq", "-c", sql]);
            }
        });
        Self { stop, thread }
    }

    fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
    }
}

fn lose(engine: &PrivateEngine, app: &SampleApp) {
    app.remove(engine).unwrap();
    app.remove_files().unwrap();
}
