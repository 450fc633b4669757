//! What stands in the way on another engine is found before anything is touched, all of it.

use lifeboat_testkit::{
    command::find_on_path,
    engine::{EngineOptions, PrivateEngine},
    images,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{Elsewhere, helpers};
use crate::support::Lab;
use crate::tiny::{self, Held, IDLE};

#[test]
fn the_other_engine_is_looked_at_before_anything_is_touched() {
    let lab = Lab::new();
    lab.init();
    let mut options = EngineOptions::new("a", lab.path("a")).hostname("lab");
    let runc = find_on_path("runc").unwrap();
    options
        .args
        .push(format!("--add-runtime=odd={}", runc.display()));
    let engine = PrivateEngine::start(options).unwrap();
    images::busybox().unwrap().load(&engine).unwrap();
    let bind = lab.path("srv").join("bind");
    fs_err::create_dir_all(&bind).unwrap();
    fs_err::write(bind.join("file"), "old\n").unwrap();
    let host = json!({
        "Runtime": "odd",
        "Binds": ["data:/data", format!("{}:/bind", bind.display())],
    });
    tiny::run_with(&engine, "one", IDLE, host);
    lab.run(Some(&engine), &["backup", "one"], 0);
    engine.destroy().unwrap();

    let far = Elsewhere::start(&lab, "b");
    images::busybox().unwrap().load(&far.engine).unwrap();
    tiny::run(&far.engine, "one", IDLE, &["data:/data"]);
    let before = tiny::names(&far.engine);
    let plan = far.json(&lab, &["restore", "one", "--dry-run"], 1);
    let obstacles: Vec<&str> = plan["obstacles"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    for words in [
        "a container named one is there already",
        "a volume named data is there already",
        "srv/bind is there already and is never overwritten",
        "the runtime odd, which this engine does not have",
    ] {
        assert!(
            obstacles.iter().any(|o| o.contains(words)),
            "{words}: {obstacles:#?}"
        );
    }
    assert_eq!(obstacles.len(), 4, "{obstacles:#?}");
    assert_eq!(tiny::names(&far.engine), before);

    // In its place: what is there is where only that engine reaches it.
    let id = tiny::inspect(&far.engine, "one")["Id"].clone();
    let args = ["restore", "one", "--replace", "--no-safety-point"];
    let output = super::ended(&mut far.command(&lab, &args), 1);
    let words = [
        "run lifeboat on the engine's own host",
        "nothing was changed",
    ];
    tiny::says(&output, &words);
    assert_eq!(tiny::inspect(&far.engine, "one")["Id"], id);
    assert!(tiny::runs(&far.engine, "one"));
    assert_eq!(tiny::names(&far.engine), before);
}

#[test]
fn interrupted_in_the_middle_of_a_stream_it_is_taken_away_there() {
    let lab = Lab::new();
    lab.init();
    let engine = tiny::engine(&lab, "a");
    tiny::run(&engine, "one", IDLE, &["data:/data"]);
    let data = engine.volume_path("data").unwrap();
    fs_err::write(data.join("large"), tiny::noise(9 << 20, 3)).unwrap();
    lab.run(Some(&engine), &["backup", "one"], 0);
    engine.destroy().unwrap();
    let far = Elsewhere::start(&lab, "b");
    let mut held = Held::start(&lab, far.command(&lab, &["restore", "one"]));
    held.until("far-stream");
    assert_ne!(helpers(&far.engine), Vec::<String>::new());
    let pid = Pid::from_raw(i32::try_from(held.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    let output = held.end();
    assert_eq!(output.status.code(), Some(130), "{}", tiny::stderr(&output));
    assert_eq!(tiny::names(&far.engine), Vec::<String>::new());
    assert_eq!(lab.begun(), Vec::<String>::new());
}
