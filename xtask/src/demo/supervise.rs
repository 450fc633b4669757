//! `supervise`: the sample app under a client that measures its availability, while things are killed, hung and restarted;
//! once with the engine alone and once with `lifeboat agent` beside it. Ends in a table.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, ensure};
use lifeboat_testkit::engine::{EngineOptions, PrivateEngine};
use lifeboat_testkit::sample_app::{SampleApp, client};

use super::{Context, stage::Stage};
use crate::say;

/// How long each mishap is watched.
const WATCHED: Duration = Duration::from_secs(30);
/// Probes: the web front has no health check of its own, and the database's is patient for minutes.
const PROBES: &str = r#"
[probes.shop-web-1]
liveness = "http://:8080/index.html"
"liveness.period" = "2s"
"liveness.failures" = 2

[probes.shop-db-1]
liveness = "exec:pg_isready -q -h 127.0.0.1 -U postgres -t 1"
"liveness.period" = "2s"
"liveness.timeout" = "2s"
"liveness.failures" = 2
"#;

/// What is done to the app.
const MISHAPS: [(&str, Mishap); 5] = [
    ("web front killed", Mishap::Signal("KILL", "shop-web-1")),
    ("database killed", Mishap::Signal("KILL", "shop-db-1")),
    ("web front hung", Mishap::Signal("STOP", "shop-web-1")),
    ("database hung", Mishap::Signal("STOP", "shop-db-1")),
    ("engine killed and started", Mishap::Engine),
];

#[derive(Clone, Copy)]
enum Mishap {
    /// A signal to all of a container's processes, behind the engine's back.
    Signal(&'static str, &'static str),
    Engine,
}

/// Runs it and prints the table.
pub fn run(context: &Context) -> Result<()> {
    let stage = Stage { context };
    fs_err::create_dir_all(stage.path("etc"))?;
    fs_err::write(stage.path("etc/lifeboat.toml"), PROBES)?;
    let mut columns = Vec::new();
    for (number, supervised) in [(1, false), (2, true)] {
        let who = if supervised {
            "with `lifeboat agent`"
        } else {
            "with the engine alone"
        };
        say(format!("{number}/2  the sample app {who}"));
        let mut engine = PrivateEngine::start(
            EngineOptions::new("supervise", context.dir.join(format!("e{number}")))
                .hostname("demo"),
        )?;
        let app = SampleApp::create(&engine, &context.dir.join(format!("shop{number}")))?;
        app.wait_ready(&engine)?;
        let agent = supervised.then(|| begin(&stage, &engine)).transpose()?;
        let mut down = Vec::new();
        for (name, mishap) in MISHAPS {
            let outage = watch(&mut engine, mishap)?;
            say(format!("     {name}: down for {}", shown(outage)));
            down.push(outage);
            heal(&engine, mishap)?;
            app.wait_ready(&engine)?;
        }
        if let Some(agent) = agent {
            say("     what it did, and why (`lifeboat events`):");
            stage.lifeboat(&engine, &["events", "-n", "25"])?;
            end(agent)?;
        }
        columns.push(down);
        engine.destroy()?;
        app.remove_files()?;
    }
    say("");
    say(format!(
        "{:<28}{:>20}{:>20}",
        "seconds without an answer", "engine alone", "with lifeboat"
    ));
    for (at, (name, _)) in MISHAPS.iter().enumerate() {
        say(format!(
            "{name:<28}{:>20}{:>20}",
            shown(columns[0][at]),
            shown(columns[1][at])
        ));
    }
    let watched = WATCHED.as_secs_f64() * MISHAPS.len() as f64;
    let availability = |down: &[Duration]| {
        100.0 * (1.0 - down.iter().map(Duration::as_secs_f64).sum::<f64>() / watched)
    };
    let (alone, with) = (availability(&columns[0]), availability(&columns[1]));
    say(format!(
        "{:<28}{:>18.1} %{:>18.1} %",
        "answered, of the time", alone, with
    ));
    ensure!(
        columns[1][2] < columns[0][2],
        "what hung was not back sooner with Lifeboat"
    );
    Ok(())
}

fn shown(down: Duration) -> String {
    if down + Duration::from_secs(1) >= WATCHED {
        return "until a person came".to_owned();
    }
    format!("{:.1} s", down.as_secs_f64())
}

fn begin(stage: &Stage<'_>, engine: &PrivateEngine) -> Result<Child> {
    let log = fs_err::File::create(stage.path("agent.log"))?;
    let agent = stage
        .command(engine, &["agent"])
        .stdin(Stdio::null())
        .stderr(log.into_parts().0)
        .spawn()?;
    let began = Instant::now();
    while !stage
        .command(engine, &["status", "-q"])
        .stderr(Stdio::null())
        .status()?
        .success()
    {
        ensure!(
            began.elapsed() < Duration::from_secs(30),
            "the agent does not see that all is well"
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(agent)
}

fn end(mut agent: Child) -> Result<()> {
    let stopped = Command::new("kill").arg(agent.id().to_string()).status()?;
    ensure!(stopped.success(), "the agent cannot be stopped");
    ensure!(agent.wait()?.success(), "the agent did not end well");
    Ok(())
}

/// Does it, and counts how long the app gave no answer.
fn watch(engine: &mut PrivateEngine, mishap: Mishap) -> Result<Duration> {
    let keeper = engine.keeper_pid();
    let over = Arc::new(AtomicBool::new(false));
    let client = {
        let over = Arc::clone(&over);
        std::thread::spawn(move || ask(keeper, &over))
    };
    std::thread::sleep(Duration::from_millis(500));
    match mishap {
        Mishap::Signal(signal, container) => signal_all(engine, signal, container)?,
        Mishap::Engine => {
            engine.kill()?;
            engine.restart()?;
        }
    }
    std::thread::sleep(WATCHED);
    over.store(true, Ordering::Relaxed);
    client.join().ok().context("the client failed")?
}

/// Asks again and again; the time for which the app as a whole gave no answer: its page, and a session with its database,
/// without which the page is of no use to anybody.
fn ask(keeper: u32, over: &AtomicBool) -> Result<Duration> {
    let mut down = Duration::ZERO;
    let mut last: Option<(SystemTime, bool)> = None;
    let asks = || client::serves_page() && client::takes_sessions();
    client::keep_asking(keeper, over, asks, |asked, answered| {
        if let Some((before, false)) = last {
            down += asked.duration_since(before).unwrap_or_default();
        }
        last = Some((asked, answered));
    })?;
    if let Some((before, false)) = last {
        down += before.elapsed().unwrap_or_default();
    }
    Ok(down)
}

fn signal_all(engine: &PrivateEngine, signal: &str, container: &str) -> Result<()> {
    let top = engine
        .api()
        .get(&format!("/containers/{container}/top?ps_args=-eo%20pid"))?;
    let rows = top["Processes"].as_array().context("no processes")?;
    for pid in rows.iter().filter_map(|row| row[0].as_str()) {
        // One may end with its parent before its turn comes.
        Command::new("kill")
            .args(["-s", signal, pid])
            .stderr(Stdio::null())
            .status()?;
    }
    Ok(())
}

/// The person who comes at last.
fn heal(engine: &PrivateEngine, mishap: Mishap) -> Result<()> {
    match mishap {
        Mishap::Signal("STOP", container) => signal_all(engine, "CONT", container),
        Mishap::Signal(..) => Ok(()),
        // What lost its connection while the engine was away, and did not end of it.
        Mishap::Engine => {
            let restart = "/containers/shop-worker-1/restart?t=1";
            engine.api().post(restart, &serde_json::Value::Null)?;
            Ok(())
        }
    }
}
